"""MXNet's ops that act on each number: arithmetic, activations, and the heads that are losses in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zoo.formats.mxnet.attributes import Attributes
from zoo.formats.mxnet.layers import prelu
from zoo.formats.mxnet.table import Op, Rule
from zoo.formats.mxnet.translate import Step, Value


def unary(op: str, attrs: Callable[[Attributes], dict[str, Any]] = lambda attributes: {}) -> Op:
    """Returns the translation of an op that is one ONNX op of one value."""
    return lambda step: step.add(op, [step.input()], **attrs(step.attributes))


def same(*ignored: str) -> Op:
    """Returns the translation of an op that hands on its first input; a stored array stays one."""

    def translate(step: Step) -> Value:
        step.attributes.ignore(*ignored)
        value = step.operand(0)
        return value if value.array is not None else step.add("Identity", [value])

    return translate


def binary(op: str) -> Op:
    """Returns the translation of arithmetic on two values, or a value and a stored array."""

    def translate(step: Step) -> Value:
        left, right = _pair(step)
        return step.add(op, [left, right])

    return translate


def _pair(step: Step) -> tuple[Value, Value]:
    left, right = step.operand(0), step.operand(1)
    if left.array is not None and right.array is not None:
        raise step.unsupported(f"computes with the stored arrays {left.name} and {right.name} alone")
    return left, right


def compared(op: str, *, negated: bool = False) -> Op:
    """Returns the translation of a comparison; MXNet gives 1 and 0 as numbers."""

    def translate(step: Step) -> Value:
        left, right = (step.input(), _scalar(step)) if step.count == 1 else _pair(step)
        truth = step.add(op, [left, right], suffix="truth")
        if not negated:
            return step.add("Cast", [truth], to="float32")
        number = step.add("Cast", [truth], suffix="number", to="float32")
        return step.add("Sub", [step.constant("one", 1.0), number])

    return translate


def _scalar(step: Step) -> Value:
    step.attributes.ignore("is_int")
    return step.constant("scalar", step.attributes.number("scalar", 1.0))


def scalar(op: str, *, swapped: bool = False) -> Op:
    """Returns the translation of arithmetic with a number."""

    def translate(step: Step) -> Value:
        sides = [step.input(), _scalar(step)]
        return step.add(op, sides[::-1] if swapped else sides)

    return translate


def chain(*ops: str) -> Op:
    """Returns the translation of an op that is several unary ONNX ops in a row."""

    def translate(step: Step) -> Value:
        value = step.input()
        for op in ops[:-1]:
            value = step.add(op, [value], suffix=op.lower())
        return step.add(ops[-1], [value])

    return translate


def shifted(first: str, second: str, number: float, *, before: bool) -> Op:
    """Returns the translation of a function with a number added or multiplied, before it or after."""

    def translate(step: Step) -> Value:
        constant = step.constant("number", number)
        if before:
            return step.add(second, [step.add(first, [step.input(), constant], suffix=first.lower())])
        return step.add(second, [step.add(first, [step.input()], suffix=first.lower()), constant])

    return translate


def square(step: Step) -> Value:
    return step.add("Mul", [step.input(), step.input()])


def add_n(step: Step) -> Value:
    """The sum of any number of values."""
    values = [step.operand(i) for i in range(step.count)]
    if not values or all(value.array is not None for value in values):
        raise step.damaged("adds no values")
    if len(values) == 1:
        return step.add("Identity", values)
    return step.add("Add" if len(values) == 2 else "Sum", values)


def where(step: Step) -> Value:
    """where: the condition is a number, true unless 0."""
    condition = step.add("Cast", [step.input()], suffix="truth", to="bool")
    return step.add("Where", [condition, step.operand(1), step.operand(2)])


def clip(step: Step) -> Value:
    low, high = step.attributes.number("a_min"), step.attributes.number("a_max")
    return step.add("Clip", [step.input()], min=low, max=high)


ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}


def activation(step: Step) -> Value:
    return step.add(ACTIVATIONS[step.attributes.choice("act_type", tuple(ACTIVATIONS))], [step.input()])


_LEAKY = ("leaky", "prelu", "elu", "selu", "gelu", "rrelu")


def leaky_relu(step: Step) -> Value:
    """LeakyReLU and its relatives; rrelu's slope at inference is the middle of its bounds."""
    kind = step.attributes.choice("act_type", _LEAKY, "leaky")
    slope = step.attributes.number("slope", 0.25)
    bounds = step.attributes.number("lower_bound", 0.125), step.attributes.number("upper_bound", 0.334)
    if kind == "prelu":
        return step.add("PRelu", [step.input(), prelu(step)])
    if kind in ("selu", "gelu"):
        return step.add(kind.capitalize(), [step.input()])
    if kind == "elu":
        return step.add("Elu", [step.input()], alpha=slope)
    return step.add("LeakyRelu", [step.input()], alpha=slope if kind == "leaky" else sum(bounds) / 2)


