"""Images and labels in memory: an array, or a list of arrays, pictures or files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import DataError
from zoo.finetune.data.dataset import Found
from zoo.finetune.data.labels import plain
from zoo.finetune.data.notes import some
from zoo.finetune.data.pixels import Pixels, as_numpy
from zoo.finetune.data.read import Entry, read_files, threaded
from zoo.finetune.data.storage import Sample, collect, digest_of

if TYPE_CHECKING:
    import PIL.Image

NAME = "arrays"
IMAGES = ("images", "image", "x", "pixels", "data")
LABELS = ("labels", "label", "y", "targets", "target")
NAMES = ("class_names", "classes", "names")


@dataclass(frozen=True, eq=False)
class _Array:
    images: np.ndarray

    def __call__(self, position: int) -> PIL.Image.Image:
        from zoo.preprocessing import load_image

        return load_image(np.asarray(self.images[position]))


def read_mapping(source: Mapping[str, Any], progress: bool) -> Found:
    """Reads `{"images": ..., "labels": ...}`, with the class names under `classes` if there are any."""
    folded = {str(key).casefold(): key for key in source}
    images, labels, names = (
        next((source[folded[key]] for key in known if key in folded), None) for known in (IMAGES, LABELS, NAMES)
    )
    if images is None or labels is None:
        raise DataError(f"{NAME}: a dictionary with {some(list(map(str, source)))}; expected 'images' and 'labels'")
    found = read_arrays(images, labels, progress)
    found.names = None if names is None else tuple(map(str, names))
    return found


def read_arrays(images: Any, labels: Any, progress: bool) -> Found:
    """Reads images with their labels.

    Args:
        images: (N, H, W, 3) or (N, H, W) uint8; or a list of arrays, PIL images or paths.
        labels: N names or whole numbers, or (N, K) one-hot rows.
        progress: show a bar on a terminal.

    Raises:
        DataError: shape, type or range is not that of images, or the numbers of images and labels differ.
    """
    values = plain(as_numpy(labels) if hasattr(labels, "__array__") or hasattr(labels, "numpy") else labels, NAME)
    if len(images) != len(values):
        raise DataError(f"{NAME}: {len(images)} images and {len(values)} labels; expected one label per image")
    if isinstance(images, list | tuple) or getattr(getattr(images, "dtype", None), "kind", "") == "O":
        return _read_list(list(images), values, progress)
    pixels = Pixels(NAME)
    array = pixels.batch(images)
    notes = pixels.finish()
    digests = list(threaded(lambda position: digest_of(array[position]), range(len(array)), "reading", progress))
    return Found(
        name=NAME,
        items=[f"image-{number:06}" for number in range(len(array))],
        values=values,
        sizes=[(array.shape[2], array.shape[1])] * len(array),
        digests=digests,
        parts=None,
        opener=_Array(array),
        notes=notes,
    )


def _read_list(images: list[Any], values: Sequence[str | int], progress: bool) -> Found:
    import PIL.Image

    if images and all(isinstance(image, str | os.PathLike) for image in images):
        paths = [Path(image).absolute() for image in images]
        try:
            root = Path(os.path.commonpath([path.parent for path in paths]))
        except ValueError:  # on several drives
            root = paths[0].parent
        items = [path.relative_to(root) if path.is_relative_to(root) else path for path in paths]
        entries = [Entry(item.as_posix(), value) for item, value in zip(items, values, strict=True)]
        unique = list(dict.fromkeys(entries))
        found = read_files(str(root), root, unique, progress)
        if len(unique) < len(entries):
            found.notes.append(f"{len(entries) - len(unique)} file(s) are named twice and count once.")
        return found
    pixels = Pixels(NAME)

    def samples() -> Iterator[Sample]:
        for number, (image, value) in enumerate(zip(images, values, strict=True)):
            yield number, image if isinstance(image, PIL.Image.Image | bytes) else pixels.one(image), value, None

    found = collect(NAME, samples(), total=len(images), progress=progress)
    found.notes += pixels.finish()
    return found
