"""Optimizers, schedules and losses of fine-tuning, on Keras's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

WARM_UP = {"cosine": 0.1, "one-cycle": 0.25, "constant": 0.1}
"""Share of the steps in which the rate rises to its peak (one-cycle: fastai's `pct_start`)."""
TEMPERATURE = 2.0
"""Of the distillation (learning without forgetting, 1606.09282)."""
_MADE: dict[type, type] = {}


def optimizer(
    name: str,
    rate: Any,
    *,
    weight_decay: float = 0.0,
    factors: Callable[[Any], float] | None = None,
    clip_norm: float | None = None,
    ema: float | None = None,
    accumulate: int = 1,
    precision: str = "float32",
) -> Any:
    """Returns AdamW, or SGD with Nesterov momentum, loss-scaled under float16.

    Args:
        name: `adamw` or `sgd`.
        rate: learning rate, or a schedule of it.
        weight_decay: of kernels; biases and normalisation have none.
        factors: variable -> factor on its learning rate; None for 1 everywhere.
        clip_norm: largest norm of all gradients together.
        ema: decay of the average of the weights, which `Layered.average_into` puts in their place.
        accumulate: steps whose gradients are averaged before weights move.
        precision: the arithmetic of the model's layers.
    """
    how: dict[str, Any] = {
        "weight_decay": weight_decay or (None if name == "sgd" else 0.0),
        "global_clipnorm": clip_norm,
        "gradient_accumulation_steps": accumulate if accumulate > 1 else None,
        **({"use_ema": True, "ema_momentum": ema} if ema else {}),
    }
    if name == "sgd":
        made = _layered(keras.optimizers.SGD)(rate, momentum=0.9, nesterov=True, **how)
    else:
        made = _layered(keras.optimizers.AdamW)(rate, **how)
    made.factors = factors
    if weight_decay:
        made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return keras.optimizers.LossScaleOptimizer(made) if precision == "mixed_float16" else made


def _layered(base: type) -> type:
    """A Keras optimizer with a factor on each variable's rate.

    Keras's MultiOptimizer would clip, average and accumulate each group by itself.
    """
    if base in _MADE:
        return _MADE[base]

    class Layered(base):  # type: ignore[misc]
        factors: Callable[[Any], float] | None = None

        def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
            if self.factors is None:
                super()._backend_update_step(grads, trainable_variables, learning_rate)
                return
            groups: dict[float, list[tuple[Any, Any]]] = {}
            for gradient, variable in zip(grads, trainable_variables, strict=True):
                groups.setdefault(self.factors(variable), []).append((gradient, variable))
            for factor, pairs in groups.items():
                some, variables = map(list, zip(*pairs, strict=True))
                super()._backend_update_step(some, variables, learning_rate * factor)

        def _clip_gradients(self, grads: Any) -> Any:
            """Of all devices together: Keras would clip what each TensorFlow device found by itself."""
            return super()._clip_gradients(_summed(grads))

        def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
            """Nothing: `_clip_gradients`, which comes before every update, has added them up."""
            return grads_and_vars

        def finalize_variable_values(self, var_list: Any) -> None:
            """Nothing: `fit` calls this after every epoch, and training goes on from the weights, not their average."""

        def average_into(self, variables: Any) -> None:
            """Puts the average of the weights in their place."""
            super().finalize_variable_values(variables)
            if keras.backend.backend() == "jax":
                for variable in variables:  # which share the averages' buffers, and give them away when the model runs
                    variable.assign(keras.ops.copy(variable.value))

    _MADE[base] = Layered
    return Layered


def _summed(grads: Any) -> Any:
    """Gradients added up over the devices of a tf.distribute strategy."""
    if keras.backend.backend() != "tensorflow":
        return grads
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return grads
    return context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))


def inner(made: Any) -> Any:
    """Returns the optimizer without the scaling of the loss."""
    return made.inner_optimizer if isinstance(made, keras.optimizers.LossScaleOptimizer) else made


def schedule(kind: str, rate: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a schedule: the rate rises to its peak, and falls to zero along a cosine or stays.

    Args:
        kind: `cosine`, `one-cycle` (a longer rise) or `constant`.
        rate: the peak.
        steps: length.
    """
    warm_up = max(1, round(WARM_UP[kind] * steps))
    fall, floor = (10**9, 1.0) if kind == "constant" else (max(1, steps - warm_up), 0.0)
    return keras.optimizers.schedules.CosineDecay(
        rate / 25, fall, alpha=floor, warmup_target=rate, warmup_steps=warm_up
    )


def loss(classes: int, *, smoothing: float = 0.0, old: int = 0) -> Callable[[Any, Any], Any]:
    """Returns the loss of logits (N, classes): cross-entropy, and with `old` classes what keeps them as they were.

    Args:
        classes: number of classes.
        smoothing: share of each label given to all classes.
        old: number of the first classes whose answers are distilled: the targets then have, behind the labels
            (N, classes), what the old model gave for them (N, old), as probabilities at `TEMPERATURE`.
    """

    def cross_entropy(targets: Any, logits: Any) -> Any:
        labels = targets[:, :classes]
        if smoothing:
            labels = labels * (1 - smoothing) + smoothing / classes
        value = -keras.ops.sum(labels * keras.ops.log_softmax(logits, axis=-1), axis=-1)
        if old:
            before = targets[:, classes:]
            now = keras.ops.log_softmax(logits[:, :old] / TEMPERATURE, axis=-1)
            entropy = keras.ops.sum(before * keras.ops.log(keras.ops.maximum(before, 1e-12)), axis=-1)
            value = value + TEMPERATURE**2 * (entropy - keras.ops.sum(before * now, axis=-1))
        return value

    return cross_entropy


def accuracy(classes: int) -> Callable[[Any, Any], Any]:
    """Returns a metric: whether the largest logit is that of the label, or of the larger part of a mixed one."""

    def accuracy(targets: Any, logits: Any) -> Any:
        right = keras.ops.argmax(targets[:, :classes], axis=-1) == keras.ops.argmax(logits, axis=-1)
        return keras.ops.cast(right, "float32")

    return accuracy


def by_layer(model: keras.Model, decay: float, numbers: dict[str, int]) -> Callable[[Any], float]:
    """Returns variable -> `decay` to the power of its block's number, 0 at the output.

    Args:
        model: the model that is trained.
        decay: factor from each block to the one below.
        numbers: layer name -> number of its block; other layers have 0.
    """
    found = {id(variable): decay ** numbers.get(layer.name, 0) for layer in model.layers for variable in layer.weights}

    def factor(variable: Any) -> float:
        return found.get(id(variable), 1.0)

    return factor
