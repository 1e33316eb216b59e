"""Pooling: the origin's windows and divisors exactly, from Keras's valid pooling."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from zoo.build.context import Context, Op
from zoo.build.windows import LOWEST, Window
from zoo.graph import Node


def max_pool(context: Context, node: Node) -> Any:
    """ONNX MaxPool: padding never wins, also where all inputs are negative."""
    tensor = context.tensor(node.inputs[0])
    window = _window(context, node, tensor)
    padding = "valid"
    if window.padded and window.same:
        padding = "same"
    elif window.padded:
        pads = ((0, 0), *window.whole, (0, 0))
        tensor = context.rename(keras.ops.pad(tensor, pads, constant_values=LOWEST), f"{node.name}.pad")
    return context.layer(
        keras.layers.MaxPooling2D, node, tensor, pool_size=window.kernel, strides=window.strides, padding=padding
    )


def average_pool(context: Context, node: Node) -> Any:
    """ONNX AveragePool: mean over a zero-padded window, corrected where the origin divides by less than its area."""
    tensor = context.tensor(node.inputs[0])
    size = tensor.shape[1:3]
    window = _window(context, node, tensor)
    if window.padded:
        tensor = keras.layers.ZeroPadding2D(window.whole, name=context.unique(f"{node.name}.pad"))(tensor)
    include = bool(node.attrs.get("count_include_pad", 0))
    correction = _correction(window, size, include)
    if correction is None:
        return context.layer(
            keras.layers.AveragePooling2D, node, tensor, pool_size=window.kernel, strides=window.strides
        )
    name = context.unique(f"{node.name}.mean")
    tensor = keras.layers.AveragePooling2D(window.kernel, window.strides, name=name)(tensor)
    return context.rename(keras.ops.multiply(tensor, correction), node.name)


def global_average_pool(context: Context, node: Node) -> Any:
    """ONNX GlobalAveragePool: (N, H, W, C) -> (N, 1, 1, C)."""
    return context.layer(keras.layers.GlobalAveragePooling2D, node, context.tensor(node.inputs[0]), keepdims=True)


def global_max_pool(context: Context, node: Node) -> Any:
    """ONNX GlobalMaxPool: (N, H, W, C) -> (N, 1, 1, C)."""
    return context.layer(keras.layers.GlobalMaxPooling2D, node, context.tensor(node.inputs[0]), keepdims=True)


def lrn(context: Context, node: Node) -> Any:
    """ONNX LRN across channels: x / (bias + alpha/size * sum of squares over `size` neighbouring channels) ** beta.

    Channels become the width of a one-channel image, whose zero-padded mean over `size` columns is sum/size.
    """
    tensor = context.tensor(node.inputs[0])
    size = int(node.attrs["size"])
    _, height, width, channels = tensor.shape
    if height is None or width is None:
        raise context.refuse(node, "needs a static input size")

    def named(suffix: str) -> str:
        return context.unique(f"{node.name}.{suffix}")

    square = context.rename(keras.ops.square(tensor), f"{node.name}.square")
    mean = keras.layers.Reshape((height * width, channels, 1), name=named("rows"))(square)
    before = (size - 1) // 2
    mean = keras.layers.ZeroPadding2D(((0, 0), (before, size - 1 - before)), name=named("pad"))(mean)
    mean = keras.layers.AveragePooling2D((1, size), (1, 1), name=named("mean"))(mean)
    mean = keras.layers.Reshape((height, width, channels), name=named("map"))(mean)
    alpha, bias = float(node.attrs.get("alpha", 1e-4)), float(node.attrs.get("bias", 1.0))
    base = keras.layers.Rescaling(alpha, bias, name=named("base"))(mean)
    scale = context.rename(keras.ops.power(base, -float(node.attrs.get("beta", 0.75))), f"{node.name}.scale")
    return context.layer(keras.layers.Multiply, node, [tensor, scale])


def _window(context: Context, node: Node, tensor: Any) -> Window:
    size = tensor.shape[1:3]
    if len(tensor.shape) != 4 or None in size:
        raise context.refuse(node, f"needs a feature map of static size, got shape {tensor.shape}")
    window = Window.of(node, tuple(node.attrs["kernel_shape"]), size)
    if window.dilations != (1, 1):
        raise context.refuse(node, f"dilated pooling {window.dilations} is not supported")
    return window


def _correction(window: Window, size: tuple[int, int], include_pad: bool) -> np.ndarray | None:
    """Returns area / divisor per output position, (1, H, W, 1), or None if it is one everywhere."""
    counts = []
    for axis in (0, 1):
        before, after = window.pads[axis]
        length = size[axis]
        outputs = (length + before + after + window.extra[axis] - window.kernel[axis]) // window.strides[axis] + 1
        starts = np.arange(outputs) * window.strides[axis] - before
        low = starts if include_pad else np.maximum(starts, 0)
        high = np.minimum(starts + window.kernel[axis], length + after if include_pad else length)
        counts.append(high - low)
    divisor = np.outer(counts[0], counts[1])
    area = window.kernel[0] * window.kernel[1]
    if (divisor == area).all():
        return None
    return (area / divisor).astype(np.float32)[None, :, :, None]


OPS: dict[str, Op] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "LRN": lrn,
}
