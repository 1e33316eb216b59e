"""Makes the case of resnet.json that facebookresearch/WSL-Images has beside torchvision's; see README.md."""

from __future__ import annotations

import generated
import torch
import torch_case
from torchvision.models.resnet import Bottleneck, ResNet


def network() -> torch.nn.Module:
    return ResNet(Bottleneck, [3, 4, 23, 3], groups=32, width_per_group=48, num_classes=generated.CLASSES)


if __name__ == "__main__":
    # 829 million parameters
    generated.store("resnet", {"torchvision/resnext101-32x48d": lambda: torch_case.case(network, 64, run=False)})
