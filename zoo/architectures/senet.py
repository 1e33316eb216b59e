"""SENet-154, SE-ResNet and SE-ResNeXt as Cadene ported them from Caffe (Hu et al., arXiv:1709.01507).

Source: pretrainedmodels (models/senet.py) and timm (models/senet.py), which calls them `legacy_*`: the stem's pool
rounds up instead of padding, and SE-ResNet's stride is in the first 1x1 convolution. timm's `seresnet50` is another
network.

Both dialects have the same names and numbers. timm drops features before every classifier while training,
pretrainedmodels only SENet-154's; and its last pool is 7x7, for inputs of 224.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.architectures.net import TORCH, Net
from zoo.graph import Graph


@dataclass(frozen=True)
class Variant:
    """One network."""

    repeats: tuple[int, ...]
    """Blocks of each layer."""
    kind: str
    """`basic`; `resnet`, `resnext` and `senet` are bottlenecks."""


SENET = "legacy-senet154"
VARIANTS: Mapping[str, Variant] = {
    SENET: Variant((3, 8, 36, 3), "senet"),
    "legacy-seresnet18": Variant((2, 2, 2, 2), "basic"),
    "legacy-seresnet34": Variant((3, 4, 6, 3), "basic"),
    "legacy-seresnet50": Variant((3, 4, 6, 3), "resnet"),
    "legacy-seresnet101": Variant((3, 4, 23, 3), "resnet"),
    "legacy-seresnet152": Variant((3, 8, 36, 3), "resnet"),
    "legacy-seresnext26-32x4d": Variant((2, 2, 2, 2), "resnext"),
    "legacy-seresnext50-32x4d": Variant((3, 4, 6, 3), "resnext"),
    "legacy-seresnext101-32x4d": Variant((3, 4, 23, 3), "resnext"),
}
PUBLISHED: Mapping[str, Sequence[str]] = {
    "timm": tuple(VARIANTS),
    "pretrainedmodels": tuple(name for name in VARIANTS if name[-2:] not in ("18", "34") and "26" not in name),
}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}
PLANES = (64, 128, 256, 512)
REDUCTION = 16
DROPOUT = 0.2


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    net = Net(TORCH)
    network = VARIANTS[variant]
    value = _stem(net, network.kind == "senet")
    value = net.max_pool(value, "pool0" if dialect == "timm" else "layer0.pool", 3, 2, ceil=True)
    for layer, (repeats, planes) in enumerate(zip(network.repeats, PLANES, strict=True), 1):
        for index in range(repeats):
            stride = 2 if layer > 1 and index == 0 else 1
            value = _block(net, value, f"layer{layer}.{index}", network.kind, planes, stride)
    value = net.global_pool(value, "global_pool.pool" if dialect == "timm" else "avg_pool")
    dropped = dialect == "timm" or variant == SENET
    value = net.dropout(value, "dropout", DROPOUT if dropped else 0)
    return net.graph(variant, net.linear(net.flatten(value, "flatten"), "last_linear", classes), size or 224)


def _stem(net: Net, deep: bool) -> str:
    value = "image"
    for index, (channels, kernel, stride) in enumerate(
        ((64, 3, 2), (64, 3, 1), (128, 3, 1)) if deep else ((64, 7, 2),), 1
    ):
        value = net.norm(net.conv(value, f"layer0.conv{index}", channels, kernel, stride), f"layer0.bn{index}")
        value = net.act(value, f"layer0.relu{index}", "relu")
    return value


def _convolutions(kind: str, planes: int, stride: int) -> list[tuple[int, int, int, int]]:
    """Channels, kernel, stride and groups of a block's convolutions."""
    if kind == "basic":
        return [(planes, 3, stride, 1), (planes, 3, 1, 1)]
    if kind == "resnet":
        return [(planes, 1, stride, 1), (planes, 3, 1, 1), (planes * 4, 1, 1, 1)]
    if kind == "resnext":  # 32 groups of 4 channels in the first layer
        return [(planes * 2, 1, 1, 1), (planes * 2, 3, stride, 32), (planes * 4, 1, 1, 1)]
    return [(planes * 2, 1, 1, 1), (planes * 4, 3, stride, 64), (planes * 4, 1, 1, 1)]


def _block(net: Net, before: str, name: str, kind: str, planes: int, stride: int) -> str:
    value, convolutions = before, _convolutions(kind, planes, stride)
    for index, (channels, kernel, step, groups) in enumerate(convolutions, 1):
        value = net.conv(value, f"{name}.conv{index}", channels, kernel, step, groups=groups)
        value = net.norm(value, f"{name}.bn{index}")
        if index < len(convolutions) or kind == "basic":
            value = net.act(value, f"{name}.relu{index}", "relu")
    channels = net.channels[value]
    shortcut = before
    if stride != 1 or net.channels[before] != channels:
        kernel = 3 if kind == "senet" and stride != 1 else 1
        shortcut = net.conv(before, f"{name}.downsample.0", channels, kernel, stride)
        shortcut = net.norm(shortcut, f"{name}.downsample.1")
    module = f"{name}.se_module"
    value = net.squeeze_excite(value, module, f"{module}.fc1", f"{module}.fc2", channels // REDUCTION)
    return net.act(net.add(f"{name}.add", value, shortcut), f"{name}.relu", "relu")
