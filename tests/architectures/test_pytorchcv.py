"""pytorchcv's networks and their twins in Gluon: what names and shapes do not tell, and parameters as published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from zoo import architectures
from zoo.architectures.pytorchcv import by_stride
from zoo.graph import Graph, Param
from zoo.sources import WeightsSource

GOLDEN = Path(__file__).parents[1] / "golden" / "architectures"


def golden(file: str, case: str) -> Any:
    return json.loads((GOLDEN / f"{file}.json").read_text())[case]


def trained(graph: Graph) -> int:
    params = {
        name: param for name, param in graph.params.items() if isinstance(param, Param) and ".running_" not in name
    }
    return sum(int(np.prod(param.shape)) for param in params.values())


@pytest.mark.parametrize(
    ("variant", "dialect", "count"),
    [  # osmr/pytorchcv pytorchcv/models/common/model_metainfos.csv
        ("mobilenetv2-w1", "pytorchcv", 3_504_960),
        ("igcv3-wd4", "pytorchcv", 1_534_020),
        ("semnasnet-100", "pytorchcv", 3_887_038),
        ("efficientnet-b3", "pytorchcv-tf", 12_233_232),
        ("shufflenetv2b-w2", "pytorchcv", 7_611_290),
        ("menet228-12x1-g3", "pytorchcv", 1_806_568),
        ("hardnet39ds", "pytorchcv", 3_488_228),
        ("airnet50-1x64d-r16", "pytorchcv", 25_714_952),
        ("dpn68", "pytorchcv", 12_611_602),
        ("hrnet-w18", "timm", 21_299_004),
    ],
)
def test_parameters_are_as_many_as_published(variant: str, dialect: str, count: int) -> None:
    assert trained(architectures.build(variant, dialect)) == count


def test_cards_of_gluoncv2_have_as_many_parameters_as_their_networks(request: pytest.FixtureRequest) -> None:
    cards = [card for card in zoo.list_models("*.gluoncv2") if isinstance(card.source, WeightsSource)]
    for card in cards[:: 1 if request.config.getoption("--all-architectures") else 15]:
        assert isinstance(card.source, WeightsSource)
        assert trained(architectures.build(card.source.architecture, card.source.dialect)) == card.parameters, card.name


def test_twins_have_the_same_network() -> None:
    networks = {
        card.name: card.source.architecture for card in zoo.list_models() if isinstance(card.source, WeightsSource)
    }
    twins = {name for name in networks if name.endswith(".gluoncv2")}
    for name in twins:
        other = name.replace(".gluoncv2", ".pytorchcv").replace("inception-v", "inceptionv")
        assert networks.get(other, networks[name]) == networks[name], name


@pytest.mark.parametrize(
    ("file", "one", "other"),
    [
        ("pytorchcv_mobile", "pytorchcv/efficientnet-b0", "pytorchcv-tf/efficientnet-b0"),  # padding and epsilon
        ("pytorchcv_twins", "pytorchcv/squeezenet1-1", "pytorchcv/squeezeresnet1-1"),  # sums
        ("gluoncv2", "gluoncv2/squeezenet1-1", "gluoncv2/squeezeresnet1-1"),
        ("pytorchcv_resnet", "pytorchcv/resnet50", "pytorchcv/resnet50b"),  # place of the stride
        ("gluoncv2", "gluoncv2/resnet50", "gluoncv2/resnet50b"),
    ],
)
def test_networks_that_names_and_shapes_cannot_tell_apart_differ_clearly(file: str, one: str, other: str) -> None:
    first, second = golden(file, one), golden(file, other)
    assert (first["digest"], first["size"]) == (second["digest"], second["size"])
    a, b = np.array(first["output"]), np.array(second["output"])
    assert np.abs(a / np.abs(a).max() - b / np.abs(b).max()).max() > 0.01


def test_gates_of_airnet_have_the_size_of_what_they_multiply() -> None:
    nodes = {node.name: node for node in architectures.build("airnet50-1x64d-r2", "pytorchcv").nodes}
    gated = [name for name in nodes if name.endswith(".gated")]
    assert len(gated) == 2 + 3 + 5 + 1  # not where a unit has a stride, nor in the last stage
    assert "features.stage1.unit1.body.gated" in gated


def test_a_stage_begins_where_the_map_gets_smaller() -> None:
    assert by_stride([1, 2, 1, 2, 1, 1]) == [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3)]
