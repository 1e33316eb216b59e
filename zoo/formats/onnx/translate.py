"""An ONNX network -> Graph: what is known while reading is computed, the rest translated node by node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zoo.errors import FormatError, UnsupportedError, UsageError
from zoo.formats.onnx import folding, lines, moves, ops
from zoo.formats.onnx.network import MAX_TOLD, Dims, Layer, Network, short
from zoo.formats.onnx.step import Known, State, Step, Unsupported, Value, refusal
from zoo.formats.onnx.tensors import Folder, array
from zoo.formats.options import Options
from zoo.graph import Graph, Node
from zoo.shapes import BATCH, LIMIT

OPS: Mapping[str, ops.Op] = {**ops.OPS, **lines.OPS, **moves.OPS}

# Operators whose absence has a reason worth telling.
_REASONS = {
    **dict.fromkeys(("Loop", "Scan", "SequenceMap"), "holds a subgraph"),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"), "belongs to a quantized network"),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"), "belongs to a quantized network"),
}
_TO_NCHW = [0, 3, 1, 2]
_POINTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Cast", "Identity", "Clip", "Neg", "Relu", "Sigmoid", "Tanh"})


def translate(network: Network, path: Path, options: Options) -> Graph:
    """Returns the Graph of an ONNX network.

    Raises:
        UnsupportedError: some nodes cannot be expressed; all of them are named.
        FormatError: the file contradicts itself.
        UsageError: the file leaves open what size its input has, and `options` too.
    """
    state = State(network, Folder(path.parent))
    state.names.update(layer.name for layer in network.layers)
    state.made.update(value for layer in network.layers for value in layer.outputs)
    state.names.update(state.made, network.stored)
    state.reads.update(value for layer in network.layers for value in layer.inputs)
    state.reads.update(network.outputs)
    inputs = _inputs(state, options)
    refused: list[str] = []
    for layer in network.layers:
        try:
            _translate_layer(layer, state)
        except Unsupported as error:
            refused.append(f"{short(layer.name)} ({short(layer.op)}): {error}")
    if refused:
        raise refusal(network.file, refused, MAX_TOLD)
    for name in network.outputs:
        if not isinstance(state.values.get(name), Value):
            raise UnsupportedError(f"{network.file}: its output {short(name)!r} does not depend on its input")
    _drop_idle(state, network.outputs)
    unused = {**network.dropped, **state.dropped}
    graph = Graph(network.name, inputs, network.outputs, tuple(state.nodes), state.params, unused)
    return graph.check()


def _reason(layer: Layer) -> str | None:
    """Why a node cannot be translated, as far as its operator alone tells."""
    if layer.domain:
        return f"belongs to {short(layer.domain)}, not to ONNX's own operators"
    if layer.op in _REASONS and layer.op not in folding.FOLDS:
        return _REASONS[layer.op]
    if layer.strange:
        return f"holds {', '.join(layer.strange[:4])}"
    if layer.op not in OPS and layer.op not in folding.FOLDS and not layer.branches:
        return "has no counterpart"
    return None


def _translate_layer(layer: Layer, state: State) -> None:
    reason = _reason(layer)
    if reason:
        raise Unsupported(reason)
    inputs: list[Known | Value | None] = []
    for name in layer.inputs:
        found = state.values.get(name)
        if found is None and name in state.network.stored:
            found = Known(array(state.network.stored[name], state.folder), name)
            state.values[name] = found
        if found is None and name:
            return  # behind a node that is refused
        inputs.append(found)
    step = Step(layer, tuple(inputs), state)
    if layer.branches:
        _choose(step)
        return
    if layer.op in ("Shape", "Size") and inputs and isinstance(inputs[0], Value):
        sizes = folding.sizes_of(inputs[0].shape)
        made = step.between(sizes) if layer.op == "Shape" else np.prod(sizes)
        results: Sequence[Known | Value] = [Known(folding.tidy(np.asarray(made)), layer.outputs[0])]
    elif all(item is None or isinstance(item, Known) for item in inputs):
        results = _folded(step)
    elif layer.op not in OPS:
        raise Unsupported(_REASONS.get(layer.op, "is only supported on stored arrays"))
    else:
        try:
            translated = OPS[layer.op](step)
        except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
            raise step.damaged(f"has inputs or attributes that do not fit it ({type(error).__name__})") from None
        results = translated if isinstance(translated, list) else [translated]
    for name, result in zip(layer.outputs, results, strict=False):
        if name:
            state.values[name] = result
    extra = [name for name in layer.outputs[len(results) :] if name and state.reads[name]]
    if extra:
        raise Unsupported(f"its output {short(extra[0])!r} is read, which only the first may be")


def _folded(step: Step) -> list[Known | Value]:
    arrays = [item.array for item in step.inputs if isinstance(item, Known)]
    first = step.inputs[0] if step.inputs else None
    keeps = step.layer.op in folding.MOVES and isinstance(first, Known)
    return [
        Known(made, first.name if keeps and isinstance(first, Known) else name)
        for made, name in zip(folding.fold(step, arrays), step.layer.outputs, strict=False)
    ]


def _choose(step: Step) -> None:
    """An If whose condition is known while reading: the nodes of its branch take its place."""
    layer, state, condition = step.layer, step.state, step.inputs[0] if step.inputs else None
    if not isinstance(condition, Known) or condition.array.size != 1:
        raise Unsupported("chooses between two subgraphs when the network runs")
    taken = "then_branch" if bool(condition.array.reshape(-1)[0]) else "else_branch"
    branch = layer.branches[taken]
    own = [*branch.stored, *(value for inner in branch.layers for value in inner.outputs if value)]
    names = {value: state.unique(value) for value in own}
    for name, stored in branch.stored.items():
        state.values[names[name]] = Known(array(stored, state.folder), names[name])
    state.made.update(names[value] for value in own if value not in branch.stored)
    read = {value for inner in branch.layers for value in inner.inputs} | set(branch.outputs)
    for key, other in layer.branches.items():
        why = f"only the {key} of {short(layer.name)} has it, which never runs" if key != taken else "no layer reads it"
        idle = [name for name in other.stored if key != taken or name not in read]
        state.dropped.update({f"{layer.name}/{key}/{name}": why for name in idle})
    for inner in branch.layers:
        inputs = tuple(names.get(value, value) for value in inner.inputs)
        outputs = tuple(names.get(value, value) for value in inner.outputs)
        state.reads.update(inputs)
        inner = replace(inner, name=state.unique(inner.name), inputs=inputs, outputs=outputs)
        try:
            _translate_layer(inner, state)
        except Unsupported as error:
            raise Unsupported(f"its {taken} has {short(inner.name)} ({short(inner.op)}): {error}") from None
    for name, value in zip(layer.outputs, branch.outputs, strict=True):
        found = state.values[names.get(value, value)]
        whole = isinstance(found, Value) and found.whole
        made = found if isinstance(found, Known) else step.node("Identity", [found.name], outputs=(name,))
        if name:
            state.values[name] = replace(made, whole=True) if whole and isinstance(made, Value) else made


def _drop_idle(state: State, outputs: Sequence[str]) -> None:
    """Drops nodes that only sizes were taken of: no value of theirs reaches an output."""
    needed, kept = set(outputs), []
    for node in reversed(state.nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    state.nodes[:] = reversed(kept)
    for name in [name for name in state.params if name not in needed]:
        del state.params[name]


# -------------------------------------------------------------------------------------------------------------- inputs


def _inputs(state: State, options: Options) -> dict[str, tuple[int, ...]]:
    """The network's inputs, without the batch; images that the file takes as NHWC become NCHW."""
    network = state.network
    if not network.inputs:
        raise FormatError(f"{network.file}: nothing that its output needs is an input; expected a network")
    consumers: dict[str, list[Layer]] = defaultdict(list)
    for layer in network.layers:
        for value in layer.inputs:
            consumers[value].append(layer)
    inputs = {}
    for name, (dims, data_type) in network.inputs.items():
        where = f"{network.file}: input {short(name)!r}"
        if dims is None and options.input_shape is None:
            raise UsageError(f"{where} has no shape; give input_shape= (--input-shape 3,224,224)")
        dims = (None, None, None, None) if dims is None else dims
        last = len(dims) == 4 and _channels_last(name, dims, consumers)
        shape = _shape(dims, options, where, last=last)
        if isinstance(dims[0], int) and state.batch in (None, dims[0]):
            state.batch = dims[0]
        inputs[name] = shape
        whole = data_type not in (0, 1, 10, 11, 16)
        state.names.add(name)
        state.shapes[name] = (BATCH, *shape)
        if last:
            nhwc = (BATCH, *shape[1:], shape[0])
            value = state.unique(f"{name}/nhwc")
            state.nodes.append(Node("Transpose", value, (name,), (value,), {"perm": (0, 2, 3, 1)}))
            state.shapes[value] = nhwc
            state.values[name] = Value(value, nhwc, whole)
            state.nhwc[value] = name
        else:
            state.values[name] = Value(name, (BATCH, *shape), whole)
    return inputs


