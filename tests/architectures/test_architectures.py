"""What all families have in common: how networks are found, filled and refused."""

from __future__ import annotations

import numpy as np
import pytest

from zoo import architectures
from zoo.errors import FormatError, UsageError
from zoo.graph import Graph, Param

IGNORED = {"*num_batches_tracked": "counts training steps; inference does not use it"}
LITE0 = "efficientnet-lite0"


def zeros(graph: Graph) -> dict[str, np.ndarray]:
    """An array for each parameter, as its file has them."""
    shapes = {name: param.shape_in_file for name, param in graph.params.items() if isinstance(param, Param)}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if shape is not None}


def test_every_variant_in_every_dialect_is_well_formed_at_its_own_size() -> None:
    for variant in architectures.variants():
        for dialect in architectures.dialects(variant):
            if dialect != "keras":  # these are built by Keras itself, in minutes; their own tests build each once
                assert len(architectures.build(variant, dialect).check().outputs) == 1


def test_no_two_families_write_the_same_network_of_a_publisher() -> None:
    owned = [(d, v) for family in architectures._modules() for d, names in family.PUBLISHED.items() for v in names]
    assert len(owned) == len(set(owned))


# ------------------------------------------------------------------------------------------------------- unknown names


def test_an_unknown_variant_offers_the_nearest_or_all() -> None:
    with pytest.raises(UsageError, match=r"did you mean .*efficientnet-lite0"):
        architectures.build("efficientnet_lite0", "timm")
    with pytest.raises(UsageError, match=r"there are: airnet50-1x64d-r2, .* and \d+ more"):
        architectures.build("qqqqq", "timm")


def test_an_unknown_dialect_offers_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no dialect 'lukemela'; did you mean lukemelas\?"):
        architectures.build(LITE0, "lukemela")
    with pytest.raises(UsageError, match="there are: timm, timm-tf, lukemelas"):
        architectures.build(LITE0, "caffe")


def test_a_network_has_at_least_one_class() -> None:
    with pytest.raises(UsageError, match="classes=0"):
        architectures.build(LITE0, "timm", classes=0)


def test_timm_says_which_dialect_its_own_names_are() -> None:
    assert architectures.timm("efficientnet_lite0") == (LITE0, "timm")
    assert architectures.timm("tf_efficientnet_lite0") == (LITE0, "timm-tf")
    with pytest.raises(UsageError, match="timm's architecture 'my_net' is not among"):
        architectures.timm("my_net")


# -------------------------------------------------------------------------------------------- arrays that do not belong


def test_another_variants_weights_are_refused() -> None:
    graph = architectures.build(LITE0, "lukemelas")
    larger = zeros(architectures.build("efficientnet-lite2", "lukemelas"))
    with pytest.raises(FormatError, match=r"lite2.pth: .*left over: _blocks.*and \d+ more"):
        graph.bind(larger, where="lite2.pth")


def test_a_transposed_or_missing_or_additional_tensor_is_refused() -> None:
    graph = architectures.build(LITE0, "lukemelas")
    arrays = zeros(graph)
    with pytest.raises(FormatError, match=r"_fc\.weight has shape"):
        graph.bind({**arrays, "_fc.weight": arrays["_fc.weight"].T}, where="x.pth")
    with pytest.raises(FormatError, match=r"left over: extra\.weight"):
        graph.bind({**arrays, "extra.weight": np.zeros(1)}, where="x.pth")
    del arrays["_bn0.running_var"]
    with pytest.raises(FormatError, match=r"missing: _bn0\.running_var"):
        graph.bind(arrays, where="x.pth")


# ------------------------------------------------------------------------------------- arrays that come without a card


def test_dialect_and_classes_are_read_off_the_arrays() -> None:
    arrays = zeros(architectures.build(LITE0, "lukemelas", classes=7))
    arrays["_bn0.num_batches_tracked"] = np.array(3)
    graph = architectures.fit(LITE0, arrays, where="mine.pth", ignore=IGNORED)
    assert np.shape(graph.params["_fc.weight"]) == (7, 1280)
    assert graph.unused == {"_bn0.num_batches_tracked": IGNORED["*num_batches_tracked"]}


def test_names_that_two_dialects_share_need_a_word() -> None:
    arrays = zeros(architectures.build(LITE0, "timm"))
    with pytest.raises(UsageError, match=f"{LITE0}/timm or {LITE0}/timm-tf"):
        architectures.fit(LITE0, arrays, where="mine.pth")
    graph = architectures.fit(f"{LITE0}/timm", arrays, where="mine.pth")
    assert {node.attrs["epsilon"] for node in graph.nodes if node.op == "BatchNormalization"} == {1e-5}


def test_arrays_of_no_dialect_are_compared_with_the_nearest() -> None:
    arrays = zeros(architectures.build(LITE0, "lukemelas"))
    del arrays["_conv_head.weight"]
    with pytest.raises(FormatError, match=r"mine.pth: .*missing: _conv_head.weight; left over: none"):
        architectures.fit(LITE0, arrays, where="mine.pth")
    with pytest.raises(UsageError, match="no dialect 'tim'"):
        architectures.fit(f"{LITE0}/tim", arrays, where="mine.pth")
