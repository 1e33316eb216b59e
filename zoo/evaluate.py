"""How often a classifier is right on labelled images, and whether that is what its publisher measured."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from zoo import matching
from zoo.errors import DataError, UsageError, ZooError
from zoo.evaluation import Evaluation, Published, Row, Share, share
from zoo.given import Given

if TYPE_CHECKING:
    import keras

    from zoo.finetune.data import Dataset
    from zoo.predict import Classifier

IMAGENET = "ILSVRC2012 validation"
FAR = 0.05
"""Below the published share by more than this, and outside the interval: something is wrong, not unlucky."""
PARTS = ("training", "validation", "test", "all")


def evaluate(
    model: str | os.PathLike[str] | keras.Model,
    data: Any,
    *,
    top: int = 5,
    limit: int | None = None,
    part: str | None = None,
    batch_size: int = 32,
    skip_unknown: bool = False,
    seed: int = 0,
    offline: bool | None = None,
    progress: bool = True,
    **given: Unpack[Given],
) -> Evaluation:
    """Measures how often a classifier is right.

    Images are read in batches while the network is at work; never more than a few batches are held.

    Args:
        model: what `predict` takes: a registered name, a fine-tuning run's folder, a `.keras` file, a Keras classifier.
        data: labelled images, as `finetune` takes them: a folder with one subfolder per class, a table of paths and
            labels, arrays, data sets of other libraries. Their classes are matched with the model's by WordNet id
            (`n02123045`), by name (`tiger cat`, `tiger_cat`, another WordNet name of the class), or by the index of
            the output; those of a run by its class names.
        top: how many answers count for the second share.
        limit: at most so many images, each class by its share.
        part: `training`, `validation` or `test`, where the data say so; default: the test part, else the validation
            part; `all` takes every image.
        batch_size: how many images go through the model at once.
        skip_unknown: leave out folders that fit no class.
        seed: decides which images, with `limit`.
        offline: never use the network to get the model; default: whether ZOO_OFFLINE is 1.
        progress: show bars on a terminal.
        given: facts about its preprocessing in place of the model's, as in `predict`.

    Returns:
        Shares with their intervals, beside the published ones where the images are ImageNet's.

    Raises:
        DataError: the images cannot be evaluated on, or a folder fits no class.
        UnknownFactError: no source gives a fact about the model's preprocessing, and `given` does not either.
        UnknownModelError: no such model.
        UsageError: an argument is impossible, or the model is no classifier of images.

    Example:
        >>> import zoo
        >>> zoo.evaluate("efficientnet-lite0", "imagenet/val").top1.value  # doctest: +SKIP
        0.7512
    """
    from zoo.finetune import data as data_module
    from zoo.finetune.stream import batches, stratified
    from zoo.predict import check, classifier

    for key, value in (("top", top), ("batch_size", batch_size), ("limit", limit)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UsageError(f"{key}: expected a whole number of at least 1, got {value!r}")
    if part not in (None, *PARTS):
        raise UsageError(f"part={part!r}: expected one of {', '.join(PARTS)}")
    check(model, offline, images=True, **given)
    dataset = data_module.index(data, trained=False, progress=progress)
    chosen = classifier(model, offline, **given)
    tuned = "made_by" in chosen.facts
    found = matching.match(dataset.classes, chosen.labels, _outputs(chosen), name=chosen.name, numbers=not tuned)
    matching.refuse_unknown(found, chosen.labels, name=chosen.name, data=dataset.name, skip=skip_unknown)
    targets = np.array([found.outputs.get(folder, -1) for folder in dataset.classes])[dataset.labels]
    positions, notes = _positions(dataset, targets >= 0, part)
    if limit is not None and limit < len(positions):
        notes.append(f"{limit} of {len(positions)} images, of each class its share, drawn with seed {seed}")
        positions = positions[stratified(targets[positions], limit, seed)]
    batch_size = min(batch_size, len(positions))
    read = batches(
        dataset, positions, chosen.preprocessing, batch_size,
        resize=given.get("resize"), interpolation=given.get("interpolation"), what="evaluating", progress=progress,
    )  # fmt: skip
    answers = _answers(chosen, read, targets[positions], batch_size, [dataset.items[place] for place in positions])
    figures = _published(chosen, found, answers, top)
    notes += [*_about_classes(chosen, found, tuned), *_about_run(model, dataset, positions)]
    return Evaluation(
        model=chosen.name,
        data=dataset.name,
        images=len(positions),
        classes=len(answers.per_class(str)),
        outputs=_outputs(chosen),
        matched_by=found.by,
        top1=answers.within(1),
        top=top,
        top_k=answers.within(top) if 1 < top < _outputs(chosen) else None,
        balanced=answers.balanced,
        per_class=answers.per_class(lambda index: _class_name(chosen, index)),
        published=figures,
        images_per_second=answers.images_per_second,
        unknown=found.unknown,
        missing=tuple(_class_name(chosen, index) for index in found.missing),
        skipped=tuple({"path": skip.path, "reason": skip.reason} for skip in dataset.skipped),
        notes=(*notes, *_doubts(chosen, figures, answers)),
        rows=_rows(chosen, dataset, positions, answers),
    )


@dataclass(frozen=True)
class _Answers:
    """Per image: the output that is right, the best one, their scores, and how many outputs had a higher score."""

    targets: np.ndarray
    best: np.ndarray
    best_scores: np.ndarray
    own_scores: np.ndarray
    ranks: np.ndarray
    outputs: int
    seconds: float

    def within(self, top: int) -> Share:
        """Returns the share of images whose class is among the first `top` answers."""
        return share(int((self.ranks < top).sum()), len(self.ranks))

    @cached_property
    def _counts(self) -> tuple[np.ndarray, np.ndarray]:
        right = np.bincount(self.targets, weights=self.ranks == 0, minlength=self.outputs)
        return np.bincount(self.targets, minlength=self.outputs), right

    @property
    def balanced(self) -> float:
        """Mean over the classes with images of the share that is right."""
        totals, right = self._counts
        return float((right[totals > 0] / totals[totals > 0]).mean())

    def per_class(self, name: Callable[[int], str]) -> dict[str, dict[str, float]]:
        """Returns the images and the share that is right, of each class with images."""
        totals, right = self._counts
        return {
            name(int(index)): {"images": int(totals[index]), "accuracy": float(right[index] / totals[index])}
            for index in np.flatnonzero(totals)
        }

    @property
    def images_per_second(self) -> float:
        """Reading and network together."""
        return len(self.targets) / max(self.seconds, 1e-9)


def _answers(
    chosen: Classifier, read: Iterable[np.ndarray], targets: np.ndarray, batch_size: int, paths: list[str]
) -> _Answers:
    """Runs the network in batches of one size, so that it is compiled once, before the clock starts."""
    from zoo.predict import scores as scores_of

    images = np.zeros((batch_size, *chosen.preprocessing.sides, 3), np.float32)
    outputs = scores_of(chosen, images).shape[1]
    found: list[tuple[np.ndarray, ...]] = []
    done = 0
    started = time.monotonic()
    for batch in read:
        images[: len(batch)] = batch
        scores = scores_of(chosen, images)[: len(batch)]
        bad = ~np.isfinite(scores).all(axis=1)
        if bad.any():
            raise ZooError(
                f"{chosen.name}: gives values that are no finite numbers for {paths[done + int(bad.argmax())]}; "
                f"`zoo verify` tells whether the network is sound"
            )
        right = targets[done : done + len(batch), None]
        own = np.take_along_axis(scores, right, axis=1)
        before = np.arange(outputs) < right  # of equal scores the first output is the answer, as in `zoo predict`
        rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
        found.append((scores.argmax(axis=1), scores.max(axis=1), own[:, 0], rank))
        done += len(batch)
    seconds = time.monotonic() - started
    best, best_scores, own_scores, ranks = (np.concatenate(column) for column in zip(*found, strict=True))
    return _Answers(targets, best, best_scores, own_scores, ranks, outputs, seconds)


def _outputs(chosen: Classifier) -> int:
    """Number of classes; a network that is no classifier is refused when it is run."""
    return len(chosen.labels) if chosen.labels is not None else int(chosen.model.output_shape[-1])


def _class_name(chosen: Classifier, index: int) -> str:
    if chosen.labels is None:
        return str(index)
    key, name = chosen.labels[index]
    return name if name == key else f"{name} ({key})"


def _positions(dataset: Dataset, known: np.ndarray, part: str | None) -> tuple[np.ndarray, list[str]]:
    """Which images are asked about; where the data come in parts, those that nobody has seen."""
    parts = dataset.parts
    if parts is None or part == "all":
        if part in (None, "all"):
            return np.flatnonzero(known), []
        raise UsageError(f"part={part!r}: {dataset.name} does not say which images are of which part; leave it out")
    there = [name for name in PARTS if name in set(parts)]
    chosen = part or next(name for name in ("test", "validation", "training") if name in there)
    positions = np.flatnonzero(known & (np.array(parts) == chosen))
    if not len(positions):
        raise DataError(f"{dataset.name}: the {chosen} part has no image of a class that the model knows")
    return positions, [f"the {chosen} part; the data have {', '.join(there)}, part (--part) chooses"]


def _published(chosen: Classifier, found: matching.Match, answers: _Answers, top: int) -> tuple[Published, ...]:
    """What the card states, where the images are sorted as ImageNet's are: in folders named by WordNet id."""
    labels = chosen.labels or []
    if chosen.card is None or found.by != ("id",):
        return ()
    if not all(matching.is_wordnet(labels[index]) for index in found.outputs.values()):
        return ()
    whole = not any(matching.is_wordnet(labels[index]) for index in found.missing)
    figures = []
    for metric in chosen.card.metrics:
        first, fifth = (None if told == "unknown" else told for told in (metric.top1, metric.top5))
        if metric.dataset != IMAGENET or (first is None and fifth is None):
            continue
        figures.append(
            Published(
                metric.dataset,
                metric.protocol,
                metric.source,
                first,
                fifth,
                _inside(first, answers.within(1)),
                _inside(fifth, answers.within(5)) if top == 5 else None,
                whole,
            )
        )
    return tuple(figures)


