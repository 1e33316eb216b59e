"""Arrays that NumPy saved (.npz, .npy), read without unpickling: names and arrays, no graph.

A .npz is a zip of .npy files, one an array. A .npy begins with what its array is: of numbers, which follow, or of
Python objects, which follow as a pickle. Such a pickle is read as data (`zoo.formats.pickles`), as far as it holds
arrays of numbers in dicts and lists; numbers stay where they lie in the file. Strings that Python 2 wrote are bytes of
Latin-1. `numpy.save` has written protocol 2 and later ones; the text of protocol 0 has no room for numbers.

An array's name is the way to it, with `/` between the steps: `conv1_1/0` is the first of the list under `conv1_1`.
"""

from __future__ import annotations

import io
import mmap
import re
from collections.abc import Iterator
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from zoo.errors import FormatError
from zoo.formats import pickles, zips
from zoo.formats.mapped import mapped
from zoo.formats.pickles import Constructor, Global, Raw, opaque, ordered_dict, shown

MAGIC = b"\x93NUMPY"
MAX_HEADER = 10_000  # bytes; what numpy itself reads of files that nobody vouches for
MAX_RANK = 32
MAX_NUMBER = 2**63
MAX_ARRAYS = 100_000
MAX_NAME = 500  # characters
INFLATED = 64 << 20  # bytes that any archive's members may take
EXPANSION = 16  # times the archive's own size that a large one's may; weights deflate by a tenth
ADVICE = "save the arrays alone with numpy.savez"

_HEADER = re.compile(
    r"\{'descr': '([^']{1,20})', 'fortran_order': (True|False), 'shape': \((|\d+L?,|\d+L?(?:, \d+L?)+)\), \}\s*\Z"
)
_TEXT = re.compile(r"[<>|=]?[US]\d{0,6}\Z")
_NUMBERS = re.compile(r"[<>|=]?(f[248]|[iu][1248]|b1)\Z")
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")

Content = Any
"""What a pickle holds: dicts, lists, `_Array`s, and values that are left out."""


