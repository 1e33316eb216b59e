"""Makes keras_inception.json with the publishers' own code; see README.md.

CHECKOUTS holds kentsommer+keras-inceptionV4 @ef1db6f09b6511779c05fab47d374741bc89b5ee, titu1994+Inception-v4
@52417ac0e878d9e67031fda1323a73760ec08049 and flyyufelix+cnn_finetune @cba343987d8a1dc1dfae240afa298e11898e1a3f.
"""

from __future__ import annotations

import generated
import old_keras

SIZE = 107


def kentsommer() -> dict[str, object]:
    path = old_keras.checkout("kentsommer+keras-inceptionV4") / "inception_v4.py"
    return old_keras.case(old_keras.imported(path, SIZE, version=2).create_model(generated.CLASSES), SIZE, quick=True)


def titu1994() -> dict[str, object]:
    path = old_keras.checkout("titu1994+Inception-v4") / "inception_v4.py"
    found = old_keras.imported(path, SIZE).create_inception_v4(generated.CLASSES, load_weights=False)
    return old_keras.case(found, SIZE)


def cnn_finetune() -> dict[str, object]:
    size = 96  # the auxiliary heads need 80
    path = old_keras.checkout("flyyufelix+cnn_finetune") / "googlenet.py"
    model = old_keras.imported(path, size, theano=True).googlenet_model(size, size, 3, generated.CLASSES)
    # An image of larger numbers: a local response normalisation does next to nothing to small ones.
    return old_keras.case(model, size, scale=100.0, ignored=("loss1", "loss2"), output=2, quick=True)


if __name__ == "__main__":
    generated.store("keras_inception", {
        "kentsommer/inception-v4": kentsommer,
        "titu1994/inception-v4": titu1994,
        "cnn-finetune/bvlc-googlenet": cnn_finetune,
    })  # fmt: skip
