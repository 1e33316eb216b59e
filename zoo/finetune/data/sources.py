"""Which reader a source needs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DataError, UsageError
from zoo.finetune.data import arrays, folder, hub, streams, table
from zoo.finetune.data.checks import finish
from zoo.finetune.data.dataset import Dataset, Found
from zoo.finetune.data.labels import check_label_names
from zoo.finetune.data.notes import is_text, shown
from zoo.finetune.data.read import SUFFIXES

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")
ACCEPTED = (
    "a folder with one subfolder of images per class, a .csv, .tsv or .parquet table, (images, labels), a "
    "pandas DataFrame, a tf.data.Dataset, a Keras PyDataset, a PyTorch data set, or a Hugging Face Dataset"
)


def index(source: Any, *, labels: Sequence[str] | None = None, trained: bool = True, progress: bool = True) -> Dataset:
    """Reads every image of a source once.

    Args:
        source: a folder with one subfolder of images per class, or with `train`, `val` and `test` folders of that kind;
            a CSV, TSV or Parquet file with the columns path and label (and split, if there is one); `(images, labels)`
            or a dictionary of them, uint8; a pandas DataFrame with the columns of a table; a tf.data.Dataset, Keras
            PyDataset or PyTorch data set of (image, label); a Hugging Face Dataset or DatasetDict. A `Dataset` is
            returned as it is.
        labels: class names of integer labels, in place of those that the source carries.
        trained: whether it has to be such that a classifier can be trained on it; to measure one, any images do.
        progress: show a bar on a terminal.

    Returns:
        The readable images with their classes, what could not be read, and what a person should know.

    Raises:
        DataError: there is no image, or they cannot be trained on; the message says why and what to do.
        UsageError: the source is of no kind that zoo reads, or what reads it is not installed.
    """
    names = check_label_names(labels)
    if isinstance(source, Dataset):
        return source if names is None else _renamed(source, names)
    if isinstance(source, str | os.PathLike):
        if not os.fspath(source):
            raise UsageError("data: an empty name; name a folder with one subfolder of images per class, or a table")
        found = _read_path(Path(source), names, progress, trained)
    else:
        found = _read_object(source, names, progress)
        found.names = names or found.names
        if found.names is None and found.values and isinstance(found.values[0], int):
            found.notes.append(
                "Classes are called by their numbers, as the source has no names; labels=[...] gives them."
            )
    return finish(found, trained=trained)


def _read_path(path: Path, names: tuple[str, ...] | None, progress: bool, trained: bool) -> Found:
    if not is_text(str(path)):
        raise DataError(f"{shown(str(path))}: has a name that is no UTF-8 text; rename it")
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise DataError(f"{shown(str(path))}: cannot be read: {error.strerror or error}") from None
    if is_folder:
        if names is not None:
            raise UsageError(f"labels: {path} is a folder, whose classes are called by its subfolders; leave it out")
        return folder.read_folder(path, progress, trained=trained)
    if not path.exists():
        raise DataError(
            f"{shown(str(path))}: does not exist; expected a folder with one subfolder of images per class, or a table"
        )
    suffix = path.suffix.lower()
    if suffix in table.SUFFIXES:
        return table.read_table(path, names, progress)
    if suffix in ARCHIVES:
        raise DataError(f"{path}: is an archive; unpack it and name the folder that comes out")
    if suffix in (".npz", ".npy", ".h5", ".hdf5", ".pkl", ".mat"):
        raise DataError(f"{path}: load it yourself and pass (images, labels) from Python")
    if suffix in SUFFIXES:
        raise DataError(f"{path}: is a single image; expected a folder with one subfolder of images per class")
    raise DataError(
        f"{path}: is a file; expected a folder with one subfolder of images per class, or a table "
        f"({', '.join(table.SUFFIXES)})"
    )


def _read_object(source: Any, names: tuple[str, ...] | None, progress: bool) -> Found:
    if hub.is_hub(source):
        return hub.read_hub(source, progress)
    if streams.is_tf_data(source):
        return streams.read_tf_data(source, progress)
    if streams.is_keras(source):
        return streams.read_keras(source, progress)
    if hasattr(source, "columns") and hasattr(source, "to_csv"):
        columns = {str(name): list(source[name]) for name in source.columns}
        return table.read_columns(type(source).__name__, Path(), columns, names, progress)
    if isinstance(source, Mapping):
        return arrays.read_mapping(source, progress)
    if isinstance(source, tuple) or (isinstance(source, list) and not _are_pairs(source)):
        if len(source) != 2:
            raise DataError(f"arrays: {len(source)} of them; expected (images, labels)")
        return arrays.read_arrays(source[0], source[1], progress)
    if isinstance(source, np.ndarray):
        raise DataError("arrays: images without labels; pass (images, labels)")
    if hasattr(source, "batch_sampler") and hasattr(source, "dataset"):
        raise DataError(f"{type(source).__name__}: pass the data set it loads from (its .dataset), not the loader")
    if streams.is_map_style(source):
        return streams.read_map_style(source, progress)
    if hasattr(source, "__iter__"):
        raise DataError(f"{type(source).__name__}: has no length; pass list(...) of its (image, label) pairs")
    raise UsageError(f"data: expected {ACCEPTED}; got {type(source).__name__}")


def _are_pairs(source: list[Any]) -> bool:
    return bool(source) and all(isinstance(item, tuple) and len(item) == 2 for item in source)


def _renamed(dataset: Dataset, names: tuple[str, ...]) -> Dataset:
    if len(names) != len(dataset.classes):
        raise UsageError(f"labels: {len(names)} names for the {len(dataset.classes)} classes of {dataset.name}")
    return replace(dataset, classes=names)
