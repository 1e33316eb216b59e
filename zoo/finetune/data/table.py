"""A CSV, TSV or Parquet file that names image files (or holds them) and their classes."""

from __future__ import annotations

import csv
import io
import json
import os
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.errors import DataError, UsageError
from zoo.finetune.data.dataset import PART_NAMES, Found, Skipped
from zoo.finetune.data.labels import plain
from zoo.finetune.data.notes import some
from zoo.finetune.data.read import Entry, read_files
from zoo.finetune.data.storage import collect, file_content

SUFFIXES = (".csv", ".tsv", ".parquet")
PATHS = ("path", "filepath", "file_path", "file", "file_name", "filename", "image_path", "image", "img")
LABELS = ("label", "class", "category", "target", "labels", "class_name")
PART_COLUMNS = ("split", "part", "set", "subset")

Columns = dict[str, list[Any]]


def read_table(path: Path, names: tuple[str, ...] | None, progress: bool) -> Found:
    """Reads the images that a table names; files are relative to the table's folder.

    Args:
        path: .csv, .tsv or .parquet with a header.
        names: class names of integer labels.
        progress: show a bar on a terminal.

    Raises:
        DataError: the table cannot be used; the message says why and what to do.
        UsageError: what reads Parquet is not installed.
    """
    columns, stored_names = _parquet(path) if path.suffix.lower() == ".parquet" else (_csv(path), None)
    return read_columns(str(path), path.parent, columns, names or stored_names, progress)


def read_columns(name: str, root: Path, columns: Columns, names: tuple[str, ...] | None, progress: bool) -> Found:
    """Reads the images of a table in memory.

    Args:
        name: of the table, for messages.
        root: folder that its paths are relative to.
        columns: their name -> one value per row.
        names: class names of integer labels.
        progress: show a bar on a terminal.

    Raises:
        DataError: the table cannot be used; the message says why and what to do.
    """
    notes: list[str] = []
    images = _column(name, columns, PATHS, "image files", notes)
    labels = _column(name, columns, LABELS, "classes", notes)
    given = next((columns[column] for column in columns if column.strip().casefold() in PART_COLUMNS), None)
    if not images:
        raise DataError(f"{name}: has no rows")
    parts = None if given is None else [_part(name, row, value) for row, value in enumerate(given)]
    values, empty = _values(name, labels, names)
    nameless = {row for row, image in enumerate(images) if _is_blank(image)} - empty
    rows = [row for row in range(len(images)) if row not in empty | nameless]
    if any(isinstance(image, bytes | dict) for image in images):
        found = _embedded(name, root, images, values, parts, rows, progress)
    else:
        found = _named(name, root, images, values, parts, rows, notes, progress)
    found.names = names
    found.skipped += [(Skipped(f"row {row + 2}", "no class given"), None) for row in sorted(empty)]
    found.skipped += [(Skipped(f"row {row + 2}", "no file named"), values[row]) for row in sorted(nameless)]
    found.notes += notes
    return found


def _named(
    name: str,
    root: Path,
    images: list[Any],
    values: list[Any],
    parts: list[str] | None,
    rows: list[int],
    notes: list[str],
    progress: bool,
) -> Found:
    entries = [Entry(_item(root, images[row]), values[row], parts[row] if parts else None) for row in rows]
    unique = list(dict.fromkeys(entries))
    if len(unique) < len(entries):
        notes.append(f"{len(entries) - len(unique)} row(s) repeat another row and count once.")
    found = read_files(name, root, unique, progress)
    missing = [skipped.path for skipped, _ in found.skipped if skipped.reason == "no such file"]
    if not found.items and len(missing) == len(unique):
        raise DataError(
            f"{name}: none of its {len(unique)} files exists, the first: {missing[0]!r}; paths are taken relative to "
            f"{root}"
        )
    return found


def _embedded(
    name: str,
    root: Path,
    images: list[Any],
    values: list[Any],
    parts: list[str] | None,
    rows: list[int],
    progress: bool,
) -> Found:
    """Images whose bytes are in the table, as Hugging Face writes them."""

    def samples() -> Any:
        for row in rows:
            yield row, file_content(images[row], root), values[row], parts[row] if parts else None

    return collect(name, samples(), total=len(rows), progress=progress)


