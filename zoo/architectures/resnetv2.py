"""ResNet v2: batch normalisation and ReLU before each convolution (He et al., arXiv:1603.05027), and BiT.

- timm (models/resnetv2.py): the stride is in the first unit's 3x3 convolution. `d` and `t` networks have a stem of
  three 3x3 convolutions and average pools before strided shortcuts; `gn` ones group normalisations. BiT
  (arXiv:1912.11370) has group normalisations and standardised kernels, and its stem's max pool takes the zeros around
  the map for numbers. `evos` has EvoNorm (`evonorm.py`); the networks with FRN are not here.
- slim (tensorflow/models research/slim/nets/resnet_v2.py): the stride is in the last unit of a block, whose shortcut
  is a 1x1 max pool; convolutions that no normalisation follows have a bias. Published for inputs of 299.
- official (tensorflow/models official/r1/resnet/resnet_model.py, `resnet_version=2`): stride as timm's; the max pool
  pads as TensorFlow's SAME. Layers are numbered through: `conv2d`, `conv2d_1`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.architectures import evonorm
from zoo.architectures.net import TORCH, Net
from zoo.architectures.resnet_tf import DEPTHS, IGNORED, NUMBERED, REPEATS, SLIM_STYLE, TPU_STYLE, Dialect, Names
from zoo.graph import Graph


@dataclass(frozen=True)
class Variant:
    """One network."""

    depth: int
    stem: str = ""
    """`d` or `t` for three convolutions, the first half or three eighths as wide; `bit` for a pool that takes zeros."""
    width: int = 1
    groups: bool = False
    """Whether it has group normalisations; else batch normalisations."""
    size: int = 224
    """Rows and columns of the input, pixels."""
    evo: bool = False
    """Whether normalisation and activation are EvoNorm-S0."""


def _bit() -> dict[str, Variant]:
    """Depth, width and the input of timm's first weights."""
    networks = ((50, 1, 224), (50, 3, 448), (101, 1, 448), (101, 3, 448), (152, 2, 224), (152, 4, 480))
    return {f"resnetv2-{d}x{width}-bit": Variant(d, "bit", width, True, size) for d, width, size in networks}


VARIANTS: Mapping[str, Variant] = {
    **{f"resnetv2-{depth}": Variant(depth) for depth in DEPTHS},
    **{f"resnetv2-{depth}d": Variant(depth, "d") for depth in DEPTHS[:-1]},
    "resnetv2-50t": Variant(50, "t"),
    "resnetv2-50d-gn": Variant(50, "d", groups=True),
    "resnetv2-50d-evos": Variant(50, "d", evo=True),
    **_bit(),
}
PUBLISHED: Mapping[str, Sequence[str]] = {
    "timm": tuple(name for name in VARIANTS if name != "resnetv2-200"),
    "slim": tuple(f"resnetv2-{depth}" for depth in DEPTHS[2:]),
    "official": tuple(f"resnetv2-{depth}" for depth in DEPTHS),
}
TIMM = {name.replace("-", "_"): (name, "timm") for name in PUBLISHED["timm"]}

_TIMM_NAMES = {
    "conv": "{unit}{layer}", "conv shortcut": "{unit}downsample.conv", "act": "{unit}{layer}.act", "add": "{unit}add",
    "norm preact": "{unit}norm1", "norm conv1": "{unit}norm2", "norm conv2": "{unit}norm3",
    "norm postnorm": "norm", "act postnorm": "norm.act", "conv logits": "head.fc",
}  # fmt: skip
_SLIM_NAMES = {
    "conv": "{unit}{layer}", "act": "{unit}{layer}/Relu", "add": "{unit}add",
    "norm": "{unit}{layer}/BatchNorm", "norm preact": "{unit}preact", "norm postnorm": "postnorm",
}  # fmt: skip
DIALECTS = {
    "timm": Dialect(TORCH, "", "stages.{stage}.blocks.{place}.", _TIMM_NAMES),
    "slim": Dialect(SLIM_STYLE, "resnet_v2_{depth}/", "block{block}/unit_{index}/bottleneck_v2/", _SLIM_NAMES, True),
    "official": Dialect(TPU_STYLE, "resnet_model/", "", NUMBERED),
}
GROUPS = 32
BIT_EPSILON = 1e-8
"""Of BiT's standardised kernels."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only.

    BiT's kernels are standardised once, when a file is bound: fine-tuning goes on with them as plain kernels.
    """
    network, as_written = VARIANTS[variant], DIALECTS[dialect]
    builder = _Builder(network, dialect)
    net, names = builder.net, builder.names
    value = builder.stem()
    for block, repeats in enumerate(REPEATS[network.depth]):
        for index in range(repeats):
            names.unit = as_written.unit.format(block=block + 1, index=index + 1, stage=block, place=index)
            strided = (index == repeats - 1 and block < 3) if as_written.stride_last else (index == 0 and block > 0)
            value = builder.unit(value, (64 << block) * network.width, 2 if strided else 1, first=index == 0)
    names.unit = ""
    value = builder.norm_act(value, "postnorm")
    if dialect == "official":
        value = net.flatten(net.global_pool(value, f"{names.root}final_reduce_mean"), f"{names.root}flatten")
        return net.graph(variant, net.linear(value, names("dense"), classes), size or 224, ignored=IGNORED)
    value = net.global_pool(value, f"{names.root}pool5" if dialect == "slim" else "head.global_pool.pool")
    value = net.conv(value, names("conv", "logits"), classes, bias=True)
    value = net.flatten(value, f"{names.root}squeezed" if dialect == "slim" else "head.flatten")
    if dialect == "slim":
        return net.graph(variant, value, size or 299, ignored=IGNORED)
    return net.graph(variant, value, size or network.size)


