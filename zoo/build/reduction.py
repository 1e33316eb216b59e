"""Reductions along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from zoo.build.context import Context, Op
from zoo.build.layout import Value, without
from zoo.graph import Node

_POOLS = {"ReduceMean": keras.layers.GlobalAveragePooling2D, "ReduceMax": keras.layers.GlobalMaxPooling2D}


def reduce(operation: Callable[..., Any], *, before: Any = None, after: Any = None) -> Op:
    """Returns the builder of a reduction.

    Args:
        operation: the `keras.ops` function.
        before: a function of each number before it, if any.
        after: a function of each result, if any.
    """

    def build(context: Context, node: Node) -> Value:
        value = context.value(node)
        axes = _axes(context, node, value)
        if not axes:
            return value
        keep = bool(node.attrs.get("keepdims", 1))
        order = value.order if keep else without(value.order, axes)
        places = tuple(sorted(value.axis(axis) for axis in axes))
        tensor = value.tensor
        if node.op in _POOLS and value.rank == 4 and places == (1, 2):
            return Value(context.layer(_POOLS[node.op], node, tensor, keepdims=keep), order)
        if before is not None:
            tensor = context.rename(before(tensor), f"{node.name}.each")
        tensor = operation(tensor, axis=places, keepdims=keep)
        if after is not None:
            tensor = after(context.rename(tensor, f"{node.name}.sum"))
        return Value(context.rename(tensor, node.name), order)

    return build


def _axes(context: Context, node: Node, value: Value) -> list[int]:
    axes = node.attrs.get("axes")
    if not axes and node.attrs.get("noop_with_empty_axes", 0):
        return []
    chosen = sorted({int(axis) % value.rank for axis in axes}) if axes else list(range(value.rank))
    if 0 in chosen:
        raise context.refuse(node, "reduces along the batch")
    return chosen


def arg_max(context: Context, node: Node) -> Value:
    """ONNX ArgMax: the first, or last, place of the largest number."""
    value = context.value(node)
    origin = int(node.attrs.get("axis", 0)) % value.rank
    if origin == 0:
        raise context.refuse(node, "looks along the batch")
    axis, keep = value.axis(origin), bool(node.attrs.get("keepdims", 1))
    last = bool(node.attrs.get("select_last_index", 0))
    tensor = value.tensor
    if last:
        tensor = context.rename(keras.ops.flip(tensor, axis=axis), f"{node.name}.flip")
    found = context.rename(keras.ops.argmax(tensor, axis=axis, keepdims=keep), f"{node.name}.at" if last else node.name)
    if last:
        found = context.rename(keras.ops.subtract(tensor.shape[axis] - 1, found), node.name)
    return Value(found, value.order if keep else without(value.order, [origin]))


OPS: dict[str, Op] = {
    "ArgMax": arg_max,
    "ReduceL1": reduce(keras.ops.sum, before=keras.ops.abs),
    "ReduceL2": reduce(keras.ops.sum, before=keras.ops.square, after=keras.ops.sqrt),
    "ReduceMax": reduce(keras.ops.max),
    "ReduceMean": reduce(keras.ops.mean),
    "ReduceMin": reduce(keras.ops.min),
    "ReduceProd": reduce(keras.ops.prod),
    "ReduceSum": reduce(keras.ops.sum),
    "ReduceSumSquare": reduce(keras.ops.sum, before=keras.ops.square),
}
