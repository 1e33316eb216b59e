"""Makes tensorflow/tpu's cases of resnet_tf.json; see README.md.

TPU_RESNET names models/official/resnet of a checkout @7dc921f846c9e4071f3884b768a7ddf521272a49.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import generated
import tf_case

DEPTHS = (18, 34, 50, 101, 152, 200)
# resnet_rs/configs: all have these, and dropouts, which inference does not see.
IMPROVED = {
    "se_ratio": 0.25,
    "use_resnetd_stem": True,
    "resnetd_shortcut": True,
    "replace_stem_max_pool": True,
    "dropout_rate": 0.25,
}
IMPROVED_DEPTHS = (50, 101, 152, 200, 270, 350, 420)


def make(depth: int, options: dict[str, Any]) -> dict[str, object]:
    sys.path.insert(0, os.environ["TPU_RESNET"])
    import resnet_model

    def network(x: Any) -> Any:
        model = resnet_model.resnet_v1(depth, generated.CLASSES, data_format="channels_last", **options)
        return model(x, is_training=False)

    # Where the output of resnetrs200 depends more on its input, rounding errors do too much.
    at_least = 0.005 if depth == 200 and options else 0.03
    return tf_case.case(network, 64, run=depth <= 200, quick=depth == (50 if options else 18), at_least=at_least)


if __name__ == "__main__":
    makers = {f"tpu/resnet{depth}": lambda depth=depth: make(depth, {}) for depth in DEPTHS}
    makers |= {f"tpu/resnetrs{depth}": lambda depth=depth: make(depth, IMPROVED) for depth in IMPROVED_DEPTHS}
    generated.store("resnet_tf", makers)
