"""The three ways to make a classifier of a pretrained network: linear, head, blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import keras
import numpy as np

from zoo import heads
from zoo.errors import UsageError
from zoo.finetune import linear
from zoo.finetune.features import Runner, depths, extract, through, view_kinds
from zoo.finetune.images import Augmenter
from zoo.finetune.plan import HEAD_STEPS, Plan
from zoo.finetune.scratch import Scratch
from zoo.finetune.train import Views, fit, freeze, set_precision

DROPOUT = 0.2
CLASSIFIER = "classifier"
HEAD = {"centred", "head_dropout", CLASSIFIER}
"""Layers that stay in float32."""
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Task:
    """What a strategy works on.

    Args:
        base: the pretrained network; its upper layers may be changed.
        images: (N, H, W, 3) uint8.
        labels: (N,) integers.
        training: positions of the images to train on.
        validation: positions of those held out.
        classes: number of classes.
        plan: the plan.
        scratch: where arrays are held.
        progress: show bars on a terminal.
    """

    base: keras.Model
    images: np.ndarray
    labels: np.ndarray
    training: np.ndarray
    validation: np.ndarray
    classes: int
    plan: Plan
    scratch: Scratch
    progress: bool


@dataclass(frozen=True)
class Outcome:
    """What a strategy made.

    Args:
        model: RGB 0..255 (N, H, W, 3) in, probabilities (N, classes) float32 out.
        found: what was chosen on the way, for metrics.json.
        history: one row per epoch.
    """

    model: keras.Model
    found: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)


def train_linear(task: Task) -> Outcome:
    """(a) A linear classifier, solved on cached features, as one dense layer with softmax."""
    tensors = depths(task.base)
    kinds = view_kinds(task.plan.augmentation, task.plan.views)
    arrays = _extract(task, keras.Model(task.base.input, list(tensors.values())), task.training, kinds)
    features = dict(zip(tensors, arrays, strict=True))
    labels = task.labels[task.training]
    solution = linear.solve(features, labels, task.classes, view_sets(kinds), task.plan.seed)
    inputs = [tensors[name] for name in solution.groups]
    joined = keras.layers.Concatenate(name="features")(inputs) if len(inputs) > 1 else inputs[0]
    model = attach(task.base, joined, solution.kernel, solution.bias)
    score = solution.score
    found = {
        "classifier": {"logistic": "logistic regression", "svm": "linear SVM"}[solution.kind],
        "C": solution.strength,
        "features": list(solution.groups),
        "augmentation": _used(kinds, solution.views),
        "temperature": round(solution.temperature, 4),
        "cross_validation": score
        and {"accuracy": score.mean, "deviation": score.deviation, "folds": score.folds, "compared": solution.tried},
    }
    return Outcome(model, found)


def train_head(task: Task) -> Outcome:
    """(b) A new softmax layer on the frozen trunk, whose outputs are computed once for every view."""
    plan = task.plan
    bottleneck = heads.bottleneck(task.base)
    trunk = keras.Model(task.base.input, bottleneck)
    kinds = view_kinds(plan.augmentation, plan.views)
    (features,) = _extract(task, trunk, task.training, kinds)
    (held_out,) = _extract(task, trunk, task.validation, [()])
    chosen, compared = _choose(task, features, kinds)
    head, rows = fit_head(
        task,
        features,
        chosen,
        held_out[0],
        rate=_set(plan.learning_rate),
        epochs=_set(plan.epochs),
        patience=_set(plan.patience),
    )
    found = {"augmentation": _used(kinds, chosen), "views_compared": compared}
    return Outcome(attach(task.base, bottleneck, *head.folded()), found, rows)


def train_blocks(task: Task) -> Outcome:
    """(c) The head first, then the last blocks with it; what lies below is computed once for every view if it fits."""
    plan = task.plan
    bottleneck = heads.bottleneck(task.base)
    cut = heads.find(task.base, _set(plan.cut))
    lower, upper = keras.Model(task.base.input, cut), keras.Model(cut, bottleneck)
    kinds = view_kinds(plan.augmentation, plan.views)
    (held_out,) = _extract(task, lower, task.validation, [()], half=True)
    if plan.cached:
        (maps,) = _extract(task, lower, task.training, kinds, half=True)
        features = through(upper, maps, task.scratch, progress=task.progress)
        below: Callable[[np.ndarray, np.ndarray], np.ndarray] = _cached(maps)
    else:
        (features,) = _extract(task, keras.Model(task.base.input, bottleneck), task.training, kinds)
        below = _recomputed(task, lower, kinds)
    chosen, compared = _choose(task, features, kinds)
    held_out_features = through(upper, held_out, task.scratch, progress=task.progress)[0]
    head, rows = fit_head(
        task, features, chosen, held_out_features, rate=_set(plan.head_rate), epochs=_set(plan.head_epochs), patience=8
    )
    trained = keras.Model(cut, head.layers(plan.seed)(bottleneck))
    fixed = {layer.name for layer in task.base.layers if not layer.trainable}  # no weights, but numbers of an operation
    freeze(task.base, set())
    freeze(trained, {layer.name for layer in trained.layers} - fixed)
    if not any(layer.trainable_weights for layer in trained.layers if layer.name != CLASSIFIER):
        raise UsageError(f"{plan.model}: nothing to train after {plan.cut!r}; use strategy='head'")
    set_precision(trained, plan.precision, keep=HEAD)
    batches = Views(
        task.labels[task.training],
        len(chosen),
        lambda views, rows: below(np.array(chosen)[views], rows),
        plan.batch_size,
        plan.seed,
    )
    rows += fit(
        trained,
        batches,
        (held_out[0].astype(np.float32), task.labels[task.validation]),
        phase="blocks",
        optimizer=plan.optimizer,
        rate=_set(plan.learning_rate),
        epochs=_set(plan.epochs),
        patience=_set(plan.patience),
        precision=plan.precision,
        progress=task.progress,
    )
    set_precision(trained, "float32", keep=HEAD)
    weights, bias = trained.get_layer(CLASSIFIER).get_weights()
    model = attach(task.base, bottleneck, *replace(head, weights=weights, bias=bias).folded())
    return Outcome(model, {"augmentation": _used(kinds, chosen), "views_compared": compared}, rows)


@dataclass(frozen=True)
class Head:
    """A softmax layer on features that are centred and brought to one size, as the trunk's own may have any.

    Args:
        weights: (features, classes).
        bias: (classes,).
        mean: (features,), subtracted.
        scale: (features,), multiplied by after that.
    """

    weights: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns (kernel, bias) for features as the trunk gives them."""
        kernel = self.scale[:, None] * self.weights.astype(np.float64)
        return kernel, self.bias - self.mean @ kernel

    def layers(self, seed: int) -> Callable[[Any], Any]:
        """Returns the head as layers to go on training, from features to logits.

        Not folded: dropout would put zeros where the mean belongs, and steps would not fit the kernel's size.
        """
        offset = -self.mean * self.scale
        affine = keras.layers.Rescaling(self.scale.tolist(), offset.tolist(), dtype="float32", name="centred")
        dropout = keras.layers.Dropout(DROPOUT, seed=seed, dtype="float32", name="head_dropout")
        dense = keras.layers.Dense(len(self.bias), dtype="float32", name=CLASSIFIER)

        def apply(features: Any) -> Any:
            logits = dense(dropout(affine(features)))
            dense.set_weights([self.weights, self.bias])
            return logits

        return apply


