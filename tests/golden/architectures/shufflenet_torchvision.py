"""Makes torchvision's cases of shufflenet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torchvision import models

NAMES = [f"shufflenet-v2-x{width}" for width in ("0-5", "1-0", "1-5", "2-0")]


def make(name: str) -> dict[str, object]:
    network = getattr(models, name.replace("-", "_"))
    return torch_case.case(lambda: network(num_classes=generated.CLASSES), 64, quick=name.endswith("0-5"))


if __name__ == "__main__":
    generated.store("shufflenet", {f"torchvision/{name}": lambda name=name: make(name) for name in NAMES})
