"""TensorFlow's graphs are read as they run when they serve; damaged and hostile ones give one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.build import build
from zoo.errors import FormatError, UnsupportedError, UsageError, ZooError
from zoo.formats import tensorflow
from zoo.formats.options import Options
from zoo.formats.tensorflow import wire
from zoo.formats.tensorflow.fold import FOLDS
from zoo.formats.tensorflow.schema import CLASSES, DTYPES
from zoo.formats.tensorflow.translate import OPS
from zoo.graph import Graph

GOLDEN = Path(__file__).parents[1] / "golden" / "tensorflow"
CASES = sorted(path.stem for path in GOLDEN.glob("*.npz"))
NETS = ("net_", "saved_", "keras")


def unpacked(case: str, folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Writes a case's files; returns what to read, and its arrays."""
    with np.load(GOLDEN / f"{case}.npz") as held:
        arrays = {key: held[key] for key in held.files}
    for key in [key for key in arrays if key.startswith("file:")]:
        path = folder / key.removeprefix("file:")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(arrays.pop(key).tobytes())
    return folder if (folder / "saved_model.pb").exists() else folder / "graph.pb", arrays


def run(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    """The network's answers for NHWC, as NHWC."""
    made: Any = build(graph)(x, training=False)
    return [np.asarray(y) for y in (made if isinstance(made, (list, tuple)) else [made])]


def network_input(arrays: dict[str, np.ndarray]) -> np.ndarray:
    image, times = arrays["input"], int(arrays["times"])
    x = (image.astype(np.float32) - 128) / 64
    return x.repeat(times, 1).repeat(times, 2) if x.ndim == 4 else x[None]


# What TensorFlow computes


@pytest.mark.parametrize("case", CASES)
def test_a_graph_gives_tensorflows_numbers(case: str, tmp_path: Path) -> None:
    path, arrays = unpacked(case, tmp_path)
    graph = tensorflow.read(path)
    answers = run(graph, network_input(arrays))
    expected = [arrays[key] for key in arrays if key.startswith("output:")]
    assert len(answers) == len(expected)
    for actual, wanted in zip(answers, expected, strict=True):
        assert actual.shape == wanted.shape
        worst = np.abs(actual - wanted).max() / np.abs(wanted).max()
        assert worst <= (1e-4 if case.startswith(NETS) else 1e-5)
    # Keras 3 saves every variable a second time, for itself.
    assert (
        all(name.startswith("variables/") for name in graph.unused) if case.startswith("keras3") else not graph.unused
    )


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("net_")])
def test_values_on_the_way_are_tensorflows_too(case: str, tmp_path: Path) -> None:
    path, arrays = unpacked(case, tmp_path)
    kept = [key.removeprefix("node:") for key in arrays if key.startswith("node:")]
    for name in kept:
        graph = tensorflow.read(path, options=Options(until=name))
        assert graph.outputs == (name,)
        (actual,) = run(graph, network_input(arrays))
        wanted = arrays[f"node:{name}"]
        assert np.abs(actual - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_the_golden_cases_are_there() -> None:
    assert len(CASES) >= 90


# Graphs written here


def attr(value: Any) -> Any:
    """An AttrValue of a Python value; strings are types, bytes are strings."""
    made: Any = CLASSES["AttrValue"]()
    if isinstance(value, bytes):
        made.s = value
    elif isinstance(value, bool):
        made.b = value
    elif isinstance(value, int):
        made.i = value
    elif isinstance(value, float):
        made.f = value
    elif isinstance(value, str):
        made.type = {name: number for number, name in DTYPES.items()}[value]
    elif isinstance(value, np.ndarray):
        made.tensor.dtype = {name: number for number, name in DTYPES.items()}[str(value.dtype)]
        for size in value.shape:
            made.tensor.tensor_shape.dim.add(size=size)
        made.tensor.tensor_content = value.tobytes()
    elif isinstance(value, tuple):
        for size in value:
            made.shape.dim.add(size=-1 if size is None else size)
    else:
        made.list.i.extend(value)
    return made


def node(op: str, name: str, *inputs: str, **attrs: Any) -> Any:
    made: Any = CLASSES["NodeDef"](name=name.encode(), op=op.encode(), input=[text.encode() for text in inputs])
    for key, value in attrs.items():
        entry = made.attr.add(key=key.encode())
        entry.value.CopyFrom(value if hasattr(value, "SerializeToString") else attr(value))
    return made


def const(name: str, array: Any) -> Any:
    array = np.asarray(array)
    array = array.astype({"float64": "float32", "int64": "int32"}.get(str(array.dtype), array.dtype))
    return node("Const", name, value=array, dtype=str(array.dtype))


def graph_def(*nodes: Any) -> bytes:
    return b"".join(wire.message(1, made.SerializeToString()) for made in nodes)


IMAGE = node("Placeholder", "input", dtype="float32", shape=(None, 8, 8, 3))
KERNEL = const("w", np.arange(108.0).reshape(3, 3, 3, 4) / 100)


def conv_node(name: str = "conv", source: str = "input", **more: Any) -> Any:
    attrs = {"strides": [1, 1, 1, 1], "padding": b"SAME", "T": "float32", **more}
    return node("Conv2D", name, source, "w", **attrs)


def read(folder: Path, *nodes: Any, **options: Any) -> Graph:
    (folder / "graph.pb").write_bytes(graph_def(*nodes))
    return tensorflow.read(folder / "graph.pb", options=Options(**options))


def ops(graph: Graph) -> list[str]:
    return [made.op for made in graph.nodes]


X = np.random.default_rng(5).normal(size=(2, 8, 8, 3)).astype(np.float32)


# Meaning


def test_nodes_and_parameters_keep_their_names_in_any_order(tmp_path: Path) -> None:
    graph = read(
        tmp_path,
        node("Relu", "import/relu", "import/add:0", "^import/nothing"),
        node("BiasAdd", "import/add", "conv", "b/read"),
        node("Identity", "b/read", "b"),
        conv_node(),
        KERNEL,
        IMAGE,
        const("b", np.arange(4.0)),
    )
    assert [made.name for made in graph.nodes] == ["conv", "import/relu"]
    assert set(graph.params) == {"w", "b"}
    assert (graph.inputs, graph.outputs) == ({"input": (3, 8, 8)}, ("import/relu",))


@pytest.mark.parametrize("case", ["norm_full", "norm_no_gamma", "norm_no_beta", "norm_bare", "norm_paper_div"])
def test_batch_norm_in_arithmetic_stays_a_batch_norm(case: str, tmp_path: Path) -> None:
    graph = tensorflow.read(unpacked(case, tmp_path)[0])
    (norm,) = [made for made in graph.nodes if made.op == "BatchNormalization"]
    assert norm.inputs[3] == "mean"
    assert graph.params[norm.inputs[4]].min() >= 0.4
    assert not {"Mul", "Sub", "Add"} & set(ops(graph))


def test_statistics_per_position_are_no_batch_norm(tmp_path: Path) -> None:
    assert ops(tensorflow.read(unpacked("norm_per_position", tmp_path)[0]))[:2] == ["Mul", "Add"]


def test_a_dilation_by_batches_is_a_dilated_convolution(tmp_path: Path) -> None:
    (made,) = tensorflow.read(unpacked("atrous_same", tmp_path)[0]).nodes[:1]
    assert (made.op, made.attrs["dilations"]) == ("Conv", (2, 3))


def test_a_batch_in_the_file_is_any_number_of_images(tmp_path: Path) -> None:
    image = node("Placeholder", "input", dtype="float32", shape=(32, 8, 8, 3))
    graph = read(tmp_path, image, KERNEL, conv_node(), const("s", [32, 256]), node("Reshape", "flat", "conv", "s"))
    assert run(graph, X)[0].shape == (2, 256)
    np.testing.assert_allclose(
        run(graph, X)[0].reshape(2, 8, 8, 4), run(read(tmp_path, image, KERNEL, conv_node()), X)[0]
    )


def test_transposes_are_only_where_the_order_of_numbers_matters(tmp_path: Path) -> None:
    flat = [const("s", [-1, 256]), node("Reshape", "flat", "conv", "s"), const("m", np.ones((256, 2))),
            node("MatMul", "fc", "flat", "m")]  # fmt: skip
    assert ops(read(tmp_path, IMAGE, KERNEL, conv_node(), *flat)) == ["Conv", "Transpose", "Reshape", "Gemm"]
    pooled = [const("axes", [1, 2]), node("Mean", "pool", "conv", "axes")]
    assert ops(read(tmp_path, IMAGE, KERNEL, conv_node(), *pooled)) == ["Conv", "GlobalAveragePool", "Flatten"]


def test_an_open_size_has_to_be_given(tmp_path: Path) -> None:
    image = node("Placeholder", "input", dtype="float32", shape=(None, None, None, 3))
    with pytest.raises(
        UsageError, match=r"input 'input' has the shape .* give input_shape= \(--input-shape 3,224,224\)"
    ):
        read(tmp_path, image, KERNEL, conv_node())
    assert read(tmp_path, image, KERNEL, conv_node(), input_shape=(3, 16, 12)).inputs == {"input": (3, 16, 12)}
    bare = node("Placeholder", "input", dtype="float32")
    assert read(tmp_path, bare, KERNEL, conv_node(), input_shape=(3, 16, 12)).inputs == {"input": (3, 16, 12)}


def test_another_size_than_the_files_may_be_given(tmp_path: Path) -> None:
    assert read(tmp_path, IMAGE, KERNEL, conv_node(), input_shape=(3, 20, 10)).inputs == {"input": (3, 20, 10)}


def test_until_ends_the_network_and_leaves_out_what_it_does_not_need(tmp_path: Path) -> None:
    nodes = [IMAGE, KERNEL, conv_node(), node("PyFunc", "strange", "conv"), const("far", np.ones(7))]
    graph = read(tmp_path, *nodes, until="conv")
    assert graph.outputs == ("conv",)
    assert graph.unused == {"far": "no output of the network needs it"}
    with pytest.raises(UsageError, match="has no node 'cnov'; the nearest names are: conv"):
        read(tmp_path, *nodes, until="cnov")


def test_decoding_is_cut_where_the_image_first_has_a_size(tmp_path: Path) -> None:
    """The Inception of 2015: JPEG bytes in, resized, normalised and through the network."""
    graph = read(
        tmp_path,
        node("Placeholder", "contents", dtype="string"),
        node("DecodeJpeg", "DecodeJpeg", "contents", channels=3),
        node("Cast", "Cast", "DecodeJpeg", SrcT="uint8", DstT="float32"),
        const("dim", 0),
        node("ExpandDims", "ExpandDims", "Cast", "dim"),
        const("size", [8, 8]),
        node("ResizeBilinear", "ResizeBilinear", "ExpandDims", "size"),
        const("mean", 128.0),
        node("Sub", "Sub", "ResizeBilinear", "mean"),
        const("scale", 0.0078125),
        node("Mul", "Mul", "Sub", "scale"),
        KERNEL,
        conv_node(source="Mul"),
        *(const(name, np.arange(1.0, 5.0)) for name in ("m", "v", "beta", "gamma")),
        node("BatchNormWithGlobalNormalization", "norm", "conv", "m", "v", "beta", "gamma", variance_epsilon=0.001,
             scale_after_normalization=False),
    )  # fmt: skip
    assert graph.inputs == {"ResizeBilinear": (3, 8, 8)}
    assert ops(graph) == ["Sub", "Mul", "Conv", "BatchNormalization"]
    assert graph.unused == {
        "DecodeJpeg": "no array: decodes images; the network's input is what ResizeBilinear gives",
        "gamma": "norm has scale_after_normalization: false",
    }
    same = read(tmp_path, IMAGE, KERNEL, conv_node())
    conv = run(same, (X * 50 - 128) * 0.0078125)[0]
    n = np.arange(1.0, 5.0)
    np.testing.assert_allclose(run(graph, X * 50)[0], (conv - n) / np.sqrt(n + 0.001) + n, rtol=1e-4, atol=1e-5)


def test_a_switch_for_training_is_off(tmp_path: Path) -> None:
    nodes = [
        IMAGE,
        node("Placeholder", "keras_learning_phase", dtype="bool"),
        node("Switch", "s", "input", "keras_learning_phase"),
        node("Tanh", "off", "s"),
        node("NotAnOp", "on", "s:1"),
        node("Merge", "out", "off", "on"),
    ]
    assert ops(read(tmp_path, *nodes)) == ["Tanh", "Identity"]
    nodes[1:3] = node("Placeholder", "flip", dtype="bool"), node("Switch", "s", "input", "flip")
    with pytest.raises(UnsupportedError, match=r"flip \(Placeholder\): a switch is given from outside"):
        read(tmp_path, *nodes)


def test_losses_and_labels_are_left_out(tmp_path: Path) -> None:
    head = [IMAGE, KERNEL, conv_node(), const("axes", [1, 2]), node("Mean", "logits", "conv", "axes")]
    labels = node("Placeholder", "labels", dtype="float32", shape=(None, 4))
    loss = node("SoftmaxCrossEntropyWithLogits", "loss", "logits", "labels")
    assert read(tmp_path, *head, labels, loss).outputs == ("logits",)
    both = [*head, labels, loss, node("Softmax", "scores", "logits"), node("ScalarSummary", "told", "loss")]
    graph = read(tmp_path, *both)
    assert (list(graph.inputs), graph.outputs) == (["input"], ("scores",))


NUMBERS = np.array([1.5, -2.0, 3.25, 3.25])


@pytest.mark.parametrize("kind", ["float_val", "half_val", "bfloat16", "double_val", "int_val"])
def test_constants_stored_number_by_number_repeat_their_last(kind: str, tmp_path: Path) -> None:
    value: Any = CLASSES["AttrValue"]()
    value.tensor.tensor_shape.dim.add(size=4)
    numbers = [1.0, -2.0, 3.0, 3.0] if kind == "int_val" else NUMBERS.tolist()
    if kind == "bfloat16":
        value.tensor.half_val.extend(int(n) >> 16 for n in NUMBERS[:3].astype("<f4").view("<u4"))
    elif kind == "half_val":
        value.tensor.half_val.extend(int(n) for n in NUMBERS[:3].astype("<f2").view("<u2"))
    else:
        getattr(value.tensor, kind).extend(numbers[:3] if kind != "int_val" else [1, -2, 3])
    value.tensor.dtype = {"float_val": 1, "half_val": 19, "bfloat16": 14, "double_val": 2, "int_val": 3}[kind]
    graph = read(
        tmp_path, IMAGE, KERNEL, conv_node(), node("Const", "b", value=value), node("BiasAdd", "y", "conv", "b")
    )
    assert graph.params["b"].tolist() == numbers
    assert graph.params["b"].dtype == np.float32


def test_large_arrays_are_views_of_the_file(tmp_path: Path) -> None:
    large = const("m", np.arange(256.0 * 40).reshape(256, 40))
    flat = [const("s", [-1, 256]), node("Reshape", "flat", "conv", "s"), node("MatMul", "fc", "flat", "m")]
    array = read(tmp_path, large, IMAGE, KERNEL, conv_node(), *flat).params["m"]
    assert isinstance(array, np.ndarray)
    assert not array.flags.owndata
    assert not array.flags.writeable
    np.testing.assert_array_equal(array, np.arange(256.0 * 40).reshape(256, 40))


# SavedModels


def test_variables_have_the_names_of_the_graph(tmp_path: Path) -> None:
    path, _ = unpacked("saved_ref_variables", tmp_path)
    graph = tensorflow.read(path / "saved_model.pb")
    assert {"Conv2d_0/weights", "Conv2d_0/BatchNorm/moving_variance", "Logits/biases"} <= set(graph.params)
    assert graph.outputs == ("Reshape_1",)


def test_a_graph_without_its_variables_is_refused(tmp_path: Path) -> None:
    path, _ = unpacked("saved_resource_variables", tmp_path)
    (path / "variables" / "variables.index").unlink()
    with pytest.raises(
        FormatError, match=r"variable 'Conv2d_0/weights' has no value: the graph is not frozen, .* freeze"
    ):
        tensorflow.read(path)


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    path, _ = unpacked("saved_resource_variables", tmp_path)
    data = path / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(FormatError, match=r"its checkpoint claims [\d,]+ bytes of variables and has 1,000"):
        tensorflow.read(path)
    (path / "variables" / "variables.index").write_bytes(b"nothing" * 20)
    with pytest.raises(FormatError, match="its checkpoint cannot be read"):
        tensorflow.read(path)


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"holds no saved_model\.pb; expected a SavedModel folder"):
        tensorflow.read(tmp_path)


