"""DenseNet with bottlenecks (Huang et al., arXiv:1608.06993): each layer takes all maps before it in its block.

- torchvision (models/densenet.py). Its files have names from before its modules were renamed (`denselayer1.norm.1`);
  either are taken, in all dialects.
- timm (models/densenet.py) has the same names and numbers, and variants with a stem of three convolutions (`d`) and
  with a filter behind the stem's pool (`blur`).
- ibn-net (XingangPan/IBN-Net ibnnet/densenet_ibn.py): in every third layer of all blocks but the last, the last two
  fifths of the input are normalised by each image's own statistics. Its average over 7x7 is here one over all of a map.
- pretrainedmodels (torchvision_models.py) publishes torchvision's weights with `classifier` in their names; what is
  saved from its module has `last_linear`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zoo.architectures.net import TORCH, Net
from zoo.errors import UsageError
from zoo.graph import Graph


class Variant(NamedTuple):
    """A network: channels that a layer adds, layers per block, and the stem."""

    growth: int
    layers: tuple[int, ...]
    deep: bool = False
    blur: bool = False
    mixed: bool = False
    """Whether some inputs are normalised as IBN-Net does."""


VARIANTS: Mapping[str, Variant] = {
    "densenet121": Variant(32, (6, 12, 24, 16)),
    "densenet161": Variant(48, (6, 12, 36, 24)),
    "densenet169": Variant(32, (6, 12, 32, 32)),
    "densenet201": Variant(32, (6, 12, 48, 32)),
    "densenet264d": Variant(48, (6, 12, 64, 48), deep=True),
    "densenetblur121d": Variant(32, (6, 12, 24, 16), deep=True, blur=True),
    "densenet121-ibn-a": Variant(32, (6, 12, 24, 16), mixed=True),
    "densenet169-ibn-a": Variant(32, (6, 12, 32, 32), mixed=True),
}
_MIXED = tuple(name for name, variant in VARIANTS.items() if variant.mixed)
_TIMM = tuple(name for name in VARIANTS if name not in _MIXED)
_PLAIN = tuple(name for name in _TIMM if not VARIANTS[name].deep)
PUBLISHED: Mapping[str, Sequence[str]] = {
    "torchvision": _PLAIN,
    "timm": _TIMM,
    "pretrainedmodels": _PLAIN,
    "ibn-net": _MIXED,
}
TIMM = {name: (name, "timm") for name in _TIMM}
BOTTLENECK = 4
"""Channels between a layer's two convolutions, times those it adds."""
BY_INSTANCE = 0.4
"""Share of the channels that IBN-Net normalises by instance."""
_OLDER = (re.compile(r"(\.denselayer\d+\.(?:norm|conv))([12]\.)"), r"\1.\2")


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    size = size or 224
    if dialect == "pretrainedmodels" and size // 32 != 7:
        raise UsageError(f"pretrainedmodels' {variant}: size={size}; expected 224 to 255, for its average over 7x7")
    spec = VARIANTS[variant]
    net = Net(TORCH)
    value = _stem(net, spec)
    for block, layers in enumerate(spec.layers, 1):
        for layer in range(1, layers + 1):
            mixed = spec.mixed and block < len(spec.layers) and layer % 3 == 1
            value = _layer(net, value, f"features.denseblock{block}.denselayer{layer}", spec.growth, mixed=mixed)
        if block < len(spec.layers):
            value = _transition(net, value, f"features.transition{block}")
    value = _norm(net, value, "features.norm5")
    value = net.flatten(net.global_pool(value, "global_pool"), "flatten")
    head = "last_linear" if dialect == "pretrainedmodels" else "classifier"
    value = net.linear(value, head, classes)
    older = {re.sub(*_OLDER, name): name for name in net.params}
    renamed = {before: name for before, name in older.items() if before != name}
    return net.graph(variant, value, size, renamed=renamed)


def _norm(net: Net, value: str, name: str, *, mixed: bool = False) -> str:
    if mixed:
        first = int(net.channels[value] * (1 - BY_INSTANCE))
        normed = net.mixed_norm(value, name, ("BN", first), ("IN", net.channels[value] - first))
    else:
        normed = net.norm(value, name)
    return net.act(normed, f"{name}.act", "relu")


def _stem(net: Net, spec: Variant) -> str:
    value = "image"
    convolutions = ((7, 2),) if not spec.deep else ((3, 2), (3, 1), (3, 1))  # kernel and stride
    for index, (kernel, stride) in enumerate(convolutions):
        last = index == len(convolutions) - 1
        channels = spec.growth * 2 if last else spec.growth
        value = net.conv(value, f"features.conv{index}", channels, kernel, stride, pad=kernel // 2)
        value = _norm(net, value, f"features.norm{index}")
    if spec.blur:
        return net.blur_pool(net.max_pool(value, "features.pool0.0", 3, 1, pad=1), "features.pool0.1")
    return net.max_pool(value, "features.pool0", 3, 2, pad=1)


def _layer(net: Net, value: str, name: str, growth: int, *, mixed: bool = False) -> str:
    """Returns a value and, behind it, the channels that a layer makes of it."""
    new = net.conv(_norm(net, value, f"{name}.norm1", mixed=mixed), f"{name}.conv1", BOTTLENECK * growth)
    new = net.conv(_norm(net, new, f"{name}.norm2"), f"{name}.conv2", growth, 3)
    return net.concat(f"{name}.cat", value, new)


def _transition(net: Net, value: str, name: str) -> str:
    value = net.conv(_norm(net, value, f"{name}.norm"), f"{name}.conv", net.channels[value] // 2)
    return net.avg_pool(value, f"{name}.pool", 2, 2)
