"""ResNets of TensorFlow 1 checkpoints, and ResNet v2: where their publishers put strides, names and normalisations."""

from __future__ import annotations

import numpy as np
import pytest

from zoo import architectures
from zoo.graph import Graph, Param


def nodes(variant: str, dialect: str, op: str) -> dict[str, dict[str, object]]:
    """Name -> attributes of a network's operations of one kind."""
    return {n.name: dict(n.attrs) for n in architectures.build(variant, dialect).nodes if n.op == op}


def strided(variant: str, dialect: str) -> list[str]:
    return [name for name, attrs in nodes(variant, dialect, "Conv").items() if attrs["strides"] == (2, 2)]


def trained(graph: Graph) -> int:
    kept = ("running_mean", "running_var", "moving_mean", "moving_variance")
    return sum(int(np.prod(param.shape)) for name, param in graph.params.items() if not name.endswith(kept))


def zeros(graph: Graph) -> dict[str, np.ndarray]:
    shapes = {name: param.shape_in_file for name, param in graph.params.items() if isinstance(param, Param)}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if shape is not None}


# ------------------------------------------------------------------------------------------------- as published


@pytest.mark.parametrize(
    ("variant", "dialect", "count"),
    [
        ("resnet50", "slim", 25_557_032),
        ("resnet50", "official", 25_557_032),
        ("resnetv2-50", "timm", 25_549_352),
        ("resnetv2-50x1-bit", "timm", 25_549_352),
    ],
)
def test_parameters_are_as_many_as_published(variant: str, dialect: str, count: int) -> None:
    assert trained(architectures.build(variant, dialect)) == count


@pytest.mark.parametrize(
    ("variant", "dialect", "names"),
    [
        (
            "resnet50",
            "slim",
            [f"resnet_v1_50/block{b}/unit_{u}/bottleneck_v1/conv2" for b, u in ((1, 3), (2, 4), (3, 6))],
        ),
        ("resnet50", "official", [f"resnet_model/conv2d_{i}" for i in (11, 13, 24, 26, 43, 45)]),
        ("resnetv2-50", "timm", [f"stages.{s}.blocks.0.{c}" for s in (1, 2, 3) for c in ("downsample.conv", "conv2")]),
    ],
)
def test_strides_stand_where_the_publisher_has_them(variant: str, dialect: str, names: list[str]) -> None:
    assert strided(variant, dialect)[1:] == names


def test_slims_strided_units_skip_every_second_pixel_of_the_shortcut() -> None:
    pools = nodes("resnetv2-101", "slim", "MaxPool")
    assert [attrs["kernel_shape"] for attrs in pools.values()] == [(3, 3), (1, 1), (1, 1), (1, 1)]


def test_only_slims_convolutions_without_a_normalisation_have_a_bias() -> None:
    biases = [name for name in architectures.build("resnetv2-50", "slim").params if name.endswith("/biases")]
    assert {name.split("/")[-2] for name in biases} == {"conv1", "conv3", "shortcut", "logits"}
    assert sum("conv1/" in name for name in biases) == 1
    assert [name for name in architectures.build("resnet50", "tpu").params if name.endswith("/bias")] == ["dense/bias"]


def test_layers_without_a_name_are_numbered_as_tensorflow_does() -> None:
    params = architectures.build("resnetrs50", "tpu").params
    assert list(params)[:6] == [
        "conv2d/kernel",
        "batch_normalization/gamma",
        "batch_normalization/beta",
        "batch_normalization/moving_mean",
        "batch_normalization/moving_variance",
        "conv2d_1/kernel",
    ]
    assert list(params)[-2:] == ["dense/kernel", "dense/bias"]


def test_the_dropout_of_a_resnetrs_follows_its_configurations() -> None:
    def rate(size: int | None) -> object:
        graph = architectures.build("resnetrs350", "tpu", size=size)
        return [node.attrs["ratio"] for node in graph.nodes if node.op == "Dropout"]

    assert rate(None) == [0.25]
    assert rate(320) == [0.4]


# ------------------------------------------------------------------------------------------------------ its files


def test_what_slims_files_hold_besides_is_told() -> None:
    graph = architectures.build("resnet50", "slim", classes=3)
    besides = {"global_step": np.zeros(()), "resnet_v1_50/mean_rgb": np.zeros(3, np.float32)}
    bound = graph.bind({**zeros(graph), **besides}, where="resnet_v1_50.ckpt")
    assert set(bound.unused) == set(besides)


def test_publisher_and_classes_are_read_off_a_checkpoint() -> None:
    arrays = zeros(architectures.build("resnetv2-50", "slim", classes=1001))
    graph = architectures.fit("resnetv2-50", arrays, where="resnet_v2_50.ckpt")
    assert graph.params["resnet_v2_50/logits/weights"].shape == (1001, 2048, 1, 1)


# ------------------------------------------------------------------------------------------- standardised kernels


def test_a_standardised_kernel_has_mean_0_and_variance_1_per_output() -> None:
    kernel = np.random.default_rng(0).normal(3, 2, (4, 8, 3, 3)).astype(np.float32)
    standard = Param(kernel.shape, standardize=1e-8).of(kernel)
    assert standard.dtype == np.float32
    assert np.allclose(standard.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    assert np.allclose(standard.std(axis=(1, 2, 3)), 1, atol=1e-6)


def test_the_spread_of_a_kernel_is_compared_with_the_epsilon() -> None:
    kernel = np.random.default_rng(0).normal(0, 1e-4, (1, 64, 3, 3))
    assert Param(kernel.shape, standardize=1e-8).of(kernel).std() == pytest.approx(1 / np.sqrt(2), rel=0.05)


def test_bit_standardises_all_its_kernels_but_the_classifiers() -> None:
    params = architectures.build("resnetv2-50x1-bit", "timm").params
    kernels = {name: param for name, param in params.items() if len(param.shape) == 4}
    plain = [name for name, param in kernels.items() if isinstance(param, Param) and param.standardize is None]
    assert plain == ["head.fc.weight"]
    assert {param.standardize for param in architectures.build("resnetv2-50d-gn", "timm").params.values()} == {None}
