"""Graph -> keras.Model: the only room that knows Keras layers.

The model is made of built-in Keras layers and `keras.ops` only, so plain `keras.saving.load_model` reads it in a
process that has never heard of zoo. NCHW becomes NHWC; weights go straight from the origin's arrays into the layers'
variables, without an initialiser having run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from zoo.build import arithmetic, convolution, pooling, shape
from zoo.build.context import Context, Op, Value
from zoo.errors import UnsupportedError
from zoo.graph import Graph, Param
from zoo.heads import layer_name_of

OPS: dict[str, Op] = {**convolution.OPS, **pooling.OPS, **arithmetic.OPS, **shape.OPS}


@dataclass(frozen=True)
class Affine:
    """Preprocessing that goes inside a model: `y = x * scale + offset` on RGB 0..255, then RGB or BGR to the network.

    Args:
        scale: three numbers, R, G, B.
        offset: three numbers, R, G, B.
        reverse: whether the network takes BGR; its first kernels are then reversed instead of its input.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    reverse: bool


def build(graph: Graph, *, affine: Affine | None = None, name: str | None = None) -> keras.Model:
    """Builds the Keras model of a Graph.

    Args:
        graph: a Graph whose parameters are bound.
        affine: preprocessing to put inside; without it the model takes what the origin took, as NHWC and in the
            origin's channel order.
        name: the model's name; default the Graph's.

    Returns:
        A functional model with one layer per node, named as the node (see `zoo.heads.layer_name_of`); it ends as the
        origin ended. 4-D outputs are NHWC.

    Raises:
        UnsupportedError: the Graph has ops that have no Keras counterpart; all of them are named.
    """
    graph.check()
    unknown = [f"{node.name} ({node.op})" for node in graph.nodes if node.op not in OPS]
    if unknown:
        raise UnsupportedError(f"{graph.name}: ops without a Keras counterpart: {', '.join(unknown)}")
    unbound = [key for key, value in graph.params.items() if isinstance(value, Param)]
    if unbound:
        raise UnsupportedError(f"{graph.name}: {len(unbound)} parameters have no values ({unbound[0]}, ...); bind them")
    context = Context(graph)
    inputs = [_input(context, key, dims, affine) for key, dims in graph.inputs.items()]
    for node in graph.nodes:
        results = OPS[node.op](context, node)
        values = results if isinstance(results, list) else [results]
        for key, value in zip(node.outputs, values, strict=True):
            context.values[key] = value if isinstance(value, Value) else Value(value)
    outputs = [context.tensor(key) for key in graph.outputs]
    return keras.Model(_single(inputs), _single(outputs), name=layer_name_of(name or graph.name) or "model")


def _input(context: Context, key: str, dims: tuple[int, ...], affine: Affine | None) -> Any:
    dims = (*dims[1:], dims[0]) if len(dims) == 3 else dims
    tensor = keras.Input(dims, name=context.unique(key))
    value = tensor
    if affine is not None:
        value = keras.layers.Rescaling(
            list(affine.scale), list(affine.offset), dtype="float32", name=context.unique("preprocessing")
        )(value)
        if affine.reverse and all(_can_reverse(context, node, key) for node in context.consumers[key]):
            context.reversed_inputs.add(key)
        elif affine.reverse:
            value = context.rename(keras.ops.flip(value, axis=-1), "preprocessing_bgr")
    context.values[key] = Value(value)
    return tensor


def _can_reverse(context: Context, node: Any, key: str) -> bool:
    return bool(node.op == "Conv" and node.inputs[0] == key and node.attrs.get("group", 1) == 1)


def _single(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values)
