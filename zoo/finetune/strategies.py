"""The ways to make a classifier of a pretrained network: linear, head, blocks, all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import keras
import numpy as np

from zoo import heads
from zoo.errors import UsageError
from zoo.finetune import augment, cuts, devices, fits, linear, optimize
from zoo.finetune import head as head_module
from zoo.finetune.batches import Batches
from zoo.finetune.decide import HEAD_RATE, HEAD_STEPS
from zoo.finetune.features import Extraction, Images, Pool, collect, depths, few, predict, view_kinds
from zoo.finetune.head import Head, Old, attach
from zoo.finetune.plan import Plan
from zoo.finetune.state import Checkpoint
from zoo.finetune.train import HeldOut, Settings, compile_model, diverged, fit, freeze, set_precision

BOTTLENECK = "bottleneck"
CUT = "cut"
ROWS = 4096
"""Images whose features go through a classifier at once."""
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Task:
    """What a strategy works on.

    Args:
        base: the pretrained network; its upper layers may be changed.
        images: positions -> (n, H, W, 3) uint8.
        labels: (N,) integers.
        training: positions of the images to train on.
        validation: positions of those held out.
        classes: number of classes of the result.
        plan: the plan.
        pool: what the frozen part gives, as `prepare` computes it.
        checkpoint: where the course is kept.
        log: is given each row of the history.
        old: the model's own classifier, if its classes are kept.
        progress: show bars on a terminal.
        batch: what is known of the batch size that fits.
        say: is told what was found on the way.
    """

    base: keras.Model
    images: Images
    labels: np.ndarray
    training: np.ndarray
    validation: np.ndarray
    classes: int
    plan: Plan
    pool: Pool
    checkpoint: Checkpoint = field(default_factory=lambda: Checkpoint(None))
    log: Callable[[dict[str, Any]], None] = lambda row: None
    old: Old | None = None
    progress: bool = False
    batch: fits.Memo = field(default_factory=fits.Memo)
    say: Callable[[str], None] = lambda text: None

    def targets(self) -> np.ndarray:
        """Returns (n, classes) float32, one where the class is."""
        return np.asarray(np.eye(self.classes, dtype=np.float32)[self.labels[self.training]])


@dataclass(frozen=True)
class Outcome:
    """What a strategy made.

    Args:
        model: RGB 0..255 (N, H, W, 3) in, probabilities (N, classes) float32 out.
        found: what was chosen on the way, for metrics.json.
        history: one row per epoch.
        reads: name in the pool -> the model's own tensor of these values, where it reads images through no other.
    """

    model: keras.Model
    found: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)
    reads: dict[str, Any] = field(default_factory=dict)


def prepare(work: Extraction, plan: Plan, trained: np.ndarray, held: np.ndarray) -> Pool:
    """Computes what a plan's frozen part gives, once, for all folds and phases."""
    base = work.base
    tensors = depths(base) if plan.strategy == "linear" else {BOTTLENECK: heads.bottleneck(base)}
    if plan.strategy == "blocks" and plan.cached:
        tensors[CUT] = heads.find(base, _set(plan.cut))
    return collect(work, tensors, trained=trained, held=held, kinds=view_kinds(plan.augmentation, plan.views))


def predicted(task: Task, outcome: Outcome, positions: np.ndarray) -> np.ndarray:
    """Returns what a strategy's model says of images: (len(positions), classes).

    Where it reads nothing but features that are there, they are not computed again.
    """
    if not outcome.reads or (np.maximum(task.pool.where, task.pool.where_held)[positions] < 0).any():
        return predict(outcome.model, task.images, positions)
    top = keras.Model(list(outcome.reads.values()), outcome.model.output)
    found = [
        few(top, [task.pool.plain(name, positions[start : start + ROWS]) for name in outcome.reads])
        for start in range(0, len(positions), ROWS)
    ]
    return np.concatenate(found)


def train_linear(task: Task) -> Outcome:
    """(a) A linear classifier, solved on cached features, as one dense layer with softmax."""
    pool, kinds = task.pool, task.pool.kinds
    features = {name: pool.all_views(name, task.training) for name in pool.trained}
    labels = task.labels[task.training]
    solution = linear.solve(features, labels, task.classes, view_sets(kinds), task.plan.seed)
    tensors = depths(task.base)
    inputs = [tensors[name] for name in solution.groups]
    joined = keras.layers.Concatenate(name="features")(inputs) if len(inputs) > 1 else inputs[0]
    model = attach(task.base, joined, [(solution.kernel, solution.bias)])
    score = solution.score
    found = {
        "classifier": {"logistic": "logistic regression", "svm": "linear SVM"}[solution.kind],
        "C": solution.strength,
        "choices_averaged": solution.averaged,
        "features": list(solution.groups),
        "augmentation": _used(kinds, solution.views),
        "temperature": round(solution.temperature, 4),
        "cross_validation": score
        and {"accuracy": score.mean, "deviation": score.deviation, "folds": score.folds, "compared": solution.tried},
    }
    return Outcome(model, found, reads={name: tensors[name] for name in solution.groups})


