"""Makes slim's case of alexnet.json; see README.md."""

from __future__ import annotations

from typing import Any

import generated
import tf_case
from tf_slim import arg_scope
from tf_slim.nets import alexnet


def network(x: Any) -> Any:
    with arg_scope(alexnet.alexnet_v2_arg_scope()):
        return alexnet.alexnet_v2(x, num_classes=generated.CLASSES, is_training=False)[0]


if __name__ == "__main__":
    generated.store("alexnet", {"slim/alexnet-v2": lambda: tf_case.case(network, 224, quick=True)})
