"""finetune(): data -> plan -> training -> run folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from zoo import registry
from zoo.errors import UsageError
from zoo.finetune import data as data_module
from zoo.finetune.plan import Plan, Wishes, make
from zoo.finetune.scratch import Scratch
from zoo.given import Given, apply, require
from zoo.schema import CropFraction, Preprocessing, Training

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class FinetuneResult:
    """What fine-tuning made.

    Args:
        model: RGB 0..255 (N, H, W, 3) at the network's size in, probabilities (N, classes) out; None after a dry run.
        metrics: what metrics.json holds; empty after a dry run.
        plan: what was decided, and why.
        path: the run folder; None after a dry run.
    """

    model: keras.Model | None
    metrics: dict[str, Any]
    plan: Plan
    path: Path | None


@dataclass(frozen=True)
class _Base:
    """A pretrained network and what its card says."""

    model: Any
    name: str
    preprocessing: Preprocessing
    training: Training | None
    facts: dict[str, Any]
    """What zoo.json says beside: facts of `preprocessing` that the caller stated, and the licence of the network."""


def finetune(
    model: str | keras.Model,
    data: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str],
    strategy: str = "auto",
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    validation: float = 0.2,
    augment: bool = True,
    mixed_precision: bool | None = None,
    seed: int = 0,
    offline: bool | None = None,
    dry_run: bool = False,
    progress: bool = True,
    report: Callable[[str], None] | None = None,
    **given: Unpack[Given],
) -> FinetuneResult:
    """Makes a classifier of your own images from a pretrained network.

    Args:
        model: a registered name, or a Keras classifier that takes RGB 0..255 of a fixed size, (N, H, W, 3); it is left
            as it is.
        data: a folder with one subfolder of images per class (JPEG, PNG, WebP, BMP, GIF); broken files are skipped.
        output: the run folder to make: model.keras, metrics.json, plan.json, split.csv, history.csv.
        strategy: `linear` (a linear classifier on cached features), `head` (a new softmax layer, trunk frozen),
            `blocks` (then the last blocks with it), or `auto`, which decides from the number of images.
        epochs: most epochs of the last phase.
        batch_size: images per step.
        learning_rate: peak learning rate of the last phase.
        validation: share of each class to hold out, at least one image.
        augment: whether to train on translated, rotated and mirrored views too.
        mixed_precision: default: on a GPU, where it pays.
        seed: decides split, order, augmentation and initial weights.
        offline: never use the network to get the model; default: whether ZOO_OFFLINE is 1.
        dry_run: stop after the plan; nothing is trained or written.
        progress: show bars on a terminal.
        report: is given the plan and the result as text; default: nothing is printed.
        given: facts about a registered model's preprocessing in place of its card's, as in `zoo.get`.

    Returns:
        The model, its metrics on the images held out, the plan and the run folder.

    Raises:
        DataError: the folder cannot be trained on.
        UsageError: an argument is impossible, or `output` is not empty.
        UnknownModelError: no such model.
        UnknownFactError: the card does not know how images are prepared.

    Example:
        >>> import zoo
        >>> zoo.finetune("efficientnet-lite0", "pets", output="pets-run").metrics["accuracy"]  # doctest: +SKIP
        0.93
    """
    started = time.monotonic()
    wishes = Wishes(strategy, epochs, batch_size, learning_rate, validation, augment, mixed_precision, seed)
    wishes.check()
    target = Path(output) if dry_run else check_output(output)
    if isinstance(model, str):  # a wrong name, or a fact that is missing, is told before anything takes time
        require(apply(registry.info(model), given)[0], images=True)
    dataset = data_module.index(data, progress=progress)
    parts = data_module.split(dataset, validation, seed)
    import keras

    from zoo.finetune.train import gpu_precision

    keras.utils.set_random_seed(seed)
    base = _base(model, offline, given)
    with Scratch() as scratch:
        plan = make(
            dataset,
            (len(parts[0]), len(parts[1])),
            wishes,
            model=base.model,
            name=base.name,
            scratch_training=base.training,
            precision=gpu_precision(),
            room=scratch.room(),
        )
        if report:
            report(str(plan))
        if dry_run:
            return FinetuneResult(None, {}, plan, None)
        from zoo import cache

        with cache.atomic_folder(target) as folder:
            trained, metrics = _run(base, dataset, parts, plan, scratch, folder, started, progress)
    if report:
        report(_summary(metrics, target))
    return FinetuneResult(trained, metrics, plan, target)


def check_output(output: str | os.PathLike[str]) -> Path:
    """Returns the run folder's path.

    Raises:
        UsageError: something is there already.
    """
    path = Path(output)
    if path.is_dir() and not path.is_symlink():
        if any(path.iterdir()):
            raise UsageError(f"{path}: is not empty; name a new folder for the run, or empty this one")
    elif path.exists() or path.is_symlink():
        raise UsageError(f"{path}: exists and is no folder; name a new folder for the run")
    return path


def _run(
    base: _Base,
    dataset: data_module.Dataset,
    parts: tuple[Any, Any],
    plan: Plan,
    scratch: Scratch,
    folder: Path,
    started: float,
    progress: bool,
) -> tuple[Any, dict[str, Any]]:
    from zoo.finetune import images as images_module
    from zoo.finetune import result
    from zoo.finetune.features import predict
    from zoo.finetune.strategies import STRATEGIES, Task

    training, validation = parts
    images = images_module.load(dataset, base.preprocessing, scratch, progress=progress)
    loaded = time.monotonic()
    task = Task(base.model, images, dataset.labels, training, validation, len(dataset.classes), plan, scratch, progress)
    fixed = {layer.name for layer in base.model.layers if not layer.trainable}
    outcome = STRATEGIES[plan.strategy](task)
    trained = time.monotonic()
    for layer in outcome.model.layers:
        layer.trainable = layer.name not in fixed
    metrics = {
        **result.measure(predict(outcome.model, images, validation), dataset.labels[validation], dataset.classes),
        "model": base.name,
        "strategy": plan.strategy,
        "measured_on": f"{len(validation)} images held out, never trained on",
        "training_images": len(training),
        "validation_images": len(validation),
        "classes": list(dataset.classes),
        "chosen": outcome.found,
        "skipped": plan.skipped,
        "seconds": {
            "reading": round(loaded - started, 2),
            "training": round(trained - loaded, 2),
            "all": round(time.monotonic() - started, 2),
        },
        "parameters": outcome.model.count_params(),
        "versions": result.versions(),
    }
    facts = {
        "model": base.name,
        "made_by": "zoo finetune",
        "strategy": plan.strategy,
        "class_names": list(dataset.classes),
        "class_ids": None,
        "preprocessing": base.preprocessing.model_dump(mode="json"),
        **base.facts,
    }
    result.write(
        folder,
        outcome.model,
        plan=plan,
        metrics=metrics,
        facts=facts,
        history=outcome.history,
        dataset=dataset,
        validation=validation,
        sample=images[validation[:8]],
    )
    return outcome.model, metrics


def _base(model: Any, offline: bool | None, given: Given) -> _Base:
    """Loads a registered network, or copies the one given, so that the caller's stays as it is."""
    if isinstance(model, str):
        from zoo import library

        card, facts = apply(registry.info(model), given)
        training = None if card.training == "unknown" else card.training
        said = {"license": card.license.model_dump(mode="json"), **({"stated_by_caller": facts} if facts else {})}
        return _Base(library.load(model, offline=offline, **given), card.name, card.preprocessing, training, said)
    import keras

    if not isinstance(model, keras.Model):
        raise UsageError(f"model: expected a registered name or a keras.Model, got {type(model).__name__}")
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] != 3 or None in shape[1:]:
        raise UsageError(f"{model.name}: expected one input (N, height, width, 3) of fixed size, got {shape}")
    if stated := [key for key, value in given.items() if value is not None]:
        raise UsageError(f"{stated[0]}: is for registered models; a Keras model has its preprocessing inside")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    # The whole picture, brought to the network's size: nobody says how it was trained.
    preprocessing = Preprocessing(
        height=shape[1],
        width=shape[2],
        channel_order="RGB",
        value_range=(0.0, 255.0),
        mean="none",
        std="none",
        resize=CropFraction(kind="crop-fraction", fraction=1.0),
        interpolation="bilinear",
        library="pil",
        antialias=True,
    )
    return _Base(copy, model.name, preprocessing, None, {})


def _summary(metrics: dict[str, Any], path: Path) -> str:
    right = round(metrics["accuracy"] * metrics["validation_images"])
    lines = [f"Accuracy: {metrics['accuracy']:.1%} ({right} of {metrics['validation_images']} images held out)"]
    score = metrics["chosen"].get("cross_validation")
    if score:
        lines.append(
            f"Cross-validation: {score['accuracy']:.1%} +- {score['deviation']:.1%} "
            f"({score['folds']} folds of the {metrics['training_images']} training images)"
        )
    lines.append(f"Written: {path} ({metrics['seconds']['all']:.0f} s)")
    return "\n".join(lines)
