"""Networks of residual blocks that timm put together: GENet, RegNetZ, ResNets with new stems, CLIP's ResNets.

Source: huggingface/pytorch-image-models timm/models/byobnet.py, which has the weights. Blocks are

- `basic`: a 3x3 convolution and a grouped 3x3 one; attention behind both.
- `bottle`: 1x1, a grouped 3x3, 1x1; attention before the last.
- `dark`: 1x1 and a grouped 3x3; attention behind both.
- `edge`: a grouped 3x3 and 1x1; attention between them.

The input is added, convolved where its shape is another (`shortcut`). Networks: GENet (Lin et al., arXiv:2006.14090);
RegNetZ (Dollar et al., arXiv:2103.06877, in timm's own sizes), whose blocks are wider inside, end linearly and add
nothing where shapes change, `-evos` with EvoNorm; `-gap` are CLIP's ResNets (arXiv:2103.00020) with an average where
the others have an attention, for maps of one size. RepVGG and MobileOne, of the same file, are modules of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from zoo.architectures import context, evonorm
from zoo.architectures.net import TORCH, Net, scaled
from zoo.architectures.resnet import eca_kernel
from zoo.graph import Graph


class Stage(NamedTuple):
    """Blocks of one kind; the first has the stride."""

    kind: Literal["basic", "bottle", "dark", "edge"]
    depth: int
    channels: int
    stride: int = 2
    group: int = 0
    """Channels of a group; 0: there are no groups."""
    ratio: float = 0.25
    """Channels inside, for one of the block's result."""


@dataclass(frozen=True)
class Variant:
    """One network."""

    stages: tuple[Stage, ...]
    stem: tuple[int, ...]
    """Channels of 3x3 convolutions; the first has stride 2."""
    normed: int = 4
    """How many of the stem's last convolutions have normalisation and activation."""
    pool: Literal["", "max", "average", "stride"] = ""
    """What makes the stem's map smaller once more: 3x3, or 2x2, or the stride of its last convolution."""
    features: int = 0
    """Channels of a 1x1 convolution before the average; 0: there is none."""
    act: str = "relu"
    attention: Literal["", "se", "eca", "gca"] = ""
    squeeze: int = 16
    """By what squeeze-and-excitation has fewer channels."""
    shortcut: Literal["conv", "average", ""] = "conv"
    """Where shapes change, the input is convolved, or averaged before that, or not added."""
    of_input: bool = False
    """Whether the channels inside are a share of the input's."""
    linear: bool = False
    """Whether blocks end without an activation."""
    twice: bool = False
    """Whether a bottleneck has two 3x3 convolutions."""
    blur: bool = False
    """Whether an average over 2x2 halves maps instead of a convolution's stride."""
    evo: bool = False
    """EvoNorm of groups of 16 channels; else batch normalisations."""
    attends: bool = False
    """Whether attention stands in the place of the average."""
    size: int = 256
    """Rows and columns of the input, pixels."""


def _bottles(
    depths: Sequence[int], channels: Sequence[int], group: int = 0, ratio: float = 0.25, first: int = 1
) -> tuple[Stage, ...]:
    """Stages of bottlenecks, the first with stride `first`."""
    rows = zip(depths, channels, strict=True)
    return tuple(
        Stage("bottle", depth, width, 2 if place else first, group, ratio) for place, (depth, width) in enumerate(rows)
    )


def _genet(stem: int, features: int, *rows: tuple[int, int], size: int = 224) -> Variant:
    """Two stages of full convolutions, one of bottlenecks, two of widened depthwise ones, as (depth, channels)."""
    kinds = (
        ("basic", 2, 0, 1.0),
        ("basic", 2, 0, 1.0),
        ("bottle", 2, 0, 0.25),
        ("bottle", 2, 1, 3),
        ("bottle", 1, 1, 3),
    )
    stages = tuple(
        Stage(kind, depth, channels, stride, group, ratio)  # type: ignore[arg-type]
        for (kind, stride, group, ratio), (depth, channels) in zip(kinds, rows, strict=True)
    )
    return Variant(stages, (stem,), features=features, size=size)


_TIERED = (24, 32, 64)
_WIDE, _WIDER = (256, 512, 1024, 2048), (256, 512, 1536, 1536)
_RESNEXT26 = Variant(_bottles((2, 2, 2, 2), _WIDE, 32), _TIERED, pool="max", act="silu")
_RESNET33 = Variant(_bottles((2, 3, 3, 2), _WIDER), _TIERED, pool="stride", features=1280, act="silu")
_LAST = Stage("bottle", 4, 1536, 2, 1, 1.0)
_Z = Variant(
    _bottles((2, 6, 12, 2), (48, 96, 192, 288), 16, 4, first=2), (32,), features=1536, act="silu", attention="se",
    squeeze=4, shortcut="", of_input=True, linear=True,
)  # fmt: skip
_Z_D = replace(
    _Z, stages=_bottles((3, 6, 12, 3), (64, 128, 256, 384), 32, 4), stem=_TIERED, pool="stride", features=1792
)
_D8 = _bottles((3, 6, 12, 3), (64, 128, 256, 384), 8, 4)


