"""Makes keras_plain.json with the publishers' own code; see README.md.

CHECKOUTS holds heuritech+convnets-keras @50bfee18e3e61e2e371ef9304fd970e391c03bd5, flyyufelix+cnn_finetune
@cba343987d8a1dc1dfae240afa298e11898e1a3f and rcmalli+keras-squeezenet @4fb9cb7510ea0315303090edbc1bd97c2916af81.
Sizes have the published ones' remainder modulo 32, and leave the dense layers a map of 2x2.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import generated
import old_keras

generated.GAINS = (1.5, 1.2, *generated.GAINS)  # one of the first is likely to do


def heuritech(name: str, size: int) -> Any:
    path = old_keras.checkout("heuritech+convnets-keras") / "convnetskeras" / "convnets.py"
    made = getattr(old_keras.imported(path, size, theano=True), name)()
    return made.built(size) if isinstance(made, old_keras.Sequential) else made


def cnn_finetune(name: str, size: int) -> dict[str, object]:
    path = old_keras.checkout("flyyufelix+cnn_finetune") / f"{name}.py"
    found = old_keras.imported(path, size, theano=True)
    model = getattr(found, f"{name}_model")(size, size, 3, generated.CLASSES).built(size)
    # What Keras 1 called layers by itself; the last dense layer is a second one here.
    names, counts = {}, Counter[str]()
    for layer in model.layers:
        kind = {"_TheanoConvolution": "convolution2d", "Dense": "dense"}.get(type(layer).__name__, "")
        counts[kind] += 1
        names[layer.name] = f"{kind}_{counts[kind]}"
    return old_keras.case(model, size, renamed=names.__getitem__, quick=name == "vgg16")


def rcmalli(size: int) -> dict[str, object]:
    path = old_keras.checkout("rcmalli+keras-squeezenet") / "keras_squeezenet" / "squeezenet.py"
    found = old_keras.imported(path, size, version=2)
    model = found.SqueezeNet(weights=None, input_shape=(size, size, 3), classes=generated.CLASSES)
    return old_keras.case(model, size, quick=True)


if __name__ == "__main__":
    # An image of larger numbers: a local response normalisation does next to nothing to small ones.
    generated.store("keras_plain", {
        "heuritech/caffenet": lambda: old_keras.case(heuritech("AlexNet", 99), 99, scale=100.0, quick=True),
        "heuritech/vgg16": lambda: old_keras.case(heuritech("VGG_16", 64), 64),
        "heuritech/vgg19": lambda: old_keras.case(heuritech("VGG_19", 64), 64),
        "cnn-finetune/vgg16": lambda: cnn_finetune("vgg16", 64),
        "cnn-finetune/vgg19": lambda: cnn_finetune("vgg19", 64),
        "rcmalli/squeezenet1-1": lambda: rcmalli(67),
    })  # fmt: skip
