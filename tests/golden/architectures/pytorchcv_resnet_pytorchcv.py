"""Makes the cases of pytorchcv_resnet.json; see README.md.

All but the two of 224 rows have their last pool replaced: pytorchcv's averages 7x7 positions, at 224 all there are.
"""

from __future__ import annotations

import math
from typing import Any

import generated
import torch
import torch_case
from pytorchcv import model_provider

BLOCKS = "10 12 14 16 18 26 34 bc26b bc38b 50 50b 101 101b 152 152b 200 200b"
MORE = "18-wd4 18-wd2 18-w3d4 bc14b"
SIZES = {
    "resnet": f"{BLOCKS} {MORE}",
    "preresnet": f"{BLOCKS} {MORE} 269b",
    "seresnet": BLOCKS,
    "sepreresnet": BLOCKS,
    "resnext": "14-16x4d 14-32x2d 14-32x4d 26-16x4d 26-32x2d 26-32x4d 38-32x4d 50-32x4d 101-32x4d 101-64x4d",
    "seresnext": "50-32x4d 101-32x4d 101-64x4d",
}
NAMES = [f"{kind}{size}" for kind, sizes in SIZES.items() for size in sizes.split()]
WHOLE = ("resnet10", "preresnet18-wd4")
QUICK = (*WHOLE, "resnet18-w3d4", "resnetbc14b", "preresnetbc14b", "seresnet10", "sepreresnet10", "resnext14-32x2d")
DEEP = ("seresnet200", "seresnet200b")
"""Rounding errors open and shut their gates wherever mirroring the image moves much."""


def make(name: str) -> dict[str, object]:
    def network() -> Any:
        made = model_provider.get_model(name.replace("-", "_"), num_classes=generated.CLASSES)
        if name not in WHOLE:
            made.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)
        return made

    generated.LARGEST = 1e4 if name.startswith("se") else math.inf  # the others have no gates
    return torch_case.case(
        network, 224 if name in WHOLE else 64, quick=name in QUICK, at_least=0.01 if name in DEEP else 0.03
    )


if __name__ == "__main__":
    generated.store("pytorchcv_resnet", {f"pytorchcv/{name}": lambda name=name: make(name) for name in NAMES})
