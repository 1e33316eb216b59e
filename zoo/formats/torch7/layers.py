"""Torch7's modules that hold weights or slide windows: convolution, linear, normalisation, pooling, resizing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from zoo import windows
from zoo.formats.torch7.translate import Flow, Op, Step, Value
from zoo.shapes import told

Pair = tuple[int, int]
MAX_PARTS = 64  # of an axis that pooling to a fixed size cuts into windows of different sizes


def _pads(step: Step) -> Pair:
    """Padding, which old files have as one number or not at all."""
    if step.get("padding") is not None:
        return step.pair("padding", "padding", 0, 0)
    return step.pair("padH", "padW", 0, 0)


def convolution(step: Step) -> Flow:
    """SpatialConvolution of every kind: weights in 4, 2 (unfolded) or 5 (one more for groups) dimensions."""
    channels, _, _ = step.image()
    inputs, outputs = step.integer("nInputPlane", low=1), step.integer("nOutputPlane", low=1)
    kernel, group, pads = step.pair("kH", "kW"), step.integer("groups", 1, 1), _pads(step)
    if inputs % group or outputs % group:
        raise step.damaged(f"cannot split {inputs} inputs and {outputs} outputs into {group} groups")
    if channels != inputs:
        raise step.damaged(f"takes {inputs} channels, gets {told(step.shape)}; is the input shape right?")
    shape = (outputs, inputs // group, *kernel)
    flat = (outputs, inputs // group * math.prod(kernel))
    weight = step.param("weight", shape, flat, (group, outputs // group, *shape[1:]), as_shape=shape)
    return step.node(
        "Conv",
        [step.x, weight, *_bias(step, outputs)],
        kernel_shape=kernel,
        strides=step.pair("dH", "dW", 1),
        pads=(*pads, *pads),
        dilations=step.pair("dilationH", "dilationW", 1),
        group=group,
    )


def full_convolution(step: Step) -> Flow:
    """SpatialFullConvolution, the transposed one; its weights count inputs first."""
    if isinstance(step.flow, list):
        raise step.unsupported("takes the size of its output from a second value")
    step.image()
    inputs, outputs = step.integer("nInputPlane", low=1), step.integer("nOutputPlane", low=1)
    kernel, group, pads = step.pair("kH", "kW"), step.integer("groups", 1, 1), _pads(step)
    if inputs % group or outputs % group:
        raise step.damaged(f"cannot split {inputs} inputs and {outputs} outputs into {group} groups")
    weight = step.param("weight", (inputs, outputs // group, *kernel))
    return step.node(
        "ConvTranspose",
        [step.x, weight, *_bias(step, outputs)],
        kernel_shape=kernel,
        strides=step.pair("dH", "dW", 1),
        pads=(*pads, *pads),
        output_padding=step.pair("adjH", "adjW", 0, 0),
        group=group,
    )


def _bias(step: Step, outputs: int) -> list[str]:
    return [step.param("bias", (outputs,))] if step.get("bias") is not None else []


def linear(step: Step) -> Flow:
    """Linear, on vectors; a network that begins with one takes vectors of its size."""
    weight = step.get("weight")
    if isinstance(step.flow, Value) and len(getattr(weight, "shape", ())) == 2:
        step.state.decide(step.flow, (-1, weight.shape[1]))
    _vector(step)
    array = step.array("weight")
    if array.ndim != 2:
        raise step.damaged(f"has a weight of shape {array.shape}, expected 2 dimensions")
    return step.node("Gemm", [step.x, step.param("weight"), *_bias(step, array.shape[0])], transB=1)


def _vector(step: Step) -> None:
    if step.lead and len(step.shape) == 4:
        raise step.mixes(f"gets a map of {told(step.shape)}, expected vectors")
    if len(step.shape) != 2:
        raise step.damaged(f"gets {told(step.shape)}, expected vectors; is the input shape right?")


def batch_norm(step: Step) -> Flow:
    """Batch normalisation by running statistics; before version 2 their deviation was stored, and as its inverse."""
    mean = step.get("running_mean")
    if step.base == "BatchNormalization":
        if isinstance(step.flow, Value) and len(getattr(mean, "shape", ())) == 1:
            step.state.decide(step.flow, (-1, mean.shape[0]))
        _vector(step)
    else:
        step.image()
    count = step.shape[1]
    epsilon = step.real("eps", 1e-5)
    if step.flag("affine") and not step.has("weight"):
        raise step.damaged(f"lacks its weight, a tensor of shape {(count,)}")
    names = [
        step.param("weight", (count,)) if step.has("weight") else step.store("ones", np.ones(count, np.float32)),
        step.param("bias", (count,)) if step.has("bias") else step.store("zeros", np.zeros(count, np.float32)),
        step.param("running_mean", (count,)),
    ]
    if step.has("running_var") or not step.has("running_std"):
        names.append(step.param("running_var", (count,)))
    else:
        inverse = step.array("running_std", (count,)).astype(np.float64)
        with np.errstate(all="ignore"):
            names.append(step.store("running_std", (inverse**-2 - epsilon).astype(np.float32), made_of="running_std"))
    return step.node("BatchNormalization", [step.x, *names], epsilon=epsilon)


# Windows


def _window(step: Step, *, default: Pair | None = None) -> dict[str, Any]:
    """Attributes of a pooling window.

    Raises:
        Unsupported: the last window would lie outside the input, where Torch reads beyond it or pads in its own way.
    """
    _, *size = step.image()
    kernel, pads = step.pair("kH", "kW"), step.pair("padH", "padW", 0, 0)
    height, width = default or kernel
    strides = (step.integer("dH", height, 1), step.integer("dW", width, 1))
    dilations = step.pair("dilationH", "dilationW", 1)
    ceil = step.flag("ceil_mode") or step.package == "inn"  # those are always rounded up, whatever the field says
    if ceil:
        for n, k, d, s, p in zip(size, kernel, dilations, strides, pads, strict=True):
            last = -(-(n + 2 * p - d * (k - 1) - 1) // s) * s
            if last >= n + p and (not any(pads) or step.package == "cudnn"):
                raise step.unsupported(f"its last window of {kernel} with stride {strides} misses the input")
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "pads": (*pads, *pads)}
    if dilations != (1, 1):
        attrs["dilations"] = dilations
    return {**attrs, "ceil_mode": int(ceil)}


def max_pooling(step: Step) -> Flow:
    """SpatialMaxPooling, rounding down unless told otherwise; dilated too."""
    return step.node("MaxPool", [step.x], **_window(step))


def average_pooling(step: Step) -> Flow:
    """SpatialAveragePooling; files from before it had `divide` hold one that sums."""
    attrs = _window(step, default=(1, 1) if step.package == "nn" else None)
    # Files from before padding counted all of the window. cudnn.torch never got to leave padding out (a slip turns its
    # `false` into true), but the field says what the network was made for and what nn makes of the same file.
    include = step.get("ceil_mode") is None or step.flag("count_include_pad", True)
    attrs["count_include_pad"] = int(include)
    if step.flag("divide", default=step.package != "nn"):
        return step.node("AveragePool", [step.x], **attrs)
    if step.package == "cudnn":
        raise step.unsupported("divide: false, which cudnn refuses")
    mean = step.node("AveragePool", [step.x], suffix="mean", **attrs)
    return step.node("Mul", [mean, step.constant("area", math.prod(step.pair("kH", "kW")))])


def sub_sampling(step: Step) -> Flow:
    """SpatialSubSampling: the window's sum times a number per channel, plus another."""
    channels, _, _ = step.image()
    kernel = step.pair("kH", "kW")
    mean = step.node(
        "AveragePool", [step.x], suffix="mean", kernel_shape=kernel, strides=step.pair("dH", "dW", 1), pads=(0, 0, 0, 0)
    )
    total = step.node("Mul", [mean, step.constant("area", math.prod(kernel))], suffix="sum")
    shape = (channels, 1, 1)
    scaled = step.node("Mul", [total, step.param("weight", (channels,), as_shape=shape)], suffix="scale")
    return step.node("Add", [scaled, step.param("bias", (channels,), as_shape=shape)])


