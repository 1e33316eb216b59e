"""The images of a data set at the size the network takes, each decoded once, when it is first asked for."""

from __future__ import annotations

import sys

import numpy as np

from zoo.errors import DataError, ZooError
from zoo.finetune.data import Dataset, threaded
from zoo.finetune.scratch import Scratch
from zoo.preprocessing import resize_and_crop
from zoo.schema import Preprocessing


class Pictures:
    """Positions -> images; what was decoded stays in memory, or in a file if it is much.

    Args:
        dataset: the images.
        preprocessing: size, resize rule and interpolation.
        scratch: where they are held.
        progress: show a bar on a terminal while many are decoded.
    """

    def __init__(self, dataset: Dataset, preprocessing: Preprocessing, scratch: Scratch, progress: bool = True) -> None:
        self._dataset, self._preprocessing, self._scratch, self._progress = dataset, preprocessing, scratch, progress
        self._array: np.ndarray | None = None
        self._there = np.zeros(len(dataset.items), bool)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (*self._preprocessing.sides, 3)

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """Returns (n, height, width, 3) uint8, RGB, 0..255.

        Raises:
            DataError: an image changed since the data were read.
        """
        if self._array is None:
            self._array = self._scratch.array((len(self._there), *self.shape), np.uint8)
        missing = np.unique(positions[~self._there[positions]])
        bar = self._progress and len(missing) > 256 and sys.stderr.isatty()
        for _ in threaded(self._read, missing, "loading", bar):
            pass
        self._there[missing] = True
        return np.asarray(self._array[positions])

    def _read(self, position: int) -> None:
        name = self._dataset.items[position]
        try:
            pixels = resize_and_crop(self._dataset.open(int(position)), self._preprocessing)
        except (OSError, ZooError) as error:
            raise DataError(f"{name}: could be read a moment ago and now cannot ({error}); start again") from error
        assert self._array is not None
        self._array[position] = pixels
