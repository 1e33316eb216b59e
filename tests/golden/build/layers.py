"""Cases of layers with weights, pooling, normalisation, and of a few in a row."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from cases import CASES, case, one, random, same, sides


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
conv("conv_strided_dilated", (3, 11, 10), 4, (3, 3), strides=(2, 2), dilations=(2, 2), pads=(2, 2, 2, 2))
conv("conv_strided_dilated_axes", (4, 11, 10), 6, (3, 3), group=2, strides=(2, 1), dilations=(1, 3), pads=(1, 3, 0, 2))
conv("conv_strided_dilated_depthwise", (4, 11, 10), 8, (3, 3), group=4, strides=(2, 3), dilations=(2, 2))
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
one(
    "GroupNormalization",
    "GroupNormalization",
    lambda x, p: F.group_norm(x, 3, weight=p["g"], bias=p["b"], eps=0.02),
    shape=(6, 4, 5),
    attrs={"num_groups": 3, "epsilon": 0.02},
    inputs=("x", "g", "b"),
    g=random(6),
    b=random(6),
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


# Pooling beyond plain windows
for dilation, pads, name in (((2, 2), (0, 0), ""), ((2, 1), (1, 1), "_pad1")):
    attrs = {"kernel_shape": [3, 2], "strides": [2, 1], "dilations": dilation, "pads": [*pads, *pads]}
    one(
        f"MaxPool_dilated{name}",
        "MaxPool",
        lambda x, p, a=(dilation, pads): F.max_pool2d(x, (3, 2), (2, 1), a[1], a[0]),
        shape=(2, 9, 8),
        attrs=attrs,
    )
attrs = {"kernel_shape": [2, 2], "strides": [2, 2], "dilations": [2, 2], "ceil_mode": 1}
one("MaxPool_dilated_ceil", "MaxPool", lambda x, p: F.max_pool2d(x, 2, 2, 0, 2, True), shape=(2, 8, 8), attrs=attrs)
attrs = {"kernel_shape": [3, 3], "strides": [1, 1], "dilations": [2, 2], "pads": [1, 1, 1, 1]}


def dilated_mean(x, include):
    parts = F.unfold(x, 3, 2, 1).reshape(2, 2, 9, -1).sum(2)
    ones = F.unfold(torch.ones_like(x), 3, 2, 1).reshape(2, 2, 9, -1).sum(2)
    return (parts / (9 if include else ones)).reshape(2, 2, 5, 6)


for include in (0, 1):
    one(
        f"AveragePool_dilated_{include}",
        "AveragePool",
        lambda x, p, i=include: dilated_mean(x, i),
        shape=(2, 7, 8),
        attrs={**attrs, "count_include_pad": include},
    )
for side, stride in ((7, 2), (8, 2), (8, 1)):
    attrs = {"kernel_shape": [3, 3], "strides": [stride, stride], "auto_pad": "SAME_UPPER"}
    one(
        f"AveragePool_same_{side}_{stride}",
        "AveragePool",
        lambda x, p, s=stride: (
            F.avg_pool2d(same(x, 3, s, 0.0), 3, s) / F.avg_pool2d(same(torch.ones_like(x), 3, s, 0.0), 3, s)
        ),
        shape=(2, side, side),
        attrs=attrs,
    )
attrs = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [0, 1, 2, 0], "count_include_pad": 1}
one("AveragePool_asymmetric", "AveragePool", lambda x, p: F.avg_pool2d(F.pad(x, (1, 0, 0, 2)), (3, 2), 2), attrs=attrs)
one(
    "MaxPool_asymmetric",
    "MaxPool",
    lambda x, p: F.max_pool2d(F.pad(x - 3, (1, 0, 0, 2), value=-1e30), (3, 2), 2) + 3,
    attrs={key: value for key, value in attrs.items() if key != "count_include_pad"},
)
for p in (1, 2, 3):
    attrs = {"kernel_shape": [3, 2], "strides": [2, 1], "p": p}
    one(
        f"LpPool_{p}", "LpPool", lambda x, _, p=p: F.lp_pool2d(x.abs(), p, (3, 2), (2, 1)), shape=(2, 7, 6), attrs=attrs
    )
    attrs = {"p": p}
    one(f"GlobalLpPool_{p}", "GlobalLpPool", lambda x, _, p=p: x.abs().pow(p).sum((2, 3), True) ** (1 / p), attrs=attrs)
attrs = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
one("LpPool_pads", "LpPool", lambda x, p: F.lp_pool2d(F.pad(x.abs(), (1,) * 4), 2, 3, 2), shape=(2, 7, 6), attrs=attrs)
one("GlobalMaxPool", "GlobalMaxPool", lambda x, p: x.amax((2, 3), keepdim=True))
one("GlobalAveragePool", "GlobalAveragePool", lambda x, p: x.mean((2, 3), keepdim=True))
