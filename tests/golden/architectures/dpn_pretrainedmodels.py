"""Makes pretrainedmodels' cases of dpn.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from pretrainedmodels.models import dpn

NAMES = ("dpn68", "dpn68b", "dpn92", "dpn98", "dpn107", "dpn131")


def make(name: str) -> dict[str, object]:
    # 256 has more than one window of 7x7 in its last map, 224 one.
    network = getattr(dpn, name)
    size = 256 if name in ("dpn68", "dpn92") else 224
    return torch_case.case(lambda: network(num_classes=generated.CLASSES, pretrained=None), size, quick=name == "dpn68")


if __name__ == "__main__":
    generated.store("dpn", {f"pretrainedmodels/{name}": lambda name=name: make(name) for name in NAMES})
