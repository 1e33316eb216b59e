"""Torch7's files are read as Torch7 runs them at test time; damaged and hostile ones give one clear line."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_arrays import golden_arrays
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.build import build
from zoo.errors import FormatError, UnsupportedError, UsageError, ZooError
from zoo.formats import torch7
from zoo.formats.mapped import mapped
from zoo.formats.options import Options
from zoo.formats.torch7 import objects
from zoo.graph import Graph

GOLDEN = Path(__file__).parents[1] / "golden" / "torch7"
sys.path.insert(0, str(GOLDEN))

import modules as nn  # noqa: E402
from modules import Same, bn, concat, conv, f, identity, linear, m, pool, relu, seq, table, view  # noqa: E402
from t7 import Function, Long, M, View, dumps  # noqa: E402

CASES = sorted(path.stem for path in GOLDEN.glob("*.t7"))
ARRAYS = golden_arrays(GOLDEN / "arrays.npz.xz")
IMAGE = Options(input_shape=(3, 8, 8))
UNUSED = {"select_table", "narrow_table"}  # branches that nothing reads


def write(path: Path, raw: bytes) -> None:
    path.unlink(missing_ok=True)  # a mapped file must not change
    path.write_bytes(raw)


def read(folder: Path, value: Any, options: Options = IMAGE, **layout: Any) -> Graph:
    write(folder / "net.t7", dumps(value, **layout))
    return torch7.read(folder / "net.t7", options=options)


def records(folder: Path, value: Any, **layout: Any) -> Any:
    write(folder / "net.t7", dumps(value, **layout))
    (found,) = objects.load(mapped(folder / "net.t7", "a Torch7 file"), "net.t7")
    return found


def run(graph: Graph, *arrays: np.ndarray) -> list[np.ndarray]:
    """The network's answers for NCHW, as NCHW."""
    given = [x.transpose(0, 2, 3, 1) if x.ndim == 4 else x for x in arrays]
    found = build(graph)(given if len(given) > 1 else given[0], training=False)
    answers = [np.array(y) for y in (found if isinstance(found, list) else [found])]
    return [y.transpose(0, 3, 1, 2) if y.ndim == 4 else y for y in answers]


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def kept(case: str, part: str) -> dict[str, np.ndarray]:
    return {key.split("/", 1)[1]: ARRAYS[key] for key in ARRAYS.files if key.startswith(f"{case}/{part}")}


# What Torch computes


@pytest.mark.parametrize("case", CASES)
def test_a_network_gives_the_numbers_of_an_equal_one_in_pytorch(case: str) -> None:
    inputs = [(x.astype(np.float32) - 128) / 64 for x in kept(case, "x").values()]
    graph = torch7.read(GOLDEN / f"{case}.t7", options=Options(input_shape=inputs[0].shape[1:]))
    made = {node.name for node in graph.nodes} - set(graph.outputs)
    inside = {path: y for key, y in kept(case, "at/").items() if (path := key.removeprefix("at/")) in made}
    answers = run(replace(graph, outputs=(*graph.outputs, *inside)), *inputs)
    limit = 1e-4 if case.startswith("net_") else 1e-5
    for actual, expected in zip(answers, kept(case, "y").values(), strict=False):
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() <= limit * np.abs(expected).max()
    for (path, expected), actual in zip(inside.items(), answers[len(graph.outputs) :], strict=True):
        assert np.abs(actual[:1] - expected).max() <= 1e-4 * np.abs(expected).max(), f"departs at {path}"
    if case not in UNUSED:
        assert graph.unused == {}


def test_the_golden_cases_are_there() -> None:
    assert len(CASES) >= 150
    assert len(kept("net_googlenet", "at/")) >= 4


# Layouts

