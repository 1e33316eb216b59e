"""Grad-CAM: which places of a picture speak for a class.

After Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (2017): each
channel of the last feature map is weighted by the mean gradient of the class's logit, and what adds up to less than
nothing is cut off.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from zoo import heads
from zoo.errors import UsageError
from zoo.finetune.features import BATCH, few

_Scalar = Callable[[Any], Any]


def gradcam(model: keras.Model, images: np.ndarray, labels: np.ndarray, *, layer: str | None = None) -> np.ndarray:
    """Computes one map per image.

    Args:
        model: a functional classifier; its last softmax is left out.
        images: (N, H, W, 3), as the model takes them.
        labels: (N,) or (N, K) integers: the class of each image to explain, or several.
        layer: whose feature map to look at; default: the last one.

    Returns:
        (N, h, w) or (N, K, h, w) float32, h x w positions of the feature map: 0 says nothing for the class, 1 is the
        place of the image that says most; all 0 where nothing speaks for it.

    Raises:
        UsageError: the network has no feature map, or the Keras backend gives no gradients.
    """
    tensor = heads.find(model, layer) if layer else heads.features(model)
    if len(tensor.shape) != 4:
        raise UsageError(f"{model.name}: {layer!r} gives no feature map (N, H, W, C); name another layer")
    lower, upper, whole = _parts(model, tensor)
    wanted = np.asarray(labels)[:, None] if np.ndim(labels) == 1 else np.asarray(labels)
    found = np.zeros((*wanted.shape, *tensor.shape[1:3]), np.float32)
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        pixels = np.asarray(images[part], np.float32)
        features = few(lower, [pixels])
        more = [keras.ops.convert_to_tensor(pixels)] if whole else []
        for column in range(wanted.shape[1]):
            slopes = gradient(_logit(upper, wanted[part, column], more), features).mean(axis=(1, 2), keepdims=True)
            found[part, column] = np.maximum((features * slopes).sum(axis=-1), 0)
    peak = found.max(axis=(-2, -1), keepdims=True, initial=0)
    scaled: np.ndarray = np.divide(found, peak, out=np.zeros_like(found), where=peak > 0)
    return scaled if np.ndim(labels) == 2 else scaled[:, 0]


def gradient(function: _Scalar, at: np.ndarray) -> np.ndarray:
    """Returns the gradient of a scalar function of a tensor, by the Keras backend's own means.

    Raises:
        UsageError: the backend gives none.
    """
    backend = keras.backend.backend()
    if backend not in _GRADIENTS:
        raise UsageError(f"the Keras backend {backend} gives no gradients; set KERAS_BACKEND=tensorflow, jax or torch")
    return np.asarray(_GRADIENTS[backend](function, at), np.float32)


def _logit(upper: keras.Model, labels: np.ndarray, more: list[Any]) -> _Scalar:
    """Feature maps -> sum over images of the logit of each image's class; no image's depends on another's map."""
    classes = upper.output_shape[-1]
    wanted = np.eye(classes, dtype=np.float32)[labels]

    def logit(features: Any) -> Any:
        answers = upper([features, *more] if more else features, training=False)
        return keras.ops.sum(keras.ops.multiply(keras.ops.reshape(answers, (-1, classes)), wanted))

    return logit


def _parts(model: keras.Model, tensor: Any) -> tuple[keras.Model, keras.Model, bool]:
    """Returns the network up to a tensor, the rest up to the logits, and whether the rest needs the images as well.

    It does where the classifier reads earlier feature maps too; these are then held fixed.
    """
    lower, logits = keras.Model(model.input, tensor), heads.logits(model)
    alone = any(
        step.outputs[0] is tensor and step.operation.name in heads.cut_points(model) for step in heads.steps(model)
    )
    return lower, keras.Model(tensor if alone else [tensor, model.input], logits), not alone


def _tensorflow(function: _Scalar, at: np.ndarray) -> Any:
    import tensorflow as tf

    point = tf.convert_to_tensor(at)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = function(point)
    return tape.gradient(value, point).numpy()


def _jax(function: _Scalar, at: np.ndarray) -> Any:
    import jax

    return jax.jit(jax.grad(function))(jax.numpy.asarray(at))


def _torch(function: _Scalar, at: np.ndarray) -> Any:
    torch = importlib.import_module("torch")
    point = keras.ops.convert_to_tensor(at).detach().requires_grad_(True)
    (slopes,) = torch.autograd.grad(function(point), point)
    return slopes.cpu().numpy()


_GRADIENTS: dict[str, Callable[[_Scalar, np.ndarray], Any]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}
