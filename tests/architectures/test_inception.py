"""What is special in the networks whose modules are branches: GoogLeNet, the Inceptions, PolyNet; and in Xception."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from zoo import architectures
from zoo.errors import FormatError
from zoo.graph import Graph, Node, Param

GOLDEN = Path(__file__).parents[1] / "golden" / "architectures"


def zeros(graph: Graph) -> dict[str, np.ndarray]:
    """Arrays as the file holds them, that take no memory."""
    shapes = {name: param.shape_in_file for name, param in graph.params.items() if isinstance(param, Param)}
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items() if shape is not None}


def outputs(family: str, case: str) -> list[float]:
    return list(json.loads((GOLDEN / f"{family}.json").read_text())[case]["output"])


# ------------------------------------------------------------------------------------------------------- arrays, names


def test_a_depthwise_kernel_with_several_maps_per_channel_goes_by_channels_first() -> None:
    param = Param((6, 1, 2, 5), stored="HWC2")
    assert param.shape_in_file == (2, 5, 3, 2)
    stored = np.arange(60).reshape(2, 5, 3, 2)
    graphs = param.of(stored)
    assert graphs.shape == param.shape
    assert all(np.array_equal(graphs[2 * c + m, 0], stored[:, :, c, m]) for c in range(3) for m in range(2))


def test_a_number_of_the_definition_stays_when_arrays_are_bound() -> None:
    node = Node("Mul", "twice", ("image", "twice.number"), ("twice",))
    graph = Graph("net", {"image": (1, 2, 2)}, ("twice",), (node,), {"twice.number": np.float32(2)})
    assert graph.bind({}, where="x").params == {"twice.number": 2}
    with pytest.raises(FormatError, match=r"left over: twice\.number"):
        graph.bind({"twice.number": np.float32(3)}, where="x")


@pytest.mark.parametrize(
    ("variant", "dialect", "auxiliary"),
    [
        ("googlenet", "torchvision", ["aux1.conv.bn.running_mean", "aux2.fc2.bias"]),
        ("inception-v3", "torchvision", ["AuxLogits.conv0.conv.weight", "AuxLogits.fc.bias"]),
        ("inception-v3", "timm", ["AuxLogits.conv0.conv.weight", "AuxLogits.fc.bias"]),
        ("inception-v3", "slim", ["InceptionV3/AuxLogits/Conv2d_2a_5x5/weights", "global_step"]),
        ("inception-v4", "slim", ["InceptionV4/AuxLogits/Aux_logits/biases", "global_step"]),
        ("inception-resnet-v2", "slim", ["InceptionResnetV2/AuxLogits/Logits/biases", "global_step"]),
    ],
)
def test_auxiliary_classifiers_are_told_as_unused(variant: str, dialect: str, auxiliary: list[str]) -> None:
    graph = architectures.build(variant, dialect)
    bound = graph.bind({**zeros(graph), **{name: np.zeros(1) for name in auxiliary}}, where="x")
    assert list(bound.unused) == auxiliary
    assert all("training" in why for why in bound.unused.values())


def test_names_tell_the_publisher_where_they_differ() -> None:
    for variant, dialect in [("inception-v3", "slim"), ("inception-resnet-v2", "timm"), ("xception", "timm"),
                             ("xception", "pretrainedmodels"), ("googlenet", "slim")]:  # fmt: skip
        graph = architectures.build(variant, dialect, classes=7)
        assert set(architectures.fit(variant, zeros(graph), where="x").params) == set(graph.params)


# ------------------------------------------------------------------------------------------------------------ networks


@pytest.mark.parametrize(
    ("variant", "dialect", "count"),
    [
        ("googlenet", "torchvision", 6_624_904),
        ("inception-v3", "torchvision", 27_161_264 - 3_326_696),  # published with the auxiliary classifier
        ("xception", "timm", 22_855_952),
        ("inception-v3", "pytorchcv", 23_834_568),
        ("inception-v4", "timm", 42_679_816),
        ("inception-v4", "pytorchcv", 42_679_816),
        ("bninception", "pytorchcv", 11_295_240),
        ("inception-resnet-v1", "pytorchcv", 23_995_624),
        ("inception-resnet-v2", "timm", 55_843_464),
        ("inception-resnet-v2", "pytorchcv", 55_843_464),
        ("polynet", "pretrainedmodels", 95_366_600),
    ],
)
def test_parameters_are_as_many_as_published(variant: str, dialect: str, count: int) -> None:
    arrays = zeros(architectures.build(variant, dialect))
    assert sum(array.size for name, array in arrays.items() if ".running_" not in name) == count


def test_publishers_with_the_same_names_have_the_same_numbers() -> None:
    """A wrong one of these dialects does no harm: the weights generated for the golden files depend on names alone."""
    same = [("inception_v3", "torchvision/inception-v3", "timm/inception-v3")]
    for family, first, second in same:
        assert outputs(family, first) == pytest.approx(outputs(family, second), rel=1e-6)
    dialects = ("timm", "pretrainedmodels")
    first_graph, second_graph = (architectures.build("inception-v4", dialect) for dialect in dialects)
    assert first_graph.params == second_graph.params
    assert [(n.op, n.attrs) for n in first_graph.nodes] == [(n.op, n.attrs) for n in second_graph.nodes]


@pytest.mark.parametrize(
    ("variant", "dialect"),
    [("inception-v3", "torchvision"), ("inception-v4", "pretrainedmodels"), ("bninception", "pretrainedmodels"),
     ("inception-resnet-v2", "pretrainedmodels")],
)  # fmt: skip
def test_pytorchcv_has_the_networks_of_others_under_other_names(variant: str, dialect: str) -> None:
    theirs, others = (architectures.build(variant, name) for name in ("pytorchcv", dialect))
    assert not theirs.params.keys() & others.params.keys()
    steps = [Counter((node.op, str(node.attrs)) for node in graph.nodes if node.op != "Dropout")
             for graph in (theirs, others)]  # fmt: skip
    assert steps[0] == steps[1]


def test_averages_of_inception_v3_count_the_padding_in_torch_and_not_in_slim() -> None:
    counts = {
        dialect: {n.attrs["count_include_pad"] for n in graph.nodes if n.op == "AveragePool"}
        for dialect in ("torchvision", "timm", "slim")
        for graph in [architectures.build("inception-v3", dialect)]
    }
    assert counts == {"torchvision": {1}, "timm": {1}, "slim": {0}}


@pytest.mark.parametrize(
    ("variant", "dialect", "expected"),
    [
        ("inception-resnet-v1", "pytorchcv", {0.17: 5, 0.1: 10, 0.2: 5}),
        ("inception-resnet-v2", "pytorchcv", {0.17: 10, 0.1: 20, 0.2: 9}),
        ("inception-resnet-v2", "slim", {0.17: 10, 0.1: 20, 0.2: 9}),
    ],
)
def test_blocks_of_inception_resnet_are_scaled_by_the_numbers_of_the_definition(
    variant: str, dialect: str, expected: dict[float, int]
) -> None:
    params = architectures.build(variant, dialect).params
    numbers = Counter(round(float(array), 6) for array in params.values() if isinstance(array, np.ndarray))
    assert numbers == expected


def test_branches_of_a_poly_module_share_their_convolutions() -> None:
    graph = architectures.build("polynet", "pretrainedmodels")
    readers = Counter(node.inputs[1] for node in graph.nodes if node.op == "Conv")
    assert readers["stage_b.0.path0_1x7.conv.weight"] == 3
    assert readers["stage_b.1.blocks.0.path0.1.conv.weight"] == 1
