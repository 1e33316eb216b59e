"""Inverted bottlenecks: what MobileNet 1 to 4, MNASNet, EfficientNet and their kin are made of.

A `Network` is numbers alone: lines of blocks, stem, head. `Names` are how one publisher calls the layers, and a `Style`
how its framework stores them; `build` takes the three apart from each other. Kinds of blocks, in timm's letters
(timm models/_efficientnet_builder.py):

- `ds` depthwise separable: depthwise convolution, projection. `dsa`: an activation behind the projection, and no sum.
- `ir` inverted residual: 1x1 expansion, depthwise convolution, projection.
- `er` edge residual, or fused: expansion by a full convolution, projection.
- `cn` one convolution.
- `uir` universal inverted residual (MobileNetV4): a depthwise convolution may stand before the expansion, without an
  activation, and that behind the expansion may be missing.
- `mqa` attention whose heads share keys and values, behind a normalisation (MobileNetV4's hybrids).

Behind the last but one layer may stand a squeeze-and-excitation. The input is added to what has its shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from zoo.architectures import condconv, context
from zoo.architectures.net import Net, Padding, Style, scaled
from zoo.graph import Graph

Kind = Literal["ds", "dsa", "ir", "er", "cn", "uir", "mqa"]
Kernel = int | tuple[int, ...]
"""Rows and columns; several: channels are split into as many parts, each with a kernel of its own (MixNet)."""


class Line(NamedTuple):
    """Blocks of one kind, one behind the other; the first has the stride."""

    kind: Kind
    repeats: int
    kernel: Kernel
    """Of the depthwise convolution, or of the full one; 0: there is none (`uir`)."""
    stride: int
    expand: float
    """Channels between the first and the last layer, times those of the input."""
    channels: int
    se: float = 0.0
    """Channels of the squeezed vector, as a share of what `Squeeze` says."""
    act: str = ""
    """Activation; empty: the network's."""
    skip: bool = True
    """Whether the input is added where it has the shape."""
    pointwise: tuple[Kernel, Kernel] = (1, 1)
    """Kernels of expansion and projection."""
    start: int = 0
    """Kernel of the depthwise convolution before the expansion (`uir`); 0: there is none."""
    group: int = 0
    """Channels of a group of the full convolution; 0: it has no groups."""
    experts: int = 0
    """Kernels of each convolution, of which every image has its own sum (`condconv`); 0: one kernel."""
    expand_from: int = 0
    """What `expand` multiplies, where it is not the input's channels (EfficientNet-EdgeTPU's first block)."""
    to_depth: bool = False
    """Whether a strided 2x2 convolution to four times the channels stands before a `ds` (EfficientNet-X)."""
    heads: tuple[int, int, int] = (0, 0, 1)
    """Of a `mqa`: how many, channels of each, and by how much the map of keys and values is smaller."""


Stages = Sequence[Sequence[Line]]
"""A stage is one or more lines; publishers number blocks in their stage."""


@dataclass(frozen=True)
class Squeeze:
    """How squeeze-and-excitations are made."""

    of_input: bool = True
    """Whether `Line.se` is a share of the block's input, else of the expanded channels."""
    divisor: int = 1
    limit: float = 0.9
    """The squeezed channels are a multiple of `divisor`, as `scaled` rounds; for 1 the nearest number."""
    act: str = ""
    """Empty: that of the block."""
    gate: str = "sigmoid"
    gain: float = 1.0
    """What the gates are multiplied by."""
    context: bool = False
    """Whether the average over positions is a weighted one (`context.global_context`)."""

    def channels(self, wide: int, line: Line) -> int:
        """Returns how many channels the vector has between its two layers."""
        exact = wide * (line.se / line.expand if self.of_input else line.se)
        return max(1, round(exact)) if self.divisor == 1 else scaled(exact, divisor=self.divisor, limit=self.limit)


@dataclass(frozen=True)
class Network:
    """A variant, as numbers."""

    stages: Stages
    stem: int
    """Channels of the first convolution, which has stride 2."""
    features: int
    """Channels of the last convolution; 0 for none."""
    size: int = 224
    """Rows and columns of the input, pixels."""
    dropout: float = 0.0
    """Share of features dropped before the classifier while training."""
    act: str = "relu"
    squeeze: Squeeze = Squeeze()
    late: bool = False
    """MobileNetV3: the last convolution stands behind the average."""
    late_bias: bool = True
    late_norm: bool = False
    """MobileNetV4: that convolution has a batch normalisation."""
    stem_kernel: int = 3
    divisor: int = 8
    """What the channels inside a block are a multiple of."""
    blur: Literal["", "average", "binomial"] = ""
    """What halves maps in the stages instead of a stride: the average over 2x2, or a 3x3 filter among zeros."""
    scaled_blocks: bool = False
    """Whether stored numbers scale what `uir` and `mqa` give, before the input is added (layer scale)."""


