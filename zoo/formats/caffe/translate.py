"""Caffe layers -> Graph: what an op's translation works with, and the walk over all layers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from zoo.errors import FormatError, UnsupportedError, UsageError
from zoo.formats.caffe.network import Layer, Network
from zoo.formats.caffe.weights import Blob
from zoo.graph import Graph, Node, Param

# How many bottoms a layer reads, where it is not one.
BOTTOMS: dict[str, tuple[int, int]] = {
    "Axpy": (3, 3),
    "Bias": (1, 2),
    "Concat": (1, 10_000),
    "Convolution": (1, 10_000),
    "ConvolutionDepthwise": (1, 10_000),
    "Crop": (2, 2),
    "DepthwiseConvolution": (1, 10_000),
    "Eltwise": (2, 10_000),
    "Interp": (1, 2),
    "Scale": (1, 2),
    "Upsample": (1, 2),
}
MAX_TOLD = 40  # layers named in one message; real networks stay below


class Value(NamedTuple):
    """A value on its way through the network.

    Args:
        name: its name in the Graph.
        shape: without the batch.
    """

    name: str
    shape: tuple[int, ...]


class Mask(NamedTuple):
    """Where a maximum pooling found its values: Caffe hands on their places, here it is known how to find them again.

    Args:
        source: what was pooled.
        pooled: the maxima.
        kernel: (height, width) of the windows if they lie side by side, unpadded; else None.
    """

    source: Value
    pooled: Value
    kernel: tuple[int, int] | None


class Unsupported(Exception):
    """A sound layer that the Graph cannot express; collected, so that one error names all of them."""


Op: TypeAlias = Callable[["Step"], "Value | Sequence[Value | None]"]


@dataclass
class State:
    """What the translation of a whole network collects.

    Args:
        file: the network definition's name, for messages.
        weights_file: the weights' name, for messages.
        weights: layer name -> blobs; None where the network is read without weights.
        batch: the batch that the network's text states; means nothing but in reshapes. 0 if it states none.
    """

    file: str
    weights_file: str
    weights: Mapping[str, list[Blob]] | None
    batch: int = 0
    nodes: list[Node] = field(default_factory=list)
    params: dict[str, np.ndarray | Param] = field(default_factory=dict)
    values: dict[int, Value] = field(default_factory=dict)
    reads: Counter[int] = field(default_factory=Counter)
    names: set[str] = field(default_factory=set)
    owners: dict[str, int] = field(default_factory=dict)  # layer name -> its first top, for layers with blobs
    taken: dict[str, int] = field(default_factory=dict)  # layer name -> blobs used
    missing: list[str] = field(default_factory=list)
    masks: dict[int, Mask] = field(default_factory=dict)  # by their value
    ends: tuple[int, ...] = ()  # values the network was asked to end at
    aligned: dict[int, list[int]] = field(default_factory=dict)  # value -> offsets that a Crop worked out for it
    makers: dict[int, Layer] = field(default_factory=dict)  # value -> the layer that makes it
    bare_norms: set[str] = field(default_factory=set)  # values of BatchNorms that no Scale has given gamma and beta

    def unique(self, name: str) -> str:
        """Returns the name, or one like it if it is taken: Caffe lets layers and blobs share names."""
        chosen, count = name, 1
        while chosen in self.names:
            count += 1
            chosen = f"{name}_{count}"
        self.names.add(chosen)
        return chosen


@dataclass
class Step:
    """The translation of one layer: its inputs, and how to add parameters and nodes."""

    layer: Layer
    inputs: tuple[Value, ...]
    state: State

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def spec(self) -> Any:
        return self.layer.spec

    @property
    def shape(self) -> tuple[int, ...]:
        """The first input's shape, without the batch."""
        return self.inputs[0].shape

    def blob(self, index: int, shape: tuple[int, ...]) -> np.ndarray | None:
        """Returns one of the layer's blobs, or None if there are no weights (yet).

        Raises:
            FormatError: the blob has another shape than the layer needs.
        """
        state = self.state
        if state.owners.setdefault(self.name, self.layer.tops[0]) != self.layer.tops[0]:
            raise self.damaged("another layer with weights has the same name; weights are found by name: rename one")
        state.taken[self.name] = max(state.taken.get(self.name, 0), index + 1)
        if state.weights is None:
            return None
        blobs = state.weights.get(self.name, [])
        if index >= len(blobs):
            state.missing.append(f"{self.name} (blob {index}, {shape})")
            return None
        array = blobs[index].reshaped(shape)
        if array is None:
            raise FormatError(
                f"{state.weights_file}: layer {self.name!r}: blob {index} has shape {blobs[index].array.shape}, "
                f"{state.file} needs {shape}; the two files do not belong together"
            )
        return array

    def param(self, index: int, shape: tuple[int, ...], *, as_shape: tuple[int, ...] | None = None) -> str:
        """Adds a blob to the Graph's parameters, named `<layer>/<index>` as Caffe counts; returns the name."""
        array = self.blob(index, shape)
        wanted = as_shape or shape
        return self.store(str(index), Param(wanted) if array is None else array.reshape(wanted))

    def store(self, suffix: str, array: np.ndarray | Param) -> str:
        """Adds an array that no blob holds as it is to the Graph's parameters; returns its name."""
        name = self.state.unique(f"{self.name}/{suffix}")
        self.state.params[name] = array
        return name

    def constant(self, suffix: str, number: float) -> str:
        """Adds a number from the layer's parameters to the Graph's; returns its name."""
        return self.store(suffix, np.array(number, dtype=np.float32))

    def node(
        self, op: str, inputs: Sequence[str], shape: tuple[int, ...], /, *, suffix: str = "", **attrs: Any
    ) -> Value:
        """Adds a node, named as the layer or, where one layer becomes several, `<layer>/<suffix>`."""
        name = self.state.unique(f"{self.name}/{suffix}" if suffix else self.name)
        self.state.nodes.append(Node(op, name, tuple(inputs), (name,), attrs))
        return Value(name, shape)

    def split(self, sizes: Sequence[int], axis: int) -> list[Value]:
        """Adds a Split of the first input, whose outputs are named as the layer's tops."""
        name = self.state.unique(self.name)
        outputs = tuple(self.state.unique(blob) if blob != self.name else name for blob in self.layer.blobs)
        self.state.nodes.append(
            Node("Split", name, (self.inputs[0].name,), outputs, {"axis": axis, "split": tuple(sizes)})
        )
        shape = self.shape
        return [Value(made, (*shape[: axis - 1], n, *shape[axis:])) for made, n in zip(outputs, sizes, strict=True)]

    def replace_node(self, made: str, inputs: Sequence[str]) -> None:
        """Gives the node that made a value other inputs."""
        for i in range(len(self.state.nodes) - 1, -1, -1):
            if self.state.nodes[i].outputs[0] == made:
                self.state.nodes[i] = replace(self.state.nodes[i], inputs=tuple(inputs))
                return

    def axis(self, axis: int, *, end: int = 0) -> int:
        """Returns an axis of the first input, counted from the batch as 0, whichever end it was counted from."""
        rank = len(self.shape) + 1
        if not -rank - end <= axis < rank + end:
            raise self.damaged(f"has axis {axis}, its input {rank} axes")
        return axis % (rank + end) if axis >= 0 else axis + rank + end

    def damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.layer.where}: {what}")

    def unsupported(self, what: str) -> Unsupported:
        return Unsupported(f"{self.name} ({self.layer.type}): {what}")


