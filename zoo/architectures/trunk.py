"""Networks without their classifier, for files that hold no weights of it: Keras's `..._notop.h5`, torch's features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from zoo.graph import Graph

_SHAPING = ("Flatten", "Reshape", "Transpose", "Squeeze", "Identity")
_POOLS = ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax")


def trunks(graph: Graph) -> Iterator[Graph]:
    """Yields a network without its classifier, then without one dense layer more at a time.

    Each gives what entered the layer that is left out: averaged features, (N, C), or a feature map, (N, C, H, W),
    where that was flattened.
    """
    makers = {value: node for node in graph.nodes for value in node.outputs}
    readers = Counter(value for node in graph.nodes for value in node.inputs)
    value = graph.outputs[0]
    while node := makers.get(value):
        data = [name for name in node.inputs if name and name not in graph.params]
        if len(data) != 1 or readers[data[0]] > 1 or len(node.outputs) > 1:
            return
        value = data[0]
        if len(node.inputs) > 1:
            if node.op not in ("Gemm", "MatMul", "Conv"):
                return
            yield _until(graph, _unshaped(graph, value))
            if node.op == "Conv":
                return


def _unshaped(graph: Graph, value: str) -> str:
    """The map that was flattened, if `value` is one; what comes before a dropout in any case."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    while (node := makers.get(value)) and node.op == "Dropout":
        value = node.inputs[0]
    before = value
    while (node := makers.get(before)) and node.op in (*_SHAPING, "Dropout"):
        before = node.inputs[0]
    return value if node is None or node.op in _POOLS else before


def _until(graph: Graph, output: str) -> Graph:
    needed, kept = {output}, []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    params = {name: param for name, param in graph.params.items() if name in needed}
    return replace(graph, outputs=(output,), nodes=tuple(kept[::-1]), params=params)