SMALL_NET = seq(conv(3, 4, 3, 1, 1), bn(4), relu(), view(-1, 256), linear(256, 5))
LAYOUTS: dict[str, dict[str, Any]] = {
    "longs of 4 bytes": {"long": 4},
    "big-endian": {"order": ">"},
    "big-endian, longs of 4 bytes": {"order": ">", "long": 4},
    "ASCII": {"ascii": True},
    "CUDA": {"cuda": True},
    "before versions": {"versions": False},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_all_layouts_hold_the_same_network(tmp_path: Path, layout: dict[str, Any]) -> None:
    usual, graph = read(tmp_path, SMALL_NET), read(tmp_path, SMALL_NET, **layout)
    assert graph.nodes == usual.nodes
    assert graph.params.keys() == usual.params.keys()
    for name, array in usual.params.items():
        assert np.array_equal(graph.params[name], array)


@pytest.mark.parametrize("layout", [{}, *LAYOUTS.values()], ids=["usual", *LAYOUTS])
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1"])
def test_tensors_of_all_types(tmp_path: Path, dtype: str, layout: dict[str, Any]) -> None:
    array = np.array([[0, 1, 2], [100, 10, 13]], dtype)  # 10 and 13 are line ends where bytes stand in ASCII
    found = records(tmp_path, {"array": array, "after": 7}, **layout)
    assert found.get("after") == 7
    assert found.get("array").array("").tolist() == array.tolist()


def test_numbers_in_ascii_may_be_inf_and_nan_and_long(tmp_path: Path) -> None:
    array = np.array([np.inf, -np.inf, np.nan, 1e-40, 1 / 3], np.float64)
    assert np.array_equal(records(tmp_path, array, ascii=True).array(""), array, equal_nan=True)
    found = records(tmp_path, np.array([2**62 + 1, -(2**62) - 1]), ascii=True)
    assert found.array("").tolist() == [2**62 + 1, -(2**62) - 1]


def test_half_precision_weights_are_weights(tmp_path: Path) -> None:
    net = seq(conv(3, 4, 3, weight=f(4, 3, 3, 3).astype(np.float16)))
    graph = read(tmp_path, net)
    assert graph.params["1.weight"].dtype == np.float16
    assert run(graph, images(1, 3, 8, 8))[0].shape == (1, 4, 6, 6)


# Objects


def test_arrays_are_views_into_the_file(tmp_path: Path) -> None:
    array = read(tmp_path, SMALL_NET).params["1.weight"]
    assert not array.flags.owndata
    assert not array.flags.writeable
    plain = read(tmp_path, seq(bn(3, affine=False), m("MulConstant", constant_scalar=2))).params
    assert not any(made.flags.writeable for made in plain.values())


def test_tensors_share_storages_with_offsets_and_strides(tmp_path: Path) -> None:
    flat = f(200)
    first, second = View(flat, 7, (5, 12), (12, 1)), View(flat, 100, (12, 5), (1, 12))
    net = seq(m("View", size=Long(12)), m("Linear", weight=first), m("Linear", weight=second))
    graph = read(tmp_path, net, Options(input_shape=(3, 2, 2)))
    assert np.array_equal(graph.params["2.weight"], flat[7:67].reshape(5, 12))
    assert np.array_equal(graph.params["3.weight"], flat[100:160].reshape(5, 12).T)


def test_a_module_used_twice_has_one_set_of_parameters(tmp_path: Path) -> None:
    shared = conv(3, 3, 3, 1, 1)
    graph = read(tmp_path, seq(shared, relu(), shared))
    assert list(graph.params) == ["1.weight", "1.bias"]
    assert graph.nodes[2].inputs == ("2", "1.weight", "1.bias")


def test_tables_may_have_keys_of_any_kind(tmp_path: Path) -> None:
    key = {"a": 1}
    found = records(tmp_path, {1: "one", "text": 2, 1.5: True, Same(key): "table", Same(True): "yes", -3: None})
    assert found.get(1) == "one"
    assert found.get((True,)) == "yes"
    assert found.get(1.5) is True
    assert found.sequence() == ["one"]
    assert [value for k, value in found.items.items() if isinstance(k, objects.Table)] == ["table"]


def test_functions_are_skipped(tmp_path: Path) -> None:
    function = Function()
    found = records(tmp_path, {"hook": function, "again": function, "after": 3})
    assert isinstance(found.get("hook"), objects.Function)
    assert found.get("hook") is found.get("again")
    assert found.get("after") == 3
    # The oldest kind has no number of its own.
    raw = struct.pack("<iii", 3, 1, 1) + struct.pack("<id", 1, 1.0) + struct.pack("<ii", 6, 2) + b"\x1bL"
    (tmp_path / "old.t7").write_bytes(raw + struct.pack("<i", 0))
    (found,) = objects.load(mapped(tmp_path / "old.t7", ""), "old.t7")
    assert isinstance(found.sequence()[0], objects.Function)


def test_a_file_may_hold_objects_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "net.t7").write_bytes(dumps("a note") + dumps(SMALL_NET))
    assert len(torch7.read(tmp_path / "net.t7", options=IMAGE).nodes) == 5


