"""Makes the cases of pytorchcv_shuffle.json; see README.md.

The last pool is replaced: pytorchcv's averages 7x7 positions, at 224 all there are.
"""

from __future__ import annotations

import math
from typing import Any

import generated
import torch
import torch_case
from pytorchcv import model_provider

NAMES = [
    *(f"shufflenet-g{groups}-{width}" for width in ("wd4", "wd2", "w3d4") for groups in (1, 3)),
    *(f"shufflenet-g{groups}-w1" for groups in (1, 2, 3, 4, 8)),
    *(f"shufflenetv2{kind}-{width}" for kind in ("", "b") for width in ("wd2", "w1", "w3d2", "w2")),
    *(f"menet{size}" for size in ("108-8x1-g3", "128-8x1-g4", "160-8x1-g8", "228-12x1-g3", "256-12x1-g4", "348-12x1-g3",
                                  "352-12x1-g8", "456-24x1-g3")),
]  # fmt: skip
QUICK = ("shufflenet-g3-wd4", "shufflenetv2-wd2", "shufflenetv2b-wd2", "menet108-8x1-g3")


def make(name: str) -> dict[str, object]:
    def network() -> Any:
        made = model_provider.get_model(name.replace("-", "_"), num_classes=generated.CLASSES)
        made.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)
        return made

    generated.LARGEST = 1e4 if name.startswith("menet") else math.inf  # the others have no gates
    return torch_case.case(network, 64, quick=name in QUICK)


if __name__ == "__main__":
    generated.store("pytorchcv_shuffle", {f"pytorchcv/{name}": lambda name=name: make(name) for name in NAMES})
