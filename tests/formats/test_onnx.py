"""ONNX files are read as ONNX Runtime runs them; damaged and hostile ones give one clear line."""

from __future__ import annotations

import lzma
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from golden_arrays import golden_arrays
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.build import build
from zoo.errors import FormatError, UnsupportedError, UsageError, ZooError
from zoo.formats import onnx
from zoo.formats.onnx import schema
from zoo.formats.options import Options
from zoo.graph import Graph
from zoo.parity import compare

GOLDEN = Path(__file__).parents[1] / "golden" / "onnx"
OPS = sorted(path.stem for path in (GOLDEN / "ops").iterdir())
NETS = sorted(path.name.removesuffix(".onnx.xz") for path in (GOLDEN / "nets").iterdir())
RNG = np.random.default_rng(5)
DTYPES = {"f4": 1, "u1": 2, "i1": 3, "i4": 6, "i8": 7, "b1": 9, "f2": 10, "f8": 11}
WEIGHT = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)


def tensor(array: Any, name: str = "", **fields: Any) -> Any:
    array = np.asarray(array)
    message: Any = schema.CLASSES["Tensor"](name=name.encode(), dims=array.shape, data_type=DTYPES[array.dtype.str[1:]])
    if not fields:
        message.raw_data = array.tobytes()
    for key, value in fields.items():
        if isinstance(value, list):
            getattr(message, key).extend(value)
        else:
            setattr(message, key, value)
    return message


def node(op: str, inputs: str, outputs: str, *, name: str = "", domain: str = "", **attrs: Any) -> Any:
    message: Any = schema.CLASSES["Node"](op_type=op.encode(), name=name.encode(), domain=domain.encode())
    message.input.extend(b"" if n == "_" else n.encode() for n in inputs.split())
    message.output.extend(n.encode() for n in outputs.split())
    for key, value in attrs.items():
        made = message.attribute.add(name=key.encode())
        if isinstance(value, float):
            made.type, made.f = 1, value
        elif isinstance(value, int):
            made.type, made.i = 2, value
        elif isinstance(value, bytes):
            made.type, made.s = 3, value
        elif isinstance(value, list) and value and isinstance(value[0], float):
            made.type = 6
            made.floats.extend(value)
        elif isinstance(value, list):
            made.type = 7
            made.ints.extend(value)
        else:
            made.type = 4
            made.t.CopyFrom(value)
    return message


def message(
    nodes: list[Any],
    arrays: Mapping[str, Any] | None = None,
    *,
    dims: tuple[int | str | None, ...] | None = ("N", 3, 6, 5),
    outputs: str = "y",
    opset: int = 13,
) -> Any:
    model: Any = schema.CLASSES["Model"](ir_version=8)
    model.opset_import.add(version=opset)
    model.graph.name = b"g"
    model.graph.node.extend(nodes)
    for key, array in (arrays or {}).items():
        if isinstance(array, schema.CLASSES["Tensor"]):
            array.name = key.encode()
            model.graph.initializer.append(array)
        else:
            model.graph.initializer.append(tensor(array, key))
    kind = model.graph.input.add(name=b"x").type.tensor_type
    kind.elem_type = 1
    for size in dims or ():
        kind.shape.dim.add(**({"dim_value": size} if isinstance(size, int) else {"dim_param": (size or "").encode()}))
    for name in outputs.split():
        model.graph.output.add(name=name.encode())
    return model


def read(folder: Path, *args: Any, options: Options | None = None, **more: Any) -> Graph:
    found = args[0] if len(args) == 1 and not isinstance(args[0], list) else message(*args, **more)
    path = folder / "net.onnx"
    path.unlink(missing_ok=True)
    path.write_bytes(found.SerializeToString())
    return onnx.read(path, options=options or Options())


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    """The network's answer for NCHW, as NCHW."""
    y = keras.ops.convert_to_numpy(build(graph)(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x))
    return y.transpose(0, 3, 1, 2) if y.ndim == 4 else y


def ops(graph: Graph) -> list[str]:
    return [made.op for made in graph.nodes]


