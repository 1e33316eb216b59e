"""Layers that move, cut, join or resize without computing."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from zoo.formats.caffe.ops.alignment import aligned
from zoo.formats.caffe.ops.common import image, reshaped
from zoo.formats.caffe.ops.pooling import unpooled
from zoo.formats.caffe.translate import Step, Value


def concat(step: Step) -> Value:
    """Concat along an axis, the channels by default."""
    param = step.spec.concat_param
    axis = step.axis(param.concat_dim if param.HasField("concat_dim") else param.axis)
    if axis == 0:
        raise step.unsupported("joins along the batch")
    rest = {value.shape[: axis - 1] + value.shape[axis:] for value in step.inputs}
    if len(rest) != 1 or len({len(value.shape) for value in step.inputs}) != 1:
        raise step.damaged(
            f"cannot join {[value.shape for value in step.inputs[:8]]} (without the batch) along axis {axis}"
        )
    if len(step.inputs) == 1:
        return step.node("Identity", [step.inputs[0].name], step.shape)
    shape = list(step.shape)
    shape[axis - 1] = sum(value.shape[axis - 1] for value in step.inputs)
    return step.node("Concat", [value.name for value in step.inputs], tuple(shape), axis=axis)


def slice_(step: Step) -> list[Value]:
    """Slice: an axis cut at stated points, or into equal parts."""
    param = step.spec.slice_param
    axis = step.axis(param.slice_dim if param.HasField("slice_dim") else param.axis)
    if axis == 0:
        raise step.unsupported("cuts the batch")
    size, count = step.shape[axis - 1], len(step.layer.tops)
    if param.slice_point:
        points = [0, *(int(n) for n in param.slice_point), size]
    else:
        points = [size * i // count for i in range(count + 1)]
        if size % count:
            raise step.damaged(f"cannot cut {size} into {count} equal parts; expected slice_point")
    sizes = [end - start for start, end in pairwise(points)]
    if len(sizes) != count or any(n < 1 for n in sizes):
        raise step.damaged(f"cuts {size} at {points[1:-1][:8]} into {count} tops")
    if count == 1:
        return [step.node("Identity", [step.inputs[0].name], step.shape)]
    return step.split(sizes, axis)


def split(step: Step) -> list[Value]:
    """Split: one value under several names."""
    return [step.inputs[0]] * len(step.layer.tops)


def flatten(step: Step) -> Value:
    """Flatten: some axes into one, all but the batch by default."""
    param = step.spec.flatten_param
    first, last = step.axis(param.axis), step.axis(param.end_axis)
    if first == 0 or last < first:
        raise step.unsupported(f"flattens axes {first} to {last}")
    middle = math.prod(step.shape[first - 1 : last])
    shape = (*step.shape[: first - 1], middle, *step.shape[last:])
    return reshaped(step, step.inputs[0], shape)


def reshape(step: Step) -> Value:
    """Reshape: 0 keeps an axis, -1 takes what is left; the batch has to stay."""
    param = step.spec.reshape_param
    first = step.axis(param.axis, end=1)
    rank = len(step.shape) + 1
    last = rank if param.num_axes == -1 else first + param.num_axes
    if param.num_axes < -1 or last > rank:
        raise step.damaged(f"replaces {param.num_axes} axes from {first} on, its input has {rank}")
    old = (0, *step.shape)  # 0: the batch, whatever its size
    dims = [old[first + i] if n == 0 and first + i < rank else n for i, n in enumerate(param.shape.dim)]
    new = [*old[:first], *dims, *old[last:]]
    batches = (0, -1, 1, step.state.batch)  # the text's own batch may be written out
    if not new or new[0] not in batches or 0 in new[1:] or new.count(-1) > 1:
        raise step.unsupported(f"reshapes (batch, {str(step.shape)[1:]} to {new[:32]}")
    if -1 in new[1:]:
        known = math.prod(n for n in new[1:] if n != -1)
        new[new.index(-1, 1)] = math.prod(step.shape) // known if known > 0 else -1
    shape = tuple(new[1:])
    if math.prod(shape) != math.prod(step.shape) or any(n < 1 for n in shape) or len(shape) > 32:
        raise step.damaged(f"cannot turn {step.shape} into {shape[:32]} (without the batch)")
    return reshaped(step, step.inputs[0], shape)


def permute(step: Step) -> Value:
    """Permute: the axes in another order; those that are not named follow in theirs."""
    order = [int(n) for n in step.spec.permute_param.order]
    rank = len(step.shape) + 1
    if len(set(order)) != len(order) or any(n >= rank for n in order):
        raise step.damaged(f"has order {order[:8]} for {rank} axes")
    order += [n for n in range(rank) if n not in order]
    if order[0] != 0:
        raise step.unsupported(f"moves the batch: order {order}")
    shape = tuple(step.shape[n - 1] for n in order[1:])
    if order == list(range(rank)):
        return step.node("Identity", [step.inputs[0].name], shape)
    return step.node("Transpose", [step.inputs[0].name], shape, perm=tuple(order))


def crop(step: Step) -> Value:
    """Crop: the first bottom cut to the second's size, from an axis on."""
    param = step.spec.crop_param
    if len(step.inputs[1].shape) != len(step.shape):
        raise step.damaged(f"crops {[value.shape for value in step.inputs[:8]]}; expected two of equal rank")
    axis, rank = step.axis(param.axis), len(step.shape) + 1
    offsets = aligned(step) if param.aligned else [int(n) for n in param.offset] or [0]
    if len(offsets) == 1:
        offsets *= rank - axis
    if len(offsets) != rank - axis or (axis == 0 and offsets[0] != 0):
        raise step.damaged(f"has offsets {offsets[:8]} for axes {axis} to {rank - 1}")
    if axis == 0:  # the batch is as long as the batch
        axis, offsets = 1, offsets[1:]
    sizes = step.inputs[1].shape[axis - 1 :]
    ends = [offset + size for offset, size in zip(offsets, sizes, strict=True)]
    if any(end > size for end, size in zip(ends, step.shape[axis - 1 :], strict=True)):
        raise step.damaged(f"cuts {sizes} at {offsets} from {step.shape} (without the batch)")
    shape = (*step.shape[: axis - 1], *sizes)
    axes = tuple(range(axis, rank))
    attrs: dict[str, Any] = {"starts": tuple(offsets), "ends": tuple(ends), "axes": axes, "steps": (1,) * len(axes)}
    return step.node("Slice", [step.inputs[0].name], shape, **attrs)


