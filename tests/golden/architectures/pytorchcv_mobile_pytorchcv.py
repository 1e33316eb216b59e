"""Makes the cases of pytorchcv_mobile.json; see README.md.

The last pool is replaced: pytorchcv's averages 7x7 positions, at 224 all there are.
"""

from __future__ import annotations

import math
from typing import Any

import generated
import torch
import torch_case
from pytorchcv import model_provider

WIDTHS = ("wd4", "wd2", "w3d4", "w1")
KINDS = ("mobilenet", "mobilenetb", "fdmobilenet", "mobilenetv2", "mobilenetv2b", "igcv3")
THEIRS = {
    **{f"pytorchcv/{kind}-{width}": f"{kind}_{width}" for kind in KINDS for width in WIDTHS},
    "pytorchcv/mobilenetv3-large-100": "mobilenetv3_large_w1",
    "pytorchcv/mnasnet-100": "mnasnet_b1",
    "pytorchcv/semnasnet-100": "mnasnet_a1",
    "pytorchcv/efficientnet-b0": "efficientnet_b0",
    "pytorchcv/efficientnet-b1": "efficientnet_b1",
    **{f"pytorchcv-tf/efficientnet-b{number}": f"efficientnet_b{number}b" for number in range(8)},
}
SIZES = {1: 80, 2: 68, 3: 76, 4: 92, 5: 72, 6: 80, 7: 88}
"""EfficientNet -> rows of the input, if not 64."""
QUICK = ("mobilenet-wd4", "mobilenetb-wd4", "mobilenetv2-wd4", "igcv3-wd4", "efficientnet-b0", "semnasnet-100")


def make(name: str) -> dict[str, object]:
    def network() -> Any:
        made = model_provider.get_model(THEIRS[name], num_classes=generated.CLASSES)
        made.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)
        return made

    variant = name.partition("/")[2]
    gates = "nas" in name or "v3" in name or "efficient" in name
    generated.LARGEST = 1e4 if gates else math.inf
    size = SIZES.get(int(variant[-1]), 64) if variant.startswith("efficient") else 64
    return torch_case.case(network, size, quick=variant in QUICK)


if __name__ == "__main__":
    generated.store("pytorchcv_mobile", {name: lambda name=name: make(name) for name in THEIRS})
