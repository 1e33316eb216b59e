"""Ops that move data without computing: reshaping and joining."""

from __future__ import annotations

import math
from typing import Any

import keras

from zoo.build import activation
from zoo.build.context import Context, Op
from zoo.build.layout import Order, Rows, Value, blocks, standard, transposed
from zoo.graph import Node

# Ops that take a flattened map in any order, besides dense layers, which undo it.
_KEEP_ROWS = {*activation.OPS, "BatchNormalization", "PRelu", "Flatten"}


def flatten(context: Context, node: Node) -> Value:
    """ONNX Flatten from axis 1."""
    value = context.value(node)
    if int(node.attrs.get("axis", 1)) not in (1, 1 - value.rank):
        raise context.refuse(node, "only axis 1 is supported")
    return reshaped(context, node, [-1])


def reshape(context: Context, node: Node) -> Value:
    """ONNX Reshape to a stored shape (as attribute or parameter); the batch stays."""
    shape = node.attrs.get("shape")
    shape = tuple(int(n) for n in (context.array(node, 1) if shape is None else shape))
    old = context.value(node).shape
    if not shape or any(n == 0 and i >= len(old) for i, n in enumerate(shape)):
        raise context.refuse(node, f"cannot turn {old} into {shape}")
    return reshaped(context, node, [old[i] if n == 0 else n for i, n in enumerate(shape)][1:])


def squeeze(context: Context, node: Node) -> Value:
    """ONNX Squeeze: removes axes of size 1; all of them, if it does not say which."""
    shape = context.value(node).shape
    axes = node.attrs.get("axes")
    axes = [i for i, n in enumerate(shape) if n == 1] if axes is None else [int(axis) % len(shape) for axis in axes]
    if any(shape[axis] != 1 for axis in axes):
        raise context.refuse(node, f"removes axes {axes} of {shape}; only those of size 1 other than the batch can go")
    return reshaped(context, node, [n for i, n in enumerate(shape) if i not in axes][1:])


def unsqueeze(context: Context, node: Node) -> Value:
    """ONNX Unsqueeze: new axes of size 1, counted in the result."""
    shape = context.value(node).shape
    rank = len(shape) + len(node.attrs["axes"])
    axes = {int(axis) % rank for axis in node.attrs["axes"]}
    if 0 in axes:
        raise context.refuse(node, "puts a new axis before the batch")
    sizes = iter(shape)
    return reshaped(context, node, [1 if i in axes else next(sizes) for i in range(rank)][1:])


def transpose(context: Context, node: Node) -> Value:
    """ONNX Transpose: nothing moves before a reader needs it to; the batch stays first."""
    value = context.value(node)
    perm = [int(axis) % value.rank for axis in node.attrs.get("perm", range(value.rank - 1, -1, -1))]
    if sorted(perm) != list(range(value.rank)) or perm[0] != 0:
        raise context.refuse(node, f"reorders {value.rank} axes as {perm}; the batch has to stay first")
    return Value(value.tensor, transposed(value.order, perm))


def reshaped(context: Context, node: Node, shape: list[int | None]) -> Value:
    """Returns a value in another shape (without the batch; -1 takes what is left), in the origin's axis order.

    Axes that are neither split nor joined stay where the tensor has them, so that NHWC remains NHWC.
    """
    value = context.value(node)
    old = [int(n or 0) for n in value.shape[1:]]
    new = _complete(old, [int(n or 0) for n in shape])
    if new is None:
        raise context.refuse(node, f"cannot turn {tuple(old)} into {tuple(shape)} (without the batch)")
    if new == old:
        return value
    parts = blocks(old, new)
    part_of = {axis: index for index, (ins, _) in enumerate(parts) for axis in ins}
    seen = [axis for axis in value.order if axis in part_of]
    wanted = [axis for index in dict.fromkeys(part_of[axis] for axis in seen) for axis in parts[index][0]]
    rows = None
    if seen != wanted and len(new) == 1 and _only_dense_reads(context, node.outputs[0]):
        known = sorted(seen)
        rows = Rows(tuple(old[axis - 1] for axis in known), tuple(known.index(axis) for axis in seen))
    elif seen != wanted:
        ones = [axis for axis in range(1, value.rank) if axis not in part_of]
        order = (0, *wanted, *ones)
        value = Value(context.arranged(value, order, node.name), order)
    order = _order([axis for index in dict.fromkeys(part_of[axis] for axis in wanted) for axis in parts[index][1]], new)
    target = tuple(new[axis - 1] for axis in order[1:])
    if tuple(value.tensor.shape[1:]) == target:
        return Value(value.tensor, order, rows)
    if len(target) == 1:
        return Value(context.layer(keras.layers.Flatten, node, value.tensor), order, rows)
    return Value(context.layer(keras.layers.Reshape, node, value.tensor, target_shape=target), order)