def _has_slopes(attributes: Attributes) -> bool:
    return attributes.choice("act_type", _LEAKY, "leaky") == "prelu"


def dropout(step: Step) -> Value:
    """Dropout: identity at inference; its ratio is kept for training."""
    step.attributes.ignore("axes")
    ratio = step.attributes.number("p", 0.5)
    if step.attributes.choice("mode", ("training", "always"), "training") == "always":
        raise step.unsupported("mode always, which drops numbers at inference too")
    if not 0 <= ratio < 1:
        raise step.damaged(f"has p {ratio}; expected 0 to 1")
    return step.add("Dropout", [step.input()], ratio=ratio)


def softmax(op: str, *, negative: bool = False) -> Op:
    """Returns the translation of softmax along one axis, the last by default, of numbers divided by a temperature."""

    def translate(step: Step) -> Value:
        value = step.input()
        step.attributes.choice("dtype", ("float16", "float32", "float64"), "float32")
        if step.attributes.flag("use_length", False):
            raise step.unsupported("use_length")
        axis = step.axis(step.attributes.integer("axis", -1), len(value.shape))
        temperature = step.attributes.number("temperature", 1.0)
        if temperature == 0:
            raise step.damaged("has temperature 0")
        if temperature != 1:
            value = step.add("Div", [value, step.constant("temperature", temperature)], suffix="div")
        if negative:
            value = step.add("Neg", [value], suffix="neg")
        return step.add(op, [value], axis=axis)

    return translate


def _softmax_of_all(step: Step) -> Value:
    """Softmax over all but the batch."""
    shape = step.shape
    if len(shape) == 2 or all(n == 1 for n in shape[2:]):
        return step.add("Softmax", [step.input()], axis=1)
    flat = step.add("Flatten", [step.input()], suffix="flatten", axis=1)
    flat = step.add("Softmax", [flat], suffix="softmax", axis=1)
    return step.add("Reshape", [flat], shape=(0, *shape[1:]))


def softmax_activation(step: Step) -> Value:
    """SoftmaxActivation over the channels, or over the last axis (softmax_activation-inl.h flattens the others)."""
    channel = step.attributes.choice("mode", ("instance", "channel"), "instance") == "channel"
    return step.add("Softmax", [step.input()], axis=1 if channel else len(step.shape) - 1)


def softmax_output(step: Step) -> Value:
    """SoftmaxOutput: a softmax; its label and what scales its gradient only matter in training."""
    step.attributes.ignore(
        "grad_scale", "ignore_label", "use_ignore", "normalization", "out_grad", "smooth_alpha", "is_hidden_layer"
    )
    several = step.attributes.flag("multi_output", False)
    if step.attributes.flag("preserve_shape", False) and not several:
        return step.add("Softmax", [step.input()], axis=len(step.shape) - 1)
    return step.add("Softmax", [step.input()], axis=1) if several else _softmax_of_all(step)


_REAL = ("float16", "float32", "float64", "bfloat16")
_WHOLE = ("int8", "uint8", "int32", "int64", "bool")


def cast(step: Step) -> Value:
    """Cast: a Graph computes in one precision, so casts between kinds of floats do nothing."""
    kind = step.attributes.choice("dtype", _REAL + _WHOLE)
    value = step.operand(0)
    if value.array is not None:
        if kind in _REAL:
            return value
        raise step.unsupported(f"casts the stored array {value.name} to {kind}")
    if kind in _REAL:
        return step.add("Identity", [value])
    whole = step.add("Cast", [value], suffix="whole", to=kind)
    return step.add("Cast", [whole], to="float32")


def amp_multicast(step: Step) -> list[Value]:
    """Casts several values to a common kind of floats."""
    step.attributes.ignore("cast_narrow")
    if step.attributes.integer("num_outputs", step.count) != step.count:
        raise step.damaged(f"has {step.count} inputs and another num_outputs")
    return [step.operand(i) for i in range(step.count)]


def hard_sigmoid(attributes: Attributes) -> dict[str, Any]:
    return {"alpha": attributes.number("alpha", float(np.float32(0.2))), "beta": attributes.number("beta", 0.5)}


