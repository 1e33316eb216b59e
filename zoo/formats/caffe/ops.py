"""Caffe's layer types, one small translation each; shapes are without the batch, axes count the batch as 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo.formats.caffe.translate import Op, Step, Value
from zoo.graph import Node, Param

Pair = tuple[int, int]


def convolution(step: Step) -> Value:
    """Convolution, grouped, dilated, with or without bias."""
    param = step.spec.convolution_param
    channels, *size = _image(step)
    if step.axis(param.axis) != 1:
        raise step.unsupported(f"axis {param.axis}; only the channels, axis 1")
    kernel, stride, pad = _window(step, param)
    dilation = _pair(step, "dilation", param.dilation, 1)
    outputs, group = param.num_output, param.group
    if not outputs or not group or channels % group or outputs % group:
        raise step.damaged(f"cannot split {channels} inputs and {outputs} outputs into {group} groups")
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    moved = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, pad, spans, stride, strict=True)]
    inputs = [step.inputs[0].name, step.param(0, (outputs, channels // group, *kernel))]
    if param.bias_term:
        inputs.append(step.param(1, (outputs,)))
    return step.node(
        "Conv",
        inputs,
        (outputs, *moved),
        kernel_shape=kernel,
        strides=stride,
        pads=(*pad, *pad),
        dilations=dilation,
        group=group,
    )


def pooling(step: Step) -> Value:
    """Pooling: the output size rounds up unless a fork's field says otherwise."""
    param = step.spec.pooling_param
    channels, *size = _image(step)
    kind = {0: "Max", 1: "Average"}.get(param.pool)
    if kind is None:
        raise step.unsupported("stochastic pooling")
    if param.global_pooling:
        if any(_window(step, param, (1, 1))[2]) or any(n != 1 for n in _window(step, param, (1, 1))[1]):
            raise step.damaged("pools globally, which goes with pad 0 and stride 1")
        return step.node(f"Global{kind}Pool", [step.inputs[0].name], (channels, 1, 1))
    kernel, stride, pad = _window(step, param)
    if any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise step.damaged(f"pads {pad} for a kernel of {kernel}; padding has to be smaller")
    ceil = param.ceil_mode and param.round_mode == 0
    moved = []
    for n, k, s, p in zip(size, kernel, stride, pad, strict=True):
        rest = n + 2 * p - k
        count = (-(-rest // s) if ceil else rest // s) + 1
        if any(pad) and (count - 1) * s >= n + p:  # the last window would lie in the padding alone: Caffe drops it
            count -= 1
        elif (count - 1) * s >= n + p:  # without padding it does not, and the window is empty
            raise step.unsupported(f"its last window of {kernel} with stride {stride} misses the input {tuple(size)}")
        moved.append(count)
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": (*pad, *pad), "ceil_mode": int(ceil)}
    if kind == "Average":
        attrs["count_include_pad"] = 1
    return step.node(f"{kind}Pool", [step.inputs[0].name], (channels, *moved), **attrs)


def inner_product(step: Step) -> Value:
    """InnerProduct on everything from axis 1 on, flattened."""
    param = step.spec.inner_product_param
    if step.axis(param.axis) != 1:
        raise step.unsupported(f"axis {param.axis}; only axis 1")
    features, outputs = math.prod(step.shape), param.num_output
    if not outputs:
        raise step.damaged("has no num_output")
    value = step.inputs[0]
    if len(value.shape) > 1:
        value = step.node("Flatten", [value.name], (features,), suffix="flatten", axis=1)
    shape = (features, outputs) if param.transpose else (outputs, features)
    inputs = [value.name, step.param(0, shape)]
    if param.bias_term:
        inputs.append(step.param(1, (outputs,)))
    return step.node("Gemm", inputs, (outputs,), transB=int(not param.transpose))


def lrn(step: Step) -> Value:
    """LRN across channels; ONNX divides alpha by the size just as Caffe does."""
    param = step.spec.lrn_param
    if param.norm_region != 0:
        raise step.unsupported("norm_region WITHIN_CHANNEL")
    if param.local_size % 2 == 0:
        raise step.damaged(f"has local_size {param.local_size}; Caffe takes odd ones")
    _image(step)
    attrs = {"size": param.local_size, "alpha": param.alpha, "beta": param.beta, "bias": param.k}
    return step.node("LRN", [step.inputs[0].name], step.shape, **attrs)


def batch_norm(step: Step) -> Value:
    """BatchNorm: mean and variance are sums, to be divided by the third blob; a Scale may bring gamma and beta."""
    param = step.spec.batch_norm_param
    if param.HasField("use_global_stats") and not param.use_global_stats:
        raise step.unsupported("use_global_stats: false, which normalises by each batch's own statistics")
    channels = step.shape[0]
    sums = [step.blob(i, (channels,)) for i in (0, 1)]
    count = step.blob(2, (1,))
    statistics = [
        step.store(str(i), Param((channels,)) if array is None or count is None else _divided(array, float(count[0])))
        for i, array in enumerate(sums)
    ]
    # Views of one number: `scale` replaces them where it can.
    gamma, beta = (np.broadcast_to(np.float32(n), (channels,)) for n in (1, 0))
    inputs = [step.inputs[0].name, step.store("gamma", gamma), step.store("beta", beta), *statistics]
    value = step.node("BatchNormalization", inputs, step.shape, epsilon=param.eps)
    step.state.bare_norms.add(value.name)
    return value


def _divided(array: np.ndarray, count: float) -> np.ndarray:
    if count == 1.0:
        return array
    with np.errstate(all="ignore"):
        return array * np.float32(0.0 if count == 0.0 else 1.0 / count)


def scale(step: Step) -> Value:
    """Scale: gamma and beta of the BatchNorm just before it, or a multiplication and an addition."""
    param = step.spec.scale_param
    if len(step.inputs) == 2:
        return _scale_by_value(step)
    axis = step.axis(param.axis)
    normalisation = _batch_norm_before(step) if (axis, param.num_axes) == (1, 1) else None
    if normalisation is not None:
        params = step.state.params
        inputs = list(normalisation.inputs)
        inputs[1] = _in_place_of(params, inputs[1], step.param(0, step.shape[:1]))
        if param.bias_term:
            inputs[2] = _in_place_of(params, inputs[2], step.param(1, step.shape[:1]))
        step.replace_node(step.inputs[0].name, inputs)
        return step.inputs[0]
    shape, spread = _covered(step, axis, param.num_axes)
    inputs = [step.inputs[0].name, step.param(0, shape, as_shape=spread)]
    if not param.bias_term:
        return step.node("Mul", inputs, step.shape)
    value = step.node("Mul", inputs, step.shape, suffix="mul")
    return step.node("Add", [value.name, step.param(1, shape, as_shape=spread)], step.shape)


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


def _scale_by_value(step: Step) -> Value:
    """Scale with two bottoms, whole leading axes of the first: (N, C) times (N, C, H, W) with axis 0."""
    first, second = step.inputs
    if step.spec.scale_param.bias_term or step.axis(step.spec.scale_param.axis) != 0:
        raise step.unsupported("two bottoms with a bias, or from another axis than 0")
    covered = first.shape[: len(second.shape)]
    if covered != second.shape:
        raise step.damaged(f"multiplies {first.shape} by {second.shape} (without the batch)")
    spread = second.shape + (1,) * (len(first.shape) - len(second.shape))
    if spread != second.shape:
        second = step.node("Reshape", [second.name], spread, suffix="spread", shape=(0, *spread))
    return step.node("Mul", [first.name, second.name], first.shape)


def bias(step: Step) -> Value:
    """Bias: adds an array along some axes."""
    param = step.spec.bias_param
    if len(step.inputs) != 1:
        raise step.unsupported("two bottoms")
    shape, spread = _covered(step, step.axis(param.axis), param.num_axes)
    return step.node("Add", [step.inputs[0].name, step.param(0, shape, as_shape=spread)], step.shape)


def _covered(step: Step, axis: int, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of an array that covers `count` axes from one on, and that shape as it broadcasts to the input."""
    if axis == 0 and count != 0:
        raise step.unsupported("acts along the batch")
    if count < -1 or axis + count > len(step.shape) + 1:
        raise step.damaged(f"covers {count} axes from {axis} on, its input has {len(step.shape) + 1}")
    if count == 0:
        return (), ()
    shape = step.shape[axis - 1 :] if count == -1 else step.shape[axis - 1 : axis - 1 + count]
    return shape, shape + (1,) * (len(step.shape) - (axis - 1) - len(shape))


def relu(step: Step) -> Value:
    """ReLU, leaky with a negative slope."""
    slope = step.spec.relu_param.negative_slope
    if slope:
        return step.node("LeakyRelu", [step.inputs[0].name], step.shape, alpha=slope)
    return step.node("Relu", [step.inputs[0].name], step.shape)


def prelu(step: Step) -> Value:
    """PReLU with a slope per channel or one for all."""
    if step.spec.prelu_param.channel_shared:
        slope = step.param(0, (1,))
    else:
        slope = step.param(0, step.shape[:1], as_shape=step.shape[:1] + (1,) * (len(step.shape) - 1))
    return step.node("PRelu", [step.inputs[0].name, slope], step.shape)


def dropout(step: Step) -> Value:
    """Dropout: identity at test time; its ratio is kept for training."""
    param = step.spec.dropout_param
    if not param.scale_train:
        raise step.unsupported("scale_train: false, which scales at test time")
    if not 0 <= param.dropout_ratio < 1:
        raise step.damaged(f"has dropout_ratio {param.dropout_ratio}; expected 0 to 1")
    return step.node("Dropout", [step.inputs[0].name], step.shape, ratio=param.dropout_ratio)


def softmax(step: Step) -> Value:
    """Softmax along one axis, the channels by default."""
    axis = step.axis(step.spec.softmax_param.axis)
    return step.node("Softmax", [step.inputs[0].name], step.shape, axis=axis)


def eltwise(step: Step) -> Value:
    """Eltwise: product, maximum, or sum with coefficients."""
    param = step.spec.eltwise_param
    different = [value.shape for value in step.inputs if value.shape != step.shape]
    if different or len(step.inputs) < 2:
        raise step.damaged(f"combines {step.shape} with {different[:8] or 'nothing'} (without the batch)")
    names = [value.name for value in step.inputs]
    if param.operation == 0:
        return _chain(step, "Mul", names)
    if param.operation == 2:
        return step.node("Max", names, step.shape)
    if param.coeff and len(param.coeff) != len(names):
        raise step.damaged(f"has {len(param.coeff)} coefficients for {len(names)} bottoms")
    for i, number in enumerate(param.coeff):
        if number != 1:
            inputs = [names[i], step.constant(f"coeff{i}", number)]
            names[i] = step.node("Mul", inputs, step.shape, suffix=f"mul{i}").name
    return step.node("Add" if len(names) == 2 else "Sum", names, step.shape)


def _chain(step: Step, op: str, names: Sequence[str]) -> Value:
    """A binary ONNX op over any number of values."""
    left = names[0]
    for i, right in enumerate(names[1:-1]):
        left = step.node(op, [left, right], step.shape, suffix=f"{op.lower()}{i}").name
    return step.node(op, [left, names[-1]], step.shape)


def concat(step: Step) -> Value:
    """Concat along an axis, the channels by default."""
    param = step.spec.concat_param
    axis = step.axis(param.concat_dim if param.HasField("concat_dim") else param.axis)
    if axis == 0:
        raise step.unsupported("joins along the batch")
    rest = {value.shape[: axis - 1] + value.shape[axis:] for value in step.inputs}
    if len(rest) != 1 or len({len(value.shape) for value in step.inputs}) != 1:
        raise step.damaged(
            f"cannot join {[value.shape for value in step.inputs[:8]]} (without the batch) along axis {axis}"
        )
    shape = list(step.shape)
    shape[axis - 1] = sum(value.shape[axis - 1] for value in step.inputs)
    return step.node("Concat", [value.name for value in step.inputs], tuple(shape), axis=axis)


def split(step: Step) -> list[Value]:
    """Split: one value under several names."""
    return [step.inputs[0]] * len(step.layer.tops)


def flatten(step: Step) -> Value:
    """Flatten: some axes into one, all but the batch by default."""
    param = step.spec.flatten_param
    first, last = step.axis(param.axis), step.axis(param.end_axis)
    if first == 0 or last < first:
        raise step.unsupported(f"flattens axes {first} to {last}")
    middle = math.prod(step.shape[first - 1 : last])
    shape = (*step.shape[: first - 1], middle, *step.shape[last:])
    return _reshaped(step, shape)


def reshape(step: Step) -> Value:
    """Reshape: 0 keeps an axis, -1 takes what is left; the batch has to stay."""
    param = step.spec.reshape_param
    first = step.axis(param.axis, end=1)
    rank = len(step.shape) + 1
    last = rank if param.num_axes == -1 else first + param.num_axes
    if param.num_axes < -1 or last > rank:
        raise step.damaged(f"replaces {param.num_axes} axes from {first} on, its input has {rank}")
    old = (0, *step.shape)  # 0: the batch, whatever its size
    dims = [old[first + i] if n == 0 and first + i < rank else n for i, n in enumerate(param.shape.dim)]
    new = [*old[:first], *dims, *old[last:]]
    if not new or new[0] not in (0, -1, 1) or 0 in new[1:] or new.count(-1) > 1:
        raise step.unsupported(f"reshapes (batch, {str(step.shape)[1:]} to {new}")
    if new[0] == 1 and -1 not in new and math.prod(new[1:]) != math.prod(step.shape):
        raise step.damaged(f"cannot turn {step.shape} into {tuple(new[1:])} (without the batch)")
    if -1 in new[1:]:
        known = math.prod(n for n in new[1:] if n != -1)
        new[new.index(-1, 1)] = math.prod(step.shape) // known if known > 0 else -1
    shape = tuple(new[1:])
    if math.prod(shape) != math.prod(step.shape) or any(n < 1 for n in shape):
        raise step.damaged(f"cannot turn {step.shape} into {shape} (without the batch)")
    return _reshaped(step, shape)


def _reshaped(step: Step, shape: tuple[int, ...]) -> Value:
    if len(shape) == 1:
        return step.node("Flatten", [step.inputs[0].name], shape, axis=1)
    return step.node("Reshape", [step.inputs[0].name], shape, shape=(0, *shape))


def power(step: Step) -> Value:
    """Power: (shift + scale * x) ** power."""
    param = step.spec.power_param
    parts = [
        (op, suffix, number)
        for op, suffix, number, neutral in (
            ("Mul", "scale", param.scale, 1.0),
            ("Add", "shift", param.shift, 0.0),
            ("Pow", "power", param.power, 1.0),
        )
        if number != neutral
    ]
    value = step.inputs[0]
    for i, (op, suffix, number) in enumerate(parts):
        inputs = [value.name, step.constant(suffix, number)]
        value = step.node(op, inputs, step.shape, suffix="" if i == len(parts) - 1 else op.lower())
    return value if parts else step.node("Identity", [value.name], step.shape)


def elementwise(op: str, attrs: Callable[[Any], dict[str, Any]] = lambda spec: {}) -> Op:
    """Returns the translation of a layer that is one parameterless ONNX op."""
    return lambda step: step.node(op, [step.inputs[0].name], step.shape, **attrs(step.spec))


def _image(step: Step) -> tuple[int, ...]:
    if len(step.shape) != 3:
        raise step.unsupported(f"input of shape {step.shape} (without the batch); only channels, height, width")
    return step.shape


def _window(step: Step, param: Any, kernel: Pair | None = None) -> tuple[Pair, Pair, Pair]:
    """Kernel, stride and padding as (height, width), from either spelling."""
    if kernel is None:
        kernel = _spelled(step, param, "kernel_size", "kernel_h", "kernel_w", 0)
    stride = _spelled(step, param, "stride", "stride_h", "stride_w", 1)
    pad = _spelled(step, param, "pad", "pad_h", "pad_w", 0)
    if 0 in kernel or 0 in stride:
        raise step.damaged(f"has kernel {kernel} and stride {stride}; both have to be at least 1")
    return kernel, stride, pad


def _spelled(step: Step, param: Any, name: str, height: str, width: str, default: int) -> Pair:
    both = getattr(param, name)
    apart = param.HasField(height) or param.HasField(width)
    if both and apart:
        raise step.damaged(f"has both {name} and {height}/{width}; expected one spelling")
    if apart:
        one = tuple(int(getattr(param, key)) if param.HasField(key) else default for key in (height, width))
        return one[0], one[1]
    return _pair(step, name, both, default)


def _pair(step: Step, name: str, numbers: Sequence[int], default: int) -> Pair:
    """One number for both axes or one for each."""
    if len(numbers) > 2:
        raise step.damaged(f"has {len(numbers)} numbers for {name}; expected one or two")
    first = int(numbers[0]) if numbers else default
    second = int(numbers[-1]) if numbers else default
    if name == "dilation" and 0 in (first, second):
        raise step.damaged("has dilation 0; it has to be at least 1")
    return first, second


OPS: dict[str, Op] = {
    "BatchNorm": batch_norm,
    "Bias": bias,
    "Concat": concat,
    "Convolution": convolution,
    "Dropout": dropout,
    "ELU": elementwise("Elu", lambda spec: {"alpha": spec.elu_param.alpha}),
    "Eltwise": eltwise,
    "Flatten": flatten,
    "InnerProduct": inner_product,
    "LRN": lrn,
    "PReLU": prelu,
    "Pooling": pooling,
    "Power": power,
    "ReLU": relu,
    "Reshape": reshape,
    "Scale": scale,
    "Sigmoid": elementwise("Sigmoid"),
    "Softmax": softmax,
    "Split": split,
    "TanH": elementwise("Tanh"),
}
