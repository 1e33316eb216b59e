"""What pytorchcv's networks have in common: `conv`, `bn` and `activ` under a layer's name, `features.stage1.unit1`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zoo.architectures.net import Net, Padding, Pair
from zoo.graph import Graph

STEM = "features.init_block"


def layer(
    net: Net, value: str, name: str, out: int, kernel: Pair = 1, stride: Pair = 1, *, pad: Padding = None,
    groups: int = 1, bias: bool = False, act: str = "relu",
) -> str:  # fmt: skip
    """Convolution, batch normalisation, activation (`linear` for none)."""
    value = net.conv(value, f"{name}.conv", out, kernel, stride, pad=pad, groups=groups, bias=bias)
    return net.act(net.norm(value, f"{name}.bn"), f"{name}.activ", act)


def before(net: Net, value: str, name: str, out: int, kernel: Pair = 1, stride: Pair = 1, *, groups: int = 1) -> str:
    """The same the other way round: batch normalisation, ReLU, convolution."""
    value = net.act(net.norm(value, f"{name}.bn"), f"{name}.activ", "relu")
    return net.conv(value, f"{name}.conv", out, kernel, stride, groups=groups)


def depthwise(net: Net, value: str, name: str, kernel: int = 3, stride: int = 1, *, act: str = "relu") -> str:
    """A `layer` of depthwise convolution."""
    channels = net.channels[value]
    return layer(net, value, name, channels, kernel, stride, groups=channels, act=act)


def units(stages: Sequence[Sequence[int]]) -> Iterator[tuple[int, int, int, str]]:
    """Yields stage and unit, from 1, the number that a table has for the unit, and its name."""
    for stage, row in enumerate(stages, 1):
        for unit, number in enumerate(row, 1):
            yield stage, unit, number, f"features.stage{stage}.unit{unit}"


def by_stride(strides: Sequence[int]) -> list[tuple[int, int]]:
    """Returns stage and unit of blocks that follow each other: a stage begins where the map gets smaller.

    >>> by_stride([1, 2, 1, 2])
    [(1, 1), (2, 1), (2, 2), (3, 1)]
    """
    places: list[tuple[int, int]] = []
    for stride in strides:
        stage, unit = places[-1] if places else (0, 0)
        places.append((stage + 1, 1) if stride > 1 or not places else (stage, unit + 1))
    return places


def shuffled(net: Net, value: str, name: str, groups: int, side: int) -> str:
    """Channels of `groups` groups, one of each in turn; the map has `side` rows and columns."""
    channels = net.channels[value]
    value = net.node("Reshape", f"{name}.split", value, shape=[0, groups, channels // groups, side, side])
    value = net.node("Transpose", f"{name}.swap", value, perm=[0, 2, 1, 3, 4])
    return net.node("Reshape", name, value, shape=[0, channels, side, side])


def graph(net: Net, variant: str, value: str, classes: int, size: int, *, dense: str = "output") -> Graph:
    """Returns the Graph that ends in an average over the map and a dense layer."""
    value = net.flatten(net.global_pool(value, "features.final_pool"), "flatten")
    return net.graph(variant, net.linear(value, dense, classes), size)