def _item(root: Path, value: Any) -> str:
    """The path as it is named in messages and files: relative to the root where it lies below, forward slashes."""
    text = str(value).strip()
    if "://" in text:
        raise DataError(f"{text}: is an address; download the images first, and name the files")
    if "\\" in text and not (root / text).exists():
        text = text.replace("\\", "/")
    if os.path.isabs(text):
        file = Path(os.path.normpath(text))
        below = file.is_relative_to(root.absolute())
        return file.relative_to(root.absolute()).as_posix() if below else file.as_posix()
    return posixpath.normpath(text)


def _values(name: str, labels: list[Any], names: tuple[str, ...] | None) -> tuple[list[Any], set[int]]:
    """Class of each row, and the rows without one."""
    empty = {row for row, value in enumerate(labels) if _is_blank(value)}
    stated = plain([value for row, value in enumerate(labels) if row not in empty], name)
    if names and all(isinstance(value, str) and value.lstrip("-").isdecimal() for value in stated):
        stated = stated if set(stated) <= set(names) else [int(value) for value in stated]
    order = iter(stated)
    return [None if row in empty else next(order) for row in range(len(labels))], empty


def _is_blank(value: Any) -> bool:
    """Whether a cell is empty; pandas has NaN there, Parquet None."""
    return (
        value is None or (isinstance(value, float) and value != value) or (isinstance(value, str) and not value.strip())
    )


def _part(name: str, row: int, value: Any) -> str:
    part = PART_NAMES.get(str(value).strip().casefold())
    if part is None:
        raise DataError(f"{name}: row {row + 2}: part {value!r}; expected one of {', '.join(PART_NAMES)}")
    return part


def _column(name: str, columns: Columns, known: tuple[str, ...], what: str, notes: list[str]) -> list[Any]:
    folded = {column.strip().casefold(): column for column in columns}
    present = [column for column in known if column in folded]
    if not present:
        raise DataError(f"{name}: no column of {what} among {some(list(columns))}; expected one of {', '.join(known)}")
    if len(present) > 1:
        others = some([folded[column] for column in present[1:]])
        notes.append(f"Column {folded[present[0]]!r} gives the {what}, not {others}.")
    return columns[folded[present[0]]]


def _csv(path: Path) -> Columns:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    first = text.lstrip().split("\n", 1)[0]
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    try:
        # Not by lines: a quoted cell may have several.
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(row)]
    except csv.Error as error:
        raise DataError(f"{path}: is no table: {error}") from None
    if not rows:
        raise DataError(f"{path}: is empty; expected a first line such as path,label")
    header, *rows = _trimmed(rows)
    if len(set(header)) < len(header):
        raise DataError(f"{path}: the first line names a column twice: {some(header)}")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise DataError(f"{path}: row {number + 2} has {len(row)} cells, the first line has {len(header)}")
    return {name: [row[column] for row in rows] for column, name in enumerate(header)}


def _trimmed(rows: list[list[str]]) -> list[list[str]]:
    """The rows without columns at their end that have neither a name nor a cell: spreadsheets write such."""
    width = max((number for number, name in enumerate(rows[0], 1) if name.strip()), default=0)
    return [row[:width] for row in rows] if not any(any(row[width:]) for row in rows) else rows


def _parquet(path: Path) -> tuple[Columns, tuple[str, ...] | None]:
    """The columns needed, and the class names that Hugging Face puts into the file."""
    read = _parquet_reader()
    try:
        return read(path)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: is no sound Parquet file: {str(error).splitlines()[0]}") from error


def _parquet_reader() -> Callable[[Path], tuple[Columns, tuple[str, ...] | None]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        try:
            import pandas
        except ImportError:
            raise UsageError(
                "Parquet files need pyarrow or pandas; install it: pip install 'convnet-zoo[data]'"
            ) from None

        return lambda path: ({str(k): list(v) for k, v in pandas.read_parquet(path).items()}, None)

    def read(path: Path) -> tuple[Columns, tuple[str, ...] | None]:
        schema = parquet.read_schema(path)
        wanted = {*PATHS, *LABELS, *PART_COLUMNS}
        chosen = [name for name in schema.names if name.strip().casefold() in wanted]
        if not chosen:
            return {name: [] for name in schema.names}, None
        table = parquet.read_table(path, columns=chosen)
        return table.to_pydict(), _stored_names(schema.metadata)

    return read


def _stored_names(metadata: dict[bytes, bytes] | None) -> tuple[str, ...] | None:
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        found = [features[name]["names"] for name in features if name in LABELS and "names" in features[name]]
        return tuple(map(str, found[0])) if len(found) == 1 else None
    except (KeyError, TypeError, ValueError):
        return None
