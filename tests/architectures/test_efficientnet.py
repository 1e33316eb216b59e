"""EfficientNet: what its dialects and generations do differently."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from test_published import CASES, shapes_in_file

from zoo import architectures


def epsilons(variant: str, dialect: str) -> set[float]:
    graph = architectures.build(variant, dialect)
    return {node.attrs["epsilon"] for node in graph.nodes if node.op == "BatchNormalization"}


@pytest.mark.parametrize(
    ("variant", "dialect", "parameters"),
    [
        # published: the paper of Lite, and `num_params` of torchvision's weights
        ("efficientnet-lite0", "lukemelas", 4_652_008),
        ("efficientnet-b0", "torchvision", 5_288_548),
        ("efficientnet-b7", "torchvision", 66_347_960),
        ("efficientnetv2-s", "torchvision", 21_458_488),
        ("efficientnetv2-l", "torchvision", 118_515_272),
    ],
)
def test_parameters_are_counted_as_the_publisher_counts_them(variant: str, dialect: str, parameters: int) -> None:
    shapes = shapes_in_file(architectures.build(variant, dialect))
    assert sum(int(np.prod(shape)) for name, shape in shapes.items() if ".running_" not in name) == parameters


@pytest.mark.parametrize("variant", ["efficientnet-b0", "efficientnet-lite0", "efficientnet-es", "efficientnetv2-s"])
def test_timms_ports_from_tensorflow_have_its_names_but_other_numbers(variant: str) -> None:
    own, ported = (CASES[f"efficientnet:{dialect}/{variant}"] for dialect in ("timm", "timm-tf"))
    assert [own["digest"], own["gain"], own["size"]] == [ported["digest"], ported["gain"], ported["size"]]
    first, second = np.array(own["output"]), np.array(ported["output"])
    assert np.abs(first - second).max() > 1e-2 * np.abs(first).max()


def test_torchvisions_large_networks_have_tensorflows_epsilon() -> None:
    assert epsilons("efficientnet-b4", "torchvision") == {1e-5}
    assert epsilons("efficientnet-b5", "torchvision") == epsilons("efficientnetv2-s", "torchvision") == {1e-3}


def test_the_publishers_dropout_is_kept_for_fine_tuning() -> None:
    graphs = [architectures.build(f"efficientnet-lite{number}", "timm") for number in range(5)]
    assert [graph.nodes[-2].attrs["ratio"] for graph in graphs] == [0.2, 0.2, 0.3, 0.3, 0.3]


def test_lite_and_edge_have_no_squeeze_and_excitation_v2_only_in_its_later_stages() -> None:
    gates = {
        variant: Counter(node.op for node in architectures.build(variant, "timm").nodes)["GlobalAveragePool"] - 1
        for variant in ("efficientnet-b0", "efficientnet-lite0", "efficientnet-es", "efficientnetv2-s")
    }
    assert gates == {"efficientnet-b0": 16, "efficientnet-lite0": 0, "efficientnet-es": 0, "efficientnetv2-s": 30}


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        ("lukemelas", ["_conv_stem", "_bn0", "_bn0.swish", "_blocks.1._expand_conv", "_blocks.2.add", "_fc"]),
        ("timm", ["conv_stem", "bn1", "bn1.act", "blocks.1.0.conv_pwl", "blocks.1.1.add", "classifier"]),
        ("torchvision", ["features.0.0", "features.1.0.block.1.fc1", "features.1.0.block.2.0", "features.2.1.add"]),
    ],
)
def test_nodes_carry_the_publishers_module_names(dialect: str, names: list[str]) -> None:
    nodes = [node.name for node in architectures.build("efficientnet-b0", dialect).nodes]
    assert [name for name in nodes if name in names] == names
