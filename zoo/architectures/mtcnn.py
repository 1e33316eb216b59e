"""MTCNN (Zhang et al., arXiv:1604.02878): three small networks, each surer than the one before whether there is a face.

Written by `facenet-pytorch` (timesler, models/mtcnn.py). What is built is the answer to that question, of an image as
large as the network looks at; the heads that place the box and the landmarks are a detector's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.net import TORCH, Net
from zoo.errors import UsageError
from zoo.graph import Graph

PUBLISHED: Mapping[str, Sequence[str]] = {"facenet-pytorch": ("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet")}
SIZES: Mapping[str, int] = {"mtcnn-pnet": 12, "mtcnn-rnet": 24, "mtcnn-onet": 48}
"""Rows and columns of the input."""
STAGES: Mapping[str, Sequence[tuple[int, int, int]]] = {
    "mtcnn-pnet": ((10, 3, 2), (16, 3, 0), (32, 3, 0)),
    "mtcnn-rnet": ((28, 3, 3), (48, 3, 3), (64, 2, 0)),
    "mtcnn-onet": ((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)),
}
"""Channels and kernel of a convolution, and the window of the pool behind it, whose stride is 2; 0 for none."""
HEADS: Mapping[str, tuple[int, str, str, int]] = {
    "mtcnn-pnet": (0, "", "conv4", 1),
    "mtcnn-rnet": (128, "dense4", "dense5", 3),
    "mtcnn-onet": (256, "dense5", "dense6", 3),
}
"""Features of the dense layer, its name, that of the heads, and the side of the map that it reads."""
_ELSEWHERE = "a head of the detector: it places the box, or eyes, nose and mouth"


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    if size not in (None, SIZES[variant]):
        raise UsageError(f"{variant}: size={size}; it looks at {SIZES[variant]}x{SIZES[variant]} pixels")
    net = Net(TORCH)
    value = "image"
    for step, (channels, kernel, pool) in enumerate(STAGES[variant], 1):
        value = net.conv(value, f"conv{step}", channels, kernel, pad="valid", bias=True)
        value = _prelu(net, value, f"prelu{step}", maps=True)
        value = net.max_pool(value, f"pool{step}", pool, 2, ceil=True) if pool else value
    features, dense, head, side = HEADS[variant]
    if features:
        # The weights come from MATLAB by way of Caffe: columns come before rows, and channels last.
        value = net.node("Transpose", "turned", value, perm=(0, 3, 2, 1))
        net.channels[value] = STAGES[variant][-1][0]
        value = net.linear(net.flatten(value, "flat", positions=side * side), dense, features)
        value = _prelu(net, value, f"prelu{len(STAGES[variant]) + 1}", maps=False)
        value = net.linear(value, f"{head}_1", classes)
    else:
        value = net.flatten(net.conv(value, f"{head}_1", classes, bias=True), "flat")
    ignored = {f"{head}_{number}.*": _ELSEWHERE for number in (2, 3)}
    return net.graph(variant, value, SIZES[variant], ignored=ignored)


def _prelu(net: Net, value: str, name: str, *, maps: bool) -> str:
    channels = net.channels[value]
    shape = (channels, 1, 1) if maps else (channels,)
    return net.node("PRelu", name, value, net.param(f"{name}.weight", *shape, stored=(channels,)))