def fit_head(
    task: Task,
    features: np.ndarray,
    views: tuple[int, ...],
    held_out: np.ndarray,
    *,
    rate: float,
    epochs: int,
    patience: int,
) -> tuple[Head, list[dict[str, Any]]]:
    """Trains a softmax layer on cached features; returns it and the history."""
    mean, scale = linear.scaling([features[0]])
    scale = scale * np.sqrt(len(scale)) / linear.NORM
    inputs = keras.Input((features.shape[-1],))
    dropped = keras.layers.Dropout(DROPOUT, seed=task.plan.seed)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(task.classes, kernel_initializer="zeros")(dropped))
    chosen = np.array(views)
    batches = Views(
        task.labels[task.training],
        len(views),
        lambda drawn, rows: ((features[chosen[drawn], rows] - mean) * scale).astype(np.float32),
        task.plan.batch_size,
        task.plan.seed,
        least=HEAD_STEPS,
    )
    rows = fit(
        model,
        batches,
        (((held_out - mean) * scale).astype(np.float32), task.labels[task.validation]),
        phase="head",
        optimizer="adamw",
        rate=rate,
        epochs=epochs,
        patience=patience,
        progress=task.progress,
    )
    weights, bias = model.layers[-1].get_weights()
    return Head(weights, bias, mean, scale), rows


def attach(base: keras.Model, features: Any, kernel: np.ndarray, bias: np.ndarray) -> keras.Model:
    """Returns the network with `softmax(features @ kernel + bias)`, in float32, as its output."""
    dense = keras.layers.Dense(kernel.shape[1], dtype="float32", name=CLASSIFIER)
    outputs = keras.layers.Softmax(dtype="float32", name="probabilities")(dense(features))
    dense.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return keras.Model(base.input, outputs, name=base.name)


def view_sets(kinds: list[tuple[str, ...]]) -> list[tuple[int, ...]]:
    """Returns the sets of views to choose from: the images alone, with unmirrored views, with all views."""
    unmirrored = tuple(number for number, kind in enumerate(kinds) if "flip" not in kind)
    return sorted({(0,), unmirrored, tuple(range(len(kinds)))}, key=len)


def _choose(task: Task, features: np.ndarray, kinds: list[tuple[str, ...]]) -> tuple[tuple[int, ...], dict[str, float]]:
    """Whether the mirrored views stay; the others always do."""
    sets = view_sets(kinds)
    return linear.best_views(features, task.labels[task.training], task.classes, sets[1:] or sets, task.plan.seed)


def _extract(
    task: Task, model: keras.Model, positions: np.ndarray, kinds: list[tuple[str, ...]], *, half: bool = False
) -> list[np.ndarray]:
    return extract(
        model, task.images, positions, kinds, task.scratch, seed=task.plan.seed, half=half, progress=task.progress
    )


def _cached(maps: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda views, rows: maps[views, rows].astype(np.float32)


def _recomputed(
    task: Task, lower: keras.Model, kinds: list[tuple[str, ...]]
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Runs the frozen part again for every batch, on a fresh view of each image."""
    run = Runner(lower)
    augmenters = [Augmenter(kind, task.plan.seed * 1000 + 7 * number) for number, kind in enumerate(kinds)]

    def compute(views: np.ndarray, rows: np.ndarray) -> np.ndarray:
        images = np.asarray(task.images[task.training[rows]], np.float32)
        for view in np.unique(views):
            if kinds[view]:
                images[views == view] = augmenters[view](images[views == view])
        return run.many(images)

    return compute


def _set(value: _Value | None) -> _Value:
    """A value that the plan of this strategy always has."""
    if value is None:
        raise ValueError("the plan lacks a value that its strategy needs")
    return value


def _used(kinds: list[tuple[str, ...]], views: tuple[int, ...]) -> list[str]:
    return list(dict.fromkeys(kind for view in views for kind in kinds[view]))


STRATEGIES: dict[str, Callable[[Task], Outcome]] = {
    "linear": train_linear,
    "head": train_head,
    "blocks": train_blocks,
}
