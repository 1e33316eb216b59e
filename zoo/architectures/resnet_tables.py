"""Numbers and names of `resnet.py`'s networks.

Sources: timm/models/resnet.py and, of the pruned ones, timm/models/_pruned (huggingface/pytorch-image-models);
torchvision/models/resnet.py (pytorch/vision); pretrainedmodels/models/fbresnet.py, cafferesnet.py and
resnext_features (Cadene/pretrained-models.pytorch); ibnnet (XingangPan/IBN-Net).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

BASIC, BOTTLENECK = (3, 3), (1, 3, 1)
"""Kernels of a block's branch: two 3x3; or 1x1 to fewer channels, 3x3, and 1x1 to four times the stage's."""

Layer = tuple[str, str, str]
"""Names of a convolution, its normalisation and its activation."""


@dataclass(frozen=True)
class Variant:
    """One network: what its names do not say."""

    depths: tuple[int, ...]
    """Blocks of each stage."""
    blocks: tuple[tuple[int, ...], ...] = (BOTTLENECK,) * 4
    """Kind of each stage's."""
    channels: tuple[int, ...] = (64, 128, 256, 512)
    """Of each stage; a bottleneck gives four times as many."""
    strided: int = 1
    """Which convolution of a bottleneck has the stride: 0 as in the paper's Caffe files ("v1"), 1 as in Torch's and
    nearly all since ("v1.5"). Of two 3x3 always the first."""
    groups: int = 1
    width: int = 64
    """Channels per group inside a bottleneck, for 64 of the stage."""
    narrower: int = 1
    """By what the first 1x1 has fewer channels than the 3x3 behind it."""
    stem: tuple[int, ...] = (64,)
    """Channels of a 7x7 convolution, or of three 3x3."""
    stem_pool: Literal["max", "ceil", "conv"] = "max"
    """`ceil`: without padding, and as many windows as begin inside; `conv`: a strided 3x3 convolution instead."""
    shortcut: int = 1
    """Kernel of a convolution on the shortcut where it has a stride."""
    averaged: bool = False
    """Whether the shortcut is averaged over 2x2 instead of taking every other position."""
    blur: Literal["", "average", "binomial"] = ""
    """What halves maps instead of a stride: the average over 2x2, or a 3x3 filter."""
    attention: Literal["", "se", "eca"] = ""
    squeeze: int = 16
    """By what squeeze-and-excitation has fewer channels."""
    bias: bool = False
    """Whether convolutions have one."""
    norm: Literal["batch", "group"] = "batch"
    mixed: int = 0
    """In how many stages half of what a block's first convolution gives is normalised by instance (IBN-Net)."""
    pruned: tuple[tuple[tuple[int, ...], ...], ...] = ()
    """Channels of each block's convolutions but the last, by stage, where pruning left them irregular."""
    left: tuple[int, ...] = ()
    """Channels that pruning left of each stage's result."""
    size: int = 224
    """Rows and columns of the input, pixels."""


@dataclass(frozen=True)
class Names:
    """How one publisher calls the layers; those of a block stand behind its prefix."""

    stem: Layer = ("conv1", "bn1", "act1")
    deep_stem: tuple[Layer, ...] = (
        ("conv1.0", "conv1.1", "conv1.2"),
        ("conv1.3", "conv1.4", "conv1.5"),
        ("conv1.6", "bn1", "act1"),
    )
    pool: str = "maxpool"
    stem_conv: Layer = ("maxpool.0", "maxpool.1", "maxpool.2")
    """In the place of the pool."""
    block: str = "layer{stage}.{unit}."
    """Prefix, from `stage` counted from 1 (or its place among a sequence's children) and `unit` counted from 0."""
    layers: tuple[Layer, ...] = (("conv1", "bn1", "act1"), ("conv2", "bn2", "act2"), ("conv3", "bn3", "act3"))
    """A branch's convolutions; the last one's activation is behind the sum."""
    blur: str = "aa"
    shortcut: tuple[str, str] = ("downsample.0", "downsample.1")
    averaged: tuple[str, str, str] = ("downsample.0", "downsample.1", "downsample.2")
    """Average, convolution and normalisation."""
    se: tuple[str, str, str] = ("se", "se.fc1", "se.fc2")
    dense_se: bool = False
    """Whether its layers are dense ones without bias; else 1x1 convolutions."""
    add: str = "add"
    head: tuple[str, str, str] = ("global_pool.pool", "global_pool.flatten", "fc")
    whole_map: bool = True
    """Whether the head averages a map of any size; else a window of 7x7."""


