"""A folder with one subfolder per class: what is in it, what is broken, and which images are held out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from zoo.errors import DataError, UsageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif"})
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 100_000_000
"""Larger pictures are skipped: a file of a few kilobytes can claim to be one that fills the memory."""

_NOT_A_CLASS = frozenset({"__MACOSX", "__pycache__"})
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Skipped:
    """A file that looked like an image and could not be read."""

    path: str
    """Relative to the data folder, with forward slashes."""
    reason: str


@dataclass(frozen=True)
class Dataset:
    """The readable images of a folder, class by class.

    Args:
        root: the folder.
        classes: class names, sorted; the position is the label.
        paths: image files, relative to `root`.
        labels: (N,) int64, the class of each path.
        sizes: (N, 2) int64, width and height in pixels as stored.
        skipped: files that could not be read.
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    sizes: np.ndarray
    skipped: tuple[Skipped, ...]

    def counts(self) -> dict[str, int]:
        """Returns class name -> number of readable images."""
        numbers = np.bincount(self.labels, minlength=len(self.classes))
        return {name: int(number) for name, number in zip(self.classes, numbers, strict=True)}


def index(folder: str | os.PathLike[str], *, progress: bool = True) -> Dataset:
    """Opens every image of a folder that has one subfolder per class.

    Args:
        folder: the folder; hidden files and folders in it are ignored, class names are its subfolders' names.
        progress: show a bar on a terminal.

    Returns:
        The readable images, and the files that are broken.

    Raises:
        DataError: the folder cannot be trained on; the message says why and what to do.
    """
    root = Path(folder)
    files = _class_files(root)
    every = [path for paths in files.values() for path in paths]
    with warnings.catch_warnings():
        # Pillow warns about large pictures and odd metadata; what matters of it is in `reason`.
        warnings.simplefilter("ignore")
        found = list(threaded(_probe, every, "reading", progress))
    skipped, kept, labels, sizes = [], [], [], []
    classes = tuple(files)
    label_of = {path: label for label, paths in enumerate(files.values()) for path in paths}
    for path, result in zip(every, found, strict=True):
        relative = path.relative_to(root).as_posix()
        if isinstance(result, str):
            skipped.append(Skipped(relative, result))
        else:
            kept.append(relative)
            labels.append(label_of[path])
            sizes.append(result)
    dataset = Dataset(
        root,
        classes,
        tuple(kept),
        np.array(labels, np.int64),
        np.array(sizes, np.int64).reshape(-1, 2),
        tuple(skipped),
    )
    _check_counts(dataset)
    return dataset


def split(dataset: Dataset, validation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (training, validation) positions in `dataset.paths`: of each class a share is held out, at least one.

    The same files, share and seed give the same split on every machine.

    Args:
        dataset: what to split.
        validation: share of each class to hold out, between 0 and 1.
        seed: decides which images.

    Raises:
        UsageError: `validation` is not between 0 and 1.
    """
    if not 0 < validation < 1:
        raise UsageError(f"validation={validation}: expected a share of the images between 0 and 1, such as 0.2")
    training, held_out = [], []
    for label in range(len(dataset.classes)):
        members = np.flatnonzero(dataset.labels == label)
        order = np.random.default_rng([seed, label]).permutation(members)
        number = min(max(1, round(validation * len(members))), len(members) - 1)
        held_out.append(np.sort(order[:number]))
        training.append(np.sort(order[number:]))
    return np.concatenate(training), np.concatenate(held_out)


def threaded(work: Callable[[_Item], _Result], items: Iterable[_Item], what: str, progress: bool) -> Iterator[_Result]:
    """Yields `work(item)` in order, from a pool of threads, with a bar on a terminal."""
    from tqdm import tqdm

    items = list(items)
    with ThreadPoolExecutor(max_workers=min(16, 2 * (os.cpu_count() or 1))) as pool:
        yield from tqdm(pool.map(work, items), what, len(items), leave=False, disable=None if progress else True)


def _class_files(root: Path) -> dict[str, list[Path]]:
    """Class name -> its image files, both sorted; every wrong shape of the folder is refused."""
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{root}: {state}; expected a folder with one subfolder of images per class")
    try:
        entries = _visible(root)
        folders = [entry for entry in entries if entry.is_dir() and entry.name not in _NOT_A_CLASS]
        files = {folder.name: [path for path in _visible(folder) if _is_image(path)] for folder in folders}
    except OSError as error:
        raise DataError(f"{root}: cannot be listed: {error.strerror or error}; check its permissions") from error
    if not any(files.values()):
        loose = sum(map(_is_image, entries))
        if loose:
            raise DataError(f"{root}: {loose} image(s) lie directly in it; put them in one subfolder per class")
        raise DataError(
            f"{root}: holds no images; expected one subfolder per class with {', '.join(sorted(SUFFIXES))} files in it"
        )
    _check_names(root, files)
    return files


def _check_names(root: Path, files: dict[str, list[Path]]) -> None:
    folded: dict[str, str] = {}
    for name in files:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise DataError(f"{root}: classes {other!r} and {name!r} differ only in case; merge or rename one of them")
    if len(files) == 1:
        raise DataError(
            f"{root}: has one class only ({next(iter(files))!r}); a classifier needs two or more subfolders"
        )
    for name, paths in files.items():
        if not paths:
            nested = any(_is_image(path) for path in (root / name).rglob("*"))
            hint = "its images lie in subfolders: move them up" if nested else "add some, or remove the folder"
            raise DataError(f"{root / name}: class {name!r} holds no images; {hint}")


def _check_counts(dataset: Dataset) -> None:
    for name, number in dataset.counts().items():
        broken = [skip for skip in dataset.skipped if skip.path.split("/", 1)[0] == name]
        also = f" ({len(broken)} cannot be read, the first: {broken[0].path}: {broken[0].reason})" if broken else ""
        if number == 0:
            raise DataError(f"{dataset.root / name}: class {name!r} has no readable image{also}; add some or remove it")
        if number == 1:
            raise DataError(
                f"{dataset.root / name}: class {name!r} has one readable image{also}, too few to train on one and "
                f"check on another; add at least one more, or remove the class"
            )


def _visible(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _probe(path: Path) -> tuple[int, int] | str:
    """Width and height of an image that decodes to its last row, or why it does not."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            size = image.size
            if size[0] * size[1] > MAX_PIXELS:
                return f"{size[0]} x {size[1]} pixels, more than {MAX_PIXELS:,}"
            # JPEGs are decoded at a fraction of their size: every byte is still read.
            image.draft("RGB", (256, 256))
            image.load()
            return size
    except Image.DecompressionBombError:
        return f"more than {MAX_PIXELS:,} pixels"
    except UnidentifiedImageError:
        return "empty file" if path.stat().st_size == 0 else "not an image, or damaged at its beginning"
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        return f"damaged: {str(error) or type(error).__name__}".splitlines()[0]
