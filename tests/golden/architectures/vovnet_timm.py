"""Makes timm's cases of vovnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case

NAMES = (
    *("vovnet39a", "vovnet57a", "ese-vovnet39b", "ese-vovnet57b", "ese-vovnet99b", "eca-vovnet39b"),
    *("ese-vovnet19b-slim-dw", "ese-vovnet19b-dw", "ese-vovnet19b-slim", "ese-vovnet39b-evos"),
)
QUICK = ("ese-vovnet19b-slim-dw", "eca-vovnet39b")


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network(name.replace("-", "_")), 64, quick=name in QUICK)


if __name__ == "__main__":
    generated.store("vovnet", {f"timm/{name}": lambda name=name: make(name) for name in NAMES})