def read(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Returns the arrays of a file by name, in the file's order.

    Args:
        path: a file that numpy.savez, or numpy.save of a dict or list of arrays, wrote.

    Returns:
        Read-only arrays of the file's own type, in this machine's order of bytes, and shape.

    Raises:
        FormatError: the file is damaged, holds no arrays, or names anything but arrays and plain containers.
    """
    path = Path(path)
    data = mapped(path, "arrays that NumPy saved")
    where = path.name
    if data[:4] == b"PK\x03\x04":
        found = dict[str, Content]()
        for name, member in _members(data, where):
            if name in found:
                raise FormatError(f"{where}: holds {shown(name)!r} twice; fetch the file again")
            found[name] = member
    else:
        found = _content(data, 0, len(data), where)
        if isinstance(found, np.ndarray):
            raise FormatError(f"{where}: holds one array without a name; expected a dict of arrays, or .npz")
    arrays = dict[str, np.ndarray]()
    for name, array in _named(found):
        if len(name) > MAX_NAME or not name.isprintable() or len(arrays) >= MAX_ARRAYS or name in arrays:
            raise FormatError(f"{where}: {shown(name, 40)!r} is no name of an array, or one of too many; it is damaged")
        arrays[name] = array
    if not arrays:
        raise FormatError(f"{where}: holds no arrays of numbers; expected a dict of them, or .npz")
    return arrays


# ---------------------------------------------------------------------------------------------------------- containers


def _members(data: mmap.mmap, where: str) -> Iterator[tuple[str, Content]]:
    """Yields name and content of each member of a .npz; those that are stored plainly stay in the file."""
    left = max(INFLATED, EXPANSION * len(data))
    for member in zips.members(data, where):
        name, place = member.filename.removesuffix(".npy"), f"{where}: {shown(member.filename)}"
        if name == member.filename:
            raise FormatError(f"{place}: is no array (.npy); expected what numpy.savez writes")
        if member.compress_type == 0 and not member.flag_bits & 1:
            start = zips.start_of(data, member, where)
            yield name, _content(data, start, start + member.file_size, place)
        else:
            out = io.BytesIO()
            zips.unpack(data, member, where, left, out)
            left -= member.file_size
            yield name, _content(out.getvalue(), 0, member.file_size, place)


def _content(data: mmap.mmap | bytes, start: int, end: int, where: str) -> Content:
    """Returns the array of a .npy that lies in some bytes, or what its pickle holds."""
    if end > len(data) or data[start : start + 6] != MAGIC or end - start < 12:
        raise FormatError(f"{where}: does not begin as arrays of NumPy do, or is cut; fetch the file again")
    width = 2 if data[start + 6] == 1 else 4
    length = int.from_bytes(data[start + 8 : start + 8 + width], "little")
    numbers = start + 8 + width + length
    if length > MAX_HEADER or numbers > end or data[start + 6] not in (1, 2, 3):
        raise FormatError(f"{where}: its header is too long, or of another version; fetch the file again")
    header = _HEADER.match(data[start + 8 + width : numbers].decode("latin-1"))
    if header is None:
        raise FormatError(f"{where}: its header does not say what array it is; only numbers and objects are read")
    kind, fortran, sizes = header.groups()
    if kind.strip("|<>=").startswith("O"):
        return _unpickled(data, numbers, where)
    if _TEXT.match(kind):  # a note beside the weights
        return None
    shape = tuple(int(size) for size in re.findall(r"\d+", sizes))
    return _array(data, numbers, end - numbers, kind, shape, fortran == "True", where)


def _array(
    data: mmap.mmap | bytes, start: int, length: int, kind: str, shape: tuple[int, ...], fortran: bool, where: str
) -> np.ndarray:
    """Returns numbers in place, read-only, after their extent was checked.

    Args:
        data: bytes that hold them.
        start: the first byte.
        length: how many there are.
        kind: as numpy writes a type: `<f4`.
        shape: of the array.
        fortran: whether the first axis is the fastest.
        where: of what, for messages.
    """
    if not _NUMBERS.match(kind):
        raise FormatError(f"{where}: holds values of type {shown(kind, 20)!r}; only numbers are read")
    dtype = np.dtype(kind)
    if len(shape) > MAX_RANK or any(size >= MAX_NUMBER for size in shape) or prod(shape) * dtype.itemsize != length:
        raise FormatError(f"{where}: an array of shape {shown(str(shape))} in {length} bytes; fetch the file again")
    flat = np.frombuffer(data, dtype, length // dtype.itemsize, start) if length else np.empty(0, dtype)
    try:
        array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    except ValueError:  # a size of 0 beside sizes beyond what numpy can count
        raise FormatError(f"{where}: an array of the impossible shape {shown(str(shape))}; fetch it again") from None
    array = array.astype(dtype.newbyteorder("="), copy=not dtype.isnative)
    array.flags.writeable = False
    return array


def _named(content: Content, name: str = "", depth: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Yields name and array of all that is in containers, which stand at most three inside each other."""
    if isinstance(content, _Array):
        content = content.value
    if isinstance(content, np.ndarray):
        yield name, content
    elif isinstance(content, dict | list | tuple) and depth < 4:
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from _named(value, f"{name}/{key}" if name else str(key), depth + 1)


# -------------------------------------------------------------------------------------------------------------- pickle


def _unpickled(data: mmap.mmap | bytes, start: int, where: str) -> Content:
    stream = io.BytesIO(data) if isinstance(data, bytes) else cast(BinaryIO, data)
    stream.seek(start)
    return pickles.load(stream, where=where, allowed=_allowed(data, where), raw=True, advice=ADVICE)


class _Type(pickles.Stateful):
    """A numpy.dtype: its letter and size, then its order of bytes."""

    def __init__(self, kind: str) -> None:
        self.kind, self.order = kind, "|"

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or state[1] not in ("<", ">", "|", "="):
            raise ValueError("a type's state")
        self.order = state[1]


class _Array(pickles.Stateful):
    """A numpy.ndarray: nothing, then shape, type and numbers, or objects."""

    def __init__(self, data: mmap.mmap | bytes, where: str) -> None:
        self.data, self.where = data, where
        self.value: Content = None

    def build(self, state: Any) -> None:
        _, shape, kind, fortran, numbers = state
        if not isinstance(kind, _Type) or not isinstance(shape, tuple):
            raise ValueError("an array's state")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError("an array's shape")
        if kind.kind.startswith("O"):
            # The list alone: an array of one object, as of a dict, is that object.
            self.value = numbers[0] if shape == () and isinstance(numbers, list) and len(numbers) == 1 else numbers
            return
        text = kind.order + kind.kind
        if isinstance(numbers, Raw):
            self.value = _array(self.data, numbers.start, numbers.length, text, shape, bool(fortran), self.where)
        else:
            held = numbers.encode("latin-1") if isinstance(numbers, str) else numbers
            if not isinstance(held, bytes):
                raise ValueError("an array's numbers")
            self.value = _array(held, 0, len(held), text, shape, bool(fortran), self.where)


def _allowed(data: mmap.mmap | bytes, where: str) -> dict[str, Constructor | None]:
    """Returns every name that pickled arrays may mention."""

    def array(args: tuple[Any, ...]) -> _Array:
        if args[:1] != (Global("numpy.ndarray"),):
            raise FormatError(f"{where}: holds an array of a type that is not numpy's own; {ADVICE}")
        return _Array(data, where)

    def encoded(args: tuple[Any, ...]) -> bytes:
        text, encoding = args
        if encoding not in ("latin1", "latin-1"):
            raise ValueError("bytes in another encoding than Latin-1")
        return bytes(text.encode("latin-1"))

    return {
        "numpy.ndarray": None,
        "numpy.dtype": lambda args: _Type(str(args[0])[:20]),
        **{f"{module}._reconstruct": array for module in _MODULES},
        **{f"{module}.scalar": opaque("scalar") for module in _MODULES},
        "_codecs.encode": encoded,
        "collections.OrderedDict": ordered_dict,
    }
