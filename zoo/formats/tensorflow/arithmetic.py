"""TensorFlow's ops element by element, reductions, and products with matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.formats.tensorflow import fake_quant
from zoo.formats.tensorflow.values import FLOATS, TO_NCHW, Const, Item, Op, Step, Value
from zoo.formats.tensorflow.windows import normalised

TO_GRAPH = {0: 0, 1: 2, 2: 3, 3: 1}  # axis of NHWC -> of NCHW


def graph_axis(axis: int, value: Value) -> int:
    """Returns an axis, batch 0, as the Graph's value has it."""
    return TO_GRAPH[axis] if value.image else axis


def unary(*ops: str, **attrs: Any) -> Op:
    """One or more ONNX ops in a row."""

    def translate(step: Step) -> Item:
        value = step.value()
        name = value.name
        for op in ops[:-1]:
            name = step.make(op, [name], suffix=op.lower())
        return step.like(step.make(ops[-1], [name], **attrs), value)

    return translate


def leaky_relu(step: Step) -> Item:
    value = step.value()
    return step.like(step.make("LeakyRelu", [value.name], alpha=step.number("alpha", 0.2)), value)


def erfc(step: Step) -> Item:
    """Erfc: what Erf leaves to one."""
    value = step.value()
    name = step.make("Erf", [value.name], suffix="erf")
    return step.like(step.make("Sub", [step.scalar("one", 1.0), name]), value)


def square(step: Step) -> Item:
    value = step.value()
    return step.like(step.make("Mul", [value.name, value.name]), value)


def against(step: Step, const: Const, value: Value) -> str:
    """Stores a constant so that it broadcasts against a value in the Graph as TensorFlow broadcasts it; its name."""
    array = const.array
    if array.dtype == object or array.dtype.kind not in "fiub":
        raise step.unsupported("computes with the batch's size")
    if array.ndim > value.rank:
        raise step.unsupported(f"spreads {value.shape} (without the batch) over {array.shape}")
    if array.size == 1:
        return step.store(const, "number", array.reshape(()))
    full = array.reshape((1,) * (len(value.shape) + 1 - array.ndim) + array.shape)
    if full.shape[0] != 1:
        raise step.unsupported(f"holds {full.shape[0]} arrays, one per image of a batch")
    if value.image:
        full = full.transpose(TO_NCHW)
    full = full[0]
    while full.ndim > 1 and full.shape[0] == 1:
        full = full[0]
    return step.store(const, "image" if value.image else "plain", full)


def together(step: Step, items: list[Item]) -> tuple[list[str], Value]:
    """Returns names in the Graph of values and constants that are combined, and the value they are like."""
    values = [item for item in items if isinstance(item, Value)]
    if len({len(value.shape) for value in values}) != 1:
        shapes = [value.shape for value in values[:8]]
        raise step.unsupported(f"combines values of different rank: {shapes} (without the batch)")
    if any(value.image for value in values):
        items = [step.image(item) if isinstance(item, Value) else item for item in items]
        values = [item for item in items if isinstance(item, Value)]
    # The widest decides how stored arrays lie; all of one rank have the same order of axes.
    widest = max(values, key=lambda value: (value.batched, int(np.prod(value.shape))))
    names = []
    for item in items:
        if isinstance(item, Value):
            names.append(item.name)
        elif isinstance(item, Const):
            names.append(against(step, item, widest))
        else:
            raise step.unsupported("reads what is no number")
    return names, widest


def binary(op: str, *, dtype: str | None = None) -> Op:
    """An ONNX op on two values, or one and a constant."""

    def translate(step: Step) -> Item:
        if len(step.items) != 2:
            raise step.damaged(f"has {len(step.items)} inputs; expected 2")
        names, like = together(step, list(step.items))
        return step.like(step.make(op, names), like, dtype=dtype)

    return translate


def squared_difference(step: Step) -> Item:
    names, like = together(step, list(step.items[:2]))
    name = step.make("Sub", names, suffix="sub")
    return step.like(step.make("Mul", [name, name]), like)


