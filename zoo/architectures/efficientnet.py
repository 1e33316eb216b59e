"""EfficientNet-Lite 0 to 4: inverted bottlenecks with ReLU6 and without squeeze-and-excitation.

Stages and coefficients are those of tensorflow/tpu models/official/efficientnet/lite/efficientnet_lite_builder.py.
Against EfficientNet-B, Lite keeps the width of stem and head and the depth of the first and last stage whatever the
coefficients (`fix_head_stem`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from zoo.architectures.net import TORCH, Net, scaled
from zoo.graph import Graph


@dataclass(frozen=True)
class Stage:
    """Bottlenecks of one kind; the first has the stride."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


@dataclass(frozen=True)
class Variant:
    """Coefficients of one network."""

    width: float
    depth: float
    size: int
    """Rows and columns of the input, pixels."""
    dropout: float
    """Share of features dropped before the classifier while training."""


@dataclass(frozen=True)
class Dialect:
    """How one publisher writes the network down: names, and what differs in numbers."""

    stem: tuple[str, str]
    """Convolution and its batch normalisation."""
    block: str
    """Prefix of a bottleneck from `index` (in the network), `stage` and `unit` (in the stage)."""
    plain: tuple[tuple[str, str], ...]
    """Depthwise and projection of a bottleneck that does not expand."""
    expanded: tuple[tuple[str, str], ...]
    """Expansion, depthwise and projection."""
    head: tuple[str, str]
    act: str
    """Suffix that names the activation after a batch normalisation."""
    pool: str
    flatten: str
    dropout: str
    classifier: str
    epsilon: float = 1e-3
    same: bool = True
    """TensorFlow's SAME padding; else as much on both sides, as PyTorch's convolutions have it."""


STEM, HEAD = 32, 1280
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
VARIANTS = {
    "efficientnet-lite0": Variant(1.0, 1.0, 224, 0.2),
    "efficientnet-lite1": Variant(1.0, 1.1, 240, 0.2),
    "efficientnet-lite2": Variant(1.1, 1.2, 260, 0.3),
    "efficientnet-lite3": Variant(1.2, 1.4, 280, 0.3),
    "efficientnet-lite4": Variant(1.4, 1.8, 300, 0.3),
}

_TIMM: dict[str, Any] = {
    "stem": ("conv_stem", "bn1"),
    "block": "blocks.{stage}.{unit}.",
    "plain": (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    "expanded": (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
    "head": ("conv_head", "bn2"),
    "act": ".act",
    "pool": "global_pool.pool",
    "flatten": "global_pool.flatten",
    "dropout": "drop",
    "classifier": "classifier",
}
DIALECTS: Mapping[str, Dialect] = {
    # lukemelas/EfficientNet-PyTorch, and its fork ml-illustrated/EfficientNet-Lite-PyTorch
    "lukemelas": Dialect(
        stem=("_conv_stem", "_bn0"),
        block="_blocks.{index}.",
        plain=(("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")),
        expanded=(("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")),
        head=("_conv_head", "_bn1"),
        act=".relu6",
        pool="_avg_pooling",
        flatten="_flatten",
        dropout="_dropout",
        classifier="_fc",
    ),
    # timm's ports from TensorFlow: tf_efficientnet_lite0.in1k and the like
    "timm": Dialect(**_TIMM),
    # timm's own training runs: efficientnet_lite0.ra_in1k. The same names, other numbers
    "timm-symmetric": Dialect(**_TIMM, epsilon=1e-5, same=False),
}


PUBLISHED: Mapping[str, tuple[str, ...]] = dict.fromkeys(DIALECTS, tuple(VARIANTS))
TIMM = {
    name.replace("-", "_"): (variant, dialect)
    for variant in VARIANTS
    for name, dialect in ((variant, "timm-symmetric"), (f"tf_{variant}", "timm"))
}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `VARIANTS` in a dialect of `DIALECTS`, its parameters shapes only."""
    numbers, names = VARIANTS[variant], DIALECTS[dialect]
    net = Net(replace(TORCH, same=names.same, epsilon=names.epsilon))
    value = _conv(net, names, "image", names.stem, STEM, kernel=3, stride=2)
    for index, (stage, unit, repeat) in enumerate(_blocks(numbers)):
        prefix = names.block.format(index=index, stage=stage, unit=unit)
        value = _bottleneck(net, names, value, prefix, repeat)
    value = _conv(net, names, value, names.head, HEAD)
    value = net.flatten(net.global_pool(value, names.pool), names.flatten)
    value = net.dropout(value, names.dropout, numbers.dropout)
    return net.graph(variant, net.linear(value, names.classifier, classes), size or numbers.size)


def _blocks(variant: Variant) -> Iterator[tuple[int, int, Stage]]:
    """Yields (stage, unit in the stage, what to build), scaled."""
    for index, stage in enumerate(STAGES):
        fixed = index in (0, len(STAGES) - 1)
        repeats = stage.repeats if fixed else math.ceil(stage.repeats * variant.depth)
        channels = scaled(stage.channels, variant.width)
        for unit in range(repeats):
            yield index, unit, Stage(1, stage.kernel, stage.stride if unit == 0 else 1, stage.expand, channels)


def _conv(
    net: Net, names: Dialect, value: str, layer: tuple[str, str], out: int, *, kernel: int = 1, stride: int = 1,
    groups: int = 1, act: bool = True,
) -> str:  # fmt: skip
    """Convolution without bias, batch normalisation, and ReLU6 where `act` says so."""
    conv, norm = layer
    value = net.norm(net.conv(value, conv, out, kernel, stride, groups=groups), norm)
    return net.act(value, norm + names.act, "relu6") if act else value


def _bottleneck(net: Net, names: Dialect, value: str, prefix: str, stage: Stage) -> str:
    """Expansion, depthwise convolution, projection; the input is added where shapes allow."""
    before = net.channels[value]
    wide = before * stage.expand
    layers = names.plain if stage.expand == 1 else names.expanded
    steps = [(prefix + conv, prefix + norm) for conv, norm in layers]
    result = value
    if stage.expand != 1:
        result = _conv(net, names, result, steps[0], wide)
    result = _conv(net, names, result, steps[-2], wide, kernel=stage.kernel, stride=stage.stride, groups=wide)
    result = _conv(net, names, result, steps[-1], stage.channels, act=False)
    if stage.stride == 1 and before == stage.channels:
        result = net.add(prefix + "add", result, value)
    return result
