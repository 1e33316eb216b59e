"""Functions of single numbers: activations and the like. They act on any layout, so a value keeps its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from zoo.build.context import Context, Op
from zoo.build.layout import Value
from zoo.graph import Node

# ONNX's defaults, which are the constants of the paper (Klambauer et al., 2017) and of Keras.
SELU_ALPHA, SELU_GAMMA = 1.6732631921768188, 1.0507010221481323


def layer(kind: type, config: Callable[[Node], dict[str, Any]] = lambda node: {}) -> Op:
    """Returns the builder of an op that is one Keras layer."""

    def build(context: Context, node: Node) -> Value:
        value = context.value(node)
        return value._replace(tensor=context.layer(kind, node, value.tensor, **config(node)))

    return build


def named(activation: str) -> Op:
    """Returns the builder of an op that is one of Keras's named activations."""
    return layer(keras.layers.Activation, lambda node: {"activation": activation})


def function(operation: Callable[..., Any], config: Callable[[Node], dict[str, Any]] = lambda node: {}) -> Op:
    """Returns the builder of an op that is one of `keras.ops`."""

    def build(context: Context, node: Node) -> Value:
        value = context.value(node)
        return value._replace(tensor=context.rename(operation(value.tensor, **config(node)), node.name))

    return build


def identity(context: Context, node: Node) -> Value:
    """ONNX Identity: another name for the same value."""
    return context.value(node)


def dropout(context: Context, node: Node) -> Value:
    """ONNX Dropout with its ratio as attribute (before opset 12) or stored number; matters in training only."""
    value = context.value(node)
    stored = context.param(node.inputs[1]) if len(node.inputs) > 1 else None
    rate = float(node.attrs.get("ratio", 0.5) if stored is None else stored.reshape(()))
    return value._replace(tensor=context.layer(keras.layers.Dropout, node, value.tensor, rate=rate))


def clip(context: Context, node: Node) -> Value:
    """ONNX Clip with bounds as attributes (opset 6) or stored scalars (opset 11)."""
    value = context.value(node)
    low, high = (_bound(context, node, position, key) for position, key in ((1, "min"), (2, "max")))
    if low is None and high is None:
        return value
    if low == 0.0 and (high is None or high >= 0):
        return value._replace(tensor=context.layer(keras.layers.ReLU, node, value.tensor, max_value=high))
    if low is None:
        tensor = keras.ops.minimum(value.tensor, high)
    elif high is None:
        tensor = keras.ops.maximum(value.tensor, low)
    else:
        tensor = keras.ops.clip(value.tensor, low, high)
    return value._replace(tensor=context.rename(tensor, node.name))


def _bound(context: Context, node: Node, position: int, key: str) -> float | None:
    if node.attrs.get(key) is not None:
        bound = float(node.attrs[key])
    else:
        array = context.param(node.inputs[position]) if len(node.inputs) > position else None
        if array is None:
            return None
        bound = float(array.reshape(()))
    return bound if abs(bound) < float(np.finfo(np.float32).max) else None


