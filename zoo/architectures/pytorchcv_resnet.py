"""pytorchcv's ResNets: plain, with pre-activation (`pre`), squeeze-and-excitation (`se`) or groups (`resnext`).

Names and numbers are those of osmr/pytorchcv pytorchcv/models/resnet.py, preresnet.py, seresnet.py, sepreresnet.py,
resnext.py and seresnext.py. The number in a name counts convolutions and the dense layer. Below 50 units have two 3x3
convolutions, else, and where the name says `bc`, they are bottlenecks. A bottleneck's stride is in its first
convolution, as in the paper, but in the 3x3 one if the name ends in `b` and in all ResNeXts: `resnet50b` is what other
publishers call resnet50, and has the same names and shapes as `resnet50`.

The last pool averages the 7x7 map of an image of 224 rows; of a larger image it averages all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from zoo.architectures.net import TORCH, Net
from zoo.graph import Graph

SIMPLE: Mapping[int, tuple[int, ...]] = {
    10: (1, 1, 1, 1),
    12: (2, 1, 1, 1),
    14: (2, 2, 1, 1),
    16: (2, 2, 2, 1),
    18: (2, 2, 2, 2),
    26: (3, 3, 3, 3),
    34: (3, 4, 6, 3),
}
"""Convolutions -> units of each stage."""
BOTTLENECK: Mapping[int, tuple[int, ...]] = {
    14: (1, 1, 1, 1),
    26: (2, 2, 2, 2),
    38: (3, 3, 3, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
    269: (3, 30, 48, 8),
}
WIDTHS = {"wd4": 0.25, "wd2": 0.5, "w3d4": 0.75}
"""Suffix -> factor of all widths but the last unit's."""
SHRINK, REDUCTION = 4, 16
"""A bottleneck's output over its inside; squeeze-and-excitation's input over its inside."""

_BLOCKS = "10 12 14 16 18 26 34 bc26b bc38b 50 50b 101 101b 152 152b 200 200b"
_MORE = "18-wd4 18-wd2 18-w3d4 bc14b"
_GROUPS = "14-16x4d 14-32x2d 14-32x4d 26-16x4d 26-32x2d 26-32x4d 38-32x4d 50-32x4d 101-32x4d 101-64x4d"
VARIANTS = tuple(
    f"{kind}{size}"
    for kind, sizes in {
        "resnet": f"{_BLOCKS} {_MORE}",
        "preresnet": f"{_BLOCKS} {_MORE} 269b",
        "seresnet": _BLOCKS,
        "sepreresnet": _BLOCKS,
        "resnext": _GROUPS,
        "seresnext": "50-32x4d 101-32x4d 101-64x4d",
    }.items()
    for size in sizes.split()
)
PUBLISHED: Mapping[str, Sequence[str]] = {"pytorchcv": VARIANTS}
_NAME = re.compile(r"(se)?(pre)?res(?:net|next)(bc)?(\d+)(b)?(?:-(wd4|wd2|w3d4))?(?:-(\d+)x(\d+)d)?")


