"""MXNet's ops that hold weights or slide windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from zoo import windows
from zoo.formats.mxnet.attributes import Attributes
from zoo.formats.mxnet.channels import LAYOUTS
from zoo.formats.mxnet.layouts import either
from zoo.formats.mxnet.table import Rule
from zoo.formats.mxnet.translate import Step, Value
from zoo.graph import Param

Pair = tuple[int, int]
MAX_CHANNELS = 1 << 24
MAX_PARTS = 64  # of an axis that pooling to a fixed size cuts into windows of different sizes


def convolution(step: Step) -> Value:
    """Convolution, grouped, dilated, with or without bias."""
    channels = _map(step)[1]
    kernel, attrs = _window(step)
    outputs, group = _outputs(step, channels)
    inputs = [step.input(), step.param(1, (outputs, channels // group, *kernel))]
    if not step.attributes.flag("no_bias", False):
        inputs.append(step.param(2, (outputs,)))
    return step.add("Conv", inputs, **attrs, group=group)


def deconvolution(step: Step) -> Value:
    """Deconvolution; `target_shape` stands for the padding that gives it (deconvolution-inl.h, InferPad)."""
    _, channels, *size = _map(step)
    kernel, attrs = _window(step)
    outputs, group = _outputs(step, channels)
    extra = step.attributes.pair("adj", 0)
    target = step.attributes.integers("target_shape")
    if target and any(target):
        if len(target) != 2:
            raise step.damaged(f"has target_shape {target[:8]}; expected height and width")
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, attrs["dilations"], strict=True)]
        over = [s * (n - 1) + k - t for n, k, s, t in zip(size, spans, attrs["strides"], target, strict=True)]
        if min(over) < 0:
            raise step.damaged(f"has target_shape {target}, larger than what its kernel {kernel} reaches")
        extra = (over[0] % 2, over[1] % 2)
        pads = [(n + 1) // 2 for n in over]
        attrs["pads"] = (*pads, *pads)
    if any(extra):
        attrs["output_padding"] = extra
    inputs = [step.input(), step.param(1, (channels, outputs // group, *kernel))]
    if not step.attributes.flag("no_bias", True):
        inputs.append(step.param(2, (outputs,)))
    return step.add("ConvTranspose", inputs, **attrs, group=group)


def _outputs(step: Step, channels: int) -> Pair:
    outputs = step.attributes.integer("num_filter", low=1, high=MAX_CHANNELS)
    group = step.attributes.integer("num_group", 1, low=1, high=MAX_CHANNELS)
    if channels % group or outputs % group:
        raise step.damaged(f"cannot split {channels} inputs and {outputs} outputs into {group} groups")
    return outputs, group


def _map(step: Step) -> tuple[int, ...]:
    """The input's shape, which has to be a feature map; `layouts` has turned it where channels were last."""
    layout = step.attributes.choice("layout", LAYOUTS, "NCHW")
    if layout not in ("NCHW", "NHWC"):
        raise step.unsupported(f"layout {layout}; only NCHW and NHWC")
    if len(step.shape) != 4:
        raise step.unsupported(f"input of {len(step.shape)} axes; only batch, channels, height, width")
    return step.shape


def _window(step: Step) -> tuple[Pair, dict[str, Any]]:
    numbers = step.attributes.integers("kernel") or ()
    if len(numbers) in (1, 3):
        raise step.unsupported(f"a kernel of {len(numbers)} axes; only height and width")
    kernel = step.attributes.pair("kernel", low=1)
    pad = step.attributes.pair("pad", 0)
    attrs = {
        "kernel_shape": kernel,
        "strides": step.attributes.pair("stride", 1, low=1),
        "pads": (*pad, *pad),
        "dilations": step.attributes.pair("dilate", 1, low=1),
    }
    return kernel, attrs


def fully_connected(step: Step) -> Value:
    """FullyConnected on everything behind the batch, or on the last axis alone (flatten=False)."""
    units = step.attributes.integer("num_hidden", low=1, high=MAX_CHANNELS)
    biased = not step.attributes.flag("no_bias", False)
    value = step.input()
    if step.attributes.flag("flatten", True) and len(value.shape) > 2:
        value = step.add("Flatten", [value], suffix="flatten", axis=1)
    if len(value.shape) == 2:
        inputs = [value, step.param(1, (units, value.shape[1]))]
        if biased:
            inputs.append(step.param(2, (units,)))
        return step.add("Gemm", inputs, transB=1)
    name, weight = step.array(1, (units, value.shape[-1]))
    across = Param(weight.shape[::-1]) if isinstance(weight, Param) else weight.T
    inputs = [value, step.store(name, across)]
    if not biased:
        return step.add("MatMul", inputs)
    return step.add("Add", [step.add("MatMul", inputs, suffix="product"), step.param(2, (units,))])


