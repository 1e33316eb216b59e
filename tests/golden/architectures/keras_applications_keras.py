"""Makes the `keras` and `keras-th` cases of keras_applications.json; see README.md.

What Keras adds to EfficientNet for `weights="imagenet"` is made by asking for those weights and loading none. A case
for Theano is Keras's own network, given the weights that Theano's file would hold in TensorFlow's order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import generated
import keras
import numpy as np
from keras.src.applications import imagenet_utils
from keras.src.utils import file_utils

A = keras.applications
NETWORKS: dict[str, tuple[Any, int, dict[str, Any]]] = {
    **{f"convnext-{key.lower()}": (getattr(A, f"ConvNeXt{key}"), 64, {}) for key in
       ("Tiny", "Small", "Base", "Large", "XLarge")},
    **{f"densenet{n}": (getattr(A, f"DenseNet{n}"), 96, {}) for n in (121, 169, 201)},
    **{f"efficientnet-b{i}": (getattr(A, f"EfficientNetB{i}"), size, {}) for i, size in
       enumerate((64, 80, 68, 76, 92, 72, 80, 88))},
    **{f"efficientnetv2-{key.lower()}": (getattr(A, f"EfficientNetV2{key}"), size, {}) for key, size in
       (("B0", 64), ("B1", 80), ("B2", 68), ("B3", 76), ("S", 64), ("M", 64), ("L", 64))},
    "inception-resnet-v2": (A.InceptionResNetV2, 107, {}),
    "inception-v3": (A.InceptionV3, 107, {}),
    **{f"mobilenetv1-{n:03}": (A.MobileNet, 96, {"alpha": n / 100}) for n in (25, 50, 75, 100)},
    **{f"mobilenetv2-{n:03}": (A.MobileNetV2, 96, {"alpha": n / 100}) for n in (35, 50, 75, 100, 130, 140)},
    **{f"mobilenetv3-{key.lower()}-{tail}": (getattr(A, f"MobileNetV3{key}"), 96, more) for key in ("Large", "Small")
       for tail, more in (("075", {"alpha": 0.75}), ("100", {}), ("minimal-100", {"minimalistic": True}))},
    "nasnetalarge": (A.NASNetLarge, 107, {}),
    "nasnetamobile": (A.NASNetMobile, 96, {}),
    **{f"resnet{n}": (getattr(A, f"ResNet{n}"), 64, {}) for n in (50, 101, 152)},
    **{f"resnetv2-{n}": (getattr(A, f"ResNet{n}V2"), 64, {}) for n in (50, 101, 152)},
    "vgg16": (A.VGG16, 64, {}),
    "vgg19": (A.VGG19, 64, {}),
    "xception": (A.Xception, 107, {}),
}  # fmt: skip
THEANO = ("vgg16", "vgg19")
QUICK = {"keras/mobilenetv1-025", "keras/mobilenetv3-small-minimal-100", "keras/efficientnet-b0",
         "keras-th/vgg16"}  # fmt: skip
RAW = ("efficientnet", "mobilenetv3", "convnext")  # take RGB 0..255
SLOW_TO_BUILD = ("densenet", "efficientnet-b", "efficientnetv2", "convnext", "nasnet", "inception-resnet", "101", "152")


def variables(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Gives the variables of a model by layer and name, as files before Keras 3 name them."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from variables(layer, f"{prefix}{layer.name}/")
            continue
        for variable in layer.weights:
            name = "gamma" if type(layer).__name__ == "LayerScale" else variable.name
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D) and name == "kernel"
            if name != "count":
                yield f"{prefix}{layer.name}/{'depthwise_kernel' if depthwise else name}", variable


def network(name: str) -> Any:
    function, size, more = NETWORKS[name]
    keras.utils.clear_session()
    arguments: dict[str, Any] = {"classifier_activation": None, "input_shape": (size, size, 3), **more}
    if not name.startswith("efficientnet-"):
        return function(weights=None, classes=generated.CLASSES, **arguments)
    nothing = mock.Mock()
    shape = mock.Mock(return_value=arguments["input_shape"])  # Keras would insist on the published size
    with (
        mock.patch.object(file_utils, "get_file", nothing),
        mock.patch.object(imagenet_utils, "obtain_input_shape", shape),
        mock.patch.object(keras.Model, "load_weights", nothing),
    ):
        full = function(weights="imagenet", classes=1000, **arguments)
    logits = keras.layers.Dense(generated.CLASSES, name="predictions")
    return keras.Model(full.input, logits(full.layers[-1].input))


def in_file(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a variable in Theano's file."""
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape


def from_theano(key: str, array: np.ndarray, flattened: tuple[int, ...]) -> np.ndarray:
    """Returns an array of Theano's file as TensorFlow's has it: kernels turned, rows of the first dense layer moved."""
    if array.ndim == 4:
        return array[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
    if key == "fc1/kernel":
        rows, columns, channels = flattened
        return array.reshape(channels, rows, columns, -1).transpose(1, 2, 0, 3).reshape(array.shape)
    return array


def make(dialect: str, name: str) -> dict[str, object]:
    model = network(name)
    size = NETWORKS[name][1]
    raw, run = name.startswith(RAW), name != "convnext-xlarge"
    return {**case_of(model, size, theano=dialect == "keras-th", raw=raw, run=run),
            **({"slow": True} if any(word in name for word in SLOW_TO_BUILD) else {}),
            **({"quick": True} if f"{dialect}/{name}" in QUICK else {})}  # fmt: skip


def case_of(model: Any, size: int, *, theano: bool, raw: bool = False, run: bool = True) -> dict[str, Any]:
    """Returns the case of a network that Keras made."""
    found = dict(variables(model))
    shapes = {key: tuple(variable.shape) for key, variable in found.items()}
    if theano:
        shapes = {key: in_file(shape) for key, shape in shapes.items()}
    before = model.get_layer("flatten").input.shape[1:] if "fc1/kernel" in shapes else ()
    image = generated.image(size, raw=raw)

    def forward(gain: float, flipped: bool) -> tuple[np.ndarray, np.ndarray]:
        for key, array in generated.arrays(shapes, gain).items():
            found[key].assign(from_theano(key, array, before) if theano else array)
        for layer in model.layers:
            if hasattr(layer, "finalize_state"):  # Normalization computes with copies of its variables
                layer.finalize_state()
        shown = image[:, :, :: -1 if flipped else 1]
        # Keras computes in single precision; a slightly other image shows what becomes of rounding errors.
        answers = (model(pixels, training=False) for pixels in (shown, shown * np.float32(1 + 2**-20)))
        first, second = (np.asarray(answer, np.float64).reshape(-1) for answer in answers)
        return first, second

    case = {**generated.digest(shapes), "size": size, **({"raw": True} if raw else {})}
    return {**case, **generated.answers(forward)} if run else case


if __name__ == "__main__":
    makers = {f"keras/{name}": lambda name=name: make("keras", name) for name in NETWORKS}
    makers |= {f"keras-th/{name}": lambda name=name: make("keras-th", name) for name in THEANO}
    generated.store("keras_applications", makers)
