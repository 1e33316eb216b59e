"""Makes the case google-2016 of inception_v3.json; see README.md.

CHECKOUTS holds tensorflow+models @1bfe902acd6d60cbc31a174fb5e9ae9a550ed33d, whose inception/
became research/inception. It was written for TensorFlow 1.0, and gets version 1's names of today's.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any
from unittest import mock

import generated
import tf_case

v1 = tf_case.v1


def publishers_code() -> Any:
    old = ModuleType("tensorflow")
    old.__dict__.update({name: getattr(v1, name) for name in dir(v1)})
    folder = f"{os.environ['CHECKOUTS']}/tensorflow+models/inception"
    with mock.patch.dict(sys.modules, {"tensorflow": old}), mock.patch.object(sys, "path", [folder, *sys.path]):
        from inception.slim import slim
    return slim


def make() -> dict[str, object]:
    slim = publishers_code()
    tf_case.v1.disable_v2_tensorshape()  # it counts in the parts of shapes
    norm = {"epsilon": 0.001}  # as inception_model.py has it; the decay is training's

    def network(x: Any) -> Any:
        with slim.arg_scope([slim.ops.conv2d], batch_norm_params=norm):
            return slim.inception.inception_v3(x, num_classes=generated.CLASSES, is_training=False)[0]

    return tf_case.case(network, 107, quick=True, ignored=("global_step", "aux_logits/"))


if __name__ == "__main__":
    generated.store("inception_v3", {"google-2016/inception-v3": make})
