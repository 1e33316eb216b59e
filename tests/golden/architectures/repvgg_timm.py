"""Makes timm's cases of repvgg.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from timm import list_models

QUICK = ("repvgg_a0",)
LARGE = "repvgg_d2se"
"""Names and shapes only."""


def make(name: str) -> dict[str, object]:
    generated.LARGEST = 1e4 if "se" in name else float("inf")
    network = lambda: torch_case.timm_network(name)  # noqa: E731
    return torch_case.case(network, 64, run=name != LARGE, quick=name in QUICK)


if __name__ == "__main__":
    makers = {f"timm/{name.replace('_', '-')}": lambda name=name: make(name) for name in list_models("repvgg*")}
    generated.store("repvgg", makers)
