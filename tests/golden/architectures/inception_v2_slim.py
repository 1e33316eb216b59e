"""Makes slim's case of inception_v2.json; see README.md."""

from __future__ import annotations

from typing import Any

import generated
import tf_case
from tf_slim import arg_scope
from tf_slim.nets import inception_v2


def make() -> dict[str, object]:
    def network(x: Any) -> Any:
        with arg_scope(inception_v2.inception_v2_arg_scope()):
            return inception_v2.inception_v2(x, num_classes=generated.CLASSES, is_training=False)[0]

    return tf_case.case(network, 96, quick=True)


if __name__ == "__main__":
    generated.store("inception_v2", {"slim/inception-v2": make})
