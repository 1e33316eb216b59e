"""ResNets of PyTorch's publishers (He et al., arXiv:1512.03385) and what grew from them: ResNeXt, wide, squeeze-and-
excitation, efficient channel attention, anti-aliased, ResNet-RS. Tables and their sources: `resnet_tables.py`.

Where a bottleneck has its stride is a number of a variant (`strided`), which names and shapes do not show; neither do
they show how a map is halved (`blur`). Dialects differ in names, and in pretrainedmodels' ports also in the head:

- torchvision, timm: the same numbers for the same variant.
- pretrainedmodels: `fbresnet152` (RGB) and `cafferesnet101` (BGR, 0..255 less a mean) are ports from Torch and Caffe,
  the two ResNeXt from Torch; all four average a window of 7x7. Its files of resnet18 to resnet152 are torchvision's
  own: read those in that dialect. A network it has loaded and saved again has another name for the classifier.
- ibn-net (XingangPan/IBN-Net ibnnet): half of what a block's first convolution gives is normalised by each image's own
  statistics, in all stages but the last. Its average over 7x7 is here one over a map of any size.

`features` takes another block, for families that have the rest in common.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from zoo.architectures.net import Net
from zoo.architectures.resnet_tables import NAMES, TIMM_VARIANTS, VARIANTS, Layer, Names, Variant
from zoo.errors import UsageError
from zoo.graph import Graph
from zoo.shapes import infer_all

PUBLISHED: Mapping[str, Sequence[str]] = {dialect: tuple(names) for dialect, names in NAMES.items()}
TIMM = {name.replace("-", "_"): (name, "timm") for name in TIMM_VARIANTS}


class Unit(NamedTuple):
    """Where a block stands in its network, and what its convolutions have."""

    prefix: str
    """Of the names of its layers."""
    stride: int
    kernels: tuple[int, ...]
    channels: tuple[int, ...]
    """Of each convolution's result."""
    stage_channels: int
    """Of the result before anything was pruned."""
    widened: bool = False
    """Whether that is another number than the input had before anything was pruned."""
    stage: int = 0
    """Counted from 0."""


class Block(Protocol):
    """What makes a block: its input -> its output."""

    def __call__(self, net: Net, numbers: Variant, names: Names, value: str, unit: Unit) -> str: ...


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    numbers, names = VARIANTS[variant], NAMES[dialect][variant]
    net = Net()
    size = size or numbers.size
    value = features(net, numbers, names)
    if not names.whole_map:
        rows = infer_all(net.graph(variant, value, size))[value][2]
        if rows != 7:
            raise UsageError(f"pretrainedmodels' {variant}: size={size} leaves {rows} rows, expected 7; use size=224")
    return net.graph(variant, head(net, names, value, classes), size)


def features(net: Net, numbers: Variant, names: Names, block: Block | None = None) -> str:
    """Adds stem and stages to a network that has only its input; returns the last stage's value."""
    value = _stem(net, numbers, names)
    for stage, depth in enumerate(numbers.depths):
        for index in range(depth):
            unit = Unit(
                names.block.format(stage=stage + 1, child=stage + 4, unit=index),
                2 if stage and not index else 1,
                numbers.blocks[stage],
                _channels(numbers, stage, index),
                numbers.channels[stage] * (1 if len(numbers.blocks[stage]) == 2 else 4),
                bool(numbers.pruned) and not index and len(numbers.blocks[stage]) == 3,
                stage,
            )
            value = (block or residual)(net, numbers, names, value, unit)
    return value


def head(net: Net, names: Names, value: str, classes: int) -> str:
    """Average over the map, and the classifier."""
    pool, flatten, classifier = names.head
    return net.linear(net.flatten(net.global_pool(value, pool), flatten), classifier, classes)


def residual(net: Net, numbers: Variant, names: Names, value: str, unit: Unit) -> str:
    """A block: a branch of two or three convolutions, added to its input."""
    strided = numbers.strided if len(unit.kernels) == 3 else 0
    blurred = bool(numbers.blur) and unit.stride == 2
    last = len(unit.kernels) - 1
    result = value
    for index, (kernel, channels) in enumerate(zip(unit.kernels, unit.channels, strict=True)):
        layer = under(unit.prefix, names.layers[index])
        stride = unit.stride if index == strided and not blurred else 1
        groups = numbers.groups if kernel == 3 else 1
        mixed = index == 0 and unit.stage < numbers.mixed
        result = convolved(
            net, numbers, result, layer, channels, kernel, stride, groups=groups, act=index < last, mixed=mixed
        )
        if index == strided and blurred:
            result = _blurred(net, numbers, result, unit.prefix + names.blur)
    return joined(net, numbers, names, value, result, unit)


