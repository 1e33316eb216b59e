"""Pickles read as data: a small opcode machine that never imports or calls anything the file names.

Python's own `pickle` looks names up and calls them, and even an unpickler with a list of allowed names can be talked
into much with those. Here the opcodes only move plain values about. A name outside the caller's table refuses the
file; a name in the table stands for one of the caller's own constructors, which make a value of a tuple of plain
values. State that an object's `__setstate__` would take (opcode BUILD) goes to values made to take it (`Stateful`), and
is dropped otherwise.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from zoo.errors import FormatError, UnsupportedError

MAX_OPCODES = 2_000_000  # about 50,000 tensors; one opcode costs at most a small container, so memory stays bounded
MAX_MEMO = 2**32  # what the binary opcodes can say
MAX_KEY = 2**60  # larger ints fold modulo 2**61-1 when hashed, so a file could make all its keys collide

MIN_RAW = 500  # bytes; shorter strings may be names
_LENGTHS = {"BINSTRING": 4, "BINBYTES": 4, "BINBYTES8": 8}  # opcode -> bytes of the number that says how long it is
ADVICE = "save model.state_dict() alone in PyTorch"

Constructor = Callable[[tuple[Any, ...]], Any]


@dataclass(frozen=True)
class Global:
    """A name from the file, `module.name`, that the table allows; nothing was imported."""

    name: str


@dataclass(frozen=True)
class Opaque:
    """A value of a type nobody looks into, such as the argparse.Namespace beside the weights of a training run."""

    kind: str


@dataclass(frozen=True)
class Raw:
    """A long string of bytes that stays where it lies."""

    start: int
    """First byte in the stream."""
    length: int


class Stateful:
    """A value whose state follows after it was made."""

    def build(self, state: Any) -> None:
        """Takes the state.

        Raises:
            ValueError: it is not of the expected kind; so may any error that `load` takes for damage.
        """
        raise NotImplementedError


def opaque(kind: str) -> Constructor:
    """Returns a constructor that ignores its arguments and leaves an `Opaque` of this kind."""
    return lambda _args: Opaque(kind)


def load(
    stream: BinaryIO,
    *,
    where: str,
    allowed: Mapping[str, Constructor | None],
    persistent: Callable[[Any], Any] | None = None,
    raw: bool = False,
    advice: str = ADVICE,
) -> Any:
    """Returns the value of the pickle that starts at the stream's position, and leaves the stream behind it.

    Args:
        stream: bytes in memory; the caller bounds their number.
        where: the file's name, for messages.
        allowed: global name (`torch.Size`) -> our constructor, or None for a name that is only mentioned (a type).
        persistent: what a persistent id stands for; without it such ids refuse the file.
        raw: whether strings of bytes above `MIN_RAW` come as `Raw`.
        advice: how to make a file that can be read, for messages.

    Raises:
        FormatError: the pickle is damaged, too large, or names a global that is not in the table.
    """
    machine = _Machine(where, allowed, persistent, advice)
    count = 0
    try:
        for opcode, argument, position in pickletools.genops(stream):
            machine.position = position
            count += 1
            if count > MAX_OPCODES:
                raise FormatError(f"{where}: pickle has more than {MAX_OPCODES} opcodes; too many for arrays and names")
            if opcode.name == "STOP":
                return machine.stack.pop()
            step = _STEPS.get(opcode.name)
            if step is None:
                raise UnsupportedError(
                    f"{where}: pickle opcode {opcode.name} at byte {position} belongs to no array or container; "
                    f"nothing was executed; {advice}"
                )
            if raw and opcode.name in _LENGTHS and isinstance(argument, str | bytes) and len(argument) > MIN_RAW:
                assert position is not None, "the stream can tell where it is"
                argument = Raw(position + 1 + _LENGTHS[opcode.name], len(argument))
            step(machine, argument)
    except FormatError:
        raise
    # A damaged pickle underflows the stack, misses a memo entry, or gives an opcode a value of another type.
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise FormatError(
            f"{where}: damaged pickle near byte {machine.position} ({shown(str(error))}); fetch the file again"
        ) from None
    raise FormatError(f"{where}: pickle ends without STOP; fetch the file again")


def shown(text: str, limit: int = 80) -> str:
    """Returns text from a file as one printable line of bounded length."""
    text = text[: limit + 1].encode("ascii", "backslashreplace").decode("ascii")
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= limit else text[:limit] + "..."


class _Machine:
    """The stack, the stacks saved by MARK, and the memo."""

    def __init__(
        self,
        where: str,
        allowed: Mapping[str, Constructor | None],
        persistent: Callable[[Any], Any] | None,
        advice: str,
    ) -> None:
        self.where = where
        self.advice = advice
        self.allowed = allowed
        self.persistent = persistent
        self.stack: list[Any] = []
        self.saved: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.position: int | None = 0

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.saved.pop()
        return items

    def find(self, name: str) -> Global:
        if name not in self.allowed:
            raise FormatError(
                f"{self.where}: names the Python object {shown(name)!r}; only tensors and plain containers are read, "
                f"nothing was executed; if you trust its maker, {self.advice}"
            )
        return Global(name)

    def call(self, callee: Any, args: Any) -> Any:
        if isinstance(callee, Opaque):
            return callee
        construct = self.allowed[callee.name] if isinstance(callee, Global) else None
        if construct is None or not isinstance(args, tuple):
            name = callee.name if isinstance(callee, Global) else f"a {type(callee).__name__}"
            raise FormatError(f"{self.where}: pickle calls {name} near byte {self.position}; nothing was executed")
        return construct(args)

    def remember(self, index: int) -> None:
        if not 0 <= index < MAX_MEMO:
            raise ValueError("memo index out of range")
        self.memo[index] = self.stack[-1]


Step = Callable[[_Machine, Any], None]


def _set_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, Opaque):
        return
    if not isinstance(target, dict) or len(items) % 2:
        raise TypeError("items set on something that is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        _set(target, key, value)


def _set(target: dict[Any, Any], key: Any, value: Any) -> None:
    # Hashing a deeply nested tuple overflows the C stack: other keys than names and numbers are dropped unhashed.
    if isinstance(key, str) or (isinstance(key, int) and abs(key) < MAX_KEY):
        target[key] = value


def _append_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, Opaque):
        return
    if not isinstance(target, list):
        raise TypeError("items appended to something that is no list")
    target.extend(items)


def _dict_of(items: list[Any]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    if len(items) % 2:
        raise ValueError("odd number of dict items")
    for key, value in zip(items[::2], items[1::2], strict=True):
        _set(made, key, value)
    return made


def ordered_dict(args: tuple[Any, ...]) -> dict[Any, Any]:
    """Constructor for collections.OrderedDict: empty, or from a list of pairs as Python 2 wrote it."""
    made: dict[Any, Any] = {}
    if args:
        (pairs,) = args
        if not isinstance(pairs, list):
            raise TypeError("an OrderedDict of something that is no list of pairs")
        for key, value in pairs:
            _set(made, key, value)
        pairs.clear()  # used up: a file that calls this again and again with one long list gains no memory by it
    return made


def _push(machine: _Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _nothing(machine: _Machine, argument: Any) -> None:
    pass


def _mark(machine: _Machine, argument: Any) -> None:
    machine.saved.append(machine.stack)
    machine.stack = []


def _pop(machine: _Machine, argument: Any) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _pop_mark(machine: _Machine, argument: Any) -> None:
    machine.pop_mark()


def _build(machine: _Machine, argument: Any) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    if isinstance(target, Stateful):
        target.build(state)


def _tuple_of(count: int) -> Step:
    def step(machine: _Machine, argument: Any) -> None:
        items = [machine.stack.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(items)))

    return step


def _from_mark(make: Callable[[list[Any]], Any]) -> Step:
    def step(machine: _Machine, argument: Any) -> None:
        items = machine.pop_mark()
        machine.stack.append(make(items))

    return step


def _set_item(machine: _Machine, argument: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set_items(machine, [key, value])


def _append(machine: _Machine, argument: Any) -> None:
    value = machine.stack.pop()
    _append_items(machine, [value])


def _get(machine: _Machine, argument: Any) -> None:
    machine.stack.append(machine.memo[int(argument)])


def _global(machine: _Machine, argument: Any) -> None:
    machine.stack.append(machine.find(".".join(str(argument).split(" ", 1))))


def _stack_global(machine: _Machine, argument: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise TypeError("a global's name is no text")
    machine.stack.append(machine.find(f"{module}.{name}"))


def _call(machine: _Machine, argument: Any) -> None:
    args, callee = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.call(callee, args))


def _persistent(machine: _Machine, argument: Any) -> None:
    if machine.persistent is None:
        raise FormatError(f"{machine.where}: pickle has a persistent id where none belongs; fetch the file again")
    machine.stack.append(machine.persistent(machine.stack.pop()))


_STEPS: dict[str, Step] = {
    **dict.fromkeys(["PROTO", "FRAME"], _nothing),
    **dict.fromkeys(["INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"], _push),
    **dict.fromkeys(["STRING", "BINSTRING", "SHORT_BINSTRING"], _push),
    **dict.fromkeys(["UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"], _push),
    **dict.fromkeys(["BINBYTES", "SHORT_BINBYTES", "BINBYTES8"], _push),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_SET": lambda machine, _: machine.stack.append(Opaque("set")),
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": _from_mark(tuple),
    "LIST": _from_mark(list),
    "DICT": _from_mark(_dict_of),
    "FROZENSET": _from_mark(lambda _items: Opaque("frozenset")),
    "APPEND": _append,
    "APPENDS": lambda machine, _: _append_items(machine, machine.pop_mark()),
    "ADDITEMS": lambda machine, _: _append_items(machine, machine.pop_mark()),
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: _set_items(machine, machine.pop_mark()),
    **dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT"], lambda machine, index: machine.remember(int(index))),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    **dict.fromkeys(["GET", "BINGET", "LONG_BINGET"], _get),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "BUILD": _build,
    "BINPERSID": _persistent,
}