def test_a_class_of_ones_own_is_a_record(tmp_path: Path) -> None:
    found = records(tmp_path, M("Blah", version=3, x=1))
    assert (found.name, found.version, found.get("x")) == ("Blah", 3, 1)


# Names, inputs and outputs


def test_nodes_and_parameters_are_named_by_where_their_module_stands(tmp_path: Path) -> None:
    net = seq(conv(3, 4, 1), concat(seq(identity(), relu()), seq(conv(4, 2, 1), bn(2))))
    graph = read(tmp_path, net)
    assert [node.name for node in graph.nodes] == ["1", "2.1.2", "2.2.1", "2.2.2", "2"]
    assert "2.2.2.running_var" in graph.params
    assert (graph.name, graph.inputs, graph.outputs) == ("net", {"input": (3, 8, 8)}, ("2",))


def test_a_module_alone_is_number_one(tmp_path: Path) -> None:
    assert [node.name for node in read(tmp_path, conv(3, 4, 1)).nodes] == ["1"]


def test_a_replicated_network_has_the_names_of_the_network(tmp_path: Path) -> None:
    inner = seq(conv(3, 4, 1), relu())
    for version in (1, 2, 3):
        graph = read(tmp_path, m("DataParallelTable", inner, version=version))
        assert graph.nodes == read(tmp_path, inner).nodes


def test_the_network_is_found_in_a_checkpoint(tmp_path: Path) -> None:
    best = {"epoch": 90, "model": SMALL_NET, "criterion": m("ClassNLLCriterion"), "mean": f(3), "best": True}
    graph = read(tmp_path, best)
    assert graph.nodes == read(tmp_path, SMALL_NET).nodes
    assert graph.unused == {"mean": "stands beside the network"}
    assert read(tmp_path, {"state": {"net": SMALL_NET}, "lr": 0.1}).nodes == graph.nodes


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": SMALL_NET, "b": seq(relu())}, "holds 2 networks, under the keys a, b; save the one you want"),
        ({"epoch": 3, "optimState": {"lr": 0.1}}, "holds no nn network, under the keys epoch, optimState; expected"),
        (f(3), "holds no nn network, only: tensor"),
        ("text", "holds no nn network, only: str"),
        (m("ClassNLLCriterion"), r"holds no nn network, only: nn\.ClassNLLCriterion"),
        (identity(), "puts out its input as it is"),
        (m("Sequential", modules=[]), "puts out its input as it is"),
    ],
    ids=range(7),
)
def test_a_file_without_one_network_is_refused_with_what_it_holds(tmp_path: Path, value: Any, told: str) -> None:
    with pytest.raises(FormatError, match=rf"^net\.t7: {told}"):
        read(tmp_path, value)


def test_an_image_network_needs_a_shape(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"net\.t7: .*give input_shape= \(--input-shape 3,224,224\)$"):
        read(tmp_path, SMALL_NET, Options())
    for wrong in ((3, 8), (3, 0, 8), (3, 8, 1 << 40)):
        with pytest.raises(UsageError, match="expected channels, height and width"):
            read(tmp_path, SMALL_NET, Options(input_shape=wrong))  # type: ignore[arg-type]
    for net in (seq(*SMALL_NET.modules[:3], view(-1, 324), linear(256, 5)), SMALL_NET, seq(view(-1), linear(192, 5))):
        with pytest.raises(FormatError, match=r"\(nn\.(Linear|View)\).*is the input shape right\?"):
            read(tmp_path, net, Options(input_shape=(3, 9, 9)))


def test_a_network_of_vectors_needs_none(tmp_path: Path) -> None:
    net = seq(identity(), linear(7, 5), m("Tanh"), bn(5, "BatchNormalization"))
    assert read(tmp_path, net, Options()).inputs == {"input": (7,)}
    assert read(tmp_path, seq(bn(5, "BatchNormalization")), Options()).inputs == {"input": (5,)}
    with pytest.raises(UsageError, match="takes 7 numbers, not an image"):
        read(tmp_path, net)


def test_an_input_without_a_size_has_that_of_what_it_is_added_to(tmp_path: Path) -> None:
    net = nn.Graph(["x", "y"], [("fc", linear(1, 2), ["x"]), ("sum", nn.add(), ["y", "fc"])], ["sum"])
    graph = read(tmp_path, net, Options())
    assert graph.inputs == {"input1": (1,), "input2": (2,)}


