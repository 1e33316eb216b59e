"""AlexNet, VGG and SqueezeNet in Keras: networks of convolutions and dense layers alone.

- heuritech (heuritech/convnets-keras convnetskeras/convnets.py, customlayers.py @50bfee18): AlexNet and VGG for Theano.
  AlexNet has its pools before the local response normalisations, and a convolution in two groups is two layers, each
  with half of the channels.
- cnn-finetune (flyyufelix/cnn_finetune vgg16.py, vgg19.py @cba34398; originally L. Baraldi's): VGG for Theano, in which
  Keras named the layers. Files of Keras before 1.0, which number them, are matched by order.
- rcmalli (rcmalli/keras-squeezenet keras_squeezenet/squeezenet.py @4fb9cb75): SqueezeNet 1.1, pools round down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures import squeezenet, vgg
from zoo.architectures.naming import Counted
from zoo.architectures.net import KERAS, THEANO, Net
from zoo.errors import UsageError
from zoo.formats.keras import match
from zoo.graph import Graph

PUBLISHED: Mapping[str, Sequence[str]] = {
    "heuritech": ("caffenet", "vgg16", "vgg19"),
    "cnn-finetune": ("vgg16", "vgg19"),
    "rcmalli": ("squeezenet1-1",),
}
HIDDEN, DROPOUT = 4096, 0.5
_SIZES = {"caffenet": 227, "squeezenet1-1": 227}
SQUEEZENET = "squeezenet1-1"
named = match.named
"""Returns a file's arrays under the names of a Graph of this module."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only; it ends in logits.

    Raises:
        UsageError: the input is too small.
    """
    if variant == SQUEEZENET:
        return _squeezenet(classes, size or _SIZES[variant])
    net = Net(THEANO)
    size = size or _SIZES.get(variant, 224)
    side = (size - 35) // 32 if variant == "caffenet" else size // 32
    if side < 1:
        raise UsageError(f"{variant}: size={size}; expected {67 if variant == 'caffenet' else 32} or more")
    value = _alexnet(net) if variant == "caffenet" else _vgg(net, variant, counted=dialect == "cnn-finetune")
    value = net.flatten(value, "flatten", positions=side**2)
    for number in (1, 2):
        value = net.act(net.linear(value, f"dense_{number}", HIDDEN), f"dense_{number}/relu", "relu")
        value = net.dropout(value, f"dropout_{number}", DROPOUT)
    return net.graph(variant, net.linear(value, "dense_3", classes), size)


def _conv(net: Net, value: str, name: str, out: int, kernel: int = 3, stride: int = 1, *, valid: bool = False) -> str:
    value = net.conv(value, name, out, kernel, stride, pad="valid" if valid else None, bias=True)
    return net.act(value, f"{name}/relu", "relu")


def _vgg(net: Net, variant: str, *, counted: bool) -> str:
    value, names = "image", Counted()
    names("convolution2d")  # Keras 1 counted from 1
    for stage, (repeats, channels) in enumerate(zip(vgg.VARIANTS[variant], vgg.CHANNELS, strict=True), 1):
        for unit in range(1, repeats + 1):
            name = names("convolution2d") if counted else f"conv{stage}_{unit}"
            value = _conv(net, value, name, channels)
        value = net.max_pool(value, f"pool{stage}", 2, 2)
    return value


def _alexnet(net: Net) -> str:
    value = _conv(net, "image", "conv_1", 96, 11, 4, valid=True)
    value = _halves(net, _pool(net, value, 1, norm=True), "conv_2", 256, 5)
    value = _conv(net, _pool(net, value, 2, norm=True), "conv_3", 384)
    value = _halves(net, _halves(net, value, "conv_4", 384, 3), "conv_5", 256, 3)
    return _pool(net, value, 5)


def _pool(net: Net, value: str, number: int, *, norm: bool = False) -> str:
    value = net.max_pool(value, f"pool_{number}", 3, 2)
    # alpha is for the sum of 5 squares there, for their mean here
    return net.node("LRN", f"convpool_{number}", value, size=5, alpha=5e-4, beta=0.75, bias=2.0) if norm else value


def _halves(net: Net, value: str, name: str, out: int, kernel: int) -> str:
    parts = net.split(value, f"{name}/split", *(net.channels[value] // 2,) * 2)
    return net.concat(name, *(_conv(net, part, f"{name}_{i}", out // 2, kernel) for i, part in enumerate(parts, 1)))


def _squeezenet(classes: int, size: int) -> Graph:
    net = Net(KERAS)
    _, pools = squeezenet.VARIANTS[SQUEEZENET]
    value = _conv(net, "image", "conv1", 64, 3, 2, valid=True)
    for number, squeezed in enumerate(squeezenet.SQUEEZED, 2):
        if number - 2 in pools:
            value = net.max_pool(value, f"pool{number - 1}", 3, 2)
        value = _conv(net, value, f"fire{number}/squeeze1x1", squeezed, 1)
        wide = [_conv(net, value, f"fire{number}/expand{kernel}x{kernel}", 4 * squeezed, kernel) for kernel in (1, 3)]
        value = net.concat(f"fire{number}/concat", *wide)
    value = _conv(net, net.dropout(value, "drop9", DROPOUT), "conv10", classes, 1)
    return net.graph(SQUEEZENET, net.flatten(net.global_pool(value, "global_pool"), "flatten"), size)
