"""ResNets that TensorFlow 1 checkpoints hold: batch normalisation behind each convolution (arXiv:1512.03385).

All but ry's pad convolutions with a stride as much on both sides; the stem's max pool pads as TensorFlow's SAME, one
row below.

- slim (tensorflow/models research/slim/nets/resnet_v1.py): the stride is in the last unit of a block, in its 3x3
  convolution; that unit's shortcut is a 1x1 max pool. Logits are a 1x1 convolution.
- official (tensorflow/models official/r1/resnet/resnet_model.py, `resnet_version=1`): the stride is in the first unit's
  3x3 convolution and its shortcut. Layers are numbered through: `conv2d`, `conv2d_1`.
- tpu (tensorflow/tpu models/official/resnet/resnet_model.py): as official, without a scope. The `resnetrs` networks
  (arXiv:2103.07579; configurations in resnet_rs/) have a stem of 3x3 convolutions, the last in place of the max pool,
  average pools before strided shortcuts, and squeeze-and-excitation. Their published accuracy is that of the moving
  averages (`.../ExponentialMovingAverage`), statistics of the batch normalisations included.
- ry (ry/tensorflow-resnet resnet.py @ccb9cc8c): Caffe's weights, so the stride is in the first unit's first 1x1
  convolution and its shortcut; but an epsilon of 1e-3 and TensorFlow's SAME everywhere, so the numbers are not Caffe's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from zoo.architectures.net import SLIM, TPU, Net, Style
from zoo.graph import Graph

REPEATS: Mapping[int, tuple[int, ...]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
    270: (4, 29, 53, 4),
    350: (4, 36, 72, 4),
    420: (4, 44, 87, 4),
}
"""Depth -> units of each block. Units of up to 34 layers are two 3x3 convolutions, of more a bottleneck of three."""
SIZES = {50: 160, 101: 192, 152: 256, 200: 256, 270: 256, 350: 256, 420: 320}
"""Depth of a resnetrs network -> input it was published for; the largest but for 350, whose second one is 320."""

NUMBERED = {"conv": "conv2d", "norm": "batch_normalization", "act": "Relu", "add": "add", "dense": "dense"}
"""What tf.layers calls a layer without a name; the second is `..._1`."""


@dataclass
class Names:
    """What layers are called.

    Args:
        patterns: kind and layer (`norm conv1`), or kind (`norm`) -> name, where `{unit}` and `{layer}` are filled in.
        root: scope of the whole network, with its slash.
    """

    patterns: Mapping[str, str]
    root: str = ""
    unit: str = ""
    """Scope of the unit that is being built."""
    _seen: Counter[str] = field(default_factory=Counter)

    def __call__(self, kind: str, layer: str = "") -> str:
        """Returns the name of a layer of a kind (`conv`, `norm`, `act`, `add`, `dense`) by its place in the unit."""
        pattern = self.patterns.get(f"{kind} {layer}") or self.patterns[kind]
        name = self.root + pattern.format(unit=self.unit, layer=layer)
        self._seen[name] += 1
        return name if self._seen[name] == 1 else f"{name}_{self._seen[name] - 1}"


@dataclass(frozen=True)
class Dialect:
    """How one publisher writes the networks down."""

    style: Style
    root: str
    """Scope of all, from `depth`."""
    unit: str
    """Scope of a unit, from `block` and `index`."""
    names: Mapping[str, str]
    stride_last: bool = False
    """Whether a block's last unit has its stride, else the first one of the block that follows."""
    strided: int = 1
    """Which of a bottleneck's convolutions has the stride."""


