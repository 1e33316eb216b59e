"""The new classifier: a softmax layer on the network's features, with a hidden layer before it if asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from zoo import heads
from zoo.errors import UsageError
from zoo.finetune import linear

CLASSIFIER = "classifier"
NAMES = {"centred", "head_dropout", "head_hidden", "head_relu", "head_hidden_dropout", CLASSIFIER}
"""Layers of the head; they stay in float32."""


@dataclass(frozen=True)
class Head:
    """Dense layers on features that are centred and brought to one size, as the trunk's own may have any.

    Args:
        layers: (weights, bias) of each; ReLU between them.
        mean: (features,), subtracted.
        scale: (features,), multiplied by after that.
        dropout: rate before each.
    """

    layers: list[tuple[np.ndarray, np.ndarray]]
    mean: np.ndarray
    scale: np.ndarray
    dropout: float

    def centred(self, features: np.ndarray) -> np.ndarray:
        """Returns features as the first layer takes them, float32."""
        return np.asarray((features - self.mean) * self.scale, np.float32)

    def folded(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns (kernel, bias) of each layer, for features as the trunk gives them."""
        weights, bias = self.layers[0]
        kernel = self.scale[:, None] * weights.astype(np.float64)
        return [(kernel, bias - self.mean @ kernel), *self.layers[1:]]

    def apply(self, tensor: Any, seed: int, *, centre: bool) -> Any:
        """Returns the logits (N, classes) of features, by layers that can be trained.

        Not folded: dropout would put zeros where the mean belongs, and steps would not fit the kernel's size.

        Args:
            tensor: features, as the trunk gives them, or centred ones.
            seed: of dropout.
            centre: whether they have to be centred first.
        """
        if centre:
            offset = -self.mean * self.scale
            tensor = keras.layers.Rescaling(self.scale.tolist(), offset.tolist(), dtype="float32", name="centred")(
                tensor
            )
        dropped = keras.layers.Dropout(self.dropout, seed=seed, dtype="float32", name="head_dropout")(tensor)
        if len(self.layers) == 2:
            hidden = _dense(self.layers[0], "head_hidden", dropped)
            hidden = keras.layers.ReLU(dtype="float32", name="head_relu")(hidden)
            dropped = keras.layers.Dropout(self.dropout, seed=seed + 1, dtype="float32", name="head_hidden_dropout")(
                hidden
            )
        return _dense(self.layers[-1], CLASSIFIER, dropped)

    def trained(self, model: keras.Model) -> Head:
        """Returns the head with the weights that its layers have in a model."""
        names = (["head_hidden"] if len(self.layers) == 2 else []) + [CLASSIFIER]
        layers = [
            (keras.ops.convert_to_numpy(layer.kernel), keras.ops.convert_to_numpy(layer.bias))
            for layer in map(model.get_layer, names)
        ]
        return Head(layers, self.mean, self.scale, self.dropout)


def new(
    features: np.ndarray, classes: int, *, hidden: int | None, dropout: float, seed: int, old: Old | None = None
) -> Head:
    """Returns a head to begin with: zeros, or for kept classes what the model has for them.

    Args:
        features: (n, features), to centre on.
        classes: number of outputs.
        hidden: units of a hidden layer, or None.
        dropout: rate before each layer.
        seed: of the hidden layer's weights.
        old: the model's own classifier, whose classes come first.
    """
    mean, scale = linear.scaling([features])
    scale = scale * np.sqrt(len(scale)) / linear.NORM
    size = len(mean)
    layers = []
    if hidden:
        random = np.random.default_rng(seed)
        layers.append(
            (random.normal(0, np.sqrt(2 / size), (size, hidden)).astype(np.float32), np.zeros(hidden, np.float32))
        )
        size = hidden
    weights, bias = np.zeros((size, classes), np.float32), np.zeros(classes, np.float32)
    if old is not None:
        known = len(old.names)
        weights[:, :known] = old.kernel / scale[:, None]
        bias[:known] = old.bias + mean @ old.kernel
        # New classes begin as unlikely as an average old one, not more likely than most.
        weights[:, known:] = weights[:, :known].mean(axis=1, keepdims=True)
        bias[known:] = bias[:known].mean()
    return Head([*layers, (weights, bias)], mean, scale, dropout)


