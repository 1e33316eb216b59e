"""TensorFlow's ops that move data: shapes, axes, slices, joins."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from zoo.formats.tensorflow.arithmetic import graph_axis
from zoo.formats.tensorflow.fold import slicing
from zoo.formats.tensorflow.values import TO_NCHW, TO_NHWC, Batch, Const, Item, Op, Step, Value


def _dims(step: Step) -> list[Any]:
    """The new shape of a Reshape: numbers, and `Batch` for what follows the batch's size."""
    array = step.const(1, "new shape").array
    if array.size > 32 or array.dtype.kind not in "iO":
        raise step.unsupported("its new shape is no list of whole numbers")
    return [n if isinstance(n, Batch) else int(n) for n in array.ravel().tolist()]


def reshape(step: Step) -> Item:
    """Reshape; the batch is told from the channels by what the other axes multiply to."""
    value, dims = step.value(), _dims(step)
    count = math.prod(value.shape)
    shape, batched = _batch_apart(step, value, dims, count)
    if shape == value.shape:
        return replace(value, batched=batched)
    # With one position or one channel, both orders are the same row of numbers.
    same = value.image and (value.shape[:2] == (1, 1) or value.shape[2] == 1)
    source = value if same else step.plain(value)
    if len(shape) == 3 and shape[:2] == (1, 1):  # a vector becomes a map of one pixel
        name = step.make("Reshape", [source.name], shape=(0, shape[2], 1, 1))
        return step.result(name, image=True, batched=batched, dtype=value.dtype)
    name = step.make("Reshape", [source.name], shape=(0, *shape))
    return step.result(name, batched=batched, dtype=value.dtype)


