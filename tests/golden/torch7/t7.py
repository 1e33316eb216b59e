"""Writes .t7 files as Torch7's torch.save does; shares nothing with zoo's reader.

Modules are `M`; lists and dicts are Lua tables, arrays tensors of their dtype, `Long` a LongStorage. Objects that are
met twice are written once.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

TYPES = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short", "i1": "Char"}
TYPES["u1"] = "Byte"


class M:
    """An object of a Torch class: name, fields, version."""

    def __init__(self, name: str, *children: Any, version: int = 1, **fields: Any) -> None:
        self.name = name
        self.version = version
        self.fields: dict[Any, Any] = fields
        if children:
            self.fields["modules"] = list(children)

    def __getattr__(self, key: str) -> Any:
        return self.__dict__["fields"].get(key)

    @property
    def base(self) -> str:
        return self.name.rpartition(".")[2]


class Long:
    """A LongStorage."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = np.array(numbers, np.int64)


class View:
    """A tensor over a part of an array's storage: offset (from 0), shape, strides."""

    def __init__(self, base: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.base, self.offset, self.shape, self.strides = base, offset, shape, strides


class Function:
    """A Lua function with an upvalue."""


class Writer:
    """One file. `order` is < or >, `long` 8 or 4; `ascii` overrides both; `cuda` writes floats as torch.CudaTensor;
    `versions` off leaves the version strings out, as files did before there were versions."""

    def __init__(
        self, order: str = "<", long: int = 8, *, ascii: bool = False, cuda: bool = False, versions: bool = True
    ) -> None:
        self.order, self.long_code = order, {8: "q", 4: "i"}[long]
        self.ascii, self.cuda, self.versions = ascii, cuda, versions
        self.out: list[bytes] = []
        self.memo: dict[Any, int] = {}
        self.kept: list[Any] = []  # ids stay valid

    def int(self, n: int) -> None:
        self.out.append(b"%d\n" % n if self.ascii else struct.pack(self.order + "i", n))

    def longs(self, numbers: Any) -> None:
        numbers = [int(n) for n in numbers]
        if self.ascii:
            self.out.append(b" ".join(b"%d" % n for n in numbers) + b"\n" if numbers else b"")
        else:
            self.out.append(struct.pack(f"{self.order}{len(numbers)}{self.long_code}", *numbers))

    def string(self, text: str) -> None:
        raw = text.encode()
        self.int(len(raw))
        self.out.append(raw + (b"\n" if self.ascii and raw else b""))

    def index(self, key: Any) -> bool:
        """Writes an object's number; says whether the object itself has to follow."""
        known = key in self.memo
        self.memo.setdefault(key, len(self.memo) + 1)
        self.int(self.memo[key])
        return not known

    def head(self, name: str, version: int = 1) -> None:
        if self.versions:
            self.string(f"V {version}")
        self.string(name)

    def storage(self, array: np.ndarray) -> None:
        code = array.dtype.str[1:]
        kind = "" if self.cuda and code == "f4" else TYPES[code]
        self.int(4)
        self.kept.append(array)
        if not self.index(("storage", id(array))):
            return
        self.head(f"torch.{'Cuda' if self.cuda and code != 'i8' else ''}{kind}Storage")
        self.longs([array.size])
        flat = array.ravel(order="K")
        if code == "i8":
            self.longs(flat)
        elif self.ascii and array.dtype.itemsize > 1:
            self.out.append(b" ".join(b"%.17g" % float(n) for n in flat) + b"\n" if flat.size else b"")
        else:
            self.out.append(flat.astype(flat.dtype.newbyteorder(self.order)).tobytes())
            if self.ascii and flat.size:
                self.out.append(b"\n")

    def tensor(self, value: np.ndarray | View) -> None:
        view = value if isinstance(value, View) else View(value, 0, value.shape, _strides(value.shape))
        self.int(4)
        self.kept.append(value)
        if not self.index(("tensor", id(value))):
            return
        code = view.base.dtype.str[1:]
        kind = "" if self.cuda and code == "f4" else TYPES[code]
        self.head(f"torch.{'Cuda' if self.cuda and code != 'i8' else ''}{kind}Tensor")
        empty = view.base.size == 0
        shape = () if empty else view.shape
        self.int(len(shape))
        self.longs(shape)
        self.longs(() if empty else view.strides)
        self.longs([view.offset + 1])
        if empty:
            self.int(0)
        else:
            self.storage(view.base)

    def value(self, value: Any) -> None:
        if value is None:
            self.int(0)
        elif isinstance(value, bool):
            self.int(5)
            self.int(int(value))
        elif isinstance(value, int | float):
            self.int(1)
            self.out.append(b"%.17g\n" % value if self.ascii else struct.pack(self.order + "d", value))
        elif isinstance(value, str):
            self.int(2)
            self.string(value)
        elif isinstance(value, np.ndarray | View):
            self.tensor(value)
        elif isinstance(value, Long):
            self.storage(value.numbers)
        elif isinstance(value, Function):
            self.int(8)
            if self.index(("function", id(value))):
                self.string("\x1bLJ bytecode")
                self.value({"upvalue": 1})
        else:
            self.composed(value)

    def composed(self, value: Any) -> None:
        self.kept.append(value)
        self.int(4 if isinstance(value, M) else 3)
        if not self.index(("object", id(value))):
            return
        if isinstance(value, M):
            self.head(value.name, value.version)
            if value.base == "DataParallelTable" and value.version >= 2:
                self.value([1, 2])
            self.value(value.fields)
            return
        items = list(value.items()) if isinstance(value, dict) else list(enumerate(value, 1))
        self.int(len(items))
        for key, entry in items:
            self.value(getattr(key, "inner", key))
            self.value(entry)


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))


def dumps(value: Any, order: str = "<", long: int = 8, **options: Any) -> bytes:
    """Returns the bytes of a file that holds one value."""
    writer = Writer(order, long, **options)
    writer.value(value)
    return b"".join(writer.out)
