"""ResNets, ResNeXts and SENets of Pavel Yakubovskiy's weights files, which hold no network.

Source: qubvel/classification_models (image-classifiers 1.0.0, classification_models/models/resnet.py, resnext.py,
senet.py, _common_blocks.py). Their files come from three places, and so do the networks:

- resnet18 to resnet152 are MXNet's, activations before convolutions, though named without a "v2": the image itself is
  normalised, and a block that changes the shape takes its shortcut from its first activation. seresnet18 and
  seresnet34 are the same with squeeze-and-excitation. They take RGB 0..255.
- resnext50 and resnext101 are MXNet's too, activations behind convolutions; RGB 0..255.
- seresnet50 to senet154 are those of `senet.py`, but for a padded pool in the stem. What they take is that of torch.

A grouped convolution is a layer per group in the files; here it is one, named as the first of them, its kernel put
together when a file is read. Layers that Keras named itself have the numbers of whatever session wrote a file, and
the publisher loads by order; so does `named`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from zoo.architectures.naming import Counted
from zoo.architectures.net import TPU, Net
from zoo.formats.keras import match
from zoo.graph import Graph


class _Network(NamedTuple):
    kind: str
    """`basic`, `bottleneck` (activations first), `resnext`; `seresnet`, `seresnext`, `senet`."""
    repeats: tuple[int, ...]
    attention: bool = False
    """Squeeze-and-excitation."""


_18, _34, _101, _152 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)  # resnet50 repeats like resnet34
NETWORKS: Mapping[str, _Network] = {
    "resnet18": _Network("basic", _18),
    "resnet34": _Network("basic", _34),
    "resnet50": _Network("bottleneck", _34),
    "resnet101": _Network("bottleneck", _101),
    "resnet152": _Network("bottleneck", _152),
    "resnext50-32x4d": _Network("resnext", _34),
    "resnext101-32x4d": _Network("resnext", _101),
    "seresnet18": _Network("basic", _18, attention=True),
    "seresnet34": _Network("basic", _34, attention=True),
    "seresnet50": _Network("seresnet", _34, attention=True),
    "seresnet101": _Network("seresnet", _101, attention=True),
    "seresnet152": _Network("seresnet", _152, attention=True),
    "seresnext50-32x4d": _Network("seresnext", _34, attention=True),
    "seresnext101-32x4d": _Network("seresnext", _101, attention=True),
    "senet154": _Network("senet", _152, attention=True),
}
PUBLISHED: Mapping[str, Sequence[str]] = {"qubvel": tuple(NETWORKS)}
REDUCTION = 16
DROPOUT = 0.2
"""Of senet154 alone."""
_GROUPS = {"resnext": 32, "seresnext": 32, "senet": 64}
_COUNTED = re.compile(r"(conv2d|batch_normalization|dense)(_\d+)?")
"""Names that Keras gives layers itself."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only; it ends in logits."""
    network = NETWORKS[variant]
    net = _Layers(network)
    ported = network.kind.startswith("se")
    value = net.caffe_stem() if ported else net.mxnet_stem()
    block = net.caffe_block if ported else net.resnext_block if network.kind == "resnext" else net.preactivated
    for stage, repeats in enumerate(network.repeats):
        for unit in range(repeats):
            stride = 2 if stage and not unit else 1
            value = block(value, f"stage{stage + 1}_unit{unit + 1}_", 64 * 2**stage, stride, first=not unit)
    if network.kind in ("basic", "bottleneck"):
        value = net.norm_act(value, "bn1", "relu1")
    value = net.flatten(net.global_pool(value, "pool1"), "flatten")
    value = net.dropout(value, "dropout", DROPOUT if network.kind == "senet" else 0)
    return net.graph(variant, net.linear(value, "dense" if ported else "fc1", classes), size or 224)


