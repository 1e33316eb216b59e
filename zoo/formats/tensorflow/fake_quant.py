"""FakeQuant of training with quantisation: float numbers on the grid that whole numbers of few bits would be on.

The arithmetic is that of TensorFlow's fake_quant_ops_functor.h, in its order, since what lies half-way decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zoo.formats.tensorflow.values import Step

OPS = ("FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel")
_ONE = np.float32(1)
_HALF = np.float32(0.5)


class Grid(NamedTuple):
    """Where the numbers may be: arrays of one number, or of one per channel.

    Args:
        low: the least.
        high: the largest.
        step: from one to the next.
        inverse: of the step.
        zero: which of them 0 is.
    """

    low: np.ndarray
    high: np.ndarray
    step: np.ndarray
    inverse: np.ndarray
    zero: np.ndarray


def grid(step: Step, low: np.ndarray, high: np.ndarray) -> Grid:
    """Returns the grid between two bounds, moved so that 0 is on it."""
    bits = int(step.attr("num_bits").i) if "num_bits" in step.node.attrs else 8
    if not 2 <= bits <= 16:
        raise step.damaged(f"has num_bits {bits}; expected 2 to 16")
    first = np.float32(1 if step.flag("narrow_range") else 0)
    last = np.float32((1 << bits) - 1)
    low, high = (np.asarray(bound, dtype=np.float32) for bound in (low, high))
    if low.shape != high.shape or not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise step.damaged(f"has bounds of shapes {low.shape} and {high.shape}, or ones that are no numbers")
    if np.any(low > 0) or np.any(high < 0) or np.any(low == high):
        raise step.unsupported("has bounds without 0 between them")
    size = (high - low) / (last - first)
    moved = first - low / size
    point = np.clip(np.floor(moved + _HALF), first, last)  # half-way numbers are positive here: away from zero is up
    nudged = (first - point) * size
    inverse = _ONE / size
    return Grid(nudged, (last - point) * size, size, inverse, np.floor(-nudged * inverse + _HALF))


def bounds(step: Step, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the least and the largest number, which are attributes or inputs behind the first."""
    if step.node.op == "FakeQuantWithMinMaxArgs":
        return np.float32(step.number("min", -6.0)), np.float32(step.number("max", 6.0))  # type: ignore[return-value]
    if len(arrays) != 3:
        raise step.damaged(f"has {len(arrays)} inputs; expected 3")
    return arrays[1], arrays[2]


def folded(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Returns a stored array on its grid, which is how such networks hold their weights."""
    least, most, size, inverse, zero = grid(step, *bounds(step, arrays))
    moved = np.clip(arrays[0].astype(np.float32), least, most) - least
    return np.asarray(np.floor(moved * inverse - zero + _HALF) * size)
