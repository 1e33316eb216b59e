"""DLA, deep layer aggregation (Yu et al., arXiv:1707.06484): trees of blocks whose roots take all that is below.

- ucbdrive (ucbdrive/dla dla.py): the authors'. Its files hold a projection more for each tree of trees, unused.
- timm (models/dla.py): the same networks, and two with Res2Net's blocks (arXiv:1904.01169).
- gluoncv (dmlc/gluon-cv gluoncv/model_zoo/dla.py): its classifier takes the averages of all levels, not the last one's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.architectures.net import GLUON, TORCH, Net
from zoo.graph import Graph


@dataclass(frozen=True)
class Variant:
    """One network."""

    levels: tuple[int, int, int, int]
    """Height of the tree of each level from 2 to 5."""
    channels: tuple[int, ...]
    """Of each level from 0 to 5."""
    block: str = "bottleneck"
    """Or `basic`, two 3x3 convolutions; or `res2net`."""
    groups: int = 1
    width: int = 64
    """Channels of a group for 64 of the block, and twice as many as a bottleneck has inside."""
    residual: bool = False
    """Whether a root adds its first input."""


_LARGE, _SMALL = (16, 32, 128, 256, 512, 1024), (16, 32, 64, 64, 128, 256)
VARIANTS: Mapping[str, Variant] = {
    "dla34": Variant((1, 2, 2, 1), (16, 32, 64, 128, 256, 512), "basic"),
    "dla46-c": Variant((1, 2, 2, 1), _SMALL),
    "dla46x-c": Variant((1, 2, 2, 1), _SMALL, groups=32, width=4),
    "dla60x-c": Variant((1, 2, 3, 1), _SMALL, groups=32, width=4),
    "dla60": Variant((1, 2, 3, 1), _LARGE),
    "dla60x": Variant((1, 2, 3, 1), _LARGE, groups=32, width=4),
    "dla102": Variant((1, 3, 4, 1), _LARGE, residual=True),
    "dla102x": Variant((1, 3, 4, 1), _LARGE, groups=32, width=4, residual=True),
    "dla102x2": Variant((1, 3, 4, 1), _LARGE, groups=64, width=4, residual=True),
    "dla169": Variant((2, 3, 5, 1), _LARGE, residual=True),
    "dla60-res2net": Variant((1, 2, 3, 1), _LARGE, "res2net", width=28),
    "dla60-res2next": Variant((1, 2, 3, 1), _LARGE, "res2net", groups=8, width=4),
}
PUBLISHED: Mapping[str, Sequence[str]] = {
    "ucbdrive": tuple(name for name in VARIANTS if "res2" not in name),
    "timm": tuple(VARIANTS),
    "gluoncv": ("dla34",),
}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}
SCALE = 4
"""Parts of a map in a Res2Net block."""
UNUSED = "a projection of a tree of trees, whose result nothing takes"


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    numbers = VARIANTS[variant]
    net = _Dla(numbers, gluon=dialect == "gluoncv")
    levels = net.levels()
    if dialect == "gluoncv":
        averages = [net.flatten(net.global_pool(v, f"pool{i}"), f"flatten{i}") for i, v in enumerate(levels)]
        return net.graph(variant, net.linear(net.concat("averages", *averages), "fc", classes), size or 224)
    value = net.conv(net.global_pool(levels[-1], "global_pool.pool"), "fc", classes, bias=True)
    ignored = {
        f"level{level}{'.tree1' * depth}.project.*": UNUSED
        for level, height in enumerate(numbers.levels, 2)
        for depth in range(height - 1)
    }
    return net.graph(variant, net.flatten(value, "flatten"), size or 224, ignored=ignored)


class _Dla(Net):
    """Layers of one network."""

    def __init__(self, numbers: Variant, *, gluon: bool) -> None:
        super().__init__(GLUON if gluon else TORCH)
        self.numbers = numbers

    def levels(self) -> list[str]:
        """Returns what each level gives."""
        channels = self.numbers.channels
        value = self.layer("image", "base_layer.0", "base_layer.1", channels[0], 7)
        values = []
        for level, stride in enumerate((1, 2)):
            value = self.layer(value, f"level{level}.0", f"level{level}.1", channels[level], 3, stride)
            values.append(value)
        for level, height in enumerate(self.numbers.levels, 2):
            below: list[str] = []
            value = self.tree(value, f"level{level}", height, channels[level], 2, below, keeps=level > 2)
            values.append(value)
        return values

    def tree(
        self, value: str, name: str, height: int, out: int, stride: int, below: list[str], *, keeps: bool = False
    ) -> str:
        """A tree; its root takes `below` besides, and with `keeps` also the tree's input."""
        bottom = self.max_pool(value, f"{name}.downsample", stride, stride) if stride > 1 else value
        if keeps:
            below = [*below, bottom]
        if height > 1:
            first = self.tree(value, f"{name}.tree1", height - 1, out, stride, [])
            return self.tree(first, f"{name}.tree2", height - 1, out, 1, [*below, first])
        shortcut = bottom
        if self.channels[value] != out:
            shortcut = self.norm(self.conv(bottom, f"{name}.project.0", out), f"{name}.project.1")
        first = self.block(value, f"{name}.tree1", out, stride, shortcut)
        second = self.block(first, f"{name}.tree2", out, 1, first)
        joined = self.concat(f"{name}.root.cat", second, first, *below)
        root = self.norm(self.conv(joined, f"{name}.root.conv", out), f"{name}.root.bn")
        if self.numbers.residual:
            root = self.add(f"{name}.root.add", root, second)
        return self.act(root, f"{name}.root.relu", "relu")

    def block(self, value: str, name: str, out: int, stride: int, shortcut: str) -> str:
        numbers = self.numbers
        inside = out * numbers.width // 64 * numbers.groups // 2
        if numbers.block == "basic":
            end = self.layer(value, f"{name}.conv1", f"{name}.bn1", out, 3, stride)
            end = self.norm(self.conv(end, f"{name}.conv2", out, 3), f"{name}.bn2")
        else:
            if numbers.block == "res2net":
                end = self.layer(value, f"{name}.conv1", f"{name}.bn1", inside * SCALE)
                end = self.scales(end, name, inside, stride)
            else:
                end = self.layer(value, f"{name}.conv1", f"{name}.bn1", inside)
                end = self.layer(end, f"{name}.conv2", f"{name}.bn2", inside, 3, stride, groups=numbers.groups)
            end = self.norm(self.conv(end, f"{name}.conv3", out), f"{name}.bn3")
        return self.act(self.add(f"{name}.add", end, shortcut), f"{name}.relu", "relu")

    def scales(self, value: str, name: str, width: int, stride: int) -> str:
        """Parts of a map, each of which is added to the next before its convolution, except where there is a stride."""
        parts = self.split(value, f"{name}.split", *(width,) * SCALE)
        ends: list[str] = []
        for index, part in enumerate(parts[:-1]):
            if ends and stride == 1:
                part = self.add(f"{name}.sum{index}", ends[-1], part)
            conv, norm = f"{name}.convs.{index}", f"{name}.bns.{index}"
            ends.append(self.layer(part, conv, norm, width, 3, stride, groups=self.numbers.groups))
        last = parts[-1] if stride == 1 else self.avg_pool(parts[-1], f"{name}.pool", 3, stride, pad=1)
        return self.concat(f"{name}.cat", *ends, last)

    def layer(
        self, value: str, conv: str, norm: str, out: int, kernel: int = 1, stride: int = 1, *, groups: int = 1
    ) -> str:
        """Convolution, batch normalisation, ReLU."""
        value = self.norm(self.conv(value, conv, out, kernel, stride, groups=groups), norm)
        return self.act(value, f"{norm}.relu", "relu")
