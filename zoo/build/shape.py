"""Ops that move data without computing: concatenation, flattening, reshaping."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from zoo.build.arithmetic import UNARY
from zoo.build.context import Context, Op, Value
from zoo.graph import Node


def concat(context: Context, node: Node) -> Any:
    """ONNX Concat along an NCHW axis."""
    tensors = [context.tensor(key) for key in node.inputs]
    axis, rank = int(node.attrs["axis"]), len(tensors[0].shape)
    axis %= rank
    if rank == 4:
        axis = {0: 0, 1: 3, 2: 1, 3: 2}[axis]
    if axis == 0:
        raise context.refuse(node, "concatenates along the batch, which a classifier cannot do")
    if len(tensors) == 1:
        return tensors[0]
    return context.layer(keras.layers.Concatenate, node, tensors, axis=axis)


def flatten(context: Context, node: Node) -> Value:
    """ONNX Flatten from axis 1: stays in H, W, C order if only dense layers read it, else takes the origin's order."""
    if int(node.attrs.get("axis", 1)) != 1:
        raise context.refuse(node, "only axis 1 is supported")
    value = context.values[node.inputs[0]]
    if len(value.tensor.shape) == 2:
        return value
    if len(value.tensor.shape) != 4 or value.origin_layout:
        return Value(context.layer(keras.layers.Flatten, node, value.tensor))
    height, width, channels = value.tensor.shape[1:]
    if (height, width) == (1, 1):
        return Value(context.layer(keras.layers.Flatten, node, value.tensor))
    if _only_dense_reads(context, node.outputs[0]):
        return Value(context.layer(keras.layers.Flatten, node, value.tensor), rows=(channels, height, width))
    return Value(context.layer(keras.layers.Flatten, node, context.plain(node.inputs[0])))


def reshape(context: Context, node: Node) -> Value:
    """ONNX Reshape to a stored shape (as attribute or parameter), in the origin's axis order; the batch stays."""
    shape = node.attrs.get("shape")
    if shape is None:
        array = context.param(node.inputs[1])
        if array is None:
            raise context.refuse(node, "the new shape has to be stored")
        shape = tuple(int(n) for n in array)
    tensor = context.plain(node.inputs[0])
    old = tensor.shape[1:]
    new = tuple(old[i - 1] if n == 0 and i > 0 else n for i, n in enumerate(shape))[1:]
    if new.count(-1) == 1:
        known = int(np.prod([n for n in new if n != -1]))
        new = tuple(int(np.prod(old)) // known if n == -1 else n for n in new)
    if int(np.prod(old)) != int(np.prod(new)):
        raise context.refuse(node, f"cannot turn {tuple(old)} into {new} (without the batch)")
    return Value(context.layer(keras.layers.Reshape, node, tensor, target_shape=new), origin_layout=True)


def transpose(context: Context, node: Node) -> Value:
    """ONNX Transpose; the batch stays first."""
    order = tuple(node.attrs["perm"])
    if order[0] != 0:
        raise context.refuse(node, f"moves the batch: {order}")
    tensor = context.plain(node.inputs[0])
    return Value(context.layer(keras.layers.Permute, node, tensor, dims=order[1:]), origin_layout=True)


def _only_dense_reads(context: Context, key: str) -> bool:
    """Whether every reader of a value is a Gemm, directly or behind element-wise ops."""
    readers = context.consumers[key]
    if key in context.graph.outputs or not readers:
        return False
    return all(
        (node.op == "Gemm" and node.inputs[0] == key)
        or (node.op in UNARY and _only_dense_reads(context, node.outputs[0]))
        for node in readers
    )


OPS: dict[str, Op] = {
    "Concat": concat,
    "Flatten": flatten,
    "Reshape": reshape,
    "Transpose": transpose,
}
