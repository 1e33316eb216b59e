"""Makes pretrainedmodels' cases of vgg.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "-bn")]


def make(name: str) -> dict[str, object]:
    # One of each kind: behind the names, the others are torchvision's.
    return torch_case.case(lambda: torch_case.renamed_network(name), 224, run=name in ("vgg11", "vgg11-bn"))


if __name__ == "__main__":
    generated.store("vgg", {f"pretrainedmodels/{name}": lambda name=name: make(name) for name in NAMES})
