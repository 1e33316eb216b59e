"""Makes timm's cases of hrnet.json; see README.md."""

from __future__ import annotations

import math

import generated
import torch_case

NAMES = ["hrnet-w18-small", "hrnet-w18-small-v2", *(f"hrnet-w{width}" for width in (18, 30, 32, 40, 44, 48, 64))]


def make(name: str) -> dict[str, object]:
    generated.LARGEST = math.inf  # it has no gates
    run = name != "hrnet-w64"  # 128 million parameters
    return torch_case.case(
        lambda: torch_case.timm_network(name.replace("-", "_")), 64, run=run, quick=name == "hrnet-w18-small"
    )


if __name__ == "__main__":
    generated.store("hrnet", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
