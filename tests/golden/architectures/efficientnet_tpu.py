"""Makes tensorflow/tpu's cases of efficientnet.json; see README.md.

TPU_OFFICIAL names models/official of a checkout @7dc921f846c9e4071f3884b768a7ddf521272a49.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import generated
import tf_case

sys.path.insert(0, f"{os.environ['TPU_OFFICIAL']}/efficientnet")

import efficientnet_builder
from condconv import efficientnet_condconv_builder
from edgetpu import efficientnet_edgetpu_builder
from lite import efficientnet_lite_builder

tf_case.tf.keras.backend.set_floatx("float64")  # else the model casts its input to float32
EDGE = {f"efficientnet-e{size}": f"efficientnet-edgetpu-{size.upper()}" for size in "sml"}
CONDCONV = tuple(f"efficientnet-condconv-b0-{kind}" for kind in ("4e", "8e", "8e-depth"))
NETWORKS = (
    *(f"efficientnet-b{number}" for number in range(9)),
    "efficientnet-l2",
    *(f"efficientnet-lite{number}" for number in range(5)),
    *EDGE,
    *CONDCONV,
)
# Sizes with the published ones' remainder modulo 32.
SIZES = {"b0": 64, "b1": 112, "b2": 100, "b3": 140, "b4": 92, "lite0": 64, "lite1": 80, "lite2": 68, "lite3": 88,
         "lite4": 76, "es": 64, "em": 80, **dict.fromkeys((name[13:] for name in CONDCONV), 64)}  # fmt: skip
"""The others are compared by names and shapes."""


def make(name: str) -> dict[str, object]:
    builder = efficientnet_edgetpu_builder if name in EDGE else efficientnet_builder
    if "lite" in name:
        builder = efficientnet_lite_builder
    if name in CONDCONV:
        builder = efficientnet_condconv_builder
        tf_case.v1.disable_v2_tensorshape()  # its layers ask a shape's parts for their value

    def network(x: Any) -> Any:
        override = {"num_classes": generated.CLASSES}
        return builder.build_model(x, EDGE.get(name, name), training=False, override_params=override)[0]

    short = name.removeprefix("efficientnet-")
    tf_case.tf.keras.backend.clear_session()  # which numbers layers through
    quick = ("b0", "es")
    found = tf_case.case(network, SIZES.get(short, 64), run=short in SIZES, quick=short in quick)
    tf_case.v1.enable_v2_tensorshape()
    return found


if __name__ == "__main__":
    generated.store("efficientnet", {f"tpu/{name}": lambda name=name: make(name) for name in NETWORKS})
