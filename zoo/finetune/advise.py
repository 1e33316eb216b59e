"""Which network to fine-tune for a data set, and how: candidates compared by their features, before any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from zoo import given as given_module
from zoo.errors import UsageError, ZooError
from zoo.given import Given

if TYPE_CHECKING:
    from zoo.finetune.base import Base
    from zoo.finetune.data import Dataset, Split
    from zoo.finetune.likeness import Likeness
    from zoo.finetune.plan import Plan
    from zoo.schema import ModelCard

MOST = 8
"""Candidates that are tried where none are named."""


@dataclass(frozen=True)
class Candidate:
    """One network on the data.

    Args:
        model: its name.
        likeness: LogME, the probe's accuracy and the verdict; None where it could not be measured.
        speed: images a second through its trunk on this machine.
        parameters: number of weights, the classifier's included.
        license: of its weights, as its card says.
        reason: why it could not be measured.
    """

    model: str
    likeness: Likeness | None
    speed: float | None
    parameters: int | None
    license: str
    reason: str | None = None


@dataclass(frozen=True)
class Advice:
    """What `advise` found. `str()` is for people, `as_json()` the same for programs.

    Args:
        data: name of the data.
        images: how many can be read.
        looked_at: how many of them the networks were compared on.
        classes: class name -> number of images.
        sizes: smallest, median and largest width and height, pixels.
        skipped: files that could not be read: path and reason.
        notes: what is remarkable, one sentence each.
        candidates: the best first; those that could not be measured last.
        recommended: name of the best; None if none could be measured.
        plan: how `finetune` would go about it with that one.
    """

    data: str
    images: int
    looked_at: int
    classes: dict[str, int]
    sizes: dict[str, list[int]]
    skipped: tuple[dict[str, str], ...]
    notes: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    recommended: str | None
    plan: Plan | None

    def as_json(self) -> dict[str, Any]:
        """Returns everything as plain lists, dictionaries, strings and numbers."""
        facts = {**vars(self), "skipped": list(self.skipped), "notes": list(self.notes)}
        facts["candidates"] = [asdict(candidate) for candidate in self.candidates]
        facts["plan"] = None if self.plan is None else self.plan.as_json()
        return facts

    def __str__(self) -> str:
        from zoo import show
        from zoo.finetune.data.notes import skipped_lines

        counts = sorted(self.classes.values())
        sizes = ", ".join(f"{name} {width} x {height}" for name, (width, height) in self.sizes.items())
        lines = [
            f"{self.data}: {self.images} images of {len(counts)} classes ({counts[0]} to {counts[-1]} each); {sizes}",
            *(f"  note: {note}" for note in self.notes),
            *skipped_lines(self.skipped),
            "",
            show.table(_COLUMNS, [_row(candidate) for candidate in self.candidates]),
            *(f"  {item.model}: {item.reason}" for item in self.candidates if item.reason),
        ]
        if self.recommended is not None:
            best = next(item for item in self.candidates if item.model == self.recommended)
            lines += ["", f"Recommended: {self.recommended}: {best.likeness.sentence if best.likeness else ''}"]
        if self.plan is not None:
            lines += ["", str(replace(self.plan, notes=[], skipped=[]))]  # told above
        return "\n".join(lines)


_COLUMNS = ("model", "LogME", "probe", "", "images/s", "parameters", "licence")


def _row(candidate: Candidate) -> tuple[str, ...]:
    found, millions = candidate.likeness, candidate.parameters
    return (
        candidate.model,
        "-" if found is None else f"{found.logme:.3f}",
        "-" if found is None else f"{found.probe:.1%} +- {found.deviation:.1%}",
        "" if found is None else found.verdict,
        "-" if candidate.speed is None else f"{candidate.speed:.3g}",
        "-" if millions is None else f"{millions / 1e6:.1f}M" if millions >= 100_000 else str(millions),
        candidate.license,
    )


def advise(
    data: Any,
    models: Sequence[str] | None = None,
    *,
    images: int = 1000,
    labels: Any = None,
    seed: int = 0,
    offline: bool | None = None,
    progress: bool = True,
    **given: Unpack[Given],
) -> Advice:
    """Compares networks on a data set, and makes the plan for the best.

    Each network's trunk is run once over a sample. They are ranked by LogME, which asks how well the classes follow
    from the features in a Bayesian linear model; the accuracy of a linear classifier, cross-validated, stands beside.

    Args:
        data: what `finetune` takes.
        models: names or run folders; default: the models that are converted already, at most eight, those with the
            highest published accuracy; where none is, the models that are compared with their origin's numbers.
        images: most images of the training part that are looked at, each class by its share.
        labels: class names, for arrays and data sets that hold numbers.
        seed: decides which images, and the folds.
        offline: never use the network to get a model; default: whether ZOO_OFFLINE is 1.
        progress: show bars on a terminal.
        given: facts about preprocessing, as in `zoo.get`, for those of the models whose card says "unknown".

    Returns:
        The data in numbers, the candidates ranked, and the plan for the first.

    Raises:
        DataError: the data cannot be trained on.
        UsageError: an argument is impossible.
        UnknownModelError: no such model.

    Example:
        >>> import zoo
        >>> zoo.advise("pets", ["efficientnet-lite0", "open-nsfw"]).recommended  # doctest: +SKIP
        'efficientnet-lite0'
    """
    from zoo.finetune import base as base_module
    from zoo.finetune import data as data_module
    from zoo.finetune.situation import extremes
    from zoo.finetune.stream import stratified
    from zoo.finetune.wishes import Wishes

    if isinstance(images, bool) or not isinstance(images, int) or images < 2:
        raise UsageError(f"images: expected a whole number of at least 2, got {images!r}")
    if models is not None and (isinstance(models, str) or not models):
        raise UsageError(f"models: expected a list of names, got {models!r}")
    for name in models or ():
        base_module.check_name(name, _given(name, given, offline))
    dataset = data_module.index(data, labels=labels, progress=progress)
    wishes = Wishes(seed=seed)
    parts = data_module.split(dataset, wishes.validation, seed)
    notes = [*dataset.notes, *_remarks(dataset)]
    if models is None:
        models, said = _defaults()
        notes.append(said)
    facts = {name: _given(name, given, offline) for name in models}
    lacked = {key for stated in facts.values() for key in stated}
    if unused := [key for key, value in given.items() if value is not None and key not in lacked]:
        raise UsageError(f"{unused[0]}: each of the models says it itself; facts are for those whose card does not")
    sample = _take(dataset, parts.training[stratified(dataset.labels[parts.training], images, seed)])
    found: list[Candidate] = []
    plan: Plan | None = None
    for name in dict.fromkeys(models):
        candidate, base = _judge(name, facts[name], sample, seed, offline, progress)
        if candidate.likeness is not None and base is not None and candidate == _ranked([*found, candidate])[0]:
            plan = _plan_for(base, dataset, parts, wishes, candidate)
        found.append(candidate)
    ranked = _ranked(found)
    notes += _disagreement(ranked)
    notes += [note for note in ([] if plan is None else plan.notes) if note not in notes]
    return Advice(
        data=dataset.name,
        images=len(dataset.items),
        looked_at=len(sample.items),
        classes=dataset.counts(),
        sizes=extremes(dataset.sizes),
        skipped=tuple({"path": skip.path, "reason": skip.reason} for skip in dataset.skipped),
        notes=tuple(notes),
        candidates=tuple(ranked),
        recommended=ranked[0].model if ranked[0].likeness is not None else None,
        plan=plan,
    )


def _given(name: str, given: Mapping[str, Any], offline: bool | None) -> Given:
    """Those of the caller's facts that a model lacks; none for one that has its preprocessing inside."""
    from zoo import registry
    from zoo.finetune import base as base_module

    given_module.check(given)
    return {} if base_module.is_file(name) else given_module.lacking(registry.info(name, offline=offline), given)


