"""Makes the cases of pytorchcv_nas.json; see README.md.

The last pool is replaced: pytorchcv's averages the positions there are at the published size.
"""

from __future__ import annotations

from typing import Any

import generated
import torch
import torch_case
from pytorchcv import model_provider

NETWORKS = {
    "nasnetalarge": ("nasnet_6a4032", 75),
    "nasnetamobile": ("nasnet_4a1056", 96),
    "pnasnet5large": ("pnasnet5large", 75),
    "polynet": ("polynet", 139),
}


def make(name: str) -> dict[str, object]:
    generated.LARGEST = float("inf")  # they have no gates
    theirs, size = NETWORKS[name]

    def network() -> Any:
        made = model_provider.get_model(theirs, num_classes=generated.CLASSES)
        made.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)
        return made

    return torch_case.case(network, size, quick=name == "nasnetamobile")


if __name__ == "__main__":
    generated.store("pytorchcv_nas", {f"pytorchcv/{name}": lambda name=name: make(name) for name in NETWORKS})
