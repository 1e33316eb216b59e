"""MXNet's ops that sum up axes or resize maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from zoo.formats.mxnet.attributes import Attributes
from zoo.formats.mxnet.layers import MAX_CHANNELS
from zoo.formats.mxnet.table import Op, Rule
from zoo.formats.mxnet.translate import Step, Value

MAX_SCALE = 1024


def reduced(op: str) -> Op:
    """Returns the translation of a reduction of some axes, or of all others (exclude)."""

    def translate(step: Step) -> Value:
        return step.add(op, [step.input()], axes=_axes(step), keepdims=int(step.attributes.flag("keepdims", False)))

    return translate


def _axes(step: Step) -> tuple[int, ...]:
    rank = len(step.shape)
    given = step.attributes.integers("axis") or ()
    axes = sorted({step.axis(axis, rank, batch=True) for axis in given})
    if step.attributes.flag("exclude", False):
        axes = [axis for axis in range(rank) if axis not in axes]
    elif not axes:
        axes = list(range(rank))
    if 0 in axes:
        raise step.unsupported("sums up the batch")
    if not axes:
        raise step.damaged("excludes all axes")
    return tuple(axes)


def norm(step: Step) -> Value:
    """norm: of order 1 or 2."""
    order = step.attributes.integer("ord", 2)
    if order not in (1, 2):
        raise step.unsupported(f"ord {order}; only 1 and 2")
    step.attributes.choice("out_dtype", ("float16", "float32", "float64"), "float32")
    return step.add(
        f"ReduceL{order}", [step.input()], axes=_axes(step), keepdims=int(step.attributes.flag("keepdims", False))
    )


def argmax(step: Step) -> Value:
    """argmax: the place as a number; MXNet has no integers here."""
    rank = len(step.shape)
    axis, keep = 1, 0
    if step.op == "argmax":
        if not step.attributes.has("axis"):
            raise step.unsupported("searches the whole batch; only along an axis")
        axis = step.axis(step.attributes.integer("axis"), rank)
        keep = int(step.attributes.flag("keepdims", False))
    elif rank != 2:
        raise step.unsupported(f"input of {rank} axes; only batch and channels")
    place = step.add("ArgMax", [step.input()], suffix="place", axis=axis, keepdims=keep)
    return step.add("Cast", [place], to="float32")


def l2_normalization(step: Step) -> Value:
    """L2Normalization of an image, of each position's channels, or of each channel: x / sqrt(sum of squares + eps)."""
    rank = len(step.shape)
    mode = step.attributes.choice("mode", ("instance", "channel", "spatial"), "instance")
    axes = {"instance": range(1, rank), "channel": (1,), "spatial": range(2, rank)}[mode]
    if not axes or (mode != "instance" and rank < 3):
        raise step.damaged(f"mode {mode} needs a feature map, its input has {rank} axes")
    value = step.input()
    total = step.add("ReduceSumSquare", [value], suffix="squares", axes=tuple(axes), keepdims=1)
    eps = step.constant("eps", step.attributes.number("eps", 1e-10))
    length = step.add("Sqrt", [step.add("Add", [total, eps], suffix="shifted")], suffix="length")
    return step.add("Div", [value, length])


def upsampling(step: Step) -> Value:
    """UpSampling: nearest, of one map or several to one size; bilinear, which is a stored kernel's deconvolution."""
    if any(len(step.input(i).shape) != 4 for i in range(1 if _bilinear(step.attributes) else step.count)):
        raise step.unsupported("only maps (batch, channels, height, width)")
    scale = step.attributes.integer("scale", low=1, high=MAX_SCALE)
    step.attributes.ignore("num_filter")
    mode = step.attributes.choice("multi_input_mode", ("concat", "sum"), "concat")
    if _bilinear(step.attributes):
        return _by_kernel(step, scale)
    height, width = (n * scale for n in step.shape[2:])
    values = []
    for i in range(step.count):
        value = step.input(i)
        times = height // value.shape[2]
        if (value.shape[2] * times, value.shape[3] * times) != (height, width):
            raise step.damaged(f"cannot scale input {i} to {height}x{width}")
        attrs = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        suffix = f"nearest{i}" if step.count > 1 else ""
        scales = (1.0, 1.0, float(times), float(times))
        values.append(step.add("Resize", [value], suffix=suffix, mode="nearest", scales=scales, **attrs))
    if len(values) == 1:
        return values[0]
    return step.add("Concat", values, axis=1) if mode == "concat" else step.add("Sum", values)


