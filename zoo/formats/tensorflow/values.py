"""What an op's translation works with: the kinds of values, and how to add parameters and nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from zoo import shapes
from zoo.errors import FormatError
from zoo.formats.options import Options
from zoo.formats.tensorflow import tensors
from zoo.formats.tensorflow.flat import Flat, FlatNode
from zoo.graph import Node, Param

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
# Kinds of numbers that a network computes with; all of them are float32 here.
FLOATS = ("float32", "float64", "float16", "bfloat16")


@dataclass(frozen=True)
class Value:
    """A value that the network computes.

    Args:
        name: its name in the Graph.
        shape: in TensorFlow's order of axes, without the batch.
        image: whether the Graph has it as NCHW and TensorFlow as NHWC; else both have one order.
        batched: whether TensorFlow's value has the batch as its first axis. Graphs for a single image may lack it;
            the Graph's value has it always.
        dtype: TensorFlow's, as NumPy calls it.
    """

    name: str
    shape: tuple[int, ...]
    image: bool = False
    batched: bool = True
    dtype: str = "float32"

    @property
    def rank(self) -> int:
        """Number of axes in TensorFlow."""
        return len(self.shape) + self.batched


@dataclass(frozen=True)
class Const:
    """A value that does not depend on the input.

    Args:
        array: of objects where the batch's size is among its numbers (`Batch`).
        name: where it stands in the file, or the node that computes it from others.
    """

    array: np.ndarray
    name: str


@dataclass(frozen=True)
class Batch:
    """The unknown number of images, times a number: what `tf.shape` says at runtime."""

    times: int = 1

    def __mul__(self, other: object) -> Batch:
        if isinstance(other, (int, np.integer)):
            return Batch(self.times * int(other))
        return NotImplemented

    __rmul__ = __mul__

    def __floordiv__(self, other: object) -> Batch:
        if isinstance(other, (int, np.integer)) and other and self.times % int(other) == 0:
            return Batch(self.times // int(other))
        return NotImplemented

    __truediv__ = __floordiv__


@dataclass(frozen=True)
class Loose:
    """An image before it has a size: it is being decoded, or its placeholder states none.

    Args:
        shape: TensorFlow's, as far as it is known.
        source: the node it began with.
        decoded: whether that decodes image files or reads records.
    """

    shape: tuple[int | None, ...] | None
    source: str
    decoded: bool


@dataclass(frozen=True)
class Handle:
    """A variable that is yet to be read."""

    node: int


@dataclass(frozen=True)
class Mark:
    """A value that is none: `dead` lies in the branch that inference does not take, `refused` behind a refused op."""

    what: str


DEAD, REFUSED = Mark("dead"), Mark("refused")
Item: TypeAlias = Value | Const | Loose | Handle | Mark
Op: TypeAlias = Callable[["Step"], "Item | Sequence[Item]"]


class Unsupported(Exception):
    """A sound node that the Graph cannot express; collected, so that one error names all of them."""


@dataclass
class State:
    """What the translation of a whole graph collects."""

    flat: Flat
    options: Options
    stated: Mapping[str, tuple[int | None, ...] | None]  # input node -> shape, where a signature says it
    variables: Callable[[FlatNode, int], np.ndarray]
    nchw: bool = False  # whether feature maps come as NCHW in TensorFlow already
    batch: int | None = None  # the number of images that the graph's input states, if it states one
    nodes: list[Node] = field(default_factory=list)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    params: dict[str, np.ndarray | Param] = field(default_factory=dict)
    stored: dict[tuple[str, str], str] = field(default_factory=dict)  # (constant, as what) -> parameter
    moved: dict[tuple[str, bool], str] = field(default_factory=dict)  # (value, as image) -> the value in that order
    names: set[str] = field(default_factory=set)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of the Graph's values, batch first
    notes: dict[str, str] = field(default_factory=dict)
    room: int = 0  # bytes that folded constants may still take

    @property
    def single(self) -> bool:
        """Whether the graph is made for one image at a time."""
        return self.batch == 1

    def unique(self, name: str) -> str:
        chosen, count = name, 1
        while chosen in self.names:
            count += 1
            chosen = f"{name}_{count}"
        self.names.add(chosen)
        return chosen

    def node(self, op: str, name: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attrs: Any) -> str:
        """Adds a node; returns the name of its (first) output.

        Raises:
            ValueError: it cannot take such inputs.
        """
        name = self.unique(name)
        made = Node(op, name, tuple(inputs), tuple(outputs) or (name,), attrs)
        given = [self.shapes[key] if key in self.shapes else tuple(self.params[key].shape) for key in inputs]
        self.shapes.update(zip(made.outputs, shapes.infer(made, given), strict=True))
        self.nodes.append(made)
        return made.outputs[0]


@dataclass
class Step:
    """The translation of one node."""

    node: FlatNode
    items: tuple[Item, ...]
    state: State

    @property
    def name(self) -> str:
        return self.node.name

    # What the node says

    def attr(self, key: str) -> Any:
        """Returns an attribute's message, empty if the node has none of this name."""
        found = self.node.attrs.get(key)
        return _EMPTY if found is None else found

    def flag(self, key: str, default: bool = False) -> bool:
        return bool(self.node.attrs[key].b) if key in self.node.attrs else default

    def number(self, key: str, default: float) -> float:
        if key not in self.node.attrs:
            return default
        value = float(self.node.attrs[key].f)
        if not math.isfinite(value):
            raise self.damaged(f"has {key} {value}")
        return value

    def word(self, key: str, default: str) -> str:
        found = bytes(self.attr(key).s).decode(errors="replace") if key in self.node.attrs else ""
        return found or default

    def numbers(self, key: str) -> tuple[int, ...]:
        return tuple(int(n) for n in self.attr(key).list.i) if key in self.node.attrs else ()

    def dtype(self, key: str = "T") -> str:
        return tensors.dtype_of(self.node.raw, key, self.state.flat.file)

    # What it reads

    def item(self, index: int) -> Item:
        if not -len(self.items) <= index < len(self.items):
            raise self.damaged(f"has {len(self.items)} inputs; expected more")
        return self.items[index]

    def value(self, index: int = 0) -> Value:
        """Returns an input that the network computes."""
        item = self.item(index)
        if not isinstance(item, Value):
            raise self.unsupported(f"its input {index} does not depend on the image")
        return item

    def const(self, index: int, what: str) -> Const:
        """Returns an input that is known."""
        item = self.item(index)
        if not isinstance(item, Const):
            raise self.unsupported(f"its {what} depends on the image")
        return item

    def ints(self, index: int, what: str) -> list[int]:
        """Returns a known input of whole numbers."""
        array = self.const(index, what).array
        if array.dtype == object or array.dtype.kind not in "iu":
            raise self.unsupported(f"its {what} {_short(array)} is no list of whole numbers")
        if array.size > 64:
            raise self.damaged(f"its {what} has {array.size} numbers")
        return [int(n) for n in array.ravel()]

    def axis(self, axis: int, value: Value, *, more: int = 0) -> int:
        """Returns an axis counted with the batch as 0, whether or not TensorFlow's value has a batch."""
        rank = value.rank + more
        if not -rank <= axis < rank:
            raise self.damaged(f"has axis {axis}, its input {rank} axes")
        return axis % rank + (not value.batched)

    def image(self, value: Value) -> Value:
        """Returns a feature map that TensorFlow has as NHWC, as NCHW in the Graph."""
        return value if value.image else self._moved(value, True)

    def plain(self, value: Value) -> Value:
        """Returns a value whose axes have TensorFlow's order in the Graph."""
        return self._moved(value, False) if value.image else value

    def _moved(self, value: Value, image: bool) -> Value:
        if len(value.shape) != 3:
            raise self.unsupported(f"reads {value.shape} (without the batch); expected a feature map of 3 axes")
        state = self.state
        name = state.moved.get((value.name, image))
        if name is None:
            suffix, perm = ("nchw", TO_NCHW) if image else ("nhwc", TO_NHWC)
            name = state.node("Transpose", f"{value.name}/{suffix}", [value.name], perm=perm)
            state.moved[value.name, image], state.moved[name, not image] = name, value.name
        return Value(name, value.shape, image, value.batched, value.dtype)

    # What it makes

    def make(self, op: str, inputs: Sequence[str], *, suffix: str = "", **attrs: Any) -> str:
        """Adds a node, named as TensorFlow's or, where one becomes several, `<name>/<suffix>`; returns its output."""
        return self.state.node(op, f"{self.name}/{suffix}" if suffix else self.name, inputs, **attrs)

    def result(self, name: str, *, image: bool = False, batched: bool = True, dtype: str = "float32") -> Value:
        """Returns a value of the Graph as TensorFlow sees it."""
        shape = self.state.shapes[name][1:]
        return Value(name, (*shape[1:], shape[0]) if image else shape, image, batched, dtype)

    def like(self, name: str, value: Value, *, dtype: str | None = None) -> Value:
        """Returns a value of the Graph that has another one's order of axes."""
        return self.result(name, image=value.image, batched=value.batched, dtype=dtype or value.dtype)

    def store(self, const: Const, role: str, array: np.ndarray) -> str:
        """Adds a constant to the Graph's parameters under its own name, in the form that a role needs."""
        state = self.state
        role = f"{role}{array.shape}"
        if (const.name, role) not in state.stored:
            name = state.unique(const.name)
            state.stored[const.name, role] = name
            if array.dtype == object:
                raise self.unsupported("computes with the batch's size")
            with np.errstate(all="ignore"):
                state.params[name] = array.astype(np.float32, copy=False)
        return state.stored[const.name, role]

    def scalar(self, suffix: str, number: float) -> str:
        """Adds a number that the file does not hold as an array; returns its name."""
        name = self.state.unique(f"{self.name}/{suffix}")
        self.state.params[name] = np.array(number, dtype=np.float32)
        return name

    def damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.state.flat.file}: node {self.name!r} ({self.node.op}): {what}")

    def unsupported(self, what: str) -> Unsupported:
        return Unsupported(f"{self.name} ({self.node.op}): {what}")


def _short(array: np.ndarray) -> str:
    return str(array.ravel()[:8].tolist())


class _Empty:
    """An attribute that is not there: every field has protobuf's default."""

    s, i, f, b, type = b"", 0, 0.0, False, 0


_EMPTY = _Empty()