CONV = [node("Conv", "x w", "y", name="conv")]


# What ONNX computes


@pytest.fixture(scope="module")
def answers() -> Any:
    return {name: golden_arrays(GOLDEN / f"{name}.npz.xz") for name in ("ops", "nets")}


@pytest.mark.parametrize("case", OPS)
def test_an_op_gives_the_numbers_of_onnx_runtime(case: str, answers: Any) -> None:
    graph = onnx.read(GOLDEN / "ops" / f"{case}.onnx")
    x, expected = answers["ops"][f"{case}/x"], answers["ops"][f"{case}/y"]
    actual = run(graph, x.transpose(0, 3, 1, 2) if case.startswith("nhwc") else x)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()
    assert all(case.startswith("if_") and "never runs" in why for why in graph.unused.values())


def pattern(channels: int, height: int, width: int, batch: int) -> np.ndarray:
    n, c, y, x = np.meshgrid(*(np.arange(k) for k in (batch, channels, height, width)), indexing="ij")
    waves = (x * (7 + 3 * c) + y * (11 - 2 * c) + 40 * c + 90 * n) % 512 - 256
    return ((np.abs(waves) - 128) / 64).astype(np.float32)


@pytest.fixture
def unpacked(tmp_path: Path) -> Any:
    def unpack(case: str) -> Path:
        path = tmp_path / f"{case}.onnx"
        path.write_bytes(lzma.decompress((GOLDEN / "nets" / f"{case}.onnx.xz").read_bytes()))
        return path

    return unpack


@pytest.mark.parametrize("case", NETS)
def test_a_family_gives_the_numbers_of_onnx_runtime_at_every_node(case: str, answers: Any, unpacked: Any) -> None:
    graph = onnx.read(unpacked(case))
    stored = answers["nets"]
    arrays = {key.split("/", 1)[1]: stored[key] for key in stored.files if key.startswith(f"{case}/")}
    batch = len(arrays[graph.outputs[0]])
    found = compare(graph, {**arrays, "input": pattern(*graph.inputs["input"], batch=batch)})
    assert found.result == "equal", str(found)
    assert len(found.rows) == len(arrays) >= 2
    assert found.unknown == ()
    assert graph.unused == {}


def test_the_golden_cases_are_there() -> None:
    assert len(OPS) >= 190
    assert len(NETS) >= 18


def test_a_wrong_weight_is_found_at_its_node(answers: Any, unpacked: Any) -> None:
    graph = onnx.read(unpacked("resnet18"))
    stored = answers["nets"]
    arrays = {key.split("/", 1)[1]: stored[key] for key in stored.files if key.startswith("resnet18/")}
    names = [name for name in arrays if name != "output"]
    made = next(made for made in graph.nodes if made.outputs[0] == names[1])
    sums = {name: graph.params[name] for made in graph.nodes for name in made.inputs if name in graph.params}
    assert made.op in ("Add", "Relu", "Conv")
    last = list(sums)[-1]
    graph = Graph(**{**vars(graph), "params": {**graph.params, last: np.asarray(graph.params[last]) + 1}})
    found = compare(graph, {**arrays, "input": pattern(*graph.inputs["input"], batch=len(arrays["output"]))})
    assert found.first is not None
    assert found.first.name == "output"


# What the reader makes of a file


def test_a_matmul_and_its_bias_are_one_dense_layer(tmp_path: Path) -> None:
    arrays = {"w": np.ones((6, 2), "f4"), "b": np.ones(2, "f4")}
    nodes = [node("MatMul", "x w", "m", name="fc"), node("Add", "b m", "y")]
    graph = read(tmp_path, nodes, arrays, dims=(1, 6))
    assert [(made.op, made.name, made.inputs, made.outputs) for made in graph.nodes] == [
        ("Gemm", "fc", ("x", "w", "b"), ("y",))
    ]


