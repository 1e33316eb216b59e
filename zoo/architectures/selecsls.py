"""SelecSLS (Mehta et al., arXiv:1907.00837): modules that keep what their convolutions give.

Source: timm (models/selecsls.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.architectures.net import TORCH, Net
from zoo.graph import Graph


@dataclass(frozen=True)
class Variant:
    """One network."""

    stages: tuple[tuple[int, tuple[int, ...]], ...]
    """Channels inside the modules of a stage, and of each module's result; the first halves the map."""
    head: tuple[tuple[int, int, int], ...]
    """Channels, kernel and stride of the convolutions behind."""


_42 = ((64, (64, 128)), (144, (144, 288)), (304, (304, 480)))
_60 = ((64, (64, 128)), (128, (128, 128, 288)), (288, (288, 288, 288, 416)))
_84 = ((64, (64, 144)), (144, (144, 144, 144, 144, 304)), (304, (304, 304, 304, 304, 304, 512)))


def _head(first: int, third: int, last: int, kernel: int = 1) -> tuple[tuple[int, int, int], ...]:
    return (first, 3, 2), (1024, 3, 1), (third, 3, 2), (last, kernel, 1)


VARIANTS: Mapping[str, Variant] = {
    "selecsls42": Variant(_42, _head(960, 1024, 1280)),
    "selecsls42b": Variant(_42, _head(960, 1280, 1024)),
    "selecsls60": Variant(_60, _head(756, 1024, 1280)),
    "selecsls60b": Variant(_60, _head(756, 1280, 1024)),
    "selecsls84": Variant(_84, _head(960, 1024, 1280, 3)),
}
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name: (name, "timm") for name in VARIANTS}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    numbers, net, index = VARIANTS[variant], Net(TORCH), 0
    value = _layer(net, "image", "stem", 32, 3, 2)
    for inside, results in numbers.stages:
        kept = ""
        for out in results:
            value = _module(net, value, f"features.{index}", inside, out, kept)
            kept = kept or value
            index += 1
    for index, (out, kernel, stride) in enumerate(numbers.head):
        value = _layer(net, value, f"head.{index}", out, kernel, stride)
    value = net.flatten(net.global_pool(value, "global_pool.pool"), "global_pool.flatten")
    return net.graph(variant, net.linear(value, "fc", classes), size or 224)


def _module(net: Net, value: str, name: str, inside: int, out: int, kept: str) -> str:
    """A module; the first of a stage has the stride, the others also take what that gave, `kept`."""
    first = _layer(net, value, f"{name}.conv1", inside, 3, 1 if kept else 2)
    second = _layer(net, _layer(net, first, f"{name}.conv2", inside), f"{name}.conv3", inside // 2, 3)
    third = _layer(net, _layer(net, second, f"{name}.conv4", inside), f"{name}.conv5", inside // 2, 3)
    ends = [first, second, third, *([kept] if kept else [])]
    return _layer(net, net.concat(f"{name}.cat", *ends), f"{name}.conv6", out)


def _layer(net: Net, value: str, name: str, out: int, kernel: int = 1, stride: int = 1) -> str:
    """Convolution, batch normalisation, ReLU."""
    value = net.norm(net.conv(value, f"{name}.0", out, kernel, stride), f"{name}.1")
    return net.act(value, f"{name}.2", "relu")
