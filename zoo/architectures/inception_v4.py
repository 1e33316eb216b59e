"""Inception v4 (Szegedy et al., arXiv:1602.07261).

- slim (tensorflow/models research/slim/nets/inception_v4.py): no gamma.
- pretrainedmodels (models/inceptionv4.py) and timm (models/inception_v4.py, which came from it): slim's weights with
  the same names in both; in pretrainedmodels' file for 1001 classes, the first of which timm's leaves out.

All leave the padding out of averages. pretrainedmodels averages 8x8 at the end, the others all positions, which is the
same at 299 and what is done here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.branches import AUXILIARY, STEPS, Branches, numbered, slim_dialect, torch_dialect
from zoo.architectures.net import Net
from zoo.graph import Graph

STEM = (("Conv2d_1a_3x3", "32:3x3/2v"), ("Conv2d_2a_3x3", "32:3x3v"), ("Conv2d_2b_3x3", "64:3x3"))
_A = ("96", "64 96:3x3", "64 96:3x3 96:3x3", "avg 96")
_B = ("384", "192 224:1x7 256:7x1", "192 192:7x1 224:1x7 224:7x1 256:1x7", "avg 128")
_C = ("256", "384 256:1x3|256:3x1", "384 448:3x1 512:1x3 256:1x3|256:3x1", "avg 256")
MODULES: Mapping[str, tuple[str, ...]] = {
    "3a": ("max/2v", "96:3x3/2v"),
    "4a": ("64 96:3x3v", "64 64:1x7 64:7x1 96:3x3v"),
    "5a": ("192:3x3/2v", "max/2v"),
    **{f"5{letter}": _A for letter in "bcde"},
    "6a": ("384:3x3/2v", "192 224:3x3 256:3x3/2v", "max/2v"),
    **{f"6{letter}": _B for letter in "bcdefgh"},
    "7a": ("192 192:3x3/2v", "256 256:1x7 320:7x1 320:3x3/2v", "max/2v"),
    **{f"7{letter}": _C for letter in "bcd"},
}

PUBLISHED: Mapping[str, Sequence[str]] = dict.fromkeys(("timm", "pretrainedmodels", "slim"), ("inception-v4",))
TIMM = {"inception_v4": ("inception-v4", "timm")}

_SCOPE = "InceptionV4"
# Layers that are named otherwise than their neighbours.
_TORCH_RENAMED = {
    "features.3.branch0": "features.3.maxpool",
    "features.3.branch1": "features.3.conv",
    "features.5.branch0": "features.5.conv",
    "features.5.branch1": "features.5.maxpool",
}
_SLIM_RENAMED = {
    f"{_SCOPE}/Mixed_3a/Branch_0/MaxPool_1a_3x3": f"{_SCOPE}/Mixed_3a/Branch_0/MaxPool_0a_3x3",
    f"{_SCOPE}/Mixed_3a/Branch_1/Conv2d_1a_3x3": f"{_SCOPE}/Mixed_3a/Branch_1/Conv2d_0a_3x3",
}
_DIALECTS = {
    "timm": torch_dialect(numbered("branch"), act=".bn.act", include_pad=False, renamed=_TORCH_RENAMED),
    "pretrainedmodels": torch_dialect(numbered("branch"), include_pad=False, renamed=_TORCH_RENAMED),
    "slim": slim_dialect(_SLIM_RENAMED),
}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    size, slim = size or 299, dialect == "slim"
    to = Branches(Net(_DIALECTS[dialect].style), _DIALECTS[dialect])
    names = [name for name, _ in STEM] + [f"Mixed_{name}" for name in MODULES]
    names = [f"{_SCOPE}/{name}" if slim else f"features.{index}" for index, name in enumerate(names)]
    value = to.chain("image", [(name, step) for name, (_, step) in zip(names, STEM, strict=False)])
    for name, branches in zip(names[len(STEM) :], MODULES.values(), strict=True):
        value = to.module(value, name, branches)
    if slim:
        value = to.slim_head(value, _SCOPE, ("AvgPool_1a", "Dropout_1b", "Logits"), classes, dense=True)
        return to.net.graph(variant, value, size, ignored={f"{_SCOPE}/AuxLogits/*": AUXILIARY, "global_step": STEPS})
    pool = "global_pool" if dialect == "timm" else "avg_pool"
    return to.net.graph(variant, to.torch_head(value, pool, "last_linear", classes), size)
