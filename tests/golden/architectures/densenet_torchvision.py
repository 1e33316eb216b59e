"""Makes torchvision's cases of densenet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torchvision import models

NAMES = [f"densenet{depth}" for depth in (121, 161, 169, 201)]


def make(name: str) -> dict[str, object]:
    network = getattr(models, name)
    return torch_case.case(lambda: network(num_classes=generated.CLASSES), 64, quick=name == "densenet121")


if __name__ == "__main__":
    generated.store("densenet", {f"torchvision/{name}": lambda name=name: make(name) for name in NAMES})
