"""KerasHub's classifiers, as its presets hold them: a backbone in model.weights.h5, a head in task.weights.h5.

Keras 3 stores arrays by the order in which it sorts layers (`layers/conv2d_3/vars/0`), not by their names. So the
networks are defined by Keras's own layers, called as KerasHub calls them, and read like any description of Keras's
(`zoo.formats.keras`). KerasHub itself is not needed. The arguments of a backbone are those that its config.json has.

There is one dialect, `kerashub`. Most weights come from timm, with its padding; the DenseNets pad as TensorFlow does,
where timm pads as much on both sides, Xception is that of keras.applications. The ResNets' `vd` networks
(arXiv:1812.01187) are Baidu's. Sources: keras-hub 0.32.0 (package) src/models, src/utils/timm; keras-team/keras-hub
tools/checkpoint_conversion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from zoo.architectures import kerashub_blocks, kerashub_layers, kerashub_stages, kerashub_tables
from zoo.architectures.keras_applications import renamed
from zoo.architectures.kerashub_layers import Layers
from zoo.errors import UsageError
from zoo.formats.keras import config, match
from zoo.formats.keras.config import Layer, Network
from zoo.formats.keras.translate import IGNORED, translate
from zoo.formats.keras.values import State
from zoo.formats.options import Options
from zoo.graph import Graph

TASK = "1/"
"""What the reader puts before the names of a second file: `task.weights.h5`."""


class Backbone(NamedTuple):
    """A class of KerasHub's."""

    make: Callable[..., Any]
    head: Callable[[Layers, Any, int, Mapping[str, Any]], Any]


def _averaged(make: Layers, x: Any, classes: int, more: Mapping[str, Any]) -> Any:
    """`ImageClassifier`: average, dense layer."""
    x = make.layers.GlobalAveragePooling2D(name="pooler")(x)
    return make.layers.Dense(classes, name="predictions")(x)


def _vgg_head(make: Layers, x: Any, classes: int, more: Mapping[str, Any]) -> Any:
    """`VGGImageClassifier`: the dense layers of 4096 are convolutions, in a model of their own."""
    layers = make.layers
    own = make.block("head", "Sequential")
    x = make.conv(x, f"{own}layers.conv2d", 4096, 7, bias=True, act="relu")
    x = layers.Dropout(0.0, name=f"{own}output_dropout")(x)
    x = make.conv(x, f"{own}layers.conv2d_1", 4096, padding="same", bias=True, act="relu")
    x = layers.GlobalAveragePooling2D(name=f"{own}pooler")(x)
    return layers.Dense(classes, name=f"{own}layers.dense")(x)


def _mobilenet_head(make: Layers, x: Any, classes: int, more: Mapping[str, Any]) -> Any:
    """`MobileNetImageClassifier`."""
    x = make.layers.GlobalAveragePooling2D(keepdims=True, name="pooler")(x)
    x = make.conv(x, "classifier_conv", more.get("num_features", 1024), bias=True, act="hard_silu")
    return make.layers.Dense(classes, name="predictions")(make.layers.Flatten(name="flatten")(x))


def _hgnet_head(make: Layers, x: Any, classes: int, more: Mapping[str, Any]) -> Any:
    """`HGNetV2ImageClassifier`: a convolution before the average."""
    own = make.block("head_last", "HGNetV2ConvLayer")
    x = kerashub_stages.convolved(make, x, own.removesuffix("."), more["head_filters"], 1)
    return _averaged(make, x, classes, more)


