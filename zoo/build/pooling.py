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
    tensor = context.image(node)
    window = _window(context, node, tensor)
    plain = window.dilations == (1, 1)
    if plain and window.padded and window.same:
        return context.layer(
            keras.layers.MaxPooling2D, node, tensor, pool_size=window.kernel, strides=window.strides, padding="same"
        )
    if window.padded:
        pads = ((0, 0), *window.whole, (0, 0))
        tensor = context.rename(keras.ops.pad(tensor, pads, constant_values=LOWEST), f"{node.name}.pad")
    tensor, strides = _side_by_side(context, node, tensor, window)
    return context.layer(keras.layers.MaxPooling2D, node, tensor, pool_size=window.kernel, strides=strides)


def average_pool(context: Context, node: Node) -> Any:
    """ONNX AveragePool: mean over a zero-padded window, corrected where the origin divides by less than its area."""
    tensor = context.image(node)
    size = tensor.shape[1:3]
    window = _window(context, node, tensor)
    correction = _correction(window, size, bool(node.attrs.get("count_include_pad", 0)))
    tensor = _mean(context, node, tensor, window, "mean" if correction else "")
    for i, factor in enumerate(correction):
        last = i == len(correction) - 1
        tensor = context.rename(keras.ops.multiply(tensor, factor), node.name if last else f"{node.name}.rows")
    return tensor


def lp_pool(context: Context, node: Node) -> Any:
    """ONNX LpPool: the p-norm of each zero-padded window, from the mean of powers."""
    tensor = context.image(node)
    window = _window(context, node, tensor)
    tensor = _power(context, node, tensor)
    area = float(window.kernel[0] * window.kernel[1])
    total = keras.ops.multiply(_mean(context, node, tensor, window, "mean"), area)
    return _root(context, node, context.rename(total, f"{node.name}.sum"))


def global_lp_pool(context: Context, node: Node) -> Any:
    """ONNX GlobalLpPool: (N, H, W, C) -> (N, 1, 1, C)."""
    tensor = _power(context, node, context.image(node))
    return _root(context, node, context.rename(keras.ops.sum(tensor, axis=(1, 2), keepdims=True), f"{node.name}.sum"))


def global_average_pool(context: Context, node: Node) -> Any:
    """ONNX GlobalAveragePool: (N, H, W, C) -> (N, 1, 1, C)."""
    return context.layer(keras.layers.GlobalAveragePooling2D, node, context.image(node), keepdims=True)


def global_max_pool(context: Context, node: Node) -> Any:
    """ONNX GlobalMaxPool: (N, H, W, C) -> (N, 1, 1, C)."""
    return context.layer(keras.layers.GlobalMaxPooling2D, node, context.image(node), keepdims=True)


def _window(context: Context, node: Node, tensor: Any) -> Window:
    kernel = tuple(node.attrs["kernel_shape"])
    if len(kernel) != 2:
        raise context.refuse(node, f"only 2-D pooling is supported, the window is {kernel}")
    return Window.of(node, kernel, tensor.shape[1:3])


def _mean(context: Context, node: Node, tensor: Any, window: Window, suffix: str) -> Any:
    """The mean over each zero-padded window, whatever of it is padding."""
    if window.padded:
        tensor = keras.layers.ZeroPadding2D(window.whole, name=context.unique(f"{node.name}.pad"))(tensor)
    tensor, strides = _side_by_side(context, node, tensor, window)
    return context.layer(
        keras.layers.AveragePooling2D, node, tensor, pool_size=window.kernel, strides=strides, suffix=suffix
    )


def _side_by_side(context: Context, node: Node, tensor: Any, window: Window) -> tuple[Any, tuple[int, int]]:
    """Returns a padded map and its strides; a dilated window's rows and columns are laid side by side first."""
    if window.dilations == (1, 1):
        return tensor, window.strides
    for axis in (0, 1):
        kernel, stride, dilation = window.kernel[axis], window.strides[axis], window.dilations[axis]
        starts = range(0, tensor.shape[axis + 1] - dilation * (kernel - 1), stride)
        places = [start + dilation * step for start in starts for step in range(kernel)]
        tensor = keras.ops.take(tensor, places, axis=axis + 1)
        context.rename(tensor, f"{node.name}.{('rows', 'columns')[axis]}")
    return tensor, window.kernel


def _correction(window: Window, size: tuple[int, int], include_pad: bool) -> list[np.ndarray]:
    """Returns what the means are multiplied by where the origin divides by less than the window's area.

    One array per axis, (1, H, 1, 1) and (1, 1, W, 1), left out if all ones: the area is a product, so its parts are.
    """
    factors = []
    for axis in (0, 1):
        before, after = window.pads[axis]
        length, kernel = size[axis], window.kernel[axis]
        span = window.dilations[axis] * (kernel - 1) + 1
        outputs = (length + before + after + window.extra[axis] - span) // window.strides[axis] + 1
        starts = np.arange(outputs) * window.strides[axis] - before
        places = starts[:, None] + np.arange(kernel) * window.dilations[axis]
        low, high = (-before, length + after) if include_pad else (0, length)
        counts = ((places >= low) & (places < high)).sum(axis=1)
        if (counts != kernel).any():
            shape = (1, -1, 1, 1) if axis == 0 else (1, 1, -1, 1)
            factors.append((kernel / np.maximum(counts, 1)).astype(np.float32).reshape(shape))
    return factors


def _power(context: Context, node: Node, tensor: Any) -> Any:
    p = float(node.attrs.get("p", 2))
    if p == 2:
        return context.rename(keras.ops.square(tensor), f"{node.name}.square")
    tensor = context.rename(keras.ops.abs(tensor), f"{node.name}.abs")
    return tensor if p == 1 else context.rename(keras.ops.power(tensor, p), f"{node.name}.power")


def _root(context: Context, node: Node, tensor: Any) -> Any:
    p = float(node.attrs.get("p", 2))
    if p == 1:
        return tensor
    root = keras.ops.sqrt(tensor) if p == 2 else keras.ops.power(tensor, 1 / p)
    return context.rename(root, node.name)


OPS: dict[str, Op] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "GlobalLpPool": global_lp_pool,
}