def test_until_a_module(tmp_path: Path) -> None:
    net = seq(conv(3, 4, 1), concat(relu(), seq(m("Foo"), m("Tanh"))), m("Bar"), linear(3, 3))
    graph = read(tmp_path, net, replace(IMAGE, until="2.1"))
    assert ops(graph) == ["Conv", "Relu"]
    assert graph.outputs == ("2.1",)
    assert graph.unused == dict.fromkeys(("4.weight", "4.bias"), "belongs to modules that were left out")
    with pytest.raises(UsageError, match=r"no module has the path '2\.7'; the nearest are 2"):
        read(tmp_path, net, replace(IMAGE, until="2.7"))
    with pytest.raises(UnsupportedError, match=r"unsupported modules: 2\.2\.1 \(nn\.Foo\)$"):
        read(tmp_path, net, replace(IMAGE, until="2.2"))
    whole = read(tmp_path, seq(seq(conv(3, 4, 1), relu()), seq(m("Foo"))), replace(IMAGE, until="1"))
    assert whole.outputs == ("1.2",)


def test_a_table_at_the_end_is_several_outputs(tmp_path: Path) -> None:
    graph = read(tmp_path, seq(conv(3, 4, 1), table(relu(), seq(m("Tanh"), m("Abs")))))
    assert graph.outputs == ("2.1", "2.2.2")


def test_every_tensor_is_used_or_explained(tmp_path: Path) -> None:
    net = seq(conv(3, 4, 3, gradWeight=f(4, 3, 3, 3), finput=f(9), output=f(2, 2), odd=f(3)), relu(), m("Foo"))
    net.fields["modules"].pop()
    graph = read(tmp_path, net)
    assert graph.unused == {
        "1.gradWeight": "a gradient, which only training needs",
        "1.finput": "kept from the last run",
        "1.output": "kept from the last run",
        "1.odd": "is no parameter of the module",
    }


# Batches and single images


def test_a_network_for_single_images_is_one_for_batches(tmp_path: Path) -> None:
    branches = [conv(3, 4, 1), conv(3, 2, 1)]
    single = seq(concat(*branches, dimension=1), view(-1), linear(384, 5), m("LogSoftMax"))
    batches = seq(concat(*branches, dimension=2), view(-1, 384), single.modules[2], single.modules[3])
    x = images(2, 3, 8, 8)
    assert np.array_equal(run(read(tmp_path, single), x)[0], run(read(tmp_path, batches), x)[0])


def test_a_batch_of_one_is_a_batch(tmp_path: Path) -> None:
    graph = read(tmp_path, seq(m("Tanh"), view(1, -1), linear(192, 5)))
    assert ops(graph) == ["Tanh", "Flatten", "Gemm"]


def test_dimensions_of_single_images(tmp_path: Path) -> None:
    x = images(2, 3, 8, 8)
    pieces = [m("Select", dimension=1, index=2), m("Narrow", dimension=2, index=3, length=4), m("Mean", dimension=1)]
    graph = read(tmp_path, seq(m("Tanh"), *pieces))
    np.testing.assert_allclose(run(graph, x)[0], np.tanh(x)[:, 1, :, 2:6].mean(1), rtol=1e-4, atol=1e-6)
    graph = read(tmp_path, seq(m("Reshape", size=Long(8, 24), nelement=192, batchMode=False), m("Max", dimension=1)))
    np.testing.assert_allclose(run(graph, x)[0], x.reshape(2, 8, 24).max(1), rtol=1e-6)


def test_what_mixes_the_batch_either_way_is_refused(tmp_path: Path) -> None:
    net = seq(concat(identity(), relu(), dimension=1), concat(identity(), relu(), dimension=4))
    told = r"2 \(nn\.Concat\): acts on dimension 4 of 3 \(.*for batches, 1 \(nn\.Concat\): .* dimension 1, the batch\)"
    with pytest.raises(FormatError, match=told):
        read(tmp_path, net)


# Older files


def test_files_from_before_version_2_hold_inverse_deviations(tmp_path: Path) -> None:
    graph = read(
        tmp_path, m("SpatialBatchNormalization", running_mean=f(3), running_std=np.full(3, 0.5, "f4"), eps=1.0)
    )
    assert graph.params["1.running_std"].tolist() == [3, 3, 3]  # 0.5 ** -2 - 1
    assert graph.unused == {}


