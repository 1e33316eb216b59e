"""CSPNet (Wang et al., arXiv:1911.11929) and the Darknets of timm (models/cspnet.py).

A cross-stage network sends half of a stage's channels through its blocks and past them the other half. `cs3` is the
form that YOLOv5 has, with one convolution less behind the blocks; the Darknets send all through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from zoo.architectures.net import TORCH, Net, scaled
from zoo.graph import Graph


@dataclass(frozen=True)
class Variant:
    """One network; where stages differ, the last number is for all that follow."""

    depths: tuple[int, ...]
    """Blocks of each stage."""
    channels: tuple[int, ...]
    stem: tuple[int, ...] = (32,)
    """Channels of each of its convolutions."""
    kernel: int = 3
    """Of the stem's convolutions."""
    stem_stride: int = 1
    """4 with a pool."""
    strides: tuple[int, ...] = (2,)
    stage: str = "csp"
    """Or `cs3`, `dark`."""
    block: str = "bottle"
    """1x1, 3x3, 1x1; or `dark`, 1x1 and 3x3; or `edge`, 3x3 and 1x1."""
    inside: tuple[float, ...] = (1.0,)
    """Channels inside a block, for one of its result."""
    share: tuple[float, ...] = (0.5,)
    """Channels of blocks, for one of the stage's."""
    expanded: tuple[float, ...] = (1.0,)
    """Channels before the halves part, for one of the stage's."""
    groups: tuple[int, ...] = (1,)
    linear: bool = False
    """Whether no activation stands where the halves part."""
    growing: bool = False
    """Whether the strided convolution already has the stage's channels."""
    averaged: bool = False
    """Whether an average and a 1x1 convolution stand in its place."""
    squeeze: float = 0.0
    """Channels of squeeze-and-excitation, for one of what it scales; 0 for none."""
    act: str = "leaky_relu_0.01"


_CSP = Variant(
    (3, 3, 5, 2), (128, 256, 512, 1024), (64,), 7, 4, (1, 2), inside=(0.5,), share=(1.0,), expanded=(2.0,), linear=True
)
_WIDE = replace(_CSP, channels=(256, 512, 1024, 2048), inside=(0.25,), share=(0.5,), expanded=(1.0,))
_DARK = Variant((1, 2, 8, 8, 4), (64, 128, 256, 512, 1024), stage="dark", block="dark", inside=(0.5,), share=(1.0,))


def _cs3(width: float = 1.0, depth: float = 1.0, *, focus: bool = False, squeeze: float = 0.0) -> Variant:
    stem = (64,) if focus else (32, 64)
    return Variant(
        tuple(int(blocks * depth) for blocks in (3, 6, 9, 3)),
        tuple(scaled(channels, width) for channels in (128, 256, 512, 1024)),
        tuple(scaled(channels, width) for channels in stem),
        6 if focus else 3, 2, stage="cs3", block="dark", squeeze=squeeze, act="silu",
    )  # fmt: skip


_S, _M, _L, _X = (0.5, 0.5), (0.75, 0.67), (1.0, 1.0), (1.25, 1.33)
VARIANTS: Mapping[str, Variant] = {
    "cspresnet50": _CSP,
    "cspresnet50d": replace(_CSP, stem=(32, 32, 64), kernel=3),
    "cspresnet50w": replace(_WIDE, stem=(32, 32, 64), kernel=3),
    "cspresnext50": replace(_WIDE, groups=(32,), inside=(1.0,)),
    "cspdarknet53": replace(
        _DARK, stage="csp", inside=(0.5, 1.0), share=(1.0, 0.5), expanded=(2.0, 1.0), growing=True
    ),
    "darknet17": replace(_DARK, depths=(1,) * 5),
    "darknet21": replace(_DARK, depths=(1, 1, 1, 2, 2)),
    "sedarknet21": replace(_DARK, depths=(1, 1, 1, 2, 2), squeeze=1 / 16),
    "darknet53": _DARK,
    "darknetaa53": replace(_DARK, averaged=True),
    "cs3darknet-s": _cs3(*_S),
    "cs3darknet-m": _cs3(*_M),
    "cs3darknet-l": _cs3(*_L),
    "cs3darknet-x": _cs3(*_X),
    "cs3darknet-focus-s": _cs3(*_S, focus=True),
    "cs3darknet-focus-m": _cs3(*_M, focus=True),
    "cs3darknet-focus-l": _cs3(*_L, focus=True),
    "cs3darknet-focus-x": _cs3(*_X, focus=True),
    "cs3sedarknet-l": _cs3(*_L, squeeze=0.25),
    "cs3sedarknet-x": _cs3(*_X, squeeze=1 / 16),
    "cs3sedarknet-xdw": Variant(
        (3, 6, 12, 4), (256, 512, 1024, 2048), (32, 64), 3, 2, inside=(0.5,), groups=(1, 1, 256, 512), squeeze=1 / 16,
        act="silu",
    ),
    "cs3edgenet-x": replace(_cs3(*_X), block="edge", inside=(1.5,)),
    "cs3se-edgenet-x": replace(_cs3(*_X, squeeze=0.25), block="edge", inside=(1.5,)),
}  # fmt: skip
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}
SIZE = 256
Number = TypeVar("Number", int, float)


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    net = _CspNet(VARIANTS[variant])
    value = net.stem("image")
    for stage in range(len(net.numbers.depths)):
        value = net.stage(value, f"stages.{stage}", stage)
    value = net.flatten(net.global_pool(value, "head.global_pool.pool"), "head.global_pool.flatten")
    return net.graph(variant, net.linear(value, "head.fc", classes), size or SIZE)