_RY_ENDS = {"conv": "/Conv2D", "weights": "/weights", "norm": "", "act": "/Relu"}
SLIM_NAMES = {
    "conv": "{unit}{layer}",
    "norm": "{unit}{layer}/BatchNorm",
    "act": "{unit}{layer}/Relu",
    "add": "{unit}add",
}
RY_NAMES = {
    "conv": "{unit}{layer}/Conv2D",
    "weights": "{unit}{layer}/weights",
    "norm": "{unit}{layer}",
    "act": "{unit}{layer}/Relu",
    "add": "{unit}add",
    **{f"{kind} stem": f"scale1{end}" for kind, end in _RY_ENDS.items()},
    **{f"{kind} conv{i}": f"{{unit}}{n}{end}" for kind, end in _RY_ENDS.items() for i, n in enumerate("abc", 1)},
    "act out": "{unit}Relu",
    "dense": "fc",
}
"""A layer's kernel and the arrays of its normalisation stand in one scope."""
# All strided convolutions are padded by hand, which is the other style of padding.
SLIM_STYLE, TPU_STYLE = (replace(style, same=False, epsilon=1e-5) for style in (SLIM, TPU))
DIALECTS = {
    "slim": Dialect(SLIM_STYLE, "resnet_v1_{depth}/", "block{block}/unit_{index}/bottleneck_v1/", SLIM_NAMES, True),
    "official": Dialect(TPU_STYLE, "resnet_model/", "", NUMBERED),
    "tpu": Dialect(TPU_STYLE, "", "", NUMBERED),
    "ry": Dialect(SLIM, "", "scale{scale}/block{index}/", RY_NAMES, strided=0),
}
DEPTHS = (18, 34, 50, 101, 152, 200)
PUBLISHED: Mapping[str, Sequence[str]] = {
    "slim": tuple(f"resnet{depth}" for depth in DEPTHS[2:]),
    "official": tuple(f"resnet{depth}" for depth in DEPTHS),
    "tpu": (*(f"resnet{depth}" for depth in DEPTHS), *(f"resnetrs{depth}" for depth in SIZES)),
    "ry": tuple(f"resnet{depth}" for depth in DEPTHS[2:5]),
}
IGNORED = {
    "global_step": "counts training steps",
    "*/mean_rgb": "what is subtracted from images before the network, which is the card's matter",
}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    improved = variant.startswith("resnetrs")
    depth = int(variant.removeprefix("resnetrs" if improved else "resnet"))
    size = size or (SIZES[depth] if improved else 224)
    as_written = DIALECTS[dialect]
    net, names = Net(as_written.style), Names(as_written.names, as_written.root.format(depth=depth))
    value = _improved_stem(net, names) if improved else _stem(net, names)
    for block, repeats in enumerate(REPEATS[depth]):
        for index in range(repeats):
            names.unit = as_written.unit.format(block=block + 1, scale=block + 2, index=index + 1)
            strided = (index == repeats - 1 and block < 3) if as_written.stride_last else (index == 0 and block > 0)
            strides = [1] * 3
            strides[as_written.strided if depth >= 50 else 0] = 2 if strided else 1
            value = _unit(net, value, names, 64 << block, strides, index == 0, depth < 50, improved)
    value = net.global_pool(value, f"{names.root}final_reduce_mean")
    names.unit = ""
    if dialect == "slim":
        value = net.flatten(net.conv(value, names("conv", "logits"), classes, bias=True), f"{names.root}squeezed")
    else:
        value = net.flatten(value, f"{names.root}flatten")
        # 0.4 where the configurations have inputs of 320, 0.25 in all others.
        value = net.dropout(value, "dropout", (0.4 if size >= 320 else 0.25) if improved else 0)
        value = net.linear(value, names("dense"), classes)
    return net.graph(variant, value, size, ignored=IGNORED)


def convolve(net: Net, value: str, names: Names, layer: str, channels: int, kernel: int, stride: int, act: bool) -> str:
    """Convolution and batch normalisation, and ReLU if `act`."""
    weights = names("weights", layer) if "weights" in names.patterns else None
    value = net.conv(value, names("conv", layer), channels, kernel, stride, weights=weights)
    value = net.norm(value, names("norm", layer))
    return net.act(value, names("act", layer), "relu") if act else value


def _stem(net: Net, names: Names) -> str:
    layer = "stem" if "norm stem" in names.patterns else "conv1"
    value = convolve(net, "image", names, layer, 64, 7, 2, True)
    return net.max_pool(value, f"{names.root}pool1", 3, 2, pad="same")


def _improved_stem(net: Net, names: Names) -> str:
    value = "image"
    for index, (channels, stride) in enumerate(((32, 2), (32, 1), (64, 1), (64, 2))):
        value = convolve(net, value, names, f"stem{index}", channels, 3, stride, True)
    return value


def _unit(
    net: Net, before: str, names: Names, inner: int, strides: Sequence[int], first: bool, basic: bool, improved: bool
) -> str:
    sides = [(inner, 3), (inner, 3)] if basic else [(inner, 1), (inner, 3), (4 * inner, 1)]
    channels, stride = sides[-1][0], max(strides)
    shortcut = before
    if first:
        step = stride
        if improved and stride == 2:
            shortcut, step = net.avg_pool(before, f"average_pooling2d_{inner}", 2, 2, pad="same"), 1
        shortcut = convolve(net, shortcut, names, "shortcut", channels, 1, step, False)
    elif stride == 2:
        shortcut = net.max_pool(before, names("conv", "shortcut"), 1, 2)
    value = before
    for index, (out, kernel) in enumerate(sides):
        value = convolve(net, value, names, f"conv{index + 1}", out, kernel, strides[index], index + 1 < len(sides))
    if improved:
        reduce, expand = names("conv"), names("conv")
        value = net.squeeze_excite(value, f"{expand}.mul", reduce, expand, channels // 4)
    add = names("add")
    return net.act(net.add(add, value, shortcut), names("act", "out"), "relu")
