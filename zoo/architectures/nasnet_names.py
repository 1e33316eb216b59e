"""How each publisher of `zoo.architectures.nasnet` names the layers of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from zoo.architectures.net import SLIM, TORCH, Style


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
    ("timm", "nasnet"): _torch("act", ("act_1", "act_2"), pnasnet=False, dropout=0),
    ("timm", "pnasnet"): _torch("act", ("act_1", "act_2"), pnasnet=True, dropout=0),
    ("pretrainedmodels", "nasnet"): _torch("relu", ("relu", "relu1"), pnasnet=False, dropout=0.5),
    ("pretrainedmodels", "pnasnet"): _torch("relu", ("relu_1", "relu_2"), pnasnet=True, dropout=0.5),
}
"""Dialect and family -> names."""
