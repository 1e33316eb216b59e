"""Makes torchvision's cases of regnet.json; see README.md."""

from __future__ import annotations

from typing import Any

import generated
import torch
import torch_case
from torchvision import models
from torchvision.models.regnet import BlockParams

NAMES = {
    "regnetx-004-tv": "regnet_x_400mf",
    "regnetx-008": "regnet_x_800mf",
    "regnetx-016": "regnet_x_1_6gf",
    "regnetx-032": "regnet_x_3_2gf",
    "regnetx-080": "regnet_x_8gf",
    "regnetx-160": "regnet_x_16gf",
    "regnetx-320": "regnet_x_32gf",
    "regnety-004": "regnet_y_400mf",
    "regnety-008-tv": "regnet_y_800mf",
    "regnety-016": "regnet_y_1_6gf",
    "regnety-032": "regnet_y_3_2gf",
    "regnety-080-tv": "regnet_y_8gf",
    "regnety-160": "regnet_y_16gf",
    "regnety-320": "regnet_y_32gf",
    "regnety-1280": "regnet_y_128gf",
}
LARGE = ("regnety-320", "regnety-1280")

_from_init_params = BlockParams.from_init_params


def _computed(**numbers: Any) -> BlockParams:
    """The widths, which torchvision computes with tensors: not on the device without memory."""
    with torch.device("cpu"):
        return _from_init_params(**numbers)


BlockParams.from_init_params = _computed


def make(name: str) -> dict[str, object]:
    network = getattr(models, NAMES[name])
    return torch_case.case(
        lambda: network(num_classes=generated.CLASSES), 64, run=name not in LARGE, quick=name == "regnety-004"
    )


if __name__ == "__main__":
    generated.store("regnet", {f"torchvision/{name}": lambda name=name: make(name) for name in NAMES})