def batch_norm(step: Step) -> Value:
    """BatchNorm with stored statistics; by default (`fix_gamma`) gamma is 1 whatever is stored."""
    step.attributes.ignore(
        "momentum", "use_global_stats", "min_calib_range", "max_calib_range", "ndev", "key", "act_type"
    )
    if step.attributes.flag("output_mean_var", False):
        raise step.unsupported("output_mean_var: returns the statistics too")
    rank = len(step.shape)
    axis = step.axis(step.attributes.integer("axis", 1), rank)
    channels = (step.shape[axis],)
    if step.attributes.flag("fix_gamma", True):
        fixed = step.variable(1)
        if fixed is not None:
            step.state.replaced[fixed] = f"{step.name} has fix_gamma: MXNet takes 1 instead"
        gamma = step.state.unique(f"{step.name}/gamma")
        step.state.params[gamma] = np.broadcast_to(np.float32(1), channels)
        scale = Value(gamma, channels)
    else:
        scale = step.param(1, channels)
    value = step.input()
    order = list(range(rank))
    order[1], order[axis] = axis, 1
    if axis != 1:
        value = step.add("Transpose", [value], suffix="to_channels", perm=tuple(order))
    inputs = [value, scale, *(step.param(i, channels) for i in (2, 3, 4))]
    last = axis == 1 and "ReLU" not in step.op
    attrs: dict[str, Any] = {"epsilon": step.attributes.number("eps", float(np.float32(1e-3)))}
    value = step.add("BatchNormalization", inputs, suffix="" if last else "norm", **attrs)
    if axis != 1:
        value = step.add("Transpose", [value], suffix="back" if "ReLU" in step.op else "", perm=tuple(order))
    return step.add("Relu", [value]) if "ReLU" in step.op else value


def instance_norm(step: Step) -> Value:
    """InstanceNorm: statistics of each image's own channels."""
    if len(step.shape) < 3:
        raise step.unsupported(f"input of {len(step.shape)} axes; expected a feature map")
    channels = (step.shape[1],)
    eps = step.attributes.number("eps", float(np.float32(1e-3)))
    return step.add(
        "InstanceNormalization", [step.input(), step.param(1, channels), step.param(2, channels)], epsilon=eps
    )


def layer_norm(step: Step) -> Value:
    """LayerNorm along one axis, spelt out."""
    if step.attributes.flag("output_mean_var", False):
        raise step.unsupported("output_mean_var: returns the statistics too")
    rank = len(step.shape)
    axis = step.axis(step.attributes.integer("axis", -1), rank)
    shape = (step.shape[axis],)
    value = step.input()
    mean = step.add("ReduceMean", [value], suffix="mean", axes=(axis,), keepdims=1)
    centred = step.add("Sub", [value, mean], suffix="centred")
    square = step.add("Mul", [centred, centred], suffix="square")
    variance = step.add("ReduceMean", [square], suffix="variance", axes=(axis,), keepdims=1)
    eps = step.constant("eps", step.attributes.number("eps", 1e-5))
    deviation = step.add("Sqrt", [step.add("Add", [variance, eps], suffix="shifted")], suffix="deviation")
    value = step.add("Div", [centred, deviation], suffix="norm")
    for index, op, suffix in ((1, "Mul", "scaled"), (2, "Add", "")):
        name, array = step.array(index, shape)
        spread = (*shape, *(1,) * (rank - 1 - axis))
        array = Param(spread) if isinstance(array, Param) else array.reshape(spread)
        value = step.add(op, [value, step.store(name, array)], suffix=suffix)
    return value


