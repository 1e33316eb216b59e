"""The objects of a .t7 file as plain records: tables, tensors, and Torch objects by the name of their class.

Nothing is executed: a class is a name, a function is skipped. Objects that the file refers to twice are one record,
and storages are views into the mapped file. Objects nest as deeply as a network is long, so no reading recurses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.errors import FormatError, UnsupportedError
from zoo.formats.pickles import shown
from zoo.formats.torch7.numbers import Ascii, Binary, Damaged, Source

MAX_DEPTH = 50_000  # an nngraph of a thousand layers nests about 5,000 deep
MAX_ROOTS = 100
MAX_RANK = 32  # what any numpy can hold
MAX_NAME = 200

NIL, NUMBER, STRING, TABLE, TORCH, BOOLEAN, FUNCTION, OLD_RECURSIVE_FUNCTION, RECURSIVE_FUNCTION = range(9)

NUMBERED = re.compile(r"torch\.(?:Cuda|Cl)?(Byte|Char|Short|Int|Long|Half|Float|Double)?(Tensor|Storage)")
OWN_LAYOUT = re.compile(r"tds\.|torch\.(Generator|\w*File|\w*Allocator|Timer)$")  # classes that write no table


@dataclass(eq=False)
class Table:
    """A Lua table; integral numbers are ints, and a boolean key is `(True,)` or `(False,)`."""

    items: dict[Any, Any] = field(default_factory=dict)

    def get(self, key: Any) -> Any:
        return self.items.get(key)

    def sequence(self) -> list[Any]:
        """The values of the keys 1, 2, 3, ... up to the first that is missing."""
        found: list[Any] = []
        while len(found) + 1 in self.items:
            found.append(self.items[len(found) + 1])
        return found


@dataclass(eq=False)
class Object:
    """An object of a Torch class, its fields usually a `Table`."""

    name: str
    version: int
    fields: Any = None

    def get(self, key: Any) -> Any:
        return self.fields.items.get(key) if isinstance(self.fields, Table) else None


@dataclass(eq=False)
class Function:
    """A Lua function, whose bytecode nobody looks at."""


@dataclass(eq=False)
class Storage:
    """A run of numbers: a read-only view into the file, or what was parsed of a file in ASCII."""

    numbers: np.ndarray


@dataclass(eq=False)
class Tensor:
    """A tensor as the file describes it, compared with its storage only when it is needed."""

    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    offset: int = 0
    storage: Storage | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape) if self.shape else 0

    def array(self, where: str) -> np.ndarray:
        """Returns the numbers as a read-only view.

        Raises:
            FormatError: the tensor reaches outside its storage.
            UnsupportedError: it repeats numbers, so that a few bytes could claim any amount of memory.
        """
        flat = np.empty(0, np.float32) if self.storage is None else self.storage.numbers
        if self.size == 0:
            raise FormatError(f"{where} is empty; expected numbers")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if min(self.strides) < 0 or self.offset < 0 or last >= flat.size:
            raise FormatError(f"{where} reaches outside its storage of {flat.size} numbers; fetch the file again")
        if self.size > flat.size:
            raise UnsupportedError(f"{where} is expanded, larger than its storage; save it after :contiguous()")
        # The stride of a dimension of length 1 is never walked, and may be too large for numpy.
        strides = [step * flat.itemsize if n > 1 else 0 for n, step in zip(self.shape, self.strides, strict=True)]
        return np.ndarray(self.shape, flat.dtype, buffer=flat, offset=self.offset * flat.itemsize, strides=strides)


def load(data: Any, where: str) -> list[Any]:
    """Returns the objects of a file, one after the other; nearly all files hold one.

    Args:
        data: the file's bytes, mapped.
        where: the file's name, for messages.

    Raises:
        FormatError: the bytes are no Torch7 file, or a damaged one.
        UnsupportedError: an object of a class that writes itself in a way of its own.
    """
    head = bytes(data[:4])
    little, big = (int.from_bytes(head, order) for order in ("little", "big"))
    if head[:1].isdigit() or head[:1].isspace():
        sources: list[Source] = [Ascii(data)]
    elif len(head) == 4 and (little <= RECURSIVE_FUNCTION or big <= RECURSIVE_FUNCTION):
        order = "<" if little <= RECURSIVE_FUNCTION else ">"
        sources = [Binary(data, order, 8), Binary(data, order, 4)]  # nothing in a file says how long a long is
    else:
        raise FormatError(f"{where}: is no Torch7 file: it does not begin with the type of an object")
    told: list[FormatError] = []
    for source in sources:
        try:
            return _Reader(source, where).everything()
        except Damaged as error:
            told.append(FormatError(f"{where}: is damaged or cut short: {error}; fetch the file again"))
        except UnsupportedError as error:
            told.append(error)
    raise told[0]


Making = Generator[None, Any, Any]


class _Reader:
    """Reads objects from a source of numbers; every `yield` of a maker asks for the next object."""

    def __init__(self, source: Source, where: str) -> None:
        self._source = source
        self._where = where
        self._memo: dict[int, Any] = {}

    def everything(self) -> list[Any]:
        found = [self._value()]
        while not self._source.at_end():
            found.append(self._value())
            if len(found) > MAX_ROOTS:  # a file of zeros would be one nil after the other
                raise Damaged(f"more than {MAX_ROOTS} objects stand one after the other")
        return found

    def _value(self) -> Any:
        result, making = self._begin()
        stack = [making] if making is not None else []
        while stack:
            try:
                stack[-1].send(result)
            except StopIteration as stop:
                stack.pop()
                result = stop.value
                continue
            result, making = self._begin()
            if making is not None:
                stack.append(making)
                result = None
                if len(stack) > MAX_DEPTH:
                    raise Damaged(f"objects are nested more than {MAX_DEPTH:,} deep")
            # A finished value goes to the maker on top in the next turn.
        return result

    def _begin(self) -> tuple[Any, Making | None]:
        """Reads the beginning of an object: its value, or the maker of a composed one, already at its first need."""
        source = self._source
        kind = source.integer()
        if kind == NIL:
            return None, None
        if kind == NUMBER:
            return _integral(source.number()), None
        if kind == STRING:
            return source.text(), None
        if kind == BOOLEAN:
            return source.integer() != 0, None
        if kind == FUNCTION:
            return None, self._function(Function())
        if kind not in (TABLE, TORCH, OLD_RECURSIVE_FUNCTION, RECURSIVE_FUNCTION):
            raise Damaged(f"an object of type {kind}; expected 0 to 8")
        index = source.integer()
        if index in self._memo:
            return self._memo[index], None
        if kind == TABLE:
            return None, self._table(self._remember(index, Table()))
        if kind == TORCH:
            return None, self._torch(index)
        return None, self._function(self._remember(index, Function()))

    def _remember(self, index: int, value: Any) -> Any:
        self._memo[index] = value
        return value

    def _function(self, function: Function) -> Making:
        self._source.skip_text()
        yield  # its upvalues
        return function

    def _table(self, table: Table) -> Making:
        count = self._source.integer()
        self._source.expect(count, 2 * self._source.smallest, "entries in a table")
        for _ in range(count):
            key = yield
            value = yield
            if key is None or key != key:
                raise Damaged("a table has a key that is nil or no number")
            table.items[(key,) if isinstance(key, bool) else key] = value
        return table

    def _torch(self, index: int) -> Making:
        name, version = self._source.text(), 0
        if told := re.fullmatch(r"V (-?\d{1,9})", name):
            name, version = self._source.text(), int(told[1])
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise Damaged(f"{shown(name, 40)!r} is no name of a class")
        if numbered := NUMBERED.fullmatch(name):
            kind = numbered[1] or "Float"
            if numbered[2] == "Storage":
                return self._remember(index, Storage(self._source.array(kind)))
            return (yield from self._tensor(self._remember(index, Tensor())))
        if OWN_LAYOUT.match(name):
            raise UnsupportedError(
                f"{self._where}: holds an object of class {name}, which zoo does not read; save the network on its own"
            )
        made = self._remember(index, Object(name, version))
        if name == "nn.DataParallelTable" and version >= 2:
            yield  # the numbers of the graphics cards stand before the fields
        made.fields = yield
        return made

    def _tensor(self, tensor: Tensor) -> Making:
        source = self._source
        rank = source.integer()
        if not 0 <= rank <= MAX_RANK:
            raise Damaged(f"a tensor of {rank} dimensions")
        tensor.shape, tensor.strides = source.longs(rank), source.longs(rank)
        tensor.offset = source.longs(1)[0] - 1  # Lua counts from 1
        if any(n < 0 for n in tensor.shape):
            raise Damaged(f"a tensor of shape {tensor.shape}")
        storage = yield
        if storage is not None and not isinstance(storage, Storage):
            raise Damaged("a tensor whose storage is something else")
        tensor.storage = storage
        return tensor


def _integral(number: float) -> float | int:
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
