"""Makes the plan: a value for every choice that the caller left open, with its reason.

The rules are those of practice: under about a thousand images a linear classifier on the cached output of the trunk; a
few thousand, a new head first and then the last blocks at a tenth of the rate the network was trained with; many, or
images unlike those the network knows, all layers, the lower ones more slowly.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from zoo.errors import UsageError
from zoo.finetune import augment, cuts, devices
from zoo.finetune.network import ABSENT
from zoo.finetune.plan import Plan, Strategy
from zoo.finetune.situation import Situation, extremes
from zoo.finetune.wishes import Wishes

if TYPE_CHECKING:
    from zoo.finetune.likeness import Likeness
    from zoo.schema import Training

FEW = 1000
"""Below this many images a linear classifier is as good as anything and takes a fraction of the time."""
FEW_EACH = 10
"""The same below this many images of each class (BiT, 1912.11370: with 1 to 5 a class, full fine-tuning is poor)."""
MANY = 5000
"""From this many images on, all layers are trained (Kornblith et al. 1805.08974; Food-101 gains 16 points from it)."""
VERY_MANY = 20000
"""From this many images on, mixup and an average of the weights help (BiT's rule for mixup)."""
HEAD_RATE = 1e-3
"""AdamW's usual rate for a new head on a frozen trunk (the Keras transfer-learning guide; fastai takes 2e-3)."""
HEAD_EPOCHS = 40
"""Epochs of the head take a second or less: its inputs are cached."""
HEAD_STEPS = 25
"""Steps in an epoch of the head at least: few images are gone through several times between two looks at the loss."""
STEPS = 500
"""Steps of 32 images that small data sets are trained for at least (BiT's rule has 500)."""
UNFROZEN = 0.5
"""Share of the network's convolution and dense layers, counted from the output, that `blocks` trains."""
LAYER_DECAY = 0.9
"""From each block to the one below it (AutoGluon's value)."""
WEIGHT_DECAY = 1e-4
DROPOUT = 0.2
HIDDEN = 512
"""Units of the hidden layer of an `mlp` head (fastai's)."""
IMBALANCE = 3.0
"""Classes are weighted where the largest has more than this many times the images of the smallest."""
BACKWARD = 3.0
"""A training step costs about three times the forward pass."""


_BY_GRADIENT = frozenset(
    {"epochs", "head_epochs", "patience", "batch_size", "accumulate", "optimizer", "learning_rate", "layer_decay"}
    | {"head_learning_rate", "weight_decay", "schedule", "clip_norm", "ema", "dropout", "label_smoothing", "mixup"}
    | {"class_weights", "sampling", "cutmix"}
)
"""Wishes about training by gradient, which a solved classifier has no use for."""
_IN_LAYERS = frozenset({"head_epochs", "head_learning_rate", "layer_decay", "accumulate", "cutmix"})
"""Wishes about a phase in which layers of the network are trained."""


class _Choices(dict[str, Any]):
    """Fields of the plan, with why."""

    def __init__(self, wishes: Wishes) -> None:
        super().__init__()
        self.wishes = wishes
        self.reasons: dict[str, str] = {}

    def put(self, name: str, value: Any, why: str = "", wish: str | None = None) -> None:
        """Takes what was asked for under that name, else the value with its reason."""
        asked = getattr(self.wishes, wish or name, None)
        self[name] = value if asked is None else asked
        reason = why if asked is None else "as asked"
        if reason:
            self.reasons[name] = reason


def make(situation: Situation, wishes: Wishes) -> Plan:
    """Decides how to fine-tune.

    Raises:
        UsageError: a wish cannot be met: mixed precision without a GPU; a network that cannot be cut; a layer that is
            not there; classes kept of a model that does not name them.
    """
    choices = _Choices(wishes)
    strategy = _strategy(situation, choices)
    _trained(situation, strategy, choices)
    gradient = strategy != "linear"
    batch = _batch(situation, strategy, choices)
    if gradient:
        _phases(situation, strategy, batch, choices)
        _regularisation(situation, strategy, batch, choices)
    else:
        choices["optimizer"] = "none"
        choices.reasons["optimizer"] = "solved exactly by scikit-learn: no rate, no epochs"
    _views(situation, strategy, choices)
    choices["precision"] = _precision(situation, strategy, choices)
    choices["batch_norm"] = _batch_norm(situation, strategy, batch, choices)
    choices.put("folds", None, "stratified; every image is judged by a model that did not see it")
    if choices["folds"] is None:
        choices.reasons.pop("folds", None)
    data, reasons = situation.dataset, choices.reasons
    reasons["validation"] = (
        "as the data are divided"
        if "validation" in (data.parts or ())
        else f"{wishes.validation:.0%} of each class, at least one image, by seed; written to split.csv"
    )
    reasons["input_size"] = "resized and cropped as the model's card says"
    reasons["seed"] = "decides split, order, augmentation and initial weights"
    if situation.sizes[2]:
        reasons["test"] = "set aside by the data; measured once, at the end"
    if situation.likeness is not None:
        reasons["likeness"] = situation.likeness.sentence
    plan = Plan(
        model=situation.name,
        data=data.name,
        classes=data.counts(),
        notes=[*data.notes, *situation.notes, *_unused(strategy, choices)],
        training=situation.sizes[0],
        validation=situation.sizes[1],
        test=situation.sizes[2],
        skipped=[{"path": skip.path, "reason": skip.reason} for skip in data.skipped],
        image_sizes=extremes(data.sizes),
        input_size=[int(side) for side in situation.model.input_shape[1:3]],
        likeness=None if situation.likeness is None else _likeness(situation.likeness),
        strategy=strategy,
        calibrate=wishes.calibrate,
        xla=wishes.xla,
        deterministic=wishes.deterministic,
        tensorboard=wishes.tensorboard,
        seed=wishes.seed,
        reasons=reasons,
        **choices,
    )
    return _timed(plan, situation)


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
            f"at batch {batch}"
        ),
    )