def test_names_are_the_files_and_a_node_without_one_has_its_first_outputs(tmp_path: Path) -> None:
    nodes = [node("Conv", "x w", "a"), node("Relu", "a", "b", name="r"), node("Relu", "b", "y", name="r")]
    graph = read(tmp_path, nodes, {"w": WEIGHT})
    assert [(made.name, made.outputs) for made in graph.nodes] == [("a", ("a",)), ("r", ("b",)), ("r_2", ("y",))]
    assert list(graph.params) == ["w"]


def test_arrays_stay_in_the_mapped_file(tmp_path: Path) -> None:
    found = read(tmp_path, CONV, {"w": WEIGHT}).params["w"]
    assert isinstance(found, np.ndarray)
    assert not found.flags.owndata
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, WEIGHT)


def test_a_folded_array_keeps_its_name_and_each_form_is_one_parameter(tmp_path: Path) -> None:
    array = RNG.normal(size=(5, 5)).astype(np.float32)
    nodes = [
        node("Transpose", "w", "t", perm=[1, 0]),
        node("MatMul", "x t", "a"),
        node("MatMul", "a w", "b"),
        node("MatMul", "b t", "y"),
    ]
    graph = read(tmp_path, nodes, {"w": array}, dims=(1, 5))
    assert [made.inputs[1] for made in graph.nodes] == ["w", "w_2", "w"] or len(graph.params) == 2
    x = RNG.normal(size=(2, 5)).astype(np.float32)
    np.testing.assert_allclose(run(graph, x), x @ array.T @ array @ array.T, rtol=1e-4, atol=1e-4)


def test_arrays_that_nothing_reads_are_told_with_the_reason(tmp_path: Path) -> None:
    nodes = [*CONV, node("Conv", "x v", "other", name="aux")]
    graph = read(tmp_path, nodes, {"w": WEIGHT, "v": WEIGHT, "spare": WEIGHT})
    assert graph.unused == {
        "v": "only layers read it that the output does not need",
        "spare": "no layer reads it",
    }


def test_nodes_need_not_be_in_order(tmp_path: Path) -> None:
    nodes = [node("Relu", "b", "y"), node("Sigmoid", "x", "a"), node("Tanh", "a", "b")]
    assert ops(read(tmp_path, nodes)) == ["Sigmoid", "Tanh", "Relu"]


def test_an_image_input_in_nhwc_becomes_nchw(tmp_path: Path) -> None:
    nodes = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "t w", "y")]
    graph = read(tmp_path, nodes, {"w": WEIGHT}, dims=("N", 6, 5, 3))
    assert graph.inputs == {"x": (3, 6, 5)}
    assert ops(graph) == ["Identity", "Conv"]


def test_until_ends_at_a_value_or_node_before_anything_is_refused(tmp_path: Path) -> None:
    nodes = [*CONV, node("NonMaxSuppression", "y y", "z", name="nms")]
    args = {"arrays": {"w": WEIGHT}, "outputs": "z"}
    with pytest.raises(UnsupportedError, match="nms"):
        read(tmp_path, nodes, **args)
    for name in ("y", "conv"):
        assert read(tmp_path, nodes, options=Options(until=name), **args).outputs == ("y",)
    with pytest.raises(UsageError, match=r"no node or value 'convv'; nearest: conv"):
        read(tmp_path, nodes, options=Options(until="convv"), **args)


def test_an_open_size_is_asked_for(tmp_path: Path) -> None:
    for dims in (("N", 3, "H", "W"), (None, None, None, None), None):
        with pytest.raises(UsageError, match=r"give input_shape= \(--input-shape 3,224,224\)"):
            read(tmp_path, CONV, {"w": WEIGHT}, dims=dims)
        graph = read(tmp_path, CONV, {"w": WEIGHT}, dims=dims, options=Options(input_shape=(3, 9, 8)))
        assert graph.inputs == {"x": (3, 9, 8)}
    graph = read(tmp_path, CONV, {"w": WEIGHT}, options=Options(input_shape=(3, 9, 8)))
    assert graph.inputs == {"x": (3, 9, 8)}
    with pytest.raises(UsageError, match="has 3 channels, input_shape= says 1"):
        read(tmp_path, CONV, {"w": WEIGHT}, options=Options(input_shape=(1, 9, 8)))