def hard_sigmoid(context: Context, node: Node) -> Value:
    """ONNX HardSigmoid: alpha * x + beta between 0 and 1; Keras's own has alpha 1/6."""
    value = context.value(node)
    alpha, beta = float(node.attrs.get("alpha", 0.2)), float(node.attrs.get("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        tensor = context.layer(keras.layers.Activation, node, value.tensor, activation="hard_sigmoid")
        return value._replace(tensor=tensor)
    line = context.layer(keras.layers.Rescaling, node, value.tensor, scale=alpha, offset=beta, suffix="line")
    return value._replace(tensor=context.layer(keras.layers.ReLU, node, line, max_value=1.0))


def selu(context: Context, node: Node) -> Value:
    """ONNX Selu: gamma * Elu(alpha)."""
    value = context.value(node)
    alpha, gamma = float(node.attrs.get("alpha", SELU_ALPHA)), float(node.attrs.get("gamma", SELU_GAMMA))
    if abs(alpha - SELU_ALPHA) < 1e-6 and abs(gamma - SELU_GAMMA) < 1e-6:
        tensor = context.layer(keras.layers.Activation, node, value.tensor, activation="selu")
        return value._replace(tensor=tensor)
    tensor = context.layer(keras.layers.ELU, node, value.tensor, alpha=alpha, suffix="elu")
    return value._replace(tensor=context.rename(keras.ops.multiply(tensor, gamma), node.name))


def softmax(context: Context, node: Node) -> Value:
    """ONNX Softmax over one axis (opset 13), in float32 whatever the rest computes in."""
    value = context.value(node)
    axis = value.axis(int(node.attrs.get("axis", -1)))
    axis = -1 if axis == value.rank - 1 else axis
    return value._replace(
        tensor=context.layer(keras.layers.Softmax, node, value.tensor, axis=axis, dtype="float32"),
    )


def log_softmax(context: Context, node: Node) -> Value:
    """ONNX LogSoftmax over one axis (opset 13)."""
    value = context.value(node)
    axis = value.axis(int(node.attrs.get("axis", -1)))
    if axis == value.rank - 1:
        tensor = context.layer(keras.layers.Activation, node, value.tensor, activation="log_softmax", dtype="float32")
        return value._replace(tensor=tensor)
    return value._replace(tensor=context.rename(keras.ops.log_softmax(value.tensor, axis=axis), node.name))


def cast(context: Context, node: Node) -> Value:
    """ONNX Cast: a change between floats is none here, the model's own precision holds."""
    value = context.value(node)
    to = np.dtype(node.attrs["to"])
    if to.kind == "f" and str(value.tensor.dtype).startswith(("float", "bfloat")):
        return value
    name = {"f": "float32", "b": "bool"}.get(to.kind, to.name.replace("int64", "int32"))
    return value._replace(tensor=context.rename(keras.ops.cast(value.tensor, name), node.name))


def _number(key: str, argument: str, default: float) -> Callable[[Node], dict[str, Any]]:
    return lambda node: {argument: float(node.attrs.get(key, default))}


def _thresholded_relu(tensor: Any, alpha: float) -> Any:
    return keras.ops.threshold(tensor, alpha, 0.0)


OPS: dict[str, Op] = {
    "Abs": function(keras.ops.abs),
    "Cast": cast,
    "Ceil": function(keras.ops.ceil),
    "Celu": function(keras.ops.celu, _number("alpha", "alpha", 1.0)),
    "Clip": clip,
    "Dropout": dropout,
    "Elu": layer(keras.layers.ELU, _number("alpha", "alpha", 1.0)),
    "Erf": function(keras.ops.erf),
    "Exp": function(keras.ops.exp),
    "Floor": function(keras.ops.floor),
    "Gelu": function(keras.ops.gelu, lambda node: {"approximate": node.attrs.get("approximate", "none") == "tanh"}),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": named("hard_silu"),
    "Identity": identity,
    "LeakyRelu": layer(keras.layers.LeakyReLU, _number("alpha", "negative_slope", 0.01)),
    "Log": function(keras.ops.log),
    "Mish": named("mish"),
    "Neg": function(keras.ops.negative),
    "Reciprocal": function(keras.ops.reciprocal),
    "Relu": layer(keras.layers.ReLU),
    "Round": function(keras.ops.round),
    "Selu": selu,
    "Sigmoid": named("sigmoid"),
    "Sign": function(keras.ops.sign),
    "Softplus": named("softplus"),
    "Softsign": named("softsign"),
    "Sqrt": function(keras.ops.sqrt),
    "Tanh": named("tanh"),
    "ThresholdedRelu": function(_thresholded_relu, _number("alpha", "alpha", 1.0)),
}
ALONG_AXIS: dict[str, Op] = {"Softmax": softmax, "LogSoftmax": log_softmax}
