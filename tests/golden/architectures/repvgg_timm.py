"""Makes timm's cases of repvgg.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from timm import list_models

QUICK = ("repvgg_a0",)


def make(name: str) -> dict[str, object]:
    generated.LARGEST = 1e4 if "se" in name else float("inf")
    return torch_case.case(lambda: torch_case.timm_network(name), 64, quick=name in QUICK)


if __name__ == "__main__":
    makers = {f"timm/{name.replace('_', '-')}": lambda name=name: make(name) for name in list_models("repvgg*")}
    generated.store("repvgg", makers)
