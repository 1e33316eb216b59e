"""The networks of the golden cases, for `keras` 3 and `tf_keras` (Keras 2) alike; `make.py` runs and saves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

SHAPE = (7, 8, 4)
ACTIVATIONS = (
    "relu sigmoid tanh elu selu softplus softsign softmax exponential hard_sigmoid gelu swish linear leaky_relu mish"
)


def convolutions(k: Any, x: Any) -> list[Any]:
    layers = k.layers
    return [
        layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="same")(x),
        layers.Conv2D(4, (3, 2), strides=(2, 1), padding="valid", use_bias=False, name="valid")(x),
        layers.Conv2D(4, 3, dilation_rate=2, padding="same", name="dilated")(x),
        layers.Conv2D(6, 3, groups=2, activation="softmax", name="groups")(x),
        layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, activation="tanh", name="depth")(x),
        layers.DepthwiseConv2D((2, 3), use_bias=False, name="plain_depth")(x),
        layers.SeparableConv2D(5, 3, padding="same", depth_multiplier=2, activation="relu", name="separable")(x),
        layers.SeparableConv2D(5, 3, dilation_rate=2, use_bias=False, name="separable_dilated")(x),
    ]


def transposed(k: Any, x: Any) -> list[Any]:
    layer = k.layers.Conv2DTranspose
    return [
        layer(4, 3, strides=2, padding="same", activation="relu", name="same")(x),
        layer(4, 4, strides=2, padding="same", use_bias=False, name="even")(x),
        layer(4, 3, strides=2, padding="valid", name="valid")(x),
        layer(4, 2, strides=3, padding="valid", name="gaps")(x),
        layer(4, 3, strides=2, padding="same", output_padding=1, name="longer")(x),
        layer(4, 3, dilation_rate=2, padding="same", name="dilated")(x),
    ]


def normalizations(k: Any, x: Any) -> list[Any]:
    layers = k.layers
    vector = layers.GlobalAveragePooling2D(name="vector")(x)
    scale = np.arange(1, 5) / 4
    return [
        layers.BatchNormalization(epsilon=1e-2, name="usual")(x),
        layers.BatchNormalization(scale=False, axis=3, name="no_scale")(x),
        layers.BatchNormalization(center=False, name="no_center")(x),
        layers.BatchNormalization(axis=1, name="by_rows")(x),
        layers.BatchNormalization(axis=2, name="by_columns")(x),
        layers.BatchNormalization(name="of_vector")(vector),
        layers.LayerNormalization(epsilon=1e-4, name="layer_norm")(x),
        layers.LayerNormalization(scale=False, name="layer_norm_plain")(vector),
        layers.Rescaling(0.5, -1.0, name="one_scale")(x),
        layers.Rescaling(scale.tolist(), (scale - 1).tolist(), name="four_scales")(x),
        layers.Normalization(mean=scale.tolist(), variance=(scale + 1).tolist(), name="given")(x),
        layers.Normalization(name="learned")(x),
    ]


def activations(k: Any, x: Any) -> list[Any]:
    layers = k.layers
    known = [name for name in ACTIVATIONS.split() if hasattr(k.activations, name)]
    return [
        *(layers.Activation(name, name=name)(x) for name in known),
        layers.ReLU(6.0, name="limited")(x),
        layers.ReLU(None, negative_slope=0.1, name="sloped")(x),
        layers.ReLU(threshold=0.3, name="late")(x),
        layers.ReLU(0.5, negative_slope=0.2, name="both")(x),
        layers.LeakyReLU(0.2, name="leaky")(x),
        layers.ELU(0.7, name="elus")(x),
        layers.PReLU(shared_axes=[1, 2], name="prelu_channels")(x),
        layers.PReLU(name="prelu_all")(x),
        layers.Softmax(axis=1, name="softmax_rows")(x),
    ]


def pools_and_borders(k: Any, x: Any) -> list[Any]:
    layers = k.layers
    return [
        layers.MaxPooling2D(3, strides=2, padding="same", name="max_same")(x),
        layers.MaxPooling2D((2, 3), name="max_valid")(x),
        layers.AveragePooling2D(3, strides=2, padding="same", name="mean_same")(x),
        layers.AveragePooling2D(2, strides=(1, 2), name="mean_valid")(x),
        layers.GlobalMaxPooling2D(name="largest")(x),
        layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x),
        layers.ZeroPadding2D(((1, 2), (0, 3)), name="zeros")(x),
        layers.ZeroPadding2D((2, 1), name="zeros_even")(x),
        layers.Cropping2D(((1, 2), (0, 3)), name="crop")(x),
        layers.UpSampling2D((2, 3), name="nearest")(x),
        layers.UpSampling2D(2, interpolation="bilinear", name="bilinear")(x),
        layers.Resizing(14, 7, name="resized")(x),
        layers.Resizing(5, 17, interpolation="nearest", name="resized_nearest")(x),
    ]


def shapes(k: Any, x: Any) -> list[Any]:
    layers = k.layers
    flat = layers.Flatten(name="flat")(x)
    turned = layers.Permute((3, 1, 2), name="turned")(x)
    squeezed = layers.Reshape((1, 1, 4), name="pixel")(layers.GlobalAveragePooling2D(name="mean")(x))
    mixed = layers.Reshape((8, -1), name="rows")(x)
    return [
        layers.Dense(3, activation="relu", name="dense")(layers.Dropout(0.3, name="dropout")(flat)),
        layers.Dense(4, name="dense_of_map")(x),
        turned,
        layers.Dense(3, use_bias=False, name="dense_of_rows")(mixed),
        layers.Flatten(name="flat_turned")(turned),
        layers.Multiply(name="excited")([x, layers.Conv2D(4, 1, activation="sigmoid", name="gate")(squeezed)]),
        layers.Reshape((7, 32), name="joined")(x),
        layers.Conv2D(2, 1, name="again")(layers.Reshape((8, 7, 4), name="as_map")(x)),
    ]


def merging(k: Any, x: Any) -> list[Any]:
    layers = k.layers
    y, z = layers.Conv2D(4, 1, name="y")(x), layers.Activation("tanh", name="z")(x)
    noise = layers.GaussianNoise(0.1, name="noise")(layers.SpatialDropout2D(0.2, name="spatial")(y))
    return [
        layers.Add(name="add")([x, y, z]),
        layers.Subtract(name="subtract")([x, noise]),
        layers.Multiply(name="multiply")([x, y, z]),
        layers.Average(name="average")([x, y, z]),
        layers.Maximum(name="maximum")([x, y]),
        layers.Minimum(name="minimum")([x, y, z]),
        layers.Concatenate(name="channels")([x, y]),
        layers.Concatenate(axis=1, name="below")([x, y]),
        layers.Concatenate(axis=-2, name="beside")([x, y]),
    ]


def nested(k: Any, x: Any) -> list[Any]:
    """Models inside a model, one of them and one layer used twice; some weights are frozen."""
    layers = k.layers
    image = k.Input((None, None, 4))
    block = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, padding="same", name="conv")(image))
    block = k.Model(image, layers.Add(name="sum")([image, layers.Activation("relu", name="act")(block)]), name="block")
    stem = k.Sequential(
        [k.Input(SHAPE), layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(trainable=False, name="norm")],
        name="stem",
    )
    twice = layers.Conv2D(4, 1, name="twice")
    y = twice(block(twice(stem(x))))
    return [layers.GlobalAveragePooling2D(name="pool")(block(y)), layers.MaxPooling2D(name="max")(y)]


def small_network(k: Any, x: Any) -> list[Any]:
    """A residual network whose layers have the names that Keras counts up."""
    layers = k.layers
    for filters in (6, 8, 8):
        y = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(x)))
        y = layers.BatchNormalization()(layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(y))
        x = layers.Add()([layers.Conv2D(filters, 1)(x), y])
    x = layers.GlobalAveragePooling2D()(x)
    return [layers.Dense(5, activation="softmax")(layers.Dropout(0.5)(x))]


def keras_ops(k: Any, x: Any) -> list[Any]:
    ops = k.ops
    return [
        ops.multiply(ops.relu6(ops.add(x, 3.0)), 1 / 6),
        ops.subtract(1.0, x),
        ops.divide(x, 4.0),
        ops.add(x, ops.sigmoid(x)),
        ops.silu(x),
    ]


BOTH: dict[str, Callable[[Any, Any], list[Any]]] = {
    f.__name__: f
    for f in (
        activations, convolutions, merging, nested, normalizations, pools_and_borders, shapes, small_network,
        transposed,
    )
}  # fmt: skip


def randomized(model: Any) -> None:
    """Gives a model weights of which no two are alike, and variances that are none of 1."""
    random = np.random.RandomState(3)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if str(variable.dtype).startswith("int"):
            continue
        numbers = random.standard_normal(shape) * 0.5
        variable.assign(np.abs(numbers) + 0.2 if "variance" in variable.name else numbers)
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):  # Normalization computes with copies of its variables
            layer.finalize_state()


def image(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.RandomState(5).standard_normal((1, *shape)).astype(np.float32)
