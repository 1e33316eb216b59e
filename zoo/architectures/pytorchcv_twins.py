"""pytorchcv's names for networks that others publish too: DenseNet, DPN, SqueezeNet, Xception.

Sources: osmr/pytorchcv pytorchcv/models/densenet.py, dpn.py, squeezenet.py and xception.py. The numbers are those of
torchvision's DenseNet and SqueezeNet, of Cadene's DPN and Xception. DPN classifies windows of the last map, as Cadene's
does, and takes inputs of 193 rows or more. `squeezeresnet` is a SqueezeNet in which every other module is added to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from zoo.architectures import densenet, dpn, squeezenet, xception
from zoo.architectures.net import TORCH
from zoo.architectures.renaming import Rules, renamed
from zoo.graph import Graph


class _Family(Protocol):
    def build(self, variant: str, dialect: str, classes: int, size: int | None) -> Graph: ...


_DENSENET: Rules = (
    (r"^features\.(conv|norm|pool)0", r"features.init_block.{1}"),
    (r"^features\.denseblock(\d)\.denselayer(\d+)", "features.stage{1}.unit{2}"),
    (r"\.(conv|norm)([12])(?=\.act|$)", ".conv{2}.{1}"),
    (r"^features\.transition(\d)\.(conv|norm)", "features.stage{1+1}.trans{1+1}.conv.{2}"),
    (r"^features\.transition(\d)", "features.stage{1+1}.trans{1+1}"),
    (r"^features\.norm5", "features.post_activ.norm"),
    (r"\.norm\.act$", ".activ"),
    (r"\.norm$", ".bn"),
    (r"^global_pool$", "features.final_pool"),
    (r"^classifier$", "output"),
)
_DPN: Rules = (
    (r"^features\.conv1_1\.", "features.init_block."),
    (r"^features\.conv5_bn_ac\.", "features.final_block.activ."),
    (r"^features\.conv(\d)_(\d+)", "features.stage{1-1}.unit{2}"),
    (r"\.c1x1_w_s[12]\.", ".conv_proj."),
    (r"\.c1x1_a\.", ".conv1."),
    (r"\.c3x3_b\.", ".conv2."),
    (r"\.c1x1_c\.", ".conv3."),
    (r"\.act$", ".activ"),
    (r"^last_linear$", "output.classifier"),
)
_XCEPTION: Rules = (
    (r"^conv([12])$", "features.init_block.conv{1}.conv"),
    (r"^bn([12])$", "features.init_block.conv{1}.bn"),
    (r"^conv3\.", "features.final_block.conv1.conv."),
    (r"^conv4\.", "features.final_block.conv2.conv."),
    (r"^bn3$", "features.final_block.conv1.bn"),
    (r"^bn4$", "features.final_block.conv2.bn"),
    (r"^block1\.rep\.2$", "block1.body.block2.activ"),
    (r"^block1\.rep\.5$", "block1.body.pool"),
    (r"^block1\.rep\.0\.", "block1.body.block1.conv."),
    (r"^block1\.rep\.3\.", "block1.body.block2.conv."),
    (r"^block1\.rep\.1$", "block1.body.block1.bn"),
    (r"^block1\.rep\.4$", "block1.body.block2.bn"),
    (r"\.rep\.1\.", ".body.block1.conv."),
    (r"\.rep\.4\.", ".body.block2.conv."),
    (r"\.rep\.7\.", ".body.block3.conv."),
    (r"\.rep\.2$", ".body.block1.bn"),
    (r"\.rep\.5$", ".body.block2.bn"),
    (r"\.rep\.8$", ".body.block3.bn"),
    (r"\.conv\.conv1$", ".conv.dw_conv"),
    (r"\.conv\.pointwise$", ".conv.pw_conv"),
    (r"\.skip$", ".identity_conv.conv"),
    (r"\.skipbn$", ".identity_conv.bn"),
    (r"^block(1|2|3)(?=\.|$)", "features.stage{1}.unit1"),
    (r"^block12(?=\.|$)", "features.stage4.unit1"),
    (r"^block(\d+)(?=\.|$)", "features.stage3.unit{1-2}"),
    (r"^fc$", "output"),
)
_FIRST = {"squeezenet1-0": (3, 7, 12), "squeezenet1-1": (3, 6, 9)}
"""Places of SqueezeNet's first module of each stage, which a pool stands before."""


def _squeezenet(variant: str) -> Rules:
    (one, two, three), last = _FIRST[variant.replace("resnet", "net")], r"(?=\.|$)"
    starts = [(1, one, two - 1), (2, two, three - 1), (3, three, 13)]
    return (
        (r"^features\.0$", "features.init_block.conv"),
        (r"^features\.1$", "features.init_block.activ"),
        *((rf"^features\.{start - 1}$", f"features.stage{stage}.pool{stage}") for stage, start, _ in starts),
        *((rf"^features\.{place}{last}", f"features.stage{stage}.unit{place - start + 1}")
          for stage, start, end in starts for place in range(start, end)),
        (r"\.(squeeze|expand1x1|expand3x3)$", ".{1}.conv"),
        (r"\.(squeeze|expand1x1|expand3x3)_activation$", ".{1}.activ"),
        (r"^classifier\.0$", "features.dropout"),
        (r"^classifier\.1$", "output.final_conv"),
        (r"^classifier\.2$", "output.final_activ"),
        (r"^classifier\.3$", "output.final_pool"),
    )  # fmt: skip


_OF: Mapping[str, tuple[_Family, str, Rules]] = {
    **dict.fromkeys(densenet.PUBLISHED["torchvision"], (densenet, "torchvision", _DENSENET)),
    **dict.fromkeys(("dpn68", "dpn98", "dpn131"), (dpn, "pretrainedmodels", _DPN)),
    **{f"squeeze{kind}{version}": (squeezenet, "torchvision", _squeezenet(f"squeezenet{version}"))
       for kind in ("net", "resnet") for version in ("1-0", "1-1")},
    "xception": (xception, "timm", _XCEPTION),
}  # fmt: skip
PUBLISHED: Mapping[str, Sequence[str]] = {"pytorchcv": tuple(_OF)}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    family, theirs, rules = _OF[variant]
    return renamed(family.build(variant, theirs, classes, size), rules, TORCH)
