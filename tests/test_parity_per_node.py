"""Every value of a network is compared with the origin's; the first that departs is named with its worst element."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from zoo.build import Affine, build
from zoo.graph import Graph, Node, Param
from zoo.parity import Comparison, compare

RNG = np.random.default_rng(3)
W1 = RNG.normal(size=(5, 3, 3, 3)).astype(np.float32)
W2 = RNG.normal(size=(5, 5, 1, 1)).astype(np.float32)
DENSE = RNG.normal(size=(5 * 6 * 4, 7)).astype(np.float32)
X = RNG.normal(size=(2, 3, 8, 6)).astype(np.float32)
NODES = (
    Node("Conv", "block/conv.1", ("data", "w1"), ("block/conv.1",)),
    Node("Relu", "relu1", ("block/conv.1",), ("relu1_out",)),
    Node("Conv", "conv2", ("relu1_out", "w2"), ("conv2",)),
    Node("Identity", "alias", ("conv2",), ("alias",)),
    Node("Flatten", "flat", ("alias",), ("flat",)),
    Node("Gemm", "fc", ("flat", "w3"), ("fc",)),
    Node("Softmax", "prob", ("fc",), ("prob",), {"axis": 1}),
)


def graph_of(**arrays: np.ndarray) -> Graph:
    return Graph("net", {"data": (3, 8, 6)}, ("prob",), NODES, {"w1": W1, "w2": W2, "w3": DENSE, **arrays})


def origin() -> dict[str, np.ndarray]:
    """What another framework would have stored: every value, NCHW, by plain NumPy."""
    windows = np.lib.stride_tricks.sliding_window_view(X, (3, 3), axis=(2, 3))
    conv1 = np.einsum("nchwij,ocij->nohw", windows, W1)
    relu = np.maximum(conv1, 0)
    conv2 = np.einsum("nchw,oc->nohw", relu, W2[:, :, 0, 0])
    fc = conv2.reshape(2, -1) @ DENSE
    prob = np.exp(fc - fc.max(1, keepdims=True))
    prob /= prob.sum(1, keepdims=True)
    values = {"block/conv.1": conv1, "relu1_out": relu, "conv2": conv2, "alias": conv2, "fc": fc, "prob": prob}
    return {"data": X, **values, "flat": conv2.reshape(2, -1)}


@pytest.fixture(scope="module")
def model() -> Any:
    return build(graph_of())


def test_all_values_of_a_graph_are_equal_in_execution_order() -> None:
    found = compare(graph_of(), dict(reversed(origin().items())))
    assert found.result == "equal"
    assert [row.name for row in found.rows] == ["block/conv.1", "relu1_out", "conv2", "alias", "flat", "fc", "prob"]
    assert found.rows[0].shape == (2, 5, 6, 4)
    assert max(row.error for row in found.rows) <= 1e-5
    assert found.unknown == ()
    assert str(found).startswith("equal: 7 values")


def test_a_wrong_layer_in_the_middle_is_the_first_that_departs() -> None:
    wrong = W2.copy()
    wrong[3, 1] += 5
    found = compare(graph_of(w2=wrong), origin())
    assert found.result == "differs"
    assert [row.equal for row in found.rows] == [True, True, False, False, False, False, False]
    assert found.first is not None
    assert found.first.name == "conv2"
    assert found.first.index is not None
    assert found.first.index[1] == 3, "the worst element is in the channel that is wrong, in the origin's order of axes"
    worst = origin()["conv2"][found.first.index]
    assert found.first.expected == pytest.approx(worst, rel=1e-5)
    assert found.first.actual != pytest.approx(worst, rel=1e-2)
    assert "first at conv2: error" in str(found)
    assert "expected" in str(found)


def test_a_built_model_is_compared_by_its_layers_names(model: Any) -> None:
    arrays = {name: array for name, array in origin().items() if name not in ("alias", "relu1_out")}
    arrays["relu1"] = origin()["relu1_out"]
    found = compare(model, arrays)
    assert found.result == "equal", str(found)
    assert [row.name for row in found.rows] == ["block/conv.1", "relu1", "conv2", "flat", "fc", "prob"]


def test_a_model_with_preprocessing_inside_takes_what_the_origin_took() -> None:
    affine = Affine((0.5, 1.0, 2.0), (1.0, -2.0, 3.0), reverse=True)
    found = compare(build(graph_of(), affine=affine), origin(), reverse=True)
    assert found.result == "equal", str(found)


def test_names_that_the_network_does_not_have_are_told(model: Any) -> None:
    for network in (model, graph_of()):
        found = compare(network, {**origin(), "bogus": X})
        assert "bogus" in found.unknown
        assert "the network has no" in str(found)
        assert found.result == "equal"


def test_a_file_without_any_value_of_the_network_cannot_be_compared(model: Any) -> None:
    for network in (model, graph_of()):
        found = compare(network, {"data": X, "bogus": X})
        assert (found.result, found.unknown) == ("cannot run", ("bogus",))


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"prob": X}, "no input 'data'"),
        ({"data": X[:, :2], "prob": X}, "has shape (2, 2, 8, 6)"),
        ({"data": X[0], "prob": X}, "has shape (3, 8, 6)"),
        ({"data": np.array(["a"]), "prob": X}, "expected numbers"),
    ],
)
def test_what_cannot_run_says_why(arrays: dict[str, np.ndarray], why: str, model: Any) -> None:
    for network in (graph_of(), model):
        found = compare(network, arrays)
        assert found.result == "cannot run"
        assert why in found.why


def test_a_graph_without_weights_or_with_an_unknown_op_cannot_run() -> None:
    found = compare(graph_of(w2=Param(W2.shape)), origin())  # type: ignore[arg-type]
    assert found.result == "cannot run"
    odd = Graph("odd", {"x": (3, 4, 4)}, ("y",), (Node("RoiPool", "y", ("x",), ("y",)),))
    found = compare(odd, {"input": X[:, :, :4, :4], "y": X})
    assert found.result == "cannot run"
    assert "RoiPool" in str(found)


def test_numbers_that_are_none_depart_unless_both_have_them() -> None:
    arrays = origin()
    arrays["conv2"] = arrays["conv2"].copy()
    arrays["conv2"][1, 2, 3, 0] = np.nan
    found = compare(graph_of(), arrays)
    assert found.first is not None
    assert (found.first.name, found.first.index, found.first.error) == ("conv2", (1, 2, 3, 0), np.inf)
    assert "1 elements are no number" in found.first.note
    broken = W2.copy()
    broken[2] = np.nan
    arrays = {"data": X, "conv2": origin()["conv2"]}
    assert compare(graph_of(w2=broken), arrays).result == "differs"
    arrays["conv2"] = arrays["conv2"].copy()
    arrays["conv2"][:, 2] = np.nan
    assert compare(graph_of(w2=broken), arrays).result == "equal"


def test_another_shape_departs() -> None:
    found = compare(graph_of(), {"data": X, "conv2": X})
    assert found.result == "differs"
    assert "first at conv2: has shape" in str(found)


def test_axes_of_size_one_do_not_matter_and_a_map_may_be_nhwc() -> None:
    arrays = origin()
    arrays["prob"] = arrays["prob"].reshape(2, 7, 1, 1)
    arrays["conv2"] = arrays["conv2"].transpose(0, 2, 3, 1)
    assert compare(graph_of(), arrays).result == "equal"


def test_a_square_map_is_taken_as_the_origin_has_it() -> None:
    x = RNG.normal(size=(1, 3, 3, 3)).astype(np.float32)
    graph = Graph("g", {"x": (3, 3, 3)}, ("y",), (Node("Relu", "y", ("x",), ("y",)),))
    assert compare(graph, {"x": x, "y": np.maximum(x, 0)}).result == "equal"
    assert compare(graph, {"x": x, "y": np.maximum(x, 0).transpose(0, 2, 3, 1)}).result == "differs"


def test_the_only_input_may_be_called_input() -> None:
    arrays = origin()
    arrays["input"] = arrays.pop("data")
    assert compare(graph_of(), arrays).result == "equal"


def test_the_module_is_light() -> None:
    code = "import sys, zoo.parity; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_comparison_that_holds_nothing_says_so() -> None:
    assert str(Comparison("equal")) == "equal: 0 values, largest error 0.0e+00 of 1e-04 allowed"
    assert keras.backend.backend()
