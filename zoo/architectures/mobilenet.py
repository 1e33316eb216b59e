"""MobileNet 1 (arXiv:1704.04861), 2 (1801.04381), 3 (1905.02244), 4 (2404.10518), EdgeTPU, and
networks with MobileNetV3's head: LCNet (2109.15099), FBNetV3 (2006.02049), HardCoRe-NAS (2102.11646).

Tables are those of tensorflow/models research/slim/nets (mobilenet_v1.py, mobilenet/mobilenet_v2.py, mobilenet_v3.py),
and for the others of timm models/mobilenetv3.py, hardcorenas.py and efficientnet.py.

- torchvision (models/mobilenetv2.py, mobilenetv3.py): symmetric padding; epsilon 1e-5 in V2, 1e-3 in V3, whose layer
  behind the average is dense.
- timm: symmetric padding, epsilon 1e-5 (1e-3 in `mobilenetv3-rw`); that layer is a 1x1 convolution.
- timm-tf: its ports of TensorFlow's weights, `tf_mobilenetv3_large_100`: the same names, SAME padding, epsilon 1e-3.
- slim: TensorFlow's checkpoints themselves, also of V2 and EdgeTPU: SAME padding and epsilon 1e-3, too; gates of V3 are
  0.16667 * relu6(x + 3), and EdgeTPU has no activation behind its first block. The classifier is a 1x1 convolution.
  Where widths are below 1, the last convolution keeps its channels (`finegrain_classification_mode`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from zoo.architectures import inverted, inverted_tf
from zoo.architectures.inverted import (
    TIMM_NAMES,
    BlockNames,
    Layer,
    Line,
    Names,
    Network,
    Place,
    Squeeze,
    Stages,
    deepened,
    numbered,
    stages,
    torchvision_block,
    widened,
)
from zoo.architectures.net import SLIM, TORCH, scaled
from zoo.graph import Graph

# ------------------------------------------------------------------------------------------------------ MobileNet 1, 2

V1 = stages(
    Line("dsa", 1, 3, 1, 1, 64),
    Line("dsa", 2, 3, 2, 1, 128),
    Line("dsa", 2, 3, 2, 1, 256),
    Line("dsa", 6, 3, 2, 1, 512),
    Line("dsa", 2, 3, 2, 1, 1024),
)
V2 = stages(
    Line("ds", 1, 3, 1, 1, 16),
    Line("ir", 2, 3, 2, 6, 24),
    Line("ir", 3, 3, 2, 6, 32),
    Line("ir", 4, 3, 2, 6, 64),
    Line("ir", 3, 3, 1, 6, 96),
    Line("ir", 3, 3, 2, 6, 160),
    Line("ir", 1, 3, 1, 6, 320),
)


def _v1(width: float, features: int = 0) -> Network:
    return Network(widened(V1, width), scaled(32, width), features, 256, act="relu6")


def _v2(width: float) -> Network:
    return Network(widened(V2, width), scaled(32, width), scaled(1280, max(1.0, width)), dropout=0.2, act="relu6")


def _v2_deep(width: float, depth: float) -> Network:
    """timm's `d`: deeper, with the ends as they are."""
    return Network(widened(deepened(V2, depth, ends=False), width), 32, 1280, dropout=0.2, act="relu6")


# --------------------------------------------------------------------------------------------------------- MobileNet 3


def _v3_large(minimal: bool = False) -> Stages:
    se, act, kernel = (0.0, "", 3) if minimal else (0.25, "relu", 5)
    return stages(
        Line("ds", 1, 3, 1, 1, 16, act=act),
        [Line("ir", 1, 3, 2, 4, 24, act=act), Line("ir", 1, 3, 1, 3, 24, act=act)],
        Line("ir", 3, kernel, 2, 3, 40, se, act),
        [Line("ir", 1, 3, 2, 6, 80), Line("ir", 1, 3, 1, 2.5, 80), Line("ir", 2, 3, 1, 2.3, 80)],
        Line("ir", 2, 3, 1, 6, 112, se),
        Line("ir", 3, kernel, 2, 6, 160, se),
        Line("cn", 1, 1, 1, 1, 960, skip=False),
    )


