"""MXNet's files are read as MXNet runs them at inference; damaged and hostile ones give one clear line."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.build import build
from zoo.errors import FormatError, UnsupportedError, UsageError, ZooError
from zoo.formats import mxnet
from zoo.formats.mxnet import params as params_file
from zoo.formats.mxnet.attributes import Attributes, Wrong
from zoo.formats.options import Options
from zoo.graph import Graph, Param

GOLDEN = Path(__file__).parents[1] / "golden" / "mxnet"
CASES = sorted(path.stem for path in GOLDEN.glob("*.zip"))
RNG = np.random.default_rng(11)
V0, V1, V2, V3 = None, 0xF993FAC8, 0xF993FAC9, 0xF993FACA


def unpacked(case: str, folder: Path) -> Mapping[str, np.ndarray]:
    """Writes a case's files; returns its input and what MXNet answered."""
    with zipfile.ZipFile(GOLDEN / f"{case}.zip") as archive:
        archive.extractall(folder, ["symbol.json", "net.params"])
        return dict(np.load(io.BytesIO(archive.read("values.npz"))))


def answers(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    """What a network's outputs give for NCHW, as NCHW."""
    made = build(graph)(np.moveaxis(x, 1, -1) if x.ndim == 4 else x)
    outputs = [np.asarray(y) for y in (made if isinstance(made, list | tuple) else [made])]
    shaped = [np.moveaxis(y, -1, 1) if y.ndim == 4 else y for y in outputs]
    return dict(zip(graph.outputs, shaped, strict=True))


def departure(actual: np.ndarray, expected: np.ndarray) -> float:
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def node(op: str, name: str, inputs: Sequence[Any] = (), key: str = "attrs", **attrs: Any) -> dict[str, Any]:
    made = {"op": op, "name": name, "inputs": [edge if isinstance(edge, list) else [edge, 0, 0] for edge in inputs]}
    return {**made, key: {k: str(v) for k, v in attrs.items()}} if attrs else made


def var(name: str, **attrs: Any) -> dict[str, Any]:
    return node("null", name, **attrs)


CONV = [
    var("data"),
    var("conv_weight"),
    var("conv_bias"),
    node("Convolution", "conv", [0, 1, 2], kernel="(3, 3)", num_filter="4"),
]
ARRAYS = {"arg:conv_weight": RNG.normal(size=(4, 3, 3, 3)), "arg:conv_bias": np.arange(4.0)}


def symbol(*nodes: dict[str, Any], heads: Sequence[Any] | None = None, **more: Any) -> dict[str, Any]:
    last = [[len(nodes) - 1, 0, 0]] if heads is None else heads
    return {"nodes": list(nodes), "arg_nodes": [], "heads": last, **more}


def array_bytes(array: np.ndarray, version: int | None = V2, kind: int = 0) -> bytes:
    if version is V0:
        head = struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape)
    else:
        storage = struct.pack("<i", 0) if version in (V2, V3) else b""
        head = struct.pack("<I", version) + storage + struct.pack(f"<i{array.ndim}q", array.ndim, *array.shape)
    return head + struct.pack("<iii", 1, 0, kind) + array.tobytes()


def listed(arrays: Sequence[bytes], names: Sequence[str], reserved: int = 0) -> bytes:
    named = b"".join(struct.pack("<Q", len(name.encode())) + name.encode() for name in names)
    start = struct.pack("<QQQ", 0x112, reserved, len(arrays))
    return start + b"".join(arrays) + struct.pack("<Q", len(names)) + named


def saved(arrays: Mapping[str, np.ndarray], version: int | None = V2) -> bytes:
    return listed([array_bytes(np.asarray(a, "<f4"), version) for a in arrays.values()], list(arrays))


