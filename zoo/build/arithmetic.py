"""Arithmetic between values, and between values and stored arrays, which stay weights of the model.

A stored array that scales channels is a 1x1 depthwise convolution (faster than a multiplication, and together with the
addition behind it one layer); an addition behind a convolution or a dense layer becomes its bias. Any other stored
array is looked up in an `Embedding` of one row, which is how a functional model of built-in layers holds a trainable
array of any shape; `EinsumDense` does it too, but takes 70 times as long for a whole map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import keras
import numpy as np

from zoo.build.context import Context, Op
from zoo.build.layout import Order, Value, standard
from zoo.graph import Node


class Sides(NamedTuple):
    """The inputs of an arithmetic node, ready to be combined: tensors of one order, or plain numbers."""

    tensors: list[Any]
    order: Order


def aligned(context: Context, node: Node, positions: list[int] | None = None) -> Sides:
    """Returns computed inputs with their axes in one order.

    ONNX aligns shapes from the right; where ranks differ that puts one value's batch upon another axis.
    """
    positions = list(range(len(node.inputs))) if positions is None else positions
    values = [context.value(node, position) for position in positions]
    ranks = sorted({value.rank for value in values})
    if len(ranks) != 1:
        raise context.refuse(node, f"combines values of ranks {ranks}, which puts the batch upon another axis")
    orders = {value.order for value in values}
    order = values[0].order if len(orders) == 1 else standard(ranks[0])
    pairs = zip(values, positions, strict=True)
    return Sides([context.arranged(value, order, node.inputs[i]) for value, i in pairs], order)


def combine(operation: Callable[[Any, Any], Any], layer: type | None = None) -> Op:
    """Returns the builder of an n-ary op: a merging layer if there is one and no input is stored, else a keras op."""

    def build(context: Context, node: Node) -> Value:
        stored = [context.param(key) for key in node.inputs]
        if len(node.inputs) == 1:
            return context.value(node)
        if layer is not None and all(array is None for array in stored):
            tensors, order = aligned(context, node)
            return Value(context.layer(layer, node, tensors), order)
        scaled = _scale(context, node) if len(node.inputs) == 2 else None
        if scaled is not None:
            return scaled
        sides, order = with_stored(context, node)
        result = sides[0]
        for i, side in enumerate(sides[1:]):
            result = operation(result, side)
            context.rename(result, node.name if i == len(sides) - 2 else f"{node.name}.{i}")
        return _result(context, node, result, order)

    return build


def with_stored(context: Context, node: Node) -> Sides:
    """Returns all inputs as tensors of one order; stored numbers as numbers, stored arrays as weights."""
    computed = [i for i, key in enumerate(node.inputs) if context.param(key) is None]
    if not computed:
        raise context.refuse(node, "computes with stored arrays alone; the reader has to do that")
    tensors, order = aligned(context, node, computed)
    like = Value(tensors[0], order)
    ready = dict(zip(computed, tensors, strict=True))
    sides = []
    for i, key in enumerate(node.inputs):
        array = context.param(key)
        sides.append(ready[i] if array is None else constant(context, node, array, like, key))
    return Sides(sides, order)


def constant(context: Context, node: Node, array: np.ndarray, like: Value, name: str) -> Any:
    """Returns a stored array as it broadcasts against a value: a number, or the output of a layer that holds it."""
    if array.size == 1 and array.ndim <= like.rank:
        number = array.reshape(()).item()
        return float(number) if isinstance(number, float) else number
    spread = like.spread(array)
    if spread is None:
        raise context.refuse(node, f"its array of shape {array.shape} does not broadcast against {like.shape}")
    return stored(context, node, spread, like.tensor, name)


def stored(context: Context, node: Node, array: np.ndarray, near: Any, name: str) -> Any:
    """Returns a tensor (1, ...) that a layer holds as its weights.

    Args:
        array: (1, ...) as Keras has its axes.
        near: any tensor that is computed before, because a functional model's values all come from its inputs.
        name: the array's name in the origin.
    """
    first = (slice(0, 1), *(0 for _ in near.shape[1:]))
    row = keras.ops.zeros_like(context.rename(near[first], f"{name}.first"), dtype="int32")
    context.rename(row, f"{name}.row")
    weights = {"embeddings": array.reshape(1, -1)}
    flat = context.layer(
        keras.layers.Embedding, replace(node, name=name), row, weights, input_dim=1, output_dim=array.size
    )
    return keras.layers.Reshape(array.shape[1:], name=context.unique(f"{name}.array"))(flat)


def bias_behind(context: Context, node: Node, shape: tuple[int, ...]) -> np.ndarray | None:
    """Returns the array that the one reader of a node's output adds to it; that reader has then no more to do.

    Args:
        context: the build.
        node: the node whose layer can add a bias.
        shape: the array's shape, with the batch, as ONNX broadcasts it; any other is left where it is.
    """
    reader = context.only_reader(node)
    if reader is None or reader.op not in ("Add", "Sub", "Sum") or len(reader.inputs) != 2:
        return None
    key = node.outputs[0]
    array = context.param(reader.inputs[1 if reader.inputs[0] == key else 0])
    if array is None or (reader.op == "Sub" and reader.inputs[0] != key):
        return None
    # Not a single number: `x + 3` behind a convolution belongs to a hard swish.
    if not 0 < array.ndim <= len(shape) or (1,) * (len(shape) - array.ndim) + array.shape != shape:
        return None
    context.absorbed.add(reader.name)
    vector = array.reshape(-1)
    return -vector if reader.op == "Sub" else vector


def _scale(context: Context, node: Node) -> Value | None:
    """Value times stored vector along the tensor's last axis, and the addition behind it; None if it is not that."""
    first, second = (context.param(key) for key in node.inputs)
    array = second if first is None else first
    if array is None or node.op not in ("Mul", "Div") or (node.op == "Div" and second is None):
        return None
    value = context.value(node, 0 if first is None else 1)
    spread = value.spread(array)
    channels = value.tensor.shape[-1]
    if spread is None or value.rank not in (2, 4) or value.rows is not None:
        return None
    if channels == 1 or spread.shape != (1,) * (value.rank - 1) + (channels,):
        return None
    gain = spread.reshape(-1)
    if node.op == "Div":
        gain = np.float32(1) / gain
    shape = tuple(channels if axis == value.order[-1] else 1 for axis in range(value.rank))
    shift = bias_behind(context, node, shape)
    weights = {} if shift is None else {"bias": shift}
    if value.rank == 2:
        weights["kernel"] = gain
        tensor = context.layer(
            keras.layers.EinsumDense,
            node,
            value.tensor,
            weights,
            equation="ab,b->ab",
            output_shape=(channels,),
            bias_axes=None if shift is None else "b",
        )
    else:
        weights["kernel"] = gain.reshape(1, 1, channels, 1)
        tensor = context.layer(
            keras.layers.DepthwiseConv2D, node, value.tensor, weights, kernel_size=1, use_bias=shift is not None
        )
    return value._replace(tensor=tensor)


