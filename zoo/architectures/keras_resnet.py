"""ResNeXts of the old keras_applications, and ResNets that cnn_finetune collected.

- keras (keras-team/keras-applications keras_applications/resnet_common.py @06fbeb0f; Keras 3 has none): ResNeXts whose
  grouped convolution is a depthwise one that makes as many maps of a channel as a group has, and a 1x1 convolution of
  ones (`..._2_gconv`) that adds up a group's. Here both are one grouped convolution of the same numbers.
- cnn-finetune (flyyufelix/cnn_finetune resnet_101.py, resnet_152.py @cba34398): Kaiming He's networks as Caffe has
  them, a factor and an offset (Scale) behind each normalisation, the stride in a block's first convolution. The stem's
  pool has no padding and rounds down, where Caffe's rounds up. Files of TensorFlow's layout are meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from zoo.architectures.net import KERAS, Net
from zoo.errors import FormatError
from zoo.formats.keras import match
from zoo.graph import Graph, Param

BLOCKS: Mapping[str, tuple[int, int, int, int]] = {
    "resnext50-32x4d": (3, 4, 6, 3),
    "resnext101-32x4d": (3, 4, 23, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
PUBLISHED: Mapping[str, Sequence[str]] = {
    "keras": ("resnext50-32x4d", "resnext101-32x4d"),
    "cnn-finetune": ("resnet101", "resnet152"),
}
GROUPS = 32
_EPSILONS = {"keras": 1.001e-5, "cnn-finetune": 1.1e-5}
_IGNORED = {"*_2_gconv/*": "adds up what a depthwise convolution makes of a group, which a grouped one does by itself"}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only; it ends in logits."""
    grouped = dialect == "keras"
    # Both pad by hand, as much on both sides.
    net = Net(replace(KERAS, same=False, epsilon=_EPSILONS[dialect]))
    value = _stem(net) if grouped else _normed(net, net.conv("image", "conv1", 64, 7, 2), "_conv1", "conv1_relu")
    value = net.max_pool(value, "pool1_pool" if grouped else "pool1", 3, 2, pad=1 if grouped else "valid")
    for stage, blocks in enumerate(BLOCKS[variant], 2):
        for block in range(blocks):
            stride = 2 if stage > 2 and not block else 1
            if grouped:
                value = _grouped(net, value, f"conv{stage}_block{block + 1}", 128 << (stage - 2), stride, not block)
            else:
                letter = "abc"[block] if blocks < 4 else f"b{block}" if block else "a"
                value = _plain(net, value, f"{stage}{letter}", 64 << (stage - 2), stride, not block)
    value = net.flatten(net.global_pool(value, "avg_pool"), "flatten")
    value = net.linear(value, "probs" if grouped else "fc1000", classes)
    return net.graph(variant, value, size or 224, ignored=_IGNORED if grouped else None)


def named(graph: Graph, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns a file's arrays under the names of a Graph of this module.

    Raises:
        FormatError: a `..._2_gconv` does anything else than add up a group's maps.
    """
    found = match.named(graph, arrays)
    for key, array in found.items():
        layer = key.partition("/")[0]
        if layer.endswith("_2_gconv") and array.ndim == 4 and not _adds_up(array[0, 0]):
            raise FormatError(
                f"{graph.name}: {layer} was trained, and does more than add up a group's maps; expected the publisher's"
                " file or one trained from it with that layer frozen, as the publisher's code has it"
            )
    return found


def _adds_up(kernel: np.ndarray) -> bool:
    """Whether a matrix (maps of all channels, channels) is 1 where a group's maps of one kind are, and 0 elsewhere."""
    maps, channels = kernel.shape
    own = maps // max(channels, 1)
    if maps != channels * own or np.count_nonzero(kernel) != maps:
        return False
    channel, kind = np.divmod(np.arange(maps), max(own, 1))
    return bool((kernel[np.arange(maps), channel // own * own + kind] == 1).all())


def _stem(net: Net) -> str:
    return net.act(net.norm(net.conv("image", "conv1_conv", 64, 7, 2), "conv1_bn"), "conv1_relu", "relu")


def _grouped(net: Net, before: str, name: str, inner: int, stride: int, first: bool) -> str:
    shortcut = before
    if first:
        shortcut = net.norm(net.conv(before, f"{name}_0_conv", 2 * inner, 1, stride), f"{name}_0_bn")
    value = net.norm(net.conv(before, f"{name}_1_conv", inner), f"{name}_1_bn")
    value = net.act(value, f"{name}_1_relu", "relu")
    kernel = f"{name}_2_conv/depthwise_kernel"
    value = net.conv(value, f"{name}_2_conv", inner, 3, stride, groups=GROUPS, weights=kernel)
    net.params[kernel] = Param((inner, inner // GROUPS, 3, 3), f"HWG{GROUPS}")
    value = net.act(net.norm(value, f"{name}_2_bn"), f"{name}_2_relu", "relu")
    value = net.norm(net.conv(value, f"{name}_3_conv", 2 * inner), f"{name}_3_bn")
    return net.act(net.add(f"{name}_add", shortcut, value), f"{name}_out", "relu")


def _plain(net: Net, before: str, name: str, inner: int, stride: int, first: bool) -> str:
    shortcut = before
    if first:
        shortcut = net.conv(before, f"res{name}_branch1", 4 * inner, 1, stride)
        shortcut = _normed(net, shortcut, f"{name}_branch1")
    value = net.conv(before, f"res{name}_branch2a", inner, 1, stride)
    value = _normed(net, value, f"{name}_branch2a", f"res{name}_branch2a_relu")
    value = net.conv(value, f"res{name}_branch2b", inner, 3)
    value = _normed(net, value, f"{name}_branch2b", f"res{name}_branch2b_relu")
    value = _normed(net, net.conv(value, f"res{name}_branch2c", 4 * inner), f"{name}_branch2c")
    return net.act(net.add(f"res{name}", value, shortcut), f"res{name}_relu", "relu")


def _normed(net: Net, value: str, name: str, act: str = "") -> str:
    """Normalisation, factor and offset, ReLU if it has a name."""
    value = net.scale(net.norm(value, f"bn{name}"), f"scale{name}")
    return net.act(value, act, "relu") if act else value
