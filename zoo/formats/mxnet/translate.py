"""MXNet nodes -> Graph: what an op's translation works with, and the walk over all nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from zoo import shapes
from zoo.errors import FormatError, UnsupportedError, UsageError
from zoo.formats.mxnet.attributes import Attributes, Wrong
from zoo.formats.mxnet.channels import TO_NCHW, TO_NHWC, takes_channels_last
from zoo.formats.mxnet.symbol import Entry, Node, Symbol
from zoo.formats.mxnet.table import Rule
from zoo.formats.options import Options
from zoo.graph import Graph, Param
from zoo.graph import Node as GraphNode

MAX_TOLD = 40  # nodes named in one message; real networks stay below
MAX_VALUES = 1_000_000
MAX_RANK = 32


class Value(NamedTuple):
    """A value on its way through the network.

    Args:
        name: its name in the Graph.
        shape: with the batch, -1, as first axis; a stored array has its own shape.
        array: the array, or its declaration, where it is stored.
    """

    name: str
    shape: tuple[int, ...]
    array: np.ndarray | Param | None = None


class Unsupported(Exception):
    """A sound node that the Graph cannot express; collected, so that one error names all of them."""


@dataclass
class State:
    """What the translation of a whole network collects.

    Args:
        symbol: the network.
        arrays: name -> array; None where the network is read without weights.
        file: the weights' name, for messages.
        options: as given to `read`.
    """

    symbol: Symbol
    arrays: Mapping[str, np.ndarray] | None
    file: str
    options: Options
    nodes: list[GraphNode] = field(default_factory=list)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    params: dict[str, np.ndarray | Param] = field(default_factory=dict)
    values: dict[Entry, Value] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)  # taken ones -> the highest number one like it has
    taken: set[str] = field(default_factory=set)  # arrays of the file that are used
    replaced: dict[str, str] = field(default_factory=dict)  # arrays that the network needs not -> why
    missing: list[str] = field(default_factory=list)
    channels_last: bool = False  # maps that leave the network are turned then

    def unique(self, name: str) -> str:
        """Returns the name, or one like it if it is taken."""
        chosen, count = name, self.names.get(name, 1)
        while chosen in self.names:
            count += 1
            chosen = f"{name}_{count}"
        self.names[name] = count
        self.names[chosen] = self.names.get(chosen, 1)
        return chosen


@dataclass
class Step:
    """The translation of one node: its inputs, and how to add parameters and nodes."""

    node: Node
    state: State

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def op(self) -> str:
        return self.node.op

    @property
    def attributes(self) -> Attributes:
        return self.node.attributes

    @property
    def count(self) -> int:
        """How many inputs the node has."""
        return len(self.node.inputs)

    def input(self, index: int = 0) -> Value:
        """Returns a value the node reads.

        Raises:
            Unsupported: it is a stored array.
        """
        value = self.operand(index)
        if value.array is not None:
            raise Unsupported(f"{self.told()}: computes with the stored array {value.name} alone")
        return value

    @property
    def shape(self) -> tuple[int, ...]:
        """The first input's shape, with the batch."""
        return self.input().shape

    def operand(self, index: int) -> Value:
        """Returns a value or a stored array of whatever shape the file gives it."""
        entry = self._entry(index)
        if entry in self.state.values:
            return self.state.values[entry]
        name = self.state.symbol.nodes[entry.node].name
        if self.state.arrays is not None and name in self.state.arrays:
            array = self.state.arrays[name]
            return Value(name, tuple(array.shape), array)
        shape = _stated_shape(self.state.symbol.nodes[entry.node])
        if self.state.arrays is None and shape and all(n > 0 for n in shape):
            return Value(name, shape, Param(shape))
        if self.state.arrays is None:
            raise FormatError(
                f"{self.state.symbol.file}: does not say what shape the array {name!r} has; give the .params file too"
            )
        raise self.lacks(name)

    def lacks(self, name: str) -> FormatError:
        return FormatError(
            f"{self.state.file}: lacks the array {name!r} that {self.node.where} reads; give the file of this network"
        )

    def variable(self, index: int) -> str | None:
        """Returns the name of an input if it is a variable, seen through casts and the like."""
        entry = self._entry(index)
        value = self.state.values.get(entry)
        if value is not None:
            return None if value.array is None else value.name
        return self.state.symbol.nodes[entry.node].name

    def _entry(self, index: int) -> Entry:
        if index >= self.count:
            raise self.damaged(f"has {self.count} inputs; expected at least {index + 1}")
        return self.node.inputs[index]

    def stated(self, index: int) -> tuple[int, ...] | None:
        """Returns the shape of a stored array before any op has asked for one: the array's, or the variable's own."""
        name = self.variable(index)
        if name is not None and self.state.arrays is not None and name in self.state.arrays:
            return tuple(self.state.arrays[name].shape)
        variable = self.state.symbol.nodes.get(self._entry(index).node)
        return None if variable is None else _stated_shape(variable)

    def array(self, index: int, shape: tuple[int, ...]) -> tuple[str, np.ndarray | Param]:
        """Returns the stored array that the node needs as an input, of this shape.

        Raises:
            Unsupported: the input is computed.
            FormatError: the array has another shape.
        """
        name = self.variable(index)
        if name is None or name in self.state.inputs:
            raise Unsupported(f"{self.told()}: its input {index} is computed; expected a stored array")
        if self.state.arrays is None:
            return name, Param(shape)
        array = self.state.arrays.get(name)
        if array is None:
            self.state.missing.append(f"{name} {shape}")
            return name, Param(shape)
        if tuple(array.shape) != shape:
            raise FormatError(
                f"{self.state.file}: {name!r} has shape {tuple(array.shape)}, {self.node.where} needs {shape}; "
                f"the two files do not belong together, or the input has another shape (input_shape=)"
            )
        return name, array

    def param(self, index: int, shape: tuple[int, ...]) -> Value:
        """Adds an input's stored array to the Graph's parameters."""
        name, array = self.array(index, shape)
        return self.store(name, array)

    def store(self, name: str, array: np.ndarray | Param) -> Value:
        """Adds one of the file's arrays, perhaps in another shape, to the Graph's parameters."""
        self.state.taken.add(name)
        known = self.state.params.get(name)
        if known is None:
            self.state.params[name] = array
        elif known.shape != array.shape:  # one array read in two shapes
            name = self.state.unique(name)
            self.state.params[name] = array
        return Value(name, tuple(array.shape))

    def constant(self, suffix: str, array: np.ndarray | float) -> Value:
        """Adds an array that the file does not hold to the Graph's parameters."""
        made = np.asarray(array, dtype=np.float32)
        name = self.state.unique(f"{self.name}/{suffix}")
        self.state.params[name] = made
        return Value(name, made.shape)

    def add(self, op: str, inputs: Sequence[Value], /, *, suffix: str = "", name: str = "", **attrs: Any) -> Value:
        """Adds a node with one output, named as MXNet's or, where one becomes several, `<node>/<suffix>`."""
        name = self.state.unique(name or (f"{self.name}/{suffix}" if suffix else self.name))
        return self._add(op, name, inputs, (name,), attrs)[0]

    def add_many(
        self, op: str, inputs: Sequence[Value], outputs: int, /, *, suffix: str = "_output", **attrs: Any
    ) -> list[Value]:
        """Adds a node with several outputs, named as MXNet names them."""
        if len(self.state.names) + outputs > MAX_VALUES:
            raise self.damaged(f"brings the network to more than {MAX_VALUES:,} values")
        names = tuple(self.state.unique(f"{self.name}{suffix}{i}") for i in range(outputs))
        return self._add(op, self.state.unique(self.name), inputs, names, attrs)

    def _add(
        self, op: str, name: str, inputs: Sequence[Value], outputs: tuple[str, ...], attrs: Mapping[str, Any]
    ) -> list[Value]:
        values = [value if value.array is None else self.store(value.name, value.array) for value in inputs]
        node = GraphNode(op, name, tuple(value.name for value in values), outputs, dict(attrs))
        try:
            made = shapes.infer(node, [value.shape for value in values])
        except ValueError as error:
            raise self.damaged(str(error)) from None
        if any(len(shape) > MAX_RANK for shape in made):
            raise self.damaged(f"gives more than {MAX_RANK} axes")
        self.state.nodes.append(node)
        return [Value(*pair) for pair in zip(outputs, made, strict=True)]

    def axis(self, axis: int, rank: int, *, batch: bool = False) -> int:
        """Returns an axis counted from the front.

        Raises:
            Unsupported: it is the batch, and may not be.
        """
        if not -rank <= axis < rank:
            raise self.damaged(f"has axis {axis}, its input {rank} axes")
        if axis % rank == 0 and not batch:
            raise Unsupported(f"{self.told()}: acts along the batch")
        return axis % rank

    def told(self) -> str:
        return f"{self.name} ({self.op})"

    def damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.node.where}: {what}")

    def unsupported(self, what: str) -> Unsupported:
        return Unsupported(f"{self.told()}: {what}")


