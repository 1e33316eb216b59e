"""Makes IBN-Net's cases of densenet.json; see README.md.

The environment variable IBN_NET is a checkout of github.com/XingangPan/IBN-Net (d167338). Its networks average a window
of 7x7, here the whole of a smaller map.
"""

from __future__ import annotations

import os
import sys
import types

import generated
import torch
import torch_case

sys.path.insert(0, os.environ["IBN_NET"])
from ibnnet import densenet_ibn

densenet_ibn.F = types.SimpleNamespace(
    relu=torch.nn.functional.relu, avg_pool2d=lambda x, **_: x.mean((2, 3), keepdim=True)
)


def make(name: str) -> dict[str, object]:
    network = getattr(densenet_ibn, name.replace("-", "_"))
    return torch_case.case(lambda: network(num_classes=generated.CLASSES), 64, quick="121" in name)


if __name__ == "__main__":
    names = ("densenet121-ibn-a", "densenet169-ibn-a")
    generated.store("densenet", {f"ibn-net/{name}": lambda name=name: make(name) for name in names})
