"""Inception v3 (Szegedy et al., arXiv:1512.00567).

- torchvision (models/inception.py) and timm (models/inception_v3.py, which came from it): epsilon 1e-3; averages count
  the padding. timm's files of all origins (`tv`, `tf`, `gluon`) are run by this one definition. torchvision's files
  hold an auxiliary classifier, and timm's of them too.
- gluon (apache/mxnet python/mxnet/gluon/model_zoo/vision/inception.py; published in `gluon.py`): torchvision's
  numbers, and children of sequences for names.
- slim (tensorflow/models research/slim/nets/inception_v3.py): averages leave the padding out, no gamma.
- google-2016 (tensorflow/models research/inception, inception/slim/inception_model.py): slim's numbers, in checkpoints
  of the library that slim came from, which names a convolution by its place in its branch.

torchvision's `transform_input`, which its pretrained network applies first, is preprocessing and not part of the Graph.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from zoo.architectures.branches import (
    AUXILIARY,
    STEPS,
    Branches,
    Dialect,
    Names,
    Steps,
    numbered,
    prefixed,
    slim_dialect,
    torch_dialect,
)  # fmt: skip
from zoo.architectures.net import GLUON, Net
from zoo.graph import Graph

_WIDE = "{0} {0}:7x1 {0}:1x7 {0}:7x1 192:1x7"
KINDS: Mapping[str, tuple[str, ...]] = {
    "A": ("64", "48 64:5x5", "64 96:3x3 96:3x3", "avg {0}"),
    "B": ("384:3x3/2v", "64 96:3x3 96:3x3/2v", "max/2v"),
    "C": ("192", "{0} {0}:1x7 192:7x1", _WIDE, "avg 192"),
    "D": ("192 320:3x3/2v", "192 192:1x7 192:7x1 192:3x3/2v", "max/2v"),
    "E": ("320", "384 384:1x3|384:3x1", "448 384:3x3 384:1x3|384:3x1", "avg 192"),
}
MODULES: Mapping[str, tuple[str, int]] = {
    "5b": ("A", 32), "5c": ("A", 64), "5d": ("A", 64),
    "6a": ("B", 0), "6b": ("C", 128), "6c": ("C", 160), "6d": ("C", 160), "6e": ("C", 192),
    "7a": ("D", 0), "7b": ("E", 0), "7c": ("E", 0),
}  # fmt: skip
"""Kind of each module, and the number of channels that its kind leaves open."""
_PREFIXES = {
    "A": ("branch1x1", "branch5x5", "branch3x3dbl", "branch_pool"),
    "B": ("branch3x3", "branch3x3dbl", "branch_pool"),
    "C": ("branch1x1", "branch7x7", "branch7x7dbl", "branch_pool"),
    "D": ("branch3x3", "branch7x7x3", "branch_pool"),
    "E": ("branch1x1", "branch3x3", "branch3x3dbl", "branch_pool"),
}
"""How torchvision names the branches of each kind."""
_STEM = (("Conv2d_1a_3x3", "32:3x3/2v"), ("Conv2d_2a_3x3", "32:3x3v"), ("Conv2d_2b_3x3", "64:3x3"),
         ("MaxPool_3a_3x3", "max/2v"), ("Conv2d_3b_1x1", "80"), ("Conv2d_4a_3x3", "192:3x3v"),
         ("MaxPool_5a_3x3", "max/2v"))  # fmt: skip

PUBLISHED: Mapping[str, Sequence[str]] = dict.fromkeys(
    ("torchvision", "timm", "slim", "google-2016"), ("inception-v3",)
)
TIMM = {f"{origin}inception_v3": ("inception-v3", "timm") for origin in ("", "tf_", "adv_", "gluon_")}

_SCOPE = "InceptionV3"
# Layers that slim names otherwise than their neighbours.
_RENAMED = {
    "Mixed_5c/Branch_1/Conv2d_0a_1x1": "Mixed_5c/Branch_1/Conv2d_0b_1x1",
    "Mixed_5c/Branch_1/Conv2d_0b_5x5": "Mixed_5c/Branch_1/Conv_1_0c_5x5",
    "Mixed_6a/Branch_0/Conv2d_1a_3x3": "Mixed_6a/Branch_0/Conv2d_1a_1x1",
    "Mixed_6a/Branch_1/Conv2d_1a_3x3": "Mixed_6a/Branch_1/Conv2d_1a_1x1",
    "Mixed_7b/Branch_1/Conv2d_0c_3x1": "Mixed_7b/Branch_1/Conv2d_0b_3x1",
}


def _gluon_names(branch: int, steps: Steps) -> list[tuple[str, ...]]:
    """Places in sequences of sequences; where a branch forks, what is before has one of its own."""
    if all(len(parts) == 1 for parts in steps):
        return [(f"{branch}.{index}",) for index in range(len(steps))]
    *before, last = steps
    return [
        *((f"{branch}.0.{index}",) for index in range(len(before))),
        tuple(f"{branch}.1.{part}.0" for part in range(len(last))),
    ]


_OLDER_MODULES = (
    "35x35x256a", "35x35x288a", "35x35x288b", "17x17x768a", "17x17x768b", "17x17x768c", "17x17x768d", "17x17x768e",
    "17x17x1280a", "8x8x2048a", "8x8x2048b",
)  # fmt: skip
"""The modules by the map that they give, as google-2016 has it (and as it miscounts once)."""
_OLDER_STEM = ("conv0", "conv1", "conv2", "pool1", "conv3", "conv4", "pool2")


def _older_names(prefixes: Sequence[str]) -> Names:
    """Names of convolutions, numbered through in each branch."""

    def names(branch: int, steps: Steps) -> list[tuple[str, ...]]:
        numbers = itertools.count()
        named = []
        for parts in steps:
            layers = [(f"Conv_{next(numbers)}" if step.kind == "conv" else "Pool") for step in parts]
            named.append(tuple(f"{prefixes[branch]}/{layer.removesuffix('_0')}" for layer in layers))
        return named

    return names


_DIALECTS = {
    "torchvision": torch_dialect(numbered("branch")),
    "timm": torch_dialect(numbered("branch"), act=".bn.act"),
    "gluon": Dialect(replace(GLUON, epsilon=1e-3), lambda name: (f"{name}.0", f"{name}.1", f"{name}.2"), _gluon_names),
    "google-2016": slim_dialect(),
    "slim": slim_dialect({f"{_SCOPE}/{rule}": f"{_SCOPE}/{name}" for rule, name in _RENAMED.items()}),
}
_POOLS = {"torchvision": ("maxpool1", "maxpool2"), "timm": ("Pool1", "Pool2")}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    if dialect == "gluon":
        return _gluon(variant, classes, size or 299)
    if dialect == "google-2016":
        return _older(variant, classes, size or 299)
    size, slim = size or 299, dialect == "slim"
    to = Branches(Net(_DIALECTS[dialect].style), _DIALECTS[dialect])
    renamed = dict(zip(("MaxPool_3a_3x3", "MaxPool_5a_3x3"), _POOLS.get(dialect, ()), strict=False))
    scope = f"{_SCOPE}/" if slim else ""
    value = to.chain("image", [(scope + renamed.get(name, name), step) for name, step in _STEM])
    for name, (kind, channels) in MODULES.items():
        branches = [branch.format(channels) for branch in KINDS[kind]]
        value = to.module(
            value, f"{scope}Mixed_{name}", branches, names=None if slim else prefixed(_PREFIXES[kind])
        )  # fmt: skip
    if slim:
        value = to.slim_head(value, _SCOPE, ("AvgPool_1a_8x8", "Dropout_1b", "Conv2d_1c_1x1"), classes, dense=False)
        return to.net.graph(variant, value, size, ignored={f"{_SCOPE}/AuxLogits/*": AUXILIARY, "global_step": STEPS})
    pool, dropout = ("avgpool", 0.5) if dialect == "torchvision" else ("global_pool", 0.0)
    value = to.torch_head(value, pool, "fc", classes, dropout=dropout)
    return to.net.graph(variant, value, size, ignored={"AuxLogits.*": AUXILIARY})


def _gluon(variant: str, classes: int, size: int) -> Graph:
    to = Branches(Net(_DIALECTS["gluon"].style), _DIALECTS["gluon"])
    value = to.chain("image", [(f"features.{index}", step) for index, (_, step) in enumerate(_STEM)])
    for index, (kind, channels) in enumerate(MODULES.values(), len(_STEM)):
        value = to.module(value, f"features.{index}", [branch.format(channels) for branch in KINDS[kind]])
    value = to.torch_head(value, "features.18", "output", classes, dropout=0.5)
    return to.net.graph(variant, value, size)


def _older(variant: str, classes: int, size: int) -> Graph:
    to = Branches(Net(_DIALECTS["google-2016"].style), _DIALECTS["google-2016"])
    net = to.net
    value = to.chain("image", [(name, step) for name, (_, step) in zip(_OLDER_STEM, _STEM, strict=True)])
    for name, (kind, channels) in zip(_OLDER_MODULES, MODULES.values(), strict=True):
        branches = [branch.format(channels) for branch in KINDS[kind]]
        value = to.module(value, f"mixed_{name}", branches, names=_older_names(_PREFIXES[kind]))
    value = net.flatten(net.global_pool(value, "logits/pool"), "logits/flatten")
    value = net.linear(net.dropout(value, "logits/dropout", 0.2), "logits/logits", classes)
    return net.graph(variant, value, size, ignored={"aux_logits/*": AUXILIARY, "global_step": STEPS})
