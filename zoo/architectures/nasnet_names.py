"""How each publisher of `zoo.architectures.nasnet` names the layers of a cell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from zoo.architectures.net import KERAS, SLIM, TORCH, Style


class Half(NamedTuple):
    """Suffixes of one half of a separable convolution."""

    node: str
    weights: str


@dataclass(frozen=True)
class Names:
    """Names, without the cell's; those of a pair's side also without the pair's.

    Args:
        style: what the framework does alike in all layers.
        dropout: rate before the classifier in training.
        first: first convolution and its normalisation.
        current: ReLU, 1x1 convolution and normalisation that make a cell's state 0 of the output before it.
        previous: the same, that make state 1 of the output one further back.
        halved: ReLU, two 1x1 convolutions and normalisation that do so where that output is twice as large.
        side: of a pair's number, and left or right: what the parts of one operation are named below.
        act: ReLU before the first and the second separable convolution of an operation.
        convolution: separable one, and its normalisation, of their number (1, 2) and kernel's side.
        separable: depthwise and 1x1 half of a separable convolution.
        strided: ReLU, 1x1 convolution and normalisation where an operation only has to halve or to change channels.
        pools: kind -> pool; `projected` is one with a 1x1 convolution behind it.
        sum: of a pair, by its number.
        joined: a cell's output.
        head: ReLU, average, its flattening, dropout, classifier.
        separator: between a cell's name and what is in it.
        numbered: first numbers of the blocks' cells are multiples of this; 0: cells are numbered through.
    """

    style: Style
    dropout: float
    first: tuple[str, str]
    current: tuple[str, str, str]
    previous: tuple[str, str, str]
    halved: tuple[str, str, str, str]
    side: str
    act: tuple[str, str]
    convolution: tuple[str, str]
    separable: tuple[Half, Half]
    strided: tuple[str, str, str]
    pools: Mapping[str, str]
    sum: str
    joined: str
    head: tuple[str, str, str, str, str]
    separator: str = "."
    numbered: int = 0


_SLIM = Names(
    style=SLIM,
    dropout=0.5,
    first=("conv0", "conv0_bn"),
    current=("1x1/Relu", "1x1", "beginning_bn"),
    previous=("prev_1x1/Relu", "prev_1x1", "prev_bn"),
    halved=("path1_conv/Relu", "path1_conv", "path2_conv", "final_path_bn"),
    side="comb_iter_{}/{}/",
    act=("separable_{1}x{1}_1/Relu", "separable_{1}x{1}_2/Relu"),
    convolution=("separable_{1}x{1}_{0}", "bn_sep_{1}x{1}_{0}"),
    separable=(Half("/depthwise", "/depthwise_weights"), Half("", "/pointwise_weights")),
    strided=("1x1/Relu", "1x1", "bn_1"),
    pools={"max": "MaxPool2D/MaxPool", "avg": "AvgPool2D/AvgPool", "projected": "MaxPool2D/MaxPool"},
    sum="comb_iter_{}/combine/add",
    joined="/cell_output/concat",
    head=("final_layer/Relu", "final_layer/Mean", "final_layer/Mean/squeezed", "final_layer/dropout", "final_layer/FC"),
    separator="/",
)

_TITU1994 = Names(
    style=KERAS,
    dropout=0.5,
    first=("stem_conv1", "stem_bn1"),
    current=("relu", "conv_1", "bn_1"),
    previous=("adjust_relu", "adjust_conv_projection", "adjust_bn"),
    halved=("adjust_relu_1", "adjust_conv_1", "adjust_conv_2", "adjust_bn"),
    side="{1}{0}/",
    act=("relu_1", "relu_2"),
    convolution=("separable_conv_{0}", "separable_conv_{0}_bn"),
    separable=(Half("/depthwise", "/depthwise_kernel"), Half("", "/pointwise_kernel")),
    strided=("relu", "conv", "bn"),
    pools={"max": "pool", "avg": "pool", "projected": "pool"},
    sum="add_{}",
    joined="/concat",
    head=("activation", "global_average_pooling2d", "flatten", "dropout", "predictions"),
    separator="/",
)
"""Of what `of_titu1994` makes the names: a layer's number and its cell's stand behind it."""


def of_titu1994(name: str, cells: int) -> str:
    """Returns titu1994's name of a layer, a value or an array.

    Args:
        name: as `_TITU1994` has it: `cell_3/left0/separable_conv_1_bn/gamma`.
        cells: in a block.

    >>> of_titu1994("reduction_cell_0/right0/separable_conv_2_bn/gamma", 6)
    'separable_conv_2_bn_reduction_1_reduce_6/gamma'
    """
    cell = re.match(r"(cell_stem_|reduction_cell_|cell_)(\d+)/(?:(left|right)(\d)/)?([^/]+)(.*)", name)
    if cell is None:
        return name
    sort, number, side, pair, layer, rest = cell[1], int(cell[2]), cell[3], cell[4], cell[5], cell[6]
    kind = "normal" if sort == "cell_" else "reduction"
    # A reduction cell counts the blocks before it as one more cell, and so do all that follow.
    at = f"{number + (number >= cells)}" if sort == "cell_" else f"reduce_{cells * (number + 1)}"
    at = f"stem_{number + 1}" if sort == "cell_stem_" else at
    if side is None:
        own = layer.startswith("adjust")
        return f"{layer}_{at}{rest}" if own else f"{kind}_{layer}_{at}{rest}"
    place = f"{side}{int(pair) + 1}"
    if kind == "reduction":  # two are called so in the publisher's code
        place = {"right1": "1", "left5": "left4" if layer.startswith("separable") else "left5"}.get(place, place)
    return f"{layer}_{kind}_{place}_{at}{rest}"


def _torch(act: str, acts: tuple[str, str], pnasnet: bool, dropout: float) -> Names:
    """timm's and pretrainedmodels' names: they differ in those of activations only, and in the head."""
    return Names(
        style=replace(TORCH, epsilon=1e-3),
        dropout=dropout,
        first=("conv_0.conv", "conv_0.bn") if pnasnet else ("conv0.conv", "conv0.bn"),
        current=(f"conv_1x1.{act}", "conv_1x1.conv", "conv_1x1.bn"),
        previous=(f"conv_prev_1x1.{act}", "conv_prev_1x1.conv", "conv_prev_1x1.bn"),
        halved=_halved(act, "conv_prev_1x1." if pnasnet else ""),
        side="comb_iter_{}_{}",
        act=(f".{acts[0]}", f".{acts[1]}"),
        convolution=(".separable_{0}", ".bn_sep_{0}"),
        separable=(
            Half(".depthwise_conv2d", ".depthwise_conv2d.weight"),
            Half(".pointwise_conv2d", ".pointwise_conv2d.weight"),
        ),
        strided=(f".{act}", ".conv", ".bn"),
        pools={"max": "", "avg": "", "projected": ".max_pool"},
        sum="comb_iter_{}",
        joined="",
        head=(
            act,
            "global_pool.pool" if act == "act" else "avg_pool",
            "global_pool.flatten" if act == "act" else "avg_pool.flatten",
            "dropout",
            "last_linear",
        ),
        numbered=0 if pnasnet else 6,
    )


def _halved(act: str, scope: str) -> tuple[str, str, str, str]:
    return f"{scope}{act}", f"{scope}path_1.conv", f"{scope}path_2.conv", f"{scope}final_path_bn"


NAMES: Mapping[tuple[str, str], Names] = {
    ("slim", "nasnet"): _SLIM,
    ("slim", "pnasnet"): _SLIM,
    ("titu1994", "nasnet"): _TITU1994,
    ("timm", "nasnet"): _torch("act", ("act_1", "act_2"), pnasnet=False, dropout=0),
    ("timm", "pnasnet"): _torch("act", ("act_1", "act_2"), pnasnet=True, dropout=0),
    ("pretrainedmodels", "nasnet"): _torch("relu", ("relu", "relu1"), pnasnet=False, dropout=0.5),
    ("pretrainedmodels", "pnasnet"): _torch("relu", ("relu_1", "relu_2"), pnasnet=True, dropout=0.5),
}
"""Dialect and family -> names."""
