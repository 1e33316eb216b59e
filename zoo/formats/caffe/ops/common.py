"""What several ops share: windows in their spellings, chains of arithmetic, arrays that cover some axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.formats.caffe.translate import Step, Value

Pair = tuple[int, int]
LOWEST = -3.3895313892515355e38  # bfloat16's lowest: PyTorch refuses float32's where that is the type


def image(step: Step) -> tuple[int, int, int]:
    """Returns the first input's (channels, height, width)."""
    if len(step.shape) != 3:
        raise step.unsupported(f"input of shape {step.shape} (without the batch); only channels, height, width")
    channels, height, width = step.shape
    return channels, height, width


def window(step: Step, param: Any, kernel: Pair | None = None) -> tuple[Pair, Pair, Pair]:
    """Returns kernel, stride and padding as (height, width), from either spelling."""
    if kernel is None:
        kernel = _spelled(step, param, "kernel_size", "kernel_h", "kernel_w", 0)
    stride = _spelled(step, param, "stride", "stride_h", "stride_w", 1)
    pad = _spelled(step, param, "pad", "pad_h", "pad_w", 0)
    if 0 in kernel or 0 in stride:
        raise step.damaged(f"has kernel {kernel} and stride {stride}; both have to be at least 1")
    return kernel, stride, pad


def _spelled(step: Step, param: Any, name: str, height: str, width: str, default: int) -> Pair:
    both = getattr(param, name)
    apart = param.HasField(height) or param.HasField(width)
    if both and apart:
        raise step.damaged(f"has both {name} and {height}/{width}; expected one spelling")
    if apart:
        one = tuple(int(getattr(param, key)) if param.HasField(key) else default for key in (height, width))
        return one[0], one[1]
    return pair(step, name, both, default)


def pair(step: Step, name: str, numbers: Sequence[int], default: int) -> Pair:
    """Returns one number for both axes, or one for each, as (height, width)."""
    if len(numbers) > 2:
        raise step.damaged(f"has {len(numbers)} numbers for {name}; expected one or two")
    first = int(numbers[0]) if numbers else default
    second = int(numbers[-1]) if numbers else default
    if name == "dilation" and 0 in (first, second):
        raise step.damaged("has dilation 0; it has to be at least 1")
    return first, second


def arithmetic(step: Step, value: Value, parts: Sequence[tuple[str, str, float, float | None]]) -> Value:
    """Applies binary ONNX ops with constants one after another; the last node is the layer's own.

    Args:
        value: what to begin with.
        parts: (op, name of the constant, the number, the number that changes nothing); neutral parts are left out.
    """
    kept = [part for part in parts if part[2] != part[3]]
    for i, (op, suffix, number, _) in enumerate(kept):
        inputs = [value.name, step.constant(suffix, number)]
        value = step.node(op, inputs, value.shape, suffix="" if i == len(kept) - 1 else f"{op.lower()}_{suffix}")
    return value if kept else step.node("Identity", [value.name], value.shape)


def covered(step: Step, axis: int, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the shape of an array that covers `count` axes from one on, and that shape as it broadcasts."""
    if axis == 0 and count != 0:
        raise step.unsupported("acts along the batch")
    if count < -1 or axis + count > len(step.shape) + 1:
        raise step.damaged(f"covers {count} axes from {axis} on, its input has {len(step.shape) + 1}")
    if count == 0:
        return (), ()
    shape = step.shape[axis - 1 :] if count == -1 else step.shape[axis - 1 : axis - 1 + count]
    return shape, shape + (1,) * (len(step.shape) - (axis - 1) - len(shape))


def spread(step: Step, value: Value, axis: int, to: tuple[int, ...]) -> Value:
    """Returns a bottom as it broadcasts to another, whose leading axes it covers: (N, C) -> (N, C, 1, 1)."""
    if axis != 0:
        raise step.unsupported(f"two bottoms and axis {axis}; only 0, where both begin with the batch")
    shape = value.shape + (1,) * (len(to) - len(value.shape))
    if len(shape) > len(to) or any(n not in (1, m) for n, m in zip(shape, to, strict=True)):
        raise step.damaged(f"combines {to} with {value.shape} (without the batch)")
    if shape == value.shape:
        return value
    return step.node("Reshape", [value.name], shape, suffix="spread", shape=(0, *shape))


def reshaped(step: Step, value: Value, shape: tuple[int, ...], suffix: str = "") -> Value:
    """Adds the node that gives a value another shape (without the batch)."""
    if len(shape) == 1:
        return step.node("Flatten", [value.name], shape, suffix=suffix, axis=1)
    return step.node("Reshape", [value.name], shape, suffix=suffix, shape=(0, *shape))
