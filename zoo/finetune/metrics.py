"""How good answers are: accuracy with its interval, per class, and how honest the probabilities are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 15
"""Of the calibration error: the number that Guo et al. (2017) use, and most after them."""
LEAST = 1e-12
"""Probabilities below this count as this in the loss: one certain mistake would make it infinite."""
_NORMAL = 1.959963984540054
"""Standard deviations on each side of the mean that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Bin:
    """The answers whose probability lies in one interval.

    Args:
        lower: of the interval, not in it (but 0 is in the first).
        upper: of the interval, in it.
        images: number of answers.
        confidence: their mean probability; the middle of the interval where there are none.
        accuracy: share of them that are right; None where there are none.
    """

    lower: float
    upper: float
    images: int
    confidence: float
    accuracy: float | None


def measure(probabilities: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """Compares answers with labels.

    Args:
        probabilities: (N, classes), N at least 1.
        labels: (N,) integers.
        classes: their names.

    Returns:
        accuracy and top5 (None with five classes or fewer), each with its 95 % interval (Wilson); balanced_accuracy
        and macro precision, recall and F1 (means over the classes that have images); loss (mean negative log
        likelihood, nats), brier (mean squared distance to the truth summed over classes, 0..2), calibration_error
        (see `calibration_error`); per class: images, accuracy, precision, recall, F1 (0 for a class without images or
        answers, as in scikit-learn); and the confusion matrix, rows true and columns answered.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    count, every = len(labels), np.arange(len(classes))
    answers = probabilities.argmax(axis=1)
    right = int((answers == labels).sum())
    precision, recall, f1, totals = precision_recall_fscore_support(labels, answers, labels=every, zero_division=0)
    found = totals > 0
    own = probabilities[np.arange(count), labels]
    top5 = int(((probabilities > own[:, None]).sum(axis=1) < 5).sum()) if len(classes) > 5 else None
    return {
        "accuracy": right / count,
        "accuracy_interval": list(wilson(right, count)),
        "balanced_accuracy": float(recall[found].mean()),
        "top5": None if top5 is None else top5 / count,
        "top5_interval": None if top5 is None else list(wilson(top5, count)),
        "macro": {
            name: float(values[found].mean())
            for name, values in (("precision", precision), ("recall", recall), ("f1", f1))
        },
        "loss": negative_log_likelihood(probabilities, labels),
        "brier": brier(probabilities, labels),
        "calibration_error": calibration_error(probabilities, labels),
        "per_class": {
            name: {
                "images": int(totals[label]),
                "accuracy": float(recall[label]),
                "precision": float(precision[label]),
                "recall": float(recall[label]),
                "f1": float(f1[label]),
            }
            for label, name in enumerate(classes)
        },
        "confusion": confusion_matrix(labels, answers, labels=every).tolist(),
    }


def wilson(right: int, total: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share by Wilson's score, which holds for few images and shares near 0 or 1 too.

    Args:
        right: how many.
        total: of how many, at least 1.
    """
    share, z2 = right / total, _NORMAL**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _NORMAL / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean of -log p(true class), in nats."""
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(np.log(1 / np.clip(own, LEAST, 1)).mean())  # softmax in float32 can exceed 1 by a rounding error


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean over images of sum over classes of (p - truth)^2: 0 is perfect, 2 certain and wrong."""
    distance = probabilities.astype(np.float64)  # a copy
    distance[np.arange(len(labels)), labels] -= 1
    return float((distance**2).sum(axis=1).mean())


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Sorts answers by their probability into intervals of equal width.

    Args:
        probabilities: (N, classes); the largest of each row is the answer's.
        labels: (N,) integers.
        bins: how many intervals.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    table = []
    for place in range(bins):
        members = places == place
        images = int(members.sum())
        table.append(
            Bin(
                float(edges[place]),
                float(edges[place + 1]),
                images,
                float(confidence[members].mean()) if images else float(edges[place : place + 2].mean()),
                float(right[members].mean()) if images else None,
            )
        )
    return table


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Returns the expected calibration error, 0..1.

    The answers' probabilities are sorted into `bins` intervals of equal width, lower < p <= upper; in each, the mean
    probability is compared with the share of right answers; the result is the mean of the absolute differences,
    weighted by the number of answers.
    """
    table = reliability(probabilities, labels, bins)
    gaps = [entry.images * abs(entry.confidence - entry.accuracy) for entry in table if entry.accuracy is not None]
    return sum(gaps) / len(labels)
