"""Torch7 modules -> Graph: what a module's translation works with, and the walk through the containers.

Modules have no names, so a node is named by the places of its module in the containers around it, counted from 1:
`3.2.1` is the first module of the second of the third. Torch knows a batch by the number of axes alone. A network is
read as one for batches; if a module would then mix the images of a batch, as one for single images, whose axes Torch
counts one lower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from zoo import shapes
from zoo.errors import FormatError, UnsupportedError, UsageError
from zoo.formats.pickles import shown
from zoo.formats.torch7.objects import Object, Storage, Table, Tensor
from zoo.graph import Node

PREFIXES = ("nn", "cudnn", "cunn", "inn", "nngraph", "fbcunn", "fbnn")
MAX_MODULES = 20_000  # a container may hold one module many times over, and so on
MAX_TABLE = 1_000  # entries of nested tables that go from module to module, which may be many times over as well
MAX_NESTED = 60
BIG = 1 << 31


class Value(NamedTuple):
    """A value on its way through the network.

    Args:
        name: its name in the Graph.
        shape: the batch, -1, first; None for an input whose shape the first module that reads it decides.
    """

    name: str
    shape: shapes.Shape | None


Flow: TypeAlias = "Value | list[Flow] | None"
"""What goes from module to module: a value, a table of them, or None behind a module that is refused."""


class Unsupported(Exception):
    """A sound module that the Graph cannot express; collected, so that one error names all of them."""


class MixesBatch(Unsupported):
    """A module that acts on the batch's axis: the network was made for single images, or cannot be expressed."""


class Reached(Exception):
    """The module that the caller wants the output of is done."""


@dataclass
class State:
    """What the translation of a whole network collects.

    Args:
        where: the file's name, for messages.
        single: whether the network was made for single images.
        image: (C, H, W) of the input, if the caller gave it.
        until: path of the module to stop at.
    """

    where: str
    single: bool
    image: tuple[int, ...] | None
    until: str | None
    nodes: list[Node] = field(default_factory=list)
    params: dict[str, np.ndarray] = field(default_factory=dict)
    shared: dict[Any, str] = field(default_factory=dict)  # what an array is made of -> its parameter's name
    names: set[str] = field(default_factory=set)
    inputs: dict[str, shapes.Shape | None] = field(default_factory=dict)
    results: dict[str, Flow] = field(default_factory=dict)  # path -> what the module puts out
    refused: list[str] = field(default_factory=list)
    mixes: int = 0  # of the refused, those that act on the batch
    count: int = 0
    seen: set[int] = field(default_factory=set)  # ids of modules that are part of the network
    used: dict[int, set[str]] = field(default_factory=dict)  # id of a tensor -> parameters made of it

    def unique(self, name: str) -> str:
        chosen, count = name, 1
        while chosen in self.names:
            count += 1
            chosen = f"{name}_{count}"
        self.names.add(chosen)
        return chosen

    def shape(self, value: Value) -> shapes.Shape:
        """Returns a value's shape; an input that nothing else decided is an image."""
        found = value.shape or self.inputs[value.name]
        if found is None:
            if self.image is None:
                raise UsageError(
                    f"{self.where}: does not say what it takes; give input_shape= (--input-shape 3,224,224)"
                )
            found = (shapes.BATCH, *self.image)
            self.inputs[value.name] = found
        return found

    def decide(self, value: Value, shape: shapes.Shape) -> None:
        """Gives an input that has no shape yet the one that the module reading it needs."""
        if value.shape is None and self.inputs[value.name] is None:
            self.inputs[value.name] = shape
            numbers = math.prod(shape[1:])
            if self.image is not None and len(self.inputs) == 1 and math.prod(self.image) != numbers:
                raise UsageError(f"{self.where}: takes {numbers} numbers, not an image; leave input_shape out")


