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

arrays = {}
for name, (_, x, y, params) in CASES.items():
    arrays[f"{name}/input"], arrays[f"{name}/output"] = x, y
    arrays.update({f"{name}/{key}": array for key, array in params.items()})
np.savez_compressed(HERE / "arrays.npz", **arrays)
(HERE / "cases.json").write_text(json.dumps({name: spec for name, (spec, *_) in CASES.items()}, indent=1) + "\n")
print(len(CASES), "cases by torch", torch.__version__)