def tile(step: Step) -> Value:
    """Tile: an axis repeated."""
    param = step.spec.tile_param
    axis = step.axis(param.axis)
    if axis == 0:
        raise step.unsupported("repeats the batch")
    if param.tiles < 1:
        raise step.damaged(f"has tiles {param.tiles}; expected at least 1")
    repeats = tuple(param.tiles if i == axis else 1 for i in range(len(step.shape) + 1))
    shape = tuple(n * m for n, m in zip(step.shape, repeats[1:], strict=True))
    return step.node("Tile", [step.inputs[0].name], shape, repeats=repeats)


def shuffle_channel(step: Step) -> Value:
    """ShuffleChannel: channels as (groups, members), which change places."""
    channels, *size = image(step)
    group = step.spec.shuffle_channel_param.group
    if not group or channels % group:
        raise step.damaged(f"cannot split {channels} channels into {group} groups")
    split_, turned = (group, channels // group, *size), (channels // group, group, *size)
    value = reshaped(step, step.inputs[0], split_, "split")
    value = step.node("Transpose", [value.name], turned, suffix="transpose", perm=(0, 2, 1, 3, 4))
    return reshaped(step, value, step.shape)


def interp(step: Step) -> Value:
    """Interp of DeepLab: bilinear, corners on corners, to a size or by whole factors; pads can only cut."""
    param = step.spec.interp_param
    channels, *size = image(step)
    begin, end = param.pad_beg, param.pad_end
    if begin > 0 or end > 0:
        raise step.damaged(f"pads {begin} and {end}; expected negative numbers, which cut")
    if not param.align_corners:
        raise step.unsupported("align_corners: false")
    inner = [n + begin + end for n in size]
    if any(n < 1 for n in inner):
        raise step.damaged(f"cuts {-begin} and {-end} from {tuple(size)}")
    value = step.inputs[0]
    attrs: dict[str, Any]
    if begin or end:
        attrs = {"starts": (-begin, -begin), "ends": tuple(n + end for n in size), "axes": (2, 3), "steps": (1, 1)}
        value = step.node("Slice", [value.name], (channels, *inner), suffix="cut", **attrs)
    new = _interp_size(step, inner)
    if new == inner:
        return step.node("Identity", [value.name], (channels, *inner))
    sizes = (1, channels, *new)
    attrs = {"mode": "linear", "sizes": sizes, "coordinate_transformation_mode": "align_corners"}
    return step.node("Resize", [value.name], (channels, *new), **attrs)


def _interp_size(step: Step, size: list[int]) -> list[int]:
    """interp_layer.cpp: a second bottom's size, factors, or height and width; in this order."""
    param = step.spec.interp_param
    if len(step.inputs) == 2:
        return list(step.inputs[1].shape[1:3])
    zoom, shrink = param.HasField("zoom_factor"), param.HasField("shrink_factor")
    if (zoom or shrink) and min(param.zoom_factor, param.shrink_factor) < 1:
        raise step.damaged(f"has zoom_factor {param.zoom_factor} and shrink_factor {param.shrink_factor}")
    if shrink:
        size = [(n - 1) // param.shrink_factor + 1 for n in size]
    if zoom:
        size = [n + (n - 1) * (param.zoom_factor - 1) for n in size]
    if not zoom and not shrink:
        size = [param.height, param.width]
    if any(n < 1 for n in size):
        raise step.damaged(f"has size {tuple(size)}; expected height and width, or factors")
    return size


def upsample(step: Step) -> Value:
    """Upsample: with a mask SegNet's, which undoes a pooling; without, that of the YOLO forks: positions repeated."""
    param = step.spec.upsample_param
    channels, *size = image(step)
    if len(step.inputs) == 2:
        return unpooled(step)
    if param.HasField("upsample_h") or param.HasField("scale_h"):
        raise step.damaged("has no mask of a pooling for its second bottom, which upsample_h and scale_h go with")
    factor = int(param.scale)
    shape = (channels, *(n * factor for n in size))
    scales = (1.0, 1.0, float(factor), float(factor))
    attrs = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return step.node("Resize", [step.inputs[0].name], shape, scales=scales, **attrs)
