"""pytorchcv's Inception v3 and v4 and BN-Inception: the networks of others under names of its own.

Names and numbers are those of osmr/pytorchcv pytorchcv/models/inceptionv3.py, inceptionv4.py and bninception.py. As in
the files of torchvision and pretrainedmodels, averages of v3 and BN-Inception count the padding, those of v4 do not;
BN-Inception's pools round up, its convolutions have a bias and its epsilon is 1e-5, not 1e-3.

The last pool averages all that is left of an image of the published size (8x8 positions, BN-Inception 7x7), and all of
any other image here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from zoo.architectures import inception_v2, inception_v3, inception_v4
from zoo.architectures.branches import Branches, Dialect, Steps
from zoo.architectures.net import TORCH, Net
from zoo.graph import Graph


def _layers(name: str) -> tuple[str, str, str]:
    return f"{name}.conv", f"{name}.bn", f"{name}.activ"


def _names(branch: int, steps: Steps) -> list[tuple[str, ...]]:
    """`branch1.conv` for a 1x1 convolution that is alone or behind a pool, else `branch1.conv_list.conv1`."""
    name, first = f"branch{branch + 1}", steps[0][0]
    if first.kind != "conv":
        return [(f"{name}.pool",), (f"{name}.conv",)] if len(steps) > 1 else [(f"{name}.pool",)]
    if len(steps) == 1 and first.kernel == (1, 1):
        return [(f"{name}.conv",)]
    return [
        (f"{name}.conv_list.conv{number}",) if len(parts) == 1 else (f"{name}.conv1x3", f"{name}.conv3x1")
        for number, parts in enumerate(steps, 1)
    ]


def _short_names(branch: int, steps: Steps) -> list[tuple[str, ...]]:
    """The same in BN-Inception, which has no lists: `branch1` is alone, `branch2.conv1` is not."""
    name = f"branch{branch + 1}"
    if steps[0][0].kind != "conv":
        return [(f"{name}.pool",), (f"{name}.conv",)] if len(steps) > 1 else [(name,)]
    return [(f"{name}.conv{number}",) for number in range(1, len(steps) + 1)] if len(steps) > 1 else [(name,)]


_STEM = "features.init_block"
DIALECT = Dialect(replace(TORCH, epsilon=1e-3), _layers, _names, include_pad=False)
"""Of pytorchcv's Inception v4 and Inception-ResNets."""
_DIALECTS = {
    "inception-v3": replace(DIALECT, include_pad=True),
    # The convolutions beside the pools of the stem are not in lists.
    "inception-v4": replace(DIALECT, renamed={f"{_STEM}.{module}.conv_list.conv1": f"{_STEM}.{module}.conv"
                                              for module in ("block1.branches.branch2", "block3.branches.branch1")}),
    "bninception": Dialect(TORCH, _layers, _short_names, bias=True, ceil=True),
}  # fmt: skip
PUBLISHED: Mapping[str, Sequence[str]] = {"pytorchcv": tuple(_DIALECTS)}

_V3 = (("conv1", "32:3x3/2v"), ("conv2", "32:3x3v"), ("conv3", "64:3x3"), ("pool1", "max/2v"), ("conv4", "80"),
       ("conv5", "192:3x3v"), ("pool2", "max/2v"))  # fmt: skip
_BN = (("conv1", "64:7x7/2"), ("pool1", "max/2v"), ("conv2.conv1", "64"), ("conv2.conv2", "192:3x3"),
       ("pool2", "max/2v"))  # fmt: skip
STEMS = {"inception-v3": _V3, "inception-v4": _V3[:3], "bninception": _BN}
_HEADS = {"inception-v3": ("output.fc", 0.5), "inception-v4": ("output.fc", 0.0), "bninception": ("output", 0.0)}
"""Classifier, and what share of the features training drops."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    to = Branches(Net(_DIALECTS[variant].style), _DIALECTS[variant])
    value = to.chain("image", [(f"{_STEM}.{name}", step) for name, step in STEMS[variant]])
    for name, branches in _modules(variant):
        value = to.module(value, f"{name}.branches", branches)
    classifier, dropout = _HEADS[variant]
    value = to.torch_head(value, "features.final_pool", classifier, classes, dropout=dropout)
    return to.net.graph(variant, value, size or (224 if variant == "bninception" else 299))


def _modules(variant: str) -> list[tuple[str, Sequence[str]]]:
    """Name and branches of all modules; a stage begins where the map gets smaller."""
    if variant == "bninception":
        modules = {name: inception_v2.branches_of(channels, pool, "max/2v")
                   for name, (_, channels, pool) in inception_v2.MODULES.items()}  # fmt: skip
        return _staged([list(modules.values())[start:end] for start, end in ((0, 2), (2, 7), (7, 10))])
    if variant == "inception-v3":
        filled = {name: [branch.format(channels) for branch in inception_v3.KINDS[kind]]
                  for name, (kind, channels) in inception_v3.MODULES.items()}  # fmt: skip
        return _staged([[filled[name] for name in names] for _, names in groupby(filled, key=lambda name: name[0])])
    blocks, rest = ("3a", "4a", "5a"), dict(inception_v4.MODULES)
    stem = [(f"{_STEM}.block{number}", rest.pop(name)) for number, name in enumerate(blocks, 1)]
    return stem + _staged([[rest[name] for name in names] for _, names in groupby(rest, key=lambda name: name[0])])


def _staged(stages: Sequence[Sequence[Sequence[str]]]) -> list[tuple[str, Sequence[str]]]:
    return [(f"features.stage{stage}.unit{unit}", branches)
            for stage, units in enumerate(stages, 1) for unit, branches in enumerate(units, 1)]  # fmt: skip