def read(
    folder: Path,
    document: Any,
    arrays: Mapping[str, np.ndarray] | bytes | None = None,
    shape: tuple[int, int, int] | None = (3, 8, 8),
    until: str | None = None,
) -> Graph:
    text = document if isinstance(document, str | bytes) else json.dumps(document)
    (folder / "net-symbol.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    options = Options(input_shape=shape, until=until)
    if arrays is None:
        return mxnet.read(folder / "net-symbol.json", options=options)
    (folder / "net-0001.params").unlink(missing_ok=True)  # a mapped file must not change
    (folder / "net-0001.params").write_bytes(arrays if isinstance(arrays, bytes) else saved(arrays))
    return mxnet.read(folder / "net-symbol.json", folder / "net-0001.params", options=options)


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


# What MXNet computes


@pytest.mark.parametrize("case", CASES)
def test_a_network_gives_mxnets_numbers(tmp_path: Path, case: str) -> None:
    values = unpacked(case, tmp_path)
    x = (values["input"].astype(np.float32) - 128) / 64
    options = Options(input_shape=None if case == "shape_stated" else x.shape[1:])  # type: ignore[arg-type]
    graph = mxnet.read(tmp_path / "symbol.json", tmp_path / "net.params", options=options)
    inner = [key.removeprefix("node:") for key in values if key.startswith("node:")]
    made = answers(replace(graph, outputs=(*graph.outputs, *inner)), x)
    limit = 1e-4 if case.startswith("net_") else 1e-5
    for name in inner:
        assert departure(made[name][:1], values[f"node:{name}"]) <= limit, name
    for i, name in enumerate(graph.outputs):
        assert departure(made[name], values[f"output{i}"]) <= limit, name
    assert len(graph.outputs) == sum(key.startswith("output") for key in values)
    assert all("has fix_gamma" in reason for reason in graph.unused.values())


def test_the_golden_cases_are_there() -> None:
    assert len(CASES) >= 260
    assert sum(case.startswith("net_") for case in CASES) >= 20


def test_without_weights_the_shapes_are_those_of_the_file(tmp_path: Path) -> None:
    for case in (
        "net_gluon-mobilenet-v2",
        "net_shufflenet-v1",
        "net_fcn",
        "leaky_prelu_shared",
        "up_bilinear2",
        "bn_axis",
    ):
        shape = unpacked(case, tmp_path)["input"].shape[1:]
        full, bare = (
            mxnet.read(tmp_path / "symbol.json", path, options=Options(input_shape=shape))  # type: ignore[arg-type]
            for path in (tmp_path / "net.params", None)
        )
        assert {k: v.shape for k, v in full.params.items()} == {k: v.shape for k, v in bare.params.items()}
        assert (full.nodes, full.outputs) == (bare.nodes, bare.outputs)


def test_until_ends_the_network_at_a_node_or_at_its_output(tmp_path: Path) -> None:
    values = unpacked("net_inception-bn", tmp_path)
    x = (values["input"].astype(np.float32) - 128) / 64
    inner = [key.removeprefix("node:") for key in values if key.startswith("node:")]
    for name in (*inner, *(f"{name}_output" for name in inner)):
        options = Options(input_shape=x.shape[1:], until=name)  # type: ignore[arg-type]
        graph = mxnet.read(tmp_path / "symbol.json", tmp_path / "net.params", options=options)
        bare = name.removesuffix("_output")
        assert graph.outputs == (bare,)
        assert departure(answers(graph, x)[bare][:1], values[f"node:{bare}"]) <= 1e-4
        assert graph.unused["fc1_weight"] == "the requested output does not need it"


# Generations of symbol.json


def test_generations_say_the_same_in_other_words(tmp_path: Path) -> None:
    def written(key: str, edge: Any, spell: Any, heads: Any) -> dict[str, Any]:
        nodes = [
            *({**var(name), **({"param": {}, "backward_source_id": -1} if key == "param" else {})} for name in "dwb"),
            node("Convolution", "conv", [edge(0), edge(1), edge(2)], key, kernel=spell(3, 3), stride=spell(2, 1))
            | {"control_deps": []},
            node("Pooling", "pool", [edge(3)], key, kernel=spell(2, 2), pool_type="avg"),
        ]
        nodes[0]["name"], nodes[3][key]["num_filter"] = "data", "4"
        return symbol(*nodes, heads=heads)

    old = written("param", lambda i: [i, 0], lambda *n: f"({','.join(map(str, n))})", [[4, 0]])
    middle = written("attr", lambda i: [i, 0], lambda *n: f"({', '.join(f'{k}L' for k in n)})", [[4, 0]])
    new = written("attrs", lambda i: [i, 0, 0], lambda *n: str(list(n)), [[4, 0, 0]])
    old["nodes"][3]["param"].update(cudnn_tune="off", workspace="1024", dilate="()", cudnn_off="False", no_bias="0")
    middle["nodes"][3]["attr"].update(no_bias="false", num_group="1", layout="None", pad="(0, 0)")
    new["nodes"][3]["attrs"].update(__lr_mult__="2.0", dilate="[1,1]", ctx_group="a", weight_lr_mult="1.2")
    new.update(node_row_ptr=[0, 1], attrs={"mxnet_version": ["int", 10900]})
    graphs = [read(tmp_path, document) for document in (old, middle, new)]
    assert graphs[0].nodes == graphs[1].nodes == graphs[2].nodes
    assert ops(graphs[0]) == ["Conv", "AveragePool"]


def test_old_files_leave_out_labels_and_a_batch_norms_statistics(tmp_path: Path) -> None:
    nodes = [
        *CONV,
        var("bn_gamma"),
        var("bn_beta"),
        node("BatchNorm", "bn", [3, 4, 5], "param", fix_gamma="False"),
        node("LeakyReLU", "act", [6], "param", act_type="prelu"),
        node("FullyConnected", "fc", [7], "param", num_hidden="5", no_bias="True"),
        node("SoftmaxOutput", "softmax", [8], "param", grad_scale="1"),
    ]
    graph = read(tmp_path, symbol(*nodes, heads=[[9, 0]]))
    assert set(graph.params) == {
        *("conv_weight", "conv_bias", "bn_gamma", "bn_beta", "bn_moving_mean", "bn_moving_var"),
        *("act_gamma", "fc_weight"),
    }
    arrays = {("aux:" if "moving" in k else "arg:") + k: np.ones(v.shape) for k, v in graph.params.items()}
    arrays["arg:act_gamma"] = np.ones(4)
    assert read(tmp_path, symbol(*nodes, heads=[[9, 0]]), arrays).unused == {}


def test_beside_param_the_other_table_is_the_users_own(tmp_path: Path) -> None:
    act = {"op": "Activation", "name": "act", "inputs": [[0, 0]], "param": {"act_type": "tanh"}, "attr": {"mood": "x"}}
    assert ops(read(tmp_path, symbol(var("data"), act))) == ["Tanh"]
    act["attr"], act["attrs"] = {"act_type": "relu", "__mood__": "x"}, {"act_type": "sigmoid"}
    del act["param"]  # type: ignore[misc]
    assert ops(read(tmp_path, symbol(var("data"), act))) == ["Sigmoid"]


def test_nodes_may_stand_in_any_order_and_share_names(tmp_path: Path) -> None:
    nodes = [node("tanh", "x", [2]), var("data"), node("relu", "x", [1])]
    graph = read(tmp_path, symbol(*nodes, heads=[[0, 0]]))
    assert [(n.op, n.name) for n in graph.nodes] == [("Relu", "x"), ("Tanh", "x_2")]


@pytest.mark.parametrize("op", ["_Plus", "_plus", "elemwise_add", "broadcast_plus", "ElementWiseSum", "_grad_add"])
def test_addition_has_many_names(tmp_path: Path, op: str) -> None:
    nodes = [var("data"), node("relu", "a", [0]), node("tanh", "b", [0]), node(op, "sum", [1, 2], num_args="2")]
    assert ops(read(tmp_path, symbol(*nodes))) == ["Relu", "Tanh", "Add"]


@pytest.mark.parametrize(
    ("op", "expected"),
    [("_PlusScalar", 2.5), ("_RMinusScalar", 1.5), ("_MulScalar", 1.0), ("_RDivScalar", 4.0), ("_MaximumScalar", 2.0)],
)
def test_the_first_spelling_of_numbers_in_arithmetic(tmp_path: Path, op: str, expected: float) -> None:
    graph = read(tmp_path, symbol(var("data"), node(op, "x", [0], "param", scalar="2")))
    np.testing.assert_allclose(answers(graph, np.full((1, 3, 8, 8), 0.5, np.float32))["x"], expected)


def test_attributes_in_all_spellings() -> None:
    some = Attributes(
        {
            "a": "(1L, 2)",
            "b": "[3]",
            "c": "()",
            "d": "1e-05",
            "e": 1,
            "f": True,
            "g": "None",
            "h": "(None, 2)",
            "i": "7",
        }
    )
    assert [some.integers(k) for k in "abci"] == [(1, 2), (3,), (), (7,)]
    assert (some.number("d"), some.integer("e"), some.flag("f", False)) == (1e-5, 1, True)
    assert (some.integers("g"), some.holes("h"), some.has("g")) == (None, (None, 2), False)
    assert some.unknown() == []
    for text in ("(1, x)", "((1))", "1.5", "(1, None)", "9" * 30, "\n", "x" * 2000, "(,)", "5000000000000"):
        with pytest.raises(Wrong):
            Attributes({"a": text}).integers("a")
    for text in ("inf", "nan", "x", "0x1"):
        with pytest.raises(Wrong):
            Attributes({"a": text}).number("a")


# Inputs, heads and arrays


def test_a_label_is_no_input_and_what_gamma_holds_does_not_count_under_fix_gamma(tmp_path: Path) -> None:
    nodes = [
        *CONV,
        *(var(f"bn_{name}") for name in ("gamma", "beta", "moving_mean", "moving_var")),
        node("BatchNorm", "bn", [3, 4, 5, 6, 7]),
        var("softmax_label"),
        node("SoftmaxOutput", "softmax", [8, 9]),
    ]
    four = RNG.uniform(1, 2, 4)
    arrays = {**ARRAYS, "bn_gamma": four * 7, "bn_beta": four, "aux:bn_moving_mean": four, "aux:bn_moving_var": four}
    graph = read(tmp_path, symbol(*nodes), arrays)
    assert (graph.name, graph.inputs, graph.outputs) == ("net", {"data": (3, 8, 8)}, ("softmax",))
    assert graph.unused == {"bn_gamma": "bn has fix_gamma: MXNet takes 1 instead"}
    assert np.asarray(graph.params["bn/gamma"]).tolist() == [1, 1, 1, 1]
    assert graph.nodes[1].attrs["epsilon"] == pytest.approx(1e-3)


def test_the_input_is_named_data_or_is_what_no_array_explains(tmp_path: Path) -> None:
    nodes = [var("scale"), var("image"), node("broadcast_mul", "x", [1, 0])]
    graph = read(tmp_path, symbol(*nodes), {"scale": RNG.normal(size=(1, 3, 1, 1))})
    assert graph.inputs == {"image": (3, 8, 8)}
    assert set(graph.params) == {"scale"}
    nodes[1]["name"] = "data"
    with pytest.raises(FormatError, match=r"net-0001\.params: lacks the array 'scale' that .*node 2 'x'"):
        read(tmp_path, symbol(*nodes), {"other": np.ones(1)})
    with pytest.raises(FormatError, match=r"does not say what shape the array 'scale' has; give the \.params file too"):
        read(tmp_path, symbol(*nodes))
    nodes[0]["attrs"] = {"__shape__": "(1, 3, 1, 1)"}
    assert read(tmp_path, symbol(*nodes)).params == {"scale": Param((1, 3, 1, 1))}


def test_the_shape_of_the_input_is_stated_given_or_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"net-symbol.json: .* input 'data' has; give input_shape= \(--input-shape 3,"):
        read(tmp_path, symbol(*CONV), shape=None)
    stated = [var("data", __shape__="(0, 3, 9, 7)"), *CONV[1:]]
    assert read(tmp_path, symbol(*stated), shape=None).inputs == {"data": (3, 9, 7)}
    assert read(tmp_path, symbol(*stated)).inputs == {"data": (3, 8, 8)}
    with pytest.raises(UsageError, match=r"cannot have the shape \(3, 0, 8\)"):
        read(tmp_path, symbol(*CONV), shape=(3, 0, 8))
    stated[0]["attrs"]["__shape__"] = "(0, 3, 0, 0)"
    with pytest.raises(UsageError, match="give input_shape="):
        read(tmp_path, symbol(*stated), shape=None)


