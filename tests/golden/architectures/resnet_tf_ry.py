"""Makes ry's cases of resnet_tf.json; see README.md.

CHECKOUTS holds ry+tensorflow-resnet @ccb9cc8cc2cc7021c67e7df4a70f96faab9553c5. It was written for Python 2 and
TensorFlow 0.8: what those had and their successors do not is handed to it.
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
generated.LARGEST = float("inf")  # there are no gates: a large output is a small one, scaled
BLOCKS = {"resnet50": [3, 4, 6, 3], "resnet101": [3, 4, 23, 3], "resnet152": [3, 8, 36, 3]}


class Flags(dict[str, Any]):
    """A dict with what Python 2's had; the flags themselves are not used."""

    def iteritems(self) -> Any:
        return self.items()


def publishers_code() -> Any:
    old = ModuleType("tensorflow")
    old.__dict__.update({name: getattr(v1, name) for name in dir(v1)})
    flags = mock.MagicMock()
    flags.FLAGS.__dict__["__flags"] = Flags()
    old.__dict__.update(app=mock.MagicMock(flags=flags), contrib=mock.MagicMock())
    old.__dict__["contrib"].layers.l2_regularizer = lambda _: None
    old.__dict__["GraphKeys"] = mock.MagicMock(VARIABLES=v1.GraphKeys.GLOBAL_VARIABLES)
    old.__dict__["convert_to_tensor"] = lambda value, **more: v1.convert_to_tensor(value, v1.bool, name=more["name"])
    flow, averages = ModuleType("control_flow_ops"), ModuleType("moving_averages")
    flow.__dict__["cond"], averages.__dict__["assign_moving_average"] = v1.cond, lambda *_: None
    fakes = {
        "tensorflow": old, "tensorflow.python.ops.control_flow_ops": flow,
        "tensorflow.python.training.moving_averages": averages,
        "tensorflow.python.ops": mock.MagicMock(control_flow_ops=flow),
        "tensorflow.python.training": mock.MagicMock(moving_averages=averages),
        "skimage": mock.MagicMock(), "skimage.io": mock.MagicMock(), "skimage.transform": mock.MagicMock(),
    }  # fmt: skip
    folder = f"{os.environ['CHECKOUTS']}/ry+tensorflow-resnet"
    with mock.patch.dict(sys.modules, fakes), mock.patch.object(sys, "path", [folder, *sys.path]):
        import resnet
    return resnet


def make(name: str) -> dict[str, object]:
    resnet = publishers_code()

    def network(x: Any) -> Any:
        # `resnet.inference` counts in shapes, whose parts were objects of their own.
        return resnet.inference(x, False, generated.CLASSES, BLOCKS[name])

    return tf_case.case(network, 64, quick=name == "resnet50")


if __name__ == "__main__":
    generated.store("resnet_tf", {f"ry/{name}": lambda name=name: make(name) for name in BLOCKS})
