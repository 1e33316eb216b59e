"""Model files of other frameworks, one module per format: `read(...)` gives a Graph, or arrays if there is none."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from zoo.errors import FormatError, UnsupportedError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from zoo.graph import Graph

Model: TypeAlias = "Graph | dict[str, np.ndarray]"


def read(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], format: str | None = None) -> Model:
    """Reads the files of one model.

    Args:
        paths: one file, or those that make up the model (`deploy.prototxt`, `x.caffemodel`), in any order.
        format: `caffe` or `pytorch`; default: told from the files' first bytes.

    Returns:
        A Graph, or name -> array for formats that carry no graph.

    Raises:
        UsageError: the format is unknown, or needs other files.
        FormatError: a file is damaged, or its format cannot be told.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files = [Path(path) for path in given]
    if not files:
        raise UsageError("no files given; expected the files of one model")
    if format is not None and format not in READERS:
        raise UsageError(f"unknown format {format!r}; expected one of: {', '.join(READERS)}")
    kinds = [_kind(path) for path in files]
    if format is None:
        format = "caffe" if {"prototxt", "caffemodel"} & set(kinds) else "pytorch"
    return READERS[format](files, kinds)


def _read_caffe(files: list[Path], kinds: list[str]) -> Model:
    from zoo.formats import caffe

    graphs = [path for path, kind in zip(files, kinds, strict=True) if kind == "prototxt"]
    weights = [path for path, kind in zip(files, kinds, strict=True) if kind != "prototxt"]
    if len(graphs) != 1 or len(weights) > 1:
        names = ", ".join(path.name for path in files)
        raise UsageError(f"{names}: a Caffe model is one network definition (prototxt, text) and one caffemodel")
    return caffe.read(graphs[0], weights[0] if weights else None)


def _read_pytorch(files: list[Path], kinds: list[str]) -> Model:
    from zoo.formats import pytorch

    if len(files) != 1:
        raise UsageError(f"{', '.join(path.name for path in files)}: a PyTorch state dict is one file")
    return pytorch.read(files[0])


READERS: dict[str, Callable[[list[Path], list[str]], Model]] = {"caffe": _read_caffe, "pytorch": _read_pytorch}


def _kind(path: Path) -> str:
    """Tells a file by its first bytes; its name only decides between binary kinds that have no mark of their own."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror or error}") from error
    from zoo.formats import safetensors  # the same state dict in another container: `pytorch.read` takes both

    if head.startswith((b"PK\x03\x04", b"\x80")) or safetensors.told_by(head):
        return "pytorch"
    if path.suffix in (".pth", ".pt", ".bin", ".tar", ".safetensors"):
        return "pytorch"
    if path.suffix == ".caffemodel":
        return "caffemodel"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        raise UnsupportedError(f"{path.name}: an HDF5 file; expected a model of: {', '.join(READERS)}")
    if path.suffix == ".prototxt" or _is_text(head):
        return "prototxt"
    # A caffemodel begins with the network's name (field 1) or a layer (fields 2 and 100), each a length and bytes.
    if head.startswith((b"\x0a", b"\x12", b"\xa2\x06")):
        return "caffemodel"
    raise FormatError(f"{path.name}: its format cannot be told; give format=, one of: {', '.join(READERS)}")


def _is_text(head: bytes) -> bool:
    return bool(head) and not any(byte < 9 or 13 < byte < 32 for byte in head)
