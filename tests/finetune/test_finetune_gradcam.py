"""Grad-CAM points at what speaks for a class, with the same numbers on every backend."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import zoo
from zoo import heads
from zoo.errors import UsageError
from zoo.finetune.gradcam import gradcam

AGAIN = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from test_finetune_gradcam import maps_of_the_small_network
print(json.dumps(maps_of_the_small_network().tolist()))
"""


def maps_of_the_small_network() -> np.ndarray:
    """On any backend the same: weights and images are NumPy's."""
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(6, 3, strides=2, activation="relu")(inputs)
    x = keras.layers.Conv2D(8, 3, activation="relu")(x)
    x = keras.layers.Dense(4)(keras.layers.Flatten()(x))
    model = keras.Model(inputs, keras.layers.Softmax()(x))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.2, variable.shape) for variable in model.weights])
    return gradcam(model, random.uniform(0, 255, (3, 12, 12, 3)), np.array([0, 3, 1]))


def corner_network() -> keras.Model:
    """Says `1` of pictures that are bright in their upper left corner, `0` of those bright in the lower right one."""
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.AveragePooling2D(4, name="places")(inputs)
    flat = keras.layers.Flatten()(x)
    logits = keras.layers.Dense(2, name="fc")(flat)
    model = keras.Model(inputs, keras.layers.Softmax()(logits))
    kernel = np.zeros((4, 4, 3, 2), np.float32)
    kernel[0, 0, :, 1] = kernel[3, 3, :, 0] = 1
    model.get_layer("fc").set_weights([kernel.reshape(48, 2), np.zeros(2)])
    return model


def test_the_map_lights_up_where_the_object_is() -> None:
    images = np.zeros((2, 16, 16, 3), np.float32)
    images[0, :4, :4] = 255
    images[1, 12:, 12:] = 200
    maps = gradcam(corner_network(), images, np.array([1, 0]))
    assert maps.shape == (2, 4, 4)
    expected = np.zeros((2, 4, 4))
    expected[0, 0, 0] = expected[1, 3, 3] = 1
    assert np.array_equal(maps, expected)


def test_it_equals_finite_differences(network: Any) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (2, 24, 24, 3)).astype(np.float32)
    labels = np.array([2, 4])
    tensor = heads.features(network)
    maps = np.asarray(keras.Model(network.input, tensor)(images), np.float64)
    rest = keras.Model(tensor, heads.logits(network))
    slopes = np.zeros_like(maps)
    for place in np.ndindex(maps.shape[1:]):
        step = np.zeros_like(maps)
        step[(slice(None), *place)] = 0.5  # the rest of this network is linear
        change = np.asarray(rest(maps + step)) - np.asarray(rest(maps - step))
        slopes[(slice(None), *place)] = change[[0, 1], labels]
    expected = np.maximum((maps * slopes.mean(axis=(1, 2), keepdims=True)).sum(axis=-1), 0)
    assert expected.max() > 0
    expected /= np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-12)
    assert np.abs(gradcam(network, images, labels) - expected).max() < 1e-3


def test_a_classifier_that_reads_two_depths_is_explained(network: Any) -> None:
    """As the linear strategy makes them: the features of an earlier map beside those of the last."""
    pooled = keras.layers.GlobalAveragePooling2D()(network.get_layer("add2").output)
    both = keras.layers.Concatenate()([heads.bottleneck(network), pooled])
    model = keras.Model(network.input, keras.layers.Softmax()(keras.layers.Dense(3)(both)))
    images = np.random.default_rng(1).uniform(0, 255, (2, 24, 24, 3)).astype(np.float32)
    maps = gradcam(model, images, np.array([0, 2]))
    assert maps.shape == (2, *heads.features(network).shape[1:3])
    assert 0 <= maps.min() <= maps.max() <= 1


def test_other_layers_can_be_looked_at(network: Any) -> None:
    images = np.zeros((1, 24, 24, 3), np.float32)
    assert gradcam(network, images, np.array([0]), layer="conv1").shape == (1, 11, 11)
    with pytest.raises(UsageError, match="no feature map"):
        gradcam(network, images, np.array([0]), layer="fc")


def test_no_image_gives_no_map(network: Any) -> None:
    assert gradcam(network, np.zeros((0, 24, 24, 3)), np.zeros(0, np.int64)).shape == (0, 5, 5)


def test_jax_gives_the_same_maps(python: str) -> None:
    folders = json.dumps([str(Path(zoo.__file__).parents[1]), str(Path(__file__).parent)])
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run([python, "-c", AGAIN, folders], env=environment, capture_output=True, text=True, check=True)
    found = np.array(json.loads(run.stdout.splitlines()[-1]))
    assert found.max() == 1
    assert np.abs(found - maps_of_the_small_network()).max() < 1e-4
