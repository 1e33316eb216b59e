"""Ops that take parts of a value, or put more around it."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import keras
import numpy as np

from zoo.build.context import Context, Op
from zoo.build.layout import Value, without
from zoo.build.windows import pad_or_crop
from zoo.graph import Node

# ONNX's mode -> numpy's; done by indices, because backends differ in which modes they know
_BORDERS = {"reflect": "reflect", "edge": "edge", "wrap": "wrap", "symmetric": "symmetric"}


def split(context: Context, node: Node) -> list[Value]:
    """ONNX Split into parts of stated sizes, or equal ones."""
    value = context.value(node)
    axis = value.axis(int(node.attrs.get("axis", 0)))
    size = value.tensor.shape[axis]
    count = len(node.outputs)
    sizes: list[int] = [int(n) for n in node.attrs.get("split") or ()]
    if not sizes and axis:
        part = -(-size // count)
        sizes = [min(part, size - part * i) for i in range(count)]
    if axis == 0 or len(sizes) != count or sum(sizes) != size or min(sizes) < 1:
        raise context.refuse(node, f"splits {value.shape} into {sizes} along axis {node.attrs.get('axis', 0)}")
    if count == 1:
        return [value]
    tensors = keras.ops.split(value.tensor, list(accumulate(sizes))[:-1], axis=axis)
    context.rename(tensors[0], node.name)
    return [value._replace(tensor=tensor) for tensor in tensors]


def slice_(context: Context, node: Node) -> Value:
    """ONNX Slice; ends beyond the end and negative steps as ONNX has them."""
    value = context.value(node)
    starts, ends = list(node.attrs["starts"]), list(node.attrs["ends"])
    axes = node.attrs.get("axes") or range(len(starts))
    steps = node.attrs.get("steps") or [1] * len(starts)
    key = [slice(None)] * value.rank
    tensor = value.tensor
    for start, end, origin, step in zip(starts, ends, axes, steps, strict=True):
        axis = value.axis(int(origin))
        size = value.tensor.shape[axis]
        if axis == 0:
            if (start, step) != (0, 1) or end < 1 << 30:
                raise context.refuse(node, "takes part of the batch")
            continue
        if not step:
            raise context.refuse(node, "has step 0")
        # ONNX clamps where Python's slice would count a second time from the end.
        low, high = (0, size) if step > 0 else (-1, size - 1)
        start, end = (min(max(n + size if n < 0 else n, low), high) for n in (int(start), int(end)))
        places = range(start, end, int(step))
        if not places:
            raise context.refuse(node, f"takes nothing of {value.shape}")
        if step > 0:
            key[axis] = slice(places[0], places[-1] + 1, int(step))
        else:
            tensor = keras.ops.take(tensor, list(places), axis=axis)
            context.rename(tensor, f"{node.name}.back")
    if key != [slice(None)] * value.rank:
        tensor = context.rename(tensor[tuple(key)], node.name)
    return value._replace(tensor=tensor)


def gather(context: Context, node: Node) -> Value:
    """ONNX Gather along one axis with stored indices; a single index takes the axis away."""
    value = context.value(node)
    origin = int(node.attrs.get("axis", 0)) % value.rank
    stored = node.attrs.get("indices")
    indices = np.asarray(context.array(node, 1) if stored is None else stored).astype(int)
    axis = value.axis(origin)
    if axis == 0 or indices.ndim > 1:
        raise context.refuse(node, f"takes indices of shape {indices.shape} along axis {origin}")
    size = value.tensor.shape[axis]
    if indices.size == 0 or indices.min() < -size or indices.max() >= size:
        raise context.refuse(node, f"takes indices beyond the {size} places of axis {origin}")
    places = (indices % size).tolist()
    tensor = context.rename(keras.ops.take(value.tensor, places, axis=axis), node.name)
    return Value(tensor, without(value.order, [origin]) if indices.ndim == 0 else value.order)


def pad(context: Context, node: Node) -> Value:
    """ONNX Pad: begins of all axes, then ends; negative ones cut off."""
    value = context.value(node)
    numbers = [int(n) for n in node.attrs["pads"]]
    axes = [int(axis) % value.rank for axis in node.attrs.get("axes") or range(value.rank)]
    if len(numbers) != 2 * len(axes):
        raise context.refuse(node, f"has {len(numbers)} pads for {len(axes)} axes")
    by_axis = {axis: (numbers[i], numbers[i + len(axes)]) for i, axis in enumerate(axes)}
    pads = [by_axis.get(axis, (0, 0)) for axis in value.order]
    mode, number = node.attrs.get("mode", "constant"), float(node.attrs.get("value", 0.0))
    if pads[0] != (0, 0):
        raise context.refuse(node, "pads the batch")
    if not any(before or after for before, after in pads):
        return value
    if mode in _BORDERS:
        return value._replace(tensor=_bordered(context, node, value.tensor, pads, _BORDERS[mode]))
    if mode != "constant":
        raise context.refuse(node, f"mode {mode!r} is not supported")
    if value.rank == 4 and pads[3] == (0, 0) and number == 0 and not any(n < 0 for pair in pads for n in pair):
        return value._replace(tensor=pad_or_crop(context, value.tensor, (pads[1], pads[2]), node.name))
    tensor = value.tensor
    if any(n < 0 for pair in pads for n in pair):
        sizes = tensor.shape
        key = tuple(
            slice(max(-before, 0), size - max(-after, 0)) if before < 0 or after < 0 else slice(None)
            for size, (before, after) in zip(sizes, pads, strict=True)
        )
        tensor = context.rename(tensor[key], f"{node.name}.crop")
    positive = tuple((max(before, 0), max(after, 0)) for before, after in pads)
    if any(before or after for before, after in positive):
        tensor = context.rename(keras.ops.pad(tensor, positive, constant_values=number), node.name)
    return value._replace(tensor=tensor)


def _bordered(context: Context, node: Node, tensor: Any, pads: list[tuple[int, int]], mode: str) -> Any:
    moved = [(axis, pair) for axis, pair in enumerate(pads) if pair != (0, 0)]
    for count, (axis, pair) in enumerate(moved):
        if min(pair) < 0:
            raise context.refuse(node, f"cuts off by mode {mode!r}")
        places = np.pad(np.arange(tensor.shape[axis]), pair, mode=mode).tolist()  # type: ignore[call-overload]
        tensor = keras.ops.take(tensor, places, axis=axis)
        context.rename(tensor, node.name if count == len(moved) - 1 else f"{node.name}.{count}")
    return tensor


OPS: dict[str, Op] = {"Gather": gather, "Pad": pad, "Slice": slice_, "Split": split}
