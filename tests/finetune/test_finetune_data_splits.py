from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.finetune.data import Dataset, folds, index, split


def of(labels: list[int], digests: list[int] | None = None, parts: list[str] | None = None) -> Dataset:
    """A data set with these labels; equal digests are exact copies."""
    names = tuple(map(str, range(len(labels))))
    return Dataset(
        "some",
        tuple(f"class-{label}" for label in sorted(set(labels))),
        names,
        np.array(labels, np.int64),
        np.full((len(labels), 2), 8),
        tuple(map(str, digests)) if digests else names,
        tuple(parts) if parts else None,
    )


def test_the_split_holds_out_the_share_of_each_class(folder: Path) -> None:
    for path in sorted((folder / "coffee").iterdir())[2:]:
        path.unlink()
    found = index(folder, progress=False)
    parts = split(found, 0.25, seed=3)
    training, held_out = parts.training, parts.validation
    assert sorted([*training, *held_out]) == list(range(26))
    assert np.bincount(found.labels[held_out]).tolist() == [2, 2, 1, 2]


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_each_class_keeps_an_image_on_both_sides(photos: Path, share: float) -> None:
    found = index(photos, progress=False)
    parts = split(found, share, seed=0)
    for part in (parts.training, parts.validation):
        assert set(found.labels[part]) == {0, 1, 2, 3}


def test_the_seed_decides_the_split(photos: Path) -> None:
    found = index(photos, progress=False)
    first, again, other = (split(found, 0.25, seed).validation.tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("share", [0, 1, 20, -0.5])
def test_an_impossible_share_is_refused(photos: Path, share: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        split(index(photos, progress=False), share, 0)


def test_copies_stay_on_one_side() -> None:
    """Ten images in four copies each and ten alone, in each of two classes."""
    digests = [*(number // 4 for number in range(40)), *range(100, 110)] * 2
    labels = [0] * 50 + [1] * 50
    dataset = of(labels, [digest + 1000 * label for digest, label in zip(digests, labels, strict=True)])
    for seed in range(5):
        parts = split(dataset, 0.2, seed)
        names = np.array(dataset.digests)
        assert not set(names[parts.training]) & set(names[parts.validation])
        assert [int((dataset.labels[parts.validation] == label).sum()) for label in (0, 1)] == [10, 10]


def test_many_copies_of_one_image_are_trained_on_rather_than_held_out() -> None:
    parts = split(of([0] * 12 + [1, 1], [*[0] * 10, 1, 2, 3, 4]), 0.2, 0)
    assert len(parts.validation) == 3
    assert not set(range(10)) & set(parts.validation.tolist())


def test_parts_of_the_source_are_kept() -> None:
    given = ["training", "training", "validation", "test"] * 2
    parts = split(of([0, 0, 0, 0, 1, 1, 1, 1], parts=given), 0.5, 0)
    assert parts.training.tolist() == [0, 1, 4, 5]
    assert parts.validation.tolist() == [2, 6]
    assert parts.test.tolist() == [3, 7]


def test_without_a_validation_part_some_of_training_is_held_out_and_none_of_test() -> None:
    given = ["training"] * 8 + ["test"] * 4
    parts = split(of([0, 1] * 6, parts=given), 0.25, 0)
    assert parts.test.tolist() == [8, 9, 10, 11]
    assert sorted([*parts.training, *parts.validation]) == list(range(8))
    assert len(parts.validation) == 2


def test_folds_hold_out_each_image_once_and_deal_classes_and_copies_evenly() -> None:
    labels = [0] * 20 + [1] * 11 + [2] * 3
    digests = [number // 2 for number in range(20)] + list(range(100, 114))
    dataset = of(labels, digests)
    found = folds(dataset, 4, seed=1)
    assert sorted(np.concatenate([fold.validation for fold in found]).tolist()) == list(range(34))
    for fold in found:
        assert sorted([*fold.training, *fold.validation]) == list(range(34))
        assert len(fold.test) == 0
        counts = np.bincount(dataset.labels[fold.validation], minlength=3)
        assert counts[0] in (4, 6)
        assert counts[1] in (2, 3)
        assert counts[2] in (0, 1)
        assert not {digests[p] for p in fold.training} & {digests[p] for p in fold.validation}
    assert [fold.validation.tolist() for fold in folds(dataset, 4, seed=1)] == [f.validation.tolist() for f in found]
    assert [fold.validation.tolist() for fold in folds(dataset, 4, seed=2)] != [f.validation.tolist() for f in found]


def test_folds_leave_the_test_part_alone() -> None:
    dataset = of([0, 1] * 6, parts=["training"] * 6 + ["validation"] * 4 + ["test"] * 2)
    for fold in folds(dataset, 3, seed=0):
        assert sorted([*fold.training, *fold.validation]) == list(range(10))
        assert fold.test.tolist() == [10, 11]


@pytest.mark.parametrize("k", [1, 7])
def test_an_impossible_number_of_folds_is_refused(k: int) -> None:
    with pytest.raises(UsageError, match="expected 2 to 6, the number of different images of the largest class"):
        folds(of([0] * 6 + [1] * 3), k, 0)
