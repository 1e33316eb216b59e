"""RegNet X, Y, Z and V: bottlenecks of grouped convolutions whose widths follow a line, rounded twice.

Block i of a network would be `w0 + wa * i` wide. That is brought to the nearest `w0 * wm ** k`, then to a multiple of
8; blocks of one width make a stage, and a stage's width becomes a multiple of its groups' (`stages`). X is plain, Y has
squeeze-and-excitation, Z widens inside its blocks and ends them linearly, V normalises before its convolutions. Rule
and numbers: Radosavovic et al., arXiv:2003.13678; pytorch/vision torchvision/models/regnet.py; huggingface's
pytorch-image-models timm/models/regnet.py, whose names the variants have: 032 are 3.2 GF.

Dialects differ in names only; `pycls` is the authors' (facebookresearch/pycls pycls/models/anynet.py). Where
torchvision rounds a width otherwise than timm, timm has its network too, with `-tv`: torchvision's regnet_x_400mf,
regnet_y_800mf and regnet_y_8gf are regnetx-004-tv, regnety-008-tv and regnety-080-tv, while its regnet_y_3_2gf is
regnety-032. SWAG's and SEER's weights are of the same networks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from zoo.architectures.net import TORCH, Net, scaled
from zoo.graph import Graph


@dataclass(frozen=True)
class Variant:
    """Numbers of one network."""

    w0: int
    """Width of the first block."""
    wa: float
    """By how much each block is wider."""
    wm: float
    """Widths are powers of it, times w0."""
    group: int
    """Channels of a group of the 3x3 convolutions."""
    depth: int
    """Blocks in all."""
    squeeze: bool = True
    """Squeeze-and-excitation, to a quarter of the block's input."""
    nine_tenths: bool = False
    """Widths are rounded to at most a tenth below, as torchvision does; else to the nearest."""
    act: str = "relu"
    norm: str = "batch"
    """Or `group`: in groups of 16 channels."""
    inside: int = 1
    """Width inside a block, as a factor of its output's."""
    before: bool = False
    """Normalisation and activation come before the convolutions."""
    shortcut: str = "conv"
    """Where shapes change: a 1x1 convolution, an average before one (`avg`), or none."""
    linear: bool = False
    """No activation behind the sum."""
    features: int = 0
    """Channels of a 1x1 convolution before the classifier, if there is one."""
    size: int = 224
    """Rows and columns of the input, pixels."""


STEM = 32


def _y(w0: int, wa: float, wm: float, group: int, depth: int, size: int = 224) -> Variant:
    return Variant(w0, wa, wm, group, depth, size=size)


def _x(w0: int, wa: float, wm: float, group: int, depth: int) -> Variant:
    return Variant(w0, wa, wm, group, depth, squeeze=False)


_Z = Variant(48, 14.5, 2.226, 8, 28, act="silu", inside=4, shortcut="none", linear=True, size=256)
_V = Variant(96, 31.41, 2.24, 64, 22, act="silu", before=True)
_PLAIN: Mapping[str, Variant] = {
    "regnetx-002": _x(24, 36.44, 2.49, 8, 13),
    "regnetx-004": _x(24, 24.48, 2.54, 16, 22),
    "regnetx-006": _x(48, 36.97, 2.24, 24, 16),
    "regnetx-008": _x(56, 35.73, 2.28, 16, 16),
    "regnetx-016": _x(80, 34.01, 2.25, 24, 18),
    "regnetx-032": _x(88, 26.31, 2.25, 48, 25),
    "regnetx-040": _x(96, 38.65, 2.43, 40, 23),
    "regnetx-064": _x(184, 60.83, 2.07, 56, 17),
    "regnetx-080": _x(80, 49.56, 2.88, 120, 23),
    "regnetx-120": _x(168, 73.36, 2.37, 112, 19),
    "regnetx-160": _x(216, 55.59, 2.1, 128, 22),
    "regnetx-320": _x(320, 69.86, 2.0, 168, 23),
    "regnety-002": _y(24, 36.44, 2.49, 8, 13),
    "regnety-004": _y(48, 27.89, 2.09, 8, 16),
    "regnety-006": _y(48, 32.54, 2.32, 16, 15),
    "regnety-008": _y(56, 38.84, 2.4, 16, 14),
    "regnety-016": _y(48, 20.71, 2.65, 24, 27),
    "regnety-032": _y(80, 42.63, 2.66, 24, 21),
    "regnety-040": _y(96, 31.41, 2.24, 64, 22),
    "regnety-064": _y(112, 33.22, 2.27, 72, 25),
    "regnety-080": _y(192, 76.82, 2.19, 56, 17),
    "regnety-120": _y(168, 73.36, 2.37, 112, 19),
    "regnety-160": _y(200, 106.23, 2.48, 112, 18),
    "regnety-320": _y(232, 115.89, 2.53, 232, 20),
    "regnety-640": _y(352, 147.48, 2.4, 328, 20, 384),
    "regnety-1280": _y(456, 160.83, 2.52, 264, 27),
    "regnety-2560": _y(640, 230.83, 2.53, 373, 27, 384),
    "regnetv-040": _V,
    "regnetv-064": replace(_V, w0=112, wa=33.22, wm=2.27, group=72, depth=25, shortcut="avg"),
    "regnetz-005": replace(_Z, w0=16, wa=10.7, wm=2.51, group=4, depth=21, features=1024, size=224),
    "regnetz-040": _Z,
    "regnetz-040-h": replace(_Z, features=1536),
}
VARIANTS: Mapping[str, Variant] = {
    **_PLAIN,
    **{f"{name}-tv": replace(_PLAIN[name], nine_tenths=True) for name in ("regnetx-004", "regnety-008", "regnety-080")},
    "regnety-040-sgn": replace(_PLAIN["regnety-040"], act="silu", norm="group", size=256),
}
_TORCHVISION = [f"regnetx-{n}" for n in ("004-tv", "008", "016", "032", "080", "160", "320")]
_TORCHVISION += [f"regnety-{n}" for n in ("004", "008-tv", "016", "032", "080-tv", "160", "320", "1280")]
_SIZES = ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")
PUBLISHED: Mapping[str, Sequence[str]] = {
    "torchvision": tuple(_TORCHVISION),
    "timm": tuple(VARIANTS),
    "pycls": tuple(f"regnet{kind}-{size}" for kind in "xy" for size in _SIZES),
}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}


