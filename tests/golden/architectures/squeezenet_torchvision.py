"""Makes torchvision's cases of squeezenet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torchvision import models

NAMES = ("squeezenet1-0", "squeezenet1-1")


def make(name: str) -> dict[str, object]:
    network = getattr(models, name.replace("-", "_"))
    return torch_case.case(lambda: network(num_classes=generated.CLASSES), 224, quick=True, scale=16)


if __name__ == "__main__":
    generated.store("squeezenet", {f"torchvision/{name}": lambda name=name: make(name) for name in NAMES})
