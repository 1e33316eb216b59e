"""MNASNet and MixNet: what their publishers do differently."""

from __future__ import annotations

import numpy as np
import pytest
from test_published import CASES, shapes_in_file

from zoo import architectures
from zoo.errors import FormatError


@pytest.mark.parametrize(
    ("variant", "parameters"),  # published: `num_params` of torchvision's weights
    [("mnasnet-050", 2_218_512), ("mnasnet-075", 3_170_208), ("mnasnet-100", 4_383_312), ("mnasnet1-3", 6_282_256)],
)
def test_parameters_are_counted_as_the_publisher_counts_them(variant: str, parameters: int) -> None:
    shapes = shapes_in_file(architectures.build(variant, "torchvision"))
    assert sum(int(np.prod(shape)) for name, shape in shapes.items() if ".running_" not in name) == parameters


def test_files_of_torchvisions_first_version_are_refused() -> None:
    graph = architectures.build("mnasnet-050", "torchvision")
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes_in_file(graph).items()}
    arrays["layers.0.weight"] = np.zeros((32, 3, 3, 3), np.float32)
    with pytest.raises(FormatError, match=r"layers\.0\.weight has shape \(32, 3, 3, 3\)"):
        graph.bind(arrays, where="mnasnet0_5.pth")


def test_timms_ports_from_tensorflow_have_its_names_but_other_numbers() -> None:
    own, ported = (CASES[f"mnasnet:{dialect}/mixnet-s"] for dialect in ("timm", "timm-tf"))
    assert [own["digest"], own["gain"], own["size"]] == [ported["digest"], ported["gain"], ported["size"]]
    first, second = np.array(own["output"]), np.array(ported["output"])
    assert np.abs(first - second).max() > 1e-2 * np.abs(first).max()


def test_fbnet_c_has_the_epsilon_it_was_trained_with() -> None:
    for variant, epsilon in (("fbnetc-100", 1e-3), ("spnasnet-100", 1e-5)):
        nodes = architectures.build(variant, "timm").nodes
        assert {node.attrs["epsilon"] for node in nodes if node.op == "BatchNormalization"} == {epsilon}


def test_mixnet_gives_each_share_of_the_channels_a_kernel_of_its_own() -> None:
    nodes = {node.name: node for node in architectures.build("mixnet-s", "timm").nodes}
    kernels = [nodes[f"blocks.2.0.conv_dw.{part}"].attrs["kernel_shape"] for part in range(3)]
    assert kernels == [(3, 3), (5, 5), (7, 7)]
    assert nodes["blocks.2.0.conv_dw.split"].attrs["split"] == (48, 48, 48)
    assert nodes["blocks.5.0.conv_dw.split"].attrs["split"] == (144,) * 5
