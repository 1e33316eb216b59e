"""Makes IBN-Net's cases of resnet.json; see README.md.

The environment variable IBN_NET is a checkout of github.com/XingangPan/IBN-Net (d167338). Its networks average a window
of 7x7, here the whole of a smaller map.
"""

from __future__ import annotations

import os
import sys

import generated
import torch
import torch_case

sys.path.insert(0, os.environ["IBN_NET"])
import ibnnet

NAMES = {
    **{f"resnet{depth}-ibn-a": f"resnet{depth}_ibn_a" for depth in (18, 34, 50, 101)},
    "resnext101-32x4d-ibn-a": "resnext101_ibn_a",
    "seresnet101-ibn-a": "se_resnet101_ibn_a",
}


def network(name: str) -> torch.nn.Module:
    made = getattr(ibnnet, NAMES[name])()
    made.fc = torch.nn.Linear(made.fc.in_features, generated.CLASSES)
    made.avgpool = torch.nn.AdaptiveAvgPool2d(1)
    return made


if __name__ == "__main__":
    makers = {f"ibn-net/{name}": lambda name=name: torch_case.case(
        lambda: network(name), 64, quick=name == "resnet18-ibn-a") for name in NAMES}  # fmt: skip
    generated.store("resnet", makers)