def adaptive(kind: str) -> Op:
    """Returns the translation of a pooling to a fixed size."""

    def translate(step: Step) -> Flow:
        _, height, width = step.image()
        rows, columns = step.pair("H", "W")
        if (rows, columns) == (1, 1):
            return step.node(f"Global{kind}Pool", [step.x])
        if not (height % rows or width % columns):
            kernel = (height // rows, width // columns)
            return step.node(f"{kind}Pool", [step.x], kernel_shape=kernel, strides=kernel, pads=(0, 0, 0, 0))
        if max(rows, columns) > MAX_PARTS:
            raise step.unsupported(f"pools {height}x{width} to {rows}x{columns}, in more than {MAX_PARTS} parts")
        op = {"Average": "ReduceMean", "Max": "ReduceMax"}[kind]
        made = _parts(step, op, step.x, 2, windows.adaptive(height, rows), "rows")
        return _parts(step, op, made, 3, windows.adaptive(width, columns), "columns", last=True)

    return translate


def _parts(step: Step, op: str, value: Value, axis: int, parts: list[Pair], what: str, *, last: bool = False) -> Value:
    """The mean or maximum of each part of an axis: what holds for a rectangle holds for its rows, then its columns."""
    found: list[Value | str] = []
    for i, (start, end) in enumerate(parts):
        cut: dict[str, Any] = {"starts": (start,), "ends": (end,), "axes": (axis,), "steps": (1,)}
        part = step.node("Slice", [value], suffix=f"{what}{i}", **cut)
        found.append(step.node(op, [part], suffix=f"{what}{i}_{op.lower()}", axes=(axis,), keepdims=1))
    return step.node("Concat", found, suffix="" if last else what, axis=axis)


# Responses


def lrn(step: Step) -> Flow:
    """SpatialCrossMapLRN; alpha is divided by the size as ONNX does."""
    step.image()
    size = step.integer("size", 5, 1)
    alpha, beta = step.real("alpha", 1e-4), step.real("beta", 0.75)
    bias = step.real("K" if step.get("K") is not None else "k", 1.0)
    if size % 2 == 0 and step.package != "cudnn":
        raise step.unsupported(f"size {size}; Torch's CPU and GPU code differ for even sizes")
    return step.node("LRN", [step.x], size=size, alpha=alpha, beta=beta, bias=bias)


def normalize(step: Step) -> Flow:
    """Normalize(p): divides vectors by their p-norm; eps is added before the root."""
    if len(step.shape) != 2:
        raise step.unsupported(f"normalises {told(step.shape)}; only vectors")
    norm, epsilon = step.real("p", infinite=True), step.real("eps", 1e-10)
    if norm <= 0:
        raise step.damaged(f"has p {norm}, expected a positive number")
    x = step.x
    if math.isinf(norm):
        size = step.node("Abs", [x], suffix="abs")
        most = step.node("ReduceMax", [size], suffix="max", axes=(1,), keepdims=1)
        length = step.node("Add", [most, step.constant("eps", epsilon)], suffix="norm")
        return step.node("Div", [x, length])
    if norm == 2:
        total = step.node("ReduceSumSquare", [x], suffix="sum", axes=(1,), keepdims=1)
    else:
        size = step.node("Abs", [x], suffix="abs")
        raised = size if norm == 1 else step.node("Pow", [size, step.constant("p", norm)], suffix="power")
        total = step.node("ReduceSum", [raised], suffix="sum", axes=(1,), keepdims=1)
    length = step.node("Add", [total, step.constant("eps", epsilon)], suffix="add")
    if norm == 2:
        length = step.node("Sqrt", [length], suffix="norm")
    elif norm != 1:
        length = step.node("Pow", [length, step.constant("root", 1 / norm)], suffix="norm")
    return step.node("Div", [x, length])


# Resizing


def nearest(step: Step) -> Flow:
    """SpatialUpSamplingNearest: each number becomes a square."""
    step.image()
    factor = float(step.integer("scale_factor", low=1))
    return step.node(
        "Resize",
        [step.x],
        mode="nearest",
        scales=(1.0, 1.0, factor, factor),
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def bilinear(step: Step) -> Flow:
    """SpatialUpSamplingBilinear: the corners stay corners; the size is given, or a multiple."""
    channels, height, width = step.image()
    if step.get("scale_factor") is not None:
        factor = step.integer("scale_factor", low=1)
        height, width = height * factor, width * factor
    else:
        height, width = step.pair("oheight", "owidth")
    return step.node(
        "Resize",
        [step.x],
        mode="linear",
        sizes=(1, channels, height, width),
        coordinate_transformation_mode="align_corners",
    )


OPS: dict[str, Op] = {
    "BatchNormalization": batch_norm,
    "Linear": linear,
    "Normalize": normalize,
    "SpatialAdaptiveAveragePooling": adaptive("Average"),
    "SpatialAdaptiveMaxPooling": adaptive("Max"),
    "SpatialAveragePooling": average_pooling,
    "SpatialBatchNormalization": batch_norm,
    "SpatialConvolution": convolution,
    "SpatialConvolutionMM": convolution,
    "SpatialCrossMapLRN": lrn,
    "SpatialCrossResponseNormalization": lrn,
    "SpatialDilatedConvolution": convolution,
    "SpatialDilatedMaxPooling": max_pooling,
    "SpatialFullConvolution": full_convolution,
    "SpatialMaxPooling": max_pooling,
    "SpatialSubSampling": sub_sampling,
    "SpatialUpSamplingBilinear": bilinear,
    "SpatialUpSamplingNearest": nearest,
}