def _strategy(situation: Situation, choices: _Choices) -> Strategy:
    wishes, images = choices.wishes, sum(situation.sizes[:2])
    least = min(situation.dataset.counts().values())
    unlike = situation.likeness is not None and situation.likeness.verdict == "unlike"
    reason = "as asked"
    if wishes.strategy != "auto":
        strategy = wishes.strategy
    elif wishes.freeze_until is not None:
        strategy = {"all": "head", "none": "all"}.get(wishes.freeze_until, "blocks")
        reason = f"freeze_until={wishes.freeze_until}"
    elif images < FEW or least < FEW_EACH:
        few = f"{images} images" if images < FEW else f"only {least} images of the smallest class"
        strategy, reason = "linear", f"{few}: training the trunk would only learn them by heart"
    elif images >= MANY:
        strategy, reason = "all", f"{images} images: enough for all layers"
    elif unlike:
        strategy, reason = "all", f"{images} images unlike those it knows: early layers have to change as well"
    else:
        strategy, reason = "blocks", f"{images} images: enough to adapt the last blocks, too few for all of them"
    if strategy == "linear" and (wishes.keep_classes or wishes.head == "mlp"):
        strategy = "head"
        reason += f"; {'keep_classes' if wishes.keep_classes else 'a hidden layer'} is trained by gradient"
    choices.reasons["strategy"] = reason
    return cast(Strategy, strategy)


def _trained(situation: Situation, strategy: Strategy, choices: _Choices) -> None:
    from zoo import heads

    model, wishes, reasons = situation.model, choices.wishes, choices.reasons
    classifier = heads.classifier(model).operation.name
    place = "on its features" if classifier == ABSENT else f"in place of {classifier!r}"
    head = f"a new softmax layer {place}"
    choices["head"] = wishes.head
    if wishes.head == "mlp":
        choices["hidden"] = HIDDEN
        head = f"a hidden layer of {HIDDEN} and a new softmax layer {place}"
    if wishes.keep_classes:
        if situation.old is None:
            raise UsageError(
                f"keep_classes: {situation.name} does not name its classes; a fine-tuning run's model does"
            )
        choices["keep_classes"] = list(situation.old)
        head = f"{classifier!r}, with outputs for the new classes added"
        reasons["keep_classes"] = "distilled from the model as it was (learning without forgetting, 1606.09282)"
    choices["cut"] = None
    if strategy == "blocks":
        asked = wishes.freeze_until not in (None, "none", "all")
        cut = cuts.named(model, str(wishes.freeze_until)) if asked else cuts.choose(model, UNFROZEN)
        choices.update(cut=cut, trained=f"all after {cut!r}, with {head}", frozen=f"all up to and including {cut!r}")
        reasons["trained"] = (
            "as asked" if asked else "the last half of the layers; early ones see edges and colours, which all share"
        )
        reasons["frozen"] = "its outputs are computed once and kept"
    elif strategy == "all":
        choices.update(trained=f"all layers, with {head}", frozen="nothing", cached=False)
    else:
        choices.update(trained=head, frozen="the whole trunk")
        reasons["frozen"] = "its outputs are computed once and kept"
    if strategy == "linear":
        choices["trained"] = f"one linear classifier {place}"
        reasons["trained"] = "logistic regression or linear SVM, its strength and features chosen by cross-validation"