def attach(base: keras.Model, features: Any, layers: list[tuple[np.ndarray, np.ndarray]]) -> keras.Model:
    """Returns the network with softmax of dense layers on its features, in float32, as its output."""
    if len(layers) == 2:
        hidden = _dense(layers[0], "head_hidden", features)
        features = keras.layers.ReLU(dtype="float32", name="head_relu")(hidden)
    logits = _dense(layers[-1], CLASSIFIER, features)
    outputs = keras.layers.Softmax(dtype="float32", name="probabilities")(logits)
    return keras.Model(base.input, outputs, name=base.name)


def _dense(weights: tuple[np.ndarray, np.ndarray], name: str, tensor: Any) -> Any:
    layer = keras.layers.Dense(weights[0].shape[1], dtype="float32", name=name)
    output = layer(tensor)
    layer.set_weights([array.astype(np.float32) for array in weights])
    return output


@dataclass(frozen=True)
class Old:
    """A model's own classifier, to keep its classes.

    Args:
        names: its classes.
        kernel: (features, classes) float64.
        bias: (classes,) float64.
    """

    names: tuple[str, ...]
    kernel: np.ndarray
    bias: np.ndarray

    def at(self, temperature: float) -> Callable[[np.ndarray], np.ndarray]:
        """Returns features (n, features) -> probabilities (n, classes) of the model as it was, at a temperature."""

        def answer(features: np.ndarray) -> np.ndarray:
            logits = (features @ self.kernel + self.bias) / temperature
            logits -= logits.max(axis=1, keepdims=True)
            raised = np.exp(logits)
            return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)

        return answer


def old(base: keras.Model, names: list[str]) -> Old:
    """Returns a network's classifier as a function of its features.

    Raises:
        UsageError: it is no linear function of them, or has another number of classes than names.
    """
    layer = heads.classifier(base).operation
    weights = [np.asarray(array, np.float64) for array in layer.get_weights()]
    kernel = weights[0].reshape(-1, weights[0].shape[-1])
    bias = weights[1] if len(weights) > 1 else np.zeros(kernel.shape[1])
    features, logits = heads.bottleneck(base), heads.logits(base)
    size = int(features.shape[-1])
    plain = kernel.shape[0] == size and getattr(layer, "activation", None) in (
        None,
        keras.activations.linear,
        keras.activations.softmax,
    )
    if plain and getattr(layer, "activation", None) is not keras.activations.softmax:
        probe = np.random.default_rng(0).uniform(0, 255, (2, *base.input_shape[1:])).astype(np.float32)
        inside, outside = (
            np.asarray(array) for array in keras.Model(base.input, [features, logits]).predict_on_batch(probe)
        )
        wanted = outside.reshape(2, -1)
        found = inside @ kernel + bias
        plain = wanted.shape == found.shape and np.abs(found - wanted).max() <= 1e-3 * max(np.abs(wanted).max(), 1e-6)
    if not plain:
        raise UsageError(
            f"keep_classes: the classifier of {base.name}, {layer.name!r}, is no single layer on its features"
        )
    if len(names) != len(bias):
        raise UsageError(
            f"keep_classes: {base.name} has {len(bias)} outputs and {len(names)} class names, so which name an output "
            f"has cannot be told; leave out keep_classes, or write the file again with a name for each output"
        )
    return Old(tuple(names), kernel, bias)


def own_dropout(base: keras.Model) -> float | None:
    """Returns the rate of dropout right before a network's classifier; None if it has none."""
    made = {id(tensor): step for step in heads.steps(base) for tensor in step.outputs}
    before = made.get(id(heads.classifier(base).inputs[0]))
    while before is not None and isinstance(before.operation, keras.layers.Flatten | keras.layers.Reshape):
        before = made.get(id(before.inputs[0]))
    if before is not None and isinstance(before.operation, keras.layers.Dropout):
        return float(before.operation.rate)
    return None