def test_dropout_scales_at_test_time_before_version_2(tmp_path: Path) -> None:
    kinds = [m("Dropout", p=0.3, v2=True), m("Dropout", p=0.3), m("SpatialDropout", p=0.3)]
    assert [ops(read(tmp_path, kind))[0] for kind in kinds] == ["Dropout", "Mul", "Mul"]


def test_cudnn_lrn_may_write_its_constant_large(tmp_path: Path) -> None:
    made = m("cudnn.SpatialCrossMapLRN", size=4, alpha=1e-4, beta=0.75, K=2)
    assert read(tmp_path, made).nodes[0].attrs == {"size": 4, "alpha": 1e-4, "beta": 0.75, "bias": 2}


def test_depth_of_one_graph_does_not_matter(tmp_path: Path) -> None:
    steps = [("n0", conv(3, 3, 1), ["x"])]
    steps += [(f"n{i}", relu(), [f"n{i - 1}"]) for i in range(1, 120)]
    assert len(read(tmp_path, nn.Graph(["x"], steps, ["n119"])).nodes) == 120


def test_nodes_of_a_graph_may_stand_in_any_order(tmp_path: Path) -> None:
    made = nn.Graph(["x"], [("a", conv(3, 4, 1), ["x"]), ("b", relu(), ["a"]), ("c", nn.add(), ["a", "b"])], ["c"])
    usual = read(tmp_path, made)
    made.fields["forwardnodes"] = made.fields["forwardnodes"][::-1]
    assert read(tmp_path, made).nodes == usual.nodes
    del made.fields["forwardnodes"]
    assert read(tmp_path, made).nodes == usual.nodes


# Refused modules


def test_all_unsupported_modules_are_named_at_once(tmp_path: Path) -> None:
    net = seq(
        m("SpatialConvolutionMap"), conv(3, 4, 1), m("Bottle", m("Strange"), m("Tanh")),
        concat(m("TemporalConvolution")),
        nn.lrn(4), table(m("w.Own"), relu()), m("MixtureTable"), m("SpatialContrastiveNormalization"),
    )  # fmt: skip
    with pytest.raises(UnsupportedError) as caught:
        read(tmp_path, net)
    assert str(caught.value) == (
        "net.t7: unsupported modules: 1 (nn.SpatialConvolutionMap); 3 (nn.Bottle); 3.1 (nn.Strange); "
        "4.1 (nn.TemporalConvolution); 6.1 (w.Own); 7 (nn.MixtureTable); 8 (nn.SpatialContrastiveNormalization)"
    )


REFUSED: dict[str, tuple[M, str]] = {
    "even LRN": (nn.lrn(4), r"1 \(nn\.SpatialCrossMapLRN\): size 4; Torch's CPU and GPU code differ"),
    "adaptive": (m("SpatialAdaptiveMaxPooling", W=65, H=3), "pools 8x8 to 3x65, in more than 64 parts"),
    "ceil": (pool("Max", 1, 3, ceil=True), "its last window .* misses the input"),
    "cudnn sum": (pool("cudnn.SpatialAveragePooling", 2, 2, divide=False), "divide: false, which cudnn refuses"),
    "dropout": (m("Dropout", p=0.5, v2=True, stochastic_inference=True), "stochastic_inference"),
    "normalize": (m("Normalize", p=2), "normalises Nx3x8x8; only vectors"),
    "reflection": (
        m("SpatialReflectionPadding", pad_l=-1, pad_r=0, pad_t=0, pad_b=0),
        "negative padding",
    ),
    "full of two": (
        seq(table(identity(), relu()), conv(3, 3, 3, name="SpatialFullConvolution")),
        "from a second value",
    ),
    "view": (seq(m("View", size=Long(3)), m("Foo")), r"views Nx3x8x8 as rows of \(3,\); 2 \(nn.Foo\)"),
    "transpose": (seq(m("Transpose", permutations=[[1, 4]]), m("Foo")), r"moves the batch; 2 \(nn.Foo\)"),
    "scalar": (seq(m("Mean", dimension=4), m("Mean", dimension=3), m("Mean", dimension=2)), "nothing but the batch"),
}