def test_several_heads_and_parts_of_a_split_are_outputs(tmp_path: Path) -> None:
    nodes = [var("data"), node("SliceChannel", "cut", [0], num_outputs="3"), node("relu", "r", [[1, 2]])]
    graph = read(tmp_path, symbol(*nodes, heads=[[1, 0], [2, 0], [1, 1], [2, 0]]))
    assert graph.outputs == ("cut_output0", "r", "cut_output1")
    assert read(tmp_path, symbol(*nodes), until="cut_output1").outputs == ("cut_output1",)
    nodes[1]["attrs"]["squeeze_axis"] = "True"
    assert read(tmp_path, symbol(*nodes), until="cut_output1").outputs == ("cut_output1",)
    with pytest.raises(FormatError, match=r"node 1 'cut' .*: output 3 is a head; it has 3 output\(s\)"):
        read(tmp_path, symbol(*nodes, heads=[[1, 3]]))


def test_arrays_are_views_under_their_bare_names_and_left_overs_are_told(tmp_path: Path) -> None:
    bare = {name.removeprefix("arg:"): array for name, array in ARRAYS.items()}
    for arrays in (ARRAYS, bare):
        graph = read(tmp_path, symbol(*CONV), {**arrays, "arg:fc9_weight": np.ones((2, 2))})
        weight = graph.params["conv_weight"]
        assert isinstance(weight, np.ndarray)
        assert not weight.flags.owndata
        assert not weight.flags.writeable
        assert weight.dtype == np.float32
        assert graph.unused == {"fc9_weight": "net-symbol.json has no such variable"}


