"""MNASNet (arXiv:1807.11626) and its kin: Single-Path NAS (1904.02877), FBNet-C (1812.03443), MixNet (1907.09595).

Tables are those of tensorflow/tpu models/official/mnasnet (mnasnet_models.py, mixnet/mixnet_builder.py), and for
`spnasnet`, `fbnetc`, `mixnet-xl` and `-xxl` of timm models/efficientnet.py. `mnasnet` is the paper's B1, `semnasnet`
its A1.

- torchvision (models/mnasnet.py): one `Sequential`, symmetric padding, epsilon 1e-5. Files of the first version of that
  module have first layers whose channels do not follow the width; other shapes, so that they are refused.
- timm: the same padding and epsilon; FBNet-C's published weights take 1e-3, which timm sets when it loads them.
- timm-tf: ports of MixNet from TensorFlow: SAME padding and epsilon 1e-3.
- tpu: checkpoints of tensorflow/tpu itself, the same numerics, but for the first block of `mnasnet-small`. Convolutions
  are Keras' layers there, numbered through the network in another scope than the batch normalisations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from zoo.architectures import inverted, inverted_tf
from zoo.architectures.inverted import (
    TIMM_NAMES,
    BlockNames,
    Line,
    Names,
    Network,
    Place,
    Stages,
    deepened,
    numbered,
    stages,
    widened,
)
from zoo.architectures.net import TORCH, TPU, scaled
from zoo.graph import Graph

# ---------------------------------------------------------------------------------------------------------- the numbers

B1 = stages(
    Line("ds", 1, 3, 1, 1, 16, skip=False),
    Line("ir", 3, 3, 2, 3, 24),
    Line("ir", 3, 5, 2, 3, 40),
    Line("ir", 3, 5, 2, 6, 80),
    Line("ir", 2, 3, 1, 6, 96),
    Line("ir", 4, 5, 2, 6, 192),
    Line("ir", 1, 3, 1, 6, 320, skip=False),
)
A1 = stages(
    Line("ds", 1, 3, 1, 1, 16, skip=False),
    Line("ir", 2, 3, 2, 6, 24),
    Line("ir", 3, 5, 2, 3, 40, 0.25),
    Line("ir", 4, 3, 2, 6, 80),
    Line("ir", 2, 3, 1, 6, 112, 0.25),
    Line("ir", 3, 5, 2, 6, 160, 0.25),
    Line("ir", 1, 3, 1, 6, 320),
)
SMALL = stages(
    Line("ds", 1, 3, 1, 1, 8),
    Line("ir", 1, 3, 2, 3, 16),
    Line("ir", 2, 3, 2, 6, 16),
    Line("ir", 4, 5, 2, 6, 32, 0.25),
    Line("ir", 3, 3, 1, 6, 32, 0.25),
    Line("ir", 3, 5, 2, 6, 88, 0.25),
    Line("ir", 1, 3, 1, 6, 144),
)
# tensorflow/tpu's table says of the first block that 16 channels come in, which are 8: it adds no input to them.
_TPU_SMALL = [[SMALL[0][0]._replace(skip=False)], *SMALL[1:]]
SINGLE_PATH = stages(
    Line("ds", 1, 3, 1, 1, 16, skip=False),
    Line("ir", 3, 3, 2, 3, 24),
    [Line("ir", 1, 5, 2, 6, 40), Line("ir", 3, 3, 1, 3, 40)],
    [Line("ir", 1, 5, 2, 6, 80), Line("ir", 3, 3, 1, 3, 80)],
    [Line("ir", 1, 5, 1, 6, 96), Line("ir", 3, 5, 1, 3, 96)],
    Line("ir", 4, 5, 2, 6, 192),
    Line("ir", 1, 3, 1, 6, 320, skip=False),
)
FBNET_C = stages(
    Line("ir", 1, 3, 1, 1, 16),
    [Line("ir", 1, 3, 2, 6, 24), Line("ir", 2, 3, 1, 1, 24)],
    [Line("ir", 1, 5, 2, 6, 32), Line("ir", 1, 5, 1, 3, 32), Line("ir", 1, 5, 1, 6, 32), Line("ir", 1, 3, 1, 6, 32)],
    [Line("ir", 1, 5, 2, 6, 64), Line("ir", 1, 5, 1, 3, 64), Line("ir", 2, 5, 1, 6, 64)],
    [Line("ir", 3, 5, 1, 6, 112), Line("ir", 1, 5, 1, 3, 112)],
    Line("ir", 4, 5, 2, 6, 184),
    Line("ir", 1, 3, 1, 6, 352),
)


def _mix(
    repeats: int, kernels: int, stride: int, expand: int, channels: int, se: float = 0.0, pointwise: str = ""
) -> Line:
    """Returns MixNet's blocks with so many kernels, 3x3 and up; `a` and `p`: two for the expansion, the projection."""
    mixed = tuple(range(3, 3 + 2 * kernels, 2))
    ends = (1, 1) if "a" in pointwise else 1, (1, 1) if "p" in pointwise else 1
    act = "silu" if se else ""
    return Line("ir", repeats, mixed if kernels > 1 else 3, stride, expand, channels, se, act, pointwise=ends)


