"""Makes timm's cases of cspnet.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from timm import list_models

QUICK = ("cspresnet50", "cs3darknet_focus_s", "sedarknet21")
LEAST = {"darknetaa53": 0.02}
"""What mirroring the image has to change, where that is less than elsewhere."""


def make(name: str) -> dict[str, object]:
    generated.LARGEST = 1e4 if "se" in name else float("inf")
    return torch_case.case(
        lambda: torch_case.timm_network(name), 64, quick=name in QUICK, at_least=LEAST.get(name, 0.03)
    )


if __name__ == "__main__":
    makers = {f"timm/{name.replace('_', '-')}": lambda name=name: make(name) for name in list_models(module="cspnet")}
    generated.store("cspnet", makers)