def _judge(
    name: str, given: Given, sample: Dataset, seed: int, offline: bool | None, progress: bool
) -> tuple[Candidate, Base | None]:
    """Loads one network and measures it; what goes wrong with it is told in its row."""
    from zoo.finetune import base as base_module

    license = _license(name, offline)
    try:
        base = base_module.load(name, offline, given)
        likeness, speed = _measure(base, sample, seed, progress)
    except Exception as error:  # one network's failure, of whatever kind, is not that of the others
        kind = "" if isinstance(error, ZooError) else f"unexpected {type(error).__name__}: "
        return Candidate(name, None, None, None, license, " ".join(f"{kind}{error}".split())), None
    reason = "no class has two images in the sample; look at more (images, --images)" if likeness is None else None
    return Candidate(name, likeness, speed, base.model.count_params(), license, reason), base


def _measure(base: Base, sample: Dataset, seed: int, progress: bool) -> tuple[Likeness | None, float | None]:
    """One pass of the trunk over the sample."""
    from zoo.finetune import likeness
    from zoo.finetune.features import BATCH, Extraction, depths
    from zoo.finetune.pictures import Pictures
    from zoo.finetune.scratch import Scratch
    from zoo.finetune.store import Store

    tensors = depths(base.model)
    with Scratch() as scratch:
        store = Store(about=base.preprocessing.model_dump_json())
        pictures = Pictures(sample, base.preprocessing, scratch, progress)
        work = Extraction(base.model, pictures, sample.digests, store, seed, progress)
        arrays = work(tensors, np.arange(len(sample.items)))
        features = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        speed = work.speed if len(sample.items) > 2 * BATCH and work.speed else work.timed(tensors)
        store.prune()
    return likeness.measure(features, sample.labels, seed=seed), speed


