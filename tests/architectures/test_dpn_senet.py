"""DPN and the Caffe SENets: what their two publishers do alike and differently."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zoo import architectures
from zoo.errors import UsageError
from zoo.graph import Graph

GOLDEN = Path(__file__).parents[1] / "golden" / "architectures"


def trained(graph: Graph) -> int:
    shapes = {name: param.shape for name, param in graph.params.items() if "running" not in name}
    return sum(int(np.prod(shape)) for shape in shapes.values())


def test_parameters_are_as_many_as_published() -> None:
    assert trained(architectures.build("dpn68", "timm")) == 12_611_602
    assert trained(architectures.build("legacy-seresnext50-32x4d", "pretrainedmodels")) == 27_559_896


def test_windows_of_pretrainedmodels_and_the_average_of_timm_are_different_numbers() -> None:
    graphs = {dialect: architectures.build("dpn68", dialect, size=256) for dialect in ("timm", "pretrainedmodels")}
    ops = {dialect: [node.op for node in graph.nodes[-5:]] for dialect, graph in graphs.items()}
    assert ops["timm"][-3:] == ["GlobalAveragePool", "Conv", "Flatten"]
    assert ops["pretrainedmodels"] == ["Conv", "GlobalAveragePool", "GlobalMaxPool", "Mean", "Flatten"]


def test_the_input_for_which_it_was_published_has_one_window() -> None:
    ops = [node.op for node in architectures.build("dpn92", "pretrainedmodels").nodes[-3:]]
    assert ops == ["AveragePool", "Conv", "Flatten"]


def test_an_input_without_a_window_is_refused() -> None:
    with pytest.raises(UsageError, match="size=192; expected 193 or more"):
        architectures.build("dpn68", "pretrainedmodels", size=192)


def test_the_classifier_says_which_publisher_wrote_a_dpn() -> None:
    arrays = {
        name: np.zeros(param.shape, np.float32)
        for name, param in architectures.build("dpn68", "pretrainedmodels", classes=7).params.items()
    }
    graph = architectures.fit("dpn68", arrays, where="dpn68.pth")
    assert graph.params["last_linear.weight"].shape[0] == 7


def test_features_are_dropped_as_each_publisher_trains() -> None:
    def rates(variant: str, dialect: str) -> list[float]:
        return [node.attrs["ratio"] for node in architectures.build(variant, dialect).nodes if node.op == "Dropout"]

    assert rates("legacy-senet154", "pretrainedmodels") == rates("legacy-seresnet50", "timm") == [0.2]
    assert rates("legacy-seresnet50", "pretrainedmodels") == []


def test_the_stride_of_an_se_resnet_is_in_its_first_convolution() -> None:
    def strided(variant: str) -> list[str]:
        nodes = architectures.build(variant, "timm").nodes
        return [node.name for node in nodes if node.op == "Conv" and node.attrs["strides"] == (2, 2)]

    assert strided("legacy-seresnet50")[1] == "layer2.0.conv1"
    assert strided("legacy-seresnext50-32x4d")[1] == "layer2.0.conv2"


def test_golden_outputs_of_related_networks_are_not_alike() -> None:
    cases = json.loads((GOLDEN / "dpn.json").read_text())
    first, second = (np.array(cases[f"timm/{name}"]["output"]) for name in ("dpn68", "dpn68b"))
    assert np.abs(first - second).max() > 0.05 * np.abs(first).max()