def named(graph: Graph, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns a file's arrays under the names of a Graph of this module, groups' kernels put together."""
    groups = {node.inputs[1].rpartition("/")[0]: node.attrs["group"] for node in graph.nodes if node.op == "Conv"}
    declared = [layer for layer in _layers(graph.params) if _COUNTED.fullmatch(layer)]
    places = [(layer, index) for layer in declared for index in range(groups.get(layer, 1))]
    counted = [layer for layer in _layers(arrays) if _COUNTED.fullmatch(layer)]
    if len(counted) != len(places):
        return match.named(graph, arrays)
    place = dict(zip(counted, places, strict=True))
    found: dict[str, np.ndarray] = {}
    parts: dict[str, list[np.ndarray]] = {}
    for key, array in arrays.items():
        layer, _, rest = key.partition("/")
        name = f"{place[layer][0] if layer in place else layer}/{rest}"
        if layer in place and groups.get(place[layer][0], 1) > 1:
            parts.setdefault(f"{place[layer][0]}/kernel", []).append(array)
        else:
            found[name] = array
    for name, kernels in parts.items():
        if len({kernel.shape for kernel in kernels}) > 1 or not kernels[0].ndim:
            return match.named(graph, arrays)
        found[name] = np.concatenate(kernels, axis=-1)
    return match.named(graph, found)


def _layers(keys: Mapping[str, object]) -> list[str]:
    return list(dict.fromkeys(key.partition("/")[0] for key in keys))


class _Layers(Net):
    """The layers and blocks of the publisher; a block is given its prefix, the channels of its stage and its stride.

    What Keras numbers is numbered in the order in which the publisher makes it, but declared in that of a file.
    """

    def __init__(self, network: _Network) -> None:
        super().__init__(replace(TPU, same=False, epsilon=1e-5 if network.kind.startswith("se") else 2e-5))
        self.network = network
        self.named = Counted()

    def norm_act(self, value: str, norm: str, act: str) -> str:
        """Normalisation and ReLU."""
        return self.act(self.norm(value, norm), act, "relu")

    def attention(self, value: str, prefix: str, reduce: str, expand: str) -> str:
        """Squeeze-and-excitation."""
        return self.squeeze_excite(value, f"{prefix}se", reduce, expand, self.channels[value] // REDUCTION)

    def mxnet_stem(self) -> str:
        """Normalises the image too."""
        value = self.conv(self.norm("image", "bn_data", scale=False), "conv0", 64, 7, 2)
        return self.max_pool(self.norm_act(value, "bn0", "relu0"), "pooling0", 3, 2, pad=1)

    def preactivated(self, before: str, prefix: str, channels: int, stride: int, *, first: bool) -> str:
        """Normalisation and ReLU before each convolution."""
        deep = self.network.kind == "bottleneck"
        kernels = (1, 3, 1) if deep else (3, 3)
        out = channels * 4 if deep else channels
        value = shortcut = before
        for index, kernel in enumerate(kernels, 1):
            value = self.norm_act(value, f"{prefix}bn{index}", f"{prefix}relu{index}")
            if first and index == 1:
                shortcut = self.conv(value, f"{prefix}sc", out, 1, stride)
            wide = out if index == len(kernels) else channels
            step = stride if index == len(kernels) - 1 else 1
            value = self.conv(value, f"{prefix}conv{index}", wide, kernel, step)
        if self.network.attention:
            value = self.attention(value, prefix, self.named("conv2d"), self.named("conv2d"))
        return self.add(f"{prefix}add", value, shortcut)

    def resnext_block(self, before: str, prefix: str, channels: int, stride: int, *, first: bool) -> str:
        """1x1, grouped 3x3 and 1x1 convolution."""
        groups = _GROUPS[self.network.kind]
        value = self.conv(before, f"{prefix}conv1", channels * 2)
        value = self.norm_act(value, f"{prefix}bn1", f"{prefix}relu1")
        value = self.conv(value, self.named("conv2d", groups), channels * 2, 3, stride, groups=groups)
        value = self.norm_act(value, f"{prefix}bn2", f"{prefix}relu2")
        value = self.norm(self.conv(value, f"{prefix}conv3", channels * 4), f"{prefix}bn3")
        shortcut = before
        if first:
            shortcut = self.norm(self.conv(before, f"{prefix}sc", channels * 4, 1, stride), f"{prefix}sc_bn")
        return self.act(self.add(f"{prefix}add", value, shortcut), f"{prefix}relu", "relu")

    def caffe_stem(self) -> str:
        """One convolution, or three smaller ones."""
        value = "image"
        deep = ((64, 3, 2), (64, 3, 1), (128, 3, 1))
        for index, numbers in enumerate(deep if self.network.kind == "senet" else ((64, 7, 2),)):
            value = self.conv(value, self.named("conv2d"), *numbers)
            value = self.norm_act(value, self.named("batch_normalization"), f"stem_relu{index + 1}")
        return self.max_pool(value, "pooling0", 3, 2, pad=1)

    def caffe_block(self, before: str, prefix: str, channels: int, stride: int, *, first: bool) -> str:
        """A bottleneck with squeeze-and-excitation."""
        kind = self.network.kind
        groups = _GROUPS.get(kind, 1)
        early = kind == "seresnet"  # the stride is in the first convolution
        widths = (channels if early else channels * 2, channels * {"seresnet": 1, "seresnext": 2, "senet": 4}[kind])
        convs = [self.named("conv2d"), self.named("conv2d", groups), self.named("conv2d")]
        norms = [self.named("batch_normalization") for _ in range(3)]
        joined = (self.named("conv2d"), self.named("batch_normalization")) if first else None
        reduce, expand = self.named("conv2d"), self.named("conv2d")

        value = self.conv(before, convs[0], widths[0], 1, stride if early else 1)
        value = self.norm_act(value, norms[0], f"{prefix}relu1")
        value = self.conv(value, convs[1], widths[1], 3, 1 if early else stride, groups=groups)
        value = self.norm_act(value, norms[1], f"{prefix}relu2")
        value = self.norm(self.conv(value, convs[2], channels * 4), norms[2])
        value = self.attention(value, prefix, reduce, expand)
        shortcut = before
        if joined:
            kernel = 3 if kind == "senet" and stride > 1 else 1
            shortcut = self.norm(self.conv(before, joined[0], channels * 4, kernel, stride), joined[1])
        return self.act(self.add(f"{prefix}add", value, shortcut), f"{prefix}relu", "relu")