def _clip(depths: Sequence[int], width: float, size: int) -> Variant:
    stages = _bottles(depths, [int(channels * width) for channels in _WIDE])
    stem = tuple(int(channels * width) for channels in (32, 32, 64))
    return Variant(stages, stem, pool="average", shortcut="average", blur=True, attends=True, size=size)


_CLIP = {
    "resnet50-clip": _clip((3, 4, 6, 3), 1, 224),
    "resnet101-clip": _clip((3, 4, 23, 3), 1, 224),
    "resnet50x4-clip": _clip((4, 6, 10, 6), 1.25, 288),
    "resnet50x16-clip": _clip((6, 8, 18, 8), 1.5, 384),
    "resnet50x64-clip": _clip((3, 15, 36, 10), 2, 448),
}
VARIANTS: Mapping[str, Variant] = {
    "gernet-s": _genet(13, 1920, (1, 48), (3, 48), (7, 384), (2, 560), (1, 256)),
    "gernet-m": _genet(32, 2560, (1, 128), (2, 192), (6, 640), (4, 640), (1, 640)),
    "gernet-l": _genet(32, 2560, (1, 128), (2, 192), (6, 640), (5, 640), (4, 640), size=256),
    "resnet51q": Variant(
        (*_bottles((2, 4, 6), _WIDER[:3], 32), _LAST), (16, 32, 64, 128), 2, "stride", 2048, "silu",
    ),
    "resnet61q": Variant(
        (Stage("edge", 1, 256, 1, ratio=1.0), *_bottles((4, 6), (512, 1536), 32, first=2), _LAST), (16, 32, 64, 128),
        pool="stride", features=2048, act="silu", twice=True,
    ),
    "resnext26ts": _RESNEXT26,
    "seresnext26ts": replace(_RESNEXT26, attention="se"),
    "gcresnext26ts": replace(_RESNEXT26, attention="gca"),
    "eca-resnext26ts": replace(_RESNEXT26, attention="eca"),
    "resnet32ts": replace(_RESNET33, features=0),
    "resnet33ts": _RESNET33,
    "seresnet33ts": replace(_RESNET33, attention="se"),
    "gcresnet33ts": replace(_RESNET33, attention="gca"),
    "eca-resnet33ts": replace(_RESNET33, attention="eca"),
    "gcresnet50t": Variant(_bottles((3, 4, 6, 3), _WIDE), _TIERED, pool="stride", attention="gca"),
    "gcresnext50ts": replace(_RESNEXT26, stages=_bottles((3, 4, 6, 3), _WIDE, 32), attention="gca"),
    "regnetz-b16": replace(_Z, stages=_bottles((2, 6, 12, 2), (48, 96, 192, 288), 16, 3, first=2), size=224),
    "regnetz-c16": _Z,
    "regnetz-d32": _Z_D,
    "regnetz-d8": replace(_Z_D, stages=_D8),
    "regnetz-e8": replace(_Z_D, stages=_bottles((3, 8, 16, 3), (96, 192, 384, 512), 8, 4), features=2048),
    "regnetz-c16-evos": replace(_Z, evo=True),
    "regnetz-d8-evos": replace(_Z_D, stages=_D8, stem=(64, 64, 64), evo=True),
    **_CLIP,
    **{f"{name}-gap": replace(numbers, attends=False) for name, numbers in _CLIP.items()},
    "test-byobnet": Variant(
        (
            Stage("edge", 1, 32, ratio=0.5), Stage("dark", 1, 64, ratio=0.5), Stage("basic", 1, 128, group=32),
            Stage("bottle", 1, 256, group=64),
        ),
        (24,), attention="se", squeeze=4, shortcut="average", size=160,
    ),
}  # fmt: skip
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}

