"""Network in Network for ImageNet (Lin et al., arXiv:1312.4400): each convolution is followed by two of 1x1.

- `nin` is the authors' (Caffe's model zoo, nin_imagenet) as ProGamerGov/pytorch-nin converted it (NIN.py): the last
  convolution gives the classes and is averaged. That definition ends in a softmax, which is left out here.
- `nin-fc` is szagoruyko/functional-zoo's (nin-export.ipynb): padded, with a dense layer at the end, and trained with
  batch normalisations that its file holds folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.net import TORCH, Net
from zoo.errors import UsageError
from zoo.graph import Graph

PUBLISHED: Mapping[str, Sequence[str]] = {"pytorch-nin": ("nin",), "functional-zoo": ("nin-fc",)}
STAGES = ((96, 11, 4), (256, 5, 1), (384, 3, 1), (1024, 3, 1))
"""Channels, kernel and stride; a pool stands between two stages."""
SIZES: Mapping[str, tuple[int, int]] = {"nin": (199, 230), "nin-fc": (221, 251)}
"""Rows and columns of an input whose last map is 6x6 or 7x7, as large as the window of the last pool."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    size = size or 224
    low, high = SIZES[variant]
    if not low <= size <= high:
        raise UsageError(f"{variant}: size={size}; expected {low} to {high}, which lead to the map that it averages")
    net = Net(TORCH)
    if variant == "nin":
        return net.graph(variant, _caffe(net, classes), size)
    value = "image"
    for stage, (channels, kernel, stride) in enumerate(STAGES):
        if stage:
            value = net.max_pool(value, f"pool{stage}", 2, 2)
        for step in range(3):
            name = f"conv{3 * stage + step}"
            if step:
                value = net.conv(value, name, channels, bias=True)
            else:
                value = net.conv(value, name, channels, kernel, stride, pad=kernel // 2, bias=True)
            value = net.act(value, f"{name}.relu", "relu")
    value = net.flatten(net.global_pool(value, "pool4"), "view")
    return net.graph(variant, net.linear(value, "fc", classes), size)


def _caffe(net: Net, classes: int) -> str:
    value, index = "image", 0
    for stage, (channels, kernel, stride) in enumerate(STAGES):
        if stage:
            value = net.max_pool(value, f"features.{index}", 3, 2, ceil=True)
            index += 1
        if stage == 3:
            value = net.dropout(value, f"features.{index}", 0.5)
            index += 1
        for step in range(3):
            out = classes if (stage, step) == (3, 2) else channels
            if step:
                value = net.conv(value, f"features.{index}", out, bias=True)
            else:
                pad = kernel // 2 if stage else 0
                value = net.conv(value, f"features.{index}", out, kernel, stride, pad=pad, bias=True)
            value = net.act(value, f"features.{index + 1}", "relu")
            index += 2
    return net.flatten(net.global_pool(value, f"features.{index}"), "flatten")
