"""pytorchcv's networks for phones: MobileNet 1 to 3, FD-MobileNet, IGCV3, MNASNet, EfficientNet.

Names and numbers are those of osmr/pytorchcv pytorchcv/models/mobilenet.py, mobilenetb.py, fdmobilenet.py,
mobilenetv2.py, igcv3.py, mobilenetv3.py, mnasnet.py and efficientnet.py. Letters behind a name are another network:

- `mobilenetb` has neither normalisation nor activation behind its depthwise convolutions.
- `mobilenetv2b` does not expand in its first block, as others' MobileNet v2; `mobilenetv2` does, by 1.
- EfficientNet-B0 and B1 are pytorchcv's own (dialect `pytorchcv`); its `b0b` and `b0c` are TensorFlow's weights, with
  padding and epsilon of TensorFlow (dialect `pytorchcv-tf`).

Channels of a fraction of the width are cut off, not rounded to multiples of 8; IGCV3's to even numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from zoo.architectures import efficientnet, inverted, mnasnet, mobilenet
from zoo.architectures.inverted import BlockNames, Layer, Names, Network, Place
from zoo.architectures.net import TORCH, Net
from zoo.architectures.pytorchcv import STEM, by_stride, depthwise, graph, layer, shuffled, units
from zoo.graph import Graph

WIDTHS: Mapping[str, float] = {"wd4": 0.25, "wd2": 0.5, "w3d4": 0.75, "w1": 1.0}
_WIDE = ("mobilenet", "mobilenetb", "fdmobilenet", "mobilenetv2", "mobilenetv2b", "igcv3")
_LINED: Mapping[str, Network] = {
    "mobilenetv3-large-100": replace(mobilenet.VARIANTS["mobilenetv3-large-100"], late_bias=False),
    "mnasnet-100": replace(mnasnet.VARIANTS["mnasnet-100"], dropout=0.0),
    "semnasnet-100": replace(mnasnet.VARIANTS["semnasnet-100"], dropout=0.0),
}
_EFFICIENT = tuple(f"efficientnet-b{number}" for number in range(8))
PUBLISHED: Mapping[str, Sequence[str]] = {
    "pytorchcv": (*(f"{kind}-{width}" for kind in _WIDE for width in WIDTHS), *_LINED, *_EFFICIENT[:2]),
    "pytorchcv-tf": _EFFICIENT,
}

V1 = ((64,), (128,) * 2, (256,) * 2, (512,) * 6, (1024,) * 2)
FD = ((64,), (128,) * 2, (256,) * 2, (*(512,) * 5, 1024))
V2 = ((16,), (24,) * 2, (32,) * 3, (*(64,) * 4, *(96,) * 3), (*(160,) * 3, 320))
IGC = ((16,), (24,) * 4, (32,) * 6, (*(64,) * 8, *(96,) * 6), (*(160,) * 6, 320))
"""Channels of each unit of each stage."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    if variant in _LINED:
        return inverted.build(variant, _LINED[variant], _names(_LINED[variant]), TORCH, classes, size)
    if variant in _EFFICIENT:
        network = efficientnet.VARIANTS[variant]
        style = replace(TORCH, same=True, epsilon=1e-3) if dialect == "pytorchcv-tf" else TORCH
        return inverted.build(variant, network, _names(network, efficient=True), style, classes, size)
    kind, _, width = variant.partition("-")
    size, net = size or 224, Net(TORCH)
    if kind in ("mobilenet", "mobilenetb", "fdmobilenet"):
        return graph(net, variant, _separable(net, kind, WIDTHS[width]), classes, size)
    value = _residual(net, kind, WIDTHS[width], size)
    value = layer(net, value, "features.final_block", 1280, act="relu6")
    if kind == "igcv3":
        return graph(net, variant, value, classes, size)
    value = net.conv(net.global_pool(value, "features.final_pool"), "output", classes)
    return net.graph(variant, net.flatten(value, "flatten"), size)


