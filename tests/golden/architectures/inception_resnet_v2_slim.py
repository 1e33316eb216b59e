"""Makes slim's case of inception_resnet_v2.json; see README.md.

The definition is in no package: the variable SLIM names a folder whose `nets` holds inception_resnet_v2.py and
inception_utils.py of tensorflow/models research/slim/nets (its layers are those of commit
608bd2211d0ed7c8e3c61d2ffa1277d464048ab8), with `import tensorflow.compat.v1 as tf` and
`import tf_slim as slim` in place of tensorflow.contrib.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import generated
import tf_case
from tf_slim import arg_scope

sys.path.insert(0, os.environ["SLIM"])
from nets import inception_resnet_v2


def make() -> dict[str, object]:
    def network(x: Any) -> Any:
        with arg_scope(inception_resnet_v2.inception_resnet_v2_arg_scope()):
            return inception_resnet_v2.inception_resnet_v2(x, num_classes=generated.CLASSES, is_training=False)[0]

    return tf_case.case(network, 107, quick=True, ignored=("global_step", "/AuxLogits/"))


if __name__ == "__main__":
    generated.store("inception_resnet_v2", {"slim/inception-resnet-v2": make})
