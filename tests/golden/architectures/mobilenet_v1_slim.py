"""Makes slim's cases of mobilenet_v1.json; see README.md.

SLIM is a folder whose `nets` are tensorflow/models' research/slim/nets where its modules import tf_slim (commit 3617973
or later); the source package tf-models-research-object-detection 2.8.0.post1 has one, `slim`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import generated
import tf_case
from tf_slim import arg_scope

sys.path.insert(0, os.environ["SLIM"])

from nets import mobilenet_v1

WIDTHS = {"100": 1.0, "075": 0.75, "050": 0.5, "025": 0.25}


def make(name: str) -> dict[str, object]:
    def network(x: Any) -> Any:
        with arg_scope(mobilenet_v1.mobilenet_v1_arg_scope(is_training=False)):
            return mobilenet_v1.mobilenet_v1(
                x, generated.CLASSES, is_training=False, depth_multiplier=WIDTHS[name]
            )[0]  # fmt: skip

    return tf_case.case(network, 96, quick=name in ("100", "025"))


if __name__ == "__main__":
    generated.store("mobilenet_v1", {f"slim/mobilenetv1-{name}": lambda name=name: make(name) for name in WIDTHS})
