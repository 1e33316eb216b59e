"""Cross-validation of a whole plan: every image is judged by a model that did not see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import cache
from zoo.finetune import data as data_module
from zoo.finetune.features import predict
from zoo.finetune.state import Checkpoint
from zoo.finetune.strategies import STRATEGIES, Task

if TYPE_CHECKING:
    from zoo.finetune.folder import RunFolder

INNER = 0.15
"""Share of a fold's training images that decides when its training stops; its own images only judge it."""


@dataclass(frozen=True)
class Folds:
    """What cross-validation found.

    Args:
        positions: of the images that were judged.
        probabilities: (n, classes) of each, from the model that did not see it.
        rows: per fold: fold, images, accuracy, balanced_accuracy.
    """

    positions: np.ndarray
    probabilities: np.ndarray
    rows: list[dict[str, Any]]

    def summary(self) -> dict[str, Any]:
        """Returns mean and standard deviation over the folds."""
        accuracies = [row["accuracy"] for row in self.rows]
        return {"accuracy": float(np.mean(accuracies)), "deviation": float(np.std(accuracies)), "folds": len(self.rows)}


def run(task: Task, dataset: data_module.Dataset, folder: RunFolder, say: Callable[[str], None]) -> Folds:
    """Trains one model per fold, as the plan says, each from the pretrained weights.

    Args:
        task: the run's own task; its network has the pretrained weights, and has them again afterwards.
        dataset: the images.
        folder: where each fold's answers are kept until the run ends.
        say: told each fold's accuracy.
    """
    before = task.base.get_weights()
    parts = data_module.folds(dataset, task.plan.folds or 2, task.plan.seed)
    probabilities, rows = [], []
    for number, part in enumerate(parts, 1):
        path = folder.state / f"fold-{number}.npy"
        if path.is_file():
            answers = np.load(path, allow_pickle=False)
        else:
            answers = _fold(task, part)
            task.base.set_weights(before)
            _keep(path, answers)
        row = _judged(answers, task.labels[part.validation], number)
        say(f"fold {number} of {len(parts)}: {row['accuracy']:.1%} of {row['images']} images")
        rows.append(row)
        probabilities.append(answers)
    positions = np.concatenate([part.validation for part in parts])
    return Folds(positions, np.concatenate(probabilities), rows)


def _fold(task: Task, part: data_module.Split) -> np.ndarray:
    training, stops = part.training, part.validation
    if task.plan.strategy != "linear":
        training, stops = _inner(task.labels, part.training, task.plan.seed)
    fixed = {layer.name: layer.trainable for layer in task.base.layers}
    outcome = STRATEGIES[task.plan.strategy](
        replace(task, training=training, validation=stops, checkpoint=Checkpoint(None), log=lambda row: None)
    )
    for layer in task.base.layers:
        layer.trainable = fixed[layer.name]
    return predict(outcome.model, task.images, part.validation)


def _inner(labels: np.ndarray, positions: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Stratified: of each class with two images or more, at least one decides when to stop."""
    stops = []
    for label in np.unique(labels[positions]):
        members = np.random.default_rng([seed, int(label)]).permutation(positions[labels[positions] == label])
        stops.append(members[: min(max(1, round(INNER * len(members))), len(members) - 1)])
    stopping = np.sort(np.concatenate(stops))
    return np.setdiff1d(positions, stopping), stopping


def _keep(path: Path, answers: np.ndarray) -> None:
    with cache.atomic_file(path) as temporary, open(temporary, "wb") as file:
        np.save(file, answers)


def _judged(answers: np.ndarray, labels: np.ndarray, number: int) -> dict[str, Any]:
    right = answers.argmax(axis=1) == labels
    balanced = np.mean([right[labels == label].mean() for label in np.unique(labels)])
    return {
        "fold": number,
        "images": len(labels),
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(balanced),
    }
