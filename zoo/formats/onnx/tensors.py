"""ONNX's stored arrays: views into the mapped file, or into the file beside it that holds them."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import FormatError, UnsupportedError
from zoo.formats.mapped import mapped

MAX_RANK = 16

# ONNX's data type -> NumPy's, as raw_data has it; then the field that holds the numbers where raw_data does not.
_TYPES: dict[int, tuple[str, str]] = {
    1: ("<f4", "float_data"),
    2: ("u1", "int32_data"),
    3: ("i1", "int32_data"),
    4: ("<u2", "int32_data"),
    5: ("<i2", "int32_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("?", "int32_data"),
    10: ("<f2", "int32_data"),
    11: ("<f8", "double_data"),
    12: ("<u4", "uint64_data"),
    13: ("<u8", "uint64_data"),
    16: ("<u2", "int32_data"),  # bfloat16: the upper half of a float32
}
_BFLOAT16 = 16
_NAMES = {8: "string", 14: "complex64", 15: "complex128", 17: "float8", 18: "float8", 19: "float8", 20: "float8"}


@dataclass(frozen=True)
class Stored:
    """One array of the file, read when it is needed.

    Args:
        message: its Tensor message, without the numbers if `raw` holds them.
        raw: where the numbers lie in the mapped file; None if the message holds them.
        where: file and name, for messages.
    """

    message: Any
    raw: memoryview | None
    where: str


@dataclass
class Folder:
    """The files beside the network that hold arrays; each is mapped once."""

    path: Path
    _open: dict[str, mmap.mmap] = field(default_factory=dict)

    def content(self, name: str, where: str) -> memoryview:
        """Returns the bytes of a file in the same folder.

        Raises:
            FormatError: the name leads elsewhere, or there is no such file.
        """
        plain = name.removeprefix("./")
        if (
            not plain.isprintable()
            or plain in ("", ".", "..")
            or any(sign in plain for sign in "/\\:")
            or len(plain) > 255
        ):
            raise FormatError(
                f"{where}: its numbers lie in {name[:80]!a}; only a file in the network's own folder is read, "
                f"named without a folder"
            )
        if plain not in self._open:
            path = self.path / plain
            if not path.is_file():
                raise FormatError(f"{where}: its numbers lie in {plain}, which is not beside the network; put it there")
            self._open[plain] = mapped(path, "the arrays of an ONNX network")
        return memoryview(self._open[plain])


def dtype_of(data_type: int) -> np.dtype[Any] | None:
    """Returns NumPy's type for one of ONNX's numbered types, float32 for bfloat16; None if there is none."""
    if data_type == _BFLOAT16:
        return np.dtype("<f4")
    return np.dtype(_TYPES[data_type][0]) if data_type in _TYPES else None


def array(stored: Stored, folder: Folder) -> np.ndarray:
    """Returns a stored array, read-only; bfloat16 as float32.

    Raises:
        UnsupportedError: its type of numbers is none that zoo reads.
        FormatError: shape and numbers do not agree, or the file that should hold them does not.
    """
    message, where = stored.message, stored.where
    shape = tuple(message.dims)
    if len(shape) > MAX_RANK or any(n < 0 for n in shape):
        raise FormatError(f"{where}: impossible shape {shape[:MAX_RANK]}; the file is damaged")
    if message.data_type not in _TYPES:
        kind = _NAMES.get(message.data_type, f"number {message.data_type}")
        raise UnsupportedError(f"{where}: has the data type {kind}; floats, integers and booleans are read")
    dtype, key = _TYPES[message.data_type]
    count = math.prod(shape)
    numbers = _numbers(stored, folder, np.dtype(dtype), key, count)
    if numbers.size != count:
        raise FormatError(f"{where}: its shape {shape} needs {count:,} numbers, the file holds {numbers.size:,}")
    if message.data_type == _BFLOAT16:
        numbers = (numbers.astype(np.uint32) << 16).view("<f4")
    numbers = numbers.reshape(shape)
    numbers.flags.writeable = False
    return numbers


def _numbers(stored: Stored, folder: Folder, dtype: np.dtype[Any], key: str, count: int) -> np.ndarray:
    message = stored.message
    if message.data_location == 1 or message.external_data:
        raw = _external(stored, folder, dtype, count)
    elif stored.raw is not None:
        raw = stored.raw
    elif message.HasField("raw_data"):
        raw = memoryview(message.raw_data)
    else:
        return _listed(getattr(message, key), dtype, stored)
    if len(raw) % dtype.itemsize:
        raise FormatError(f"{stored.where}: {len(raw):,} bytes are no whole number of {dtype}; the file is damaged")
    if dtype == np.dtype("?"):
        return np.asarray(np.frombuffer(raw, dtype="u1") != 0)
    return np.frombuffer(raw, dtype=dtype)


def _listed(values: Any, dtype: np.dtype[Any], stored: Stored) -> np.ndarray:
    """Numbers that stand one by one: halves as 16 bits in an integer, small integers as they are."""
    if dtype.kind in "f" and dtype.itemsize != 2:
        return np.asarray(np.array(values, dtype=dtype))
    wide = np.array(values, dtype=np.uint64 if dtype.kind == "u" and dtype.itemsize >= 4 else np.int64)
    if dtype == np.dtype("<f2"):
        return wide.astype(np.uint16).view("<f2")
    if dtype == np.dtype("?"):
        return np.asarray(wide != 0)
    return wide.astype(dtype)


def _external(stored: Stored, folder: Folder, dtype: np.dtype[Any], count: int) -> memoryview:
    entries = {bytes(entry.key): bytes(entry.value) for entry in stored.message.external_data}
    if b"location" not in entries:
        raise FormatError(f"{stored.where}: its numbers lie in another file, which it does not name")
    content = folder.content(entries[b"location"].decode("utf-8", errors="replace"), stored.where)
    offset = _whole(entries, b"offset", 0, stored.where)
    needed = count * dtype.itemsize
    length = _whole(entries, b"length", needed, stored.where)
    if length != needed or offset + length > len(content):
        raise FormatError(
            f"{stored.where}: needs {needed:,} bytes, its entry says {length:,} from byte {offset:,} of a file of "
            f"{len(content):,}; the two files do not belong together"
        )
    return content[offset : offset + length]


def _whole(entries: dict[bytes, bytes], key: bytes, default: int, where: str) -> int:
    text = entries.get(key)
    if text is None:
        return default
    if not text.isdigit() or len(text) > 18:
        raise FormatError(f"{where}: has the {key.decode()} {text[:40]!r}; expected a whole number")
    return int(text)