def test_channels_last_give_what_channels_first_give_with_kernels_turned(tmp_path: Path) -> None:
    """convolution-inl.h and deconvolution-inl.h: layout NHWC turns the kernel as it turns the image."""

    def network(last: bool) -> dict[str, Any]:
        layout: dict[str, Any] = {"layout": "NHWC"} if last else {}
        names = ["c_weight", "c_bias", "bn_gamma", "bn_beta", "bn_moving_mean", "bn_moving_var", "d_weight"]
        window = {"kernel": "(3, 2)", "stride": "(2, 1)", "pad": "(1, 0)", "num_group": 2}
        return symbol(
            var("data"),
            *map(var, names),
            node("_mul_scalar", "scaled", [0], scalar=0.5),
            node("Convolution", "c", [8, 1, 2], kernel="(3, 2)", num_filter=6, pad="(1, 0)", **layout),
            node("BatchNorm", "bn", [9, 3, 4, 5, 6], axis=3 if last else 1, fix_gamma="False"),
            node("Deconvolution", "d", [10, 7], num_filter=4, **window, **layout),
            node("Pooling", "p", [11], kernel="(2, 2)", stride="(2, 2)", pool_type="avg", **layout),
            node("Pooling", "g", [12], global_pool="True", **layout),
            node("Flatten", "f", [13]),
            heads=[[14, 0], [12, 0]],
        )

    arrays = {
        "c_weight": RNG.normal(size=(6, 3, 3, 2)),
        "d_weight": RNG.normal(size=(6, 2, 3, 2)),
        **{f"{name}": RNG.uniform(0.5, 2, 6) for name in ("c_bias", "bn_gamma", "bn_beta", "bn_moving_mean")},
        "bn_moving_var": RNG.uniform(0.5, 2, 6),
    }
    turned = {name: array.transpose(0, 2, 3, 1) if array.ndim == 4 else array for name, array in arrays.items()}
    x = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)
    first = read(tmp_path, network(False), arrays)
    first_answers = answers(first, x)
    last = read(tmp_path, network(True), turned)
    assert last.inputs == {"data": (3, 8, 8)}
    assert list(last.params) == list(first.params)
    last_answers = answers(last, x)
    np.testing.assert_allclose(last_answers["f"], first_answers["f"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(last_answers["p/nchw"], first_answers["p"], rtol=1e-4, atol=1e-5)
    stated = network(True)
    stated["nodes"][0] = var("data", __shape__="(1, 9, 7, 3)")
    assert read(tmp_path, stated, turned, shape=None).inputs == {"data": (3, 9, 7)}


def test_an_input_that_was_stored_too_stays_the_input(tmp_path: Path) -> None:
    graph = read(tmp_path, symbol(*CONV), {**ARRAYS, "arg:data": np.ones((1, 3, 8, 8))})
    assert graph.inputs == {"data": (3, 8, 8)}
    assert graph.unused == {"data": "an input of the network"}


def test_a_batch_norm_with_its_relu_inside_is_two_nodes(tmp_path: Path) -> None:
    arrays = {name: RNG.uniform(0.5, 1.5, 3) for name in ("bn_gamma", "bn_beta", "bn_moving_mean", "bn_moving_var")}
    nodes = [var("data"), *(var(name) for name in arrays)]
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    both, alone = (
        read(tmp_path, symbol(*nodes, node(op, "bn", [0, 1, 2, 3, 4], fix_gamma="False")), arrays)
        for op in ("_contrib_BatchNormWithReLU", "CuDNNBatchNorm")
    )
    assert ops(both) == ["BatchNormalization", "Relu"]
    np.testing.assert_allclose(answers(both, x)["bn"], np.maximum(answers(alone, x)["bn"], 0), rtol=1e-5)


def test_gluons_old_files_without_the_common_prefix_are_matched(tmp_path: Path) -> None:
    nodes = [var("data"), *({**n, "name": f"net0_{n['name']}"} for n in CONV[1:])]
    graph = read(tmp_path, symbol(*nodes), {name[4:]: array for name, array in ARRAYS.items()})
    assert set(graph.params) == {"net0_conv_weight", "net0_conv_bias"}
    by_block = {"features.0.weight": ARRAYS["arg:conv_weight"], "features.0.bias": np.ones(4)}
    with pytest.raises(FormatError, match=r"names its arrays by block \(features\.0\.bias\): .* HybridBlock\.export"):
        read(tmp_path, symbol(*nodes), by_block)


def test_missing_and_misshapen_arrays_are_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"lacks arrays that net-symbol.json needs: conv_weight \(4, 3, 3, 3\); left"):
        read(tmp_path, symbol(*CONV), {"conv_bias": np.ones(4), "convweight": np.ones(1)})
    with pytest.raises(FormatError, match=r"'conv_bias' has shape \(5,\), .*'conv' \(Convolution\) needs \(4,\)"):
        read(tmp_path, symbol(*CONV), {**ARRAYS, "arg:conv_bias": np.ones(5)})


def test_a_weight_may_pass_a_cast_but_not_a_computation(tmp_path: Path) -> None:
    nodes = [*CONV[:3], node("amp_cast", "cast", [1], dtype="float16"), CONV[3] | {"inputs": [[0, 0], [3, 0], [2, 0]]}]
    assert set(read(tmp_path, symbol(*nodes), ARRAYS).params) == {"conv_weight", "conv_bias"}
    nodes[3] = node("tanh", "cast", [1])
    with pytest.raises(UnsupportedError, match=r"cast \(tanh\): computes with the stored array conv_weight alone"):
        read(tmp_path, symbol(*nodes), ARRAYS)


# .params


@pytest.mark.parametrize("version", [V0, V1, V2, V3])
def test_all_versions_of_params_hold_the_same(tmp_path: Path, version: int | None) -> None:
    (tmp_path / "a").write_bytes(saved({"arg:w": np.arange(6.0).reshape(2, 3), "aux:m": np.ones(2)}, version))
    found = params_file.read(tmp_path / "a")
    assert {k: v.tolist() for k, v in found.items()} == {"w": [[0, 1, 2], [3, 4, 5]], "m": [1, 1]}


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(0, "<f4"), (1, "<f8"), (2, "<f2"), (3, "u1"), (4, "<i4"), (5, "i1"), (6, "<i8"), (7, "?")],
)
def test_all_types_of_numbers(tmp_path: Path, kind: int, dtype: str) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(dtype)
    (tmp_path / "a").write_bytes(listed([array_bytes(array, kind=kind)], ["x"]))
    found = params_file.read(tmp_path / "a")["x"]
    assert found.dtype == np.dtype(dtype)
    assert found.tolist() == array.tolist()


