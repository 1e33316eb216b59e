"""What a layer's translation works with: values, the layer's arguments, and how to add parameters and nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from zoo import shapes
from zoo.errors import FormatError
from zoo.formats.keras.config import Layer
from zoo.formats.options import Options
from zoo.formats.pickles import shown
from zoo.graph import Node, Param

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
MAX_NODES = 100_000
MAX_CHANNELS = 1 << 18  # of arrays that the file does not hold
MAX_NUMBER = 1 << 24  # channels, sizes, strides: no network comes near


@dataclass(frozen=True)
class Value:
    """A value that the network computes.

    Args:
        name: its name in the Graph.
        shape: in Keras's order of axes, without the batch.
        image: whether the Graph has it as NCHW and Keras as NHWC; else both have one order.
    """

    name: str
    shape: tuple[int, ...]
    image: bool = False


Op: TypeAlias = Callable[["Step"], Value]
Several: TypeAlias = Callable[["Step"], list[Value]]
"""An operation that gives more than one value."""


class Unsupported(Exception):
    """A sound layer that the Graph cannot express; collected, so that one error names all of them."""


@dataclass
class State:
    """What the translation of a network collects.

    Args:
        where: the file's name, for messages.
        version: of the Keras that wrote the network: 1, 2 or 3.
        options: what the file does not say.
        turned: whether the kernels were made by Theano, which turns them by half a turn as it convolves.
        bilinear: whether UpSampling2D's bilinear interpolation counts from the centres of pixels.
        channels_first: whether any layer takes NCHW.
    """

    where: str
    version: int
    options: Options
    turned: bool = False
    bilinear: bool = True
    channels_first: bool = False
    nodes: list[Node] = field(default_factory=list)
    params: dict[str, Param | np.ndarray] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of the Graph's values, batch first
    moved: dict[tuple[str, bool], str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)

    def unique(self, name: str) -> str:
        chosen, count = name, self.counts.get(name, 1)
        while chosen in self.names:
            count += 1
            chosen = f"{name}_{count}"
        self.counts[name] = count
        self.names.add(chosen)
        return chosen

    def node(self, op: str, name: str, inputs: Sequence[str], **attrs: Any) -> str:
        """Adds a node; returns the name of its output.

        Raises:
            ValueError: it cannot take such inputs.
        """
        if len(self.nodes) >= MAX_NODES:
            raise FormatError(f"{self.where}: describes more than {MAX_NODES} operations")
        name = self.unique(name)
        made = Node(op, name, tuple(inputs), (name,), attrs)
        given = [self.shapes[key] if key in self.shapes else tuple(self.params[key].shape) for key in inputs]
        self.shapes[name] = shapes.infer(made, given)[0]
        self.nodes.append(made)
        return name

    def transposed(self, value: Value, *, image: bool) -> Value:
        """Returns a value of three axes with the Graph's axes as NCHW (`image`) or in Keras's order."""
        if value.image == image:
            return value
        name = self.moved.get((value.name, image))
        if name is None:
            suffix, perm = ("nchw", TO_NCHW) if image else ("nhwc", TO_NHWC)
            name = self.node("Transpose", f"{value.name}/{suffix}", [value.name], perm=perm)
            self.moved[value.name, image], self.moved[name, not image] = name, value.name
        return Value(name, value.shape, image)


@dataclass
class Step:
    """The translation of one call of a layer.

    Args:
        layer: the layer.
        args: the call's arguments: values, lists of values, and what else stands there.
        state: of the whole network.
    """

    layer: Layer
    args: tuple[Any, ...]
    state: State

    # What the layer says

    def get(self, *keys: str, default: Any = None) -> Any:
        """Returns an argument under the first of its spellings that the file has; None counts as missing."""
        return next((self.layer.config[key] for key in keys if self.layer.config.get(key) is not None), default)

    def flag(self, *keys: str, default: bool) -> bool:
        return bool(self.get(*keys, default=default))

    def number(self, *keys: str, default: float | None = None) -> float:
        value = self.get(*keys, default=default)
        if isinstance(value, dict):  # Keras 1 writes NumPy's numbers so
            value = value.get("value")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.damaged(f"{keys[0]} is {shown(repr(value), 40)}; expected a number")
        return float(value)

    def whole(self, *keys: str, default: int | None = None) -> int:
        return self.count(self.get(*keys, default=default), keys[0])

    def count(self, value: Any, key: str, *, low: int = 1) -> int:
        """Returns a whole number that a network may have."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            raise self.damaged(f"{key} is {shown(repr(value), 40)}; expected a whole number")
        if not low <= value <= MAX_NUMBER:
            raise self.damaged(f"{key} is {value}; expected {low} to {MAX_NUMBER}")
        return int(value)

    def pair(self, *keys: str, default: Any = None) -> tuple[int, int]:
        """Returns rows and columns; one number stands for both."""
        value = self.get(*keys, default=default)
        value = value if isinstance(value, list) else [value, value]
        if len(value) != 2:
            raise self.damaged(f"{keys[0]} is {shown(repr(value), 40)}; expected two numbers")
        return self.count(value[0], keys[0]), self.count(value[1], keys[0])

    def word(self, *keys: str, default: str) -> str:
        value = self.get(*keys, default=default)
        if not isinstance(value, str):
            raise self.damaged(f"{keys[0]} is {shown(repr(value), 40)}; expected a word")
        return value

    @property
    def channels_first(self) -> bool:
        """Whether the layer takes NCHW."""
        return first(self.layer)

    # What it reads

    @property
    def values(self) -> list[Value]:
        """All values among the arguments."""
        return list(values_in(self.args))

    def value(self) -> Value:
        """Returns the one value that the layer takes."""
        found = self.values
        if len(found) != 1 or len(self.args) != 1:
            raise self.unsupported(f"is called with {len(found)} values and {len(self.args)} arguments; expected one")
        return found[0]

    def image(self) -> str:
        """Returns the name of the feature map that the layer takes, NCHW."""
        value = self.value()
        if len(value.shape) != 3:
            raise self.unsupported(f"takes {value.shape} (without the batch); expected a feature map of three axes")
        return (self.plain(value) if self.channels_first else self.state.transposed(value, image=True)).name

    def plain(self, value: Value) -> Value:
        """Returns a value whose axes have Keras's order in the Graph."""
        return self.state.transposed(value, image=False)

    def axis(self, given: Any, value: Value) -> int:
        """Returns an axis of a value in Keras, counted with the batch as 0."""
        given = given[0] if isinstance(given, list) and len(given) == 1 else given
        rank = len(value.shape) + 1
        if isinstance(given, bool) or not isinstance(given, int) or not -rank <= given < rank or given % rank == 0:
            raise self.unsupported(f"acts along axis {shown(repr(given), 20)} of {value.shape} (without the batch)")
        return given % rank

    # What it makes

    def make(self, op: str, inputs: Sequence[str], *, suffix: str = "", **attrs: Any) -> str:
        """Adds a node, named as the layer or, where one becomes several, `<layer>/<suffix>`; returns its output."""
        return self.state.node(op, f"{self.layer.name}/{suffix}" if suffix else self.layer.name, inputs, **attrs)

    def result(self, name: str, *, image: bool = False) -> Value:
        """Returns a value of the Graph as Keras sees it."""
        shape = self.state.shapes[name][1:]
        return Value(name, (*shape[1:], shape[0]) if image else shape, image)

    def map(self, name: str) -> Value:
        """Returns a feature map of the Graph, NCHW, as the layer gives it."""
        return self.result(name, image=not self.channels_first)

    def param(self, variable: str, shape: tuple[int, ...], stored: str | float = "as is", **more: Any) -> str:
        """Declares a variable of the layer, in the order in which Keras keeps them; see `zoo.graph.Param`."""
        name = f"{self.layer.name}/{variable}"
        made = Param(shape, stored, **more)
        if math.prod(shape) > (shapes.LIMIT if made.shape_in_file is not None else MAX_CHANNELS):
            raise self.damaged(f"{variable} would have shape {shape}")
        known = self.state.params.get(name)
        if known is not None and known != made:
            raise self.unsupported(f"is called with inputs of different shapes; {variable} cannot fit both")
        self.state.params[name] = made
        self.state.names.add(name)
        return name

    def constant(self, suffix: str, numbers: Any) -> str:
        """Adds numbers of the network's description; returns their name."""
        name = self.state.unique(f"{self.layer.name}/{suffix}")
        self.state.params[name] = np.array(numbers, np.float32)
        return name

    def damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.state.where}: layer {self.layer.name!r} ({self.layer.kind}): {what}")

    def unsupported(self, what: str) -> Unsupported:
        return Unsupported(f"{self.layer.name} ({self.layer.kind}): {what}")


def first(layer: Layer) -> bool:
    """Whether a layer says that its channels come before rows and columns."""
    return layer.config.get("data_format", layer.config.get("dim_ordering")) in ("channels_first", "th")


def values_in(arguments: Any) -> list[Value]:
    """Returns the values among a call's arguments, in their order."""
    if isinstance(arguments, Value):
        return [arguments]
    if isinstance(arguments, (list, tuple)):
        return [value for item in arguments for value in values_in(item)]
    return []


def spread(config: Mapping[str, Any], key: str) -> list[float]:
    """Returns numbers of an argument, however deep its lists are nested; none where it is missing."""
    value = config.get(key)
    waiting, found = [value], []
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += reversed(item)
        elif isinstance(item, (int, float)) and not isinstance(item, bool):
            found.append(float(item))
    return found
