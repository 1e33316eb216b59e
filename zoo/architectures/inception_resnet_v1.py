"""Inception-ResNet v1 (Szegedy et al., arXiv:1602.07261), and v2 as its publisher writes it down with the same units.

Names and numbers are those of osmr/pytorchcv pytorchcv/models/inceptionresnetv1.py and inceptionresnetv2.py. v1 has
fewer units, narrower ones, a stem that ends in a convolution, and two dense layers with a normalisation between them.

The last pool averages the 8x8 map of an image of 299 rows; of an image of another size it averages all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zoo.architectures.branches import Branches
from zoo.architectures.inception_resnet_v2 import MODULES, RESIDUAL
from zoo.architectures.net import Net
from zoo.architectures.pytorchcv_inception import DIALECT
from zoo.graph import Graph

_STEM = (("conv1", "32:3x3/2v"), ("conv2", "32:3x3v"), ("conv3", "64:3x3"), ("pool1", "max/2v"), ("conv4", "80"),
         ("conv5", "192:3x3v"))  # fmt: skip
_LATER = ("conv6", "256:3x3/2v")
SCALES = (0.17, 0.1, 0.2)
"""What the units of each stage are multiplied by before they are added; the network's last unit by 1."""


class Numbers(NamedTuple):
    """Of one network, by stage."""

    units: tuple[int, int, int]
    """The last of which has no ReLU."""
    residual: tuple[tuple[str, ...], ...]
    """Branches of the units."""
    reductions: tuple[tuple[str, ...], ...]
    """Branches of the module at the head of each stage but the first."""


VARIANTS: Mapping[str, Numbers] = {
    "inception-resnet-v1": Numbers(
        (5, 10, 6),
        (("32", "32 32:3x3", "32 32:3x3 32:3x3"), ("128", "128 128:1x7 128:7x1"), ("192", "192 192:1x3 192:3x1")),
        (("384:3x3/2v", "192 192:3x3 256:3x3/2v", "max/2v"),
         ("256 384:3x3/2v", "256 256:3x3/2v", "256 256:3x3 256:3x3/2v", "max/2v")),
    ),
    "inception-resnet-v2": Numbers(
        (10, 20, 10), tuple(branches for *_, branches in RESIDUAL.values()), (MODULES["6a"], MODULES["7a"])
    ),
}  # fmt: skip
PUBLISHED: Mapping[str, Sequence[str]] = {"pytorchcv": tuple(VARIANTS)}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `VARIANTS`, its parameters shapes only."""
    first = variant == "inception-resnet-v1"
    net = Net(DIALECT.style)
    to = Branches(net, DIALECT)
    value = _stem(to, first=first)
    units, residual, reductions = VARIANTS[variant]
    for stage, (count, branches, scale) in enumerate(zip(units, residual, SCALES, strict=True), 1):
        names = [f"features.stage{stage}.unit{number}" for number in range(1, count + 1 + (stage > 1))]
        if stage > 1:
            value = to.module(value, f"{names.pop(0)}.branches", reductions[stage - 2])
        for index, name in enumerate(names, 1):
            last = stage == len(units) and index == count
            value = _unit(to, value, name, branches, 1.0 if last else scale, act=not last)
    if not first:
        value = to.unit(value, "features.final_conv", 1536)
        return net.graph(variant, to.torch_head(value, "features.final_pool", "output.fc", classes), size or 299)
    value = net.flatten(net.global_pool(value, "features.final_pool"), "flatten")
    value = net.linear(net.dropout(value, "output.dropout", 0.6), "output.fc1", 512, bias=False)
    return net.graph(variant, net.linear(net.norm(value, "output.bn"), "output.fc2", classes), size or 299)


def _stem(to: Branches, *, first: bool) -> str:
    steps = [*_STEM, _LATER if first else ("pool2", "max/2v")]
    value = to.chain("image", [(f"features.init_block.{name}", step) for name, step in steps])
    return value if first else to.module(value, "features.init_block.block.branches", MODULES["5b"])


def _unit(to: Branches, value: str, name: str, branches: Sequence[str], scale: float, *, act: bool) -> str:
    end = to.module(value, f"{name}.branches", branches)
    end = to.net.conv(end, f"{name}.conv", to.net.channels[value], bias=True)
    return to.residual(value, name, end, scale=scale, act=act)
