"""Makes the cases in this folder: small Torch7 networks with generated weights, and what they answer.

There is no Torch7 to ask any more. The files are written by `t7.py`; the answers are PyTorch's, by `answers.py`, which
says each module with PyTorch's own functions. Where OpenCV 4's dnn module reads the file it has to agree (it is known
to differ on five: sums, cudnn's softmax of maps, the infinity norm, JoinTable's dimensions), and the Python package
torchfile has to read the same objects. Run from this folder, in an environment with torch and torchfile, with the path
of a Python that has `opencv-python-headless<5` (it may be the same):

    python make.py PYTHON

`<case>.t7` are the files; arrays.npz.xz holds `<case>/x` (uint8; the network takes (x - 128) / 64), `<case>/y`, and for
networks `<case>/at/<path>`, what the module at that path puts out.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchfile
from answers import run
from modules import RNG, Graph, add, bn, concat, conv, f, identity, linear, lrn, m, pool, relu, seq, table, view
from nets import NETS, old_bn, unfolded
from t7 import Long, M, dumps

HERE = Path(__file__).parent

Case = tuple[Callable[[], M], tuple[int, ...]]


def two() -> list[M]:
    return [conv(3, 4, 1), conv(3, 4, 3, 1, 1)]


def vector(*modules: M) -> M:
    """Behind a map made into vectors of 12 numbers."""
    return seq(view(12), *modules)


def positive(*modules: M) -> M:
    return seq(m("Sigmoid"), *modules)


def padded(name: str, *sides: int) -> M:
    return m(name, **dict(zip(("pad_l", "pad_r", "pad_t", "pad_b"), sides, strict=True)))


def full(i: int, o: int, k: int, s: int, p: int, adj: int, bias: bool = True) -> M:
    made = conv(i, o, k, s, p, bias=bias, name="SpatialFullConvolution", weight=f(i, o, k, k, scale=0.3))
    made.fields.update(adjW=adj, adjH=adj)
    return made


def table_of(*modules: M, then: M) -> M:
    return seq(table(*modules), then)


MAP, SMALL = (3, 12, 13), (3, 2, 2)
CASES: dict[str, Case] = {
    "conv": (lambda: conv(3, 5, 3, 2, 2), MAP),
    "conv_no_bias": (lambda: conv(3, 5, (3, 5), bias=False, padH=1, padW=2, dW=2), MAP),
    "conv_unfolded": (lambda: unfolded(3, 5, 3, 1, 1), MAP),
    "conv_cudnn_groups": (lambda: conv(4, 6, 3, 1, 1, groups=2), (4, 8, 8)),
    "conv_cudnn_groups_5d": (lambda: conv(4, 6, 3, 1, 1, groups=2, weight=f(2, 3, 2, 3, 3)), (4, 8, 8)),
    "conv_dilated": (lambda: conv(3, 4, 3, 1, 2, name="SpatialDilatedConvolution", dilationW=2, dilationH=3), MAP),
    "conv_full": (lambda: full(3, 4, 4, 2, 1, 0), (3, 6, 7)),
    "conv_full_adj": (lambda: full(3, 4, 3, 2, 1, 1, bias=False), (3, 6, 7)),
    "linear": (lambda: vector(linear(12, 7)), SMALL),
    "linear_no_bias": (lambda: vector(linear(12, 7, bias=False)), SMALL),
    "max_pool": (lambda: pool("Max", 3, 2, 1), MAP),
    "max_pool_ceil": (lambda: pool("Max", 3, 2, ceil=True), MAP),
    "max_pool_ceil_pad": (lambda: pool("Max", 2, 2, 1, ceil=True), MAP),
    "max_pool_cudnn": (lambda: pool("cudnn.SpatialMaxPooling", 3, 2, ceil=True), MAP),
    "max_pool_inn": (lambda: pool("inn.SpatialMaxPooling", 3, 2), MAP),
    "max_pool_dilated": (lambda: pool("SpatialDilatedMaxPooling", 2, 1, dilationW=2, dilationH=2), MAP),
    "average_pool": (lambda: pool("Average", 3, 2, 1), MAP),
    "average_pool_ceil": (lambda: pool("Average", 3, 2, ceil=True), MAP),
    "average_pool_ceil_pad": (lambda: pool("Average", 3, 2, 1, ceil=True), MAP),
    "average_pool_exclude": (lambda: pool("Average", 3, 2, 1, ceil=True, count_include_pad=False), MAP),
    "average_pool_sum": (lambda: pool("Average", 3, 2, 1, divide=False), MAP),
    "average_pool_old": (lambda: m("SpatialAveragePooling", kW=2, kH=3, dW=2, dH=1), MAP),
    "average_pool_cudnn": (lambda: pool("cudnn.SpatialAveragePooling", 3, 2, 1, count_include_pad=False), MAP),
    "average_pool_inn": (lambda: pool("inn.SpatialAveragePooling", 3, 2), MAP),
    "sub_sampling": (lambda: m("SpatialSubSampling", kW=2, kH=3, dW=2, dH=3, weight=f(3), bias=f(3)), MAP),
    "lp_pool": (
        lambda: m("SpatialLPPooling", m("Square"), pool("Average", 3, 2), m("MulConstant", constant_scalar=9),
                  m("Sqrt"), kW=3, kH=3, dW=2, dH=2),
        MAP,
    ),
    "adaptive_max": (lambda: m("SpatialAdaptiveMaxPooling", W=3, H=2), (3, 6, 12)),
    "adaptive_average": (lambda: m("SpatialAdaptiveAveragePooling", W=3, H=2), (3, 6, 12)),
    "adaptive_one": (lambda: m("SpatialAdaptiveMaxPooling", W=1, H=1), MAP),
    "bn": (lambda: bn(3), MAP),
    "bn_cudnn": (lambda: bn(3, "cudnn.SpatialBatchNormalization", eps=1e-3), MAP),
    "bn_plain": (lambda: bn(3, affine=False, eps=1e-2), MAP),
    "bn_old": (lambda: old_bn(3), MAP),
    "bn_vector": (lambda: vector(bn(12, "BatchNormalization")), SMALL),
    "lrn": (lambda: lrn(5, 0.8, 2), (7, 5, 6)),
    "lrn_no_k": (lambda: lrn(3, 0.8, None, "inn.SpatialCrossResponseNormalization"), (7, 5, 6)),
    "normalize": (lambda: vector(m("Normalize", p=2, eps=0.5)), SMALL),
    "normalize_1": (lambda: vector(m("Normalize", p=1, eps=1e-10)), SMALL),
    "normalize_3": (lambda: vector(m("Normalize", p=3, eps=1e-10)), SMALL),
    "normalize_max": (lambda: vector(m("Normalize", p=math.inf, eps=0.1)), SMALL),
    "nearest": (lambda: m("SpatialUpSamplingNearest", scale_factor=2), (3, 4, 5)),
    "bilinear": (lambda: m("SpatialUpSamplingBilinear", scale_factor=3), (3, 4, 5)),
    "bilinear_size": (lambda: m("SpatialUpSamplingBilinear", owidth=9, oheight=6), (3, 4, 5)),
    # numbers
    "abs": (lambda: m("Abs"), SMALL),
    "add": (lambda: m("Add", bias=f(1), scalar=True), SMALL),
    "add_each": (lambda: m("Add", bias=f(12)), SMALL),
    "add_constant": (lambda: m("AddConstant", constant_scalar=-0.7), SMALL),
    "cadd": (lambda: m("CAdd", bias=f(1, 3, 1, 1)), SMALL),
    "clamp": (lambda: m("Clamp", min_val=-0.3, max_val=0.6), SMALL),
    "clipped_relu": (lambda: m("cudnn.ClippedReLU", ceiling=0.5), SMALL),
    "cmul": (lambda: m("CMul", weight=f(1, 3, 1, 1)), SMALL),
    "cmul_each": (lambda: m("CMul", weight=f(12)), SMALL),
    "cmul_map": (lambda: m("CMul", weight=f(3, 2, 2)), SMALL),
    "cmul_vector": (lambda: vector(m("CMul", weight=f(1, 12))), SMALL),
    "const_affine": (lambda: m("inn.ConstAffine", a=f(3), b=f(3)), SMALL),
    "mean_subtraction": (lambda: m("inn.MeanSubtraction", mean=f(3, 2, 2)), SMALL),
    "dropout": (lambda: m("Dropout", p=0.3, v2=True), SMALL),
    "dropout_v1": (lambda: m("Dropout", p=0.3, v2=False), SMALL),
    "dropout_old": (lambda: m("Dropout", p=0.3), SMALL),
    "spatial_dropout": (lambda: m("SpatialDropout", p=0.2), SMALL),
    "elu": (lambda: m("ELU", alpha=0.7), SMALL),
    "exp": (lambda: m("Exp"), SMALL),
    "hard_shrink": (lambda: m("HardShrink", **{"lambda": 0.4}), SMALL),
    "hard_tanh": (lambda: m("HardTanh", min_val=-0.5, max_val=0.25), SMALL),
    "hard_tanh_old": (lambda: m("HardTanh"), SMALL),
    "leaky_relu": (lambda: m("LeakyReLU", negval=0.2), SMALL),
    "log": (lambda: positive(m("Log")), SMALL),
    "log_sigmoid": (lambda: m("LogSigmoid"), SMALL),
    "log_soft_max": (lambda: vector(m("LogSoftMax")), SMALL),
    "mul": (lambda: m("Mul", weight=f(1)), SMALL),
    "mul_constant_0": (lambda: seq(conv(3, 2, 1), concat(identity(), m("MulConstant", constant_scalar=0))), SMALL),
    "power": (lambda: positive(m("Power", pow=1.7)), SMALL),
    "power_2": (lambda: m("Power", pow=2), SMALL),
    "prelu": (lambda: m("PReLU", nOutputPlane=3, weight=f(3)), SMALL),
    "prelu_shared": (lambda: m("PReLU", nOutputPlane=0, weight=f(1)), SMALL),
    "prelu_vector": (lambda: vector(m("PReLU", nOutputPlane=12, weight=f(12))), SMALL),
    "relu": (lambda: relu(), SMALL),
    "relu6": (lambda: seq(m("MulConstant", constant_scalar=6), m("ReLU6")), SMALL),
    "rrelu": (lambda: m("RReLU", lower=0.1, upper=0.4), SMALL),
    "sigmoid": (lambda: m("cudnn.Sigmoid"), SMALL),
    "soft_max": (lambda: vector(m("SoftMax")), SMALL),
    "soft_max_map": (lambda: m("SoftMax"), SMALL),
    "soft_max_cudnn_map": (lambda: m("cudnn.SoftMax"), SMALL),
    "soft_min": (lambda: vector(m("SoftMin")), SMALL),
    "spatial_soft_max": (lambda: m("cudnn.SpatialSoftMax"), SMALL),
    "spatial_log_soft_max": (lambda: m("SpatialLogSoftMax"), SMALL),
    "soft_plus": (lambda: m("SoftPlus", beta=1, threshold=20), SMALL),
    "soft_plus_beta": (lambda: m("SoftPlus", beta=2, threshold=1), SMALL),
    "soft_shrink": (lambda: m("SoftShrink", **{"lambda": 0.4}), SMALL),
    "soft_sign": (lambda: m("SoftSign"), SMALL),
    "sqrt": (lambda: positive(m("Sqrt")), SMALL),
    "square": (lambda: m("Square"), SMALL),
    "tanh": (lambda: m("Tanh"), SMALL),
    "tanh_shrink": (lambda: m("TanhShrink"), SMALL),
    "threshold": (lambda: m("Threshold", threshold=0.3, val=-0.2), SMALL),
    "threshold_clip": (lambda: m("Threshold", threshold=0.3, val=0.3), SMALL),
    # axes
    "view_all": (lambda: view(12), SMALL),
    "view_missing": (lambda: view(-1, 12), SMALL),
    "view_dims": (lambda: view(-1, dims=3), SMALL),
    "view_map": (lambda: view(2, -1, 3, dims=3), SMALL),
    "reshape": (lambda: m("Reshape", size=Long(6, 1, 2), nelement=12), SMALL),
    "reshape_batch": (lambda: m("Reshape", size=Long(4, 3), nelement=12, batchMode=True), SMALL),
    "collapse": (lambda: m("Collapse", nInputDim=3), SMALL),
    "squeeze": (lambda: seq(pool("Average", 2, 1), m("Squeeze")), SMALL),
    "squeeze_dim": (lambda: seq(m("Mean", dimension=3, squeeze=False), m("Squeeze", dim=2, numInputDims=3)), SMALL),
    "unsqueeze": (lambda: vector(m("Unsqueeze", pos=1, numInputDims=1), m("Unsqueeze", pos=4)), SMALL),
    "replicate": (lambda: vector(m("Replicate", nfeatures=3, dim=2, ndim=1)), SMALL),
    "mean": (lambda: seq(m("Mean", dimension=3), m("Mean", dimension=3)), MAP),
    "mean_dims": (lambda: seq(m("Mean", dimension=-1), m("Mean", dimension=2, nInputDims=2)), MAP),
    "sum_average": (lambda: m("Sum", dimension=1, nInputDims=3, sizeAverage=True, squeeze=False), MAP),
    "sum": (lambda: seq(m("Sum", dimension=4), m("Sum", dimension=3, sizeAverage=False)), MAP),
    "max": (lambda: seq(m("Max", dimension=3), m("Max", dimension=2, nInputDims=2)), MAP),
    "min": (lambda: seq(m("Min", dimension=3), m("Min", dimension=3)), MAP),
    "transpose": (lambda: m("Transpose", permutations=[[2, 3], [3, 4]]), MAP),
    "transpose_dims": (lambda: m("Transpose", permutations=[[1, 3]], numInputDims=3), MAP),
    "narrow": (lambda: m("Narrow", dimension=3, index=2, length=5), MAP),
    "narrow_negative": (lambda: m("Narrow", dimension=-1, index=3, length=-2), MAP),
    "select": (lambda: seq(m("Select", dimension=2, index=-1), m("Select", dimension=3, index=2)), MAP),
    "padding_before": (lambda: m("Padding", dim=1, pad=-2, nInputDim=3, value=0.5, index=1), MAP),
    "padding_after": (lambda: m("Padding", dim=2, pad=2), MAP),
    "padding_between": (lambda: m("Padding", dim=3, pad=-2, value=-1, index=4), MAP),
    "padding_between_back": (lambda: m("Padding", dim=3, pad=2, value=-1, index=4), MAP),
    "zero_padding": (lambda: padded("SpatialZeroPadding", 1, 2, 3, 0), MAP),
    "zero_padding_cut": (lambda: padded("SpatialZeroPadding", -1, 2, -3, 1), MAP),
    "zero_padding_cuts": (lambda: padded("SpatialZeroPadding", -1, -2, 0, -1), MAP),
    "reflection_padding": (lambda: padded("SpatialReflectionPadding", 1, 2, 3, 0), MAP),
    "replication_padding": (lambda: padded("SpatialReplicationPadding", 1, 2, 3, 0), MAP),
    # containers and tables
    "concat": (lambda: concat(*two(), identity()), SMALL),
    "concat_rows": (lambda: concat(*two(), dimension=3), SMALL),
    "depth_concat": (lambda: m("DepthConcat", conv(3, 2, 1), conv(3, 3, 4), conv(3, 2, 3, 2), dimension=2), MAP),
    "cadd_table": (lambda: table_of(*two(), conv(3, 4, 1), then=add()), SMALL),
    "csub_table": (lambda: table_of(*two(), then=m("CSubTable")), SMALL),
    "cmul_table": (lambda: table_of(*two(), conv(3, 4, 1), then=m("CMulTable")), SMALL),
    "cdiv_table": (lambda: table_of(conv(3, 4, 1), seq(conv(3, 4, 1), m("Sigmoid")), then=m("CDivTable")), SMALL),
    "cmax_table": (lambda: table_of(*two(), then=m("CMaxTable")), SMALL),
    "cmin_table": (lambda: table_of(*two(), then=m("CMinTable")), SMALL),
    "cave_table": (lambda: table_of(*two(), then=m("CAveTable")), SMALL),
    "join_table": (lambda: table_of(*two(), then=m("JoinTable", dimension=2)), SMALL),
    "join_table_dims": (lambda: table_of(*two(), then=m("JoinTable", dimension=1, nInputDims=3)), SMALL),
    "join_table_negative": (lambda: table_of(*two(), then=m("JoinTable", dimension=-1)), SMALL),
    "select_table": (lambda: table_of(*two(), then=m("SelectTable", index=-1)), SMALL),
    "narrow_table": (lambda: seq(table(*two(), identity()), m("NarrowTable", offset=1, length=2), add()), SMALL),
    "flatten_table": (lambda: seq(table(conv(3, 4, 1), table(*two())), m("FlattenTable"), add()), SMALL),
    "split_table": (lambda: seq(m("SplitTable", dimension=1, nInputDims=3), m("CMulTable")), SMALL),
    "parallel_table": (lambda: seq(table(*two()), m("ParallelTable", relu(), m("Tanh")), add()), SMALL),
    "map_table": (lambda: seq(table(*two()), m("MapTable", bn(4)), add()), SMALL),
    "parallel": (
        lambda: seq(m("View", size=Long(3, 4), numInputDims=3),
                    m("Parallel", linear(4, 2), linear(4, 3), linear(4, 2), inputDimension=2, outputDimension=2)),
        SMALL,
    ),
    "data_parallel": (lambda: m("DataParallelTable", seq(conv(3, 4, 1), relu()), version=3), SMALL),
    "wrapper": (lambda: seq(m("Profile", conv(3, 4, 1)), m("Identity"), m("Copy"), m("GradientReversal")), SMALL),
}  # fmt: skip

# Made last, so that the others keep their numbers.
LATER: dict[str, Case] = {
    "adaptive_max_uneven": (lambda: m("SpatialAdaptiveMaxPooling", W=4, H=3), (2, 8, 7)),
    "adaptive_average_uneven": (lambda: m("SpatialAdaptiveAveragePooling", W=4, H=3), (2, 8, 7)),
}


def pattern(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Smooth coloured patterns, uint8, another one for each image and channel."""
    dice = np.random.default_rng(seed)
    count, channels, height, width = shape
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    out = np.zeros(shape)
    for n in range(count):
        for c in range(channels):
            for _ in range(3):
                a, b, phase = dice.uniform(-7, 7), dice.uniform(-7, 7), dice.uniform(0, 6)
                out[n, c] += np.sin(a * x + b * y + phase) * dice.uniform(0.3, 1)
            out[n, c] += dice.uniform(-0.5, 0.5)
    return np.clip(out * 55 + 128, 0, 255).round().astype(np.uint8)


