"""The plan: what was found in the data, what will be trained and how, each choice with its reason.

The rules are those of practice: under about a thousand images a linear classifier on the cached output of the trunk; a
few thousand, a new head first and then the last blocks at a tenth of the rate the network was trained with.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

import numpy as np

from zoo.errors import UsageError
from zoo.finetune.data import Dataset
from zoo.finetune.images import AUGMENTATIONS
from zoo.schema import Training

STRATEGIES = ("linear", "head", "blocks")
FEW = 1000
"""Below this many images a linear classifier is as good as anything and takes a fraction of the time."""
HEAD_RATE = 1e-3
"""AdamW's usual rate for a new head on a frozen trunk (the Keras transfer-learning guide; fastai takes 2e-3)."""
HEAD_EPOCHS = 40
"""Epochs of the head take a second or less: its inputs are cached."""
HEAD_STEPS = 25
"""Steps in an epoch of the head at least: few images are gone through several times between two looks at the loss."""
UNFROZEN = 0.5
"""Share of the network's convolution and dense layers, counted from the output, that `blocks` trains."""
Strategy = Literal["linear", "head", "blocks"]


@dataclass(frozen=True)
class Plan:
    """What a fine-tuning run does. `str(plan)` is a table for people, `plan.as_json()` the same for programs.

    Args:
        model: name of the pretrained network.
        data: the data folder, or what else the images came from.
        classes: class name -> number of readable images.
        training: number of images trained on.
        validation: number of images held out, at least one of each class.
        skipped: files that could not be read: path and reason.
        image_sizes: smallest, median and largest width and height found, pixels.
        input_size: height and width the network takes, pixels.
        strategy: `linear`, `head` or `blocks`.
        trained: what is trained, in words, with the first trained layer.
        frozen: what is not.
        cut: layer after which training begins; None when the whole trunk is frozen.
        cached: whether what is frozen is computed once; else again for every batch.
        optimizer: `none` (solved by scikit-learn), `adamw` or `sgd` for the last phase.
        head_rate: peak learning rate of the phase that trains the head alone.
        learning_rate: peak learning rate of the last phase.
        head_epochs: most epochs of the head alone.
        epochs: most epochs of the last phase.
        patience: epochs without improvement after which a phase ends.
        batch_size: images per step.
        augmentation: random changes made to training images.
        views: augmented views computed of each training image, beside the image itself.
        batch_norm: how batch normalisation is treated.
        precision: the arithmetic of the trained part: `float32`, `mixed_float16` or `mixed_bfloat16`.
        seed: decides split, order, augmentation and initial weights.
        reasons: field -> why, one sentence.
        notes: what a person should know of the data, one sentence each.
    """

    model: str
    data: str
    classes: dict[str, int]
    training: int
    validation: int
    skipped: list[dict[str, str]]
    image_sizes: dict[str, list[int]]
    input_size: list[int]
    strategy: Strategy
    trained: str
    frozen: str
    cut: str | None
    cached: bool
    optimizer: str
    head_rate: float | None
    learning_rate: float | None
    head_epochs: int | None
    epochs: int | None
    patience: int | None
    batch_size: int
    augmentation: tuple[str, ...]
    views: int
    batch_norm: str
    precision: str
    seed: int
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Returns the plan as plain lists, dictionaries, strings and numbers."""
        return {**asdict(self), "augmentation": list(self.augmentation)}

    def __str__(self) -> str:
        rows = [(label, _say(getattr(self, key)), self.reasons.get(key, "")) for label, key in _ROWS]
        rows = [row for row in rows if row[1]]
        label_width = max(len(label) for label, _, _ in rows)
        value_width = min(44, max(len(value) for _, value, _ in rows))
        lines = [f"Plan: {self.model} on {self.data}"]
        for label, value, reason in rows:
            gap = "  " if len(value) <= value_width else "\n" + " " * (label_width + value_width + 6)
            lines.append(f"  {label:<{label_width}}  {value:<{value_width}}{gap if reason else ''}{reason}".rstrip())
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  skipped: {skip['path']}: {skip['reason']}" for skip in self.skipped]
        return "\n".join(lines)


_ROWS = (
    ("classes", "classes"),
    ("images", "image_sizes"),
    ("trained on", "training"),
    ("held out", "validation"),
    ("input", "input_size"),
    ("strategy", "strategy"),
    ("trained", "trained"),
    ("frozen", "frozen"),
    ("optimizer", "optimizer"),
    ("head's rate", "head_rate"),
    ("learning rate", "learning_rate"),
    ("head's epochs", "head_epochs"),
    ("epochs", "epochs"),
    ("stops after", "patience"),
    ("batch", "batch_size"),
    ("augmentation", "augmentation"),
    ("views", "views"),
    ("batch norm", "batch_norm"),
    ("precision", "precision"),
    ("seed", "seed"),
)


def _say(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, list):
        return " x ".join(map(str, value))
    if isinstance(value, dict) and all(isinstance(v, int) for v in value.values()):
        numbers = sorted(value.values())
        return f"{len(value)}, with {numbers[0]} to {numbers[-1]} images" if value else ""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_say(size)}" for name, size in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Wishes:
    """What the caller asked for; None leaves the choice to the plan."""

    strategy: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    validation: float = 0.2
    augment: bool = True
    mixed_precision: bool | None = None
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError when an argument is impossible."""
        if self.strategy not in ("auto", *STRATEGIES):
            raise UsageError(f"strategy={self.strategy!r}: expected one of auto, {', '.join(STRATEGIES)}")
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name}={value}: expected a whole number of at least 1")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise UsageError(f"learning_rate={self.learning_rate}: expected a number above 0, such as 0.001")
        if self.seed < 0:
            raise UsageError(f"seed={self.seed}: expected a whole number of at least 0")


