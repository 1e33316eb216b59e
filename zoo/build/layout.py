"""Where the origin's axes lie in a Keras tensor, and how to get them elsewhere.

A Graph counts axes as NCHW, Keras computes on NHWC. A Value says which of the origin's axes each axis of its tensor
holds; so Transpose only relabels, and data moves only where a consumer needs another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Order = tuple[int, ...]


class Rows(NamedTuple):
    """How a flattened map's positions differ from the origin's.

    Args:
        sizes: the flattened axes' sizes, in the origin's order.
        order: those axes (0 is the first flattened one) in the order in which the tensor has them.
    """

    sizes: tuple[int, ...]
    order: Order

    def permuted(self, array: np.ndarray) -> np.ndarray:
        """Returns an array whose first axis counts the origin's positions, with those of the tensor instead."""
        rest = array.shape[1:]
        axes = (*self.order, *range(len(self.sizes), len(self.sizes) + len(rest)))
        return array.reshape(*self.sizes, *rest).transpose(axes).reshape(array.shape)


class Value(NamedTuple):
    """A tensor on its way through the network.

    Args:
        tensor: Keras tensor, batch first.
        order: the origin's axis that each axis of the tensor holds: (0, 2, 3, 1) for NHWC.
        rows: set where the tensor is a flattened map in another order than the origin's; its consumers must permute.
    """

    tensor: Any
    order: Order
    rows: Rows | None = None

    @property
    def rank(self) -> int:
        return len(self.order)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Sizes in the order of the origin's axes; the batch is None."""
        return tuple(self.tensor.shape[self.order.index(axis)] for axis in range(self.rank))

    def axis(self, axis: int) -> int:
        """Returns the tensor's axis that holds one of the origin's (which may count from the end)."""
        if not -self.rank <= axis < self.rank:
            raise ValueError(f"axis {axis} of {self.rank} axes")
        return self.order.index(axis % self.rank)

    def spread(self, array: np.ndarray) -> np.ndarray | None:
        """Returns an array as it broadcasts against the tensor, or None if it cannot.

        ONNX aligns it from the right with the origin's axes; it must not vary along the batch.
        """
        if array.ndim > self.rank:
            return None
        full = array.reshape((1,) * (self.rank - array.ndim) + array.shape)
        return full.transpose(self.order) if full.shape[0] == 1 else None


def standard(rank: int) -> Order:
    """The order in which Keras layers take a value: a feature map as NHWC, all else as the origin has it."""
    return (0, 2, 3, 1) if rank == 4 else tuple(range(rank))


def transposed(order: Order, perm: Sequence[int]) -> Order:
    """The order of a value after the origin's transposition, the tensor unmoved."""
    return tuple(list(perm).index(axis) for axis in order)


def without(order: Order, axes: Sequence[int]) -> Order:
    """The order after some of the origin's axes are gone, in the origin as in the tensor."""
    left = sorted(axis for axis in order if axis not in axes)
    return tuple(left.index(axis) for axis in order if axis not in axes)


def blocks(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Cuts a reshape into independent parts: lists of axes of `old` that become lists of axes of `new`.

    Both count the batch as axis 0 and are given without it; axes of size 1 are left out, being nowhere in memory.
    """
    left = [(axis + 1, size) for axis, size in enumerate(old) if size != 1]
    right = [(axis + 1, size) for axis, size in enumerate(new) if size != 1]
    found: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(left) and j < len(right):
        (axis, a), (other, b) = left[i], right[j]
        ins, outs = [axis], [other]
        while a != b:
            if a < b:
                i += 1
                ins.append(left[i][0])
                a *= left[i][1]
            else:
                j += 1
                outs.append(right[j][0])
                b *= right[j][1]
        found.append((ins, outs))
        i, j = i + 1, j + 1
    return found
