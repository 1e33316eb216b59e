"""Batches of training: order, views, weights and mixing follow from seed, epoch and number of the batch alone.

So a run that was killed goes on with what it would have seen.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

Inputs = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches that take one random view of each image per epoch.

    Args:
        targets: (n, classes) float32, what the loss compares with; more columns are passed on.
        views: number of views to draw from.
        inputs: (views, rows) -> the network's inputs; both are arrays of one batch's length.
        batch_size: images per batch.
        seed: decides order, views and mixing.
        least: batches per epoch at least; smaller data are gone through several times, with new views each time. The
            last batch is filled up from another pass: a batch of its own size would be compiled once more.
        weights: (n,) weight of each image in the loss; None for equal ones.
        chances: (n,) how often each image is drawn; None for once each.
        also: (views, rows) -> further columns of the targets.
        mixup: alpha of mixup (1710.09412); 0 for none.
        cutmix: alpha of cutmix (1905.04899), for inputs (N, H, W, C); 0 for none.
    """

    def __init__(
        self,
        targets: np.ndarray,
        views: int,
        inputs: Inputs,
        batch_size: int,
        seed: int,
        *,
        least: int = 1,
        weights: np.ndarray | None = None,
        chances: np.ndarray | None = None,
        also: Inputs | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
    ) -> None:
        super().__init__()
        self._targets, self._views, self._inputs, self._batch_size = targets, views, inputs, batch_size
        self._seed, self._weights, self._also = seed, weights, also
        self._chances = None if chances is None else chances / chances.sum()
        self._mixup, self._cutmix = mixup, cutmix
        self._least = least
        self.start(0)

    @property
    def size(self) -> int:
        """Images per batch."""
        return self._batch_size

    def resized(self, batch_size: int) -> Batches:
        """Returns the same images in batches of another size."""
        other = copy.copy(self)
        other._batch_size = batch_size
        other.start(0)
        return other

    def start(self, epoch: int) -> None:
        """Makes this the batches of an epoch."""
        self._epoch = epoch
        random = np.random.default_rng([self._seed, epoch])
        count = len(self._targets)
        passes = -(-self._least // -(-count // self._batch_size))
        length = -(-passes * count // self._batch_size) * self._batch_size
        if self._chances is not None:
            self._order = random.choice(count, length, p=self._chances)
        else:
            passes = -(-length // count)
            self._order = np.concatenate([random.permutation(count) for _ in range(passes)])[:length]
        self._drawn = random.integers(self._views, size=len(self._order))

    def __len__(self) -> int:
        return len(self._order) // self._batch_size

    def __getitem__(self, number: int) -> tuple[np.ndarray, ...]:
        part = slice(number * self._batch_size, (number + 1) * self._batch_size)
        rows, views = self._order[part], self._drawn[part]
        inputs, targets = self._inputs(views, rows), self._targets[rows]
        if self._also is not None:
            targets = np.concatenate([targets, self._also(views, rows)], axis=1)
        if self._mixup or self._cutmix:
            random = np.random.default_rng([self._seed, self._epoch, number, 1])
            inputs, targets = mix(inputs, targets, random, self._mixup, self._cutmix)
        return (inputs, targets) if self._weights is None else (inputs, targets, self._weights[rows])


def mix(
    inputs: np.ndarray, targets: np.ndarray, random: np.random.Generator, mixup: float, cutmix: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mixes each image of a batch, and its target, with another one: blended, or with a rectangle of it.

    Args:
        inputs: (N, ...).
        targets: (N, classes).
        random: decides partners and shares.
        mixup: alpha of the Beta distribution that blends; 0 for none.
        cutmix: alpha of that for rectangles; 0 for none. With both, each batch has one of them.
    """
    cut = bool(cutmix) and inputs.ndim == 4 and (not mixup or random.random() < 0.5)
    share = float(random.beta(cutmix if cut else mixup, cutmix if cut else mixup)) if cut or mixup else 1.0
    partner = random.permutation(len(inputs))
    mixed: Any = np.asarray(inputs, np.float32)
    if cut:
        height, width = inputs.shape[1:3]
        sides = [round(side * np.sqrt(1 - share)) for side in (height, width)]
        top, left = (
            int(random.integers(0, full - side + 1)) for full, side in zip((height, width), sides, strict=True)
        )
        box = (slice(None), slice(top, top + sides[0]), slice(left, left + sides[1]))
        mixed = mixed.copy()
        mixed[box] = inputs[partner][box]
        share = 1 - sides[0] * sides[1] / (height * width)
    else:
        mixed = share * mixed + (1 - share) * mixed[partner]
    return mixed, (share * targets + (1 - share) * targets[partner]).astype(np.float32)
