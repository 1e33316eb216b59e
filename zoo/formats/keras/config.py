"""Keras's description of a network, JSON of any of its versions -> layers and the order in which they are called.

Nothing here knows what a layer computes. Keras 1, 2 and 3 differ in how they write tensors, shapes and nested models;
what comes out is one form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from zoo.errors import FormatError, UnsupportedError
from zoo.formats.pickles import shown

MODELS = ("Functional", "Model", "Sequential")
MAX_DEPTH = 8  # models inside each other; pretrained networks take two
MAX_LAYERS = 20_000
MAX_NAME = 200
_LISTS = ("__tuple__", "TensorShape", "__list__")
_BATCH_SHAPES = ("batch_shape", "batch_input_shape")


class Ref(NamedTuple):
    """A value: which call of which layer of the same model made it."""

    layer: str
    call: int
    output: int


@dataclass(frozen=True)
class Layer:
    """A layer, which may be called several times.

    Args:
        name: its own, behind those of the models it stands in: `encoder/conv1`.
        kind: its class.
        module: where the file says that the class is; "" if it does not.
        config: its arguments.
        path: where Keras 3 puts its variables: `layers/functional/layers/conv2d_1`.
        calls: the arguments of each call; a list in it stands for several values.
        inner: the layers inside, if it is a model.
        raw: its name as the calls of the same model give it.
    """

    name: str
    kind: str
    module: str
    config: Mapping[str, Any]
    path: str
    calls: tuple[tuple[Any, ...], ...] = ()
    inner: Network | None = None
    raw: str = ""


@dataclass(frozen=True)
class Network:
    """A model: its layers in the file's order, which is that of its weights.

    Args:
        name: the model's.
        layers: by their names in `Ref`s.
        inputs: the values it takes.
        outputs: the values it gives.
        version: of the Keras that wrote it, as far as it can be told: 1, 2 or 3.
    """

    name: str
    layers: Mapping[str, Layer]
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]
    version: int = 3

    def all_layers(self) -> Iterator[Layer]:
        """Gives the layers that are no models, in the order in which Keras keeps their weights."""
        for layer in self.layers.values():
            if layer.inner is None:
                yield layer
            else:
                yield from layer.inner.all_layers()


@dataclass
class _Reading:
    where: str
    version: int
    count: int = 0
    refused: list[str] = field(default_factory=list)

    def damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.where}: the network's description is damaged: {what}")


def parse(text: str, where: str, *, version: int | None = None) -> Network:
    """Returns the network that a JSON text describes.

    Args:
        text: `model_config` of an HDF5 file, or config.json.
        where: the file's name, for messages.
        version: of the Keras that wrote it, where the file says it; else it is told from the spelling.

    Raises:
        FormatError: it is no description of a network.
        UnsupportedError: the model is of a class of its own.
    """
    return network(loads(text, where), where, version=version)


def loads(text: str, where: str) -> Any:
    """Returns what a JSON text of Keras holds, with plain lists for Keras's tuples."""
    try:
        return json.loads(text, object_hook=_plain)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: the network's description is no JSON ({shown(str(error), 100)})") from None


def network(described: Any, where: str, *, version: int | None = None) -> Network:
    """Returns the network of a description that `loads` gave; see `parse`."""
    reading = _Reading(where, version or 0)
    kind = described.get("class_name") if isinstance(described, dict) else None
    if kind not in MODELS:
        raise UnsupportedError(
            f"{where}: the model is of class {shown(str(kind), 60)!r}, which only its own code can build; expected "
            "Sequential or Functional"
        )
    try:
        reading.version = version or _version(str(described))
        return _model(described, reading, "", "", 1)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, RecursionError) as error:
        raise reading.damaged(shown(f"{type(error).__name__}: {error}", 100)) from None


def _version(text: str) -> int:
    """Which Keras a description is likely to be of, by how it spells things."""
    return 3 if "keras_history" in text or "'batch_shape'" in text else 1 if "border_mode" in text else 2