def translate(network: Network, ops: Mapping[str, Op], state: State) -> Graph:
    """Returns the Graph of a network.

    Args:
        network: layers in the order in which they run.
        ops: Caffe's layer type -> its translation.
        state: fresh, with files and weights.

    Raises:
        UnsupportedError: some layers cannot be expressed; all of them are named.
        FormatError: network and weights do not fit together.
    """
    strange = [layer for layer in network.layers if layer.type not in ops]
    if strange:
        told = [f"{layer.name} ({layer.type or 'no type'})" for layer in strange]
        raise UnsupportedError(
            f"{state.file}: unsupported layer types: {_all_of(told, ', ')}{_hint(strange[0], network)}"
        )
    for layer in network.layers:
        if not layer.bottoms:
            raise FormatError(f"{layer.where}: has no bottom; expected the top of a layer above it")
    if not network.inputs or not network.outputs:
        raise FormatError(f"{state.file}: no layer that runs at test time reads an input; expected a network")
    inputs = _inputs(network, state)
    state.reads.update(value for layer in network.layers for value in layer.bottoms)
    state.makers.update({value: layer for layer in network.layers for value in layer.tops})
    refused: list[str] = []
    for layer in network.layers:
        if any(value not in state.values for value in layer.bottoms):
            continue  # behind a layer that is refused
        step = Step(layer, tuple(state.values[value] for value in layer.bottoms), state)
        try:
            _translate_layer(step, ops[layer.type])
        except Unsupported as error:
            refused.append(str(error))
    if refused:
        raise UnsupportedError(f"{state.file}: unsupported layers: {_all_of(refused, '; ')}")
    if state.missing:
        some = ", ".join(state.missing[:4]) + (f" and {len(state.missing) - 4} more" if len(state.missing) > 4 else "")
        raise FormatError(f"{state.weights_file}: lacks weights that {state.file} needs: {some}")
    made = [value for value in network.outputs if value in state.values]  # a mask that nothing reads is not made
    outputs = tuple(dict.fromkeys(state.values[value].name for value in made))
    graph = Graph(network.name, inputs, outputs, tuple(state.nodes), state.params, _unused(network, state))
    return graph.check()


