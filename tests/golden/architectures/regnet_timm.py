"""Makes timm's cases of regnet.json; see README.md."""

from __future__ import annotations

import math

import generated
import torch_case

SIZES = {
    "x": "002 004 004-tv 006 008 016 032 040 064 080 120 160 320",
    "y": "002 004 006 008 008-tv 016 032 040 040-sgn 064 080 080-tv 120 160 320 640 1280 2560",
    "v": "040 064",
    "z": "005 040 040-h",
}
NAMES = [f"regnet{kind}-{size}" for kind, sizes in SIZES.items() for size in sizes.split()]
QUICK = ("regnetx-002", "regnetz-005", "regnetv-064", "regnety-040-sgn")
LARGE = ("regnety-320", "regnety-640", "regnety-1280", "regnety-2560")
GAINS = generated.GAINS


def make(name: str) -> dict[str, object]:
    if name.startswith("regnetx"):  # which has no gates
        generated.LARGEST = math.inf
    elif name.startswith("regnetv"):  # whose sum grows from block to block; its gates stand behind normalisations
        generated.GAINS, generated.LARGEST = (0.4,), 1e7
    else:
        generated.GAINS, generated.LARGEST = GAINS, 1e4
    network = lambda: torch_case.timm_network(name.replace("-", "_"))  # noqa: E731
    return torch_case.case(network, 64, run=name not in LARGE, quick=name in QUICK)


if __name__ == "__main__":
    generated.store("regnet", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
