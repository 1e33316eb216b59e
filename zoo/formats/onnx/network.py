"""An ONNX file as plain values: nodes in an order in which they can run, inputs, outputs, stored arrays."""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from zoo.errors import FormatError, UnsupportedError, UsageError
from zoo.formats import wire
from zoo.formats.mapped import mapped
from zoo.formats.onnx import schema
from zoo.formats.onnx.tensors import Stored

MAX_NODES = 100_000
MAX_NAME = 1000
MAX_FIELDS = 1_000_000
OLDEST, NEWEST = 7, 28  # operator sets whose differences the op tables know
MAX_TOLD = 20
MAX_DEPTH = 8  # an If in a branch of an If

Dims: TypeAlias = tuple[int | str | None, ...]

# AttributeProto.type -> what the reader makes of it
_ATTRIBUTES = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}
_REFUSED = {5: "a subgraph", 10: "subgraphs", 9: "tensors", 11: "a sparse tensor", 12: "sparse tensors"}


@dataclass(frozen=True)
class Layer:
    """One node of the file.

    Args:
        name: its name, or its first output's where it has none; unique.
        op: operator type.
        domain: "" for ONNX's own operators.
        inputs: value names; "" is one left out.
        outputs: value names; "" is one left out.
        attrs: attribute name -> int, float, bytes, Stored or list of them.
        strange: attributes that cannot be read: subgraphs and the like.
        branches: of an If, `then_branch` and `else_branch`; what they read of the network around them stands behind
            the condition in `inputs`.
    """

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any]
    strange: tuple[str, ...] = ()
    branches: Mapping[str, Branch] = field(default_factory=dict)


@dataclass(frozen=True)
class Branch:
    """What an If may do.

    Args:
        layers: those that the outputs need, in an order in which they can run.
        outputs: value names, as many as the If has.
        stored: array name -> array; one that no layer reads is among them.
        captured: values of the network around it that it reads.
    """

    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    stored: Mapping[str, Stored]
    captured: tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """An ONNX file.

    Args:
        file: its name, for messages.
        name: the graph's name.
        opset: version of ONNX's own operators.
        inputs: input name -> (its sizes: a number, a name or None each; None for no shape at all, its data type).
            Only what the layers need.
        outputs: value names.
        layers: those that the outputs need, in an order in which they can run.
        stored: array name -> array.
        dropped: array name -> why no layer reads it.
    """

    file: str
    name: str
    opset: int
    inputs: Mapping[str, tuple[Dims | None, int]]
    outputs: tuple[str, ...]
    layers: tuple[Layer, ...]
    stored: Mapping[str, Stored]
    dropped: Mapping[str, str]


def read(path: Path, until: str | None) -> Network:
    """Reads an ONNX file.

    Args:
        path: the file; arrays stay in it until they are used.
        until: the value or node to end at; None for the file's own outputs.

    Raises:
        FormatError: the file is damaged or contradicts itself.
        UnsupportedError: it needs operators older or newer than zoo knows.
        UsageError: there is no `until`.
    """
    file = path.name
    model, stored = _parse(path)
    graph = model.graph
    if not graph.node:
        raise FormatError(f"{file}: holds no nodes; expected an ONNX network")
    if len(graph.node) > MAX_NODES:
        raise FormatError(f"{file}: has {len(graph.node):,} nodes; at most {MAX_NODES:,} are read")
    opset = _opset(model, file)
    layers = _layers(graph, file)
    outputs = tuple(_text(output.name, file) for output in graph.output)
    if until is not None:
        outputs = _until(until, layers, file)
    if not outputs or not all(outputs):
        raise FormatError(f"{file}: states no outputs; expected at least one")
    inputs = {_text(value.name, file): (_dims(value), int(value.type.tensor_type.elem_type)) for value in graph.input}
    inputs = {name: found for name, found in inputs.items() if name not in stored}
    kept = _ordered(layers, dict.fromkeys(outputs), {*inputs, *stored}, file)
    read = {value for layer in kept for value in layer.inputs} | set(outputs)
    elsewhere = {value for layer in layers for value in layer.inputs}
    return Network(
        file,
        _text(graph.name, file) or path.stem,
        opset,
        {name: found for name, found in inputs.items() if name in read},
        tuple(dict.fromkeys(outputs)),
        kept,
        {name: found for name, found in stored.items() if name in read},
        {
            name: "only layers read it that the output does not need" if name in elsewhere else "no layer reads it"
            for name in stored
            if name not in read
        },
    )


