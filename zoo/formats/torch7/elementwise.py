"""Torch7's modules that act on each number: activations, arithmetic with constants and with stored arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zoo.formats.torch7.translate import Flow, Op, Step, Value
from zoo.shapes import told


def plain(op: str, attrs: Callable[[Step], dict[str, Any]] | None = None) -> Op:
    """Returns the translation of a module that is one ONNX op, with attributes from its fields."""

    def translate(step: Step) -> Flow:
        return step.node(op, [step.x], **(attrs(step) if attrs else {}))

    return translate


def same(step: Step) -> Flow:
    """A module that changes nothing but types and memory, or only gradients."""
    return step.flow


def dropout(step: Step) -> Flow:
    """Dropout: scales while training; before version 2, and for whole maps, it scaled at test time instead."""
    ratio = step.real("p", 0.5)
    if not 0 <= ratio <= 1:
        raise step.damaged(f"has p {ratio}, expected 0 to 1")
    if step.flag("stochastic_inference"):
        raise step.unsupported("stochastic_inference, which drops at test time")
    late = step.base == "SpatialDropout" or not step.flag("v2")
    if late and ratio > 0:
        return step.node("Mul", [step.x, step.constant("keep", 1 - ratio)])
    return step.node("Dropout", [step.x], ratio=min(ratio, 1 - 1e-6))


def threshold(step: Step) -> Flow:
    """Threshold: what is not above the threshold becomes another number, which need not be the threshold."""
    bound, other = step.real("threshold", 1e-6), step.real("val", 0.0)
    if bound == other:
        return step.node("Relu", [step.x]) if bound == 0 else step.node("Clip", [step.x], min=bound)
    above = step.node("Greater", [step.x, step.constant("threshold", bound)], suffix="above")
    return step.node("Where", [above, step.x, step.constant("val", other)])


def hard_shrink(step: Step) -> Flow:
    """HardShrink: zero where the number is small."""
    size = step.node("Abs", [step.x], suffix="abs")
    above = step.node("Greater", [size, step.constant("lambda", step.real("lambda", 0.5))], suffix="above")
    return step.node("Where", [above, step.x, step.constant("zero", 0.0)])


def soft_shrink(step: Step) -> Flow:
    """SoftShrink: moves numbers towards zero."""
    bound = step.real("lambda", 0.5)
    if bound < 0:
        raise step.damaged(f"has lambda {bound}, expected a positive number")
    return step.node("Sub", [step.x, step.node("Clip", [step.x], suffix="small", min=-bound, max=bound)])


def tanh_shrink(step: Step) -> Flow:
    """TanhShrink: x - tanh(x)."""
    return step.node("Sub", [step.x, step.node("Tanh", [step.x], suffix="tanh")])


def prelu(step: Step) -> Flow:
    """PReLU: a slope per channel, or one for all where nOutputPlane is 0."""
    shape = step.shape
    channels = step.integer("nOutputPlane", 0, 0)
    if channels == 0:
        return step.node("PRelu", [step.x, step.param("weight", (1,))])
    if len(shape) not in (2, 4):
        raise step.unsupported(f"gets {told(shape)}; only vectors and maps")
    if shape[1] != channels:
        raise step.damaged(f"has {channels} slopes, gets {told(shape)}; is the input shape right?")
    return step.node(
        "PRelu", [step.x, step.param("weight", (channels,), as_shape=(channels, *(1,) * (len(shape) - 2)))]
    )


def soft_plus(step: Step) -> Flow:
    """SoftPlus: log(1 + exp(beta x)) / beta, and x itself beyond a threshold."""
    beta, limit = step.real("beta", 1.0), step.real("threshold", 20.0)
    if beta <= 0:
        raise step.damaged(f"has beta {beta}, expected a positive number")
    if beta == 1 and limit >= 20:  # the difference is below float32's precision
        return step.node("Softplus", [step.x])
    factor = step.constant("beta", beta)
    scaled = step.node("Mul", [step.x, factor], suffix="scaled")
    soft = step.node("Softplus", [scaled], suffix="soft")
    if limit >= 20:
        return step.node("Div", [soft, factor])
    back = step.node("Div", [soft, factor], suffix="back")
    above = step.node("Greater", [scaled, step.constant("threshold", limit)], suffix="above")
    return step.node("Where", [above, step.x, back])


def log_sigmoid(step: Step) -> Flow:
    """LogSigmoid: -softplus(-x)."""
    soft = step.node("Softplus", [step.node("Neg", [step.x], suffix="minus")], suffix="soft")
    return step.node("Neg", [soft])


def clip(low: float, high: float) -> Op:
    """Returns the translation of HardTanh and Clamp, whose bounds old files leave out."""

    def translate(step: Step) -> Flow:
        least, most = step.real("min_val", low, infinite=True), step.real("max_val", high, infinite=True)
        if least > most:
            raise step.damaged(f"cuts to {least} to {most}")
        return step.node("Clip", [step.x], min=least, max=most)

    return translate


def soft_max(op: str, *, channels: bool = False) -> Op:
    """Returns the translation of a softmax.

    Args:
        op: ONNX's.
        channels: whether it is one across channels; else Torch takes the first of one or three axes, the second of
            two or four, and cudnn all numbers of an image together.
    """

    def translate(step: Step) -> Flow:
        return _soft_max(step, op, step.x, channels)

    return translate


def _soft_max(step: Step, op: str, x: Value, channels: bool) -> Value:
    shape = step.state.shape(x)
    if step.package == "cudnn" and not channels and len(shape) == 4:
        flat = step.node("Flatten", [x], suffix="flatten", axis=1)
        result = step.node(op, [flat], suffix="flat", axis=1)
        return step.node("Reshape", [result], shape=(0, *shape[1:]))
    rank = step.rank(shape)
    if rank > 4:
        raise step.unsupported(f"gets {told(shape)}")
    return step.node(op, [x], axis=step.axis(1 if rank in (1, 3) else 2, shape))


def soft_min(step: Step) -> Flow:
    """SoftMin: softmax of -x."""
    return _soft_max(step, "Softmax", step.node("Neg", [step.x], suffix="minus"), False)


# Arithmetic


def with_number(op: str, key: str) -> Op:
    """Returns the translation of arithmetic with one number of the module's."""

    def translate(step: Step) -> Flow:
        return step.node(op, [step.x, step.constant(key, step.real(key))])

    return translate