@dataclass(frozen=True)
class Dialect:
    """Names of layers: a convolution's and its normalisation's suffix, the activation's behind them, and so on."""

    stem: tuple[str, str]
    """Its convolution and its normalisation."""
    block: str
    """Of `stage` and `unit`, both from 1; `index` is the unit from 0."""
    convs: tuple[str, str, str]
    conv: str
    norm: str
    act: str
    squeeze: tuple[str, str, str]
    """Of squeeze-and-excitation, and its two layers."""
    shortcut: tuple[str, str]
    """Its convolution and its normalisation."""
    end: str
    """Activation behind the sum."""
    pool: str
    flatten: str
    classifier: str


DIALECTS = {
    "torchvision": Dialect(
        stem=("stem.0", "stem.1"), block="trunk_output.block{stage}.block{stage}-{index}.",
        convs=("f.a", "f.b", "f.c"), conv=".0", norm=".1", act=".2", squeeze=("f.se", "f.se.fc1", "f.se.fc2"),
        shortcut=("proj.0", "proj.1"),
        end="activation", pool="avgpool", flatten="flatten", classifier="fc",
    ),
    "timm": Dialect(
        stem=("stem.conv", "stem.bn"), block="s{stage}.b{unit}.", convs=("conv1", "conv2", "conv3"), conv=".conv",
        norm=".bn", act=".bn.act", squeeze=("se", "se.fc1", "se.fc2"), shortcut=("downsample.conv", "downsample.bn"),
        end="act3",
        pool="head.global_pool.pool", flatten="head.global_pool.flatten", classifier="head.fc",
    ),
    "pycls": Dialect(
        stem=("stem.conv", "stem.bn"), block="s{stage}.b{unit}.", convs=("f.a", "f.b", "f.c"), conv="", norm="_bn",
        act="_af", squeeze=("f.se", "f.se.f_ex.0", "f.se.f_ex.2"), shortcut=("proj", "bn"), end="af",
        pool="head.avg_pool", flatten="head.flatten", classifier="head.fc",
    ),
}  # fmt: skip


class Stage(NamedTuple):
    """Blocks of one width; the first has stride 2."""

    blocks: int
    width: int
    inside: int
    """Width between a block's convolutions."""
    group: int


