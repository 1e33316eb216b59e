"""Pooling: Caffe's windows, which reach beyond the input and are clipped."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from zoo.formats.caffe.ops.common import LOWEST, Pair, image, reshaped, window
from zoo.formats.caffe.translate import Mask, Step, Value

_KINDS = ("Max", "Average", "Stochastic")


def pooling(step: Step) -> list[Value | None]:
    """Pooling; a second top, where each maximum was, is left out if nothing reads it, and kept for Upsample."""
    tops = step.layer.tops
    if len(tops) > 2 or (len(tops) == 2 and _KINDS[step.spec.pooling_param.pool] != "Max"):
        raise step.damaged(f"has {len(tops)} tops; expected one, or two of maximum pooling")
    if len(tops) == 2 and tops[1] in step.state.ends:
        raise step.unsupported(f"its second top {step.layer.blobs[1]!r}, the places of the maxima, cannot be an end")
    value = _pooled(step)
    if len(tops) == 2 and step.state.reads[tops[1]]:
        step.state.masks[tops[1]] = Mask(step.inputs[0], value, _side_by_side(step))
        return [value, Value("", value.shape)]
    return [value, *([None] * (len(tops) - 1))]


def _side_by_side(step: Step) -> Pair | None:
    param = step.spec.pooling_param
    if param.global_pooling:
        return None
    kernel, stride, pad = window(step, param)
    return kernel if kernel == stride and pad == (0, 0) else None


def unpooled(step: Step) -> Value:
    """Upsample of SegNet: each value goes back to where the pooling found its maximum, zeros elsewhere.

    The places are found again as the first in each window that equal its maximum, which is how Caffe chooses.
    """
    mask = step.state.masks.get(step.layer.bottoms[1])
    value = step.inputs[0]
    if mask is None or mask.kernel is None or mask.kernel[0] != mask.kernel[1]:
        raise step.unsupported("puts values back to places; only those of square windows that lie side by side")
    channels, *size = mask.source.shape
    if value.shape != mask.pooled.shape or _target(step) != size:
        raise step.unsupported(f"puts {value.shape} on {_target(step)}; the places are of {mask.source.shape}")
    edge = mask.kernel[0]
    _, height, width = value.shape
    over = [height * edge - size[0], width * edge - size[1]]
    source = _padded(step, mask.source, [max(n, 0) for n in over], LOWEST, "whole")
    parts = []
    free = ""
    for i in range(edge * edge):
        starts = divmod(i, edge)
        ends = (starts[0] + (height - 1) * edge + 1, starts[1] + (width - 1) * edge + 1)
        attrs: dict[str, Any] = {"starts": starts, "ends": ends, "axes": (2, 3), "steps": (edge, edge)}
        one = step.node("Slice", [source.name], value.shape, suffix=f"part{i}", **attrs)
        found = step.node("Equal", [one.name, mask.pooled.name], value.shape, suffix=f"equal{i}")
        here = step.node("Cast", [found.name], value.shape, suffix=f"here{i}", to="float32").name
        if i:  # not where an earlier one was taken
            here = step.node("Mul", [here, free], value.shape, suffix=f"first{i}").name
        left = free or step.constant("one", 1.0)
        free = step.node("Sub", [left, here], value.shape, suffix=f"free{i}").name if i < edge * edge - 1 else ""
        parts.append(step.node("Mul", [value.name, here], value.shape, suffix=f"value{i}").name)
    joined = step.node("Concat", parts, (channels * edge * edge, height, width), suffix="parts", axis=1)
    whole = (channels, height * edge, width * edge)
    last = over == [0, 0]
    attrs = {"blocksize": edge, "mode": "DCR"}
    made = step.node("DepthToSpace", [joined.name], whole, suffix="" if last else "spread", **attrs)
    if last:
        return made
    if min(over) < 0:
        made = _padded(step, made, [max(-n, 0) for n in over], 0.0, "zeros")
    attrs = {"starts": (0, 0), "ends": tuple(size), "axes": (2, 3), "steps": (1, 1)}
    return step.node("Slice", [made.name], mask.source.shape, **attrs)


def _target(step: Step) -> list[int]:
    """The size that Upsample's parameters state (caffe-segnet, upsample_layer.cpp)."""
    param = step.spec.upsample_param
    if param.HasField("upsample_h") and param.HasField("upsample_w"):
        return [int(param.upsample_h), int(param.upsample_w)]
    factors = [param.scale_h or param.scale, param.scale_w or param.scale]
    less = [param.pad_out_h, param.pad_out_w]
    return [n * int(factor) - int(cut) for n, factor, cut in zip(step.shape[1:], factors, less, strict=True)]


