"""Makes the cases of efficientnet.json of lukemelas's EfficientNet and of its fork for Lite; see README.md.

pip install --no-deps efficientnet-pytorch==0.7.1 efficientnet-lite-pytorch==0.1.0
"""

from __future__ import annotations

import efficientnet_lite_pytorch
import efficientnet_pytorch
import generated
import torch_case

SIZES = {
    **dict(zip((f"efficientnet-b{n}" for n in range(9)), (224, 240, 260, 300, 380, 456, 528, 600, 672), strict=True)),
    **dict(zip((f"efficientnet-lite{n}" for n in range(5)), (224, 240, 260, 280, 300), strict=True)),
}


def make(name: str) -> dict[str, object]:
    package = efficientnet_lite_pytorch if "lite" in name else efficientnet_pytorch
    return torch_case.case(
        lambda: package.EfficientNet.from_name(name, num_classes=generated.CLASSES),
        64 + SIZES[name] % 32,
        quick=name == "efficientnet-lite0",
    )


if __name__ == "__main__":
    generated.store("efficientnet", {f"lukemelas/{name}": lambda name=name: make(name) for name in SIZES})