class Layer(NamedTuple):
    """Names of a convolution, its batch normalisation and its activation."""

    conv: str
    norm: str
    act: str
    parts: Sequence[str] = ()
    """Of several kernels each one's own name; empty: numbered behind `conv`."""


class Place(NamedTuple):
    """Where a block stands, for `Names.block`."""

    kind: Kind
    se: bool
    number: int
    """In the network, from 0."""
    stage: int
    unit: int
    """In its stage."""
    experts: bool = False


class BlockNames(NamedTuple):
    """What a block's parts are called, in their order."""

    layers: Sequence[Layer]
    """Of a `uir` all four, whether it has them or not."""
    squeeze: tuple[str, str, str]
    """The product of map and gates, and the two convolutions that make the gates."""
    add: str
    routing: str = ""
    """The dense layer that weighs the kernels."""
    to_depth: Layer = Layer("", "", "")
    scale: str = ""


@dataclass(frozen=True)
class Names:
    """How a publisher calls the layers of a network."""

    stem: Layer
    block: Callable[[Place], BlockNames]
    head: Layer
    classifier: str
    pool: str
    flatten: str
    dropout: str
    dense_head: bool = False
    """Whether a `late` convolution is a dense layer instead."""
    conv_classifier: bool = False
    """Whether the classifier is a 1x1 convolution, and the flattening behind it."""
    classifier_bias: bool = True
    """Whether that convolution has a bias."""


# ---------------------------------------------------------------------------------------------------------- the numbers


def stages(*lines: Line | Sequence[Line]) -> tuple[tuple[Line, ...], ...]:
    """Returns stages of a line each, or of several."""
    return tuple((entry,) if isinstance(entry, Line) else tuple(entry) for entry in lines)


def widened(table: Stages, width: float, *, limit: float = 0.9) -> Stages:
    """Returns stages with their channels times `width`, rounded by `scaled`."""

    def wide(line: Line) -> Line:
        source = line.expand_from and scaled(line.expand_from, width, limit=limit)
        return line._replace(channels=scaled(line.channels, width, limit=limit), expand_from=source)

    return [[wide(line) for line in stage] for stage in table]


def deepened(
    table: Stages, depth: float | Sequence[float], *, whole: Callable[[float], int] = math.ceil, ends: bool = True
) -> Stages:
    """Returns stages with their number of blocks times `depth`.

    Args:
        table: the stages.
        depth: factor, or one for each stage.
        whole: how a stage's number of blocks becomes a whole one.
        ends: whether the first and the last stage are deepened as well.
    """
    factors = [depth] * len(table) if isinstance(depth, int | float) else list(depth)
    if not ends:
        factors[0] = factors[-1] = 1.0
    return [_deepened(stage, factor, whole) for stage, factor in zip(table, factors, strict=True)]


def _deepened(stage: Sequence[Line], factor: float, whole: Callable[[float], int]) -> Sequence[Line]:
    """Shares a stage's blocks out among its lines, the last line first, as timm does (`_scale_stage_depth`)."""
    before = sum(line.repeats for line in stage)
    after = max(1, whole(before * factor))
    lines = []
    for line in reversed(stage):
        repeats = max(1, round(line.repeats / before * after))
        lines.append(line._replace(repeats=repeats))
        before, after = before - line.repeats, after - repeats
    return lines[::-1]


# ------------------------------------------------------------------------------------------------------------ the Graph


def build(
    variant: str, network: Network, names: Names, style: Style, classes: int, size: int | None = None, *,
    ignored: Mapping[str, str] | None = None,
) -> Graph:  # fmt: skip
    """Returns the Graph of a network in a publisher's names and style, its parameters shapes only."""
    net, network = Net(style), replace(network, size=size or network.size)
    value = head(net, network, names, trunk(net, network, names))
    value = net.dropout(value, names.dropout, network.dropout)
    if names.conv_classifier:
        value = net.conv(value, names.classifier, classes, bias=names.classifier_bias)
        output = net.flatten(value, names.flatten)
    else:
        output = net.linear(value, names.classifier, classes)
    return net.graph(variant, output, network.size, ignored=ignored)


def trunk(net: Net, network: Network, names: Names, image: str = "image") -> str:
    """Adds stem and blocks; returns the last block's output."""
    value = _layer(net, image, names.stem, network.stem, network.stem_kernel, 2, act=network.act)
    for place, line in blocks(network.stages):
        value = _block(net, network, names.block(place), line, value)
    return value


