"""Makes the cases of resnet_tf.json and resnetv2.json of tensorflow/models official/r1/resnet; see README.md.

OFFICIAL_RESNET names the folder of its resnet_model.py, which the package tf-models-official 2.1.0.dev1 holds as
official/r1/resnet.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import generated
import tf_case

# Depth -> units of each block, as imagenet_main.py has them.
SIZES = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}


def make(depth: int, version: int) -> dict[str, object]:
    sys.path.insert(0, os.environ["OFFICIAL_RESNET"])
    import resnet_model

    def network(x: Any) -> Any:
        return resnet_model.Model(
            depth, depth >= 50, generated.CLASSES, 64, 7, 2, 3, 2, list(SIZES[depth]), [1, 2, 2, 2],
            resnet_version=version, data_format="channels_last",
        )(x, False)  # fmt: skip

    return tf_case.case(network, 64, quick=depth == 18)


if __name__ == "__main__":
    for family, prefix, version in (("resnet_tf", "resnet", 1), ("resnetv2", "resnetv2-", 2)):
        generated.store(
            family,
            {f"official/{prefix}{depth}": lambda depth=depth, version=version: make(depth, version) for depth in SIZES},
        )