@dataclass
class Step:
    """The translation of one module: what goes in, and how to add parameters and nodes."""

    module: Object
    path: str
    flow: Flow
    state: State

    @property
    def name(self) -> str:
        return self.path or "1"

    @property
    def told(self) -> str:
        return f"{self.path or 'the network'} ({shown(self.module.name)})"

    @property
    def base(self) -> str:
        """The class without its package: cudnn.ReLU and nn.ReLU are both ReLU."""
        prefix, _, base = self.module.name.rpartition(".")
        return base if prefix in PREFIXES else self.module.name

    @property
    def package(self) -> str:
        return self.module.name.rpartition(".")[0]

    @property
    def x(self) -> Value:
        """The module's only input, its shape known."""
        if not isinstance(self.flow, Value):
            raise self.damaged("gets a table of values, expected one value")
        return Value(self.flow.name, self.state.shape(self.flow))

    @property
    def shape(self) -> shapes.Shape:
        """The only input's shape, the batch first."""
        return self.state.shape(self.x)

    @property
    def table(self) -> list[Flow]:
        if not isinstance(self.flow, list):
            raise self.damaged("gets one value, expected a table of them")
        return self.flow

    @property
    def values(self) -> list[Value]:
        """The entries of the table that goes in; those without a shape take that of the others."""
        found = [entry for entry in self.table if isinstance(entry, Value)]
        if len(found) != len(self.table) or not found:
            raise self.damaged(f"gets a table of {len(self.table)} entries, expected values")
        known = [entry.shape or self.state.inputs[entry.name] for entry in found]
        for entry in found:
            for shape in known:
                if shape is not None:
                    self.state.decide(entry, shape)
        return [Value(entry.name, self.state.shape(entry)) for entry in found]

    # Fields

    def get(self, key: str) -> Any:
        return self.module.get(key)

    def integer(self, key: str, default: int | None = None, low: int = -BIG) -> int:
        """Returns a whole number of the module's; `default` where an older Torch did not write it."""
        found = self.get(key)
        found = default if found is None else found
        if not isinstance(found, int) or isinstance(found, bool) or not low <= found < BIG:
            wanted = "a whole number" if low == -BIG else f"a whole number of at least {low}"
            raise self.damaged(f"has {key} {_brief(found)}, expected {wanted}")
        return found

    def real(self, key: str, default: float | None = None, *, infinite: bool = False) -> float:
        found = self.get(key)
        found = default if found is None else found
        if not isinstance(found, int | float) or isinstance(found, bool) or math.isnan(found):
            raise self.damaged(f"has {key} {_brief(found)}, expected a number")
        if math.isinf(found) and not infinite:
            raise self.damaged(f"has {key} {_brief(found)}, expected a number")
        return float(found)

    def flag(self, key: str, default: bool = False) -> bool:
        found = self.get(key)
        return default if found is None else bool(found)

    def pair(self, height: str, width: str, default: int | None = None, low: int = 1) -> tuple[int, int]:
        return self.integer(height, default, low), self.integer(width, default, low)

    def sizes(self, key: str) -> tuple[int, ...]:
        """Returns a LongStorage's numbers."""
        found = self.get(key)
        if not isinstance(found, Storage) or not 1 <= found.numbers.size <= 16:
            raise self.damaged(f"has no {key}, expected a LongStorage of 1 to 16 sizes")
        return tuple(int(n) for n in found.numbers)

    def children(self) -> list[Object]:
        return modules_of(self.module, self.state.where, self.name)

    # Axes

    @property
    def lead(self) -> int:
        """Axes that Torch counts and that stand for the batch: 1, or 0 in a network for single images."""
        return 0 if self.state.single else 1

    def rank(self, shape: shapes.Shape) -> int:
        """The number of axes as Torch counts them."""
        return len(shape) - 1 + self.lead

    def axis(self, dimension: int, shape: shapes.Shape, dims: Any = None, *, more: int = 0) -> int:
        """Returns the Graph's axis for a dimension, counted from 1, or from the end if negative.

        Args:
            dimension: the origin's number.
            shape: of the value it belongs to, the batch first.
            dims: number of axes without a batch, if the module has been told.
            more: axes that the value is about to get.
        """
        rank = self.rank(shape) + more
        if dimension < 0:
            dimension += rank + 1
        elif dims is not None and rank - more == dims + 1:
            dimension += 1
        if not 1 <= dimension <= rank:
            raise self.damaged(f"acts on dimension {dimension} of {rank}")
        if dimension == self.lead:
            raise self.mixes(f"acts on dimension {dimension}, the batch")
        return dimension - self.lead

    def dims(self, key: str) -> int | None:
        return None if self.get(key) is None else self.integer(key, low=0)

    def image(self) -> tuple[int, int, int]:
        """Returns channels, height and width of the only input, which has to be a map."""
        shape = self.shape
        if len(shape) == 3 and self.lead:
            raise self.mixes(f"takes the batch for channels: its input is {shapes.told(shape)}")
        if len(shape) != 4:
            raise self.damaged(f"gets {shapes.told(shape)}, expected a map of channels, rows and columns")
        return shape[1], shape[2], shape[3]

    # Arrays

    def has(self, key: str) -> bool:
        found = self.get(key)
        return isinstance(found, Tensor) and found.size > 0

    def array(self, key: str, *allowed: tuple[int, ...]) -> np.ndarray:
        """Returns one of the module's tensors.

        Raises:
            FormatError: it is missing, damaged, or of none of the shapes.
        """
        tensor = self.get(key)
        if not isinstance(tensor, Tensor) or tensor.size == 0:
            raise self.damaged(f"lacks its {key}, a tensor of shape {allowed[0] if allowed else 'any'}")
        if allowed and tensor.shape not in allowed:
            wanted = " or ".join(str(shape) for shape in dict.fromkeys(allowed))
            raise self.damaged(f"has a {key} of shape {tensor.shape}, expected {wanted}")
        return tensor.array(f"{self.state.where}: {self.told}: {key}")

    def param(self, key: str, *allowed: tuple[int, ...], as_shape: tuple[int, ...] | None = None) -> str:
        """Adds one of the module's tensors to the Graph's parameters; returns its name, `<path>.<key>`.

        A tensor that modules share, as one record or as two views of the same numbers, is one parameter.
        """
        array = self.array(key, *allowed)
        array = array if as_shape is None else array.reshape(as_shape)
        tensor = self.get(key)
        told = (id(tensor.storage), tensor.offset, tensor.shape, tensor.strides, array.shape)
        if told not in self.state.shared:
            self.state.shared[told] = self.store(key, array)
        self.state.used.setdefault(id(tensor), set()).add(self.state.shared[told])
        return self.state.shared[told]

    def store(self, key: str, array: np.ndarray, *, made_of: str | None = None) -> str:
        """Adds an array to the Graph's parameters; `made_of` is the tensor that it holds in another form."""
        name = self.state.unique(f"{self.name}.{key}")
        array.flags.writeable = False
        self.state.params[name] = array
        if made_of is not None:
            self.state.used.setdefault(id(self.get(made_of)), set()).add(name)
        return name

    def constant(self, key: str, number: float) -> str:
        """Adds a number that is a field of the module's to the Graph's parameters; returns its name."""
        with np.errstate(over="ignore"):
            return self.store(key, np.array(number, dtype=np.float32))

    # Nodes

    def node(self, op: str, inputs: Sequence[Value | str], /, *, suffix: str = "", **attrs: Any) -> Value:
        """Adds a node, named as the module's path or, where one module becomes several, `<path>/<suffix>`."""
        name = self.state.unique(f"{self.name}/{suffix}" if suffix else self.name)
        keys = [entry if isinstance(entry, str) else entry.name for entry in inputs]
        given = [
            tuple(self.state.params[entry].shape) if isinstance(entry, str) else self.state.shape(entry)
            for entry in inputs
        ]
        node = Node(op, name, tuple(keys), (name,), attrs)
        try:
            (shape,) = shapes.infer(node, given)
        except ValueError as error:
            raise self.damaged(f"{error}; is the input shape right?") from None
        self.state.nodes.append(node)
        return Value(name, shape)

    def damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.state.where}: {self.told}: {what}")

    def unsupported(self, what: str) -> Unsupported:
        return Unsupported(f"{self.told}: {what}")

    def mixes(self, what: str) -> MixesBatch:
        return MixesBatch(f"{self.told}: {what}")