def _inside(figure: float | None, found: Share) -> bool | None:
    return None if figure is None else found.low <= figure <= found.high


def _about_classes(chosen: Classifier, found: matching.Match, tuned: bool) -> list[str]:
    notes = []
    if found.unknown:
        notes.append(f"left out, as no class of the model: {matching.some(found.unknown)}")
    if found.missing and tuned:
        missing = [_class_name(chosen, index) for index in found.missing]
        notes.append(f"no images here of {len(missing)} of the run's classes: {matching.some(missing)}")
    if found.by == ("index",):
        notes.append("folders are taken as indices of outputs, from 0; a list that counts from 1 is off by one")
    if found.by == ("order",):
        notes.append("nobody names the outputs: folders in alphabetical order are taken as outputs 0, 1, 2, ...")
    return notes


def _about_run(model: Any, dataset: Dataset, positions: np.ndarray) -> list[str]:
    """What a run measured itself, and whether it was trained on these images."""
    folder = Path(model) if isinstance(model, str | os.PathLike) else None
    folder = folder.parent if folder is not None and folder.suffix == ".keras" else folder
    if folder is None or not (folder / "metrics.json").is_file():
        return []
    notes = []
    with suppress(OSError, ValueError, KeyError, TypeError):  # a folder that only looks like a run
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        notes.append(
            f"when it was trained: {metrics['accuracy']:.1%} of {metrics['validation_images']} images held out"
        )
        plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        with open(folder / "split.csv", newline="", encoding="utf-8") as file:
            trained = {row["path"] for row in csv.DictReader(file) if row["part"] == "training"}
        same = Path(plan["data"]).resolve() == Path(dataset.name).resolve()
        seen = sum(dataset.items[place] in trained for place in positions) if same else 0
        if seen:
            notes.append(f"{seen} of these images were trained on: the shares say little about others")
    return notes


