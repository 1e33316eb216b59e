"""What an op's builder works with: values already built, parameters, names, layers that are born with their weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import keras
import numpy as np

from zoo.build.layout import Order, Value, standard
from zoo.graph import Graph, Node
from zoo.heads import layer_name_of

# The initialiser argument that fills a variable, where it is not `<variable>_initializer`.
_INITIALIZER = {(keras.layers.DepthwiseConv2D, "kernel"): "depthwise_initializer"}

Op: TypeAlias = Callable[["Context", Node], "Value | list[Value] | Any"]


class Refused(Exception):
    """A node that has no Keras counterpart; collected, so that one error names all of them."""


class Context:
    """State of one build.

    Args:
        graph: the Graph that is built.

    Attributes:
        values: name in the Graph -> what was built for it.
        consumers: name -> the nodes that read it.
        absorbed: names of nodes whose work a node before them does; they pass their first value on.
        reversed_inputs: values that hold RGB where the origin has BGR.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[str, Value] = {}
        self.consumers: dict[str, list[Node]] = defaultdict(list)
        self.absorbed: set[str] = set()
        self.reversed_inputs: set[str] = set()
        self._names: set[str] = set()
        self._arranged: dict[tuple[int, Order], tuple[Any, Any]] = {}
        for node in graph.nodes:
            for key in node.inputs:
                self.consumers[key].append(node)

    def unique(self, name: str) -> str:
        """Returns a Keras layer name for a node, not used before in this model."""
        base = layer_name_of(name)
        chosen, count = base, 1
        while chosen in self._names:
            count += 1
            chosen = f"{base}_{count}"
        self._names.add(chosen)
        return chosen

    def param(self, key: str) -> np.ndarray | None:
        """Returns a parameter's array, or None if the input is left out or is no parameter."""
        value = self.graph.params.get(key)
        return value if isinstance(value, np.ndarray) else None

    def value(self, node: Node, position: int = 0) -> Value:
        """Returns an input that has to be computed, not stored."""
        key = node.inputs[position] if len(node.inputs) > position else ""
        if key not in self.values:
            raise self.refuse(node, f"its input {position} has to be a computed value")
        return self.values[key]

    def array(self, node: Node, position: int) -> np.ndarray:
        """Returns an input that has to be stored."""
        array = self.param(node.inputs[position]) if len(node.inputs) > position else None
        if array is None:
            raise self.refuse(node, f"its input {position} has to be a stored array")
        return array

    def tensor(self, node: Node, position: int = 0) -> Any:
        """Returns an input's tensor as Keras layers take it: a feature map as NHWC."""
        value = self.value(node, position)
        return self.arranged(value, standard(value.rank), node.inputs[position])

    def image(self, node: Node, position: int = 0) -> Any:
        """Returns an input's tensor (N, H, W, C)."""
        value = self.value(node, position)
        if value.rank != 4 or None in value.shape[1:]:
            raise self.refuse(node, f"needs a feature map of static size, got shape {value.shape}")
        return self.tensor(node, position)

    def plain(self, node: Node, position: int = 0) -> Any:
        """Returns an input's tensor with its axes in the origin's order: a feature map as NCHW."""
        value = self.value(node, position)
        return self.arranged(value, tuple(range(value.rank)), node.inputs[position])

    def arranged(self, value: Value, order: Order, name: str) -> Any:
        """Returns a value's tensor with its axes in an order; moved once, however many read it."""
        if value.order == order:
            return value.tensor
        known = self._arranged.get((id(value.tensor), order))
        if known is not None:
            return known[1]
        suffix = "nhwc" if order == (0, 2, 3, 1) else "nchw" if order == (0, 1, 2, 3) else "permuted"
        name = self.unique(f"{name}.{suffix}")
        shape = value.shape
        if [axis for axis in value.order if shape[axis] != 1] == [axis for axis in order if shape[axis] != 1]:
            moved = keras.layers.Reshape([shape[axis] for axis in order[1:]], name=name)(value.tensor)
        else:
            moved = keras.layers.Permute([value.order.index(axis) for axis in order[1:]], name=name)(value.tensor)
        self._arranged[id(value.tensor), order] = value.tensor, moved  # the first one so that its id stays its own
        return moved

    def only_reader(self, node: Node) -> Node | None:
        """Returns the node that alone reads a node's output, or None if there is none or the output is read outside."""
        readers = self.consumers[node.outputs[0]]
        return readers[0] if len(readers) == 1 and node.outputs[0] not in self.graph.outputs else None

    def layer(
        self, kind: type, node: Node, inputs: Any, weights: Mapping[str, np.ndarray] | None = None, **config: Any
    ) -> Any:
        """Calls a new layer, named as the node, whose variables are created from `weights`: no initialiser runs.

        Args:
            kind: a built-in Keras layer class.
            node: the node it stands for.
            inputs: Keras tensor or list of them.
            weights: variable name (`kernel`, `bias`, `gamma`, ...) -> array in Keras's layout.
            config: further arguments of the layer; `suffix` for its name, if the node becomes several layers.
        """
        suffix = config.pop("suffix", "")
        given = {
            _INITIALIZER.get((kind, key), f"{key}_initializer"): _given(array, f"{node.name} ({node.op}): {key}")
            for key, array in (weights or {}).items()
        }
        layer = kind(name=self.unique(f"{node.name}.{suffix}" if suffix else node.name), **config, **given)
        result = layer(inputs)
        for key in given:
            setattr(layer, key, _default(key))
        return result

    def rename(self, tensor: Any, name: str) -> Any:
        """Gives the `keras.ops` operation behind a tensor a name that does not depend on what was built before."""
        tensor._keras_history.operation.name = self.unique(name)
        return tensor

    def refuse(self, node: Node, what: str) -> Refused:
        """Returns the error for a node whose attributes have no Keras counterpart."""
        return Refused(f"{node.name} ({node.op}): {what}")


def _given(array: np.ndarray, where: str) -> Callable[..., Any]:
    def initializer(shape: tuple[int, ...], dtype: Any = None) -> Any:
        if tuple(shape) != array.shape:
            raise Refused(f"{where}: array has shape {array.shape}, the layer needs {tuple(shape)}")
        return np.ascontiguousarray(array, dtype=np.float32)

    return initializer


def _default(key: str) -> Any:
    """The initialiser that the layer's config names once the given array is in place."""
    ones = key in ("gamma_initializer", "moving_variance_initializer")
    kernel = key in ("kernel_initializer", "depthwise_initializer")
    return keras.initializers.get("ones" if ones else "glorot_uniform" if kernel else "zeros")