def test_batch_normalization_by_position_of_operator_set_7(tmp_path: Path) -> None:
    arrays = {name: RNG.uniform(0.5, 2, (3, 6, 5)).astype(np.float32) for name in "gbmv"}
    graph = read(tmp_path, [node("BatchNormalization", "x g b m v", "y", spatial=0, epsilon=0.01)], arrays, opset=7)
    x = RNG.normal(size=(2, 3, 6, 5)).astype(np.float32)
    g, b, m, v = arrays.values()
    np.testing.assert_allclose(run(graph, x), (x - m) / np.sqrt(v + np.float32(0.01)) * g + b, rtol=1e-4, atol=1e-5)


def test_sizes_of_a_fixed_batch_stand_for_any(tmp_path: Path) -> None:
    graph = read(tmp_path, [node("Reshape", "x s", "y")], {"s": np.array([4, 90])}, dims=(4, 3, 6, 5))
    x = RNG.normal(size=(2, 3, 6, 5)).astype(np.float32)
    np.testing.assert_array_equal(run(graph, x), x.reshape(2, 90))


# Arrays in files beside the network


def outside(location: str, **entries: str) -> Any:
    made = tensor(WEIGHT, raw_data=b"", data_location=1)
    made.ClearField("raw_data")
    for key, value in {"location": location, **entries}.items():
        made.external_data.add(key=key.encode(), value=value.encode())
    return made


def test_arrays_may_lie_in_a_file_beside(tmp_path: Path) -> None:
    (tmp_path / "net.data").write_bytes(b"1234" + WEIGHT.tobytes() + b"56")
    for location in ("net.data", "./net.data"):
        found = read(tmp_path, CONV, {"w": outside(location, offset="4", length="432")}).params["w"]
        np.testing.assert_array_equal(found, WEIGHT)
    found = read(tmp_path, CONV, {"w": outside("net.data", offset="4")}).params["w"]
    np.testing.assert_array_equal(found, WEIGHT)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"location": "../net.data"}, "only a file in the network's own folder"),
        ({"location": "/etc/passwd"}, "only a file in the network's own folder"),
        ({"location": "sub/net.data"}, "only a file in the network's own folder"),
        ({"location": "C:\\net.data"}, "only a file in the network's own folder"),
        ({"location": ".."}, "only a file in the network's own folder"),
        ({"location": "a\0b"}, "only a file in the network's own folder"),
        ({"location": "absent.data"}, "which is not beside the network"),
        ({"location": "net.data", "offset": "8"}, "do not belong together"),
        ({"location": "net.data", "length": "400"}, "do not belong together"),
        ({"location": "net.data", "offset": "-4"}, "expected a whole number"),
        ({"location": "net.data", "offset": "9" * 40}, "expected a whole number"),
    ],
)
def test_a_file_beside_is_not_believed(tmp_path: Path, entries: dict[str, str], told: str) -> None:
    (tmp_path / "net.data").write_bytes(WEIGHT.tobytes() + b"1234")
    with pytest.raises(FormatError, match=re.escape(told)):
        read(tmp_path, CONV, {"w": outside(**entries)})


# What is refused


def test_all_unsupported_nodes_are_named_at_once(tmp_path: Path) -> None:
    nodes = [
        node("LSTM", "x w", "a", name="lstm"),
        node("Conv", "a w", "b", name="behind"),
        node("Attention", "b", "c", name="att", domain="com.microsoft"),
        node("DequantizeLinear", "x w", "d", name="dq"),
        node("Conv", "x k", "e", name="line"),
        node("ConstantOfShape", "s", "f", name="filled"),
        node("Shape", "x", "s"),
        node("Concat", "d e f c", "y", name="all", axis=1),
    ]
    with pytest.raises(UnsupportedError) as caught:
        read(tmp_path, nodes, {"w": WEIGHT, "k": np.ones((4, 3, 3), "f4")})
    assert str(caught.value) == (
        "net.onnx: unsupported layers: lstm (LSTM): has no counterpart; "
        "att (Attention): belongs to com.microsoft, not to ONNX's own operators; "
        "dq (DequantizeLinear): belongs to a quantized network; "
        "line (Conv): is a 1-D convolution, only 2-D is supported; "
        "filled (ConstantOfShape): makes an array as large as the batch"
    )


