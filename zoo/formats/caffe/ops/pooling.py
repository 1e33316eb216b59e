"""Pooling: Caffe's windows, which reach beyond the input and are clipped."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.formats.caffe.ops.common import Pair, image, window
from zoo.formats.caffe.translate import Step, Value

_KINDS = ("Max", "Average", "Stochastic")


def pooling(step: Step) -> list[Value | None]:
    """Pooling; a second top, where each maximum was, is left out if nothing reads it."""
    tops = step.layer.tops
    if len(tops) > 2 or (len(tops) == 2 and _KINDS[step.spec.pooling_param.pool] != "Max"):
        raise step.damaged(f"has {len(tops)} tops; expected one, or two of maximum pooling")
    if len(tops) == 2 and (step.state.reads[tops[1]] or tops[1] in step.state.ends):
        raise step.unsupported(f"its second top {step.layer.blobs[1]!r}, the places of the maxima, is used")
    return [_pooled(step), *([None] * (len(tops) - 1))]


def _pooled(step: Step) -> Value:
    param = step.spec.pooling_param
    channels, *size = image(step)
    kind = _KINDS[param.pool]
    if param.global_pooling:
        _, stride, pad = window(step, param, (1, 1))
        if any(pad) or any(n != 1 for n in stride):
            raise step.damaged("pools globally, which goes with pad 0 and stride 1")
        if kind == "Stochastic":
            return _stochastic(step, (channels, 1, 1), "GlobalAveragePool", {})
        return step.node(f"Global{kind}Pool", [step.inputs[0].name], (channels, 1, 1))
    kernel, stride, pad = window(step, param)
    if any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise step.damaged(f"pads {pad} for a kernel of {kernel}; padding has to be smaller")
    ceil = param.ceil_mode and param.round_mode == 0
    moved = [_count(step, ceil, pad, *axis) for axis in zip(size, kernel, stride, pad, strict=True)]
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": (*pad, *pad), "ceil_mode": int(ceil)}
    shape = (channels, *moved)
    if kind == "Stochastic":
        if any(pad):
            raise step.damaged("pads, which stochastic pooling cannot")
        return _stochastic(step, shape, "AveragePool", {**attrs, "count_include_pad": 1})
    if kind == "Average":
        attrs["count_include_pad"] = 1
    return step.node(f"{kind}Pool", [step.inputs[0].name], shape, **attrs)


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