def train_head(task: Task) -> Outcome:
    """(b) A new softmax layer on the frozen trunk, whose outputs are computed once for every view."""
    views, compared = _choose(task)
    head, rows = fit_head(task, views, _last(task))
    found = {"augmentation": _used(task.pool.kinds, views), "views_compared": compared}
    bottleneck = heads.bottleneck(task.base)
    return Outcome(attach(task.base, bottleneck, head.folded()), found, rows, {BOTTLENECK: bottleneck})


def train_deep(task: Task) -> Outcome:
    """(c) The head first, then the upper layers with it, or all; what lies below is computed once if it fits."""
    views, compared = _choose(task)
    head, rows = fit_head(task, views, _first(task))
    bottleneck = heads.bottleneck(task.base)
    used = _used(task.pool.kinds, views)
    trained, layered, settings, batches = _deep(task, head, bottleneck, views)
    spread = task.plan.devices
    with devices.twin(trained, settings, spread) as (taught, how):
        batches, how, ready, size = fits.fitted(taught, batches, how, task.batch, task.say, spread=spread)
        course = fit(taught, batches, _held_out(task), how, checkpoint=task.checkpoint, log=task.log, ready=ready)
    _tell(task, course)
    rows += course
    set_precision(layered, "float32", keep=head_module.NAMES)
    model = attach(task.base, bottleneck, head.trained(layered).folded())
    return Outcome(model, {"augmentation": used, "views_compared": compared, "batch": asdict(size)}, rows)


def compiled(task: Task) -> tuple[keras.Model, Batches, Any]:
    """Returns the compiled model of the plan's last phase, its batches, and its optimizer, whose rate can be set."""
    views, _ = _choose(task)
    if task.plan.strategy == "head":
        model, batches, _, _ = _head_model(task, views)
        settings = _last(task)
    else:
        head, _ = fit_head(task, views, _first(task))
        model, _, settings, batches = _deep(task, head, heads.bottleneck(task.base), views)
    return model, batches, compile_model(model, settings, settings.rate)


def _deep(
    task: Task, head: Head, bottleneck: Any, views: tuple[int, ...]
) -> tuple[keras.Model, keras.Model, Settings, Batches]:
    """The last phase: the model that is trained, the one that has its layers, how, and on what."""
    plan = task.plan
    trained, layered = _network(task, head, bottleneck, tuple(_used(task.pool.kinds, views)))
    set_precision(layered, plan.precision, keep=head_module.NAMES)
    settings = _last(task)
    if plan.layer_decay not in (None, 1):
        factors = optimize.by_layer(layered, _set(plan.layer_decay), cuts.blocks(task.base))
        settings = replace(settings, factors=factors)
    return trained, layered, settings, _batches(task, *_inputs(task, views), image_level=True)


def fit_head(task: Task, views: tuple[int, ...], settings: Settings) -> tuple[Head, list[dict[str, Any]]]:
    """Trains the new classifier on cached features; returns it and the history."""
    model, batches, head, judged = _head_model(task, views)
    small = replace(settings, small=True)
    rows = fit(model, batches, judged, small, checkpoint=task.checkpoint, log=task.log)
    _tell(task, rows)
    return head.trained(model), rows


def _tell(task: Task, rows: list[dict[str, Any]]) -> None:
    """Says it where a phase was lost."""
    last = rows[-1]
    if not diverged(last):
        return
    kept = next(row["epoch"] for row in reversed(rows) if row["best"])
    option = "head_learning_rate" if last["phase"] == "head" != task.plan.strategy else "learning_rate"
    task.say(
        f"warning: {last['phase']}: the loss is no number any more in epoch {last['epoch']}, which too high a learning "
        f"rate does; the weights of epoch {kept} are kept. Use a lower {option} (--{option.replace('_', '-')})"
    )