def make(
    dataset: Dataset,
    sizes: tuple[int, int],
    wishes: Wishes,
    *,
    model: Any,
    name: str,
    scratch_training: Training | None,
    precision: str | None,
    room: int,
) -> Plan:
    """Decides how to fine-tune.

    Args:
        dataset: what was found in the folder.
        sizes: number of images to train on and to hold out.
        wishes: what the caller asked for.
        model: the pretrained keras.Model.
        name: its name.
        scratch_training: how its publisher trained it; None when no source says.
        precision: the mixed precision the GPU offers; None when there is no GPU.
        room: bytes that arrays computed once may take.

    Raises:
        UsageError: mixed precision is asked for and there is no GPU; the network cannot be cut.
    """
    from zoo import heads

    images = sum(sizes)
    strategy, why_strategy = _strategy(wishes.strategy, images)
    batch = wishes.batch_size or min(32, sizes[0])
    cut = choose_cut(model, UNFROZEN) if strategy == "blocks" else None
    classifier = heads.classifier(model).operation.name
    reasons = {
        "strategy": why_strategy,
        "validation": "the validation part of the data"
        if "validation" in (dataset.parts or ())
        else f"{wishes.validation:.0%} of each class, at least one image, by seed; written to split.csv",
        "input_size": "resized and cropped as the model's card says",
        "batch_size": "as asked" if wishes.batch_size else "small data: more steps per epoch",
        "seed": "decides split, order, augmentation and initial weights",
    }
    choices = {
        "linear": _linear,
        "head": _head,
        "blocks": _blocks,
    }[strategy](wishes, sizes[0], batch, scratch_training, cut, classifier)
    reasons.update(choices.pop("reasons"))
    kinds, views = _augmentation(wishes.augment, sizes[0], reasons)
    cached = True
    if cut is not None:
        views, cached = _cache(model, cut, sizes, views, room, reasons)
    return Plan(
        model=name,
        data=dataset.name,
        classes=dataset.counts(),
        training=sizes[0],
        validation=sizes[1],
        skipped=[{"path": skip.path, "reason": skip.reason} for skip in dataset.skipped],
        image_sizes=_image_sizes(dataset.sizes),
        input_size=[int(side) for side in model.input_shape[1:3]],
        strategy=strategy,
        cut=cut,
        cached=cached,
        batch_size=batch,
        augmentation=kinds,
        views=views,
        batch_norm="inference mode everywhere",
        precision=_precision(wishes.mixed_precision, precision, strategy, reasons),
        seed=wishes.seed,
        notes=list(dataset.notes),
        reasons={**reasons, "batch_norm": "small batches would spoil the statistics the network was trained with"},
        **choices,
    )


