"""ONNX's operators that compute, one small translation each; most are a Graph's own and pass as they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from zoo import windows
from zoo.formats.onnx.step import Known, Step, Unsupported, Value
from zoo.formats.onnx.tensors import dtype_of

Op: TypeAlias = Callable[[Step], "Value | list[Value]"]
Pair: TypeAlias = tuple[int, int]


def plain(op: str, **defaults: Any) -> Op:
    """Returns the translation of an op of one input that is the Graph's own; its attributes are numbers or words."""

    def translate(step: Step) -> Value:
        attrs: dict[str, Any] = {
            key: step.text(key, value) if isinstance(value, str) else step.real(key, value)
            for key, value in defaults.items()
        }
        return step.node(op, [step.value().name], **attrs)

    return translate


# ------------------------------------------------------------------------------------------------------------ windows


def _padding(step: Step, size: tuple[int, ...], kernel: tuple[int, ...], *, pool: bool = False) -> dict[str, Any]:
    """Strides, dilations and padding of a 2-D window; SAME_LOWER, which a Graph does not know, in numbers."""
    if len(kernel) != 2:
        raise Unsupported(f"has a kernel of {len(kernel)} dimensions, only 2-D is supported")
    strides, dilations = step.ints("strides", (1, 1)), step.ints("dilations", (1, 1))
    if len(strides) != 2 or len(dilations) != 2 or min(*strides, *dilations, *kernel) < 1:
        raise step.damaged(
            f"has strides {strides[:8]} and dilations {dilations[:8]}, expected two positive numbers each"
        )
    attrs: dict[str, Any] = {"strides": tuple(strides), "dilations": tuple(dilations)}
    auto = step.text("auto_pad", "NOTSET") or "NOTSET"
    if auto == "NOTSET":
        attrs["pads"] = tuple(step.ints("pads", (0, 0, 0, 0)))
    elif auto == "SAME_LOWER":
        spans = [windows.span(k, d) for k, d in zip(kernel, dilations, strict=True)]
        ends = [windows.same(n, reach, stride) for n, reach, stride in zip(size, spans, strides, strict=True)]
        attrs["pads"] = (*(after for _, after in ends), *(before for before, _ in ends))
    elif auto in ("SAME_UPPER", "VALID"):
        attrs["auto_pad"] = auto
    else:
        raise step.damaged(f"has the unknown auto_pad {auto!r}")
    if pool and attrs["dilations"] == (1, 1):
        del attrs["dilations"]
    return attrs


def _map(step: Step) -> Value:
    value = step.value()
    if len(value.shape) != 4:
        raise Unsupported(f"acts on {len(value.shape)} axes, only images (4 axes) are supported")
    return value


def _kernel(step: Step) -> np.ndarray:
    kernel = step.known(1)
    if kernel is None or kernel.ndim < 3:
        raise step.damaged("has no kernel")
    if "kernel_shape" in step.attrs and tuple(step.ints("kernel_shape", None)) != kernel.shape[2:]:
        raise step.damaged(f"has kernel_shape {step.ints('kernel_shape', None)[:8]}, its kernel is {kernel.shape}")
    return kernel


def _with_bias(step: Step) -> list[str]:
    step.known(2)
    return [step.value().name, step.name(1), *([step.name(2)] if step.given(2) else [])]


def conv(step: Step) -> Value:
    kernel = _kernel(step)
    if kernel.ndim != 4:
        raise Unsupported(f"is a {kernel.ndim - 2}-D convolution, only 2-D is supported")
    value = _map(step)
    attrs = _padding(step, value.shape[2:], kernel.shape[2:])
    return step.node("Conv", _with_bias(step), kernel_shape=kernel.shape[2:], group=step.integer("group", 1), **attrs)


