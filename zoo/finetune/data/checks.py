"""What a source holds -> a data set that can be trained on: contradictions out, copies found, doubts said."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import DataError
from zoo.finetune.data.dataset import Dataset, Found
from zoo.finetune.data.labels import classes_of
from zoo.finetune.data.notes import shown, some

if TYPE_CHECKING:
    import PIL.Image

FEW = 5
"""Classes with fewer images are named in a note."""


@dataclass(frozen=True)
class _Kept:
    """Opens the images that are left."""

    opener: Callable[[int], PIL.Image.Image]
    positions: tuple[int, ...]

    def __call__(self, position: int) -> PIL.Image.Image:
        return self.opener(self.positions[position])


def finish(found: Found, *, trained: bool = True) -> Dataset:
    """Returns the data set.

    Exact copies in two classes contradict each other and are dropped; those of a class in two parts stay out of
    training; the others are kept.

    Args:
        found: what a source holds.
        trained: whether a classifier is to be trained on it.

    Raises:
        DataError: the images cannot be trained on; the message says why and what to do.
    """
    names, labels = classes_of(found)
    notes = list(found.notes)
    keep = np.ones(len(labels), bool)
    notes += _drop_contradictions(found, names, labels, keep)
    if found.parts is not None:
        notes += _drop_leaks(found, labels, keep)
    notes += _copies(found, labels, keep)
    used = np.bincount(labels, minlength=len(names)) > 0
    lost = {found.names[v] if found.names and isinstance(v, int) else str(v) for _, v in found.skipped if v is not None}
    needed = [label for label, name in enumerate(names) if used[label] or found.complete or name in lost]
    unused = [name for label, name in enumerate(names) if label not in needed]
    if unused:
        notes.append(f"{len(unused)} class(es) without an image are left out: {some(unused)}.")
    new_label = np.full(len(names), -1, np.int64)
    new_label[needed] = np.arange(len(needed))
    positions = tuple(np.flatnonzero(keep).tolist())
    dataset = Dataset(
        name=found.name,
        classes=tuple(names[label] for label in needed),
        items=tuple(found.items[position] for position in positions),
        labels=new_label[labels[keep]],
        sizes=np.array(found.sizes, np.int64).reshape(-1, 2)[keep],
        digests=tuple(found.digests[position] for position in positions),
        parts=tuple(found.parts[position] for position in positions) if found.parts is not None else None,
        skipped=tuple(skipped for skipped, _ in found.skipped),
        notes=tuple(notes),
        opener=found.opener if keep.all() else _Kept(found.opener, positions),
    )
    _check_names(found.name, dataset.classes)
    dropped = int((~keep).sum())
    _check_any(dataset, dropped)
    if trained:
        _check_counts(dataset, found, dropped)
    return _with_doubts(dataset)


def _check_names(name: str, classes: tuple[str, ...]) -> None:
    if len(set(classes)) < len(classes):
        twice = sorted({one for one in classes if classes.count(one) > 1})
        raise DataError(f"{name}: two classes each are called {some(twice)}; pass other names, labels=[...]")
    seen: dict[str, str] = {}
    for one in classes:
        if not one.strip():
            raise DataError(f"{name}: a class has an empty name ({one!r}); name it")
        other = seen.setdefault(unicodedata.normalize("NFC", one.strip().casefold()), one)
        if other != one:
            blank = other.strip() != other or one.strip() != one
            what = "surrounding blanks" if blank else "case"
            if other.strip().casefold() != one.strip().casefold():
                what = "how Unicode writes their accents"
            raise DataError(f"{name}: classes {other!r} and {one!r} differ only in {what}; merge or rename one of them")


def _by_digest(found: Found, keep: np.ndarray) -> list[list[int]]:
    """Groups of exact copies, of two or more."""
    groups: dict[str, list[int]] = {}
    for position in np.flatnonzero(keep):
        groups.setdefault(found.digests[position], []).append(int(position))
    return [group for group in groups.values() if len(group) > 1]


def _drop_contradictions(found: Found, names: tuple[str, ...], labels: np.ndarray, keep: np.ndarray) -> list[str]:
    said, number = [], 0
    for group in _by_digest(found, keep):
        if len(set(labels[group])) > 1:
            keep[group] = False
            number += len(group)
            said.append(
                " = ".join(
                    f"{shown(found.items[position])} ({shown(names[labels[position]])})" for position in group[:3]
                )
            )
    if not said:
        return []
    more = f" and {len(said) - 6} more" if len(said) > 6 else ""
    return [
        f"{number} image(s) are exact copies of an image of another class and are left out: "
        f"{'; '.join(said[:6])}{more}."
    ]


def _drop_leaks(found: Found, labels: np.ndarray, keep: np.ndarray) -> list[str]:
    """An image of the test part is in no other; one of the validation part is not in training."""
    parts = np.array(found.parts, dtype=object)
    dropped: dict[tuple[str, str], list[int]] = {}
    for group in _by_digest(found, keep):
        last = next(part for part in ("test", "validation", "training") if part in parts[group])
        for position in group:
            if parts[position] != last:
                dropped.setdefault((parts[position], last), []).append(position)
                keep[position] = False
    return [
        f"{len(positions)} image(s) of the {part} part are exact copies of images of the {last} part and are left out "
        f"of {part}: {some([found.items[position] for position in positions])}."
        for (part, last), positions in dropped.items()
    ]


def _copies(found: Found, labels: np.ndarray, keep: np.ndarray) -> list[str]:
    groups = _by_digest(found, keep)
    if not groups:
        return []
    copies = sum(map(len, groups)) - len(groups)
    first = " = ".join(shown(found.items[position]) for position in groups[0][:3])
    return [
        f"{copies} image(s) are exact copies of another one of their class (the first: {first}); copies stay on one "
        f"side of the split."
    ]


def _check_any(dataset: Dataset, dropped: int) -> None:
    if not dataset.items:
        first = f", the first: {dataset.skipped[0].path}: {dataset.skipped[0].reason}" if dataset.skipped else ""
        also = f"; {dropped} are left out as copies in another class or part" if dropped else ""
        raise DataError(f"{dataset.name}: no image can be used ({len(dataset.skipped)} cannot be read{first}{also})")


def _check_counts(dataset: Dataset, found: Found, dropped: int) -> None:
    where = dataset.name
    if len(dataset.classes) == 1:
        raise DataError(f"{where}: has one class only ({dataset.classes[0]!r}); a classifier needs two or more")
    parts = np.array(dataset.parts if dataset.parts is not None else ["training"] * len(dataset.items), dtype=object)
    divided = bool((parts == "validation").any())
    if not (parts == "training").any():
        if "training" in (found.parts or ()):
            raise DataError(
                f"{where}: no image is left in the training part: {dropped} image(s) are copies of one in another "
                f"class or part; divide the images so that each is in one part"
            )
        raise DataError(f"{where}: has no image in the training part; put 'training' or 'train' to some")
    training = " in the training part" if dataset.parts is not None else ""
    for label, name in enumerate(dataset.classes):
        members = np.flatnonzero((dataset.labels == label) & (parts == "training"))
        different = len({dataset.digests[position] for position in members})
        also = _lost(found, name, dropped)
        if not len(members):
            raise DataError(f"{where}: class {name!r} has no readable image{training}{also}; add some or remove it")
        if different == 1 and not divided:
            one = "one readable image" if len(members) == 1 else f"{len(members)} copies of one image"
            raise DataError(
                f"{where}: class {name!r} has {one}{training}{also}, too few to train on one and check on another; "
                f"add at least one more, or remove the class"
            )


def _lost(found: Found, name: str, dropped: int) -> str:
    names = found.names
    broken = [
        skipped
        for skipped, value in found.skipped
        if (names[value] if names and isinstance(value, int) else str(value)) == name
    ]
    said = [f"{len(broken)} cannot be read, the first: {broken[0].path}: {broken[0].reason}"] if broken else []
    if dropped:
        said.append(f"{dropped} image(s) in all are left out as copies in another class or part")
    return f" ({'; '.join(said)})" if said else ""


def _with_doubts(dataset: Dataset) -> Dataset:
    """Adds notes on classes with few images, and on classes that a part lacks."""
    notes = []
    few = [f"{shown(name)} ({number})" for name, number in dataset.counts().items() if number < FEW]
    if few:
        notes.append(
            f"{len(few)} class(es) have fewer than {FEW} images: {', '.join(few[:12])}{', ...' * (len(few) > 12)}."
        )
    blank = [name for name in dataset.classes if name.strip() != name]
    if blank:
        notes.append(f"{len(blank)} class name(s) have blanks around them: {some(blank)}.")
    for part in ("validation", "test"):
        if dataset.parts is None or part not in dataset.parts:
            continue
        present = {int(label) for label, own in zip(dataset.labels, dataset.parts, strict=True) if own == part}
        lacking = [name for label, name in enumerate(dataset.classes) if label not in present]
        if lacking:
            notes.append(f"{len(lacking)} class(es) have no image in the {part} part: {some(lacking)}.")
    return replace(dataset, notes=(*dataset.notes, *notes))