def _v3_small(minimal: bool = False) -> Stages:
    se, act, kernel = (0.0, "", 3) if minimal else (0.25, "relu", 5)
    return stages(
        Line("ds", 1, 3, 2, 1, 16, se, act),
        [Line("ir", 1, 3, 2, 4.5, 24, act=act), Line("ir", 1, 3, 1, 3.67, 24, act=act)],
        [Line("ir", 1, kernel, 2, 4, 40, se), Line("ir", 2, kernel, 1, 6, 40, se)],
        Line("ir", 2, kernel, 1, 3, 48, se),
        Line("ir", 3, kernel, 2, 6, 96, se),
        Line("cn", 1, 1, 1, 1, 576, skip=False),
    )


V3_SQUEEZE = Squeeze(of_input=False, divisor=8, act="relu", gate="hard_sigmoid")


def _v3(
    table: Stages, width: float = 1.0, features: int = 1280, *, act: str = "hard_swish", size: int = 224
) -> Network:
    stem = scaled(16, width) if width >= 0.75 else 16
    return Network(widened(table, width), stem, features, size, 0.2, act, V3_SQUEEZE, late=True)


_RW = stages(_v3_large()[0][0]._replace(skip=False), *_v3_large()[1:])

# --------------------------------------------------------------------------------------------------------- MobileNet 4


def _universal(channels: int, *rows: tuple[int, int, int, float]) -> list[Line]:
    """A stage of rows of (repeats, kernel before the expansion, kernel behind it, expansion)."""
    return [
        Line("uir", repeats, kernel, 1 if index else 2, expand, channels, start=start)
        for index, (repeats, start, kernel, expand) in enumerate(rows)
    ]


V4_LAST = Line("cn", 1, 1, 1, 1, 960, skip=False)
V4_SMALL = stages(
    [Line("cn", 1, 3, 2, 1, 32, skip=False), Line("cn", 1, 1, 1, 1, 32, skip=False)],
    [Line("cn", 1, 3, 2, 1, 96, skip=False), Line("cn", 1, 1, 1, 1, 64, skip=False)],
    _universal(96, (1, 5, 5, 3), (4, 0, 3, 2), (1, 3, 0, 4)),
    _universal(128, (1, 3, 3, 6), (1, 5, 5, 4), (1, 0, 5, 4), (1, 0, 5, 3), (2, 0, 3, 4)),
    V4_LAST,
)
V4_MEDIUM = stages(
    Line("er", 1, 3, 2, 4, 48),
    _universal(80, (1, 3, 5, 4), (1, 3, 3, 2)),
    _universal(160, (1, 3, 5, 6), (2, 3, 3, 4), (1, 3, 5, 4), (1, 3, 3, 4), (1, 3, 0, 4), (1, 0, 0, 2), (1, 3, 0, 4)),
    _universal(
        256, (1, 5, 5, 6), (1, 5, 5, 4), (2, 3, 5, 4), (1, 0, 0, 4), (1, 3, 0, 4), (1, 3, 5, 2), (1, 5, 5, 4),
        (2, 0, 0, 4), (1, 5, 0, 2),
    ),
    V4_LAST,
)  # fmt: skip
V4_LARGE = stages(
    Line("er", 1, 3, 2, 4, 48),
    _universal(96, (1, 3, 5, 4), (1, 3, 3, 4)),
    _universal(192, (1, 3, 5, 4), (3, 3, 3, 4), (1, 3, 5, 4), (5, 5, 3, 4), (1, 3, 0, 4)),
    _universal(
        512, (4, 5, 5, 4), (1, 5, 0, 4), (1, 5, 3, 4), (2, 5, 0, 4), (1, 5, 3, 4), (1, 5, 5, 4), (3, 5, 0, 4)
    ),
    V4_LAST,
)  # fmt: skip


