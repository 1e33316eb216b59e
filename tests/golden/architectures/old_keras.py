"""What a network gives that somebody wrote for Keras 1 or 2, for the makers of such publishers' cases.

Keras 2 is there as tf_keras. What was written for Keras 1 runs unchanged on `stand_in`: Keras 1's names and arguments,
made of Keras 2's layers; for Theano, layers that take channels first and turn their kernels, as Theano does.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import generated
import numpy as np
import tensorflow as tf
import tf_keras

layers, backend = tf_keras.layers, tf_keras.backend
MODULES = {"backend": backend, "layers": layers, "models": tf_keras.models, "utils": tf_keras.utils}
"""What keras_applications and those after it want to be given."""
_SUBMODULES = (
    "applications", "applications.imagenet_utils", "applications.inception_v3", "backend", "datasets", "engine",
    "engine.topology", "initializers", "layers", "layers.convolutional", "layers.core", "layers.merge",
    "layers.normalization", "layers.pooling", "models", "optimizers", "preprocessing", "regularizers", "utils",
    "utils.data_utils", "utils.layer_utils",
)  # fmt: skip


def checkout(name: str) -> Path:
    """Returns the folder of a repository, `owner+name`, in CHECKOUTS."""
    return Path(os.environ["CHECKOUTS"]) / name


# ------------------------------------------------------------------------------------------------------------- the case


def case(
    model: Any, size: int, *, run: bool = True, quick: bool = False, scale: float = 1.0,
    renamed: Callable[[str], str] = lambda name: name, ignored: tuple[str, ...] = (), output: int = 0,
    at_least: float = 0.03,
) -> dict[str, Any]:  # fmt: skip
    """Returns a case: names and shapes of a network's variables, and what it answers before its softmax.

    Args:
        model: with 10 classes.
        size: rows and columns of the input.
        run: whether to run it; else names and shapes only.
        quick: whether `make test` compares the numbers.
        scale: what the image is multiplied by.
        renamed: name of a layer -> the one it has in the file.
        ignored: parts of names of layers whose arrays zoo's Graph does not have.
        output: which output, where there are several.
        at_least: as in `generated.answers`.
    """
    found = {}
    for layer in model.layers:
        if getattr(layer, "activation", None) is tf_keras.activations.softmax:
            layer.activation = tf_keras.activations.linear
        for variable in layer.weights:
            name = variable.name.rpartition("/")[2].removesuffix(":0").removeprefix(f"{layer.name}_")
            if not any(word in layer.name for word in ignored):
                found[f"{renamed(layer.name)}/{name}"] = variable
    shapes = {key: tuple(variable.shape) for key, variable in found.items()}
    if not run:
        return generated.digest(shapes)
    image = generated.image(size) * np.float32(scale)
    first = len(model.input_shape) == 4 and model.input_shape[1] == 3

    def answer(pixels: np.ndarray) -> np.ndarray:
        given = model(pixels.transpose(0, 3, 1, 2) if first else pixels, training=False)
        return np.asarray(given[output] if isinstance(given, list) else given, np.float64).reshape(-1)

    def forward(gain: float, flipped: bool) -> tuple[np.ndarray, np.ndarray]:
        for key, array in generated.arrays(shapes, gain).items():
            found[key].assign(array)
        shown = image[:, :, :: -1 if flipped else 1]
        # Keras computes in single precision; a slightly other image shows what becomes of rounding errors.
        return answer(shown), answer(shown * np.float32(1 + 2**-20))

    made = {**generated.digest(shapes), "size": size, **generated.answers(forward, at_least=at_least)}
    made |= {"scale": scale} if scale != 1 else {}
    return {**made, "quick": True} if quick else made


# -------------------------------------------------------------------------------------------------------------- Keras 1


def imported(path: Path, size: int, *, version: int = 1, theano: bool = False) -> ModuleType:
    """Runs a publisher's file on a stand-in for the Keras of its time.

    Args:
        path: the file.
        size: rows and columns that every input gets, whatever the file says; a last average takes all that is left.
        version: whether the layers take Keras 1's arguments or Keras 2's.
        theano: whether channels come first and kernels are turned.
    """
    keras = stand_in(size, version, theano)
    root = ModuleType("keras")
    root.__dict__.update(backend=keras, initializers=tf_keras.initializers, regularizers=tf_keras.regularizers,
                         applications=keras)  # fmt: skip
    others = ("load_cifar10", "sklearn", "sklearn.metrics", "subpixel", "scipy", "scipy.misc",
              "convnetskeras.imagenet_tool", "keras_applications", "keras_applications.imagenet_utils")  # fmt: skip
    fakes = {"keras": root, **{f"keras.{name}": keras for name in _SUBMODULES}, **dict.fromkeys(others, keras)}
    theanos = ModuleType("theano")
    theanos.__dict__.update(tensor=_theano_tensor())
    fakes |= {"theano": theanos, "theano.tensor": theanos.__dict__["tensor"]}
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    tf_keras.backend.clear_session()
    with mock.patch.dict(sys.modules, fakes), mock.patch.object(sys, "path", [*_folders(path), *sys.path]):
        spec.loader.exec_module(found)
    return found


def _folders(path: Path) -> list[str]:
    return [str(path.parent), str(path.parent.parent)]


def stand_in(size: int, version: int, theano: bool) -> Any:
    """Returns what answers for all of Keras's modules; names that a network does not need are mocks."""
    keras = mock.MagicMock()
    for name in ("Activation", "Add", "Cropping2D", "Dropout", "Flatten", "GlobalAveragePooling2D", "Lambda", "Reshape",
                 "SeparableConv2D", "add", "concatenate"):  # fmt: skip
        setattr(keras, name, getattr(layers, name))
    for name in ("variable", "reshape", "square", "permute_dimensions"):
        setattr(keras, name, getattr(backend, name))
    keras.image_dim_ordering.return_value = "th" if theano else "tf"
    keras.image_data_format.return_value = "channels_last"
    keras.backend.return_value = "tensorflow"
    keras.is_keras_tensor = backend.is_keras_tensor
    keras._obtain_input_shape = lambda shape, **_: shape
    keras.spatial_2d_padding = lambda x, by: tf.pad(x, [[0, 0], [0, 0], *([n, n] for n in by)])
    keras.Layer, keras.InputSpec = _OldLayer, layers.InputSpec
    keras.Model, keras.Sequential, keras.l2 = _model, Sequential, tf_keras.regularizers.l2
    keras.Input = lambda *_, name=None, **__: tf_keras.Input((3, size, size) if theano else (size, size, 3), name=name)
    keras.BatchNormalization = _normalisation
    keras.Dense = _dense
    keras.merge = _merged
    keras.Convolution2D = _TheanoConvolution if theano else _convolution if version == 1 else layers.Conv2D
    keras.Conv2D = layers.Conv2D
    wrapped = _first if theano else lambda layer: layer
    keras.ZeroPadding2D = lambda padding, name=None, **_: wrapped(layers.ZeroPadding2D(padding, name=name))
    keras.MaxPooling2D = lambda *args, **more: wrapped(_pool(layers.MaxPooling2D, *args, **more))
    keras.AveragePooling2D = lambda *args, **more: wrapped(_pool(layers.AveragePooling2D, *args, **more))
    return keras


