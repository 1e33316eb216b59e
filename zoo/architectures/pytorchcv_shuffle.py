"""pytorchcv's ShuffleNet 1 (arXiv:1707.01083) and 2 (arXiv:1807.11164), and MENet (arXiv:1803.09127).

Names and numbers are those of osmr/pytorchcv pytorchcv/models/shufflenet.py, shufflenetv2.py, shufflenetv2b.py and
menet.py. `shufflenetv2b` is what torchvision publishes, but for what of a unit takes its input and where the channels
go; `shufflenetv2` pools in the stem without padding, rounding up. `g` is the number of groups, `w` the width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from zoo.architectures.net import TORCH, Net
from zoo.architectures.pytorchcv import STEM, depthwise, graph, layer, shuffled, units
from zoo.graph import Graph

FIRST = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
"""ShuffleNet's groups -> channels of the first stage, which double twice."""
V2 = {"wd2": (48, 1024), "w1": (116, 1024), "w3d2": (176, 1553), "w2": (244, 2153)}
"""The same of ShuffleNet 2 by width, and channels of the last convolution."""
WIDTHS = {"wd4": 0.25, "wd2": 0.5, "w3d4": 0.75, "w1": 1.0}
REPEATS = (4, 8, 4)
ME_STEM = {108: 12, 128: 12, 160: 16, 228: 24, 256: 24, 348: 24, 352: 24, 456: 48}
"""MENet's channels of the first stage -> channels of its stem."""

_V2 = tuple(f"shufflenetv2{kind}-{width}" for kind in ("", "b") for width in V2)
_MENETS = "108-8x1-g3 128-8x1-g4 160-8x1-g8 228-12x1-g3 256-12x1-g4 348-12x1-g3 352-12x1-g8 456-24x1-g3"
PUBLISHED: Mapping[str, Sequence[str]] = {
    "pytorchcv": (
        *(f"shufflenet-g{groups}-{width}" for width in ("wd4", "wd2", "w3d4") for groups in (1, 3)),
        *(f"shufflenet-g{groups}-w1" for groups in FIRST),
        *_V2,
        *(f"menet{size}" for size in _MENETS.split()),
    )
}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    net, size = Net(TORCH), size or 224
    if variant in _V2:
        return graph(net, variant, _v2(net, variant, size), classes, size)
    numbers = [int(number) for number in re.findall(r"\d+", variant)]
    side_channels = 0
    if variant.startswith("menet"):
        first, side_channels, groups = numbers[0], numbers[1], numbers[3]
        stem, width = ME_STEM[first], 1.0
    else:
        groups, width = numbers[0], WIDTHS[variant.rpartition("-")[2]]
        stem, first = int(24 * width), FIRST[groups]
    value = net.max_pool(layer(net, "image", STEM, stem, 3, 2), f"{STEM}.pool", 3, 2, pad=1)
    side = -(-size // 4)
    for stage, unit, _, name in units([(0,) * repeats for repeats in REPEATS]):
        channels, ungrouped = int((first << stage - 1) * width), stage == unit == 1
        value = _unit(net, value, name, channels, groups, side, side_channels, down=unit == 1, ungrouped=ungrouped)
        side = -(-side // 2) if unit == 1 else side
    return graph(net, variant, value, classes, size)


def _unit(
    net: Net, value: str, name: str, channels: int, groups: int, side: int, side_channels: int, *, down: bool,
    ungrouped: bool,
) -> str:  # fmt: skip
    """1x1, shuffle, depthwise 3x3, 1x1; MENet multiplies by what a branch of few channels makes of the first."""

    def normed(value: str, conv: str, norm: str, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> str:
        value = net.conv(value, f"{name}.{conv}", out, kernel, stride, groups=groups)
        return net.norm(value, f"{name}.{norm}")

    inside, stride, before = channels // 4, 2 if down else 1, value
    out = channels - net.channels[value] if down else channels
    value = normed(value, "compress_conv1", "compress_bn1", inside, groups=1 if ungrouped else groups)
    value = shuffled(net, net.act(value, f"{name}.activ1", "relu"), f"{name}.c_shuffle", groups, side)
    gate = ""
    if side_channels:
        gate = net.act(normed(value, "s_merge_conv", "s_merge_bn", side_channels), f"{name}.s_activ1", "relu")
    value = normed(value, "dw_conv2", "dw_bn2", inside, 3, stride, inside)
    if gate:
        gate = net.act(normed(gate, "s_conv", "s_conv_bn", side_channels, 3, stride), f"{name}.s_activ2", "relu")
        gate = net.act(normed(gate, "s_evolve_conv", "s_evolve_bn", inside), f"{name}.s_gate", "sigmoid")
        value = net.node("Mul", f"{name}.gated", value, gate)
    value = normed(value, "expand_conv3", "expand_bn3", out, groups=groups)
    if down:
        value = net.concat(f"{name}.cat", value, net.avg_pool(before, f"{name}.avgpool", 3, 2, pad=1))
    else:
        value = net.add(f"{name}.add", value, before)
    return net.act(value, f"{name}.activ", "relu")


def _v2(net: Net, variant: str, size: int) -> str:
    (first_channels, last), other = V2[variant.rpartition("-")[2]], variant.startswith("shufflenetv2b")
    value, side = layer(net, "image", f"{STEM}.conv", 24, 3, 2), -(-size // 2)
    value = net.max_pool(value, f"{STEM}.pool", 3, 2, pad=1 if other else "valid", ceil=not other)
    side = -(-side // 2) if other else -(-(side - 3) // 2) + 1
    for stage, unit, _, name in units([(0,) * repeats for repeats in REPEATS]):
        down, channels = unit == 1, first_channels << stage - 1
        side = -(-side // 2) if down else side
        half = net.channels[value] // 2
        if down:
            first = second = value
        else:
            first, second = net.split(value, f"{name}.chunk", half, half)
        first, second = (_halves_b if other else _halves)(net, name, first, second, channels, down=down)
        value = shuffled(net, net.concat(f"{name}.cat", first, second), f"{name}.c_shuffle", 2, side)
    return layer(net, value, "features.final_block", last)


def _halves(net: Net, name: str, first: str, second: str, channels: int, *, down: bool) -> tuple[str, str]:
    def normed(value: str, conv: str, norm: str, out: int, kernel: int = 1, *, act: bool = True) -> str:
        groups = out if kernel > 1 else 1
        value = net.conv(value, f"{name}.{conv}", out, kernel, 2 if down and kernel > 1 else 1, groups=groups)
        value = net.norm(value, f"{name}.{norm}")
        return net.act(value, f"{name}.{conv}.activ", "relu") if act else value

    half = channels // 2
    if down:
        first = normed(first, "dw_conv4", "dw_bn4", net.channels[first], 3, act=False)
        first = normed(first, "expand_conv5", "expand_bn5", half)
    second = normed(second, "compress_conv1", "compress_bn1", half)
    second = normed(second, "dw_conv2", "dw_bn2", half, 3, act=False)
    return first, normed(second, "expand_conv3", "expand_bn3", half)


def _halves_b(net: Net, name: str, first: str, second: str, channels: int, *, down: bool) -> tuple[str, str]:
    stride, out = 2 if down else 1, channels - net.channels[second]
    if down:
        first = depthwise(net, first, f"{name}.shortcut_dconv", stride=2, act="linear")
        first = layer(net, first, f"{name}.shortcut_conv", net.channels[first])
    second = layer(net, second, f"{name}.conv1", channels // 2)
    second = depthwise(net, second, f"{name}.dconv", stride=stride, act="linear")
    return first, layer(net, second, f"{name}.conv2", out)
