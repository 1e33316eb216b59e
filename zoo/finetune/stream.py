"""Images in batches, read by threads while the network is at work: never more than a few batches are held."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import DataError, UnknownFactError, UsageError, ZooError

if TYPE_CHECKING:
    from zoo.finetune.data import Dataset
    from zoo.schema import Preprocessing

AHEAD = 2
"""Batches that are read ahead of the one the network is given."""


def batches(
    dataset: Dataset,
    positions: Sequence[int] | np.ndarray,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    resize: Any = None,
    interpolation: str | None = None,
    what: str = "images",
    progress: bool = True,
) -> Iterator[np.ndarray]:
    """Yields (n, height, width, 3) uint8, RGB 0..255, for some images of a data set, in the order asked for.

    Args:
        dataset: where they are.
        positions: which of them.
        preprocessing: how they are brought to the network's size.
        batch_size: images per batch; the last has the rest.
        resize: a resize rule in place of that of `preprocessing`.
        interpolation: in place of that of `preprocessing`.
        what: name of the bar.
        progress: show a bar on a terminal.

    Raises:
        DataError: an image cannot be read.
        UnknownFactError: no source gives the resize rule or the interpolation.
    """
    from tqdm import tqdm

    from zoo.preprocessing import resize_and_crop

    def read(position: int) -> np.ndarray:
        try:
            image = dataset.open(position)
            return resize_and_crop(image, preprocessing, resize=resize, interpolation=interpolation)
        except (UnknownFactError, UsageError):
            raise
        except (OSError, ZooError) as error:
            where = dataset.items[position]
            raise DataError(f"{where}: could be read a moment ago and now cannot ({error}); start again") from error

    todo = iter(int(position) for position in positions)
    window: deque[Future[np.ndarray]] = deque()
    pool = ThreadPoolExecutor(max_workers=min(16, 2 * (os.cpu_count() or 1)))
    try:
        with tqdm(total=len(positions), desc=what, leave=False, disable=None if progress else True) as bar:
            while True:
                while len(window) < (1 + AHEAD) * batch_size and (position := next(todo, None)) is not None:
                    window.append(pool.submit(read, position))
                batch = [window.popleft().result() for _ in range(min(batch_size, len(window)))]
                if not batch:
                    return
                yield np.stack(batch)
                bar.update(len(batch))
    finally:
        pool.shutdown(cancel_futures=True)


def stratified(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Returns the positions, ascending, of `size` images that stand for all: of each class its share.

    The same images whatever numbers the classes have. Each class has at least one if `size` allows.

    Args:
        labels: (N,) integers.
        size: how many; all if there are no more.
        seed: decides which.
    """
    if len(labels) <= size:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    present, first, members = np.unique(labels[order], return_index=True, return_inverse=True)
    # Classes are ranked by where they come first in the drawn order: no number of theirs plays a part.
    rank = np.argsort(np.argsort(first))[members]
    counts = np.bincount(rank, minlength=len(present))
    exact = size * counts / len(labels)
    floor = np.minimum(counts, np.maximum(exact.astype(int), 1 if size >= len(present) else 0))
    # The largest remainders are rounded up until the number is right; where ones were forced, the fullest give way.
    while floor.sum() < size:
        floor[np.argmax(np.where(floor < counts, exact - floor, -np.inf))] += 1
    while floor.sum() > size:
        floor[np.argmax(np.where(floor > 1, floor - exact, -np.inf))] -= 1
    chosen = [order[rank == number][:count] for number, count in enumerate(floor)]
    return np.sort(np.concatenate(chosen))
