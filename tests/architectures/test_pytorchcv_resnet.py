"""pytorchcv's names say what its networks are, and the place of the stride is in no tensor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zoo import architectures
from zoo.architectures.pytorchcv_resnet import VARIANTS, Numbers
from zoo.graph import Graph

CASES = json.loads((Path(__file__).parents[1] / "golden" / "architectures" / "pytorchcv_resnet.json").read_text())


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    return {name: tuple(param.shape) for name, param in graph.params.items()}


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "preresnet50", "seresnet50", "sepreresnet152"])
def test_the_stride_moves_numbers_but_no_tensor(name: str) -> None:
    early, late = (architectures.build(variant, "pytorchcv") for variant in (name, f"{name}b"))
    assert shapes(early) == shapes(late)
    first, second = (CASES[f"pytorchcv/{variant}"] for variant in (name, f"{name}b"))
    assert first["gain"] == second["gain"]
    outputs = np.array(first["output"]), np.array(second["output"])
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-2 * np.abs(outputs[0]).max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_name_counts_convolutions_and_the_dense_layer(variant: str) -> None:
    numbers = Numbers.of(variant)
    count = int("".join(c for c in variant.partition("-")[0] if c.isdigit()))
    assert sum(numbers.units) * (3 if numbers.bottleneck else 2) + 2 == count


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [  # as pytorchcv's own tests have them
        ("resnet10", 5_418_792),
        ("resnet18-wd4", 3_937_400),
        ("preresnet50", 25_549_480),
        ("seresnet50b", 28_088_024),
        ("resnext101-64x4d", 83_455_272),
        ("seresnext50-32x4d", 27_559_896),
    ],
)
def test_parameters_are_as_many_as_published(variant: str, parameters: int) -> None:
    stored = shapes(architectures.build(variant, "pytorchcv"))
    assert sum(int(np.prod(shape)) for name, shape in stored.items() if ".running_" not in name) == parameters
