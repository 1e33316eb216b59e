"""DenseNets in Keras from before keras.applications had them, ported from Caffe's: epsilon 1.1e-5.

- flyyufelix (flyyufelix/DenseNet-Keras densenet121.py, densenet161.py, densenet169.py @8c42d809): as in Caffe a layer
  with a factor and an offset of its own (Scale) stands behind each normalisation, and padding is symmetric.
- titu1994 (titu1994/DenseNet densenet.py @60b18584): the same weights, the factors put into the normalisations by the
  publisher (weights/weight_translation_121.py); padding is TensorFlow's SAME. Keras named the layers itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from zoo.architectures.densenet import BOTTLENECK, VARIANTS
from zoo.architectures.naming import Counted
from zoo.architectures.net import KERAS, Net
from zoo.formats.keras import match
from zoo.graph import Graph

_DEPTHS = ("densenet121", "densenet161", "densenet169")
PUBLISHED: Mapping[str, Sequence[str]] = {"flyyufelix": _DEPTHS, "titu1994": _DEPTHS}
_STYLES = {key: replace(KERAS, same=key == "titu1994", epsilon=1.1e-5) for key in PUBLISHED}
named = match.named
"""Returns a file's arrays under the names of a Graph of this module."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only; it ends in logits."""
    spec = VARIANTS[variant]
    net = Net(_STYLES[dialect])
    names = _counted() if dialect == "titu1994" else _stated
    value = _stem(net, names, spec.growth * 2)
    for block, layers in enumerate(spec.layers, 2):
        for layer in range(1, layers + 1):
            name = f"{block}_{layer}"
            new = _convolved(net, _normed(net, value, names, f"conv{name}_x1"), names, f"conv{name}_x1",
                             BOTTLENECK * spec.growth)  # fmt: skip
            new = _convolved(net, _normed(net, new, names, f"conv{name}_x2"), names, f"conv{name}_x2", spec.growth, 3)
            value = net.concat(f"concat_{name}", value, new)
        value = _normed(net, value, names, f"conv{block}_blk")
        if block - 1 < len(spec.layers):
            value = _convolved(net, value, names, f"conv{block}_blk", net.channels[value] // 2)
            value = net.avg_pool(value, f"pool{block}", 2, 2)
    value = net.flatten(net.global_pool(value, "global_pool"), "flatten")
    return net.graph(variant, net.linear(value, names("dense", "fc6"), classes), size or 224)


_Names = Callable[[str, str], str]
"""(Keras's name of a layer's kind, its name in Caffe) -> its name."""


def _stated(kind: str, name: str) -> str:
    return name


def _counted() -> _Names:
    named = Counted()
    return lambda kind, _: named(kind)


def _stem(net: Net, names: _Names, channels: int) -> str:
    value = _convolved(net, "image", names, "conv1", channels, 7, 2)
    value = _normed(net, value, names, "conv1")
    return net.max_pool(value, "pool1", 3, 2, pad="same" if net.style.same else 1)


def _convolved(net: Net, value: str, names: _Names, name: str, out: int, kernel: int = 1, stride: int = 1) -> str:
    return net.conv(value, names("conv2d", name), out, kernel, stride)


def _normed(net: Net, value: str, names: _Names, name: str) -> str:
    """Normalisation, flyyufelix's factor and offset, ReLU."""
    value = net.norm(value, names("batch_normalization", f"{name}_bn"))
    if names is _stated:
        value = net.scale(value, f"{name}_scale")
    return net.act(value, f"relu_{name}", "relu")
