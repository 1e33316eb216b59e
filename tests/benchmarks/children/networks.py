"""Networks with generated weights: zoo's, and the same of keras.applications."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

FUNCTIONS = {
    "vgg16": "VGG16",
    "resnet50": "ResNet50",
    "mobilenetv1-100": "MobileNet",
    "mobilenetv2-100": "MobileNetV2",
    "mobilenetv2-050": "MobileNetV2",
}
"""Variant of zoo's `keras` dialect -> the function of keras.applications."""


def bound(variant: str, dialect: str, size: int | None = None) -> Any:
    """Returns a Graph with generated weights."""
    from files import generated

    from zoo import architectures

    graph = architectures.build(variant, dialect, size=size)
    return graph.bind(generated(graph), where="generated")


def ours(variant: str, size: int | None = None) -> Any:
    """Returns zoo's model of a network as keras.applications publishes it: logits, no preprocessing inside."""
    from zoo.build import build

    return build(bound(variant, "keras", size))


def classifier(variant: str, size: int) -> Any:
    """Returns zoo's model of a network, RGB 0..255 in, probabilities out: what `zoo.finetune` takes."""
    from zoo.build import Affine, build
    from zoo.convert import with_probabilities

    scaled = Affine((1 / 127.5,) * 3, (-1.0,) * 3, False)
    return with_probabilities(build(bound(variant, "keras", size), affine=scaled))


def theirs(variant: str, size: int | None = None) -> Any:
    """Returns the network of keras.applications, which ends in logits too."""
    import keras

    width = int(variant.rpartition("-")[2]) / 100 if variant.startswith("mobilenet") else None
    more = {} if width is None else {"alpha": width}
    function = getattr(keras.applications, FUNCTIONS[variant])
    shape = (size or 224, size or 224, 3)
    return function(weights=None, input_shape=shape, classifier_activation=None, **more)