def conv_transpose(step: Step) -> Value:
    """ONNX ConvTranspose; a stated output size becomes the padding that gives it."""
    kernel = _kernel(step)
    if kernel.ndim != 4:
        raise Unsupported(f"is a {kernel.ndim - 2}-D convolution, only 2-D is supported")
    size = _map(step).shape[2:]
    auto = step.text("auto_pad", "NOTSET") or "NOTSET"
    attrs = _padding(replace(step, layer=_without(step, "auto_pad")), size, kernel.shape[2:])
    more = step.ints("output_padding", (0, 0))
    if len(more) != 2:
        raise step.damaged(f"has output_padding {more[:8]}, expected two numbers")
    wanted = step.ints("output_shape", None)[-2:] if "output_shape" in step.attrs else None
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(size, attrs["strides"], strict=True)]
    if wanted is not None:
        whole = [
            s * (n - 1) + e + windows.span(k, d)
            for n, k, s, d, e in zip(size, kernel.shape[2:], attrs["strides"], attrs["dilations"], more, strict=True)
        ]
        cut = [n - w for n, w in zip(whole, wanted, strict=True)]
        if min(cut) < 0:
            raise Unsupported(f"makes {whole[0]}x{whole[1]} and asks for {wanted[0]}x{wanted[1]}, which is larger")
        halves = [(c // 2, c - c // 2) if auto == "SAME_UPPER" else (c - c // 2, c // 2) for c in cut]
        attrs["pads"] = (halves[0][0], halves[1][0], halves[0][1], halves[1][1])
    if auto == "VALID":
        attrs["pads"] = (0, 0, 0, 0)
    attrs.update(group=step.integer("group", 1), output_padding=tuple(more), kernel_shape=kernel.shape[2:])
    return step.node("ConvTranspose", _with_bias(step), **attrs)


def _without(step: Step, key: str) -> Any:
    return replace(step.layer, attrs={name: value for name, value in step.attrs.items() if name != key})


def pool(op: str) -> Op:
    """Returns the translation of a pooling; a second output, of positions, may not be read."""

    def translate(step: Step) -> Value:
        value = _map(step)
        kernel = tuple(step.ints("kernel_shape", None))
        attrs = {**_padding(step, value.shape[2:], kernel, pool=True), "kernel_shape": kernel}
        if op == "AveragePool":
            attrs["count_include_pad"] = step.integer("count_include_pad", 0)
        if op == "LpPool":
            attrs["p"] = step.integer("p", 2)
        if step.integer("ceil_mode", 0):
            attrs["ceil_mode"] = 1
        return step.node(op, [value.name], **attrs)

    return translate


def global_pool(op: str) -> Op:
    """Returns the translation of a pooling over whole maps."""

    def translate(step: Step) -> Value:
        attrs: dict[str, Any] = {"p": step.integer("p", 2)} if op == "GlobalLpPool" else {}
        return step.node(op, [_map(step).name], **attrs)

    return translate


# ------------------------------------------------------------------------------------------------------ dense and norm


def gemm(step: Step) -> Value:
    """ONNX Gemm whose second factor is stored."""
    if step.integer("transA", 0):
        raise Unsupported("transposes its input (transA), which moves the batch")
    step.known(1)
    inputs = [step.value().name, step.name(1)]
    beta = step.real("beta", 1.0)
    if step.given(2) and beta:
        bias = step.known(2)
        assert bias is not None
        inputs.append(step.param(Known(bias.reshape(-1), step.inputs[2].name), step.layer.inputs[2]))  # type: ignore[union-attr]
    return step.node("Gemm", inputs, alpha=step.real("alpha", 1.0), beta=beta, transB=step.integer("transB", 0))


def matmul(step: Step) -> Value:
    """ONNX MatMul: of features with a stored matrix it is a dense layer, to which an Add may bring the bias."""
    left, right = step.value(), step.inputs[1] if len(step.inputs) > 1 else None
    if isinstance(right, Known) and len(left.shape) == 2 and right.array.ndim == 2:
        made = step.node("Gemm", [left.name, step.name(1)])
        step.state.bare[made.name] = len(step.state.nodes) - 1
        return made
    if isinstance(right, Known) and right.array.ndim > 2 and right.array.shape[0] != 1:
        raise Unsupported(f"multiplies by a stored array {right.array.shape}, one matrix per image")
    if isinstance(right, Value) and len(left.shape) != len(right.shape):
        raise Unsupported(f"multiplies values of {len(left.shape)} and {len(right.shape)} axes")
    return step.node("MatMul", [left.name, step.name(1)])


def batch_normalization(step: Step) -> Value:
    """ONNX BatchNormalization as it runs at inference; outputs that training needs may not be read."""
    if step.integer("training_mode", 0):
        raise Unsupported("computes with the statistics of the batch (training_mode)")
    shape = step.value().shape
    arrays = [step.known(i) for i in range(1, 5)]
    if any(array is None for array in arrays):
        raise step.damaged("lacks scale, bias, mean or variance")
    epsilon = step.real("epsilon", 1e-5)
    if step.opset < 9 and not step.integer("spatial", 1) and len(shape) > 2:
        gamma, beta, mean, variance = (np.asarray(array, np.float32) for array in arrays)
        factor = gamma / np.sqrt(variance + np.float32(epsilon))
        scaled = step.node("Mul", [step.value().name, _folded(step, 1, factor)], suffix="scaled")
        return step.node("Add", [scaled.name, _folded(step, 2, beta - mean * factor)])
    return step.node(
        "BatchNormalization",
        [step.value().name, *(step.name(i) for i in range(1, 5))],
        epsilon=epsilon,
        momentum=step.real("momentum", 0.9),
    )


def _folded(step: Step, position: int, array: np.ndarray) -> str:
    return step.param(Known(array, step.layer.inputs[position]))


def instance_normalization(step: Step) -> Value:
    inputs = [step.value().name, step.name(1), step.name(2)]
    return step.node("InstanceNormalization", inputs, epsilon=step.real("epsilon", 1e-5))


def _normalised(step: Step, name: str, axes: tuple[int, ...], epsilon: float, *, centre: bool = True) -> Value:
    """(x - mean) / sqrt(variance + epsilon) over some axes, op by op."""
    if centre:
        mean = step.node("ReduceMean", [name], suffix="mean", axes=axes, keepdims=1)
        name = step.node("Sub", [name, mean.name], suffix="centred").name
    square = step.node("Mul", [name, name], suffix="square")
    variance = step.node("ReduceMean", [square.name], suffix="variance", axes=axes, keepdims=1)
    shifted = step.node("Add", [variance.name, step.constant("epsilon", epsilon)], suffix="shifted")
    deviation = step.node("Sqrt", [shifted.name], suffix="deviation")
    return step.node("Div", [name, deviation.name], suffix="normalised")


def layer_normalization(step: Step) -> Value:
    """ONNX LayerNormalization and RMSNormalization: over all axes from one on."""
    value = step.value()
    first = step.axis(step.integer("axis", -1), len(value.shape))
    axes = tuple(range(first, len(value.shape)))
    epsilon = step.real("epsilon", 1e-5)
    centre = step.layer.op == "LayerNormalization"
    given = [i for i in (1, 2) if step.given(i)]
    if centre and given[:1] == [1] and all(_fits(step.inputs[i], value.shape[first:]) for i in given):
        names = [value.name, *(step.name(i) for i in given)]
        return step.node("LayerNormalization", names, axis=first, epsilon=epsilon)
    made = _normalised(step, value.name, axes, epsilon, centre=centre)
    if not step.given(2):
        return step.node("Mul", [made.name, step.name(1)])
    scaled = step.node("Mul", [made.name, step.name(1)], suffix="scaled")
    return step.node("Add", [scaled.name, step.name(2)])


def _fits(item: Known | Value | None, shape: tuple[int, ...]) -> bool:
    """Whether it is a stored array that broadcasts to a shape."""
    if not isinstance(item, Known) or item.array.ndim > len(shape):
        return False
    return all(n in (1, m) for n, m in zip(item.array.shape[::-1], shape[::-1], strict=False))


def group_normalization(step: Step) -> Value:
    """ONNX GroupNormalization: scale and bias per group until operator set 20, per channel since."""
    value = _map(step)
    channels, groups = value.shape[1], step.integer("num_groups", None)
    scale, bias = step.known(1), step.known(2)
    if groups < 1 or channels % groups or scale is None or bias is None:
        raise step.damaged(f"splits {channels} channels into {groups} groups, or lacks scale or bias")
    names = [step.name(1), step.name(2)]
    if step.opset < 21:
        each = [np.repeat(array.reshape(-1), channels // groups) for array in (scale, bias)]
        names = [_folded(step, i, array) for i, array in enumerate(each, 1)]
    return step.node("GroupNormalization", [value.name, *names], num_groups=groups, epsilon=step.real("epsilon", 1e-5))


def mean_variance_normalization(step: Step) -> Value:
    value = step.value()
    axes = tuple(step.axis(axis, len(value.shape)) for axis in step.ints("axes", (0, 2, 3)))
    made = _normalised(step, value.name, axes, 1e-9)
    return step.node("Identity", [made.name])


def lp_normalization(step: Step) -> Value:
    value = step.value()
    axis = step.axis(step.integer("axis", -1), len(value.shape))
    return step.node("LpNormalization", [value.name], axis=axis, p=step.integer("p", 2))


def lrn(step: Step) -> Value:
    attrs: dict[str, Any] = {
        key: step.real(key, value) for key, value in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    }
    return step.node("LRN", [_map(step).name], size=step.integer("size", None), **attrs)


def prelu(step: Step) -> Value:
    """ONNX PRelu: one slope, or one per channel; others are composed of max(x, 0) + slope * min(x, 0)."""
    value = step.value()
    slope = step.inputs[1] if len(step.inputs) > 1 else None
    if isinstance(slope, Known):
        rank, array = len(value.shape), slope.array
        spread = (1,) * (rank - array.ndim) + array.shape
        if array.ndim <= rank and all(n == 1 for i, n in enumerate(spread) if i != 1):
            return step.node("PRelu", [value.name, step.name(1)])
    if slope is None:
        raise step.damaged("has no slope")
    zero = step.constant("zero", 0.0)
    low = step.node("Min", [value.name, zero], suffix="negative")
    high = step.node("Max", [value.name, zero], suffix="positive")
    sloped = step.node("Mul", _aligned(step, [low, slope], [low.name, step.name(1)]), suffix="sloped")
    return step.node("Add", [high.name, sloped.name])


# ---------------------------------------------------------------------------------------------------------- arithmetic


def _aligned(step: Step, operands: list[Any], names: list[str]) -> list[str]:
    """Refuses what ONNX would align with the batch: it counts axes from the end."""
    ranks = {len(item.shape) for item in operands if isinstance(item, Value)}
    if len(ranks) > 1:
        raise Unsupported(f"combines values of {' and '.join(map(str, sorted(ranks)))} axes")
    if any(isinstance(item, Known) and item.array.ndim > max(ranks) for item in operands):
        raise Unsupported("combines a value with a stored array of more axes")
    return names


def elementwise(op: str, *, whole: bool = False) -> Op:
    """Returns the translation of an op whose inputs, values and stored arrays, meet element by element."""

    def translate(step: Step) -> Value:
        operands = [item for item in step.inputs if item is not None]
        count = {"Where": 3}.get(op, len(operands) if op in _MANY else 2)
        if not operands or len(operands) != count or len(operands) != len(step.inputs):
            raise step.damaged(f"has {len(operands)} inputs, expected {count or 'some'}")
        if op in ("Add", "Sub") and (fused := _bias(step, op)) is not None:
            return fused
        if len(operands) == 1:
            return step.node("Identity", [step.value().name])
        names = _aligned(step, operands, [step.name(i) for i in range(len(step.inputs))])
        if op == "Mean" and any(isinstance(item, Known) for item in operands):
            total = step.node("Sum", names, suffix="sum")
            return step.node("Mul", [total.name, step.constant("share", 1 / len(names))])
        return replace(step.node(op, names), whole=whole or _all_whole(operands))

    return translate


def _all_whole(operands: list[Any]) -> bool:
    return all(item.whole if isinstance(item, Value) else item.array.dtype.kind in "iub" for item in operands)


def _bias(step: Step, op: str) -> Value | None:
    """A dense layer's bias: the Add behind a MatMul that nothing else reads becomes a part of it."""
    state = step.state
    for position in (0, 1) if op == "Add" else ():
        other = step.inputs[1 - position] if len(step.inputs) == 2 else None
        value = step.inputs[position]
        if not isinstance(value, Value) or not isinstance(other, Known) or value.name not in state.bare:
            continue
        units = value.shape[1]
        if other.array.shape not in ((units,), (1, units)) or state.reads[value.name] != 1:
            continue
        index = state.bare.pop(value.name)
        bias = step.param(Known(other.array.reshape(-1), other.name), step.layer.inputs[1 - position])
        made = step.layer.outputs[0]
        node = state.nodes[index]
        state.nodes[index] = replace(node, inputs=(*node.inputs, bias), outputs=(made,))
        state.shapes[made] = value.shape
        return Value(made, value.shape)
    return None


def clip(step: Step) -> Value:
    """ONNX Clip: bounds as attributes, since operator set 11 as inputs; one that is left out does not bound."""
    if step.opset < 11:
        found = {key: step.real(key, 0.0) for key in ("min", "max") if key in step.attrs}
    else:
        found = {key: step.scalar(i, 0.0) for i, key in ((1, "min"), (2, "max")) if step.given(i)}
    bounds: dict[str, Any] = {key: number for key, number in found.items() if abs(number) < 3.4e38}
    if any(math.isnan(number) for number in found.values()):
        raise step.damaged("has a bound that is no number")
    if not bounds:
        return step.node("Identity", [step.value().name])
    return step.node("Clip", [step.value().name], **bounds)


def softmax(op: str) -> Op:
    """Returns the translation of (Log)Softmax: until operator set 12 over all axes from one on together."""

    def translate(step: Step) -> Value:
        value = step.value()
        rank = len(value.shape)
        axis = step.axis(step.integer("axis", 1 if step.opset < 13 else -1), rank)
        if step.opset >= 13 or math.prod(value.shape[axis + 1 :]) == 1:
            return step.node(op, [value.name], axis=axis)
        flat = (0, *value.shape[1:axis], math.prod(value.shape[axis:]))
        joined = step.node("Reshape", [value.name], suffix="joined", shape=flat)
        made = step.node(op, [joined.name], suffix="softmax", axis=axis)
        return step.node("Reshape", [made.name], shape=(0, *value.shape[1:]))

    return translate


def swish(step: Step) -> Value:
    value, alpha = step.value(), step.real("alpha", 1.0)
    inner = value
    if alpha != 1.0:
        inner = step.node("Mul", [value.name, step.constant("alpha", alpha)], suffix="scaled")
    gate = step.node("Sigmoid", [inner.name], suffix="gate")
    return step.node("Mul", [value.name, gate.name])


def cast(step: Step) -> Value:
    """ONNX Cast: the network computes in float32, so between floats there is nothing to do."""
    value = step.value()
    if step.layer.op == "Cast":
        dtype = dtype_of(step.integer("to", None))
    else:  # CastLike
        like = step.inputs[1] if len(step.inputs) > 1 else None
        dtype = like.array.dtype if isinstance(like, Known) else np.dtype(np.float32)
        if isinstance(like, Value) and like.whole:
            raise Unsupported("takes the type of a value of whole numbers")
    if dtype is None or dtype.kind == "O":
        raise Unsupported("turns numbers into something that is none")
    if dtype.kind == "f":
        if not value.whole:
            return step.node("Identity", [value.name])
        return step.node("Cast", [value.name], to="float32")
    return replace(step.node("Cast", [value.name], to=dtype.name), whole=True)


def dropout(step: Step) -> Value:
    """ONNX Dropout, which does nothing at inference; its rate is kept for those who train the network on."""
    ratio = step.real("ratio", 0.5) if step.opset < 12 else step.scalar(1, 0.5)
    if not 0 <= ratio < 1:
        raise step.damaged(f"drops {ratio} of its inputs")
    return step.node("Dropout", [step.value().name], ratio=ratio)


def identity(step: Step) -> Value:
    value = step.value()
    return replace(step.node("Identity", [value.name]), whole=value.whole)


_PLAIN = [
    *("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Abs", "Exp", "Log", "Sqrt", "Reciprocal", "Neg", "Floor"),
    *("Ceil", "Round", "Sign", "Erf", "HardSwish", "Mish"),
]
_MANY = frozenset({"Sum", "Mean", "Max", "Min"})
_ELEMENTWISE = ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "Where"]
_COMPARING = ["Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"]
OPS: Mapping[str, Op] = {
    **{op: plain(op) for op in _PLAIN},
    **{op: elementwise(op) for op in _ELEMENTWISE},
    **{op: elementwise(op, whole=True) for op in _COMPARING},
    "LeakyRelu": plain("LeakyRelu", alpha=0.01),
    "Elu": plain("Elu", alpha=1.0),
    "Celu": plain("Celu", alpha=1.0),
    "Selu": plain("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805),
    "HardSigmoid": plain("HardSigmoid", alpha=0.2, beta=0.5),
    "ThresholdedRelu": plain("ThresholdedRelu", alpha=1.0),
    "Gelu": plain("Gelu", approximate="none"),
    "Swish": swish,
    "Clip": clip,
    "PRelu": prelu,
    "Softmax": softmax("Softmax"),
    "LogSoftmax": softmax("LogSoftmax"),
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": pool("MaxPool"),
    "AveragePool": pool("AveragePool"),
    "LpPool": pool("LpPool"),
    "GlobalAveragePool": global_pool("GlobalAveragePool"),
    "GlobalMaxPool": global_pool("GlobalMaxPool"),
    "GlobalLpPool": global_pool("GlobalLpPool"),
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_normalization,
    "InstanceNormalization": instance_normalization,
    "LayerNormalization": layer_normalization,
    "RMSNormalization": layer_normalization,
    "GroupNormalization": group_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "LpNormalization": lp_normalization,
    "LRN": lrn,
    "Cast": cast,
    "CastLike": cast,
    "Dropout": dropout,
    "Identity": identity,
}
