"""Makes the cases of pytorchcv_residual.json and pytorchcv_dense.json; see README.md.

The last pool is replaced: pytorchcv's averages 7x7 positions, at 224 all there are.
"""

from __future__ import annotations

import math
from typing import Any

import generated
import torch
import torch_case
from pytorchcv import model_provider

NAMES = {
    "pytorchcv_residual": [
        "senet16", "senet28", "senet154", "wrn50-2", "ibn-resnet50", "ibn-resnet101", "airnet50-1x64d-r2",
        "airnet50-1x64d-r16", "diracnet18v2", "diracnet34v2",
        *(f"sqnxt{version}-{width}" for version in ("23", "23v5") for width in ("w1", "w3d2", "w2")),
    ],
    "pytorchcv_dense": ["peleenet", "hardnet39ds", "hardnet68ds", "hardnet68", "hardnet85"],
}  # fmt: skip
GATES = ("senet", "airnet")
QUICK = ("senet16", "ibn-resnet50", "airnet50-1x64d-r16", "sqnxt23v5-w1", "peleenet", "hardnet39ds")


def make(name: str) -> dict[str, object]:
    def network() -> Any:
        made = model_provider.get_model(name.replace("-", "_"), num_classes=generated.CLASSES)
        made.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)
        return made

    generated.LARGEST = 1e4 if name.startswith(GATES) else math.inf
    return torch_case.case(network, 64, quick=name in QUICK)


if __name__ == "__main__":
    for family, names in NAMES.items():
        generated.store(family, {f"pytorchcv/{name}": lambda name=name: make(name) for name in names})
