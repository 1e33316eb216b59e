"""Activations, arithmetic between values and with numbers, and reductions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo.formats.caffe.ops.common import LOWEST, arithmetic, reshaped, spread
from zoo.formats.caffe.translate import Op, Step, Value

MAX_TOP = 64  # values that ArgMax takes one after another


def elementwise(op: str, attrs: Callable[[Any], dict[str, Any]] = lambda spec: {}) -> Op:
    """Returns the translation of a layer that is one parameterless ONNX op."""
    return lambda step: step.node(op, [step.inputs[0].name], step.shape, **attrs(step.spec))


def relu(step: Step) -> Value:
    """ReLU, leaky with a negative slope."""
    slope = step.spec.relu_param.negative_slope
    if slope:
        return step.node("LeakyRelu", [step.inputs[0].name], step.shape, alpha=slope)
    return step.node("Relu", [step.inputs[0].name], step.shape)


def relu6(step: Step) -> Value:
    """ReLU6; one fork knows another threshold and a slope."""
    param = step.spec.relu6_param
    if not param.negative_slope:
        return step.node("Clip", [step.inputs[0].name], step.shape, min=0.0, max=param.threshold)
    slope = param.negative_slope
    value = step.node("LeakyRelu", [step.inputs[0].name], step.shape, suffix="leaky", alpha=slope)
    return step.node("Min", [value.name, step.constant("threshold", param.threshold)], step.shape)


def clip(step: Step) -> Value:
    """Clip, which states both bounds."""
    param = step.spec.clip_param
    if not (param.HasField("min") and param.HasField("max") and param.min <= param.max):
        raise step.damaged("needs clip_param with min and max")
    return step.node("Clip", [step.inputs[0].name], step.shape, min=param.min, max=param.max)


def prelu(step: Step) -> Value:
    """PReLU with a slope per channel or one for all."""
    if step.spec.prelu_param.channel_shared:
        slope = step.param(0, (1,))
    else:
        slope = step.param(0, step.shape[:1], as_shape=step.shape[:1] + (1,) * (len(step.shape) - 1))
    return step.node("PRelu", [step.inputs[0].name, slope], step.shape)


def swish(step: Step) -> Value:
    """Swish: x * sigmoid(beta * x)."""
    inner = name = step.inputs[0].name
    beta = step.spec.swish_param.beta
    if beta != 1:
        inner = step.node("Mul", [name, step.constant("beta", beta)], step.shape, suffix="scaled").name
    gate = step.node("Sigmoid", [inner], step.shape, suffix="gate")
    return step.node("Mul", [name, gate.name], step.shape)


def threshold(step: Step) -> Value:
    """Threshold: 1 above it, else 0."""
    inputs = [step.inputs[0].name, step.constant("threshold", step.spec.threshold_param.threshold)]
    above = step.node("Greater", inputs, step.shape, suffix="greater")
    return step.node("Cast", [above.name], step.shape, to="float32")


def softmax(step: Step) -> Value:
    """Softmax along one axis, the channels by default."""
    axis = step.axis(step.spec.softmax_param.axis)
    return step.node("Softmax", [step.inputs[0].name], step.shape, axis=axis)


def power(step: Step) -> Value:
    """Power: (shift + scale * x) ** power; a constant where the scale or the power is 0."""
    param = step.spec.power_param
    if param.power * param.scale == 0:
        with np.errstate(all="ignore"):
            number = 1.0 if param.power == 0 else float(np.power(np.float64(param.shift), np.float64(param.power)))
        parts = [("Mul", "zero", 0.0, None), ("Add", "value", number, None)]
        return arithmetic(step, step.inputs[0], parts)
    return arithmetic(
        step,
        step.inputs[0],
        [("Mul", "scale", param.scale, 1.0), ("Add", "shift", param.shift, 0.0), ("Pow", "power", param.power, 1.0)],
    )


def exp(step: Step) -> Value:
    """Exp: base ** (shift + scale * x); the base is e where it is -1."""
    param = step.spec.exp_param
    log = _log_of_base(step, param.base)
    with np.errstate(all="ignore"):
        outer = float(np.exp(np.float64(param.shift) * log))
    value = step.inputs[0]
    if param.scale * log != 1:
        value = step.node("Mul", [value.name, step.constant("scale", param.scale * log)], step.shape, suffix="scaled")
    if outer == 1:
        return step.node("Exp", [value.name], step.shape)
    value = step.node("Exp", [value.name], step.shape, suffix="exp")
    return step.node("Mul", [value.name, step.constant("outer", outer)], step.shape)


def log(step: Step) -> Value:
    """Log: the logarithm of shift + scale * x; the base is e where it is -1."""
    param = step.spec.log_param
    divisor = _log_of_base(step, param.base)
    value = step.inputs[0]
    for op, suffix, number, neutral in (("Mul", "scale", param.scale, 1), ("Add", "shift", param.shift, 0)):
        if number != neutral:
            value = step.node(op, [value.name, step.constant(suffix, number)], step.shape, suffix=op.lower())
    if divisor == 1:
        return step.node("Log", [value.name], step.shape)
    value = step.node("Log", [value.name], step.shape, suffix="log")
    return step.node("Mul", [value.name, step.constant("factor", 1 / divisor)], step.shape)


def _log_of_base(step: Step, base: float) -> float:
    if base == -1:
        return 1.0
    if not 0 < base < math.inf or base == 1:
        raise step.damaged(f"has base {base}; expected -1, which is e, or a positive number other than 1")
    return math.log(base)


def eltwise(step: Step) -> Value:
    """Eltwise: product, maximum, or sum with coefficients; forks let axes of 1 broadcast."""
    param = step.spec.eltwise_param
    shapes = [value.shape for value in step.inputs]
    different = [shape for shape in shapes if shape != step.shape]
    shape = tuple(max(sizes) for sizes in zip(*shapes, strict=False))
    fits = {len(other) for other in shapes} == {len(shape)}
    fits = fits and all(n in (1, m) for other in shapes for n, m in zip(other, shape, strict=True))
    if not fits:
        raise step.damaged(f"combines {step.shape} with {different[:8]} (without the batch)")
    names = [value.name for value in step.inputs]
    if param.operation == 0:
        return _chain(step, "Mul", names, shape)
    if param.operation == 2:
        return step.node("Max", names, shape)
    if param.coeff and len(param.coeff) != len(names):
        raise step.damaged(f"has {len(param.coeff)} coefficients for {len(names)} bottoms")
    for i, number in enumerate(param.coeff):
        if number != 1:
            inputs = [names[i], step.constant(f"coeff{i}", number)]
            names[i] = step.node("Mul", inputs, shapes[i], suffix=f"mul{i}").name
    return step.node("Add" if len(names) == 2 else "Sum", names, shape)


def _chain(step: Step, op: str, names: Sequence[str], shape: tuple[int, ...]) -> Value:
    """A binary ONNX op over any number of values."""
    left = names[0]
    for i, right in enumerate(names[1:-1]):
        left = step.node(op, [left, right], shape, suffix=f"{op.lower()}{i}").name
    return step.node(op, [left, names[-1]], shape)


def axpy(step: Step) -> Value:
    """Axpy of the squeeze-and-excitation nets: a * x + y, with one a for each channel."""
    if step.inputs[1].shape != step.inputs[2].shape:
        raise step.damaged(
            f"combines {[value.shape for value in step.inputs[:8]]} (without the batch); expected a, x, y"
        )
    factor, x, y = step.inputs
    factor = spread(step, factor, 0, x.shape)
    scaled = step.node("Mul", [factor.name, x.name], x.shape, suffix="scaled")
    return step.node("Add", [scaled.name, y.name], x.shape)


_REDUCTIONS = {1: "ReduceSum", 2: "ReduceSum", 3: "ReduceSumSquare", 4: "ReduceMean"}


def reduction(step: Step) -> Value:
    """Reduction of all axes from one on, times a coefficient."""
    param = step.spec.reduction_param
    axis = step.axis(param.axis)
    if axis == 0:
        raise step.unsupported(f"axis {param.axis}, which reduces over the batch")
    if param.operation not in _REDUCTIONS:
        raise step.damaged("has no operation")
    shape = step.shape[: axis - 1]
    name = step.inputs[0].name
    if param.operation == 2:
        name = step.node("Abs", [name], step.shape, suffix="abs").name
    axes = tuple(range(axis, len(step.shape) + 1))
    last = param.coeff == 1
    suffix = "" if last else "reduced"
    value = step.node(_REDUCTIONS[param.operation], [name], shape, suffix=suffix, axes=axes, keepdims=0)
    return value if last else step.node("Mul", [value.name, step.constant("coeff", param.coeff)], shape)


def arg_max(step: Step) -> Value:
    """ArgMax along an axis, or over all of an image; of equal values the last wins (partial_sort of pairs)."""
    param = step.spec.argmax_param
    value, count = step.inputs[0], param.top_k
    axis = 1
    if param.HasField("axis"):
        axis = step.axis(param.axis)
        if axis == 0:
            raise step.unsupported(f"axis {param.axis}, which compares images of a batch")
    elif len(value.shape) > 1:
        value = reshaped(step, value, (math.prod(value.shape),), "flatten")
    if not 1 <= count <= value.shape[axis - 1]:
        raise step.damaged(f"has top_k {count} of {value.shape[axis - 1]} values")
    if count > MAX_TOP:
        raise step.unsupported(f"top_k {count}; at most {MAX_TOP}")
    if param.HasField("axis"):
        return _largest(step, value, axis, count, "max" if param.out_max_val else "index", last=True)
    # (N, 1 or 2, top_k, 1 ...): as many axes as the input, three at least
    shape = (count, *(1,) * max(0, len(step.shape) - 2))
    index = _largest(step, value, 1, count, "index")
    if not param.out_max_val:
        return reshaped(step, index, (1, *shape))
    most = _largest(step, value, 1, count, "max")
    both = step.node("Concat", [index.name, most.name], (2 * count,), suffix="concat", axis=1)
    return reshaped(step, both, (2, *shape))


def _largest(step: Step, value: Value, axis: int, count: int, what: str, *, last: bool = False) -> Value:
    """The `count` largest along an axis, or where they are, one after another: each is taken out before the next."""
    size = value.shape[axis - 1]
    ones = (*value.shape[: axis - 1], 1, *value.shape[axis:])
    found = []
    for i in range(count):
        number = str(i or "")
        suffix = "" if last and count == 1 else f"{what}{number}"
        if what == "max":
            found.append(step.node("ReduceMax", [value.name], ones, suffix=suffix, axes=(axis,), keepdims=1))
        if what == "max" and i == count - 1:
            break
        place = step.node(
            "ArgMax", [value.name], ones, suffix=f"{what}_place{number}", axis=axis, keepdims=1, select_last_index=1
        )
        index = step.node("Cast", [place.name], ones, suffix=suffix if what == "index" else f"at{number}", to="float32")
        if what == "index":
            found.append(index)
        if i < count - 1:
            places = np.arange(size, dtype=np.float32).reshape(size, *(1,) * (len(value.shape) - axis))
            at = step.node(
                "Equal", [index.name, step.store("places", places)], value.shape, suffix=f"{what}_is{number}"
            )
            inputs = [at.name, step.constant("lowest", LOWEST), value.name]
            value = step.node("Where", inputs, value.shape, suffix=f"{what}_rest{number}")
    if count == 1:
        return found[0]
    shape = (*value.shape[: axis - 1], count, *value.shape[axis:])
    return step.node("Concat", [one.name for one in found], shape, suffix="" if last else f"{what}_all", axis=axis)
