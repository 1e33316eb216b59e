"""CondenseNet (Huang et al., arXiv:1711.09224): a DenseNet whose groups of channels are learned.

Source: osmr/pytorchcv pytorchcv/models/condensenet.py, converted networks: their 1x1 convolutions take the channels
whose numbers a file holds (`index`).
The last pool averages 7x7 positions, which are all of an image of 224, and all of any other here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.net import TORCH, Net
from zoo.architectures.pytorchcv import STEM, shuffled
from zoo.graph import Graph

VARIANTS: Mapping[str, int] = {"condensenet74-c4-g4": 4, "condensenet74-c8-g8": 8}
"""Groups of all convolutions."""
PUBLISHED: Mapping[str, Sequence[str]] = {"pytorchcv": tuple(VARIANTS)}
STAGES = ((4, 8), (6, 16), (8, 32), (10, 64), (8, 128))
"""Units, and channels that each adds."""
FIRST, WIDER = 16, 4
"""Channels of the stem; by what the inner channels of a unit are more than those it adds."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    groups, net, size = VARIANTS[variant], Net(TORCH), size or 224
    value, side = net.conv("image", f"{STEM}.conv", FIRST, 3, 2), -(-size // 2)
    for stage, (units, growth) in enumerate(STAGES, 1):
        if stage > 1:
            value, side = net.avg_pool(value, f"features.stage{stage}.trans{stage}.pool", 2, 2), side // 2
        for unit in range(1, units + 1):
            name = f"features.stage{stage}.unit{unit}"
            new = _chosen(net, value, f"{name}.conv1", net.channels[value])
            new = _convolved(net, new, f"{name}.conv1", growth * WIDER, 1, groups)
            new = shuffled(net, new, f"{name}.conv1.c_shuffle", groups, side)
            new = _convolved(net, new, f"{name}.conv2", growth, 3, groups)
            value = net.concat(f"{name}.cat", value, new)
    value = net.act(net.norm(value, "features.post_activ.bn"), "features.post_activ.activ", "relu")
    value = net.flatten(net.global_pool(value, "features.final_pool"), "flatten")
    value = _chosen(net, value, "output", net.channels[value] // 2)
    return net.graph(variant, net.linear(value, "output.linear", classes), size)


def _chosen(net: Net, value: str, name: str, count: int) -> str:
    """The channels whose numbers the file holds."""
    index = net.param(f"{name}.index", count)
    return net.node("Gather", f"{name}.chosen", value, index, channels=count, axis=1)


def _convolved(net: Net, value: str, name: str, out: int, kernel: int, groups: int) -> str:
    """Batch normalisation, ReLU, convolution."""
    value = net.act(net.norm(value, f"{name}.bn"), f"{name}.activ", "relu")
    return net.conv(value, f"{name}.conv", out, kernel, groups=groups)
