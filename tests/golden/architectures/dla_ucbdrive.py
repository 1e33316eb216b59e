"""Makes the authors' cases of dla.json; see README.md.

The environment variable DLA is a checkout of github.com/ucbdrive/dla (d477ceb). Its networks average a window of 7x7,
here the whole of a smaller map; the projections of trees of trees are left out, whose results nothing takes.
"""

from __future__ import annotations

import os
import sys
import types

import generated
import torch
import torch_case

sys.path.insert(0, os.environ["DLA"])
sys.modules["dataset"] = types.ModuleType("dataset")
import dla  # noqa: E402

NAMES = ("dla34", "dla46_c", "dla46x_c", "dla60x_c", "dla60", "dla60x", "dla102", "dla102x", "dla102x2", "dla169")


def network(name: str) -> torch.nn.Module:
    made = getattr(dla, name)(num_classes=generated.CLASSES)
    made.avgpool = torch.nn.AdaptiveAvgPool2d(1)
    for part in made.modules():
        if isinstance(part, dla.Tree) and part.levels > 1:
            part.project = None
    return made


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: network(name), 64, run=name in ("dla34", "dla46x_c", "dla169"))


if __name__ == "__main__":
    generated.LARGEST = float("inf")  # it has no gates
    generated.store("dla", {f"ucbdrive/{name.replace('_', '-')}": lambda name=name: make(name) for name in NAMES})
