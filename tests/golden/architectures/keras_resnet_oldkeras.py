"""Makes keras_resnet.json with the publishers' own code; see README.md.

CHECKOUTS holds keras-team+keras-applications @06fbeb0f16e1304f239b2296578d1c50b15a983a and flyyufelix+cnn_finetune
@cba343987d8a1dc1dfae240afa298e11898e1a3f.
"""

from __future__ import annotations

import importlib
import sys

import generated
import old_keras

SIZE = 64
generated.LARGEST = float("inf")  # without gates all only scales
generated.GAINS = (0.65, *generated.GAINS)  # the first is likely to do


def keras_applications(depth: int) -> dict[str, object]:
    sys.path.insert(0, str(old_keras.checkout("keras-team+keras-applications")))
    found = importlib.import_module("keras_applications.resnet_common")
    old_keras.backend.clear_session()
    make = getattr(found, f"ResNeXt{depth}")
    model = make(weights=None, input_shape=(SIZE, SIZE, 3), classes=generated.CLASSES, **old_keras.MODULES)
    # The convolution of ones stays as it is made.
    return old_keras.case(model, SIZE, ignored=("gconv",), quick=depth == 50)


def cnn_finetune(depth: int) -> dict[str, object]:
    path = old_keras.checkout("flyyufelix+cnn_finetune") / f"resnet_{depth}.py"
    found = old_keras.imported(path, SIZE)
    model = getattr(found, f"resnet{depth}_model")(SIZE, SIZE, 3, generated.CLASSES)
    # The file's classifier goes, and one of another name stands in its place.
    renamed = {"fc8": "fc1000"}
    return old_keras.case(model, SIZE, renamed=lambda name: renamed.get(name, name), quick=depth == 101)


if __name__ == "__main__":
    generated.store("keras_resnet", {
        **{f"keras/resnext{n}-32x4d": lambda n=n: keras_applications(n) for n in (50, 101)},
        **{f"cnn-finetune/resnet{n}": lambda n=n: cnn_finetune(n) for n in (101, 152)},
    })  # fmt: skip
