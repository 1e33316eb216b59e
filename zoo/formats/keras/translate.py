"""Keras's layers -> Graph: the order in which they run, and what each becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from zoo.errors import FormatError, UnsupportedError, UsageError
from zoo.formats.keras import activations, plain, weighted
from zoo.formats.keras.config import Layer, Network, Ref, refs
from zoo.formats.keras.values import Op, Several, State, Step, Unsupported, Value, first
from zoo.formats.pickles import shown
from zoo.graph import Graph, Param

MAX_CALLS = 50_000  # of layers; a model inside a model can be called many times
MAX_TOLD = 40  # layers named in one message; real networks stay below
OPS: dict[str, Op] = {**activations.OPS, **plain.OPS, **weighted.OPS}
# Today's names of Keras 1's layers.
OLD = {
    "Convolution2D": "Conv2D",
    "AtrousConvolution2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "SpatialDropout2DV2": "SpatialDropout2D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "MaxPool2D": "MaxPooling2D",
    "AvgPool2D": "AveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
}
_PACKAGES = ("keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras", "")
_OPERATIONS = "keras.src.ops"
_FLAG = "--input-shape 3,224,224"
IGNORED = {
    "optimizer*": "state of the training",
    "_metrics*": "state of the training",
    "metrics*": "state of the training",
    "compile_metrics*": "state of the training",
    "*seed_generator*": "state of a random generator, which only training uses",
    "vars/*": "state of the training",
}


class _Refused(NamedTuple):
    """Stands for a value behind a layer that was refused."""


def translate(network: Network, state: State) -> Graph:
    """Returns the Graph of a network, its parameters shapes only, in the order in which Keras keeps weights.

    Args:
        network: as `config.parse` gives it.
        state: fresh.

    Raises:
        UnsupportedError: some layers cannot be expressed; all of them are named.
        UsageError: the input's size has to be told, or `until` names nothing.
        FormatError: the network's parts do not go together.
    """
    walk = _Walk(network, state)
    inputs = {ref: walk.input(network, ref) for ref in dict.fromkeys(network.inputs)}
    until = state.options.until
    if until is not None and until not in {layer.name for layer in network.all_layers()}:
        raise UsageError(f"{state.where}: has no layer {until!r} to end at")
    wanted = list(network.outputs)
    if until is not None and until in network.layers:
        wanted = [Ref(until, 0, 0)]
    outputs = walk.run(network, inputs, wanted, 1)
    if until is not None and until not in network.layers:  # inside a model inside
        outputs = [walk.made[until]] if until in walk.made else []
    if walk.refused:
        more = f" and {len(walk.refused) - MAX_TOLD} more" if len(walk.refused) > MAX_TOLD else ""
        raise UnsupportedError(f"{state.where}: unsupported layers: {'; '.join(walk.refused[:MAX_TOLD])}{more}")
    values = [value for value in outputs if isinstance(value, Value)]
    if not values or len(values) != len(outputs):
        raise FormatError(f"{state.where}: the network gives nothing")
    names = tuple(_output(state, value) for value in values)
    return _ordered(network, state, {value.name: state.shapes[value.name][1:] for value in inputs.values()}, names)


def _output(state: State, value: Value) -> str:
    """The Graph's name of an output, of three axes as NCHW."""
    if len(value.shape) != 3 or state.channels_first:
        return value.name
    return state.transposed(value, image=True).name


def _ordered(
    network: Network, state: State, inputs: Mapping[str, tuple[int, ...]], outputs: tuple[str, ...]
) -> Graph:  # fmt: skip
    """The Graph, without nodes that no output needs, and its parameters in the file's order of layers."""
    needed, kept = set(outputs), []
    for node in reversed(state.nodes):
        if node.outputs[0] in needed:
            needed.update(node.inputs)
            kept.append(node)
    nodes = tuple(kept[::-1])
    by_layer: dict[str, list[str]] = {}
    for key in state.params:
        by_layer.setdefault(key.rpartition("/")[0], []).append(key)
    params: dict[str, Any] = {}
    ignored = {**state.ignored, **IGNORED}
    renamed: dict[str, str] = {}
    for layer in network.all_layers():
        position = 0
        for key in by_layer.get(layer.name, ()):
            param = state.params[key]
            if isinstance(param, Param) and param.shape_in_file is not None:
                renamed[f"{layer.path}/vars/{position}"] = key  # in Keras 3's files
                position += 1
            if key in needed:
                params[key] = param
            elif isinstance(param, Param) and param.shape_in_file is not None:
                ignored[key] = "no output of the network needs it"
    return Graph(network.name, dict(inputs), outputs, nodes, params, ignored=ignored, renamed=renamed)


