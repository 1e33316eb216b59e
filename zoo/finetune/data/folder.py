"""A folder with one subfolder of images per class, or with a train and a validation folder of that kind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import DataError
from zoo.finetune.data.dataset import PART_NAMES, Found
from zoo.finetune.data.notes import is_text, shown, some
from zoo.finetune.data.read import SUFFIXES, UNREAD, Entry, read_files
from zoo.finetune.data.table import SUFFIXES as TABLES

_NOT_A_CLASS = frozenset({"__MACOSX", "__pycache__"})


def read_folder(root: Path, progress: bool, *, trained: bool = True) -> Found:
    """Reads every image of a folder; hidden files and folders in it are ignored, class names are the subfolders'.

    Raises:
        DataError: the folder has a shape that cannot be trained on; the message says why and what to do.
    """
    try:
        folders = [path for path in _visible(root) if path.is_dir()]
        unread: list[Path] = []
        images = {folder: sorted(_below(folder, unread)) for folder in folders}
        loose = [path for path in _visible(root) if _is_image(path)]
    except OSError as error:
        place = error.filename or root
        raise DataError(f"{place}: cannot be listed: {error.strerror or error}; check its permissions") from error
    for folder in folders:
        if not is_text(folder.name):
            raise DataError(f"{root}: the folder '{shown(folder.name)}' has a name that is no UTF-8 text; rename it")
    if not any(images.values()):
        _refuse_empty(root, loose, unread)
    parts = _parts(root, images)
    notes = [f"{len(loose)} image(s) lie directly in the folder, in no class, and are left out."] if loose else []
    if parts is None:
        if trained:
            _check_classes(root, images, unread)
        entries = [
            Entry(path.relative_to(root).as_posix(), folder.name) for folder in images for path in images[folder]
        ]
        names = {folder.name for folder in images}
        notes += _nested(root, images)
    else:
        entries, names = [], set()
        notes += [
            f"{folder.name!r} holds no images: there is no {PART_NAMES[folder.name.casefold()]} part."
            for folder in images
            if not images[folder] and folder.name.casefold() in PART_NAMES
        ]
        for part, folder in parts.items():
            inside, also = _part(root, part, folder, images[folder], unread)
            entries += inside
            notes += also
            names |= {str(entry.value) for entry in inside}
    if unread:
        notes.append(
            f"{len(unread)} file(s) of formats that are not read are left out: {_by_kind(unread)}; convert them to "
            f"JPEG or PNG."
        )
    found = read_files(str(root), root, entries, progress)
    found.names, found.complete, found.notes = tuple(sorted(names)), True, [*notes, *found.notes]
    return found


def _parts(root: Path, images: dict[Path, list[Path]]) -> dict[str, Path] | None:
    """Part -> its folder, where the folder is divided that way."""
    filled = [folder for folder in images if images[folder]]
    named = [folder for folder in filled if folder.name.casefold() in PART_NAMES]
    divided = [folder for folder in named if any(len(path.relative_to(folder).parts) > 1 for path in images[folder])]
    kinds = {PART_NAMES[folder.name.casefold()] for folder in divided}
    if named and not divided and len(named) == len(filled):
        names = [folder.name for folder in named]
        raise DataError(f"{root}: images lie directly in {some(names)}; put them in one subfolder per class there")
    if not divided or (len(named) < len(filled) and (len(kinds) < 2 or "training" not in kinds)):
        if "training" in kinds:
            _check_twins(root, images, divided)
        return None  # `train` may be a class: there are pictures of trains
    others = [folder.name for folder in filled if folder not in named]
    if others:
        raise DataError(
            f"{root}: {some([folder.name for folder in named])} are parts of a divided data set, and {some(others)} "
            f"are not; move them out, or into a part"
        )
    parts: dict[str, Path] = {}
    for folder in named:
        part = PART_NAMES[folder.name.casefold()]
        if part in parts:
            raise DataError(f"{root}: {parts[part].name!r} and {folder.name!r} both are the {part} part; merge them")
        parts[part] = folder
    if "training" not in kinds:
        raise DataError(
            f"{root}: has {some([folder.name for folder in named])} and no folder 'train' with one subfolder of images "
            f"per class; add it"
        )
    return parts


def _check_twins(root: Path, images: dict[Path, list[Path]], divided: list[Path]) -> None:
    """A folder with the same subfolders as `train` is a part of another name, hardly a class."""

    def inner(folder: Path) -> set[str]:
        return {path.relative_to(folder).parts[0] for path in images[folder] if path.parent != folder}

    train = next(folder for folder in divided if PART_NAMES[folder.name.casefold()] == "training")
    for folder in images:
        if folder not in divided and len(inner(folder) & inner(train)) > 1:
            raise DataError(
                f"{root}: {folder.name!r} has the same subfolders as {train.name!r}: {some(sorted(inner(folder)))}; "
                f"call it 'val' or 'test' if it is a part, and {train.name!r} otherwise if that is a class"
            )


def _part(root: Path, part: str, folder: Path, paths: list[Path], unread: list[Path]) -> tuple[list[Entry], list[str]]:
    """The images of one part, and what to say of it."""
    inside = [path for path in paths if len(path.relative_to(folder).parts) > 1]
    entries = [Entry(path.relative_to(root).as_posix(), path.relative_to(folder).parts[0], part) for path in inside]
    classes: dict[Path, list[Path]] = {path: [] for path in _visible(folder) if path.is_dir()}
    for path in inside:
        classes[folder / path.relative_to(folder).parts[0]].append(path)
    if part == "training":
        _check_filled(classes, unread)
    notes = _nested(root, classes)
    loose = len(paths) - len(inside)
    if loose:
        notes.append(f"{loose} image(s) lie directly in {folder.name!r}, in no class, and are left out.")
    return entries, notes


def _check_classes(root: Path, images: dict[Path, list[Path]], unread: list[Path]) -> None:
    if len(images) == 1:
        (folder,) = images
        inner = sorted({path.relative_to(folder).parts[0] for path in images[folder] if path.parent != folder})
        hint = f"; its subfolders {some(inner)} hold images: did you mean {folder}?" if len(inner) > 1 else ""
        raise DataError(
            f"{root}: has one class only ({folder.name!r}); a classifier needs two or more subfolders{hint}"
        )
    _check_filled(images, unread)


def _check_filled(images: dict[Path, list[Path]], unread: list[Path]) -> None:
    for folder, paths in images.items():
        if not paths:
            kinds = sorted({path.suffix.lower() for path in unread if path.is_relative_to(folder)})
            hint = f"convert its {', '.join(kinds)} files to JPEG or PNG" if kinds else "add some"
            raise DataError(f"{folder}: class {folder.name!r} holds no images; {hint}, or remove the folder")


def _nested(root: Path, images: dict[Path, list[Path]]) -> list[str]:
    notes = []
    for folder, paths in images.items():
        deeper = [path for path in paths if path.parent != folder]
        if deeper:
            below = sorted({path.relative_to(folder).parts[0] for path in deeper})
            notes.append(
                f"{len(deeper)} image(s) in deeper folders of {folder.relative_to(root).as_posix()!r} ({some(below)}) "
                f"count as class {folder.name!r}."
            )
    return notes


def _refuse_empty(root: Path, loose: list[Path], unread: list[Path]) -> None:
    if loose:
        raise DataError(f"{root}: {len(loose)} image(s) lie directly in it; put them in one subfolder per class")
    tables = [path.name for path in _visible(root) if path.suffix.lower() in TABLES]
    if tables:
        raise DataError(f"{root}: holds no images in subfolders, but {some(tables)}; name the table itself")
    if unread:
        raise DataError(f"{root}: holds no images but {_by_kind(unread)}; convert them to JPEG or PNG")
    kinds = ", ".join(sorted(SUFFIXES))
    raise DataError(f"{root}: holds no images; expected one subfolder per class with {kinds} files in it")


def _by_kind(paths: list[Path]) -> str:
    kinds = Counter(path.suffix.lower() for path in paths)
    return ", ".join(f"{kind} ({number})" for kind, number in sorted(kinds.items()))


def _visible(folder: Path) -> list[Path]:
    entries = (path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in _NOT_A_CLASS)
    return sorted(entries, key=lambda path: path.name)


def _below(folder: Path, unread: list[Path]) -> Iterator[Path]:
    """Images in a folder and in those below it; links are followed, each folder once. `unread` gets the others."""
    # What a link back to the data or above it leads to is no part of this folder.
    above = [os.stat(place) for place in (folder.parent, *folder.parent.resolve().parents)]
    seen = {(state.st_dev, state.st_ino) for state in above}

    def raise_it(error: OSError) -> None:
        raise error

    for place, inner, names in os.walk(folder, followlinks=True, onerror=raise_it):
        state = os.stat(place)
        if (state.st_dev, state.st_ino) in seen and state.st_ino:
            inner.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in _NOT_A_CLASS)
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if _is_image(path):
                yield path
            elif path.suffix.lower() in UNREAD:
                unread.append(path)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()
