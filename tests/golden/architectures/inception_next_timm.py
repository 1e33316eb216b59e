"""Makes timm's cases of inception_next.json; see README.md."""

from __future__ import annotations

import generated
import torch_case


def make(name: str) -> dict[str, object]:
    network = lambda: torch_case.timm_network(name.replace("-", "_"))  # noqa: E731
    return torch_case.case(network, 64, quick=name == "inception-next-atto")


if __name__ == "__main__":
    names = [f"inception-next-{size}" for size in ("atto", "tiny", "small", "base")]
    generated.store("inception_next", {f"timm/{name}": lambda name=name: make(name) for name in names})
