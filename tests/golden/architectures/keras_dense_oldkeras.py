"""Makes keras_dense.json with the publishers' own code; see README.md.

CHECKOUTS holds flyyufelix+DenseNet-Keras @8c42d8092b2616a9fbf025c756b14c67be708685 and titu1994+DenseNet
@60b18584caf697fc0f78257c08509a0f020098ff.
"""

from __future__ import annotations

from typing import Any

import generated
import old_keras

SIZE = 96


def network(dialect: str, depth: int) -> Any:
    if dialect == "flyyufelix":
        path = old_keras.checkout("flyyufelix+DenseNet-Keras") / f"densenet{depth}.py"
        return old_keras.imported(path, SIZE).DenseNet(reduction=0.5, classes=generated.CLASSES)
    found = old_keras.imported(old_keras.checkout("titu1994+DenseNet") / "densenet.py", SIZE, version=2)
    make = getattr(found, f"DenseNetImageNet{depth}")
    return make((SIZE, SIZE, 3), weights=None, classes=generated.CLASSES)


def make(dialect: str, depth: int) -> dict[str, object]:
    return old_keras.case(network(dialect, depth), SIZE, quick=depth == 121 and dialect == "flyyufelix")


if __name__ == "__main__":
    generated.store("keras_dense", {
        f"{dialect}/densenet{depth}": lambda dialect=dialect, depth=depth: make(dialect, depth)
        for dialect in ("flyyufelix", "titu1994") for depth in (121, 161, 169)
    })  # fmt: skip
