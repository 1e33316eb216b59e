"""Safetensors (.safetensors): arrays by name, as a JSON header and one run of numbers.

The safetensors library copies each array and lets some things pass that no writer makes (names stated twice, unknown
keys). The header is little enough to be checked here in full, and the numbers are then views of the mapped file; the
tests hold every answer against the library's. Its writer holds all arrays in memory a second time; `write` holds one.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from zoo.arrays import contiguous
from zoo.errors import FormatError, UnsupportedError
from zoo.formats.mapped import mapped
from zoo.formats.pickles import shown
from zoo.formats.torch_tensors import BFLOAT16, MAX_NUMBER, MAX_RANK, bare_names, widened

MAX_HEADER = 8 << 20  # bytes: about 80,000 tensors; the format allows 100 MB, of which JSON makes gigabytes in memory

_PIECE = 1 << 22  # bytes written at a time
_PART = 1 << 26  # bytes brought into order at a time

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
# Known to the format but to no network here; named so that the message can tell them from damage.
UNREAD_DTYPES = ("F4", "F6_E2M3", "F6_E3M2", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64")
_ENTRY = {"dtype", "shape", "data_offsets"}


def told_by(head: bytes) -> bool:
    """Says whether a file's first bytes are a safetensors file's: a length below 2**40, then a JSON object."""
    return head[5:9] == b"\0\0\0{"


def write(path: Path, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Writes arrays to a new file, and returns its sha256, computed on the way.

    Args:
        path: the file.
        arrays: name -> array; written as little-endian float32, in C order of the axes it has.
        shapes: name -> the shape that is stated for it, of as many numbers.
    """
    from zoo.fetch.digest import Behind, Digester, Published

    header: dict[str, Any] = {"__metadata__": {"format": "convnet-zoo"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 64 - 8)  # the numbers begin where a processor likes to find them
    digester = Digester(Published(None, {}))
    with Behind(digester) as behind, path.open("wb", buffering=0) as stream:

        def put(data: memoryview) -> None:
            while data:
                count = stream.write(data[:_PIECE])
                behind.update(data[:count])
                data = data[count:]

        put(memoryview(len(told).to_bytes(8, "little") + told))
        for name in shapes:
            for part in _parts(arrays[name]):
                put(contiguous(part, np.dtype("<f4")).reshape(-1).view(np.uint8).data)
    return digester.hexdigest("sha256")


def _parts(array: np.ndarray) -> Iterator[np.ndarray]:
    """Cuts an array that has to be moved into parts along its first axis, so that only a part is held twice."""
    if not array.size:
        return
    if array.flags.c_contiguous or array.ndim < 2:
        yield array
        return
    step = max(1, len(array) * _PART // array.nbytes)
    for start in range(0, len(array), step):
        yield array[start : start + step]


def read(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Returns the arrays of a safetensors file by name, in the header's order.

    Args:
        path: the file.

    Returns:
        Read-only arrays of the file's own type and shape, views into the mapped file; bfloat16, which numpy lacks,
        comes as float32. `module.` and `_orig_mod.` are cut off as in `zoo.formats.pytorch`.

    Raises:
        FormatError: the header is damaged, or does not describe every byte of the file exactly once.
        UnsupportedError: a tensor has a type that zoo does not read, such as float8.
    """
    path = Path(path)
    return arrays(mapped(path, "a safetensors file"), path.name)


def arrays(data: mmap.mmap, where: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a mapped safetensors file; see `read`. `where` is its name, for messages."""
    header, start = _header(data, where)
    _check_metadata(header.pop("__metadata__", {}), where)
    if not header:
        raise FormatError(f"{where}: the safetensors header names no tensors; fetch the file again")
    places = {name: _place(entry, f"{where}: {shown(name)}") for name, entry in header.items()}
    _check_cover(places, len(data) - start, where)
    found = {name: _array(data, start, *place) for name, place in places.items()}
    return bare_names(found, where)


Place = tuple[str, tuple[int, ...], int, int]
"""dtype, shape, first byte and the byte behind the last, counted from the header's end."""


def _header(data: mmap.mmap, where: str) -> tuple[dict[str, Any], int]:
    """Returns the parsed header and the position of the first number."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 10 or data[8:9] != b"{":
        raise FormatError(f"{where}: not a safetensors file (first bytes {data[:9].hex(' ')})")
    if length > MAX_HEADER:
        raise FormatError(f"{where}: states a safetensors header of {length} bytes; at most {MAX_HEADER} are read")
    if 8 + length > len(data):
        raise FormatError(
            f"{where}: cut inside the safetensors header: {length} bytes stated, {len(data) - 8} there; fetch it again"
        )
    try:
        header = json.loads(
            data[8 : 8 + length].decode("utf-8"), object_pairs_hook=_without_doubles, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: damaged safetensors header ({shown(str(error))}); fetch the file again") from None
    return header, 8 + length


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = set()
        doubled = next(name for name, _ in pairs if name in names or names.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{shown(doubled, 40)!r} stands twice")
    return made


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _check_metadata(metadata: Any, where: str) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError(f"{where}: __metadata__ of a safetensors file holds text only; the file is damaged")


def _place(entry: Any, where: str) -> Place:
    if not isinstance(entry, dict) or entry.keys() != _ENTRY:
        raise FormatError(f"{where}: expected dtype, shape and data_offsets; the safetensors header is damaged")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype in UNREAD_DTYPES:
        raise UnsupportedError(f"{where}: numbers of type {dtype}, which zoo does not read")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FormatError(f"{where}: unknown dtype {shown(str(dtype), 20)!r}; expected one of: {', '.join(DTYPES)}")
    if not _are_numbers(shape) or len(shape) > MAX_RANK or not _are_numbers(offsets) or len(offsets) != 2:
        raise FormatError(
            f"{where}: its shape or data_offsets are not whole numbers from 0 up, at most {MAX_RANK} and exactly 2 of "
            "them; the file is damaged"
        )
    begin, end = offsets
    needed = math.prod(shape) * _itemsize(dtype)
    if end - begin != needed:
        raise FormatError(f"{where}: its shape needs {needed} bytes, its data_offsets hold {end - begin}")
    return DTYPES[dtype], tuple(shape), begin, end


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < MAX_NUMBER for number in value)


def _itemsize(dtype: str) -> int:
    return 2 if dtype == "BF16" else np.dtype(DTYPES[dtype]).itemsize


def _check_cover(places: dict[str, Place], size: int, where: str) -> None:
    """Every byte behind the header belongs to exactly one tensor."""
    reached = 0
    for name, (_, _, begin, end) in sorted(places.items(), key=lambda item: item[1][2:]):
        if begin != reached:
            what = "overlaps the one before it" if begin < reached else "leaves a hole before it"
            raise FormatError(f"{where}: {shown(name)}: begins at byte {begin}, which {what}; the file is damaged")
        reached = end
    if reached != size:
        raise FormatError(
            f"{where}: the safetensors header describes {reached} bytes of numbers, the file holds {size}; "
            "fetch it again"
        )


def _array(data: mmap.mmap, start: int, dtype: str, shape: tuple[int, ...], begin: int, end: int) -> np.ndarray:
    raw = np.dtype("<u2" if dtype == BFLOAT16 else dtype)
    if begin == end:
        flat = np.empty(0, raw)  # frombuffer takes no empty view, and none at the file's end
        flat.flags.writeable = False
    else:
        flat = np.frombuffer(data, raw, (end - begin) // raw.itemsize, start + begin)
    return (widened(flat) if dtype == BFLOAT16 else flat).reshape(shape)
