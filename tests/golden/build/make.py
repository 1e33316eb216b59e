"""Makes cases.json and arrays.npz: small Graphs and what PyTorch computes for them.

Run with PyTorch 2.13: `python tests/golden/build/make.py`. Each case is a list of nodes in ONNX terms; the outputs come
from torch.nn.functional alone. Inputs are smooth coloured patterns below and above zero; arrays are random, none is at
its default.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).parent
RANDOM = np.random.default_rng(20261123)


def pattern(channels: int, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    planes = [np.sin(0.7 * (c + 1) * x / 3 + c) * np.cos(0.5 * y + 0.3 * c) - 0.4 for c in range(channels)]
    batch = np.stack([np.stack(planes), np.stack(planes[::-1]) * 0.5])
    return batch.astype(np.float32)


def random(*shape: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    return RANDOM.uniform(low, high, shape).astype(np.float32)


def sides(pads: list[int]) -> tuple[int, int, int, int]:
    top, left, bottom, right = pads
    return left, right, top, bottom


def same(x: torch.Tensor, kernel: int, stride: int, value: float) -> torch.Tensor:
    """TensorFlow's SAME for a square kernel: the odd row and column at the end."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


CASES = {}


def case(name, shape, nodes, params, compute):
    x = pattern(*shape)
    params = {key: np.asarray(array, np.float32) for key, array in params.items()}
    tensors = {key: torch.from_numpy(array) for key, array in params.items()}
    with torch.no_grad():
        y = compute(torch.from_numpy(x), tensors).numpy()
    CASES[name] = ({"shape": list(shape), "nodes": nodes, "params": list(params)}, x, y, params)