def settle(module: M, xs: Any) -> None:
    """Gives batch normalisation the statistics of a real batch, moved a little, so that deep nets keep their scale."""

    def hook(at: M, x: Any) -> None:
        if at.base.endswith("BatchNormalization") and x.dim() in (2, 4):
            axes = (0, 2, 3)[: x.dim() - 1] if x.dim() == 4 else (0,)
            mean, variance = x.mean(axes).numpy(), x.var(axes).numpy() + 0.05
            mean = mean + RNG.normal(size=mean.shape) * 0.2 * variance**0.5
            variance = variance * RNG.uniform(0.6, 1.5, size=mean.shape)
            at.fields["running_mean"] = mean.astype(np.float32)
            if at.running_std is not None:
                at.fields["running_std"] = ((variance + at.eps) ** -0.5).astype(np.float32)
            else:
                at.fields["running_var"] = variance.astype(np.float32)

    run(module, xs, hook=hook)


def answer(module: M, arrays: list[np.ndarray], seen: dict[str, Any] | None = None) -> list[np.ndarray]:
    xs = [torch.from_numpy((a.astype(np.float64) - 128) / 64) for a in arrays]
    y = run(module, xs if len(xs) > 1 else xs[0], seen)
    return [v.detach().numpy() for v in (y if isinstance(y, list) else [y])]


