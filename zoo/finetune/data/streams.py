"""Data sets of other libraries: tf.data, Keras PyDataset, PyTorch's map style. None of them is imported here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np

from zoo.errors import DataError
from zoo.finetune.data.arrays import IMAGES, LABELS
from zoo.finetune.data.dataset import Found
from zoo.finetune.data.labels import plain
from zoo.finetune.data.pixels import CHANNELS, Pixels, as_numpy
from zoo.finetune.data.storage import Sample, collect


def is_tf_data(source: Any) -> bool:
    """Whether it is a tf.data.Dataset."""
    return hasattr(source, "element_spec") and hasattr(source, "cardinality")


def is_keras(source: Any) -> bool:
    """Whether it is a Keras PyDataset (or Sequence, its older name)."""
    return any(
        kind.__name__ in ("PyDataset", "Sequence") and "keras" in kind.__module__ for kind in type(source).__mro__
    )


def is_map_style(source: Any) -> bool:
    """Whether it has a length and gives items by number, as PyTorch's data sets do."""
    return hasattr(source, "__len__") and hasattr(source, "__getitem__")


def read_tf_data(source: Any, progress: bool) -> Found:
    """Reads a tf.data.Dataset of (image, label), batched or not, or of `{"image": ..., "label": ...}`.

    Raises:
        DataError: it never ends, or gives something else.
    """
    name = "tf.data.Dataset"
    if int(source.cardinality()) == -1:
        raise DataError(f"{name}: never ends; pass it without .repeat()")
    return _read(name, iter(source), None, source, progress, batches=True)


def read_keras(source: Any, progress: bool) -> Found:
    """Reads a Keras PyDataset, batch by batch.

    Raises:
        DataError: it never ends, or gives something else than (images, labels).
    """
    name = type(source).__name__
    if getattr(source, "num_batches", 0) is None:
        raise DataError(f"{name}: never ends; give it a number of batches")
    return _read(name, (source[number] for number in range(len(source))), None, source, progress, batches=True)


def read_map_style(source: Any, progress: bool) -> Found:
    """Reads a data set of (image, label) items, each a PIL image, an array or a uint8 tensor (C, H, W).

    Raises:
        DataError: the items are something else.
    """
    name = "list" if isinstance(source, list) else type(source).__name__
    length = len(source)
    return _read(name, (_item(source, number) for number in range(length)), length, source, progress, batches=False)


def _item(source: Any, number: int) -> Any:
    try:
        return source[number]
    except Exception as error:  # whatever a data set of someone else's raises on a broken file
        return error


def _read(
    name: str, elements: Iterable[Any], total: int | None, source: Any, progress: bool, *, batches: bool
) -> Found:
    pixels = Pixels(name)
    found = collect(name, _samples(name, elements, pixels, batches), total=total, progress=progress)
    found.notes += pixels.finish()
    found.names = class_names(source)
    return found


def _samples(name: str, elements: Iterable[Any], pixels: Pixels, batches: bool) -> Iterator[Sample]:
    import PIL.Image

    numbers = count()
    for element in elements:
        if isinstance(element, Exception):
            yield next(numbers), element, None, None
            continue
        image, label = _pair(name, element)
        if isinstance(image, PIL.Image.Image | bytes):
            yield next(numbers), image, plain(_row(label), name)[0], None
            continue
        array = as_numpy(image)
        if array.dtype.kind in "SUO":
            raise DataError(f"{name}: its images are strings or objects, not pixels; decode them first (to uint8)")
        labels = as_numpy(label)
        if batches and _batched(array, labels):
            values = plain(labels, name)
            if len(values) != len(array):
                raise DataError(f"{name}: a batch of {len(array)} images has {len(values)} labels")
            for picture, value in zip(pixels.batch(image), values, strict=True):
                yield next(numbers), picture, value, None
        else:
            yield next(numbers), pixels.one(image), plain(_row(labels), name)[0], None


def _row(label: Any) -> np.ndarray:
    """One label as a batch of one."""
    array = as_numpy(label)
    return array[None] if array.ndim or array.dtype.kind != "O" else np.array([array.item()], dtype=object)


def _batched(image: np.ndarray, label: np.ndarray) -> bool:
    if image.ndim == 3 and image.shape[2] not in CHANNELS:
        return label.ndim > 0 and len(label) == len(image)
    return image.ndim == 4


def _pair(name: str, element: Any) -> tuple[Any, Any]:
    if isinstance(element, dict):
        keys = [next((key for key in known if key in element), None) for known in (IMAGES, LABELS)]
        if None not in keys:
            return element[keys[0]], element[keys[1]]
    elif isinstance(element, list | tuple) and len(element) in (2, 3):
        return element[0], element[1]
    what = f"a dictionary of {', '.join(map(str, element))}" if isinstance(element, dict) else type(element).__name__
    raise DataError(f"{name}: gives {what}; expected (image, label) pairs")


def class_names(source: Any) -> tuple[str, ...] | None:
    """Returns the class names that a data set, or the one it was made from, carries."""
    for _ in range(8):
        for attribute in ("class_names", "classes"):
            names = getattr(source, attribute, None)
            if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
                return tuple(names)
        indices = getattr(source, "class_indices", None)
        if isinstance(indices, dict) and sorted(indices.values()) == list(range(len(indices))):
            return tuple(sorted(map(str, indices), key=lambda name: indices[name]))
        source = getattr(source, "dataset", None)
        if source is None:
            break
    return None
