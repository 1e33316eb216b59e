"""Makes pretrainedmodels' case of inception_v4.json; see README.md.

It averages 8x8 at the end, so the input has its full size.
"""

from __future__ import annotations

import generated
import torch_case
from pretrainedmodels.models.inceptionv4 import InceptionV4


def make() -> dict[str, object]:
    return torch_case.case(lambda: InceptionV4(num_classes=generated.CLASSES), 299, quick=True)


if __name__ == "__main__":
    generated.store("inception_v4", {"pretrainedmodels/inception-v4": make})