@pytest.mark.parametrize(("net", "told"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_says_why(tmp_path: Path, net: M, told: str) -> None:
    with pytest.raises(UnsupportedError, match=told) as caught:
        read(tmp_path, net)
    assert "\n" not in str(caught.value)


def without(made: M, *keys: str, **more: Any) -> M:
    made.fields.update(more)
    for key in keys:
        del made.fields[key]
    return made


DAMAGED: dict[str, tuple[M, str]] = {
    "no weight": (without(conv(3, 4, 1), "weight"), r"lacks its weight, a tensor of shape \(4, 3, 1, 1\)"),
    "empty weight": (conv(3, 4, 1, weight=f(0)), "lacks its weight"),
    "shape": (conv(3, 4, 1, weight=f(4, 3, 2, 2)), r"has a weight of shape \(4, 3, 2, 2\), expected \(4, 3, 1, 1\) or"),
    "channels": (conv(5, 4, 1), r"takes 5 channels, gets Nx3x8x8; is the input shape right\?"),
    "kernel": (conv(3, 4, 9), "kernel 9x9 larger than input 8x8"),
    "stride": (conv(3, 4, 1, 0), "has dH 0, expected a whole number of at least 1"),
    "number": (conv(3, 4, 1, kW="3"), "has kW '3', expected a whole number"),
    "fraction": (conv(3, 4, 1, kW=1.5), r"has kW 1\.5, expected a whole number"),
    "huge": (conv(3, 4, 1, padW=2.0**40), "has padW 1099511627776, expected"),
    "affine": (without(bn(3), "weight"), r"lacks its weight, a tensor of shape \(3,\)"),
    "variance": (without(bn(3), "running_var"), "lacks its running_var"),
    "outside": (conv(3, 4, 1, weight=View(f(9), 0, (4, 3, 1, 1), (3, 1, 1, 1))), "reaches outside its storage of 9"),
    "offset": (conv(3, 4, 1, bias=False, weight=View(f(12), 1, (4, 3, 1, 1), (3, 1, 1, 1))), "reaches outside"),
    "negative": (conv(3, 4, 1, weight=View(f(12), 11, (4, 3, 1, 1), (-3, -1, 1, 1))), "reaches outside"),
    "expanded": (conv(3, 4, 1, weight=View(f(1), 0, (4, 3, 1, 1), (0, 0, 0, 0))), "is expanded"),
    "dimension": (concat(relu(), relu(), dimension=7), "acts on dimension 7 of 4"),
    "view": (m("View", size=3), "has no size, expected a LongStorage"),
    "linear": (seq(view(192), linear(7, 4)), "Linear.*takes 7 numbers, its input has 192; is the input shape right"),
    "table": (seq(table(relu(), relu()), relu()), "gets a table of values, expected one value"),
    "no table": (seq(relu(), nn.add()), "gets one value, expected a table"),
    "index": (seq(table(relu(), relu()), m("SelectTable", index=3)), "takes entry 3 of a table of 2"),
    "modules": (m("Sequential", modules=3), "expected a list of modules"),
    "replica": (m("DataParallelTable", modules=[], version=1), "holds no module"),
    "p": (m("Dropout", p=3, v2=True), "has p 3.0, expected 0 to 1"),
    "permutations": (m("Transpose", permutations=[[2, 9]]), "no pairs of dimensions"),
    "slopes": (m("PReLU", nOutputPlane=2, weight=f(2)), "has 2 slopes, gets Nx3x8x8"),
}  # fmt: skip


@pytest.mark.parametrize(("net", "told"), DAMAGED.values(), ids=DAMAGED)
def test_a_bad_module_gives_one_line_that_says_where(tmp_path: Path, net: M, told: str) -> None:
    with pytest.raises(FormatError, match=told) as caught:
        read(tmp_path, net)
    message = str(caught.value)
    assert message.startswith("net.t7: ")
    assert "\n" not in message
    assert len(message) < 400


def test_a_graph_that_goes_in_circles_is_refused(tmp_path: Path) -> None:
    made = nn.Graph(["x"], [("a", relu(), ["x"]), ("b", relu(), ["a"])], ["b"])
    first, second = made.fields["forwardnodes"][2:4]
    second.fields["children"].append(first)
    with pytest.raises(FormatError, match="its nodes read each other in a circle"):
        read(tmp_path, made)


# Damaged and hostile files

RAW = dumps(SMALL_NET)


def test_a_file_cut_short_is_refused_wherever(tmp_path: Path) -> None:
    raw = dumps(seq(conv(1, 1, 1), relu()))
    for end in range(0, len(raw), 3):
        write(tmp_path / "cut.t7", raw[:end])
        with pytest.raises(FormatError, match=r"cut\.t7: (is damaged or cut short|the file is empty|is no Torch7)"):
            torch7.read(tmp_path / "cut.t7", options=IMAGE)


INT, LONG = struct.Struct("<i").pack, struct.Struct("<q").pack
TENSOR = INT(4) + INT(1) + INT(3) + b"V 1" + INT(17) + b"torch.FloatTensor"
STORAGE = INT(4) + INT(1) + INT(3) + b"V 1" + INT(18) + b"torch.FloatStorage"
HOSTILE = {
    "table": (INT(3) + INT(1) + INT(2**31 - 1), "2147483647 entries in a table announced at byte 12, 0 bytes before"),
    "negative": (INT(3) + INT(1) + INT(-1), "-1 entries in a table"),
    "string": (INT(2) + INT(2**31 - 1) + b"abc", "2147483647 characters announced"),
    "storage": (STORAGE + LONG(1 << 62), "4611686018427387904 numbers in a storage"),
    "storage below zero": (STORAGE + LONG(-8), "-8 numbers in a storage"),
    "rank": (TENSOR + INT(2**31 - 1), "a tensor of 2147483647 dimensions"),
    "shape": (TENSOR + INT(1) + LONG(-1) + LONG(1) + LONG(1) + INT(0), r"a tensor of shape \(-1,\)"),
    "no storage": (
        TENSOR + INT(1) + LONG(1) + LONG(1) + LONG(1) + INT(2) + INT(1) + b"a",
        "whose storage is something",
    ),
    "type": (INT(1) + bytes(8) + INT(77), "an object of type 77"),
    "nil key": (INT(3) + INT(1) + INT(1) + INT(0) + INT(0), "a key that is nil"),
    "class": (INT(4) + INT(1) + INT(3) + b"a\nb", "is no name of a class"),
    "deep": (b"".join(INT(3) + INT(i) + INT(1) for i in range(1, 70_000)), "nested more than 50,000 deep"),
    "html": (b"<html>404</html>", "is no Torch7 file"),
    "zeros": (bytes(1 << 20), "more than 100 objects stand one after the other"),
    "zip": (b"PK\x03\x04" + bytes(30), "is no Torch7 file"),
    "text": (b"4\n1\n3\nV 1\n13\nnn.Sequential\n3\n2\n99999999999999999999999\n", "expected a whole number"),
    "text, storage": (b"4\n1\n3\nV 1\n18\ntorch.FloatStorage\n3\n1 2\n" + b" " * 9, "the line has 2"),
    "text, no number": (b"4\n1\n3\nV 1\n18\ntorch.FloatStorage\n2\n1 x\n", "are none"),
}


@pytest.mark.parametrize(("raw", "told"), HOSTILE.values(), ids=HOSTILE)
def test_sizes_are_not_believed(tmp_path: Path, raw: bytes, told: str) -> None:
    (tmp_path / "bad.t7").write_bytes(raw)
    with pytest.raises(FormatError, match=rf"^bad\.t7: .*{told}") as caught:
        torch7.read(tmp_path / "bad.t7", options=IMAGE)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.t7: cannot be read: No such file"):
        torch7.read(tmp_path / "none.t7")


def test_classes_that_write_themselves_in_their_own_way_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"holds an object of class tds\.Hash, which zoo does not read"):
        read(tmp_path, {"x": M("tds.Hash"), "net": SMALL_NET})


def test_a_module_in_itself_is_refused(tmp_path: Path) -> None:
    net = seq(relu())
    net.fields["modules"].append(net)
    with pytest.raises(FormatError, match="modules nested more than 60 deep"):
        read(tmp_path, net)


def test_a_few_modules_many_times_over_are_refused(tmp_path: Path) -> None:
    tower, flows = relu(), identity()
    for _ in range(40):
        tower = seq(tower, tower)
        flows = seq(flows, table(identity(), identity()))
    with pytest.raises(FormatError, match=r"or more than 20,000 of them"):
        read(tmp_path, tower)
    with pytest.raises(FormatError, match=r"nested more than 60 deep|a table of more than 1,000 entries"):
        read(tmp_path, flows)
    with pytest.raises(FormatError, match=r"a table of more than 1,000 entries"):
        read(tmp_path, seq(*[table(identity(), identity()) for _ in range(40)]))


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    # Lua source where bytecode should stand; a reader that ran it would leave a mark.
    raw = b'os.execute("touch ran")'
    graph = INT(3) + INT(1) + INT(1) + INT(2) + INT(1) + b"f" + INT(8) + INT(2) + INT(len(raw)) + raw + INT(0)
    (tmp_path / "code.t7").write_bytes(graph)
    with pytest.raises(FormatError, match="holds no nn network"):
        torch7.read(tmp_path / "code.t7")
    assert not (tmp_path / "ran").exists()
    assert not Path("ran").exists()


# Anything at all

FUZZ = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SEEDS = [dumps(SMALL_NET), dumps(SMALL_NET, ascii=True), (GOLDEN / "net_nngraph_old.t7").read_bytes()]
CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=6)), min_size=1, max_size=4)