# ------------------------------------------------------------------------------------------------------------ networks

_DEPTHS: Mapping[int, tuple[int, ...]] = {
    10: (1, 1, 1, 1), 14: (1, 1, 1, 1), 18: (2, 2, 2, 2), 26: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3),
    101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3), 201: (3, 24, 36, 4), 269: (3, 30, 48, 8),
}  # fmt: skip
_OF_BASIC_BLOCKS = (10, 18, 34)
_STYLES: Mapping[str, Mapping[str, Any]] = {
    "": {},
    "c": {"stem": (32, 32, 64)},
    "d": {"stem": (32, 32, 64), "averaged": True},
    "e": {"stem": (64, 64, 128), "averaged": True},
    "s": {"stem": (64, 64, 128)},
    "t": {"stem": (24, 32, 64), "averaged": True},
}
"""Gluon's and timm's letters behind a depth."""


def of_depth(depth: int, style: str = "", **more: Any) -> Variant:
    """Returns the numbers that a depth and a letter mean, and others by name."""
    blocks = (BASIC if depth in _OF_BASIC_BLOCKS else BOTTLENECK,) * 4
    return Variant(**{"depths": _DEPTHS[depth], "blocks": blocks, **_STYLES[style], **more})


def _rs(depths: tuple[int, ...], size: int) -> Variant:
    """ResNet-RS (arXiv:2103.07579)."""
    return Variant(depths, **_STYLES["d"], stem_pool="conv", attention="se", squeeze=4, size=size)


_SE: Mapping[str, Any] = {"attention": "se"}
_ECA: Mapping[str, Any] = {"attention": "eca"}
_4D: Mapping[str, Any] = {"groups": 32, "width": 4}
_8D: Mapping[str, Any] = {"groups": 32, "width": 8}
_64X4D: Mapping[str, Any] = {"groups": 64, "width": 4}
_AVERAGE: Mapping[str, Any] = {"blur": "average"}
_BINOMIAL: Mapping[str, Any] = {"blur": "binomial"}