def translate(state: State, rules: Mapping[str, Rule], hints: Mapping[str, str]) -> Graph:
    """Returns the Graph of a network.

    Args:
        state: fresh, with the network and its arrays.
        rules: MXNet's op -> its translation.
        hints: op without a translation -> why, or what to do.

    Raises:
        UnsupportedError: some nodes cannot be expressed; all of them are named.
        UsageError: the shape of the input is not known.
        FormatError: network and arrays do not fit together.
    """
    symbol = state.symbol
    operations = {number: node for number, node in symbol.nodes.items() if node.op != "null"}
    if not operations:
        raise FormatError(f"{symbol.file}: its heads are variables; expected a network's outputs")
    state.names.update({node.name: 1 for node in symbol.nodes.values() if node.op == "null"})
    refused = [_refusal(node, hints) for node in operations.values() if node.op not in rules]
    try:
        _find_inputs(state, rules)
    except UsageError:
        if not refused:
            raise
        operations = {}
    for number, node in operations.items():
        if node.op not in rules or not _ready(node, state):
            continue  # unknown, or behind one that is refused
        try:
            _translate_node(number, Step(node, state), rules[node.op])
        except Unsupported as error:
            refused.append(str(error))
        except Wrong as error:
            raise FormatError(f"{node.where}: {error}") from None
    if refused:
        raise UnsupportedError(f"{symbol.file}: unsupported operations: {_all_of(refused, '; ')}")
    if state.missing:
        some = ", ".join(state.missing[:4]) + (f" and {len(state.missing) - 4} more" if len(state.missing) > 4 else "")
        raise FormatError(f"{state.file}: lacks arrays that {symbol.file} needs: {some}; {_advice(state)}")
    outputs = tuple(dict.fromkeys(_head(state, entry) for entry in symbol.heads))
    return Graph(symbol.name, state.inputs, outputs, tuple(state.nodes), state.params, _unused(state)).check()


