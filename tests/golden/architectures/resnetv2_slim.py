"""Makes slim's cases of resnetv2.json; see README.md."""

from __future__ import annotations

from typing import Any

import generated
import tf_case
from tf_slim import arg_scope
from tf_slim.nets import resnet_v2

DEPTHS = (50, 101, 152, 200)


def make(depth: int) -> dict[str, object]:
    def network(x: Any) -> Any:
        with arg_scope(resnet_v2.resnet_arg_scope()):
            return getattr(resnet_v2, f"resnet_v2_{depth}")(x, num_classes=generated.CLASSES, is_training=False)[0]

    return tf_case.case(network, 75, quick=depth == 50)


if __name__ == "__main__":
    generated.store("resnetv2", {f"slim/resnetv2-{depth}": lambda depth=depth: make(depth) for depth in DEPTHS})
