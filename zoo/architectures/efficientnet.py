"""EfficientNet B0 to B8 and L2 (arXiv:1905.11946), Lite, EdgeTPU, CondConv, X, EfficientNetV2 (2104.00298), TinyNet.

Tables and coefficients are those of tensorflow/tpu models/official/efficientnet (efficientnet_builder.py,
lite/efficientnet_lite_builder.py, edgetpu/efficientnet_edgetpu_builder.py, condconv/efficientnet_condconv_builder.py),
of google/automl efficientnetv2 (effnetv2_configs.py), and, for `efficientnetv2-rw-*`, X and TinyNet, of timm
models/efficientnet.py.

- torchvision (models/efficientnet.py): symmetric padding; epsilon 1e-5, but 1e-3 in B5 to B7 and in V2.
- timm: its own training runs, `efficientnet_b0`: symmetric padding, epsilon 1e-5.
- timm-tf: its ports of TensorFlow's weights, `tf_efficientnet_b0`, and what was pruned of them: the same names, but
  SAME padding and epsilon 1e-3.
- lukemelas: lukemelas/EfficientNet-PyTorch (package efficientnet-pytorch) and its fork for Lite, ml-illustrated's
  EfficientNet-Lite-PyTorch: SAME padding, epsilon 1e-3. That code takes the zeros of SAME for the size that a network
  is made for, whatever comes in; here they are those of `size`.
- tpu: checkpoints of tensorflow/tpu itself: SAME padding, epsilon 1e-3, 1000 classes (EdgeTPU 1001).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from zoo.architectures import inverted, inverted_tf
from zoo.architectures.inverted import (
    TIMM_NAMES,
    BlockNames,
    Kind,
    Layer,
    Line,
    Names,
    Network,
    Place,
    Squeeze,
    deepened,
    numbered,
    stages,
    torchvision_block,
    widened,
)
from zoo.architectures.net import TORCH, TPU, Style, scaled
from zoo.graph import Graph

# ---------------------------------------------------------------------------------------------------------- the numbers

B = stages(
    Line("ds", 1, 3, 1, 1, 16, 0.25),
    Line("ir", 2, 3, 2, 6, 24, 0.25),
    Line("ir", 2, 5, 2, 6, 40, 0.25),
    Line("ir", 3, 3, 2, 6, 80, 0.25),
    Line("ir", 3, 5, 1, 6, 112, 0.25),
    Line("ir", 4, 5, 2, 6, 192, 0.25),
    Line("ir", 1, 3, 1, 6, 320, 0.25),
)
LITE = stages(*(line._replace(se=0.0) for stage in B for line in stage))
EDGE = stages(
    Line("er", 1, 3, 1, 4, 24, skip=False, expand_from=24),
    Line("er", 2, 3, 2, 8, 32),
    Line("er", 4, 3, 2, 8, 48),
    Line("ir", 5, 5, 2, 8, 96),
    Line("ir", 4, 5, 1, 8, 144),
    Line("ir", 2, 5, 2, 8, 192),
)
V2_B = stages(
    Line("cn", 1, 3, 1, 1, 16),
    Line("er", 2, 3, 2, 4, 32),
    Line("er", 2, 3, 2, 4, 48),
    Line("ir", 3, 3, 2, 4, 96, 0.25),
    Line("ir", 5, 3, 1, 6, 112, 0.25),
    Line("ir", 8, 3, 2, 6, 192, 0.25),
)


def _v2(repeats: Sequence[int], channels: Sequence[int]) -> inverted.Stages:
    """Stages of V2 S to XL, which differ in depths and widths."""
    kinds: list[tuple[Kind, int, float, float]] = [
        ("cn", 1, 1, 0.0), ("er", 2, 4, 0.0), ("er", 2, 4, 0.0), ("ir", 2, 4, 0.25),
        ("ir", 1, 6, 0.25), ("ir", 2, 6, 0.25), ("ir", 1, 6, 0.25),
    ]  # fmt: skip
    return stages(
        *(
            Line(kind, count, 3, stride, expand, width, se)
            for (kind, stride, expand, se), count, width in zip(kinds, repeats, channels, strict=False)
        )
    )


V2_S = _v2((2, 4, 4, 6, 9, 15), (24, 48, 64, 128, 160, 256))
V2_M = _v2((3, 5, 5, 7, 14, 18, 5), (24, 48, 80, 160, 176, 304, 512))
V2_L = _v2((4, 7, 7, 10, 19, 25, 7), (32, 64, 96, 192, 224, 384, 640))
V2_XL = _v2((4, 8, 8, 16, 24, 32, 8), (32, 64, 96, 192, 256, 512, 640))
# timm's S of before the official code was there
V2_RW = stages(Line("er", 2, 3, 1, 1, 24), *V2_S[1:-1], Line("ir", 15, 3, 2, 6, 272, 0.25))


def _x(width: float, expand: int) -> Network:
    """EfficientNet-X (arXiv:2102.05610), or timm's H, whose blocks are narrower inside; of the size of B5.

    The first block makes the map smaller and four times as deep; the next stage takes its stride back.
    """
    table = stages(
        B[0],
        Line("er", 2, 3, 1, expand, 24, 0.25, "relu"),
        Line("er", 2, 5, 2, expand, 40, 0.25, "relu"),
        Line("ir", 3, 3, 2, expand, 80, 0.25),
        *B[4:],
    )
    (deep,), (fused,), *others = widened(deepened(table, 2.2), width)
    deep = deep._replace(channels=4 * deep.channels)
    first = [deep._replace(repeats=1, to_depth=True), deep._replace(repeats=deep.repeats - 1)]
    second = [fused._replace(repeats=1, expand=expand / 4), fused._replace(repeats=fused.repeats - 1)]
    return Network([first, second, *others], scaled(32, width), scaled(1280, width), 448, act="silu")


TEST = stages(
    Line("cn", 1, 3, 1, 1, 16),
    Line("er", 1, 3, 2, 4, 24),
    Line("er", 1, 3, 2, 4, 32),
    Line("ir", 1, 3, 2, 4, 48, 0.25),
    Line("ir", 1, 3, 2, 4, 64, 0.25),
)


def _condconv(experts: int, depth: float = 1.0) -> Network:
    """Several kernels in the last three stages."""
    table = deepened([*B[:4], *([line._replace(experts=experts) for line in stage] for stage in B[4:])], depth)
    return Network(table, 32, 1280, 224, 0.25, "silu")


def _b(width: float, depth: float, size: int, dropout: float) -> Network:
    table = widened(deepened(B, depth), width)
    return Network(table, scaled(32, width), scaled(1280, width), size, dropout, "silu")


def _lite(width: float, depth: float, size: int, dropout: float) -> Network:
    """Width of stem and head, and depth of the first and the last stage, are fixed (`fix_head_stem`)."""
    return Network(widened(deepened(LITE, depth, ends=False), width), 32, 1280, size, dropout, "relu6")


def _edge(width: float, depth: float, size: int, dropout: float) -> Network:
    return Network(widened(deepened(EDGE, depth), width), scaled(32, width), scaled(1280, width), size, dropout)


def _v2_b(width: float, depth: float, size: int, dropout: float) -> Network:
    table = widened(deepened(V2_B, depth), width, limit=0.0)
    return Network(table, scaled(32, width, limit=0.0), scaled(1280, width, limit=0.0), size, dropout, "silu")


def _tiny(width: float, depth: float, size: int) -> Network:
    table = widened(deepened(B, depth, whole=round), width)
    return Network(table, 32, 1280, size, act="silu")


Pruned = Sequence[tuple[int, Sequence[tuple[int, int]]]]
"""For each stage of `B` the channels of its blocks, and inside of each block and of its squeeze-and-excitation."""
PRUNED: Mapping[str, tuple[int, int, int, float, Pruned]] = {
    "efficientnet-b1-pruned": (32, 1280, 240, 0.2, (
        (16, ((32, 8), (16, 4))),
        (12, ((48, 4), (62, 6), (48, 6))),
        (35, ((70, 6), (61, 10), (51, 10))),
        (74, ((175, 10), (188, 20), (137, 20), (164, 20))),
        (67, ((399, 20), (201, 28), (160, 28), (213, 28))),
        (192, ((637, 27), (806, 48), (798, 48), (891, 48), (990, 48))),
        (320, ((1152, 48), (1912, 80))),
    )),
    "efficientnet-b2-pruned": (32, 1408, 260, 0.3, (
        (16, ((32, 8), (16, 4))),
        (17, ((54, 4), (69, 6), (61, 6))),
        (42, ((86, 6), (72, 12), (98, 12))),
        (85, ((245, 12), (274, 22), (254, 22), (292, 22))),
        (116, ((502, 22), (315, 30), (354, 30), (443, 30))),
        (208, ((719, 30), (1148, 52), (1160, 52), (1182, 52), (1228, 52))),
        (352, ((1248, 52), (2112, 88))),
    )),
    "efficientnet-b3-pruned": (40, 1536, 300, 0.3, (
        (24, ((40, 10), (24, 6))),
        (12, ((27, 6), (49, 8), (48, 8))),
        (40, ((83, 8), (90, 12), (85, 12))),
        (93, ((215, 12), (261, 24), (219, 24), (254, 24), (236, 24))),
        (120, ((480, 24), (235, 34), (217, 34), (226, 33), (340, 34))),
        (232, ((802, 34), (1030, 58), (924, 58), (1016, 58), (1130, 58), (1266, 58))),
        (384, ((1392, 58), (2301, 96))),
    )),
}  # fmt: skip
"""Channels of stem and head, size, dropout, and stages (timm models/_pruned)."""


def _pruned(stem: int, features: int, size: int, dropout: float, table: Pruned) -> Network:
    """B1 to B3 with the channels that pruning left (arXiv:2002.08258)."""
    lines, before = [], stem
    for (line,), (channels, widths) in zip(B, table, strict=True):
        stage = []
        for index, (inside, squeezed) in enumerate(widths):
            block = line._replace(repeats=1, channels=channels, expand=inside / before, se=squeezed / before)
            stage.append(block._replace(stride=1) if index else block)
            before = channels
        lines.append(stage)
    return Network(lines, stem, features, size, dropout, "silu", divisor=1)


_RW_T = Network(widened(deepened(V2_S, 0.9), 0.8), scaled(24, 0.8), scaled(1280, 0.8), 288, act="silu")
VARIANTS: Mapping[str, Network] = {
    "efficientnet-b0": _b(1.0, 1.0, 224, 0.2),
    "efficientnet-b1": _b(1.0, 1.1, 240, 0.2),
    "efficientnet-b2": _b(1.1, 1.2, 260, 0.3),
    "efficientnet-b3": _b(1.2, 1.4, 300, 0.3),
    "efficientnet-b4": _b(1.4, 1.8, 380, 0.4),
    "efficientnet-b5": _b(1.6, 2.2, 456, 0.4),
    "efficientnet-b6": _b(1.8, 2.6, 528, 0.5),
    "efficientnet-b7": _b(2.0, 3.1, 600, 0.5),
    "efficientnet-b8": _b(2.2, 3.6, 672, 0.5),
    "efficientnet-l2": _b(4.3, 5.3, 800, 0.5),
    "efficientnet-lite0": _lite(1.0, 1.0, 224, 0.2),
    "efficientnet-lite1": _lite(1.0, 1.1, 240, 0.2),
    "efficientnet-lite2": _lite(1.1, 1.2, 260, 0.3),
    "efficientnet-lite3": _lite(1.2, 1.4, 280, 0.3),
    "efficientnet-lite4": _lite(1.4, 1.8, 300, 0.3),
    "efficientnet-condconv-b0-4e": _condconv(4),
    "efficientnet-condconv-b0-8e": _condconv(8),
    "efficientnet-condconv-b0-8e-depth": _condconv(8, 1.1),
    "efficientnet-es": _edge(1.0, 1.0, 224, 0.2),
    "efficientnet-em": _edge(1.0, 1.1, 240, 0.2),
    "efficientnet-el": _edge(1.2, 1.4, 300, 0.3),
    "efficientnetv2-b0": _v2_b(1.0, 1.0, 224, 0.2),
    "efficientnetv2-b1": _v2_b(1.0, 1.1, 240, 0.2),
    "efficientnetv2-b2": _v2_b(1.1, 1.2, 260, 0.3),
    "efficientnetv2-b3": _v2_b(1.2, 1.4, 300, 0.3),
    "efficientnetv2-s": Network(V2_S, 24, 1280, 384, 0.2, "silu"),
    "efficientnetv2-m": Network(V2_M, 24, 1280, 480, 0.3, "silu"),
    "efficientnetv2-l": Network(V2_L, 32, 1280, 480, 0.4, "silu"),
    "efficientnetv2-xl": Network(V2_XL, 32, 1280, 512, 0.4, "silu"),
    "efficientnetv2-rw-t": _RW_T,
    "gc-efficientnetv2-rw-t": replace(_RW_T, squeeze=Squeeze(context=True)),
    "efficientnetv2-rw-s": Network(V2_RW, 24, 1792, 384, act="silu"),
    "efficientnetv2-rw-m": Network(
        widened(deepened(V2_RW, (1.2,) * 4 + (1.6,) * 2), 1.2), scaled(24, 1.2), scaled(1792, 1.2), 416, act="silu"
    ),
    "efficientnet-x-b5": _x(1.6, 6),
    "efficientnet-h-b5": _x(1.92, 4),
    "tinynet-a": _tiny(1.0, 1.2, 192),
    "tinynet-b": _tiny(0.75, 1.1, 188),
    "tinynet-c": _tiny(0.54, 0.85, 184),
    "tinynet-d": _tiny(0.54, 0.695, 152),
    "tinynet-e": _tiny(0.51, 0.6, 106),
    "test-efficientnet": Network(TEST, 24, 256, 160, act="silu"),
    **{name: _pruned(*numbers) for name, numbers in PRUNED.items()},
}

# ------------------------------------------------------------------------------------------------------------- dialects

_LUKEMELAS = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


def _lukemelas(network: Network) -> Names:
    suffix = ".relu6" if network.act == "relu6" else ".swish"

    def layer(conv: str, norm: str) -> Layer:
        return Layer(conv, norm, norm + suffix)

    def block(place: Place) -> BlockNames:
        prefix = f"_blocks.{place.number}."
        pairs = _LUKEMELAS[1:] if place.kind == "ds" else _LUKEMELAS
        squeeze = (f"{prefix}_se", f"{prefix}_se_reduce", f"{prefix}_se_expand")
        return BlockNames([layer(prefix + conv, prefix + norm) for conv, norm in pairs], squeeze, f"{prefix}add")

    return Names(
        stem=layer("_conv_stem", "_bn0"),
        block=block,
        head=layer("_conv_head", "_bn1"),
        classifier="_fc",
        pool="_avg_pooling",
        flatten="_flatten",
        dropout="_dropout",
    )


def _torchvision(network: Network) -> Names:
    return Names(
        stem=numbered("features.0"),
        block=_torchvision_block,
        head=numbered(f"features.{len(network.stages) + 1}"),
        classifier="classifier.1",
        pool="avgpool",
        flatten="flatten",
        dropout="classifier.0",
    )


def _torchvision_block(place: Place) -> BlockNames:
    return torchvision_block(f"features.{place.stage + 1}.{place.unit}", place)


_TENSORFLOW = replace(TORCH, same=True, epsilon=1e-3)
DIALECTS: Mapping[str, tuple[Style, Callable[[Network], Names]]] = {
    "torchvision": (TORCH, _torchvision),
    "timm": (TORCH, lambda _: TIMM_NAMES),
    "timm-tf": (_TENSORFLOW, lambda _: TIMM_NAMES),
    "lukemelas": (_TENSORFLOW, _lukemelas),
}
TPU_SCOPES = {f"efficientnet-e{size}": f"efficientnet-edgetpu-{size.upper()}" for size in "sml"}
"""Variable scope in tensorflow/tpu where it is not the variant's name."""

