"""One flat list of nodes: references resolved, function calls replaced by what the functions do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from zoo.errors import FormatError
from zoo.formats.tensorflow import tensors
from zoo.formats.tensorflow.wire import Function, RawGraph, RawNode

MAX_NODES = 1_000_000
MAX_DEPTH = 64  # functions that call functions
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
CHOICES = ("If", "StatelessIf")
# Ops with several named outputs; all others have one, or one list.
_OUTPUTS = {
    "FusedBatchNorm": ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"),
    "Switch": ("output_false", "output_true"),
    "RefSwitch": ("output_false", "output_true"),
    "Merge": ("output", "value_index"),
    "RefMerge": ("output", "value_index"),
    "MaxPoolWithArgmax": ("output", "argmax"),
    "TopKV2": ("values", "indices"),
    "Unique": ("y", "idx"),
}
_OUTPUTS["FusedBatchNormV2"] = _OUTPUTS["FusedBatchNorm"]
_OUTPUTS["FusedBatchNormV3"] = (*_OUTPUTS["FusedBatchNorm"], "reserve_space_3")


class Ref(NamedTuple):
    """An output of a node: its position in the list, and which of its outputs."""

    node: int
    output: int


@dataclass(frozen=True)
class FlatNode:
    """A node with its data inputs; what only orders execution is gone.

    Args:
        name: unique in the whole list; a function's nodes keep theirs where nothing else has it.
        op: TensorFlow's op; `_Pass` hands its inputs on, `_Missing` is a reference to nothing.
        inputs: where they come from.
        raw: the node as the file has it.
        extra: what a rewriting of the graph knows and the file's attributes do not say.
    """

    name: str
    op: str
    inputs: tuple[Ref, ...]
    raw: RawNode
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def attrs(self) -> dict[str, Any]:
        return self.raw.attrs


@dataclass
class Flat:
    """All nodes, and where the graph's own (not its functions') stand by name."""

    file: str
    nodes: list[FlatNode]
    top: dict[str, int]
    names: dict[str, int]

    def find(self, reference: str) -> Ref | None:
        """Returns what `node`, `node:1` or an inlined function's node name refers to, or None."""
        name, _, number = reference.rpartition(":")
        if not name or not number.isdecimal() or len(number) > 4:
            name, number = reference, "0"
        where = self.top.get(name, self.names.get(name))
        return None if where is None else Ref(where, int(number))

    def straight(self, ref: Ref) -> Ref:
        """Returns where a value really comes from, behind all nodes that hand it on."""
        for _ in range(len(self.nodes) + 1):
            node = self.nodes[ref.node]
            if node.op in PASSING and ref.output < len(node.inputs):
                ref = node.inputs[ref.output]
            else:
                return ref
        raise FormatError(f"{self.file}: node {self.nodes[ref.node].name!r} reads itself; the file is damaged")

    def source(self, ref: Ref) -> FlatNode:
        """Returns the node that really makes a value."""
        return self.nodes[self.straight(ref).node]


# Ops that hand their inputs on as they are when a network only runs.
PASSING = frozenset(
    (
        *("_Pass", "Identity", "IdentityN", "RefIdentity", "StopGradient", "PreventGradient", "CheckNumerics"),
        *("Snapshot", "EnsureShape"),
    )
)


@dataclass
class _Scope:
    """One body to lay out: the graph's, or a function's for one of its calls."""

    nodes: Sequence[RawNode]
    arguments: Mapping[str, Ref]
    call: int | None
    results: Sequence[str]
    depth: int


def flatten(graph: RawGraph, file: str, first: Collection[str] = ()) -> Flat:
    """Returns the graph with its function calls inlined.

    Args:
        graph: as the file has it.
        file: its name, for messages.
        first: calls whose nodes keep their names where another call of the same function has them too.

    Raises:
        FormatError: names are doubled, or functions call each other without end.
    """
    flat = Flat(file, [], {}, {})
    scopes = [_Scope(graph.nodes, {}, None, (), 0)]
    while scopes:
        scope = scopes.pop()
        if len(flat.nodes) + len(scope.nodes) > MAX_NODES or scope.depth > MAX_DEPTH:
            raise FormatError(f"{file}: its functions call each other {scope.depth} deep; no network does so")
        found = _lay_out(flat, scope, graph.functions)
        # Depth first, with the calls that matter last in the list.
        scopes.extend(sorted(found, key=lambda inner: _name_of(flat, inner) in first))
    return flat


