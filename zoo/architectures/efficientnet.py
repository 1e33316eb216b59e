"""EfficientNet-Lite 0 to 4: inverted bottlenecks with ReLU6 and without squeeze-and-excitation.

Stages and coefficients are those of tensorflow/tpu models/official/efficientnet/lite/efficientnet_lite_builder.py.
Against EfficientNet-B, Lite keeps the width of stem and head and the depth of the first and last stage whatever the
coefficients (`fix_head_stem`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.graph import Graph, Node, Param


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


def build(variant: str, dialect: str, classes: int) -> Graph:
    """Returns the Graph of a variant of `VARIANTS` in a dialect of `DIALECTS`, its parameters shapes only."""
    numbers, names = VARIANTS[variant], DIALECTS[dialect]
    net = _Net(names)
    value = net.conv("image", *names.stem, 3, STEM, kernel=3, stride=2)
    channels = STEM
    for index, (stage, unit, repeat) in enumerate(_blocks(numbers)):
        prefix = names.block.format(index=index, stage=stage, unit=unit)
        value = net.bottleneck(value, prefix, channels, repeat)
        channels = repeat.channels
    value = net.conv(value, *names.head, channels, HEAD)
    value = net.node("GlobalAveragePool", names.pool, value)
    value = net.node("Flatten", names.flatten, value, axis=1)
    value = net.node("Dropout", names.dropout, value, ratio=numbers.dropout)
    weight = net.param(f"{names.classifier}.weight", classes, HEAD)
    bias = net.param(f"{names.classifier}.bias", classes)
    value = net.node("Gemm", names.classifier, value, weight, bias, transB=1)
    return Graph(variant, {"image": (3, numbers.size, numbers.size)}, (value,), tuple(net.nodes), net.params)


def _blocks(variant: Variant) -> Iterator[tuple[int, int, Stage]]:
    """Yields (stage, unit in the stage, what to build), scaled."""
    for index, stage in enumerate(STAGES):
        fixed = index in (0, len(STAGES) - 1)
        repeats = stage.repeats if fixed else math.ceil(stage.repeats * variant.depth)
        channels = _scaled(stage.channels, variant.width)
        for unit in range(repeats):
            yield index, unit, Stage(1, stage.kernel, stage.stride if unit == 0 else 1, stage.expand, channels)


def _scaled(channels: int, width: float) -> int:
    """Channels times width to the nearest multiple of 8, but at most a tenth below."""
    exact = channels * width
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


@dataclass
class _Net:
    """Nodes and parameters as they are added; each method returns the name of the value it makes."""

    names: Dialect
    nodes: list[Node] = field(default_factory=list)
    params: dict[str, Param] = field(default_factory=dict)

    def node(self, op: str, name: str, *inputs: str, **attrs: Any) -> str:
        self.nodes.append(Node(op, name, inputs, (name,), attrs))
        return name

    def param(self, name: str, *shape: int) -> str:
        self.params[name] = Param(shape)
        return name

    def conv(
        self, value: str, conv: str, norm: str, before: int, after: int, *, kernel: int = 1, stride: int = 1,
        groups: int = 1, act: bool = True,
    ) -> str:  # fmt: skip
        """Convolution without bias, batch normalisation, and ReLU6 where `act` says so."""
        side = (stride - 1 + kernel - 1) // 2
        padding: dict[str, Any] = {"auto_pad": "SAME_UPPER"} if self.names.same else {"pads": (side,) * 4}
        weight = self.param(f"{conv}.weight", after, before // groups, kernel, kernel)
        value = self.node(
            "Conv", conv, value, weight, kernel_shape=(kernel,) * 2, strides=(stride,) * 2, group=groups, **padding
        )
        stored = [self.param(f"{norm}.{key}", after) for key in ("weight", "bias", "running_mean", "running_var")]
        value = self.node("BatchNormalization", norm, value, *stored, epsilon=self.names.epsilon)
        return self.node("Clip", norm + self.names.act, value, min=0.0, max=6.0) if act else value

    def bottleneck(self, value: str, prefix: str, before: int, stage: Stage) -> str:
        """Expansion, depthwise convolution, projection; the input is added where shapes allow."""
        wide = before * stage.expand
        layers = self.names.plain if stage.expand == 1 else self.names.expanded
        steps = [(prefix + conv, prefix + norm) for conv, norm in layers]
        result = value
        if stage.expand != 1:
            result = self.conv(result, *steps[0], before, wide)
        result = self.conv(result, *steps[-2], wide, wide, kernel=stage.kernel, stride=stage.stride, groups=wide)
        result = self.conv(result, *steps[-1], wide, stage.channels, act=False)
        if stage.stride == 1 and before == stage.channels:
            result = self.node("Add", prefix + "add", result, value)
        return result
