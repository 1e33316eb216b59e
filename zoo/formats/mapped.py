"""A file mapped into memory: arrays become views of it, and nothing is read before it is used."""

from __future__ import annotations

import io
import mmap
from pathlib import Path

from zoo.errors import FormatError


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
    return data