def test_bfloat16_scalars_and_empty_arrays(tmp_path: Path) -> None:
    wide = np.array([1.5, -2.0, 3.140625], "<f4")
    half = (wide.view("<u4") >> 16).astype("<u2")
    scalar = struct.pack("<Iiiiiif", V3, 0, 0, 1, 0, 0, 2.5)  # type: ignore[arg-type]
    never = struct.pack("<Iii", V2, 0, 0)  # type: ignore[arg-type]
    (tmp_path / "a").write_bytes(listed([array_bytes(half, kind=12), scalar, never], ["b", "s", "n"]))
    found = params_file.read(tmp_path / "a")
    assert (found["b"].tolist(), found["b"].dtype) == (wide.tolist(), np.float32)
    assert found["s"].tolist() == 2.5
    assert found["n"].size == 0


ONE = array_bytes(np.ones((2, 2), "<f4"))
BAD_PARAMS = {
    b"": "the file is empty",
    b"PK\x03\x04" + bytes(40): "does not begin with the mark 0x112",
    b"\x12\x01": "does not begin with the mark 0x112",
    struct.pack("<QQ", 0x112, 0): "ends within the number of arrays",
    struct.pack("<QQQ", 0x112, 0, 1 << 60): "claims 1,152,921,504,606,846,976 arrays, the file has 24 bytes",
    listed([ONE], []): "its arrays have no names",
    listed([ONE], ["a", "b"]): "holds 1 arrays and 2 names",
    listed([ONE, ONE], ["arg:a", "aux:a"]): "holds 'a' twice",
    listed([ONE], ["a\nb"]): r"has the name 'a\\nb'; expected printable",
    listed([ONE], ["arg:"]): "has the name ''",
    listed([ONE], ["a"]) + b"x": "goes on for 1 bytes behind its last name",
    listed([ONE], ["a"])[:-1]: "claims a name of 1 bytes",
    listed([ONE], ["a"]).replace(b"a", b"\xff"): "is no text",
    listed([array_bytes(np.ones(2, "<f4"), kind=99)], ["a"]): "unknown type 99",
    listed([struct.pack("<Iiiqq", V2, 0, 2, 1 << 30, 1 << 30) + bytes(12)], ["a"]): "4,611,686,018,427,387,904 bytes",
    listed([struct.pack("<Iiiq", V2, 0, 1, -1) + bytes(12)], ["a"]): r"impossible shape \(-1,\)",
    listed([struct.pack("<Iiiqq", V2, 0, 2, 0, 1 << 39) + bytes(12)], ["a"]): "impossible shape",
    listed([struct.pack("<Iii", V2, 0, 1000) + bytes(12)], ["a"]): "neither a known mark nor up to 32 axes",
    listed([struct.pack("<I", 0xF993FACB) + bytes(40)], ["a"]): "neither a known mark nor up to 32 axes",
    listed([struct.pack("<Ii", V2, 7) + bytes(40)], ["a"]): "unknown storage type 7",
    struct.pack("<QQQ", 0x112, 0, 1) + ONE[:-3]: "are left",
}


@pytest.mark.parametrize(("raw", "told"), BAD_PARAMS.items(), ids=range(len(BAD_PARAMS)))
def test_bad_params_give_one_line_that_says_where(tmp_path: Path, raw: bytes, told: str) -> None:
    with pytest.raises(FormatError, match=told) as caught:
        read(tmp_path, symbol(*CONV), raw)
    assert "net-0001.params" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sparse_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"array 1 of 1 is sparse; .*tostype"):
        read(tmp_path, symbol(*CONV), listed([struct.pack("<Ii", V2, 1) + bytes(40)], ["a"]))  # type: ignore[arg-type]


# Refusals