_LAYERS = {
    "basic": (("conv1_kxk", 3), ("conv2_kxk", 3)),
    "bottle": (("conv1_1x1", 1), ("conv2_kxk", 3), ("conv3_1x1", 1)),
    "dark": (("conv1_1x1", 1), ("conv2_kxk", 3)),
    "edge": (("conv1_kxk", 3), ("conv2_1x1", 1)),
}
"""Names and kernels of a block's convolutions."""
_STRIDED = {"basic": 0, "bottle": 1, "dark": 1, "edge": 0}
_GROUPED = {"basic": 1, "bottle": 1, "dark": 1, "edge": 0}
_BEHIND = ("basic", "dark")
"""Blocks whose attention is behind all their convolutions."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    net, numbers = _ByobNet(VARIANTS[variant]), VARIANTS[variant]
    value = net.stem()
    for place, stage in enumerate(numbers.stages):
        for unit in range(stage.depth):
            value = net.block(value, stage, f"stages.{place}.{unit}.", 1 if unit else stage.stride)
    if numbers.features:
        value = net.layer(value, "final_conv", numbers.features)
    size = size or numbers.size
    if numbers.attends:
        return net.graph(variant, context.attention_pool(net, value, "head", size // 32, classes), size)
    value = net.flatten(net.global_pool(value, "head.global_pool.pool"), "head.global_pool.flatten")
    return net.graph(variant, net.linear(value, "head.fc", classes), size)


class _ByobNet(Net):
    """Layers of one network."""

    def __init__(self, numbers: Variant) -> None:
        super().__init__(TORCH)
        self.numbers = numbers

    def stem(self) -> str:
        numbers, value = self.numbers, "image"
        last = len(numbers.stem) - 1
        if not last and not numbers.pool:
            return self.layer(value, "stem", numbers.stem[0], 3, 2)
        for index, channels in enumerate(numbers.stem):
            stride = 2 if index == 0 or (index == last and numbers.pool == "stride") else 1
            name = f"stem.conv{index + 1}"
            if last - index < numbers.normed:
                value = self.layer(value, name, channels, 3, stride)
            else:
                value = self.conv(value, name, channels, 3, stride)
        if numbers.pool == "max":
            return self.max_pool(value, "stem.pool", 3, 2, pad=1)
        return self.avg_pool(value, "stem.pool", 2, 2) if numbers.pool == "average" else value

    def block(self, before: str, stage: Stage, prefix: str, stride: int) -> str:
        numbers, kind = self.numbers, stage.kind
        inside = scaled((self.channels[before] if numbers.of_input else stage.channels) * stage.ratio)
        groups = inside // stage.group if stage.group else 1
        value, last = before, len(_LAYERS[kind]) - 1
        for index, (name, kernel) in enumerate(_LAYERS[kind]):
            if index == last and kind not in _BEHIND:
                value = self.attended(value, f"{prefix}attn")
            value = self.layer(
                value, prefix + name, stage.channels if index == last else inside, kernel,
                stride if index == _STRIDED[kind] else 1, groups=groups if index == _GROUPED[kind] else 1,
                act=index < last, blur=numbers.blur,
            )  # fmt: skip
            if kind == "bottle" and index == 1 and numbers.twice:
                value = self.layer(value, f"{prefix}conv2b_kxk", inside, 3, groups=groups)
        if kind in _BEHIND:
            value = self.attended(value, f"{prefix}attn_last")
        shortcut = self.shortcut(before, f"{prefix}shortcut", stage.channels, stride)
        value = self.add(f"{prefix}add", value, shortcut) if shortcut else value
        return value if numbers.linear else self.act(value, f"{prefix}act", numbers.act)

    def shortcut(self, value: str, name: str, out: int, stride: int) -> str:
        """The input as it is added, or nothing."""
        if stride == 1 and self.channels[value] == out:
            return value
        if self.numbers.shortcut == "average":
            if stride > 1:
                value = self.avg_pool(value, f"{name}.pool", 2, stride, ceil=True, include_pad=False)
            return self.layer(value, f"{name}.conv", out, act=False)
        return self.layer(value, name, out, 1, stride, act=False) if self.numbers.shortcut else ""

    def attended(self, value: str, name: str) -> str:
        kind, channels = self.numbers.attention, self.channels[value]
        if kind == "se":
            squeezed = scaled(channels / self.numbers.squeeze, limit=0.0)
            return self.squeeze_excite(value, name, f"{name}.fc1", f"{name}.fc2", squeezed)
        if kind == "eca":
            return self.eca(value, name, eca_kernel(channels))
        if kind == "gca":
            return context.global_context(self, value, name, scaled(channels / 8, divisor=1), adds=True)
        return value

    def layer(
        self, value: str, name: str, out: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, act: bool = True,
        blur: bool = False,
    ) -> str:  # fmt: skip
        """Convolution without bias, normalisation, and the activation where `act` says so."""
        blurred = blur and stride > 1
        value = self.conv(value, f"{name}.conv", out, kernel, 1 if blurred else stride, groups=groups)
        if self.numbers.evo:
            value = evonorm.normed(self, value, f"{name}.bn", out // 16, kind="S0a", act=act)
        else:
            value = self.norm(value, f"{name}.bn")
            value = self.act(value, f"{name}.bn.act", self.numbers.act) if act else value
        return self.avg_pool(value, f"{name}.aa", 2, 2) if blurred else value