def stages(variant: Variant) -> list[Stage]:
    """Returns what the rule makes of a variant's numbers.

    >>> [(stage.blocks, stage.width) for stage in stages(VARIANTS["regnety-032"])]
    [(2, 72), (5, 216), (13, 576), (1, 1512)]
    """
    powers = [round(math.log1p(variant.wa * i / variant.w0) / math.log(variant.wm)) for i in range(variant.depth)]
    widths = Counter(round(variant.w0 * variant.wm**power / 8) * 8 for power in powers)
    found = []
    for width, blocks in widths.items():
        inside = width * variant.inside
        group = min(variant.group, inside)
        inside = scaled(inside, divisor=group) if variant.nine_tenths else round(inside / group) * group
        found.append(Stage(blocks, inside // variant.inside, inside, group))
    return found


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    net = _RegNet(VARIANTS[variant], DIALECTS[dialect])
    return net.graph(variant, net.network(classes), size or VARIANTS[variant].size)


class _RegNet(Net):
    """Layers of one network in one dialect."""

    def __init__(self, numbers: Variant, names: Dialect) -> None:
        super().__init__(TORCH)
        self.numbers = numbers
        self.names = names

    def network(self, classes: int) -> str:
        numbers, names = self.numbers, self.names
        if numbers.before:
            value = self.conv("image", names.stem[0].removesuffix(".conv"), STEM, 3, 2)
        else:
            value = self.layer("image", names.stem, STEM, 3, 2)
        block = self.block_before if numbers.before else self.block
        for place, stage in enumerate(stages(numbers), 1):
            for index in range(stage.blocks):
                prefix = names.block.format(stage=place, index=index, unit=index + 1)
                value = block(value, prefix, stage, 1 if index else 2)
        if numbers.features:
            value = self.layer(value, "final_conv", numbers.features)
        elif numbers.linear or numbers.before:
            value = self.act(value, "final_conv", numbers.act)
        value = self.flatten(self.global_pool(value, names.pool), names.flatten)
        return self.linear(value, names.classifier, classes)

    def block(self, value: str, prefix: str, stage: Stage, stride: int) -> str:
        numbers, names = self.numbers, self.names
        first, second, third = (prefix + name for name in names.convs)
        result = self.layer(value, first, stage.inside)
        result = self.layer(result, second, stage.inside, 3, stride, groups=stage.inside // stage.group)
        result = self.squeezed(result, prefix, self.channels[value])
        result = self.layer(result, third, stage.width, act=False)
        changes = stride != 1 or self.channels[value] != stage.width
        if changes and numbers.shortcut != "none":
            conv, norm = (prefix + name for name in names.shortcut)
            shortcut = self.layer(value, (conv, norm), stage.width, 1, stride, act=False)
            result = self.add(f"{prefix}add", result, shortcut)
        elif not changes:
            result = self.add(f"{prefix}add", result, value)
        return result if numbers.linear else self.act(result, prefix + names.end, numbers.act)

    def block_before(self, value: str, prefix: str, stage: Stage, stride: int) -> str:
        """A block of V: the shortcut, too, begins behind the first normalisation."""
        first, second, third = (prefix + name for name in self.names.convs)
        changes = stride != 1 or self.channels[value] != stage.width
        value = self.normed(value, f"{prefix}norm1")
        result = self.normed(self.conv(value, first, stage.inside), f"{prefix}norm2")
        result = self.conv(result, second, stage.inside, 3, stride, groups=stage.inside // stage.group)
        result = self.normed(self.squeezed(result, prefix, self.channels[value]), f"{prefix}norm3")
        result = self.conv(result, third, stage.width)
        if changes:
            value = self.shortcut_before(value, f"{prefix}downsample", stage.width, stride)
        return self.add(f"{prefix}add", result, value)

    def shortcut_before(self, value: str, name: str, width: int, stride: int) -> str:
        if self.numbers.shortcut == "conv":
            return self.conv(value, name, width, 1, stride)
        if stride > 1:
            value = self.avg_pool(value, f"{name}.0", 2, stride, ceil=True, include_pad=False)
        return self.conv(value, f"{name}.1", width)

    def layer(
        self, value: str, name: str | tuple[str, str], out: int, kernel: int = 1, stride: int = 1, *, groups: int = 1,
        act: bool = True,
    ) -> str:  # fmt: skip
        """Convolution without bias, normalisation, and the activation where `act` says so; two names are in full."""
        names = self.names
        if isinstance(name, str):
            conv, norm, activation = name + names.conv, name + names.norm, name + names.act
        else:
            (conv, norm), activation = name, f"{name[1]}.act"
        value = self.conv(value, conv, out, kernel, stride, groups=groups)
        return self.normed(value, norm, activation if act else "")

    def normed(self, value: str, name: str, act: str | None = None) -> str:
        """Normalisation, and an activation of a name; by default timm's, none for ''."""
        if self.numbers.norm == "group":
            value = self.group_norm(value, name, self.channels[value] // 16)
        else:
            value = self.norm(value, name)
        act = f"{name}.act" if act is None else act
        return self.act(value, act, self.numbers.act) if act else value

    def squeezed(self, value: str, prefix: str, before: int) -> str:
        if not self.numbers.squeeze:
            return value
        name, reduce, expand = (prefix + name for name in self.names.squeeze)
        return self.squeeze_excite(value, name, reduce, expand, round(before / 4), act=self.numbers.act)