def choose_cut(model: Any, share: float) -> str:
    """Returns the layer after which about `share` of the network's convolution and dense layers remain.

    Raises:
        UsageError: the network cannot be cut in two anywhere.
    """
    import keras

    from zoo import heads

    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D, keras.layers.Dense)
    end = heads.classifier(model).operation.name
    operations = [operation.name for operation in model.operations]
    weighty = {operation.name for operation in model.operations if isinstance(operation, kinds)}
    before = operations[: operations.index(end)]
    points = [point for point in heads.cut_points(model) if point in before]
    above = {point: sum(name in weighty for name in before[before.index(point) + 1 :]) for point in points}
    enough = [point for point in points if above[point] >= share * (len(weighty) - 1)]
    if not enough:
        raise UsageError(f"{model.name}: cannot be cut in a frozen and a trained part; use strategy='linear' or 'head'")
    return enough[-1]


def _strategy(wish: str, images: int) -> tuple[Strategy, str]:
    if wish != "auto":
        return cast(Strategy, wish), "as asked"
    if images < FEW:
        return "linear", f"{images} images, fewer than {FEW}: training the trunk would only learn them by heart"
    return "blocks", f"{images} images, {FEW} or more: enough to adapt the last blocks, too few for all of them"


def _linear(
    wishes: Wishes, images: int, batch: int, training: Training | None, cut: str | None, classifier: str
) -> dict[str, Any]:
    ignored = [key for key in ("epochs", "learning_rate") if getattr(wishes, key) is not None]
    note = f" ({' and '.join(ignored)} not used; strategy='blocks' uses them)" if ignored else ""
    return {
        "trained": f"one linear classifier in place of {classifier!r}",
        "frozen": "the whole trunk",
        "optimizer": "none",
        "head_rate": None,
        "learning_rate": None,
        "head_epochs": None,
        "epochs": None,
        "patience": None,
        "reasons": {
            "trained": "logistic regression or linear SVM, its strength and features chosen by cross-validation",
            "frozen": "its outputs are computed once and kept",
            "optimizer": f"solved exactly by scikit-learn: no rate, no epochs{note}",
        },
    }


def _head(
    wishes: Wishes, images: int, batch: int, training: Training | None, cut: str | None, classifier: str
) -> dict[str, Any]:
    return {
        "trained": f"a new softmax layer in place of {classifier!r}",
        "frozen": "the whole trunk",
        "optimizer": "adamw",
        "head_rate": None,
        "learning_rate": wishes.learning_rate or HEAD_RATE,
        "head_epochs": None,
        "epochs": wishes.epochs or HEAD_EPOCHS,
        "patience": 8,
        "reasons": {
            "frozen": "its outputs are computed once and kept",
            "learning_rate": "as asked"
            if wishes.learning_rate
            else "the usual rate for a new layer alone; cosine to 0",
            "epochs": "as asked"
            if wishes.epochs
            else f"at most, of {HEAD_STEPS} steps or more; the trunk is not run again",
            "patience": "epochs without a lower validation loss; the best weights are kept",
        },
    }