def _separable(net: Net, kind: str, width: float) -> str:
    fast = kind == "fdmobilenet"
    value = layer(net, "image", STEM, int(32 * width), 3, 2)
    for stage, unit, channels, name in units(FD if fast else V1):
        stride = 2 if unit == 1 and (stage > 1 or fast) else 1
        if kind == "mobilenetb":
            before = net.channels[value]
            value = net.conv(value, f"{name}.dw_conv.conv", before, 3, stride, groups=before)
        else:
            value = depthwise(net, value, f"{name}.dw_conv", stride=stride)
        value = layer(net, value, f"{name}.pw_conv", int(channels * width))
    return value


def _residual(net: Net, kind: str, width: float, size: int) -> str:
    """Inverted residuals; IGCV3's have two groups in their 1x1 convolutions, and shuffle behind the first."""
    grouped = kind == "igcv3"
    groups = 2 if grouped else 1

    def scaled(channels: int) -> int:
        return int(channels * width) + (int(channels * width) % 2 if grouped else 0)

    value = layer(net, "image", STEM, scaled(32), 3, 2, act="relu6")
    side = -(-size // 2)
    for stage, unit, full, name in units(IGC if grouped else V2):
        first = stage == unit == 1
        channels, before = scaled(full), net.channels[value]
        stride = 2 if unit == 1 < stage else 1
        result = value
        if not (first and kind == "mobilenetv2b"):
            inside = before * (1 if first else 6)
            act = "linear" if grouped else "relu6"
            result = layer(net, result, f"{name}.conv1", inside, groups=groups, act=act)
        if grouped:
            result = shuffled(net, result, f"{name}.c_shuffle", groups, side)
        side = -(-side // stride)
        result = depthwise(net, result, f"{name}.conv2", stride=stride, act="relu6")
        result = layer(net, result, f"{name}.conv3", channels, groups=groups, act="linear")
        value = net.add(f"{name}.add", result, value) if stride == 1 and before == channels else result
    return value


# --------------------------------------------------------------------------------- what inverted.py has the numbers of


def _layer(name: str) -> Layer:
    return Layer(f"{name}.conv", f"{name}.bn", f"{name}.activ")


def _names(network: Network, *, efficient: bool = False) -> Names:
    """Names of blocks by the stages that pytorchcv divides them in."""
    lines = [line for _, line in inverted.blocks(network.stages)]
    mnas, late = not efficient and not network.late, network.late
    # MNASNet's first block belongs to its stem, its last to its end.
    places = by_stride([line.stride for line in lines[1 if mnas else 0 :]])
    parts = {
        "ds": ("dw_conv", "pw_conv") if not late else ("conv1", "conv2"),
        "ir": ("conv1", "conv2", "conv3") if efficient else ("exp_conv", "conv1" if late else "dw_conv",
                                                              "conv2" if late else "pw_conv"),
    }  # fmt: skip

    def block(place: Place) -> BlockNames:
        if place.kind == "cn":
            return BlockNames([_layer("features.final_block.conv")], ("", "", ""), "")
        if mnas and place.number in (0, len(lines) - 1):
            name = f"{STEM}.conv2" if place.number == 0 else "features.final_block.conv1"
        else:
            name = "features.stage{}.unit{}".format(*places[place.number - int(mnas)])
        layers = [_layer(f"{name}.{part}") for part in parts[place.kind]]
        return BlockNames(layers, (f"{name}.se", f"{name}.se.conv1", f"{name}.se.conv2"), f"{name}.add")

    if late:
        return Names(
            _layer(STEM), block, Layer("output.conv1", "", "output.activ"), "output.conv2", "features.final_pool",
            "flatten", "output.dropout", conv_classifier=True,
        )  # fmt: skip
    return Names(
        _layer(f"{STEM}.conv1" if mnas else f"{STEM}.conv"), block,
        _layer("features.final_block.conv2" if mnas else "features.final_block"),
        "output" if mnas else "output.fc", "features.final_pool", "flatten", "output.dropout",
    )  # fmt: skip