def _refusal(node: Node, hints: Mapping[str, str]) -> str:
    hint = hints.get(node.op) or next((text for key, text in hints.items() if key in node.op), "")
    return f"{node.name} ({node.op}){': ' + hint if hint else ''}"


def _all_of(found: Sequence[str], separator: str) -> str:
    more = f" and {len(found) - MAX_TOLD} more" if len(found) > MAX_TOLD else ""
    return separator.join(found[:MAX_TOLD]) + more


def _ready(node: Node, state: State) -> bool:
    """Whether all that a node reads is translated; a label that inference does without is in no list."""
    nodes = state.symbol.nodes
    return all(e in state.values or e.node not in nodes or nodes[e.node].op == "null" for e in node.inputs)


def _translate_node(number: int, step: Step, rule: Rule) -> None:
    made = rule.translate(step)
    unknown = step.attributes.unknown()
    if unknown:
        raise step.unsupported(f"has attributes that zoo does not know: {_all_of(unknown[:8], ', ')}")
    for index, value in enumerate([made] if isinstance(made, Value) else made):
        step.state.values[Entry(number, index)] = value


def _head(state: State, entry: Entry) -> str:
    value = state.values.get(entry)
    node = state.symbol.nodes[entry.node]
    if value is None:
        made = sum(other.node == entry.node for other in state.values)
        raise FormatError(f"{node.where}: output {entry.output} is a head; it has {made} output(s) at inference")
    if value.array is not None or value.name in state.inputs:
        raise FormatError(f"{node.where}: its output is a head, but no network computes it")
    if not state.channels_last or len(value.shape) != 4:
        return value.name
    name = f"{value.name}/nchw"
    if name not in state.names:
        state.nodes.append(GraphNode("Transpose", state.unique(name), (value.name,), (name,), {"perm": TO_NCHW}))
    return name


