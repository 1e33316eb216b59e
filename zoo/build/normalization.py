"""Normalisation, and PRelu: ops whose arrays go along the channels, or along the axes that are normalised."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from zoo.build.context import Context, Op
from zoo.build.layout import Value
from zoo.graph import Node


def batch_normalization(context: Context, node: Node) -> Value:
    """ONNX BatchNormalization in inference form; stays a layer of its own so that it can be trained."""
    value = context.value(node)
    if node.attrs.get("training_mode", 0):
        raise context.refuse(node, "training_mode: normalises by each batch's own statistics")
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    weights = {name: context.array(node, index + 1) for index, name in enumerate(names)}
    if value.rows is not None:
        weights = {name: value.rows.permuted(array) for name, array in weights.items()}
    tensor = context.layer(
        keras.layers.BatchNormalization,
        node,
        value.tensor,
        weights,
        axis=value.feature_axis(1),
        epsilon=float(node.attrs.get("epsilon", 1e-5)),
        momentum=float(node.attrs.get("momentum", 0.9)),
    )
    return value._replace(tensor=tensor)


def group_normalization(context: Context, node: Node) -> Value:
    """ONNX GroupNormalization (of opset 21: scale and bias per channel), and InstanceNormalization: a group each."""
    value = context.value(node)
    tensor = context.layer(
        keras.layers.GroupNormalization,
        node,
        value.tensor,
        {"gamma": context.array(node, 1), "beta": context.array(node, 2)},
        groups=int(node.attrs["num_groups"]) if node.op == "GroupNormalization" else -1,
        axis=value.feature_axis(1),
        epsilon=float(node.attrs.get("epsilon", 1e-5)),
    )
    return value._replace(tensor=tensor)


def layer_normalization(context: Context, node: Node) -> Value:
    """ONNX LayerNormalization: over all axes from one on.

    Where these are not the tensor's last ones, it is brought into the origin's order: Keras's layer needs them last on
    its torch backend.
    """
    value = context.value(node)
    axis = int(node.attrs.get("axis", -1))
    origin = range(value.rank)[axis:]
    last = list(range(value.rank))[-len(origin) :]
    if sorted(value.feature_axis(axis) % value.rank for axis in origin) != last:
        order = tuple(range(value.rank))
        value = Value(context.arranged(value, order, node.name), order)
    weights = {"gamma": context.array(node, 1)}
    if len(node.inputs) > 2 and node.inputs[2]:
        weights["beta"] = context.array(node, 2)
    shape = tuple(int(value.shape[axis] or 0) for axis in origin)
    moved = [value.order[axis] - origin[0] for axis in last]
    tensor = context.layer(
        keras.layers.LayerNormalization,
        node,
        value.tensor,
        {name: np.broadcast_to(array, shape).transpose(moved) for name, array in weights.items()},
        axis=-1 if len(last) == 1 else last,
        epsilon=float(node.attrs.get("epsilon", 1e-5)),
        center="beta" in weights,
    )
    return value._replace(tensor=tensor)


def lp_normalization(context: Context, node: Node) -> Value:
    """ONNX LpNormalization: divides by the norm along one axis."""
    value = context.value(node)
    axis, p = value.feature_axis(int(node.attrs.get("axis", -1))), int(node.attrs.get("p", 2))
    if p == 2:
        return value._replace(tensor=context.layer(keras.layers.UnitNormalization, node, value.tensor, axis=axis))
    if p != 1:
        raise context.refuse(node, f"p is {p}; expected 1 or 2")
    size = context.rename(keras.ops.abs(value.tensor), f"{node.name}.abs")
    norm = context.rename(keras.ops.sum(size, axis=axis, keepdims=True), f"{node.name}.norm")
    return value._replace(tensor=context.rename(keras.ops.divide(value.tensor, norm), node.name))


def lrn(context: Context, node: Node) -> Any:
    """ONNX LRN across channels: x / (bias + alpha/size * sum of squares over `size` neighbouring channels) ** beta.

    Channels become the width of a one-channel image, whose zero-padded mean over `size` columns is sum/size.
    """
    tensor = context.image(node)
    size = int(node.attrs["size"])
    _, height, width, channels = tensor.shape

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


def prelu(context: Context, node: Node) -> Value:
    """ONNX PRelu: one slope for all, one per channel (also as a plain vector, as before opset 7), or any other part."""
    value = context.value(node)
    slope = context.array(node, 1)
    channels = int(value.shape[1] or 0)
    if slope.size == 1:
        slope = np.broadcast_to(slope.reshape(-1), (channels,))
    if slope.size == channels and (slope.ndim == 1 or slope.shape[0] == channels):
        slope = slope.reshape(1, channels, *(1,) * (value.rank - 2))
    spread = value.spread(slope)
    if spread is None or any(a not in (1, b) for a, b in zip(spread.shape[1:], value.tensor.shape[1:], strict=True)):
        raise context.refuse(node, f"has slopes of shape {slope.shape} for {value.shape}")
    alpha = spread[0] if value.rows is None else value.rows.permuted(spread[0])
    shared = [axis for axis in range(1, value.rank) if spread.shape[axis] == 1]
    return value._replace(
        tensor=context.layer(keras.layers.PReLU, node, value.tensor, {"alpha": alpha}, shared_axes=shared)
    )


OPS: dict[str, Op] = {
    "BatchNormalization": batch_normalization,
    "GroupNormalization": group_normalization,
    "InstanceNormalization": group_normalization,
    "LRN": lrn,
    "LayerNormalization": layer_normalization,
    "LpNormalization": lp_normalization,
    "PRelu": prelu,
}