def power(step: Step) -> Flow:
    """Power."""
    exponent = step.real("pow")
    if exponent == 1:
        return step.flow
    if exponent == 2:
        return step.node("Mul", [step.x, step.x])
    return step.node("Pow", [step.x, step.constant("pow", exponent)])


def square(step: Step) -> Flow:
    """Square."""
    return step.node("Mul", [step.x, step.x])


def learned(op: str, key: str) -> Op:
    """Returns the translation of CMul and CAdd.

    An array of as many axes as the input is spread along those of length 1; any other has a number for each of an
    image's.
    """

    def translate(step: Step) -> Flow:
        shape, array = step.shape, step.array(key)
        sizes = shape[1:]
        if array.size == _product(sizes):
            wanted = sizes
        elif array.ndim == step.rank(shape) and (not step.lead or array.shape[0] == 1):
            wanted = array.shape[step.lead :]
        elif array.ndim == step.rank(shape):
            raise step.mixes(f"has {key} of shape {array.shape}, a number for each image of a batch")
        else:
            raise step.damaged(f"has {key} of shape {array.shape}, gets {told(shape)}; is the input shape right?")
        return step.node(op, [step.x, step.param(key, as_shape=tuple(wanted))])

    return translate


def add(step: Step) -> Flow:
    """Add: one learned number for all, or one for each of an image's."""
    array = step.array("bias")
    sizes = (1,) if array.size == 1 else step.shape[1:]
    if array.size != _product(sizes):
        raise step.damaged(f"has bias of shape {array.shape}, gets {told(step.shape)}; is the input shape right?")
    return step.node("Add", [step.x, step.param("bias", as_shape=tuple(sizes))])


def multiply(step: Step) -> Flow:
    """Mul: one learned number."""
    return step.node("Mul", [step.x, step.param("weight", (1,))])


def const_affine(step: Step) -> Flow:
    """inn.ConstAffine: a number per channel times the input, plus another."""
    shape = step.shape
    wanted = (shape[1], *(1,) * (len(shape) - 2))
    scaled = step.node("Mul", [step.x, step.param("a", (shape[1],), as_shape=wanted)], suffix="scale")
    return step.node("Add", [scaled, step.param("b", (shape[1],), as_shape=wanted)])


def mean_subtraction(step: Step) -> Flow:
    """inn.MeanSubtraction: minus the mean image."""
    sizes = step.image()
    return step.node("Sub", [step.x, step.param("mean", sizes, (1, *sizes), as_shape=sizes)])


def _product(sizes: tuple[int, ...]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


OPS: dict[str, Op] = {
    "Abs": plain("Abs"),
    "Add": add,
    "AddConstant": with_number("Add", "constant_scalar"),
    "CAdd": learned("Add", "bias"),
    "CMul": learned("Mul", "weight"),
    "Clamp": clip(-1.0, 1.0),
    "ClippedReLU": plain("Clip", lambda step: {"min": 0.0, "max": step.real("ceiling")}),
    "ConstAffine": const_affine,
    "Contiguous": same,
    "Copy": same,
    "Dropout": dropout,
    "ELU": plain("Elu", lambda step: {"alpha": step.real("alpha", 1.0)}),
    "Exp": plain("Exp"),
    "GradientReversal": same,
    "HardShrink": hard_shrink,
    "HardTanh": clip(-1.0, 1.0),
    "Identity": same,
    "L1Penalty": same,
    "LeakyReLU": plain("LeakyRelu", lambda step: {"alpha": step.real("negval", 0.01)}),
    "Log": plain("Log"),
    "LogSigmoid": log_sigmoid,
    "LogSoftMax": soft_max("LogSoftmax"),
    "MeanSubtraction": mean_subtraction,
    "Mul": multiply,
    "MulConstant": with_number("Mul", "constant_scalar"),
    "PReLU": prelu,
    "Power": power,
    "RReLU": plain("LeakyRelu", lambda step: {"alpha": (step.real("lower", 1 / 8) + step.real("upper", 1 / 3)) / 2}),
    "ReLU": plain("Relu"),
    "ReLU6": plain("Clip", lambda step: {"min": 0.0, "max": 6.0}),
    "Sigmoid": plain("Sigmoid"),
    "SoftMax": soft_max("Softmax"),
    "SoftMin": soft_min,
    "SoftPlus": soft_plus,
    "SoftShrink": soft_shrink,
    "SoftSign": plain("Softsign"),
    "SpatialDropout": dropout,
    "SpatialLogSoftMax": soft_max("LogSoftmax", channels=True),
    "SpatialSoftMax": soft_max("Softmax", channels=True),
    "Sqrt": plain("Sqrt"),
    "Square": square,
    "Tanh": plain("Tanh"),
    "TanhShrink": tanh_shrink,
    "Threshold": threshold,
}