def _plain(found: dict[str, Any]) -> Any:
    """What Keras wraps because JSON has only lists."""
    if found.get("class_name") in _LISTS and isinstance(found.get("items"), list):
        return found["items"]
    return found


def _model(described: Mapping[str, Any], reading: _Reading, prefix: str, path: str, depth: int) -> Network:
    if depth > MAX_DEPTH:
        raise reading.damaged(f"models are nested more than {MAX_DEPTH} deep")
    config = described["config"]
    sequential = described["class_name"] == "Sequential"
    entries = config if isinstance(config, list) else config["layers"]
    name = str(config.get("name") or described.get("name") or "model") if isinstance(config, dict) else "model"
    if not isinstance(entries, list):
        raise reading.damaged("layers are no list")
    layers: dict[str, Layer] = {}
    used: dict[str, int] = {}
    for entry in entries:
        layer = _layer(entry, reading, prefix, path, depth, used)
        if layer.raw in layers:
            raise reading.damaged(f"two layers are named {shown(layer.raw)!r}")
        layers[layer.raw] = layer
    if sequential:
        return _chained(name, layers, config, reading, prefix)
    layers = {key: _counted(layer, layers, config) for key, layer in layers.items()}
    inputs, outputs = (tuple(_refs_of(config[key], layers, reading)) for key in ("input_layers", "output_layers"))
    return Network(name, layers, inputs, outputs, reading.version)


def _layer(
    entry: Any, reading: _Reading, prefix: str, path: str, depth: int, used: dict[str, int]
) -> Layer:  # fmt: skip
    reading.count += 1
    if reading.count > MAX_LAYERS:
        raise reading.damaged(f"more than {MAX_LAYERS} layers")
    kind, config = entry["class_name"], entry["config"]
    own = entry.get("name") or (config.get("name") if isinstance(config, dict) else None) or f"{kind}_{reading.count}"
    if not isinstance(kind, str) or not isinstance(own, str) or not own.isprintable() or len(own) > MAX_NAME:
        raise reading.damaged(f"{shown(str(own), 40)!r} is no name of a layer")
    here = f"{path}layers/{numbered(snake(kind), used)}"
    full = f"{prefix}{own}"
    inner = _model(entry, reading, f"{full}/", f"{here}/", depth + 1) if kind in MODELS else None
    if inner is None and not isinstance(config, dict):
        raise reading.damaged(f"layer {shown(full)!r} has no arguments")
    arguments = config if isinstance(config, dict) else {}
    registered = entry.get("registered_name")
    module = str(entry.get("module") or "")
    if isinstance(registered, str) and ">" in registered:  # `Package>Class`: a class of somebody's own
        module = registered
    calls = tuple(_call(node, reading) for node in entry.get("inbound_nodes") or ())
    return Layer(full, kind, module, arguments, here, calls, inner, own)


def snake(kind: str) -> str:
    """Returns a class's name as Keras 3 names its variables' folder: `Conv2D` -> `conv2d`.

    >>> snake("BatchNormalization"), snake("DepthwiseConv2D"), snake("ReLU")
    ('batch_normalization', 'depthwise_conv2d', 're_lu')
    """
    kind = re.sub(r"\W+", "", kind)
    kind = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub("([a-z])([A-Z])", r"\1_\2", kind).lower()


def numbered(base: str, used: dict[str, int]) -> str:
    used[base] = used.get(base, -1) + 1
    return f"{base}_{used[base]}" if used[base] else base


def _call(node: Any, reading: _Reading) -> tuple[Any, ...]:
    """The arguments of one call: values as `Ref`, several of them as a list, numbers as they are."""
    if isinstance(node, dict):  # Keras 3
        found = [_argument(value) for value in node.get("args", ())]
        for key, value in (node.get("kwargs") or {}).items():
            argument = _argument(value)
            if key not in ("training", "mask") and argument is not None:
                found.append(argument if isinstance(argument, (Ref, list)) else {key: argument})
        return tuple(found)
    refs = [_ref(value) for value in node]
    extra = [value[3] for value in node if len(value) > 3 and value[3]]
    kept = {key: value for one in extra for key, value in one.items() if key not in ("training", "mask")}
    arguments: list[Any] = [refs[0] if len(refs) == 1 else refs]
    return tuple([*arguments, kept] if kept else arguments)


