"""Makes pretrainedmodels' case of inception_v2.json; see README.md.

It averages 7x7 at the end, so the input has its full size.
"""

from __future__ import annotations

import generated
import torch_case
from pretrainedmodels.models.bninception import BNInception


def make() -> dict[str, object]:
    return torch_case.case(lambda: BNInception(num_classes=generated.CLASSES), 224, quick=True)


if __name__ == "__main__":
    generated.store("inception_v2", {"pretrainedmodels/bninception": make})
