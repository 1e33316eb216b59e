"""Small Graphs give what PyTorch gives for the same ops (tests/golden/build/make.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from golden_arrays import golden_arrays

from zoo import artifact
from zoo.build import OPS, Affine, build, describe
from zoo.convert import relative_error
from zoo.errors import UnsupportedError
from zoo.graph import Graph, Node, Param
from zoo.shapes import infer_all

GOLDEN = Path(__file__).parents[1] / "golden" / "build"
CASES = json.loads((GOLDEN / "cases.json").read_text())
ARRAYS = golden_arrays(GOLDEN / "arrays.npz.xz")


def graph_of(name: str) -> Graph:
    spec = CASES[name]
    nodes = tuple(
        Node(op, node, tuple(inputs), tuple(*outputs) or (node,), attrs)
        for op, node, inputs, attrs, *outputs in spec["nodes"]
    )
    params = {key: ARRAYS[f"{name}/{key}"] for key in spec["params"]}
    return Graph(name, {"x": tuple(spec["shape"])}, nodes[-1].outputs[:1], nodes, params)


@pytest.mark.parametrize("name", CASES)
def test_a_graph_gives_the_origins_numbers(name: str) -> None:
    model = build(graph_of(name))
    output = keras.ops.convert_to_numpy(model(ARRAYS[f"{name}/input"].transpose(0, 2, 3, 1)))
    expected = ARRAYS[f"{name}/output"]
    if expected.ndim == 4:
        expected = expected.transpose(0, 2, 3, 1)
    assert output.shape == expected.shape
    assert relative_error(output, expected) <= 1e-5


def all_cases() -> Graph:
    """All cases as one Graph of many inputs and outputs."""
    nodes, params, inputs, outputs = [], {}, {}, []
    for name in CASES:
        graph = graph_of(name)
        inputs[f"{name}/x"] = graph.inputs["x"]
        outputs.append(f"{name}/{graph.outputs[0]}")
        params.update({f"{name}/{key}": array for key, array in graph.params.items()})
        for node in graph.nodes:
            read, made = (tuple(f"{name}/{key}" for key in keys) for keys in (node.inputs, node.outputs))
            nodes.append(Node(node.op, f"{name}/{node.name}", read, made, node.attrs))
    return Graph("all", inputs, tuple(outputs), tuple(nodes), params)


@pytest.fixture(scope="module")
def everything() -> keras.Model:
    return build(all_cases())


def inputs() -> list[np.ndarray]:
    return [ARRAYS[f"{name}/input"].transpose(0, 2, 3, 1) for name in CASES]


def arrays_of(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(keras.ops.convert_to_numpy(output), np.float32) for output in outputs]


def test_every_op_has_a_case() -> None:
    assert {node[0] for spec in CASES.values() for node in spec["nodes"]} == set(OPS)


def test_shapes_are_those_that_readers_reckon_with() -> None:
    for name in CASES:
        graph = graph_of(name)
        expected = infer_all(graph)[graph.outputs[0]]
        assert expected[1:] == ARRAYS[f"{name}/output"].shape[1:], name


def test_whatever_is_built_can_be_kept_and_loaded(everything: keras.Model, tmp_path: Path) -> None:
    artifact.save(everything, tmp_path)
    loaded = artifact.load(tmp_path)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in everything.layers]
    for name, one, other in zip(CASES, arrays_of(everything(inputs())), arrays_of(loaded(inputs())), strict=True):
        assert np.array_equal(one, other), name


LOAD = """
import sys
import keras, numpy as np
model = keras.saving.load_model("all.keras", safe_mode=True)
with np.load("inputs.npz") as arrays:
    outputs = model([arrays[str(i)] for i in range(len(arrays))])