_B = tuple(f"efficientnet-b{number}" for number in range(9))
_LITE = tuple(f"efficientnet-lite{number}" for number in range(5))
_CONDCONV = tuple(f"efficientnet-condconv-b0-{kind}" for kind in ("4e", "8e", "8e-depth"))
_EDGE = ("efficientnet-es", "efficientnet-em", "efficientnet-el")
_V2 = tuple(f"efficientnetv2-{size}" for size in ("s", "m", "l", "xl"))
_TF_ONLY = tuple(f"efficientnetv2-b{number}" for number in range(4))
PUBLISHED: Mapping[str, Sequence[str]] = {
    "torchvision": (*_B[:8], *_V2[:3]),
    "timm": tuple(variant for variant in VARIANTS if variant not in (*_TF_ONLY, *PRUNED)),
    "timm-tf": (*_B, *PRUNED, "efficientnet-l2", *_LITE, *_CONDCONV, *_EDGE, *_TF_ONLY, *_V2),
    "lukemelas": (*_B, *_LITE),
    "tpu": (*_B, "efficientnet-l2", *_LITE, *_CONDCONV, *_EDGE),
}
_THEIRS = dict(zip(_CONDCONV, ("efficientnet_cc_b0_4e", "efficientnet_cc_b0_8e", "efficientnet_cc_b1_8e"), strict=True))
TIMM = {
    **{
        ("" if dialect == "timm" or variant in PRUNED else "tf_") + _THEIRS.get(variant, variant.replace("-", "_")): (
            variant,
            dialect,
        )
        for dialect in ("timm", "timm-tf")
        for variant in PUBLISHED[dialect]
    },
    # zeros among their weights
    "efficientnet_es_pruned": ("efficientnet-es", "timm"),
    "efficientnet_el_pruned": ("efficientnet-el", "timm"),
}
SIZES: Mapping[str, Mapping[str, int]] = {
    "torchvision": {"efficientnet-b2": 288},
    "timm": {
        "efficientnet-b1": 288, "efficientnet-b2": 288, "efficientnet-b3": 320, "efficientnet-b4": 384,
        "efficientnet-b5": 448, "efficientnet-lite3": 300, "efficientnet-lite4": 380,
        "efficientnet-condconv-b0-8e-depth": 240,
    },
    "timm-tf": {"efficientnet-lite3": 300, "efficientnet-lite4": 380, "efficientnet-condconv-b0-8e-depth": 240},
}  # fmt: skip
"""Where a publisher evaluates a network at another size than the papers."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    network = VARIANTS[variant]
    if dialect == "tpu":
        names = inverted_tf.tpu_names(TPU_SCOPES.get(variant, variant), network)
        return inverted.build(variant, network, names, TPU, classes, size, ignored=inverted_tf.UNUSED)
    style, named = DIALECTS[dialect]
    if dialect == "torchvision" and (variant in _B[5:] or variant in _V2):
        style = replace(style, epsilon=1e-3)
    size = size or SIZES.get(dialect, {}).get(variant)
    return inverted.build(variant, network, named(network), style, classes, size)