def _bilinear(attributes: Attributes) -> bool:
    return attributes.choice("sample_type", ("nearest", "bilinear")) == "bilinear"


def _by_kernel(step: Step, scale: int) -> Value:
    """upsampling-inl.h: a deconvolution, channel by channel, with a kernel of twice the scale."""
    channels = step.shape[1]
    if channels > MAX_CHANNELS:
        raise step.damaged(f"has {channels} channels")
    size, pad = 2 * scale - scale % 2, math.ceil((scale - 1) / 2)
    weight = step.param(1, (channels, 1, size, size))
    window: dict[str, Any] = {"kernel_shape": (size, size), "strides": (scale, scale), "pads": (pad,) * 4}
    return step.add("ConvTranspose", [step.input(), weight], **window, group=channels)


def bilinear_resize(step: Step) -> Value:
    """BilinearResize2D: to a size stated in one of many ways; by default the corners stay where they are."""
    if len(step.shape) != 4:
        raise step.unsupported("only maps (batch, channels, height, width)")
    old = step.shape[2:]
    mode = step.attributes.choice("mode", ("size", "like", *_SIZES), "size")
    scales = [step.attributes.number(f"scale_{axis}", 0.0) for axis in ("height", "width")]
    stated = [step.attributes.integer(axis, 1, low=1, high=MAX_CHANNELS) for axis in ("height", "width")]
    if any(not 0 <= scale <= MAX_SCALE for scale in scales):
        raise step.damaged(f"has scales {scales}; expected up to {MAX_SCALE}")
    if mode == "size":
        new = [int(scale * n) if scale else size for n, scale, size in zip(old, scales, stated, strict=True)]
    elif mode == "like":
        new = list(step.input(1).shape[2:])
    else:
        new = [_SIZES[mode](n, scale or 1.0) for n, scale in zip(old, scales, strict=True)]
    corners = step.attributes.flag("align_corners", True)
    return step.add(
        "Resize",
        [step.input()],
        mode="linear",
        sizes=(0, step.shape[1], *new),
        coordinate_transformation_mode="align_corners" if corners else "half_pixel",
    )


_SIZES: dict[str, Callable[[int, float], int]] = {
    "odd_scale": lambda n, scale: int(n * scale) if n % 2 == 0 else int((n - 1) * scale) + 1,
    "to_even_down": lambda n, scale: n if n % 2 == 0 else n - 1,
    "to_even_up": lambda n, scale: n if n % 2 == 0 else n + 1,
    "to_odd_down": lambda n, scale: n if n % 2 == 1 else n - 1,
    "to_odd_up": lambda n, scale: n if n % 2 == 1 else n + 1,
}

RULES: dict[str, Rule] = {
    **dict.fromkeys(("mean",), Rule(reduced("ReduceMean"))),
    **dict.fromkeys(("sum", "sum_axis"), Rule(reduced("ReduceSum"))),
    **dict.fromkeys(("max", "max_axis"), Rule(reduced("ReduceMax"))),
    **dict.fromkeys(("min", "min_axis"), Rule(reduced("ReduceMin"))),
    "prod": Rule(reduced("ReduceProd")),
    "norm": Rule(norm),
    **dict.fromkeys(("argmax", "argmax_channel"), Rule(argmax)),
    "L2Normalization": Rule(l2_normalization),
    "UpSampling": Rule(upsampling, ("data", "weight"), ("weight", _bilinear)),
    "_contrib_BilinearResize2D": Rule(bilinear_resize),
}
