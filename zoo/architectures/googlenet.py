"""GoogLeNet, or Inception v1 (Szegedy et al., arXiv:1409.4842), with batch normalisation as both publishers have it.

- torchvision (models/googlenet.py): pools round up, padding is symmetric. The weights are those of slim, so the branch
  that is 5x5 in the paper is 3x3 here too.
- slim (tensorflow/models research/slim/nets/inception_v1.py): SAME padding, no gamma.

Both end in an average over all positions; slim's own code averages 7x7, which is the same at 224. torchvision's
`transform_input`, which its pretrained network applies first, is preprocessing and not part of the Graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.branches import AUXILIARY, STEPS, Branches, numbered, slim_dialect, torch_dialect
from zoo.architectures.net import Net
from zoo.graph import Graph

MODULES: Mapping[str, tuple[int, ...]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Channels of 1x1; of 3x3 and of 5x5 each before and after; behind the pool."""

PUBLISHED: Mapping[str, Sequence[str]] = {"torchvision": ("googlenet",), "slim": ("googlenet",)}

_SCOPE = "InceptionV1"
_STEM = (("Conv2d_1a_7x7", "conv1"), ("MaxPool_2a_3x3", "maxpool1"), ("Conv2d_2b_1x1", "conv2"),
         ("Conv2d_2c_3x3", "conv3"), ("MaxPool_3a_3x3", "maxpool2"))  # fmt: skip
_TORCHVISION = torch_dialect(numbered("branch", 1))
# The one layer that slim names like its neighbour.
_SLIM = slim_dialect({f"{_SCOPE}/Mixed_5b/Branch_2/Conv2d_0b_3x3": f"{_SCOPE}/Mixed_5b/Branch_2/Conv2d_0a_3x3"})


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    size, slim = size or 224, dialect == "slim"
    to = Branches(Net((_SLIM if slim else _TORCHVISION).style), _SLIM if slim else _TORCHVISION)
    stem = [f"{_SCOPE}/{theirs}" if slim else ours for theirs, ours in _STEM]
    value = to.unit("image", stem[0], 64, 7, 2)
    value = _smaller(to, value, stem[1])
    value = to.unit(to.unit(value, stem[2], 64), stem[3], 192, 3)
    value = _smaller(to, value, stem[4])
    for name, (one, reduce3, three, reduce5, five, projected) in MODULES.items():
        if name == "4a":
            value = _smaller(to, value, f"{_SCOPE}/MaxPool_4a_3x3" if slim else "maxpool3")
        if name == "5a":
            value = _smaller(to, value, f"{_SCOPE}/MaxPool_5a_2x2" if slim else "maxpool4", kernel=2)
        # slim counts the pools as `a`: its 3b is the paper's 3a
        module = f"{_SCOPE}/Mixed_{name[0]}{chr(ord(name[1]) + 1)}" if slim else f"inception{name}"
        branches = (f"{one}", f"{reduce3} {three}:3x3", f"{reduce5} {five}:3x3", f"max {projected}")
        value = to.module(value, module, branches)
    if slim:
        value = to.slim_head(value, _SCOPE, ("MaxPool_0a_7x7", "Dropout_0b", "Conv2d_0c_1x1"), classes, dense=False)
        return to.net.graph(variant, value, size, ignored={"global_step": STEPS})
    value = to.torch_head(value, "avgpool", "fc", classes, dropout=0.2)
    return to.net.graph(variant, value, size, ignored={"aux1.*": AUXILIARY, "aux2.*": AUXILIARY})


def _smaller(to: Branches, value: str, name: str, kernel: int = 3) -> str:
    if to.dialect is _SLIM:
        return to.net.max_pool(value, name, kernel, 2, pad="same")
    return to.net.max_pool(value, name, kernel, 2, ceil=True)
