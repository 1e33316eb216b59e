"""Makes timm's cases of resnet.json; see README.md."""

from __future__ import annotations

import generated
import torch
import torch_case
from timm import create_model, get_pretrained_cfg, list_models

LARGE = 105e6
"""Parameters above which only names and shapes are compared."""
NOISY = ("ecaresnet101d-pruned", "ecaresnet200d")
"""Single precision is less exact in these with the smallest image."""
QUICK = ("test-resnet", "resnetblur18", "seresnet18", "ecaresnet26t")


def make(name: str) -> dict[str, object]:
    timm_name = name.replace("-", "_")
    side = get_pretrained_cfg(timm_name).input_size[1]
    with torch.device("meta"):
        parameters = sum(param.numel() for param in create_model(timm_name).parameters())
    run = parameters < LARGE or name == "senet154"  # nothing else has its block
    size = (96 if name in NOISY else 64) + side % 32
    return torch_case.case(lambda: torch_case.timm_network(timm_name), size, run=run, quick=name in QUICK)


if __name__ == "__main__":
    names = [name.replace("_", "-") for name in list_models(module="resnet")]
    generated.store("resnet", {f"timm/{name}": lambda name=name: make(name) for name in names})
