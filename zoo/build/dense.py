"""Products with stored matrices: dense layers; and between values."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from zoo.build.arithmetic import bias_behind
from zoo.build.context import Context, Op
from zoo.build.layout import Value
from zoo.graph import Node


def gemm(context: Context, node: Node) -> Any:
    """ONNX Gemm with a stored second factor."""
    kernel = context.array(node, 1)
    value = context.value(node)
    if node.attrs.get("transA", 0):
        raise context.refuse(node, "transA is not supported")
    if value.rank != 2 or kernel.ndim != 2:
        raise context.refuse(node, f"multiplies {value.shape} by {kernel.shape}; expected two matrices")
    kernel = kernel.T if node.attrs.get("transB", 0) else kernel
    alpha, beta = float(node.attrs.get("alpha", 1.0)), float(node.attrs.get("beta", 1.0))
    kernel = kernel if alpha == 1.0 else kernel * np.float32(alpha)
    bias = context.array(node, 2) if len(node.inputs) > 2 and node.inputs[2] and beta else None
    if bias is not None:
        if bias.size not in (1, kernel.shape[1]):
            raise context.refuse(node, f"adds an array of shape {bias.shape} to {kernel.shape[1]} outputs")
        bias = np.broadcast_to(bias.reshape(-1), kernel.shape[1:])
        bias = bias if beta == 1.0 else bias * np.float32(beta)
    return _dense(context, node, value, kernel, bias)


def matmul(context: Context, node: Node) -> Any:
    """ONNX MatMul: with a stored matrix a dense layer on the last axis, else of two values."""
    if context.param(node.inputs[0]) is not None:
        raise context.refuse(node, "its first factor is stored; only the second may be")
    value = context.value(node)
    kernel = context.param(node.inputs[1])
    if kernel is None:
        other = context.value(node, 1)
        if other.rank != value.rank or value.rank < 3:
            raise context.refuse(node, f"multiplies values of shapes {value.shape} and {other.shape}")
        tensors = [context.plain(node, i) for i in (0, 1)]
        tensor = context.rename(keras.ops.matmul(*tensors), node.name)
        return Value(tensor, tuple(range(value.rank)))
    if kernel.ndim != 2:
        raise context.refuse(node, f"multiplies by an array of shape {kernel.shape}; expected a matrix")
    return _dense(context, node, value, kernel, None)


def _dense(context: Context, node: Node, value: Value, kernel: np.ndarray, bias: np.ndarray | None) -> Value:
    inputs, units = kernel.shape
    if value.shape[-1] != inputs:
        raise context.refuse(node, f"takes {inputs} inputs, but gets {value.shape[-1]}")
    if value.rows is not None:
        kernel = value.rows.permuted(kernel)
    if bias is None:
        last = tuple(units if axis == value.rank - 1 else 1 for axis in range(value.rank))
        bias = bias_behind(context, node, last)
    if value.order[-1] != value.rank - 1:
        value = Value(context.plain(node), tuple(range(value.rank)))
    weights = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
    tensor = context.layer(keras.layers.Dense, node, value.tensor, weights, units=units, use_bias=bias is not None)
    return Value(tensor, value.order)


OPS: dict[str, Op] = {"Gemm": gemm, "MatMul": matmul}
