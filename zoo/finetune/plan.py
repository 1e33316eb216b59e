"""The plan: what was found in the data, what will be trained and how, each choice with its reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Strategy = Literal["linear", "head", "blocks", "all"]


@dataclass(frozen=True)
class Plan:
    """What a fine-tuning run does. `str(plan)` is a table for people, `plan.as_json()` the same for programs.

    Args:
        model: name of the pretrained network.
        data: name of the data.
        classes: class name -> number of readable images.
        notes: what is remarkable about the data.
        training: number of images trained on.
        validation: number of images held out, at least one of each class.
        test: number of images that the data set aside as test; measured at the end only.
        skipped: files that could not be read: path and reason.
        image_sizes: smallest, median and largest width and height found, pixels.
        input_size: height and width the network takes, pixels.
        likeness: how well the network's own features tell the classes apart, in words.
        strategy: `linear`, `head`, `blocks` or `all`.
        trained: what is trained, in words, with the first trained layer.
        frozen: what is not.
        cut: layer after which training begins; None when the whole trunk is frozen, or nothing is.
        cached: whether what is frozen is computed once; else again for every batch.
        head: `linear` (one softmax layer) or `mlp` (a hidden layer before it).
        hidden: units of the hidden layer.
        keep_classes: names of the model's own classes that are kept.
        optimizer: `none` (solved by scikit-learn), `adamw` or `sgd` for the last phase.
        head_rate: peak learning rate of the phase that trains the head alone.
        learning_rate: peak learning rate of the last phase.
        layer_decay: factor on the learning rate from each block to the one below it; 1 for one rate for all.
        weight_decay: of kernels.
        schedule: course of the learning rate in a phase.
        head_epochs: most epochs of the head alone.
        epochs: most epochs of the last phase.
        patience: epochs without improvement after which a phase ends.
        batch_size: images per step.
        accumulate: steps whose gradients are added up.
        devices: devices that share each batch of the last phase.
        clip_norm: largest norm of all gradients together.
        ema: decay of the average of the weights over steps.
        dropout: before the new classifier.
        label_smoothing: share of each label given to all classes.
        class_weights: weight of each class in the loss; None for equal ones.
        sampling: `shuffled` or `balanced`.
        augmentation: random changes made to training images.
        views: augmented views computed of each training image, beside the image itself.
        mixup: alpha of mixup.
        cutmix: alpha of cutmix.
        batch_norm: `frozen` (inference mode everywhere) or `trained`.
        calibrate: whether the model's logits are divided by a temperature found on the images held out.
        folds: folds of the cross-validation.
        precision: the arithmetic of the trained part: `float32`, `mixed_float16` or `mixed_bfloat16`.
        xla: whether steps are compiled with XLA; None as Keras decides.
        deterministic: whether only operations are used that give the same bits each time.
        tensorboard: whether the course of the training is written for TensorBoard.
        seed: decides split, order, augmentation and initial weights.
        seconds: expected time on this machine; None where it was not estimated.
        reasons: field -> why, one sentence.
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
    optimizer: str
    batch_size: int
    seed: int
    notes: list[str] = field(default_factory=list)
    test: int = 0
    likeness: str | None = None
    cut: str | None = None
    cached: bool = True
    head: str = "linear"
    hidden: int | None = None
    keep_classes: list[str] | None = None
    head_rate: float | None = None
    learning_rate: float | None = None
    layer_decay: float | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    head_epochs: int | None = None
    epochs: int | None = None
    patience: int | None = None
    accumulate: int | None = None
    devices: int = 1
    clip_norm: float | None = None
    ema: float | None = None
    dropout: float | None = None
    label_smoothing: float | None = None
    class_weights: list[float] | None = None
    sampling: str | None = None
    augmentation: tuple[str, ...] = ()
    views: int = 0
    mixup: float | None = None
    cutmix: float | None = None
    batch_norm: str = "frozen"
    calibrate: bool = False
    folds: int | None = None
    precision: str = "float32"
    xla: bool | None = None
    deterministic: bool = False
    tensorboard: bool = False
    seconds: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Returns the plan as plain lists, dictionaries, strings and numbers."""
        return {**asdict(self), "augmentation": list(self.augmentation)}

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Plan:
        """Returns the plan that `as_json` gave."""
        known = {item.name for item in fields(cls)}
        kept = {key: value for key, value in facts.items() if key in known}
        return cls(**{**kept, "augmentation": tuple(facts["augmentation"])})

    def __str__(self) -> str:
        from zoo.finetune.data.notes import skipped_lines

        rows = [(label, _say(key, getattr(self, key)), self.reasons.get(key, "")) for label, key in _ROWS]
        rows = [row for row in rows if row[1]]
        label_width = max(len(label) for label, _, _ in rows)
        value_width = min(44, max(len(value) for _, value, _ in rows))
        lines = [f"Plan: {self.model} on {self.data}"]
        for label, value, reason in rows:
            gap = "  " if len(value) <= value_width else "\n" + " " * (label_width + value_width + 6)
            lines.append(f"  {label:<{label_width}}  {value:<{value_width}}{gap if reason else ''}{reason}".rstrip())
        lines += [f"  note: {note}" for note in self.notes]
        lines += skipped_lines(self.skipped)
        return "\n".join(lines)


_ROWS = (
    ("classes", "classes"),
    ("images", "image_sizes"),
    ("trained on", "training"),
    ("held out", "validation"),
    ("test", "test"),
    ("input", "input_size"),
    ("likeness", "likeness"),
    ("strategy", "strategy"),
    ("trained", "trained"),
    ("frozen", "frozen"),
    ("head", "head"),
    ("kept classes", "keep_classes"),
    ("optimizer", "optimizer"),
    ("head's rate", "head_rate"),
    ("learning rate", "learning_rate"),
    ("layer decay", "layer_decay"),
    ("weight decay", "weight_decay"),
    ("schedule", "schedule"),
    ("head's epochs", "head_epochs"),
    ("epochs", "epochs"),
    ("stops after", "patience"),
    ("batch", "batch_size"),
    ("accumulated", "accumulate"),
    ("devices", "devices"),
    ("clipped at", "clip_norm"),
    ("average", "ema"),
    ("dropout", "dropout"),
    ("label smoothing", "label_smoothing"),
    ("class weights", "class_weights"),
    ("sampling", "sampling"),
    ("augmentation", "augmentation"),
    ("views", "views"),
    ("mixup", "mixup"),
    ("cutmix", "cutmix"),
    ("batch norm", "batch_norm"),
    ("calibrated", "calibrate"),
    ("folds", "folds"),
    ("precision", "precision"),
    ("seed", "seed"),
    ("expected time", "seconds"),
)
_QUIET = {
    "test": 0,
    "head": "linear",
    "layer_decay": 1.0,
    "accumulate": 1,
    "devices": 1,
    "sampling": "shuffled",
    "calibrate": False,
}
"""Values that say nothing."""


def _say(key: str, value: Any) -> str:
    if value is None or (key in _QUIET and value == _QUIET[key]):
        return ""
    if key == "seconds":
        return duration(value)
    if key == "keep_classes":
        return f"all {len(value)} of the model"
    if key == "class_weights":
        return f"{min(value):.2g} to {max(value):.2g}"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, list):
        return " x ".join(map(str, value))
    if isinstance(value, dict) and all(isinstance(v, int) for v in value.values()):
        numbers = sorted(value.values())
        return f"{len(value)}, with {numbers[0]} to {numbers[-1]} images" if value else ""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_say('', size)}" for name, size in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Returns a length of time in words: `about 40 s`, `about 12 min`, `about 3 h`."""
    if seconds < 90:
        return f"about {max(1, round(seconds, -1 if seconds > 20 else 0)):.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
