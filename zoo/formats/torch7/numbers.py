"""Numbers and texts of a .t7 file, binary of either byte order and either length of a long, or in ASCII."""

from __future__ import annotations

import re
import struct
from typing import Any, Protocol

import numpy as np

KINDS = {
    "Byte": "u1",
    "Char": "i1",
    "Short": "i2",
    "Int": "i4",
    "Long": "i8",
    "Half": "f2",
    "Float": "f4",
    "Double": "f8",
}
TOKEN = re.compile(rb"\s*([^\s]{1,400})")
REST = re.compile(rb"\s*\Z")


class Damaged(Exception):
    """The bytes cannot be what they should; caught where the file's name is known."""


class Source(Protocol):
    """What an object's reader needs.

    Every size is compared with what is left of the file before anything is made of it.
    """

    smallest: int  # bytes that the shortest object takes

    def integer(self) -> int: ...
    def number(self) -> float: ...
    def longs(self, count: int) -> tuple[int, ...]: ...
    def text(self) -> str: ...
    def skip_text(self) -> None: ...
    def array(self, kind: str) -> np.ndarray: ...
    def expect(self, count: int, size: int, what: str) -> None: ...
    def at_end(self) -> bool: ...


class Binary:
    """What Torch's DiskFile writes in binary.

    Args:
        data: the mapped file.
        order: `<` or `>`.
        long: bytes of a long, 8 or 4.
    """

    smallest = 4

    def __init__(self, data: Any, order: str, long: int) -> None:
        self._data = data
        self._at = 0
        self._order = order
        self._integer = struct.Struct(order + "i")
        self._number = struct.Struct(order + "d")
        self._long = {8: "q", 4: "i"}[long]
        self._long_size = long

    def _take(self, form: struct.Struct) -> Any:
        try:
            (found,) = form.unpack_from(self._data, self._at)
        except struct.error:
            raise Damaged(f"the file ends at byte {len(self._data)} inside an object") from None
        self._at += form.size
        return found

    def integer(self) -> int:
        return int(self._take(self._integer))

    def number(self) -> float:
        return float(self._take(self._number))

    def longs(self, count: int) -> tuple[int, ...]:
        self.expect(count, self._long_size, "numbers")
        form = struct.Struct(f"{self._order}{count}{self._long}")
        found = form.unpack_from(self._data, self._at)
        self._at += form.size
        return found

    def expect(self, count: int, size: int, what: str) -> None:
        if not 0 <= count * size <= len(self._data) - self._at:
            left = len(self._data) - self._at
            raise Damaged(f"{count} {what} announced at byte {self._at}, {left} bytes before the end")

    def text(self) -> str:
        start = self._skip()
        return bytes(self._data[start : self._at]).decode("latin-1")

    def skip_text(self) -> None:
        self._skip()

    def _skip(self) -> int:
        size = self.integer()
        self.expect(size, 1, "characters")
        self._at += size
        return self._at - size

    def array(self, kind: str) -> np.ndarray:
        (count,) = self.longs(1)
        name = f"i{self._long_size}" if kind == "Long" else KINDS[kind]
        dtype = np.dtype(self._order + name)
        self.expect(count, dtype.itemsize, "numbers in a storage")
        found = np.frombuffer(self._data, dtype, count, self._at) if count else np.empty(0, dtype)
        self._at += count * dtype.itemsize
        return found

    def at_end(self) -> bool:
        return self._at >= len(self._data)


class Ascii:
    """What Torch's DiskFile writes in ASCII: each number or array a line, bytes and characters as they are."""

    smallest = 2

    def __init__(self, data: Any) -> None:
        self._data = data
        self._at = 0

    def _token(self) -> bytes:
        found = TOKEN.match(self._data, self._at)
        if found is None:
            raise Damaged(f"expected a number at byte {self._at}")
        self._at = found.end()
        self._end_of_line()
        return found[1]

    def _end_of_line(self) -> None:
        if self._data[self._at : self._at + 1] == b"\n":
            self._at += 1

    def integer(self) -> int:
        token = self._token()
        try:
            return int(token if len(token) <= 20 else b"")
        except ValueError:
            raise Damaged(f"expected a whole number before byte {self._at}") from None

    def number(self) -> float:
        token = self._token()
        try:
            return float(token)
        except ValueError:
            raise Damaged(f"expected a number before byte {self._at}") from None

    def longs(self, count: int) -> tuple[int, ...]:
        self.expect(count, 2, "numbers")
        return tuple(self.integer() for _ in range(count))

    def expect(self, count: int, size: int, what: str) -> None:
        # The last number of a file may have no line end behind it.
        left = len(self._data) - self._at + 1
        if not 0 <= count * size <= left:
            raise Damaged(f"{count} {what} announced at byte {self._at}, {left - 1} bytes before the end")

    def text(self) -> str:
        return self._characters().decode("latin-1")

    def skip_text(self) -> None:
        self._characters()

    def _characters(self) -> bytes:
        return self._raw(self.integer(), "characters")

    def _raw(self, count: int, what: str) -> bytes:
        self.expect(count, 1, what)
        found = bytes(self._data[self._at : self._at + count])
        if len(found) < count:
            raise Damaged(f"the file ends at byte {len(self._data)} inside an object")
        self._at += count
        if count:
            self._end_of_line()
        return found

    def array(self, kind: str) -> np.ndarray:
        (count,) = self.longs(1)
        dtype = np.dtype(KINDS[kind])
        if kind in ("Byte", "Char"):
            return np.frombuffer(self._raw(count, "numbers in a storage"), dtype)
        self.expect(count, 2, "numbers in a storage")
        if count == 0:
            return np.empty(0, dtype)
        end = self._data.find(b"\n", self._at)
        end = len(self._data) if end < 0 else end
        words = bytes(self._data[self._at : end]).split()
        if len(words) != count:
            raise Damaged(f"{count} numbers announced at byte {self._at}, the line has {len(words)}")
        self._at = end
        self._end_of_line()
        try:
            # Whole numbers must not pass through floats: a long has more digits.
            plain = np.array([int(word) for word in words]) if dtype.kind == "i" else np.array(words, dtype=np.float64)
            with np.errstate(all="ignore"):
                found = plain.astype(dtype)
        except (ValueError, OverflowError):
            raise Damaged(f"the {count} numbers before byte {self._at} are none") from None
        found.flags.writeable = False
        return found

    def at_end(self) -> bool:
        return REST.match(self._data, self._at) is not None