def add_n(step: Step) -> Item:
    names, like = together(step, list(step.items))
    if len(names) == 1:
        return like
    return step.like(step.make("Add" if len(names) == 2 else "Sum", names), like)


def clip_by_value(step: Step) -> Item:
    value = step.value()
    low, high = (step.const(i, what).array for i, what in ((1, "lower bound"), (2, "upper bound")))
    if low.size != 1 or high.size != 1:
        raise step.unsupported("clips every channel on its own")
    least, most = float(low.reshape(())), float(high.reshape(()))
    return step.like(step.make("Clip", [value.name], min=least, max=most), value)


def select(step: Step) -> Item:
    if len(step.items) != 3:
        raise step.damaged(f"has {len(step.items)} inputs; expected 3")
    names, like = together(step, list(step.items))
    return step.like(step.make("Where", names), like, dtype="float32")


def cast(step: Step) -> Item:
    """Cast: all floats are one kind here; to whole numbers it cuts off the fraction."""
    value, kind = step.value(), step.dtype("DstT")
    if kind in FLOATS and value.dtype in FLOATS:
        return value
    whole = value.dtype not in (*FLOATS, "bool") and kind not in (*FLOATS, "bool")
    if kind in ("string", "resource") or kind.startswith("dtype") or whole:
        raise step.unsupported(f"makes {kind} of {value.dtype}")
    if value.dtype in _SMALL and kind in FLOATS and value.name in step.state.inputs:
        return Value(value.name, value.shape, value.image, value.batched, "float32")  # the Graph's inputs are floats
    return step.like(step.make("Cast", [value.name], to="float32" if kind in FLOATS else kind), value, dtype=kind)


_SMALL = ("uint8", "int8", "int16", "uint16", "int32", "int64")


def bias_add(step: Step) -> Item:
    """BiasAdd along the channels."""
    value, const = step.value(), step.const(1, "bias")
    if const.array.ndim != 1 or const.array.dtype == object:
        raise step.damaged(f"has a bias of shape {const.array.shape}; expected one axis")
    if step.word("data_format", "NHWC") == "NCHW":
        value = step.plain(value)
        array = const.array.reshape(-1, *(1,) * (len(value.shape) - 1))
        return step.like(step.make("Add", [value.name, step.store(const, "image", array)]), value)
    if value.image:
        array = const.array.reshape(-1, 1, 1)
        return step.like(step.make("Add", [value.name, step.store(const, "image", array)]), value)
    return step.like(step.make("Add", [value.name, against(step, const, value)]), value)


def matmul(step: Step) -> Item:
    """MatMul with a stored matrix: a dense layer."""
    value, const = step.value(0), step.const(1, "matrix")
    if step.flag("transpose_a") or not value.batched:
        raise step.unsupported("mixes the images of a batch")
    if const.array.ndim != 2 or len(value.shape) != 1 or const.array.dtype == object:
        raise step.damaged(f"multiplies {value.shape} (without the batch) by {const.array.shape}")
    name = step.store(const, "matrix", const.array)
    return step.result(step.make("Gemm", [value.name, name], transB=int(step.flag("transpose_b"))))


def batch_matmul(step: Step) -> Item:
    """BatchMatMul of two values, or of one and a stored matrix."""
    if step.flag("adj_x"):
        raise step.unsupported("transposes its first input")
    value, other = step.value(0), step.item(1)
    if isinstance(other, Const):
        if other.array.dtype == object or not 2 <= other.array.ndim <= 4:
            raise step.damaged(f"multiplies by {other.array.shape}")
        array = other.array.swapaxes(-1, -2) if step.flag("adj_y") else other.array
        name = step.store(other, f"matrix{step.flag('adj_y')}", array)
    elif step.flag("adj_y"):
        raise step.unsupported("transposes its second input")
    else:
        name = step.plain(step.value(1)).name
    return step.result(step.make("MatMul", [step.plain(value).name, name]))


