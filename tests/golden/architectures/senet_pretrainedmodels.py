"""Makes pretrainedmodels' cases of senet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from pretrainedmodels.models import senet

NAMES = ["se_resnet50", "se_resnet101", "se_resnet152", "se_resnext50_32x4d", "se_resnext101_32x4d", "senet154"]


def make(name: str) -> dict[str, object]:
    network = getattr(senet, name)
    # The last pool wants a map of 7x7: an input of 224. Where the deepest networks' outputs depend more on it, rounding
    # errors do too much.
    return torch_case.case(
        lambda: network(num_classes=generated.CLASSES, pretrained=None),
        224,
        quick=name == "se_resnet50",
        at_least=0.005 if name in ("se_resnet152", "senet154") else 0.03,
    )


def variant(name: str) -> str:
    return "legacy-" + name.replace("se_", "se").replace("_", "-")


if __name__ == "__main__":
    generated.store("senet", {f"pretrainedmodels/{variant(name)}": lambda name=name: make(name) for name in NAMES})
