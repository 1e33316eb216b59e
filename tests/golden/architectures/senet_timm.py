"""Makes timm's cases of senet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = [f"legacy-seresnet{depth}" for depth in (18, 34, 50, 101, 152)]
NAMES += [f"legacy-seresnext{depth}-32x4d" for depth in (26, 50, 101)]
NAMES += ["legacy-senet154"]
QUICK = ("legacy-seresnet18", "legacy-seresnext26-32x4d")


def make(name: str) -> dict[str, object]:
    network = name.replace("-", "_")
    # Where SENet-154's output depends more on its input, rounding errors do too much.
    at_least = 0.015 if name == "legacy-senet154" else 0.03
    return torch_case.case(lambda: torch_case.timm_network(network), 64, quick=name in QUICK, at_least=at_least)


if __name__ == "__main__":
    generated.store("senet", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
