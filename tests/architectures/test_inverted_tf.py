"""TensorFlow's checkpoints of MobileNets, EfficientNets, MnasNets and MixNets: their names, and what else they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_published import generated, shapes_in_file

from zoo import architectures
from zoo.convert import convert_files
from zoo.formats.options import Options
from zoo.graph import Graph

SHADOW = "/ExponentialMovingAverage"


def trained(graph: Graph) -> int:
    shapes = shapes_in_file(graph)
    return sum(int(np.prod(shape)) for name, shape in shapes.items() if "/moving_" not in name)


def kernels(variant: str, dialect: str, scope: str) -> list[str]:
    """Names of a scope's kernels in their order, the scope left out."""
    params = architectures.build(variant, dialect).params
    return [
        name.removeprefix(scope) for name in params if name.startswith(scope) and name.endswith(("kernel", "weights"))
    ]


@pytest.mark.parametrize(
    ("width", "millions"),  # published: tensorflow/tpu models/official/mnasnet/README.md
    [("140", 6.1), ("100", 3.9), ("075", 2.9), ("050", 2.1), ("035", 1.7)],
)
def test_mnasnets_have_as_many_parameters_as_published(width: str, millions: float) -> None:
    assert round(trained(architectures.build(f"semnasnet-{width}", "tpu")) / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("variant", "dialect", "classes", "parameters"),  # those that other publishers of the same network count
    [
        ("mobilenetv2-100", "slim", 1000, 3_504_872),
        ("mobilenetv3-large-100", "slim", 1000, 5_483_032),
        ("efficientnet-b0", "tpu", 1000, 5_288_548),
        ("efficientnet-lite0", "tpu", 1000, 4_652_008),
    ],
)
def test_parameters_are_as_many_as_in_the_ports(variant: str, dialect: str, classes: int, parameters: int) -> None:
    assert trained(architectures.build(variant, dialect, classes=classes)) == parameters


def test_slim_numbers_blocks_and_the_convolutions_beside_them_apart() -> None:
    names = kernels("mobilenetv3-small-100", "slim", "MobilenetV3/")
    assert names[:6] == [
        "Conv/weights",
        "expanded_conv/depthwise/depthwise_weights",
        "expanded_conv/squeeze_excite/Conv/weights",
        "expanded_conv/squeeze_excite/Conv_1/weights",
        "expanded_conv/project/weights",
        "expanded_conv_1/expand/weights",
    ]
    assert names[-3:] == ["Conv_1/weights", "Conv_2/weights", "Logits/Conv2d_1c_1x1/weights"]


def test_efficientnet_numbers_layers_in_their_block_and_mnasnet_throughout() -> None:
    assert kernels("efficientnet-b0", "tpu", "efficientnet-b0/blocks_1/") == [
        "conv2d/kernel",
        "depthwise_conv2d/depthwise_kernel",
        "se/conv2d/kernel",
        "se/conv2d_1/kernel",
        "conv2d_1/kernel",
    ]
    assert kernels("semnasnet-100", "tpu", "mnasnet-a1/mnas_net_model/mnas_blocks_5/") == [
        "conv2d_13/kernel",
        "depthwise_conv2d_5/depthwise_kernel",
        "se/conv2d_14/kernel",
        "se/conv2d_15/kernel",
        "conv2d_16/kernel",
    ]
    assert kernels("mixnet-s", "tpu", "mixnet-s/mixnet_model/stem/") == ["conv2d_78/kernel"]  # made behind the blocks


def test_slims_edgetpu_has_no_activation_behind_its_first_block_and_timms_has() -> None:
    activations = {
        dialect: [node.op for node in architectures.build("mobilenet-edgetpu-100", dialect).nodes].count("Relu")
        for dialect in ("slim", "timm")
    }
    assert activations["timm"] == activations["slim"] + 1


def test_the_small_mnasnet_of_tensorflow_adds_nothing_in_its_first_block() -> None:
    sums = {
        dialect: [node.op for node in architectures.build("mnasnet-small", dialect).nodes].count("Add")
        for dialect in ("tpu", "timm")
    }
    assert sums["timm"] == sums["tpu"] + 1


def test_the_last_convolution_keeps_its_channels_in_narrow_networks() -> None:
    for variant, channels in (("mobilenetv2-035", 1280), ("mobilenetv2-140", 1792), ("mobilenet-edgetpu-075", 1280)):
        params = architectures.build(variant, "slim").params
        (kernel,) = (param for name, param in params.items() if name.endswith("/Conv_1/weights"))
        assert kernel.shape[0] == channels


# ------------------------------------------------------------------------------------------------------- whole files


def test_a_checkpoint_of_training_is_converted_with_every_array_accounted_for(tmp_path: Path) -> None:
    expected = architectures.build("mobilenetv2-035", "slim", classes=1001)
    averages = generated.arrays(shapes_in_file(expected), 0.6)
    beside = {name: array + 1 for name, array in averages.items()}  # what the last step left, not its average
    shadows = {name + SHADOW: array for name, array in averages.items()}
    slots = {f"{name}/RMSProp": array * 0 for name, array in averages.items() if name.endswith("weights")}
    files = save(tmp_path, {**beside, **shadows, **slots, "global_step": np.array(500_000, np.int64)})

    model, graph = convert_files(
        files, format=None, architecture="mobilenetv2-035/slim", preprocessing=None, options=Options(), sandbox=False
    )

    assert model.output_shape == (None, 1001)
    assert set(graph.params) == set(averages)
    assert len(graph.unused) == len(beside) + len(slots) + 1
    for name, array in expected.bind(averages, where="generated.py").params.items():
        assert np.array_equal(graph.params[name], array)


def save(folder: Path, arrays: dict[str, np.ndarray]) -> list[Path]:
    """Writes a checkpoint with the operation that TensorFlow's Saver runs; returns index and data."""
    import tensorflow as tf

    prefix = folder / "model.ckpt"
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(array) for array in arrays.values()],
    )
    return [prefix.with_name("model.ckpt.index"), prefix.with_name("model.ckpt.data-00000-of-00001")]
