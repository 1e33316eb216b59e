"""Which images are held out: of each class a share, by seed, exact copies together."""

from __future__ import annotations

import numpy as np

from zoo.errors import UsageError
from zoo.finetune.data.dataset import Dataset, Split


def split(dataset: Dataset, validation: float, seed: int) -> Split:
    """Returns the split that the source gives; where it gives no validation part, a share of each class is held out.

    The same images, share and seed give the same split on every machine. At least one image of each class is held out,
    and one trained on; exact copies are on the same side.

    Args:
        dataset: what to split.
        validation: share of each class to hold out, between 0 and 1.
        seed: decides which images.

    Raises:
        UsageError: `validation` is not between 0 and 1.
    """
    if not 0 < validation < 1:
        raise UsageError(f"validation={validation}: expected a share of the images between 0 and 1, such as 0.2")
    parts = _parts(dataset)
    test = np.flatnonzero(parts == "test")
    if (parts == "validation").any():
        return Split(np.flatnonzero(parts == "training"), np.flatnonzero(parts == "validation"), test)
    training: list[int] = []
    held_out: list[int] = []
    for label in range(len(dataset.classes)):
        members = np.flatnonzero((dataset.labels == label) & (parts == "training"))
        groups = _copies(dataset, members, [seed, label])
        chosen = _share(groups, validation, len(members))
        for number, group in enumerate(groups):
            (held_out if number in chosen else training).extend(group)
    return Split(np.array(sorted(training), np.int64), np.array(sorted(held_out), np.int64), test)


def folds(dataset: Dataset, k: int, seed: int) -> list[Split]:
    """Returns `k` splits for cross-validation: each image but those of the test part is held out in one of them.

    Each class is dealt evenly; exact copies are in the same fold. A validation part of the source is dealt with the
    training part.

    Args:
        dataset: what to split.
        k: number of folds, two or more.
        seed: decides which images.

    Raises:
        UsageError: `k` is below 2, or above the number of different images of the largest class.
    """
    parts = _parts(dataset)
    rest = np.flatnonzero(parts != "test")
    groups = [
        (label, group)
        for label in range(len(dataset.classes))
        for group in _copies(dataset, rest[dataset.labels[rest] == label], [seed, label])
    ]
    most = max(np.bincount([label for label, _ in groups]))
    if not 2 <= k <= most:
        raise UsageError(f"folds={k}: expected 2 to {most}, the number of different images of the largest class")
    of_class = np.zeros((len(dataset.classes), k), np.int64)
    dealt: list[list[int]] = [[] for _ in range(k)]
    for label, group in groups:
        fewest = np.lexsort(([len(fold) for fold in dealt], of_class[label]))[0]
        dealt[fewest].extend(group)
        of_class[label, fewest] += len(group)
    test = np.flatnonzero(parts == "test")
    held_out = [np.array(sorted(fold), np.int64) for fold in dealt]
    return [Split(np.setdiff1d(rest, fold), fold, test) for fold in held_out]


def _parts(dataset: Dataset) -> np.ndarray:
    return np.array(dataset.parts if dataset.parts is not None else ["training"] * len(dataset.items), dtype=object)


def _copies(dataset: Dataset, members: np.ndarray, seed: list[int]) -> list[list[int]]:
    """The positions in random order, exact copies together."""
    groups: dict[str, list[int]] = {}
    for position in np.random.default_rng(seed).permutation(members):
        groups.setdefault(dataset.digests[position], []).append(int(position))
    return list(groups.values())


def _share(groups: list[list[int]], share: float, images: int) -> set[int]:
    """Which groups to hold out: about the share of the images, one group at least and never all."""
    wanted = max(1, round(share * images))
    chosen: set[int] = set()
    held = 0
    for number, group in enumerate(groups):
        if held + len(group) <= wanted and len(chosen) < len(groups) - 1:
            chosen.add(number)
            held += len(group)
    if not chosen and len(groups) > 1:
        chosen.add(min(range(len(groups)), key=lambda number: len(groups[number])))
    return chosen
