"""Activations and element-wise arithmetic, between values and with stored arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from zoo.build.context import Context, Op, Value
from zoo.graph import Node


def unary(make: Callable[[Context, Node], tuple[type, dict[str, Any]]]) -> Op:
    """Returns the builder of an element-wise layer: it acts on any layout, so the value keeps its own."""

    def build(context: Context, node: Node) -> Value:
        value = context.values[node.inputs[0]]
        kind, config = make(context, node)
        return value._replace(tensor=context.layer(kind, node, value.tensor, **config))

    return build


def clip(context: Context, node: Node) -> tuple[type, dict[str, Any]]:
    """ONNX Clip with bounds as attributes (opset 6) or stored scalars (opset 11); convnets only use [0, max]."""
    low, high = (_bound(context, node, position, key) for position, key in ((1, "min"), (2, "max")))
    if low != 0.0:
        raise context.refuse(node, f"clips to [{low}, {high}]; only a lower bound of 0 has a Keras layer")
    return keras.layers.ReLU, {"max_value": high}


def _bound(context: Context, node: Node, position: int, key: str) -> float | None:
    if key in node.attrs:
        return float(node.attrs[key])
    array = context.param(node.inputs[position]) if len(node.inputs) > position else None
    return None if array is None else float(array.reshape(()))


def softmax(context: Context, node: Node) -> Any:
    """ONNX Softmax over one axis (NCHW axis 1 is the last here)."""
    tensor = context.tensor(node.inputs[0])
    axis = int(node.attrs.get("axis", -1))
    rank = len(tensor.shape)
    if rank == 4:
        axis = {0: 0, 1: 3, 2: 1, 3: 2}[axis % 4]
    return context.layer(keras.layers.Softmax, node, tensor, axis=axis, dtype="float32")


def combine(layer: type, operation: Callable[[Any, Any], Any]) -> Op:
    """Returns the builder of an n-ary arithmetic op: a merging layer between values, a keras op with a stored array."""

    def build(context: Context, node: Node) -> Any:
        arrays = [context.param(key) for key in node.inputs]
        if all(array is None for array in arrays):
            return context.layer(layer, node, _merged(context, node))
        if len(node.inputs) != 2 or all(array is not None for array in arrays):
            raise context.refuse(node, "expected one value and one stored array")
        sides = [
            context.tensor(key) if array is None else _constant(context, node, array)
            for key, array in zip(node.inputs, arrays, strict=True)
        ]
        return context.rename(operation(*sides), node.name)

    return build


def _merged(context: Context, node: Node) -> list[Any]:
    """The node's values, all NHWC; one of lower rank (N, C) is spread over the map's positions as (N, 1, 1, C)."""
    tensors = [context.tensor(key) for key in node.inputs]
    ranks = {len(tensor.shape) for tensor in tensors}
    if ranks == {2, 4}:
        tensors = [
            keras.layers.Reshape((1, 1, t.shape[1]), name=context.unique(f"{node.name}.spread"))(t)
            if len(t.shape) == 2
            else t
            for t in tensors
        ]
    return tensors


def _constant(context: Context, node: Node, array: np.ndarray) -> Any:
    """A stored array as it broadcasts against NHWC; ONNX broadcasts it against NCHW from the right."""
    other = next(key for key in node.inputs if context.param(key) is None)
    rank = len(context.tensor(other).shape)
    if array.size == 1:
        return float(array.reshape(()))
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return (full.transpose(0, 2, 3, 1) if rank == 4 else full).astype(np.float32)


def power(context: Context, node: Node) -> Any:
    """ONNX Pow with a stored scalar exponent."""
    exponent = context.param(node.inputs[1])
    if exponent is None or exponent.size != 1:
        raise context.refuse(node, "the exponent has to be one stored number")
    value = context.values[node.inputs[0]]
    return value._replace(tensor=context.rename(keras.ops.power(value.tensor, float(exponent.reshape(()))), node.name))


def pointwise(operation: Callable[[Any], Any]) -> Op:
    """Returns the builder of an element-wise function that has no layer."""

    def build(context: Context, node: Node) -> Value:
        value = context.values[node.inputs[0]]
        return value._replace(tensor=context.rename(operation(value.tensor), node.name))

    return build


def identity(context: Context, node: Node) -> Value:
    """ONNX Identity: another name for the same value."""
    return context.values[node.inputs[0]]


UNARY: dict[str, Op] = {
    "Relu": unary(lambda context, node: (keras.layers.ReLU, {})),
    "LeakyRelu": unary(
        lambda context, node: (keras.layers.LeakyReLU, {"negative_slope": float(node.attrs.get("alpha", 0.01))})
    ),
    "Elu": unary(lambda context, node: (keras.layers.ELU, {"alpha": float(node.attrs.get("alpha", 1.0))})),
    "Sigmoid": unary(lambda context, node: (keras.layers.Activation, {"activation": "sigmoid"})),
    "Tanh": unary(lambda context, node: (keras.layers.Activation, {"activation": "tanh"})),
    "Clip": unary(clip),
    "Dropout": unary(lambda context, node: (keras.layers.Dropout, {"rate": float(node.attrs.get("ratio", 0.5))})),
    "Abs": pointwise(keras.ops.abs),
    "Exp": pointwise(keras.ops.exp),
    "Log": pointwise(keras.ops.log),
    "Pow": power,
    "Identity": identity,
}
OPS: dict[str, Op] = {
    **UNARY,
    "Softmax": softmax,
    "Add": combine(keras.layers.Add, keras.ops.add),
    "Sum": combine(keras.layers.Add, keras.ops.add),
    "Sub": combine(keras.layers.Subtract, keras.ops.subtract),
    "Mul": combine(keras.layers.Multiply, keras.ops.multiply),
    "Max": combine(keras.layers.Maximum, keras.ops.maximum),
}
