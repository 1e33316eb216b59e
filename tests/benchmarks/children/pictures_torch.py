"""`pictures_torch.py WAY FOLDER`: one pass of PyTorch's DataLoader over a folder of images, whenever told."""

from __future__ import annotations

import os
import sys

from protocol import turns
from torch_vision import operators

declared = operators()
import torch  # noqa: E402
from torchvision import datasets, transforms  # noqa: E402

way, folder = sys.argv[1:]
prepared = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.PILToTensor()])


def loader() -> torch.utils.data.DataLoader:
    """Workers for every core, kept from pass to pass."""
    images = datasets.ImageFolder(folder, prepared)
    return torch.utils.data.DataLoader(
        images, batch_size=32, shuffle=True, num_workers=os.cpu_count() or 1, persistent_workers=True
    )


kept = loader() if way == "later" else None


def through() -> None:
    for _ in kept or loader():
        pass


if __name__ == "__main__":
    turns(through)