def _spelled(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


def _arithmetic() -> dict[str, Rule]:
    """Every spelling of arithmetic on two values and on a value and a number."""
    rules: dict[str, Rule] = {}
    for op, names in (
        ("Add", "elemwise_add _plus _Plus _add broadcast_add broadcast_plus _grad_add"),
        ("Sub", "elemwise_sub _minus _Minus _sub broadcast_sub broadcast_minus"),
        ("Mul", "elemwise_mul _mul _Mul broadcast_mul"),
        ("Div", "elemwise_div _div _Div broadcast_div"),
        ("Pow", "_power _Power broadcast_power pow"),
        ("Max", "_maximum _Maximum broadcast_maximum maximum"),
        ("Min", "_minimum _Minimum broadcast_minimum minimum"),
    ):
        rules.update(_spelled(names, Rule(binary(op))))
    for op, small, camel in (
        ("Add", "_plus_scalar", "_PlusScalar"),
        ("Sub", "_minus_scalar", "_MinusScalar"),
        ("Mul", "_mul_scalar", "_MulScalar"),
        ("Div", "_div_scalar", "_DivScalar"),
        ("Pow", "_power_scalar", "_PowerScalar"),
        ("Max", "_maximum_scalar", "_MaximumScalar"),
        ("Min", "_minimum_scalar", "_MinimumScalar"),
    ):
        rules.update(_spelled(f"{small} {camel}", Rule(scalar(op))))
    for op, small, camel in (
        ("Sub", "_rminus_scalar", "_RMinusScalar"),
        ("Div", "_rdiv_scalar", "_RDivScalar"),
        ("Pow", "_rpower_scalar", "_RPowerScalar"),
    ):
        rules.update(_spelled(f"{small} {camel}", Rule(scalar(op, swapped=True))))
    for op, name in (
        ("Greater", "greater"),
        ("GreaterOrEqual", "greater_equal"),
        ("Less", "lesser"),
        ("LessOrEqual", "lesser_equal"),
        ("Equal", "equal"),
    ):
        rules.update(_spelled(f"_{name} broadcast_{name} _{name}_scalar", Rule(compared(op))))
    rules.update(_spelled("_not_equal broadcast_not_equal _not_equal_scalar", Rule(compared("Equal", negated=True))))
    return rules


def _labelled(translate: Op) -> Rule:
    return Rule(translate, ("data", "label"), reads=1)


RULES: dict[str, Rule] = {
    **_arithmetic(),
    **_spelled("add_n ElementWiseSum elemwise_sum", Rule(add_n)),
    **{
        name: Rule(unary(op))
        for name, op in (
            *(("relu", "Relu"), ("sigmoid", "Sigmoid"), ("tanh", "Tanh"), ("softsign", "Softsign"), ("erf", "Erf")),
            *(("exp", "Exp"), ("log", "Log"), ("sqrt", "Sqrt"), ("abs", "Abs"), ("negative", "Neg"), ("sign", "Sign")),
            *(("floor", "Floor"), ("ceil", "Ceil"), ("reciprocal", "Reciprocal")),
        )
    },
    "rsqrt": Rule(chain("Sqrt", "Reciprocal")),
    "square": Rule(square),
    "log1p": Rule(shifted("Add", "Log", 1.0, before=True)),
    "expm1": Rule(shifted("Exp", "Sub", 1.0, before=False)),
    "log2": Rule(shifted("Log", "Mul", 1 / np.log(2.0), before=False)),
    "log10": Rule(shifted("Log", "Mul", 1 / np.log(10.0), before=False)),
    "hard_sigmoid": Rule(unary("HardSigmoid", hard_sigmoid)),
    "clip": Rule(clip),
    "where": Rule(where),
    "Activation": Rule(activation),
    "LeakyReLU": Rule(leaky_relu, ("data", "gamma"), ("gamma", _has_slopes)),
    "Dropout": Rule(dropout),
    "softmax": Rule(softmax("Softmax"), reads=1),
    "log_softmax": Rule(softmax("LogSoftmax"), reads=1),
    "softmin": Rule(softmax("Softmax", negative=True)),
    "SoftmaxActivation": Rule(softmax_activation),
    **_spelled("SoftmaxOutput Softmax", _labelled(softmax_output)),
    "LogisticRegressionOutput": _labelled(lambda step: _ignoring(step, "grad_scale").add("Sigmoid", [step.input()])),
    **_spelled("LinearRegressionOutput MAERegressionOutput", _labelled(same("grad_scale"))),
    "SVMOutput": _labelled(same("margin", "regularization_coefficient", "use_linear")),
    **_spelled("MakeLoss make_loss", Rule(same("grad_scale", "valid_thresh", "normalization"))),
    **_spelled("BlockGrad stop_gradient _copy identity _copyto _CrossDeviceCopy", Rule(same())),
    "_identity_with_attr_like_rhs": Rule(same(), reads=1),
    "IdentityAttachKLSparseReg": Rule(
        same("sparseness_target", "penalty", "momentum"), ("data", "moving_avg"), reads=1
    ),
    **_spelled("Cast cast amp_cast", Rule(cast)),
    "amp_multicast": Rule(amp_multicast),
}


def _ignoring(step: Step, *keys: str) -> Step:
    step.attributes.ignore(*keys)
    return step