def test_all_unsupported_operations_are_named_at_once(tmp_path: Path) -> None:
    nodes = [
        *CONV,
        node("_contrib_quantize_v2", "q", [3]),
        node("_sg_mkldnn_conv", "s", [4]),
        node("Custom", "mine", [3], op_type="x"),
        node("_contrib_MultiBoxPrior", "boxes", [3]),
        node("ROIPooling", "roi", [3]),
        node("dot", "product", [3, 3]),
        node("Embedding", "words", [3]),
        node("Pooling", "pool", [3], kernel="(2,2)", layout="NDHWC"),
    ]
    everything = symbol(*nodes, heads=[[i, 0] for i in range(3, len(nodes))])
    with pytest.raises(UnsupportedError) as caught:
        read(tmp_path, everything)
    message = str(caught.value)
    for told in (
        "q (_contrib_quantize_v2): an int8 network; convert the float one",
        "s (_sg_mkldnn_conv): fused",
        "mine (Custom): code of the network's author",
        "boxes (_contrib_MultiBoxPrior): detection; read the part below it with until=",
        "roi (ROIPooling): detection",
        "product (dot)",
        "words (Embedding)",
        "pool (Pooling): layout NDHWC; only NCHW and NHWC",
    ):
        assert told in message
    assert "\n" not in message
    with pytest.raises(UnsupportedError, match="mine"):  # also where the shape of the input is not known
        read(tmp_path, everything, shape=None)
    assert ops(read(tmp_path, everything, until="conv")) == ["Conv"]


def test_until_that_names_nothing_offers_the_nearest(tmp_path: Path) -> None:
    nodes = [*CONV, node("relu", "relu1", [3])]
    with pytest.raises(UsageError, match=r"no operation is named 'relu_1'; nearest: relu1"):
        read(tmp_path, symbol(*nodes), until="relu_1")
    with pytest.raises(UsageError, match="no operation is named 'data'"):
        read(tmp_path, symbol(*nodes), until="data")
    with pytest.raises(UsageError, match="no operation is named"):
        read(tmp_path, symbol(*nodes), until="zzz\n")
    with pytest.raises(UsageError, match="it has none"):
        read(tmp_path, symbol(var("data")), until="zzz")


REFUSED: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "layout NWC": (("Convolution", {"kernel": "(3,3)", "num_filter": 4, "layout": "NWC"}),),
    "a kernel of 3 axes": (("Convolution", {"kernel": "(3,3,3)", "num_filter": 4}),),
    "attributes that zoo does not know: magic": (("Activation", {"act_type": "relu", "magic": 1}),),
    "returns the statistics too": (("BatchNorm", {"output_mean_var": "True"}),),
    "pooling_convention same": (("Pooling", {"kernel": "(2,2)", "pooling_convention": "same"}),),
    "lie in the padding alone": (
        ("Pooling", {"kernel": "(2,2)", "stride": "(3,3)", "pad": "(1,1)", "pooling_convention": "full"}),
        ("Pooling_v1", {"kernel": "(1,1)", "stride": "(2,2)", "pooling_convention": "full"}),
        ("Pooling", {"kernel": "(2,2)", "pad": "(2,2)"}),
    ),
    "p_value 3": (("Pooling", {"kernel": "(2,2)", "pool_type": "lp", "p_value": 3}),),
    "in more than 64 parts": (("_contrib_AdaptiveAvgPooling2D", {"output_size": "(65,65)"}),),
    "mode always": (("Dropout", {"mode": "always"}),),
    "use_length": (("softmax", {"use_length": "True"}),),
    "moves the batch": (
        ("transpose", {"axes": "(1,0,2,3)"}),
        ("transpose", {}),
        ("SwapAxis", {"dim2": 1}),
        ("Reshape", {"shape": "(-1, 3)"}),
        ("Reshape", {"shape": "(-3, -2)"}),
        ("Reshape", {"shape": "(-1,)"}),
    ),
    "the sizes do not agree": (("Reshape", {"shape": "(0, 5, -1)"}), ("Reshape", {"shape": "(0, 5)"})),
    "unknown code -5": (("Reshape", {"shape": "(0, -5)"}),),
    "has -1 twice": (("Reshape", {"shape": "(0, -1, -1)"}),),
    "cannot split an axis of 3 into 2": (("Reshape", {"shape": "(0, -4, 2, -1, -2)"}),),
    "from the right": (("Reshape", {"shape": "(0, -4, 1, 3, 8, 8)", "reverse": "True"}),),
    "acts along the batch": (
        ("expand_dims", {"axis": 0}),
        ("Concat", {"dim": 0}),
        ("slice_axis", {"axis": 0, "begin": 0, "end": 1}),
        ("softmax", {"axis": 0}),
        ("slice", {"begin": "(1,)", "end": "(2,)"}),
    ),
    "pads the batch": (("Pad", {"mode": "edge", "pad_width": "(0,1,0,0,0,0,0,0)"}),),
    "sums up the batch": (("mean", {}), ("sum", {"axis": "(1,)", "exclude": "1"})),
    "searches the whole batch": (("argmax", {}),),
    "ord 3": (("norm", {"ord": 3, "axis": 1}),),
    "repeats all numbers": (("repeat", {"repeats": 2}),),
}


@pytest.mark.parametrize(
    ("told", "op", "attrs"), [(told, *case) for told, cases in REFUSED.items() for case in cases], ids=str
)
def test_what_a_graph_cannot_express_is_refused(tmp_path: Path, told: str, op: str, attrs: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match=told) as caught:
        read(tmp_path, symbol(var("data"), node(op, "x", [0], **attrs)))
    assert f"x ({op})" in str(caught.value)