assert "zoo" not in sys.modules
outputs = [np.asarray(keras.ops.convert_to_numpy(y), np.float32) for y in outputs]
np.savez("outputs.npz", **{str(i): y for i, y in enumerate(outputs)})
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_whatever_is_built_is_plain_keras_on_any_backend(everything: keras.Model, tmp_path: Path, backend: str) -> None:
    everything.save(tmp_path / "all.keras")
    np.savez(tmp_path / "inputs.npz", **{str(i): array for i, array in enumerate(inputs())})
    run = subprocess.run([sys.executable, "-I", "-c", LOAD], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    with np.load(tmp_path / "outputs.npz") as found:
        for i, (name, one) in enumerate(zip(CASES, arrays_of(everything(inputs())), strict=True)):
            assert found[str(i)].shape == one.shape, name
            assert relative_error(found[str(i)], one) <= 1e-5, name


@pytest.mark.parametrize("name", [name for name, spec in CASES.items() if spec["params"]])
def test_stored_arrays_are_trainable_weights_and_no_initialiser_made_them(name: str) -> None:
    graph = graph_of(name)
    model = build(graph)
    stored = {key: array for key, array in graph.params.items() if array.size > 1 or array.ndim == 4}
    indices = {key for node in graph.nodes if node.op == "Gather" for key in node.inputs[1:]}
    whole = {"Gemm_number": 4, "PRelu_shared": 3}.get(name, 0)  # one number for all becomes one for each
    assert model.count_params() == sum(array.size for key, array in stored.items() if key not in indices) + whole
    if stored and "BatchNormalization" not in name and not indices:
        assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == model.count_params()


def test_the_first_kernels_of_a_bgr_network_are_reversed_instead_of_its_input() -> None:
    graph = graph_of("conv_stride2_pad1")
    image = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(1, 8, 9, 3)
    model = build(graph, affine=Affine((0.5, 1.0, 2.0), (1.0, -2.0, 3.0), reverse=True))
    bgr = (image * np.float32([0.5, 1, 2]) + np.float32([1, -2, 3]))[..., ::-1]
    assert "preprocessing_bgr" not in [layer.name for layer in model.layers]
    expected = keras.ops.convert_to_numpy(build(graph)(bgr))
    assert relative_error(keras.ops.convert_to_numpy(model(image)), expected) <= 1e-6


def test_an_input_read_by_more_than_a_plain_convolution_is_reversed_itself() -> None:
    graph = graph_of("BatchNormalization_eps")
    image = np.linspace(0, 255, 48, dtype=np.float32).reshape(1, 4, 4, 3)
    model = build(graph, affine=Affine((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), reverse=True))
    expected = keras.ops.convert_to_numpy(build(graph)(image[..., ::-1]))
    assert relative_error(keras.ops.convert_to_numpy(model(image)), expected) <= 1e-6


def test_every_op_without_a_keras_counterpart_is_named_at_once() -> None:
    nodes = (
        Node("RoiPool", "roi/a", ("x",), ("a",)),
        Node("Relu", "b", ("a",), ("b",)),
        Node("Einsum", "c", ("b",), ("c",)),
    )
    with pytest.raises(UnsupportedError, match=r"roi/a \(RoiPool\), c \(Einsum\)"):
        build(Graph("odd", {"x": (3, 4, 4)}, ("c",), nodes))


def test_unbound_parameters_are_refused() -> None:
    nodes = (Node("Conv", "c", ("x", "w"), ("c",)),)
    with pytest.raises(UnsupportedError, match="no values"):
        build(Graph("empty", {"x": (3, 4, 4)}, ("c",), nodes, {"w": Param((2, 3, 1, 1))}))


@pytest.mark.parametrize("name", ["conv 1+2", "_input", "größe", ":0"])
def test_any_name_of_the_origin_can_be_run(name: str) -> None:
    graph = Graph("names", {"x": (3, 4, 4)}, ("a",), (Node("Relu", name, ("x",), ("a",)),))
    assert build(graph).predict(np.ones((1, 4, 4, 3)), verbose=0).shape == (1, 4, 4, 3)


def test_origin_names_become_names_that_every_backend_takes() -> None:
    nodes = (Node("Relu", "inception_3a/relu", ("x",), ("a",)), Node("Relu", "inception_3a.relu", ("a",), ("b",)))
    names = [layer.name for layer in build(Graph("names", {"x": (3, 4, 4)}, ("b",), nodes)).layers]
    assert names == ["x", "inception_3a_relu", "inception_3a_relu_2"]


@pytest.mark.parametrize("name", [name for name, spec in CASES.items() if spec["params"]])
def test_what_is_described_is_what_is_built(name: str, tmp_path: Path) -> None:
    graph = graph_of(name)
    model, arrays = describe(graph)
    if not model.variables:
        pytest.skip("its arrays are numbers of its operations")
    assert all(variable._value is None for variable in model.variables)  # nothing was computed for them
    artifact.save(model, tmp_path, arrays)
    loaded, built = artifact.load(tmp_path), build(graph)
    assert [variable.path for variable in loaded.weights] == [variable.path for variable in built.weights]
    for ours, theirs in zip(loaded.weights, built.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs))
