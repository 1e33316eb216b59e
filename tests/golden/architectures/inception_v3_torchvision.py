"""Makes torchvision's case of inception_v3.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torchvision import models


def make() -> dict[str, object]:
    def network() -> object:
        return models.inception_v3(num_classes=generated.CLASSES, init_weights=False)

    return torch_case.case(network, 107, quick=True, ignored=("num_batches_tracked", "AuxLogits."))


if __name__ == "__main__":
    generated.store("inception_v3", {"torchvision/inception-v3": make})