def _argument(value: Any, depth: int = 1) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("arguments are nested too deep")
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return _ref(value["config"]["keras_history"])
    if isinstance(value, list):
        return [_argument(item, depth + 1) for item in value]
    return value


def _ref(value: Sequence[Any]) -> Ref:
    layer, call, output = value[:3]
    if not isinstance(layer, str) or type(call) is not int or type(output) is not int or call < 0 or output < 0:
        raise ValueError(f"{value[:3]} is no value")
    return Ref(layer, call, output)


def refs(arguments: Any) -> Iterator[Ref]:
    """Gives all values among the arguments of a call."""
    if isinstance(arguments, Ref):
        yield arguments
    elif isinstance(arguments, (list, tuple)):
        for item in arguments:
            yield from refs(item)


def _refs_of(value: Any, layers: Mapping[str, Layer], reading: _Reading) -> Iterator[Ref]:
    """Gives a model's own inputs or outputs: one, a list or a dict of them."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        raise reading.damaged("inputs or outputs are missing")
    if value and isinstance(value[0], str):
        found = _ref(value)
        if found.layer not in layers:
            raise reading.damaged(f"{shown(found.layer)!r} is an input or output, but no layer")
        yield found
        return
    for item in value:
        yield from _refs_of(item, layers, reading)


def _counted(layer: Layer, layers: Mapping[str, Layer], config: Mapping[str, Any]) -> Layer:
    """A model inside a model counts its calls from 1, since making it was one; here all count from 0."""
    if layer.inner is None or not layer.calls:
        return layer
    used = [ref.call for other in layers.values() for call in other.calls for ref in refs(call) if ref[0] == layer.raw]
    outside = config["output_layers"]
    outside = [outside] if outside and isinstance(outside[0], str) else outside
    used += [value[1] for value in outside if value[0] == layer.raw]
    first = min(used, default=0)
    if first > MAX_DEPTH:
        raise ValueError(f"{layer.raw!r} is called {first} times outside the model")
    blank = tuple(() for _ in range(first))
    return Layer(
        layer.name, layer.kind, layer.module, layer.config, layer.path, (*blank, *layer.calls), layer.inner, layer.raw
    )


def _chained(name: str, layers: dict[str, Layer], config: Any, reading: _Reading, prefix: str) -> Network:
    """A Sequential model, each layer called with what the one before gave; the first may state the input's shape."""
    if not layers:
        raise reading.damaged("a Sequential model without layers")
    first = next(iter(layers.values()))
    before = Ref(first.raw, 0, 0)
    made: dict[str, Layer] = {}
    if first.kind != "InputLayer":
        shape = next((first.config[key] for key in _BATCH_SHAPES if first.config.get(key)), None)
        given = first.config.get("input_shape")
        if shape is None and given is not None:
            shape = [None, *given]
        if shape is None and isinstance(config, dict):
            shape = config.get("build_input_shape")
        # A model inside may know its own input.
        if shape is None and first.inner is not None and first.inner.inputs:
            source = first.inner.layers[first.inner.inputs[0].layer].config
            shape = next((source[key] for key in _BATCH_SHAPES if source.get(key)), None)
        before = Ref("/input", 0, 0)
        made["/input"] = Layer(f"{prefix}input", "InputLayer", "", {"batch_shape": shape}, "", raw="/input")
    inputs = (before,)
    for key, layer in layers.items():
        if layer is not first or first.kind != "InputLayer":
            calls: tuple[tuple[Any, ...], ...] = ((before,),)
            layer = Layer(
                layer.name, layer.kind, layer.module, layer.config, layer.path, calls, layer.inner, layer.raw
            )  # fmt: skip
        made[key] = layer
        before = Ref(key, 0, 0)
    return Network(name, made, inputs, (before,), reading.version)
