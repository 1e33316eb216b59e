"""Layers that hold matrices: convolution, its transpose, its depthwise forks, and the inner product."""

from __future__ import annotations

import math
from typing import Any

from zoo.formats.caffe.ops.common import Pair, image, pair, window
from zoo.formats.caffe.translate import Step, Value
from zoo.graph import Param


def convolution(step: Step) -> list[Value]:
    """Convolution, grouped, dilated, with or without bias; several bottoms share the weights."""
    return _convolved(step, step.spec.convolution_param.group)


def depthwise(step: Step) -> list[Value]:
    """ConvolutionDepthwise and DepthwiseConvolution: a group for each channel, whether the text says so or not."""
    channels, _, _ = image(step)
    group = step.spec.convolution_param.group
    if group not in (1, channels):
        raise step.damaged(f"has {group} groups for {channels} channels; expected one for each")
    return _convolved(step, channels)


def _convolved(step: Step, group: int) -> list[Value]:
    param = step.spec.convolution_param
    channels, _, _ = image(step)
    kernel, stride, pad, dilation = _geometry(step, param)
    outputs = _outputs(step, param, channels, group)
    weights = _weights(step, param, (outputs, channels // group, *kernel), outputs)
    made = []
    for value in step.inputs:
        if len(value.shape) != 3 or value.shape[0] != channels:
            raise step.damaged(f"has bottoms of shapes {step.shape} and {value.shape}; one kernel cannot fit both")
        spans = _spans(kernel, dilation)
        size = zip(value.shape[1:], pad, spans, stride, strict=True)
        shape = (outputs, *((n + 2 * p - k) // s + 1 for n, p, k, s in size))
        attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": (*pad, *pad), "dilations": dilation}
        made.append(step.node("Conv", [value.name, *weights], shape, **attrs, group=group))
    return made


def deconvolution(step: Step) -> Value:
    """Deconvolution: convolution's gradient, whose kernels are stored input first, as ONNX has them."""
    param = step.spec.convolution_param
    channels, *size = image(step)
    kernel, stride, pad, dilation = _geometry(step, param)
    outputs = _outputs(step, param, channels, param.group)
    weights = _weights(step, param, (channels, outputs // param.group, *kernel), outputs)
    spans = _spans(kernel, dilation)
    moved = [s * (n - 1) + k - 2 * p for n, p, k, s in zip(size, pad, spans, stride, strict=True)]
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": (*pad, *pad), "dilations": dilation}
    return step.node("ConvTranspose", [step.inputs[0].name, *weights], (outputs, *moved), **attrs, group=param.group)


def _geometry(step: Step, param: Any) -> tuple[Pair, Pair, Pair, Pair]:
    if step.axis(param.axis) != 1:
        raise step.unsupported(f"axis {param.axis}; only the channels, axis 1")
    kernel, stride, pad = window(step, param)
    return kernel, stride, pad, pair(step, "dilation", param.dilation, 1)


def _spans(kernel: Pair, dilation: Pair) -> list[int]:
    return [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]


def _outputs(step: Step, param: Any, channels: int, group: int) -> int:
    outputs = int(param.num_output)
    if not outputs or not group or channels % group or outputs % group:
        raise step.damaged(f"cannot split {channels} inputs and {outputs} outputs into {group} groups")
    return outputs


def _weights(step: Step, param: Any, shape: tuple[int, ...], outputs: int) -> list[str]:
    return [step.param(0, shape), *([step.param(1, (outputs,))] if param.bias_term else [])]


def inner_product(step: Step) -> Value:
    """InnerProduct on everything from an axis on, flattened."""
    param = step.spec.inner_product_param
    axis, outputs = step.axis(param.axis), int(param.num_output)
    if axis == 0:
        raise step.unsupported(f"axis {param.axis}, which takes the batch for features")
    if not outputs:
        raise step.damaged("has no num_output")
    lead, features = step.shape[: axis - 1], math.prod(step.shape[axis - 1 :])
    shape = (features, outputs) if param.transpose else (outputs, features)
    if lead:
        return _on_each_position(step, lead, shape)
    value = step.inputs[0]
    if len(value.shape) > 1:
        value = step.node("Flatten", [value.name], (features,), suffix="flatten", axis=1)
    inputs = [value.name, step.param(0, shape)]
    if param.bias_term:
        inputs.append(step.param(1, (outputs,)))
    return step.node("Gemm", inputs, (outputs,), transB=int(not param.transpose))


def _on_each_position(step: Step, lead: tuple[int, ...], shape: tuple[int, int]) -> Value:
    """The same matrix for each position of the leading axes."""
    param = step.spec.inner_product_param
    features, outputs = shape if param.transpose else shape[::-1]
    value = step.inputs[0]
    if value.shape != (*lead, features):
        value = step.node("Reshape", [value.name], (*lead, features), suffix="rows", shape=(0, *lead, features))
    matrix = step.blob(0, shape)
    if matrix is not None and not param.transpose:
        matrix = matrix.T
    inputs = [value.name, step.store("0", Param((features, outputs)) if matrix is None else matrix)]
    if not param.bias_term:
        return step.node("MatMul", inputs, (*lead, outputs))
    value = step.node("MatMul", inputs, (*lead, outputs), suffix="matmul")
    return step.node("Add", [value.name, step.param(1, (outputs,))], value.shape)
