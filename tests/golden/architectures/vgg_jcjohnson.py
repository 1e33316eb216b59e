"""Makes the cases of vgg.json in the layout of torchvision's first versions; see README.md.

jcjohnson/pytorch-vgg says "the same format as torchvision's"; the files have the names of its versions before 0.2.
"""

from __future__ import annotations

import generated
import torch
import torch_case
from torch import nn
from torchvision import models


class First(nn.Module):
    """VGG as torchvision 0.1 has it (models/vgg.py): no average, dropouts before the dense layers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.features = getattr(models, name)().features
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, generated.CLASSES),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).flatten(1))


if __name__ == "__main__":
    # More than 130 million parameters each; the layers are torchvision's.
    makers = {f"jcjohnson/{name}": lambda name=name: torch_case.case(lambda: First(name), 224, run=False)
              for name in ("vgg16", "vgg19")}  # fmt: skip
    generated.store("vgg", makers)
