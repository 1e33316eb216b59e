"""Weights and an input that make.py and the test both compute, so that no large file has to be kept.

`RandomState` is numpy's frozen generator: its numbers are the same in every version.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Returns float32 arrays that depend on name and shape; no two batch normalisations have the same statistics."""
    return {name: _array(name, tuple(shape)) for name, shape in shapes.items()}


def _array(name: str, shape: tuple[int, ...]) -> np.ndarray:
    random = np.random.RandomState(zlib.crc32(name.encode()))
    kind = name.rsplit(".", 1)[-1]
    if kind == "running_var":
        array = random.uniform(0.05, 0.5, shape)  # small enough for a wrong epsilon to show
    elif kind == "weight" and len(shape) == 1:
        array = random.uniform(0.5, 1.5, shape)
    elif len(shape) == 1:
        array = random.standard_normal(shape) * 0.2  # bias, running_mean
    else:
        # 0.5 and the output hardly depends on the input; 0.8 and rounding errors grow from layer to layer to a percent.
        array = random.standard_normal(shape) * 0.6 / np.sqrt(np.prod(shape[1:]))
    return array.astype(np.float32)


def image(size: int) -> np.ndarray:
    """Returns a smooth coloured pattern, (1, size, size, 3), -1..1."""
    y, x = np.mgrid[:size, :size] / (size - 1) * 2 - 1
    return np.stack([x * y, x * x + y - 1, 0.7 * x - 0.3 * y * y], axis=-1).astype(np.float32)[None]