# -------------------------------------------------------------------------------------------------------------- bytes


def _parse(path: Path) -> tuple[Any, dict[str, Stored]]:
    """The file's message without its arrays, and the arrays."""
    data = memoryview(mapped(path, "an ONNX network"))
    try:
        graphs, rest = _parts(data, schema.MODEL_GRAPH)
        if not graphs:
            raise ValueError("holds no graph")
        tensors, nodes = [], []
        for graph in graphs:
            found, others = _parts(graph, schema.GRAPH_INITIALIZER)
            tensors += [_tensor(tensor, path.name) for tensor in found]
            nodes.append(others)
        model: Any = schema.CLASSES["Model"].FromString(rest)
        model.graph.MergeFromString(b"".join(nodes))
    except ValueError as error:
        raise FormatError(f"{path.name}: is no ONNX network, or is damaged: {error}") from None
    except DecodeError:
        raise FormatError(f"{path.name}: is no ONNX network, or is damaged; fetch it again") from None
    stored: dict[str, Stored] = {}
    for name, tensor in tensors:
        if not name:
            raise FormatError(f"{path.name}: holds an array without a name; the file is damaged")
        if name in stored:
            raise FormatError(f"{path.name}: holds two arrays named {name!r}; names have to be unique")
        stored[name] = tensor
    return model, stored


def _parts(message: memoryview, number: int) -> tuple[list[memoryview], bytes]:
    """The contents of one field, wherever it occurs, and the message without it."""
    found, rest = [], []
    for count, (key, kind, value) in enumerate(wire.fields(message)):
        if count >= MAX_FIELDS:
            raise ValueError(f"more than {MAX_FIELDS:,} fields in one message")
        if key == number and isinstance(value, memoryview) and kind == wire.BYTES:
            found.append(value)
        else:
            rest.append(_field(key, kind, value))
    return found, b"".join(rest)