def with_subgraph(*names: str, g: bytes = b"\xff\xff not a message") -> Any:
    made = node("If", "x", "y", name="choice")
    for name in names:
        made.attribute.add(name=name.encode(), type=5, g=g)
    return made


def branch(nodes: list[Any], arrays: Mapping[str, Any] | None = None) -> bytes:
    data: bytes = message(nodes, arrays).graph.SerializeToString()
    return data


def choice(condition: str, **branches: bytes) -> Any:
    made = node("If", condition, "y", name="choice")
    for name, g in branches.items():
        made.attribute.add(name=name.encode(), type=5, g=g)
    return made


def test_an_if_is_the_branch_that_its_stored_condition_takes_and_the_others_arrays_are_told(tmp_path: Path) -> None:
    first = branch(
        [node("Mul", "x k", "m"), node("Relu", "m", "y", name="r")], {"k": np.float32(2), "idle": np.float32(1)}
    )
    second = branch([node("Add", "x k", "y")], {"k": np.float32(3)})
    nodes = [node("Not", "no", "c"), choice("c", then_branch=first, else_branch=second)]
    graph = read(tmp_path, nodes, {"no": np.array(False)})
    assert ops(graph) == ["Mul", "Relu", "Identity"]
    assert graph.outputs == ("y",)
    assert list(graph.params) == ["k"]
    assert graph.unused == {
        "choice/then_branch/idle": "no layer reads it",
        "choice/else_branch/k": "only the else_branch of choice has it, which never runs",
    }
    x = RNG.normal(size=(2, 3, 6, 5)).astype(np.float32)
    np.testing.assert_allclose(run(graph, x), np.maximum(2 * x, 0), rtol=1e-6)


def test_an_if_that_cannot_be_decided_or_holds_what_is_unsupported_says_so(tmp_path: Path) -> None:
    fine, strange = branch([node("Relu", "x", "y")]), branch([node("LSTM", "x x", "y", name="lstm")])
    computed = [node("GlobalMaxPool", "x", "s"), choice("s", then_branch=fine, else_branch=fine)]
    for nodes, told in (
        (computed, "choice (If): chooses between two subgraphs when the network runs"),
        ([choice("c", then_branch=strange, else_branch=fine)], "its then_branch has lstm (LSTM): has no counterpart"),
        ([choice("c", then_branch=fine, else_branch=b"\xff\xff")], "else_branch: cannot be read"),
        ([choice("c", then_branch=fine, else_branch=branch([]))], "choice (If) waits for its own output"),
    ):
        with pytest.raises(FormatError, match=re.escape(told)):
            read(tmp_path, nodes, {"c": np.array(True)} if nodes is not computed else {}, dims=("N", 3, 1, 1))
    assert (
        ops(read(tmp_path, [choice("c", then_branch=strange, else_branch=fine)], {"c": np.array(False)}))[0] == "Relu"
    )


def test_branches_in_branches_have_a_bound(tmp_path: Path) -> None:
    inner = branch([node("Relu", "x", "y")])
    for _ in range(40):
        inner = branch([choice("c", then_branch=inner, else_branch=inner[:0] or branch([node("Relu", "x", "y")]))])
    with pytest.raises(UnsupportedError, match=r"holds a subgraph"):
        read(tmp_path, [choice("c", then_branch=inner, else_branch=inner)], {"c": np.array(True)})


