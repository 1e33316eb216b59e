"""Makes the cases of pytorchcv_inception.json; see README.md.

The last pool is replaced: pytorchcv's averages 8x8 or 7x7 positions, at the published size all there are.
"""

from __future__ import annotations

from typing import Any

import generated
import torch
import torch_case
from pytorchcv import model_provider

SIZES = {"inception-v3": 107, "inception-v4": 107, "bninception": 96}
QUICK = ("inception-v3", "bninception")


def make(name: str) -> dict[str, object]:
    def network() -> Any:
        made = model_provider.get_model(name.replace("-", ""), num_classes=generated.CLASSES)
        made.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)
        return made

    return torch_case.case(network, SIZES[name], quick=name in QUICK)


if __name__ == "__main__":
    generated.store("pytorchcv_inception", {f"pytorchcv/{name}": lambda name=name: make(name) for name in SIZES})