class _CspNet(Net):
    """Layers of one network."""

    def __init__(self, numbers: Variant) -> None:
        super().__init__(TORCH)
        self.numbers = numbers

    def stem(self, value: str) -> str:
        numbers = self.numbers
        for index, channels in enumerate(numbers.stem, 1):
            stride = 2 if index == 1 and numbers.stem_stride > 1 else 1
            value = self.layer(value, f"stem.conv{index}", channels, numbers.kernel, stride)
        return self.max_pool(value, "stem.pool", 3, 2, pad=1) if numbers.stem_stride > 2 else value

    def stage(self, value: str, name: str, stage: int) -> str:
        numbers, out = self.numbers, self.numbers.channels[stage]
        stride, groups = _of(numbers.strides, stage), _of(numbers.groups, stage)
        if numbers.averaged:
            value = self.layer(self.avg_pool(value, f"{name}.conv_down.0", 2, 2), f"{name}.conv_down.1", out)
        elif stride > 1 or numbers.stage == "dark":
            down = out if numbers.growing or numbers.stage == "dark" else self.channels[value]
            value = self.layer(value, f"{name}.conv_down", down, 3, stride, groups=groups)
        if numbers.stage == "dark":
            return self.blocks(value, name, stage)
        expanded = round(out * _of(numbers.expanded, stage))
        value = self.layer(value, f"{name}.conv_exp", expanded, act=not numbers.linear)
        first, second = self.split(value, f"{name}.split", expanded // 2, expanded // 2)
        if numbers.stage == "cs3":
            value = self.concat(f"{name}.cat", self.blocks(first, name, stage), second)
        else:
            end = self.layer(self.blocks(second, name, stage), f"{name}.conv_transition_b", expanded // 2)
            value = self.concat(f"{name}.cat", first, end)
        return self.layer(value, f"{name}.conv_transition", out)

    def blocks(self, value: str, name: str, stage: int) -> str:
        numbers = self.numbers
        out = round(numbers.channels[stage] * _of(numbers.share, stage))
        inside, groups = round(out * _of(numbers.inside, stage)), _of(numbers.groups, stage)
        for index in range(numbers.depths[stage]):
            block = f"{name}.blocks.{index}"
            if numbers.block == "edge":
                end = self.gate(self.layer(value, f"{block}.conv1", inside, 3, groups=groups), f"{block}.attn")
                value = self.add(f"{block}.add", self.layer(end, f"{block}.conv2", out), value)
            elif numbers.block == "dark":
                end = self.gate(self.layer(value, f"{block}.conv1", inside), f"{block}.attn")
                end = self.layer(end, f"{block}.conv2", out, 3, groups=groups)
                value = self.add(f"{block}.add", end, value)
            else:
                end = self.layer(value, f"{block}.conv1", inside)
                end = self.gate(self.layer(end, f"{block}.conv2", inside, 3, groups=groups), f"{block}.attn2")
                end = self.layer(end, f"{block}.conv3", out, act=False)
                value = self.act(self.add(f"{block}.add", end, value), f"{block}.act3", numbers.act)
        return value

    def gate(self, value: str, name: str) -> str:
        if not self.numbers.squeeze:
            return value
        squeezed = scaled(self.channels[value], self.numbers.squeeze, limit=0)
        return self.squeeze_excite(value, name, f"{name}.fc1", f"{name}.fc2", squeezed, act=self.numbers.act)

    def layer(
        self, value: str, name: str, out: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, act: bool = True
    ) -> str:
        """Convolution, batch normalisation, activation."""
        pad = 2 if kernel == 6 else None
        value = self.norm(self.conv(value, f"{name}.conv", out, kernel, stride, pad=pad, groups=groups), f"{name}.bn")
        return self.act(value, f"{name}.bn.act", self.numbers.act) if act else value


def _of(numbers: tuple[Number, ...], stage: int) -> Number:
    return numbers[min(stage, len(numbers) - 1)]
