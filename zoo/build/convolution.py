"""Convolution and its transpose."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from zoo.build.arithmetic import bias_behind
from zoo.build.context import Context, Op
from zoo.build.windows import Transposed, Window, pad_or_crop
from zoo.graph import Node
from zoo.windows import Pair


def conv(context: Context, node: Node) -> Any:
    """ONNX Conv: explicit padding unless it is exactly TensorFlow's SAME."""
    kernel = context.array(node, 1)
    tensor = context.image(node)
    group = int(node.attrs.get("group", 1))
    _check(context, node, kernel, group * kernel.shape[1] if kernel.ndim == 4 else 0, kernel.shape[0])
    if node.inputs[0] in context.reversed_inputs:
        kernel = kernel[:, ::-1]
    window = Window.of(node, kernel.shape[2:], tensor.shape[1:3])
    bias = _bias(context, node, kernel.shape[0])
    if window.strides != (1, 1) and window.dilations != (1, 1):  # Keras has either: all positions, then every n-th
        tensor = pad_or_crop(context, tensor, window.whole, f"{node.name}.pad")
        every = _convolved(context, node, tensor, kernel, bias, (1, 1), window.dilations, "valid", suffix="every")
        return context.layer(keras.layers.MaxPooling2D, node, every, pool_size=1, strides=window.strides)
    tensor, padding = window.pad_zeros(context, node, tensor)
    return _convolved(context, node, tensor, kernel, bias, window.strides, window.dilations, padding)


def _check(context: Context, node: Node, kernel: np.ndarray, inputs: int, outputs: int) -> None:
    channels, group = context.value(node).shape[1], int(node.attrs.get("group", 1))
    if kernel.ndim != 4:
        raise context.refuse(node, f"only 2-D convolution is supported, the kernel has shape {kernel.shape}")
    if inputs != channels or outputs % group:
        raise context.refuse(node, f"kernel {kernel.shape} in {group} group(s) does not fit {channels} input channels")


def _bias(context: Context, node: Node, channels: int) -> np.ndarray | None:
    """The node's own bias, or the one that an addition behind it brings."""
    if len(node.inputs) > 2 and node.inputs[2]:
        return context.array(node, 2).reshape(-1)
    return bias_behind(context, node, (1, channels, 1, 1))


def _convolved(
    context: Context,
    node: Node,
    tensor: Any,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    strides: Pair,
    dilations: Pair,
    padding: str,
    suffix: str = "",
) -> Any:
    """The layer for an OIHW kernel: depthwise where it can be, else in as many groups as it says."""
    channels = int(tensor.shape[-1])
    group = channels // kernel.shape[1]
    config = {
        "kernel_size": kernel.shape[2:],
        "strides": strides,
        "dilation_rate": dilations,
        "padding": padding,
        "use_bias": bias is not None,
        "suffix": suffix,
    }
    biases = {} if bias is None else {"bias": bias}
    depthwise = group == channels and group > 1 and strides[0] == strides[1]
    if depthwise and (strides == (1, 1) or dilations == (1, 1)):
        multiplier = kernel.shape[0] // group
        hwcm = kernel.reshape(group, multiplier, *kernel.shape[2:]).transpose(2, 3, 0, 1)
        config["depth_multiplier"] = multiplier
        return context.layer(keras.layers.DepthwiseConv2D, node, tensor, {"kernel": hwcm, **biases}, **config)
    weights = {"kernel": kernel.transpose(2, 3, 1, 0), **biases}
    return context.layer(keras.layers.Conv2D, node, tensor, weights, filters=kernel.shape[0], groups=group, **config)


def conv_transpose(context: Context, node: Node) -> Any:
    """ONNX ConvTranspose: all of it, then cut to the origin's size.

    In groups or dilated, where Keras has no such layer, it is a convolution of the input with zeros between its
    positions.
    """
    kernel = context.array(node, 1)
    tensor = context.image(node)
    group = int(node.attrs.get("group", 1))
    if kernel.ndim == 4:
        _check(context, node, kernel, kernel.shape[0], kernel.shape[0])
    else:
        _check(context, node, kernel, 0, 0)
    outputs = kernel.shape[1] * group
    window = Transposed.of(node, kernel.shape[2:], tensor.shape[1:3])
    bias = _bias(context, node, outputs)
    if group > 1 or window.dilations != (1, 1):
        return _stuffed(context, node, tensor, kernel, bias, window)
    longer = window.missing
    tensor = pad_or_crop(context, tensor, ((0, longer[0]), (0, longer[1])), f"{node.name}.pad")
    crops = window.crops(longer)
    cropped = crops != ((0, 0), (0, 0))
    weights = {"kernel": kernel.transpose(2, 3, 1, 0), **({} if bias is None else {"bias": bias})}
    tensor = context.layer(
        keras.layers.Conv2DTranspose,
        node,
        tensor,
        weights,
        filters=outputs,
        kernel_size=window.kernel,
        strides=window.strides,
        use_bias=bias is not None,
        suffix="whole" if cropped else "",
    )
    if not cropped:
        return tensor
    return keras.layers.Cropping2D(crops, name=context.unique(node.name))(tensor)


def _stuffed(
    context: Context, node: Node, tensor: Any, kernel: np.ndarray, bias: np.ndarray | None, window: Transposed
) -> Any:
    height, width, channels = tensor.shape[1:]
    group = int(node.attrs.get("group", 1))
    down, right = window.strides

    def named(suffix: str) -> str:
        return context.unique(f"{node.name}.{suffix}")

    if window.strides != (1, 1):
        tensor = keras.layers.Reshape((height, 1, width, 1, channels), name=named("apart"))(tensor)
        zeros = ((0, 0), (0, 0), (0, down - 1), (0, 0), (0, right - 1), (0, 0))
        tensor = context.rename(keras.ops.pad(tensor, zeros), f"{node.name}.zeros")
        tensor = keras.layers.Reshape((height * down, width * right, channels), name=named("between"))(tensor)
    tensor = pad_or_crop(context, tensor, window.around(), f"{node.name}.pad")
    # (in, out / group, ...) in `group` parts -> (out, in / group, ...), turned by half a turn
    parts = kernel.reshape(group, channels // group, *kernel.shape[1:]).swapaxes(1, 2)
    turned = parts.reshape(-1, channels // group, *kernel.shape[2:])[:, :, ::-1, ::-1]
    return _convolved(context, node, tensor, turned, bias, (1, 1), window.dilations, "valid")


OPS: dict[str, Op] = {"Conv": conv, "ConvTranspose": conv_transpose}