def head(net: Net, network: Network, names: Names, value: str) -> str:
    """Adds the last convolution and the average; returns the features, (N, channels), or (N, channels, 1, 1)."""
    if not network.late:
        if network.features:
            value = _layer(net, value, names.head, network.features, 1, 1, act=network.act)
        value = net.global_pool(value, names.pool)
        return value if names.conv_classifier else net.flatten(value, names.flatten)
    value = net.global_pool(value, names.pool)
    if names.dense_head:
        value = net.linear(net.flatten(value, names.flatten), names.head.conv, network.features, bias=network.late_bias)
        return net.act(value, names.head.act, network.act)
    value = net.conv(value, names.head.conv, network.features, bias=network.late_bias)
    if network.late_norm:
        value = net.norm(value, names.head.norm)
    value = net.act(value, names.head.act, network.act)
    return value if names.conv_classifier else net.flatten(value, names.flatten)


def blocks(table: Stages) -> Iterator[tuple[Place, Line]]:
    """Yields each block of a network, its stride its own."""
    number = 0
    for stage, lines in enumerate(table):
        units = [
            line._replace(repeats=1, stride=1 if repeat else line.stride)
            for line in lines
            for repeat in range(line.repeats)
        ]
        for unit, line in enumerate(units):
            yield Place(line.kind, line.se > 0, number, stage, unit, line.experts > 0), line
            number += 1


def _block(net: Net, network: Network, names: BlockNames, line: Line, value: str) -> str:
    if line.kind == "mqa":
        return _attention(net, network, names, line, value)
    before, act, layers = net.channels[value], line.act or network.act, iter(names.layers)
    wide = before
    if line.kind in ("ir", "er", "uir"):
        wide = scaled((line.expand_from or before) * line.expand, divisor=network.divisor)
    result = value
    weights = condconv.routed(net, value, names.routing, line.experts) if line.experts else ()
    if line.kind == "uir":
        result = _universal(net, names.layers, line, value, wide, act, network.blur)
        layers = iter(names.layers[-1:])
    if line.kind == "ir":
        result = _layer(net, result, next(layers), wide, line.pointwise[0], act=act, weights=weights)
    if line.to_depth:
        result = _layer(net, result, names.to_depth, 4 * wide, 2, 2, act=act, pad="same")
        wide, line = 4 * wide, line._replace(kernel=2, se=line.se / 4)
    if line.kind in ("ds", "dsa", "ir"):
        step = line.stride
        pad: Padding = "same" if line.to_depth else None
        result = _layer(
            net, result, next(layers), wide, line.kernel, step, act=act, groups=wide, weights=weights, pad=pad
        )
    elif line.kind == "er":
        groups = wide // line.group if line.group else 1
        result = _layer(
            net, result, next(layers), wide, line.kernel, line.stride, act=act, groups=groups, blur=network.blur
        )
    if line.se and network.squeeze.context:
        squeezed = network.squeeze.channels(wide, line)
        result = context.global_context(net, result, names.squeeze[0], squeezed, act=act)
    elif line.se:
        squeeze = network.squeeze
        result = net.squeeze_excite(
            result, *names.squeeze, squeeze.channels(wide, line), act=squeeze.act or act, gate=squeeze.gate,
            gain=squeeze.gain,
        )  # fmt: skip
    if line.kind == "cn":
        result = _layer(net, result, next(layers), line.channels, line.kernel, line.stride, act=act)
    else:
        last = act if line.kind == "dsa" else "linear"
        result = _layer(net, result, next(layers), line.channels, line.pointwise[1], act=last, weights=weights)
    skip = line.skip and line.kind != "dsa" and line.stride == 1 and not line.to_depth and before == line.channels
    if line.kind == "uir" and network.scaled_blocks:
        result = _scaled(net, names, result)
    return net.add(names.add, result, value) if skip else result


def _attention(net: Net, network: Network, names: BlockNames, line: Line, value: str) -> str:
    assert isinstance(line.kernel, int)
    (norm,), (heads, width, stride) = names.layers, line.heads
    result = context.multi_query(
        net, net.norm(value, norm.norm), norm.conv, line.channels, heads=heads, width=width, kernel=line.kernel,
        stride=stride, size=network.size,
    )  # fmt: skip
    return net.add(names.add, _scaled(net, names, result), value)


def _scaled(net: Net, names: BlockNames, value: str) -> str:
    channels = net.channels[value]
    gamma = net.param(f"{names.scale}.gamma", channels, 1, 1, stored=(channels,))
    return net.node("Mul", names.scale, value, gamma)


def _universal(net: Net, names: Sequence[Layer], line: Line, value: str, wide: int, act: str, blur: str) -> str:
    """Adds the layers of a universal block up to its projection; the last depthwise one has the stride."""
    start, expand, middle, _ = names
    if line.start:
        stride = 1 if line.kernel else line.stride
        narrow = net.channels[value]
        value = _layer(net, value, start, narrow, line.start, stride, act="linear", groups=narrow, blur=blur)
    value = _layer(net, value, expand, wide, line.pointwise[0], act=act)
    if not line.kernel:
        return value
    return _layer(net, value, middle, wide, line.kernel, line.stride, act=act, groups=wide, blur=blur)


