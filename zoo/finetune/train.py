"""Training by gradient: one phase, epoch by epoch, with early stopping; the best weights are kept."""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from zoo.finetune import optimize
from zoo.finetune.augment import reseed
from zoo.finetune.batches import Batches
from zoo.finetune.features import Runner
from zoo.finetune.state import Checkpoint, Course


@dataclass(frozen=True)
class Settings:
    """How a phase trains.

    Args:
        phase: its name, for the history, the bar and the checkpoint.
        optimizer: `adamw` or `sgd`.
        rate: peak learning rate.
        epochs: most epochs.
        patience: epochs without a lower validation loss after which to stop.
        schedule: course of the rate: `cosine`, `one-cycle` or `constant`.
        weight_decay: of kernels.
        accumulate: steps whose gradients are added up.
        clip_norm: largest norm of all gradients together.
        ema: decay of the average of the weights, which is then what is judged and kept.
        smoothing: label smoothing.
        old: number of old classes that are distilled.
        precision: the arithmetic of the model's layers, for the scaling of the loss.
        xla: whether to compile with XLA; None as Keras decides.
        seed: of dropout and augmentation.
        factors: variable -> factor on its rate.
        progress: show a bar on a terminal.
        small: whether a step is so short that what is done around it counts.
    """

    phase: str
    optimizer: str
    rate: float
    epochs: int
    patience: int
    schedule: str = "cosine"
    weight_decay: float = 1e-4
    accumulate: int = 1
    clip_norm: float | None = None
    ema: float | None = None
    smoothing: float = 0.0
    old: int = 0
    precision: str = "float32"
    xla: bool | None = None
    seed: int = 0
    factors: Callable[[Any], float] | None = None
    progress: bool = True
    small: bool = False


@dataclass(frozen=True)
class Ready:
    """A compiled model's optimizer.

    Args:
        optimizer: it has its variables.
        schedule: of its rate.
    """

    optimizer: Any
    schedule: Any


@dataclass(frozen=True)
class HeldOut:
    """What decides which weights are best.

    Args:
        inputs: position of the first and behind the last -> the model's inputs for these images.
        labels: (n,) integers.
    """

    inputs: Callable[[int, int], np.ndarray]
    labels: np.ndarray


def fit(
    model: keras.Model,
    batches: Batches,
    held_out: HeldOut,
    settings: Settings,
    *,
    checkpoint: Checkpoint | None = None,
    log: Callable[[dict[str, Any]], None] | None = None,
    ready: Ready | None = None,
) -> list[dict[str, Any]]:
    """Trains a model that gives logits, and leaves it with the best weights it had, those before training included.

    The model is compiled here: what is frozen is read at that moment, so every phase has to come through here again.

    Args:
        model: whose layers' `trainable` says what is trained.
        batches: what to train on.
        held_out: what decides which weights are best, by loss: accuracy on a few dozen images is mostly chance.
        settings: how.
        checkpoint: where to go on from, and to keep the course in.
        log: is given each new row of the history.
        ready: what `prepared` gave for the same model, batches and settings.

    Returns:
        One row per epoch: phase, epoch, rate, loss, accuracy, val_loss, val_accuracy, seconds, best. Epoch 0 is before.
    """
    checkpoint = checkpoint or Checkpoint(None)
    log = log or (lambda row: None)
    ready = ready or prepared(model, batches, settings)
    made, schedule = ready.optimizer, ready.schedule
    variables = _moving(model)
    kept = checkpoint.load(settings.phase)
    started = time.monotonic()
    if kept is None:
        loss, accuracy = judge(model, held_out)
        course = Course(0, [_row(settings.phase, 0, None, {}, (loss, accuracy), started, True)], loss)
        log(course.rows[0])
        best = _arrays(variables)
    else:
        course, arrays = kept
        best = arrays["best"]
        _assign(variables, arrays.get("weights", []))
        _assign(made.variables, arrays.get("optimizer", []))
    with _bar(settings, len(batches), course.epoch) as callbacks:
        while not course.done and course.epoch < settings.epochs:
            started = time.monotonic()
            batches.start(course.epoch)
            reseed(model.variables, settings.seed, course.epoch)  # of dropout and augmentation
            logs = _epoch(model, batches, callbacks, settings.small)
            course.epoch += 1
            with _averaged(made, variables, model):
                loss, accuracy = judge(model, held_out)
                better = bool(loss < course.best)  # a loss of NaN is never better
                if better:
                    course.best, course.waited, best = loss, 0, _arrays(variables)
            course.waited += not better
            rate = float(keras.ops.convert_to_numpy(schedule(max(0, course.epoch * len(batches) - 1))))
            row = _row(settings.phase, course.epoch, rate, logs, (loss, accuracy), started, better)
            course.rows.append(row)
            log(row)
            course.done = course.waited >= settings.patience or course.epoch >= settings.epochs or diverged(row)
            # The best weights of a phase that has ended are all that is left of it.
            kinds = {} if course.done else {"weights": variables, "optimizer": made.variables}
            arrays = {kind: _arrays(some) for kind, some in kinds.items()}
            checkpoint.save(settings.phase, course, {**arrays, "best": best})
    _assign(variables, best)
    return course.rows


def _epoch(model: keras.Model, batches: Batches, callbacks: list[Any], small: bool) -> dict[str, float]:
    """Trains for one epoch; returns loss and accuracy, the mean over its batches."""
    if not (small and keras.backend.backend() == "tensorflow"):
        history = model.fit(batches, verbose=0, callbacks=callbacks, shuffle=False).history
        return {name: float(values[-1]) for name, values in history.items()}
    # `fit` traces a new tf.data pipeline at each call, which takes three times as long as the steps of a small model.
    model.reset_metrics()
    logs: dict[str, float] = {}
    for number in range(len(batches)):
        logs = model.train_on_batch(*batches[number], return_dict=True)
        for callback in callbacks:
            callback.on_train_batch_end(number)
    return {name: float(value) for name, value in logs.items()}