def test_stored_weights_of_few_bits_need_scales_that_fit(tmp_path: Path) -> None:
    whole = np.ones((4, 3, 3, 3), np.int8)
    for scale, attrs, told in (
        (np.ones(5, "f4"), {"axis": 0}, "has scales of shape (5,)"),
        (np.ones(4, "f4"), {"axis": 9}, "has axis 9"),
        (np.ones(4, "i4"), {"axis": 0}, "with a scale of int32"),
        (np.ones((2, 1, 1, 1), "f4"), {"axis": 0, "block_size": 2**40}, "in blocks of 1099511627776"),
    ):
        nodes = [node("DequantizeLinear", "q s", "w", **attrs), *CONV]
        with pytest.raises(FormatError, match=re.escape(told)):
            read(tmp_path, nodes, {"q": whole, "s": scale})


@pytest.mark.parametrize(
    ("nodes", "arrays", "told"),
    [
        ([with_subgraph("then_branch")], {}, "choice (If): holds a subgraph"),
        ([node("Transpose", "x", "y", perm=[1, 0, 2, 3])], {}, "moves the batch: [1, 0, 2, 3]"),
        ([node("Reshape", "x s", "y")], {"s": np.array([-1])}, "makes N of Nx3x6x5, which mixes the batch"),
        ([node("Reshape", "x s", "y")], {"s": np.array([2, 45])}, "which mixes the batch"),
        ([node("Concat", "x x", "y", axis=0)], {}, "acts along the batch"),
        ([node("Softmax", "x", "y", axis=0)], {}, "acts along the batch"),
        ([node("ReduceMean", "x", "y")], {}, "acts along the batch"),
        ([node("Slice", "x a b", "y")], {"a": np.array([0]), "b": np.array([1])}, "slices the batch"),
        ([node("Flatten", "x", "y", axis=2)], {}, "which mixes the batch with the rest"),
        ([node("MaxPool", "x", "y k", kernel_shape=[2, 2]), node("Relu", "k", "z")], {}, "its output 'k' is read"),
        ([node("BatchNormalization", "x w w w w", "y", training_mode=1)], {"w": np.ones(3, "f4")}, "training_mode"),
        ([node("Gemm", "x w", "y", transA=1)], {"w": np.ones((3, 3), "f4")}, "moves the batch"),
        ([node("Conv", "x x", "y")], {}, "input 1 is computed when the network runs"),
        ([node("Relu", "w", "a"), node("Add", "a x", "y")], {"w": WEIGHT}, "acts on stored arrays only"),
        ([node("ReduceMean", "x", "m", axes=[2, 3], keepdims=0), node("Add", "x m", "y")], {}, "4 axes"),
        ([node("Resize", "x _ s", "y", antialias=1)], {"s": np.ones(4, "f4")}, "antialias"),
        ([node("Cast", "w", "v", to=1), node("Conv", "x v", "y")], {"w": tensor(1, int32_data=[1])}, None),
    ],
)
def test_what_cannot_be_expressed_says_why(tmp_path: Path, nodes: Any, arrays: Any, told: str | None) -> None:
    outputs = "z" if any(b"z" in made.output for made in nodes) else "y"
    with pytest.raises(FormatError) as caught:
        read(tmp_path, nodes, arrays, outputs=outputs)
    assert (told or "") in str(caught.value)
    assert "net.onnx" in str(caught.value)


@pytest.mark.parametrize("opset", [1, 6, 99, 2**62])
def test_operators_of_unknown_versions_are_refused(tmp_path: Path, opset: int) -> None:
    with pytest.raises(UnsupportedError, match=f"operators of version {opset}; versions 7 to"):
        read(tmp_path, CONV, {"w": WEIGHT}, opset=opset)


@pytest.mark.parametrize("data_type", [8, 14, 17, 22, 4000])
def test_other_data_types_are_refused(tmp_path: Path, data_type: int) -> None:
    made = tensor(WEIGHT)
    made.data_type = data_type
    with pytest.raises(UnsupportedError, match="w: has the data type"):
        read(tmp_path, CONV, {"w": made})
    graph = read(tmp_path, CONV, {"w": WEIGHT, "labels": made})
    assert graph.unused == {"labels": "no layer reads it"}, "an array that nothing reads is not opened"


def wrong_shape(*dims: int) -> Any:
    made = tensor(WEIGHT)
    made.dims[:] = dims
    return made