def _layer(
    net: Net, value: str, names: Layer, out: int, kernel: Kernel, stride: int = 1, *, act: str, groups: int = 1,
    weights: Sequence[str] = (), blur: str = "", pad: Padding = None,
) -> str:  # fmt: skip
    """Convolution without bias, batch normalisation, activation; `weights` of several kernels."""
    blurred = blur and stride > 1
    step = 1 if blurred else stride
    if weights and isinstance(kernel, int):
        depthwise = groups > 1
        value = condconv.convolved(net, value, names.conv, out, kernel, step, depthwise=depthwise, weights=weights)
    else:
        value = _conv(net, value, names, out, kernel, step, groups, pad)
    value = net.act(net.norm(value, names.norm), names.act, act)
    if not blurred:
        return value
    name = f"{names.norm}.aa"
    return net.avg_pool(value, name, 2, 2) if blur == "average" else net.blur_pool(value, name, zeros=True)


def _conv(net: Net, value: str, names: Layer, out: int, kernel: Kernel, stride: int, groups: int, pad: Padding) -> str:
    if isinstance(kernel, int):
        return net.conv(value, names.conv, out, kernel, stride, groups=groups, pad=pad)
    results = []
    own = names.parts or [f"{names.conv}.{index}" for index in range(len(kernel))]
    values = net.split(value, f"{names.conv}.split", *shares(net.channels[value], len(kernel)))
    for part, name, channels, size in zip(values, own, shares(out, len(kernel)), kernel, strict=True):
        many = net.channels[part] if groups > 1 else 1  # mixed kernels are depthwise, or have no groups
        results.append(net.conv(part, name, channels, size, stride, groups=many))
    return net.concat(names.conv, *results)


def shares(channels: int, parts: int) -> list[int]:
    """Returns equal shares; the first has what remains (tensorflow/tpu mnasnet/mixnet/custom_layers.py).

    >>> shares(32, 3)
    [12, 10, 10]
    """
    share = channels // parts
    return [channels - share * (parts - 1)] + [share] * (parts - 1)


# -------------------------------------------------------------------------------------------------------- timm's names

_TIMM: Mapping[Kind, Sequence[tuple[str, str]]] = {
    "ds": (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    "dsa": (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    "ir": (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
    "er": (("conv_exp", "bn1"), ("conv_pwl", "bn2")),
    "cn": (("conv", "bn1"),),
    "mqa": (("attn", "norm"),),
    "uir": tuple((f"{name}.conv", f"{name}.bn") for name in ("dw_start", "pw_exp", "dw_mid", "pw_proj")),
}


def _timm_block(place: Place) -> BlockNames:
    prefix = f"blocks.{place.stage}.{place.unit}."
    layers = [Layer(prefix + conv, prefix + norm, f"{prefix}{norm}.act") for conv, norm in _TIMM[place.kind]]
    squeeze = (f"{prefix}se", f"{prefix}se.conv_reduce", f"{prefix}se.conv_expand")
    to_depth = Layer(f"{prefix}conv_s2d", f"{prefix}bn_s2d", f"{prefix}bn_s2d.act")
    return BlockNames(layers, squeeze, f"{prefix}add", f"{prefix}routing_fn", to_depth, f"{prefix}layer_scale")


TIMM_NAMES = Names(
    stem=Layer("conv_stem", "bn1", "bn1.act"),
    block=_timm_block,
    head=Layer("conv_head", "bn2", "bn2.act"),
    classifier="classifier",
    pool="global_pool.pool",
    flatten="global_pool.flatten",
    dropout="drop",
)
"""Of timm's models/efficientnet.py and models/mobilenetv3.py."""


# ------------------------------------------------------------------------------------------------- torchvision's names


def torchvision_block(block: str, place: Place, inner: str = "block") -> BlockNames:
    """Returns the names of a block whose parts torchvision numbers through (ops/misc.py, `Conv2dNormActivation`)."""
    count = {"cn": 1, "ds": 2, "er": 2}.get(place.kind, 3)
    numbers = [*range(count - 1), count if place.se else count - 1]
    squeeze = f"{block}.{inner}.{count - 1}"
    names = [numbered(f"{block}.{inner}.{number}") for number in numbers]
    return BlockNames(names, (squeeze, f"{squeeze}.fc1", f"{squeeze}.fc2"), f"{block}.add")


def numbered(prefix: str, first: int = 0) -> Layer:
    """Returns a convolution, its batch normalisation and its activation that follow each other in a `Sequential`."""
    return Layer(*(f"{prefix}.{number}" for number in range(first, first + 3)))
