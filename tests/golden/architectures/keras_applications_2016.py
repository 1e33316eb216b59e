"""Makes the `keras-2016` and `keras-2016-th` cases of keras_applications.json; see README.md.

    DEEP_LEARNING_MODELS=/path/to/checkout python tests/golden/architectures/keras_applications_2016.py

The checkout is fchollet/deep-learning-models at commit 3fdb8ced1b51ebb8b74b42731add80a2f1947630. Its files, written for
Keras 1, run unchanged; what they import is Keras 3 under Keras 1's names.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from typing import Any
from unittest import mock

import generated
import keras
from keras_applications_keras import case_of

layers = keras.layers


def convolution(filters: int, rows: int, columns: int, **old: Any) -> Any:
    return layers.Conv2D(
        filters, (rows, columns), strides=old.get("subsample", 1), padding=old.get("border_mode", "valid"),
        activation=old.get("activation"), name=old.get("name"),
    )  # fmt: skip


def average(size: Any, *, border_mode: str = "valid", **more: Any) -> Any:
    # The last pool takes all of the map, as it does at the published size.
    whole = more.get("name") == "avg_pool"
    return Whole(name="avg_pool") if whole else layers.AveragePooling2D(size, padding=border_mode, **more)


class Whole(layers.GlobalAveragePooling2D):
    def __init__(self, **more: Any) -> None:
        super().__init__(keepdims=True, **more)


def merge(values: Any, *, mode: str, concat_axis: int = -1) -> Any:
    return layers.Add()(values) if mode == "sum" else layers.Concatenate(axis=concat_axis)(values)


def old_batch_normalization(**more: Any) -> Any:
    return layers.BatchNormalization(epsilon=1e-3, **more)


def dense(_: int, *, activation: str, name: str) -> Any:
    return layers.Dense(generated.CLASSES, name=name)


def network(file: str, function: str, size: int) -> Any:
    """Runs a file of the checkout for images of a size."""

    def image(shape: Any) -> Any:
        return keras.Input((size, size, 3))

    names = {
        "Convolution2D": convolution, "AveragePooling2D": average, "BatchNormalization": old_batch_normalization,
        "Dense": dense, "Input": image, "merge": merge,
    }  # fmt: skip
    old = types.ModuleType("keras")
    stand_in: Any = mock.MagicMock()
    stand_in.image_dim_ordering.return_value = "tf"
    stand_in.Model = keras.Model
    for key in ("Flatten", "MaxPooling2D", "ZeroPadding2D", "Activation"):
        setattr(stand_in, key, getattr(layers, key))
    for key, value in names.items():
        setattr(stand_in, key, value)
    old.backend = stand_in  # type: ignore[attr-defined]
    inside = ("layers", "models", "backend", "preprocessing", "utils", "utils.layer_utils", "utils.data_utils")
    modules = {"keras": old, "imagenet_utils": stand_in, **{f"keras.{key}": stand_in for key in inside}}
    keras.utils.clear_session()
    with mock.patch.dict(sys.modules, modules):
        found = importlib.import_module(file)
    return getattr(found, function)(weights=None)


def make(name: str, *, theano: bool) -> dict[str, object]:
    inception = name == "inception-v3"
    file, function, size = ("inception_v3", "InceptionV3", 107) if inception else ("resnet50", "ResNet50", 64)
    case = case_of(network(file, function, size), size, theano=theano)
    return {**case, "quick": True} if inception == theano else case


if __name__ == "__main__":
    sys.path.insert(0, os.environ["DEEP_LEARNING_MODELS"])
    generated.store(
        "keras_applications",
        {
            f"keras-2016{suffix}/{name}": lambda name=name, suffix=suffix: make(name, theano=suffix == "-th")
            for name in ("inception-v3", "resnet50")
            for suffix in ("", "-th")
        },
    )
