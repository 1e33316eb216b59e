"""ShuffleNet V2 (Ma et al., arXiv:1807.11164): units that work on half of the channels and interleave the halves.

torchvision (models/shufflenetv2.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.net import TORCH, Net
from zoo.graph import Graph

VARIANTS: Mapping[str, tuple[int, int]] = {
    "shufflenet-v2-x0-5": (48, 1024),
    "shufflenet-v2-x1-0": (116, 1024),
    "shufflenet-v2-x1-5": (176, 1024),
    "shufflenet-v2-x2-0": (244, 2048),
}
"""Channels of the first stage, which double twice, and of the last convolution."""
REPEATS = (4, 8, 4)
PUBLISHED: Mapping[str, Sequence[str]] = {"torchvision": tuple(VARIANTS)}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    size = size or 224
    net = Net(TORCH)
    channels, last = VARIANTS[variant]
    value = _conv(net, "image", "conv1", 0, 24, 3, 2)
    value = net.max_pool(value, "maxpool", 3, 2, pad=1)
    side = ((size + 1) // 2 + 1) // 2
    for stage, repeats in enumerate(REPEATS):
        side = (side + 1) // 2
        for unit in range(repeats):
            value = _unit(net, value, f"stage{stage + 2}.{unit}", channels << stage, 1 if unit else 2, side)
    value = net.global_pool(_conv(net, value, "conv5", 0, last), "mean")
    return net.graph(variant, net.linear(net.flatten(value, "flatten"), "fc", classes), size)


def _unit(net: Net, value: str, name: str, channels: int, stride: int, side: int) -> str:
    """Returns what a unit makes of a value: a map of `side` rows and columns."""
    half = channels // 2
    if stride == 1:
        first = net.node("Slice", f"{name}.chunk1", value, channels=half, starts=[0], ends=[half], axes=[1])
        value = net.node("Slice", f"{name}.chunk2", value, channels=half, starts=[half], ends=[channels], axes=[1])
    else:
        first = net.norm(net.conv(value, f"{name}.branch1.0", net.channels[value], 3, 2, pad=1,
                                  groups=net.channels[value]), f"{name}.branch1.1")  # fmt: skip
        first = _conv(net, first, f"{name}.branch1", 2, half)
    second = _conv(net, value, f"{name}.branch2", 0, half)
    second = net.conv(second, f"{name}.branch2.3", half, 3, stride, pad=1, groups=half)
    second = _conv(net, net.norm(second, f"{name}.branch2.4"), f"{name}.branch2", 5, half)
    return _shuffle(net, net.concat(f"{name}.cat", first, second), f"{name}.shuffle", side)


def _conv(net: Net, value: str, name: str, index: int, out: int, kernel: int = 1, stride: int = 1) -> str:
    """Convolution, normalisation and activation that stand at `index` of a sequence."""
    value = net.norm(net.conv(value, f"{name}.{index}", out, kernel, stride, pad=kernel // 2), f"{name}.{index + 1}")
    return net.act(value, f"{name}.{index + 2}", "relu")


def _shuffle(net: Net, value: str, name: str, side: int) -> str:
    """Interleaves the two halves of the channels."""
    channels = net.channels[value]
    value = net.node("Reshape", f"{name}.split", value, shape=[0, 2, channels // 2, side, side])
    value = net.node("Transpose", f"{name}.swap", value, perm=[0, 2, 1, 3, 4])
    return net.node("Reshape", name, value, shape=[0, channels, side, side])