def diverged(row: dict[str, Any]) -> bool:
    """Returns whether a loss of an epoch is no finite number: nothing that follows could be one again."""
    return not all(value is None or math.isfinite(value) for value in (row["loss"], row["val_loss"]))


def judge(model: keras.Model, held_out: HeldOut) -> tuple[float, float]:
    """Returns (mean negative log likelihood, accuracy) of a model that gives logits."""
    run, labels = Runner(model), held_out.labels
    logits = run.many(held_out.inputs, len(labels)).astype(np.float64)
    with np.errstate(invalid="ignore"):  # of a model whose weights are lost: NaN, which `diverged` tells
        logits -= logits.max(axis=1, keepdims=True)
        own = logits[np.arange(len(labels)), labels] - np.log(np.exp(logits).sum(axis=1))
    return float(-own.mean()), float((logits.argmax(axis=1) == labels).mean())


def prepared(model: keras.Model, batches: Batches, settings: Settings) -> Ready:
    """Compiles a model for a phase."""
    schedule = optimize.schedule(settings.schedule, settings.rate, len(batches) * settings.epochs)
    return Ready(compile_model(model, settings, schedule), schedule)


def compile_model(model: keras.Model, settings: Settings, rate: Any) -> Any:
    """Compiles a model that gives logits; returns its optimizer, which has its variables."""
    made = optimize.optimizer(
        settings.optimizer,
        rate,
        weight_decay=settings.weight_decay,
        factors=settings.factors,
        clip_norm=settings.clip_norm,
        ema=settings.ema,
        accumulate=settings.accumulate,
        precision=settings.precision,
    )
    classes = model.output_shape[-1]
    loss = optimize.loss(classes, smoothing=settings.smoothing, old=settings.old)
    how = {} if settings.xla is None else {"jit_compile": settings.xla}
    model.compile(optimizer=made, loss=loss, metrics=[optimize.accuracy(classes)], auto_scale_loss=False, **how)
    made.build(model.trainable_variables)
    return made


def _moving(model: keras.Model) -> list[Any]:
    """What training changes: trained variables, and the statistics of trained batch normalisation."""
    statistics = [
        variable
        for part in model.layers
        for layer in (part.layers if isinstance(part, keras.Model) else [part])
        if layer.trainable and isinstance(layer, keras.layers.BatchNormalization)
        for variable in (layer.moving_mean, layer.moving_variance)
    ]
    return [*model.trainable_variables, *statistics]


def _arrays(variables: list[Any]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: list[Any], arrays: list[np.ndarray]) -> None:
    if arrays:
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


@contextlib.contextmanager
def _averaged(made: Any, variables: list[Any], model: keras.Model) -> Iterator[None]:
    """The model with the average of its weights, if one is kept."""
    optimizer = optimize.inner(made)
    if not optimizer.use_ema:
        yield
        return
    before = _arrays(variables)
    optimizer.average_into(model.trainable_variables)
    try:
        yield
    finally:
        _assign(variables, before)


def _row(
    phase: str,
    epoch: int,
    rate: float | None,
    logs: dict[str, float],
    held_out: tuple[float, float],
    started: float,
    best: bool,
) -> dict[str, Any]:
    return {
        "phase": phase,
        "epoch": epoch,
        "rate": rate,
        "loss": logs.get("loss"),
        "accuracy": logs.get("accuracy"),
        "val_loss": held_out[0],
        "val_accuracy": held_out[1],
        "seconds": round(time.monotonic() - started, 3),
        "best": best,
    }


@contextlib.contextmanager
def _bar(settings: Settings, steps: int, done: int) -> Iterator[list[Any]]:
    """One bar over all steps of a phase, as callbacks for `fit`; none without a terminal."""
    if not (settings.progress and sys.stderr.isatty()):
        yield []
        return
    from tqdm import tqdm

    class Step(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            bar.update()

    total = settings.epochs * steps
    with tqdm(total=total, initial=done * steps, desc=settings.phase, unit="step", leave=False) as bar:
        yield [Step()]


def freeze(model: keras.Model, trained: set[str], *, batch_norm: bool = False) -> None:
    """Makes the named layers trainable, others not; batch normalisation stays in inference mode unless asked for."""
    for layer in model.layers:
        normal = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = layer.name in trained and (batch_norm or not normal)


def set_precision(model: keras.Model, precision: str, keep: set[str]) -> None:
    """Changes the arithmetic of a model's layers, except for those named in `keep`; weights stay in float32."""
    for layer in model.layers:
        if layer.name not in keep and not isinstance(layer, keras.layers.InputLayer):
            layer.dtype_policy = keras.DTypePolicy(precision)


def gpu_precision() -> str | None:
    """Returns the mixed precision that fits the GPU of the Keras backend; None when there is no GPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        if not devices:
            return None
        capability = tf.config.experimental.get_device_details(devices[0]).get("compute_capability", (0, 0))
        return "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16"
    if backend == "jax":
        import jax

        return "mixed_bfloat16" if jax.default_backend() == "gpu" else None
    if backend == "torch":
        torch = importlib.import_module("torch")
        if not torch.cuda.is_available():
            return None
        # Not float16 on older GPUs: PyTorch refuses to pad such a map with what max pooling pads with.
        return "mixed_bfloat16" if torch.cuda.is_bf16_supported() else None
    return None