def _name_of(flat: Flat, scope: _Scope) -> str:
    return "" if scope.call is None else flat.nodes[scope.call].name


def _lay_out(flat: Flat, scope: _Scope, functions: Mapping[str, Function]) -> list[_Scope]:
    inside = scope.call is not None
    local: dict[str, int] = {}
    for number, raw in enumerate(scope.nodes, len(flat.nodes)):
        if raw.name in local:
            raise FormatError(f"{flat.file}: two nodes are named {raw.name!r}; the file is damaged")
        local[raw.name] = number
    if not inside:
        flat.top = local
    kinds = {raw.name: raw.op for raw in scope.nodes}
    missing: list[tuple[str, str]] = []

    def resolve(reference: str) -> Ref:
        name, output = _parsed(reference, kinds)
        if inside and name in scope.arguments:
            return scope.arguments[name]
        if name not in local or output < 0:
            missing.append((reference, name))
            return Ref(len(flat.nodes) + len(scope.nodes) + len(missing) - 1, 0)
        return Ref(local[name], output)

    made, found = [], []
    for raw in scope.nodes:
        inputs = tuple(resolve(reference) for reference in raw.inputs if not reference.startswith("^"))
        node = FlatNode(_unique(flat, raw.name, scope), raw.op, inputs, raw)
        called = _called(raw, functions)
        if called is None and raw.op in CHOICES:
            called, inputs = _branch(flat, raw, functions, {r.name: r for r in scope.nodes}, scope), inputs[1:]
        if called is not None:
            node = replace(node, op="_Pass", inputs=())
            arguments = dict(zip(called.arguments, inputs, strict=False))
            found.append(_Scope(called.nodes, arguments, local[raw.name], called.results, scope.depth + 1))
        flat.names[node.name] = local[raw.name]
        made.append(node)
    results = tuple(resolve(result) for result in scope.results)
    flat.nodes += made
    for reference, _ in missing:
        flat.nodes.append(FlatNode(reference, "_Missing", (), RawNode(reference, "_Missing", (), {})))
    if scope.call is not None:
        flat.nodes[scope.call] = replace(flat.nodes[scope.call], inputs=results)
    return found


def _called(raw: RawNode, functions: Mapping[str, Function]) -> Function | None:
    if raw.op in functions:
        return functions[raw.op]
    if raw.op not in CALLS or "f" not in raw.attrs:
        return None
    return functions.get(bytes(raw.attrs["f"].func.name).decode(errors="replace"))


def _branch(
    flat: Flat, raw: RawNode, functions: Mapping[str, Function], local: Mapping[str, RawNode], scope: _Scope
) -> Function | None:
    """The function that an If calls whose condition is stored in the file; None if it is computed."""
    reference = raw.inputs[0] if raw.inputs else ""
    for _ in range(MAX_DEPTH):
        name = reference.split(":")[0]
        if name in scope.arguments:
            found = flat.source(scope.arguments[name]).raw
        elif name in local:
            found = local[name]
        else:
            return None
        if found.op == "Const":
            condition = tensors.constant(found, flat.file)
            key = "then_branch" if condition.size == 1 and bool(condition.reshape(-1)[0]) else "else_branch"
            chosen = raw.attrs[key].func.name if key in raw.attrs and condition.dtype.kind in "biuf" else b""
            return functions.get(bytes(chosen).decode(errors="replace"))
        if found.op not in PASSING or not found.inputs or name in scope.arguments:
            return None
        reference = found.inputs[0]
    return None


def _parsed(reference: str, kinds: Mapping[str, str]) -> tuple[str, int]:
    """(node, output) of `node`, `node:1` or `node:output:1`; output -1 if it cannot be one."""
    name, *rest = reference.split(":")
    if not rest:
        return name, 0
    if not rest[-1].isdecimal() or len(rest[-1]) > 6 or len(rest) > 2:
        return name, -1
    names = _OUTPUTS.get(kinds.get(name, ""), ())
    return name, int(rest[-1]) + (names.index(rest[0]) if len(rest) == 2 and rest[0] in names else 0)


def _unique(flat: Flat, name: str, scope: _Scope) -> str:
    if name not in flat.names:
        return name
    chosen = name
    if scope.call is not None:
        chosen = f"{flat.nodes[scope.call].name}/{name}"
    count = 1
    base = chosen
    while chosen in flat.names:
        count += 1
        chosen = f"{base}_{count}"
    return chosen
