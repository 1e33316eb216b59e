"""SqueezeNet 1.0 and 1.1 (Iandola et al., arXiv:1602.07360): Fire modules, pools that round up, a convolution as head.

- torchvision (models/squeezenet.py).
- `squeezeresnet1-0` and `squeezeresnet1-1` (the paper's simple bypass; published in `pytorchcv_twins.py`) add to what
  every other module makes its input.
- pretrainedmodels (torchvision_models.py) uses torchvision's files; what is saved from its own module has `last_conv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.net import TORCH, Net
from zoo.graph import Graph

VARIANTS: Mapping[str, tuple[tuple[int, int], tuple[int, int, int]]] = {
    "squeezenet1-0": ((96, 7), (0, 3, 7)),
    "squeezenet1-1": ((64, 3), (0, 2, 4)),
}
"""Channels and kernel of the first convolution, and behind how many Fire modules a pool stands."""
SQUEEZED = (16, 16, 32, 32, 48, 48, 64, 64)
"""Channels of the Fire modules' squeeze convolutions; each of the two that expand has four times as many."""
HEADS = {
    "torchvision": ("classifier.0", "classifier.1", "classifier.2", "classifier.3"),
    "pretrainedmodels": ("dropout", "last_conv", "relu", "avgpool"),
}
PUBLISHED: Mapping[str, Sequence[str]] = {dialect: tuple(VARIANTS) for dialect in HEADS}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    net = Net(TORCH)
    (channels, kernel), pools = VARIANTS[variant.replace("resnet", "net")]
    value = net.conv("image", "features.0", channels, kernel, 2, pad="valid", bias=True)
    value = net.act(value, "features.1", "relu")
    index = 2
    for fire, squeezed in enumerate(SQUEEZED):
        if fire in pools:
            value = net.max_pool(value, f"features.{index}", 3, 2, ceil=True)
            index += 1
        before, value = value, _fire(net, value, f"features.{index}", squeezed)
        if variant.startswith("squeezeresnet") and fire % 2:
            value = net.add(f"features.{index}.add", value, before)
        index += 1
    drop, conv, relu, pool = HEADS[dialect]
    value = net.conv(net.dropout(value, drop, 0.5), conv, classes, bias=True)
    value = net.global_pool(net.act(value, relu, "relu"), pool)
    return net.graph(variant, net.flatten(value, "flatten"), size or 224)


def _fire(net: Net, value: str, name: str, squeezed: int) -> str:
    value = net.conv(value, f"{name}.squeeze", squeezed, bias=True)
    value = net.act(value, f"{name}.squeeze_activation", "relu")
    expanded = []
    for part, kernel in (("expand1x1", 1), ("expand3x3", 3)):
        wide = net.conv(value, f"{name}.{part}", 4 * squeezed, kernel, bias=True)
        expanded.append(net.act(wide, f"{name}.{part}_activation", "relu"))
    return net.concat(f"{name}.cat", *expanded)
