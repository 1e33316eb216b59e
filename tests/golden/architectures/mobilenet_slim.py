"""Makes slim's cases of mobilenet.json; see README.md.

SLIM is a folder whose `nets` are tensorflow/models' research/slim/nets where its modules import tf_slim (commit 3617973
or later); the source package tf-models-research-object-detection 2.8.0.post1 has one, `slim`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import generated
import numpy as np
import tf_case
from tf_slim import arg_scope

sys.path.insert(0, os.environ["SLIM"])
np.int = int  # type: ignore[attr-defined]  # mobilenet_v3.py takes it from numpy, which no longer has it

from nets.mobilenet import mobilenet_v2, mobilenet_v3  # noqa: E402 - behind what they need

V2 = {f"mobilenetv2-{width:03}": (mobilenet_v2, mobilenet_v2.mobilenet, width) for width in (35, 50, 75, 100, 130, 140)}
V3 = {
    f"mobilenet{name}": (mobilenet_v3, network, width)
    for name, network, width in (
        ("v3-large-075", mobilenet_v3.large, 75),
        ("v3-large-100", mobilenet_v3.large, 100),
        ("v3-large-minimal-100", mobilenet_v3.large_minimalistic, 100),
        ("v3-small-075", mobilenet_v3.small, 75),
        ("v3-small-100", mobilenet_v3.small, 100),
        ("v3-small-minimal-100", mobilenet_v3.small_minimalistic, 100),
        ("-edgetpu-075", mobilenet_v3.edge_tpu, 75),
        ("-edgetpu-100", mobilenet_v3.edge_tpu, 100),
    )
}
NETWORKS = V2 | V3
QUICK = ("mobilenetv2-035", "mobilenetv3-small-075")


def make(name: str) -> dict[str, object]:
    module, network, width = NETWORKS[name]

    def build(x: Any) -> Any:
        with arg_scope(module.training_scope(is_training=False)):
            return network(
                x, generated.CLASSES, depth_multiplier=width / 100, finegrain_classification_mode=width < 100
            )[0]  # fmt: skip

    return tf_case.case(build, 64, quick=name in QUICK)


if __name__ == "__main__":
    generated.store("mobilenet", {f"slim/{name}": lambda name=name: make(name) for name in NETWORKS})
