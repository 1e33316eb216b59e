"""Makes timm's case of inception_resnet_v2.json; see README.md."""

from __future__ import annotations

import generated
import torch_case


def make() -> dict[str, object]:
    return torch_case.case(lambda: torch_case.timm_network("inception_resnet_v2"), 107)


if __name__ == "__main__":
    generated.store("inception_resnet_v2", {"timm/inception-resnet-v2": make})
