"""ReXNet (Han et al., arXiv:2007.00992): inverted residuals whose channels grow by the same number from block to block.

Source: timm (models/rexnet.py). Numbers in names are widths in hundredths; `rexnetr` rounds channels. A block's input
is added to the first channels of its result, where it has no more of them than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from zoo.architectures.net import TORCH, Net, scaled
from zoo.graph import Graph

VARIANTS: Mapping[str, tuple[float, int]] = {
    **{f"rexnet-{round(100 * width)}": (width, 1) for width in (1.0, 1.3, 1.5, 2.0, 3.0)},
    **{f"rexnetr-{round(100 * width)}": (width, 16 if width == 3 else 8) for width in (1.0, 1.3, 1.5, 2.0, 3.0)},
}
"""Width, and what channels are multiples of."""
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}
BLOCKS = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (5, 2))
"""How many, and the stride of the first."""
STEM, FIRST, GROWTH, LAST = 32, 16, 180, 1280
"""Channels: of the stem, of the first block, by how many those of the others grow in all, of the last convolution."""
EXPANSION, SQUEEZE, DROPOUT = 6, 1 / 12, 0.2


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    (width, divisor), net = VARIANTS[variant], Net(TORCH)
    value = _layer(net, "image", "stem", scaled(round(STEM * width), divisor=divisor), 3, 2)
    index = 0
    for index, (channels, stride, stage) in enumerate(_plan(width, divisor)):
        value = _block(net, value, f"features.{index}", channels, stride, stage, divisor)
    value = _layer(net, value, f"features.{index + 1}", scaled(LAST * width, divisor=divisor))
    value = net.flatten(net.global_pool(value, "head.global_pool.pool"), "head.global_pool.flatten")
    value = net.dropout(value, "head.drop", DROPOUT)
    return net.graph(variant, net.linear(value, "head.fc", classes), size or 224)


def _plan(width: float, divisor: int) -> Iterator[tuple[int, int, int]]:
    """Yields each block's channels, stride and stage."""
    depth, channels = sum(count for count, _ in BLOCKS), float(FIRST)
    for stage, (count, stride) in enumerate(BLOCKS):
        for index in range(count):
            yield scaled(round(channels * width), divisor=divisor), 1 if index else stride, stage
            channels += GROWTH / depth


def _block(net: Net, before: str, name: str, out: int, stride: int, stage: int, divisor: int) -> str:
    value, entering = before, net.channels[before]
    if stage:
        value = _layer(net, value, f"{name}.conv_exp", scaled(entering * EXPANSION, divisor=divisor))
    inside = net.channels[value]
    value = _layer(net, value, f"{name}.conv_dw", inside, 3, stride, groups=inside, act=False)
    if stage > 1:
        squeezed, se = scaled(int(inside * SQUEEZE), divisor=divisor), f"{name}.se"
        value = net.squeeze_excite(value, se, f"{se}.fc1", f"{se}.fc2", squeezed, norm=f"{se}.bn")
    value = net.act(value, f"{name}.act_dw", "relu6")
    value = _layer(net, value, f"{name}.conv_pwl", out, act=False)
    if stride > 1 or entering > out:
        return value
    if entering == out:
        return net.add(f"{name}.add", value, before)
    first, rest = net.split(value, f"{name}.split", entering, out - entering)
    return net.concat(f"{name}.cat", net.add(f"{name}.add", first, before), rest)


def _layer(
    net: Net, value: str, name: str, out: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, act: bool = True
) -> str:
    """Convolution, batch normalisation, SiLU."""
    value = net.norm(net.conv(value, f"{name}.conv", out, kernel, stride, groups=groups), f"{name}.bn")
    return net.act(value, f"{name}.bn.act", "silu") if act else value