def _stated_shape(node: Node) -> tuple[int, ...] | None:
    return node.attributes.integers("__shape__") if node.op == "null" else None


def _find_inputs(state: State, rules: Mapping[str, Rule]) -> None:
    """Tells the network's inputs from its arrays: what is read as data and is not among the arrays."""
    symbol, arrays = state.symbol, state.arrays
    found: dict[int, str] = {}
    for node in symbol.nodes.values():
        rule = rules.get(node.op)
        names = rule.arguments if rule is not None else ()
        for position, entry in enumerate(node.inputs):
            variable = symbol.nodes.get(entry.node)
            stored = 0 < position < len(names) and names[0] == "data"
            if variable is not None and variable.op == "null" and not stored:
                found.setdefault(entry.node, variable.name)
    free = {number: name for number, name in found.items() if arrays is None or name not in arrays}
    named = {number: name for number, name in found.items() if name.rstrip("0123456789") == "data"}
    chosen = named or dict(list(free.items())[:1])
    # Some programs store everything they had bound, the last batch too.
    state.replaced.update(dict.fromkeys(named.values(), "an input of the network"))
    if not chosen:
        raise FormatError(f"{symbol.file}: no operation reads an input; all its variables are in {state.file}")
    for number, name in chosen.items():
        last = takes_channels_last(symbol, number)
        shape = _input_shape(state, symbol.nodes[number], last=last)
        value = Value(name, (shapes.BATCH, *shape))
        if last:
            state.channels_last = True
            value = Value(state.unique(f"{name}/nhwc"), (shapes.BATCH, *shape[1:], shape[0]))
            state.nodes.append(GraphNode("Transpose", value.name, (name,), (value.name,), {"perm": TO_NHWC}))
        state.values[Entry(number, 0)] = value
        state.inputs[name] = shape


def _input_shape(state: State, variable: Node, *, last: bool) -> tuple[int, ...]:
    try:
        stated = _stated_shape(variable)
    except Wrong as error:
        raise FormatError(f"{variable.where}: {error}") from None
    shape = state.options.input_shape
    if shape is None and stated and len(stated) > 1 and all(n > 0 for n in stated[1:]):
        shape = stated[1:]  # type: ignore[assignment]  # of any rank
        if last and len(stated) == 4:
            shape = (stated[3], stated[1], stated[2])
    if shape is None:
        raise UsageError(
            f"{state.symbol.file}: does not say what shape its input {variable.name!r} has; give input_shape= "
            f"(--input-shape 3,224,224)"
        )
    if not all(0 < n < 1 << 31 for n in shape) or (last and len(shape) != 3):
        raise UsageError(f"{state.symbol.file}: input {variable.name!r} cannot have the shape {shape}")
    return tuple(shape)


def _advice(state: State) -> str:
    names = sorted(name for name in state.arrays or {} if name not in state.taken)
    if names and any(name.count(".") for name in names):
        return f"the file names its arrays by block ({names[0]}): write it with HybridBlock.export instead"
    return f"left over are {', '.join(names[:4])}" if names else "give the file that belongs to this network"


def _unused(state: State) -> dict[str, str]:
    """Arrays of the file that the network does not use, and why."""
    unused = {}
    for name in state.arrays or {}:
        if name in state.taken:
            continue
        reason = "the requested output does not need it" if state.options.until else "none of its outputs needs it"
        if name not in state.symbol.skipped:
            reason = f"{state.symbol.file} has no such variable"
        unused[name] = state.replaced.get(name, reason)
    return unused
