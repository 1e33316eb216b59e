"""Graph -> keras.Model: the only room that knows Keras layers.

The model is made of built-in Keras layers and `keras.ops` only, so plain `keras.saving.load_model` reads it in a
process that has never heard of zoo. NCHW becomes NHWC; weights go straight from the origin's arrays into the layers'
variables, without an initialiser having run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np

from zoo.build import (
    activation,
    arithmetic,
    convolution,
    dense,
    normalization,
    pooling,
    reduction,
    resize,
    shape,
    slicing,
)
from zoo.build.context import Context, Op, Refused
from zoo.build.layout import Value, standard
from zoo.errors import FormatError, UnsupportedError
from zoo.graph import Graph, Node, Param
from zoo.heads import layer_name_of

OPS: dict[str, Op] = {
    **activation.OPS,
    **activation.ALONG_AXIS,
    **arithmetic.OPS,
    **convolution.OPS,
    **dense.OPS,
    **normalization.OPS,
    **pooling.OPS,
    **reduction.OPS,
    **resize.OPS,
    **shape.OPS,
    **slicing.OPS,
}

MAX_TOLD = 40
"""Nodes named in one message."""


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


@dataclass(frozen=True)
class PerPixel:
    """Preprocessing that goes inside a model: `y = x @ kernel + bias` on RGB 0..255, in the network's channel order.

    Args:
        kernel: (3, C).
        bias: (height, width, C).
    """

    kernel: np.ndarray
    bias: np.ndarray


Inside: TypeAlias = Affine | PerPixel


def build(graph: Graph, *, affine: Inside | None = None, name: str | None = None) -> keras.Model:
    """Builds the Keras model of a Graph.

    Args:
        graph: a Graph whose parameters are bound.
        affine: preprocessing to put inside; without it the model takes what the origin took, as NHWC and in the
            origin's channel order.
        name: the model's name; default the Graph's.

    Returns:
        A functional model with one layer per node, named as the node (see `zoo.heads.layer_name_of`); it ends as the
        origin ended. 4-D outputs are NHWC, others have the origin's axes.

        A layer may hold its node's value with the axes in another order, or with the bias of the node behind it. To
        see values as the origin has them, make them the outputs: `build(dataclasses.replace(graph, outputs=names))`.

    Raises:
        UnsupportedError: the Graph has ops that have no Keras counterpart; all of them are named.
        FormatError: a node does not fit its inputs.
    """
    return _build(Context(_bound(graph)), affine, name)


def describe(
    graph: Graph, *, affine: Inside | None = None, name: str | None = None
) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Builds the Keras model of a Graph without its values, which so need not pass through the backend to be kept.

    Args:
        graph: as for `build`.
        affine: as for `build`.
        name: as for `build`.

    Returns:
        (model, arrays): the model of `build`, good for its structure and config alone, and `<layer>/<variable>` -> the
        variable's values, mostly views of the Graph's parameters, perhaps with more axes than the variable has.

    Raises:
        UnsupportedError: as `build`.
    """
    arrays: dict[str, np.ndarray] = {}
    with keras.StatelessScope(initialize_variables=False):
        return _build(Context(_bound(graph), arrays), affine, name), arrays


def _bound(graph: Graph) -> Graph:
    """Returns the Graph itself after checking that it is well formed and has its values."""
    graph.check()
    unbound = [key for key, value in graph.params.items() if isinstance(value, Param)]
    if unbound:
        raise UnsupportedError(f"{graph.name}: {len(unbound)} parameters have no values ({unbound[0]}, ...); bind them")
    return graph


def _build(context: Context, affine: Inside | None, name: str | None) -> keras.Model:
    graph = context.graph
    inputs = [_input(context, key, dims, affine) for key, dims in graph.inputs.items()]
    _build_nodes(context)
    stored = [key for key in graph.outputs if key in graph.params]
    if stored:
        raise UnsupportedError(f"{graph.name}: output {stored[0]!r} is a stored array; a model computes its outputs")
    values = [context.values[key] for key in graph.outputs]
    outputs = [
        context.arranged(value, standard(value.rank), key) for key, value in zip(graph.outputs, values, strict=True)
    ]
    return keras.Model(_single(inputs), _single(outputs), name=layer_name_of(name or graph.name) or "model")


