"""What is special in the networks of keras.applications: their early files, Theano's, and what EfficientNet adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo import architectures
from zoo.graph import Graph, Param

GOLDEN = Path(__file__).parents[1] / "golden" / "architectures" / "keras_applications.json"


def params(graph: Graph) -> dict[str, Param]:
    return {name: param for name, param in graph.params.items() if isinstance(param, Param)}


def nodes(graph: Graph) -> dict[str, Any]:
    return {node.name: node for node in graph.nodes}


def test_names_do_not_depend_on_what_was_built_before() -> None:
    first, second = (architectures.build("mobilenetv1-025", "keras") for _ in range(2))
    assert first == second
    assert list(first.inputs) == ["input_layer"]
    assert first.name == "mobilenetv1-025"


@pytest.mark.parametrize(("variant", "count"), [("mobilenetv1-100", 4_253_864), ("vgg16", 138_357_544)])
def test_networks_have_as_many_weights_as_keras_says(variant: str, count: int) -> None:
    graph = params(architectures.build(variant, "keras"))
    assert sum(int(np.prod(p.shape)) for p in graph.values() if p.shape_in_file is not None) == count


def test_the_first_resnet_has_other_names_and_another_epsilon() -> None:
    old, new = (architectures.build("resnet50", dialect, size=64) for dialect in ("keras-2016", "keras"))
    assert nodes(old)["bn2a_branch2a"].attrs["epsilon"] == 1e-3
    assert nodes(new)["conv2_block1_1_bn"].attrs["epsilon"] == pytest.approx(1.001e-5)
    assert "res5c_branch2c/kernel" in old.params
    assert "conv5_block3_3_conv/kernel" in new.params


def test_theanos_kernels_are_turned_and_its_maps_flattened_otherwise() -> None:
    theano, usual = (architectures.build("vgg16", dialect, size=64) for dialect in ("keras-th", "keras"))
    kernel = params(theano)["block1_conv1/kernel"]
    assert kernel.shape_in_file == (64, 3, 3, 3)
    stored = np.arange(64 * 27, dtype=np.float32).reshape(64, 3, 3, 3)
    assert np.array_equal(kernel.of(stored), stored[:, :, ::-1, ::-1])
    assert params(usual)["block1_conv1/kernel"].shape_in_file == (3, 3, 3, 64)
    assert nodes(theano)["flatten"].inputs == ("block5_pool",)
    assert nodes(usual)["flatten"].inputs == ("block5_pool/nhwc",)
    cases = json.loads(GOLDEN.read_text())
    assert not np.allclose(cases["keras-th/vgg16"]["output"], cases["keras/vgg16"]["output"], rtol=0.01)


def test_efficientnet_has_the_factors_of_the_published_weights() -> None:
    graph = architectures.build("efficientnet-b0", "keras", size=64)
    factors = graph.params["rescaling_imagenet/scale"]
    assert isinstance(factors, np.ndarray)
    assert factors.ravel() == pytest.approx(np.array([0.229, 0.224, 0.225]) ** -0.5)
    assert nodes(graph)["stem_conv_pad"].inputs != ("normalization",)
    assert "normalization/count" in graph.ignored