@pytest.mark.parametrize(
    ("nodes", "arrays", "told"),
    [
        ([], {}, "holds no nodes"),
        ([node("Relu", "q", "y")], {}, "'q' is read, but nothing makes it"),
        ([node("Relu", "x", "z")], {}, "'y' is read, but nothing makes it"),
        ([node("Relu", "x", "y"), node("Tanh", "x", "y")], {}, "makes 'y' a second time"),
        ([node("Add", "x b", "a"), node("Add", "x a", "b"), node("Relu", "b", "y")], {}, "expected no cycles"),
        ([node("Relu", "x", "")], {}, "makes nothing"),
        (CONV, {"w": wrong_shape(4, 3, 3, 4)}, "its shape (4, 3, 3, 4) needs 144 numbers, the file holds 108"),
        (CONV, {"w": wrong_shape(2**40, 2**40)}, "the file holds 108"),
        (CONV, {"w": wrong_shape(-4, 3, 3, 3)}, "impossible shape"),
        (CONV, {"w": tensor(WEIGHT, raw_data=b"123")}, "3 bytes are no whole number of float32"),
        (CONV, {"w": np.ones((4, 2, 3, 3), "f4")}, "conv (Conv): kernel 4x2x3x3 in 1 group(s) does not fit 3 input"),
        (CONV, {"w": np.ones((4, 3, 7, 7), "f4")}, "conv (Conv): kernel 7x7 larger than input 6x5"),
        ([node("Conv", "x w", "y", strides=[0, 1])], {"w": WEIGHT}, "expected two positive numbers each"),
        ([node("Conv", "x w", "y", group=b"two")], {"w": WEIGHT}, "has no whole number as group"),
        ([node("Conv", "x w", "y", auto_pad=b"SAME")], {"w": WEIGHT}, "has the unknown auto_pad 'SAME'"),
        ([node("Concat", "x x", "y", axis=7)], {}, "has axis 7, its input 4 axes"),
        ([node("Concat", "x x", "y")], {}, "has no whole number as axis"),
        ([node("Reshape", "x s", "y", allowzero=1)], {"s": np.array([0, 90])}, "asks for an empty output"),
        ([node("Gather", "x k", "y", axis=1)], {"k": np.array([3])}, "picks none of 3 entries, or one that is not"),
        ([node("Tile", "x r", "y")], {"r": np.array([1, 2**40, 2**40, 1])}, "impossible output"),
        ([node("Add", "x w", "y")], {"w": np.ones(4, "f4")}, "do not go together"),
        ([node("Add", "x", "y")], {}, "has 1 inputs, expected 2"),
        ([node("Where", "x x", "y")], {}, "has 2 inputs, expected 3"),
        ([node("PRelu", "x", "y")], {}, "has no slope"),
        ([node("Relu", "_", "y")], {}, "nothing that its output needs is an input"),
    ],
)
def test_a_file_that_contradicts_itself_is_told(tmp_path: Path, nodes: Any, arrays: Any, told: str) -> None:
    with pytest.raises(FormatError, match=re.escape(told)):
        read(tmp_path, nodes, arrays)


def test_folding_makes_no_arrays_that_the_file_could_not_hold(tmp_path: Path) -> None:
    huge = np.array([2**40, 2**20])
    for nodes in (
        [node("ConstantOfShape", "s", "c")],
        [node("Expand", "one s", "c")],
        [node("Tile", "one s", "c")],
        [node("Range", "zero s0 step", "c")],
    ):
        arrays = {"s": huge, "one": np.ones((1, 1), "f4"), "zero": np.array(0), "s0": np.array(2**50)}
        with pytest.raises(UnsupportedError, match="makes an array of the impossible shape"):
            read(tmp_path, [*nodes, node("Add", "x c", "y")], {**arrays, "step": np.array(1)})


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 40, b"PK\x03\x04 zip", b"\x08", b"<html>" * 9, b"\x3a\xff\xff\xff\x7f"]
)
def test_what_is_no_onnx_file_is_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"net\.onnx"):
        onnx.read(path)
    with pytest.raises(FormatError, match="cannot be read"):
        onnx.read(tmp_path / "absent.onnx")


