"""ONNX's operators that move, repeat, resize and reduce; the sizes they take are known while reading."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from zoo.formats.onnx.folding import Batch
from zoo.formats.onnx.ops import Op
from zoo.formats.onnx.step import Known, Step, Unsupported, Value

_FAR = (1 << 31) - 1


def _is_batch(step: Step, size: Any) -> bool:
    """Whether a size in the file's shapes stands for the batch."""
    return (isinstance(size, Batch) and size.times == 1) or size == 1 or (size == step.state.batch and size != 0)


def _sizes(step: Step, position: int) -> list[Any]:
    """A shape input: whole numbers, and perhaps the batch."""
    found = step.known(position)
    if found is None:
        raise step.damaged(f"lacks its input {position}")
    return [n if isinstance(n, Batch) else int(n) for n in found.reshape(-1)[:64]]


def _same(step: Step, value: Value) -> Value:
    return replace(step.node("Identity", [value.name]), whole=value.whole)


# -------------------------------------------------------------------------------------------------------------- shapes


def reshape(step: Step) -> Value:
    """ONNX Reshape: the first new size has to be the batch, in whichever of the ways exporters write it."""
    value = step.value()
    total = math.prod(value.shape[1:])
    wanted = _sizes(step, 1)
    if step.integer("allowzero", 0) and 0 in wanted:
        raise step.damaged("asks for an empty output (allowzero)")
    if any(n == 0 and i >= len(value.shape) for i, n in enumerate(wanted)):
        raise step.damaged("keeps the size of an axis that its input does not have")
    rest = [value.shape[i + 1] if n == 0 else n for i, n in enumerate(wanted[1:])]
    mixed = Unsupported(f"makes {_told(wanted)} of {_told(value.shape)}, which mixes the batch with the rest")
    if not wanted or any(isinstance(n, Batch) for n in rest):
        raise mixed
    known = math.prod(n for n in rest if n != -1)
    if rest.count(-1) == 1 and wanted[0] != -1:
        if known < 1 or total % known:
            raise mixed
        rest = [total // known if n == -1 else n for n in rest]
    if math.prod(rest) != total or -1 in rest or not (wanted[0] in (0, -1) or _is_batch(step, wanted[0])):
        raise mixed
    if tuple(rest) == value.shape[1:]:
        return _same(step, value)
    if len(rest) == 1:
        return replace(step.node("Flatten", [value.name], axis=1), whole=value.whole)
    return replace(step.node("Reshape", [value.name], shape=(0, *rest)), whole=value.whole)


def _told(sizes: Any) -> str:
    return "x".join("N" if isinstance(n, Batch) or (i == 0 and n == -1) else str(n) for i, n in enumerate(sizes[:8]))


def flatten(step: Step) -> Value:
    value = step.value()
    rank, axis = len(value.shape), step.integer("axis", 1)
    axis = axis + rank if axis < 0 else axis
    if not 1 <= axis <= rank or math.prod(value.shape[1:axis]) != 1:
        raise Unsupported(f"flattens from axis {axis}, which mixes the batch with the rest")
    if len(value.shape) == 2:
        return _same(step, value)
    return step.node("Flatten", [value.name], axis=1)


def squeeze(step: Step) -> Value:
    value = step.value()
    axes = step.axes(len(value.shape), opset=13, position=1)
    if axes is None:
        axes = [i for i, n in enumerate(value.shape) if n == 1]
        if step.state.batch == 1:
            raise Unsupported("removes all axes of size 1, the batch too; name the axes")
    return step.node("Squeeze", [value.name], axes=tuple(sorted(step.axis(axis, len(value.shape)) for axis in axes)))


def unsqueeze(step: Step) -> Value:
    value = step.value()
    axes = step.axes(len(value.shape), opset=13, position=1, grown=True) or []
    rank = len(value.shape) + len(axes)
    return step.node("Unsqueeze", [value.name], axes=tuple(sorted(step.axis(axis, rank) for axis in axes)))


def transpose(step: Step) -> Value:
    value = step.value()
    perm = step.ints("perm", range(len(value.shape))[::-1])
    if sorted(perm) != list(range(len(value.shape))):
        raise step.damaged(f"orders {len(value.shape)} axes as {perm[:8]}")
    if perm[0] != 0:
        raise Unsupported(f"moves the batch: {perm}")
    if perm == sorted(perm):
        return _same(step, value)
    if value.name in step.state.nhwc and perm == [0, 3, 1, 2]:
        return step.node("Identity", [step.state.nhwc[value.name]])
    return step.node("Transpose", [value.name], perm=tuple(perm))


def expand(step: Step) -> Value:
    value = step.value()
    wanted = _sizes(step, 1)
    if len(wanted) > len(value.shape):
        raise Unsupported("adds axes before the batch")
    full: list[Any] = [1] * (len(value.shape) - len(wanted)) + wanted
    if not _is_batch(step, full[0]) or any(isinstance(n, Batch) for n in full[1:]):
        raise Unsupported("repeats the batch, or repeats by it")
    if all(n in (1, size) for n, size in zip(full[1:], value.shape[1:], strict=True)):
        return _same(step, value)
    return step.node("Expand", [value.name], shape=(1, *full[1:]))


def tile(step: Step) -> Value:
    value = step.value()
    repeats = step.numbers(1) or []
    if len(repeats) != len(value.shape):
        raise step.damaged(f"repeats {len(repeats)} axes of {len(value.shape)}")
    if repeats[0] != 1:
        raise Unsupported("repeats the batch")
    return step.node("Tile", [value.name], repeats=tuple(repeats))


# -------------------------------------------------------------------------------------------------------------- pieces


def concat(step: Step) -> Value:
    if any(isinstance(item, Known) for item in step.inputs):
        raise Unsupported("joins values and stored arrays")
    values = [step.value(i) for i in range(len(step.inputs))]
    axis = step.axis(step.integer("axis", None), len(values[0].shape))
    return step.node("Concat", [value.name for value in values], axis=axis)


def split(step: Step) -> list[Value]:
    value = step.value()
    axis = step.axis(step.integer("axis", 0), len(value.shape))
    parts = step.split_sizes(value.shape[axis])
    names = [name or step.state.unique(f"{step.layer.name}/{i}") for i, name in enumerate(step.layer.outputs)]
    step.node("Split", [value.name], outputs=names, axis=axis, split=tuple(parts))
    return [Value(name, step.state.shapes[name], value.whole) for name in names]


def slices(step: Step) -> Value:
    value = step.value()
    kept = []
    for start, end, axis, by in step.slices(len(value.shape)):
        if axis == 0:
            whole = start == 0 and by == 1 and (end >= _FAR or (end == step.state.batch and end > 0))
            if not whole:
                raise Unsupported("slices the batch")
            continue
        if by == 0:
            raise step.damaged("slices with a step of 0")
        size = value.shape[axis]
        begin, stop, _ = slice(start, end, by).indices(size)
        kept.append((begin, stop if stop >= 0 else -size - 1, axis, by))
    if not kept:
        return _same(step, value)
    starts, ends, axes, steps = (tuple(column) for column in zip(*kept, strict=True))
    return replace(
        step.node("Slice", [value.name], starts=starts, ends=ends, axes=axes, steps=steps), whole=value.whole
    )


def gather(step: Step) -> Value:
    """ONNX Gather by stored indices, counted from the front."""
    value = step.value()
    axis = step.axis(step.integer("axis", 0), len(value.shape))
    found = step.known(1)
    if found is None:
        raise step.damaged("lacks its indices")
    indices, size = step.whole(found), value.shape[axis]
    if not indices.size or indices.min() < -size or indices.max() >= size:
        raise step.damaged(f"picks none of {size} entries, or one that is not there")
    if indices.min() < 0:
        name = step.param(Known(np.where(indices < 0, indices + size, indices), f"{step.layer.name}/indices"))
    else:
        name = step.name(1)
    return step.node("Gather", [value.name, name], axis=axis)


# ---------------------------------------------------------------------------------------------------- pad, resize, fold


def pad(step: Step) -> Value:
    """ONNX Pad: since operator set 11 by inputs; padding by less than nothing cuts."""
    value = step.value()
    rank = len(value.shape)
    given = step.ints("pads", None) if step.opset < 11 else step.numbers(1) or []
    fill = step.real("value", 0.0) if step.opset < 11 else step.scalar(2, 0.0)
    axes = (step.numbers(3) if step.opset >= 18 else None) or list(range(rank))
    if len(given) != 2 * len(axes):
        raise step.damaged(f"has {len(given)} pads for {len(axes)} axes")
    pads = [0] * 2 * rank
    for i, axis in enumerate(axes):
        place = step.any_axis(axis, rank)
        pads[place], pads[place + rank] = given[i], given[i + len(axes)]
    if pads[0] or pads[rank]:
        raise Unsupported("pads the batch")
    mode = step.text("mode", "constant")
    cut = [axis for axis in range(1, rank) if min(pads[axis], pads[axis + rank]) < 0]
    name = value.name
    if cut:
        if mode != "constant":
            raise Unsupported(f"pads in the mode {mode!r} by less than nothing")
        starts = tuple(max(-pads[axis], 0) for axis in cut)
        ends = tuple(value.shape[axis] + min(pads[axis + rank], 0) for axis in cut)
        name = step.node(
            "Slice", [name], suffix="cut", starts=starts, ends=ends, axes=tuple(cut), steps=(1,) * len(cut)
        ).name
        pads = [max(n, 0) for n in pads]
    if not any(pads):
        return replace(step.node("Identity", [name]), whole=value.whole)
    return step.node("Pad", [name], pads=tuple(pads), mode=mode, value=fill)


def resize(step: Step) -> Value:
    """ONNX Resize and its forerunner Upsample."""
    value = step.value()
    if len(value.shape) != 4:
        raise Unsupported(f"resizes {len(value.shape)} axes, only images (4 axes) are supported")
    attrs: dict[str, Any] = {"mode": step.text("mode", "nearest")}
    old = step.layer.op == "Upsample" or step.opset < 11
    if attrs["mode"] == "bilinear" and old:
        attrs["mode"] = "linear"
    if old:
        attrs |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        scales = step.attrs.get("scales") if step.opset < 9 else _floats(step, 1)
        sizes = None
    else:
        attrs["coordinate_transformation_mode"] = step.text("coordinate_transformation_mode", "half_pixel")
        attrs["nearest_mode"] = step.text("nearest_mode", "round_prefer_floor")
        scales = _floats(step, 2)
        sizes = _sizes(step, 3) if step.given(3) and not scales else None
    _check_resize(step, attrs, scales, old)
    axes = [step.any_axis(axis, 4) for axis in step.ints("axes", range(4))]
    if scales:
        full = _spread(step, axes, scales, [1.0] * 4)
        if full[0] != 1.0:
            raise Unsupported("resizes the batch")
        return step.node("Resize", [value.name], scales=tuple(float(n) for n in full), **attrs)
    if sizes is None:
        raise step.damaged("has neither scales nor sizes")
    full = _spread(step, axes, sizes, [1, *value.shape[1:]])
    if not _is_batch(step, full[0]) or any(isinstance(n, Batch) for n in full[1:]):
        raise Unsupported("resizes the batch")
    return step.node("Resize", [value.name], sizes=(1, *full[1:]), **attrs)


def _floats(step: Step, position: int) -> list[float]:
    found = step.known(position)
    if found is None:
        return []
    if found.dtype.kind != "f":
        raise step.damaged(f"has scales of type {found.dtype}")
    return [float(str(n)) for n in found.reshape(-1)[:64]]


def _spread(step: Step, axes: list[int], given: list[Any], full: list[Any]) -> list[Any]:
    if len(given) != len(axes):
        raise step.damaged(f"has {len(given)} sizes for {len(axes)} axes")
    for axis, number in zip(axes, given, strict=True):
        full[axis] = number
    return full


def _check_resize(step: Step, attrs: dict[str, Any], scales: Any, old: bool) -> None:
    for key in ("antialias", "exclude_outside"):
        if step.integer(key, 0):
            raise Unsupported(f"resizes with {key}")
    if step.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported("resizes by a policy that keeps the sides' ratio")
    if attrs["coordinate_transformation_mode"] == "tf_crop_and_resize":
        raise Unsupported("crops while it resizes")
    if attrs["mode"] == "cubic":
        attrs["cubic_coeff_a"] = step.real("cubic_coeff_a", -0.75)
    if old and attrs["mode"] == "nearest" and any(n < 1 and (1 / n) % 1 for n in scales or ()):
        raise Unsupported("shrinks by a fraction to the nearest, which operator sets before 11 leave open")


def depth_to_space(step: Step) -> Value:
    attrs = {"mode": step.text("mode", "DCR")} if step.layer.op == "DepthToSpace" else {}
    return step.node(step.layer.op, [step.value().name], blocksize=step.integer("blocksize", None), **attrs)


# ----------------------------------------------------------------------------------------------------------- reductions


def reduce(op: str, *, opset: int = 18, after: str = "", before: str = "") -> Op:
    """Returns the translation of a reduction, perhaps between two element-wise ops."""

    def translate(step: Step) -> Value:
        value = step.value()
        rank = len(value.shape)
        axes = step.axes(rank, opset=opset, position=1)
        if axes is None and step.integer("noop_with_empty_axes", 0):
            return _same(step, value)
        chosen = tuple(sorted(step.axis(axis, rank) for axis in (range(rank) if axes is None else axes)))
        name = step.node(before, [value.name], suffix="before").name if before else value.name
        keep = step.integer("keepdims", 1)
        if not after:
            return step.node(op, [name], axes=chosen, keepdims=keep)
        reduced = step.node(op, [name], suffix="reduced", axes=chosen, keepdims=keep)
        return step.node(after, [reduced.name])

    return translate


def arg_extreme(step: Step) -> Value:
    value = step.value()
    axis = step.axis(step.integer("axis", 0), len(value.shape))
    name = step.node("Neg", [value.name], suffix="negative").name if step.layer.op == "ArgMin" else value.name
    attrs: dict[str, Any] = {
        "keepdims": step.integer("keepdims", 1),
        "select_last_index": step.integer("select_last_index", 0),
    }
    return replace(step.node("ArgMax", [name], axis=axis, **attrs), whole=True)


_REDUCED = ["ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare"]
OPS: Mapping[str, Op] = {
    **{op: reduce(op) for op in _REDUCED},
    "ReduceSum": reduce("ReduceSum", opset=13),
    "ReduceLogSum": reduce("ReduceSum", after="Log"),
    "ReduceLogSumExp": reduce("ReduceSum", before="Exp", after="Log"),
    "ArgMax": arg_extreme,
    "ArgMin": arg_extreme,
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Pad": pad,
    "Reshape": reshape,
    "Resize": resize,
    "Upsample": resize,
    "Slice": slices,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
