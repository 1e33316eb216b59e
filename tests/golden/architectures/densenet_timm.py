"""Makes timm's cases of densenet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = ["densenet121", "densenet161", "densenet169", "densenet201", "densenet264d", "densenetblur121d"]


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network(name), 64, quick=name == "densenetblur121d")


if __name__ == "__main__":
    generated.store("densenet", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
