"""What every source of images becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import PIL.Image

PART_NAMES = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read."""

    path: str
    """The file, relative to the data folder and with forward slashes, or the number of the image."""
    reason: str


def _nowhere(position: int) -> PIL.Image.Image:
    raise ValueError(f"image {position}: this data set was made without a way to open its images")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Readable images with their classes.

    Args:
        name: what to call it: the folder, the table, `arrays`, `tf.data.Dataset`.
        classes: class names by label.
        items: a unique name per image: its path relative to the folder, with forward slashes, or `image-000012`.
        labels: (N,) int64, the class of each image.
        sizes: (N, 2) int64, width and height in pixels, upright.
        digests: sha256 of the file's bytes, or of shape, type and pixels of an array: equal for exact copies.
        parts: `training`, `validation` or `test` per image where the source says so, else None.
        skipped: images that could not be read.
        notes: what a person should know, one sentence each.
        opener: position -> upright RGB image; `open` is its public name.
    """

    name: str
    classes: tuple[str, ...]
    items: tuple[str, ...]
    labels: np.ndarray
    sizes: np.ndarray
    digests: tuple[str, ...]
    parts: tuple[str, ...] | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    opener: Callable[[int], PIL.Image.Image] = field(default=_nowhere, repr=False)

    def open(self, position: int) -> PIL.Image.Image:
        """Returns an image as upright 8-bit RGB.

        Raises:
            DataError: it cannot be read any more.
        """
        return self.opener(position)

    def counts(self) -> dict[str, int]:
        """Returns class name -> number of readable images."""
        numbers = np.bincount(self.labels, minlength=len(self.classes))
        return {name: int(number) for name, number in zip(self.classes, numbers, strict=True)}


@dataclass(frozen=True, eq=False)
class Split:
    """Which images are trained on, which decide, and which are left for the caller to measure: sorted positions."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass
class Found:
    """What a source holds, before it is checked: lists with one entry per readable image.

    Args:
        name: of the data set.
        items: names of the images; after the checks they are unique.
        values: class name or integer label per image.
        sizes: width and height, pixels.
        digests: see `Dataset`.
        parts: part per image, or None when the source has none.
        opener: position in these lists -> image.
        names: class names by integer label, where the source or the caller gives them.
        complete: whether a class of `names` without an image is an error; else it is left out.
        skipped: images that could not be read, each with its class where it is known.
        notes: what a person should know so far.
    """

    name: str
    items: list[str]
    values: list[str] | list[int]
    sizes: list[tuple[int, int]]
    digests: list[str]
    parts: list[str] | None
    opener: Callable[[int], PIL.Image.Image]
    names: tuple[str, ...] | None = None
    complete: bool = False
    skipped: list[tuple[Skipped, str | int | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
