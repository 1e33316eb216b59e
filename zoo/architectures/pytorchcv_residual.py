"""More of pytorchcv's residual networks: SENet, wide ResNet, IBN-Net, AirNet, SqueezeNext; and DiracNet without a sum.

Names and numbers are those of osmr/pytorchcv pytorchcv/models/senet.py, wrn.py, ibnresnet.py (arXiv:1807.09441),
airnet.py, squeezenext.py (arXiv:1803.10615) and diracnetv2.py (arXiv:1706.00388).

- `senet154` pads the pool of its stem, where Cadene's rounds up; `senet16` and `senet28` have 32 groups.
- `wrn50-2` and the DiracNets have no normalisation: it went into their convolutions.
- In `ibn-resnet` half of what a unit's first convolution makes is normalised by each image's own statistics.
- AirNet multiplies by a gate made of a smaller map; `r2` and `r16` say by how much its channels are fewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.net import TORCH, Net
from zoo.architectures.pytorchcv import STEM, graph, layer, units
from zoo.graph import Graph

DEPTHS: Mapping[str, tuple[int, ...]] = {
    "senet16": (1, 1, 1, 1),
    "senet28": (2, 2, 2, 2),
    "senet154": (3, 8, 36, 3),
    "wrn50-2": (3, 4, 6, 3),
    "ibn-resnet50": (3, 4, 6, 3),
    "ibn-resnet101": (3, 4, 23, 3),
    "airnet50-1x64d-r2": (3, 4, 6, 3),
    "airnet50-1x64d-r16": (3, 4, 6, 3),
    "diracnet18v2": (4, 4, 4, 4),
    "diracnet34v2": (6, 8, 12, 6),
}
NEXT: Mapping[str, tuple[int, ...]] = {"23": (6, 6, 8, 1), "23v5": (2, 4, 14, 1)}
"""Units of each stage."""
WIDTHS = {"w1": 1.0, "w3d2": 1.5, "w2": 2.0}
_NEXT = tuple(f"sqnxt{version}-{width}" for version in NEXT for width in WIDTHS)
PUBLISHED: Mapping[str, Sequence[str]] = {"pytorchcv": (*DEPTHS, *_NEXT)}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    net, size = Net(TORCH), size or 224
    if variant in _NEXT:
        return graph(net, variant, _squeezenext(net, variant), classes, size)
    if variant.startswith("dirac"):
        return graph(net, variant, _dirac(net, variant), classes, size)
    value, side = _stem(net, variant), -(-size // 4)
    for stage, unit, channels, name in units([(256 << stage,) * n for stage, n in enumerate(DEPTHS[variant])]):
        stride = 2 if unit == 1 < stage else 1
        side = -(-side // stride)
        value = _unit(net, variant, value, name, channels, stride, side)
    if not variant.startswith("senet"):
        return graph(net, variant, value, classes, size)
    value = net.flatten(net.global_pool(value, "features.final_pool"), "flatten")
    value = net.linear(net.dropout(value, "output.dropout", 0.2), "output.fc", classes)
    return net.graph(variant, value, size)


def _stem(net: Net, variant: str) -> str:
    if variant.startswith(("senet", "airnet")):
        out = 128 if variant.startswith("senet") else 64
        value = layer(net, "image", f"{STEM}.conv1", out // 2, 3, 2)
        value = layer(net, value, f"{STEM}.conv2", out // 2, 3)
        value = layer(net, value, f"{STEM}.conv3", out, 3)
    elif variant.startswith("wrn"):
        value = _bare(net, "image", f"{STEM}.conv", 64, 7, 2)
    else:
        value = layer(net, "image", f"{STEM}.conv", 64, 7, 2)
    return net.max_pool(value, f"{STEM}.pool", 3, 2, pad=1)


def _unit(net: Net, variant: str, value: str, name: str, channels: int, stride: int, side: int) -> str:
    """A bottleneck, what the network does besides, and the sum."""
    inside, kernel = channels // 4, 1
    body = f"{name}.body"
    if variant.startswith("senet"):
        groups = 64 if variant == "senet154" else 32
        wide = inside * groups // 16  # 4 channels of a group in the first stage
        result = layer(net, value, f"{body}.conv1", wide // 2)
        result = layer(net, result, f"{body}.conv2", wide, 3, stride, groups=groups)
        kernel = 3 if not name.startswith("features.stage1.") else 1
    elif variant.startswith("wrn"):
        result = _bare(net, value, f"{body}.conv1", 2 * inside)
        result = _bare(net, result, f"{body}.conv2", 2 * inside, 3, stride)
    elif variant.startswith("ibn") and channels < 2048:
        result = _half_by_instance(net, value, f"{body}.conv1", inside)
        result = layer(net, result, f"{body}.conv2", inside, 3, stride)
    else:
        result = layer(net, value, f"{body}.conv1", inside)
        result = layer(net, result, f"{body}.conv2", inside, 3, stride)
    if variant.startswith("airnet") and stride == 1 and inside < 512:
        ratio = int(variant.rpartition("r")[2])
        result = net.node("Mul", f"{body}.gated", result, _air(net, value, f"{body}.air", inside, ratio, side))
    if variant.startswith("wrn"):
        result = _bare(net, result, f"{body}.conv3", channels, act=False)
    else:
        result = layer(net, result, f"{body}.conv3", channels, act="linear")
    if variant.startswith("senet"):
        result = net.squeeze_excite(result, f"{name}.se", f"{name}.se.conv1", f"{name}.se.conv2", channels // 16)
    if stride != 1 or net.channels[value] != channels:
        shortcut = f"{name}.identity_conv"
        if variant.startswith("wrn"):
            value = _bare(net, value, shortcut, channels, 1, stride, act=False)
        else:
            value = layer(net, value, shortcut, channels, kernel, stride, act="linear")
    return net.act(net.add(f"{name}.add", value, result), f"{name}.activ", "relu")


def _bare(net: Net, value: str, name: str, out: int, kernel: int = 1, stride: int = 1, *, act: bool = True) -> str:
    """Convolution with bias, and ReLU."""
    value = net.conv(value, f"{name}.conv", out, kernel, stride, bias=True)
    return net.act(value, f"{name}.activ", "relu") if act else value


def _half_by_instance(net: Net, value: str, name: str, out: int) -> str:
    value = net.conv(value, f"{name}.conv", out)
    value = net.mixed_norm(value, f"{name}.ibn", ("inst_norm", out // 2), ("batch_norm", out - out // 2))
    return net.act(value, f"{name}.activ", "relu")


def _air(net: Net, value: str, name: str, out: int, ratio: int, side: int) -> str:
    """A gate for a map of `side` rows and columns."""
    value = layer(net, value, f"{name}.conv1", out // ratio)
    value = net.max_pool(value, f"{name}.pool", 3, 2, pad=1)
    value = layer(net, value, f"{name}.conv2", out // ratio, 3)
    value = net.node(
        "Resize", f"{name}.interpolate", value, scales=[1.0, 1.0, 2.0, 2.0], mode="linear",
        coordinate_transformation_mode="align_corners",
    )  # fmt: skip
    return net.act(layer(net, value, f"{name}.conv3", out, act="linear"), f"{name}.sigmoid", "sigmoid")


def _squeezenext(net: Net, variant: str) -> str:
    version, _, width = variant.removeprefix("sqnxt").partition("-")
    scale = WIDTHS[width]
    value = layer(net, "image", f"{STEM}.conv", int(64 * scale), 7, 2, pad=1, bias=True)
    value = net.max_pool(value, f"{STEM}.pool", 3, 2, ceil=True)
    for stage, unit, out, name in units([(int((32 << stage) * scale),) * n for stage, n in enumerate(NEXT[version])]):
        stride, before = 2 if unit == 1 < stage else 1, net.channels[value]
        changed = stride == 2 or before > out
        part = 1 if stride == 2 else 4 if before > out else 2
        result = layer(net, value, f"{name}.conv1", before // part, 1, stride, bias=True)
        result = layer(net, result, f"{name}.conv2", before // (2 * part), bias=True)
        result = layer(net, result, f"{name}.conv3", before // part, (1, 3), bias=True)
        result = layer(net, result, f"{name}.conv4", before // part, (3, 1), bias=True)
        result = layer(net, result, f"{name}.conv5", out, bias=True)
        if changed:
            value = layer(net, value, f"{name}.identity_conv", out, 1, stride, bias=True)
        value = net.act(net.add(f"{name}.add", value, result), f"{name}.activ", "relu")
    return layer(net, value, "features.final_block", int(128 * scale), bias=True)


def _dirac(net: Net, variant: str) -> str:
    value = net.conv("image", f"{STEM}.conv", 64, 7, 2, bias=True)
    value = net.max_pool(value, f"{STEM}.pool", 3, 2, pad=1)
    depths = DEPTHS[variant]
    for stage, unit, channels, name in units([(64 << stage,) * n for stage, n in enumerate(depths)]):
        value = net.act(value, f"{name}.activ", "relu")
        value = net.conv(value, f"{name}.conv", channels, 3, bias=True)
        if unit == depths[stage - 1] and stage < len(depths):
            value = net.max_pool(value, f"features.stage{stage}.pool{stage}", 2, 2)
    return net.act(value, "features.final_activ", "relu")
