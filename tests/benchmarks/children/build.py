"""`build.py graph|function`: ResNet-152 from zoo's Graph, or from keras.applications without weights, whenever told."""

from __future__ import annotations

import sys

import keras
from networks import bound
from protocol import keras_is_up, turns

from zoo.build import build

keras_is_up()
graph = bound("resnet152", "torchvision") if sys.argv[1] == "graph" else None


def make() -> None:
    keras.backend.clear_session()
    if graph is None:
        keras.applications.ResNet152(weights=None)
    else:
        build(graph)


turns(make)