MIX_S = stages(
    Line("ds", 1, 3, 1, 1, 16),
    [_mix(1, 1, 2, 6, 24, pointwise="ap"), _mix(1, 1, 1, 3, 24, pointwise="ap")],
    [_mix(1, 3, 2, 6, 40, 0.5), _mix(3, 2, 1, 6, 40, 0.5, "ap")],
    [_mix(1, 3, 2, 6, 80, 0.25, "p"), _mix(2, 2, 1, 6, 80, 0.25, "p")],
    [_mix(1, 3, 1, 6, 120, 0.5, "ap"), _mix(2, 4, 1, 3, 120, 0.5, "ap")],
    [_mix(1, 5, 2, 6, 200, 0.5), _mix(2, 4, 1, 6, 200, 0.5, "p")],
)
MIX_M = stages(
    Line("ds", 1, 3, 1, 1, 24),
    [_mix(1, 3, 2, 6, 32, pointwise="ap"), _mix(1, 1, 1, 3, 32, pointwise="ap")],
    [_mix(1, 4, 2, 6, 40, 0.5), _mix(3, 2, 1, 6, 40, 0.5, "ap")],
    [_mix(1, 3, 2, 6, 80, 0.25), _mix(3, 4, 1, 6, 80, 0.25, "ap")],
    [_mix(1, 1, 1, 6, 120, 0.5), _mix(3, 4, 1, 3, 120, 0.5, "ap")],
    [_mix(1, 4, 2, 6, 200, 0.5), _mix(3, 4, 1, 6, 200, 0.5, "p")],
)


def _mnas(table: Stages, width: float, stem: int = 32, *, features: int = 1280, dropout: float = 0.2) -> Network:
    return Network(widened(table, width), scaled(stem, width), features, dropout=dropout)


def _mixnet(width: float, depth: float = 1.0) -> Network:
    table = widened(deepened(MIX_M, depth, whole=round), width)
    return Network(table, scaled(24, width), 1536, dropout=0.25)


VARIANTS: Mapping[str, Network] = {
    **{f"mnasnet-{width:03}": _mnas(B1, width / 100) for width in (50, 75, 100)},
    "mnasnet1-3": _mnas(B1, 1.3),
    "mnasnet-140": _mnas(B1, 1.4),
    **{f"semnasnet-{width:03}": _mnas(A1, width / 100) for width in (35, 50, 75, 100, 140)},
    "mnasnet-small": _mnas(SMALL, 1.0, 8, dropout=0.0),
    "spnasnet-100": _mnas(SINGLE_PATH, 1.0, dropout=0.0),
    "fbnetc-100": _mnas(FBNET_C, 1.0, 16, features=1984, dropout=0.0),
    "mixnet-s": Network(MIX_S, 16, 1536, dropout=0.2),
    "mixnet-m": _mixnet(1.0),
    "mixnet-l": _mixnet(1.3),
    "mixnet-xl": _mixnet(1.6, 1.2),
    "mixnet-xxl": _mixnet(2.4, 1.3),
}

# ------------------------------------------------------------------------------------------------------------- dialects


def _torchvision_block(place: Place) -> BlockNames:
    # The first block, without a module of its own, is at 3; stages of blocks begin at 8.
    block = "layers" if place.kind == "ds" else f"layers.{place.stage + 7}.{place.unit}.layers"
    starts = (3, 6) if place.kind == "ds" else (0, 3, 6)
    return BlockNames(
        [numbered(block, start) for start in starts], ("", "", ""), f"{block.removesuffix('.layers')}.add"
    )


TORCHVISION_NAMES = Names(
    stem=numbered("layers"),
    block=_torchvision_block,
    head=numbered("layers", 14),
    classifier="classifier.1",
    pool="pool",
    flatten="flatten",
    dropout="classifier.0",
)


def _tpu(variant: str) -> Names:
    network = VARIANTS[variant]
    if variant in _MIX:
        return inverted_tf.tpu_names(variant, network, norm="batch_normalization", model="mixnet_model")
    scope = {"mnasnet-100": "mnasnet-b1", "mnasnet-small": "mnasnet-small"}.get(variant, "mnasnet-a1")
    return inverted_tf.tpu_names(scope, network, norm="batch_normalization", prefix="mnas_", model="mnas_net_model")


_NAMES = {"torchvision": TORCHVISION_NAMES, "timm": TIMM_NAMES, "timm-tf": TIMM_NAMES}
_MIX = ("mixnet-s", "mixnet-m", "mixnet-l")
PUBLISHED: Mapping[str, Sequence[str]] = {
    "torchvision": ("mnasnet-050", "mnasnet-075", "mnasnet-100", "mnasnet1-3"),
    "timm": tuple(variant for variant in VARIANTS if variant not in ("mnasnet1-3", "semnasnet-035")),
    "timm-tf": _MIX,
    "tpu": (*(f"semnasnet-{width:03}" for width in (35, 50, 75, 100, 140)), "mnasnet-100", "mnasnet-small", *_MIX),
}
TIMM = {variant.replace("-", "_"): (variant, "timm") for variant in PUBLISHED["timm"]} | {
    f"tf_{variant}".replace("-", "_"): (variant, "timm-tf") for variant in PUBLISHED["timm-tf"]
}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    if dialect == "tpu":
        network, ignored = VARIANTS[variant], inverted_tf.UNUSED
        if variant == "mnasnet-small":
            network = replace(network, stages=_TPU_SMALL)
        return inverted.build(variant, network, _tpu(variant), TPU, classes, size, ignored=ignored)
    style = replace(TORCH, same=dialect == "timm-tf")
    if dialect == "timm-tf" or variant == "fbnetc-100":
        style = replace(style, epsilon=1e-3)
    return inverted.build(variant, VARIANTS[variant], _NAMES[dialect], style, classes, size)