class _OldLayer(layers.Layer):
    """Lets a layer say what its weights are, as Keras 1 had it; Keras 2 sees that itself."""

    @property
    def trainable_weights(self) -> list[Any]:
        return super().trainable_weights

    @trainable_weights.setter
    def trainable_weights(self, _: list[Any]) -> None:
        pass


def _model(*args: Any, input: Any = None, output: Any = None, **more: Any) -> Any:
    """A model by Keras 1's arguments or Keras 2's, which loads and trains nothing."""
    made = tf_keras.Model(*args, **more) if args else tf_keras.Model(input, output, **more)
    made.load_weights = made.compile = lambda *_, **__: None
    return made


class _Put:
    """A layer of a Sequential, whose connections Keras 1 let one cut."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.output = self.outbound_nodes = None


class Sequential:
    """A Sequential that loads and trains nothing; `built` makes the model."""

    def __init__(self) -> None:
        self.layers: list[_Put] = []
        self.outputs: list[Any] = []

    def add(self, layer: Any) -> None:
        self.layers.append(_Put(layer))

    def load_weights(self, *_: Any) -> None:
        pass

    def compile(self, **_: Any) -> None:
        pass

    def built(self, size: int) -> Any:
        x = image = tf_keras.Input((3, size, size))
        for put in self.layers:
            x = put.layer(x)
        return tf_keras.Model(image, x)


def _convolution(filters: int, rows: int, columns: int, **old: Any) -> Any:
    return layers.Conv2D(
        filters, (rows, columns), strides=old.get("subsample", 1), padding=old.get("border_mode", "valid"),
        activation=old.get("activation"), use_bias=old.get("bias", True), name=old.get("name"),
    )  # fmt: skip


class _TheanoConvolution(layers.Layer):
    """Channels first; kernels OIHW, turned by half a turn; `same` pads as much on both sides."""

    def __init__(
        self, filters: int, rows: int, columns: int, *, subsample: Any = (1, 1), border_mode: str = "valid",
        activation: str | None = None, name: str | None = None, W_regularizer: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name=name)
        self.filters, self.window, self.step = filters, (rows, columns), subsample
        self.border = border_mode
        self.activated = tf_keras.activations.get(activation)

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(self.filters, shape[1], *self.window))
        self.bias = self.add_weight(name="bias", shape=(self.filters,))

    def call(self, x: Any) -> Any:
        kernel = tf.transpose(self.kernel[:, :, ::-1, ::-1], (2, 3, 1, 0))
        by = [[n // 2, n // 2] if self.border == "same" else [0, 0] for n in self.window]
        x = tf.pad(tf.transpose(x, (0, 2, 3, 1)), [[0, 0], *by, [0, 0]])
        x = tf.nn.conv2d(x, kernel, self.step, "VALID") + self.bias
        return tf.transpose(self.activated(x), (0, 3, 1, 2))


def _first(layer: Any) -> Any:
    """Makes a layer one of channels first."""
    inside = type(layer).from_config(layer.get_config())
    return layers.Lambda(lambda x: tf.transpose(inside(tf.transpose(x, (0, 2, 3, 1))), (0, 3, 1, 2)), name=layer.name)


def _pool(kind: Any, pool_size: Any = (2, 2), strides: Any = None, *, border_mode: str = "", padding: str = "valid",
          name: str | None = None) -> Any:  # fmt: skip
    # The last pool takes all of the map, as it does at the published size.
    if kind is layers.AveragePooling2D and tuple(pool_size) in ((7, 7), (8, 8)):
        return layers.GlobalAveragePooling2D(keepdims=True, name=name)
    return kind(pool_size, strides=strides, padding=border_mode or padding, name=name)


def _normalisation(**old: Any) -> Any:
    return layers.BatchNormalization(
        axis=-1, epsilon=old.get("epsilon", 1e-3), scale=old.get("scale", True), name=old.get("name")
    )


def _dense(units: int | None = None, *, output_dim: int | None = None, **old: Any) -> Any:
    units = units or output_dim
    return layers.Dense(
        generated.CLASSES if units in (1000, 1001) else units, activation=old.get("activation"), name=old.get("name")
    )


def _merged(values: Any, *, mode: str, concat_axis: int = -1, name: str | None = None) -> Any:
    return layers.Add(name=name)(values) if mode == "sum" else layers.Concatenate(axis=concat_axis, name=name)(values)


class _Zeros:
    """An array of zeros of Theano's, of which a part is to be set."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def __getitem__(self, at: tuple[slice, ...]) -> tuple[int, int]:
        return at[1].start, self.channels


def _theano_tensor() -> ModuleType:
    found = ModuleType("theano.tensor")

    def set_subtensor(part: tuple[int, int], value: Any) -> Any:
        start, channels = part
        return tf.pad(value, [[0, 0], [start, channels - start - value.shape[1]], [0, 0], [0, 0]])

    found.__dict__.update(
        sqr=tf.square, alloc=lambda _, batch, channels, *rest: _Zeros(channels), set_subtensor=set_subtensor
    )
    return found
