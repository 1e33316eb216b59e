"""MobileOne (Vasu et al., arXiv:2206.04040): depthwise and pointwise convolutions in turn, each several side by side.

Source: timm (models/byobnet.py), which has Apple's weights. A layer is the sum of some convolutions of one kernel, of
a 1x1 one where that is larger, and of the input where it has the shape, all normalised. They could be one convolution,
but files hold them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.architectures.net import TORCH, Net, scaled
from zoo.graph import Graph

DEPTHS = (2, 8, 10, 1)
CHANNELS = (64, 128, 256, 512)


@dataclass(frozen=True)
class Variant:
    """One network."""

    widths: tuple[float, float, float, float]
    """Of each stage, times `CHANNELS`."""
    stem: int = 64
    branches: int = 1
    """Convolutions of one kernel side by side; the stem has one."""
    squeezed: tuple[int, int, int, int] = (0, 0, 0, 0)
    """In how many of each stage's last units both layers have squeeze-and-excitation."""


VARIANTS: Mapping[str, Variant] = {
    "mobileone-s0": Variant((0.75, 1.0, 1.0, 2.0), 48, 4),
    "mobileone-s1": Variant((1.5, 1.5, 2.0, 2.5)),
    "mobileone-s2": Variant((1.5, 2.0, 2.5, 4.0)),
    "mobileone-s3": Variant((2.0, 2.5, 3.0, 4.0)),
    "mobileone-s4": Variant((3.0, 3.5, 3.5, 4.0), squeezed=(0, 0, 5, 1)),
}
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    numbers, net = VARIANTS[variant], Net(TORCH)
    value = _layer(net, "image", "stem", numbers.stem, 3, 2)
    for stage, (depth, width) in enumerate(zip(DEPTHS, numbers.widths, strict=True)):
        for unit in range(depth):
            channels, prefix = net.channels[value], f"stages.{stage}."
            branches, squeeze = numbers.branches, unit >= depth - numbers.squeezed[stage]
            value = _layer(
                net, value, f"{prefix}{2 * unit}", channels, 3, 1 if unit else 2, channels, branches=branches,
                squeeze=squeeze,
            )  # fmt: skip
            out = int(CHANNELS[stage] * width)
            value = _layer(net, value, f"{prefix}{2 * unit + 1}", out, 1, branches=branches, squeeze=squeeze)
    value = net.flatten(net.global_pool(value, "head.global_pool.pool"), "head.global_pool.flatten")
    return net.graph(variant, net.linear(value, "head.fc", classes), size or 224)


def _layer(
    net: Net, before: str, name: str, out: int, kernel: int, stride: int = 1, groups: int = 1, *, branches: int = 1,
    squeeze: bool = False,
) -> str:  # fmt: skip
    parts = [("conv_scale", 1)] if kernel > 1 else []
    parts += [(f"conv_kxk.{index}", kernel) for index in range(branches)]
    ends = []
    for part, rows in parts:
        end = net.conv(before, f"{name}.{part}.conv", out, rows, stride, groups=groups)
        ends.append(net.norm(end, f"{name}.{part}.bn"))
    if stride == 1 and net.channels[before] == out:
        ends.append(net.norm(before, f"{name}.identity"))
    value = net.add(f"{name}.add", *ends) if len(ends) > 1 else ends[0]
    if squeeze:
        se = f"{name}.attn"
        value = net.squeeze_excite(value, se, f"{se}.fc1", f"{se}.fc2", scaled(out / 16, limit=0.0))
    return net.act(value, f"{name}.act", "relu")
