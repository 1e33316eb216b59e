"""ConvNeXt's maps stay as Keras has them, and its arrays are as the publishers store them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from zoo import architectures
from zoo.build import describe
from zoo.graph import Graph, Param


def zeros(graph: Graph) -> dict[str, np.ndarray]:
    shapes = {name: param.shape_in_file for name, param in graph.params.items() if isinstance(param, Param)}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if shape is not None}


@pytest.mark.parametrize(
    ("variant", "dialect", "parameters"),
    [
        ("convnext-tiny", "torchvision", 28_589_128),  # num_params of torchvision's weights
        ("convnext-base", "torchvision", 88_591_464),
        ("convnext-base", "timm", 88_591_464),
    ],
)
def test_parameters_are_as_many_as_published(variant: str, dialect: str, parameters: int) -> None:
    arrays = zeros(architectures.build(variant, dialect))
    assert sum(array.size for array in arrays.values()) == parameters


@pytest.mark.parametrize("variant", ["convnext-atto", "convnextv2-atto", "convnext-atto-rms"])
def test_normalising_channels_moves_no_map(variant: str) -> None:
    graph = architectures.build(variant, "timm")
    model, _ = describe(graph.bind(zeros(graph), where="zeros"))
    maps = [layer for layer in model.layers if len(layer.output.shape) == 4 and layer.output.shape[1] > 1]
    assert len(maps) > 50
    assert not [layer.name for layer in maps if isinstance(layer, keras.layers.Permute | keras.layers.Reshape)]


def test_a_layer_normalisation_has_the_publishers_name_and_epsilon() -> None:
    graph = architectures.build("convnext-tiny", "torchvision")
    model, _ = describe(graph.bind(zeros(graph), where="zeros"))
    layer = model.get_layer("features_1_0_block_2")
    assert isinstance(layer, keras.layers.LayerNormalization)
    assert layer.epsilon == 1e-6


def test_kernels_of_one_position_are_matrices_but_in_the_small_networks() -> None:
    name = "stages.0.blocks.0.mlp.fc1.weight"
    large, small = (architectures.build(f"convnext-{size}", "timm").params[name] for size in ("tiny", "nano"))
    assert (large.shape, large.shape_in_file) == ((384, 96, 1, 1), (384, 96))
    assert small.shape_in_file == small.shape == (320, 80, 1, 1)


def test_fine_tuning_finds_features_and_classifier() -> None:
    from zoo import heads

    graph = architectures.build("convnext-atto", "timm", size=64)
    model, _ = describe(graph.bind(zeros(graph), where="zeros"))
    assert heads.classifier(model).operation.name == "head_fc"
    assert heads.features(model).shape == (None, 2, 2, 320)