def lrn(step: Step) -> Value:
    """LRN across channels; alpha is divided by nsize, as in ONNX."""
    size = step.attributes.integer("nsize", low=1, high=MAX_CHANNELS)
    if size % 2 == 0:
        raise step.damaged(f"has nsize {size}; MXNet takes odd ones")
    numbers: dict[str, Any] = {
        "alpha": step.attributes.number("alpha", 1e-4),
        "beta": step.attributes.number("beta", 0.75),
        "bias": step.attributes.number("knorm", 2.0),
    }
    if len(step.shape) != 4:
        raise step.unsupported(f"input of {len(step.shape)} axes; only batch, channels, height, width")
    return step.add("LRN", [step.input()], size=size, **numbers)


def prelu(step: Step) -> Value:
    """Stores the slopes of a prelu, one for all or one per channel."""
    count = 1 if step.stated(1) == (1,) else step.shape[1]
    name, slope = step.array(1, (count,))
    spread = (count, *(1,) * (len(step.shape) - 2))
    return step.store(name, Param(spread) if isinstance(slope, Param) else slope.reshape(spread))


def pooling(step: Step) -> Value:
    """Pooling; `full` rounds sizes up and, unlike Caffe, keeps a window that lies in the padding alone."""
    shape = _map(step)
    kind = step.attributes.choice("pool_type", ("max", "avg", "sum", "lp"), "max")
    include = step.attributes.flag("count_include_pad", True)
    power = step.attributes.integer("p_value", 2, low=1, high=3) if kind == "lp" else 2
    if kind == "lp" and power != 2:
        raise step.unsupported(f"p_value {power}, which MXNet takes of signed numbers; only 2")
    step.attributes.ignore("p_value")
    convention = step.attributes.choice("pooling_convention", ("valid", "full", "same"), "valid")
    if step.attributes.flag("global_pool", False):
        return _global(step, kind)
    if convention == "same":
        raise step.unsupported("pooling_convention same, which MXNet itself has for one axis only")
    kernel, attrs = _window(step)
    if attrs.pop("dilations") != (1, 1):
        raise step.unsupported("dilated pooling")
    full = convention == "full"
    ends = [
        _end(step, n, k, s, p, full)
        for n, k, s, p in zip(shape[2:], kernel, attrs["strides"], attrs["pads"][:2], strict=True)
    ]
    if kind == "max":
        return step.add("MaxPool", [step.input()], **attrs, ceil_mode=int(full))
    if kind == "avg":
        return step.add("AveragePool", [step.input()], **attrs, ceil_mode=int(full), count_include_pad=int(include))
    value = _padded(step, (*attrs["pads"][:2], *ends))
    attrs["pads"] = (0, 0, 0, 0)
    if kind == "lp":
        return step.add("LpPool", [value], **attrs, p=power)
    return _times(step, step.add("AveragePool", [value], **attrs, suffix="mean"), math.prod(kernel))


def pooling_v1(step: Step) -> Value:
    """The pooling of MXNet's first years: padding is zeros, also for max; averages divide by the whole window."""
    shape = _map(step)
    kind = step.attributes.choice("pool_type", ("max", "avg", "sum"), "max")
    full = step.attributes.choice("pooling_convention", ("valid", "full"), "valid") == "full"
    if step.attributes.flag("global_pool", False):
        return _global(step, kind)
    kernel, attrs = _window(step)
    if attrs.pop("dilations") != (1, 1):
        raise step.unsupported("dilated pooling")
    pads, strides = attrs.pop("pads"), attrs["strides"]
    ends = [_end(step, n, k, s, p, full) for n, k, s, p in zip(shape[2:], kernel, strides, pads[:2], strict=True)]
    if kind == "max":
        value = _padded(step, pads)
        return step.add("MaxPool", [value], **attrs, ceil_mode=int(full))
    value = _padded(step, (*pads[:2], *ends))
    if kind == "avg":
        return step.add("AveragePool", [value], **attrs)
    return _times(step, step.add("AveragePool", [value], **attrs, suffix="mean"), math.prod(kernel))


