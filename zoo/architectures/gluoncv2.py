"""gluoncv2's networks: pytorchcv's in the names of MXNet's Gluon, by the same author.

Source: osmr/imgclsmob gluon/gluoncv2/models (package gluoncv2 0.0.64). Numbers are those of pytorchcv's networks of the
same name; the paths differ in that Gluon numbers the children of a sequence: `features.stage1.unit2` is
`features.1.1`, and `output` a sequence whose first child flattens. Only networks with published weights are here.
Inception-ResNet v2 alone computes otherwise: its averages count the padding. EfficientNets of TensorFlow's weights are
`gluoncv2-tf`, as pytorchcv's are `pytorchcv-tf`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from zoo.architectures import (
    alexnet,
    condensenet,
    darknet,
    inception_resnet_v1,
    pytorchcv_dense,
    pytorchcv_inception,
    pytorchcv_mobile,
    pytorchcv_nas,
    pytorchcv_residual,
    pytorchcv_resnet,
    pytorchcv_shuffle,
    pytorchcv_twins,
    vgg,
)  # fmt: skip
from zoo.architectures.net import GLUON
from zoo.architectures.renaming import Rules, renamed
from zoo.graph import Graph, Node


class _Family(Protocol):
    def build(self, variant: str, dialect: str, classes: int, size: int | None) -> Graph: ...


_PLAIN = "10 12 14 16 18 26 bc26b bc38b 50 50b 101 101b 152"
_RESNETS = (
    *(f"resnet{size}" for size in f"{_PLAIN} 152b 34 bc14b 18-wd4 18-wd2 18-w3d4".split()),
    *(f"preresnet{size}" for size in f"{_PLAIN} 152b 34 bc14b 18-wd4 18-wd2 18-w3d4 200b 269b".split()),
    *(f"seresnet{size}" for size in _PLAIN.split()),
    *(
        f"resnext{size}"
        for size in ["14-16x4d", "14-32x2d", "14-32x4d", "26-32x2d", "26-32x4d", "50-32x4d", "101-32x4d", "101-64x4d"]
    ),
    *(f"seresnext{size}" for size in ["50-32x4d", "101-32x4d", "101-64x4d"]),
)
_OF_FAMILY: Sequence[tuple[_Family, Sequence[str]]] = (
    (pytorchcv_resnet, _RESNETS),
    *(
        (family, family.PUBLISHED["pytorchcv"])
        for family in (
            alexnet, condensenet, darknet, inception_resnet_v1, pytorchcv_dense, pytorchcv_inception,
            pytorchcv_mobile, pytorchcv_nas, pytorchcv_residual, pytorchcv_shuffle, pytorchcv_twins, vgg,
        )
    ),
)  # fmt: skip
_UNPUBLISHED = ("menet228-12x1-g3",)
_FAMILY = {name: family for family, variants in _OF_FAMILY for name in variants if name not in _UNPUBLISHED}
_EFFICIENT = pytorchcv_mobile.PUBLISHED["pytorchcv-tf"]
_FAMILY |= dict.fromkeys(_EFFICIENT, pytorchcv_mobile)
PUBLISHED: Mapping[str, Sequence[str]] = {
    "gluoncv2": tuple(name for name in _FAMILY if name not in _EFFICIENT[2:]),
    "gluoncv2-tf": _EFFICIENT,
}

RULES: Rules = (
    (r"^features\.init_block", "features.0"),
    (r"\.branches\.branch(\d+)", ".branches.{1-1}"),
    (r"\.conv_list\.conv(\d+)", ".conv_list.{1-1}"),
    (r"\.(body|blocks)\.block(\d+)", ".{1}.{2-1}"),
    (r"^output\.(final_conv|conv(?=\d))", "output.0.{1}"),
    (r"^output\.0\.final_conv$", "output.0"),
    (r"^output\.dropout$", "output.1"),
    (r"^output\.fc$", "output.2"),
    (r"^output\.classifier$", "output.1"),
    (r"^output\.linear$", "output.1.dense"),
    (r"^output(?=$|\.fc\d)", "output.1"),
)
UNITS: Mapping[str, Rules] = {
    # A stem is child 0 of `features`, so that a stage keeps its number.
    "": ((r"^features\.stage(\d+)\.unit(\d+)", "features.{1}.{2-1}"),),
    "without stem": (
        (r"^features\.stage(\d+)\.unit(\d+)", "features.{1-1}.{2-1}"),
        (r"^features\.stage(\d+)\.pool\d+", "features.{1-1}.pool"),
    ),
    "pool first": (
        (r"^features\.stage(\d+)\.unit(\d+)", "features.{1}.{2}"),
        (r"^features\.stage(\d+)\.pool\d+", "features.{1}.0"),
    ),
    "transition first": (
        (r"^features\.stage1\.unit(\d+)", "features.1.{1-1}"),
        (r"^features\.stage(\d+)\.unit(\d+)", "features.{1}.{2}"),
        (r"^features\.stage(\d+)\.trans\d+", "features.{1}.0"),
    ),
    "two stems": (
        (r"^features\.stem([12])_unit", "features.{1}"),
        (r"^features\.stage(\d+)\.unit(\d+)", "features.{1+2}.{2-1}"),
    ),
    "one stem": (
        (r"^features\.stem1_unit", "features.1"),
        (r"^features\.stage(\d+)\.unit(\d+)", "features.{1+1}.{2-1}"),
    ),
    "poly": (
        (r"\.res_blocks\.(\d)", ".res_block{1+1}"),
        (r"\.bns\.(\d)", ".bn{1+1}"),
        (r"^features\.stage(\d+)\.unit(\d+)", "features.{1}.{2-1}"),
    ),
}
"""What else stands in a stage."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    graph = _FAMILY[variant].build(variant, dialect.replace("gluoncv2", "pytorchcv"), classes, size)
    stages = max(int(match[1]) for node in graph.nodes if (match := re.match(r"features\.stage(\d+)\.", node.name)))
    last = ((r"^features\.(?:post_activ|final_block|final_conv)", f"features.{stages + 1}"),)
    dense = ((r"^output$", "output.0"),) if variant.startswith("mobilenetv2") else ()
    if variant in ("inception-v4", "inception-resnet-v2"):
        dense = ((r"^output\.fc$", "output.1"),)  # no dropout stands before
    rules = (*UNITS[_kind(variant)], *last, *dense, *RULES)
    if variant == "inception-resnet-v1":  # its head is no sequence
        rules = tuple(rule for rule in rules if not rule[0].startswith("^output"))
    if variant == "inception-resnet-v2":
        graph = replace(graph, nodes=tuple(_counting_padding(node) for node in graph.nodes))
    return renamed(graph, rules, GLUON)


def _counting_padding(node: Node) -> Node:
    """Returns a node that averages over the zeros around the map too, if it is one."""
    return replace(node, attrs={**node.attrs, "count_include_pad": 1}) if node.op == "AveragePool" else node


def _kind(variant: str) -> str:
    if variant.startswith("squeeze"):
        return "pool first"
    if variant.startswith(("densenet", "pelee", "condensenet")):
        return "transition first"
    if variant.startswith("nasnet"):
        return "two stems"
    if variant.startswith("pnasnet"):
        return "one stem"
    if variant == "polynet":
        return "poly"
    if variant.startswith(("alexnet", "zfnet", "vgg", "bn-vgg", "darknet-")):
        return "without stem"
    return ""
