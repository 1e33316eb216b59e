"""Makes pytorchcv's cases of inception_resnet_v1.json; see README.md.

The last pool is replaced: pytorchcv's averages 8x8 positions, at 299 all there are.
"""

from __future__ import annotations

from typing import Any

import generated
import torch
import torch_case
from pytorchcv import model_provider


def make(name: str) -> dict[str, object]:
    def network() -> Any:
        made = model_provider.get_model(name.replace("-", ""), num_classes=generated.CLASSES)
        made.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)
        return made

    return torch_case.case(network, 107, quick=name.endswith("v1"))


if __name__ == "__main__":
    names = ("inception-resnet-v1", "inception-resnet-v2")
    generated.store("inception_resnet_v1", {f"pytorchcv/{name}": lambda name=name: make(name) for name in names})