def reduced(step: Step, value: Value, axes: list[int]) -> tuple[Value, list[int]]:
    """Returns a value whose remaining axes keep TensorFlow's order when some are dropped, and the Graph's axes."""
    axes = sorted({step.axis(axis, value) for axis in axes})
    if 0 in axes:
        raise step.unsupported("acts along the batch")
    left = [axis for axis in range(1, len(value.shape) + 1) if axis not in axes]
    if value.image and 3 in left and len(left) > 1:
        value = step.plain(value)
    return value, [graph_axis(axis, value) for axis in axes]


def reduction(op: str, globally: str = "") -> Op:
    """A reduction; over all positions of a feature map it is a global pooling."""

    def translate(step: Step) -> Item:
        value = step.value()
        axes = step.ints(1, "axes")
        if not axes:
            return value
        keep = step.flag("keep_dims", step.flag("keepdims"))
        if keep:
            whole = sorted({step.axis(axis, value) for axis in axes})
            if 0 in whole:
                raise step.unsupported("acts along the batch")
            chosen = [graph_axis(axis, value) for axis in whole]
        else:
            value, chosen = reduced(step, value, axes)
        if globally and len(value.shape) == 3 and sorted(chosen) == [2, 3]:
            pooled = step.make(globally, [value.name], suffix="" if keep else "pool")
            if keep:
                return step.like(pooled, value)
            return step.result(step.make("Flatten", [pooled], axis=1), batched=value.batched)
        name = step.make(op, [value.name], axes=tuple(sorted(chosen)), keepdims=int(keep))
        return step.result(name, image=value.image and keep, batched=value.batched, dtype=value.dtype)

    return translate


def arg_max(step: Step) -> Item:
    value = step.value()
    value, axes = reduced(step, value, step.ints(1, "axis"))
    if len(axes) != 1:
        raise step.damaged(f"has {len(axes)} axes")
    name = step.make("ArgMax", [value.name], axis=axes[0], keepdims=0, select_last_index=0)
    return step.result(name, batched=value.batched, dtype=step.dtype("output_type"))


def softmax(op: str) -> Op:
    """Softmax and LogSoftmax, along TensorFlow's last axis."""

    def translate(step: Step) -> Item:
        value = step.value()
        axis = graph_axis(len(value.shape), value)
        if axis == 0:
            raise step.unsupported("acts along the batch")
        return step.like(step.make(op, [value.name], axis=axis), value)

    return translate


def batch_norm(step: Step) -> Item:
    """Batch norm in arithmetic, where every array is one number per channel; else a product and a sum."""
    value = step.value()
    consts = {key: step.const(position, key) for key, position in step.node.extra.items() if key != "x"}
    arrays = {key: const.array for key, const in consts.items()}
    if any(array.dtype.kind not in "fiu" for array in arrays.values()):
        raise step.unsupported("normalises with what are no numbers")
    epsilon = arrays.pop("epsilon")
    # Which axis the arrays lie along, counted from the last as TensorFlow broadcasts.
    along = {tuple(i - a.ndim for i, n in enumerate(a.shape) if n != 1) for a in arrays.values()}
    rank = len(value.shape)
    if rank == 3 and along == {(-1,)}:
        spread, size = step.image(value), value.shape[-1]
    elif (rank == 3 and along == {(-3,)} and not value.image) or (rank == 1 and along == {(-1,)}):
        spread, size = value, value.shape[0]
    else:
        spread, size = value, -1
    if epsilon.size == 1 and all(array.size == size for array in arrays.values()):
        given: dict[str, Const | None] = {key: const for key, const in consts.items() if key != "epsilon"}
        return normalised(step, spread, given, float(epsilon.reshape(())))
    with np.errstate(all="ignore"):
        scale = arrays.get("gamma", np.float32(1)) / np.sqrt(arrays["variance"] + epsilon)
        offset = arrays.get("beta", np.float32(0)) - arrays["mean"] * scale
    scaled = step.make(
        "Mul", [value.name, against(step, Const(scale, f"{step.name}/scale"), value)], suffix="normalised"
    )
    offset_name = against(step, Const(offset, f"{step.name}/offset"), value)
    return step.like(step.make("Add", [scaled, offset_name]), value)


