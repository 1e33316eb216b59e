"""What an op's builder works with: values already built, parameters, names, layers that are born with their weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import keras
import numpy as np

from zoo.errors import UnsupportedError
from zoo.graph import Graph, Node
from zoo.heads import layer_name_of

# The initialiser argument that fills a variable, where it is not `<variable>_initializer`.
_INITIALIZER = {(keras.layers.DepthwiseConv2D, "kernel"): "depthwise_initializer"}


class Value(NamedTuple):
    """A tensor on its way through the network.

    Args:
        tensor: Keras tensor; rank 4 is NHWC unless `origin_layout`.
        rows: (C, H, W) if the tensor is a feature map flattened in H, W, C order, whose consumers must permute.
        origin_layout: whether a rank-4 tensor is still NCHW, as the origin has it.
    """

    tensor: Any
    rows: tuple[int, int, int] | None = None
    origin_layout: bool = False


Op: TypeAlias = Callable[["Context", Node], "Value | list[Value] | Any"]


class Context:
    """State of one build."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[str, Value] = {}
        self.consumers: dict[str, list[Node]] = defaultdict(list)
        self.reversed_inputs: set[str] = set()
        self._names: set[str] = set()
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

    def tensor(self, key: str) -> Any:
        """Returns a value; a rank-4 one in NHWC."""
        value = self.values[key]
        if value.origin_layout and len(value.tensor.shape) == 4:
            return keras.layers.Permute((2, 3, 1), name=self.unique(f"{key}.nhwc"))(value.tensor)
        return value.tensor

    def plain(self, key: str) -> Any:
        """Returns a value with its axes in the origin's order: a rank-4 one in NCHW."""
        value = self.values[key]
        if len(value.tensor.shape) == 4 and not value.origin_layout:
            return keras.layers.Permute((3, 1, 2), name=self.unique(f"{key}.nchw"))(value.tensor)
        return value.tensor

    def layer(
        self, kind: type, node: Node, inputs: Any, weights: Mapping[str, np.ndarray] | None = None, **config: Any
    ) -> Any:
        """Calls a new layer, named as the node, whose variables are created from `weights`: no initialiser runs.

        Args:
            kind: a built-in Keras layer class.
            node: the node it stands for.
            inputs: Keras tensor or list of them.
            weights: variable name (`kernel`, `bias`, `gamma`, ...) -> array in Keras's layout.
            config: further arguments of the layer.
        """
        given = {
            _INITIALIZER.get((kind, key), f"{key}_initializer"): _given(array, f"{node.name}: {key}")
            for key, array in (weights or {}).items()
        }
        layer = kind(name=self.unique(node.name), **config, **given)
        result = layer(inputs)
        for key in given:
            setattr(layer, key, _default(key))
        return result

    def rename(self, tensor: Any, name: str) -> Any:
        """Gives the `keras.ops` operation behind a tensor a name that does not depend on what was built before."""
        tensor._keras_history.operation.name = self.unique(name)
        return tensor

    def refuse(self, node: Node, what: str) -> UnsupportedError:
        """Returns the error for a node whose attributes have no Keras counterpart."""
        return UnsupportedError(f"{self.graph.name}: {node.name} ({node.op}): {what}")


def _given(array: np.ndarray, where: str) -> Callable[..., Any]:
    def initializer(shape: tuple[int, ...], dtype: Any = None) -> Any:
        if tuple(shape) != array.shape:
            raise UnsupportedError(f"{where}: array has shape {array.shape}, the layer needs {tuple(shape)}")
        return np.ascontiguousarray(array, dtype=np.float32)

    return initializer


def _default(key: str) -> Any:
    """The initialiser that the layer's config names once the given array is in place."""
    ones = key in ("gamma_initializer", "moving_variance_initializer")
    kernel = key in ("kernel_initializer", "depthwise_initializer")
    return keras.initializers.get("ones" if ones else "glorot_uniform" if kernel else "zeros")
