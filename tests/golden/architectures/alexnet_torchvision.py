"""Makes torchvision's case of alexnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torchvision import models


def make() -> dict[str, object]:
    return torch_case.case(lambda: models.alexnet(num_classes=generated.CLASSES), 224, quick=True)


if __name__ == "__main__":
    generated.store("alexnet", {"torchvision/alexnet": make})
