"""MXNet's .params: a list of named arrays, of all the format's versions, as views into the mapped file.

Layout (ndarray.cc): the list's mark and a reserved number, the arrays' count, the arrays, the names' count, the names.
An array of the first years has no mark of its own and 32-bit sizes; three marked versions followed.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

import numpy as np

from zoo.errors import FormatError, UnsupportedError
from zoo.formats.mapped import mapped

MARK = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
MAX_ARRAYS = 100_000
MAX_NAME = 500
MAX_RANK = 32
_EXPECTED = "MXNet .params"
_BFLOAT16 = 12
_TYPES: dict[int, str] = {
    0: "<f4",
    1: "<f8",
    2: "<f2",
    3: "u1",
    4: "<i4",
    5: "i1",
    6: "<i8",
    7: "?",
    8: "<i2",
    9: "<u2",
    10: "<u4",
    11: "<u8",
    _BFLOAT16: "<u2",
}


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads all arrays of a .params file.

    Args:
        path: written by `Module.save_checkpoint`, `export`, `save_parameters` or `nd.save` of any version of MXNet.

    Returns:
        Name, without `arg:` and `aux:`, -> array; a read-only view into the file (bfloat16 as float32, a copy).

    Raises:
        UnsupportedError: the file holds sparse arrays.
        FormatError: the file is damaged, or its arrays have no names.
    """
    return _Reader(path).arrays()


class _Reader:
    """A place in the mapped file; no number is believed before what it counts is known to be there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: mmap.mmap = mapped(path, _EXPECTED)
        self.at = 0

    def arrays(self) -> dict[str, np.ndarray]:
        mark, _ = self.numbers("QQ", "its mark") if len(self.data) >= 16 else (0, 0)
        if mark != MARK:
            raise FormatError(f"{self.path.name}: does not begin with the mark 0x112 of {_EXPECTED}")
        (count,) = self.numbers("Q", "the number of arrays")
        if count > min(MAX_ARRAYS, (len(self.data) - self.at) // 4):
            raise self.damaged(f"claims {count:,} arrays, the file has {len(self.data):,} bytes")
        arrays = [self.array(f"array {i + 1} of {count}") for i in range(count)]
        (names,) = self.numbers("Q", "the number of names")
        if names != count:
            reason = "; its arrays have no names, so nothing tells what they are" if names == 0 else ""
            raise self.damaged(f"holds {count:,} arrays and {names:,} names{reason}")
        found: dict[str, np.ndarray] = {}
        for array in arrays:
            name = self.name()
            if name in found:
                raise self.damaged(f"holds {name!r} twice")
            found[name] = array
        if self.at != len(self.data):
            raise self.damaged(f"goes on for {len(self.data) - self.at:,} bytes behind its last name")
        return found

    def array(self, which: str) -> np.ndarray:
        (mark,) = self.numbers("I", which)
        if mark in (V2, V3):
            (storage,) = self.numbers("i", which)
            if storage in (1, 2):
                raise UnsupportedError(
                    f"{self.path.name}: {which} is sparse; convert it to dense storage with MXNet's tostype('default')"
                )
            if storage not in (0, -1):
                raise self.damaged(f"{which} has the unknown storage type {storage}")
        if mark in (V1, V2, V3):
            (rank,) = self.numbers("i", which)
            shape = self.sizes(rank, "q", which) if rank >= 0 or mark != V3 else None
        else:
            rank = mark  # the first years' arrays begin with it
            shape = self.sizes(rank, "I", which)
        if shape is None or (rank == 0 and mark != V3):  # an array that was never filled: nothing follows
            return np.zeros(0, np.float32)
        *_, kind = self.numbers("iii", which)  # device type and number, type of the numbers
        if kind not in _TYPES:
            raise self.damaged(f"{which} has the unknown type {kind}")
        dtype = np.dtype(_TYPES[kind])
        count = math.prod(shape)
        left = len(self.data) - self.at
        if count * dtype.itemsize > left:
            raise self.damaged(f"{which} has shape {shape[:8]}, {count * dtype.itemsize:,} bytes; {left:,} are left")
        array = np.frombuffer(self.data, dtype, count, self.at).reshape(shape)
        self.at += array.nbytes
        return _widened(array) if kind == _BFLOAT16 else array

    def sizes(self, rank: int, kind: str, which: str) -> tuple[int, ...]:
        if not 0 <= rank <= MAX_RANK:
            raise self.damaged(f"{which} begins with neither a known mark nor up to {MAX_RANK} axes")
        shape = self.numbers(f"{rank}{kind}", which)
        if any(not 0 < n < 1 << 40 for n in shape):
            raise self.damaged(f"{which} has the impossible shape {shape[:8]}")
        return shape

    def name(self) -> str:
        (length,) = self.numbers("Q", "a name")
        if length > min(MAX_NAME, len(self.data) - self.at):
            raise self.damaged(f"claims a name of {length:,} bytes")
        raw = self.data[self.at : self.at + length]
        self.at += length
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            raise self.damaged(f"has the name {raw[:40]!a}, which is no text") from None
        name = name[4:] if name.startswith(("arg:", "aux:")) else name
        if not name or not name.isprintable():
            raise self.damaged(f"has the name {name[:40]!a}; expected printable characters")
        return name

    def numbers(self, kinds: str, which: str) -> tuple[int, ...]:
        layout = struct.Struct("<" + kinds)
        if layout.size > len(self.data) - self.at:
            raise self.damaged(f"ends within {which}")
        found = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return found

    def damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.path.name}: byte {self.at:,}: {what}; expected {_EXPECTED}: fetch it again")


def _widened(array: np.ndarray) -> np.ndarray:
    """bfloat16, which numpy lacks: the upper half of a float32."""
    wide = (array.astype("<u4") << 16).view("<f4")
    wide.flags.writeable = False
    return wide