class _Builder:
    """Layers of one network in one dialect."""

    def __init__(self, network: Variant, dialect: str) -> None:
        self.network = network
        self.dialect = dialect
        self.net = Net(DIALECTS[dialect].style)
        self.names = Names(DIALECTS[dialect].names, DIALECTS[dialect].root.format(depth=network.depth))

    def conv(
        self, value: str, name: str, channels: int, kernel: int = 1, stride: int = 1, *, bias: bool = False
    ) -> str:
        standardize = BIT_EPSILON if self.network.stem == "bit" else None
        return self.net.conv(value, name, channels, kernel, stride, bias=bias, standardize=standardize)

    def norm_act(self, value: str, layer: str) -> str:
        name = self.names("norm", layer)
        act = f"{name}.act" if self.dialect == "timm" else self.names("act", layer)
        return self._active(value, name, act)

    def stem(self) -> str:
        if self.dialect != "timm":
            value = self.conv("image", self.names("conv", "conv1"), 64, 7, 2, bias=self.dialect == "slim")
            return self.net.max_pool(value, f"{self.names.root}pool1", 3, 2, pad="same")
        channels = 64 * self.network.width
        if self.network.stem in ("d", "t"):
            value = self.conv("image", "stem.conv1", 32 if self.network.stem == "d" else 24, 3, 2)
            value = self._active(value, "stem.norm1")
            value = self.conv(value, "stem.conv2", 32, 3)
            value = self._active(value, "stem.norm2")
            value = self.conv(value, "stem.conv3", channels, 3)
        else:
            value = self.conv("image", "stem.conv", channels, 7, 2)
        if self.network.stem == "bit":
            value = self.net.node("Pad", "stem.pad", value, pads=(0, 0, 1, 1, 0, 0, 1, 1), mode="constant", value=0.0)
            return self.net.max_pool(value, "stem.pool", 3, 2)
        return self.net.max_pool(value, "stem.pool", 3, 2, pad=1)

    def unit(self, before: str, inner: int, stride: int, *, first: bool) -> str:
        basic = self.network.depth < 50
        layers = (
            [(inner, 3, stride), (inner, 3, 1)] if basic else [(inner, 1, 1), (inner, 3, stride), (4 * inner, 1, 1)]
        )
        value = self.norm_act(before, "preact")
        shortcut = self._shortcut(before, value, layers[-1][0], stride, first=first)
        for index, (channels, kernel, step) in enumerate(layers, 1):
            last = index == len(layers)
            name = self.names("conv", f"conv{index}")
            value = self.conv(value, name, channels, kernel, step, bias=last and self.dialect == "slim")
            if not last:
                value = self.norm_act(value, f"conv{index}")
        return self.net.add(self.names("add"), value, shortcut)

    def _shortcut(self, before: str, preact: str, channels: int, stride: int, *, first: bool) -> str:
        # timm's basic units project only where the shape changes.
        kept = self.dialect == "timm" and stride == 1 and self.net.channels[before] == channels
        if first and not (kept and self.network.depth < 50):
            name = self.names("conv", "shortcut")
            if self.network.stem in ("d", "t") and stride == 2:
                pool = f"{self.names.unit}downsample.pool"
                preact, stride = self.net.avg_pool(preact, pool, 2, 2, ceil=True, include_pad=False), 1
            return self.conv(preact, name, channels, 1, stride, bias=self.dialect == "slim")
        return self.net.max_pool(before, self.names("conv", "shortcut"), 1, 2) if stride == 2 else before

    def _active(self, value: str, name: str, act: str = "") -> str:
        """Normalisation and activation, named after it where nothing else is said."""
        if self.network.evo:
            return evonorm.normed(self.net, value, name, GROUPS)
        normed = self.net.group_norm(value, name, GROUPS) if self.network.groups else self.net.norm(value, name)
        return self.net.act(normed, act or f"{name}.act", "relu")
