"""ResNeSt (Zhang et al., arXiv:2004.08955): ResNet-D whose 3x3 convolutions give two maps, weighed channel by channel.

- timm (models/resnest.py).
- gluoncv (dmlc/gluon-cv gluoncv/model_zoo/resnest.py), where the first weights were published: the same networks.

Where a map gets smaller, an average over 3x3 behind the convolution does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from zoo.architectures import resnet
from zoo.architectures.net import GLUON, TORCH, Net
from zoo.architectures.resnet import Unit, convolved, joined, under
from zoo.architectures.resnet_tables import NAMES, Names, Variant
from zoo.graph import Graph


def _variant(depths: tuple[int, ...], stem: int, size: int) -> Variant:
    return Variant(depths, stem=(stem, stem, 2 * stem), averaged=True, size=size)


VARIANTS: Mapping[str, Variant] = {
    "resnest14d": _variant((1, 1, 1, 1), 32, 224),
    "resnest26d": _variant((2, 2, 2, 2), 32, 224),
    "resnest50d": _variant((3, 4, 6, 3), 32, 224),
    "resnest101e": _variant((3, 4, 23, 3), 64, 256),
    "resnest200e": _variant((3, 24, 36, 3), 64, 320),
    "resnest269e": _variant((3, 30, 48, 8), 64, 416),
}
PUBLISHED: Mapping[str, Sequence[str]] = dict.fromkeys(("timm", "gluoncv"), tuple(VARIANTS))
TIMM = {name: (name, "timm") for name in VARIANTS}
_DROPPING = ("resnest200e", "resnest269e")
"""Of GluonCV's those that drop a fifth of the features while training."""
RADIX = 2
"""Maps that a unit makes."""
REDUCTION, LEAST = 4, 32
"""By what their channels are more than those that weigh them, and how many of these there are at least."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    numbers, gluon = VARIANTS[variant], dialect == "gluoncv"
    names = replace(NAMES["timm"]["resnet50d"], se=("", "bn" if gluon else "bn0", ""))
    net = Net(GLUON if gluon else TORCH)
    value = resnet.features(net, numbers, names, _split)
    value = net.flatten(net.global_pool(value, "global_pool.pool"), "global_pool.flatten")
    if gluon and variant in _DROPPING:
        value = net.dropout(value, "drop", 0.2)
    return net.graph(variant, net.linear(value, "fc", classes), size or numbers.size)


def _split(net: Net, numbers: Variant, names: Names, value: str, unit: Unit) -> str:
    """A block: 1x1, the split attention, the average where it has a stride, 1x1; the sum."""
    inside = unit.channels[1]
    result = convolved(net, numbers, value, under(unit.prefix, names.layers[0]), inside)
    result = _attended(net, result, f"{unit.prefix}conv2", inside, names.se[1])
    if unit.stride > 1:
        result = net.avg_pool(result, f"{unit.prefix}avd_last", 3, unit.stride, pad=1)
    result = convolved(net, numbers, result, under(unit.prefix, names.layers[2]), unit.channels[2], act=False)
    return joined(net, numbers, names, value, result, unit)


def _attended(net: Net, value: str, name: str, out: int, norm: str) -> str:
    value = net.conv(value, f"{name}.conv", RADIX * out, 3, groups=RADIX)
    value = net.act(net.norm(value, f"{name}.{norm}"), f"{name}.act0", "relu")
    maps = net.split(value, f"{name}.split", *(out,) * RADIX)
    weights = net.global_pool(net.add(f"{name}.sum", *maps), f"{name}.pool")
    weights = net.conv(weights, f"{name}.fc1", max(RADIX * out // REDUCTION, LEAST), bias=True)
    weights = net.act(net.norm(weights, f"{name}.bn1"), f"{name}.act1", "relu")
    return weighed(net, maps, net.conv(weights, f"{name}.fc2", RADIX * out, bias=True), name)


def weighed(net: Net, maps: Sequence[str], weights: str, name: str) -> str:
    """The sum of maps, each channel weighed by the softmax over the maps of `weights`, (N, maps * C, 1, 1)."""
    count, out = len(maps), net.channels[maps[0]]
    weights = net.node("Reshape", f"{name}.rows", weights, shape=[0, count, out])
    weights = net.node("Softmax", f"{name}.rsoftmax", weights, axis=1)
    weights = net.node("Reshape", f"{name}.weights", weights, channels=count * out, shape=[0, count * out, 1, 1])
    parts = net.split(weights, f"{name}.weights.split", *(out,) * count)
    weighed = [net.node("Mul", f"{name}.weighed.{i}", a, b) for i, (a, b) in enumerate(zip(maps, parts, strict=True))]
    return net.add(f"{name}.out", *weighed)
