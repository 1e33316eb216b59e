"""Makes keras_efficientnet.json with the publishers' own code; see README.md.

CHECKOUTS holds keras-team+keras-applications @06fbeb0f16e1304f239b2296578d1c50b15a983a, which took over Callidior's
file, and qubvel+efficientnet @f7f3e736c113b872caf53dae9fbbda996a8eb87d.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import generated
import old_keras

# Sizes with the published ones' remainder modulo 32.
SIZES = {"b0": 64, "b1": 80, "b2": 68, "b3": 76, "b4": 92, "b5": 72, "b6": 80, "b7": 88}
generated.GAINS = (0.65, *generated.GAINS)  # the first is likely to do


def network(dialect: str, name: str, size: int) -> Any:
    sys.path.insert(0, str(old_keras.checkout("keras-team+keras-applications")))
    sys.path.insert(0, str(old_keras.checkout("qubvel+efficientnet")))
    file = "keras_applications.efficientnet" if dialect == "callidior" else "efficientnet.model"
    found = importlib.import_module(file)
    old_keras.backend.clear_session()
    make = getattr(found, f"EfficientNet{name.upper()}")
    return make(weights=None, input_shape=(size, size, 3), classes=generated.CLASSES, **old_keras.MODULES)


def make(dialect: str, name: str) -> dict[str, object]:
    size = SIZES[name]
    return old_keras.case(network(dialect, name, size), size, quick=(dialect, name) == ("qubvel", "b0"))


if __name__ == "__main__":
    generated.store("keras_efficientnet", {
        f"{dialect}/efficientnet-b{i}": lambda dialect=dialect, i=i: make(dialect, f"b{i}")
        for dialect in ("callidior", "qubvel") for i in range(8)
    })  # fmt: skip
