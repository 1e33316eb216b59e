"""Makes timm's cases of rexnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from timm import list_models

QUICK = ("rexnet_100", "rexnetr_130")


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network(name), 64, quick=name in QUICK)


if __name__ == "__main__":
    makers = {f"timm/{name.replace('_', '-')}": lambda name=name: make(name) for name in list_models(module="rexnet")}
    generated.store("rexnet", makers)
