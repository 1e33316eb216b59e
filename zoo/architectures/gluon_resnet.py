"""ResNet v1 and v2 of Gluon (He et al., arXiv:1512.03385 and arXiv:1603.05027).

Source: apache/mxnet python/mxnet/gluon/model_zoo/vision/resnet.py of 1.9.1; GluonCV (dmlc/gluon-cv
gluoncv/model_zoo/resnet.py) has the same names and numbers. What is special:

- v1: a bottleneck's stride is in its first 1x1 convolution; both its 1x1 convolutions have a bias, which the
  normalisation behind would make superfluous. GluonCV's `v1b` and later are other networks (`gluoncv.py`).
- v2: the image is normalised by a first batch normalisation without scale; its file holds ones for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from zoo.architectures.net import GLUON, Net
from zoo.graph import Graph

DEPTHS: Mapping[int, tuple[int, ...]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Units of each stage; those of the first two depths are two 3x3 convolutions, of the others bottlenecks."""
_BASIC = (18, 34)
_V1 = {f"resnet{depth}-v1": depth for depth in DEPTHS}
_V2 = {f"resnetv2-{depth}": depth for depth in DEPTHS}
VARIANTS = (*_V1, *_V2)
IGNORED = {"features.0.gamma": "a batch normalisation without scale: it is 1 whatever is stored"}
STAGES = {"resnetv2": 5, "resnet": 4}
"""Beginning of a name -> place of the first stage."""


def build(variant: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `VARIANTS`, its parameters shapes only."""
    net, before = Net(GLUON), variant in _V2
    depth = (_V2 if before else _V1)[variant]
    value, first = "image", 0
    if before:
        value, first = net.norm(value, "features.0", scale=False), 1
    value = net.conv(value, f"features.{first}", 64, 7, 2)
    value = normed(net, value, f"features.{first + 1}", f"features.{first + 2}")
    value = net.max_pool(value, f"features.{first + 3}", 3, 2, pad=1)
    for stage, units in enumerate(DEPTHS[depth]):
        channels = (64 << stage) * (1 if depth in _BASIC else 4)
        for index in range(units):
            stride = 2 if stage and not index else 1
            unit = f"features.{first + 4 + stage}.{index}"
            value = (unit_before if before else _unit)(net, value, unit, channels, stride, basic=depth in _BASIC)
    if before:
        value = normed(net, value, "features.9", "features.10")
        value = net.flatten(net.global_pool(value, "features.11"), "features.12")
    else:
        value = net.flatten(net.global_pool(value, "features.8"), "flatten")
    return net.graph(variant, net.linear(value, "output", classes), size or 224, ignored=IGNORED if before else None)


def _unit(net: Net, value: str, name: str, channels: int, stride: int, *, basic: bool) -> str:
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1 (kernel, channels, stride, bias), then the sum and a ReLU."""
    inside = channels // 4
    layers = (
        ((3, channels, stride, False), (3, channels, 1, False)) if basic
        else ((1, inside, stride, True), (3, inside, 1, False), (1, channels, 1, True))
    )  # fmt: skip
    result = value
    for index, (kernel, out, step, bias) in enumerate(layers):
        place = 3 * index
        result = net.norm(
            net.conv(result, f"{name}.body.{place}", out, kernel, step, bias=bias), f"{name}.body.{place + 1}"
        )
        if index < len(layers) - 1:
            result = net.act(result, f"{name}.body.{place + 2}", "relu")
    if stride != 1 or net.channels[value] != channels:
        value = net.conv(value, f"{name}.downsample.0", channels, 1, stride)
        value = net.norm(value, f"{name}.downsample.1")
    return net.act(net.add(f"{name}.add", value, result), f"{name}.relu", "relu")


def unit_before(net: Net, value: str, name: str, channels: int, stride: int, *, basic: bool, raw: bool = False) -> str:
    """The same with normalisation and ReLU before each convolution (kernel, channels, stride).

    A convolution on the shortcut takes what is normalised, or `raw` what is not.
    """
    inside = channels // 4
    layers = (
        ((3, channels, stride), (3, channels, 1)) if basic
        else ((1, inside, 1), (3, inside, stride), (1, channels, 1))
    )  # fmt: skip
    result = first = value
    for index, (kernel, out, step) in enumerate(layers, 1):
        result = normed(net, result, f"{name}.bn{index}", f"{name}.relu{index}")
        first = result if index == 1 else first
        result = net.conv(result, f"{name}.conv{index}", out, kernel, step)
    if stride != 1 or net.channels[value] != channels:
        value = net.conv(value if raw else first, f"{name}.downsample", channels, 1, stride)
    return net.add(name, value, result)


def normed(net: Net, value: str, norm: str, act: str) -> str:
    """Batch normalisation and ReLU."""
    return net.act(net.norm(value, norm), act, "relu")
