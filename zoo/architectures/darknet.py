"""Darknet (Redmon & Farhadi): the networks below YOLO, with leaky ReLUs of slope 0.1.

`darknet53` (arXiv:1804.02767) halves the map by strides and adds; `darknet-ref` and `darknet-tiny` pool.

- pytorchcv (models/darknet.py, models/darknet53.py).
- gluoncv (dmlc/gluon-cv gluoncv/model_zoo/yolo/darknet.py): `darknet53`, its layers numbered through.

Last pools average what is left of 224 rows, 3x3 positions in `darknet-ref`, and here of any number of rows, all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.net import GLUON, TORCH, Net
from zoo.graph import Graph

REF: Sequence[Sequence[int]] = ((16,), (32,), (64,), (128,), (256,), (512,), (1024,))
TINY: Sequence[Sequence[int]] = ((16,), (32,), (16, 128, 16, 128), (32, 256, 32, 256), (64, 512, 64, 512, 128))
"""Channels of the convolutions between pools; where there are several, those with few channels are 1x1."""
UNITS = (1, 2, 8, 8, 4)
"""Of `darknet53`, behind each convolution of stride 2."""
PUBLISHED: Mapping[str, Sequence[str]] = {
    "pytorchcv": ("darknet-ref", "darknet-tiny", "darknet53"),
    "gluoncv": ("darknet53",),
}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    if variant != "darknet53":
        return _pooled(variant, classes, size or 224)
    net, gluon = Net(GLUON if dialect == "gluoncv" else TORCH), dialect == "gluoncv"
    value = _layer(net, "image", "features.0" if gluon else "features.init_block", 32, 3, numbered=gluon)
    place = 1
    for stage, units in enumerate(UNITS, 1):
        for unit in range(units + 1):
            name = f"features.{place}" if gluon else f"features.stage{stage}.unit{unit + 1}"
            channels = 32 << stage
            if unit:
                inner = [f"{name}.body.{index}" if gluon else f"{name}.conv{index + 1}" for index in range(2)]
                result = _layer(net, value, inner[0], channels // 2, 1, numbered=gluon)
                result = _layer(net, result, inner[1], channels, 3, numbered=gluon)
                value = net.add(f"{name}.add", value, result)
            else:
                value = _layer(net, value, name, channels, 3, 2, numbered=gluon)
            place += 1
    value = net.flatten(net.global_pool(value, "features.final_pool"), "flatten")
    return net.graph(variant, net.linear(value, "output", classes), size or 224)


def _pooled(variant: str, classes: int, size: int) -> Graph:
    net, value = Net(TORCH), "image"
    stages = REF if variant == "darknet-ref" else TINY
    for stage, channels in enumerate(stages, 1):
        for unit, out in enumerate(channels, 1):
            kernel = 1 if out < max(channels) else 3
            value = _layer(net, value, f"features.stage{stage}.unit{unit}", out, kernel)
        if stage < len(stages):
            value = net.max_pool(value, f"features.stage{stage}.pool{stage}", 2, 2)
    value = net.conv(value, "output.final_conv", classes, bias=True)
    if stages is REF:
        value = net.act(value, "output.final_activ", "leaky_relu")
    return net.graph(variant, net.flatten(net.global_pool(value, "output.final_pool"), "flatten"), size)


def _layer(net: Net, value: str, name: str, out: int, kernel: int, stride: int = 1, *, numbered: bool = False) -> str:
    """Convolution, batch normalisation and leaky ReLU, by name or numbered."""
    conv, norm, act = ("0", "1", "2") if numbered else ("conv", "bn", "activ")
    value = net.norm(net.conv(value, f"{name}.{conv}", out, kernel, stride), f"{name}.{norm}")
    return net.act(value, f"{name}.{act}", "leaky_relu")
