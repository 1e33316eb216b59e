"""TensorFlow's nodes -> Graph: which nodes are needed, in which order, and what each becomes."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from zoo.errors import FormatError, UnsupportedError, UsageError
from zoo.formats.tensorflow import arithmetic, inputs, patterns, shaping, tensors, windows
from zoo.formats.tensorflow.flat import PASSING, Flat, FlatNode, Ref
from zoo.formats.tensorflow.fold import FOLDS, fold
from zoo.formats.tensorflow.values import (
    DEAD,
    REFUSED,
    Const,
    Handle,
    Item,
    Loose,
    Mark,
    Op,
    State,
    Step,
    Unsupported,
    Value,
)
from zoo.graph import Graph, Node

MAX_TOLD = 40  # nodes named in one message; real networks stay below
OPS: dict[str, Op] = {**inputs.OPS, **windows.OPS, **arithmetic.OPS, **shaping.OPS}
_LOOPS = ("NextIteration", "RefNextIteration", "Exit", "RefExit", "LoopCond")
_VARIABLES = ("Variable", "VariableV2", "AutoReloadVariable")
# What only training, saving and looking on need; nothing behind these is an output of the network.
_LOSSES = (
    *("SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits", "L2Loss", "InTopK", "InTopKV2"),
    *("SigmoidCrossEntropyWithLogits", "LogLoss"),
)
_TRAINING = (
    *("NoOp", "Assert", "Print", "PrintV2", "SaveV2", "SaveSlices", "Save", "RestoreV2", "Restore", "MergeSummary"),
    *("ShardedFilename", "MergeV2Checkpoints", "Assign", "AssignSub", "AssignAdd", "AssignVariableOp"),
    *("AssignSubVariableOp", "AssignAddVariableOp", "WriteFile", "PlaceholderV3", "AudioSummary", "TensorSummary"),
    *("ScalarSummary", "HistogramSummary", "ImageSummary", "BroadcastGradientArgs", "ReluGrad", "BiasAddGrad"),
    *("ScalarSummaryV2", "WriteScalarSummary", "WriteHistogramSummary", "WriteImageSummary"),
)


def translate(state: State, wanted: Sequence[Ref] | None) -> Graph:
    """Returns the Graph of a flattened TensorFlow graph.

    Args:
        state: fresh.
        wanted: the outputs that a signature names; None to take what nothing reads.

    Raises:
        UnsupportedError: some nodes cannot be expressed; all of them are named.
        UsageError: the network's input has to be told, or `until` names nothing.
    """
    flat = state.flat
    dropped = _begun(state)
    chosen, strict = _wanted(state, wanted)
    patterns.rewrite(flat)
    state.nchw = inputs.uses_nchw(flat)
    walk = _Walk(state)
    walk.run(ref.node for ref in chosen)
    items = [(ref, walk.item(ref)) for ref in chosen]
    if any(item == REFUSED for _, item in items):
        told = walk.told([ref for ref, item in items if item == REFUSED])
        raise UnsupportedError(f"{flat.file}: unsupported nodes: {_all_of(told, '; ')}")
    for _, item in items:
        if isinstance(item, Loose):
            raise UsageError(
                f"{flat.file}: input {item.source!r} has no known size; give input_shape= (--input-shape 3,224,224)"
            )
    found = [(ref, item) for ref, item in items if isinstance(item, Value)]
    if not found or (strict and len(found) != len(items)):
        names = [flat.nodes[ref.node].name for ref, item in items if not isinstance(item, Value)]
        raise FormatError(f"{flat.file}: {_all_of(names, ', ') or 'nothing'} does not depend on an image input")
    outputs = tuple(dict.fromkeys(_output(state, ref, value) for ref, value in found))
    nodes = _with_biases(state, _needed(state.nodes, outputs), outputs)
    used = {key for node in nodes for key in node.inputs}
    params = {key: array for key, array in state.params.items() if key in used}
    reads = used | set(outputs)
    network = {name: shape for name, shape in state.inputs.items() if name in reads}
    before = {name: reason for name, reason in dropped.items() if flat.names[name] not in walk.items}
    graph = Graph(flat.file, network, outputs, tuple(nodes), params, {**_unused(walk), **before, **state.notes})
    return graph.check()


def _all_of(found: Sequence[str], separator: str) -> str:
    more = f" and {len(found) - MAX_TOLD} more" if len(found) > MAX_TOLD else ""
    return separator.join(name[:200] for name in found[:MAX_TOLD]) + more


# Where it begins


def _begun(state: State) -> dict[str, str]:
    """Makes the node that the caller wants to begin at an input; returns what stood before it, with the reason."""
    flat, begin = state.flat, state.options.input
    if begin is None:
        return {}
    ref = _called(flat, begin)
    if ref.output:
        raise UsageError(f"{flat.file}: {begin!r} is another output of its node; a network can begin at the first")
    node = flat.nodes[ref.node]
    shape, kind = _known_shape(state, ref)
    flat.nodes[ref.node] = replace(node, op=inputs.BEGIN, inputs=(), extra={"shape": shape, "dtype": kind})
    before, left = set(), deque(node.inputs)
    while left:
        index = left.popleft().node
        if index not in before:
            before.add(index)
            left += flat.nodes[index].inputs
    reason = f"no array: stands before {node.name}, where reading begins"
    return {flat.nodes[i].name: reason for i in sorted(before) if flat.nodes[i].op in inputs.BEGINS}


def _known_shape(state: State, ref: Ref) -> tuple[tuple[int | None, ...] | None, str]:
    """The shape of a value, batch first, and its kind of numbers, as far as what stands before it says them."""
    options = replace(state.options, input=None, input_shape=None)
    fresh = State(state.flat, options, state.stated, state.variables, inputs.uses_nchw(state.flat), room=state.room)
    walk = _Walk(fresh)
    try:
        walk.run([ref.node])
        item = walk.item(ref)
    except (FormatError, UsageError):  # of what is to be left out
        return None, "float32"
    if isinstance(item, Const | Handle):
        raise UsageError(f"{state.flat.file}: {state.options.input!r} does not depend on an image")
    if isinstance(item, Value):
        return (*((walk.state.batch,) if item.batched else ()), *item.shape), item.dtype
    return (item.shape if isinstance(item, Loose) else None), "float32"


# Outputs


def _wanted(state: State, wanted: Sequence[Ref] | None) -> tuple[list[Ref], bool]:
    """The outputs, and whether each of them has to be a value of the network."""
    flat, until = state.flat, state.options.until
    if until is not None:
        return [_called(flat, until)], True
    if wanted is not None:
        return list(wanted), True
    return _ends(flat), False


def _called(flat: Flat, name: str) -> Ref:
    ref = flat.find(name)
    if ref is None:
        near = difflib.get_close_matches(name, [*flat.top, *flat.names], n=4)
        raise UsageError(
            f"{flat.file}: has no node {name!r}; the nearest names are: {', '.join(dict.fromkeys(near)) or 'none'}"
        )
    return ref


def _ends(flat: Flat) -> list[Ref]:
    """Values that nothing reads and that an image leads to, but for those that belong to training."""
    readers: dict[int, list[int]] = defaultdict(list)
    for index, node in enumerate(flat.nodes):
        for ref in node.inputs:
            readers[ref.node].append(index)
    begins = [i for i, node in enumerate(flat.nodes) if node.op in inputs.BEGINS]
    named = [i for i in begins if flat.nodes[i].op == inputs.BEGIN]
    images = named or [i for i in begins if _takes_images(flat.nodes[i])] or begins
    reached = _behind(images, readers)
    spoiled = _behind([i for i, node in enumerate(flat.nodes) if node.op in (*_TRAINING, *_LOSSES)], readers)
    labelled = _behind([i for i in begins if i not in images and _ranked(flat.nodes[i])], readers)
    top = set(flat.top.values())
    ends = [i for i in sorted(reached - spoiled) if i in top and not readers[i] and flat.nodes[i].op not in _TRAINING]
    unlabelled = [i for i in ends if i not in labelled]
    if not unlabelled:
        losses = [i for i in sorted(reached) if flat.nodes[i].op in _LOSSES]
        sources = [flat.straight(ref).node for i in losses for ref in flat.nodes[i].inputs]
        unlabelled = [i for i in dict.fromkeys(sources) if i in reached - spoiled - labelled]
    chosen = unlabelled or ends
    if not chosen:
        raise FormatError(f"{flat.file}: nothing in it leads from an image to an output; expected a network")
    return [Ref(i, 0) for i in chosen]


def _behind(begins: Iterable[int], readers: Mapping[int, list[int]]) -> set[int]:
    found = set(begins)
    left = deque(found)
    while left:
        for reader in readers[left.popleft()]:
            if reader not in found:
                found.add(reader)
                left.append(reader)
    return found


def _takes_images(node: FlatNode) -> bool:
    return node.op in inputs.DECODERS or ("shape" in node.attrs and len(node.attrs["shape"].shape.dim) in (3, 4))


def _ranked(node: FlatNode) -> bool:
    return "shape" in node.attrs and len(node.attrs["shape"].shape.dim) > 0


def _output(state: State, ref: Ref, value: Value) -> str:
    """The Graph's name of an output: the node's own where it has one in the file, rank 4 as NCHW."""
    name = value.name
    if len(value.shape) == 3 and not value.image and not state.nchw:
        moved = state.moved.get((name, True))
        name = moved or state.node("Transpose", f"{name}/nchw", [name], perm=(0, 3, 1, 2))
        state.moved[value.name, True] = name
    wanted = state.flat.nodes[ref.node].name + (f":{ref.output}" if ref.output else "")
    if name == wanted or wanted in state.names or state.flat.top.get(state.flat.nodes[ref.node].name) != ref.node:
        return name
    if state.flat.nodes[ref.node].op == "_Pass":
        return name
    return state.node("Identity", wanted, [name])


# Nodes


class _Walk:
    """Goes through what the outputs need, inputs first, without recursion."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.flat = state.flat
        self.items: dict[int, Sequence[Item] | Mark] = {}
        self.refused: dict[int, str] = {}

    def item(self, ref: Ref) -> Item:
        found = self.items[ref.node]
        if isinstance(found, Mark):
            return found
        if ref.output >= len(found):
            node = self.flat.nodes[ref.node]
            raise FormatError(f"{self.flat.file}: node {node.name!r} ({node.op}) has no output {ref.output}")
        return found[ref.output]

    def run(self, wanted: Iterable[int]) -> None:
        for first in wanted:
            stack, opened = [first], set()
            while stack:
                index = stack[-1]
                if index in self.items:
                    stack.pop()
                    continue
                node = self.flat.nodes[index]
                refs = () if node.op in _LOOPS else node.inputs
                waiting = [ref.node for ref in refs if ref.node not in self.items]
                if waiting and index in opened:
                    raise FormatError(f"{self.flat.file}: node {node.name!r} reads itself; the file is damaged")
                opened.add(index)
                stack += reversed(waiting)
                if not waiting:
                    self.items[index] = self._translate(index, node)
                    stack.pop()

    def _translate(self, index: int, node: FlatNode) -> Sequence[Item] | Mark:
        items = () if node.op in _LOOPS else tuple(self.item(ref) for ref in node.inputs)
        if node.op == "_Missing":
            raise FormatError(f"{self.flat.file}: a node reads {node.name!r}, which is not in the file")
        joins = node.op in ("Merge", "RefMerge")
        if DEAD in items and not joins:
            return DEAD
        step = Step(node, items, self.state)
        try:
            if REFUSED in items and not joins:
                if node.op not in _KNOWN:
                    raise step.unsupported("unknown op")
                return REFUSED
            if node.op in _OWN and node.raw.op == node.op:  # a name that only patterns give
                raise step.unsupported("unknown op")
            made = _made(step, items)
        except Unsupported as error:
            self.refused[index] = str(error)
            return REFUSED
        except ValueError as error:
            raise step.damaged(" ".join(str(error).split())[:300]) from None
        return made

    def told(self, wanted: Sequence[Ref]) -> list[str]:
        """What was refused on the way to some outputs; what lies in dead branches does not matter."""
        left, seen = deque(ref.node for ref in wanted), set()
        while left:
            index = left.popleft()
            if index in seen or self.items.get(index) is DEAD:
                continue
            seen.add(index)
            left += (ref.node for ref in self.flat.nodes[index].inputs if ref.node in self.items)
        return [text for index, text in sorted(self.refused.items()) if index in seen]


