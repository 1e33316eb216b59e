"""Makes the cases of alexnet.json whose definitions are in repositories, not packages; see README.md.

The environment variable JIGENDG is a checkout of github.com/fmcarlucci/JigenDG (8522c29), PYTORCH_IMAGENET one of
github.com/jiecaoyu/pytorch_imagenet (984a2a9).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import generated
import torch
import torch_case


def load(checkout: str, path: str) -> ModuleType:
    root = Path(os.environ[checkout])
    sys.path.insert(0, str(root))
    spec = importlib.util.spec_from_file_location(checkout.lower(), root / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def jigendg() -> torch.nn.Module:
    network = load("JIGENDG", "models/caffenet.py").AlexNetCaffe(generated.CLASSES)
    # The published file has one more dense layer where this network has two of its own behind `classifier`, and its
    # forward scales the input besides: here are its parts in the order in which that calls them.
    classifier = torch.nn.Sequential()
    for name, part in network.classifier.named_children():
        classifier.add_module(name, part)
    classifier.add_module("fc8", network.jigsaw_classifier)

    class Published(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.classifier = network.features, classifier

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.features(x).flatten(1))

    return Published()


MAKERS = {
    "jiecaoyu/bvlc-alexnet": lambda: torch_case.case(
        lambda: load("PYTORCH_IMAGENET", "networks/model_list/alexnet.py").AlexNet(num_classes=generated.CLASSES),
        227,
        quick=True,
        scale=128,
    ),
    "jigendg/caffenet": lambda: torch_case.case(jigendg, 227, quick=True, scale=128),
}

if __name__ == "__main__":
    generated.store("alexnet", MAKERS)
