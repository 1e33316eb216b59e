"""Makes timm's cases of dpn.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = ("dpn48b", "dpn68", "dpn68b", "dpn92", "dpn98", "dpn107", "dpn131")


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network(name), 64, quick=name == "dpn48b")


if __name__ == "__main__":
    generated.store("dpn", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
