"""Makes timm's cases of tresnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from timm import list_models

QUICK = ("tresnet_m",)


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network(name), 64, quick=name in QUICK)


if __name__ == "__main__":
    makers = {f"timm/{name.replace('_', '-')}": lambda name=name: make(name) for name in list_models(module="tresnet")}
    generated.store("tresnet", makers)
