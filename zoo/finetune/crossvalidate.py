"""Cross-validation of a whole plan: every image is judged by a model that did not see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import cache
from zoo.finetune import data as data_module
from zoo.finetune.cluster import Cluster, fan_out
from zoo.finetune.plan import Plan
from zoo.finetune.state import Checkpoint
from zoo.finetune.strategies import STRATEGIES, Task, predicted
from zoo.finetune.wishes import Wishes

if TYPE_CHECKING:
    from zoo.finetune.folder import RunFolder

Fan = Callable[[list[int]], Iterator[tuple[int, np.ndarray]]]
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


def run(
    task: Task, dataset: data_module.Dataset, folder: RunFolder, say: Callable[[str], None], fan: Fan | None = None
) -> Folds:
    """Trains one model per fold, as the plan says, each from the pretrained weights.

    Args:
        task: the run's own task; its network has the pretrained weights, and has them again afterwards.
        dataset: the images.
        folder: where each fold's answers are kept until the run ends.
        say: told each fold's accuracy.
        fan: numbers of folds, from 0 -> (number, answers) as they come, where others compute them; see `elsewhere`.
    """
    parts = data_module.folds(dataset, task.plan.folds or 2, task.plan.seed)
    paths = [folder.state / f"fold-{number}.npy" for number in range(1, len(parts) + 1)]
    rows: dict[int, dict[str, Any]] = {}

    def note(number: int, answers: np.ndarray) -> np.ndarray:
        row = rows[number] = _judged(answers, task.labels[parts[number].validation], number + 1)
        say(f"fold {number + 1} of {len(parts)}: {row['accuracy']:.1%} of {row['images']} images")
        return answers

    there = {
        number: note(number, np.load(path, allow_pickle=False)) for number, path in enumerate(paths) if path.is_file()
    }
    missing = [number for number in range(len(parts)) if number not in there]
    for number, answers in fan(missing) if fan else _here(task, parts, missing):
        _keep(paths[number], answers)
        there[number] = note(number, answers)
    every = range(len(parts))
    positions = np.concatenate([part.validation for part in parts])
    return Folds(positions, np.concatenate([there[number] for number in every]), [rows[number] for number in every])


def _here(task: Task, parts: list[data_module.Split], numbers: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    before = task.base.get_weights()
    for number in numbers:
        answers = _fold(task, parts[number])
        task.base.set_weights(before)
        yield number, answers


def elsewhere(cluster: Cluster, work: tuple[Any, ...], plan: Plan) -> Fan:
    """Returns what computes folds as Ray tasks; each reads the data, and finds the features where the run has put them.

    Args:
        cluster: where.
        work: model, data, wishes, labels, offline and given, as `finetune` has them.
        plan: the run's.
    """

    def fan(numbers: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        jobs = [(*work, plan.as_json(), number) for number in numbers]
        for place, answers in fan_out(cluster, fold, jobs):
            yield numbers[place], answers

    return fan


def fold(
    model: Any,
    data: Any,
    wishes: Wishes,
    labels: Any,
    offline: bool | None,
    given: Any,
    plan: dict[str, Any],
    number: int,
) -> np.ndarray:
    """Returns the answers for one fold, counted from 0, computed from nothing but what a run was given."""
    from zoo.finetune.run import work_of
    from zoo.finetune.scratch import Scratch

    with Scratch() as scratch:
        work = work_of(model, data, wishes, scratch, labels=labels, offline=offline, progress=False, given=given)
        task = work.task(Plan.from_json(plan))
        parts = data_module.folds(work.dataset, task.plan.folds or 2, task.plan.seed)
        return _fold(task, parts[number])


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
    return predicted(task, outcome, part.validation)


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