def test_two_arrays_of_one_name_and_unprintable_names_are_refused(tmp_path: Path) -> None:
    made = message(CONV, {"w": WEIGHT})
    made.graph.initializer.append(tensor(WEIGHT, "w"))
    with pytest.raises(FormatError, match="two arrays named 'w'"):
        read(tmp_path, made)
    with pytest.raises(FormatError, match="is no name"):
        read(tmp_path, [node("Relu", "x", "y", name="a\nb")])


def test_an_array_without_a_single_field_is_refused(tmp_path: Path) -> None:
    made = message(CONV, {"w": WEIGHT})
    made.graph.initializer.add()
    with pytest.raises(FormatError, match="holds an array without a name"):
        read(tmp_path, made)


def test_the_reader_loads_no_keras() -> None:
    code = "import sys, zoo.formats.onnx; sys.exit('keras' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Anything at all


def whatever(folder: Path, data: bytes) -> None:
    path = folder / "fuzz.onnx"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    told = ""
    try:
        onnx.read(path)
    except ZooError as error:
        told = str(error)
    assert told.isprintable()
    assert len(told) < 4000


QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.data())
@QUICK
def test_damaged_bytes_give_only_a_zoo_error(tmp_path: Path, data: st.DataObject) -> None:
    base = bytearray((GOLDEN / "ops" / f"{data.draw(st.sampled_from(OPS))}.onnx").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(base) - 1))
        base[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    whatever(tmp_path, bytes(base))


NUMBERS = st.one_of(st.integers(-6, 9), st.sampled_from([2**31, 2**40, 2**63 - 1, -(2**63)]))
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["axis", "axes", "perm", "pads", "strides", "kernel_shape", "group", "to", "keepdims", "ceil_mode",
                     "split", "mode", "auto_pad", "blocksize", "num_outputs", "output_shape", "size",
                     "block_size", "dilations"]),
    st.one_of(NUMBERS, st.floats(width=32), st.lists(NUMBERS, max_size=5), st.binary(max_size=8)),
    max_size=4,
)  # fmt: skip
ARRAYS = {
    "w": WEIGHT, "v": np.ones(3, "f4"), "s": np.array([0, -1]), "t": np.array([1, 3, -1]), "z": np.array(0),
    "q": np.ones((4, 3, 3), "i1"),
    "e": np.zeros(0, "f4"), "m": np.ones((5, 2), "f4"), "b": np.array([True]), "h": np.array([2**62, -(2**62)]),
}  # fmt: skip


def drawn_node(data: st.DataObject, known: list[str], names: list[str], output: str) -> Any:
    inputs = data.draw(st.lists(st.sampled_from([*names, "_"]), max_size=5))
    return node(data.draw(st.sampled_from(known)), " ".join(inputs), output, **data.draw(ATTRIBUTES))


@given(st.data())
@QUICK
def test_any_structure_gives_only_a_zoo_error(tmp_path: Path, data: st.DataObject) -> None:
    from zoo.formats.onnx.folding import FOLDS
    from zoo.formats.onnx.translate import OPS as KNOWN

    names = ["x", *ARRAYS]
    nodes = []
    for number in range(data.draw(st.integers(1, 4))):
        made = [drawn_node(data, sorted({*KNOWN, *FOLDS}), names, name) for name in (f"n{number}", "y", "y")]
        if data.draw(st.integers(0, 3)):
            nodes.append(made[0])
        else:
            branches = {key: branch([one]) for key, one in zip(("then_branch", "else_branch"), made[1:], strict=True)}
            nodes.append(choice(data.draw(st.sampled_from(["b", *names])), **branches))
            nodes[-1].output[0] = f"n{number}".encode()
        names.append(f"n{number}")
    opset = data.draw(st.sampled_from([7, 9, 10, 11, 13, 18, 21]))
    whatever(tmp_path, message(nodes, ARRAYS, outputs=names[-1], opset=opset).SerializeToString())
