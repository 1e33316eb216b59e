"""Makes timm's case of inception_v4.json; see README.md."""

from __future__ import annotations

import generated
import torch_case


def make() -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network("inception_v4"), 107)


if __name__ == "__main__":
    generated.store("inception_v4", {"timm/inception-v4": make})
