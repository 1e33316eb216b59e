"""OverFeat (Sermanet et al., arXiv:1312.6229): the fast network as slim has it, all its layers convolutions.

tensorflow/models research/slim/nets/overfeat.py; unlike the paper's it has 64 channels in the first convolution. The
authors' own weights are a bare list of numbers without names, which no state dict holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.alexnet import slim_head
from zoo.architectures.net import SLIM, Net
from zoo.errors import UsageError
from zoo.graph import Graph

PUBLISHED: Mapping[str, Sequence[str]] = {"slim": ("overfeat",)}
CONVOLUTIONS = ((64, 11, 4, 0), (256, 5, 1, 0), (512, 3, 1, 1), (1024, 3, 1, 1), (1024, 3, 1, 1))
"""Channels, kernel, stride and padding; 2x2 pools stand behind the first, second and fifth."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only.

    Raises:
        UsageError: the input's size does not lead to a map of 6x6.
    """
    size = size or 231
    if not 231 <= size <= 262:
        raise UsageError(f"overfeat: size={size}; expected 231 to 262, which lead to the 6x6 map of its dense layers")
    net, value, scope = Net(SLIM), "image", "overfeat"
    for number, (channels, kernel, stride, pad) in enumerate(CONVOLUTIONS, 1):
        name = f"{scope}/conv{number}"
        value = net.conv(value, name, channels, kernel, stride, pad=pad, bias=True)
        value = net.act(value, f"{name}/Relu", "relu")
        if number in (1, 2, 5):
            value = net.max_pool(value, f"{scope}/pool{number}", 2, 2)
    value = slim_head(net, value, scope, 6, (3072, 4096, classes))
    return net.graph(variant, value, size, ignored={"global_step": "counts training steps"})
