"""Families that timm keeps: parameters as it counts them, and what files of theirs hold besides."""

from __future__ import annotations

import numpy as np
import pytest

from zoo import architectures
from zoo.errors import FormatError, UsageError
from zoo.graph import Graph, Param


def arrays_of(graph: Graph) -> dict[str, np.ndarray]:
    shapes = {name: param.shape_in_file for name, param in graph.params.items() if isinstance(param, Param)}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if shape is not None}


@pytest.mark.parametrize(
    ("variant", "millions"),
    [
        ("dla34", 15.74),
        ("dla60", 22.04),
        ("cspresnet50", 21.62),
        ("cspdarknet53", 27.64),
        ("darknet53", 41.61),
        ("repvgg-a0", 9.11),
        ("repvgg-b1", 57.42),
        ("rexnet-100", 4.80),
        ("selecsls42b", 32.46),
        ("skresnet18", 11.96),
        ("tresnet-m", 31.39),
        ("dm-nfnet-f0", 71.49),
        ("ghostnet-100", 5.18),
    ],
)
def test_parameters_are_as_many_as_timm_says(variant: str, millions: float) -> None:
    """huggingface/pytorch-image-models results/results-imagenet.csv."""
    arrays = arrays_of(architectures.build(variant, "timm"))
    count = sum(array.size for name, array in arrays.items() if ".running_" not in name)
    assert round(count / 1e6, 2) == millions


@pytest.mark.parametrize("dialect", ["timm", "ucbdrive"])
def test_projections_that_nothing_takes_may_be_in_dlas_files(dialect: str) -> None:
    graph = architectures.build("dla34", dialect)
    arrays = arrays_of(graph)
    arrays["level3.project.0.weight"] = np.zeros((128, 64, 1, 1), np.float32)
    bound = graph.bind(arrays, where="dla34.pth")
    assert list(bound.unused) == ["level3.project.0.weight"]
    arrays["level2.project.2.weight"] = np.zeros(1, np.float32)
    with pytest.raises(FormatError, match=r"left over: level2\.project\.2\.weight"):
        graph.bind(arrays, where="dla34.pth")


def test_gluoncvs_dla_classifies_what_all_levels_give() -> None:
    graph = architectures.build("dla34", "gluoncv")
    param = graph.params["fc.weight"]
    assert isinstance(param, Param)
    assert param.shape == (1000, 16 + 32 + 64 + 128 + 256 + 512)


@pytest.mark.parametrize("size", [96, 224])
def test_condensenet_takes_the_channels_whose_numbers_its_file_holds(size: int) -> None:
    graph = architectures.build("condensenet74-c8-g8", "pytorchcv", size=size)
    chosen = [node for node in graph.nodes if node.op == "Gather"]
    assert len(chosen) == 4 + 6 + 8 + 10 + 8 + 1
    assert chosen[-1].inputs[1] == "output.index"


@pytest.mark.parametrize(
    ("former", "current"),
    [
        ("gluon_resnet50_v1d", "resnet50d"),
        ("gluon_seresnext50_32x4d", "seresnext50_32x4d"),
        ("ssl_resnext101_32x16d", "resnext101_32x16d"),
        ("tf_efficientnet_l2_ns_475", "tf_efficientnet_l2"),
        ("tf_efficientnetv2_s_in21ft1k", "tf_efficientnetv2_s"),
        ("convnext_tiny_384_in22ft1k", "convnext_tiny"),
        ("mobilenetv3_large_100_miil_in21k", "mobilenetv3_large_100"),
        ("resnetv2_152x2_bit_teacher_384", "resnetv2_152x2_bit"),
        ("tresnet_m_448", "tresnet_m"),
    ],
)
def test_what_timm_called_a_network_before_still_leads_to_it(former: str, current: str) -> None:
    assert architectures.timm(former) == architectures.timm(current)


def test_a_name_that_never_was_is_refused_as_it_was_given() -> None:
    with pytest.raises(UsageError, match="'gluon_nothing_v1b' is not among"):
        architectures.timm("gluon_nothing_v1b")
