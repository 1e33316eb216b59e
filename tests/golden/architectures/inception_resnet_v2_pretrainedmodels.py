"""Makes pretrainedmodels' case of inception_resnet_v2.json; see README.md.

It averages 8x8 at the end, so the input has its full size.
"""

from __future__ import annotations

import generated
import torch_case
from pretrainedmodels.models.inceptionresnetv2 import InceptionResNetV2


def make() -> dict[str, object]:
    return torch_case.case(lambda: InceptionResNetV2(num_classes=generated.CLASSES), 299)


if __name__ == "__main__":
    generated.store("inception_resnet_v2", {"pretrainedmodels/inception-resnet-v2": make})
