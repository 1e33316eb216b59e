"""MXNet's ops that move numbers: reshaping, slicing, joining, padding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.formats.mxnet.attributes import Wrong
from zoo.formats.mxnet.table import Rule
from zoo.formats.mxnet.translate import MAX_RANK, Step, Value
from zoo.graph import Param

END = (1 << 31) - 1
MAX_PARTS = 4096
# Two batch sizes, primes no network has elsewhere: a shape that agrees for both does not depend on the batch.
_BATCHES = (100_003, 100_019)


def flatten(step: Step) -> Value:
    return step.add("Flatten", [step.input()], axis=1)


def reshape(step: Step) -> Value:
    """Reshape with MXNet's codes; see `_coded`."""
    codes = step.attributes.integers("shape")
    reverse = step.attributes.flag("reverse", False)
    target = step.attributes.integers("target_shape")
    keep = step.attributes.flag("keep_highest", False)
    if not codes:  # the first years': 0 is what is left
        if not target:
            raise step.damaged("has no shape")
        codes = tuple(n or -1 for n in target)
        codes = (0, *codes[1:]) if keep else codes
    if reverse and -4 in codes:
        raise step.unsupported("splits an axis (-4) from the right (reverse)")
    value = step.operand(0)
    if value.array is not None:
        old, codes = (value.shape[::-1], codes[::-1]) if reverse else (value.shape, codes)
        made = _coded(old, codes)
        return _stored(value, made[::-1] if reverse else made)
    shape = step.shape
    if not reverse and _is_batch(codes, shape):
        codes = (0, *codes[1:])
    return _reshaped(step, _without_batch(step, codes, reverse))


def _stored(value: Value, shape: Sequence[int]) -> Value:
    """A stored array in another shape, before anything computes with it."""
    shape = tuple(shape)
    if len(shape) > MAX_RANK:
        raise Wrong(f"gives more than {MAX_RANK} axes")
    return value._replace(
        shape=shape, array=Param(shape) if not isinstance(value.array, np.ndarray) else value.array.reshape(shape)
    )


