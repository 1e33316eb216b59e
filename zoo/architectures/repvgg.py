"""RepVGG (Ding et al., arXiv:2101.03697): 3x3 convolutions beside 1x1 ones and the input itself, all normalised.

Source: timm (models/byobnet.py). The three are what training has; they could be one convolution, but files hold them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from zoo.architectures.net import TORCH, Net
from zoo.graph import Graph


@dataclass(frozen=True)
class Variant:
    """One network."""

    depths: tuple[int, ...]
    widths: tuple[float, ...]
    """Of each stage, for 64, 128, 256 and 512 channels."""
    stem: int = 64
    groups: int = 1
    """Of every other block's convolutions."""
    squeeze: float = 0.0
    """Channels of squeeze-and-excitation, for one of what it scales; 0 for none."""
    size: int = 224
    """Rows and columns of the input, pixels."""


_A, _B, _D = (2, 4, 14, 1), (4, 6, 16, 1), (8, 14, 24, 1)
_B1, _B2, _B3 = (Variant(_B, (width,) * 3 + (last,)) for width, last in ((2.0, 4.0), (2.5, 5.0), (3.0, 5.0)))
VARIANTS: Mapping[str, Variant] = {
    "repvgg-a0": Variant(_A, (0.75, 0.75, 0.75, 2.5), 48),
    "repvgg-a1": Variant(_A, (1.0, 1.0, 1.0, 2.5)),
    "repvgg-a2": Variant(_A, (1.5, 1.5, 1.5, 2.75)),
    "repvgg-b0": Variant(_B, (1.0, 1.0, 1.0, 2.5)),
    "repvgg-b1": _B1,
    "repvgg-b1g4": replace(_B1, groups=4),
    "repvgg-b2": _B2,
    "repvgg-b2g4": replace(_B2, groups=4),
    "repvgg-b3": _B3,
    "repvgg-b3g4": replace(_B3, groups=4),
    "repvgg-d2se": replace(_B2, depths=_D, squeeze=0.0625, size=320),
}
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}
CHANNELS = (64, 128, 256, 512)


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    numbers, net = VARIANTS[variant], Net(TORCH)
    value = _block(net, "image", "stem", numbers.stem, 2, 1, numbers.squeeze)
    for stage, depth in enumerate(numbers.depths):
        out = round(CHANNELS[stage] * numbers.widths[stage])
        for index in range(depth):
            groups = numbers.groups if index % 2 else 1
            value = _block(net, value, f"stages.{stage}.{index}", out, 1 if index else 2, groups, numbers.squeeze)
    value = net.flatten(net.global_pool(value, "head.global_pool.pool"), "head.global_pool.flatten")
    return net.graph(variant, net.linear(value, "head.fc", classes), size or numbers.size)


def _block(net: Net, before: str, name: str, out: int, stride: int, groups: int, squeeze: float) -> str:
    ends = []
    for part, kernel in (("conv_1x1", 1), ("conv_kxk", 3)):
        end = net.conv(before, f"{name}.{part}.conv", out, kernel, stride, groups=groups)
        ends.append(net.norm(end, f"{name}.{part}.bn"))
    if stride == 1 and net.channels[before] == out:
        ends.append(net.norm(before, f"{name}.identity"))
    value, se = net.add(f"{name}.add", *ends), f"{name}.attn"
    if squeeze:
        value = net.squeeze_excite(value, se, f"{se}.fc1", f"{se}.fc2", round(out * squeeze))
    return net.act(value, f"{name}.act", "relu")
