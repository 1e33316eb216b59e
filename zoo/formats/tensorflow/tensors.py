"""TensorFlow's constants -> NumPy arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from zoo.errors import FormatError
from zoo.formats.tensorflow.schema import DTYPES
from zoo.formats.tensorflow.wire import RawNode

MAX_REPEATED = 1 << 24  # numbers that one stored number may stand for
_MAX_RANK = 32
_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "float16": "half_val",
    "bfloat16": "half_val",
}  # all others are in int_val


def dims(shape: Any, where: str) -> tuple[int | None, ...] | None:
    """Returns a TensorShapeProto's sizes, None for unknown ones; None if not even the rank is known."""
    if shape.unknown_rank:
        return None
    sizes = tuple(int(dim.size) for dim in shape.dim)
    if len(sizes) > _MAX_RANK or any(size < -1 or size > 1 << 40 for size in sizes):
        raise FormatError(f"{where}: impossible shape {sizes[:_MAX_RANK]}; the file is damaged")
    return tuple(None if size == -1 else size for size in sizes)


def dtype_of(node: RawNode, key: str, where: str) -> str:
    """Returns the NumPy name of an attribute's type, or `dtype 21` for one without."""
    value = node.attrs.get(key)
    number = value.type if value is not None else 0
    return DTYPES.get(number, f"dtype {number}")


def constant(node: RawNode, where: str) -> np.ndarray:
    """Returns a Const's array: a view of the file where its bytes are stored as they are.

    Numbers may be stored as bytes or one by one; of the latter, trailing equal ones are stored once.

    Raises:
        FormatError: there are fewer or more numbers than the shape says.
    """
    where = f"{where}: constant {node.name!r}"
    if "value" not in node.attrs:
        raise FormatError(f"{where}: has no value; the file is damaged")
    tensor = node.attrs["value"].tensor
    kind = DTYPES.get(tensor.dtype, "")
    shape = dims(tensor.tensor_shape, where)
    if shape is None or None in shape:
        raise FormatError(f"{where}: its shape is not known; the file is damaged")
    sizes = tuple(size or 0 for size in shape)
    count = math.prod(sizes)
    if kind == "string":
        return np.array([bytes(s) for s in tensor.string_val], dtype=object)
    if kind in ("", "resource"):
        raise FormatError(f"{where}: holds numbers of type {tensor.dtype}, which zoo cannot read")
    content = node.content if node.content is not None else memoryview(bytes(tensor.tensor_content))
    if node.content is not None and tensor.tensor_content:
        raise FormatError(f"{where}: has its numbers twice; the file is damaged")
    if len(content):
        return _from_bytes(content, kind, sizes, count, where)
    return _from_numbers(getattr(tensor, _FIELDS.get(kind, "int_val")), kind, sizes, count, where)


def _from_bytes(content: memoryview, kind: str, sizes: tuple[int, ...], count: int, where: str) -> np.ndarray:
    stored = np.dtype("<u2") if kind == "bfloat16" else np.dtype(kind).newbyteorder("<")
    if len(content) != count * stored.itemsize:
        raise FormatError(
            f"{where}: its shape {sizes} needs {count * stored.itemsize:,} bytes, the file holds {len(content):,}"
        )
    array = np.frombuffer(content, dtype=np.uint8 if kind == "bool" else stored)
    if kind == "bfloat16":
        array = _from_bfloat16(array)
    return (array != 0 if kind == "bool" else array).reshape(sizes)


def _from_numbers(values: Any, kind: str, sizes: tuple[int, ...], count: int, where: str) -> np.ndarray:
    if len(values) > count or (len(values) < count and count > MAX_REPEATED):
        raise FormatError(f"{where}: its shape {sizes} needs {count:,} numbers, the file holds {len(values):,}")
    if kind in ("float16", "bfloat16"):
        bits = (np.array(list(values), dtype=np.int64) & 0xFFFF).astype("<u2")
        array = _from_bfloat16(bits) if kind == "bfloat16" else bits.view("<f2")
    else:
        with np.errstate(all="ignore"):
            array = np.array(list(values), dtype=np.int64 if kind in _SMALL else kind).astype(kind)
    if array.size == count:
        return array.reshape(sizes)
    if array.size == 0:
        return np.zeros(sizes, dtype=array.dtype)
    whole = np.empty(count, dtype=array.dtype)
    whole[: array.size], whole[array.size :] = array, array[-1]
    return whole.reshape(sizes)


_SMALL = {"int32", "uint8", "int16", "int8", "uint16"}


def _from_bfloat16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype("<u4") << 16).view("<f4")
