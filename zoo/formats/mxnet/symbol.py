"""MXNet's symbol.json: the nodes a network needs, in the order in which they run, whatever generation wrote the file.

Generations differ in where attributes stand (`param`, `attr`, `attrs`), in whether an edge has two or three numbers,
and before 0.9 a node's auxiliary states (a batch norm's statistics) were not among its inputs.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from zoo.errors import FormatError, UsageError
from zoo.formats.mxnet.attributes import Attributes, Wrong, plain
from zoo.formats.mxnet.table import Rule

MAX_BYTES = 64 << 20
MAX_NODES = 100_000
MAX_NAME = 200
MAX_INPUTS = 4096
_OUTPUT = re.compile(r"(.+)_output(\d*)")


class Entry(NamedTuple):
    """One output of one node.

    Args:
        node: the node's number in the file; negative for a variable that only newer files write down.
        output: which of its outputs.
    """

    node: int
    output: int


@dataclass(frozen=True)
class Node:
    """One node, spelled as the current generation would.

    Args:
        op: MXNet's name of the op, as the file has it; `null` is a variable.
        name: unique among variables, not always among operations.
        inputs: what it reads.
        attributes: its parameters; mutable, since they remember which were asked for.
        where: file, name and op, for messages.
    """

    op: str
    name: str
    inputs: tuple[Entry, ...]
    attributes: Attributes
    where: str


@dataclass(frozen=True)
class Symbol:
    """A network ready to translate.

    Args:
        file: the file's name, for messages.
        name: the network's own.
        nodes: number -> node, for those that the heads need; operations in the order in which they run.
        heads: what the network returns.
        skipped: names of the variables that only nodes without a part in the answer read.
    """

    file: str
    name: str
    nodes: Mapping[int, Node]
    heads: tuple[Entry, ...]
    skipped: frozenset[str]


def read(path: Path, rules: Mapping[str, Rule], until: str | None) -> Symbol:
    """Reads a symbol.json.

    Args:
        path: the network definition.
        rules: MXNet's op -> what its inputs are called; an op that is not there has those the file states.
        until: name of a node, or of an output (`<node>_output`), that becomes the only head.

    Raises:
        UsageError: nothing is named `until`.
        FormatError: the file is damaged or contradicts itself.
    """
    document = _parsed(path)
    entries = document.get("nodes")
    if not isinstance(entries, list) or not entries:
        raise FormatError(f"{path.name}: has no list of nodes; expected an MXNet symbol (JSON)")
    if len(entries) > MAX_NODES:
        raise FormatError(f"{path.name}: has {len(entries):,} nodes; at most {MAX_NODES:,} are read")
    nodes = dict(enumerate(_node(raw, f"{path.name}: node {i}", len(entries)) for i, raw in enumerate(entries)))
    heads = _edges(document.get("heads"), f"{path.name}: heads", len(entries))
    if until is not None:
        heads = [_named(until, nodes, path.name)]
    if not heads:
        raise FormatError(f"{path.name}: has no heads; expected the network's outputs")
    _complete(nodes, rules)
    order = _order(nodes, heads, rules, path.name)
    kept = {number: nodes[number] for number in order}
    doubled = [name for name, n in Counter(v.name for v in kept.values() if v.op == "null").items() if n > 1]
    if doubled:
        raise FormatError(f"{path.name}: two variables are named {doubled[0]!r}; arrays are found by name")
    names = {node.name for node in kept.values()}
    skipped = frozenset(node.name for node in nodes.values() if node.op == "null" and node.name not in names)
    name = re.sub(r"[-_.]?symbol$", "", path.name.removesuffix(".json"))
    return Symbol(path.name, name or "mxnet", kept, tuple(heads), skipped)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror or error}; expected an MXNet symbol") from None
    if len(raw) > MAX_BYTES:
        raise FormatError(f"{path.name}: more than {MAX_BYTES:,} bytes, too many for a network definition")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        reason = re.sub(r"[^ -~]+", "?", str(error))[:200]
        raise FormatError(f"{path.name}: is no JSON: {reason}; expected an MXNet symbol") from None
    if not isinstance(document, dict):
        raise FormatError(f"{path.name}: holds no JSON object; expected an MXNet symbol")
    return document


def _node(raw: Any, where: str, count: int) -> Node:
    op, name = (raw.get("op"), raw.get("name")) if isinstance(raw, dict) else (None, None)
    for text in (op, name):
        if not isinstance(text, str) or not text or len(text) > MAX_NAME or not text.isprintable():
            raise FormatError(f"{where}: has no op and name of up to {MAX_NAME} printable characters")
    where = f"{where} {name!r} ({op})"
    tables = [raw.get(key) or {} for key in ("param", "attr", "attrs")]
    if not all(isinstance(table, dict) for table in tables):
        raise FormatError(f"{where}: its attributes are no table")
    try:
        old, *new = [{plain(key): value for key, value in table.items()} for table in tables]
        merged = {key: value for table in new for key, value in table.items()}
        for value in (*old.values(), *merged.values()):
            if value is not None:
                plain(value)
    except Wrong as error:
        raise FormatError(f"{where}: attribute {error}") from None
    # Where there is a `param`, it has the op's parameters, and the other table what the user attached to the node.
    attributes = Attributes(old, merged) if old else Attributes(merged)
    return Node(str(op), str(name), tuple(_edges(raw.get("inputs"), where, count)), attributes, where)


def _edges(raw: Any, where: str, count: int) -> list[Entry]:
    edges = []
    if raw is not None and not isinstance(raw, list):
        raise FormatError(f"{where}: expected a list of inputs, got {type(raw).__name__}")
    if raw and len(raw) > MAX_INPUTS:
        raise FormatError(f"{where}: has {len(raw):,} inputs; at most {MAX_INPUTS:,} are read")
    for i, edge in enumerate(raw or []):
        numbers = edge if isinstance(edge, list) else [edge]  # a bare number: the first output
        if not 1 <= len(numbers) <= 3 or any(type(n) is not int for n in numbers):
            raise FormatError(f"{where}: input {i} is no edge; expected [node, output] or a third number")
        if not 0 <= numbers[0] < count or not 0 <= (numbers[1] if len(numbers) > 1 else 0) < MAX_INPUTS:
            raise FormatError(f"{where}: reads output {numbers} of {count:,} nodes")
        edges.append(Entry(numbers[0], numbers[1] if len(numbers) > 1 else 0))
    return edges


def _named(until: str, nodes: Mapping[int, Node], file: str) -> Entry:
    """The value that a user asks for by the name of a node or of its output."""
    numbers = {node.name: number for number, node in nodes.items() if node.op != "null"}
    if until in numbers:
        return Entry(numbers[until], 0)
    match = _OUTPUT.fullmatch(until)
    if match and match[1] in numbers and int(match[2][:4] or 0) < MAX_INPUTS:
        return Entry(numbers[match[1]], int(match[2][:4] or 0))
    near = difflib.get_close_matches(until[:MAX_NAME], list(numbers)[-5000:], n=3, cutoff=0.4)
    raise UsageError(
        f"{file}: no operation is named {until[:MAX_NAME]!a}; "
        f"{'nearest: ' + ', '.join(near) if near else 'the last is ' + list(numbers)[-1] if numbers else 'it has none'}"
    )


def _complete(nodes: dict[int, Node], rules: Mapping[str, Rule]) -> None:
    """Gives nodes of old files the variables that newer files write down, under the names MXNet gives them."""
    known = {node.name: number for number, node in nodes.items() if node.op == "null"}
    for number, node in list(nodes.items()):
        rule = rules.get(node.op)
        if rule is None or not rule.arguments:
            continue
        try:
            wanted = rule.arguments_of(node.attributes)
        except Wrong:
            continue  # told when the node is translated
        if not 0 < len(node.inputs) < len(wanted):
            continue
        inputs = list(node.inputs)
        for argument in wanted[len(inputs) :]:
            name = f"{node.name}_{argument}"
            if name not in known:
                known[name] = -1 - len(nodes)
                nodes[known[name]] = Node("null", name, (), Attributes({}), f"{node.where}: its {argument}")
            inputs.append(Entry(known[name], 0))
        nodes[number] = Node(node.op, node.name, tuple(inputs), node.attributes, node.where)


def _order(nodes: Mapping[int, Node], heads: Sequence[Entry], rules: Mapping[str, Rule], file: str) -> list[int]:
    """Numbers of all nodes that the heads need, each behind what it reads; labels are not needed."""

    def needed(number: int) -> Iterator[int]:
        node = nodes[number]
        rule = rules.get(node.op)
        count = len(node.inputs) if rule is None or rule.reads is None else rule.reads
        return iter([entry.node for entry in node.inputs[:count]])

    order: list[int] = []
    state: dict[int, bool] = {}  # number -> whether it is done; False while what it reads is walked
    for head in heads:
        if head.node in state:
            continue
        state[head.node] = False
        path = [(head.node, needed(head.node))]
        while path:
            number, rest = path[-1]
            following = next(rest, None)
            if following is None:
                path.pop()
                state[number] = True
                order.append(number)
            elif following not in state:
                state[following] = False
                path.append((following, needed(following)))
            elif not state[following]:
                raise FormatError(f"{file}: node {nodes[following].name!r} reads its own output: a cycle")
    return order