def assert_only_zoo_errors(path: Path) -> None:
    told = ""
    try:
        torch7.read(path, options=IMAGE)
    except ZooError as error:
        told = str(error)
    assert told.isprintable()
    assert len(told) < 4000


@FUZZ
@given(st.sampled_from(SEEDS), CUTS)
def test_mutated_bytes_give_a_graph_or_a_zoo_error(tmp_path: Path, raw: bytes, cuts: Any) -> None:
    for at, length, inserted in cuts:
        start = int(at * len(raw))
        raw = raw[:start] + inserted + raw[start + length :]
    write(tmp_path / "x.t7", raw)
    assert_only_zoo_errors(tmp_path / "x.t7")


ODD = st.sampled_from(
    [
        *(
            0,
            1,
            2,
            3,
            7,
            -1,
            -2,
            -9,
            1.5,
            2**31 - 1,
            2.0**52,
            float("inf"),
            float("nan"),
            True,
            False,
            "x",
            None,
            {},
            [],
        ),
        *(f(3), f(1), Long(0), Long(-1, 3), Long(3, -1, -1), Long(2**62, 4), [[1, 1]], [[2, 3], 4], f(2, 3, 0)),
    ]
)
SOURCES = [Path(module.__file__ or "").read_text() for module in (torch7.layers, torch7.elementwise, torch7.axes)]
FIELDS = sorted({*re.findall(r'"(\w+)"', " ".join(SOURCES)), "modules", "inputDimension", "outputDimension"})
KINDS = sorted({**torch7.OPS, **torch7.containers.CONTAINERS})


