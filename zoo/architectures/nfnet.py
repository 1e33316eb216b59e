"""Networks without normalisation (Brock et al., arXiv:2101.08692, arXiv:2102.06171): NFNets, ResNets, RegNets.

Source: timm (models/nfnet.py). Kernels are standardised and scaled: by what a file has for each output (`gain`), by the
number of inputs, and by what keeps the variance through an activation, which DeepMind's networks (`dm`) do behind each
activation instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from zoo.architectures.net import TORCH, Net, Padding, scaled
from zoo.architectures.resnet import eca_kernel
from zoo.graph import Graph


@dataclass(frozen=True)
class Variant:
    """One network."""

    depths: tuple[int, ...]
    channels: tuple[int, ...]
    stem: str
    """`quad`, four 3x3 convolutions; `3x3`; or `7x7` and a pool."""
    stem_channels: int = 0
    """If not those of the first stage."""
    width: float = 1.0
    inside: float = 0.5
    """Channels inside a block, for one of its result, or of its input where it is `reg`."""
    group: int = 0
    """Channels of a group; 0 for one group."""
    features: int = 0
    """Of a last 1x1 convolution, if there is one."""
    reg: bool = False
    """Whether blocks are RegNet's, with attention before their last convolution, not behind it."""
    extra: bool = False
    """Whether blocks have two 3x3 convolutions."""
    attention: str = ""
    squeeze: float = 0.5
    act: str = "gelu"
    deepmind: bool = False
    """Whether activations are scaled, padding is TensorFlow's, and branches are multiplied by a number of the file."""
    size: int = 224
    """Rows and columns of the input, pixels."""


_F_SIZES = (192, 224, 256, 320, 384, 416, 448, 480)
_F = Variant((1, 2, 6, 3), (256, 512, 1536, 1536), "quad", 128, group=128, features=3072, extra=True, attention="se")
_L = replace(_F, group=64, inside=0.25, act="silu")
_ECA = replace(_L, attention="eca")
_RES = Variant((3, 4, 6, 3), (256, 512, 1024, 2048), "7x7", 64, inside=0.25, act="relu")
_REG = Variant(
    (1, 3, 6, 6), (48, 104, 208, 440), "3x3", width=0.75, inside=2.25, group=8, reg=True, attention="se", act="silu"
)
_RES_DEPTHS = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def _f(number: int, *, deepmind: bool) -> Variant:
    depths = tuple(depth * (number + 1) for depth in _F.depths)
    return replace(_F, depths=depths, deepmind=deepmind, size=_F_SIZES[number])