_SOURCES = ("Const", "VarHandleOp", "ReadVariableOp", *_VARIABLES)
_OWN = ("_BatchNorm", "_Dropout", inputs.BEGIN)
_KNOWN = frozenset((*OPS, *FOLDS, *PASSING, *_SOURCES))


def _made(step: Step, items: tuple[Item, ...]) -> Sequence[Item]:
    node, state = step.node, step.state
    if node.op in PASSING:
        return items
    if node.op in _SOURCES:
        return [_source(step)]
    if any(isinstance(item, Loose) for item in items) and node.op not in inputs.DECODERS:
        return [inputs.before(step)]
    arrays = [item.array for item in items if isinstance(item, Const)]
    if node.op in FOLDS and items and len(arrays) == len(items):
        made = fold(step, arrays)
        same = len(made) == 1 and (made[0] is arrays[0] or node.op in ("Cast", "Reshape", "ExpandDims", "Squeeze"))
        first = items[0]
        name = first.name if same and isinstance(first, Const) else step.name
        return [Const(array, name if i == 0 else f"{name}:{i}") for i, array in enumerate(made)]
    if node.op not in OPS:
        raise step.unsupported("unknown op")
    result = OPS[node.op](step)
    found = [result] if isinstance(result, (Value, Const, Loose, Handle, Mark)) else list(result)
    for item in found:
        if isinstance(item, Value) and any(n < 1 for n in item.shape):
            raise step.damaged(f"gives an empty output {item.shape} (without the batch)")
    if state.room < 0:
        raise step.damaged("makes constants larger than any network's")
    return found


