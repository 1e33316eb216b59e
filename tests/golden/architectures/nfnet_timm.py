"""Makes timm's cases of nfnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from timm import get_pretrained_cfg, list_models

RUN = ("dm_nfnet_f0", "nfnet_l0", "eca_nfnet_l0", "nf_regnet_b0", "nf_seresnet26", "nf_resnet50", "test_nfnet")
"""One of each kind; the others' names and shapes only."""
QUICK = ("test_nfnet", "nf_regnet_b0")


def make(name: str) -> dict[str, object]:
    size = 64 + get_pretrained_cfg(name).input_size[1] % 32
    network = lambda: torch_case.timm_network(name)  # noqa: E731
    return torch_case.case(network, size, run=name in RUN, quick=name in QUICK)


if __name__ == "__main__":
    makers = {f"timm/{name.replace('_', '-')}": lambda name=name: make(name) for name in list_models(module="nfnet")}
    generated.store("nfnet", makers)
