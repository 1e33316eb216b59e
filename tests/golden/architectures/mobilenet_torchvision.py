"""Makes torchvision's cases of mobilenet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torchvision import models

NAMES = {
    "mobilenetv2-100": "mobilenet_v2",
    "mobilenetv3-large-100": "mobilenet_v3_large",
    "mobilenetv3-small-100": "mobilenet_v3_small",
}


def make(name: str) -> dict[str, object]:
    network = getattr(models, NAMES[name])
    return torch_case.case(
        lambda: network(num_classes=generated.CLASSES), 64, quick=name in ("mobilenetv2-100", "mobilenetv3-small-100")
    )


if __name__ == "__main__":
    generated.store("mobilenet", {f"torchvision/{name}": lambda name=name: make(name) for name in NAMES})
