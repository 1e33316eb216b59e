"""Makes torchvision's case of googlenet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from torchvision import models


def make() -> dict[str, object]:
    def network() -> object:
        return models.googlenet(num_classes=generated.CLASSES, aux_logits=True, init_weights=False)

    return torch_case.case(network, 96, quick=True, ignored=("num_batches_tracked", "aux1.", "aux2."))


if __name__ == "__main__":
    generated.store("googlenet", {"torchvision/googlenet": make})