def _batch(situation: Situation, strategy: Strategy, choices: _Choices) -> int:
    images = situation.sizes[0]
    batch = min(32 if images < VERY_MANY else 64, images)
    spread, why = devices.planned(choices.wishes, strategy, situation.devices, situation.precision)
    choices["devices"] = spread
    if why:
        choices.reasons["devices"] = why
    batch = spread * max(1, batch // spread)
    choices.put("batch_size", batch, "small data: more steps per epoch" if images < MANY else "the usual size")
    if choices["batch_size"] > max(images, spread):
        reason = f"all the images there are to train on; {choices['batch_size']} were asked for"
        choices["batch_size"], choices.reasons["batch_size"] = spread * max(1, images // spread), reason
    if choices["batch_size"] % spread:
        raise UsageError(f"batch_size={choices['batch_size']}: expected a multiple of {spread}, the number of devices")
    if strategy in ("blocks", "all"):
        choices.put("accumulate", 1)
        return int(choices["batch_size"] * choices["accumulate"])
    return int(choices["batch_size"])


def _unused(strategy: Strategy, choices: _Choices) -> list[str]:
    """What was asked for and has no effect, as a note."""
    kinds = {"linear": _BY_GRADIENT, "head": _IN_LAYERS}.get(strategy, frozenset())
    if choices.get("cached", False):
        kinds |= {"cutmix"}  # what is computed once are maps, of which no rectangles are exchanged
    found = [item.name for item in fields(Wishes) if item.name in kinds and choices.wishes.states(item)]
    return [f"{', '.join(found)}: not used with strategy={strategy!r}; 'all' uses it"] if found else []


def _phases(situation: Situation, strategy: Strategy, batch: int, choices: _Choices) -> None:
    """Rates and lengths: of the head alone, and of what comes after it."""
    images = situation.sizes[0]
    short = f"at most, of {HEAD_STEPS} steps or more; the trunk is not run again"
    kept = "epochs without a lower validation loss; the best weights are kept"
    choices["schedule"] = choices.wishes.schedule
    if strategy == "head":
        choices.put("optimizer", "adamw")
        choices.put("learning_rate", HEAD_RATE, "the usual rate for a new layer alone")
        choices.put("epochs", HEAD_EPOCHS, short)
        choices.put("patience", 8, kept)
        choices.put("weight_decay", WEIGHT_DECAY)
        return
    optimizer, rate, why = tenth_of_scratch(situation.training, batch)
    if choices.wishes.optimizer not in (None, optimizer):
        optimizer, rate, why = {
            "adamw": ("adamw", HEAD_RATE / 10, "a tenth of the rate of a new head"),
            "sgd": tenth_of_scratch(None, batch),
        }[str(choices.wishes.optimizer)]
    choices.put("optimizer", optimizer)
    choices.put(
        "head_rate",
        HEAD_RATE,
        "first the head alone (AdamW): its first large errors would tear the trunk",
        "head_learning_rate",
    )
    choices.put("head_epochs", HEAD_EPOCHS, short)
    choices.put("learning_rate", rate, why)
    decay = LAYER_DECAY if strategy == "all" else 1.0
    choices.put("layer_decay", decay, "lower blocks see what all pictures share: they change less" if decay < 1 else "")
    choices.put("weight_decay", WEIGHT_DECAY)
    epochs = int(np.clip(round(STEPS * 32 / images), 8, 40))
    choices.put("epochs", epochs, f"at most: {STEPS} steps of 32 images, and at least 8 epochs")
    choices.put("patience", max(4, choices["epochs"] // 4), kept)


def _regularisation(situation: Situation, strategy: Strategy, batch: int, choices: _Choices) -> None:
    counts = situation.dataset.counts()
    many = situation.sizes[0] >= VERY_MANY and strategy == "all"
    usual = f"{situation.sizes[0]} images: the usual help for long training"
    choices.put("clip_norm", 1.0 if strategy == "all" and choices["optimizer"] == "adamw" else None)
    choices.put("ema", 0.999 if many else None, usual if many else "")
    choices.put("mixup", 0.1 if many else None, usual if many else "")
    choices.put("cutmix", None)
    own = situation.dropout
    choices.put(
        "dropout", DROPOUT if own is None else own, "as before the model's own classifier" if own is not None else ""
    )
    choices.put("label_smoothing", 0.0)
    choices["sampling"] = choices.wishes.sampling
    ratio = max(counts.values()) / min(counts.values())
    kind = choices.wishes.class_weights
    if kind == "auto":
        kind = "sqrt" if ratio > IMBALANCE and choices.wishes.sampling == "shuffled" else "none"
    choices["class_weights"] = None
    if kind != "none":
        numbers = np.array(list(counts.values()), np.float64)
        weights = (numbers.sum() / (len(numbers) * numbers)) ** (0.5 if kind == "sqrt" else 1.0)
        choices["class_weights"] = [
            round(float(weight), 4) for weight in weights / (weights * numbers).sum() * numbers.sum()
        ]
        choices.reasons["class_weights"] = (
            "as asked"
            if choices.wishes.class_weights != "auto"
            else f"the largest class has {ratio:.0f} times the images of the smallest"
        )


def _views(situation: Situation, strategy: Strategy, choices: _Choices) -> None:
    """Augmentation, and what of it is computed once."""
    wishes, reasons, images = choices.wishes, choices.reasons, situation.sizes[0]
    kinds = augment.kinds_of(wishes.augment)
    choices["augmentation"], choices["views"] = kinds, 0
    asked = wishes.augment not in ("auto", True)
    reasons["augmentation"] = "as asked" if asked else "up to 10 % and 15 degrees"
    if not kinds:
        if strategy == "blocks":
            _cache(situation, choices)
        return
    choices["views"] = 8 if images < 200 else 4
    reasons["views"] = "of each training image, computed once and kept"
    if "flip" in kinds and not asked:
        reasons["augmentation"] += "; mirrored views stay only if cross-validation is not worse"
    if strategy == "all":
        reasons["views"] = "for the head alone; after it, every step has new ones"
    if strategy == "blocks":
        _cache(situation, choices)


def _bytes(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{max(1, round(number / 2**20))} MiB"


def _cache(situation: Situation, choices: _Choices) -> None:
    """How many views fit, and whether any does: two bytes a number, for every view and the images held out."""
    from zoo import heads

    training, held_out, _ = situation.sizes
    views, reasons = choices["views"], choices.reasons
    one = 2 * math.prod(heads.find(situation.model, choices["cut"]).shape[1:])
    fit = (situation.room // one - held_out) // training - 1
    size = _bytes(one * (training * (views + 1) + held_out))
    choices["cached"] = fit >= min(1, views)
    if fit >= views:
        reasons["frozen"] = f"its outputs are computed once and kept ({size})"
    elif fit >= 1:
        choices["views"] = int(fit)
        reasons["views"] = f"of each training image, computed once; {views} would take {size}"
    else:
        reasons["frozen"] = f"computed again in every step: its outputs would take {size}"
        if views:
            reasons["views"] = "for the head alone; after it, every step has new ones"


def _batch_norm(situation: Situation, strategy: Strategy, batch: int, choices: _Choices) -> str:
    wish = choices.wishes.batch_norm
    unlike = situation.likeness is not None and situation.likeness.verdict == "unlike"
    if wish == "auto":
        if strategy == "all" and unlike and batch >= 32:
            choices.reasons["batch_norm"] = f"the images are unlike those it knows, and batches of {batch} large enough"
            return "trained"
        choices.reasons["batch_norm"] = "small batches would spoil the statistics the network was trained with"
        return "frozen"
    choices.reasons["batch_norm"] = "as asked"
    if wish == "trained" and strategy not in ("blocks", "all"):
        raise UsageError("batch_norm='trained': the trunk is frozen; use strategy='blocks' or 'all'")
    return wish


def _precision(situation: Situation, strategy: Strategy, choices: _Choices) -> str:
    wish, offered = choices.wishes.mixed_precision, situation.precision
    if wish and offered is None:
        raise UsageError("mixed_precision=True: needs a GPU, and this Keras backend sees none; leave it out")
    if wish is False or offered is None or strategy not in ("blocks", "all"):
        why = "as asked" if wish is False else "no GPU" if offered is None else "nothing to speed up"
        choices.reasons["precision"] = why
        return "float32"
    choices.reasons["precision"] = "on a GPU; the last layer stays in float32"
    return offered


def _likeness(likeness: Likeness) -> str:
    return f"{likeness.verdict} (LogME {likeness.logme:.2f}, probe {likeness.probe:.0%})"


def _timed(plan: Plan, situation: Situation) -> Plan:
    """Adds the expected time: passes through the network, and three times as much for each step of training."""
    from dataclasses import replace

    if not situation.speed:
        return plan
    once = (plan.training * (plan.views + 1) + plan.validation + plan.test) / situation.speed
    seconds = once * 1.1 + 5
    if plan.strategy in ("blocks", "all") and plan.epochs:
        share = 1.0 if plan.strategy == "all" else cuts.share_above(situation.model, str(plan.cut))
        step = plan.training * (BACKWARD * share + (0.0 if plan.cached else 1.0 - share))
        seconds += plan.epochs * (step + plan.validation * (1.0 if not plan.cached else share)) / situation.speed
    seconds *= 1 + (plan.folds or 0) * (0.2 if plan.strategy in ("linear", "head") else 1.0)
    reason = f"{situation.speed:.0f} images a second on this machine; less where training stops early"
    return replace(plan, seconds=round(seconds, 1), reasons={**plan.reasons, "seconds": reason})