BACKBONES: Mapping[str, Backbone] = {
    "CSPNetBackbone": Backbone(kerashub_stages.cspnet, _averaged),
    "DenseNetBackbone": Backbone(kerashub_layers.densenet, _averaged),
    "EfficientNetBackbone": Backbone(kerashub_blocks.efficientnet, _averaged),
    "HGNetV2Backbone": Backbone(kerashub_stages.hgnetv2, _hgnet_head),
    "MobileNetBackbone": Backbone(kerashub_blocks.mobilenet, _mobilenet_head),
    "ResNetBackbone": Backbone(kerashub_layers.resnet, _averaged),
    "VGGBackbone": Backbone(kerashub_layers.vgg, _vgg_head),
    "XceptionBackbone": Backbone(kerashub_layers.xception, _averaged),
}
PUBLISHED: Mapping[str, Sequence[str]] = {"kerashub": tuple(kerashub_tables.NETWORKS)}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only; it ends in logits."""
    import keras

    known = kerashub_tables.NETWORKS[variant]
    size = size or known.size
    backbone, make = BACKBONES[known.backbone], Layers(keras)
    try:
        with keras.StatelessScope(initialize_variables=False):  # nothing of the model is kept but its description
            image = keras.Input((size, size, 3), name="image")
            trunk = keras.Model(image, backbone.make(make, image, **known.config), name="backbone")
            outside = keras.Input((size, size, 3), name="input")
            model = keras.Model(outside, backbone.head(make, trunk(outside), classes, known.head))
            described = config.loads(model.to_json(), variant)
        renamed(described)
    except ValueError as error:
        raise UsageError(f"{variant}: cannot take size={size}: {str(error).splitlines()[0]}") from None
    network = _stored(config.network(described, variant, version=3), make.classes, TASK)
    state = State(variant, network.version, Options())
    return _as_stored(_padded_pools(translate(replace(network, name=variant), state)))


def named(graph: Graph, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns a file's arrays under the names of a Graph of this module."""
    return match.named(graph, arrays)


def _stored(network: Network, blocks: Mapping[str, str], path: str) -> Network:
    """Returns a model whose layers know where KerasHub's files have their arrays; the backbone is a file of its own."""
    used: dict[str, int] = {}
    begun: dict[str, str] = {}
    layers: dict[str, Layer] = {}
    for raw, layer in network.layers.items():
        block, _, attribute = raw.partition(".")
        if attribute and block in blocks:
            if block not in begun:
                begun[block] = f"{path}layers/{config.numbered(config.snake(blocks[block]), used)}"
            place = f"{begun[block]}/{attribute.replace('.', '/')}"
        else:
            place = f"{path}layers/{config.numbered(config.snake(layer.kind), used)}"
        inner = None if layer.inner is None else _stored(layer.inner, blocks, "")
        layers[raw] = replace(layer, path=place, inner=inner)
    return replace(network, layers=layers)


def _as_stored(graph: Graph) -> Graph:
    """Returns a Graph whose parameters are named by where the files have their layer: `layers/conv2d_3/kernel`."""
    names = {key: f"{stored.rpartition('/vars/')[0]}/{key.rpartition('/')[2]}" for stored, key in graph.renamed.items()}
    nodes = tuple(replace(node, inputs=tuple(names.get(key, key) for key in node.inputs)) for node in graph.nodes)
    params = {names.get(key, key): param for key, param in graph.params.items()}
    ignored = {**graph.ignored, **{f"{TASK}{key}": reason for key, reason in IGNORED.items()}}
    renamed = {stored: names[key] for stored, key in graph.renamed.items()}
    return replace(graph, nodes=nodes, params=params, ignored=ignored, renamed=renamed)


def _padded_pools(graph: Graph) -> Graph:
    """Returns a Graph whose max pools have the padding of the layer that is there for them: it never is the maximum."""
    read = Counter(value for node in graph.nodes for value in node.inputs)
    pads = {node.name: node for node in graph.nodes if node.op == "Pad" and read[node.name] == 1}
    nodes, idle = [], set()
    for node in graph.nodes:
        before = pads.get(node.inputs[0])
        if node.op == "MaxPool" and before is not None:
            rows, columns, below, right = (before.attrs["pads"][place] for place in (2, 3, 6, 7))
            kept = {key: value for key, value in node.attrs.items() if key != "auto_pad"}
            attrs = {**kept, "pads": (rows, columns, below, right)}
            node = replace(node, inputs=(before.inputs[0], *node.inputs[1:]), attrs=attrs)
            idle.add(before.name)
        nodes.append(node)
    return replace(graph, nodes=tuple(node for node in nodes if node.name not in idle))