Op: TypeAlias = Callable[[Step], Flow]
Container: TypeAlias = "Callable[[Walk, Step], Flow]"


@dataclass
class Walk:
    """The walk through a network, container by container."""

    state: State
    ops: Mapping[str, Op]
    containers: Mapping[str, Container]
    nested: int = 0

    def run(self, module: Object, path: str, flow: Flow) -> Flow:
        """Translates a module and all it holds; returns what it puts out."""
        state = self.state
        step = Step(module, path, flow, state)
        state.count += 1
        if state.count > MAX_MODULES or self.nested > MAX_NESTED:
            raise step.damaged(f"modules nested more than {MAX_NESTED} deep, or more than {MAX_MODULES:,} of them")
        state.seen.add(id(module))
        self.nested += 1
        try:
            result = self._translated(step)
        except Unsupported as error:
            state.refused.append(str(error))
            state.mixes += isinstance(error, MixesBatch)
            result = None
        self.nested -= 1
        if isinstance(result, list) and result is not flow and _entries(result) > MAX_TABLE:
            raise step.damaged(f"puts out a table of more than {MAX_TABLE:,} entries")
        if path:
            state.results[path] = result
        if state.until is not None and state.until == path:
            raise Reached
        return result

    def _translated(self, step: Step) -> Flow:
        container = self.containers.get(step.base)
        if container is not None:
            return container(self, step)
        op = self.ops.get(step.base)
        if op is None:
            self.state.refused.append(step.told)
            if isinstance(step.get("modules"), Table):  # what it holds may be unsupported as well
                for i, child in enumerate(step.children(), 1):
                    self.run(child, f"{step.path}.{i}" if step.path else str(i), None)
            return None
        return None if broken(step.flow) else op(step)

    def child(self, step: Step, number: int, module: Object, flow: Flow) -> Flow:
        """Translates the module in place `number`, counted from 1, of a container."""
        return self.run(module, f"{step.path}.{number}" if step.path else str(number), flow)


