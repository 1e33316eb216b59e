"""Makes pretrainedmodels' case of xception.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from pretrainedmodels.models.xception import xception


def make() -> dict[str, object]:
    return torch_case.case(lambda: xception(num_classes=generated.CLASSES, pretrained=None), 107, quick=True)


if __name__ == "__main__":
    generated.store("xception", {"pretrainedmodels/xception": make})
