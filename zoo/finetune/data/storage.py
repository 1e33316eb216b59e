"""Images of a stream, kept as compressed bytes so that each can be opened again."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import DataError, ZooError
from zoo.finetune.data.dataset import Found, Skipped
from zoo.finetune.data.read import decode, lost_parts, probe, read_bytes

if TYPE_CHECKING:
    import PIL.Image

MEMORY = 512 * 2**20
"""Bytes held in memory; what exceeds them goes to a file in the temporary folder ($TMPDIR)."""
DISK = 16 * 2**30
"""Bytes held in that file, and never more than half of what was free there."""

Sample = tuple[int, Any, Any, str | None]
"""Number, image (bytes of a file, PIL image, uint8 array, or an exception), class, part."""


class Store:
    """Holds files' bytes; opens the image in one. Its temporary file goes with it.

    Args:
        name: of the data set, for messages.
        memory: bytes that may be held in memory.
        disk: bytes that may be held in the temporary file.
    """

    def __init__(self, name: str, memory: int = MEMORY, disk: int = DISK) -> None:
        self._name, self._memory = name, memory
        self._disk = min(disk, shutil.disk_usage(tempfile.gettempdir()).free // 2)
        self._limit = memory + self._disk
        self._held: list[bytes | tuple[int, int]] = []
        self._path: str | None = None
        self._end = 0

    def add(self, content: bytes) -> None:
        """Keeps one more file.

        Raises:
            DataError: there is no room for it.
        """
        if len(content) <= self._memory:
            self._memory -= len(content)
            self._held.append(content)
            return
        self._memory = 0  # from here on in the file, so that large ones do not stay behind small ones
        if self._end + len(content) > self._disk:
            raise DataError(
                f"{self._name}: more than {self._limit / 2**30:.1f} GiB of compressed images; save them as files, in a "
                f"folder per class, and name that folder"
            )
        try:
            if self._path is None:
                handle, self._path = tempfile.mkstemp(prefix="zoo-", suffix=".images")
                os.close(handle)
                weakref.finalize(self, _remove, self._path)
            with open(self._path, "ab") as file:
                file.write(content)
        except OSError as error:
            raise DataError(
                f"{self._name}: no room for its images in {tempfile.gettempdir()} ({error.strerror or error}); set "
                f"TMPDIR to a folder with more room"
            ) from error
        self._held.append((self._end, len(content)))
        self._end += len(content)

    def __call__(self, position: int) -> PIL.Image.Image:
        """Returns an image, upright RGB."""
        held = self._held[position]
        if isinstance(held, bytes):
            content = held
        else:
            try:
                with open(str(self._path), "rb") as file:
                    file.seek(held[0])
                    content = file.read(held[1])
            except OSError as error:
                raise DataError(
                    f"{self._name}: its images in {self._path} are gone: {error.strerror or error}"
                ) from None
        return decode(content, f"{self._name}: image {position}")


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.remove(path)


def collect(
    name: str, samples: Iterable[Sample], *, total: int | None, progress: bool, memory: int = MEMORY, disk: int = DISK
) -> Found:
    """Goes through a stream once and keeps its images.

    Args:
        name: of the data set.
        samples: its images.
        total: how many there are, for the bar.
        progress: show a bar on a terminal.
        memory: see `Store`.
        disk: see `Store`.

    Raises:
        DataError: there is no room, or the images are of a kind that zoo does not guess at.
    """
    from tqdm import tqdm

    store = Store(name, memory, disk)
    found = Found(name, [], [], [], [], None, store)
    values: list[Any] = []
    parts: list[str] = []
    lost: set[str] = set()
    for number, image, value, part in tqdm(samples, "reading", total, leave=False, disable=None if progress else True):
        item = f"image-{number:06}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's on odd metadata of sound pictures
            kept = "no image" if image is None else _keep(image)
        if isinstance(kept, str):
            found.skipped.append((Skipped(item, kept), value))
            lost |= {part} if part else set()
            continue
        content, size, digest = kept
        store.add(content)
        found.items.append(item)
        found.sizes.append(size)
        found.digests.append(digest)
        values.append(value)
        parts.append(part or "training")
        found.parts = parts if part is not None or found.parts is not None else None
    found.values = values
    found.notes += lost_parts(lost - set(parts))
    return found


def file_content(image: Any, root: Path | None = None) -> Any:
    """Returns the bytes of `{"bytes": ..., "path": ...}`, the error that reading the path gave, or what was given."""
    if not isinstance(image, dict):
        return image
    if image.get("bytes") is not None or not image.get("path"):
        return image.get("bytes")
    found = read_bytes((root or Path()) / image["path"])
    return DataError(found) if isinstance(found, str) else found


def _keep(image: Any) -> tuple[bytes, tuple[int, int], str] | str:
    """Bytes of a file, size and digest; or why the image cannot be read."""
    from zoo.preprocessing import load_image

    if isinstance(image, ZooError):
        return str(image)
    if isinstance(image, Exception):
        return f"{type(image).__name__}: {image}".splitlines()[0]
    if isinstance(image, bytes):
        probed = probe(image)
        return probed if isinstance(probed, str) else (image, probed.size, probed.digest)
    try:
        upright = load_image(image)
    except ZooError as error:
        return str(error)
    file = io.BytesIO()
    upright.save(file, "PNG", compress_level=1)
    return file.getvalue(), upright.size, digest_of(image if isinstance(image, np.ndarray) else np.asarray(upright))


def digest_of(pixels: np.ndarray) -> str:
    """Returns the sha256 of shape, type and pixels."""
    found = hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode())
    found.update(np.ascontiguousarray(pixels).data)
    return found.hexdigest()
