"""MobileNet: what its publishers do differently."""

from __future__ import annotations

import numpy as np
import pytest
from test_published import CASES, shapes_in_file

from zoo import architectures

V3 = "mobilenetv3-large-100"


def epsilons(variant: str, dialect: str) -> set[float]:
    nodes = architectures.build(variant, dialect).nodes
    return {node.attrs["epsilon"] for node in nodes if node.op == "BatchNormalization"}


@pytest.mark.parametrize(
    ("variant", "parameters"),  # published: `num_params` of torchvision's weights
    [("mobilenetv2-100", 3_504_872), (V3, 5_483_032), ("mobilenetv3-small-100", 2_542_856)],
)
def test_parameters_are_counted_as_the_publisher_counts_them(variant: str, parameters: int) -> None:
    shapes = shapes_in_file(architectures.build(variant, "torchvision"))
    assert sum(int(np.prod(shape)) for name, shape in shapes.items() if ".running_" not in name) == parameters


@pytest.mark.parametrize("variant", [V3, "mobilenetv3-small-100"])
def test_timms_ports_from_tensorflow_have_its_names_but_other_numbers(variant: str) -> None:
    own, ported = (CASES[f"mobilenet:{dialect}/{variant}"] for dialect in ("timm", "timm-tf"))
    assert [own["digest"], own["gain"], own["size"]] == [ported["digest"], ported["gain"], ported["size"]]
    first, second = np.array(own["output"]), np.array(ported["output"])
    assert np.abs(first - second).max() > 1e-2 * np.abs(first).max()


def test_epsilon_is_tensorflows_only_where_the_publisher_says_so() -> None:
    assert epsilons("mobilenetv2-100", "torchvision") == epsilons(V3, "timm") == {1e-5}
    assert epsilons(V3, "torchvision") == epsilons("mobilenetv3-rw", "timm") == {1e-3}


def test_the_layer_behind_the_average_is_dense_for_torchvision_and_a_convolution_for_timm() -> None:
    assert architectures.build(V3, "torchvision").params["classifier.0.weight"].shape == (1280, 960)
    assert architectures.build(V3, "timm").params["conv_head.weight"].shape == (1280, 960, 1, 1)


def test_mobilenet_1_adds_no_input_and_has_an_activation_behind_each_convolution() -> None:
    ops = [node.op for node in architectures.build("mobilenetv1-100", "timm").nodes]
    assert "Add" not in ops
    assert ops.count("Clip") == ops.count("Conv") == 27
