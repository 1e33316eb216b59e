"""Makes pytorchcv's cases of alexnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from pytorchcv.models import alexnet, zfnet

NETWORKS = {
    "alexnet": alexnet.alexnetb,
    "alexnet-lrn": alexnet.alexnet,
    "zfnet": zfnet.zfnet,
    "zfnetb": zfnet.zfnetb,
}


def make(name: str) -> dict[str, object]:
    return torch_case.case(
        lambda: NETWORKS[name](num_classes=generated.CLASSES),
        224,
        run=name != "zfnetb",
        quick=name == "alexnet-lrn",
        scale=1 if name == "alexnet" else 128,
    )


if __name__ == "__main__":
    generated.store("alexnet", {f"pytorchcv/{name}": lambda name=name: make(name) for name in NETWORKS})
