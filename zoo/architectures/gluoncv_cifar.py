"""GluonCV's networks for the 32x32 pixels of CIFAR: a 3x3 stem without a pool, three stages.

Sources: dmlc/gluon-cv gluoncv/model_zoo/cifarresnet.py, cifarwideresnet.py (arXiv:1605.07146), cifarresnext.py
(arXiv:1611.05431). What they do unlike others: version 1 has no ReLU behind the first normalisation, a wide ResNet
neither; version 2 and the wide ones normalise the image, without a scale; version 2's shortcuts take the unit's input
as it is, the wide ones' what is normalised.
"""

from __future__ import annotations

import re

from zoo.architectures.gluon_resnet import IGNORED, normed, unit_before
from zoo.architectures.net import GLUON, Net
from zoo.graph import Graph

VARIANTS = (
    *(f"cifar-resnet{depth}-v{version}" for depth in (20, 56, 110) for version in (1, 2)),
    "cifar-wideresnet16-10",
    "cifar-wideresnet28-10",
    "cifar-wideresnet40-8",
    "cifar-resnext29-16x64d",
)


def build(variant: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `VARIANTS`, its parameters shapes only."""
    net = Net(GLUON)
    match = re.fullmatch(r"cifar-(resnet|wideresnet|resnext)(\d+)-(?:v(\d)|(\d+)x64d|(\d+))", variant)
    assert match is not None, variant
    kind, depth, version, groups, width = match[1], int(match[2]), match[3], int(match[4] or 1), int(match[5] or 1)
    before, value, place = version == "2" or kind == "wideresnet", "image", 0
    if before:
        value, place = net.norm(value, "features.0", scale=False), 1
    value = net.conv(value, f"features.{place}", 64 if kind == "resnext" else 16, 3)
    if version != "2":
        value = net.norm(value, f"features.{place + 1}")
    if kind == "resnext":
        value = net.act(value, f"features.{place + 2}", "relu")
    place += {"resnet": 1 if before else 2, "wideresnet": 2, "resnext": 3}[kind]
    units = (depth - 2) // 9 if kind == "resnext" else (depth - 2) // 6
    for stage in range(3):
        for index in range(units):
            name, stride = f"features.{place + stage}.{index}", 2 if stage and not index else 1
            if before:
                channels = (16 * width) << stage
                value = unit_before(net, value, name, channels, stride, basic=True, raw=version == "2")
            else:
                value = _unit(net, value, name, (256 if groups > 1 else 16) << stage, stride, groups)
    place += 3
    if before:
        value = normed(net, value, f"features.{place}", f"features.{place + 1}")
        place += 2
    value = net.flatten(net.global_pool(value, f"features.{place}"), "flatten")
    output = net.linear(value, "output", classes)
    return net.graph(variant, output, size or 32, ignored=IGNORED if before else None)


def _unit(net: Net, value: str, name: str, channels: int, stride: int, groups: int) -> str:
    """Two 3x3 convolutions, or with groups 1x1, 3x3, 1x1 (kernel, channels, stride, groups); the sum; ReLU."""
    wide = channels // 4 * groups
    layers = (
        ((3, channels, stride, 1), (3, channels, 1, 1)) if groups == 1
        else ((1, wide, 1, 1), (3, wide, stride, groups), (1, channels, 1, 1))
    )  # fmt: skip
    result = value
    for index, (kernel, out, step, grouped) in enumerate(layers):
        conv, norm, act = (f"{name}.body.{3 * index + part}" for part in range(3))
        result = net.norm(net.conv(result, conv, out, kernel, step, groups=grouped), norm)
        if index < len(layers) - 1:
            result = net.act(result, act, "relu")
    if stride != 1 or net.channels[value] != channels:
        value = net.conv(value, f"{name}.downsample.0", channels, 1, stride)
        value = net.norm(value, f"{name}.downsample.1")
    return net.act(net.add(f"{name}.add", value, result), f"{name}.relu", "relu")
