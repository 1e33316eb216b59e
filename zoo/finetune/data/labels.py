"""Labels as people keep them - names, numbers, one-hot rows - and the classes they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.errors import DataError, UsageError
from zoo.finetune.data.dataset import Found
from zoo.finetune.data.notes import some


def check_label_names(labels: Any) -> tuple[str, ...] | None:
    """Returns the caller's class names; raises UsageError when they are no list of different names."""
    if labels is None:
        return None
    if isinstance(labels, str) or not all(isinstance(name, str) for name in labels):
        raise UsageError("labels: expected the class names by label, as in labels=['cat', 'dog']")
    names = tuple(labels)
    if len(set(names)) < len(names):
        raise UsageError(f"labels: {some(sorted({name for name in names if names.count(name) > 1}))} named twice")
    return names


def classes_of(found: Found) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns class names and (N,) int64 labels; a name is a label by its place among the sorted names.

    Raises:
        DataError: a label is outside the names that the source gives.
    """
    values, names = found.values, found.names
    if names is None:
        every: list[Any] = [*values, *(value for _, value in found.skipped if value is not None)]
        distinct = sorted(set(every)) if all(isinstance(v, int) for v in every) else sorted({str(v) for v in every})
        labels = {value: label for label, value in enumerate(distinct)}
        text = bool(distinct) and isinstance(distinct[0], str)
        return tuple(map(str, distinct)), np.array([labels[str(v) if text else v] for v in values], np.int64)
    numbers = {name: label for label, name in enumerate(names)}
    try:
        labels_found = [numbers[value] if isinstance(value, str) else range(len(names))[value] for value in values]
    except (KeyError, IndexError):
        wrong = next(v for v in values if (v not in numbers if isinstance(v, str) else not 0 <= v < len(names)))
        raise DataError(f"{found.name}: label {wrong!r} is not among the {len(names)} classes {some(names)}") from None
    if any(isinstance(value, int) and value < 0 for value in values):
        raise DataError(f"{found.name}: label {min(v for v in values if isinstance(v, int))} is negative")
    return names, np.array(labels_found, np.int64)


def plain(labels: Any, name: str) -> list[str] | list[int]:
    """Returns labels as a list of names or of integers.

    Args:
        labels: (N,) or (N, 1) integers, whole floats, booleans, strings or bytes; or (N, K) one-hot rows.
        name: of the data set, for messages.

    Raises:
        DataError: they are of another kind.
    """
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "iufb":
        return _one_hot(array, name)
    if array.ndim != 1:
        raise DataError(f"{name}: labels have shape {array.shape}; expected (N,) or one-hot rows (N, classes)")
    if array.dtype.kind == "O":
        return _mixed(list(array), name)
    if array.dtype.kind in "US":
        return [_text(value) for value in array.tolist()]
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        raise DataError(f"{name}: labels are floating-point numbers; expected whole numbers or names")
    if array.dtype.kind not in "iufb":
        raise DataError(f"{name}: labels are of type {array.dtype}; expected whole numbers or names")
    return [int(value) for value in array.tolist()]


def _mixed(values: list[Any], name: str) -> list[str] | list[int]:
    if all(isinstance(value, int | np.integer) for value in values):
        return [int(value) for value in values]
    wrong = [value for value in values if not isinstance(value, str | bytes | int | np.integer)]
    if wrong:
        raise DataError(f"{name}: a label is {wrong[0]!r}; expected whole numbers or names")
    return [_text(value) for value in values]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _one_hot(array: np.ndarray, name: str) -> list[int]:
    if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
        raise DataError(
            f"{name}: labels of shape {array.shape} are not one-hot rows (a single 1 each); an image has one class here"
        )
    return [int(value) for value in array.argmax(axis=1)]
