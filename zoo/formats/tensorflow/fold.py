"""What a graph computes from constants alone is computed here, with NumPy: shapes, sizes, paddings, scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from zoo.formats.tensorflow import fake_quant
from zoo.formats.tensorflow.values import Batch, Step

Fold: TypeAlias = "Callable[[Step, Sequence[np.ndarray]], np.ndarray | list[np.ndarray]]"
ROOM = 1 << 28  # bytes that all folded constants together may take beyond the file's size


def elementwise(operation: Callable[..., np.ndarray]) -> Fold:
    """Returns the folding of an op that broadcasts."""

    def fold(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
        _room(step, np.broadcast_shapes(*(array.shape for array in arrays)), arrays[0].itemsize)
        return np.asarray(operation(*arrays))

    return fold


def _room(step: Step, shape: Sequence[int], itemsize: int = 8) -> None:
    """Refuses what a small file could blow up to."""
    needed = math.prod(int(n) for n in shape) * itemsize
    if any(n < 0 for n in shape) or needed > step.state.room:
        raise step.damaged(f"makes a constant of shape {tuple(int(n) for n in shape[:8])}; no network needs such")
    step.state.room -= needed


def _division(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype == object or a.dtype.kind == "f":
        return np.asarray(a / b)
    return np.asarray(np.trunc(a / b)).astype(a.dtype)  # Div of whole numbers


def _ints(array: np.ndarray) -> list[int]:
    return [int(n) for n in array.ravel()]


def _axes(array: np.ndarray, rank: int) -> tuple[int, ...]:
    axes = _ints(array)
    if any(not -rank <= axis < rank for axis in axes):
        raise ValueError(f"axes {axes[:8]} of {rank}")
    return tuple(sorted({axis % rank for axis in axes}))


def reduction(operation: Callable[..., np.ndarray]) -> Fold:
    """Returns the folding of a reduction over axes."""

    def fold(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
        keep = step.flag("keep_dims", step.flag("keepdims"))
        result = operation(arrays[0], axis=_axes(arrays[1], arrays[0].ndim), keepdims=keep)
        return np.asarray(result, dtype=arrays[0].dtype)

    return fold


def cast(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    kind = step.dtype("DstT")
    if arrays[0].dtype == object:
        return arrays[0]
    if kind == "bfloat16":
        kind = "float32"
    if kind.startswith("dtype") or kind in ("string", "resource"):
        raise step.unsupported(f"makes numbers of {kind}")
    if np.dtype(kind) == arrays[0].dtype:
        return arrays[0]
    _room(step, arrays[0].shape, np.dtype(kind).itemsize)
    return arrays[0].astype(kind)


def reshape(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0].reshape(_ints(arrays[1]))


def transpose(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0].transpose(_ints(arrays[1]))


def expand_dims(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.expand_dims(arrays[0], int(arrays[1].reshape(())))


def squeeze(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    axes = step.numbers("squeeze_dims") or step.numbers("axis")
    return arrays[0].squeeze(tuple(axes) if axes else None)


def concat(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    first = step.node.op == "Concat"
    axis, parts = (arrays[0], arrays[1:]) if first else (arrays[-1], arrays[:-1])
    _room(step, [sum(part.size for part in parts)])
    return np.concatenate(parts, axis=int(axis.reshape(())))


def pack(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    _room(step, [sum(array.size for array in arrays)])
    return np.stack(arrays, axis=int(step.attr("axis").i))


def unpack(step: Step, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    axis = int(step.attr("axis").i)
    return [arrays[0].take(i, axis=axis) for i in range(min(arrays[0].shape[axis], 4096))]


def split(step: Step, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    count = int(step.attr("num_split").i)
    if not 0 < count <= 4096:
        raise step.damaged(f"splits into {count}")
    if step.node.op == "SplitV":
        return np.split(arrays[0], np.cumsum(_ints(arrays[1]))[:-1], axis=int(arrays[2].reshape(())))
    return np.split(arrays[1], count, axis=int(arrays[0].reshape(())))


def slice_(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    begin, size = _ints(arrays[1]), _ints(arrays[2])
    spans = [slice(b, None if s == -1 else b + s) for b, s in zip(begin, size, strict=True)]
    return arrays[0][tuple(spans)]


def strided_slice(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    picks: list[slice | int | None] = []
    for kind, index in slicing(step, [_ints(array) for array in arrays[1:4]], arrays[0].ndim):
        picks.append(None if kind == "new" else index)
    return np.asarray(arrays[0][tuple(picks)], dtype=arrays[0].dtype)


def slicing(step: Step, bounds: Sequence[Sequence[int]], rank: int) -> list[tuple[str, slice | int]]:
    """Reads a StridedSlice: for each axis in order `("slice", slice)`, `("pick", index)`, or `("new", 0)`.

    Args:
        step: the node, for its masks.
        bounds: begin, end and strides.
        rank: the input's number of axes.
    """
    begin, end, strides = bounds
    names = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    masks = {name: int(step.attr(f"{name}_mask").i) for name in names}
    if not len(begin) == len(end) == len(strides) or len(begin) > 32 or 0 in strides:
        raise step.damaged(f"slices from {list(begin[:8])} to {list(end[:8])} by {list(strides[:8])}")
    spec = range(len(begin))
    taken = sum(not (masks["new_axis"] | masks["ellipsis"]) >> i & 1 for i in spec)
    made: list[tuple[str, slice | int]] = []
    for i in spec:
        if masks["ellipsis"] >> i & 1:
            made += [("slice", slice(None))] * (rank - taken)
        elif masks["new_axis"] >> i & 1:
            made.append(("new", 0))
        elif masks["shrink_axis"] >> i & 1:
            made.append(("pick", begin[i]))
        else:
            first = None if masks["begin"] >> i & 1 else begin[i]
            last = None if masks["end"] >> i & 1 else end[i]
            made.append(("slice", slice(first, last, strides[i])))
    given = sum(kind != "new" for kind, _ in made)
    if given > rank:
        raise step.damaged(f"slices {given} axes, its input has {rank}")
    return made + [("slice", slice(None))] * (rank - given)


def gather(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    axis = int(arrays[2].reshape(())) if len(arrays) > 2 else 0
    if step.attr("batch_dims").i:
        raise step.unsupported("gathers per batch")
    rest = arrays[0].size // max(arrays[0].shape[axis], 1)
    _room(step, [rest, arrays[1].size])
    return np.asarray(arrays[0].take(arrays[1], axis=axis), dtype=arrays[0].dtype)


def fill(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    sizes = _ints(arrays[0])
    _room(step, sizes)
    return np.full(sizes, arrays[1].reshape(()), dtype=arrays[1].dtype)


def range_(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    start, limit, delta = (array.reshape(()).item() for array in arrays[:3])
    if not delta or not all(map(math.isfinite, (start, limit, delta))):
        raise step.damaged(f"counts from {start} to {limit} by {delta}")
    _room(step, [max(0, math.ceil((limit - start) / delta))])
    return np.arange(start, limit, delta, dtype=arrays[0].dtype)


def tile(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    repeats = _ints(arrays[1])
    _room(step, [n * r for n, r in zip(arrays[0].shape, repeats, strict=True)])
    return np.tile(arrays[0], repeats)


def broadcast_to(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    sizes = _ints(arrays[1])
    _room(step, sizes)
    return np.broadcast_to(arrays[0], sizes)


def pad(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    pads = np.asarray(arrays[1]).reshape(-1, 2).tolist()
    _room(step, [n + before + after for n, (before, after) in zip(arrays[0].shape, pads, strict=True)])
    return np.pad(arrays[0], pads, constant_values=arrays[2].reshape(()) if len(arrays) > 2 else 0)


def select(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
    _room(step, np.broadcast_shapes(*(array.shape for array in arrays[:3])))
    return np.where(*arrays[:3])


def _like(number: int) -> Fold:
    def fold(step: Step, arrays: Sequence[np.ndarray]) -> np.ndarray:
        _room(step, arrays[0].shape, arrays[0].itemsize)
        return np.full(arrays[0].shape, number, dtype=np.int64 if arrays[0].dtype == object else arrays[0].dtype)

    return fold


def _floor_division(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a // b)


FOLDS: dict[str, Fold] = {
    "Add": elementwise(np.add),
    "AddV2": elementwise(np.add),
    "BiasAdd": elementwise(np.add),
    "Sub": elementwise(np.subtract),
    "Mul": elementwise(np.multiply),
    "RealDiv": elementwise(_division),
    "Div": elementwise(_division),
    "FloorDiv": elementwise(_floor_division),
    "FloorMod": elementwise(np.mod),
    "Maximum": elementwise(np.maximum),
    "Minimum": elementwise(np.minimum),
    "Pow": elementwise(np.power),
    "SquaredDifference": elementwise(lambda a, b: np.square(a - b)),
    "Equal": elementwise(np.equal),
    "NotEqual": elementwise(np.not_equal),
    "Greater": elementwise(np.greater),
    "GreaterEqual": elementwise(np.greater_equal),
    "Less": elementwise(np.less),
    "LessEqual": elementwise(np.less_equal),
    "LogicalAnd": elementwise(np.logical_and),
    "LogicalOr": elementwise(np.logical_or),
    "LogicalNot": elementwise(np.logical_not),
    "Neg": elementwise(np.negative),
    "Abs": elementwise(np.abs),
    "Sqrt": elementwise(np.sqrt),
    "Rsqrt": elementwise(lambda a: 1 / np.sqrt(a)),
    "Square": elementwise(np.square),
    "Exp": elementwise(np.exp),
    "Log": elementwise(np.log),
    "Floor": elementwise(np.floor),
    "Ceil": elementwise(np.ceil),
    "Round": elementwise(np.round),
    "Relu": elementwise(lambda a: np.maximum(a, 0)),
    "Sigmoid": elementwise(lambda a: 1 / (1 + np.exp(-a))),
    "Tanh": elementwise(np.tanh),
    "Softplus": elementwise(lambda a: np.logaddexp(a, 0)),
    "Reciprocal": elementwise(lambda a: 1 / a),
    "Inv": elementwise(lambda a: 1 / a),
    "Cast": cast,
    "Reshape": reshape,
    "Transpose": transpose,
    "ExpandDims": expand_dims,
    "Squeeze": squeeze,
    "Concat": concat,
    "ConcatV2": concat,
    "Pack": pack,
    "Unpack": unpack,
    "Split": split,
    "SplitV": split,
    "Slice": slice_,
    "StridedSlice": strided_slice,
    "Gather": gather,
    "GatherV2": gather,
    "Prod": reduction(np.prod),
    "Sum": reduction(np.sum),
    "Mean": reduction(np.mean),
    "Max": reduction(np.max),
    "Min": reduction(np.min),
    "All": reduction(np.all),
    "Any": reduction(np.any),
    "Fill": fill,
    "Range": range_,
    "Tile": tile,
    "BroadcastTo": broadcast_to,
    "Pad": pad,
    "PadV2": pad,
    "Select": select,
    "SelectV2": select,
    "ZerosLike": _like(0),
    "OnesLike": _like(1),
    **dict.fromkeys(fake_quant.OPS, fake_quant.folded),
    "Shape": lambda step, arrays: np.array(arrays[0].shape, dtype=np.int64),
    "Size": lambda step, arrays: np.array(arrays[0].size, dtype=np.int64),
    "Rank": lambda step, arrays: np.array(arrays[0].ndim, dtype=np.int64),
}


def fold(step: Step, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns what a node makes of constants.

    Raises:
        FormatError: it makes nothing, or too much.
    """
    try:
        with np.errstate(all="ignore"):
            made = FOLDS[step.node.op](step, arrays)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError, ZeroDivisionError) as error:
        told = " ".join("".join(c if c.isprintable() else "?" for c in str(error)).split())[:120]
        if any(array.dtype == object for array in arrays):
            raise step.unsupported(f"computes with the batch's size or with text: {told}") from None
        raise step.damaged(f"cannot be computed: {told}") from None
    return [_settled(array) for array in (made if isinstance(made, list) else [made])]


def _settled(array: np.ndarray) -> np.ndarray:
    """Numbers among which the batch's size no longer is become numbers again."""
    array = np.asarray(array)
    if array.dtype == object and not any(isinstance(n, (Batch, bytes)) for n in array.ravel().tolist()):
        return array.astype(np.int64)
    return array
