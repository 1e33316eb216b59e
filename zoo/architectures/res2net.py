"""Res2Net and Res2NeXt (Gao et al., arXiv:1904.01169): a ResNet whose 3x3 convolutions are a ladder of narrow ones.

A block's map is split into `scale` parts of channels; each part but the last has its own convolution, which in blocks
that keep their shape also sees the result of the part before it. In a stage's first block the last part is averaged.
Numbers and names are those of timm/models/res2net.py (huggingface/pytorch-image-models), which ports gasvn/Res2Net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from zoo.architectures import resnet
from zoo.architectures.net import Net
from zoo.architectures.resnet_tables import Names, Variant, of_depth
from zoo.graph import Graph

VARIANTS: Mapping[str, tuple[Variant, int]] = {
    "res2net50-26w-4s": (of_depth(50, width=26), 4),
    "res2net50-26w-6s": (of_depth(50, width=26), 6),
    "res2net50-26w-8s": (of_depth(50, width=26), 8),
    "res2net50-48w-2s": (of_depth(50, width=48), 2),
    "res2net50-14w-8s": (of_depth(50, width=14), 8),
    "res2net50d": (of_depth(50, "d", width=26), 4),
    "res2net101-26w-4s": (of_depth(101, width=26), 4),
    "res2net101d": (of_depth(101, "d", width=26), 4),
    "res2next50": (of_depth(50, groups=8, width=4), 4),
}
"""Variant -> numbers as a ResNet's, `width` being of one part, and how many parts."""
NAMES = Names(layers=(("conv1", "bn1", "relu"), ("convs", "bns", "relu"), ("conv3", "bn3", "relu_out")))

PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `VARIANTS`, its parameters shapes only."""
    numbers, scale = VARIANTS[variant]
    net = Net()
    value = resnet.features(net, numbers, NAMES, partial(_block, scale=scale))
    return net.graph(variant, resnet.head(net, NAMES, value, classes), size or numbers.size)


def _block(net: Net, numbers: Variant, names: Names, value: str, unit: resnet.Unit, *, scale: int) -> str:
    _, width, out = unit.channels
    first, rung, last = (resnet.under(unit.prefix, layer) for layer in names.layers)
    resized = unit.stride > 1 or net.channels[value] != out
    split = resnet.convolved(net, numbers, value, first, width * scale)
    parts = net.split(split, f"{unit.prefix}split", *[width] * scale)
    results: list[str] = []
    for index, part in enumerate(parts[:-1]):
        if results and not resized:
            part = net.add(f"{unit.prefix}add.{index}", results[-1], part)
        conv, norm, relu = (f"{name}.{index}" for name in rung)
        part = resnet.convolved(net, numbers, part, (conv, norm, relu), width, 3, unit.stride, groups=numbers.groups)
        results.append(part)
    rest = net.avg_pool(parts[-1], f"{unit.prefix}pool", 3, unit.stride, pad=1) if resized else parts[-1]
    joined = net.concat(f"{unit.prefix}cat", *results, rest)
    result = resnet.convolved(net, numbers, joined, last, out, act=False)
    return resnet.joined(net, numbers, names, value, result, unit)