def _end(step: Step, size: int, kernel: int, stride: int, pad: int, full: bool) -> int:
    """Zeros behind an axis that make its last window whole; negative where rows are left over.

    Raises:
        Unsupported: the last window holds nothing of the input; MXNet's answer there is -3.4e38.
    """
    rest = size + 2 * pad - kernel
    if rest < 0:
        raise step.damaged(f"has a window of {kernel} on an axis of {size} with padding {pad}")
    last = (-(-rest // stride) if full else rest // stride) * stride
    if last - pad >= size or pad >= kernel:
        raise step.unsupported(f"has windows of {kernel} that lie in the padding alone (axis of {size})")
    return max(last + kernel - size - pad, 0)


def _padded(step: Step, pads: tuple[int, ...]) -> Value:
    if not any(pads):
        return step.input()
    top, left, bottom, right = pads
    return step.add("Pad", [step.input()], suffix="pad", pads=(0, 0, top, left, 0, 0, bottom, right), value=0.0)


def _times(step: Step, value: Value, number: int) -> Value:
    return step.add("Mul", [value, step.constant("area", number)])


def _global(step: Step, kind: str) -> Value:
    """Global pooling: kernel, stride and padding do not count."""
    step.attributes.ignore("kernel", "stride", "pad", "p_value", "count_include_pad", "pooling_convention")
    if kind == "sum":
        return step.add("ReduceSum", [step.input()], axes=(2, 3), keepdims=1)
    op = {"max": "GlobalMaxPool", "avg": "GlobalAveragePool", "lp": "GlobalLpPool"}[kind]
    extra: dict[str, Any] = {"p": 2} if kind == "lp" else {}
    return step.add(op, [step.input()], **extra)


def adaptive_average(step: Step) -> Value:
    """AdaptiveAvgPooling2D: to 1x1, windows that are alike, or parts that may overlap."""
    _, _, *size = _map(step)
    wanted = step.attributes.integers("output_size") or (1,)
    if len(wanted) not in (1, 2) or any(not 0 < n <= MAX_CHANNELS for n in wanted):
        raise step.damaged(f"has output_size {wanted[:8]}; expected one or two numbers")
    outputs = (wanted[0], wanted[-1])
    if outputs == (1, 1):
        return step.add("GlobalAveragePool", [step.input()])
    if not any(n % m for n, m in zip(size, outputs, strict=True)):
        kernel = (size[0] // outputs[0], size[1] // outputs[1])
        return step.add("AveragePool", [step.input()], kernel_shape=kernel, strides=kernel)
    if max(outputs) > MAX_PARTS:
        raise step.unsupported(f"output_size {outputs} of a map of {size[0]}x{size[1]}, in more than {MAX_PARTS} parts")
    rows = _means(step, step.input(), 2, windows.adaptive(size[0], outputs[0]), "rows")
    return _means(step, rows, 3, windows.adaptive(size[1], outputs[1]), "columns", last=True)


def _means(step: Step, value: Value, axis: int, parts: list[Pair], what: str, *, last: bool = False) -> Value:
    """The mean of each part of an axis: a mean over a rectangle is one over columns of those over rows."""
    found = []
    for i, (start, end) in enumerate(parts):
        cut: dict[str, Any] = {"starts": (start,), "ends": (end,), "axes": (axis,), "steps": (1,)}
        part = step.add("Slice", [value], suffix=f"{what}{i}", **cut)
        found.append(step.add("ReduceMean", [part], suffix=f"{what}{i}_mean", axes=(axis,), keepdims=1))
    return step.add("Concat", found, suffix="" if last else what, axis=axis)


def _biased(default: bool) -> tuple[str, Any]:
    def has(attributes: Attributes) -> bool:
        return not attributes.flag("no_bias", default)

    return "bias", has


_NORM = ("data", "gamma", "beta", "moving_mean", "moving_var")
_LAYER = ("data", "weight", "bias")

RULES: dict[str, Rule] = {
    **dict.fromkeys(("Convolution", "Convolution_v1"), either(Rule(convolution, _LAYER, _biased(False)))),
    "Deconvolution": either(Rule(deconvolution, _LAYER, _biased(True))),
    "FullyConnected": Rule(fully_connected, _LAYER, _biased(False)),
    **dict.fromkeys(
        ("BatchNorm", "BatchNorm_v1", "CuDNNBatchNorm", "_contrib_SyncBatchNorm", "_contrib_BatchNormWithReLU"),
        Rule(batch_norm, _NORM),
    ),
    "InstanceNorm": Rule(instance_norm, ("data", "gamma", "beta")),
    "LayerNorm": Rule(layer_norm, ("data", "gamma", "beta")),
    "LRN": Rule(lrn),
    "Pooling": either(Rule(pooling)),
    "Pooling_v1": Rule(pooling_v1),
    "_contrib_AdaptiveAvgPooling2D": Rule(adaptive_average),
}
