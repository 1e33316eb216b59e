"""Makes torchvision's cases of efficientnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torchvision import models

NAMES = {f"efficientnet-b{number}": f"efficientnet_b{number}" for number in range(8)}
NAMES |= {f"efficientnetv2-{size}": f"efficientnet_v2_{size}" for size in "sml"}
SIZES = {"efficientnet-b1": 80, "efficientnet-b3": 76, "efficientnet-b4": 92, "efficientnet-b5": 72}
SIZES |= {"efficientnet-b6": 80, "efficientnet-b7": 88}


def make(name: str) -> dict[str, object]:
    network = getattr(models, NAMES[name])
    return torch_case.case(
        lambda: network(num_classes=generated.CLASSES),
        SIZES.get(name, 64),
        run=name != "efficientnetv2-l",
        quick=name == "efficientnet-b0",
    )


if __name__ == "__main__":
    generated.store("efficientnet", {f"torchvision/{name}": lambda name=name: make(name) for name in NAMES})
