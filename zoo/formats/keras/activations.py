"""Keras's activations, as layers and as the `activation` argument of other layers."""

from __future__ import annotations

from typing import Any

from zoo.formats.keras.values import Op, Step, Value
from zoo.formats.pickles import shown

# Name -> ONNX operator and its attributes; `hard_sigmoid` and `softmax` need more than that.
NAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "relu6": ("Clip", {"min": 0.0, "max": 6.0}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "elu": ("Elu", {"alpha": 1.0}),
    "selu": ("Selu", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "gelu": ("Gelu", {}),
    "exponential": ("Exp", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "mish": ("Mish", {}),
    "hard_silu": ("HardSwish", {}),
    "hard_swish": ("HardSwish", {}),
}


def activated(step: Step, value: Value, *, suffix: str) -> Value:
    """Returns a value behind the layer's `activation`; the value itself if it has none."""
    kind = named(step)
    if kind == "linear":
        return value
    if kind in ("softmax", "log_softmax"):
        op = "Softmax" if kind == "softmax" else "LogSoftmax"
        return along(step, value, op, -1, suffix=suffix)
    if kind in ("swish", "silu"):
        gate = step.make("Sigmoid", [value.name], suffix="sigmoid")
        return step.result(step.make("Mul", [value.name, gate], suffix=suffix), image=value.image)
    op, attrs = ("HardSigmoid", hard_sigmoid(step)) if kind == "hard_sigmoid" else NAMED[kind]
    return step.result(step.make(op, [value.name], suffix=suffix, **attrs), image=value.image)


def hard_sigmoid(step: Step) -> dict[str, Any]:
    """Its slope, which Keras 3 changed from 1/5 to 1/6."""
    return {"alpha": 1 / 6 if step.state.version >= 3 else 0.2, "beta": 0.5}


def named(step: Step) -> str:
    """Returns the name of the layer's `activation`.

    Raises:
        Unsupported: it is a function of the file's own, or one that a Graph does not have.
    """
    given = step.get("activation", default="linear")
    if isinstance(given, dict) and given.get("class_name") == "function":  # as Keras 3 writes some of them
        given = given.get("config")
    known = (*NAMED, "linear", "softmax", "log_softmax", "swish", "silu", "hard_sigmoid")
    if not isinstance(given, str) or given not in known:
        raise step.unsupported(f"activation {shown(repr(given), 60)}")
    return given


def along(step: Step, value: Value, op: str, axis: Any, *, suffix: str = "") -> Value:
    """Returns a value behind an operation along one of its axes, counted as Keras does."""
    place = step.axis(axis, value)
    if value.image:  # NHWC there, NCHW here
        place = {1: 2, 2: 3, 3: 1}[place]
    return step.result(step.make(op, [value.name], suffix=suffix, axis=place), image=value.image)


def activation(step: Step) -> Value:
    return activated(step, step.value(), suffix="")


def single(op: str, **arguments: tuple[str, float]) -> Op:
    """Returns the translation of a layer that is one operator.

    Args:
        op: ONNX's.
        arguments: ONNX attribute -> the layer's argument and its default.
    """

    def translate(step: Step) -> Value:
        attrs: dict[str, Any] = {key: step.number(name, default=default) for key, (name, default) in arguments.items()}
        value = step.value()
        return step.result(step.make(op, [value.name], **attrs), image=value.image)

    return translate


def relu(step: Step) -> Value:
    """ReLU with an upper limit, a slope below 0 or another place for the step."""
    value = step.value()
    limit = None if step.get("max_value") is None else step.number("max_value")
    slope, threshold = step.number("negative_slope", default=0.0), step.number("threshold", default=0.0)
    if threshold and slope:
        raise step.unsupported("has both a threshold and a slope")
    if limit is not None and limit < threshold:
        raise step.unsupported(f"has limit {limit} below threshold {threshold}")
    if slope or threshold:
        last = "" if limit is None else "unlimited"
        op, alpha = ("LeakyRelu", slope) if slope else ("ThresholdedRelu", threshold)
        name = step.make(op, [value.name], suffix=last, alpha=alpha)
        if limit is not None:
            name = step.make("Clip", [name], max=limit)
    elif limit is not None:
        name = step.make("Clip", [value.name], min=0.0, max=limit)
    else:
        name = step.make("Relu", [value.name])
    return step.result(name, image=value.image)


def leaky_relu(step: Step) -> Value:
    value = step.value()
    slope = step.number("negative_slope", "alpha", default=0.3)
    return step.result(step.make("LeakyRelu", [value.name], alpha=slope), image=value.image)


def prelu(step: Step) -> Value:
    """PReLU; a slope for each number, or for each along the axes that are not shared."""
    value = step.value()
    shared = step.get("shared_axes", default=[])
    shared = {step.axis(axis, value) for axis in (shared if isinstance(shared, list) else [shared])}
    shape = tuple(1 if axis in shared else n for axis, n in enumerate(value.shape, 1))
    slope = (
        step.param("alpha", (shape[2], *shape[:2]), "rows, columns, channels")
        if value.image
        else step.param("alpha", shape)
    )
    return step.result(step.make("PRelu", [value.name, slope]), image=value.image)


def softmax(step: Step) -> Value:
    return along(step, step.value(), "Softmax", step.get("axis", default=-1))


OPS: dict[str, Op] = {
    "Activation": activation,
    "ELU": single("Elu", alpha=("alpha", 1.0)),
    "LeakyReLU": leaky_relu,
    "PReLU": prelu,
    "ReLU": relu,
    "Softmax": softmax,
    "ThresholdedReLU": single("ThresholdedRelu", alpha=("theta", 1.0)),
}