def _result(context: Context, node: Node, tensor: Any, order: Order) -> Value:
    """The value of an element-wise node; a flattened map in another order stays one (its other inputs are numbers)."""
    rows = [context.values[key].rows for key in node.inputs if key in context.values]
    return Value(tensor, order, rows[0])


def compute(operation: Callable[..., Any]) -> Op:
    """Returns the builder of an element-wise op that is one of `keras.ops`, with any inputs stored."""

    def build(context: Context, node: Node) -> Value:
        sides, order = with_stored(context, node)
        return _result(context, node, context.rename(operation(*sides), node.name), order)

    return build


def mean(context: Context, node: Node) -> Value:
    """ONNX Mean of several values."""
    if len(node.inputs) == 1:
        return context.value(node)
    tensors, order = aligned(context, node)
    return Value(context.layer(keras.layers.Average, node, tensors), order)


OPS: dict[str, Op] = {
    "Add": combine(keras.ops.add, keras.layers.Add),
    "Div": combine(keras.ops.divide),
    "Equal": compute(keras.ops.equal),
    "Greater": compute(keras.ops.greater),
    "GreaterOrEqual": compute(keras.ops.greater_equal),
    "Less": compute(keras.ops.less),
    "LessOrEqual": compute(keras.ops.less_equal),
    "Max": combine(keras.ops.maximum, keras.layers.Maximum),
    "Mean": mean,
    "Min": combine(keras.ops.minimum, keras.layers.Minimum),
    "Mul": combine(keras.ops.multiply, keras.layers.Multiply),
    "Pow": compute(keras.ops.power),
    "Sub": combine(keras.ops.subtract, keras.layers.Subtract),
    "Sum": combine(keras.ops.add, keras.layers.Add),
    "Where": compute(keras.ops.where),
}