def conv(name, shape, out, kernel, *, bias=True, group=1, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1)):
    params = {"w": random(out, shape[0] // group, *kernel)}
    if bias:
        params["b"] = random(out)
    attrs = {"group": group, "strides": strides, "pads": pads, "dilations": dilations}
    nodes = [["Conv", "conv", ["x", *params], attrs]]
    case(
        name,
        shape,
        nodes,
        params,
        lambda x, p: F.conv2d(F.pad(x, sides(pads)), p["w"], p.get("b"), strides, 0, dilations, group),
    )


def pool(name, shape, op, kernel, *, strides=(2, 2), pads=(0, 0, 0, 0), ceil=0, include=0):
    attrs = {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": ceil}
    padding = (pads[0], pads[1])
    if op == "MaxPool":
        compute = lambda x, p: F.max_pool2d(x, kernel, strides, padding, ceil_mode=bool(ceil))  # noqa: E731
    else:
        attrs["count_include_pad"] = include
        compute = lambda x, p: F.avg_pool2d(x, kernel, strides, padding, bool(ceil), bool(include))  # noqa: E731
    case(name, shape, [[op, "pool", ["x"], attrs]], {}, compute)


conv("conv_stride2_pad1", (3, 8, 9), 4, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
conv("conv_asymmetric_pads", (3, 7, 8), 4, (3, 2), pads=(0, 1, 2, 0))
conv("conv_strides_differ", (3, 9, 9), 4, (3, 3), strides=(1, 2), pads=(1, 1, 1, 1), bias=False)
conv("conv_dilated", (3, 9, 9), 4, (3, 3), dilations=(2, 2), pads=(2, 2, 2, 2))
conv("conv_groups", (4, 7, 7), 6, (3, 3), group=2, pads=(1, 1, 1, 1))
conv("conv_depthwise_multiplier", (4, 7, 7), 8, (3, 3), group=4, strides=(2, 2), pads=(1, 1, 1, 1))
conv("conv_depthwise_strides_differ", (4, 7, 7), 4, (3, 3), group=4, strides=(2, 1), pads=(1, 1, 1, 1))
for side in (7, 8):
    params = {"w": random(4, 3, 3, 3)}
    nodes = [["Conv", "conv", ["x", "w"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}]]
    case(
        f"conv_same_{side}", (3, side, side), nodes, params, lambda x, p: F.conv2d(same(x, 3, 2, 0.0), p["w"], None, 2)
    )
for op in ("MaxPool", "AveragePool"):
    pool(f"{op}_valid", (2, 8, 7), op, (3, 2))
    pool(f"{op}_pad1", (2, 8, 8), op, (3, 3), pads=(1, 1, 1, 1), include=1)
    pool(f"{op}_ceil", (2, 8, 8), op, (3, 3), ceil=1, include=1)
    pool(f"{op}_ceil_pad1", (2, 7, 8), op, (3, 3), pads=(1, 1, 1, 1), ceil=1, include=1)
    pool(f"{op}_ceil_drops_last", (2, 5, 5), op, (2, 2), strides=(3, 3), pads=(1, 1, 1, 1), ceil=1, include=1)
    pool(f"{op}_stride1_pad1", (2, 6, 6), op, (3, 3), strides=(1, 1), pads=(1, 1, 1, 1))
pool("AveragePool_pad1_excluded", (2, 8, 8), "AveragePool", (3, 3), pads=(1, 1, 1, 1))
pool("AveragePool_ceil_excluded", (2, 8, 8), "AveragePool", (3, 3), ceil=1)
nodes = [["MaxPool", "pool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}]]
case("MaxPool_same", (2, 8, 8), nodes, {}, lambda x, p: F.max_pool2d(same(x, 3, 2, -1e30), 3, 2))
for size in (3, 5):
    attrs = {"size": size, "alpha": 0.3, "beta": 0.6, "bias": 1.7}
    case(
        f"LRN_{size}",
        (6, 4, 5),
        [["LRN", "norm", ["x"], attrs]],
        {},
        lambda x, p, size=size: F.local_response_norm(x, size, 0.3, 0.6, 1.7),
    )
params = {"g": random(3), "b": random(3), "m": random(3), "v": random(3, low=0.5, high=2)}
case(
    "BatchNormalization_eps",
    (3, 4, 4),
    [["BatchNormalization", "bn", ["x", "g", "b", "m", "v"], {"epsilon": 0.01}]],
    params,
    lambda x, p: F.batch_norm(x, p["m"], p["v"], p["g"], p["b"], eps=0.01),
)
case(
    "PRelu_channels",
    (3, 4, 4),
    [["PRelu", "act", ["x", "s"], {}]],
    {"s": random(3, 1, 1)},
    lambda x, p: F.prelu(x, p["s"].reshape(-1)),
)
case("PRelu_shared", (3, 4, 4), [["PRelu", "act", ["x", "s"], {}]], {"s": random(1)}, lambda x, p: F.prelu(x, p["s"]))
case("LeakyRelu", (3, 4, 4), [["LeakyRelu", "act", ["x"], {"alpha": 0.2}]], {}, lambda x, p: F.leaky_relu(x, 0.2))
case("Elu", (3, 4, 4), [["Elu", "act", ["x"], {"alpha": 0.7}]], {}, lambda x, p: F.elu(x, 0.7))
case("Clip_relu6", (3, 4, 4), [["Clip", "act", ["x"], {"min": 0, "max": 0.3}]], {}, lambda x, p: x.clamp(0, 0.3))
case(
    "Mul_Add_per_channel",
    (3, 4, 5),
    [["Mul", "scale", ["x", "g"], {}], ["Add", "shift", ["scale", "b"], {}]],
    {"g": random(3, 1, 1), "b": random(1, 3, 1, 1)},
    lambda x, p: x * p["g"] + p["b"],
)
case(
    "flatten_dense",
    (3, 4, 5),
    [["Flatten", "flat", ["x"], {}], ["Relu", "act", ["flat"], {}], ["Gemm", "fc", ["act", "w", "b"], {"transB": 1}]],
    {"w": random(4, 60), "b": random(4)},
    lambda x, p: F.linear(F.relu(x.flatten(1)), p["w"], p["b"]),
)
case("flatten_output", (3, 4, 5), [["Flatten", "flat", ["x"], {}]], {}, lambda x, p: x.flatten(1))
case(
    "flatten_two_readers",
    (2, 3, 3),
    [
        ["Flatten", "flat", ["x"], {}],
        ["Gemm", "fc", ["flat", "w"], {}],
        ["Concat", "both", ["fc", "flat"], {"axis": 1}],
    ],
    {"w": random(18, 4)},
    lambda x, p: torch.cat([x.flatten(1) @ p["w"], x.flatten(1)], 1),
)
case(
    "channel_shuffle",
    (6, 4, 5),
    [
        ["Reshape", "split", ["x"], {"shape": [0, 2, 3, 4, 5]}],
        ["Transpose", "swap", ["split"], {"perm": [0, 2, 1, 3, 4]}],
        ["Reshape", "join", ["swap"], {"shape": [0, -1, 4, 5]}],
        ["Conv", "conv", ["join", "w"], {}],
    ],
    {"w": random(2, 6, 1, 1)},
    lambda x, p: F.conv2d(F.channel_shuffle(x, 2), p["w"]),
)
case(
    "squeeze_excite",
    (4, 5, 5),
    [
        ["GlobalAveragePool", "pool", ["x"], {}],
        ["Conv", "fc", ["pool", "w"], {}],
        ["Sigmoid", "gate", ["fc"], {}],
        ["Mul", "out", ["x", "gate"], {}],
    ],
    {"w": random(4, 4, 1, 1)},
    lambda x, p: x * torch.sigmoid(F.conv2d(x.mean((2, 3), keepdim=True), p["w"])),
)
case(
    "concat_softmax",
    (3, 4, 5),
    [
        ["Relu", "a", ["x"], {}],
        ["Concat", "both", ["a", "x"], {"axis": 1}],
        ["Softmax", "prob", ["both"], {"axis": 1}],
    ],
    {},
    lambda x, p: F.softmax(torch.cat([F.relu(x), x], 1), 1),
)


def one(name, op, compute, *, shape=(3, 4, 5), attrs=None, inputs=("x",), outputs=None, **params):
    """A case of one node; `inputs` names values and parameters."""
    nodes = [[op, "node", list(inputs), attrs or {}, *([outputs] if outputs else [])]]
    case(name, shape, nodes, params, compute)


# Functions of single numbers
for name, op, attrs, compute in (
    ("Abs", "Abs", {}, lambda x, p: x.abs()),
    ("Ceil", "Ceil", {}, lambda x, p: (3 * x).ceil()),
    ("Floor", "Floor", {}, lambda x, p: (3 * x).floor()),
    ("Round", "Round", {}, lambda x, p: (3 * x).round()),
    ("Sign", "Sign", {}, lambda x, p: (3 * x).sign()),
):
    nodes = [["Mul", "more", ["x", "three"], {}], [op, "act", ["more"], attrs]]
    if op == "Abs":
        compute = lambda x, p: (3 * x).abs()  # noqa: E731
    case(name, (3, 4, 5), nodes, {"three": np.float32(3)}, compute)
for name, op, attrs, compute in (
    ("Celu", "Celu", {"alpha": 0.6}, lambda x, p: F.celu(x, 0.6)),
    ("Clip_below", "Clip", {"min": -0.2}, lambda x, p: x.clamp(min=-0.2)),
    ("Clip_above", "Clip", {"max": 0.1}, lambda x, p: x.clamp(max=0.1)),
    ("Clip_both", "Clip", {"min": -0.7, "max": 0.2}, lambda x, p: x.clamp(-0.7, 0.2)),
    ("Clip_negative", "Clip", {"min": -0.7, "max": -0.2}, lambda x, p: x.clamp(-0.7, -0.2)),
    ("Erf", "Erf", {}, lambda x, p: torch.erf(x)),
    ("Exp", "Exp", {}, lambda x, p: x.exp()),
    ("Gelu", "Gelu", {}, lambda x, p: F.gelu(x)),
    ("Gelu_tanh", "Gelu", {"approximate": "tanh"}, lambda x, p: F.gelu(x, approximate="tanh")),
    ("HardSigmoid", "HardSigmoid", {"alpha": 0.7, "beta": 0.3}, lambda x, p: (0.7 * x + 0.3).clamp(0, 1)),
    ("HardSigmoid_sixth", "HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, lambda x, p: F.hardsigmoid(x)),
    ("HardSwish", "HardSwish", {}, lambda x, p: F.hardswish(x)),
    ("Identity", "Identity", {}, lambda x, p: x),
    ("Mish", "Mish", {}, lambda x, p: F.mish(x)),
    ("Neg", "Neg", {}, lambda x, p: -x),
    ("Reciprocal", "Reciprocal", {}, lambda x, p: 1 / x),
    ("Selu", "Selu", {}, lambda x, p: F.selu(x)),
    ("Selu_alpha_gamma", "Selu", {"alpha": 1.2, "gamma": 0.9}, lambda x, p: 0.9 * F.elu(x, 1.2)),
    ("Sigmoid", "Sigmoid", {}, lambda x, p: torch.sigmoid(x)),
    ("Softplus", "Softplus", {}, lambda x, p: F.softplus(x)),
    ("Softsign", "Softsign", {}, lambda x, p: F.softsign(x)),
    ("Tanh", "Tanh", {}, lambda x, p: torch.tanh(x)),
    ("ThresholdedRelu", "ThresholdedRelu", {"alpha": 0.2}, lambda x, p: F.threshold(x, 0.2, 0.0)),
    ("Cast_int", "Cast", {"to": "int32"}, lambda x, p: x.to(torch.int32)),
    ("Cast_float", "Cast", {"to": "float64"}, lambda x, p: x),
    ("Softmax_height", "Softmax", {"axis": 2}, lambda x, p: x.softmax(2)),
    ("Softmax_last", "Softmax", {}, lambda x, p: x.softmax(-1)),
    ("LogSoftmax_channels", "LogSoftmax", {"axis": 1}, lambda x, p: x.log_softmax(1)),
    ("LogSoftmax_width", "LogSoftmax", {"axis": -1}, lambda x, p: x.log_softmax(-1)),
):
    scale = 3 if op == "Cast" else 1
    if scale == 1:
        one(name, op, compute, attrs=attrs)
    else:
        nodes = [["Mul", "more", ["x", "three"], {}], [op, "act", ["more"], attrs]]
        case(name, (3, 4, 5), nodes, {"three": np.float32(3)}, lambda x, p, compute=compute: compute(3 * x, p).float())
nodes = [["Abs", "size", ["x"], {}], ["Sqrt", "root", ["size"], {}], ["Log", "log", ["root"], {}]]
case("Sqrt_Log", (3, 4, 5), nodes, {}, lambda x, p: x.abs().sqrt().log())
nodes = [["Clip", "act", ["x", "low", "high"], {}]]
case(
    "Clip_stored", (3, 4, 5), nodes, {"low": np.float32(-0.3), "high": np.float32(0.4)}, lambda x, p: x.clamp(-0.3, 0.4)
)

# Arithmetic with stored arrays: numbers, channels, rows, whole maps; either side
SHAPES = {"number": (), "one": (1,), "channels": (3, 1, 1), "rows": (4, 1), "columns": (1, 1, 1, 5), "map": (3, 4, 5)}
BINARY = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
    "Max": torch.maximum,
    "Min": torch.minimum,
}
for op, compute in BINARY.items():
    for what, shape in SHAPES.items():
        if op in ("Max", "Min") and what in ("one", "rows", "columns"):
            continue
        array = random(*shape, low=0.3, high=1.5) * np.float32(-1 if op in ("Sub", "Max") else 1)
        array = np.asarray(array, np.float32)
        one(f"{op}_{what}", op, lambda x, p, f=compute: f(x, p["a"]), inputs=("x", "a"), a=array)
        if op in ("Sub", "Div"):
            one(f"{op}_{what}_first", op, lambda x, p, f=compute: f(p["a"], x), inputs=("a", "x"), a=array)
one("Pow_stored", "Pow", lambda x, p: x**2, inputs=("x", "a"), a=np.float32(2))
nodes = [["Exp", "exp", ["x"], {}], ["Pow", "pow", ["exp", "a"], {}]]
case("Pow_channels", (3, 4, 5), nodes, {"a": random(3, 1, 1)}, lambda x, p: x.exp() ** p["a"])
case("Pow_of_number", (3, 4, 5), [["Pow", "pow", ["a", "x"], {}]], {"a": np.float32(2.5)}, lambda x, p: 2.5**x)
both = [["Relu", "a", ["x"], {}], ["Tanh", "b", ["x"], {}]]
for op, compute in {**BINARY, "Mean": lambda a, b: (a + b) / 2, "Sum": torch.add}.items():
    if op != "Div":
        case(
            f"{op}_values",
            (3, 4, 5),
            [*both, [op, "node", ["a", "b"], {}]],
            {},
            lambda x, p, f=compute: f(F.relu(x), torch.tanh(x)),
        )
case(
    "Div_values",
    (3, 4, 5),
    [["Exp", "a", ["x"], {}], ["Div", "node", ["x", "a"], {}]],
    {},
    lambda x, p: x / x.exp(),
)
for op, compute in {
    "Sum": lambda x, p: F.relu(x) + torch.tanh(x) + p["c"] + x,
    "Max": lambda x, p: torch.maximum(torch.maximum(F.relu(x), torch.tanh(x)), torch.maximum(p["c"], x)),
}.items():
    nodes = [*both, [op, "node", ["a", "b", "c", "x"], {}]]
    case(f"{op}_four_one_stored", (3, 4, 5), nodes, {"c": random(3, 1, 1)}, compute)
for name, shape in (("channels", (1, 3, 1, 1)), ("map", (1, 3, 4, 5))):
    nodes = [["Mul", "scale", ["g", "x"], {}], ["Sub", "shift", ["scale", "b"], {}], ["Relu", "act", ["shift"], {}]]
    params = {"g": random(*shape), "b": random(*shape)}
    case(f"Mul_Sub_{name}", (3, 4, 5), nodes, params, lambda x, p: F.relu(x * p["g"] - p["b"]))
nodes = [
    ["Mul", "scale", ["x", "g"], {}],
    ["Add", "shift", ["scale", "b"], {}],
    ["Add", "out", ["shift", "scale"], {}],
]
params = {"g": random(3, 1, 1), "b": random(3, 1, 1)}
case("Mul_read_twice", (3, 4, 5), nodes, params, lambda x, p: 2 * x * p["g"] + p["b"])
nodes = [
    ["GlobalAveragePool", "pool", ["x"], {}],
    ["Flatten", "flat", ["pool"], {}],
    ["Mul", "scale", ["flat", "g"], {}],
    ["Add", "shift", ["scale", "b"], {}],
    ["Div", "out", ["shift", "d"], {}],
]
params = {"g": random(3), "b": random(1, 3), "d": random(3, low=1, high=2)}
case("Mul_Add_vector", (3, 4, 5), nodes, params, lambda x, p: (x.mean((2, 3)) * p["g"] + p["b"]) / p["d"])
nodes = [["GlobalMaxPool", "pool", ["x"], {}], ["Mul", "out", ["pool", "g"], {}]]
case("Mul_outwards", (3, 4, 5), nodes, {"g": random(3, 2, 2)}, lambda x, p: x.amax((2, 3), keepdim=True) * p["g"])
for op, compute in {
    "Greater": torch.gt,
    "Less": torch.lt,
    "GreaterOrEqual": torch.ge,
    "LessOrEqual": torch.le,
    "Equal": torch.eq,
}.items():
    nodes = [["Floor", "whole", ["x"], {}], [op, "test", ["whole", "a"], {}], ["Where", "node", ["test", "x", "b"], {}]]
    params = {"a": np.float32(-1), "b": np.float32(0.25)}
    case(
        f"{op}_Where",
        (3, 4, 5),
        nodes,
        params,
        lambda x, p, f=compute: torch.where(f(x.floor(), p["a"]), x, p["b"]),
    )

# Layers with weights
conv("conv_same_lower_pads", (3, 7, 7), 4, (4, 4), strides=(1, 1), pads=(2, 2, 1, 1))
CASES["conv_same_lower"] = CASES.pop("conv_same_lower_pads")
CASES["conv_same_lower"][0]["nodes"][0][3] = {"auto_pad": "SAME_LOWER"}
for name, nodes in {
    "conv_Add": [["Conv", "conv", ["x", "w"], {}], ["Add", "bias", ["b", "conv"], {}], ["Relu", "r", ["bias"], {}]],
    "conv_Sub": [["Conv", "conv", ["x", "w"], {}], ["Sub", "bias", ["conv", "b"], {}], ["Relu", "r", ["bias"], {}]],
}.items():
    params = {"w": random(2, 3, 1, 1), "b": random(2, 1, 1)}
    sign = 1 if name == "conv_Add" else -1
    case(name, (3, 4, 5), nodes, params, lambda x, p, sign=sign: F.relu(F.conv2d(x, p["w"]) + sign * p["b"]))
nodes = [
    ["Conv", "conv", ["x", "w"], {}],
    ["Add", "three", ["conv", "c"], {}],
    ["Clip", "r", ["three"], {"min": 0, "max": 6}],
]
params = {"w": random(1, 3, 1, 1), "c": np.float32(3)}
case("conv_Add_number", (3, 4, 5), nodes, params, lambda x, p: F.relu6(F.conv2d(x, p["w"]) + 3))


def transposed(
    name, shape, out, kernel, *, strides=(1, 1), pads=(0, 0), more=(0, 0), dilations=(1, 1), group=1, **attrs
):
    params = {"w": random(shape[0], out // group, *kernel), "b": random(out)}
    attrs |= {"group": group, "strides": strides, "dilations": dilations}
    if "auto_pad" not in attrs and "output_shape" not in attrs:
        attrs |= {"pads": [*pads, *pads], "output_padding": more}
    case(
        name,
        shape,
        [["ConvTranspose", "up", ["x", "w", "b"], attrs]],
        params,
        lambda x, p: F.conv_transpose2d(x, p["w"], p["b"], strides, pads, more, group, dilations),
    )


transposed("ConvTranspose", (3, 4, 5), 4, (3, 2))
transposed("ConvTranspose_stride_pads", (3, 4, 5), 4, (4, 3), strides=(2, 2), pads=(1, 1))
transposed("ConvTranspose_strides_differ", (3, 4, 5), 2, (3, 3), strides=(2, 1), pads=(1, 0))
transposed("ConvTranspose_output_padding", (3, 4, 5), 4, (3, 3), strides=(2, 2), pads=(1, 1), more=(1, 0))
transposed("ConvTranspose_output_padding_beyond", (3, 4, 5), 2, (3, 3), strides=(3, 3), more=(2, 1))
transposed("ConvTranspose_kernel_below_stride", (3, 4, 5), 2, (2, 1), strides=(3, 2))
transposed("ConvTranspose_dilated", (3, 4, 5), 4, (3, 2), strides=(2, 1), dilations=(2, 3), pads=(1, 1))
transposed("ConvTranspose_groups", (4, 4, 5), 6, (3, 3), strides=(2, 2), pads=(1, 1), group=2)
transposed("ConvTranspose_depthwise", (4, 4, 5), 4, (4, 4), strides=(2, 2), pads=(1, 1), group=4)
transposed("ConvTranspose_depthwise_multiplier", (2, 4, 5), 4, (3, 3), strides=(2, 1), more=(1, 0), group=2)
transposed("ConvTranspose_depthwise_wide_pads", (2, 4, 5), 2, (2, 2), strides=(2, 2), pads=(2, 1), group=2)
transposed("ConvTranspose_same_upper", (2, 4, 5), 3, (4, 4), strides=(2, 2), pads=(1, 1), auto_pad="SAME_UPPER")
transposed("ConvTranspose_output_shape", (2, 4, 5), 3, (4, 4), strides=(2, 2), pads=(1, 1), output_shape=[8, 10])
nodes = [["ConvTranspose", "up", ["x", "w"], {"strides": [2, 2]}], ["Add", "bias", ["up", "b"], {}]]
params = {"w": random(3, 2, 2, 2), "b": random(2, 1, 1)}
case("ConvTranspose_Add", (3, 4, 5), nodes, params, lambda x, p: F.conv_transpose2d(x, p["w"], p["b"].reshape(-1), 2))
for name, attrs in {"alpha_beta": {"alpha": 0.7, "beta": 1.3}, "number": {"transB": 1}}.items():
    params = {"w": random(12, 4), "b": random(1, 4)} if name == "alpha_beta" else {"w": random(4, 12), "b": random(1)}
    nodes = [["Flatten", "flat", ["x"], {}], ["Gemm", "fc", ["flat", "w", "b"], attrs]]
    compute = (
        (lambda x, p: 0.7 * (x.flatten(1) @ p["w"]) + 1.3 * p["b"])
        if name == "alpha_beta"
        else (lambda x, p: F.linear(x.flatten(1), p["w"]) + p["b"])
    )
    case(f"Gemm_{name}", (3, 2, 2), nodes, params, compute)
nodes = [
    ["Reshape", "flat", ["x"], {"shape": [0, -1]}],
    ["MatMul", "fc", ["flat", "w"], {}],
    ["Add", "bias", ["fc", "b"], {}],
]
case(
    "MatMul_Add",
    (3, 4, 5),
    nodes,
    {"w": random(60, 4), "b": random(4)},
    lambda x, p: x.flatten(1) @ p["w"] + p["b"],
)
case("MatMul_width", (3, 4, 5), [["MatMul", "fc", ["x", "w"], {}]], {"w": random(5, 4)}, lambda x, p: x @ p["w"])
nodes = [
    ["Transpose", "last", ["x"], {"perm": [0, 2, 3, 1]}],
    ["MatMul", "fc", ["last", "w"], {}],
    ["Add", "bias", ["fc", "b"], {}],
    ["Transpose", "back", ["bias"], {"perm": [0, 3, 1, 2]}],
]
case(
    "MatMul_channels",
    (3, 4, 5),
    nodes,
    {"w": random(3, 4), "b": random(4)},
    lambda x, p: (x.permute(0, 2, 3, 1) @ p["w"] + p["b"]).permute(0, 3, 1, 2),
)
nodes = [
    ["Reshape", "rows", ["x"], {"shape": [0, 3, 20]}],
    ["Transpose", "turn", ["rows"], {"perm": [0, 2, 1]}],
    ["MatMul", "gram", ["rows", "turn"], {}],
]
case("MatMul_values", (3, 4, 5), nodes, {}, lambda x, p: x.flatten(2) @ x.flatten(2).mT)
params = {
    "g": random(60),
    "b": random(60),
    "m": random(60),
    "v": random(60, low=0.5, high=2),
    "w": random(60, 4),
    "s": random(60),
}
nodes = [
    ["Flatten", "flat", ["x"], {}],
    ["BatchNormalization", "bn", ["flat", "g", "b", "m", "v"], {}],
    ["PRelu", "act", ["bn", "s"], {}],
    ["Dropout", "drop", ["act"], {}],
    ["MatMul", "fc", ["drop", "w"], {}],
]
case(
    "flatten_BatchNormalization_dense",
    (3, 4, 5),
    nodes,
    params,
    lambda x, p: F.prelu(F.batch_norm(x.flatten(1), p["m"], p["v"], p["g"], p["b"]), p["s"]) @ p["w"],
)
one(
    "InstanceNormalization",
    "InstanceNormalization",
    lambda x, p: F.instance_norm(x, weight=p["g"], bias=p["b"], eps=0.02),
    attrs={"epsilon": 0.02},
    inputs=("x", "g", "b"),
    g=random(3),
    b=random(3),
)
one("LpNormalization", "LpNormalization", lambda x, p: F.normalize(x, 2, 1), attrs={"axis": 1})
one("LpNormalization_rows", "LpNormalization", lambda x, p: F.normalize(x, 2, 2), attrs={"axis": 2})
one("LpNormalization_1", "LpNormalization", lambda x, p: F.normalize(x, 1, 1), attrs={"axis": 1, "p": 1})
one("PRelu_map", "PRelu", lambda x, p: x.clamp(min=0) + p["s"] * x.clamp(max=0), inputs=("x", "s"), s=random(3, 4, 5))
one("PRelu_rows", "PRelu", lambda x, p: x.clamp(min=0) + p["s"] * x.clamp(max=0), inputs=("x", "s"), s=random(4, 1))
one(
    "LRN_even",
    "LRN",
    lambda x, p: F.local_response_norm(x.flip(1), 4, 0.3, 0.6, 1.7).flip(1),
    shape=(6, 4, 5),
    attrs={"size": 4, "alpha": 0.3, "beta": 0.6, "bias": 1.7},
)

arrays = {}
for name, (_, x, y, params) in CASES.items():
    arrays[f"{name}/input"], arrays[f"{name}/output"] = x, y
    arrays.update({f"{name}/{key}": array for key, array in params.items()})
    assert np.abs(y[0] - y[1]).max() > 0, f"{name} gives the same for other inputs"
np.savez_compressed(HERE / "arrays.npz", **arrays)
lines = [f"{json.dumps(name)}: {json.dumps(spec)}" for name, (spec, *_) in CASES.items()]
(HERE / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
print(len(CASES), "cases by torch", torch.__version__)