def _doubts(chosen: Classifier, figures: tuple[Published, ...], answers: _Answers) -> list[str]:
    """What may be wrong where the model is right far less often than it should be."""
    found = answers.within(1)
    notes = []
    wanted = next((figure for figure in figures if figure.top1 is not None), None)
    if wanted is not None and wanted.top1 is not None:
        margin = FAR if wanted.same_classes else 3 * FAR
        if found.high < wanted.top1 - margin:
            notes.append(f"far below the published {wanted.top1:.1%}: {_causes(chosen)}")
    if not notes and len(answers.targets) >= 50 and found.low <= 1 / answers.outputs:
        notes.append(f"no better than chance (1 of {answers.outputs}): {_causes(chosen)}")
    for shift in (-1, 1) if notes else ():
        moved = float((answers.best + shift == answers.targets).mean())
        if moved > max(0.2, 2 * found.value):
            notes.append(
                f"{moved:.1%} would be right if each answer were one {'less' if shift < 0 else 'more'}: the list of "
                f"classes begins at another output than the model's"
            )
    return notes


def _causes(chosen: Classifier) -> str:
    rules = chosen.preprocessing
    resize = "unknown" if rules.resize == "unknown" else " ".join(map(str, rules.resize.model_dump().values()))
    verify = f"`zoo verify {chosen.card.name}` compares the network with its origin; " if chosen.card else ""
    return (
        f"usually images are prepared otherwise than the network was trained with (here {resize}, "
        f"{rules.interpolation}, to {rules.sides[0]}x{rules.sides[1]}; --resize and --interpolation try others); "
        f"{verify}or the folders are not sorted as the network's classes are"
    )


def _rows(chosen: Classifier, dataset: Dataset, positions: np.ndarray, answers: _Answers) -> tuple[Row, ...]:
    return tuple(
        Row(
            dataset.items[place],
            dataset.classes[dataset.labels[place]],
            _class_name(chosen, int(answers.best[row])),
            float(answers.best_scores[row]),
            float(answers.own_scores[row]),
            int(answers.ranks[row]),
        )
        for row, place in enumerate(positions)
    )