@FUZZ
@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), ODD, max_size=8)), max_size=6),
    st.sampled_from(["nn", "cudnn", "inn"]),
)
def test_modules_with_odd_fields_give_a_graph_or_a_zoo_error(tmp_path: Path, made: Any, package: str) -> None:
    net = seq(*(M(f"{package}.{kind}", **fields) for kind, fields in made))
    write(tmp_path / "x.t7", dumps(net))
    assert_only_zoo_errors(tmp_path / "x.t7")


SAMPLES: list[Callable[[], M]] = [
    lambda: conv(3, 4, 3, 1, 1), lambda: pool("Max", 3, 2, 1, ceil=True), lambda: bn(3), lambda: view(-1, 192),
    lambda: nn.lrn(), lambda: m("Padding", dim=2, pad=2), lambda: m("Mean", dimension=3), lambda: relu(),
    lambda: m("Narrow", dimension=2, index=1, length=2), lambda: m("SpatialUpSamplingNearest", scale_factor=2),
    lambda: m("Threshold", threshold=1, val=2), lambda: pool("Average", 2, 2),
    lambda: m("Select", dimension=2, index=1),
    lambda: m("SpatialZeroPadding", pad_l=1, pad_r=-1, pad_t=0, pad_b=2), lambda: concat(relu(), m("Tanh")),
]  # fmt: skip


@FUZZ
@given(st.lists(st.tuples(st.sampled_from(SAMPLES), st.integers(0, 30), ODD), min_size=1, max_size=4))
def test_modules_with_one_odd_field_give_a_graph_or_a_zoo_error(tmp_path: Path, made: Any) -> None:
    net = seq()
    net.fields["modules"] = []
    for sample, place, odd in made:
        module = sample()
        keys = list(module.fields)
        module.fields[keys[place % len(keys)]] = odd
        net.fields["modules"].append(module)
    write(tmp_path / "x.t7", dumps(net))
    assert_only_zoo_errors(tmp_path / "x.t7")