X = node("Activation", "x", [0], act_type="relu")
BAD: dict[str, tuple[Any, ...]] = {
    "is no JSON": ("", "{", "[" * 5000, '{"nodes": 9' + "9" * 5000 + "}", "\x00"),
    "holds no JSON object": ("[]", "3", "null"),
    "has no list of nodes": ({}, {"nodes": []}, {"nodes": {"a": 1}}),
    "has no heads": (symbol(var("data"), X, heads=[]), {"nodes": [var("data"), X]}),
    "has no op and name": (symbol([]), symbol({"op": 3, "name": "x"}), symbol(node("", "x")), symbol(node("a\n", "x"))),
    "attributes are no table": (symbol({"op": "relu", "name": "x", "attrs": 3}),),
    "is no value": (symbol(var("data"), node("relu", "x", [0], y="\x1b")), symbol(var("d", y="x" * 2000))),
    "is no edge": (
        symbol(var("data"), {**X, "inputs": [["a", 0]]}),
        symbol(var("data"), {**X, "inputs": [[]]}),
        symbol(var("data"), {**X, "inputs": [[0, True]]}),
        symbol(var("data"), {**X, "inputs": [[0, 0, 0, 0]]}),
    ),
    "expected a list of inputs": (symbol(var("data"), {**X, "inputs": {"a": 1}}),),
    r"reads output \[": (
        symbol(var("data"), {**X, "inputs": [[7, 0]]}),
        symbol(var("data"), {**X, "inputs": [[-1, 0]]}),
        symbol(var("data"), {**X, "inputs": [[0, 10**9]]}),
    ),
    "reads its own output: a cycle": (
        symbol(var("data"), {**X, "inputs": [[1, 0]]}),
        symbol(var("data"), node("add_n", "a", [0, 2]), node("relu", "b", [1])),
    ),
    "its heads are variables": (symbol(var("data")),),
    "two variables are named": (symbol(var("data"), var("data"), node("_plus", "x", [0, 1])),),
    "its output is a head, but no network computes it": (
        symbol(var("data"), node("relu", "r", [0]), heads=[[1, 0], [0, 0]]),
    ),
    "lacks act_type": (symbol(var("data"), node("Activation", "x", [0])),),
    "expected one of: relu": (symbol(var("data"), node("Activation", "x", [0], act_type="swish")),),
    "lacks kernel": (symbol(var("data"), node("Pooling", "x", [0])),),
    r"has kernel \(2, 2, 2, 2\)": (symbol(var("data"), node("Pooling", "x", [0], kernel="(2,2,2,2)")),),
    "expected True or False": (symbol(var("data"), node("Pooling", "x", [0], global_pool="maybe")),),
    "a window of 9 on an axis of 8": (symbol(var("data"), node("Pooling", "x", [0], kernel="(9,9)")),),
    "has inputs|has 0 inputs": (symbol(var("data"), node("relu", "x", []), node("_plus", "y", [0, 1])),),
    "cannot split 3 inputs and 4 outputs into 2 groups": (
        symbol(*CONV[:3], node("Convolution", "x", [0, 1, 2], kernel="(1,1)", num_filter=4, num_group=2)),
    ),
    "larger than input": (symbol(*CONV[:3], node("Convolution", "x", [0, 1, 2], kernel="(9,9)", num_filter=4)),),
    "has axis 7, its input 4 axes": (symbol(var("data"), node("softmax", "x", [0], axis=7)),),
    "nsize 4": (symbol(var("data"), node("LRN", "x", [0], nsize=4)),),
    "has temperature 0": (symbol(var("data"), node("softmax", "x", [0], temperature=0)),),
    "cannot split axis 1 of Nx3x8x8 into 2": (symbol(var("data"), node("split", "x", [0], num_outputs=2)),),
    "crops": (symbol(var("data"), node("Crop", "x", [0], h_w="(9,9)")),),
    "no size to crop to": (symbol(var("data"), node("Crop", "x", [0])),),
    "has step 0": (symbol(var("data"), node("slice", "x", [0], begin="(0,0)", end="(None,2)", step="(1,0)")),),
    "empty output": (symbol(var("data"), node("slice_axis", "x", [0], axis=1, begin=2, end=1)),),
    "too big target|larger than what its kernel": (
        symbol(*CONV[:2], node("Deconvolution", "x", [0, 1], kernel="(2,2)", num_filter=3, target_shape="(99,99)")),
    ),
    "do not go together": (
        symbol(var("data"), node("slice_axis", "a", [0], axis=1, begin=0, end=2), node("_plus", "x", [0, 1])),
    ),
    "expected up to 1024": (
        symbol(var("data"), node("_contrib_BilinearResize2D", "x", [0], scale_height=1e9, scale_width=1)),
    ),
    "which no network needs": (symbol(var("data"), node("slice_axis", "x", [0], axis=1, begin=0, end=10**18)),),
    "at most 100,000 are read": (symbol(*[var("d")] * 100_001),),
}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "document"), [(told, case) for told, cases in BAD.items() for case in cases], ids=lambda x: str(x)[:30]
)
def test_a_bad_symbol_gives_one_line_that_says_where(tmp_path: Path, told: str, document: Any) -> None:
    with pytest.raises(FormatError, match=told) as caught:
        read(tmp_path, document)
    message = str(caught.value)
    assert message.startswith("net-symbol.json")
    assert "\n" not in message
    assert len(message) < 400


def test_a_huge_layer_allocates_nothing(tmp_path: Path) -> None:
    wide = [*CONV[:3], node("Convolution", "conv", [0, 1, 2], kernel="(1,1)", num_filter=1 << 24)]
    assert read(tmp_path, symbol(*wide)).params["conv_bias"] == Param((1 << 24,))
    wide[3]["attrs"]["num_filter"] = str(1 << 30)
    with pytest.raises(FormatError, match="has num_filter 1073741824; expected 1 to 16777216"):
        read(tmp_path, symbol(*wide))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        mxnet.read(tmp_path / "none.json")
    (tmp_path / "a.json").write_text(json.dumps(symbol(*CONV)))
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        mxnet.read(tmp_path / "a.json", tmp_path / "none.params", options=Options(input_shape=(3, 8, 8)))


