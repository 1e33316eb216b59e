"""Makes slim's case of googlenet.json; see README.md. It averages 7x7 at the end, so the input has its full size."""

from __future__ import annotations

from typing import Any

import generated
import tf_case
from tf_slim import arg_scope
from tf_slim.nets import inception_v1


def make() -> dict[str, object]:
    def network(x: Any) -> Any:
        with arg_scope(inception_v1.inception_v1_arg_scope()):
            return inception_v1.inception_v1(x, num_classes=generated.CLASSES, is_training=False)[0]

    return tf_case.case(network, 224, quick=True)


if __name__ == "__main__":
    generated.store("googlenet", {"slim/googlenet": make})
