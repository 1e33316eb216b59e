"""A file mapped into memory: arrays become views of it, and nothing is read before it is used."""

from __future__ import annotations

import io
import mmap
import weakref
from pathlib import Path

import numpy as np

from zoo.errors import FormatError

_MAPS: list[tuple[weakref.ref[mmap.mmap], Path]] = []


def mapped(path: Path, expected: str) -> mmap.mmap:
    """Returns a file's bytes, mapped read-only.

    Args:
        path: the file.
        expected: what it should be, for messages: `a PyTorch state dict`.

    Raises:
        FormatError: the file cannot be read, or is empty.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FormatError(f"{path}: cannot be read: {reason}; expected {expected}") from None
    if data is None:
        raise FormatError(f"{path}: the file is empty; fetch it again")
    _MAPS[:] = [(known, its) for known, its in _MAPS if known() is not None]
    _MAPS.append((weakref.ref(data), path))
    return data


def place_of(array: np.ndarray) -> tuple[Path, int] | None:
    """Returns the mapped file that an array in C order is a view of, and its offset there; None if it is none."""
    if not array.flags.c_contiguous:
        return None
    start = array.__array_interface__["data"][0]
    for known, path in _MAPS:
        data = known()
        if data is not None:
            offset = start - np.frombuffer(data, np.uint8).__array_interface__["data"][0]
            if 0 <= offset <= len(data) - array.nbytes:
                return path, offset
    return None
