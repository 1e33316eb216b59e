"""MobileNet v1 of slim (arXiv:1704.04861): thirteen times a depthwise 3x3 and a 1x1 convolution, each with ReLU6.

Source: tensorflow/models research/slim/nets/mobilenet_v1.py. Padding is TensorFlow's SAME, epsilon 1e-3, the classifier
a 1x1 convolution. slim averages over windows of 7x7, which is all there is up to 224 rows, and with `global_pool=True`
over all positions of larger inputs, too: that is built here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.net import SLIM, Net
from zoo.graph import Graph

VARIANTS: Mapping[str, float] = {
    "mobilenetv1-100": 1.0,
    "mobilenetv1-075": 0.75,
    "mobilenetv1-050": 0.5,
    "mobilenetv1-025": 0.25,
}
"""Channels are multiplied by these."""
PUBLISHED: Mapping[str, Sequence[str]] = {"slim": tuple(VARIANTS)}
CHANNELS = (64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
HALVED = (2, 4, 6, 12)
"""Numbers of the blocks of stride 2."""
LEAST = 8
"""Channels that a layer has at least."""
DROPOUT = 0.001


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    width = VARIANTS[variant]
    net = Net(SLIM)
    value = _normed(net, net.conv("image", "MobilenetV1/Conv2d_0", _scaled(32, width), 3, 2))
    for index, channels in enumerate(CHANNELS, 1):
        name, before = f"MobilenetV1/Conv2d_{index}", net.channels[value]
        stride = 2 if index in HALVED else 1
        value = _normed(net, net.conv(value, f"{name}_depthwise", before, 3, stride, groups=before))
        value = _normed(net, net.conv(value, f"{name}_pointwise", _scaled(channels, width)))
    scope = "MobilenetV1/Logits"
    value = net.dropout(net.global_pool(value, f"{scope}/AvgPool_1a"), f"{scope}/Dropout_1b", DROPOUT)
    value = net.conv(value, f"{scope}/Conv2d_1c_1x1", classes, bias=True)
    output = net.flatten(value, f"{scope}/SpatialSqueeze")
    return net.graph(variant, output, size or 224, ignored={"global_step": "counts training steps"})


def _normed(net: Net, name: str) -> str:
    """Normalisation and ReLU6 behind a convolution, whose name they carry."""
    return net.act(net.norm(name, f"{name}/BatchNorm"), f"{name}/Relu6", "relu6")


def _scaled(channels: int, width: float) -> int:
    return max(int(channels * width), LEAST)
