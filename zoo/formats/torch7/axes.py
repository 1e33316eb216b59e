"""Torch7's modules that cut, pad, order and reduce axes. Dimensions count from 1, and the batch may be one of them."""

from __future__ import annotations

import math
from typing import Any

from zoo.formats.torch7.objects import Table
from zoo.formats.torch7.translate import Flow, Op, Step, Value
from zoo.shapes import told

END = (1 << 31) - 1


def _shaped(step: Step, sizes: tuple[int, ...]) -> Flow:
    """The input with an image's numbers in other axes; one size may be -1."""
    shape = step.shape
    total = math.prod(shape[1:])
    known = math.prod(n for n in sizes if n != -1)
    if any(n < 1 and n != -1 for n in sizes) or sizes.count(-1) > 1:
        raise step.damaged(f"reshapes to {sizes}")
    if -1 in sizes and total % known == 0:
        sizes = tuple(total // known if n == -1 else n for n in sizes)
    if math.prod(sizes) != total:
        raise step.damaged(f"reshapes {told(shape)} to {sizes} an image; is the input shape right?")
    if sizes == shape[1:]:
        return step.flow
    if len(sizes) == 1:
        return step.node("Flatten", [step.x], axis=1)
    return step.node("Reshape", [step.x], shape=(0, *sizes))


def view(step: Step) -> Flow:
    """View: sizes of an image if it has been told how many axes one has, or if they hold as many numbers as one."""
    shape, sizes = step.shape, step.sizes("size")
    rank, dims = step.rank(shape), step.dims("numInputDims")
    whole = dims is None or dims >= rank
    if dims is not None and dims > rank:
        raise step.damaged(f"views {dims} axes, its input has {rank}")
    if not step.lead:
        if not whole:
            raise step.mixes(f"views {dims} axes of {rank} and keeps the rest")
        return _shaped(step, sizes)
    if dims is not None and dims == rank - 1:
        return _shaped(step, sizes)
    if not whole:
        raise step.mixes(f"puts the batch and {rank - 1 - (dims or 0)} more axes together")
    numbers = math.prod(shape[1:])
    if -1 not in sizes:
        if math.prod(sizes) != numbers:
            raise step.mixes(f"views {told(shape)} as rows of {sizes}")
        return _shaped(step, sizes)
    rest = math.prod(sizes[1:])
    if sizes[0] == -1 and rest == numbers and len(sizes) > 1:  # the missing size is the batch
        return _shaped(step, sizes[1:])
    if sizes[0] == 1 and -1 in sizes[1:]:  # a network for one image at a time, given as a batch of one
        return _shaped(step, sizes[1:])
    raise step.mixes(f"views {told(shape)}, the batch too, as {sizes}")


def reshape(step: Step) -> Flow:
    """Reshape: of an image's axes, unless it has been told that there is no batch."""
    shape, sizes = step.shape, step.sizes("size")
    mode = step.get("batchMode")
    if any(n < 1 for n in sizes):
        raise step.damaged(f"reshapes to {sizes}")
    if step.lead and mode is False:
        raise step.mixes("batchMode false: reshapes the batch too")
    fits = math.prod(sizes) == math.prod(shape[1:])
    if not step.lead and (mode is True or (mode is None and (not fits or shape[1] == 1))):
        return _shaped(step, (shape[1], *sizes))  # the first axis is taken for a batch
    return _shaped(step, sizes)


def collapse(step: Step) -> Flow:
    """Collapse: everything but the batch into one axis."""
    if step.lead and step.rank(step.shape) <= step.integer("nInputDim"):
        raise step.mixes("puts the batch and the rest together")
    return _shaped(step, (-1,))


def squeeze(step: Step) -> Flow:
    """Squeeze: one axis if it is of length 1, or all that are."""
    shape, dims = step.shape, step.dims("numInputDims")
    if step.get("dim") is None:
        axes = tuple(i for i, n in enumerate(shape) if n == 1)
    else:
        axis = step.axis(step.integer("dim"), shape, dims)
        axes = (axis,) if shape[axis] == 1 else ()
    if len(shape) - len(axes) < 2:
        raise step.unsupported(f"leaves nothing but the batch of {told(shape)}")
    return step.node("Squeeze", [step.x], axes=axes) if axes else step.flow


def _new_axis(step: Step, position: int, dims: int | None) -> int:
    shape = step.shape
    rank = step.rank(shape)
    position += 0 if dims is None else rank - dims
    if position == step.lead:
        raise step.mixes("puts an axis before the batch")
    return step.axis(position, shape, more=1)


def unsqueeze(step: Step) -> Flow:
    """Unsqueeze: a new axis of length 1."""
    axis = _new_axis(step, step.integer("pos", low=1), step.dims("numInputDims"))
    return step.node("Unsqueeze", [step.x], axes=(axis,))


def replicate(step: Step) -> Flow:
    """Replicate: a new axis along which the input is repeated."""
    dims, rank = step.dims("ndim"), step.rank(step.shape)
    position = step.integer("dim", 1, low=1) + (1 if dims is not None and rank > dims else 0)
    axis = _new_axis(step, position, None)
    row = step.node("Unsqueeze", [step.x], suffix="unsqueeze", axes=(axis,))
    repeats = [1] * (len(step.shape) + 1)
    repeats[axis] = step.integer("nfeatures", low=1)
    return step.node("Tile", [row], repeats=tuple(repeats))


def transpose(step: Step) -> Flow:
    """Transpose: pairs of axes that change places, one pair after the other."""
    shape, pairs = step.shape, step.get("permutations")
    given = pairs.sequence() if isinstance(pairs, Table) else []
    rank, dims = step.rank(shape), step.dims("numInputDims")
    offset = 0 if dims is None else rank - dims
    order = list(range(len(shape)))
    for pair in given:
        found = pair.sequence() if isinstance(pair, Table) else []
        if len(found) != 2 or not all(isinstance(n, int) and 1 <= n + offset <= rank for n in found):
            raise step.damaged("has permutations that are no pairs of dimensions")
        first, second = (n + offset - step.lead for n in found)
        order[first], order[second] = order[second], order[first]
    if order[0] != 0:
        raise step.mixes("moves the batch")
    return step.node("Transpose", [step.x], perm=tuple(order)) if order != sorted(order) else step.flow


def _cut(step: Step, axis: int, first: int, length: int, suffix: str = "") -> Value:
    """Rows of an axis, counted from 0."""
    size = step.shape[axis]
    if first < 0 or length < 1 or first + length > size:
        raise step.damaged(f"takes {length} from {first + 1} on of an axis of {size}")
    return step.node(
        "Slice", [step.x], suffix=suffix, starts=(first,), ends=(first + length,), axes=(axis,), steps=(1,)
    )


def narrow(step: Step) -> Flow:
    """Narrow: some rows of an axis; a negative length counts from the end, a negative index cuts there."""
    axis = step.axis(step.integer("dimension"), step.shape)
    size, index, length = step.shape[axis], step.integer("index"), step.integer("length", 1)
    if length < 0:
        length = size - index + length + 2
    if index < 0:
        index, length = 1, size - length
    return _cut(step, axis, index - 1, length)


def select(step: Step) -> Flow:
    """Select: one row of an axis, which goes."""
    axis = step.axis(step.integer("dimension"), step.shape)
    size, index = step.shape[axis], step.integer("index")
    if len(step.shape) == 2:
        raise step.unsupported(f"leaves nothing but the batch of {told(step.shape)}")
    row = _cut(step, axis, index + size if index < 0 else index - 1, 1, suffix="row")
    return step.node("Squeeze", [row], axes=(axis,))


def padding(step: Step) -> Flow:
    """Padding: numbers before an axis if `pad` is negative, after it if positive, or in between from `index` on."""
    shape, dims = step.shape, step.dims("nInputDim")
    dimension = step.integer("dim") + (1 if dims is not None and step.rank(shape) != dims else 0)
    axis = step.axis(dimension, shape)
    pad, index, value = step.integer("pad"), step.integer("index", 1), step.real("value", 0.0)
    size = shape[axis]
    if pad > 0:
        index = size - index + 2
    if index == 1:
        return _pad(step, [step.x], {axis: (abs(pad), 0)}, value=value)
    if index == size + 1:
        return _pad(step, [step.x], {axis: (0, abs(pad))}, value=value)
    before = _cut(step, axis, 0, index - 1, suffix="before")
    padded = _pad(step, [before], {axis: (0, abs(pad))}, suffix="pad", value=value)
    return step.node("Concat", [padded, _cut(step, axis, index - 1, size - index + 1, suffix="after")], axis=axis)


def _pad(
    step: Step,
    inputs: list[Value],
    amounts: dict[int, tuple[int, int]],
    *,
    mode: str = "constant",
    suffix: str = "",
    value: float = 0.0,
) -> Value:
    rank = len(step.shape)
    pads = [amounts.get(axis, (0, 0))[side] for side in (0, 1) for axis in range(rank)]
    if not any(pads):
        return inputs[0]
    attrs: dict[str, Any] = {"value": value} if mode == "constant" else {}
    return step.node("Pad", inputs, suffix=suffix, pads=tuple(pads), mode=mode, **attrs)


def spatial_padding(mode: str) -> Op:
    """Returns the translation of padding around a map; negative padding cuts."""

    def translate(step: Step) -> Flow:
        _, height, width = step.image()
        left = step.integer("pad_l")
        right, top, bottom = (step.integer(key, left) for key in ("pad_r", "pad_t", "pad_b"))
        pads = ((2, height, top, bottom), (3, width, left, right))
        cut = {axis: (max(-before, 0), n - max(-after, 0)) for axis, n, before, after in pads}
        if any(first >= last for first, last in cut.values()):
            raise step.damaged(f"cuts all of {told(step.shape)}")
        value = step.x
        if any(min(before, after) < 0 for _, _, before, after in pads):
            if mode != "constant":
                raise step.unsupported("negative padding")
            rows, columns = cut[2], cut[3]
            whole = all(max(before, after) <= 0 for _, _, before, after in pads)
            value = step.node(
                "Slice",
                [value],
                suffix="" if whole else "cut",
                starts=(rows[0], columns[0]),
                ends=(rows[1], columns[1]),
                axes=(2, 3),
                steps=(1, 1),
            )
        amounts = {axis: (max(before, 0), max(after, 0)) for axis, _, before, after in pads}
        return _pad(step, [value], amounts, mode=mode)

    return translate


def reduce(op: str, *, mean: bool = False) -> Op:
    """Returns the translation of a reduction of one axis, which goes unless the module says otherwise."""

    def translate(step: Step) -> Flow:
        shape = step.shape
        axis = step.axis(step.integer("dimension", 1), shape, step.dims("nInputDims"))
        single = step.rank(shape) == 1  # Torch leaves a vector's only axis
        keep = single or not step.flag("squeeze", default=True)
        if len(shape) == 2 and not keep:
            raise step.unsupported(f"leaves nothing but the batch of {told(shape)}")
        kind = "ReduceMean" if mean or (op == "ReduceSum" and step.flag("sizeAverage")) else op
        return step.node(kind, [step.x], axes=(axis,), keepdims=int(keep))

    return translate


OPS: dict[str, Op] = {
    "Collapse": collapse,
    "Max": reduce("ReduceMax"),
    "Mean": reduce("ReduceMean", mean=True),
    "Min": reduce("ReduceMin"),
    "Narrow": narrow,
    "Padding": padding,
    "Replicate": replicate,
    "Reshape": reshape,
    "Select": select,
    "SpatialReflectionPadding": spatial_padding("reflect"),
    "SpatialReplicationPadding": spatial_padding("edge"),
    "SpatialZeroPadding": spatial_padding("constant"),
    "Squeeze": squeeze,
    "Sum": reduce("ReduceSum"),
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    "View": view,
}
