"""Inception v4 and GoogLeNet in Keras, by people who ported other publishers' weights.

- kentsommer (kentsommer/keras-inceptionV4 inception_v4.py @ef1db6f0): slim's Inception v4, TensorFlow's SAME and no
  gamma as there; `inception_v4.py` has its modules.
- titu1994 (titu1994/Inception-v4 inception_v4.py @52417ac0): the same with a gamma, written for Keras 1. Its files of
  TensorFlow's order and kernels are meant.
- cnn-finetune (flyyufelix/cnn_finetune googlenet.py @cba34398; originally J. Marino's): Caffe's GoogLeNet, with local
  response normalisation and 5x5 convolutions, in Theano's layout. What Caffe's pools gain by rounding up it has from a
  row and a column of zeros behind the map, which is the same behind a ReLU.

The first two leave naming to Keras, and their layers are told by their order. All end in an average over all positions
here, which at the published sizes is what they take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures import googlenet, inception_v4
from zoo.architectures.branches import AUXILIARY, Branches, Dialect, scoped
from zoo.architectures.naming import Counted
from zoo.architectures.net import KERAS, THEANO, Net
from zoo.formats.keras import match
from zoo.graph import Graph

PUBLISHED: Mapping[str, Sequence[str]] = {
    "kentsommer": ("inception-v4",),
    "titu1994": ("inception-v4",),
    "cnn-finetune": ("bvlc-googlenet",),
}
DROPOUT = {"kentsommer": 0.2, "titu1994": 0.8, "cnn-finetune": 0.4}
named = match.named
"""Returns a file's arrays under the names of a Graph of this module."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only; it ends in logits."""
    if dialect == "cnn-finetune":
        return _googlenet(variant, classes, size or 224)
    names = Counted()

    def layers(name: str) -> tuple[str, str, str]:
        return names("conv2d"), names("batch_normalization"), f"{name}/relu"

    to = Branches(Net(KERAS), Dialect(KERAS, layers, scoped, "/", scale=dialect == "titu1994", include_pad=False))
    value = to.chain("image", inception_v4.STEM)
    for name, branches in inception_v4.MODULES.items():
        value = to.module(value, f"mixed_{name}", branches)
    value = to.net.flatten(to.net.global_pool(value, "avg_pool"), "flatten")
    value = to.net.linear(to.net.dropout(value, "dropout", DROPOUT[dialect]), names("dense"), classes)
    return to.net.graph(variant, value, size or 299)


def _googlenet(variant: str, classes: int, size: int) -> Graph:
    net = Net(THEANO)
    value = _smaller(net, _conv(net, "image", "conv1/7x7_s2", 64, 7, 2), "pool1/3x3_s2")
    value = _conv(net, _norm(net, value, "pool1/norm1"), "conv2/3x3_reduce", 64)
    value = _smaller(net, _norm(net, _conv(net, value, "conv2/3x3", 192, 3), "conv2/norm2"), "pool2/3x3_s2")
    for module, (one, reduce3, three, reduce5, five, projected) in googlenet.MODULES.items():
        if module in ("4a", "5a"):
            value = _smaller(net, value, f"pool{int(module[0]) - 1}/3x3_s2")
        name = f"inception_{module}/"
        pooled = net.max_pool(value, f"{name}pool", 3, 1, pad=1)
        value = net.concat(
            f"{name}output",
            _conv(net, value, f"{name}1x1", one),
            _conv(net, _conv(net, value, f"{name}3x3_reduce", reduce3), f"{name}3x3", three, 3),
            _conv(net, _conv(net, value, f"{name}5x5_reduce", reduce5), f"{name}5x5", five, 5),
            _conv(net, pooled, f"{name}pool_proj", projected),
        )
    value = net.flatten(net.global_pool(value, "pool5/7x7_s1"), "flatten")
    value = net.linear(net.dropout(value, "dropout", DROPOUT["cnn-finetune"]), "loss3/classifier", classes)
    return net.graph(variant, value, size, ignored={"loss1/*": AUXILIARY, "loss2/*": AUXILIARY})


def _conv(net: Net, value: str, name: str, out: int, kernel: int = 1, stride: int = 1) -> str:
    return net.act(net.conv(value, name, out, kernel, stride, bias=True), f"{name}/relu", "relu")


def _norm(net: Net, value: str, name: str) -> str:
    return net.node("LRN", name, value, size=5, alpha=1e-4, beta=0.75, bias=1.0)


def _smaller(net: Net, value: str, name: str) -> str:
    return net.max_pool(value, name, 3, 2, pad=(0, 0, 1, 1))
