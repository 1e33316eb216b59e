"""HRNet (Wang et al., arXiv:1908.07919): maps of up to four sizes side by side, each added to the others again.

- timm (models/hrnet.py).
- gluoncv (dmlc/gluon-cv gluoncv/model_zoo/hrnet.py): the same networks; sequences number their children.

Numbers are those of the two; `w18` is the number of channels of the largest map, each smaller one has twice as many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.architectures.net import GLUON, TORCH, Net
from zoo.graph import Graph


@dataclass(frozen=True)
class Variant:
    """One network."""

    width: int
    """Channels of the largest map."""
    first: tuple[int, int] = (4, 64)
    """Units of the first stage, and channels inside them."""
    modules: tuple[int, int, int] = (1, 4, 3)
    """Of the stages that follow."""
    units: int = 4
    """Of each map in a module."""


VARIANTS: Mapping[str, Variant] = {
    "hrnet-w18-small": Variant(16, (1, 32), (1, 1, 1), 2),
    "hrnet-w18-small-v2": Variant(18, (2, 64), (1, 3, 2), 2),
    **{f"hrnet-w{width}": Variant(width) for width in (18, 30, 32, 40, 44, 48, 64)},
}
PUBLISHED: Mapping[str, Sequence[str]] = dict.fromkeys(("timm", "gluoncv"), tuple(VARIANTS))
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}
HEAD = (32, 64, 128, 256)
"""Channels inside the last unit of each map; it gives four times as many."""
LAST = 2048


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    table = VARIANTS[variant]
    writer = _Writer(Net(GLUON if dialect == "gluoncv" else TORCH), gluon=dialect == "gluoncv")
    net, value = writer.net, "image"
    for index in (1, 2):
        value = net.norm(net.conv(value, f"conv{index}", 64, 3, 2), f"bn{index}")
        value = net.act(value, f"act{index}", "relu")
    repeats, inside = table.first
    for unit in range(repeats):
        value = writer.bottleneck(value, f"layer1.{unit}", inside)
    maps = [value]
    for stage, modules in enumerate(table.modules, 1):
        maps = writer.transition(maps, f"transition{stage}", [table.width << index for index in range(stage + 1)])
        for module in range(modules):
            maps = writer.module(maps, f"stage{stage + 1}.{module}", table.units)
    value = writer.head(maps)
    return net.graph(variant, net.linear(value, "classifier", classes), size or 224)


class _Writer:
    """Adds parts of the network in a publisher's names."""

    def __init__(self, net: Net, *, gluon: bool) -> None:
        self.net = net
        self.gluon = gluon

    def normed(
        self, value: str, name: str, out: int, kernel: int = 1, stride: int = 1, *, first: int = 0, act: bool = True,
        bias: bool = False,
    ) -> str:  # fmt: skip
        """Convolution, normalisation and ReLU that are children `first` and so on of a sequence."""
        value = self.net.conv(value, f"{name}.{first}", out, kernel, stride, bias=bias)
        value = self.net.norm(value, f"{name}.{first + 1}")
        return self.net.act(value, f"{name}.{first + 2}", "relu") if act else value

    def unit(self, value: str, name: str, layers: Sequence[tuple[int, int]]) -> str:
        """Convolutions (kernel, channels), the sum with the input, ReLU."""
        net, result = self.net, value
        for index, (kernel, out) in enumerate(layers):
            conv, norm, act = f"{name}.conv{index + 1}", f"{name}.bn{index + 1}", f"{name}.act{index + 1}"
            if self.gluon:
                conv, norm, act = (f"{name}.body.{3 * index + part}" for part in range(3))
            result = net.norm(net.conv(result, conv, out, kernel), norm)
            if index < len(layers) - 1:
                result = net.act(result, act, "relu")
        out = net.channels[result]
        if net.channels[value] != out:
            value = self.normed(value, f"{name}.downsample", out, act=False)
        return net.act(net.add(f"{name}.add", value, result), f"{name}.relu", "relu")

    def bottleneck(self, value: str, name: str, inside: int) -> str:
        return self.unit(value, name, ((1, inside), (3, inside), (1, 4 * inside)))

    def transition(self, maps: Sequence[str], name: str, channels: Sequence[int]) -> list[str]:
        """Gives the maps these channels, and makes a smaller one of the last."""
        changed = []
        for index, out in enumerate(channels):
            if index == len(maps):
                changed.append(self.normed(maps[-1], f"{name}.{index}.0", out, 3, 2))
            elif self.net.channels[maps[index]] != out:
                changed.append(self.normed(maps[index], f"{name}.{index}", out, 3))
            else:
                changed.append(maps[index])
        return changed

    def module(self, maps: Sequence[str], name: str, units: int) -> list[str]:
        """Units on each map; then each becomes the sum of all, brought to its size and channels."""
        worked = []
        for index, value in enumerate(maps):
            channels = self.net.channels[value]
            for unit in range(units):
                value = self.unit(value, f"{name}.branches.{index}.{unit}", ((3, channels), (3, channels)))
            worked.append(value)
        return [self._fused(worked, f"{name}.fuse_layers.{index}", index) for index in range(len(worked))]

    def _fused(self, maps: Sequence[str], name: str, to: int) -> str:
        net, total = self.net, ""
        for index, value in enumerate(maps):
            brought, branch = value, f"{name}.{index}"
            if index > to:
                brought = self.normed(value, branch, net.channels[maps[to]], act=False)
                scale = float(2 ** (index - to))
                brought = net.node(
                    "Resize", f"{branch}.upsample", brought, scales=[1.0, 1.0, scale, scale], mode="nearest",
                    coordinate_transformation_mode="asymmetric", nearest_mode="floor",
                )  # fmt: skip
            for step in range(to - index):
                last = step == to - index - 1
                out = net.channels[maps[to] if last else value]
                place, first = (branch, 3 * step) if self.gluon else (f"{branch}.{step}", 0)
                brought = self.normed(brought, place, out, 3, 2, first=first, act=not last)
            total = net.add(f"{branch}.add", total, brought) if total else brought
        return net.act(total, f"{name}.relu", "relu")

    def head(self, maps: Sequence[str]) -> str:
        """One unit more on each map, which are added from the largest to the smallest; the average of the last."""
        units, steps = ("incre_blocks", "downsamp_blocks") if self.gluon else ("incre_modules", "downsamp_modules")
        value = ""
        for index, (one, inside) in enumerate(zip(maps, HEAD, strict=True)):
            end = self.bottleneck(one, f"{units}.{index}.0", inside)
            if value:
                step = self.normed(value, f"{steps}.{index - 1}", 4 * inside, 3, 2, bias=True)
                end = self.net.add(f"{steps}.{index - 1}.add", end, step)
            value = end
        value = self.normed(value, "final_layer", LAST, bias=True)
        return self.net.flatten(self.net.global_pool(value, "global_pool.pool"), "global_pool.flatten")
