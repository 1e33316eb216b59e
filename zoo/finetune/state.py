"""What lets a killed run go on: after each epoch, weights, optimizer and course in one file, whole or not there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import FormatError

SECONDS = 10.0
"""An epoch that ends sooner after the last checkpoint is not kept: what a kill costs is less than writing."""


@dataclass
class Course:
    """How far a phase has come.

    Args:
        epoch: epochs done.
        rows: the history, epoch 0 first.
        best: lowest validation loss so far.
        waited: epochs since then.
        done: whether the phase has ended.
    """

    epoch: int
    rows: list[dict[str, Any]]
    best: float
    waited: int = 0
    done: bool = False


class Checkpoint:
    """One file per phase, `PHASE.safetensors`, in a folder.

    Args:
        folder: where; None keeps nothing.
        every: seconds that have to lie between two checkpoints of a phase.
    """

    def __init__(self, folder: Path | None, every: float | None = None) -> None:
        self._folder = folder
        self._every = float(os.environ.get("ZOO_CHECKPOINT_SECONDS", SECONDS)) if every is None else every
        self._last = time.monotonic()

    def load(self, phase: str) -> tuple[Course, dict[str, list[np.ndarray]]] | None:
        """Returns how far the phase came, and its arrays by kind, or None.

        Raises:
            FormatError: the file is damaged.
        """
        from safetensors import SafetensorError, safe_open

        if self._folder is None or not (path := self._path(phase)).is_file():
            return None
        try:
            with safe_open(path, "np") as file:
                facts = json.loads(file.metadata()["course"])
                arrays: dict[str, list[np.ndarray]] = {}
                for kind, number in facts.pop("kinds").items():
                    arrays[kind] = [file.get_tensor(f"{kind}.{position}") for position in range(number)]
            return Course(**facts), arrays
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{path}: damaged checkpoint ({error}); remove it to begin this phase again") from error

    def save(self, phase: str, course: Course, arrays: dict[str, Sequence[Any]]) -> None:
        """Keeps them, unless the last checkpoint was a moment ago and the phase goes on."""
        from safetensors.numpy import save_file

        from zoo import cache

        if self._folder is None or (not course.done and time.monotonic() - self._last < self._every):
            return
        flat = {
            f"{kind}.{number}": np.asarray(array, order="C")
            for kind, some in arrays.items()
            for number, array in enumerate(some)
        }
        facts = {**course.__dict__, "kinds": {kind: len(some) for kind, some in arrays.items()}}
        with cache.atomic_file(self._path(phase)) as temporary:
            save_file(flat, temporary, {"course": json.dumps(facts)})
        self._last = time.monotonic()

    def _path(self, phase: str) -> Path:
        if self._folder is None:
            raise ValueError("nothing is kept")
        return self._folder / f"{phase}.safetensors"
