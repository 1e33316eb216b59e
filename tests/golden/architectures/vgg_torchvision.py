"""Makes torchvision's cases of vgg.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torchvision import models

NAMES = [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "-bn")]


def make(name: str) -> dict[str, object]:
    network = getattr(models, name.replace("-", "_"))
    return torch_case.case(lambda: network(num_classes=generated.CLASSES), 224, quick=name == "vgg11-bn")


if __name__ == "__main__":
    generated.store("vgg", {f"torchvision/{name}": lambda name=name: make(name) for name in NAMES})
