"""Makes the cases of pytorchcv_twins.json, and pytorchcv's of vgg.json and darknet.json; see README.md.

Last pools that average a window of the published size are replaced; DPN's windows are kept.
"""

from __future__ import annotations

import math
from typing import Any

import generated
import torch
import torch_case
from pytorchcv import model_provider

THEIRS = {
    "pytorchcv_twins": {
        **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
        **{f"dpn{depth}": f"dpn{depth}" for depth in (68, 98, 131)},
        **{f"squeeze{kind}{version}": f"squeeze{kind}-v{version}" for kind in ("net", "resnet")
           for version in ("1-0", "1-1")},
        "xception": "xception",
    },
    "vgg": {
        **{f"vgg{depth}": f"vgg{depth}" for depth in (11, 13, 16, 19)},
        **{f"vgg{depth}-bn": f"bn-vgg{depth}b" for depth in (11, 13, 16, 19)},
        **{f"bn-vgg{depth}": f"bn-vgg{depth}" for depth in (11, 13, 16, 19)},
    },
    "darknet": {name: name for name in ("darknet-ref", "darknet-tiny", "darknet53")},
}  # fmt: skip
SIZES = {"dpn": 224, "xception": 107, "vgg": 224, "bn-vgg": 224}
"""Beginning of a name -> rows of the input, if not 64."""
NUMBERS = ("vgg11", "vgg11-bn", "bn-vgg11")
"""The VGGs that are run: each has more than 130 million parameters."""
QUICK = ("densenet121", "squeezeresnet1-1", "darknet-ref")


def make(name: str, theirs: str) -> dict[str, object]:
    def network() -> Any:
        made = model_provider.get_model(theirs.replace("-", "_"), num_classes=generated.CLASSES)
        for holder in (made.features, made.output):
            if hasattr(holder, "final_pool"):
                holder.final_pool = torch.nn.AdaptiveAvgPool2d(1)
        if name == "xception":
            made.features.final_block.pool = torch.nn.AdaptiveAvgPool2d(1)
        return made

    generated.LARGEST = math.inf  # none has gates
    size = next((size for start, size in SIZES.items() if name.startswith(start)), 64)
    return torch_case.case(network, size, run="vgg" not in name or name in NUMBERS, quick=name in QUICK)


if __name__ == "__main__":
    for family, names in THEIRS.items():
        generated.store(
            family, {f"pytorchcv/{name}": lambda n=name, t=theirs: make(n, t) for name, theirs in names.items()}
        )