def on_grid(step: Step) -> Item:
    """FakeQuant: the value as whole numbers of few bits would have it, one grid for all or one per channel."""
    value = step.value()
    consts = [step.const(i, "bounds").array for i in range(1, len(step.items))]
    found = fake_quant.grid(step, *fake_quant.bounds(step, [np.zeros(1), *consts]))
    if any(array.size != 1 and array.shape != value.shape[-1:] for array in found):
        raise step.damaged(f"has bounds of shape {found.low.shape} for {value.shape} (without the batch)")
    low, high, size, inverse, zero = (
        against(step, Const(np.asarray(array), f"{step.name}/{what}"), value)
        for what, array in zip(found._fields, found, strict=True)
    )
    name = step.make("Min", [value.name, high], suffix="below")
    name = step.make("Max", [name, low], suffix="above")
    name = step.make("Sub", [name, low], suffix="from_low")
    name = step.make("Mul", [name, inverse], suffix="steps")
    name = step.make("Sub", [name, zero], suffix="from_zero")
    name = step.make("Floor", [step.make("Add", [name, step.scalar("half", 0.5)], suffix="half_up")], suffix="whole")
    return step.like(step.make("Mul", [name, size]), value)


def dropout(step: Step) -> Item:
    """Dropout written as noise: the value passes; its rate is the trainer's business."""
    return step.value()


OPS: dict[str, Op] = {
    "Relu": unary("Relu"),
    "Relu6": unary("Clip", min=0.0, max=6.0),
    "Elu": unary("Elu", alpha=1.0),
    "Selu": unary("Selu"),
    "LeakyRelu": leaky_relu,
    "Sigmoid": unary("Sigmoid"),
    "Tanh": unary("Tanh"),
    "Softplus": unary("Softplus"),
    "Softsign": unary("Softsign"),
    "Abs": unary("Abs"),
    "Neg": unary("Neg"),
    "Exp": unary("Exp"),
    "Log": unary("Log"),
    "Sqrt": unary("Sqrt"),
    "Rsqrt": unary("Sqrt", "Reciprocal"),
    "Reciprocal": unary("Reciprocal"),
    "Inv": unary("Reciprocal"),
    "Erf": unary("Erf"),
    "Erfc": erfc,
    "Floor": unary("Floor"),
    "Ceil": unary("Ceil"),
    "Round": unary("Round"),
    "Rint": unary("Round"),
    "Sign": unary("Sign"),
    "Square": square,
    "SquaredDifference": squared_difference,
    "Add": binary("Add"),
    "AddV2": binary("Add"),
    "Sub": binary("Sub"),
    "Mul": binary("Mul"),
    "RealDiv": binary("Div"),
    "Div": binary("Div"),
    "Maximum": binary("Max"),
    "Minimum": binary("Min"),
    "Pow": binary("Pow"),
    "Greater": binary("Greater", dtype="bool"),
    "GreaterEqual": binary("GreaterOrEqual", dtype="bool"),
    "Less": binary("Less", dtype="bool"),
    "LessEqual": binary("LessOrEqual", dtype="bool"),
    "Equal": binary("Equal", dtype="bool"),
    "AddN": add_n,
    "ClipByValue": clip_by_value,
    "Select": select,
    "SelectV2": select,
    "Cast": cast,
    "BiasAdd": bias_add,
    "BiasAddV1": bias_add,
    "MatMul": matmul,
    "BatchMatMul": batch_matmul,
    "BatchMatMulV2": batch_matmul,
    "BatchMatMulV3": batch_matmul,
    "Mean": reduction("ReduceMean", "GlobalAveragePool"),
    "Max": reduction("ReduceMax", "GlobalMaxPool"),
    "Min": reduction("ReduceMin"),
    "Sum": reduction("ReduceSum"),
    "Prod": reduction("ReduceProd"),
    "EuclideanNorm": reduction("ReduceL2"),
    "ArgMax": arg_max,
    **dict.fromkeys(fake_quant.OPS, on_grid),
    "Softmax": softmax("Softmax"),
    "LogSoftmax": softmax("LogSoftmax"),
    "_BatchNorm": batch_norm,
    "_Dropout": dropout,
}
