"""Model files of other frameworks, one module per format: `read(...)` gives a Graph, or arrays if there is none."""

from __future__ import annotations

import contextlib
import glob
import importlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from zoo.errors import FormatError, UsageError, ZooError
from zoo.formats.options import Options

if TYPE_CHECKING:
    import numpy as np

    from zoo.graph import Graph

Model: TypeAlias = "Graph | dict[str, np.ndarray]"

# Format -> the kinds of file it is made of, in the order in which its `read` takes them; the first is never missing.
PARTS: dict[str, tuple[str, ...]] = {
    "caffe": ("prototxt", "caffemodel"),
    "checkpoint": ("index", "data"),
    "gluon": ("params",),
    "keras": ("keras",),
    "mxnet": ("symbol", "params"),
    "numpy": ("arrays",),
    "onnx": ("onnx",),
    "pytorch": ("state dict",),
    "tensorflow": ("graph",),
    "torch7": ("t7",),
}
_SEVERAL = {"data", "keras"}
"""Kinds of which a model may have more than one file."""
_GRAPHLESS = ("caffe_mean", "checkpoint", "gluon", "numpy", "pytorch")
"""Formats that hold names and arrays only."""
_SUFFIXES = {
    ".index": "index",
    ".ckpt": "index",
    ".prototxt": "prototxt",
    ".caffemodel": "caffemodel",
    ".keras": "keras",
    ".params": "params",
    ".npy": "arrays",
    ".npz": "arrays",
    ".onnx": "onnx",
    ".pb": "graph",
    ".t7": "t7",
    ".th": "t7",
    ".pth": "state dict",
    ".pt": "state dict",
    ".bin": "state dict",
    ".tar": "state dict",
    ".safetensors": "state dict",
}


def read(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    format: str | None = None,
    options: Options | None = None,
) -> Model:
    """Reads the files of one model.

    Args:
        paths: one file, or those that make up the model (`deploy.prototxt`, `x.caffemodel`), in any order; a SavedModel
            is a folder.
        format: a key of `PARTS`; default: told from the files' first bytes and names.
        options: what the files do not say.

    Returns:
        A Graph, or name -> array for formats that carry no graph.

    Raises:
        UsageError: the format is unknown, or needs other files.
        UnsupportedError: the network has operations without a counterpart; all are named.
        FormatError: a file is damaged, or its format cannot be told.
    """
    format, files = told(paths, format)
    return read_parts(format, files, options)


