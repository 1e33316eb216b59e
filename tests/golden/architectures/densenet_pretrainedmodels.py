"""Makes pretrainedmodels' cases of densenet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = [f"densenet{depth}" for depth in (121, 161, 169, 201)]


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: torch_case.renamed_network(name), 224, quick=name == "densenet121")


if __name__ == "__main__":
    generated.store("densenet", {f"pretrainedmodels/{name}": lambda name=name: make(name) for name in NAMES})