# Refusals

REFUSED = {
    "PyFunc": [node("PyFunc", "f", "conv"), node("EagerPyFunc", "g", "f"), node("Relu", "h", "g")],
    "while": [node("While", "f", "conv")],
    "fake": [
        const("low", np.float32(1)),
        const("high", np.float32(2)),
        node("FakeQuantWithMinMaxVars", "f", "conv", "low", "high"),
    ],
    "training": [*(const(n, np.ones(4)) for n in "abcd"), node("FusedBatchNormV3", "f", "conv", *"abcd")],
    "transpose": [const("p", [3, 0, 1, 2]), node("Transpose", "f", "conv", "p")],
    "reshape": [const("p", [-1, 4]), node("Reshape", "f", "conv", "p")],
    "reduce": [const("p", [0, 1]), node("Mean", "f", "conv", "p")],
    "slice": [const("p", [1, 0, 0, 0]), const("q", [1, -1, -1, -1]), node("Slice", "f", "conv", "p", "q")],
    "dynamic": [node("Conv2D", "f", "conv", "conv", strides=[1, 1, 1, 1], padding=b"SAME")],
    "random": [const("p", [4]), node("RandomUniform", "r", "p"), node("Mul", "f", "conv", "r")],
    "format": [node("MaxPool", "f", "conv", data_format=b"NCHW_VECT_C", ksize=[1, 1, 1, 1])],
    "stride": [conv_node("f", strides=[1, 1, 1, 2])],
}
TOLD = {
    "PyFunc": r"unsupported nodes: f \(PyFunc\): unknown op; g \(EagerPyFunc\): unknown op$",
    "while": r"f \(While\): unknown op",
    "fake": r"f \(FakeQuantWithMinMaxVars\): has bounds without 0 between them",
    "training": r"f \(FusedBatchNormV3\): is_training: normalises by each batch's own statistics",
    "transpose": r"f \(Transpose\): moves the batch: \[3, 0, 1, 2\]",
    "reshape": r"f \(Reshape\): reshapes \(8, 8, 4\) \(without the batch\) to \[-1, 4\], which mixes the batch",
    "reduce": r"f \(Mean\): acts along the batch",
    "slice": r"f \(Slice\): takes part of the batch",
    "dynamic": r"f \(Conv2D\): its filter depends on the image",
    "random": r"r \(RandomUniform\): unknown op",
    "format": r"f \(MaxPool\): its data_format is 'NCHW_VECT_C'; expected NHWC or NCHW",
    "stride": r"f \(Conv2D\): has strides \[1, 1, 1, 2\], which acts on channels or batch",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_expressed_is_named(case: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=TOLD[case]) as caught:
        read(tmp_path, IMAGE, KERNEL, conv_node(), *REFUSED[case])
    assert str(caught.value).startswith("graph.pb: unsupported nodes: ")


@pytest.mark.parametrize("op", ["_BatchNorm", "_Dropout"])
def test_the_readers_own_marks_are_no_ops_of_a_file(op: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=rf"b \({op}\): unknown op"):
        read(tmp_path, IMAGE, node(op, "b", "input"))


def huge(count: int) -> Any:
    value: Any = CLASSES["AttrValue"]()
    value.tensor.dtype = 1
    value.tensor.tensor_shape.dim.add(size=count)
    value.tensor.float_val.append(1.0)
    return value


SHORT: Any = CLASSES["AttrValue"]()
SHORT.tensor.dtype = 1
SHORT.tensor.tensor_shape.dim.add(size=4)
SHORT.tensor.tensor_content = b"12345678"
BAD = {
    "size": ([IMAGE, node("Const", "b", value=huge(1 << 40)), node("BiasAdd", "y", "input", "b")],
             r"constant 'b': its shape \(1099511627776,\) needs 1,099,511,627,776 numbers, the file holds 1"),
    "bytes": ([IMAGE, node("Const", "b", value=SHORT), node("BiasAdd", "y", "input", "b")],
              r"constant 'b': its shape \(4,\) needs 16 bytes, the file holds 8"),
    "fill": ([IMAGE, const("s", [1 << 20, 1 << 20]), const("n", 1.0), node("Fill", "b", "s", "n"),
              node("Add", "y", "input", "b")], r"node 'b' \(Fill\): makes a constant of shape \(1048576, 1048576\)"),
    "missing": ([IMAGE, node("Add", "y", "input", "gone")], "a node reads 'gone', which is not in the file"),
    "cycle": ([IMAGE, node("Add", "y", "input", "z"), node("Relu", "z", "y"), node("Relu", "o", "y")], "reads itself"),
    "ring": ([IMAGE, node("Identity", "y", "z"), node("Identity", "z", "y"), node("Add", "o", "y", "input")],
             "reads itself"),
    "twice": ([IMAGE, IMAGE], "two nodes are named 'input'"),
    "nothing": ([const("b", [1.0])], "nothing in it leads from an image to an output"),
    "variable": ([IMAGE, node("VariableV2", "b"), node("BiasAdd", "y", "input", "b")], "variable 'b' has no value"),
    "groups": ([IMAGE, const("w", np.ones((3, 3, 2, 4))), conv_node()], "has 3 input channels, its filter 2"),
    "small": ([IMAGE, const("w", np.ones((9, 9, 3, 4))), conv_node(padding=b"VALID")], "node 'conv'"),
    "squeeze": ([IMAGE, node("Squeeze", "y", "input", squeeze_dims=[1])], "drops axis 1 of"),
    "output": ([IMAGE, node("Relu", "y", "input:3")], r"'input' \(Placeholder\) has no output 3"),
    "none": ([IMAGE, node("ConcatV2", "n"), node("Add", "y", "input", "n")], "'n' .*has 0 inputs; expected more"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_graph_gives_one_line_that_says_where(case: str, tmp_path: Path) -> None:
    nodes, told = BAD[case]
    with pytest.raises(FormatError, match=told) as caught:
        read(tmp_path, *nodes)
    assert str(caught.value).startswith("graph.pb")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def function_call(body: bytes) -> bytes:
    """A graph whose only node calls a function of the library."""
    name: Any = CLASSES["AttrValue"]()
    name.func.name = b"f"
    library = wire.message(2, wire.message(1, body))
    return graph_def(IMAGE, node("PartitionedCall", "call", "input", f=name)) + library


def test_functions_that_call_themselves_end(tmp_path: Path) -> None:
    name: Any = CLASSES["AttrValue"]()
    name.func.name = b"f"
    calls = [node("PartitionedCall", f"c{i}", "x", f=name).SerializeToString() for i in range(2)]
    signature: Any = CLASSES["OpDef"](name=b"f")
    signature.input_arg.add(name=b"x")
    body = wire.message(1, signature.SerializeToString()) + b"".join(wire.message(3, call) for call in calls)
    (tmp_path / "graph.pb").write_bytes(function_call(body))
    with pytest.raises(FormatError, match="its functions call each other"):
        tensorflow.read(tmp_path / "graph.pb")


# Anything at all

FUZZ = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SEEDS = [graph_def(IMAGE, KERNEL, conv_node(), *nodes) for nodes in REFUSED.values()]
CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=6)), min_size=1, max_size=4)


