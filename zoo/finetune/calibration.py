"""Temperature scaling: one number that makes a classifier as sure as it is right, and leaves its answers as they are.

After Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import UsageError
from zoo.finetune.metrics import brier, calibration_error, negative_log_likelihood

if TYPE_CHECKING:
    import keras

LIMITS = (1 / 64, 64.0)
"""Temperatures looked at."""
FOLDS = 5
ENOUGH = 10_000_000
"""Probabilities that a temperature is fitted on: it is one number, and more change it in no digit that matters."""
STEPS = 60
DRAWS = 200
"""Simulated label sets from which `expected_by_chance` takes its figures."""
_LEAST = 1e-30
"""Softmax in float32 can give 0, whose logarithm is no logit."""


@dataclass(frozen=True)
class Calibration:
    """What temperature scaling does on images held out.

    Args:
        temperature: fitted on all of them; above 1 the model was too sure, below 1 not sure enough.
        error_before: expected calibration error of the probabilities as they are.
        error_after: the same where each image was scaled by a temperature fitted on the others; None with one image.
        loss_before: mean negative log likelihood as they are.
        loss_after: the same as `error_after`, for it.
        brier_before: Brier score as they are.
        brier_after: the same as `error_after`, for it.
        chance: the error that perfectly honest probabilities would show on so few images: mean, and 95 % lie below.
        images: number of images.
        folds: of the cross-fitting; 0 with one image.
    """

    temperature: float
    error_before: float
    error_after: float | None
    loss_before: float
    loss_after: float | None
    brier_before: float
    brier_after: float | None
    chance: tuple[float, float]
    images: int
    folds: int


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature at which the labels are most likely.

    Args:
        probabilities: (N, classes) of images the model was not trained on; their logarithms serve as logits.
        labels: (N,) integers.

    Returns:
        A number within `LIMITS`; 1 where no answer is wrong, since without a mistake nothing bounds how sure to be.
    """
    every = -(-probabilities.size // ENOUGH)
    probabilities, labels = probabilities[::every], labels[::every]
    logits = _logits(probabilities)
    own = logits[np.arange(len(labels)), labels]
    if not len(labels) or (own >= logits.max(axis=1)).all():
        return 1.0
    # The loss is convex in 1 / temperature: Newton's steps to where its slope is 0, kept within a shrinking bracket.
    low, high, inverse = 1 / LIMITS[1], 1 / LIMITS[0], 1.0
    for _ in range(STEPS):
        shares = _softmax(logits * inverse)
        mean = (shares * logits).sum(axis=1)
        slope, curvature = (mean - own).mean(), ((shares * logits**2).sum(axis=1) - mean**2).mean()
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / max(curvature, 1e-30)
        before, inverse = inverse, step if low < step < high else np.sqrt(low * high)
        if abs(inverse / before - 1) < 1e-7:
            break
    return float(1 / inverse)


def scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Returns softmax(log(probabilities) / temperature), (N, classes) float64."""
    return _softmax(_logits(probabilities) / temperature)


def calibrate(probabilities: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> Calibration:
    """Fits a temperature, and says honestly what it is worth.

    Measured on the images it was fitted on, any temperature looks good. So the figures "after" are cross-fitted: the
    images are dealt into folds, and each is scaled by the temperature of the other folds.

    Args:
        probabilities: (N, classes) of images the model was not trained on.
        labels: (N,) integers.
        seed: decides the folds.
    """
    from sklearn.model_selection import KFold

    count = len(labels)
    folds = min(FOLDS, count) if count > 1 else 0
    after = np.zeros(probabilities.shape)
    if folds:
        for fitted, left_out in KFold(folds, shuffle=True, random_state=seed).split(labels):
            after[left_out] = scale(probabilities[left_out], fit_temperature(probabilities[fitted], labels[fitted]))
    return Calibration(
        temperature=fit_temperature(probabilities, labels),
        error_before=calibration_error(probabilities, labels),
        error_after=calibration_error(after, labels) if folds else None,
        loss_before=negative_log_likelihood(probabilities, labels),
        loss_after=negative_log_likelihood(after, labels) if folds else None,
        brier_before=brier(probabilities, labels),
        brier_after=brier(after, labels) if folds else None,
        chance=expected_by_chance(probabilities, seed=seed),
        images=count,
        folds=folds,
    )


def expected_by_chance(probabilities: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """Returns the calibration error that these probabilities would show if they were true: mean and 95th percentile.

    With few images the error is never 0: right and wrong fall in the intervals by luck. Each draw lets every answer be
    right with its own probability.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    random = np.random.default_rng(seed)
    # As two classes, "the answer" and "another": all that the error looks at.
    told = np.stack([confidence, np.zeros_like(confidence)], axis=1)
    errors = [
        calibration_error(told, (random.random(len(confidence)) >= confidence).astype(np.int64)) for _ in range(DRAWS)
    ]
    return float(np.mean(errors)), float(np.quantile(errors, 0.95))


def apply(model: keras.Model, temperature: float) -> keras.Model:
    """Returns a copy of a classifier whose logits are divided by a temperature, folded into its last dense layer.

    Args:
        model: ends in a dense layer or 1x1 convolution with softmax, as fine-tuned models do.
        temperature: what to divide by, above 0.

    Returns:
        The same layers: the answers are the same, only their probabilities differ.

    Raises:
        UsageError: the temperature is not above 0, or no layer's weights are the logits' alone.
    """
    import keras

    from zoo import heads

    if not 0 < temperature < float("inf"):
        raise UsageError(f"temperature={temperature}: expected a number above 0, such as 1.5")
    if heads.logits(model) is model.outputs[0]:
        raise UsageError(f"{model.name}: does not end in a softmax, so a temperature has no place in it")
    name = heads.classifier(model).operation.name
    copy = type(model).from_config(model.get_config())  # clone_model would rename the input
    copy.set_weights(model.get_weights())
    layer = copy.get_layer(name)
    if layer.activation is not keras.activations.linear:
        raise UsageError(f"{model.name}: {name!r} has an activation of its own; a temperature cannot be folded into it")
    layer.set_weights([weights / temperature for weights in layer.get_weights()])
    return copy


def _logits(probabilities: np.ndarray) -> np.ndarray:
    logits: np.ndarray = np.log(np.maximum(probabilities.astype(np.float64), _LEAST))
    return logits


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares
