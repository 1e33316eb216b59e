"""GluonCV's networks (dmlc/gluon-cv gluoncv/model_zoo), most of them others' under names of Gluon.

- ResNets `v1b` to `v1s` (resnetv1b.py) are timm's `resnet50`, `resnet50c`, `resnet50d` and `resnet50s`, which came from
  here, and have the same names but for normalisations; ResNeXts, SE-ResNeXts (resnext.py) and SENet-154 (senet.py)
  number layers instead. `v1` is another network: `resnet50-v1`.
- Inception v3 (inception.py), MobileNet v1 and v2 (mobilenet.py) and ResNet v1 (resnet.py) are those of `gluon.py`.
- GoogLeNet (googlenet.py) is torchvision's. Its files hold the classifier twice, under two names.
- Pruned ResNets (pruned_resnet/resnetv1b_pruned.py): `gluoncv_pruned.py`.
- `cifar-*` (cifarresnet.py, cifarwideresnet.py, cifarresnext.py) take 32x32 pixels: `gluoncv_cifar.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from zoo.architectures import (
    gluon,
    gluon_mobilenet,
    gluon_resnet,
    gluoncv_cifar,
    gluoncv_pruned,
    googlenet,
    inception_v3,
    resnet,
    senet,
)  # fmt: skip
from zoo.architectures.net import GLUON
from zoo.architectures.renaming import Rules, by_kind, renamed
from zoo.graph import Graph

_DEEP = tuple(f"resnet{depth}{letter}" for letter in "cds" for depth in (50, 101, 152))
_NEXT = tuple(f"{kind}{size}" for kind in ("resnext", "seresnext") for size in ("50-32x4d", "101-32x4d", "101-64x4d"))
PUBLISHED: Mapping[str, Sequence[str]] = {
    "gluoncv": (
        *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
        *_DEEP,
        "resnet50-gn",
        *_NEXT,
        "legacy-senet154",
        "resnet50-v1",
        "resnet152-v1",
        *gluon_mobilenet.VARIANTS,
        *gluon_mobilenet.V3,
        "inception-v3",
        "googlenet",
        *gluoncv_cifar.VARIANTS,
        *gluoncv_pruned.VARIANTS,
    )
}
SCOPES: Mapping[str, str] = {r"layer(\d)\.\d+\.downsample": "down{1}_", r"layer(\d)\.": "layers{1}_"}
"""Of ResNets `v1b` and later, as `by_kind` takes them."""

_BLOCKS: Rules = (
    (r"\.conv(\d)$", ".body.{1*3-3}"),
    (r"\.bn(\d)$", ".body.{1*3-2}"),
    (r"\.(?:act|relu)([12])$", ".body.{1*3-1}"),
    (r"\.(?:se|se_module)\.fc1", ".se.0"),
    (r"\.(?:se|se_module)\.fc2", ".se.2"),
    (r"\.se_module$", ".se"),
)
_NUMBERED: Rules = (
    (r"^conv1$", "features.0"),
    (r"^bn1$", "features.1"),
    (r"^act1$", "features.2"),
    (r"^maxpool$", "features.3"),
    (r"^layer(\d)\.", "features.{1+3}."),
    *_BLOCKS,
    (r"^global_pool\.pool$", "features.8"),
    (r"^fc$", "output"),
)
_SENET: Rules = (
    (r"^layer0\.conv(\d)$", "features.{1*3-3}"),
    (r"^layer0\.bn(\d)$", "features.{1*3-2}"),
    (r"^layer0\.relu(\d)$", "features.{1*3-1}"),
    (r"^pool0$", "features.9"),
    (r"^layer(\d)\.", "features.{1+9}."),
    *_BLOCKS,
    (r"^global_pool\.pool$", "features.14"),
    (r"^dropout$", "features.15"),
    (r"^last_linear$", "output"),
)
_GOOGLENET: Rules = (
    (r"\.branch1\.", ".0.0."),
    (r"\.branch4\.0$", ".3.0"),
    (r"\.branch(\d)\.(\d)\.", ".{1-1}.{2}."),
    (r"\.conv$", ".0"),
    (r"\.bn$", ".1"),
    (r"\.relu$", ".2"),
    (r"^fc$", "output"),
)


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    if variant in (*gluon_mobilenet.VARIANTS, *gluon_mobilenet.V3):
        return gluon_mobilenet.build(variant, classes, size, expanding=False)
    if variant in gluon_resnet.VARIANTS:
        return gluon_resnet.build(variant, classes, size)
    if variant in gluoncv_cifar.VARIANTS:
        return gluoncv_cifar.build(variant, classes, size)
    if variant in gluoncv_pruned.VARIANTS:
        return gluoncv_pruned.build(variant, classes, size)
    if variant == "inception-v3":
        return inception_v3.build(variant, "gluon", classes, size)
    if variant == "googlenet":
        graph = renamed(googlenet.build(variant, "torchvision", classes, size), _GOOGLENET, GLUON)
        return replace(graph, ignored={"head.2.*": "the classifier a second time, beside `output`"})
    if variant == "legacy-senet154":
        return renamed(senet.build(variant, "timm", classes, size), _SENET, GLUON)
    return renamed(resnet.build(variant, "timm", classes, size), _NUMBERED if variant in _NEXT else (), GLUON)


def named(graph: Graph, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns a file's arrays under the Graph's names, if they have those from before MXNet 1.2."""
    if any("." in name for name in arrays):
        return arrays
    stages = gluon.SCOPES["resnetv2" if graph.name.startswith("resnetv2") else "resnet"]
    scopes = SCOPES if any(node.name.startswith("layer") for node in graph.nodes) else stages
    return gluon.under_paths(by_kind(graph, scopes), arrays)