def _hybrid(stage: Sequence[Line], heads: tuple[int, int, int], *places: int) -> list[Line]:
    """A stage with attentions behind blocks of these places, from 0."""
    lines = [line._replace(repeats=1, stride=1 if n else line.stride) for line in stage for n in range(line.repeats)]
    attention = Line("mqa", 1, 3, 1, 1, lines[0].channels, heads=heads)
    return [part for place, line in enumerate(lines) for part in ([line, attention] if place in places else [line])]


V4_HYBRID_MEDIUM = stages(
    V4_MEDIUM[0][0],
    V4_MEDIUM[1],
    _hybrid(
        _universal(160, (1, 3, 5, 6), (1, 0, 0, 2), (1, 3, 3, 4), (1, 3, 5, 4), (1, 3, 3, 4), (1, 3, 0, 4),
                   (1, 3, 3, 4), (1, 3, 0, 4)),
        (4, 64, 2), 3, 4, 5, 6,
    ),
    _hybrid(
        _universal(256, (1, 5, 5, 6), (1, 5, 5, 4), (2, 3, 5, 4), (1, 0, 0, 2), (1, 3, 5, 2), (1, 0, 0, 2),
                   (1, 0, 0, 4), (1, 3, 0, 4), (1, 5, 5, 4), (2, 5, 0, 4)),
        (4, 64, 1), 7, 8, 9, 10,
    ),
    V4_LAST,
)  # fmt: skip
V4_HYBRID_LARGE = stages(
    V4_LARGE[0][0],
    V4_LARGE[1],
    _hybrid(V4_LARGE[2], (8, 48, 2), 6, 7, 8, 9),
    _hybrid(
        _universal(512, (4, 5, 5, 4), (1, 5, 0, 4), (1, 5, 3, 4), (2, 5, 0, 4), (1, 5, 3, 4), (1, 5, 5, 4),
                   (4, 5, 0, 4)),
        (8, 64, 1), 9, 10, 11, 12,
    ),
    V4_LAST,
)  # fmt: skip


def _v4(table: Stages, size: int, *, width: float = 1.0, stem: int = 32) -> Network:
    table = widened(table, width)
    return Network(table, stem, 1280, size, late=True, late_bias=False, late_norm=True)


# ------------------------------------------------------------------------------------------- others with the same head

LCNET = stages(
    Line("dsa", 1, 3, 1, 1, 32),
    Line("dsa", 2, 3, 2, 1, 64),
    Line("dsa", 2, 3, 2, 1, 128),
    [Line("dsa", 1, 3, 2, 1, 256), Line("dsa", 1, 5, 1, 1, 256)],
    Line("dsa", 4, 5, 1, 1, 256),
    Line("dsa", 2, 5, 2, 1, 512, 0.25),
)


def _lcnet(width: float) -> Network:
    squeeze = replace(V3_SQUEEZE, divisor=1)
    return Network(widened(LCNET, width), scaled(16, width), 1280, act="hard_swish", squeeze=squeeze, late=True)


def _fbnet(stem: int, size: int, last: int, *rows: Sequence[tuple[int, int, float, int]]) -> Network:
    """FBNetV3 from a list of (repeats, kernel, expand, channels) for each stage."""
    strides, squeezed = (1, 2, 2, 2, 1, 2), (False, False, True, False, True, True)
    table = [
        [
            Line("ir" if index else "ds", repeats, kernel, 1 if unit else stride, expand, channels, 0.25 * se)
            for unit, (repeats, kernel, expand, channels) in enumerate(stage)
        ]
        for index, (stage, stride, se) in enumerate(zip(rows, strides, squeezed, strict=True))
    ]
    squeeze = Squeeze(divisor=8, limit=0.95, gate="hard_sigmoid")
    table.append([Line("cn", 1, 1, 1, 1, last, skip=False)])
    return Network(table, stem, 1984, size, act="hard_swish", squeeze=squeeze, late=True, late_bias=False)


