"""Makes timm's cases of resnetv2.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = [f"resnetv2-{depth}{stem}" for depth in (18, 34, 50, 101, 152) for stem in ("", "d")]
NAMES += ["resnetv2-50t", "resnetv2-50d-gn", "resnetv2-50d-evos"]
NAMES += [f"resnetv2-{size}-bit" for size in ("50x1", "50x3", "101x1", "101x3", "152x2", "152x4")]
QUICK = ("resnetv2-18", "resnetv2-50t", "resnetv2-50x1-bit")
LARGE = ("50x3", "101x3", "152x2", "152x4")


def make(name: str) -> dict[str, object]:
    run = not any(size in name for size in LARGE)
    network = name.replace("-", "_")
    return torch_case.case(lambda: torch_case.timm_network(network), 64, run=run, quick=name in QUICK)


if __name__ == "__main__":
    generated.store("resnetv2", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