TIMM_VARIANTS: Mapping[str, Variant] = {
    "resnet10t": of_depth(10, "t", size=176),
    "resnet14t": of_depth(14, "t", size=176),
    "resnet18": of_depth(18),
    "resnet18d": of_depth(18, "d"),
    "resnet26": of_depth(26),
    "resnet26d": of_depth(26, "d"),
    "resnet26t": of_depth(26, "t", size=256),
    "resnet34": of_depth(34),
    "resnet34d": of_depth(34, "d"),
    "resnet50": of_depth(50),
    "resnet50c": of_depth(50, "c"),
    "resnet50d": of_depth(50, "d"),
    "resnet50s": of_depth(50, "s"),
    "resnet50t": of_depth(50, "t"),
    "resnet50-gn": of_depth(50, norm="group"),
    "resnet101": of_depth(101),
    "resnet101c": of_depth(101, "c"),
    "resnet101d": of_depth(101, "d", size=256),
    "resnet101s": of_depth(101, "s"),
    "resnet152": of_depth(152),
    "resnet152c": of_depth(152, "c"),
    "resnet152d": of_depth(152, "d", size=256),
    "resnet152s": of_depth(152, "s"),
    "resnet200": of_depth(200),
    "resnet200d": of_depth(200, "d", size=256),
    "wide-resnet50-2": of_depth(50, width=128),
    "wide-resnet101-2": of_depth(101, width=128),
    "resnext50-32x4d": of_depth(50, **_4D),
    "resnext50d-32x4d": of_depth(50, "d", **_4D),
    "resnext101-32x4d": of_depth(101, **_4D),
    "resnext101-32x8d": of_depth(101, **_8D),
    "resnext101-32x16d": of_depth(101, groups=32, width=16),
    "resnext101-32x32d": of_depth(101, groups=32, width=32),
    "resnext101-64x4d": of_depth(101, **_64X4D),
    "ecaresnet26t": of_depth(26, "t", **_ECA, size=256),
    "ecaresnet50d": of_depth(50, "d", **_ECA),
    "ecaresnet50t": of_depth(50, "t", **_ECA, size=256),
    "ecaresnet101d": of_depth(101, "d", **_ECA),
    "ecaresnet200d": of_depth(200, "d", **_ECA, size=256),
    "ecaresnet269d": of_depth(269, "d", **_ECA, size=320),
    "ecaresnetlight": Variant((1, 1, 11, 3), averaged=True, **_ECA),
    "ecaresnext26t-32x4d": of_depth(26, "t", **_4D, **_ECA),
    "ecaresnext50t-32x4d": of_depth(50, "t", **_4D, **_ECA),
    "ecaresnet50d-pruned": of_depth(50, "d", **_ECA, left=(19, 171, 818, 2022), pruned=(
        ((47, 18), (52, 22), (64, 35)),
        ((85, 37), (107, 80), (120, 85), (125, 87)),
        ((198, 126), (255, 232), (256, 233), (253, 235), (256, 225), (256, 239)),
        ((492, 237), (512, 500), (512, 490)),
    )),
    "ecaresnet101d-pruned": of_depth(101, "d", **_ECA, left=(26, 142, 278, 2042), pruned=(
        ((45, 25), (53, 20), (60, 27)),
        ((81, 24), (93, 49), (102, 54), (122, 78)),
        ((101, 25), (239, 160), (234, 156), (250, 176), (253, 191), (251, 175), (230, 128), (244, 154), (244, 159),
         (238, 97), (244, 149), (253, 181), (245, 119), (255, 216), (256, 201), (253, 149), (254, 141), (256, 190),
         (256, 217), (255, 156), (256, 155), (256, 232), (256, 214)),
        ((499, 289), (512, 512), (512, 502)),
    )),
    "seresnet18": of_depth(18, **_SE),
    "seresnet34": of_depth(34, **_SE),
    "seresnet50": of_depth(50, **_SE),
    "seresnet50t": of_depth(50, "t", **_SE),
    "seresnet101": of_depth(101, **_SE),
    "seresnet152": of_depth(152, **_SE),
    "seresnet152d": of_depth(152, "d", **_SE, size=256),
    "seresnet200d": of_depth(200, "d", **_SE, size=256),
    "seresnet269d": of_depth(269, "d", **_SE, size=256),
    "seresnext26d-32x4d": of_depth(26, "d", **_4D, **_SE),
    "seresnext26t-32x4d": of_depth(26, "t", **_4D, **_SE),
    "seresnext50-32x4d": of_depth(50, **_4D, **_SE),
    "seresnext101-32x4d": of_depth(101, **_4D, **_SE),
    "seresnext101-32x8d": of_depth(101, **_8D, **_SE),
    "seresnext101d-32x8d": of_depth(101, "d", **_8D, **_SE),
    "seresnext101-64x4d": of_depth(101, **_64X4D, **_SE),
    "senet154": of_depth(152, "s", **_64X4D, **_SE, narrower=2, shortcut=3),
    "resnetblur18": of_depth(18, **_BINOMIAL),
    "resnetblur50": of_depth(50, **_BINOMIAL),
    "resnetblur50d": of_depth(50, "d", **_BINOMIAL),
    "resnetblur101d": of_depth(101, "d", **_BINOMIAL),
    "resnetaa34d": of_depth(34, "d", **_AVERAGE),
    "resnetaa50": of_depth(50, **_AVERAGE),
    "resnetaa50d": of_depth(50, "d", **_AVERAGE),
    "resnetaa101d": of_depth(101, "d", **_AVERAGE),
    "seresnetaa50d": of_depth(50, "d", **_AVERAGE, **_SE),
    "seresnextaa101d-32x8d": of_depth(101, "d", **_8D, **_AVERAGE, **_SE, size=288),
    "seresnextaa201d-32x8d": of_depth(201, "e", **_8D, **_AVERAGE, **_SE, size=384),
    "resnetrs50": _rs((3, 4, 6, 3), 160),
    "resnetrs101": _rs((3, 4, 23, 3), 192),
    "resnetrs152": _rs((3, 8, 36, 3), 256),
    "resnetrs200": _rs((3, 24, 36, 3), 256),
    "resnetrs270": _rs((4, 29, 53, 4), 256),
    "resnetrs350": _rs((4, 36, 72, 4), 288),
    "resnetrs420": _rs((4, 44, 87, 4), 320),
    "test-resnet": Variant(
        (1, 1, 1, 1), (BASIC, BASIC, BOTTLENECK, BASIC), (32, 48, 48, 96), stem=(16, 16, 32), averaged=True, size=160
    ),
}  # fmt: skip
VARIANTS: Mapping[str, Variant] = {
    **TIMM_VARIANTS,
    # facebook/fb.resnet.torch, whose convolutions have biases
    "fbresnet152": of_depth(152, bias=True),
    # KaimingHe/deep-residual-networks
    "cafferesnet101": of_depth(101, strided=0, stem_pool="ceil"),
    # facebookresearch/WSL-Images, which calls torchvision's ResNet with these numbers
    "resnext101-32x48d": of_depth(101, groups=32, width=48),
    **{f"resnet{depth}-ibn-a": of_depth(depth, mixed=3) for depth in (18, 34, 50, 101)},
    "resnext101-32x4d-ibn-a": of_depth(101, **_4D, mixed=3),
    "seresnet101-ibn-a": of_depth(101, **_SE, mixed=3),
}

