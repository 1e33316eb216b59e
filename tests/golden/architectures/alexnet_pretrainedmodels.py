"""Makes pretrainedmodels' cases of alexnet.json; see README.md."""

from __future__ import annotations

from functools import partial
from unittest import mock

import generated
import torch
import torch_case
from pretrainedmodels.models import torchvision_models, vggm


def alexnet() -> torch.nn.Module:
    # It renames the parts of torchvision's network, and takes no number of classes.
    with mock.patch.object(torchvision_models.models, "alexnet", partial(_alexnet, num_classes=generated.CLASSES)):
        return torchvision_models.alexnet(pretrained=None)


_alexnet = torchvision_models.models.alexnet
MAKERS = {
    "alexnet": lambda: torch_case.case(alexnet, 224, quick=True),
    "vggm": lambda: torch_case.case(lambda: vggm.VGGM(num_classes=generated.CLASSES), 221, scale=128),
}

if __name__ == "__main__":
    generated.store("alexnet", {f"pretrainedmodels/{name}": make for name, make in MAKERS.items()})
