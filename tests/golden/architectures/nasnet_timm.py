"""Makes timm's cases of nasnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = ["nasnetalarge", "pnasnet5large"]


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network(name), 75)


if __name__ == "__main__":
    generated.store("nasnet", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
