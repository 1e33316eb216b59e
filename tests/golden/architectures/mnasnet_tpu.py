"""Makes tensorflow/tpu's cases of mnasnet.json; see README.md.

TPU_OFFICIAL names models/official of a checkout @7dc921f846c9e4071f3884b768a7ddf521272a49.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import generated
import tf_case

sys.path.insert(0, f"{os.environ['TPU_OFFICIAL']}/efficientnet")
sys.path.insert(0, f"{os.environ['TPU_OFFICIAL']}/mnasnet")

import mnasnet_models
from mixnet import mixnet_builder

NETWORKS = {
    **{f"semnasnet-{width:03}": ("mnasnet-a1", width / 100) for width in (35, 50, 75, 100, 140)},
    "mnasnet-100": ("mnasnet-b1", None),
    "mnasnet-small": ("mnasnet-small", None),
    **{f"mixnet-{size}": (f"mixnet-{size}", None) for size in "sml"},
}


def make(name: str) -> dict[str, object]:
    model, width = NETWORKS[name]
    build = mixnet_builder.build_model if "mixnet" in model else mnasnet_models.build_mnasnet_model
    override = {"num_classes": generated.CLASSES} | ({"depth_multiplier": width} if width else {})

    def network(x: Any) -> Any:
        return build(x, model, training=False, override_params=override)[0]

    return tf_case.case(network, 64, quick=name in ("mnasnet-small", "mixnet-s"))


if __name__ == "__main__":
    generated.store("mnasnet", {f"tpu/{name}": lambda name=name: make(name) for name in NETWORKS})
