"""Makes timm's cases of mobileone.json; see README.md."""

from __future__ import annotations

import generated
import torch_case


def make(name: str) -> dict[str, object]:
    network = lambda: torch_case.timm_network(name.replace("-", "_"))  # noqa: E731
    # gates are open or shut where less is damped, and hardly anything is left of the image where more is
    at_least = 0.01 if name == "mobileone-s4" else 0.03
    damped = {".identity.weight": 0.3, ".bn.weight": 0.45}
    return torch_case.case(network, 64, quick=name == "mobileone-s0", at_least=at_least, damped=damped)


if __name__ == "__main__":
    names = [f"mobileone-s{size}" for size in range(5)]
    generated.store("mobileone", {f"timm/{name}": lambda name=name: make(name) for name in names})
