"""PolyNet (Zhang et al., arXiv:1611.05725), as pretrainedmodels has it (models/polynet.py): Inception-ResNet modules in
which several paths are added at once, scaled.

A 2-way module adds two blocks of the same input. A poly-3 module adds a block, that block of its own output, and once
more; their branches share the convolutions, but neither normalisations nor the last convolution. In the Keras model
each has its own copy of them.

The network ends in an average over all positions; pretrainedmodels averages 9x9, which is the same at 331.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.branches import Branches, numbered, torch_dialect
from zoo.architectures.net import Net, Pair
from zoo.graph import Graph

_STEM = ("32:3x3/2v", "32:3x3v", "64:3x3")
BLOCKS: Mapping[str, tuple[str, ...]] = {
    "a": ("32 48:3x3 64:3x3", "32 32:3x3", "32"),
    "b": ("128 160:1x7 192:7x1", "192"),
    "c": ("192 224:1x3 256:3x1", "192"),
}
POLY: Mapping[str, tuple[tuple[str, int, Pair], ...]] = {
    "b": (("path0_1x1", 128, 1), ("path0_1x7", 160, (1, 7)), ("path0_7x1", 192, (7, 1)), ("path1", 192, 1)),
    "c": (("path0_1x1", 192, 1), ("path0_1x3", 224, (1, 3)), ("path0_3x1", 256, (3, 1)), ("path1", 192, 1)),
}
"""The same branches as those of `BLOCKS`, by the names that poly-3 modules give them."""
REDUCTIONS: Mapping[str, tuple[str, ...]] = {
    "a": ("256 256:3x3 384:3x3/2v", "384:3x3/2v", "max/2v"),
    "b": ("256 256:3x3 256:3x3/2v", "256 256:3x3/2v", "256 384:3x3/2v", "max/2v"),
}
STAGES: Mapping[str, int] = {"a": 10, "b": 20, "c": 10}
"""Modules of each stage; in the last two poly-3 modules and 2-way modules take turns."""
WAYS, ORDER = 2, 3

PUBLISHED: Mapping[str, Sequence[str]] = {"pretrainedmodels": ("polynet",)}

_DIALECT = torch_dialect(numbered("path"), epsilon=1e-5)


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    to = Branches(Net(_DIALECT.style), _DIALECT)
    value, count = _stem(to, "image"), 0
    for stage, modules in STAGES.items():
        for index in range(modules):
            # 1 at the first module of all, 0.7 at the last, as its definition rounds it
            scale = round(1 - 0.3 * count / (sum(STAGES.values()) - 1), 6)
            module = _way if stage == "a" or index % 2 else _poly
            value = module(to, value, f"stage_{stage}.{index}", stage, scale)
            count += 1
        if stage in REDUCTIONS:
            value = to.module(value, f"reduction_{stage}", REDUCTIONS[stage])
    value = to.torch_head(value, "avg_pool", "last_linear", classes, dropout=0.2)
    return to.net.graph(variant, value, size or 331)


def _stem(to: Branches, value: str) -> str:
    value = to.chain(value, [(f"stem.conv1.{index}", step) for index, step in enumerate(_STEM)])
    value = _halved(to, value, "stem.conv1", 96)
    short = to.chain(value, (("stem.conv2_short.0", "64"), ("stem.conv2_short.1", "96:3x3v")))
    long = to.chain(value, (("stem.conv2_long.0", "64"), ("stem.conv2_long.1", "64:7x1"),
                            ("stem.conv2_long.2", "64:1x7"), ("stem.conv2_long.3", "96:3x3v")))  # fmt: skip
    return _halved(to, to.net.concat("stem.conv2", short, long), "stem.conv2", 192)


def _halved(to: Branches, value: str, name: str, channels: int) -> str:
    pooled = to.net.max_pool(value, f"{name}_pool_branch", 3, 2)
    convolved = to.unit(value, f"{name}_branch", channels, 3, 2, pad="valid")
    return to.net.concat(f"{name}.halved", pooled, convolved)


def _way(to: Branches, value: str, name: str, stage: str, scale: float) -> str:
    ends = []
    for way in range(WAYS):
        block = f"{name}.blocks.{way}"
        end = to.module(value, block, BLOCKS[stage], output=f"{block}.concat")
        ends.append(to.unit(end, f"{block}.conv2d", to.net.channels[value], act=False))
    return to.residual(value, name, *ends, scale=scale)


def _poly(to: Branches, value: str, name: str, stage: str, scale: float) -> str:
    net, taken, ends = to.net, value, []
    *way, (path1, out1, _) = POLY[stage]
    for index in range(ORDER):
        end = taken
        for path, out, kernel in way:
            end = _shared(net, end, f"{name}.{path}", index, out, kernel)
        other = _shared(net, taken, f"{name}.{path1}", index, out1, 1)
        joined = net.concat(f"{name}.concat.{index}", end, other)
        ends.append(to.unit(joined, f"{name}.conv2d_blocks.{index}", net.channels[value], act=False))
        if index < ORDER - 1:
            taken = net.act(ends[-1], f"{name}.relu.{index}", "relu")
    return to.residual(value, name, *ends, scale=scale)


def _shared(net: Net, value: str, name: str, index: int, out: int, kernel: Pair) -> str:
    value = net.conv(value, f"{name}.conv.{index}", out, kernel, weights=f"{name}.conv.weight")
    return net.act(net.norm(value, f"{name}.bn_blocks.{index}"), f"{name}.relu.{index}", "relu")
