"""PeleeNet (arXiv:1804.06882) and HarDNet (arXiv:1909.00948) of pytorchcv: networks that keep earlier maps.

Names and numbers are those of osmr/pytorchcv pytorchcv/models/peleenet.py and hardnet.py. `ds` HarDNets have depthwise
separable convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.architectures.net import TORCH, Net
from zoo.architectures.pytorchcv import STEM, depthwise, layer
from zoo.graph import Graph


@dataclass(frozen=True)
class Harmonic:
    """A HarDNet.

    Args:
        stem: channels of the stem.
        layers: convolutions of each unit.
        channels: of each unit's result.
        growth: channels of each unit's layers that look back one layer only.
        factor: by which a layer that looks back further is wider, for each power of two.
        ends: whether the map gets smaller behind each unit.
        dropout: share of features dropped before the classifier; without depthwise convolutions.
        separable: whether they are depthwise separable.
        late: whether a tenth is dropped before the last convolution, too.
    """

    stem: int
    layers: tuple[int, ...]
    channels: tuple[int, ...]
    growth: tuple[int, ...]
    factor: float
    ends: tuple[bool, ...]
    dropout: float = 0.1
    separable: bool = False
    late: bool = False


_39 = Harmonic(48, (4, 16, 8, 4), (96, 320, 640, 1024), (16, 20, 64, 160), 1.6, (True, True, True, False))
_68_UNITS = ((8, 16, 16, 16, 4), (128, 256, 320, 640, 1024), (14, 16, 20, 40, 160), 1.7)
_68_ENDS = (True, False, True, True, False)
VARIANTS: Mapping[str, Harmonic] = {
    "hardnet39ds": Harmonic(_39.stem, _39.layers, _39.channels, _39.growth, 1.6, _39.ends, 0.05, separable=True),
    "hardnet68ds": Harmonic(64, *_68_UNITS, _68_ENDS, 0.05, separable=True),
    "hardnet68": Harmonic(64, *_68_UNITS, _68_ENDS),
    "hardnet85": Harmonic(
        96, (8, 16, 16, 16, 16, 4), (192, 256, 320, 480, 720, 1280), (24, 24, 28, 36, 48, 256), 1.7,
        (True, False, True, False, True, False), 0.2, late=True,
    ),
}  # fmt: skip
PELEE = ((3, 1), (4, 2), (8, 4), (6, 4))
"""Units of each stage, and how many times the channels that a branch adds its first convolution has."""
GROWTH = 32
PUBLISHED: Mapping[str, Sequence[str]] = {"pytorchcv": ("peleenet", *VARIANTS)}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    net = Net(TORCH)
    table = VARIANTS.get(variant)
    value = _hardnet(net, table) if table else _peleenet(net)
    value = net.flatten(net.global_pool(value, "features.final_pool"), "flatten")
    value = net.dropout(value, "output.dropout", table.dropout if table else 0.5)
    return net.graph(variant, net.linear(value, "output.fc", classes), size or 224)


def _peleenet(net: Net) -> str:
    first = layer(net, "image", f"{STEM}.first_conv", 32, 3, 2)
    value = layer(net, first, f"{STEM}.branches.branch1.conv1", 16)
    value = layer(net, value, f"{STEM}.branches.branch1.conv2", 32, 3, 2)
    value = net.concat(f"{STEM}.branches", value, net.max_pool(first, f"{STEM}.branches.branch2", 2, 2))
    value = layer(net, value, f"{STEM}.last_conv", 32)
    for stage, (repeats, wide) in enumerate(PELEE, 1):
        if stage > 1:
            trans = f"features.stage{stage}.trans{stage}"
            value = net.avg_pool(layer(net, value, f"{trans}.conv", net.channels[value]), f"{trans}.pool", 2, 2)
        for unit in range(1, repeats + 1):
            name, half = f"features.stage{stage}.unit{unit}", GROWTH // 2
            ends = [value]
            for branch in (1, 2):
                end = layer(net, value, f"{name}.branch{branch}.conv1", half * wide)
                for conv in range(2, branch + 2):
                    end = layer(net, end, f"{name}.branch{branch}.conv{conv}", half, 3)
                ends.append(end)
            value = net.concat(f"{name}.cat", *ends)
    return layer(net, value, "features.final_block", net.channels[value])


def _hardnet(net: Net, table: Harmonic) -> str:
    value = layer(net, "image", f"{STEM}.conv1", table.stem // 2, 3, 2, act="relu6")
    value = layer(net, value, f"{STEM}.conv2", table.stem, 1 if table.separable else 3, act="relu6")
    if table.separable:
        value = depthwise(net, value, f"{STEM}.downsample", stride=2, act="linear")
    else:
        value = net.max_pool(value, f"{STEM}.downsample", 3, 2, pad=1)
    stage, unit = 1, 0
    for index, ends in enumerate(table.ends):
        unit += 1
        name = f"features.stage{stage}.unit{unit}"
        value = _harmonic(net, value, name, table, index)
        if table.late and index == len(table.ends) - 1:
            value = net.dropout(value, f"{name}.dropout", 0.1)
        value = layer(net, value, f"{name}.conv", table.channels[index], act="relu6")
        if ends and table.separable:
            value = depthwise(net, value, f"{name}.downsample", stride=2, act="linear")
        elif ends:
            value = net.max_pool(value, f"{name}.downsample", 2, 2)
        if ends:
            stage, unit = stage + 1, 0
    return value


def _harmonic(net: Net, value: str, name: str, table: Harmonic, index: int) -> str:
    """Layers of which number n takes those that a power of two before it, as far as that divides n."""
    made = [value]
    for number in range(1, table.layers[index] + 1):
        powers = [power for power in range(10) if number % 2**power == 0]
        out = table.growth[index] * table.factor ** (len(powers) - 1)
        channels = int(int(out + 1) / 2) * 2
        taken = [made[number - 2**power] for power in powers]
        block = f"{name}.blocks.block{number}"
        end = net.concat(f"{block}.cat", *taken) if len(taken) > 1 else taken[0]
        if table.separable:
            end = layer(net, end, f"{block}.pw_conv", channels, act="relu6")
            end = depthwise(net, end, f"{block}.dw_conv", act="linear")
        else:
            end = layer(net, end, block, channels, 3)
        made.append(end)
    return net.concat(f"{name}.cat", *(end for i, end in enumerate(made) if i % 2 or i == len(made) - 1))