class Numbers(NamedTuple):
    """What a variant's name says."""

    squeeze: bool
    before: bool
    """Normalisation and activation come before the convolutions."""
    bottleneck: bool
    units: tuple[int, ...]
    late: bool
    """A bottleneck's stride is in its 3x3 convolution."""
    width: float
    groups: int
    group: int
    """Channels of a group in the first stage."""

    @classmethod
    def of(cls, variant: str) -> Numbers:
        match = _NAME.fullmatch(variant)
        assert match is not None, variant
        squeeze, before, bc, count, b, width, groups, group = match.groups()
        bottleneck = bool(bc or groups) or int(count) >= 50
        units = (BOTTLENECK if bottleneck else SIMPLE)[int(count)]
        late = bool(b or groups)
        return cls(
            bool(squeeze), bool(before), bottleneck, units, late, WIDTHS.get(width, 1.0), int(groups or 1),
            int(group or 64),
        )  # fmt: skip

    def widths(self) -> Iterator[tuple[int, int, int]]:
        """Yields stage and unit, from 1, and the unit's output channels."""
        for stage, units in enumerate(self.units, 1):
            full = (32 << stage) * (SHRINK if self.bottleneck else 1)
            for unit in range(1, units + 1):
                last = stage == len(self.units) and unit == units
                yield stage, unit, full if last else int(full * self.width)


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `VARIANTS`, its parameters shapes only."""
    numbers = Numbers.of(variant)
    net = Net(TORCH)
    width = int(64 * numbers.width)
    if numbers.before:
        value = _normed(net, net.conv("image", "features.init_block.conv", width, 7, 2), "features.init_block")
    else:
        value = _layer(net, "image", "features.init_block.conv", width, 7, 2)
    value = net.max_pool(value, "features.init_block.pool", 3, 2, pad=1)
    block = _unit_before if numbers.before else _unit
    for stage, unit, out in numbers.widths():
        value = block(net, numbers, value, f"features.stage{stage}.unit{unit}", out, 2 if stage > 1 == unit else 1)
    if numbers.before:
        value = _normed(net, value, "features.post_activ")
    value = net.flatten(net.global_pool(value, "features.final_pool"), "flatten")
    return net.graph(variant, net.linear(value, "output", classes), size or 224)


class _Conv(NamedTuple):
    out: int
    kernel: int
    stride: int
    groups: int


def _convs(numbers: Numbers, out: int, stride: int) -> list[_Conv]:
    """The convolutions of a unit."""
    if not numbers.bottleneck:
        return [_Conv(out, 3, stride, 1), _Conv(out, 3, 1, 1)]
    inside = out // SHRINK * numbers.group // 64 * numbers.groups
    first, second = (1, stride) if numbers.late else (stride, 1)
    return [_Conv(inside, 1, first, 1), _Conv(inside, 3, second, numbers.groups), _Conv(out, 1, 1, 1)]


def _unit(net: Net, numbers: Numbers, value: str, name: str, out: int, stride: int) -> str:
    result = value
    convs = _convs(numbers, out, stride)
    for index, conv in enumerate(convs, 1):
        result = _layer(net, result, f"{name}.body.conv{index}", *conv, act=index < len(convs))
    result = _squeezed(net, numbers, result, name)
    if stride != 1 or net.channels[value] != out:
        value = _layer(net, value, f"{name}.identity_conv", out, 1, stride, act=False)
    return net.act(net.add(f"{name}.add", result, value), f"{name}.activ", "relu")


def _unit_before(net: Net, numbers: Numbers, value: str, name: str, out: int, stride: int) -> str:
    """A unit with pre-activation: where shapes change, the shortcut begins behind the first activation."""
    result = first = value
    for index, conv in enumerate(_convs(numbers, out, stride), 1):
        result = _normed(net, result, f"{name}.body.conv{index}")
        first = result if index == 1 else first
        result = net.conv(result, f"{name}.body.conv{index}.conv", *conv[:3], groups=conv.groups)
    result = _squeezed(net, numbers, result, name)
    if stride != 1 or net.channels[value] != out:
        value = net.conv(first, f"{name}.identity_conv", out, 1, stride)
    return net.add(f"{name}.add", result, value)


def _squeezed(net: Net, numbers: Numbers, value: str, name: str) -> str:
    if not numbers.squeeze:
        return value
    return net.squeeze_excite(
        value, f"{name}.se", f"{name}.se.conv1", f"{name}.se.conv2", net.channels[value] // REDUCTION
    )


def _layer(
    net: Net, value: str, name: str, out: int, kernel: int, stride: int = 1, groups: int = 1, *, act: bool = True
) -> str:
    """Convolution without bias, batch normalisation, and ReLU where `act` says so."""
    value = net.conv(value, f"{name}.conv", out, kernel, stride, groups=groups)
    return _normed(net, value, name, act=act)


def _normed(net: Net, value: str, name: str, *, act: bool = True) -> str:
    value = net.norm(value, f"{name}.bn")
    return net.act(value, f"{name}.activ", "relu") if act else value
