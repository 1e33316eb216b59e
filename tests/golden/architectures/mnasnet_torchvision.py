"""Makes torchvision's cases of mnasnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torch import nn
from torchvision import models

# It asks for the version of its file, which generated weights do not have.
models.MNASNet._load_from_state_dict = nn.Module._load_from_state_dict

NAMES = {
    "mnasnet-050": "mnasnet0_5",
    "mnasnet-075": "mnasnet0_75",
    "mnasnet-100": "mnasnet1_0",
    "mnasnet1-3": "mnasnet1_3",
}


def make(name: str) -> dict[str, object]:
    network = getattr(models, NAMES[name])
    return torch_case.case(lambda: network(num_classes=generated.CLASSES), 64, quick=name == "mnasnet-050")


if __name__ == "__main__":
    generated.store("mnasnet", {f"torchvision/{name}": lambda name=name: make(name) for name in NAMES})