def _batch_apart(step: Step, value: Value, dims: list[Any], count: int) -> tuple[tuple[int, ...], bool]:
    """Returns the new shape without the batch, and whether it still has the batch."""
    if not dims:
        raise step.unsupported(f"reshapes {value.shape} (without the batch) to one number")
    first, rest = dims[0], dims[1:]
    fixed = step.state.batch
    alone = fixed == 1 or not value.batched
    if any(isinstance(n, Batch) for n in rest) or dims.count(-1) > 1 or any(n < -1 for n in rest):
        raise step.unsupported(f"reshapes {value.shape} (without the batch) to {_told(dims)}")
    leads = first in (Batch(1), 1) or (fixed is not None and first == fixed)
    if isinstance(first, Batch) and alone:
        first = first.times
    known = math.prod(n for n in rest if n != -1)
    if -1 in rest and (leads or (alone and first > 0)):
        lead = 1 if leads else first
        rest = [count // (known * lead) if n == -1 and known * lead else n for n in rest]
        known = math.prod(rest)
    if known == count and all(n > 0 for n in rest) and (leads or first == -1):
        return tuple(rest), True
    if alone:
        first = count // known if first == -1 and known > 0 else first
        return _whole(step, value, [first, *rest], count)
    raise step.unsupported(f"reshapes {value.shape} (without the batch) to {_told(dims)}, which mixes the batch")


def _whole(step: Step, value: Value, dims: list[int], count: int) -> tuple[tuple[int, ...], bool]:
    if math.prod(dims) != count or any(n < 1 for n in dims):
        raise step.damaged(f"reshapes {value.shape} (without the batch) to {_told(dims)}")
    return tuple(dims), False


def _told(dims: list[Any]) -> str:
    return str([f"{n.times} x batch" if isinstance(n, Batch) else n for n in dims[:8]])


def transpose(step: Step) -> Item:
    """Transpose; between NHWC and NCHW it only changes how the Graph's value is seen."""
    value = step.value()
    perm = step.ints(1, "order of axes")
    if sorted(perm) != list(range(value.rank)):
        raise step.damaged(f"has the order {perm[:8]} for {value.rank} axes")
    if not value.batched:
        perm = [0, *(axis + 1 for axis in perm)]
    if perm[0] != 0:
        raise step.unsupported(f"moves the batch: {perm}")
    shape = tuple(value.shape[axis - 1] for axis in perm[1:])
    if tuple(perm) == tuple(range(len(perm))):
        return value
    if value.image and tuple(perm) == TO_NCHW:
        return replace(value, shape=shape, image=False)
    if not value.image and tuple(perm) == TO_NHWC:
        return replace(value, shape=shape, image=True)
    name = step.make("Transpose", [step.plain(value).name], perm=tuple(perm))
    return step.result(name, batched=value.batched, dtype=value.dtype)


def expand_dims(step: Step) -> Item:
    value = step.value()
    axes = step.ints(1, "axis")
    if len(axes) != 1:
        raise step.damaged(f"has {len(axes)} axes")
    if not value.batched and axes[0] in (0, -value.rank - 1):
        return replace(value, batched=True)
    axis = step.axis(axes[0], value, more=1)
    if axis == 0:
        raise step.unsupported("puts an axis before the batch")
    name = step.make("Unsqueeze", [step.plain(value).name], axes=(axis,))
    return step.result(name, batched=value.batched, dtype=value.dtype)


def squeeze(step: Step) -> Item:
    value = step.value()
    given = step.numbers("squeeze_dims") or step.numbers("axis")
    if len(given) > 32:
        raise step.damaged(f"has {len(given)} axes")
    if given:
        axes = sorted({step.axis(axis, value) for axis in given})
    else:
        axes = [i for i, n in enumerate(value.shape, 1) if n == 1] + ([0] if step.state.single else [])
    batched = value.batched and 0 not in axes
    if value.batched and 0 in axes and not step.state.single:
        raise step.unsupported("drops the batch")
    axes = [axis for axis in axes if axis != 0]
    wrong = [axis for axis in axes if value.shape[axis - 1] != 1]
    if wrong:
        raise step.damaged(f"drops axis {wrong[0]} of {value.shape} (without the batch)")
    return dropped(step, replace(value, batched=batched), axes)


def dropped(step: Step, value: Value, axes: list[int], suffix: str = "") -> Value:
    """Returns a value without some axes of size one, counted with the batch as 0."""
    if not axes:
        return value
    left = [axis for axis in range(1, len(value.shape) + 1) if axis not in axes]
    if value.image and 3 in left and len(left) > 1:
        value = step.plain(value)
    name = step.make(
        "Squeeze", [value.name], suffix=suffix, axes=tuple(sorted(graph_axis(axis, value) for axis in axes))
    )
    return step.result(name, batched=value.batched, dtype=value.dtype)


def concat(step: Step) -> Item:
    """Concat (axis first) and ConcatV2 (axis last)."""
    items = list(step.items)
    place = 0 if step.node.op == "Concat" else len(items) - 1
    axes = step.ints(place, "axis")
    del items[place]
    values = [item for item in items if isinstance(item, Value)]
    if len(axes) != 1 or not values:
        raise step.damaged("joins nothing")
    if len(values) != len(items):
        raise step.unsupported("joins values with stored arrays")
    if len({value.rank for value in values}) != 1 or len({value.batched for value in values}) != 1:
        raise step.damaged(f"joins {[value.shape for value in values[:8]]} (without the batch)")
    axis = step.axis(axes[0], values[0])
    if axis == 0:
        raise step.unsupported("joins along the batch")
    if len(values) == 1:
        return values[0]
    if any(value.image for value in values):
        values = [step.image(value) for value in values]
    name = step.make("Concat", [value.name for value in values], axis=graph_axis(axis, values[0]))
    return step.like(name, values[0])


def pack(step: Step) -> Item:
    """Pack: values one beside the other along a new axis."""
    values = [step.plain(step.value(i)) for i in range(len(step.items))]
    axis = step.axis(int(step.attr("axis").i), values[0], more=1)
    if axis == 0:
        raise step.unsupported("joins along the batch")
    names = [step.make("Unsqueeze", [v.name], suffix=f"unsqueeze{i}", axes=(axis,)) for i, v in enumerate(values)]
    name = step.make("Concat", names, axis=axis)
    return step.result(name, batched=values[0].batched, dtype=values[0].dtype)


def split(step: Step) -> list[Item]:
    """Split (axis first) and SplitV (sizes and axis behind)."""
    sized = step.node.op == "SplitV"
    value = step.value(0 if sized else 1)
    axes = step.ints(2 if sized else 0, "axis")
    if len(axes) != 1:
        raise step.damaged(f"has {len(axes)} axes")
    axis = step.axis(axes[0], value)
    if axis == 0:
        raise step.unsupported("splits the batch")
    whole = value.shape[axis - 1]
    if sized:
        sizes = step.ints(1, "sizes")
        if sizes.count(-1) == 1:
            sizes[sizes.index(-1)] = whole - sum(n for n in sizes if n != -1)
    else:
        count = int(step.attr("num_split").i)
        sizes = [whole // count] * count if 0 < count <= 4096 and whole % count == 0 else []
    if sum(sizes) != whole or any(n < 1 for n in sizes):
        raise step.damaged(f"splits {whole} into {sizes[:8]}")
    outputs = [step.name, *(f"{step.name}:{i}" for i in range(1, len(sizes)))]
    outputs = [step.state.unique(name) if i else name for i, name in enumerate(outputs)]
    attrs = {"axis": graph_axis(axis, value), "split": tuple(sizes)}
    step.state.node("Split", step.name, [value.name], outputs, **attrs)
    return [step.like(name, value) for name in outputs]


def unpack(step: Step) -> list[Item]:
    """Unpack: every slice along an axis, as a value of its own."""
    value = step.value()
    axis = step.axis(int(step.attr("axis").i), value)
    if axis == 0:
        raise step.unsupported("takes the batch apart")
    count = value.shape[axis - 1]
    if count > 4096:
        raise step.damaged(f"takes {count} apart")
    spans: list[tuple[int, slice]] = [(i, slice(i, i + 1, 1)) for i in range(count)]
    return [dropped(step, _sliced(step, value, {axis: span}, f"slice{i}"), [axis], f"output{i}") for i, span in spans]


def _sliced(step: Step, value: Value, spans: dict[int, slice], suffix: str = "") -> Value:
    """Returns part of a value; axes are counted with the batch as 0."""
    axes = sorted(spans)
    limit = (1 << 31) - 1
    starts, ends, steps = [], [], []
    for axis in axes:
        size = value.shape[axis - 1]
        start, end, stride = spans[axis].indices(size)
        if len(range(start, end, stride)) == 0:
            raise step.damaged(f"takes nothing of axis {axis} of {value.shape} (without the batch)")
        starts.append(start)
        ends.append(end if end >= 0 else -limit)
        steps.append(stride)
    name = step.make(
        "Slice",
        [value.name],
        suffix=suffix,
        starts=tuple(starts),
        ends=tuple(ends),
        axes=tuple(graph_axis(axis, value) for axis in axes),
        steps=tuple(steps),
    )
    return step.like(name, value)


def _partial(value: Value, axis: int, span: slice) -> bool:
    size = value.shape[axis - 1]
    return span.indices(size) != (0, size, 1)


def slice_(step: Step) -> Item:
    value = step.value()
    begin, size = step.ints(1, "begin"), step.ints(2, "size")
    if len(begin) != value.rank or len(size) != value.rank:
        raise step.damaged(f"slices {len(begin)} axes of {value.rank}")
    picks: list[tuple[str, slice | int]] = [
        ("slice", slice(first, None if count == -1 else first + count, 1))
        for first, count in zip(begin, size, strict=True)
    ]
    return _taken(step, value, picks)


def strided_slice(step: Step) -> Item:
    value = step.value()
    bounds = [step.ints(i, what) for i, what in ((1, "begin"), (2, "end"), (3, "strides"))]
    return _taken(step, value, slicing(step, bounds, value.rank))


def _taken(step: Step, value: Value, picks: list[tuple[str, slice | int]]) -> Item:
    batched = value.batched
    if batched:
        kind, index = picks[0]
        whole = isinstance(index, slice) and index.start in (None, 0) and index.step in (None, 1)
        whole = whole and isinstance(index, slice) and (index.stop is None or (step.state.single and index.stop == 1))
        if kind == "pick" and step.state.single and index in (0, -1):
            batched = False
        elif kind != "slice" or not whole:
            raise step.unsupported("takes part of the batch")
        picks = picks[1:]
    elif picks and picks[0][0] == "new":
        batched, picks = True, picks[1:]
    spans: dict[int, slice] = {}
    drop: list[int] = []
    new: list[int] = []
    axis = place = 1
    for kind, index in picks:
        if kind == "new":
            new.append(place)
            place += 1
            continue
        if isinstance(index, slice):
            if _partial(value, axis, index):
                spans[axis] = index
            place += 1
        else:
            size = value.shape[axis - 1]
            if not -size <= index < size:
                raise step.damaged(f"picks {index} of {size}")
            spans[axis] = slice(index % size, index % size + 1, 1)
            drop.append(axis)
        axis += 1
    value = replace(value, batched=batched)
    if spans:
        value = _sliced(step, value, spans, "slice" if drop or new else "")
    value = dropped(step, value, drop, "squeeze" if new else "")
    if new:
        name = step.make("Unsqueeze", [step.plain(value).name], axes=tuple(new))
        value = step.result(name, batched=batched, dtype=value.dtype)
    return value


def gather(step: Step) -> Item:
    """Gather of known positions along one axis."""
    value, const = step.value(), step.const(1, "indices")
    axes = step.ints(2, "axis") if len(step.items) > 2 else [0]
    if step.attr("batch_dims").i or len(axes) != 1:
        raise step.unsupported("gathers per image")
    axis = step.axis(axes[0], value)
    if axis == 0:
        raise step.unsupported("takes part of the batch")
    size = value.shape[axis - 1]
    if const.array.dtype.kind not in "iu" or const.array.ndim > 1 or const.array.size == 0:
        raise step.unsupported("gathers by what is no list of whole numbers")
    if const.array.min() < 0 or const.array.max() >= size:
        raise step.damaged(f"gathers from {const.array.min()} to {const.array.max()} of {size}")
    if const.array.ndim == 0:
        index = int(const.array)
        return dropped(step, _sliced(step, value, {axis: slice(index, index + 1, 1)}, "slice"), [axis])
    name = step.state.unique(const.name)
    step.state.params[name] = const.array.astype(np.int64, copy=False)
    return step.like(step.make("Gather", [value.name, name], axis=graph_axis(axis, value)), value)


def pad(step: Step) -> Item:
    """Pad, PadV2 and MirrorPad."""
    value = step.value()
    numbers = step.ints(1, "paddings")
    if len(numbers) != 2 * value.rank or min(numbers, default=0) < 0 or max(numbers, default=0) >= 1 << 31:
        raise step.damaged(f"pads {numbers[:8]}, its input has {value.rank} axes")
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    if value.batched:
        if pairs[0] != (0, 0):
            raise step.unsupported("pads the batch")
        pairs = pairs[1:]
    attrs: dict[str, Any] = {"mode": "constant"}
    if step.node.op == "MirrorPad":
        attrs["mode"] = "reflect"
        if step.word("mode", "REFLECT") == "SYMMETRIC":
            # The border pixel itself comes first: for one row the same as repeating the edge.
            if max(numbers) > 1:
                raise step.unsupported(f"mirrors more than one row with its edge: {pairs}")
            attrs["mode"] = "edge"
    else:
        number = step.const(2, "number").array if step.node.op == "PadV2" else np.zeros(())
        if number.size != 1 or number.dtype == object or not math.isfinite(float(number.reshape(()))):
            raise step.unsupported("pads with what is no number")
        attrs["value"] = float(number.reshape(()))
    ordered = [(0, 0)] * (len(pairs) + 1)
    for axis, pair in enumerate(pairs, 1):
        ordered[graph_axis(axis, value)] = pair
    pads = (*(before for before, _ in ordered), *(after for _, after in ordered))
    return step.like(step.make("Pad", [value.name], pads=pads, **attrs), value)


def tile(step: Step) -> Item:
    value = step.value()
    repeats = step.ints(1, "repeats")
    if len(repeats) != value.rank or min(repeats) < 1:
        raise step.damaged(f"repeats {repeats[:8]}, its input has {value.rank} axes")
    if value.batched and repeats[0] != 1:
        raise step.unsupported("repeats the batch")
    ordered = [1] * (len(value.shape) + 1)
    for axis, times in enumerate(repeats[value.batched :], 1):
        ordered[graph_axis(axis, value)] = times
    return step.like(step.make("Tile", [value.name], repeats=tuple(ordered)), value)


def shape(step: Step) -> list[Item]:
    """Shape and ShapeN: known but for the batch."""
    found: list[Item] = []
    for index in range(len(step.items)):
        value = step.value(index)
        found.append(Const(_shape_array(value), step.name))
    return found


def _shape_array(value: Value) -> np.ndarray:
    if not value.batched:
        return np.array(value.shape, dtype=np.int64)
    made = np.empty(value.rank, dtype=object)
    made[:] = [Batch(1), *value.shape]
    return made


def size(step: Step) -> Item:
    value = step.value()
    count = math.prod(value.shape)
    made = np.empty((), dtype=object)
    made[()] = Batch(count) if value.batched else count
    return Const(made if value.batched else np.array(count, dtype=np.int64), step.name)


def rank(step: Step) -> Item:
    return Const(np.array(step.value().rank, dtype=np.int64), step.name)


OPS: dict[str, Op] = {
    "Reshape": reshape,
    "Transpose": transpose,
    "ExpandDims": expand_dims,
    "Squeeze": squeeze,
    "Concat": concat,
    "ConcatV2": concat,
    "Pack": pack,
    "Split": split,
    "SplitV": split,
    "Unpack": unpack,
    "Slice": slice_,
    "StridedSlice": strided_slice,
    "Gather": gather,
    "GatherV2": gather,
    "Pad": pad,
    "PadV2": pad,
    "MirrorPad": pad,
    "Tile": tile,
    "Shape": shape,
    "ShapeN": shape,
    "Size": size,
    "Rank": rank,
}
