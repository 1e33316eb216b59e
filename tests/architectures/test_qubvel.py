"""qubvel's files count layers from any number and hold a layer per group; both are told by order."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from zoo import architectures
from zoo.architectures import qubvel
from zoo.errors import FormatError
from zoo.graph import Graph, Param

CASES = json.loads((Path(__file__).parents[1] / "golden" / "architectures" / "qubvel.json").read_text())


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    found = {name: param.shape_in_file for name, param in graph.params.items() if isinstance(param, Param)}
    return {name: shape for name, shape in found.items() if shape is not None}


def file_of(graph: Graph, first: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Arrays under the Graph's names, and as a file has them whose session had `first` layers of each kind before."""
    random = np.random.default_rng(0)
    arrays = {name: random.random(shape, np.float32) for name, shape in shapes(graph).items()}
    groups = {node.inputs[1]: node.attrs["group"] for node in graph.nodes if node.op == "Conv"}
    stored = {}
    for name, array in arrays.items():
        layer, variable = name.split("/")
        base, _, number = layer.rpartition("_")
        if not number.isdecimal():
            base, number = layer, "0"
        counted = base in ("conv2d", "batch_normalization", "dense")
        for index, part in enumerate(np.split(array, groups.get(name, 1), axis=-1)):
            layer = f"{base}_{int(number) + first + index}" if counted else layer
            stored[f"{layer}/{layer}/{variable}:0"] = part
    return arrays, stored


@pytest.mark.parametrize("variant", qubvel.NETWORKS)
def test_layers_that_keras_counts_are_declared_in_the_order_of_files(variant: str) -> None:
    layers = dict.fromkeys(name.partition("/")[0] for name in shapes(architectures.build(variant, "qubvel")))
    order = [layer for layer in layers if qubvel._COUNTED.fullmatch(layer)]
    assert hashlib.sha256(json.dumps(order).encode()).hexdigest() == CASES[f"qubvel/{variant}"]["order"]


@pytest.mark.parametrize("variant", ["resnet50", "seresnet18", "seresnet50", "resnext50-32x4d", "senet154"])
def test_a_file_may_count_from_any_number(variant: str) -> None:
    graph = architectures.build(variant, "qubvel", classes=10)
    arrays, stored = file_of(graph, 7)
    found = qubvel.named(graph, stored)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_a_file_without_one_of_the_groups_is_refused() -> None:
    graph = architectures.build("resnext50-32x4d", "qubvel", classes=10)
    _, stored = file_of(graph, 0)
    del stored["conv2d_5/conv2d_5/kernel:0"]
    with pytest.raises(FormatError, match="does not hold the weights of resnext50-32x4d"):
        graph.bind(qubvel.named(graph, stored), where="resnext50.h5")


@pytest.mark.parametrize(
    ("variant", "count"),
    [("resnet18", 11_699_889), ("seresnext50-32x4d", 27_628_120), ("senet154", 115_336_536)],
)
def test_networks_have_as_many_weights_as_the_publishers_models(variant: str, count: int) -> None:
    assert sum(int(np.prod(shape)) for shape in shapes(architectures.build(variant, "qubvel")).values()) == count
