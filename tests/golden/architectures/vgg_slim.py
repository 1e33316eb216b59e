"""Makes slim's cases of vgg.json; see README.md."""

from __future__ import annotations

from typing import Any

import generated
import tf_case
from tf_slim import arg_scope
from tf_slim.nets import vgg

NETWORKS = {"vgg11": vgg.vgg_a, "vgg16": vgg.vgg_16, "vgg19": vgg.vgg_19}


def make(name: str) -> dict[str, object]:
    def network(x: Any) -> Any:
        with arg_scope(vgg.vgg_arg_scope()):
            return NETWORKS[name](x, num_classes=generated.CLASSES, is_training=False)[0]

    return tf_case.case(network, 224, quick=name == "vgg11")


if __name__ == "__main__":
    generated.store("vgg", {f"slim/{name}": lambda name=name: make(name) for name in NETWORKS})
