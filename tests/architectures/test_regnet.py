"""RegNet's widths follow the rule, with either publisher's rounding."""

from __future__ import annotations

import numpy as np
import pytest

from zoo import architectures
from zoo.architectures.regnet import VARIANTS, stages
from zoo.errors import FormatError
from zoo.graph import Graph, Param


def trained(graph: Graph) -> int:
    return sum(int(np.prod(param.shape)) for name, param in graph.params.items() if ".running_" not in name)


@pytest.mark.parametrize(
    ("variant", "dialect", "parameters"),
    [
        ("regnety-004", "torchvision", 4_344_144),  # num_params of torchvision's weights
        ("regnety-080-tv", "torchvision", 39_381_472),
        ("regnetx-320", "torchvision", 107_811_560),
        ("regnetx-320", "timm", 107_811_560),
    ],
)
def test_parameters_are_as_many_as_published(variant: str, dialect: str, parameters: int) -> None:
    assert trained(architectures.build(variant, dialect)) == parameters


def test_widths_are_those_of_the_papers_table() -> None:
    assert [stage[:2] for stage in stages(VARIANTS["regnety-016"])] == [(2, 48), (6, 120), (17, 336), (2, 888)]
    assert [stage[:2] for stage in stages(VARIANTS["regnetx-064"])] == [(2, 168), (4, 392), (10, 784), (1, 1624)]


def test_a_group_is_never_wider_than_its_stage() -> None:
    assert [stage.group for stage in stages(VARIANTS["regnety-320"])] == [232, 232, 232, 232]
    assert [stage.group for stage in stages(VARIANTS["regnetx-080"])] == [80, 120, 120, 120]


@pytest.mark.parametrize("name", ["regnetx-004", "regnety-008", "regnety-080"])
def test_torchvision_rounds_some_widths_otherwise_and_each_refuses_the_others_weights(name: str) -> None:
    assert stages(VARIANTS[name]) != stages(VARIANTS[f"{name}-tv"])
    graph = architectures.build(name, "timm")
    other = {
        key: np.zeros(param.shape, np.float32)
        for key, param in architectures.build(f"{name}-tv", "timm").params.items()
        if isinstance(param, Param)
    }
    with pytest.raises(FormatError, match=f"{name} needs"):
        graph.bind(other, where="tv.pth")


def test_z_has_a_shortcut_only_where_shapes_stay() -> None:
    nodes = [node.name for node in architectures.build("regnetz-005", "timm").nodes]
    assert "s2.b2.add" in nodes
    assert "s2.b1.add" not in nodes