def _blocks(
    wishes: Wishes, images: int, batch: int, training: Training | None, cut: str | None, classifier: str
) -> dict[str, Any]:
    optimizer, rate, why_rate = tenth_of_scratch(training, batch)
    epochs = wishes.epochs or int(np.clip(round(500 * 32 / images), 8, 40))
    return {
        "trained": f"all after {cut!r}, with a new softmax layer in place of {classifier!r}",
        "frozen": f"all up to and including {cut!r}",
        "optimizer": optimizer,
        "head_rate": HEAD_RATE,
        "learning_rate": wishes.learning_rate or rate,
        "head_epochs": HEAD_EPOCHS,
        "epochs": epochs,
        "patience": max(4, epochs // 4),
        "reasons": {
            "trained": "the last half of the layers; early ones see edges and colours, which all pictures share",
            "frozen": "its outputs are computed once and kept",
            "head_rate": "first the new layer alone (AdamW), so that its first large errors do not tear the trunk",
            "learning_rate": "as asked" if wishes.learning_rate else why_rate,
            "epochs": "as asked" if wishes.epochs else "at most: 500 steps of 32 images, and at least 8 epochs",
            "patience": "epochs without a lower validation loss; the best weights are kept",
        },
    }


def tenth_of_scratch(training: Training | None, batch: int) -> tuple[str, float, str]:
    """Returns (optimizer, rate, why): a tenth of the rate the network was trained with, scaled to the batch.

    Adaptive methods (RMSprop, Adam, AdamW) become AdamW at the same rate: they all take steps of one size. Where no
    source gives the rate, it is timm's default and the common one for ImageNet: SGD, 0.1 for batches of 256.
    """
    if training is None:
        rate = 0.1 * batch / 256 / 10
        return "sgd", rate, f"a tenth of SGD's 0.1 for 256 images at batch {batch}; how it was trained is not known"
    rate = training.learning_rate * batch / training.batch_size / 10
    optimizer = "sgd" if training.optimizer == "sgd" else "adamw"
    return (
        optimizer,
        rate,
        (
            f"a tenth of its {training.optimizer} {training.learning_rate:g} for {training.batch_size} images, "
            f"at batch {batch}; cosine to 0"
        ),
    )


def _augmentation(wanted: bool, images: int, reasons: dict[str, str]) -> tuple[tuple[str, ...], int]:
    if not wanted:
        reasons["augmentation"] = "as asked"
        return (), 0
    views = 8 if images < 200 else 4
    reasons["augmentation"] = "up to 10 % and 15 degrees; mirrored views stay only if cross-validation is not worse"
    reasons["views"] = "of each training image, computed once and kept"
    return AUGMENTATIONS, views


def _cache(
    model: Any, cut: str, sizes: tuple[int, int], views: int, room: int, reasons: dict[str, str]
) -> tuple[int, bool]:
    """How many views fit, and whether any does: two bytes a number, for every view and the images held out."""
    from zoo import heads

    one = 2 * math.prod(heads.find(model, cut).shape[1:])
    fit = (room // one - sizes[1]) // sizes[0] - 1
    gib = one * (sizes[0] * (views + 1) + sizes[1]) / 2**30
    if fit >= views:
        reasons["frozen"] = f"its outputs are computed once and kept ({gib:.1f} GiB)"
        return views, True
    if fit >= 1:
        reasons["views"] = f"of each training image, computed once; {views} would take {gib:.1f} GiB"
        return fit, True
    reasons["frozen"] = f"computed again for every batch: its outputs would take {gib:.1f} GiB"
    reasons["views"] = "kinds of views of each training image, drawn anew in every epoch"
    return views, False


def _precision(wish: bool | None, offered: str | None, strategy: Strategy, reasons: dict[str, str]) -> str:
    if wish and offered is None:
        raise UsageError("mixed_precision=True: needs a GPU, and this Keras backend sees none; leave it out")
    if wish is False or offered is None or strategy != "blocks":
        reasons["precision"] = "as asked" if wish is False else "no GPU" if offered is None else "nothing to speed up"
        return "float32"
    reasons["precision"] = "on a GPU; the last layer stays in float32"
    return offered


def _image_sizes(sizes: np.ndarray) -> dict[str, list[int]]:
    order = np.argsort(sizes.prod(axis=1), kind="stable")
    places = {"smallest": order[0], "median": order[len(order) // 2], "largest": order[-1]}
    return {name: [int(side) for side in sizes[place]] for name, place in places.items()}