def _reg(depths: tuple[int, ...], channels: tuple[int, ...], size: int) -> Variant:
    return replace(_REG, depths=depths, channels=channels, features=1280 * channels[-1] // 440, size=size)


def _eca(times: int, size: int) -> Variant:
    return replace(_ECA, depths=tuple(depth * times for depth in _ECA.depths), size=size)


VARIANTS: Mapping[str, Variant] = {
    **{f"dm-nfnet-f{number}": _f(number, deepmind=True) for number in range(7)},
    **{f"nfnet-f{number}": _f(number, deepmind=False) for number in range(8)},
    "nfnet-l0": replace(_L, features=2304, squeeze=0.25),
    "eca-nfnet-l0": replace(_ECA, features=2304),
    "eca-nfnet-l1": _eca(2, 256),
    "eca-nfnet-l2": _eca(3, 320),
    "eca-nfnet-l3": _eca(4, 352),
    "nf-regnet-b0": _reg((1, 3, 6, 6), (48, 104, 208, 440), 192),
    "nf-regnet-b1": _reg((2, 4, 7, 7), (48, 104, 208, 440), 256),
    "nf-regnet-b2": _reg((2, 4, 8, 8), (56, 112, 232, 488), 240),
    "nf-regnet-b3": _reg((2, 5, 9, 9), (56, 128, 248, 528), 288),
    "nf-regnet-b4": _reg((2, 6, 11, 11), (64, 144, 288, 616), 320),
    "nf-regnet-b5": _reg((3, 7, 14, 14), (80, 168, 336, 704), 384),
    **{
        f"nf-{attention}resnet{depth}": replace(
            _RES,
            depths=depths,
            attention=attention,
            squeeze=1 / 16,
            size=256 if (attention, depth) == ("", 50) else 224,
        )
        for attention in ("", "se", "eca")
        for depth, depths in _RES_DEPTHS.items()
    },
    "test-nfnet": replace(
        _L, depths=(1, 1, 1, 1), channels=(32, 64, 96, 128), group=8, features=192, squeeze=0.25, size=160
    ),
}
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}
GAMMAS: Mapping[str, float] = {"gelu": 1.7015043497085571, "silu": 1.7881293296813965, "relu": 1.7139588594436646}
"""By what an activation makes the variance of a normal input smaller (deepmind-research nfnets/base.py)."""
EPSILON = 1e-5
"""Of standardised kernels."""
ALPHA, ATTENTION_GAIN = 0.2, 2.0


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only.

    Kernels are standardised once, when a file is bound: fine-tuning goes on with them as plain kernels.
    """
    net = _NFNet(VARIANTS[variant])
    return net.graph(variant, net.network(classes), size or VARIANTS[variant].size)


class _NFNet(Net):
    """Layers of one network."""

    def __init__(self, numbers: Variant) -> None:
        super().__init__(TORCH)
        self.numbers = numbers

    def network(self, classes: int) -> str:
        numbers = self.numbers
        value, variance = self.stem("image"), 1.0
        for stage, depth in enumerate(numbers.depths):
            out = scaled(numbers.channels[stage], numbers.width)
            for index in range(depth):
                stride = 1 if index or (stage == 0 and numbers.stem != "3x3") else 2
                inside = 1.0 if numbers.reg and not stage and not index else numbers.inside
                value = self.block(value, f"stages.{stage}.{index}", out, stride, inside, variance**-0.5)
                variance = ALPHA**2 + (variance if index else 1.0)
        if numbers.features:
            value = self.weighted(value, "final_conv", scaled(numbers.features, numbers.width))
        value = self.activated(value, "final_act")
        value = self.flatten(self.global_pool(value, "head.global_pool.pool"), "head.global_pool.flatten")
        return self.linear(value, "head.fc", classes)

    def stem(self, value: str) -> str:
        numbers = self.numbers
        out = scaled(numbers.stem_channels or numbers.channels[0], numbers.width)
        if numbers.stem == "quad":
            for index, (part, stride) in enumerate(((8, 2), (4, 1), (2, 1), (1, 2)), 1):
                value = self.activated(value, f"stem.act{index}") if index > 1 else value
                value = self.weighted(value, f"stem.conv{index}", out // part, 3, stride)
            return value
        value = self.weighted(value, "stem.conv", out, 3 if numbers.stem == "3x3" else 7, 2)
        return value if numbers.stem == "3x3" else self.max_pool(value, "stem.pool", 3, 2, pad=1)

    def block(self, before: str, name: str, out: int, stride: int, share: float, beta: float) -> str:
        """A block; `beta` brings its input, whose variance has grown from block to block, back to one."""
        numbers, entering = self.numbers, self.channels[before]
        inside, groups = scaled((entering if numbers.reg else out) * share), 1
        if numbers.group:
            groups = inside // numbers.group
            inside = numbers.group * groups
        value = self.activated(before, f"{name}.act1", beta)
        shortcut = before
        if stride > 1 or entering != out:
            shortcut = value
            if stride > 1:
                shortcut = self.avg_pool(value, f"{name}.downsample.pool", 2, stride, ceil=True, include_pad=False)
            shortcut = self.weighted(shortcut, f"{name}.downsample.conv", out)
        value = self.activated(self.weighted(value, f"{name}.conv1", inside), f"{name}.act2")
        value = self.weighted(value, f"{name}.conv2", inside, 3, stride, groups=groups)
        if numbers.extra:
            value = self.weighted(self.activated(value, f"{name}.act2b"), f"{name}.conv2b", inside, 3, groups=groups)
        if numbers.reg:
            value = self.attended(value, f"{name}.attn")
        value = self.weighted(self.activated(value, f"{name}.act3"), f"{name}.conv3", out)
        if not numbers.reg:
            value = self.attended(value, f"{name}.attn_last")
        if numbers.deepmind:
            value = self.node("Mul", f"{name}.skipinit", value, self.param(f"{name}.skipinit_gain"))
        return self.add(f"{name}.add", self.times(value, f"{name}.alpha", ALPHA), shortcut)

    def attended(self, value: str, name: str) -> str:
        numbers, channels = self.numbers, self.channels[value]
        if numbers.attention == "se":
            squeezed = scaled(channels, numbers.squeeze, limit=0)
            return self.squeeze_excite(value, name, f"{name}.fc1", f"{name}.fc2", squeezed, gain=ATTENTION_GAIN)
        if numbers.attention == "eca":
            return self.times(self.eca(value, name, eca_kernel(channels)), f"{name}.times", ATTENTION_GAIN)
        return value

    def activated(self, value: str, name: str, times: float = 1.0) -> str:
        gamma = GAMMAS[self.numbers.act] if self.numbers.deepmind else 1.0
        return self.times(self.act(value, name, self.numbers.act), f"{name}.times", gamma * times)

    def weighted(self, value: str, name: str, out: int, kernel: int = 1, stride: int = 1, *, groups: int = 1) -> str:
        """A convolution of a standardised kernel, scaled, and its bias."""
        numbers = self.numbers
        inputs = self.channels[value] // groups * kernel**2
        pad: Padding = "same" if numbers.deepmind else None
        value = self.conv(value, name, out, kernel, stride, pad=pad, groups=groups, standardize=EPSILON)
        gain = self.param(f"{name}.gain", out, 1, 1, stored=(out, 1, 1, 1))
        value = self.node("Mul", f"{name}.gained", value, gain)
        gamma = 1.0 if numbers.deepmind else GAMMAS[numbers.act]
        value = self.times(value, f"{name}.scaled", gamma * inputs**-0.5)
        return self.node("Add", f"{name}.biased", value, self.param(f"{name}.bias", out, 1, 1, stored=(out,)))
