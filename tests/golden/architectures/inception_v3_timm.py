"""Makes timm's case of inception_v3.json; see README.md."""

from __future__ import annotations

import generated
import torch_case


def make() -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network("inception_v3"), 107, quick=True)


if __name__ == "__main__":
    generated.store("inception_v3", {"timm/inception-v3": make})
