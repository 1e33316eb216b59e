"""Training by gradient: batches of cached views, a cosine schedule, early stopping, best weights kept."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

WARM_UP = 0.1
"""Share of the steps in which the rate rises to its peak."""
WEIGHT_DECAY = 1e-4


class Views(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches that take one random view of each image per epoch.

    Args:
        labels: (n,) integers.
        views: number of views to draw from.
        inputs: (views, positions) -> the network's inputs; both are arrays of one batch's length.
        batch_size: images per batch.
        seed: decides order and views.
        least: batches per epoch at least; smaller data are gone through several times, with new views each time.
    """

    def __init__(
        self,
        labels: np.ndarray,
        views: int,
        inputs: Callable[[np.ndarray, np.ndarray], np.ndarray],
        batch_size: int,
        seed: int,
        least: int = 1,
    ) -> None:
        super().__init__()
        self._labels = labels
        self._views = views
        self._inputs = inputs
        self._batch_size = batch_size
        self._passes = -(-least // -(-len(labels) // batch_size))
        self._random = np.random.default_rng(seed)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Draws a new order and new views."""
        self._order = np.concatenate([self._random.permutation(len(self._labels)) for _ in range(self._passes)])
        self._drawn = self._random.integers(self._views, size=len(self._order))

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(number * self._batch_size, (number + 1) * self._batch_size)
        rows = self._order[part]
        return self._inputs(self._drawn[part], rows), self._labels[rows]


def fit(
    model: keras.Model,
    batches: Views,
    validation: tuple[np.ndarray, np.ndarray],
    *,
    phase: str,
    optimizer: str,
    rate: float,
    epochs: int,
    patience: int,
    precision: str = "float32",
    batch_size: int = 32,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Trains a model that gives logits, and leaves it with the best weights it had, those before training included.

    The model is compiled here: what is frozen is read at that moment, so every phase has to come through here again.

    Args:
        model: whose layers' `trainable` says what is trained.
        batches: what to train on.
        validation: inputs and labels of the images held out.
        phase: name for the history and the bar.
        optimizer: `adamw` or `sgd`.
        rate: peak learning rate.
        epochs: most epochs.
        patience: epochs without improvement after which to stop.
        precision: the arithmetic of the model's layers, for the scaling of the loss.
        batch_size: for the validation.
        progress: show a bar on a terminal.

    Returns:
        One row per epoch: phase, epoch, rate, loss, accuracy, val_loss, val_accuracy, seconds, best. Epoch 0 is before.
    """
    schedule = cosine(rate, len(batches) * epochs)
    model.compile(
        optimizer=make_optimizer(optimizer, schedule, precision),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        auto_scale_loss=False,
    )
    inputs, labels = validation
    before = model.evaluate(inputs, labels, batch_size=batch_size, verbose=0, return_dict=True)
    keep = _KeepBest(phase, patience, schedule, len(batches), before)
    callbacks: list[Any] = [keep]
    if progress and sys.stderr.isatty():
        callbacks.append(_Bar(phase, epochs, len(batches)))
    model.fit(
        batches, validation_data=validation, validation_batch_size=batch_size, epochs=epochs, verbose=0,
        callbacks=callbacks, shuffle=False,
    )  # fmt: skip
    keep.restore()
    return keep.rows


def cosine(rate: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a schedule that rises to `rate` in a tenth of the steps and falls to zero along a cosine."""
    warm_up = max(1, round(WARM_UP * steps))
    return keras.optimizers.schedules.CosineDecay(
        rate / 25, max(1, steps - warm_up), warmup_target=rate, warmup_steps=warm_up
    )


def make_optimizer(name: str, rate: Any, precision: str) -> keras.optimizers.Optimizer:
    """Returns AdamW (weight decay on kernels only) or SGD with Nesterov momentum, loss-scaled under float16."""
    if name == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    else:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


class _KeepBest(keras.callbacks.Callback):  # type: ignore[misc]
    """Remembers the best weights, by validation loss.

    Not by accuracy: on a few dozen images held out, that is mostly chance, and rewards an early lucky epoch.
    """

    def __init__(self, phase: str, patience: int, schedule: Any, steps: int, before: dict[str, float]) -> None:
        super().__init__()
        self._phase, self._patience, self._schedule, self._steps = phase, patience, schedule, steps
        self._best = before["loss"]
        self._weights: list[np.ndarray] | None = None
        self._waited = 0
        self._started = time.monotonic()
        first = {"val_loss": before["loss"], "val_accuracy": before["accuracy"]}
        self.rows = [self._row(0, first, rate=None, best=True)]

    def on_train_begin(self, logs: Any = None) -> None:
        self._weights = self.model.get_weights()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        better = bool(logs["val_loss"] < self._best)  # a loss of NaN is never better
        rate = float(keras.ops.convert_to_numpy(self._schedule(max(0, (epoch + 1) * self._steps - 1))))
        self.rows.append(self._row(epoch + 1, logs, rate, better))
        if better:
            self._best, self._weights, self._waited = logs["val_loss"], self.model.get_weights(), 0
            return
        self._waited += 1
        if self._waited >= self._patience:
            self.model.stop_training = True

    def restore(self) -> None:
        """Puts the best weights back."""
        if self._weights is not None:
            self.model.set_weights(self._weights)

    def _row(self, epoch: int, logs: dict[str, float], rate: float | None, best: bool) -> dict[str, Any]:
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        numbers = {name: float(logs[name]) if name in logs else None for name in names}
        seconds = round(time.monotonic() - self._started, 3)
        return {"phase": self._phase, "epoch": epoch, "rate": rate, **numbers, "seconds": seconds, "best": best}


class _Bar(keras.callbacks.Callback):  # type: ignore[misc]
    """One tqdm bar over all steps of a phase."""

    def __init__(self, phase: str, epochs: int, steps: int) -> None:
        super().__init__()
        from tqdm import tqdm

        self._bar = tqdm(total=epochs * steps, desc=phase, unit="step", leave=False)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._bar.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._bar.set_postfix(epoch=epoch + 1, val_accuracy=f"{logs['val_accuracy']:.3f}")

    def on_train_end(self, logs: Any = None) -> None:
        self._bar.close()


def freeze(model: keras.Model, trained: set[str]) -> None:
    """Makes the named layers trainable, others not, and batch normalisation never: it stays in inference mode."""
    for layer in model.layers:
        layer.trainable = layer.name in trained and not isinstance(layer, keras.layers.BatchNormalization)


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