# ---------------------------------------------------------------------------------------------------------- publishers

_CONV_RELU: tuple[Layer, ...] = (("conv1", "bn1", "relu"), ("conv2", "bn2", "relu_1"), ("conv3", "bn3", "relu_2"))
TIMM = Names()
TORCHVISION = Names(stem=_CONV_RELU[0], layers=_CONV_RELU, head=("avgpool", "flatten", "fc"))
# The published files of resnet18 to resnet152 are torchvision's; the package calls the classifier otherwise once they
# are loaded.
CADENE = replace(TORCHVISION, head=("avgpool", "flatten", "last_linear"))
# Two networks of its own, ported from Torch and from Caffe.
CADENE_PORT = replace(CADENE, whole_map=False)
# The two ResNeXt, translated from Torch module by module.
CADENE_LUA = Names(
    stem=("features.0", "features.1", "features.2"),
    pool="features.3",
    block="features.{child}.{unit}.",
    layers=(("0.0.0.0", "0.0.0.1", "0.0.0.2"), ("0.0.0.3", "0.0.0.4", "0.0.0.5"), ("0.0.1", "0.0.2", "2")),
    shortcut=("0.1.0", "0.1.1"),
    add="1",
    head=("avg_pool", "flatten", "last_linear"),
    whole_map=False,
)
IBN_NET = replace(TORCHVISION, se=("se", "se.fc.0", "se.fc.2"), dense_se=True)
NAMES: Mapping[str, Mapping[str, Names]] = {
    "torchvision": dict.fromkeys(
        (
            *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide-resnet50-2", "wide-resnet101-2"),
            *("resnext50-32x4d", "resnext101-32x8d", "resnext101-64x4d", "resnext101-32x48d"),
        ),
        TORCHVISION,
    ),
    "timm": dict.fromkeys(TIMM_VARIANTS, TIMM),
    "pretrainedmodels": {
        **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), CADENE),
        **dict.fromkeys(("fbresnet152", "cafferesnet101"), CADENE_PORT),
        **dict.fromkeys(("resnext101-32x4d", "resnext101-64x4d"), CADENE_LUA),
    },
    "ibn-net": dict.fromkeys((name for name in VARIANTS if name.endswith("-ibn-a")), IBN_NET),
}
"""Dialect -> variant -> names of its layers."""
