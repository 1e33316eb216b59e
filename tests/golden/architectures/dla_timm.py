"""Makes timm's cases of dla.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from timm import list_models


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network(name), 64, quick=name == "dla34")


if __name__ == "__main__":
    generated.LARGEST = float("inf")  # it has no gates
    makers = {f"timm/{name.replace('_', '-')}": lambda name=name: make(name) for name in list_models(module="dla")}
    generated.store("dla", makers)