FBNETS = {
    "fbnetv3-b": _fbnet(
        16, 256, 1344,
        [(2, 3, 1, 16)],
        [(1, 5, 4, 24), (3, 5, 2, 24)],
        [(1, 5, 5, 40), (4, 5, 3, 40)],
        [(1, 5, 5, 72), (4, 3, 3, 72)],
        [(1, 3, 5, 120), (5, 5, 3, 120)],
        [(1, 3, 6, 184), (5, 5, 4, 184), (1, 5, 6, 224)],
    ),
    "fbnetv3-d": _fbnet(
        24, 256, 1440,
        [(2, 3, 1, 16)],
        [(1, 3, 5, 24), (5, 3, 2, 24)],
        [(1, 5, 4, 40), (4, 3, 3, 40)],
        [(1, 3, 5, 72), (4, 3, 3, 72)],
        [(1, 3, 5, 128), (6, 5, 3, 128)],
        [(1, 3, 6, 208), (5, 5, 5, 208), (1, 5, 6, 240)],
    ),
    "fbnetv3-g": _fbnet(
        32, 288, 1728,
        [(3, 3, 1, 24)],
        [(1, 5, 4, 40), (4, 5, 2, 40)],
        [(1, 5, 4, 56), (4, 5, 3, 56)],
        [(1, 5, 5, 104), (4, 3, 3, 104)],
        [(1, 3, 5, 160), (8, 5, 3, 160)],
        [(1, 3, 6, 264), (6, 5, 5, 264), (2, 5, 6, 288)],
    ),
}  # fmt: skip


def _hardcore(*rows: str) -> Network:
    """HardCoRe-NAS: a word per block, `53s`: kernel 5, expansion 3, squeezes."""
    table = [[Line("ds", 1, 3, 1, 1, 16, act="relu")]]
    for index, (row, channels) in enumerate(zip(rows, (24, 40, 80, 112, 192), strict=True)):
        act, stride = "relu" if index < 2 else "", 1 if channels == 112 else 2
        table.append(
            [
                Line("ir", 1, int(word[0]), 1 if unit else stride, int(word[1]), channels, 0.25 * ("s" in word), act)
                for unit, word in enumerate(row.split())
            ]
        )
    table.append([Line("cn", 1, 1, 1, 1, 960, skip=False)])
    return Network(table, 32, 1280, act="hard_swish", squeeze=V3_SQUEEZE, late=True)


HARDCORE = {
    "hardcorenas-a": _hardcore("53 53s", "53 56s", "56s 56s", "56s 56s", "56s 56s"),
    "hardcorenas-b": _hardcore("53 53s 33", "53 53 53", "53 53 33 33", "53 33 33 33", "56s 56s 33s"),
    "hardcorenas-c": _hardcore("53 53s", "53 53 53 53", "54 56s 33 33", "56s 33 33 33", "56s 56s 33s"),
    "hardcorenas-d": _hardcore("53s 53s", "53s 54s 33s", "54s 33s 33s 33s", "34s 54s 33s 53s", "56s 56s 56s 36s"),
    "hardcorenas-e": _hardcore("53s 53s", "56s 54s 54s 33s", "54s 36s", "56s 56s 56s 53s", "56s 56s 56s 36s"),
    "hardcorenas-f": _hardcore("53s 53s", "56s 56s", "56s 56s 33s 33s", "36s 56s 56s 33s", "56s 56s 36s 36s"),
}

# --------------------------------------------------------------------------------------------------- MobileNet-EdgeTPU

EDGE = stages(
    Line("cn", 1, 1, 1, 1, 16, skip=False),
    [Line("er", 1, 3, 2, 8, 32), Line("er", 3, 3, 1, 4, 32)],
    [Line("er", 1, 3, 2, 8, 48), Line("er", 3, 3, 1, 4, 48)],
    [Line("ir", 1, 3, 2, 8, 96), Line("ir", 3, 3, 1, 4, 96)],
    [Line("ir", 1, 3, 1, 8, 96, skip=False), Line("ir", 3, 3, 1, 4, 96)],
    [Line("ir", 1, 5, 2, 8, 160), Line("ir", 3, 5, 1, 4, 160)],
    Line("ir", 1, 3, 1, 8, 192),
)


