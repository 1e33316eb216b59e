"""Inception-ResNet v2 (Szegedy et al., arXiv:1602.07261): modules whose branches are added to what they took, scaled.

- slim (tensorflow/models research/slim/nets/inception_resnet_v2.py): no gamma.
- pretrainedmodels (models/inceptionresnetv2.py) and timm (models/inception_resnet_v2.py, which came from it): slim's
  weights, the classifier under another name; in pretrainedmodels' file for 1001 classes, the first of which timm's
  leaves out.

All leave the padding out of averages. pretrainedmodels averages 8x8 at the end, the others all positions, which is the
same at 299 and what is done here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.branches import AUXILIARY, STEPS, Branches, numbered, slim_dialect, torch_dialect
from zoo.architectures.net import Net
from zoo.graph import Graph

_STEM = (("conv2d_1a", "Conv2d_1a_3x3", "32:3x3/2v"), ("conv2d_2a", "Conv2d_2a_3x3", "32:3x3v"),
         ("conv2d_2b", "Conv2d_2b_3x3", "64:3x3"), ("maxpool_3a", "MaxPool_3a_3x3", "max/2v"),
         ("conv2d_3b", "Conv2d_3b_1x1", "80"), ("conv2d_4a", "Conv2d_4a_3x3", "192:3x3v"),
         ("maxpool_5a", "MaxPool_5a_3x3", "max/2v"))  # fmt: skip
MODULES: Mapping[str, tuple[str, ...]] = {
    "5b": ("96", "48 64:5x5", "64 96:3x3 96:3x3", "avg 64"),
    "6a": ("384:3x3/2v", "256 256:3x3 384:3x3/2v", "max/2v"),
    "7a": ("256 384:3x3/2v", "256 288:3x3/2v", "256 288:3x3 320:3x3/2v", "max/2v"),
}
RESIDUAL: Mapping[str, tuple[str, int, float, tuple[str, ...]]] = {
    "5b": ("block35", 10, 0.17, ("32", "32 32:3x3", "32 48:3x3 64:3x3")),
    "6a": ("block17", 20, 0.1, ("192", "128 160:1x7 192:7x1")),
    "7a": ("block8", 9, 0.2, ("192", "192 224:1x3 256:3x1")),
}
"""Module -> kind, number and scale of the blocks behind it."""

_NAME = "inception-resnet-v2"
PUBLISHED: Mapping[str, Sequence[str]] = dict.fromkeys(("timm", "pretrainedmodels", "slim"), (_NAME,))
TIMM = {f"{origin}inception_resnet_v2": (_NAME, "timm") for origin in ("", "ens_adv_")}

_SCOPE = "InceptionResnetV2"
_BLOCKS = [f"{_SCOPE}/Repeat{'_' * (i > 0)}{i or ''}/{kind}_{n}" for i, (kind, count, _, _) in
           enumerate(RESIDUAL.values()) for n in range(1, count + 1)]  # fmt: skip
# A convolution that is alone in its branch has no letter.
_ALONE = {f"{module}/Branch_0/Conv2d_0a_1x1": f"{module}/Branch_0/Conv2d_1x1"
          for module in [f"{_SCOPE}/Mixed_5b", f"{_SCOPE}/Block8", *_BLOCKS]}  # fmt: skip
_DIALECTS = {
    "timm": torch_dialect(numbered("branch"), act=".bn.act", include_pad=False),
    "pretrainedmodels": torch_dialect(numbered("branch"), include_pad=False),
    "slim": slim_dialect(_ALONE),
}
# Pool, classifier, and what share of the features training drops.
_HEADS = {"timm": ("global_pool", "classif", 0.0), "pretrainedmodels": ("avgpool_1a", "last_linear", 0.5)}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    size, slim = size or 299, dialect == "slim"
    to = Branches(Net(_DIALECTS[dialect].style), _DIALECTS[dialect])
    scope = f"{_SCOPE}/" if slim else ""
    value = to.chain("image", [(scope + theirs if slim else ours, step) for ours, theirs, step in _STEM])
    blocks = iter(_BLOCKS)
    for index, (name, branches) in enumerate(MODULES.items()):
        value = to.module(value, f"{scope}Mixed_{name}" if slim else f"mixed_{name}", branches)
        _, count, scale, residual = RESIDUAL[name]
        repeat = f"repeat_{index}" if index else "repeat"
        for number in range(count):
            value = _block(to, value, next(blocks) if slim else f"{repeat}.{number}", residual, scale)
    value = _block(to, value, f"{scope}Block8" if slim else "block8", RESIDUAL["7a"][3], 1.0, act=False)
    value = to.unit(value, f"{scope}Conv2d_7b_1x1" if slim else "conv2d_7b", 1536)
    if slim:
        value = to.slim_head(value, _SCOPE, ("AvgPool_1a_8x8", "Dropout", "Logits"), classes, dense=True)
        return to.net.graph(variant, value, size, ignored={f"{_SCOPE}/AuxLogits/*": AUXILIARY, "global_step": STEPS})
    pool, classifier, dropout = _HEADS[dialect]
    return to.net.graph(variant, to.torch_head(value, pool, classifier, classes, dropout=dropout), size)


def _block(to: Branches, value: str, name: str, branches: Sequence[str], scale: float, *, act: bool = True) -> str:
    slim = to.dialect.between == "/"
    end = to.module(value, name, branches, output=f"{name}{to.dialect.between}concat")
    end = to.net.conv(end, f"{name}/Conv2d_1x1" if slim else f"{name}.conv2d", to.net.channels[value], bias=True)
    return to.residual(value, name, end, scale=scale, act=act)