def same_objects(value: Any, read: Any, where: str) -> None:
    """Checks that torchfile reads the module's tensors and numbers as they were written."""
    fields = read._obj if hasattr(read, "_obj") else read
    for key, entry in value.fields.items():
        found = fields[key.encode()]
        if isinstance(entry, np.ndarray) and entry.size:
            assert np.array_equal(found, entry), where
        elif isinstance(entry, int | float) and not isinstance(entry, bool):
            assert found == entry or (found != found), where
        elif key == "modules":
            for child, child_read in zip(entry, found, strict=True):
                same_objects(child, child_read, f"{where} {child.name}")


OPENCV = """
import json, sys, numpy as np, cv2
told = {}
for name in json.load(open(sys.argv[1] + "/names.json")):
    try:
        net = cv2.dnn.readNetFromTorch(f"{sys.argv[1]}/{name}.t7", True)
        net.setInput(np.load(f"{sys.argv[1]}/{name}.x.npy"))
        np.save(f"{sys.argv[1]}/{name}.cv.npy", net.forward())
    except cv2.error as error:
        told[name] = str(error).strip().splitlines()[-1][:100]
json.dump(told, open(sys.argv[1] + "/told.json", "w"))
"""


def against_opencv(python: str, answers: dict[str, tuple[bytes, np.ndarray, np.ndarray]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, (raw, x, _) in answers.items():
            Path(folder, f"{name}.t7").write_bytes(raw)
            np.save(f"{folder}/{name}.x.npy", (x.astype(np.float32) - 128) / 64)
        Path(folder, "names.json").write_text(json.dumps(list(answers)))
        subprocess.run([python, "-c", OPENCV, folder], check=True, stderr=subprocess.DEVNULL)
        refused = json.loads(Path(folder, "told.json").read_text())
        agreed, differ = [], []
        for name, (_, _, y) in answers.items():
            if name in refused:
                continue
            found = np.load(f"{folder}/{name}.cv.npy")
            if found.size != y.size:
                differ.append(f"{name}: {found.shape} for {y.shape}")
                continue
            error = np.abs(found.reshape(y.shape) - y).max() / np.abs(y).max()
            (agreed if error < 1e-4 else differ).append(name if error < 1e-4 else f"{name}: {error:.2g}")
    print(f"OpenCV agrees on {len(agreed)}, refuses {len(refused)}, differs on {len(differ)}:")
    print("  agrees:", ", ".join(agreed))
    print("  differs:", *differ, sep="\n    ")
    known = {"average_pool_sum", "normalize_max", "soft_max_cudnn_map"}
    assert {told.split(":")[0] for told in differ} <= known | {"join_table_dims", "join_table_negative"}


def keep(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Uncompressed inside .xz: the many small arrays share what they have in common."""
    held = io.BytesIO()
    np.savez(held, **arrays)
    path.write_bytes(lzma.compress(held.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    answers: dict[str, tuple[bytes, np.ndarray, np.ndarray]] = {}
    for old in HERE.glob("*.t7"):
        old.unlink()
    for i, (name, (make, shape)) in enumerate({**CASES, **NETS, **LATER}.items()):
        module = make()
        count = len(module.inputs) if isinstance(module, Graph) else 1
        given = [pattern((2, *shape), 10 * i + j) for j in range(count)]
        xs = [torch.from_numpy((a.astype(np.float64) - 128) / 64) for a in given]
        if name.startswith("net_"):
            settle(module, xs if count > 1 else xs[0])
        raw = dumps(module, cuda=name in ("net_alexnet", "conv_cudnn_groups", "bn_cudnn", "data_parallel"))
        (HERE / f"{name}.t7").write_bytes(raw)
        if not isinstance(module, Graph) and name not in ("data_parallel", "normalize_max"):
            same_objects(module, torchfile.load(str(HERE / f"{name}.t7")), name)
        seen: dict[str, Any] = {}
        ys = answer(module, given, seen)
        if not name.startswith("net_") or count > 1:
            seen = {}
        largest = np.abs(ys[0]).max()
        change = np.abs(ys[0][0] - ys[0][1]).max() / largest
        other = answer(module, [pattern(a.shape, 9000 + i) for a in given])
        change = min(change, np.abs(other[0] - ys[0]).max() / largest)
        assert change > 0.02, f"{name} hardly changes with its input: {change}"
        for j, x in enumerate(given):
            arrays[f"{name}/x{j if count > 1 else ''}"] = x
        for j, y in enumerate(ys):
            arrays[f"{name}/y{j if len(ys) > 1 else ''}"] = y.astype(np.float32)
        leaves = [path for path, y in seen.items() if isinstance(y, torch.Tensor) and y[0].numel() <= 2500]
        for path in leaves[:: max(len(leaves) // 5, 1)]:
            arrays[f"{name}/at/{path}"] = seen[path].numpy()[:1].astype(np.float32)
        if count == 1:
            answers[name] = (raw, given[0], ys[0])
    keep(HERE / "arrays.npz.xz", arrays)
    if len(sys.argv) > 1:
        against_opencv(sys.argv[1], answers)
    size = sum(path.stat().st_size for path in HERE.iterdir() if path.is_file())
    print(f"{len(answers)} cases, {size:,} bytes")


if __name__ == "__main__":
    main()