def _field(number: int, kind: int, value: int | memoryview) -> bytes:
    """A field as it stands in a file."""
    tag = _varint(number << 3 | kind)
    if isinstance(value, int):
        return tag + _varint(value)
    return tag + (_varint(len(value)) if kind == wire.BYTES else b"") + bytes(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _tensor(tensor: memoryview, file: str) -> tuple[str, Stored]:
    """One array: what describes it is parsed, its numbers stay where they are if they lie in one piece."""
    whole = {schema.TENSOR_RAW: 0, schema.TENSOR_FLOATS: 1, schema.TENSOR_DOUBLES: 11}  # and their data type
    # More fields are numbers one by one: protobuf reads it all.
    parts = list(itertools.islice(wire.fields(tensor), 64))
    big = [(number, value) for number, kind, value in parts if number in whole and kind == wire.BYTES]
    raw, number, kept = None, 0, b""
    if len(big) == 1 and len(parts) < 64:
        number, raw = big[0][0], memoryview(big[0][1])  # type: ignore[arg-type]
        kept = b"".join(_field(key, kind, value) for key, kind, value in parts if key != number)
    else:
        kept = bytes(tensor)
    message: Any = schema.CLASSES["Tensor"].FromString(kept)
    if raw is not None and whole[number] not in (0, message.data_type):
        raise ValueError(f"an array of data type {message.data_type} holds its numbers as another")
    name = _text(message.name, file)
    return name, Stored(message, raw, f"{file}: {short(name)}")


def _text(raw: bytes, file: str) -> str:
    """A name: refused if it could not stand in a one-line message."""
    text = bytes(raw).decode("utf-8", errors="replace")
    if len(text) > MAX_NAME or not text.isprintable():
        raise FormatError(f"{file}: {text[:40]!a}... is no name; expected up to {MAX_NAME} printable characters")
    return text


def short(name: str) -> str:
    """Returns a name as messages have it; converters make some of hundreds of characters."""
    return name if len(name) <= 80 else f"{name[:60]}...{name[-17:]}"


# ------------------------------------------------------------------------------------------------------------- values


def _opset(model: Any, file: str) -> int:
    versions = [entry.version for entry in model.opset_import if bytes(entry.domain) in (b"", b"ai.onnx")]
    opset = max(versions, default=1)
    if not OLDEST <= opset <= NEWEST:
        raise UnsupportedError(
            f"{file}: uses ONNX operators of version {opset}; versions {OLDEST} to {NEWEST} are read: "
            f"convert it with onnx.version_converter"
        )
    return opset


def _dims(value: Any) -> Dims | None:
    """An input's sizes as the file states them; 0 and less say nothing."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.dim_value > 0 else bytes(dim.dim_param).decode("utf-8", "replace")[:40] or None
                 for dim in kind.shape.dim)  # fmt: skip


def _layers(graph: Any, file: str, depth: int = 0) -> list[Layer]:
    layers = []
    names: Counter[str] = Counter()
    taken = {bytes(node.name).decode("utf-8", "replace") for node in graph.node}
    for number, node in enumerate(graph.node):
        inputs, outputs = (tuple(_text(name, file) for name in side) for side in (node.input, node.output))
        if not any(outputs):
            raise FormatError(f"{file}: node {number} ({_text(node.op_type, file)[:80]}) makes nothing")
        name = base = _text(node.name, file) or next(filter(None, outputs))
        while names[name] or (name != base and name in taken):
            names[base] += 1
            name = f"{base}_{names[base]}"
        names[name] += 1
        domain = _text(node.domain, file)
        attrs, strange = _attributes(node, f"{file}: {short(name)}")
        op = _text(node.op_type, file)
        domain = "" if domain == "ai.onnx" else domain
        layer = Layer(name, op, domain, inputs, outputs, attrs, tuple(strange))
        layers.append(_with_branches(layer, node, file, depth) if op == "If" and not domain else layer)
    return layers


def _with_branches(layer: Layer, node: Any, file: str, depth: int) -> Layer:
    """An If with its two subgraphs read; as it is where they are not two, or too deep."""
    where = f"{file}: {short(layer.name)} (If)"
    graphs = {_text(attribute.name, file)[:80]: attribute.g for attribute in node.attribute if attribute.type == 5}
    if set(graphs) != {"then_branch", "else_branch"} or depth >= MAX_DEPTH:
        return layer
    branches = {name: _branch(bytes(raw), f"{where}: {name}", depth + 1) for name, raw in graphs.items()}
    if any(len(branch.outputs) != len(layer.outputs) for branch in branches.values()):
        raise FormatError(f"{where}: its branches make other outputs than it; the file is damaged")
    captured = dict.fromkeys(value for branch in branches.values() for value in branch.captured)
    strange = tuple(found for found in layer.strange if not found.startswith("a subgraph"))
    return replace(layer, inputs=(*layer.inputs, *captured), strange=strange, branches=branches)


def _branch(raw: bytes, where: str, depth: int) -> Branch:
    try:
        graph: Any = schema.CLASSES["Graph"].FromString(raw)
    except DecodeError:
        raise FormatError(f"{where}: cannot be read; the file is damaged") from None
    if len(graph.node) > MAX_NODES:
        raise FormatError(f"{where}: has {len(graph.node):,} nodes; at most {MAX_NODES:,} are read")
    stored = {_text(tensor.name, where): Stored(tensor, None, where) for tensor in graph.initializer}
    layers = _layers(graph, where, depth)
    made = {value for layer in layers for value in layer.outputs if value}
    outputs = tuple(_text(output.name, where) for output in graph.output)
    read = [value for layer in layers for value in layer.inputs if value]
    captured = tuple(dict.fromkeys(v for v in (*read, *outputs) if v not in made and v not in stored))
    if not outputs or not all(outputs):
        raise FormatError(f"{where}: states no outputs; expected at least one")
    return Branch(_ordered(layers, dict.fromkeys(outputs), {*captured, *stored}, where), outputs, stored, captured)


def _attributes(node: Any, where: str) -> tuple[dict[str, Any], list[str]]:
    attrs: dict[str, Any] = {}
    strange: list[str] = []
    for attribute in node.attribute:
        name = _text(attribute.name, where)[:80]
        key = _ATTRIBUTES.get(attribute.type) if attribute.type else _kind(attribute)
        if attribute.ref_attr_name:
            strange.append(f"{name} of a function")
        elif key is None:
            strange.append(f"{_REFUSED.get(attribute.type, 'something unknown')} ({name})")
        elif key in ("floats", "ints", "strings"):
            attrs[name] = list(getattr(attribute, key))
        elif key == "t":
            attrs[name] = Stored(attribute.t, None, f"{where}: {name}")
        else:
            attrs[name] = getattr(attribute, key)
    return attrs, strange


def _kind(attribute: Any) -> str | None:
    """The field an attribute without a type uses, as files of ONNX's first year have them."""
    found = [key for key in ("f", "i", "s", "t") if attribute.HasField(key)]
    found += [key for key in ("floats", "ints", "strings") if len(getattr(attribute, key))]
    return found[0] if len(found) == 1 else None


# -------------------------------------------------------------------------------------------------------------- order


def _until(until: str, layers: Sequence[Layer], file: str) -> tuple[str, ...]:
    values = {value for layer in layers for value in layer.outputs if value}
    if until in values:
        return (until,)
    for layer in layers:
        if layer.name == until:
            return tuple(filter(None, layer.outputs))[:1]
    names = list(dict.fromkeys([*(layer.name for layer in layers), *sorted(values)]))
    near = difflib.get_close_matches(until, names, n=3, cutoff=0.4) if len(until) < 200 else []
    raise UsageError(f"{file}: has no node or value {until[:80]!r}; nearest: {', '.join(map(short, near)) or 'none'}")


def _ordered(layers: Sequence[Layer], outputs: Mapping[str, None], known: set[str], file: str) -> tuple[Layer, ...]:
    """The layers that the outputs need, each after those it reads: files need not be sorted."""
    makers: dict[str, Layer] = {}
    for layer in layers:
        for value in filter(None, layer.outputs):
            if value in makers or value in known:
                raise FormatError(f"{file}: {short(layer.name)} ({layer.op}) makes {short(value)!r} a second time")
            makers[value] = layer
    needed: set[int] = set()
    waiting = list(outputs)
    while waiting:
        value = waiting.pop()
        if value in known or not value:
            continue
        if value not in makers:
            raise FormatError(f"{file}: {short(value)!r} is read, but nothing makes it; the file is damaged")
        layer = makers[value]
        if id(layer) not in needed:
            needed.add(id(layer))
            waiting.extend(layer.inputs)
    kept = [layer for layer in layers if id(layer) in needed]
    return _sorted(kept, makers, known, file)


def _sorted(kept: Sequence[Layer], makers: Mapping[str, Layer], known: set[str], file: str) -> tuple[Layer, ...]:
    missing = {id(layer): len({id(makers[v]) for v in layer.inputs if v and v not in known}) for layer in kept}
    readers: dict[int, list[Layer]] = {}
    for layer in kept:
        for maker in {id(makers[v]): makers[v] for v in layer.inputs if v and v not in known}.values():
            readers.setdefault(id(maker), []).append(layer)
    place = {id(layer): i for i, layer in enumerate(kept)}
    ready = [layer for layer in reversed(kept) if not missing[id(layer)]]
    if all(place[id(makers[v])] < place[id(layer)] for layer in kept for v in layer.inputs if v and v not in known):
        return tuple(kept)
    result = []
    while ready:
        layer = ready.pop()
        result.append(layer)
        for reader in readers.get(id(layer), []):
            missing[id(reader)] -= 1
            if not missing[id(reader)]:
                ready.append(reader)
    if len(result) < len(kept):
        stuck = next(layer for layer in kept if missing[id(layer)])
        raise FormatError(f"{file}: {short(stuck.name)} ({stuck.op}) waits for its own output; expected no cycles")
    return tuple(result)