def _head_model(task: Task, views: tuple[int, ...]) -> tuple[keras.Model, Batches, Head, HeldOut]:
    plan, pool, chosen = task.plan, task.pool, np.array(views)
    features = pool.plain(BOTTLENECK, task.training)
    head = head_module.new(
        features, task.classes, hidden=plan.hidden, dropout=plan.dropout or 0.0, seed=plan.seed, old=task.old
    )
    inputs = keras.Input((features.shape[-1],))
    model = keras.Model(inputs, head.apply(inputs, plan.seed, centre=False))

    def read(drawn: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return head.centred(pool.take(BOTTLENECK, chosen[drawn], task.training[rows]))

    held = head.centred(pool.plain(BOTTLENECK, task.validation))
    judged = HeldOut(lambda first, behind: held[first:behind], task.labels[task.validation])
    return model, _batches(task, read, len(views), chosen, least=HEAD_STEPS), head, judged


def _network(task: Task, head: Head, bottleneck: Any, kinds: tuple[str, ...]) -> tuple[keras.Model, keras.Model]:
    """The model that the last phase trains, from the cut or the image to logits; and the one that has its layers."""
    plan, base = task.plan, task.base
    fixed = {layer.name for layer in base.layers if not layer.trainable}  # no weights, but numbers of an operation
    freeze(base, set())
    below: set[str] = set()
    start = base.input
    if plan.strategy == "blocks":
        cut = heads.find(base, _set(plan.cut))
        below = {layer.name for layer in keras.Model(base.input, cut).layers}
        start = cut if plan.cached else start
    layered = keras.Model(start, head.apply(bottleneck, plan.seed, centre=True))
    freeze(layered, {layer.name for layer in layered.layers} - fixed - below, batch_norm=plan.batch_norm == "trained")
    if not any(layer.trainable_weights for layer in layered.layers if layer.name not in head_module.NAMES):
        raise UsageError(f"{plan.model}: nothing to train after {plan.cut!r}; use strategy='head'")
    if not kinds or start is not base.input:
        return layered, layered
    images = keras.Input(base.input_shape[1:], name="images")
    return keras.Model(images, layered(augment.inside(images, kinds, plan.seed))), layered


def _inputs(
    task: Task, views: tuple[int, ...]
) -> tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], int, np.ndarray]:
    """What the last phase reads: cached maps of a view, or the images themselves."""
    if CUT in task.pool.trained:
        chosen = np.array(views)
        return lambda drawn, rows: task.pool.take(CUT, chosen[drawn], task.training[rows]), len(views), chosen
    return lambda drawn, rows: task.images(task.training[rows]), 1, np.array([0])


def _held_out(task: Task) -> HeldOut:
    def inputs(first: int, behind: int) -> np.ndarray:
        positions = task.validation[first:behind]
        return task.pool.plain(CUT, positions) if CUT in task.pool.trained else task.images(positions)

    return HeldOut(inputs, task.labels[task.validation])


def _batches(
    task: Task,
    inputs: Callable[[np.ndarray, np.ndarray], np.ndarray],
    views: int,
    chosen: np.ndarray,
    *,
    least: int = 1,
    image_level: bool = False,
) -> Batches:
    """Batches as the plan has them: weights, sampling, mixing, and what the old model said."""
    plan, labels = task.plan, task.labels[task.training]
    weights = None if plan.class_weights is None else np.array(plan.class_weights, np.float32)[labels]
    chances = 1.0 / np.bincount(labels, minlength=task.classes)[labels] if plan.sampling == "balanced" else None
    also = None
    if task.old is not None:
        answer = task.old.at(optimize.TEMPERATURE)

        def also(drawn: np.ndarray, rows: np.ndarray) -> np.ndarray:
            return answer(task.pool.take(BOTTLENECK, chosen[drawn], task.training[rows]))

    return Batches(
        task.targets(),
        views,
        inputs,
        plan.batch_size,
        plan.seed,
        least=least,
        weights=weights,
        chances=chances,
        also=also,
        mixup=plan.mixup or 0.0,
        cutmix=(plan.cutmix or 0.0) if image_level and CUT not in task.pool.trained else 0.0,
    )


def _first(task: Task) -> Settings:
    """How the head alone is trained, before the layers below it."""
    plan = task.plan
    return Settings(
        "head",
        "adamw",
        plan.head_rate or HEAD_RATE,
        _set(plan.head_epochs),
        8,
        smoothing=plan.label_smoothing or 0.0,
        old=len(task.old.names) if task.old else 0,
        seed=plan.seed,
        progress=task.progress,
    )


def _last(task: Task) -> Settings:
    """How the plan's last phase is trained."""
    plan = task.plan
    return Settings(
        plan.strategy,
        plan.optimizer,
        _set(plan.learning_rate),
        _set(plan.epochs),
        _set(plan.patience),
        schedule=plan.schedule or "cosine",
        weight_decay=plan.weight_decay or 0.0,
        accumulate=plan.accumulate or 1,
        clip_norm=plan.clip_norm,
        ema=plan.ema,
        smoothing=plan.label_smoothing or 0.0,
        old=len(task.old.names) if task.old else 0,
        precision=plan.precision,
        xla=plan.xla,
        seed=plan.seed,
        progress=task.progress,
    )


def view_sets(kinds: list[tuple[str, ...]]) -> list[tuple[int, ...]]:
    """Returns the sets of views to choose from: the images alone, with unmirrored views, with all views."""
    unmirrored = tuple(number for number, kind in enumerate(kinds) if "flip" not in kind)
    return sorted({(0,), unmirrored, tuple(range(len(kinds)))}, key=len)


def _choose(task: Task) -> tuple[tuple[int, ...], dict[str, float]]:
    """Whether the mirrored views stay; the others always do."""
    sets = view_sets(task.pool.kinds)
    sets = sets[1:] or sets
    if len(sets) == 1:
        return sets[0], {}
    features = task.pool.all_views(BOTTLENECK, task.training)
    present, labels = np.unique(task.labels[task.training], return_inverse=True)  # kept classes have no images here
    return linear.best_views(features, labels, len(present), sets, task.plan.seed)


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
    "blocks": train_deep,
    "all": train_deep,
}