class _Walk:
    """Goes through what the outputs need, inputs first; recursion only into models inside models."""

    def __init__(self, network: Network, state: State) -> None:
        self.network = network
        self.state = state
        self.refused: list[str] = []
        self.calls = 0
        self.made: dict[str, Value | _Refused] = {}
        state.channels_first = any(first(layer) for layer in network.all_layers())

    def input(self, network: Network, ref: Ref) -> Value:
        """Adds an input of the Graph."""
        layer = network.layers.get(ref.layer)
        if layer is not None and layer.inner is not None and layer.inner.inputs:
            return self.input(layer.inner, layer.inner.inputs[0])
        config = layer.config if layer is not None else {}
        given = config.get("batch_shape") or config.get("batch_input_shape")
        where = self.state.where
        stated = self.state.options.input_shape
        if given is None and isinstance(config.get("input_shape"), list):
            given = [None, *config["input_shape"]]
        if not isinstance(given, list) or not 2 <= len(given) <= 4:
            if stated is None or given is not None:
                raise UsageError(
                    f"{where}: does not state its input's shape; give input_shape= (--input-shape 3,224,224)"
                )
            given = [None] * 4
        shape = [n if isinstance(n, int) and not isinstance(n, bool) else None for n in given[1:]]
        if len(shape) == 3 and stated is not None:
            chosen = stated if self.state.channels_first else (*stated[1:], stated[0])
            shape = list(chosen)
        if None in shape or any(not 1 <= (n or 0) <= 1 << 20 for n in shape):
            raise UsageError(f"{where}: its input has no known size; give input_shape= ({_FLAG})")
        sizes = tuple(n for n in shape if n is not None)
        image = len(sizes) == 3 and not self.state.channels_first
        name = self.state.unique(layer.name if layer is not None else "input")
        self.state.shapes[name] = (-1, *((sizes[2], *sizes[:2]) if image else sizes))
        return Value(name, sizes, image)

    def run(
        self, network: Network, inputs: Mapping[Ref, Value | _Refused], wanted: list[Ref], depth: int
    ) -> list[Value | _Refused]:
        """Returns the values of a model's layers, given those of its inputs."""
        known: dict[Ref, Value | _Refused] = dict(inputs)
        for ref in wanted:
            stack, opened = [ref], set()
            while stack:
                at = stack[-1]
                if at in known:
                    stack.pop()
                    continue
                layer = network.layers.get(at.layer)
                if layer is None or at.call >= len(layer.calls):
                    raise self._damaged(f"a layer reads {shown(at.layer)!r}, call {at.call}, which is not there")
                arguments = layer.calls[at.call]
                waiting = [needed for needed in refs(arguments) if needed not in known]
                if waiting and at in opened:
                    raise self._damaged(f"layer {layer.name!r} reads its own output: a cycle")
                opened.add(at)
                stack += reversed(waiting)
                if not waiting:
                    made = self._called(layer, _filled(arguments, known), depth)
                    for index, value in enumerate(made):
                        known[Ref(at.layer, at.call, index)] = value
                    if at not in known and isinstance(made[0], _Refused):
                        known[at] = made[0]
                    if at not in known:
                        raise self._damaged(f"layer {layer.name!r} has no output {at.output}")
                    stack.pop()
        return [known[ref] for ref in wanted]

    def _damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.state.where}: the network's description is damaged: {what}")

    def _called(self, layer: Layer, arguments: tuple[Any, ...], depth: int) -> list[Value | _Refused]:
        self.calls += 1
        if self.calls > MAX_CALLS:
            raise self._damaged(f"layers are called more than {MAX_CALLS} times")
        found = list(_flat(arguments))
        if layer.inner is not None:
            inner = layer.inner
            if len(found) != len(inner.inputs):
                raise self._damaged(f"{layer.name!r} takes {len(inner.inputs)} values, gets {len(found)}")
            made = self.run(inner, dict(zip(inner.inputs, found, strict=True)), list(inner.outputs), depth + 1)
        else:
            made = self._translated(layer, arguments, found)
        if len(made) == 1:
            self.made.setdefault(layer.name, made[0])
        return made

    def _translated(self, layer: Layer, arguments: tuple[Any, ...], found: list[Value | _Refused]) -> list[Any]:
        """Returns a layer's values; one that stands for all where it was refused, or reads what was."""
        kind = OLD.get(layer.kind, layer.kind)
        step = Step(layer, arguments, self.state)
        try:
            translation = _translation(step, kind)
            if any(isinstance(value, _Refused) for value in found):
                return [_Refused()]
            made = translation(step)
            return made if isinstance(made, list) else [made]
        except Unsupported as error:
            if str(error) not in self.refused:
                self.refused.append(str(error))
            return [_Refused()]
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise step.damaged(" ".join(str(error).split())[:300]) from None


def _translation(step: Step, kind: str) -> Op | Several:
    layer = step.layer
    package = layer.module.split(">")[0]
    if package.startswith(_OPERATIONS):
        if kind in plain.KERAS_OPS:
            return plain.KERAS_OPS[kind]
        raise Unsupported(f"{layer.name} (the operation {shown(kind, 40)})")
    known = any(package == name or (name and package.startswith(f"{name}.")) for name in _PACKAGES)
    if not known or kind not in OPS:
        whose = f" of {shown(layer.module, 60)}" if layer.module and not known else ""
        raise Unsupported(f"{layer.name} ({shown(layer.kind, 60)}{whose})")
    return OPS[kind]


def _filled(arguments: Any, known: Mapping[Ref, Value | _Refused]) -> Any:
    """The arguments of a call with the values in place of what refers to them."""
    if isinstance(arguments, Ref):
        return known[arguments]
    if isinstance(arguments, tuple):
        return tuple(_filled(item, known) for item in arguments)
    return [_filled(item, known) for item in arguments] if isinstance(arguments, list) else arguments


def _flat(arguments: Any) -> Iterator[Value | _Refused]:
    if isinstance(arguments, (Value, _Refused)):
        yield arguments
    elif isinstance(arguments, (list, tuple)):
        for item in arguments:
            yield from _flat(item)
