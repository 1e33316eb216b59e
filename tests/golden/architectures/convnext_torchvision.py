"""Makes torchvision's cases of convnext.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torchvision import models

NAMES = ("convnext-tiny", "convnext-small", "convnext-base", "convnext-large")


def make(name: str) -> dict[str, object]:
    network = getattr(models, name.replace("-", "_"))
    return torch_case.case(
        lambda: network(num_classes=generated.CLASSES), 64, run=name != "convnext-large", quick=name == "convnext-tiny"
    )


if __name__ == "__main__":
    generated.store("convnext", {f"torchvision/{name}": lambda name=name: make(name) for name in NAMES})
