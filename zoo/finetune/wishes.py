"""What a caller may ask for: one field per choice, from which the command line takes its options as well."""

from __future__ import annotations

import difflib
import importlib.util
from dataclasses import Field, dataclass, field, fields
from typing import Any, get_type_hints

from zoo.errors import UsageError
from zoo.finetune import devices
from zoo.finetune.augment import KINDS, PRESETS

STRATEGIES = ("linear", "head", "blocks", "all")
OPTIMIZERS = ("adamw", "sgd")
LARGEST = 1e12
"""No option of a number has a meaning above this; beyond it, arithmetic overflows."""
SCHEDULES = ("cosine", "one-cycle", "constant")


def _wish(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    whole: bool = False,
) -> Any:
    """A field with what it means, and what it may be: one of `choices`, or a number above `low` and up to `high`."""
    return field(default=default, metadata={"help": text, "choices": choices, "low": low, "high": high, "whole": whole})


@dataclass(frozen=True)
class Wishes:
    """What the caller asked for; None and `auto` leave the choice to the plan. `zoo finetune --help` explains each."""

    strategy: str = _wish("auto", "What is trained.", choices=("auto", *STRATEGIES))
    freeze_until: str | None = _wish(None, "Layer or block up to which nothing is trained; or none, or all.")
    head: str = _wish(
        "linear",
        "The new classifier: a softmax layer, or one with a hidden layer before it.",
        choices=("linear", "mlp"),
    )
    keep_classes: bool = _wish(False, "Keep the model's classes and add those of the data, without forgetting.")
    validation: float = _wish(0.2, "Share of each class to hold out.")
    folds: int | None = _wish(None, "Cross-validate in so many folds as well.", low=1, whole=True)
    epochs: int | None = _wish(None, "Most epochs of the last phase.", low=0, whole=True)
    head_epochs: int | None = _wish(None, "Most epochs of the new head alone.", low=0, whole=True)
    patience: int | None = _wish(
        None, "Epochs without a lower validation loss after which a phase ends.", low=0, whole=True
    )
    batch_size: int | None = _wish(None, "Images per step.", low=0, whole=True)
    accumulate: int | None = _wish(None, "Steps whose gradients are added up before weights move.", low=0, whole=True)
    optimizer: str | None = _wish(None, "AdamW, or SGD with Nesterov momentum.", choices=OPTIMIZERS)
    learning_rate: float | None = _wish(None, "Peak learning rate of the last phase.", low=0)
    head_learning_rate: float | None = _wish(None, "Peak learning rate of the new head alone.", low=0)
    layer_decay: float | None = _wish(
        None, "Factor on the learning rate from each block to the one below it.", low=0, high=1
    )
    weight_decay: float | None = _wish(None, "Weight decay; never of biases and normalisation.", low=-1)
    schedule: str = _wish("cosine", "Course of the learning rate.", choices=SCHEDULES)
    clip_norm: float | None = _wish(None, "Largest norm of all gradients together.", low=0)
    ema: float | None = _wish(
        None, "Decay of an average over steps of the weights, such as 0.999.", low=0, high=0.99999
    )
    dropout: float | None = _wish(None, "Dropout before the new classifier.", low=-1, high=0.99)
    label_smoothing: float | None = _wish(None, "Share of each label given to all classes.", low=-1, high=0.99)
    class_weights: str = _wish(
        "auto", "Weights of classes by how rare they are.", choices=("auto", "none", "sqrt", "balanced")
    )
    sampling: str = _wish(
        "shuffled", "All images once an epoch, or every class as often.", choices=("shuffled", "balanced")
    )
    augment: str | bool = _wish("auto", f"none, {', '.join(PRESETS)}, or some of {', '.join(KINDS)} with commas.")
    mixup: float | None = _wish(None, "Alpha of mixup.", low=-1)
    cutmix: float | None = _wish(None, "Alpha of cutmix, where whole networks are trained.", low=-1)
    batch_norm: str = _wish("auto", "Statistics of batch normalisation.", choices=("auto", "frozen", "trained"))
    calibrate: bool = _wish(False, "Divide the logits by the temperature that makes probabilities honest.")
    devices: int | str = _wish("auto", "Devices that share each batch: how many, or all; default: all GPUs.")
    mixed_precision: bool | None = _wish(None, "16-bit arithmetic on a GPU.")
    xla: bool | None = _wish(None, "Compile the steps with XLA; default: as Keras decides.")
    deterministic: bool = _wish(False, "Only operations that give the same bits each time; slower on a GPU.")
    tensorboard: bool = _wish(False, "Write the course of the training for TensorBoard.")
    seed: int = _wish(0, "Decides split, order, augmentation and initial weights.", low=-1, high=2**32 - 1, whole=True)

    @classmethod
    def of(cls, options: dict[str, Any]) -> Wishes:
        """Makes and checks wishes.

        Raises:
            UsageError: there is no such option, or its value is impossible.
        """
        names = [item.name for item in fields(cls)]
        for name in options:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; expected some of {', '.join(names)}"
                raise UsageError(f"{name}: finetune has no such option{hint}")
        wishes = cls(**options)
        wishes.check()
        return wishes

    def states(self, item: Field[Any]) -> bool:
        """Returns whether something else than the default was asked for."""
        return bool(getattr(self, item.name) != item.default)

    def check(self) -> None:
        """Raises UsageError when a value is impossible."""
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None:
                _check(item, value)
        devices.check(self.devices)
        if self.tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise UsageError("tensorboard: is not installed; pip install 'convnet-zoo[tensorboard]'")
        if self.freeze_until == "all" and self.strategy in ("blocks", "all"):
            raise UsageError(
                f"freeze_until='all': nothing is left for strategy={self.strategy!r}; leave one of them out"
            )
        if self.freeze_until not in (None, "all") and self.strategy in ("linear", "head"):
            raise UsageError(
                f"freeze_until={self.freeze_until!r}: strategy={self.strategy!r} freezes all; leave one out"
            )
        if self.keep_classes and self.strategy == "linear":
            raise UsageError(
                "keep_classes: a linear classifier is solved anew and forgets; use strategy='head' or 'blocks'"
            )
        if self.keep_classes and self.head == "mlp":
            raise UsageError("keep_classes: the old classifier is one layer; leave out head='mlp'")


def _check(item: Field[Any], value: Any) -> None:
    name, rule = item.name, item.metadata
    if rule["choices"] and value not in rule["choices"]:
        raise UsageError(f"{name}={value!r}: expected one of {', '.join(rule['choices'])}")
    if rule["low"] is None:
        return
    kind = int if rule["whole"] else (int, float)
    low, high = rule["low"], rule["high"]
    if isinstance(value, bool) or not isinstance(value, kind) or not low < value <= (high or LARGEST):
        least = f"at least {low + 1:g}" if rule["whole"] or low < 0 else f"above {low:g}"
        most = f" and at most {high or LARGEST:.10g}" if high or value > LARGEST else ""
        raise UsageError(f"{name}={value!r}: expected a {'whole ' if rule['whole'] else ''}number {least}{most}")


def options() -> list[tuple[str, Any, Any, str, tuple[str, ...]]]:
    """Returns (name, type, default, help, choices) of every wish, for the command line."""
    hints = get_type_hints(Wishes)
    return [
        (item.name, hints[item.name], item.default, item.metadata["help"], item.metadata["choices"])
        for item in fields(Wishes)
    ]
