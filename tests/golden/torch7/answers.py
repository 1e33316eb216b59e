"""What each Torch module computes, said with PyTorch's functions, on real batches and with Lua's way of counting."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from t7 import M

Record = dict[str, Any]


def t(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array)).double()


def pick(m: M, *keys: str, default: Any = 0) -> tuple[int, ...]:
    return tuple(m.fields.get(key, default) for key in keys)


def conv(m: M, x: torch.Tensor) -> torch.Tensor:
    groups, (kh, kw) = m.groups or 1, pick(m, "kH", "kW")
    pads = pick(m, "padH", "padW") if m.padding is None else (m.padding, m.padding)
    weight = t(m.weight).reshape(m.nOutputPlane, m.nInputPlane // groups, kh, kw)
    bias = None if m.bias is None else t(m.bias)
    dilation = pick(m, "dilationH", "dilationW", default=1)
    return F.conv2d(x, weight, bias, pick(m, "dH", "dW", default=1), pads, dilation, groups)


def full(m: M, x: torch.Tensor) -> torch.Tensor:
    bias = None if m.bias is None else t(m.bias)
    adj = pick(m, "adjH", "adjW")
    return F.conv_transpose2d(x, t(m.weight), bias, pick(m, "dH", "dW"), pick(m, "padH", "padW"), adj, m.groups or 1)


def max_pool(m: M, x: torch.Tensor) -> torch.Tensor:
    ceil = bool(m.ceil_mode) or m.name.startswith("inn.")
    dilation = pick(m, "dilationH", "dilationW", default=1)
    return F.max_pool2d(x, pick(m, "kH", "kW"), pick(m, "dH", "dW"), pick(m, "padH", "padW"), dilation, ceil)


def average(m: M, x: torch.Tensor) -> torch.Tensor:
    ceil = bool(m.ceil_mode) or m.name.startswith("inn.")
    include = m.count_include_pad in (None, True)
    y = F.avg_pool2d(x, pick(m, "kH", "kW"), pick(m, "dH", "dW"), pick(m, "padH", "padW"), ceil, include)
    sums = m.divide is False or (m.divide is None and m.name.startswith("nn."))
    return y * m.kH * m.kW if sums else y


def norm(m: M, x: torch.Tensor) -> torch.Tensor:
    eps = m.fields.get("eps", 1e-5)
    variance = t(m.running_var) if m.running_var is not None else t(m.running_std) ** -2 - eps
    weight, bias = (None if v is None else t(v) for v in (m.weight, m.bias))
    return F.batch_norm(x, t(m.running_mean), variance, weight, bias, eps=eps)


def dim(m: M, x: torch.Tensor, key: str = "dimension", dims: str = "nInputDims") -> int:
    d = m.fields.get(key, 1)
    if d < 0:
        return x.dim() + d
    return d if m.fields.get(dims) is not None and x.dim() == m.fields[dims] + 1 else d - 1


def view(m: M, x: torch.Tensor) -> torch.Tensor:
    sizes, dims = [int(n) for n in m.size.numbers], m.numInputDims
    used = x.dim() if dims is None else dims
    elements = math.prod(x.shape[x.dim() - used :])
    batch = 1 if -1 in sizes else elements // math.prod(sizes)
    batch *= math.prod(x.shape[: x.dim() - used])
    if batch == 1 and (dims is None or x.dim() <= dims):
        return x.reshape(sizes)
    return x.reshape(batch, *sizes)


def reshape(m: M, x: torch.Tensor) -> torch.Tensor:
    sizes, mode = [int(n) for n in m.size.numbers], m.batchMode
    if mode is False or (mode is None and x.numel() == math.prod(sizes) and x.shape[0] != 1):
        return x.reshape(sizes)
    return x.reshape(x.shape[0], *sizes)


def reduction(how: str) -> Callable[[M, torch.Tensor], torch.Tensor]:
    def run(m: M, x: torch.Tensor) -> torch.Tensor:
        d = dim(m, x)
        y = {"sum": x.sum, "max": x.amax, "min": x.amin}[how](d, keepdim=True)
        if m.base == "Mean" or m.sizeAverage:
            y = y / x.shape[d]
        return y.squeeze(d) if m.squeeze in (None, True) and y.dim() > 1 else y

    return run


def transpose(m: M, x: torch.Tensor) -> torch.Tensor:
    offset = x.dim() - m.numInputDims if m.numInputDims else 0
    for first, second in m.permutations:
        x = x.transpose(first - 1 + offset, second - 1 + offset)
    return x


def padding(m: M, x: torch.Tensor) -> torch.Tensor:
    d = m.dim - 1 + (1 if m.nInputDim and x.dim() != m.nInputDim else 0)
    pad, index, size = m.pad, m.index or 1, x.shape[d]
    if pad > 0:
        index = size - index + 2
    shape = list(x.shape)
    shape[d] = abs(pad)
    filled = torch.full(shape, float(m.value or 0), dtype=x.dtype)
    return torch.cat([x.narrow(d, 0, index - 1), filled, x.narrow(d, index - 1, size - index + 1)], d)


def narrow(m: M, x: torch.Tensor) -> torch.Tensor:
    d = m.dimension - 1 if m.dimension > 0 else x.dim() + m.dimension
    index, length = m.index, m.length or 1
    if length < 0:
        length = x.shape[d] - index + length + 2
    if index < 0:
        index, length = 1, x.shape[d] - length
    return x.narrow(d, index - 1, length)


def select(m: M, x: torch.Tensor) -> torch.Tensor:
    d = m.dimension - 1 if m.dimension > 0 else x.dim() + m.dimension
    return x.select(d, m.index - 1 if m.index > 0 else m.index)


def learned(key: str) -> Callable[[M, torch.Tensor], torch.Tensor]:
    def run(m: M, x: torch.Tensor) -> torch.Tensor:
        w = t(m.fields[key])
        if w.numel() == x.numel():
            w = w.reshape(x.shape)
        elif w.dim() != x.dim():
            w = w.reshape(1, *x.shape[1:])
        return x * w if key == "weight" else x + w

    return run


def zero_padding(m: M, x: torch.Tensor, mode: str = "constant") -> torch.Tensor:
    return F.pad(x, (m.pad_l, m.pad_r, m.pad_t, m.pad_b), mode=mode)


def unsqueeze(m: M, x: torch.Tensor) -> torch.Tensor:
    return x.unsqueeze(m.pos - 1 + (x.dim() - m.numInputDims if m.numInputDims else 0))


def normalize(m: M, x: torch.Tensor) -> torch.Tensor:
    eps = m.fields.get("eps", 1e-10)
    if math.isinf(m.p):
        return x / (x.abs().amax(1, keepdim=True) + eps)
    return x / (x.abs().pow(m.p).sum(1, keepdim=True) + eps).pow(1 / m.p)


def softmax(m: M, x: torch.Tensor) -> torch.Tensor:
    log = "Log" in m.base
    if m.name.startswith("cudnn.") and not m.base.startswith("Spatial") and x.dim() == 4:
        flat = x.flatten(1)
        return (F.log_softmax(flat, 1) if log else F.softmax(flat, 1)).reshape(x.shape)
    x = -x if m.base == "SoftMin" else x
    d = 0 if x.dim() in (1, 3) else 1
    return F.log_softmax(x, d) if log else F.softmax(x, d)


def prelu(m: M, x: torch.Tensor) -> torch.Tensor:
    return F.prelu(x, t(m.weight))


def dropout(m: M, x: torch.Tensor) -> torch.Tensor:
    return x * (1 - m.p) if m.base == "SpatialDropout" or not m.v2 else x


def lrn(m: M, x: torch.Tensor) -> torch.Tensor:
    return F.local_response_norm(x, m.size, m.alpha, m.beta, m.fields.get("k", 1.0))


def bilinear(m: M, x: torch.Tensor) -> torch.Tensor:
    size = (m.oheight, m.owidth) if m.scale_factor is None else [n * m.scale_factor for n in x.shape[2:]]
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


def sub_sampling(m: M, x: torch.Tensor) -> torch.Tensor:
    count, (kh, kw) = x.shape[1], pick(m, "kH", "kW")
    weight = t(m.weight).reshape(count, 1, 1, 1).expand(count, 1, kh, kw)
    return F.conv2d(x, weight, t(m.bias), pick(m, "dH", "dW"), groups=count)


def soft_plus(m: M, x: torch.Tensor) -> torch.Tensor:
    return F.softplus(x, m.beta or 1, m.threshold or 20)


def replicate(m: M, x: torch.Tensor) -> torch.Tensor:
    d = (m.dim or 1) - 1 + (1 if m.ndim and x.dim() > m.ndim else 0)
    return x.unsqueeze(d).repeat_interleave(m.nfeatures, d)


def squeeze(m: M, x: torch.Tensor) -> torch.Tensor:
    if m.fields.get("dim") is None:
        return x.squeeze()
    return x.squeeze(m.dim if m.numInputDims and x.dim() == m.numInputDims + 1 else m.dim - 1)


def per_channel(array: Any, x: torch.Tensor) -> torch.Tensor:
    return t(array).reshape(1, -1, *(1,) * (x.dim() - 2))


LEAVES: dict[str, Callable[[M, Any], Any]] = {
    "Abs": lambda m, x: x.abs(),
    "Add": lambda m, x: x + (t(m.bias) if len(m.bias) == 1 else t(m.bias).reshape(1, *x.shape[1:])),
    "AddConstant": lambda m, x: x + m.constant_scalar,
    "BatchNormalization": norm,
    "CAdd": learned("bias"),
    "CMul": learned("weight"),
    "Clamp": lambda m, x: x.clamp(m.min_val, m.max_val),
    "ClippedReLU": lambda m, x: x.clamp(0, m.ceiling),
    "Collapse": lambda m, x: x.flatten(1),
    "ConstAffine": lambda m, x: x * per_channel(m.a, x) + per_channel(m.b, x),
    "Dropout": dropout,
    "ELU": lambda m, x: F.elu(x, m.alpha),
    "Exp": lambda m, x: x.exp(),
    "HardShrink": lambda m, x: F.hardshrink(x, m.fields["lambda"]),
    "HardTanh": lambda m, x: F.hardtanh(x, m.fields.get("min_val", -1), m.fields.get("max_val", 1)),
    "LeakyReLU": lambda m, x: F.leaky_relu(x, m.negval),
    "Linear": lambda m, x: F.linear(x, t(m.weight), None if m.bias is None else t(m.bias)),
    "Log": lambda m, x: x.log(),
    "LogSigmoid": lambda m, x: F.logsigmoid(x),
    "Max": reduction("max"),
    "Mean": reduction("sum"),
    "MeanSubtraction": lambda m, x: x - t(m.mean),
    "Min": reduction("min"),
    "Mul": lambda m, x: x * t(m.weight),
    "MulConstant": lambda m, x: x * m.constant_scalar,
    "Narrow": narrow,
    "Normalize": normalize,
    "PReLU": prelu,
    "Padding": padding,
    "Power": lambda m, x: x.pow(m.pow),
    "RReLU": lambda m, x: F.rrelu(x, m.lower, m.upper, training=False),
    "ReLU": lambda m, x: F.relu(x),
    "ReLU6": lambda m, x: F.relu6(x),
    "Replicate": replicate,
    "Reshape": reshape,
    "Select": select,
    "Sigmoid": lambda m, x: x.sigmoid(),
    "SoftPlus": soft_plus,
    "SoftShrink": lambda m, x: F.softshrink(x, m.fields["lambda"]),
    "SoftSign": lambda m, x: F.softsign(x),
    "SpatialAdaptiveAveragePooling": lambda m, x: F.adaptive_avg_pool2d(x, (m.H, m.W)),
    "SpatialAdaptiveMaxPooling": lambda m, x: F.adaptive_max_pool2d(x, (m.H, m.W)),
    "SpatialAveragePooling": average,
    "SpatialConvolution": conv,
    "SpatialCrossMapLRN": lrn,
    "SpatialDropout": dropout,
    "SpatialFullConvolution": full,
    "SpatialMaxPooling": max_pool,
    "SpatialReflectionPadding": lambda m, x: zero_padding(m, x, "reflect"),
    "SpatialReplicationPadding": lambda m, x: zero_padding(m, x, "replicate"),
    "SpatialSubSampling": sub_sampling,
    "SpatialUpSamplingBilinear": bilinear,
    "SpatialUpSamplingNearest": lambda m, x: F.interpolate(x, scale_factor=m.scale_factor, mode="nearest"),
    "SpatialZeroPadding": zero_padding,
    "Sqrt": lambda m, x: x.sqrt(),
    "Square": lambda m, x: x.square(),
    "Squeeze": squeeze,
    "Sum": reduction("sum"),
    "Tanh": lambda m, x: x.tanh(),
    "TanhShrink": lambda m, x: F.tanhshrink(x),
    "Threshold": lambda m, x: F.threshold(x, m.threshold, m.val),
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    "View": view,
    # tables
    "CAddTable": lambda m, xs: sum(xs[1:], xs[0]),
    "CAveTable": lambda m, xs: sum(xs[1:], xs[0]) / len(xs),
    "CDivTable": lambda m, xs: xs[0] / xs[1],
    "CMaxTable": lambda m, xs: torch.stack(xs).amax(0),
    "CMinTable": lambda m, xs: torch.stack(xs).amin(0),
    "CMulTable": lambda m, xs: math.prod(xs[1:], start=xs[0]),
    "CSubTable": lambda m, xs: xs[0] - xs[1],
    "FlattenTable": lambda m, xs: flattened(xs),
    "JoinTable": lambda m, xs: torch.cat(xs, dim(m, xs[0])),
    "NarrowTable": lambda m, xs: xs[m.offset - 1 : m.offset - 1 + (m.length or 1)],
    "SelectTable": lambda m, xs: xs[m.index - 1 if m.index > 0 else m.index],
    "SplitTable": lambda m, x: list(x.unbind(dim(m, x))),
}
LEAVES.update(dict.fromkeys(("Identity", "Copy", "Contiguous", "GradientReversal", "L1Penalty"), lambda m, x: x))
LEAVES.update(dict.fromkeys(("SoftMax", "LogSoftMax", "SoftMin", "SpatialSoftMax", "SpatialLogSoftMax"), softmax))
LEAVES.update(dict.fromkeys(("SpatialConvolutionMM", "SpatialDilatedConvolution"), conv))
LEAVES.update({"SpatialBatchNormalization": norm, "SpatialDilatedMaxPooling": max_pool})
LEAVES["SpatialCrossResponseNormalization"] = lrn


def flattened(xs: Any) -> list[Any]:
    return [y for x in xs for y in flattened(x)] if isinstance(xs, list) else [xs]


def depth_concat(m: M, ys: list[torch.Tensor]) -> torch.Tensor:
    """Every smaller output is put at floor((large - small) / 2), counted from 0, into zeros."""
    d = m.dimension - 1
    size = [max(y.shape[i] for y in ys) for i in range(ys[0].dim())]
    size[d] = sum(y.shape[d] for y in ys)
    out = torch.zeros(size, dtype=ys[0].dtype)
    offset = 0
    for y in ys:
        window = out.narrow(d, offset, y.shape[d])
        offset += y.shape[d]
        for i in range(y.dim()):
            if i != d and size[i] != y.shape[i]:
                window = window.narrow(i, math.floor((size[i] - y.shape[i]) / 2), y.shape[i])
        window.copy_(y)
    return out


def run(m: M, x: Any, seen: Record | None = None, path: str = "", hook: Callable[[M, Any], None] | None = None) -> Any:
    """Returns a network's output; `seen` collects every module's by path, `hook` sees modules with their inputs."""

    def child(i: int, x: Any) -> Any:
        return run(m.modules[i - 1], x, seen, f"{path}.{i}" if path else str(i), hook)

    count = len(m.modules or ())
    if hook is not None:
        hook(m, x)
    if m.base in ("Sequential", "SpatialLPPooling"):
        y = x
        for i in range(1, count + 1):
            y = child(i, y)
    elif m.base == "DataParallelTable":
        y = run(m.modules[0], x, seen, path, hook)
    elif m.base in ("Inception", "Profile", "Decorator"):
        y = child(1, x)
    elif m.base in ("Concat", "ConcatTable", "DepthConcat"):
        y = [child(i, x) for i in range(1, count + 1)]
        if m.base != "ConcatTable":
            y = torch.cat(y, m.dimension - 1) if m.base == "Concat" else depth_concat(m, y)
    elif m.base == "DenseConnectLayerCustom":
        y = [*x] if isinstance(x, list) else [x]
        y.append(child(2, child(1, torch.cat(y, 1))))
    elif m.base == "ParallelTable":
        y = [child(i, x[i - 1]) for i in range(1, count + 1)]
    elif m.base == "MapTable":
        y = [run(m.modules[0], entry, None, "", hook) for entry in x]
    elif m.base == "Parallel":
        y = [child(i, x.select(m.inputDimension - 1, i - 1)) for i in range(1, count + 1)]
        y = torch.cat(y, m.outputDimension - 1)
    elif m.base == "gModule":
        y = m.run(child, x)
    else:
        y = LEAVES[m.base](m, x)
    if seen is not None and path:
        seen[path] = y
    return y