def told(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], format: str | None = None
) -> tuple[str, list[Path]]:
    """Returns the format of a model's files, and the files in the order in which the format's reader takes them.

    Args:
        paths: as in `read`, and so is `format`; errors are those of `read`.
    """
    given = [Path(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    files = [file for path in given for file in _of_prefix(path)]
    if not files:
        raise UsageError("no files given; expected the files of one model")
    if format is not None and format not in PARTS:
        raise UsageError(f"unknown format {format!r}; expected one of: {', '.join(PARTS)}")
    kinds = [_kind(path) for path in files]
    if format is None:
        format = _format_of(kinds)
    return format, _in_order(format, files, kinds)


def read_parts(format: str, files: Sequence[Path], options: Options | None = None) -> Model:
    """Reads files whose format and order are known; see `read`."""
    if options is not None and options.input is not None and format != "tensorflow":
        raise UsageError(f"{files[0].name}: input= (--input) is for TensorFlow graphs, this is of format {format}")
    reader = importlib.import_module(f"zoo.formats.{format}")
    if format not in _GRAPHLESS:
        return reader.read(*files, options=options or Options())  # type: ignore[no-any-return]
    if options not in (None, Options()):
        raise UsageError(f"{files[0].name}: holds weights without a graph; leave until and input_shape out")
    return reader.read(*files)  # type: ignore[no-any-return]


def _format_of(kinds: list[str]) -> str:
    """Returns the format that the first file is of; where several are, one that all are of."""
    formats = [name for name, parts in PARTS.items() if kinds[0] in parts]
    return next((name for name in formats if set(kinds) <= set(PARTS[name])), formats[0])


def _in_order(format: str, files: list[Path], kinds: list[str]) -> list[Path]:
    """Returns the files as the format's `read` takes them; a single file of unknown kind is what was asked for."""
    parts = PARTS[format]
    if len(files) == len(parts) == 1:
        return files
    loose = [path for path, kind in zip(files, kinds, strict=True) if kind not in parts]
    ordered = []
    for part in parts:
        found = [path for path, kind in zip(files, kinds, strict=True) if kind == part]
        if not found and len(loose) == 1:  # told by what the others are
            found = [loose.pop()]
        if (len(found) > 1 and part not in _SEVERAL) or (not found and part == parts[0]):
            loose = files
            break
        ordered += sorted(found, key=lambda path: path.name)
    if loose:
        names = ", ".join(path.name for path in files)
        raise UsageError(f"{names}: a model of format {format} is {' and '.join(f'one {part} file' for part in parts)}")
    return ordered


def _of_prefix(path: Path) -> list[Path]:
    """A checkpoint is called by how its files' names begin: `model.ckpt` for `model.ckpt.index` and the others."""
    index = path.with_name(f"{path.name}.index")
    if path.exists() or not index.is_file():
        return [path]
    return [index, *sorted(path.parent.glob(f"{glob.escape(path.name)}.data-*-of-*"))]


def libraries(paths: Sequence[Path], format: str | None) -> list[str]:
    """Returns the modules that reading some files imports late and that start programs as they are imported."""
    files, kinds = [file for path in paths for file in _of_prefix(path)], {format}
    for path in files:
        with contextlib.suppress(ZooError):  # told when it is read
            kinds.add(_kind(path))
    found = []
    if kinds & {"checkpoint", "index"} or any(path.is_dir() or path.name == "saved_model.pb" for path in files):
        found.append("tensorflow")
    if "keras" in kinds or any(_begins(path) in (b"\x89HDF", b"PK\x03\x04") for path in files):
        found.append("h5py")
    return found


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError:
        return b""


def _kind(path: Path) -> str:
    """Tells a file by its first bytes; its name decides between kinds that have no mark of their own."""
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "graph"
        raise UsageError(f"{path.name}: is a folder; expected files, or a SavedModel with its saved_model.pb")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror or error}") from error
    from zoo.formats import checkpoint

    if checkpoint.is_index(path):
        return "index"
    if re.search(r"\.data-\d{5}-of-\d{5}\Z", path.name):
        return "data"
    found = _marked(head) or _SUFFIXES.get(path.suffix.lower())
    if found:
        return found
    if head.startswith(b"\x89HDF\r\n\x1a\n"):  # unless its name says that it is Caffe's
        return "keras"
    if _is_text(head):
        return "symbol" if head.lstrip()[:1] == b"{" else "prototxt"
    # A caffemodel begins with the network's name (field 1) or a layer (fields 2 and 100), each a length and bytes.
    if head.startswith((b"\x0a", b"\x12", b"\xa2\x06")):
        return "caffemodel"
    raise FormatError(f"{path.name}: its format cannot be told; give format=, one of: {', '.join(PARTS)}")


def _marked(head: bytes) -> str | None:
    """Tells kinds that begin in a way no other does."""
    from zoo.formats import safetensors  # the same state dict in another container: `pytorch.read` takes both

    if head.startswith(b"PK\x03\x04") and head[30:].startswith(_KERAS):
        return "keras"
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]  # the name of an archive's first member
    if head.startswith(b"\x93NUMPY") or (head.startswith(b"PK\x03\x04") and first.endswith(b".npy")):
        return "arrays"
    if head.startswith((b"PK\x03\x04", b"\x80")) or safetensors.told_by(head):
        return "state dict"
    if head.startswith(b"\x12\x01\0\0\0\0\0\0"):  # MXNet's kMXAPINDArrayListMagic
        return "params"
    if head[:3] == b"\x08\x01\x12":  # saved_model_schema_version 1, then a MetaGraphDef
        return "graph"
    if head[:1] == b"\x08" and 3 <= head[1] <= 32 and head[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42"):
        return "onnx"  # ir_version, then another field of ModelProto
    return None


_KERAS = (b"metadata.json", b"config.json", b"model.weights.h5")  # one of them is the first member of a .keras file


def _is_text(head: bytes) -> bool:
    return bool(head) and not any(byte < 9 or 13 < byte < 32 for byte in head)
