"""Convolution, dense, normalisation: the ops that hold weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from zoo.build.context import Context, Op
from zoo.build.windows import Window
from zoo.graph import Node


def conv(context: Context, node: Node) -> Any:
    """ONNX Conv: OIHW kernel -> HWIO; explicit padding unless it is exactly TensorFlow's SAME."""
    kernel = _array(context, node, 1)
    bias = context.param(node.inputs[2]) if len(node.inputs) > 2 else None
    tensor = context.tensor(node.inputs[0])
    if kernel.ndim != 4 or len(tensor.shape) != 4:
        raise context.refuse(node, f"only 2-D convolution is supported, the kernel has shape {kernel.shape}")
    group = int(node.attrs.get("group", 1))
    channels = int(tensor.shape[-1])
    if kernel.shape[1] * group != channels or kernel.shape[0] % group:
        raise context.refuse(node, f"kernel {kernel.shape} in {group} group(s) does not fit {channels} input channels")
    if node.inputs[0] in context.reversed_inputs:
        kernel = kernel[:, ::-1]
    window = Window.of(node, kernel.shape[2:], tensor.shape[1:3])
    tensor, padding = window.pad_zeros(context, node, tensor)
    config = {
        "kernel_size": window.kernel,
        "strides": window.strides,
        "dilation_rate": window.dilations,
        "padding": padding,
        "use_bias": bias is not None,
    }
    biases = {} if bias is None else {"bias": bias}
    depthwise = group == channels and group > 1 and window.strides[0] == window.strides[1]
    if depthwise and (window.strides == (1, 1) or window.dilations == (1, 1)):
        multiplier = kernel.shape[0] // group
        hwcm = kernel.reshape(group, multiplier, *kernel.shape[2:]).transpose(2, 3, 0, 1)
        config["depth_multiplier"] = multiplier
        return context.layer(keras.layers.DepthwiseConv2D, node, tensor, {"kernel": hwcm, **biases}, **config)
    weights = {"kernel": kernel.transpose(2, 3, 1, 0), **biases}
    return context.layer(keras.layers.Conv2D, node, tensor, weights, filters=kernel.shape[0], groups=group, **config)


def gemm(context: Context, node: Node) -> Any:
    """ONNX Gemm with a constant second factor -> Dense; rows follow a feature map flattened in H, W, C order."""
    kernel = _array(context, node, 1)
    bias = context.param(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
    if node.attrs.get("transA", 0):
        raise context.refuse(node, "transA is not supported")
    kernel = kernel.T if node.attrs.get("transB", 0) else kernel
    alpha, beta = float(node.attrs.get("alpha", 1.0)), float(node.attrs.get("beta", 1.0))
    kernel = kernel if alpha == 1.0 else kernel * np.float32(alpha)
    value = context.values[node.inputs[0]]
    units = kernel.shape[1]
    if value.rows is not None:
        if int(np.prod(value.rows)) != kernel.shape[0]:
            raise context.refuse(node, f"takes {kernel.shape[0]} inputs, the flattened map {value.rows} has others")
        kernel = kernel.reshape(*value.rows, units).transpose(1, 2, 0, 3).reshape(-1, units)
    weights = {"kernel": kernel}
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), (units,))
        weights["bias"] = bias if beta == 1.0 else bias * np.float32(beta)
    return context.layer(keras.layers.Dense, node, value.tensor, weights, units=units, use_bias=bias is not None)


def batch_normalization(context: Context, node: Node) -> Any:
    """ONNX BatchNormalization in inference form; stays a layer of its own so that it can be trained."""
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    weights = {name: _array(context, node, index + 1) for index, name in enumerate(names)}
    return context.layer(
        keras.layers.BatchNormalization,
        node,
        context.tensor(node.inputs[0]),
        weights,
        epsilon=float(node.attrs.get("epsilon", 1e-5)),
        momentum=float(node.attrs.get("momentum", 0.9)),
    )


def prelu(context: Context, node: Node) -> Any:
    """ONNX PRelu: one slope for all, or one per channel."""
    tensor = context.tensor(node.inputs[0])
    slope = _array(context, node, 1).reshape(-1)
    channels = int(tensor.shape[-1])
    if slope.size not in (1, channels):
        raise context.refuse(node, f"has {slope.size} slopes for {channels} channels")
    rank = len(tensor.shape)
    alpha = np.broadcast_to(slope, (channels,)).reshape((1,) * (rank - 2) + (channels,))
    return context.layer(keras.layers.PReLU, node, tensor, {"alpha": alpha}, shared_axes=list(range(1, rank - 1)))


def _array(context: Context, node: Node, position: int) -> np.ndarray:
    array = context.param(node.inputs[position]) if len(node.inputs) > position else None
    if array is None:
        raise context.refuse(node, f"its input {position} has to be a stored array")
    return array


OPS: dict[str, Op] = {
    "Conv": conv,
    "Gemm": gemm,
    "BatchNormalization": batch_normalization,
    "PRelu": prelu,
}