def _source(step: Step) -> Item:
    """What the file holds: a constant, or a variable of the checkpoint beside it."""
    node, state = step.node, step.state
    if node.op == "Const":
        return Const(tensors.constant(node.raw, state.flat.file), step.name)
    if node.op == "VarHandleOp":
        return Handle(state.flat.names[node.name])
    index = state.flat.names[node.name]
    if node.op == "ReadVariableOp":
        item = step.item(0)
        if not isinstance(item, Handle):
            raise step.unsupported("reads a variable from outside the graph")
        node, index = state.flat.nodes[item.node], item.node
    return Const(state.variables(node, index), node.name)


# The Graph


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Nodes that the outputs need, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if any(name in wanted for name in node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _with_biases(state: State, nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Gives convolutions and dense layers the bias that is added right behind them.

    The node keeps the convolution's name and makes the value of the addition.
    """
    reads = Counter(key for node in nodes for key in node.inputs)
    made = {node.outputs[0]: place for place, node in enumerate(nodes)}
    result: list[Node | None] = list(nodes)
    for place, node in enumerate(nodes):
        if node.op != "Add" or len(node.inputs) != 2:
            continue
        for key, bias in (node.inputs, node.inputs[::-1]):
            array = state.params.get(bias)
            before = nodes[made[key]] if key in made else None
            if not isinstance(array, np.ndarray) or before is None or len(before.inputs) != 2:
                continue
            rank = {"Conv": 3, "ConvTranspose": 3, "Gemm": 1}.get(before.op)
            outer = state.shapes[key][1]
            if rank is None or array.shape != (outer,) + (1,) * (rank - 1) or reads[key] != 1 or key in outputs:
                continue
            name = bias
            if rank == 3:
                name = bias if reads[bias] == 1 else state.unique(bias)
                state.params[name] = array.reshape(-1)
            # It comes where the addition stood: nothing between the two reads it.
            result[place] = replace(before, inputs=(*before.inputs, name), outputs=node.outputs)
            result[made[key]] = None
            break
    return [node for node in result if node is not None]


def _unused(walk: _Walk) -> dict[str, str]:
    """Arrays of the file that no output needs."""
    unused = {}
    for index, node in enumerate(walk.flat.nodes):
        if node.op != "Const" or index in walk.items or "value" not in node.attrs:
            continue
        tensor = node.attrs["value"].tensor
        if tensors.dtype_of(node.raw, "dtype", walk.flat.file) in ("float32", "float64", "float16", "bfloat16") and any(
            dim.size > 1 for dim in tensor.tensor_shape.dim
        ):
            unused[node.name] = "no output of the network needs it"
    return unused
