"""Makes the authors' cases of hbonet.json; see README.md.

The environment variable HBONET is a checkout of github.com/d-li14/HBONet (e9a76c1).
"""

from __future__ import annotations

import os
import sys

import generated
import torch_case

sys.path.insert(0, os.environ["HBONET"])
from models.imagenet.hbonet import HBONet

WIDTHS = (0.1, 0.25, 0.35, 0.5, 0.8, 1.0)


def make(width: float) -> dict[str, object]:
    return torch_case.case(
        lambda: HBONet(num_classes=generated.CLASSES, width_mult=width), 64, quick=width in (0.25, 0.35)
    )


if __name__ == "__main__":
    makers = {f"d-li14/hbonet-{width}".replace(".", "-"): lambda width=width: make(width) for width in WIDTHS}
    generated.store("hbonet", makers)
