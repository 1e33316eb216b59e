"""DPN, dual path networks (Chen et al., arXiv:1707.01629): a block adds to some channels and appends others.

Source: timm (models/dpn.py) and pretrainedmodels (models/dpn.py), both ported from the authors' MXNet. All batch
normalisations have an epsilon of 1e-3.

- timm averages the last map.
- pretrainedmodels classifies each 7x7 window of the last map, and takes the mean of those answers' average and maximum
  (its "test time pool"); an input of 224 has one such window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from zoo.architectures.net import TORCH, Net
from zoo.errors import UsageError
from zoo.graph import Graph


@dataclass(frozen=True)
class Variant:
    """One network."""

    repeats: tuple[int, ...]
    """Blocks of each stage."""
    growth: tuple[int, ...]
    """Channels that a block of each stage appends."""
    stem: int
    inner: int
    """Channels inside the first stage's blocks; twice as many in each that follows."""
    groups: int
    small: bool = False
    """3x3 stem, and a quarter of the channels to add to."""
    apart: bool = False
    """Whether what is added and what is appended are convolutions of their own."""
    act: str = "relu"
    """Of stem and head; blocks have ReLU."""


_SMALL = Variant((3, 4, 12, 3), (16, 32, 32, 64), 10, 128, 32, small=True)
VARIANTS: Mapping[str, Variant] = {
    "dpn48b": replace(_SMALL, repeats=(3, 4, 6, 3), apart=True, act="silu"),
    "dpn68": _SMALL,
    "dpn68b": replace(_SMALL, apart=True),
    "dpn92": Variant((3, 4, 20, 3), (16, 32, 24, 128), 64, 96, 32),
    "dpn98": Variant((3, 6, 20, 3), (16, 32, 32, 128), 96, 160, 40),
    "dpn107": Variant((4, 8, 20, 3), (20, 64, 64, 128), 128, 200, 50),
    "dpn131": Variant((4, 8, 28, 3), (16, 32, 32, 128), 128, 160, 40),
}
PUBLISHED: Mapping[str, Sequence[str]] = {
    "timm": tuple(VARIANTS),
    "pretrainedmodels": tuple(name for name in VARIANTS if name != "dpn48b"),
}
TIMM = {name: (name, "timm") for name in VARIANTS}
WINDOW = 7
"""Rows and columns that pretrainedmodels classifies at a time."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only.

    pretrainedmodels' last map has to hold a window: its input has 193 rows and columns or more.
    """
    size = size or 224
    net = Net(replace(TORCH, epsilon=1e-3))
    network = VARIANTS[variant]
    stem = "features.conv1_1"
    value = net.norm(net.conv("image", f"{stem}.conv", network.stem, 3 if network.small else 7, 2), f"{stem}.bn")
    value = net.act(value, f"{stem}.act", network.act)
    pool = "features.conv1_pool" if dialect == "timm" else f"{stem}.pool"
    value = net.max_pool(value, pool, 3, 2, pad=1)
    for stage, repeats in enumerate(network.repeats):
        for index in range(repeats):
            value = _block(net, value, f"features.conv{stage + 2}_{index + 1}", network, stage, first=index == 0)
    value = _norm_act(net, value, "features.conv5_bn_ac", network.act)
    if dialect == "timm":
        value = net.conv(net.global_pool(value, "global_pool.pool"), "classifier", classes, bias=True)
        return net.graph(variant, net.flatten(value, "flatten"), size)
    return net.graph(variant, net.flatten(_windows(net, value, classes, size), "flatten"), size)


def _windows(net: Net, value: str, classes: int, size: int) -> str:
    map_size = -(-size // 32)
    if map_size < WINDOW:
        raise UsageError(f"pretrainedmodels' DPN: size={size}; expected 193 or more")
    value = net.conv(net.avg_pool(value, "avg_pool", WINDOW, 1), "last_linear", classes, bias=True)
    if map_size == WINDOW:
        return value
    average, largest = net.global_pool(value, "avgmax.avg"), net.node("GlobalMaxPool", "avgmax.max", value)
    return net.node("Mean", "avgmax", average, largest)


def _norm_act(net: Net, value: str, name: str, act: str = "relu") -> str:
    return net.act(net.norm(value, f"{name}.bn"), f"{name}.act", act)


def _part(net: Net, value: str, name: str, start: int, end: int) -> str:
    """Channels `start` to `end` of a value."""
    return net.node("Slice", name, value, channels=end - start, axes=(1,), starts=(start,), ends=(end,))


def _block(net: Net, before: str, name: str, network: Variant, stage: int, *, first: bool) -> str:
    growth = network.growth[stage]
    added = (64 if network.small else 256) << stage
    inner = network.inner << stage
    stride = 2 if first and stage else 1
    shortcut = before
    if first:
        part = f"{name}.c1x1_w_s{stride}"
        shortcut = net.conv(_norm_act(net, before, part), f"{part}.conv", added + 2 * growth, 1, stride)
    value = net.conv(_norm_act(net, before, f"{name}.c1x1_a"), f"{name}.c1x1_a.conv", inner)
    value = _norm_act(net, value, f"{name}.c3x3_b")
    value = net.conv(value, f"{name}.c3x3_b.conv", inner, 3, stride, groups=network.groups)
    value = _norm_act(net, value, f"{name}.c1x1_c")
    if network.apart:
        to_add, to_append = net.conv(value, f"{name}.c1x1_c1", added), net.conv(value, f"{name}.c1x1_c2", growth)
    else:
        value = net.conv(value, f"{name}.c1x1_c.conv", added + growth)
        to_add = _part(net, value, f"{name}.out1", 0, added)
        to_append = _part(net, value, f"{name}.out2", added, added + growth)
    total = net.add(f"{name}.add", _part(net, shortcut, f"{name}.x_s1", 0, added), to_add)
    kept = _part(net, shortcut, f"{name}.x_s2", added, net.channels[shortcut])
    return net.concat(f"{name}.concat", total, kept, to_append)
