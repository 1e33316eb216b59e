"""GhostNet (Han et al., arXiv:1911.11907): half of a map's channels come from depthwise convolutions of the other half.

Source: timm (models/ghostnet.py). Version 2 (arXiv:2211.12905) multiplies by a gate made of a smaller map. Numbers in
names are widths in hundredths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zoo.architectures.net import TORCH, Net, scaled
from zoo.graph import Graph


class Variant(NamedTuple):
    """One network."""

    width: float
    gated: bool = False
    """Whether it is of version 2."""


VARIANTS: Mapping[str, Variant] = {
    "ghostnet-050": Variant(0.5),
    "ghostnet-100": Variant(1.0),
    "ghostnet-130": Variant(1.3),
    "ghostnetv2-100": Variant(1.0, gated=True),
    "ghostnetv2-130": Variant(1.3, gated=True),
    "ghostnetv2-160": Variant(1.6, gated=True),
}
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}


class Block(NamedTuple):
    """Kernel, channels inside and of the result, whether it has squeeze-and-excitation, stride."""

    kernel: int
    inside: int
    out: int
    squeeze: bool
    stride: int


STAGES: tuple[tuple[Block, ...], ...] = (
    (Block(3, 16, 16, False, 1),),
    (Block(3, 48, 24, False, 2),),
    (Block(3, 72, 24, False, 1),),
    (Block(5, 72, 40, True, 2),),
    (Block(5, 120, 40, True, 1),),
    (Block(3, 240, 80, False, 2),),
    (
        Block(3, 200, 80, False, 1),
        Block(3, 184, 80, False, 1),
        Block(3, 184, 80, False, 1),
        Block(3, 480, 112, True, 1),
        Block(3, 672, 112, True, 1),
    ),
    (Block(5, 672, 160, True, 2),),
    (
        Block(5, 960, 160, False, 1),
        Block(5, 960, 160, True, 1),
        Block(5, 960, 160, False, 1),
        Block(5, 960, 160, True, 1),
    ),
)
STEM, LAST, HEAD = 16, 960, 1280
DIVISOR, SQUEEZE, DROPOUT = 4, 0.25, 0.2
UNGATED = 2
"""Blocks that have no gate in version 2."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    numbers, net, size = VARIANTS[variant], _GhostNet(TORCH), size or 224
    value = net.layer("image", "conv_stem", "bn1", scaled(STEM, numbers.width, divisor=DIVISOR), 3, 2)
    side, count = -(-size // 2), 0
    for stage, blocks in enumerate(STAGES):
        for index, block in enumerate(blocks):
            gated = side if numbers.gated and count >= UNGATED else 0
            value = net.block(value, f"blocks.{stage}.{index}", block, numbers.width, gated)
            side, count = -(-side // block.stride), count + 1
    last, place = f"blocks.{len(STAGES)}.0", scaled(LAST, numbers.width, divisor=DIVISOR)
    value = net.global_pool(net.layer(value, f"{last}.conv", f"{last}.bn1", place), "global_pool.pool")
    value = net.act(net.conv(value, "conv_head", HEAD, bias=True), "act2", "relu")
    value = net.dropout(net.flatten(value, "flatten"), "drop", DROPOUT)
    return net.graph(variant, net.linear(value, "classifier", classes), size)


class _GhostNet(Net):
    """Layers of one network."""

    def block(self, before: str, name: str, block: Block, width: float, side: int) -> str:
        """A block; `side` of its input, if what widens it has a gate."""
        inside, out = (scaled(channels, width, divisor=DIVISOR) for channels in (block.inside, block.out))
        value = self.ghost(before, f"{name}.ghost1", inside, act=True)
        if side:
            value = self.gate(before, value, f"{name}.ghost1", side)
        if block.stride > 1:
            value = self.conv(value, f"{name}.conv_dw", inside, block.kernel, block.stride, groups=inside)
            value = self.norm(value, f"{name}.bn_dw")
        if block.squeeze:
            se, squeezed = f"{name}.se", scaled(inside, SQUEEZE, divisor=DIVISOR)
            value = self.squeeze_excite(
                value, se, f"{se}.conv_reduce", f"{se}.conv_expand", squeezed, gate="hard_sigmoid"
            )
        value = self.ghost(value, f"{name}.ghost2", out, act=False)
        if block.stride > 1 or self.channels[before] != out:
            parts = [f"{name}.shortcut.{place}" for place in range(4)]
            before = self.layer(before, parts[0], parts[1], 0, block.kernel, block.stride, act=False)
            before = self.layer(before, parts[2], parts[3], out, act=False)
        return self.add(f"{name}.add", value, before)

    def ghost(self, value: str, name: str, out: int, *, act: bool) -> str:
        """A 1x1 convolution to half of the channels; the rest are a depthwise one of them."""
        first, rest = (f"{name}.{part}" for part in ("primary_conv", "cheap_operation"))
        half = self.layer(value, f"{first}.0", f"{first}.1", out // 2, act=act)
        return self.concat(f"{name}.cat", half, self.layer(half, f"{rest}.0", f"{rest}.1", 0, 3, act=act))

    def gate(self, before: str, value: str, name: str, side: int) -> str:
        """Multiplies by a sigmoid of a quarter of the map, convolved along rows and columns."""
        out, parts = self.channels[value], [f"{name}.short_conv.{place}" for place in range(6)]
        gates = self.avg_pool(before, f"{name}.pool", 2, 2)
        gates = self.layer(gates, parts[0], parts[1], out, act=False)
        gates = self.layer(gates, parts[2], parts[3], 0, (1, 5), act=False)
        gates = self.act(self.layer(gates, parts[4], parts[5], 0, (5, 1), act=False), f"{name}.gate", "sigmoid")
        gates = self.node(
            "Resize", f"{name}.resize", gates, sizes=[1, out, side, side], mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
        return self.node("Mul", f"{name}.gated", value, gates)

    def layer(
        self, value: str, conv: str, norm: str, out: int, kernel: int | tuple[int, int] = 1, stride: int = 1, *,
        act: bool = True,
    ) -> str:  # fmt: skip
        """Convolution, a depthwise one where `out` is 0; batch normalisation; ReLU."""
        groups = 1 if out else self.channels[value]
        value = self.conv(value, conv, out or groups, kernel, stride, groups=groups)
        value = self.norm(value, norm)
        return self.act(value, f"{norm}.act", "relu") if act else value
