"""Nodes whose inputs are all stored, or are sizes: computed while reading, as exporters spell shapes out in nodes.

The batch is unknown while reading. Among sizes it stands as `Batch`, an entry of an object array, that can be moved
about and multiplied, but neither added to nor turned into a plain number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from zoo.formats.onnx.step import Step, Unsupported
from zoo.formats.onnx.tensors import Stored, dtype_of

LIMIT = 1 << 26  # numbers in an array that folding makes out of smaller ones

Array: TypeAlias = np.ndarray
Fold: TypeAlias = Callable[[Step, list[Array]], "Array | list[Array]"]


@dataclass(frozen=True)
class Batch:
    """`times` x the batch, as a size."""

    times: int = 1

    def __mul__(self, other: Any) -> Any:
        return Batch(self.times * _plain(other)) if not isinstance(other, Batch) else _lost()

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        if isinstance(other, Batch):
            return self.times // other.times if other.times and self.times % other.times == 0 else _lost()
        return Batch(self.times // _plain(other)) if other and self.times % _plain(other) == 0 else _lost()

    def __add__(self, other: Any) -> Any:
        return self if not isinstance(other, Batch) and other == 0 else _lost()

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self + other

    def __rsub__(self, other: Any) -> Any:
        return _lost()

    def __lt__(self, other: Any) -> bool:
        return self._compared(other, False)

    def __gt__(self, other: Any) -> bool:
        return self._compared(other, True)

    def _compared(self, other: Any, more: bool) -> bool:
        if isinstance(other, Batch) or other > 0:
            _lost()
        return more


def _plain(number: Any) -> int:
    return int(number)


def _lost() -> Any:
    raise Unsupported("computes with the size of the batch")


def has_batch(array: Array) -> bool:
    """Returns whether an array of sizes has the batch among them."""
    return array.dtype == object


def sizes_of(shape: Sequence[int]) -> Array:
    """Returns the sizes of a value, whose first is the batch, as an array to fold with."""
    sizes = np.empty(len(shape), dtype=object)
    sizes[:] = [Batch() if i == 0 else int(n) for i, n in enumerate(shape)]
    return tidy(sizes)


def tidy(array: Array) -> Array:
    """An object array without a batch among its entries is one of plain numbers."""
    if array.dtype != object or any(isinstance(n, Batch) for n in array.ravel()[:64]):
        return array
    if any(isinstance(n, Batch) for n in array.ravel()):
        return array
    kind = bool if array.size and all(isinstance(n, bool | np.bool_) for n in array.ravel()) else np.int64
    return array.astype(kind)


def _bounded(shape: Sequence[int]) -> tuple[int, ...]:
    if any(isinstance(n, Batch) for n in shape):
        raise Unsupported("makes an array as large as the batch")
    sizes = tuple(int(n) for n in shape)
    if any(n < 0 for n in sizes) or math.prod(sizes) > LIMIT:
        raise Unsupported(f"makes an array of the impossible shape {sizes[:8]}")
    return sizes


# -------------------------------------------------------------------------------------------------------------- begins


def constant(step: Step, inputs: list[Array]) -> Array:
    """ONNX Constant: one of several attributes holds the value."""
    for key, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        if key in step.attrs:
            return np.array(step.attrs[key], dtype=dtype)
    for key, dtype in (("value_floats", np.float32), ("value_ints", np.int64)):
        if key in step.attrs:
            return np.array(step.attrs[key], dtype=dtype)
    value = step.attrs.get("value")
    if not isinstance(value, Stored):
        raise Unsupported("holds no array of numbers")
    return step.stored(value)


def constant_of_shape(step: Step, inputs: list[Array]) -> Array:
    value = step.attrs.get("value")
    fill = step.stored(value).reshape(-1) if isinstance(value, Stored) else np.zeros(1, np.float32)
    if fill.size != 1:
        raise step.damaged(f"fills with {fill.size} numbers, expected one")
    return np.full(_bounded(inputs[0].reshape(-1).tolist()), fill[0])


def span(step: Step, inputs: list[Array]) -> Array:
    """ONNX Range."""
    if any(has_batch(array) or array.size != 1 for array in inputs[:3]):
        raise Unsupported("counts to the size of the batch")
    start, limit, delta = (array.reshape(-1)[0] for array in inputs[:3])
    count = (float(limit) - float(start)) / float(delta) if delta else math.inf
    if not math.isfinite(count):
        raise step.damaged("counts without an end")
    return np.asarray(start + np.arange(_bounded([max(math.ceil(count), 0)])[0]).astype(inputs[0].dtype) * delta)


# --------------------------------------------------------------------------------------------------------------- moves


def gather(step: Step, inputs: list[Array]) -> Array:
    axis = step.any_axis(step.integer("axis", 0), inputs[0].ndim)
    indices = step.whole(inputs[1])
    count = inputs[0].shape[axis]
    if indices.size and not (-count <= indices.min() and indices.max() < count):
        raise step.damaged(f"picks entry {indices.min()} to {indices.max()} of {count}")
    _bounded((indices.size, inputs[0].size // max(count, 1)))
    return np.take(inputs[0], indices, axis=axis)


def unsqueeze(step: Step, inputs: list[Array]) -> Array:
    axes = step.axes(inputs[0].ndim, opset=13, position=1, grown=True)
    array = inputs[0]
    for axis in sorted(axes or ()):
        array = np.expand_dims(array, axis)
    return array


def squeeze(step: Step, inputs: list[Array]) -> Array:
    axes = step.axes(inputs[0].ndim, opset=13, position=1)
    if axes is None:
        axes = [i for i, n in enumerate(inputs[0].shape) if n == 1]
    return np.squeeze(inputs[0], axis=tuple(axes))


def concat(step: Step, inputs: list[Array]) -> Array:
    axis = step.any_axis(step.integer("axis", None), inputs[0].ndim)
    _bounded((sum(array.size for array in inputs),))
    if any(map(has_batch, inputs)):
        inputs = [array.astype(object) for array in inputs]
    return np.concatenate(inputs, axis=axis)


def slices(step: Step, inputs: list[Array]) -> Array:
    picks = [slice(None)] * inputs[0].ndim
    for start, end, axis, by in step.slices(inputs[0].ndim):
        if not by:
            raise step.damaged("slices with a step of 0")
        picks[axis] = slice(*_within(slice(start, end, by), inputs[0].shape[axis]))
    return inputs[0][tuple(picks)]


def _within(cut: slice, size: int) -> tuple[int, int | None, int]:
    start, end, by = cut.indices(size)
    return start, (None if end < 0 else end), by


def reshape(step: Step, inputs: list[Array]) -> Array:
    wanted = step.attrs.get("shape") if step.opset < 5 else inputs[1].reshape(-1).tolist()
    sizes = [inputs[0].shape[i] if n == 0 and i < inputs[0].ndim else n for i, n in enumerate(wanted or ())]
    if any(isinstance(n, Batch) for n in sizes):
        raise Unsupported("makes an array as large as the batch")
    return inputs[0].reshape([int(n) for n in sizes])


def flatten(step: Step, inputs: list[Array]) -> Array:
    axis = step.integer("axis", 1)
    axis = axis + inputs[0].ndim if axis < 0 else axis
    return inputs[0].reshape(math.prod(inputs[0].shape[:axis]), -1)


def transpose(step: Step, inputs: list[Array]) -> Array:
    perm = step.ints("perm", range(inputs[0].ndim)[::-1])
    return inputs[0].transpose(perm)


def expand(step: Step, inputs: list[Array]) -> Array:
    wanted = np.broadcast_shapes(inputs[0].shape, _bounded(inputs[1].reshape(-1).tolist()))
    return np.broadcast_to(inputs[0], _bounded(wanted))


def tile(step: Step, inputs: list[Array]) -> Array:
    repeats = step.whole(inputs[1]).reshape(-1).tolist()
    if len(repeats) != inputs[0].ndim:
        raise step.damaged(f"repeats {len(repeats)} axes of {inputs[0].ndim}")
    _bounded([n * r for n, r in zip(inputs[0].shape, repeats, strict=True)])
    return np.tile(inputs[0], repeats)


def split(step: Step, inputs: list[Array]) -> list[Array]:
    axis = step.any_axis(step.integer("axis", 0), inputs[0].ndim)
    sizes = step.split_sizes(inputs[0].shape[axis])
    return np.split(inputs[0], np.cumsum(sizes)[:-1].tolist(), axis=axis)


def cast(step: Step, inputs: list[Array]) -> Array:
    dtype = dtype_of(step.integer("to", None))
    if dtype is None:
        raise Unsupported("turns numbers into something that is none")
    if has_batch(inputs[0]):
        if dtype.kind == "i":
            return inputs[0]
        raise Unsupported("computes with the size of the batch")
    with np.errstate(over="ignore", invalid="ignore"):
        return inputs[0].astype(dtype, copy=False)


# ------------------------------------------------------------------------------------------------------------ numbers


def dequantize(step: Step, inputs: list[Array]) -> Array:
    """ONNX DequantizeLinear: (x - zero point) * scale, with one of both for all, per slice of an axis or per block."""
    array, scale = inputs[:2]
    if array.dtype.kind not in "iu" or scale.dtype.kind != "f":
        raise step.damaged(f"turns {array.dtype} with a scale of {scale.dtype} into numbers")
    misfit = f"has scales of shape {scale.shape} for an array of shape {array.shape}"
    spread = [scale, *inputs[2:3]]
    block = step.integer("block_size", 0)
    if block or scale.size > 1:
        axis = step.any_axis(step.integer("axis", 1), array.ndim)
        size = array.shape[axis]
    if block:
        if block < 0 or scale.ndim != array.ndim or -(-size // block) != scale.shape[axis]:
            raise step.damaged(f"{misfit} in blocks of {block}")
        cut = (*[slice(None)] * axis, slice(size))
        spread = [np.repeat(one, min(block, size), axis=axis)[cut] for one in spread]
    elif scale.size > 1:
        spread = [one.reshape([-1 if i == axis else 1 for i in range(array.ndim)]) for one in spread]
    if any(
        one.size > 1 and not all(n in (1, m) for n, m in zip(one.shape, array.shape, strict=True)) for one in spread
    ):
        raise step.damaged(misfit)
    wide = array.astype(np.int64)
    if len(spread) > 1:
        wide = wide - spread[1].astype(np.int64)
    return np.asarray(wide.astype(np.float32) * spread[0].astype(np.float32))


def compute(operation: Callable[..., Any]) -> Fold:
    """Returns the folding of an element-wise operation."""

    def fold(step: Step, inputs: list[Array]) -> Array:
        _bounded(np.broadcast_shapes(*(array.shape for array in inputs)))
        if any(map(has_batch, inputs)):
            inputs = [array.astype(object) for array in inputs]
        with np.errstate(all="ignore"):
            return np.asarray(operation(*inputs))

    return fold


def _divided(left: Array, right: Array) -> Array:
    if left.dtype == object or right.dtype == object:
        return np.asarray(np.floor_divide(left, right))
    if left.dtype.kind in "iu":
        if not np.all(right):
            raise Unsupported("divides sizes by 0")
        return np.asarray(np.sign(left) * np.sign(right) * (np.abs(left) // np.abs(right))).astype(left.dtype)
    return np.asarray(left / right)


def _equal(left: Array, right: Array) -> Array:
    if left.dtype == object:  # a dataclass is equal to nothing but its like
        return np.asarray(np.equal(left, right, dtype=object)).astype(bool)
    return np.asarray(np.equal(left, right))


def _where(condition: Array, left: Array, right: Array) -> Array:
    return np.where(condition.astype(bool), left, right)


def _mod(left: Array, right: Array) -> Array:
    if left.dtype == object or (right.dtype.kind in "iu" and not np.all(right)):
        raise Unsupported("computes with the size of the batch, or divides by 0")
    return np.asarray(np.mod(left, right))


def _power(left: Array, right: Array) -> Array:
    if left.dtype == object or right.dtype == object:
        raise Unsupported("computes with the size of the batch")
    return np.asarray(np.power(left.astype(np.float64), right)).astype(left.dtype)


def _plainly(operation: Callable[..., Any]) -> Callable[..., Any]:
    def computed(*arrays: Array) -> Array:
        if any(map(has_batch, arrays)):
            raise Unsupported("computes with the size of the batch")
        result = np.asarray(operation(*arrays))
        return result.astype(arrays[0].dtype) if arrays[0].dtype.kind == "f" and result.dtype.kind == "f" else result

    return computed


def _many(operation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def computed(*arrays: Array) -> Array:
        result = arrays[0]
        for array in arrays[1:]:
            result = operation(result, array)
        return result

    return computed


def reduce(operation: Callable[..., Any], opset: int = 18) -> Fold:
    """Returns the folding of a reduction."""

    def fold(step: Step, inputs: list[Array]) -> Array:
        axes = step.axes(inputs[0].ndim, opset=opset, position=1)
        keep = bool(step.integer("keepdims", 1))
        chosen = None if axes is None else tuple(axes)
        return np.asarray(operation(inputs[0], axis=chosen, keepdims=keep))

    return fold


def same(step: Step, inputs: list[Array]) -> Array:
    return inputs[0]


# Foldings that leave the numbers as they are: what comes out goes by the name of the array that went in.
MOVES = frozenset({"Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast", "Dropout"})
FOLDS: Mapping[str, Fold] = {
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Range": span,
    "Gather": gather,
    "Unsqueeze": unsqueeze,
    "Squeeze": squeeze,
    "Concat": concat,
    "Slice": slices,
    "Reshape": reshape,
    "Flatten": flatten,
    "Transpose": transpose,
    "Expand": expand,
    "Tile": tile,
    "Split": split,
    "Cast": cast,
    "DequantizeLinear": dequantize,
    "CastLike": lambda step, inputs: inputs[0].astype(inputs[1].dtype) if not has_batch(inputs[0]) else inputs[0],
    "Identity": same,
    "Dropout": same,
    "Shape": lambda step, inputs: step.between(np.array(inputs[0].shape, dtype=np.int64)),
    "Size": lambda step, inputs: np.array(inputs[0].size, dtype=np.int64),
    "Add": compute(np.add),
    "Sub": compute(np.subtract),
    "Mul": compute(np.multiply),
    "Div": compute(_divided),
    "Mod": compute(_mod),
    "Pow": compute(_power),
    "Neg": compute(_plainly(np.negative)),
    "Abs": compute(_plainly(np.abs)),
    "Floor": compute(_plainly(np.floor)),
    "Ceil": compute(_plainly(np.ceil)),
    "Sqrt": compute(_plainly(np.sqrt)),
    "Exp": compute(_plainly(np.exp)),
    "Log": compute(_plainly(np.log)),
    "Reciprocal": compute(_plainly(np.reciprocal)),
    "Min": compute(_many(np.minimum)),
    "Max": compute(_many(np.maximum)),
    "Sum": compute(_many(np.add)),
    "Equal": compute(_equal),
    "Greater": compute(np.greater),
    "Less": compute(np.less),
    "GreaterOrEqual": compute(_plainly(np.greater_equal)),
    "LessOrEqual": compute(_plainly(np.less_equal)),
    "And": compute(_plainly(np.logical_and)),
    "Or": compute(_plainly(np.logical_or)),
    "Not": compute(_plainly(np.logical_not)),
    "Where": compute(_where),
    "ReduceProd": reduce(np.prod),
    "ReduceSum": reduce(np.sum, 13),
    "ReduceMin": reduce(np.min),
    "ReduceMax": reduce(np.max),
    "ReduceMean": reduce(np.mean),
}


def fold(step: Step, inputs: list[Array]) -> list[Array]:
    """Returns what a node makes of arrays.

    Raises:
        Unsupported: it cannot be told while reading.
        FormatError: the node cannot take such arrays.
    """
    if step.layer.op not in FOLDS:
        raise Unsupported("acts on stored arrays only, which is not computed while reading")
    try:
        made = FOLDS[step.layer.op](step, inputs)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError, AttributeError) as error:
        raise step.damaged(f"cannot be computed from its stored inputs ({type(error).__name__})") from None
    results = made if isinstance(made, list) else [made]
    return [tidy(np.asarray(result)) for result in results]
