"""AlexNet's kin: which layers stand where, which inputs fit, and how many parameters there are."""

from __future__ import annotations

import numpy as np
import pytest

from zoo import architectures
from zoo.errors import UsageError
from zoo.graph import Graph, Param


def parameters(graph: Graph) -> int:
    return sum(int(np.prod(param.shape)) for param in graph.params.values() if isinstance(param, Param))


@pytest.mark.parametrize(
    ("variant", "dialect", "count"),
    [
        ("alexnet", "torchvision", 61_100_840),
        ("alexnet", "pytorchcv", 61_100_840),
        ("alexnet-lrn", "pytorchcv", 62_378_344),
        ("zfnetb", "pytorchcv", 107_627_624),
        ("bvlc-alexnet", "jiecaoyu", 60_965_224),
        ("nin-fc", "functional-zoo", 8_644_776),
        ("squeezenet1-0", "torchvision", 1_248_424),
        ("squeezenet1-1", "torchvision", 1_235_496),
    ],
)
def test_parameters_are_as_many_as_published(variant: str, dialect: str, count: int) -> None:
    assert parameters(architectures.build(variant, dialect)) == count


def test_alexnet_normalises_before_it_pools_and_caffenet_after() -> None:
    orders = {}
    for variant, dialect in (("bvlc-alexnet", "jiecaoyu"), ("caffenet", "jigendg")):
        nodes = architectures.build(variant, dialect).nodes
        orders[variant] = [node.op for node in nodes if node.op in ("LRN", "MaxPool")]
    assert orders["bvlc-alexnet"] == ["LRN", "MaxPool"] * 2 + ["MaxPool"]
    assert orders["caffenet"] == ["MaxPool", "LRN"] * 2 + ["MaxPool"]


def test_dropout_stands_where_each_publisher_trained_with_it() -> None:
    ends = {dialect: [node.op for node in architectures.build("alexnet", dialect).nodes][-7:]
            for dialect in architectures.dialects("alexnet")}  # fmt: skip
    assert (
        ends["torchvision"]
        == ends["pretrainedmodels"]
        == ["Dropout", "Gemm", "Relu", "Dropout", "Gemm", "Relu", "Gemm"]
    )
    assert ends["pytorchcv"] == ["Gemm", "Relu", "Dropout", "Gemm", "Relu", "Dropout", "Gemm"]


@pytest.mark.parametrize(
    ("variant", "dialect", "size"),
    [
        ("alexnet", "torchvision", 192),
        ("alexnet", "pretrainedmodels", 448),
        ("alexnet-v2", "slim", 256),
        ("caffenet", "jigendg", 299),
        ("overfeat", "slim", 230),
        ("nin", "pytorch-nin", 231),
        ("nin-fc", "functional-zoo", 220),
        ("vgg16", "pretrainedmodels", 448),
    ],
)
def test_an_input_that_leads_to_another_map_is_refused(variant: str, dialect: str, size: int) -> None:
    with pytest.raises(UsageError, match=f"{variant}: size={size}"):
        architectures.build(variant, dialect, size=size)


def test_torchvision_averages_larger_maps() -> None:
    pools = [node for node in architectures.build("alexnet", "torchvision", size=432).nodes if node.op == "AveragePool"]
    assert [node.attrs["kernel_shape"] for node in pools] == [(2, 2)]


def test_pretrainedmodels_published_files_are_torchvisions() -> None:
    graph = architectures.build("squeezenet1-1", "torchvision")
    arrays = {name: np.zeros(param.shape, np.float32) for name, param in graph.params.items()}
    assert "classifier.1.weight" in architectures.fit("squeezenet1-1", arrays, where="squeezenet1_1.pth").params
    saved = {name.replace("classifier.1", "last_conv"): array for name, array in arrays.items()}
    assert "last_conv.weight" in architectures.fit("squeezenet1-1", saved, where="mine.pth").params