def _complete(old: list[int], new: list[int]) -> list[int] | None:
    """The new shape with its -1 replaced, or None if it does not hold as much as the old one."""
    if 0 in old or 0 in new or new.count(-1) > 1 or min(new, default=1) < -1:
        return None
    total, known = math.prod(old), math.prod(n for n in new if n != -1)
    new = [total // known if n == -1 else n for n in new]
    return new if math.prod(new) == total else None


def _order(axes: list[int], shape: list[int]) -> Order:
    """The order of a reshaped tensor whose axes of more than 1 are in the order `axes`: the usual one if it can be."""
    rank = len(shape) + 1
    for order in (standard(rank), tuple(range(rank))):
        if [axis for axis in order if axis in axes] == axes:
            return order
    return (0, *(axis for axis in range(1, rank) if axis not in axes), *axes)


def _only_dense_reads(context: Context, key: str) -> bool:
    """Whether every reader of a value is a dense layer, directly or behind ops that act on each number alone."""
    waiting = [key]
    while waiting:
        key = waiting.pop()
        readers = context.consumers[key]
        if key in context.graph.outputs or not readers:
            return False
        for node in readers:
            if node.inputs[0] != key:
                return False
            if node.op in ("Gemm", "MatMul") and context.param(node.inputs[1]) is not None:
                continue
            if node.op not in _KEEP_ROWS:
                return False
            waiting.append(node.outputs[0])
    return True


def concat(context: Context, node: Node) -> Any:
    """ONNX Concat along one axis."""
    from zoo.build.arithmetic import aligned

    if len(node.inputs) == 1:
        return context.value(node)
    tensors, order = aligned(context, node)
    value = Value(tensors[0], order)
    axis = value.axis(int(node.attrs["axis"]))
    if axis == 0:
        raise context.refuse(node, "joins along the batch")
    return Value(context.layer(keras.layers.Concatenate, node, tensors, axis=axis), order)


def expand(context: Context, node: Node) -> Value:
    """ONNX Expand: repeats axes of size 1 as the shape says, both aligned from the right."""
    value = context.value(node)
    shape = [int(n) for n in node.attrs["shape"]]
    if len(shape) > value.rank:
        raise context.refuse(node, f"expands {value.shape} to {shape}, which puts the batch upon another axis")
    shape = [1] * (value.rank - len(shape)) + shape
    pairs = list(zip(value.shape[1:], shape[1:], strict=True))
    if shape[0] not in (0, 1, -1) or any(n not in (1, m) and m not in (1, -1) for n, m in pairs):
        raise context.refuse(node, f"cannot expand {value.shape} to {shape}")
    return _tiled(context, node, value, [1, *(max(m, 1) if n == 1 else 1 for n, m in pairs)])


def tile(context: Context, node: Node) -> Value:
    """ONNX Tile: repeats whole axes."""
    value = context.value(node)
    repeats = [int(n) for n in node.attrs["repeats"]]
    if len(repeats) != value.rank or repeats[0] != 1 or min(repeats) < 1:
        raise context.refuse(node, f"repeats {value.shape} {repeats} times; the batch has to stay")
    return _tiled(context, node, value, repeats)


def _tiled(context: Context, node: Node, value: Value, repeats: list[int]) -> Value:
    if set(repeats) == {1}:
        return value
    times = [repeats[axis] for axis in value.order]
    return value._replace(tensor=context.rename(keras.ops.tile(value.tensor, times), node.name))


def depth_to_space(context: Context, node: Node) -> Any:
    """ONNX DepthToSpace: channels (b, b, C) for mode DCR, (C, b, b) for CRD, become blocks of b x b positions."""
    tensor = context.image(node)
    height, width, channels = tensor.shape[1:]
    block = int(node.attrs["blocksize"])
    rest = channels // (block * block)
    if rest * block * block != channels:
        raise context.refuse(node, f"cannot split {channels} channels into blocks of {block}x{block}")
    joined = (height * block, width * block, rest)
    if node.attrs.get("mode", "DCR") == "CRD":
        return _moved(context, node, tensor, (height, width, rest, block, block), (1, 4, 2, 5, 3), joined)
    return _moved(context, node, tensor, (height, width, block, block, rest), (1, 3, 2, 4, 5), joined)


def space_to_depth(context: Context, node: Node) -> Any:
    """ONNX SpaceToDepth: blocks of b x b positions become channels (b, b, C)."""
    tensor = context.image(node)
    height, width, channels = tensor.shape[1:]
    block = int(node.attrs["blocksize"])
    if height % block or width % block:
        raise context.refuse(node, f"cannot split {height}x{width} into blocks of {block}x{block}")
    down, right = height // block, width // block
    return _moved(
        context,
        node,
        tensor,
        (down, block, right, block, channels),
        (1, 3, 2, 4, 5),
        (down, right, block**2 * channels),
    )


def _moved(
    context: Context, node: Node, tensor: Any, apart: tuple[int, ...], dims: tuple[int, ...], joined: tuple[int, ...]
) -> Any:
    tensor = keras.layers.Reshape(apart, name=context.unique(f"{node.name}.apart"))(tensor)
    tensor = keras.layers.Permute(dims, name=context.unique(f"{node.name}.permuted"))(tensor)
    return context.layer(keras.layers.Reshape, node, tensor, target_shape=joined)


OPS: dict[str, Op] = {
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Reshape": reshape,
    "SpaceToDepth": space_to_depth,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
