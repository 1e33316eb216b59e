"""MobileNet v1 and v2 of Gluon (arXiv:1704.04861, arXiv:1801.04381), and v3 of GluonCV (arXiv:1905.02244).

Sources: apache/mxnet python/mxnet/gluon/model_zoo/vision/mobilenet.py of 1.9.1; dmlc/gluon-cv
gluoncv/model_zoo/mobilenet.py and mobilenetv3.py.

- v1 has ReLU where others have ReLU6.
- v2's channels are cut off where others round to multiples of 8; its classifier is a convolution without bias. Gluon's
  first block expands too, by 1, which GluonCV's weights of 2019 do not (dmlc/gluon-cv #773).
- v3 has Gluon's epsilon, 1e-5, and no bias in the convolution behind the average, of 1280 channels in the small
  network, too.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.architectures import inverted, mobilenet
from zoo.architectures.inverted import BlockNames, Layer, Line, Names, Network, Place, numbered, stages, widened
from zoo.architectures.net import GLUON, scaled
from zoo.graph import Graph

WIDTHS = (100, 75, 50, 25)
"""Hundredths of the full number of channels."""
_V1 = tuple(f"mobilenetv1-{width:03}" for width in WIDTHS)
_V2 = tuple(f"mobilenetv2-{width:03}" for width in WIDTHS)
VARIANTS = (*_V1, *_V2)
V3 = ("mobilenetv3-large-100", "mobilenetv3-small-100")


def _v1_block(place: Place) -> BlockNames:
    first = 3 + 6 * place.number
    return BlockNames([numbered("features", first), numbered("features", first + 3)], ("", "", ""), "")


def _v2_block(place: Place) -> BlockNames:
    block = f"features.{place.number + 3}"
    places = (0, 3) if place.kind == "ds" else (0, 3, 6)
    return BlockNames([numbered(f"{block}.out", first) for first in places], ("", "", ""), f"{block}.add")


def _v3_block(place: Place) -> BlockNames:
    block = f"features.{place.number + 3}"
    if place.kind == "cn":  # the last one, which is three children of its own
        return BlockNames([numbered("features", place.number + 3)], ("", "", ""), "")
    parts = ("conv1", "conv2") if place.kind == "ds" else ("expand", "conv1", "conv2")
    layers = [Layer(f"{block}.{part}.conv", f"{block}.{part}.bn", f"{block}.{part}.act") for part in parts]
    return BlockNames(layers, (f"{block}.se", f"{block}.se.conv1", f"{block}.se.conv2"), f"{block}.add")


_STEM = numbered("features")
_V1_NAMES = Names(
    _STEM, _v1_block, Layer("", "", ""), "output", pool="features.81", flatten="features.82", dropout=""
)  # fmt: skip
_V2_NAMES = Names(
    _STEM, _v2_block, numbered("features", 20), "output.0", pool="features.23", flatten="output.1", dropout="",
    conv_classifier=True, classifier_bias=False,
)  # fmt: skip


def build(variant: str, classes: int, size: int | None, *, expanding: bool = True) -> Graph:
    """Returns the Graph of a variant of `VARIANTS` or `V3`, its parameters shapes only.

    Args:
        variant: as above.
        classes: outputs.
        size: rows and columns of the input.
        expanding: whether v2's first block expands.
    """
    if variant in V3:
        return _v3(variant, classes, size)
    width = int(variant[-3:]) / 100
    if variant in _V1:
        network = Network(widened(mobilenet.V1, width), scaled(32, width), 0)
        return inverted.build(variant, network, _V1_NAMES, GLUON, classes, size)
    table = stages(Line("ir" if expanding else "ds", 1, 3, 1, 1, 16), *mobilenet.V2[1:])
    table = tuple(tuple(line._replace(channels=int(line.channels * width)) for line in stage) for stage in table)
    network = Network(table, int(32 * width), 1280, act="relu6", divisor=1)
    return inverted.build(variant, network, _V2_NAMES, GLUON, classes, size)


def _v3(variant: str, classes: int, size: int | None) -> Graph:
    network = replace(mobilenet.VARIANTS[variant], features=1280, late_bias=False)
    last = 2 + sum(line.repeats for stage in network.stages for line in stage)
    names = Names(
        _STEM, _v3_block, Layer(f"features.{last + 4}", "", f"features.{last + 5}"), "output.0",
        pool=f"features.{last + 3}", flatten="output.1", dropout=f"features.{last + 6}", conv_classifier=True,
    )  # fmt: skip
    return inverted.build(variant, network, names, GLUON, classes, size)
