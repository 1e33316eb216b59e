"""Makes slim's cases of nasnet.json; see README.md.

SLIM is a folder whose `nets` are tensorflow/models' research/slim/nets where its modules import tf_slim (commit 3617973
or later); the source package tf-models-research-object-detection 2.8.0.post1 has one, `slim`.
"""

from __future__ import annotations

import os
import sys
import types
from typing import Any

import generated
import tf_case
from tf_slim import arg_scope

sys.path.insert(0, os.environ["SLIM"])


class HParams(types.SimpleNamespace):
    """What the networks use of TensorFlow 1's tf.contrib.training.HParams."""

    def set_hparam(self, name: str, value: Any) -> None:
        setattr(self, name, value)


contrib = types.ModuleType("tensorflow.contrib")
contrib.training = types.SimpleNamespace(HParams=HParams)  # type: ignore[attr-defined]
sys.modules["tensorflow.contrib"] = contrib

from nets.nasnet import nasnet, pnasnet  # noqa: E402 - behind what they import

NETWORKS = {
    "nasnetalarge": (nasnet.build_nasnet_large, nasnet.nasnet_large_arg_scope, 75),
    "nasnetamobile": (nasnet.build_nasnet_mobile, nasnet.nasnet_mobile_arg_scope, 96),
    "pnasnet5large": (pnasnet.build_pnasnet_large, pnasnet.pnasnet_large_arg_scope, 75),
    "pnasnet5mobile": (pnasnet.build_pnasnet_mobile, pnasnet.pnasnet_mobile_arg_scope, 64),
}


def make(name: str) -> dict[str, object]:
    build, scope, size = NETWORKS[name]

    def network(x: Any) -> Any:
        with arg_scope(scope()):
            return build(x, generated.CLASSES, is_training=False)[0]

    return tf_case.case(network, size, quick=name == "pnasnet5mobile")


if __name__ == "__main__":
    generated.store("nasnet", {f"slim/{name}": lambda name=name: make(name) for name in NETWORKS})
