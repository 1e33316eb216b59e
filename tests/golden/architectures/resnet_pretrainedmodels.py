"""Makes pretrainedmodels' cases of resnet.json; see README.md.

resnet18 to resnet152 are torchvision's, with a classifier of 1000 classes whatever is asked for: it is replaced. The
others have a window of 7x7 in the head and need their full size.
"""

from __future__ import annotations

import importlib
import sys
import types

import generated
import torch
import torch_case

# The package's data sets ask for packages that its networks do not need.
sys.modules["pretrainedmodels.datasets"] = types.ModuleType("datasets")
PORTS = {
    "fbresnet152": ("fbresnet", "fbresnet152"),
    "cafferesnet101": ("cafferesnet", "cafferesnet101"),
    "resnext101-32x4d": ("resnext", "resnext101_32x4d"),
    "resnext101-64x4d": ("resnext", "resnext101_64x4d"),
}
SAME = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


def network(module: str, name: str) -> torch.nn.Module:
    found = importlib.import_module(f"pretrainedmodels.models.{module}")
    model = getattr(found, name)(num_classes=generated.CLASSES, pretrained=None)
    if model.last_linear.out_features != generated.CLASSES:
        model.last_linear = torch.nn.Linear(model.last_linear.in_features, generated.CLASSES)
    return model


def make(name: str) -> dict[str, object]:
    module, function = PORTS.get(name, ("torchvision_models", name))
    if name not in PORTS:
        return torch_case.case(lambda: network(module, function), 64, quick=name == "resnet18")
    # The average over 49 positions of a large smooth image depends less on whether it is mirrored.
    return torch_case.case(lambda: network(module, function), 224, at_least=0.02)


if __name__ == "__main__":
    generated.store("resnet", {f"pretrainedmodels/{name}": lambda name=name: make(name) for name in (*SAME, *PORTS)})
