"""Makes timm's cases of res2net.json; see README.md."""

from __future__ import annotations

import generated
import torch_case
from timm import list_models


def make(name: str) -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network(name.replace("-", "_")), 64, quick=name == "res2next50")


if __name__ == "__main__":
    names = [name.replace("_", "-") for name in list_models(module="res2net")]
    generated.store("res2net", {f"timm/{name}": lambda name=name: make(name) for name in names})
