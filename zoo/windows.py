"""Sliding windows as numbers: padding, ceil mode and output sizes, one axis at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Pair = tuple[int, int]


def span(kernel: int, dilation: int) -> int:
    """Returns how many rows a dilated kernel reaches over."""
    return dilation * (kernel - 1) + 1


def same(size: int, span: int, stride: int) -> Pair:
    """TensorFlow's SAME for one axis: the odd one at the end (tensorflow/core/framework/common_shape_fns.cc)."""
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


def extra(size: int, span: int, stride: int, pads: Pair) -> int:
    """Rows that ceil mode's last window reaches beyond the padded input; may be negative: none are cut then."""
    before, after = pads
    outputs = -(-(size + before + after - span) // stride) + 1
    if (outputs - 1) * stride >= size + before:  # the last window would start in the end padding: it is dropped
        outputs -= 1
    return max((outputs - 1) * stride + span - (size + before + after), 0)


def adaptive(size: int, parts: int) -> list[Pair]:
    """Returns (first, end) of the windows that pooling to a fixed size takes along an axis; they may overlap."""
    return [(i * size // parts, -(-(i + 1) * size // parts)) for i in range(parts)]


def padding(
    attrs: Mapping[str, Any], size: Sequence[int], spans: Sequence[int], strides: Sequence[int]
) -> tuple[Pair, Pair]:
    """Returns the zeros before and after the rows and the columns, as `auto_pad` and `pads` of a node say."""
    auto = attrs.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        ends = [same(n, reach, stride) for n, reach, stride in zip(size, spans, strides, strict=True)]
        rows, columns = (pair if auto == "SAME_UPPER" else pair[::-1] for pair in ends)
        return rows, columns
    if auto == "VALID":
        return (0, 0), (0, 0)
    top, left, bottom, right = attrs.get("pads", (0, 0, 0, 0))
    return (top, bottom), (left, right)


def outputs(size: int, span: int, stride: int, pads: Pair, *, ceil: bool = False) -> int:
    """Returns how many windows fit; 0 where not even one does. Ceil mode may let one reach beyond a smaller input."""
    reached = size + sum(pads) + (extra(size, span, stride, pads) if ceil else 0)
    return max((reached - span) // stride + 1, 0)