def _padded(step: Step, value: Value, more: list[int], number: float, suffix: str) -> Value:
    """Rows and columns of one number added at the end."""
    if not any(more):
        return value
    shape = (value.shape[0], value.shape[1] + more[0], value.shape[2] + more[1])
    pads = (0, 0, 0, 0, 0, 0, *more)
    return step.node("Pad", [value.name], shape, suffix=suffix, pads=pads, mode="constant", value=number)


def _pooled(step: Step) -> Value:
    param = step.spec.pooling_param
    channels, *_ = image(step)
    kind = _KINDS[param.pool]
    if param.global_pooling:
        _, stride, pad = window(step, param, (1, 1))
        if any(pad) or any(n != 1 for n in stride):
            raise step.damaged("pools globally, which goes with pad 0 and stride 1")
        if kind == "Stochastic":
            return _stochastic(step, (channels, 1, 1), "GlobalAveragePool", {})
        return step.node(f"Global{kind}Pool", [step.inputs[0].name], (channels, 1, 1))
    return _windows(step, kind, window(step, param), param.ceil_mode and param.round_mode == 0)


def spp(step: Step) -> Value:
    """SPP: windows that cut the map into 1x1, 2x2, 4x4 ... parts, one vector of them all (spp_layer.cpp)."""
    param = step.spec.spp_param
    _, *size = image(step)
    levels, kind = param.pyramid_height, _KINDS[param.pool]
    if kind == "Stochastic":
        raise step.unsupported("pools stochastically")
    if not 0 < levels <= 1 + max(size).bit_length():
        raise step.damaged(f"has pyramid_height {levels} for a map of {size[0]}x{size[1]}")
    parts = []
    for level in range(levels):
        bins = 1 << level
        kernel = (-(-size[0] // bins), -(-size[1] // bins))
        pad = ((kernel[0] * bins - size[0] + 1) // 2, (kernel[1] * bins - size[1] + 1) // 2)
        suffix = "" if levels == 1 else f"level{level}"
        value = _windows(step, kind, (kernel, kernel, pad), True, suffix)
        parts.append(value if levels == 1 else reshaped(step, value, (math.prod(value.shape),), f"flat{level}"))
    if levels == 1:
        return parts[0]
    return step.node("Concat", [part.name for part in parts], (sum(part.shape[0] for part in parts),), axis=1)


def _windows(step: Step, kind: str, window: tuple[Pair, Pair, Pair], ceil: bool, suffix: str = "") -> Value:
    """Pooling over windows of (kernel, stride, padding)."""
    channels, *size = image(step)
    kernel, stride, pad = window
    if any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise step.damaged(f"pads {pad} for a kernel of {kernel}; padding has to be smaller")
    moved = [_count(step, ceil, pad, *axis) for axis in zip(size, kernel, stride, pad, strict=True)]
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": (*pad, *pad), "ceil_mode": int(ceil)}
    shape = (channels, *moved)
    if kind == "Stochastic":
        if any(pad):
            raise step.damaged("pads, which stochastic pooling cannot")
        return _stochastic(step, shape, "AveragePool", {**attrs, "count_include_pad": 1})
    if kind == "Average":
        attrs["count_include_pad"] = 1
    return step.node(f"{kind}Pool", [step.inputs[0].name], shape, suffix=suffix, **attrs)


def _count(step: Step, ceil: bool, pads: Pair, n: int, k: int, s: int, p: int) -> int:
    """How many windows there are along one axis: rounded up unless a fork's field says otherwise."""
    rest = n + 2 * p - k
    count = (-(-rest // s) if ceil else rest // s) + 1
    if any(pads) and (count - 1) * s >= n + p:  # the last window would lie in the padding alone: Caffe drops it
        return count - 1
    if (count - 1) * s >= n + p:  # without padding it does not, and the window is empty
        raise step.unsupported(f"its last window of {k} with stride {s} misses the input {step.shape[1:]}")
    return count


def _stochastic(step: Step, shape: tuple[int, ...], op: str, attrs: dict[str, Any]) -> Value:
    """Stochastic pooling at test time: the mean of a window's values, weighted by themselves; 0 where they sum to 0.

    Only Caffe's CUDA code has it (pooling_layer.cu, StoPoolForwardTest).
    """
    name = step.inputs[0].name
    square = step.node("Mul", [name, name], step.shape, suffix="square")
    squares = step.node(op, [square.name], shape, suffix="squares", **attrs)
    sums = step.node(op, [name], shape, suffix="sums", **attrs)
    least = step.constant("least", float(np.finfo(np.float32).tiny))
    divisor = step.node("Max", [sums.name, least], shape, suffix="divisor")
    mean = step.node("Div", [squares.name, divisor.name], shape, suffix="mean")
    zero = step.constant("zero", 0.0)
    some = step.node("Greater", [sums.name, zero], shape, suffix="some")
    return step.node("Where", [some.name, mean.name, zero], shape)