def _plan_for(base: Base, dataset: Dataset, parts: Split, wishes: Any, candidate: Candidate) -> Plan:
    """The plan that `finetune` would make, from what was measured already."""
    from zoo.finetune import decide
    from zoo.finetune.situation import Situation
    from zoo.finetune.store import Store

    room = Store(about=base.preprocessing.model_dump_json()).room()
    situation = Situation.of(base, dataset, parts, room, candidate.likeness, candidate.speed)
    return decide.make(situation, wishes)


def _take(dataset: Dataset, positions: np.ndarray) -> Dataset:
    """Some of the images, in their order, as a data set of their own."""
    opener = dataset.open
    return replace(
        dataset,
        items=tuple(dataset.items[place] for place in positions),
        labels=dataset.labels[positions],
        sizes=dataset.sizes[positions],
        digests=tuple(dataset.digests[place] for place in positions),
        parts=None,
        opener=lambda place: opener(int(positions[place])),
    )


def _defaults() -> tuple[list[str], str]:
    """Which networks are tried where none are named, and what is said about it."""
    from zoo import artifact, cache, registry

    cards: dict[str, ModelCard] = {}
    for folder in sorted(cache.models_dir().glob("*/")):
        try:
            card = registry.info(cache.model_of(folder.name), offline=True)
        except ZooError:  # of a registry that is not at hand today
            continue
        if (artifact.folder_of(card) / artifact.RECEIPT).exists():
            cards[card.name] = card
    if not cards:
        names = [card.name for card in registry.list_models(status="verified", task="imagenet")]
        which = "the verified models of ImageNet, as none is converted yet"
        return names, f"compared: {', '.join(names)}, {which}; --models names others"
    names = sorted(cards, key=lambda name: -_top1(cards[name]))
    rest = f", the {MOST} best of {len(names)} on ImageNet" if len(names) > MOST else ""
    return names[:MOST], f"compared: models that are converted already{rest}; --models names others"


def _top1(card: ModelCard) -> float:
    return max((metric.top1 for metric in card.metrics if metric.top1 != "unknown"), default=0.0)


def _license(name: str, offline: bool | None) -> str:
    from zoo import registry
    from zoo.finetune import base as base_module

    if base_module.is_file(name):
        return "-"
    try:
        return registry.info(name, offline=offline).license.weights
    except ZooError:
        return "-"


def _ranked(found: list[Candidate]) -> list[Candidate]:
    """The best first; of equals, the one with the better probe."""

    def worth(candidate: Candidate) -> tuple[float, float]:
        likeness = candidate.likeness
        return (-np.inf, 0.0) if likeness is None else (likeness.logme, likeness.probe)

    return sorted(found, key=worth, reverse=True)


def _disagreement(ranked: list[Candidate]) -> list[str]:
    measured = [(item.model, item.likeness) for item in ranked if item.likeness is not None]
    if len(measured) < 2:
        return []
    name, best = max(measured, key=lambda pair: pair[1].probe)
    first = measured[0][1]
    if best.probe - first.probe <= max(best.deviation, first.deviation):
        return []
    return [
        f"the linear classifier is better on {name} ({best.probe:.1%}) than on {measured[0][0]} ({first.probe:.1%}), "
        f"which LogME ranks first: try both"
    ]


def _remarks(dataset: Dataset) -> list[str]:
    """What the numbers of images say."""
    from zoo.finetune.decide import IMBALANCE

    counts = dataset.counts()
    notes = []
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[most] > IMBALANCE * counts[least]:
        notes.append(f"unbalanced: {counts[most]} images of {most!r}, {counts[least]} of {least!r}")
    return notes