def _edge_v2(
    channels: Sequence[int], stem: int = 64, stem_kernel: int = 5, *, group: int = 64, features: int = 1280
) -> Network:
    a, b, c, d, e, f, g = channels
    grouped = Line("er", 1, 3, 1, 4, c, group=group)
    table = stages(
        Line("cn", 1, 1, 1, 1, a, skip=False),
        [Line("er", 1, 3, 2, 8, b), grouped._replace(channels=b)],
        [Line("er", 1, 3, 2, 8, c), grouped, grouped._replace(group=0), grouped],
        [Line("er", 1, 3, 2, 8, d), Line("ir", 3, 3, 1, 4, d)],
        [Line("ir", 1, 3, 1, 8, e), Line("ir", 3, 3, 1, 4, e)],
        [Line("ir", 1, 3, 2, 8, f), Line("ir", 3, 3, 1, 4, f)],
        Line("ir", 1, 3, 1, 8, g),
    )
    return Network(table, stem, features, 256, stem_kernel=stem_kernel)


VARIANTS: Mapping[str, Network] = {
    "mobilenetv1-100": _v1(1.0),
    "mobilenetv1-100h": _v1(1.0, 1024),
    "mobilenetv1-125": _v1(1.25),
    **{f"mobilenetv2-{width:03}": _v2(width / 100) for width in (35, 50, 75, 100, 130, 140)},
    "mobilenetv2-110d": _v2_deep(1.1, 1.2),
    "mobilenetv2-120d": _v2_deep(1.2, 1.4),
    "mobilenetv3-large-075": _v3(_v3_large(), 0.75),
    "mobilenetv3-large-100": _v3(_v3_large()),
    "mobilenetv3-large-150d": _v3(deepened(_v3_large(), 1.2), 1.5, size=320),
    "mobilenetv3-large-minimal-100": _v3(_v3_large(minimal=True), act="relu"),
    **{f"mobilenetv3-small-{width:03}": _v3(_v3_small(), width / 100, 1024) for width in (50, 75, 100)},
    "mobilenetv3-small-minimal-100": _v3(_v3_small(minimal=True), 1.0, 1024, act="relu"),
    "mobilenetv3-rw": replace(
        _v3(_RW), squeeze=Squeeze(of_input=False, gate="hard_sigmoid"), dropout=0.0, late_bias=False
    ),
    **{f"mobilenetv4-conv-small-{width:03}": _v4(V4_SMALL, 256, width=width / 100) for width in (35, 50)},
    "mobilenetv4-conv-small": _v4(V4_SMALL, 256),
    "mobilenetv4-conv-medium": _v4(V4_MEDIUM, 320),
    "mobilenetv4-conv-large": _v4(V4_LARGE, 448, stem=24),
    "mobilenetv4-hybrid-medium": replace(_v4(V4_HYBRID_MEDIUM, 224), scaled_blocks=True),
    "mobilenetv4-hybrid-large": replace(_v4(V4_HYBRID_LARGE, 384, stem=24), act="gelu", scaled_blocks=True),
    "mobilenetv4-conv-aa-large": replace(_v4(V4_LARGE, 448, stem=24), blur="average"),
    "mobilenetv4-conv-blur-medium": replace(_v4(V4_MEDIUM, 224), blur="binomial"),
    **{f"lcnet-{width:03}": _lcnet(width / 100) for width in (35, 50, 75, 100, 150)},
    **FBNETS,
    **HARDCORE,
    "mobilenet-edgetpu-075": Network(widened(EDGE, 0.75), scaled(32, 0.75), 1280),
    "mobilenet-edgetpu-100": Network(EDGE, 32, 1280),
    "mobilenet-edgetpu-v2-xs": _edge_v2((16, 32, 48, 96, 144, 160, 192), 32, 3),
    "mobilenet-edgetpu-v2-s": _edge_v2((24, 48, 64, 128, 160, 192, 256)),
    "mobilenet-edgetpu-v2-m": _edge_v2((32, 64, 80, 160, 192, 240, 320), features=1344),
    "mobilenet-edgetpu-v2-l": _edge_v2((32, 64, 96, 192, 240, 256, 384), 64, 7, group=128, features=1408),
}