def _is_batch(codes: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether the first size is the batch that the network was once run with, rather than the channels."""
    whole = math.prod(codes[1:]) == math.prod(shape[1:])
    return codes[0] > 0 and (whole or codes[0] == 1 or (-1 in codes[1:] and codes[0] != shape[1]))


def _without_batch(step: Step, codes: Sequence[int], reverse: bool) -> tuple[int, ...]:
    """The shape that codes give, without the batch, which has to stay."""
    found = set()
    for batch in _BATCHES:
        shape = [batch, *step.shape[1:]]
        try:
            made = _coded(shape[::-1] if reverse else shape, codes[::-1] if reverse else codes)
        except Wrong as error:
            raise step.unsupported(f"reshapes {_told(step.shape)} to {list(codes[:8])}: {error}") from None
        made = made[::-1] if reverse else made
        if not made or made[0] != batch:
            raise step.unsupported(f"reshapes {_told(step.shape)} to {list(codes[:8])}, which moves the batch")
        found.add(tuple(made[1:]))
    if len(found) != 1:
        raise step.unsupported(f"reshapes {_told(step.shape)} to {list(codes[:8])}, which depends on the batch")
    return found.pop()


def _coded(old: Sequence[int], codes: Sequence[int]) -> list[int]:
    """A shape by codes: 0 keeps an axis, -1 takes what is left, -2 keeps all others, -3 joins two, -4 splits one."""
    new: list[int] = []
    rest = list(old)
    open_at: int | None = None
    following = iter(codes)

    def take() -> int:
        if not rest:
            raise Wrong("has no axis left")
        return rest.pop(0)

    for code in following:
        if code > 0:
            new.append(code)
            rest[:1] = []
        elif code == 0:
            new.append(take())
        elif code == -1:
            if open_at is not None:
                raise Wrong("has -1 twice")
            open_at = len(new)
            new.append(1)
            rest[:1] = []
        elif code == -2:
            new, rest = [*new, *rest], []
        elif code == -3:
            new.append(take() * take())
        elif code == -4:
            new.extend(_parts(take(), next(following, 0), next(following, 0)))
        else:
            raise Wrong(f"has the unknown code {code}")
    total, known = math.prod(old), math.prod(new)
    if open_at is not None:
        if known < 1 or total % known:
            raise Wrong("the sizes do not agree")
        new[open_at] = total // known
    if math.prod(new) != total:
        raise Wrong("the sizes do not agree")
    return new


def _parts(size: int, first: int, second: int) -> tuple[int, int]:
    if first == -1 and second > 0:
        first = size // second
    if second == -1 and first > 0:
        second = size // first
    if first < 1 or second < 1 or first * second != size:
        raise Wrong(f"cannot split an axis of {size} into {first} and {second}")
    return first, second


def _told(shape: Sequence[int]) -> str:
    return "x".join(["N", *map(str, shape[1:])])


def _reshaped(step: Step, shape: tuple[int, ...]) -> Value:
    value = step.input()
    if shape == value.shape[1:]:
        return step.add("Identity", [value])
    if len(shape) == 1:
        return step.add("Flatten", [value], axis=1)
    return step.add("Reshape", [value], shape=(0, *shape))


def reshape_like(step: Step) -> Value:
    """reshape_like: the second input's whole shape."""
    for key in ("lhs_begin", "lhs_end", "rhs_begin", "rhs_end"):
        if step.attributes.has(key):
            raise step.unsupported(f"{key}; only whole shapes")
    shape = step.input(1).shape[1:]
    if math.prod(shape) != math.prod(step.shape[1:]):
        raise step.damaged(f"cannot turn {_told(step.shape)} into the second input's shape")
    return _reshaped(step, shape)


def transpose(step: Step) -> Value:
    rank = len(step.shape)
    axes = step.attributes.integers("axes") or tuple(range(rank))[::-1]
    if sorted(step.axis(axis, rank, batch=True) for axis in axes) != list(range(rank)):
        raise step.damaged(f"orders {rank} axes as {axes[:8]}")
    return _ordered(step, [axis % rank for axis in axes])


def swap_axes(step: Step) -> Value:
    rank = len(step.shape)
    first, second = (step.axis(step.attributes.integer(key, 0), rank, batch=True) for key in ("dim1", "dim2"))
    order = list(range(rank))
    order[first], order[second] = second, first
    return _ordered(step, order)


def _ordered(step: Step, order: list[int]) -> Value:
    if order[0] != 0:
        raise step.unsupported(f"moves the batch: {order}")
    if order == sorted(order):
        return step.add("Identity", [step.input()])
    return step.add("Transpose", [step.input()], perm=tuple(order))


def expand_dims(step: Step) -> Value:
    value = step.operand(0)
    axis = step.axis(step.attributes.integer("axis"), len(value.shape) + 1, batch=value.array is not None)
    if value.array is not None:
        return _stored(value, (*value.shape[:axis], 1, *value.shape[axis:]))
    return step.add("Unsqueeze", [step.input()], axes=(axis,))


def squeeze(step: Step) -> Value:
    """squeeze: the named axes, or all of size 1 but the batch."""
    rank = len(step.shape)
    given = step.attributes.integers("axis")
    axes = [i for i in range(1, rank) if step.shape[i] == 1] if given is None else [step.axis(a, rank) for a in given]
    return step.add("Squeeze", [step.input()], axes=tuple(axes)) if axes else step.add("Identity", [step.input()])


def slice_(step: Step) -> Value:
    """slice: begin, end and step of the leading axes, None where an axis is whole."""
    begin, end = step.attributes.holes("begin") or (), step.attributes.holes("end") or ()
    steps = step.attributes.holes("step") or (None,) * len(begin)
    if not len(begin) == len(end) == len(steps) <= len(step.shape):
        raise step.damaged(f"has {len(begin)} begins, {len(end)} ends and {len(steps)} steps for {_told(step.shape)}")
    parts = {}
    for axis, part in enumerate(zip(begin, end, steps, strict=True)):
        if axis > 0 or part[0] or part[2] not in (None, 1) or part[1] is not None:
            parts[axis] = part
    return _sliced(step, parts)


def _sliced(step: Step, parts: dict[int, tuple[int | None, int | None, int | None]]) -> Value:
    starts, ends, steps = [], [], []
    for axis, (begin, end, by) in parts.items():
        step.axis(axis, len(step.shape))
        by = 1 if by is None else by
        if by == 0:
            raise step.damaged("has step 0")
        size = step.shape[axis]
        start, stop, _ = slice(begin, end, by).indices(size)
        starts.append(start)
        ends.append(stop if stop >= 0 else -END)
        steps.append(by)
    if not parts:
        return step.add("Identity", [step.input()])
    return step.add(
        "Slice", [step.input()], starts=tuple(starts), ends=tuple(ends), axes=tuple(parts), steps=tuple(steps)
    )


def slice_axis(step: Step) -> Value:
    axis = step.axis(step.attributes.integer("axis"), len(step.shape))
    end = step.attributes.integer("end") if step.attributes.has("end") else None
    return _sliced(step, {axis: (step.attributes.integer("begin"), end, 1)})


def slice_like(step: Step) -> Value:
    """slice_like: the named axes, or all, as long as the second input's."""
    like = step.input(1).shape
    given = step.attributes.integers("axes")
    axes = [step.axis(axis, len(step.shape)) for axis in given] if given else range(1, len(step.shape))
    if any(axis >= len(like) or like[axis] > step.shape[axis] for axis in axes):
        raise step.damaged(f"cuts {_told(step.shape)} like {_told(like)}")
    return _sliced(step, {axis: (0, like[axis], 1) for axis in axes if like[axis] != step.shape[axis]})


def slice_channel(step: Step) -> list[Value]:
    """SliceChannel, also named split: equal parts along an axis, which may go."""
    parts = step.attributes.integer("num_outputs", low=1, high=MAX_PARTS)
    axis = step.axis(step.attributes.integer("axis", 1), len(step.shape))
    if step.shape[axis] % parts:
        raise step.damaged(f"cannot split axis {axis} of {_told(step.shape)} into {parts}")
    return _split(step, axis, [step.shape[axis] // parts] * parts)


def split_v2(step: Step) -> list[Value]:
    """split_v2: equal parts, or parts that begin at the given places."""
    axis = step.axis(step.attributes.integer("axis", 1), len(step.shape))
    size = step.shape[axis]
    sections = step.attributes.integer("sections", 0, low=0, high=MAX_PARTS)
    places = step.attributes.integers("indices") or (0,)
    if sections:
        if size % sections:
            raise step.damaged(f"cannot split axis {axis} of {_told(step.shape)} into {sections}")
        return _split(step, axis, [size // sections] * sections)
    bounds = [*places, size] if places[0] == 0 else [0, *places, size]
    parts = [after - before for before, after in itertools.pairwise(bounds)]
    if any(n < 1 for n in parts):
        raise step.damaged(f"splits axis {axis} of {_told(step.shape)} at {places[:8]}")
    return _split(step, axis, parts)


def _split(step: Step, axis: int, parts: list[int]) -> list[Value]:
    gone = step.attributes.flag("squeeze_axis", False)
    if len(parts) == 1:
        made = [step.add("Identity", [step.input()], suffix="whole" if gone else "")]
    else:
        suffix = "/part" if gone else "_output"
        made = step.add_many("Split", [step.input()], len(parts), suffix=suffix, axis=axis, split=tuple(parts))
    if not gone:
        return made
    names = [f"{step.name}_output{i}" for i in range(len(made))] if len(made) > 1 else [step.name]
    return [step.add("Squeeze", [each], name=name, axes=(axis,)) for name, each in zip(names, made, strict=True)]


def crop(step: Step) -> Value:
    """Crop: a window of the map, as large as stated or as the second input."""
    if len(step.shape) != 4:
        raise step.unsupported(f"input of {len(step.shape)} axes; only batch, channels, height, width")
    size = step.input(1).shape[2:] if step.count > 1 else step.attributes.pair("h_w", 0)
    offset = step.attributes.pair("offset", 0)
    step.attributes.ignore("h_w")
    if len(size) != 2 or 0 in size:
        raise step.damaged("has no size to crop to")
    if step.attributes.flag("center_crop", False):
        offset = ((step.shape[2] - size[0]) // 2, (step.shape[3] - size[1]) // 2)
    if any(o < 0 or o + n > whole for o, n, whole in zip(offset, size, step.shape[2:], strict=True)):
        raise step.damaged(f"crops {tuple(size)} at {offset} from {_told(step.shape)}")
    return _sliced(step, {axis + 2: (offset[axis], offset[axis] + size[axis], 1) for axis in (0, 1)})


def pad(step: Step) -> Value:
    """Pad: constant, edge or reflect; widths are pairs, axis by axis."""
    mode = step.attributes.choice("mode", ("constant", "edge", "reflect"))
    widths = step.attributes.integers("pad_width") or ()
    number = step.attributes.number("constant_value", 0.0)
    if len(widths) != 2 * len(step.shape) or any(n < 0 for n in widths):
        raise step.damaged(f"has pad_width {widths[:12]} for {_told(step.shape)}")
    if any(widths[:2]):
        raise step.unsupported("pads the batch")
    attrs: dict[str, Any] = {"value": number} if mode == "constant" else {}
    return step.add("Pad", [step.input()], pads=(*widths[::2], *widths[1::2]), mode=mode, **attrs)


def concat(step: Step) -> Value:
    """Concat along an axis, the channels by default."""
    values = [step.input(i) for i in range(step.count)]
    if not values:
        raise step.damaged("joins nothing")
    axis = step.axis(step.attributes.integer("dim", 1), len(values[0].shape))
    return step.add("Concat", values, axis=axis) if len(values) > 1 else step.add("Identity", values)


def stack(step: Step) -> Value:
    values = [step.input(i) for i in range(step.count)]
    axis = step.axis(step.attributes.integer("axis", 0), len(step.shape) + 1)
    values = [step.add("Unsqueeze", [value], suffix=f"axis{i}", axes=(axis,)) for i, value in enumerate(values)]
    return step.add("Concat", values, axis=axis)


def tile(step: Step) -> Value:
    repeats = step.attributes.integers("reps") or ()
    rank = len(step.shape)
    if len(repeats) > rank or any(n < 1 for n in repeats):
        raise step.unsupported(f"repeats {_told(step.shape)} {repeats[:8]} times")
    return step.add("Tile", [step.input()], repeats=(*(1,) * (rank - len(repeats)), *repeats))


def repeat(step: Step) -> Value:
    """repeat: each number so many times in a row along an axis."""
    if not step.attributes.has("axis"):
        raise step.unsupported("repeats all numbers of the batch")
    times = step.attributes.integer("repeats", low=1, high=MAX_PARTS)
    shape = list(step.shape)
    axis = step.axis(step.attributes.integer("axis"), len(shape))
    value = step.add("Unsqueeze", [step.input()], suffix="apart", axes=(axis + 1,))
    tiles = [1] * (len(shape) + 1)
    tiles[axis + 1] = times
    value = step.add("Tile", [value], suffix="tile", repeats=tuple(tiles))
    shape[axis] *= times
    return step.add("Reshape", [value], shape=(0, *shape[1:]))


def broadcast_axis(step: Step) -> Value:
    axes = step.attributes.integers("axis") or ()
    sizes = step.attributes.integers("size") or ()
    if len(axes) != len(sizes):
        raise step.damaged(f"has {len(axes)} axes and {len(sizes)} sizes")
    shape = list(step.shape)
    for axis, size in zip(axes, sizes, strict=True):
        shape[step.axis(axis, len(shape))] = size
    return _expanded(step, shape)


def broadcast_to(step: Step) -> Value:
    codes = step.attributes.integers("shape") or ()
    if len(codes) != len(step.shape) or codes[0] not in (0, 1):
        raise step.unsupported(f"spreads {_told(step.shape)} to {codes[:8]}")
    return _expanded(step, [n or old for n, old in zip(codes, step.shape, strict=True)])


def broadcast_like(step: Step) -> Value:
    if step.attributes.has("lhs_axes") or step.attributes.has("rhs_axes"):
        raise step.unsupported("lhs_axes and rhs_axes; only whole shapes")
    return _expanded(step, list(step.input(1).shape))


def _expanded(step: Step, shape: list[int]) -> Value:
    old = step.shape
    if len(shape) != len(old) or any(n < 1 or m not in (1, n) for n, m in zip(shape[1:], old[1:], strict=True)):
        raise step.damaged(f"spreads {_told(old)} to {_told(shape)}")
    return step.add("Expand", [step.input()], shape=(0, *shape[1:]))


def reverse(step: Step) -> Value:
    """reverse, also named flip."""
    axes = step.attributes.integers("axis") or ()
    return _sliced(step, {step.axis(axis, len(step.shape)): (None, None, -1) for axis in axes})


def blocks(op: str) -> Rule:
    def translate(step: Step) -> Value:
        return step.add(op, [step.input()], blocksize=step.attributes.integer("block_size", low=1, high=MAX_PARTS))

    return Rule(translate)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("Flatten", "flatten"), Rule(flatten)),
    **dict.fromkeys(("Reshape", "reshape"), Rule(reshape)),
    "reshape_like": Rule(reshape_like),
    "transpose": Rule(transpose),
    **dict.fromkeys(("SwapAxis", "swapaxes"), Rule(swap_axes)),
    "expand_dims": Rule(expand_dims),
    "squeeze": Rule(squeeze),
    **dict.fromkeys(("slice", "crop"), Rule(slice_)),
    "slice_axis": Rule(slice_axis),
    "slice_like": Rule(slice_like),
    **dict.fromkeys(("SliceChannel", "split"), Rule(slice_channel)),
    "_split_v2": Rule(split_v2),
    "Crop": Rule(crop),
    **dict.fromkeys(("Pad", "pad"), Rule(pad)),
    **dict.fromkeys(("Concat", "concat"), Rule(concat)),
    "stack": Rule(stack),
    "tile": Rule(tile),
    "repeat": Rule(repeat),
    **dict.fromkeys(("broadcast_axis", "broadcast_axes"), Rule(broadcast_axis)),
    "broadcast_to": Rule(broadcast_to),
    "broadcast_like": Rule(broadcast_like),
    **dict.fromkeys(("reverse", "flip"), Rule(reverse)),
    "depth_to_space": blocks("DepthToSpace"),
    "space_to_depth": blocks("SpaceToDepth"),
}
