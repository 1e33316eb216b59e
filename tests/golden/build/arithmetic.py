"""Cases of functions of single numbers, arithmetic, and reductions."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from cases import case, one, random

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
nodes = [["Greater", "test", ["x", "a"], {}], ["Where", "node", ["test", "b", "x"], {}]]
params = {"a": random(4, 5), "b": random(3, 1, 1)}
case("Where_stored", (3, 4, 5), nodes, params, lambda x, p: torch.where(x > p["a"], p["b"], x))

# Reductions
REDUCE = {
    "ReduceMean": torch.mean,
    "ReduceSum": torch.sum,
    "ReduceMax": torch.amax,
    "ReduceMin": torch.amin,
    "ReduceProd": lambda x, axes, keep: x.prod(axes[0], keep) if len(axes) == 1 else x.prod(3, keep).prod(2, keep),
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep),
    "ReduceL2": lambda x, axes, keep: x.square().sum(axes, keep).sqrt(),
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keep),
}
for op, compute in REDUCE.items():
    for name, axes, keep in (
        ("map", (2, 3), 1),
        ("map_gone", (2, 3), 0),
        ("channels", (1,), 1),
        ("width_gone", (-1,), 0),
    ):
        if op in ("ReduceMean", "ReduceL2") or name in ("map_gone", "channels"):
            one(
                f"{op}_{name}",
                op,
                lambda x, p, a=(compute, axes, bool(keep)): a[0](x, a[1], a[2]),
                attrs={"axes": axes, "keepdims": keep},
            )
nodes = [
    ["Floor", "whole", ["x"], {}],
    ["ArgMax", "best", ["whole"], {"axis": 1}],
    ["Cast", "float", ["best"], {"to": "float32"}],
]
case("ArgMax", (5, 4, 5), nodes, {}, lambda x, p: x.floor().argmax(1, keepdim=True).float())
last = ["ArgMax", "best", ["whole"], {"axis": 3, "keepdims": 0, "select_last_index": 1}]
nodes = [nodes[0], last, nodes[2]]
case("ArgMax_last", (5, 4, 5), nodes, {}, lambda x, p: 4 - x.floor().flip(3).argmax(3).float())
