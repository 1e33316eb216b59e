"""Room for arrays that are computed once and read many times: in memory if they fit, else in a mapped file."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from zoo.errors import DataError

MEMORY_BUDGET = 2 * 2**30
"""Bytes of arrays held in memory; what exceeds them goes to the temporary folder ($TMPDIR)."""
DISK_BUDGET = 16 * 2**30
"""Bytes of arrays held in the temporary folder, and never more than half of what is free there."""


class Scratch:
    """Hands out arrays and removes their files when it is left.

    Args:
        memory: bytes that may be held in memory.
        disk: bytes that may be held in files.
    """

    def __init__(self, memory: int = MEMORY_BUDGET, disk: int = DISK_BUDGET) -> None:
        self._memory = memory
        self._folder: Path | None = None
        self._disk = disk
        self._count = 0

    def room(self) -> int:
        """Returns how many bytes the next array may have."""
        free = shutil.disk_usage(self._folder or tempfile.gettempdir()).free // 2
        return max(self._memory, min(self._disk, free))

    def array(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Returns a writable array of zeros, in memory or mapped from a file.

        Raises:
            DataError: there is no room for it.
        """
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size <= self._memory:
            self._memory -= size
            return np.zeros(shape, dtype)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="zoo-"))
        path = self._folder / f"{self._count}.bin"
        self._count += 1
        try:
            reserve(path, size)
        except OSError as error:
            raise DataError(
                f"{self._folder}: no room for {size / 2**30:.1f} GiB of temporary arrays ({error.strerror or error}); "
                f"set TMPDIR to a folder with more room, or use fewer images"
            ) from error
        self._disk -= size
        return np.memmap(path, dtype, "r+", shape=shape)

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def reserve(path: Path, size: int) -> None:
    """Makes a file of `size` bytes that really has its blocks: writing into a hole of a full disk kills the process."""
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        zeros = bytes(2**20)
        for start in range(0, size, len(zeros)):
            file.write(zeros[: size - start])