@pytest.mark.parametrize("name", ["r{}", "r"])
def test_a_long_chain_needs_neither_recursion_nor_time(tmp_path: Path, name: str) -> None:
    chain = [var("data"), *(node("relu", name.format(i), [i]) for i in range(20_000))]
    graph = read(tmp_path, symbol(*chain))
    assert len({node.name for node in graph.nodes}) == 20_000


@pytest.mark.parametrize("first", [0, 1])
def test_axes_without_end_are_refused(tmp_path: Path, first: int) -> None:
    chain = [var("data"), var("w"), node("expand_dims", "e1", [first], axis=1)]
    chain += [node("expand_dims", f"e{i}", [i], axis=1) for i in range(2, 60)]
    last = symbol(*chain, node("broadcast_add", "x", [0, len(chain) - 1]))
    with pytest.raises(FormatError, match="gives more than 32 axes"):
        read(tmp_path, last, {"w": np.ones(3)})


def test_parts_beyond_counting_are_refused(tmp_path: Path) -> None:
    many = [var("data"), *(node("split", f"s{i}", [0], axis=3, num_outputs=4096) for i in range(250))]
    heads = [[i, 0] for i in range(1, 251)]
    with pytest.raises(FormatError, match="brings the network to more than 1,000,000 values"):
        read(tmp_path, symbol(*many, heads=heads), shape=(1, 1, 4096))


# Anything at all

FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=6)), min_size=1, max_size=4)
OPS = sorted(mxnet.RULES)
KEYS = re.findall(
    r"\S+",
    """
    kernel stride pad dilate num_filter num_group no_bias adj target_shape num_hidden flatten axis eps
    fix_gamma nsize pool_type global_pool pooling_convention output_size act_type scalar shape reverse dim
    dim1 dim2 begin end step axes num_outputs squeeze_axis h_w offset center_crop mode pad_width reps repeats
    size keepdims exclude scale sample_type height width scale_height scale_width block_size a_min a_max dtype
    temperature ord indices sections p layout num_args
""",
)
VALUES = re.findall(
    r"\S+",
    """
    0 1 2 3 -1 -2 7 255 2147483647 -5 True False None () (0,) (1,1) (2,2) (3,3) (0,0) (0,-1) (-1,2) (0,-3,-2)
    (0,-4,-1,1,-2) (0,0,0,0,1,1,1,1) (None,1) (0,2,3,1) avg max sum lp valid full same relu tanh prelu elu
    gelu channel spatial instance nearest bilinear like size edge reflect constant float32 int8 NCHW 1e-5 nan
    1e400 x (99999,99999)
""",
)


def mutated(raw: bytes, cuts: list[tuple[float, int, bytes]]) -> bytes:
    for at, length, inserted in cuts:
        start = int(at * len(raw))
        raw = raw[:start] + inserted + raw[start + length :]
    return raw


def assert_only_zoo_errors(folder: Path, document: str | bytes, arrays: bytes | None = None) -> None:
    told = ""
    try:
        read(folder, document, arrays).check()
    except ZooError as error:
        told = str(error)
    assert "\n" not in told
    assert told.isprintable()
    assert len(told) < 2000


@FUZZ
@given(CUTS)
def test_mutated_text_gives_a_graph_or_a_zoo_error(tmp_path: Path, cuts: list[tuple[float, int, bytes]]) -> None:
    with zipfile.ZipFile(GOLDEN / "net_shufflenet-v2.zip") as archive:
        assert_only_zoo_errors(tmp_path, mutated(archive.read("symbol.json"), cuts))


@FUZZ
@given(
    st.lists(
        st.tuples(
            st.sampled_from(OPS),
            st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=5),
            st.lists(st.integers(0, 8), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
def test_any_operations_and_attributes_give_a_graph_or_a_zoo_error(tmp_path: Path, made: Any, weights: bool) -> None:
    nodes = [var("data"), var("w"), var("v", __shape__="(1, 3, 1, 1)")]
    for i, (op, attrs, inputs) in enumerate(made):
        nodes.append(node(op, f"x{i}", [n % len(nodes) for n in inputs], **attrs))
    arrays = saved({"w": np.ones((3, 3, 1, 1)), "v": np.ones((1, 3, 1, 1))}) if weights else None
    assert_only_zoo_errors(tmp_path, json.dumps(symbol(*nodes)), arrays)


SCALARS = st.none() | st.booleans() | st.integers(-3, 20) | st.floats() | st.text(max_size=4)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))


@FUZZ
@given(st.sampled_from(["nodes", "heads", "op", "name", "inputs", "attrs", "param"]), JSON)
def test_any_json_in_any_place_gives_a_graph_or_a_zoo_error(tmp_path: Path, place: str, what: Any) -> None:
    document = symbol(*CONV, node("relu", "r", [3]))
    target = document if place in document else document["nodes"][3]
    assert_only_zoo_errors(tmp_path, json.dumps({**document, place: what} if target is document else document))
    target[place] = what
    assert_only_zoo_errors(tmp_path, json.dumps(document))


@FUZZ
@given(CUTS)
def test_mutated_params_give_a_graph_or_a_zoo_error(tmp_path: Path, cuts: list[tuple[float, int, bytes]]) -> None:
    assert_only_zoo_errors(tmp_path, json.dumps(symbol(*CONV)), mutated(saved(ARRAYS), cuts))
