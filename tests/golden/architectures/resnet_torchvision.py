"""Makes torchvision's cases of resnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torchvision import models

LARGE = ("wide-resnet101-2",)
NAMES = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide-resnet50-2", "wide-resnet101-2"),
    *("resnext50-32x4d", "resnext101-32x8d", "resnext101-64x4d"),
)


def make(name: str) -> dict[str, object]:
    network = getattr(models, name.replace("-", "_"))
    return torch_case.case(
        lambda: network(num_classes=generated.CLASSES), 64, run=name not in LARGE, quick=name == "resnet18"
    )


if __name__ == "__main__":
    generated.store("resnet", {f"torchvision/{name}": lambda name=name: make(name) for name in NAMES})
