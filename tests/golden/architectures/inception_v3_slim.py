"""Makes slim's case of inception_v3.json; see README.md."""

from __future__ import annotations

from typing import Any

import generated
import tf_case
from tf_slim import arg_scope
from tf_slim.nets import inception_v3


def make() -> dict[str, object]:
    def network(x: Any) -> Any:
        with arg_scope(inception_v3.inception_v3_arg_scope()):
            return inception_v3.inception_v3(x, num_classes=generated.CLASSES, is_training=False)[0]

    return tf_case.case(network, 107, quick=True, ignored=("global_step", "/AuxLogits/"))


if __name__ == "__main__":
    generated.store("inception_v3", {"slim/inception-v3": make})
