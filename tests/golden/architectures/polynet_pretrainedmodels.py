"""Makes pretrainedmodels' case of polynet.json; see README.md.

Its last pool takes 9x9, which are all positions at the published 331; for the smaller input it is told to take all.
"""

from __future__ import annotations

import generated
import torch
import torch_case
from pretrainedmodels.models.polynet import PolyNet


def make() -> dict[str, object]:
    def network() -> torch.nn.Module:
        model = PolyNet(num_classes=generated.CLASSES)
        model.avg_pool = torch.nn.AdaptiveAvgPool2d(1)
        return model

    return torch_case.case(network, 139)


if __name__ == "__main__":
    generated.store("polynet", {"pretrainedmodels/polynet": make})