def _hint(first: Layer, network: Network) -> str:
    """How to have the part below an unsupported layer."""
    below = next((layer.name for layer in network.layers if set(layer.tops) & set(first.bottoms)), None)
    return f"; the part below them can be had with until= (--until {below})" if below else ""


def _all_of(found: Sequence[str], separator: str) -> str:
    more = f" and {len(found) - MAX_TOLD} more" if len(found) > MAX_TOLD else ""
    return separator.join(found[:MAX_TOLD]) + more


def _inputs(network: Network, state: State) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for blob, (value, shape) in network.inputs.items():
        if shape is None:
            raise UsageError(
                f"{state.file}: does not say what shape input {blob!r} has; give input_shape= "
                f"(--input-shape 3,224,224) or use the network's deploy.prototxt"
            )
        state.values[value] = Value(state.unique(blob), shape)
        shapes[blob] = shape
    return shapes


def _translate_layer(step: Step, op: Op) -> None:
    if step.layer.unknown:
        raise step.unsupported(f"has fields that zoo does not know: {_all_of(step.layer.unknown, ', ')}")
    least, most = BOTTOMS.get(step.layer.type, (1, 1))
    if not least <= len(step.inputs) <= most:
        told = f"{least}" if most == least else f"{least} or more" if most > 2 else f"{least} or {most}"
        raise step.damaged(f"has {len(step.inputs)} bottoms; expected {told}")
    if step.layer.type != "Upsample" and any(value in step.state.masks for value in step.layer.bottoms):
        raise step.unsupported("reads the places of the maxima of a pooling; only Upsample can")
    if step.layer.torn:
        raise step.unsupported(step.layer.torn)
    made = op(step)
    values = [made] if isinstance(made, Value) else list(made)
    if len(values) != len(step.layer.tops):
        raise step.damaged(f"has {len(step.layer.tops)} tops; expected {len(values)}")
    for value in filter(None, values):
        if any(n < 1 for n in value.shape):
            raise step.damaged(f"gives an empty output {value.shape} for input {step.shape} (without the batch)")
        if math.prod(value.shape) >= 1 << 40:
            raise step.damaged(f"gives the impossible output {value.shape} (without the batch)")
    tops = zip(step.layer.tops, values, strict=True)
    step.state.values.update({top: value for top, value in tops if value is not None})


def _unused(network: Network, state: State) -> dict[str, str]:
    """Blobs of the file that the network does not use, and why."""
    present = {layer.name for layer in network.layers}
    unused = {}
    for name, blobs in (state.weights or {}).items():
        taken = state.taken.get(name, 0)
        if name in present:
            reason = f"the layer takes {taken} blobs in {state.file}"
        else:
            reason = network.dropped.get(name, f"{state.file} has no such layer")
        unused.update({f"{name}/{i}": reason for i in range(taken, len(blobs))})
    return unused
