"""TResNet (Ridnik et al., arXiv:2003.13630): a ResNet whose stem is a rearrangement of 4x4 pixels into channels.

Source: timm (models/tresnet.py). Squares of 2x2 are averaged before shortcuts, and maps blurred where they get smaller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zoo.architectures.net import TORCH, Net
from zoo.graph import Graph


class Variant(NamedTuple):
    """One network."""

    depths: tuple[int, ...]
    width: float = 1.0
    second: bool = False
    """Whether it is of the second version: bottlenecks in all stages, and channels in multiples of 8."""


VARIANTS: Mapping[str, Variant] = {
    "tresnet-m": Variant((3, 4, 11, 3)),
    "tresnet-l": Variant((4, 5, 18, 3), 1.2),
    "tresnet-xl": Variant((4, 5, 24, 3), 1.3),
    "tresnet-v2-l": Variant((3, 4, 23, 3), second=True),
}
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}
SQUARE = 4
LEAST = 64
"""Channels of squeeze-and-excitation at least."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    numbers, net = VARIANTS[variant], Net(TORCH)
    channels = int(64 * numbers.width)
    if numbers.second:
        channels = channels // 8 * 8
    value = net.node("SpaceToDepth", "body.s2d", "image", channels=3 * SQUARE**2, blocksize=SQUARE)
    value = _layer(net, value, "body.conv1", channels, 3, act="leaky_relu_0.01")
    for stage, depth in enumerate(numbers.depths):
        basic = stage < 2 and not numbers.second
        for index in range(depth):
            stride = 2 if stage and not index else 1
            name = f"body.layer{stage + 1}.{index}"
            value = _block(net, value, name, channels << stage, stride, basic=basic, squeezed=stage < 3)
    value = net.flatten(net.global_pool(value, "head.global_pool.pool"), "head.global_pool.flatten")
    return net.graph(variant, net.linear(value, "head.fc", classes), size or 224)


def _block(net: Net, before: str, name: str, inside: int, stride: int, *, basic: bool, squeezed: bool) -> str:
    out, se = inside if basic else 4 * inside, f"{name}.se"
    if basic:
        value = _layer(net, before, f"{name}.conv1", inside, 3, stride)
        value = _layer(net, value, f"{name}.conv2", out, 3, act="linear")
        if squeezed:
            value = net.squeeze_excite(value, se, f"{se}.fc1", f"{se}.fc2", max(out // 4, LEAST))
    else:
        value = _layer(net, _layer(net, before, f"{name}.conv1", inside), f"{name}.conv2", inside, 3, stride)
        if squeezed:
            value = net.squeeze_excite(value, se, f"{se}.fc1", f"{se}.fc2", max(out // 8, LEAST))
        value = _layer(net, value, f"{name}.conv3", out, act="linear")
    shortcut, place = before, 0
    if stride > 1:
        shortcut = net.avg_pool(shortcut, f"{name}.downsample.0", 2, 2, ceil=True, include_pad=False)
        place = 1
    if stride > 1 or net.channels[before] != out:
        shortcut = _layer(net, shortcut, f"{name}.downsample.{place}", out, act="linear")
    return net.act(net.add(f"{name}.add", value, shortcut), f"{name}.act", "relu")


def _layer(
    net: Net, value: str, name: str, out: int, kernel: int = 1, stride: int = 1, *, act: str = "leaky_relu_0.001"
) -> str:
    """Convolution, batch normalisation, activation; a stride is that of a filter behind them."""
    value = net.norm(net.conv(value, f"{name}.conv", out, kernel), f"{name}.bn")
    value = net.act(value, f"{name}.bn.act", act)
    return net.blur_pool(value, f"{name}.aa", stride) if stride > 1 else value
