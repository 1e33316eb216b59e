"""What the translation of one node works with: its inputs, its attributes, and how to add to the Graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo import shapes
from zoo.errors import FormatError, UnsupportedError
from zoo.formats.onnx.network import Layer, Network, short
from zoo.formats.onnx.tensors import Folder, Stored, array
from zoo.graph import Node


class Unsupported(Exception):
    """A node has no counterpart; the text says why, without node or file."""


@dataclass(frozen=True)
class Known:
    """An array that is known while reading, under the name it would have as a parameter."""

    array: np.ndarray
    name: str


@dataclass(frozen=True)
class Value:
    """What is only known when the network runs; `shape` begins with the batch."""

    name: str
    shape: shapes.Shape
    whole: bool = False  # integers or booleans


@dataclass
class State:
    """One translation: what has been made so far.

    Args:
        batch: the batch that the file states, which may stand in other shapes of the file as well; None if open.
    """

    network: Network
    folder: Folder
    batch: int | None = None
    nodes: list[Node] = field(default_factory=list)
    params: dict[str, np.ndarray] = field(default_factory=dict)
    shapes: dict[str, shapes.Shape] = field(default_factory=dict)
    values: dict[str, Known | Value] = field(default_factory=dict)
    reads: Counter[str] = field(default_factory=Counter)
    names: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)  # values that the file's nodes make
    bare: dict[str, int] = field(default_factory=dict)  # values of dense layers without bias -> their node's place
    dropped: dict[str, str] = field(default_factory=dict)  # arrays of branches -> why no node reads them
    nhwc: dict[str, str] = field(default_factory=dict)  # values that only turn an image input to NHWC -> that input

    def unique(self, name: str) -> str:
        """Returns the name, or one like it if it is taken."""
        chosen, count = name, 1
        while chosen in self.names:
            count += 1
            chosen = f"{name}_{count}"
        self.names.add(chosen)
        return chosen

    def free(self, name: str) -> bool:
        """Returns whether no value has the name, so that a parameter may."""
        if name in self.made:
            return isinstance(self.values.get(name), Known)
        return name not in self.shapes or name in self.params


@dataclass
class Step:
    """The translation of one node."""

    layer: Layer
    inputs: tuple[Known | Value | None, ...]
    state: State

    @property
    def opset(self) -> int:
        return self.state.network.opset

    @property
    def attrs(self) -> Mapping[str, Any]:
        return self.layer.attrs

    @property
    def where(self) -> str:
        return f"{self.state.network.file}: {short(self.layer.name)} ({self.layer.op})"

    def damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.where}: {what}")

    # attributes

    def integer(self, key: str, default: int | None) -> int:
        """Returns an attribute that is one whole number."""
        value = self.attrs.get(key, default)
        if type(value) is not int:
            raise self.damaged(f"has no whole number as {key}")
        return value

    def real(self, key: str, default: float) -> float:
        """Returns an attribute that is one number."""
        value = self.attrs.get(key, default)
        if not isinstance(value, int | float):
            raise self.damaged(f"has no number as {key}")
        return _exact(np.float32(value))

    def text(self, key: str, default: str) -> str:
        """Returns an attribute that is a word."""
        value = self.attrs.get(key, default)
        if not isinstance(value, bytes | str):
            raise self.damaged(f"has no word as {key}")
        word = value if isinstance(value, str) else value.decode("utf-8", "replace")
        if len(word) > 80 or not word.isprintable():
            raise self.damaged(f"has {word[:40]!a}... as {key}")
        return word

    def ints(self, key: str, default: Sequence[int] | None) -> list[int]:
        """Returns an attribute that is a list of whole numbers."""
        value = self.attrs.get(key, default)
        if value is None or isinstance(value, bytes | int | float | Stored):
            raise self.damaged(f"has no list of whole numbers as {key}")
        if any(type(n) is not int for n in value):
            raise self.damaged(f"has no list of whole numbers as {key}")
        return list(value)

    # inputs

    def given(self, position: int) -> bool:
        return position < len(self.inputs) and self.inputs[position] is not None

    def value(self, position: int = 0) -> Value:
        """Returns an input that is computed when the network runs."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if found is None:
            raise self.damaged(f"lacks its input {position}")
        if isinstance(found, Known):
            raise Unsupported(f"input {position} is a stored array, expected a value")
        return found

    def known(self, position: int) -> np.ndarray | None:
        """Returns an input that is known while reading; None if it is left out."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if isinstance(found, Value):
            raise Unsupported(f"input {position} is computed when the network runs, expected a stored array")
        return None if found is None else found.array

    def numbers(self, position: int) -> list[int] | None:
        """Returns a known input as a list of whole numbers."""
        found = self.known(position)
        return None if found is None else [int(n) for n in self.whole(found).reshape(-1)]

    def whole(self, found: np.ndarray) -> np.ndarray:
        """Returns an array of sizes or indices as plain whole numbers."""
        if found.dtype == object:
            raise Unsupported("computes with the size of the batch")
        if found.dtype.kind not in "iub" or found.size > 1 << 24:
            raise self.damaged(f"expected whole numbers, got {found.dtype}")
        return found.astype(np.int64)

    def scalar(self, position: int, default: float) -> float:
        """Returns a known input that is one number."""
        found = self.known(position)
        if found is None or found.size == 0:
            return default
        if found.size != 1 or found.dtype == object:
            raise self.damaged(f"input {position} has {found.size} entries, expected one number")
        return _exact(found.reshape(-1)[0])

    def name(self, position: int) -> str:
        """Returns the name of an input, for a node: a value's, or a parameter's that is added to the Graph."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if found is None:
            raise self.damaged(f"lacks its input {position}")
        return found.name if isinstance(found, Value) else self.param(found, self.layer.inputs[position])

    def param(self, found: Known, other: str = "") -> str:
        """Adds an array to the Graph's parameters; returns its name, `other` if another array has its own."""
        state = self.state
        if found.array.dtype == object:
            raise Unsupported("computes with the size of the batch")
        for name in (found.name, other):
            if not name or not state.free(name):
                continue
            if name not in state.params:
                state.names.add(name)
                state.params[name], state.shapes[name] = found.array, found.array.shape
            if _same_array(state.params[name], found.array):
                return name
        name = state.unique(found.name or f"{self.layer.name}/array")
        state.params[name], state.shapes[name] = found.array, found.array.shape
        return name

    def stored(self, value: Stored) -> np.ndarray:
        return array(value, self.state.folder)

    def constant(self, suffix: str, number: Any) -> str:
        """Adds numbers that the node has as attributes to the Graph's parameters; returns their name."""
        return self.param(Known(np.asarray(number, dtype=np.float32), f"{self.layer.name}/{suffix}"))

    # axes

    def any_axis(self, axis: int, rank: int) -> int:
        if not -rank <= axis < rank:
            raise self.damaged(f"has axis {axis}, its input {rank} axes")
        return axis % rank

    def axis(self, axis: int, rank: int) -> int:
        """Returns an axis counted from the front; refuses the batch."""
        axis = self.any_axis(axis, rank)
        if axis == 0:
            raise Unsupported("acts along the batch, which has to stay apart")
        return axis

    def axes(self, rank: int, *, opset: int, position: int, grown: bool = False) -> list[int] | None:
        """Returns the axes that an attribute names, or from an operator set on an input; None if neither does."""
        found = self.numbers(position) if self.opset >= opset else None
        if found is None and "axes" in self.attrs:
            found = self.ints("axes", None)
        if found is None or (not found and not grown):
            return None
        axes = [self.any_axis(axis, rank + len(found) if grown else rank) for axis in found]
        if len(set(axes)) != len(axes):
            raise self.damaged(f"names an axis twice: {axes[:8]}")
        return axes

    def slices(self, rank: int) -> list[tuple[int, int, int, int]]:
        """Returns (start, end, axis, step) of ONNX Slice, whose attributes became inputs with operator set 10."""
        if self.opset < 10:
            starts, ends = self.ints("starts", None), self.ints("ends", None)
            axes, steps = self.ints("axes", range(len(starts))), [1] * len(starts)
        else:
            found = [self.numbers(i) for i in range(1, 5)]
            starts, ends = found[0] or [], found[1] or []
            axes = list(range(len(starts))) if found[2] is None else found[2]
            steps = [1] * len(starts) if found[3] is None else found[3]
        if not len(starts) == len(ends) == len(axes) == len(steps):
            raise self.damaged("has lists of different lengths for starts, ends, axes and steps")
        return [
            (start, end, self.any_axis(axis, rank), by)
            for start, end, axis, by in zip(starts, ends, axes, steps, strict=True)
        ]

    def split_sizes(self, size: int) -> list[int]:
        """Returns the parts of ONNX Split: stated, or as equal as can be."""
        count = len(self.layer.outputs)
        found = self.numbers(1) if self.opset >= 13 else self.attrs.get("split") and self.ints("split", None)
        if found is None:
            part = -(-size // count)
            found = [min(part, max(size - part * i, 0)) for i in range(count)]
        if len(found) != count or sum(found) != size or any(n < 0 for n in found):
            raise self.damaged(f"splits {size} into {found[:8]} for {count} outputs")
        return list(found)

    def between(self, sizes: np.ndarray) -> np.ndarray:
        """Returns the part of a shape that ONNX Shape asks for (operator set 15)."""
        start, end = self.integer("start", 0), self.integer("end", len(sizes))
        return sizes[slice(*slice(start, end).indices(len(sizes)))]

    # nodes

    def node(
        self, op: str, inputs: Sequence[str], /, *, suffix: str = "", outputs: Sequence[str] = (), **attrs: Any
    ) -> Value:
        """Adds a node, named as the file's or, where one becomes several, `<name>/<suffix>`; returns its first value.

        Args:
            outputs: the values it makes; default the file's first, or the node's own name if it has a suffix.

        Raises:
            FormatError: it cannot take inputs of such shapes.
        """
        state = self.state
        name = state.unique(f"{self.layer.name}/{suffix}") if suffix else self.layer.name
        made = tuple(outputs) or ((name,) if suffix else self.layer.outputs[:1])
        node = Node(op, name, tuple(inputs), made, attrs)
        try:
            found = shapes.infer(node, [state.shapes[key] if key else None for key in inputs])
        except ValueError as error:
            raise self.damaged(str(error)) from None
        state.nodes.append(node)
        state.shapes.update(zip(made, found, strict=True))
        return Value(made[0], found[0])


def _exact(value: Any) -> float:
    """A float32 of the file as the shortest decimal that gives it: 0.1, not 0.10000000149."""
    if isinstance(value, np.floating) and value.dtype.itemsize <= 4:
        return float(str(value))
    return float(value)


def _same_array(one: np.ndarray, other: np.ndarray) -> bool:
    return one is other or (
        one.shape == other.shape
        and one.dtype == other.dtype
        and one.strides == other.strides
        and one.__array_interface__["data"][0] == other.__array_interface__["data"][0]
    )


def refusal(file: str, found: Sequence[str], most: int) -> UnsupportedError:
    """Returns the error that names all nodes that cannot be expressed."""
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return UnsupportedError(f"{file}: unsupported layers: {'; '.join(found[:most])}{more}")
