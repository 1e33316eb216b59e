"""Makes the cases of condensenet.json; see README.md.

The last pool is replaced: pytorchcv's averages 7x7 positions, at the published size all there are.
"""

from __future__ import annotations

from typing import Any

import generated
import torch
import torch_case
from pytorchcv import model_provider


def make(name: str) -> dict[str, object]:
    def network() -> Any:
        made = model_provider.get_model(name.replace("-", "_"), num_classes=generated.CLASSES)
        made.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)
        return made

    return torch_case.case(network, 64, quick="c8" in name)


if __name__ == "__main__":
    names = ("condensenet74-c4-g4", "condensenet74-c8-g8")
    generated.store("condensenet", {f"pytorchcv/{name}": lambda name=name: make(name) for name in names})
