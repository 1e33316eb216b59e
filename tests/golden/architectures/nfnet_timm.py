"""Makes timm's cases of nfnet.json; see README.md."""

from __future__ import annotations

import generated
import torch
import torch_case
from timm import create_model, get_pretrained_cfg, list_models

LARGE = 80e6
"""Parameters above which only names and shapes are compared."""
QUICK = ("test_nfnet", "nf_regnet_b0")


def make(name: str) -> dict[str, object]:
    with torch.device("meta"):
        parameters = sum(param.numel() for param in create_model(name).parameters())
    size = 64 + get_pretrained_cfg(name).input_size[1] % 32
    network = lambda: torch_case.timm_network(name)  # noqa: E731
    return torch_case.case(network, size, run=parameters < LARGE, quick=name in QUICK)


if __name__ == "__main__":
    makers = {f"timm/{name.replace('_', '-')}": lambda name=name: make(name) for name in list_models(module="nfnet")}
    generated.store("nfnet", makers)
