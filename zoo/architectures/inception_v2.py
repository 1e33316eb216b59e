"""Inception with batch normalisation, or Inception v2 (Ioffe & Szegedy, arXiv:1502.03167), in two networks.

- `bninception` in pretrainedmodels (models/bninception.py): a Caffe network in torch. Pools round up as Caffe's do,
  averages count the padding, convolutions have a bias.
- `inception-v2` in slim (tensorflow/models research/slim/nets/inception_v2.py): the first convolution is separable
  with eight maps per colour, and has a bias in place of a normalisation; two modules project their pools to fewer
  channels; SAME padding, no gamma.

Both end in an average over all positions; their own code averages 7x7, which is the same at 224.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from zoo.architectures.branches import STEPS, Branches, Dialect, Steps, slim_dialect
from zoo.architectures.net import TORCH, Net
from zoo.graph import Graph

MODULES: Mapping[str, tuple[str, tuple[int, ...], str]] = {
    "3a": ("3b", (64, 64, 64, 64, 96), "avg 32"),
    "3b": ("3c", (64, 64, 96, 64, 96), "avg 64"),
    "3c": ("4a", (0, 128, 160, 64, 96), "max"),
    "4a": ("4b", (224, 64, 96, 96, 128), "avg 128"),
    "4b": ("4c", (192, 96, 128, 96, 128), "avg 128"),
    "4c": ("4d", (160, 128, 160, 128, 160), "avg 128"),
    "4d": ("4e", (96, 128, 192, 160, 192), "avg 128"),
    "4e": ("5a", (0, 128, 192, 192, 256), "max"),
    "5a": ("5b", (352, 192, 320, 160, 224), "avg 128"),
    "5b": ("5c", (352, 192, 320, 192, 224), "max 128"),
}
"""Caffe's name -> slim's; channels of 1x1 (0: there is none, and the map gets smaller), of 3x3 and of double 3x3 each
before and after; the branch with a pool."""
_SLIM_POOLS = {"4c": "avg 96", "4d": "avg 96"}
PUBLISHED: Mapping[str, Sequence[str]] = {"pretrainedmodels": ("bninception",), "slim": ("inception-v2",)}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    size = size or 224
    return _slim(variant, classes, size) if dialect == "slim" else _caffe(variant, classes, size)


# ------------------------------------------------------------------------------------------------------- bninception


def _caffe_names(branch: int, steps: Steps) -> list[tuple[str, ...]]:
    if steps[0][0].kind != "conv":
        endings: tuple[str, ...] = ("pool", "pool_proj")[: len(steps)]
    else:
        endings = (("1x1",), ("3x3_reduce", "3x3"), ("double_3x3_reduce", "double_3x3_1", "double_3x3_2"))[
            len(steps) - 1
        ]
    return [(name,) for name in endings]


def _caffe_layers(name: str) -> tuple[str, str, str]:
    """The ReLU of `inception_3a_1x1` is `inception_3a_relu_1x1`."""
    return name, f"{name}_bn", re.sub(r"^(inception_\w\w|conv\d)_", r"\1_relu_", name.removesuffix("_s2"))


_CAFFE = Dialect(TORCH, _caffe_layers, _caffe_names, between="_", bias=True, ceil=True)


def _caffe(variant: str, classes: int, size: int) -> Graph:
    to = Branches(Net(_CAFFE.style), _CAFFE)
    value = to.chain("image", (("conv1_7x7_s2", "64:7x7/2"), ("pool1_3x3_s2", "max/2v"), ("conv2_3x3_reduce", "64"),
                               ("conv2_3x3", "192:3x3"), ("pool2_3x3_s2", "max/2v")))  # fmt: skip
    for name, (_, channels, pool) in MODULES.items():
        module = f"inception_{name}"
        value = to.module(value, module, branches_of(channels, pool, "max/2v"), output=f"{module}_output")
    return to.net.graph(variant, to.torch_head(value, "global_pool", "last_linear", classes), size)


# -------------------------------------------------------------------------------------------------------------- slim

_SLIM = slim_dialect()
_SCOPE = "InceptionV2"


def _slim(variant: str, classes: int, size: int) -> Graph:
    to = Branches(Net(_SLIM.style), _SLIM)
    stem = (("MaxPool_2a_3x3", "max/2"), ("Conv2d_2b_1x1", "64"), ("Conv2d_2c_3x3", "192:3x3"),
            ("MaxPool_3a_3x3", "max/2"))  # fmt: skip
    value = _separable(to, "image", f"{_SCOPE}/Conv2d_1a_7x7")
    value = to.chain(value, [(f"{_SCOPE}/{name}", step) for name, step in stem])
    for name, (theirs, channels, pool) in MODULES.items():
        branches = branches_of(channels, _SLIM_POOLS.get(name, pool), "max/2")
        value = to.module(value, f"{_SCOPE}/Mixed_{theirs}", branches)
    value = to.slim_head(value, _SCOPE, ("AvgPool_1a_7x7", "Dropout_1b", "Conv2d_1c_1x1"), classes, dense=False)
    return to.net.graph(variant, value, size, ignored={"global_step": STEPS})


def _separable(to: Branches, value: str, name: str) -> str:
    """slim's scope gives a normalisation to conv2d only."""
    net, maps, out = to.net, 8, 64
    channels = net.channels[value]
    value = net.conv(value, name, maps * channels, 7, 2, groups=channels)
    kernel = net.param(f"{name}/pointwise_weights", out, maps * channels, 1, 1, stored="HWIO")
    bias = net.param(f"{name}/biases", out)
    value = net.node("Conv", f"{name}/pointwise", value, kernel, bias, channels=out, kernel_shape=(1, 1))
    return net.act(value, f"{name}/Relu", "relu")


def branches_of(channels: tuple[int, ...], pool: str, smaller: str) -> tuple[str, ...]:
    """The branches of a module; `smaller` is the pool of one that makes the map smaller."""
    one, reduce, three, double_reduce, double = channels
    if not one:
        return f"{reduce} {three}:3x3/2", f"{double_reduce} {double}:3x3 {double}:3x3/2", smaller
    return f"{one}", f"{reduce} {three}:3x3", f"{double_reduce} {double}:3x3 {double}:3x3", pool
