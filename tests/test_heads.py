"""Where networks of every shape end, and where they can be cut."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from zoo import heads
from zoo.convert import with_probabilities
from zoo.errors import UnsupportedError, UsageError

IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)


def trunk(x: object) -> object:
    """A stem and one residual block."""
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(x)
    y = layers.Conv2D(8, 3, padding="same", name="branch_a")(x)
    y = layers.Conv2D(8, 3, padding="same", name="branch_b")(y)
    x = layers.Add(name="block")([x, y])
    return layers.ReLU(name="relu")(x)


def pooled_dense() -> keras.Model:
    """As ResNet ends: global average, dense, softmax."""
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D(name="pool", keepdims=True)(trunk(inputs))
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(5, name="fc")(layers.Dropout(0.5, name="drop")(x))
    return keras.Model(inputs, layers.Softmax(name="prob")(x))


def stacked_dense() -> keras.Model:
    """As VGG ends: flatten, two dense layers, logits."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Flatten(name="flat")(trunk(inputs))
    x = layers.Dense(7, activation="relu", name="fc6")(x)
    return keras.Model(inputs, layers.Dense(5, name="fc7")(x))


def convolution_then_pool() -> keras.Model:
    """As SqueezeNet ends: dropout, a convolution to the classes, global average, softmax over a map."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Dropout(0.5, name="drop9")(trunk(inputs))
    x = layers.ReLU(name="relu10")(layers.Conv2D(5, 1, name="conv10")(x))
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool10")(x)
    return keras.Model(inputs, layers.Softmax(name="prob")(x))


@pytest.mark.parametrize(
    ("make", "classifier", "bottleneck", "feature_map"),
    [
        (pooled_dense, "fc", 8, (8, 8, 8)),
        (stacked_dense, "fc7", 7, (8, 8, 8)),
        (convolution_then_pool, "conv10", 8, (8, 8, 8)),
    ],
)
def test_classifier_bottleneck_and_feature_map_are_found(make, classifier, bottleneck, feature_map) -> None:
    model = make()
    assert heads.classifier(model).operation.name == classifier
    assert heads.bottleneck(model).shape == (None, bottleneck)
    assert heads.features(model).shape[1:] == feature_map


@pytest.mark.parametrize("make", [pooled_dense, stacked_dense, convolution_then_pool])
def test_every_ending_becomes_one_softmax_over_a_vector(make) -> None:
    origin = make()
    model = with_probabilities(origin)
    probabilities = keras.ops.convert_to_numpy(model(IMAGES))
    assert probabilities.shape == (2, 5)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    scores = keras.ops.convert_to_numpy(keras.Model(model.input, heads.logits(model))(IMAGES))
    assert np.allclose(keras.ops.convert_to_numpy(keras.ops.softmax(scores)), probabilities, atol=1e-6)
    own = keras.ops.convert_to_numpy(origin(IMAGES)).reshape(2, 5)
    assert np.allclose(own, scores if make is stacked_dense else probabilities, atol=1e-6)


def test_an_output_that_is_no_vector_of_scores_is_refused() -> None:
    inputs = keras.Input((16, 16, 3))
    with pytest.raises(UnsupportedError, match="gives shape"):
        with_probabilities(keras.Model(inputs, layers.Conv2D(5, 3)(inputs)))


def test_a_network_can_be_cut_between_blocks_and_never_inside_one() -> None:
    points = heads.cut_points(pooled_dense())
    assert points == ["stem", "block", "relu", "pool", "flat", "drop", "fc"]


def test_both_halves_together_are_the_whole() -> None:
    model = pooled_dense()
    lower, upper = heads.split(model, "block")
    whole = keras.ops.convert_to_numpy(model(IMAGES))
    assert np.array_equal(keras.ops.convert_to_numpy(upper(lower(IMAGES))), whole)
    with pytest.raises(UsageError, match="cannot be cut"):
        heads.split(model, "branch_a")


def test_a_half_can_be_examined_like_the_whole() -> None:
    _, upper = heads.split(pooled_dense(), "block")
    assert heads.classifier(upper).operation.name == "fc"
    assert heads.cut_points(upper) == ["relu", "pool", "flat", "drop", "fc"]


def test_a_layer_is_found_by_its_name_in_the_origin() -> None:
    model = pooled_dense()
    assert heads.find(model, "branch/a") is model.get_layer("branch_a").output
    with pytest.raises(UsageError, match=r"nearest: .*branch_a"):
        heads.find(model, "branch/aa")
