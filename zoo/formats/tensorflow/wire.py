"""A GraphDef taken apart where it lies: large tensors stay in the mapped file, only what is around them is parsed.

Protobuf's parser copies every byte it is given. So the levels above a node are walked by hand (tag, length, content),
and a node's `tensor_content` is cut out before the rest is parsed; its array is a view of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from zoo.errors import FormatError
from zoo.formats.tensorflow.schema import CLASSES
from zoo.formats.wire import varint

MAX_NODES = 1_000_000
MAX_NAME = 1000
_LARGE = 4096  # bytes of a node that are worth the walk; below, parsing is cheaper
_CONTENT = (5, 2, 8, 4)  # NodeDef.attr -> value -> tensor -> tensor_content


@dataclass(frozen=True)
class RawNode:
    """A node as the file has it.

    Args:
        name: unique among its neighbours.
        op: TensorFlow's op, or a function's name.
        inputs: references as written: `node`, `node:1`, `^node`; inside functions `argument` or `node:output:0`.
        attrs: name -> AttrValue message.
        content: the bytes of `value`'s tensor where they were cut out of the message, else None.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: dict[str, Any]
    content: memoryview | None = None


@dataclass(frozen=True)
class Function:
    """A function of the graph's library: argument names, nodes, and (result name, reference) in the results' order."""

    name: str
    arguments: tuple[str, ...]
    nodes: tuple[RawNode, ...]
    results: tuple[str, ...]


@dataclass(frozen=True)
class RawGraph:
    """Nodes and functions of a GraphDef."""

    nodes: tuple[RawNode, ...]
    functions: dict[str, Function]


class Field(NamedTuple):
    """Where a field lies in its message.

    Args:
        number: its number in the message's definition.
        content: its bytes, for what has a length; empty for numbers.
        whole: the same with the tag before it.
    """

    number: int
    content: memoryview
    whole: memoryview


def fields(data: memoryview, where: str) -> Iterator[Field]:
    """Yields a message's fields in order.

    Raises:
        FormatError: the bytes are no protobuf message.
    """
    at, end = 0, len(data)
    while at < end:
        first = at
        tag, at = _varint(data, at, where)
        number, kind = tag >> 3, tag & 7
        if number == 0 or number >= 1 << 29 or kind not in (0, 1, 2, 5):
            raise FormatError(f"{where}: is no TensorFlow graph, or damaged (field {number} of kind {kind})")
        length = {0: 0, 1: 8, 5: 4}.get(kind, -1)
        if kind == 0:
            _, at = _varint(data, at, where)
        elif kind == 2:
            length, at = _varint(data, at, where)
        if length > end - at:
            raise FormatError(f"{where}: is cut short: a field needs {length:,} bytes, {end - at:,} are left")
        content = data[at : at + length] if kind == 2 else data[:0]
        at += length
        yield Field(number, content, data[first:at])


def _varint(data: memoryview, at: int, where: str) -> tuple[int, int]:
    try:
        return varint(data, at)
    except ValueError as error:
        raise FormatError(f"{where}: is cut short or damaged: {error}") from error


def parse(kind: str, data: memoryview | bytes, where: str) -> Any:
    """Returns a parsed message of the tables."""
    parsed: Any = CLASSES[kind]()
    try:
        parsed.ParseFromString(bytes(data))
    except DecodeError as error:
        raise FormatError(f"{where}: its {kind} cannot be parsed; the file is damaged") from error
    return parsed


def text(raw: bytes, where: str) -> str:
    """Returns a name; TensorFlow's are printable."""
    try:
        name = bytes(raw).decode()
    except UnicodeDecodeError:
        raise FormatError(f"{where}: {bytes(raw[:40])!a} is no name; the file is damaged") from None
    if len(name) > MAX_NAME or not name.isprintable():
        raise FormatError(f"{where}: {name[:40]!a}... is no name; the file is damaged")
    return name


def graph(data: memoryview, where: str) -> RawGraph:
    """Reads a GraphDef: its nodes in the file's order, and its function library."""
    nodes: list[RawNode] = []
    functions: dict[str, Function] = {}
    count = 0
    for field in fields(data, where):
        if field.number == 1:
            nodes.append(_node(field.content, where))
            count += 1
        elif field.number == 2:
            for inner in fields(field.content, where):
                if inner.number == 1:
                    function = _function(inner.content, where)
                    functions[function.name] = function
                    count += len(function.nodes)
        if count > MAX_NODES:
            raise FormatError(f"{where}: has more than {MAX_NODES:,} nodes; no network has so many")
    return RawGraph(tuple(nodes), functions)


def _node(data: memoryview, where: str) -> RawNode:
    small, content = _cut(data, where) if len(data) > _LARGE else (bytes(data), None)
    parsed = parse("NodeDef", small, where)
    name = text(parsed.name, where)
    if not name:
        raise FormatError(f"{where}: a node has no name; the file is damaged, or no TensorFlow graph")
    return RawNode(
        name,
        text(parsed.op, f"{where}: node {name!r}"),
        tuple(text(reference, f"{where}: node {name!r}") for reference in parsed.input),
        {text(entry.key, f"{where}: node {name!r}"): entry.value for entry in parsed.attr},
        content,
    )


def _cut(data: memoryview, where: str, path: tuple[int, ...] = _CONTENT) -> tuple[bytes, memoryview | None]:
    """Returns a message without the field at the end of a path of fields, and that field's bytes.

    The path ends after four steps, so the recursion does. A second field of the kind, which protobuf would let win or
    merge, stays in the message and is caught by the tensor's reader.
    """
    kept: list[bytes] = []
    content: memoryview | None = None
    for field in fields(data, where):
        if field.number != path[0] or content is not None or len(field.content) <= _LARGE // 2:
            kept.append(bytes(field.whole))
        elif len(path) == 1:
            content = field.content
        else:
            inner, content = _cut(field.content, where, path[1:])
            kept.append(message(field.number, inner))
    return b"".join(kept), content


def message(number: int, content: bytes) -> bytes:
    """Returns a field that has a length, as it is written."""
    return _number(number << 3 | 2) + _number(len(content)) + content


def _number(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def _function(data: memoryview, where: str) -> Function:
    nodes: list[RawNode] = []
    rest: list[bytes] = []
    for field in fields(data, where):
        if field.number == 3:
            nodes.append(_node(field.content, where))
        elif field.number in (1, 4):
            rest.append(bytes(field.whole))
    parsed = parse("FunctionDef", b"".join(rest), where)
    name = text(parsed.signature.name, where)
    inside = f"{where}: function {name!r}"
    results = {text(entry.key, inside): text(entry.value, inside) for entry in parsed.ret}
    order = [text(argument.name, inside) for argument in parsed.signature.output_arg]
    missing = [result for result in order if result not in results]
    if missing:
        raise FormatError(f"{inside}: does not say what it returns as {missing[0]!r}; the file is damaged")
    arguments = tuple(text(argument.name, inside) for argument in parsed.signature.input_arg)
    return Function(name, arguments, tuple(nodes), tuple(results[result] for result in order))
