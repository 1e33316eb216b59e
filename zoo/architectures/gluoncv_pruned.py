"""GluonCV's pruned ResNets: those of `resnetv1b.py` with as many channels as pruning left of each convolution.

Source: dmlc/gluon-cv gluoncv/model_zoo/pruned_resnet: resnetv1b_pruned.py and the shapes beside it, in .json. Its own
loader takes files whose arrays have names from before MXNet 1.2, behind `resnetv1d_`.
"""

from __future__ import annotations

from collections.abc import Mapping

from zoo.architectures import resnet
from zoo.architectures.net import GLUON, Net
from zoo.architectures.resnet_tables import BASIC, NAMES, Variant, of_depth
from zoo.graph import Graph

_LEFT: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], str, str, str, str]] = {
    "resnet18-v1b-2-6x": (
        (8,),
        (8, 56, 208, 512),
        "8*2",
        "120 128",
        "256*2",
        "512*2",
    ),
    "resnet50-v1d-1-8x": (
        (16, 24, 40),
        (80, 280, 856, 2048),
        "16/32 8/16 16/24",
        "32/88 56/120 80/88 72/80",
        "128/248 168/240 256/248 216/200 248/256 232/256",
        "480/512 512/512*2",
    ),
    "resnet50-v1d-3-6x": (
        (16, 16, 32),
        (32, 128, 320, 1920),
        "16/8 8/8*2",
        "16/72 72/72 72/104 64/40",
        "32/80 64/104 136/200 128/216 104/112 120/96",
        "56/64 512/504 504/456",
    ),
    "resnet50-v1d-5-9x": (
        (8, 8, 8),
        (16, 72, 192, 1336),
        "8/8*3",
        "8/56*2 64/88 16/48",
        "8/8 8/96 112/224 8/104 8/80 144/216",
        "96/280 504/480 480/400",
    ),
    "resnet50-v1d-8-8x": (
        (8, 8, 8),
        (8, 16, 80, 784),
        "8/8*3",
        "8/24 8/8*3",
        "8/16 24/48 56/208 120/88 88/64 40/200",
        "80/192 264/48 152/400",
    ),
    "resnet101-v1d-1-9x": (
        (16, 32, 48),
        (80, 216, 384, 2048),
        "48/48 16/16 8/8",
        "8/8 88/128 128/128*2",
        "224/256 256/256*22",
        "512/512*3",
    ),
    "resnet101-v1d-2-2x": (
        (16, 24, 32),
        (40, 200, 392, 2048),
        "16/16 8/8 24/16",
        "32/128 72/112 8/8 96/96",
        "72/176 256/256*11 256/8 256/256*10",
        "512/512*3",
    ),
}
"""Channels of the stem and of each stage's result; then by stage, of each unit's convolutions but the last."""
VARIANTS = tuple(_LEFT)


def build(variant: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `VARIANTS`, its parameters shapes only."""
    numbers = _numbers(variant)
    net, names = Net(GLUON), NAMES["timm"]["resnet50d" if numbers.averaged else "resnet18"]
    value = resnet.features(net, numbers, names)
    return net.graph(variant, resnet.head(net, names, value, classes), size or 224)


def _numbers(variant: str) -> Variant:
    stem, left, *stages = _LEFT[variant]
    pruned = tuple(tuple(unit for word in stage.split() for unit in _units(word)) for stage in stages)
    depth = int(variant.removeprefix("resnet").partition("-")[0])
    if depth == 18:
        return of_depth(depth, stem=stem, pruned=pruned, left=left, blocks=(BASIC,) * 4)
    return of_depth(depth, "d", stem=stem, pruned=pruned, left=left)


def _units(word: str) -> list[tuple[int, ...]]:
    """Returns what `16/32*2` says: two units of 16 and 32 channels."""
    channels, _, times = word.partition("*")
    return [tuple(int(number) for number in channels.split("/"))] * int(times or 1)
