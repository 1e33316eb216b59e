"""SKNet (Li et al., arXiv:1903.06586): ResNets with two 3x3 convolutions in place of one, weighed per channel.

Source: timm (models/sknet.py, layers/selective_kernel.py), where each of the two takes half of the input, except in the
ResNeXt, which is the paper's. The second is dilated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zoo.architectures import resnet
from zoo.architectures.net import TORCH, Net, scaled
from zoo.architectures.resnest import weighed
from zoo.architectures.resnet import Unit, joined
from zoo.architectures.resnet_tables import NAMES, Names, Variant, of_depth
from zoo.graph import Graph


class Selection(NamedTuple):
    """How two convolutions are weighed: channels of what weighs, for one of theirs, and what they are a multiple of."""

    ratio: float
    divisor: int
    split: bool = True
    """Whether each of the two convolutions takes half of the input."""


VARIANTS: Mapping[str, tuple[Variant, Selection]] = {
    "skresnet18": (of_depth(18), Selection(1 / 8, 16)),
    "skresnet34": (of_depth(34), Selection(1 / 8, 16)),
    "skresnet50": (of_depth(50), Selection(1 / 16, 8)),
    "skresnet50d": (of_depth(50, "d"), Selection(1 / 16, 8)),
    "skresnext50-32x4d": (of_depth(50, groups=32, width=4), Selection(1 / 16, 32, split=False)),
}
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}
DILATIONS = (1, 2)
"""Of the two 3x3 convolutions."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    numbers, selection = VARIANTS[variant]
    names, net = NAMES["timm"]["resnet50"], Net(TORCH)

    def block(net: Net, numbers: Variant, names: Names, value: str, unit: Unit) -> str:
        result, last = value, len(unit.kernels) - 1
        for index, (kernel, out) in enumerate(zip(unit.kernels, unit.channels, strict=True)):
            name = f"{unit.prefix}conv{index + 1}"
            if kernel == 3 and index < 2 and index != last:
                result = _selected(net, result, name, out, unit.stride, numbers.groups, selection)
            else:
                result = _layer(net, result, name, out, kernel, act=index < last)
        return joined(net, numbers, names, value, result, unit)

    value = resnet.features(net, numbers, names, block)
    return net.graph(variant, resnet.head(net, names, value, classes), size or numbers.size)


def _selected(net: Net, value: str, name: str, out: int, stride: int, groups: int, selection: Selection) -> str:
    inputs: Sequence[str] = (value,) * len(DILATIONS)
    if selection.split:
        inputs = net.split(value, f"{name}.split", *(net.channels[value] // len(DILATIONS),) * len(DILATIONS))
    maps = [
        _layer(net, part, f"{name}.paths.{index}", out, 3, stride, groups=groups, dilation=dilation)
        for index, (part, dilation) in enumerate(zip(inputs, DILATIONS, strict=True))
    ]
    weights = net.global_pool(net.add(f"{name}.sum", *maps), f"{name}.attn.pool")
    weights = net.conv(weights, f"{name}.attn.fc_reduce", scaled(out, selection.ratio, divisor=selection.divisor))
    weights = net.act(net.norm(weights, f"{name}.attn.bn"), f"{name}.attn.act", "relu")
    weights = net.conv(weights, f"{name}.attn.fc_select", out * len(DILATIONS))
    return weighed(net, maps, weights, f"{name}.attn")


def _layer(
    net: Net, value: str, name: str, out: int, kernel: int, stride: int = 1, *, groups: int = 1, dilation: int = 1,
    act: bool = True,
) -> str:  # fmt: skip
    """Convolution, batch normalisation, ReLU."""
    value = net.conv(value, f"{name}.conv", out, kernel, stride, groups=groups, dilation=dilation)
    value = net.norm(value, f"{name}.bn")
    return net.act(value, f"{name}.bn.act", "relu") if act else value