def _build_nodes(context: Context) -> None:
    """Builds every node; those that cannot be are named together at the end.

    Raises:
        UnsupportedError: there are such nodes.
        FormatError: a node's inputs have shapes that do not go together.
    """
    strange, refused = [], []
    for node in context.graph.nodes:
        if node.op not in OPS:
            strange.append(f"{node.name} ({node.op})")
        elif all(key in context.values or key in context.graph.params for key in node.inputs if key):
            try:  # unless it stands behind one that was refused
                _build_node(context, node)
            except Refused as error:
                refused.append(str(error))
    told = []
    if strange:
        told.append(f"ops without a Keras counterpart: {_some(strange, ', ')}")
    if refused:
        told.append(f"nodes that cannot be built: {_some(refused, '; ')}")
    if told:
        raise UnsupportedError(f"{context.graph.name}: {'; '.join(told)}")


def _build_node(context: Context, node: Node) -> None:
    try:
        results = _passed_on(context, node) if node.name in context.absorbed else OPS[node.op](context, node)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:  # what Keras and numpy say to odd shapes
        what = str(error).strip().split("\n")[0]
        raise FormatError(
            f"{context.graph.name}: {node.name} ({node.op}): does not fit its inputs or attributes: {what}"
        ) from error
    values = results if isinstance(results, list) else [results]
    for key, value in zip(node.outputs, values, strict=False):
        context.values[key] = value if isinstance(value, Value) else Value(value, standard(len(value.shape)))
    for key in node.outputs[len(values) :]:
        if context.consumers[key] or key in context.graph.outputs:
            raise context.refuse(node, f"its output {key!r} is not supported")


def _passed_on(context: Context, node: Node) -> Value:
    """The value that a node would change if the node before it had not done so; a layer keeps the node's name."""
    value = next(context.values[key] for key in node.inputs if key in context.values)
    return value._replace(tensor=context.layer(keras.layers.Identity, node, value.tensor))


def _some(found: Sequence[str], separator: str) -> str:
    more = f" and {len(found) - MAX_TOLD} more" if len(found) > MAX_TOLD else ""
    return separator.join(found[:MAX_TOLD]) + more


def _input(context: Context, key: str, dims: tuple[int, ...], affine: Inside | None) -> Any:
    order = standard(len(dims) + 1)
    sides = [dims[axis - 1] for axis in order[1:]]
    if isinstance(affine, PerPixel):
        tensor = keras.Input([*sides[:-1], 3], name=context.unique(key))
        context.values[key] = Value(_per_pixel(context, key, tensor, affine, tuple(sides)), order)
        return tensor
    tensor = keras.Input(sides, name=context.unique(key))
    value = tensor
    if affine is not None:
        value = keras.layers.Rescaling(
            list(affine.scale), list(affine.offset), dtype="float32", name=context.unique("preprocessing")
        )(value)
        kernels = _read_by_kernels(context, key) if affine.reverse else None
        if kernels is not None:
            context.reversed_inputs |= kernels
        elif affine.reverse:
            value = context.rename(keras.ops.flip(value, axis=-1), "preprocessing_bgr")
    context.values[key] = Value(value, order)
    return tensor


def _per_pixel(context: Context, key: str, tensor: Any, inside: PerPixel, sides: tuple[int, ...]) -> Any:
    if inside.bias.shape != sides:
        raise FormatError(
            f"{context.graph.name}: input {key!r} has rows, columns and channels {sides}, its preprocessing gives "
            f"{inside.bias.shape}"
        )
    return context.layer(
        keras.layers.EinsumDense,
        Node("Preprocessing", "preprocessing_per_pixel", (key,), (key,)),
        tensor,
        {"kernel": inside.kernel, "bias": inside.bias},
        equation="bhwi,io->bhwo",
        output_shape=sides,
        bias_axes="hwo",
        dtype="float32",
        trainable=False,  # a fact about the input, whatever is trained behind it
    )


def _read_by_kernels(context: Context, key: str) -> set[str] | None:
    """Returns the names under which convolutions read an input, if nothing else does, be it with zeros around it."""
    names, waiting = {key}, [key]
    while waiting:
        key = waiting.pop()
        if key in context.graph.outputs:
            return None
        for node in context.consumers[key]:
            if node.op == "Pad" and node.attrs.get("mode", "constant") == "constant" and _pads_alike(node):
                names.add(node.outputs[0])
                waiting.append(node.outputs[0])
            elif node.op != "Conv" or node.inputs[0] != key or node.attrs.get("group", 1) != 1:
                return None
    return names


def _pads_alike(node: Node) -> bool:
    """Whether a Pad puts zeros around each channel and adds none, so that it is a layer that heads knows."""
    pads = node.attrs["pads"]
    half = len(pads) // 2
    inside = all(n >= 0 for n in pads) and not any(pads[:2]) and not any(pads[half : half + 2])
    return bool(half == 4 and inside and not node.attrs.get("value", 0.0))


def _single(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values)
