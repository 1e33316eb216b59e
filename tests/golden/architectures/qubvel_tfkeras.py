"""Makes qubvel.json with image-classifiers' own code; see README.md.

A file holds a grouped convolution as a layer per group. The case has them as one kernel, named as the first of the
layers; the network is given its parts. `order` is a digest of the names that Keras counts, in the order of files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import generated
import numpy as np
import tf_keras
from classification_models.models_factory import ModelsFactory

SIZE = 64
NETWORKS = {
    **{f"{kind}resnet{depth}": f"{kind}resnet{depth}" for kind in ("", "se") for depth in (18, 34, 50, 101, 152)},
    **{f"{kind}resnext{depth}-32x4d": f"{kind}resnext{depth}" for kind in ("", "se") for depth in (50, 101)},
    "senet154": "senet154",
}
QUICK = ("resnet18", "seresnext50-32x4d")
MODULES = {"backend": tf_keras.backend, "layers": tf_keras.layers, "models": tf_keras.models, "utils": tf_keras.utils}


def groups(model: Any) -> dict[str, list[Any]]:
    """Gives the layers of each grouped convolution by the name of the first."""
    found: dict[str, list[Any]] = {}
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.Concatenate):
            parts = layer.inbound_nodes[0].inbound_layers
            found[parts[0].name] = list(parts)
    return found


def variables(model: Any) -> dict[str, list[Any]]:
    """Gives each array's variables, in the order of files: one, or those of the groups."""
    grouped = groups(model)
    inside = {part.name for parts in grouped.values() for part in parts[1:]}
    found = {}
    for layer in model.layers:
        if layer.name in inside:
            continue
        for variable in layer.weights:
            name = variable.name.rpartition("/")[2].removesuffix(":0")
            parts = grouped.get(layer.name, [layer])
            found[f"{layer.name}/{name}"] = [part.weights[0] for part in parts] if len(parts) > 1 else [variable]
    return found


def make(name: str) -> dict[str, Any]:
    tf_keras.backend.clear_session()
    function = ModelsFactory._models[NETWORKS[name]][0]
    whole = function(input_shape=(SIZE, SIZE, 3), classes=generated.CLASSES, weights=None, **MODULES)
    model = tf_keras.Model(whole.input, whole.layers[-1].input)  # without the softmax
    found = variables(whole)
    shapes = {key: (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts)) for key, parts in found.items()}
    image = generated.image(SIZE)

    def forward(gain: float, flipped: bool) -> tuple[np.ndarray, np.ndarray]:
        for key, array in generated.arrays(shapes, gain).items():
            for variable, part in zip(found[key], np.split(array, len(found[key]), axis=-1), strict=True):
                variable.assign(part)
        shown = image[:, :, :: -1 if flipped else 1]
        # Keras computes in single precision; a slightly other image shows what becomes of rounding errors.
        answers = (model(pixels, training=False) for pixels in (shown, shown * np.float32(1 + 2**-20)))
        first, second = (np.asarray(answer, np.float64).reshape(-1) for answer in answers)
        return first, second

    layers = dict.fromkeys(key.partition("/")[0] for key in shapes)
    order = [layer for layer in layers if re.fullmatch(r"(conv2d|batch_normalization|dense)(_\d+)?", layer)]
    return {
        **generated.digest(shapes),
        "order": hashlib.sha256(json.dumps(order).encode()).hexdigest(),
        "size": SIZE,
        **generated.answers(forward),
        **({"quick": True} if name in QUICK else {}),
    }


if __name__ == "__main__":
    generated.store("qubvel", {f"qubvel/{name}": lambda name=name: make(name) for name in NETWORKS})
