"""Makes slim's case of overfeat.json; see README.md."""

from __future__ import annotations

from typing import Any

import generated
import tf_case
from tf_slim import arg_scope
from tf_slim.nets import overfeat


def network(x: Any) -> Any:
    with arg_scope(overfeat.overfeat_arg_scope()):
        return overfeat.overfeat(x, num_classes=generated.CLASSES, is_training=False)[0]


if __name__ == "__main__":
    generated.store("overfeat", {"slim/overfeat": lambda: tf_case.case(network, 231)})