def joined(net: Net, numbers: Variant, names: Names, value: str, result: str, unit: Unit) -> str:
    """What follows a block's convolutions: attention, the sum with the input, the activation."""
    if numbers.attention == "se":
        gate, reduce, expand = (unit.prefix + name for name in names.se)
        squeezed, dense = max(8, unit.stage_channels // numbers.squeeze), names.dense_se
        result = net.squeeze_excite(result, gate, reduce, expand, squeezed, bias=not dense, dense=dense)
    elif numbers.attention == "eca":
        result = net.eca(result, unit.prefix + names.se[0], eca_kernel(unit.stage_channels))
    shortcut = _shortcut(net, numbers, names, value, net.channels[result], unit)
    # The shortcut comes first: Keras follows first inputs by recursion, and by way of the branches the networks of 200
    # layers and more are deeper than Python allows.
    result = net.add(unit.prefix + names.add, shortcut, result)
    return net.act(result, unit.prefix + names.layers[len(unit.kernels) - 1][2], "relu")


def convolved(
    net: Net, numbers: Variant, value: str, layer: Layer, out: int, kernel: int = 1, stride: int = 1, *,
    groups: int = 1, act: bool = True, mixed: bool = False,
) -> str:  # fmt: skip
    """Convolution, normalisation, and a ReLU where `act` says so; `mixed`: half is normalised as IBN-Net does."""
    conv, norm, relu = layer
    value = net.conv(value, conv, out, kernel, stride, groups=groups, bias=numbers.bias)
    if mixed:
        value = net.mixed_norm(value, norm, ("IN", out // 2), ("BN", out - out // 2))
    else:
        value = net.group_norm(value, norm) if numbers.norm == "group" else net.norm(value, norm)
    return net.act(value, relu, "relu") if act else value


def under(prefix: str, layer: Layer) -> Layer:
    """Returns a layer's names behind a prefix."""
    conv, norm, act = layer
    return prefix + conv, prefix + norm, prefix + act


def _stem(net: Net, numbers: Variant, names: Names) -> str:
    value = "image"
    if len(numbers.stem) == 1:
        value = convolved(net, numbers, value, names.stem, numbers.stem[0], 7, 2)
    else:
        for index, (layer, channels) in enumerate(zip(names.deep_stem, numbers.stem, strict=True)):
            value = convolved(net, numbers, value, layer, channels, 3, 1 if index else 2)
    if numbers.stem_pool == "conv":
        return convolved(net, numbers, value, names.stem_conv, net.channels[value], 3, 2)
    if numbers.blur == "average":
        return _blurred(net, numbers, value, names.pool)
    if numbers.blur:
        return _blurred(net, numbers, net.max_pool(value, f"{names.pool}.0", 3, 1, pad=1), f"{names.pool}.1")
    ceil = numbers.stem_pool == "ceil"
    return net.max_pool(value, names.pool, 3, 2, pad="valid" if ceil else 1, ceil=ceil)


def _blurred(net: Net, numbers: Variant, value: str, name: str) -> str:
    """Half the rows and columns."""
    return net.avg_pool(value, name, 2, 2) if numbers.blur == "average" else net.blur_pool(value, name)


def _shortcut(net: Net, numbers: Variant, names: Names, value: str, out: int, unit: Unit) -> str:
    """The input as it is added: itself, or convolved where its shape is another."""
    if unit.stride == 1 and net.channels[value] == out and not unit.widened:
        return value
    if not numbers.averaged:
        kernel = 1 if unit.stride == 1 else numbers.shortcut
        layer = under(unit.prefix, (*names.shortcut, ""))
        return convolved(net, numbers, value, layer, out, kernel, unit.stride, act=False)
    pool, conv, norm = names.averaged
    if unit.stride > 1:
        value = net.avg_pool(value, unit.prefix + pool, 2, unit.stride, ceil=True, include_pad=False)
    return convolved(net, numbers, value, under(unit.prefix, (conv, norm, "")), out, act=False)


def _channels(numbers: Variant, stage: int, index: int) -> tuple[int, ...]:
    """Of the results of a block's convolutions."""
    channels = numbers.channels[stage]
    if numbers.pruned:
        return (*numbers.pruned[stage][index], numbers.left[stage])
    if len(numbers.blocks[stage]) == 2:
        return channels, channels
    inside = channels * numbers.width // 64 * numbers.groups
    return inside // numbers.narrower, inside, channels * 4


def eca_kernel(channels: int) -> int:
    """The paper's rule (arXiv:1910.03151): as long as the logarithm says, and odd."""
    length = int((math.log2(channels) + 1) / 2)
    return max(length if length % 2 else length + 1, 3)
