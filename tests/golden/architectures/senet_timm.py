"""Makes timm's cases of senet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = [f"legacy-seresnet{depth}" for depth in (18, 34, 50, 101, 152)]
NAMES += [f"legacy-seresnext{depth}-32x4d" for depth in (26, 50, 101)]
NAMES += ["legacy-senet154"]
QUICK = ("legacy-seresnet18", "legacy-seresnext26-32x4d")


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network(name.replace("-", "_")), 64, quick=name in QUICK)


if __name__ == "__main__":
    generated.store("senet", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