def assert_only_zoo_errors(path: Path) -> None:
    told = ""
    try:
        tensorflow.read(path)
    except ZooError as error:
        told = str(error)
    assert "\n" not in told
    assert len(told) < 4000


@FUZZ
@given(st.sampled_from(SEEDS), CUTS)
def test_mutated_graphs_give_a_graph_or_a_zoo_error(tmp_path: Path, raw: bytes, cuts: Any) -> None:
    for at, length, inserted in cuts:
        start = int(at * len(raw))
        raw = raw[:start] + inserted + raw[start + length :]
    (tmp_path / "graph.pb").unlink(missing_ok=True)  # a mapped file must not change
    (tmp_path / "graph.pb").write_bytes(raw)
    assert_only_zoo_errors(tmp_path / "graph.pb")


NAMES = ["input", "conv", "w", "a", "b", "c", "a:1", "^a", "n0", "n1", "n2", "n3"]
VALUES = st.sampled_from(
    [np.array(n) for n in (0, 1, -1, 3, 2**31 - 1, 0.5)]
    + [np.array(n) for n in ([1, 2], [0, 3, 1, 2], [-1, 4], [[0, 0], [1, 1], [2, 0], [0, 0]], [1.0, 2, 3, 4], [], [7])]
)
ATTRS = st.dictionaries(
    st.sampled_from(["axis", "strides", "ksize", "padding", "data_format", "keep_dims", "num_split", "DstT",
                     "begin_mask", "shrink_axis_mask", "new_axis_mask", "ellipsis_mask", "block_size", "squeeze_dims",
                     "is_training", "transpose_a", "depth_radius", "align_corners", "epsilon", "mode"]),
    st.sampled_from([0, 1, 2, -1, 5, 1 << 40, [1, 2, 2, 1], [1], [], b"SAME", b"NCHW", b"SYMMETRIC", True, False,
                     "float32", "int32", 0.5]),
    max_size=4,
)  # fmt: skip


@FUZZ
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted({*OPS, *FOLDS})), st.lists(st.sampled_from(NAMES), max_size=5), ATTRS),
        min_size=1,
        max_size=4,
    ),
    st.lists(VALUES, min_size=3, max_size=3),
)
def test_any_nodes_give_a_graph_or_a_zoo_error(tmp_path: Path, made: Any, values: Any) -> None:
    nodes = [IMAGE, KERNEL, conv_node(), *(const(name, value) for name, value in zip("abc", values, strict=True))]
    nodes += [node(op, f"n{i}", *inputs, **attrs) for i, (op, inputs, attrs) in enumerate(made)]
    (tmp_path / "graph.pb").unlink(missing_ok=True)
    (tmp_path / "graph.pb").write_bytes(graph_def(*nodes))
    assert_only_zoo_errors(tmp_path / "graph.pb")
