"""mxnet.gluon.model_zoo.vision: the networks of others in the names of MXNet's Gluon.

Source: apache/mxnet python/mxnet/gluon/model_zoo/vision of 1.9.1. AlexNet, VGG, SqueezeNet, DenseNet and Inception v3
compute what torchvision's do; ResNets and MobileNets are written down in `gluon_resnet.py` and `gluon_mobilenet.py`.

Gluon numbers the children of a sequence, so that `features.0.weight` is a path. Its older files (apache/mxnet issue
19580: those of AlexNet, DenseNet, Inception v3, MobileNet v1, SqueezeNet, VGG 11 and 13) call a layer by its kind and
number, `conv0_weight`, perhaps behind the name of the network: both are taken for all of them.

SqueezeNet averages a map of 13x13, DenseNet of 7x7, Inception v3 of 8x8, all there is of an image of the published
size; here any map is averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from zoo.architectures import alexnet, densenet, gluon_mobilenet, gluon_resnet, inception_v3, squeezenet, vgg
from zoo.architectures.net import GLUON
from zoo.architectures.renaming import Rules, by_kind, renamed
from zoo.graph import Graph

PUBLISHED: Mapping[str, Sequence[str]] = {
    "gluon": (
        "alexnet",
        *vgg.PUBLISHED["torchvision"],
        *squeezenet.PUBLISHED["torchvision"],
        *densenet.PUBLISHED["torchvision"],
        "inception-v3",
        *gluon_mobilenet.VARIANTS,
        *gluon_resnet.VARIANTS,
    )
}

_ALEXNET: Rules = (
    *((rf"^features\.{relu}$", f"features.{conv}.relu")
      for relu, conv in ((1, 0), (4, 2), (7, 4), (9, 5), (11, 6))),
    *((rf"^features\.{before}$", f"features.{after}")
      for before, after in ((2, 1), (3, 2), (5, 3), (6, 4), (8, 5), (10, 6), (12, 7))),
)  # fmt: skip
_SQUEEZENET: Rules = (
    (r"\.squeeze_activation$", ".0.1"),
    (r"\.squeeze$", ".0.0"),
    (r"\.expand1x1_activation$", ".1.0.1"),
    (r"\.expand1x1$", ".1.0.0"),
    (r"\.expand3x3_activation$", ".1.1.1"),
    (r"\.expand3x3$", ".1.1.0"),
    (r"^classifier\.0$", "features.13"),
    (r"^classifier\.(\d)", "output.{1-1}"),
)
_LAYER = {"norm1": 0, "norm1.act": 1, "conv1": 2, "norm2": 3, "norm2.act": 4, "conv2": 5}
_DENSENET: Rules = (
    *((rf"^features\.{before}$", f"features.{after}")
      for after, before in enumerate(("conv0", "norm0", "norm0.act", "pool0"))),
    *((rf"\.denseblock(\d)\.denselayer(\d+)\.{name}$", f".{{1*2+2}}.{{2-1}}.1.{index}")
      for name, index in _LAYER.items()),
    (r"\.denseblock(\d)\.denselayer(\d+)\.cat$", ".{1*2+2}.{2-1}"),
    *((rf"\.transition(\d)\.{name}$", f".{{1*2+3}}.{index}")
      for index, name in enumerate(("norm", "norm.act", "conv", "pool"))),
    (r"\.norm5\.act$", ".12"),
    (r"\.norm5$", ".11"),
    (r"^global_pool$", "features.13"),
    (r"^classifier$", "output"),
)  # fmt: skip
_INCEPTION_MODULES = ("A1", "A2", "A3", "B", "C1", "C2", "C3", "C4", "D", "E1", "E2")
SCOPES: Mapping[str, Mapping[str, str]] = {
    "densenet": {rf"features\.{2 * stage + 2}\.\d+\.\d+\.": f"stage{stage}_" for stage in (1, 2, 3, 4)},
    "resnetv2": {r"features\.([5-8])\.": "stage{1-4}_"},
    "resnet": {r"features\.([4-7])\.": "stage{1-3}_"},
    "mobilenetv2": {
        r"features\.(\d+)\.out": "features_linearbottleneck{1-3}_",
        r"features": "features_",
        r"output": "output_pred",
    },
    "inception": {rf"features\.{7 + index}\.": f"{name}_" for index, name in enumerate(_INCEPTION_MODULES)},
}
"""Beginning of a network's name -> scopes of its layers, as `by_kind` takes them."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    if variant in gluon_mobilenet.VARIANTS:
        return gluon_mobilenet.build(variant, classes, size)
    if variant in gluon_resnet.VARIANTS:
        return gluon_resnet.build(variant, classes, size)
    if variant == "inception-v3":
        return inception_v3.build(variant, dialect, classes, size)
    if variant == "alexnet":
        graph = alexnet.build(variant, "jiecaoyu", classes, size)
        return renamed(graph, (*_ALEXNET, *_dense_head(7)), GLUON)
    if variant.startswith("vgg"):
        graph = vgg.build(variant, "torchvision", classes, size)
        last = max(int(node.name.split(".")[1]) for node in graph.nodes if node.op == "MaxPool")
        return renamed(graph, _dense_head(last), GLUON)
    family, rules = (squeezenet, _SQUEEZENET) if variant.startswith("squeeze") else (densenet, _DENSENET)
    return renamed(family.build(variant, "torchvision", classes, size), rules, GLUON)


def named(graph: Graph, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns a file's arrays under the Graph's names, if it has the names from before MXNet 1.2."""
    if any("." in name for name in arrays):
        return arrays
    return under_paths(by_kind(graph, scopes_of(graph.name)), arrays)


def scopes_of(variant: str) -> Mapping[str, str]:
    """Returns the scopes of a network's layers, as `by_kind` takes them."""
    return next((scopes for start, scopes in SCOPES.items() if variant.startswith(start)), {})


def under_paths(names: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns arrays under new names, after what stands before all of the old ones is cut off.

    Args:
        names: old name, without the name of the network -> new name.
        arrays: of a file.
    """
    first = next(iter(arrays), "")
    for prefix in [first[:end] for end in range(len(first)) if end == 0 or first[end - 1] == "_"]:
        if all(name.startswith(prefix) and name.removeprefix(prefix) in names for name in arrays):
            return {names[name.removeprefix(prefix)]: array for name, array in arrays.items()}
    return arrays


def _dense_head(last: int) -> Rules:
    """Two dense layers and a classifier behind a pool of this number, which torch calls `classifier`."""
    behind = ("classifier.0", "classifier.1", "classifier.2", "classifier.3", "classifier.4", "classifier.5")
    places = (f"{last + 1}", f"{last + 1}.relu", f"{last + 2}", f"{last + 3}", f"{last + 3}.relu", f"{last + 4}")
    # torch's flattening is a method, Gluon's AlexNet has a layer of it.
    places = places if last != 7 else ("9", "9.relu", "10", "11", "11.relu", "12")
    return (
        *(
            (rf"^{old.replace('.', chr(92) + '.')}$", f"features.{new}")
            for old, new in zip(behind, places, strict=True)
        ),
        (r"^classifier\.6$", "output"),
    )
