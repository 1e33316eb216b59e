from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from zoo.errors import DataError, UsageError
from zoo.finetune.data import folds, index


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """(12, 8, 8) uint8: six zeros, six ones."""
    pixels, labels = load_digits(return_X_y=True)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:6] for digit in (0, 1)])
    return (pixels[chosen].reshape(-1, 8, 8) * 15.9).astype(np.uint8)


LABELS = [0] * 6 + [1] * 6


def refusal(source: Any, **choices: Any) -> str:
    with pytest.raises((DataError, UsageError)) as caught:
        index(source, progress=False, **choices)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_arrays_with_names(images: np.ndarray) -> None:
    found = index((images, np.array(LABELS)), labels=["zero", "one"], progress=False)
    assert (found.name, found.classes) == ("arrays", ("zero", "one"))
    assert found.items[7] == "image-000007"
    assert found.sizes.tolist() == [[8, 8]] * 12
    assert len(set(found.digests)) == 12
    assert np.array_equal(np.asarray(found.open(7)), np.stack([images[7]] * 3, axis=-1))
    assert found.notes == ()
    assert sum(len(fold.validation) for fold in folds(found, 3, 0)) == 12


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (LABELS, ("0", "1")),
        (np.array(LABELS, np.float32)[:, None], ("0", "1")),
        (np.eye(2)[LABELS], ("0", "1")),
        ([10] * 6 + [9] * 6, ("9", "10")),
        (["b"] * 6 + ["a"] * 6, ("a", "b")),
        (np.array([b"b"] * 6 + [b"a"] * 6), ("a", "b")),
        (np.array(["b"] * 6 + ["a"] * 6, dtype=object), ("a", "b")),
        (np.array(LABELS, bool), ("0", "1")),
    ],
)
def test_labels_of_every_kind(images: np.ndarray, labels: Any, classes: tuple[str, ...]) -> None:
    found = index((images, labels), progress=False)
    assert found.classes == classes
    assert sorted(np.bincount(found.labels)) == [6, 6]
    called = "Classes are called by their numbers, as the source has no names; labels=[...] gives them."
    assert found.notes == ((called,) if classes != ("a", "b") else ())


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (LABELS[:-1], "12 images and 11 labels"),
        (np.full((12, 2), 0.5), "not one-hot rows"),
        (np.linspace(0, 1, 12), "labels are floating-point numbers"),
        (np.zeros((12, 2, 2)), r"labels have shape \(12, 2, 2\)"),
        ([None] * 12, "a label is None"),
        ([0] * 12, r"one class only \('0'\)"),
    ],
)
def test_labels_that_are_none_are_refused(images: np.ndarray, labels: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        index((images, labels), progress=False)


def test_names_that_do_not_fit_are_refused_and_unused_ones_left_out(images: np.ndarray) -> None:
    assert "label 1 is not among the 1 classes" in refusal((images, LABELS), labels=["zero"])
    assert "label -1 is" in refusal((images, [-1, *LABELS[1:]]), labels=["zero", "one"])
    assert "'a' named twice" in refusal((images, LABELS), labels=["a", "a"])
    assert "expected the class names by label" in refusal((images, LABELS), labels="ab")
    found = index((images, LABELS), labels=["zero", "one", "two"], progress=False)
    assert found.classes == ("zero", "one")
    assert found.notes == ("1 class(es) without an image are left out: 'two'.",)


def test_a_dictionary_with_names(images: np.ndarray) -> None:
    found = index({"X": images, "y": LABELS, "classes": ["zero", "one"]}, progress=False)
    assert found.counts() == {"zero": 6, "one": 6}
    assert "a dictionary with 'a'; expected 'images' and 'labels'" in refusal({"a": images})


def test_numbers_clearly_from_0_to_255_are_rounded_and_said(images: np.ndarray) -> None:
    found = index((images.astype(np.float32) + 0.25, LABELS), labels=["zero", "one"], progress=False)
    assert np.array_equal(np.asarray(found.open(3))[..., 0], images[3])
    assert found.notes == ("Images are float32 from 0.25 to 254.25: taken as 0..255 and rounded.",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x / 255, r"are float64 from 0 to \S+, a range .* \(images \* 255\)\.round\(\)\.astype\('uint8'\)"),
        (lambda x: x / 127.5 - 1, "leave out what normalises them and pass uint8"),
        (lambda x: (x // 16).astype(np.int64), "are int64 from 0 to 15, a range that zoo does not guess at"),
        (lambda x: x.astype(np.uint16) * 256, "scale them to 0..255 and pass uint8"),
        (lambda x: np.where(x > 200, np.nan, x), "an image holds NaN or infinity; pass uint8"),
        (lambda x: x > 100, "are of type bool; pass uint8"),
        (lambda x: np.stack([x] * 3, axis=1), r"images\.transpose\(0, 2, 3, 1\)"),
        (lambda x: x.reshape(12, 64), r"images have shape \(12, 64\)"),
        (lambda x: np.stack([x] * 5, axis=-1), r"images have shape \(12, 8, 8, 5\)"),
    ],
)
def test_ranges_and_shapes_are_never_guessed(images: np.ndarray, change: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        index((change(images), LABELS), progress=False)


def test_images_may_be_pictures_of_several_sizes_or_files(images: np.ndarray, few: Path) -> None:
    pictures: list[Any] = [Image.fromarray(image).resize((8 + number, 9)) for number, image in enumerate(images)]
    pictures[3] = np.asarray(pictures[3])
    found = index((pictures, LABELS), progress=False)
    assert found.sizes[:, 0].tolist() == list(range(8, 20))
    assert np.array_equal(np.asarray(found.open(3))[..., 0], pictures[3])
    paths = sorted(few.glob("*/*.png"))
    found = index((paths, [path.parent.name for path in paths]), progress=False)
    assert found.counts() == {"digit-0": 6, "digit-1": 6}
    assert found.items[0] == "digit-0/000.png"


def test_the_same_pixels_in_two_classes_are_dropped(images: np.ndarray) -> None:
    twice = np.concatenate([images, images[:1]])
    found = index((twice, [*LABELS, 1]), labels=["zero", "one"], progress=False)
    assert found.counts() == {"zero": 5, "one": 6}
    assert "image-000000 (zero) = image-000012 (one)" in found.notes[0]
    assert np.array_equal(np.asarray(found.open(0))[..., 0], images[1])


def test_a_data_set_is_returned_as_it_is_or_with_other_names(images: np.ndarray) -> None:
    found = index((images, LABELS), progress=False)
    assert index(found) is found
    assert index(found, labels=["zero", "one"]).classes == ("zero", "one")
    assert "1 names for the 2 classes" in refusal(found, labels=["zero"])


def test_what_is_no_data_is_told_what_is(images: np.ndarray) -> None:
    assert "images without labels; pass (images, labels)" in refusal(images)
    assert "3 of them; expected (images, labels)" in refusal((images, LABELS, LABELS))
    assert "data: expected a folder" in refusal(3)
    assert "generator: has no length; pass list(...)" in refusal(x for x in "ab")
