"""Makes pretrainedmodels' cases of nasnet.json; see README.md.

Its average over 11x11 (mobile: 7x7) positions, all there are at the published size, becomes one over all positions:
the inputs here are smaller.
"""

from __future__ import annotations

import generated
import torch
import torch_case
from pretrainedmodels.models import nasnet, nasnet_mobile, pnasnet

NETWORKS = {
    "nasnetalarge": (nasnet.NASNetALarge, 75),
    "nasnetamobile": (nasnet_mobile.NASNetAMobile, 96),
    "pnasnet5large": (pnasnet.PNASNet5Large, 75),
}


def make(name: str) -> dict[str, object]:
    network, size = NETWORKS[name]

    def smaller() -> torch.nn.Module:
        model = network(num_classes=generated.CLASSES)
        model.avg_pool = torch.nn.AdaptiveAvgPool2d(1)
        return model

    return torch_case.case(smaller, size, quick=name == "nasnetamobile")


if __name__ == "__main__":
    generated.store("nasnet", {f"pretrainedmodels/{name}": lambda name=name: make(name) for name in NETWORKS})
