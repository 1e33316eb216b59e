"""Makes pretrainedmodels' cases of squeezenet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = ("squeezenet1-0", "squeezenet1-1")


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: torch_case.renamed_network(name), 224, quick=name == "squeezenet1-0", scale=16)


if __name__ == "__main__":
    generated.store("squeezenet", {f"pretrainedmodels/{name}": lambda name=name: make(name) for name in NAMES})
