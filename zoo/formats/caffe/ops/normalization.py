"""Normalisation and what goes with it: LRN, the kinds of batch norm, Scale, Bias, L2 and mean-variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.formats.caffe.ops.common import arithmetic, covered, image, spread
from zoo.formats.caffe.translate import Step, Value
from zoo.graph import Node, Param


def lrn(step: Step) -> Value:
    """LRN across channels, which ONNX has as Caffe has it, or within each channel."""
    param = step.spec.lrn_param
    if param.local_size % 2 == 0:
        raise step.damaged(f"has local_size {param.local_size}; Caffe takes odd ones")
    image(step)
    if param.norm_region == 0:
        attrs = {"size": param.local_size, "alpha": param.alpha, "beta": param.beta, "bias": param.k}
        return step.node("LRN", [step.inputs[0].name], step.shape, **attrs)
    return _lrn_within(step, param)


def _lrn_within(step: Step, param: Any) -> Value:
    """x * (1 + alpha * mean of squares in the window) ** -beta; k is not used (lrn_layer.cpp)."""
    name, size = step.inputs[0].name, int(param.local_size)
    pad = (size - 1) // 2
    square = step.node("Mul", [name, name], step.shape, suffix="square")
    mean = step.node(
        "AveragePool",
        [square.name],
        step.shape,
        suffix="mean",
        kernel_shape=(size, size),
        strides=(1, 1),
        pads=(pad,) * 4,
        count_include_pad=1,
    )
    scaled = step.node("Mul", [mean.name, step.constant("alpha", param.alpha)], step.shape, suffix="scaled")
    base = step.node("Add", [scaled.name, step.constant("one", 1.0)], step.shape, suffix="base")
    factor = step.node("Pow", [base.name, step.constant("beta", -param.beta)], step.shape, suffix="factor")
    return step.node("Mul", [name, factor.name], step.shape)


def batch_norm(step: Step) -> Value:
    """BatchNorm: mean and variance are sums, to be divided by the third blob; a Scale may bring gamma and beta."""
    param = step.spec.batch_norm_param
    if param.HasField("use_global_stats") and not param.use_global_stats:
        raise step.unsupported("use_global_stats: false, which normalises by each batch's own statistics")
    channels = step.shape[0] if step.shape else 1
    sums = [step.blob(i, (channels,)) for i in (0, 1)]
    count = step.blob(2, (1,))
    statistics = [
        step.store(str(i), Param((channels,)) if array is None or count is None else _divided(array, float(count[0])))
        for i, array in enumerate(sums)
    ]
    if param.scale_bias:  # NVIDIA's: gamma and beta in the same layer
        affine = [step.param(i, (channels,)) for i in (3, 4)]
    else:  # views of one number: `scale` replaces them where it can
        affine = [
            step.store(name, np.broadcast_to(np.float32(n), (channels,))) for name, n in (("gamma", 1), ("beta", 0))
        ]
    inputs = [step.inputs[0].name, *affine, *statistics]
    value = step.node("BatchNormalization", inputs, step.shape, epsilon=param.eps)
    if not param.scale_bias:
        step.state.bare_norms.add(value.name)
    return value


def _divided(array: np.ndarray, count: float) -> np.ndarray:
    if count == 1.0:
        return array
    with np.errstate(all="ignore"):
        return array * np.float32(0.0 if count == 0.0 else 1.0 / count)


def bn(step: Step) -> Value:
    """BN of the forks: SegNet's with its statistics already in scale and shift, or cuDNN's with all four arrays.

    The fourth array is the variance, as in PSPNet's bn_layer.cpp and cuDNN; some early CPU code kept 1 / deviation
    there, but no network was published with it.
    """
    param = step.spec.bn_param
    channels = step.shape[0] if step.shape else 1
    if step.axis(param.axis) != 1:
        raise step.unsupported(f"axis {param.axis}; only the channels, axis 1")
    stored = None if step.state.weights is None else len(step.state.weights.get(step.name, ()))
    if param.bn_mode == 1:
        spots = (channels,) + (1,) * (len(step.shape) - 1)
        value = step.node(
            "Mul", [step.inputs[0].name, step.param(0, (channels,), as_shape=spots)], step.shape, suffix="mul"
        )
        return step.node("Add", [value.name, step.param(1, (channels,), as_shape=spots)], step.shape)
    first = param.HasField("var_eps") or param.HasField("moving_average")
    if stored == 2 or param.HasField("bn_mode") or (first and not param.moving_average):
        raise step.unsupported("normalises by each batch's own statistics; expected bn_mode: INFERENCE or four arrays")
    gamma, beta, mean, variance = (step.param(i, (channels,)) for i in range(4))
    return step.node(
        "BatchNormalization",
        [step.inputs[0].name, gamma, beta, mean, variance],
        step.shape,
        epsilon=param.var_eps if first else param.eps,
    )


def scale(step: Step) -> Value:
    """Scale: gamma and beta of the BatchNorm just before it, or a multiplication and an addition."""
    param = step.spec.scale_param
    axis = step.axis(param.axis)
    if len(step.inputs) == 2:
        if param.bias_term:
            raise step.unsupported("two bottoms with a bias")
        other = spread(step, step.inputs[1], axis, step.shape)
        return step.node("Mul", [step.inputs[0].name, other.name], step.shape)
    normalisation = _batch_norm_before(step) if (axis, param.num_axes) == (1, 1) else None
    if normalisation is not None:
        params = step.state.params
        inputs = list(normalisation.inputs)
        inputs[1] = _in_place_of(params, inputs[1], step.param(0, step.shape[:1]))
        if param.bias_term:
            inputs[2] = _in_place_of(params, inputs[2], step.param(1, step.shape[:1]))
        step.replace_node(step.inputs[0].name, inputs)
        return step.inputs[0]
    shape, spots = covered(step, axis, param.num_axes)
    inputs = [step.inputs[0].name, step.param(0, shape, as_shape=spots)]
    if not param.bias_term:
        return step.node("Mul", inputs, step.shape)
    value = step.node("Mul", inputs, step.shape, suffix="mul")
    return step.node("Add", [value.name, step.param(1, shape, as_shape=spots)], step.shape)


def _batch_norm_before(step: Step) -> Node | None:
    """The BatchNormalization whose output only this layer reads and that has no gamma and beta yet."""
    made = step.inputs[0].name
    if made not in step.state.bare_norms or step.state.reads[step.layer.bottoms[0]] != 1:
        return None
    step.state.bare_norms.remove(made)
    return next(node for node in reversed(step.state.nodes) if node.outputs[0] == made)


def _in_place_of(params: dict[str, Any], old: str, new: str) -> str:
    del params[old]
    return new


def bias(step: Step) -> Value:
    """Bias: adds a stored array along some axes, or a second bottom."""
    param = step.spec.bias_param
    axis = step.axis(param.axis)
    if len(step.inputs) == 2:
        other = spread(step, step.inputs[1], axis, step.shape).name
    else:
        shape, spots = covered(step, axis, param.num_axes)
        other = step.param(0, shape, as_shape=spots)
    return step.node("Add", [step.inputs[0].name, other], step.shape)


def normalize(step: Step) -> Value:
    """Normalize of SSD: divided by the L2 norm of each position or of the whole map, times a stored scale.

    eps is added to the sum of squares, below the root: neither ONNX's LpNormalization nor L2's usual clamp.
    """
    param = step.spec.norm_param
    channels, height, width = image(step)
    axes, shape = ((1, 2, 3), (1, 1, 1)) if param.across_spatial else ((1,), (1, height, width))
    name = step.inputs[0].name
    squares = step.node("ReduceSumSquare", [name], shape, suffix="squares", axes=axes, keepdims=1)
    base = step.node("Add", [squares.name, step.constant("eps", param.eps)], shape, suffix="base")
    norm = step.node("Sqrt", [base.name], shape, suffix="norm")
    value = step.node("Div", [name, norm.name], step.shape, suffix="div")
    if param.channel_shared:
        stored = step.param(0, (), as_shape=())
    else:
        stored = step.param(0, (channels,), as_shape=(channels, 1, 1))
    return step.node("Mul", [value.name, stored], step.shape)


def mvn(step: Step) -> Value:
    """MVN: less the mean and divided by the deviation, of each channel or of the whole; eps goes on the deviation."""
    param = step.spec.mvn_param
    channels, _, _ = image(step)
    axes, shape = ((1, 2, 3), (1, 1, 1)) if param.across_channels else ((2, 3), (channels, 1, 1))
    name = step.inputs[0].name
    mean = step.node("ReduceMean", [name], shape, suffix="mean", axes=axes, keepdims=1)
    if not param.normalize_variance:
        return step.node("Sub", [name, mean.name], step.shape)
    less = step.node("Sub", [name, mean.name], step.shape, suffix="sub")
    square = step.node("Mul", [less.name, less.name], step.shape, suffix="square")
    variance = step.node("ReduceMean", [square.name], shape, suffix="variance", axes=axes, keepdims=1)
    root = step.node("Sqrt", [variance.name], shape, suffix="root")
    deviation = step.node("Add", [root.name, step.constant("eps", param.eps)], shape, suffix="deviation")
    return step.node("Div", [less.name, deviation.name], step.shape)


def dropout(step: Step) -> Value:
    """Dropout: identity at test time; its ratio is kept for training. A fork scales at test time instead."""
    param = step.spec.dropout_param
    if not 0 <= param.dropout_ratio < 1:
        raise step.damaged(f"has dropout_ratio {param.dropout_ratio}; expected 0 to 1")
    if not param.scale_train:
        return arithmetic(step, step.inputs[0], [("Mul", "keep", 1.0 - param.dropout_ratio, None)])
    return step.node("Dropout", [step.inputs[0].name], step.shape, ratio=param.dropout_ratio)
