"""What a finished run knows of itself: all that its report and its files are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np

    from zoo.finetune.plan import Plan


@dataclass(frozen=True)
class Record:
    """A finished run.

    Args:
        plan: what was decided, and why.
        metrics: what metrics.json holds.
        history: one row per epoch: phase, epoch, rate, loss, accuracy, val_loss, val_accuracy, seconds, best; empty
            where the classifier was solved and not trained by gradient.
        classes: their names, by label.
        items: (N,) name of each image, as a rule a path.
        labels: (N,) integers.
        parts: (N,) of text: training, validation or test.
        measured: (M,) positions of the images whose probabilities are below: those held out, or all of them, each
            answered by a fold that did not see it.
        probabilities: (M, classes) float32.
        images: positions -> (n, H, W, 3) uint8 RGB, at the network's size.
        model: RGB 0..255 (N, H, W, 3) in, probabilities (N, classes) out.
        command: repeats the run.
    """

    plan: Plan
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    classes: tuple[str, ...]
    items: tuple[str, ...]
    labels: np.ndarray
    parts: np.ndarray
    measured: np.ndarray
    probabilities: np.ndarray
    images: Callable[[np.ndarray], np.ndarray]
    model: keras.Model
    command: str