def _shape(dims: Dims, options: Options, where: str, *, last: bool) -> tuple[int, ...]:
    if len(dims) < 2:
        raise UnsupportedError(f"{where} has {len(dims)} axes; expected the batch and more")
    rest = dims[1:]
    if len(dims) == 4:
        rest = (rest[2], *rest[:2]) if last else rest
        given = options.input_shape
        if given is not None:
            if isinstance(rest[0], int) and rest[0] != given[0]:
                raise UsageError(f"{where} has {rest[0]} channels, input_shape= says {given[0]}")
            rest = given
    if not all(isinstance(n, int) for n in rest):
        told = "x".join("?" if not isinstance(n, int) else str(n) for n in rest)
        if len(dims) == 4:
            raise UsageError(f"{where} leaves its size open ({told}); give input_shape= (--input-shape 3,224,224)")
        raise UnsupportedError(f"{where} leaves its size open ({told})")
    shape = tuple(n for n in rest if isinstance(n, int))
    if any(not 0 < n < LIMIT for n in shape):
        raise FormatError(f"{where} has the impossible shape {shape} (without the batch)")
    return shape


def _channels_last(name: str, dims: Dims, consumers: Mapping[str, list[Layer]]) -> bool:
    """Whether an image is turned to NCHW first, as networks from TensorFlow do, perhaps after some arithmetic."""
    if dims[3] not in (1, 3, 4, None) or dims[1] in (1, 3, 4):
        return False
    waiting, seen = [name], {name}
    turned = False
    while waiting:
        for layer in consumers[waiting.pop()]:
            if layer.op == "Transpose" and layer.attrs.get("perm") == _TO_NCHW:
                turned = True
            elif layer.op in _POINTWISE:
                fresh = [value for value in layer.outputs if value not in seen]
                seen.update(fresh)
                waiting.extend(fresh)
            elif layer.op != "Shape":
                return False
    return turned