def entries_of(flow: Flow) -> list[Value | None]:
    """Returns what a flow holds, that of nested tables in order; None stands behind a refused module."""
    found: list[Value | None] = []
    left = [flow]
    while left:
        entry = left.pop()
        if isinstance(entry, list):
            left.extend(reversed(entry))
        else:
            found.append(entry)
    return found


def broken(flow: Flow) -> bool:
    """Whether a refused module stands before any part of a flow."""
    return any(entry is None for entry in entries_of(flow))


def _entries(flow: Flow) -> int:
    """The number of entries of a table and of the tables in it; counts no further than just beyond the limit."""
    count, left = 0, [flow]
    while left and count <= MAX_TABLE:
        entry = left.pop()
        count += 1
        if isinstance(entry, list):
            left.extend(entry[: MAX_TABLE + 1])
    return count


def modules_of(module: Object, where: str, told: str) -> list[Object]:
    """Returns the modules of a container.

    Raises:
        FormatError: its list of modules is none.
    """
    table = module.get("modules")
    found = table.sequence() if isinstance(table, Table) else None
    if found is None or not all(isinstance(entry, Object) for entry in found):
        raise FormatError(f"{where}: {told} ({shown(module.name)}): expected a list of modules")
    return found


def all_refused(where: str, refused: Sequence[str], limit: int = 40) -> UnsupportedError:
    """Returns the one error that names every refused module."""
    found = list(dict.fromkeys(refused))
    more = f" and {len(found) - limit} more" if len(found) > limit else ""
    return UnsupportedError(f"{where}: unsupported modules: {'; '.join(found[:limit])}{more}")


def _brief(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "nil" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    return shown(repr(value), 40) if isinstance(value, str) else f"a {type(value).__name__.lower()}"