# ------------------------------------------------------------------------------------------------------------- dialects


def _torchvision_v2_block(place: Place) -> BlockNames:
    # Of the three layers only the projection is not a Sequential of its own.
    prefix = f"features.{place.number + 1}"
    before = 1 if place.kind == "ds" else 2
    layers = [numbered(f"{prefix}.conv.{number}") for number in range(before)]
    return BlockNames([*layers, numbered(f"{prefix}.conv", before)], ("", "", ""), f"{prefix}.add")


def _torchvision_v3_block(place: Place) -> BlockNames:
    prefix = f"features.{place.number + 1}"
    if place.kind == "cn":
        return BlockNames([numbered(prefix)], ("", "", ""), f"{prefix}.add")
    return torchvision_block(prefix, place)


_TORCHVISION_V2 = Names(
    stem=numbered("features.0"),
    block=_torchvision_v2_block,
    head=numbered("features.18"),
    classifier="classifier.1",
    pool="pool",
    flatten="flatten",
    dropout="classifier.0",
)
_TORCHVISION_V3 = Names(
    stem=numbered("features.0"),
    block=_torchvision_v3_block,
    head=numbered("classifier", 0)._replace(act="classifier.1"),
    classifier="classifier.3",
    pool="avgpool",
    flatten="flatten",
    dropout="classifier.2",
    dense_head=True,
)
_TIMM_V4 = replace(TIMM_NAMES, head=Layer("conv_head", "norm_head", "norm_head.act"))
_SLIM_ONLY = ("mobilenetv2-130", "mobilenet-edgetpu-075")
_V3_TF = tuple(
    f"mobilenetv3-{name}"
    for name in ("large-075", "large-100", "large-minimal-100", "small-075", "small-100", "small-minimal-100")
)
PUBLISHED: Mapping[str, Sequence[str]] = {
    "torchvision": ("mobilenetv2-100", "mobilenetv3-large-100", "mobilenetv3-small-100"),
    "timm": tuple(variant for variant in VARIANTS if "minimal" not in variant and variant not in _SLIM_ONLY),
    "timm-tf": _V3_TF,
    "slim": (
        *(f"mobilenetv2-{width:03}" for width in (35, 50, 75, 100, 130, 140)),
        *_V3_TF,
        "mobilenet-edgetpu-075",
        "mobilenet-edgetpu-100",
    ),
}
TIMM = {variant.replace("-", "_"): (variant, "timm") for variant in PUBLISHED["timm"]} | {
    f"tf_{variant}".replace("-", "_"): (variant, "timm-tf") for variant in PUBLISHED["timm-tf"]
}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    if dialect == "slim":
        return _slim(variant, classes, size)
    network, names, style = VARIANTS[variant], TIMM_NAMES, replace(TORCH, same=dialect == "timm-tf")
    if network.late_norm:
        names = _TIMM_V4
    if dialect == "torchvision":
        names = _TORCHVISION_V3 if network.late else _TORCHVISION_V2
    if dialect == "timm-tf" or variant == "mobilenetv3-rw" or (dialect == "torchvision" and network.late):
        style = replace(style, epsilon=1e-3)
    return inverted.build(variant, network, names, style, classes, size)


def _slim(variant: str, classes: int, size: int | None) -> Graph:
    network, scope = VARIANTS[variant], "MobilenetV3" if "v3" in variant else "MobilenetV2"
    # The gates' sixth is written 0.16667, and in a network with nine of them that shows.
    network = replace(network, squeeze=replace(network.squeeze, gain=6 * 0.16667))
    if "edgetpu" in variant:
        scope, (first, *others) = "MobilenetEdgeTPU", network.stages
        network = replace(network, stages=[[first[0]._replace(act="linear")], *others], dropout=0.2)
    names = inverted_tf.slim_names(scope, network)
    return inverted.build(variant, network, names, SLIM, classes, size, ignored=inverted_tf.UNUSED)
