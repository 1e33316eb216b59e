"""Hugging Face `datasets`: a Dataset, or a DatasetDict with its splits. The library is not imported here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zoo.errors import DataError
from zoo.finetune.data.dataset import PART_NAMES, Found
from zoo.finetune.data.labels import plain
from zoo.finetune.data.notes import some
from zoo.finetune.data.storage import Sample, collect, file_content
from zoo.finetune.data.table import LABELS

IMAGES = ("image", "img", "images", "picture", "photo")


def is_hub(source: Any) -> bool:
    """Whether it is a Dataset or a DatasetDict of the `datasets` library."""
    if isinstance(source, Mapping):
        return bool(source) and all(is_hub(part) for part in source.values())
    return hasattr(source, "features") and hasattr(source, "column_names")


def read_hub(source: Any, progress: bool) -> Found:
    """Reads the images of one data set, or of the splits train, validation and test.

    Raises:
        DataError: it streams, or has no column of images or of classes.
    """
    name = f"datasets.{type(source).__name__}"
    notes: list[str] = []
    if isinstance(source, Mapping):
        parts = {split: PART_NAMES[split] for split in source if split in PART_NAMES}
        others = [split for split in source if split not in parts]
        if "training" not in parts.values():
            raise DataError(f"{name}: has the splits {some(list(source))}; expected one named 'train'")
        if others:
            notes.append(f"Splits {some(others)} are left out: neither train, validation nor test.")
        sources: list[tuple[Any, str | None]] = [(source[split], part) for split, part in parts.items()]
    else:
        sources = [(source, None)]
    for one, _ in sources:
        if not hasattr(one, "__len__"):
            raise DataError(f"{name}: streams; load it without streaming=True")
    features = sources[0][0].features
    image, label = _image_column(name, features), _label_column(name, features)
    unlabelled: list[int] = []
    found = collect(
        name,
        _samples(name, sources, image, label, unlabelled),
        total=sum(len(one) for one, _ in sources),
        progress=progress,
    )
    if unlabelled:
        notes.append(f"{len(unlabelled)} image(s) have no label and are left out.")
    names = getattr(features[label], "names", None)
    found.names = tuple(map(str, names)) if names else None
    found.notes += notes
    return found


def _samples(
    name: str, sources: list[tuple[Any, str | None]], image: str, label: str, unlabelled: list[int]
) -> Iterator[Sample]:
    number = -1
    for source, part in sources:
        feature = source.features[image]
        if hasattr(source, "cast_column") and getattr(feature, "decode", False):
            source = source.cast_column(image, type(feature)(decode=False))  # the file's own bytes, broken or not
        for row in source:
            number += 1
            value = row[label]
            if value is None or value == -1:
                unlabelled.append(number)
                continue
            yield number, file_content(row[image]), plain([value], name)[0], part


def _image_column(name: str, features: Mapping[str, Any]) -> str:
    found = [column for column, feature in features.items() if type(feature).__name__ == "Image"]
    found = found or [column for column in features if column.casefold() in IMAGES]
    return _only(name, found, features, "images")


def _label_column(name: str, features: Mapping[str, Any]) -> str:
    found = [column for column, feature in features.items() if type(feature).__name__ == "ClassLabel"]
    usual = [column for column in features if column.casefold() in LABELS]
    if len(found) > 1:
        found = [column for column in found if column in usual] or found
    return _only(name, found or usual, features, "classes")


def _only(name: str, found: list[str], features: Mapping[str, Any], what: str) -> str:
    if not found:
        raise DataError(f"{name}: no column of {what} among {some(list(features))}; rename one with rename_column")
    if len(found) > 1:
        raise DataError(f"{name}: columns {some(found)} all hold {what}; keep one with remove_columns")
    return found[0]
