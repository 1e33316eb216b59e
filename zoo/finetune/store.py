"""Features on disk: computed once for the same images, network, cut and augmentation, and mapped when read.

Each entry is a folder in the cache, `features/KEY`, with the values of one tensor and `entry.json`, which says how much
of it is done: a pass that was killed goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import cache
from zoo.errors import DataError
from zoo.finetune.scratch import reserve

if TYPE_CHECKING:
    import keras

VERSION = 2
"""Of what is stored; entries of another one are not found."""
BUDGET = 16 * 2**30
"""Bytes of one entry at most, and never more than half of what is free."""
KEPT = 8 * 2**30
"""Bytes that stay after a run; the entries used last are kept."""
VALUES = "values.bin"
SAVE = 2.0
"""Seconds between two notes of how much is done."""


@dataclass
class Entry:
    """An open entry.

    Args:
        array: one row per image, mapped.
        done: how many batches are there.
        path: of its note.
        facts: what the note holds besides.
    """

    array: np.ndarray
    done: int
    path: Path
    facts: dict[str, Any]
    saved: float = field(default_factory=time.monotonic)

    def advance(self) -> None:
        """One more batch is there."""
        self.done += 1
        if time.monotonic() - self.saved > SAVE:
            self.save()

    def save(self) -> None:
        """Notes what is there, after it is on the disk."""
        if isinstance(self.array, np.memmap):
            self.array.flush()
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps({**self.facts, "done": self.done}))
        os.replace(temporary, self.path)
        self.saved = time.monotonic()


class Store:
    """The features of this user's cache.

    Args:
        folder: where they are; default: `features` in the cache.
        about: what decides an image's pixels besides its file: the preprocessing.
    """

    def __init__(self, folder: Path | None = None, about: str = "") -> None:
        self.folder = folder or cache.home() / "features"
        self._about = about

    def room(self) -> int:
        """Returns how many bytes an entry may have."""
        there = self.folder
        while not there.exists() and there != there.parent:
            there = there.parent
        return min(BUDGET, shutil.disk_usage(there).free // 2)

    def model_key(self, model: keras.Model) -> str:
        """Returns what tells a network with its weights on this backend."""
        import keras

        found = hashlib.sha256(f"{keras.backend.backend()} {keras.__version__}".encode())
        # Not the names: Keras numbers layers by how many there were before.
        for layer in model.layers:
            settings = {key: value for key, value in layer.get_config().items() if key not in ("name", "dtype")}
            found.update(f"{type(layer).__name__} {json.dumps(settings, sort_keys=True, default=str)}".encode())
        for weight in model.weights:
            found.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).data)
        return found.hexdigest()

    def key(self, model: str, digests: list[str], kinds: tuple[str, ...], view: tuple[int, ...]) -> str:
        """Returns what tells features apart: network, images, changes.

        Args:
            model: what `model_key` gave.
            digests: of the images.
            kinds: of changes.
            view: what decides the changes.
        """
        about = json.dumps((VERSION, self._about, model, digests, kinds, view))
        return hashlib.sha256(about.encode()).hexdigest()[:32]

    @contextlib.contextmanager
    def open(self, key: str, shape: tuple[int, ...], dtype: Callable[[], Any], batches: int) -> Iterator[Entry]:
        """Gives an entry, to be filled from where it ends; two processes fill it one after the other.

        Args:
            key: what `key` gave.
            shape: (images, ...).
            dtype: gives the type, where the entry is new.
            batches: how many make it whole.

        Raises:
            DataError: there is no room for it.
        """
        folder = self.folder / key
        with cache.lock(folder):
            entry = self._there(folder, shape, batches) or self._new(folder, shape, np.dtype(dtype()))
            try:
                yield entry
            finally:
                entry.save()

    def _there(self, folder: Path, shape: tuple[int, ...], batches: int) -> Entry | None:
        path = folder / "entry.json"
        try:
            facts = json.loads(path.read_text())
            done, dtype = facts.pop("done"), np.dtype(facts["dtype"])
            if not 0 <= done <= batches or facts["shape"] != list(shape):
                return None
            array: np.ndarray = np.memmap(folder / VALUES, dtype, "r" if done == batches else "r+", shape=shape)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # damaged, or of another kind: made anew
        return Entry(array, done, path, facts)

    def _new(self, folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Entry:
        size = int(np.prod(shape)) * dtype.itemsize
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            reserve(folder / VALUES, size)
            array: np.ndarray = np.memmap(folder / VALUES, dtype, "r+", shape=shape)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise DataError(
                f"{self.folder}: no room for {size / 2**30:.1f} GiB of features ({error.strerror or error}); set "
                f"ZOO_HOME to a folder with more room, or use fewer images"
            ) from error
        return Entry(array, 0, folder / "entry.json", {"shape": list(shape), "dtype": dtype.name})

    def prune(self, kept: int = KEPT) -> None:
        """Removes the entries that were used longest ago, until `kept` bytes are left."""
        entries = []
        for path in self.folder.glob("*/entry.json"):
            with contextlib.suppress(OSError):
                size = sum(file.stat().st_size for file in path.parent.iterdir())
                entries.append((path.stat().st_mtime, size, path.parent))
        total = 0
        for _, size, folder in sorted(entries, reverse=True):
            total += size
            if total > kept and not cache.locked(folder):
                shutil.rmtree(folder, ignore_errors=True)
