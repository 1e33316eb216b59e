"""Caffe's files are read as Caffe runs them at test time; damaged and hostile ones give one clear line."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo import formats
from zoo.build import build
from zoo.errors import FormatError, UnsupportedError, UsageError, ZooError
from zoo.formats import caffe
from zoo.formats.caffe import prototxt, schema
from zoo.formats.options import Options
from zoo.graph import Graph, Param

GOLDEN = Path(__file__).parents[1] / "golden" / "caffe"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/deploy.prototxt"))
HEAD = """name: "net"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
"""
CONV = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
"""
WEIGHTS = {"conv": [np.arange(108.0).reshape(4, 3, 3, 3) / 100, np.arange(4.0)]}
RNG = np.random.default_rng(7)


def layer(kind: str, params: str = "", *, name: str = "x", bottom: str = "data") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" {params} }}\n'


def caffemodel(blobs: dict[str, Sequence[np.ndarray]], tables: dict[str, tuple[str, ...]] | None = None) -> Any:
    """A caffemodel's message; arrays packed as float32 unless other tables are given."""
    net: Any = schema.messages("test_weights", tables or schema.BINARY)["Net"]()
    for name, arrays in blobs.items():
        made = net.layer.add(name=name.encode())
        for array in arrays:
            blob = made.blobs.add()
            blob.shape.dim.extend(array.shape)
            if tables is None:
                blob.data.append(array.astype("<f4").tobytes())
            else:
                blob.data.extend(array.ravel().tolist())
    return net


def read(
    folder: Path,
    text: str,
    blobs: dict[str, Sequence[np.ndarray]] | None = None,
    options: Options = Options(),  # noqa: B008 - frozen
) -> Graph:
    (folder / "net.prototxt").write_text(text)
    if blobs is None:
        return caffe.read(folder / "net.prototxt", options=options)
    (folder / "net.caffemodel").write_bytes(caffemodel(blobs).SerializeToString())
    return caffe.read(folder / "net.prototxt", folder / "net.caffemodel", options=options)


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    """The network's answer for NCHW, as NCHW."""
    (y,) = answers(graph, x)
    return y


def answers(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    """The same for all of its outputs."""
    made = build(graph)(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x)
    arrays = [np.asarray(y) for y in (made if isinstance(made, list) else [made])]
    return [y.transpose(0, 3, 1, 2) if y.ndim == 4 else y for y in arrays]


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


# What Caffe computes


@pytest.mark.parametrize("case", CASES)
def test_a_network_gives_the_numbers_of_caffe(case: str) -> None:
    graph = caffe.read(GOLDEN / case / "deploy.prototxt", GOLDEN / case / "weights.caffemodel")
    (shape,) = graph.inputs.values()
    image, expected = golden(case, shape)
    names = list(expected)
    if names != [""]:  # Caffe's values inside the network as well, by the name of the node
        assert set(graph.outputs) <= set(names)
        graph = replace(graph, outputs=tuple(names))
    tolerance = 1e-4 if case.startswith("net_") else 1e-5
    for name, actual in zip(names, answers(graph, (image.astype(np.float32) - 128) / 64), strict=True):
        wanted = expected[name]
        if len(wanted) == 1:  # of values inside, the first image and the last three channels are kept
            actual = actual[:1, -3:]
        assert actual.shape == wanted.shape, name
        assert np.abs(actual - wanted).max() <= tolerance * np.abs(wanted).max(), name
    assert graph.unused == {}


def golden(case: str, shape: tuple[int, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The input, uint8, and what came out: of Caffe by the name of the node, of OpenCV under no name."""
    if (GOLDEN / case / "output.npy").exists():
        return np.load(GOLDEN / case / "input.npy"), {"": np.load(GOLDEN / case / "output.npy")}
    with np.load(GOLDEN / case / "blobs.npz") as file:
        blobs = {name.replace("|", "/"): file[name] for name in file}
    if "input" in blobs:
        return blobs.pop("input"), blobs
    with np.load(GOLDEN / "inputs" / "image.npz") as file:
        return file["image"][:, :, : shape[1], : shape[2]], blobs


def test_the_golden_cases_are_there() -> None:
    assert len(CASES) >= 130
    assert sum(case.startswith("net_") for case in CASES) >= 23


def test_lrn_adds_k_before_the_power(tmp_path: Path) -> None:
    graph = read(tmp_path, HEAD + layer("LRN", "lrn_param { local_size: 3 alpha: 0.6 beta: 0.75 k: 2 }"), {"x": []})
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    squares = np.pad(x**2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    sums = squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]
    np.testing.assert_allclose(run(graph, x), x / (2 + 0.6 / 3 * sums) ** 0.75, rtol=1e-5)


def test_a_transposed_inner_product_has_its_weights_the_other_way_round(tmp_path: Path) -> None:
    weights = RNG.normal(size=(5, 192)).astype(np.float32)
    x = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)
    answers = [
        run(read(tmp_path, HEAD + layer("InnerProduct", f"inner_product_param {{ {params} }}"), {"x": [array]}), x)
        for params, array in (
            ("num_output: 5 bias_term: false", weights),
            ("num_output: 5 bias_term: false transpose: true", weights.T),
        )
    ]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5)
    np.testing.assert_allclose(answers[0], x.reshape(2, -1) @ weights.T, rtol=1e-4, atol=1e-4)


def test_bias_adds_to_each_channel_or_to_all(tmp_path: Path) -> None:
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    per_channel = np.array([1.0, -2.0, 3.0])
    np.testing.assert_allclose(
        run(read(tmp_path, HEAD + layer("Bias"), {"x": [per_channel]}), x), x + per_channel[:, None, None], rtol=1e-5
    )
    text = HEAD + layer("Bias", "bias_param { num_axes: 0 }")
    np.testing.assert_allclose(run(read(tmp_path, text, {"x": [np.array(2.5)]}), x), x + 2.5, rtol=1e-5)


def test_scale_covers_the_axes_it_names(tmp_path: Path) -> None:
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    by_position, by_row = RNG.normal(size=(3, 8, 8)), RNG.normal(size=8)
    text = HEAD + layer("Scale", "scale_param { axis: 1 num_axes: -1 }")
    np.testing.assert_allclose(run(read(tmp_path, text, {"x": [by_position]}), x), x * by_position, rtol=1e-4)
    text = HEAD + layer("Scale", "scale_param { axis: -2 }")
    np.testing.assert_allclose(run(read(tmp_path, text, {"x": [by_row]}), x), x * by_row[:, None], rtol=1e-4)


def test_scale_of_two_values_multiplies_channels_by_a_vector(tmp_path: Path) -> None:
    text = HEAD + layer("Pooling", "pooling_param { pool: AVE global_pooling: true }", name="pool")
    text += layer("Flatten", name="flat", bottom="pool")
    text += 'layer { name: "x" type: "Scale" bottom: "data" bottom: "flat" top: "x" scale_param { axis: 0 } }'
    x = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run(read(tmp_path, text, {"x": []}), x), x * x.mean((2, 3), keepdims=True), rtol=1e-4)


@pytest.mark.parametrize("spelling", ["round_mode: FLOOR", "ceil_mode: false"])
def test_forks_spell_rounding_down_in_two_ways(tmp_path: Path, spelling: str) -> None:
    up, down = "pooling_param { kernel_size: 3 stride: 2 }", f"pooling_param {{ kernel_size: 3 stride: 2 {spelling} }}"
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    assert run(read(tmp_path, HEAD + layer("Pooling", up), {"x": []}), x).shape[2:] == (4, 4)
    assert run(read(tmp_path, HEAD + layer("Pooling", down), {"x": []}), x).shape[2:] == (3, 3)


def test_stochastic_pooling_weighs_values_by_themselves(tmp_path: Path) -> None:
    x = np.maximum(RNG.normal(size=(1, 3, 8, 8)), 0).astype(np.float32)
    x[:, :, :2, :2] = 0
    text = HEAD + layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }")
    windows = x.reshape(1, 3, 4, 2, 4, 2)
    sums = windows.sum((3, 5))
    expected = np.where(sums > 0, (windows**2).sum((3, 5)) / np.where(sums > 0, sums, 1), 0)
    np.testing.assert_allclose(run(read(tmp_path, text, {"x": []}), x), expected, rtol=1e-5)
    text = HEAD + layer("Pooling", "pooling_param { pool: STOCHASTIC global_pooling: true }")
    expected = (x**2).sum((2, 3), keepdims=True) / x.sum((2, 3), keepdims=True)
    np.testing.assert_allclose(run(read(tmp_path, text, {"x": []}), x), expected, rtol=1e-5)


def test_interp_cuts_and_takes_factors_as_deeplab_does(tmp_path: Path) -> None:
    def size(params: str) -> tuple[int, ...]:
        return run(read(tmp_path, HEAD + layer("Interp", f"interp_param {{ {params} }}"), {"x": []}), x).shape[2:]

    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    assert size("shrink_factor: 2") == (4, 4)
    assert size("zoom_factor: 2 shrink_factor: 3") == (5, 5)
    assert size("height: 8 width: 8") == (8, 8)
    graph = read(
        tmp_path, HEAD + layer("Interp", "interp_param { pad_beg: -1 pad_end: -2 shrink_factor: 4 }"), {"x": []}
    )
    np.testing.assert_allclose(run(graph, x), x[:, :, 1:6:4, 1:6:4], rtol=1e-5)


def test_dropout_of_a_fork_scales_at_test_time(tmp_path: Path) -> None:
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    text = HEAD + layer("Dropout", "dropout_param { dropout_ratio: 0.25 scale_train: false }")
    np.testing.assert_allclose(run(read(tmp_path, text, {"x": []}), x), x * 0.75, rtol=1e-6)


def test_layers_that_forks_name_in_their_own_way(tmp_path: Path) -> None:
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32) * 4
    gate = np.clip(x + 3, 0, 6) / 6
    for kind, expected in (("HSigmoid", gate), ("HSwish", x * gate), ("Mish", x * np.tanh(np.log1p(np.exp(x))))):
        np.testing.assert_allclose(
            run(read(tmp_path, HEAD + layer(kind), {"x": []}), x), expected, rtol=1e-4, atol=1e-5
        )


def test_eltwise_of_forks_broadcasts_axes_of_one(tmp_path: Path) -> None:
    text = HEAD + layer("Pooling", "pooling_param { pool: AVE global_pooling: true }", name="mean")
    text += layer("Eltwise", "eltwise_param { operation: PROD }", bottom='data" bottom: "mean')
    x = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run(read(tmp_path, text, {"x": []}), x), x * x.mean((2, 3), keepdims=True), rtol=1e-4)


def test_a_layer_in_place_behind_a_split_is_not_read_as_if_memory_were_copied(tmp_path: Path) -> None:
    split = 'layer { name: "s" type: "Split" bottom: "data" top: "a" top: "b" }\n'
    relu = 'layer { name: "r" type: "ReLU" bottom: "a" top: "a" }\n'
    text = HEAD + split + relu + layer("TanH", bottom="b")
    with pytest.raises(UnsupportedError, match=r"x \(TanH\): reads 'b', which 'r' changed in place in shared memory"):
        read(tmp_path, text)
    flat = layer("Flatten", name="flat") + 'layer { name: "r" type: "ReLU" bottom: "flat" top: "flat" }\n'
    with pytest.raises(UnsupportedError, match="reads 'data', which 'r' changed in place"):
        read(tmp_path, HEAD + flat + layer("TanH"))
    assert ops(read(tmp_path, HEAD + flat + layer("TanH", bottom="flat"))) == ["Flatten", "Relu", "Tanh"]
    assert ops(read(tmp_path, HEAD + layer("TanH") + flat)) == ["Tanh", "Flatten", "Relu"]


# Batch normalisation


NORM = HEAD + CONV + layer("BatchNorm", name="bn", bottom="conv").replace('top: "bn"', 'top: "conv"')
SCALE = layer("Scale", "scale_param { bias_term: true }", name="scale", bottom="conv")
STATISTICS = [np.array([4.0, 8, 12, 16]), np.array([2.0, 4, 6, 8]), np.array([4.0])]


def test_batch_norm_and_the_scale_behind_it_are_one_trainable_layer(tmp_path: Path) -> None:
    blobs = {**WEIGHTS, "bn": STATISTICS, "scale": [np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 7, 8])]}
    graph = read(tmp_path, NORM + SCALE, blobs)
    assert ops(graph) == ["Conv", "BatchNormalization"]
    normalisation = build(graph).get_layer("bn")
    assert normalisation.trainable
    gamma, beta, mean, variance = (array.tolist() for array in normalisation.get_weights())
    assert (gamma, beta) == ([1, 2, 3, 4], [5, 6, 7, 8])
    assert (mean, variance) == ([1, 2, 3, 4], [0.5, 1, 1.5, 2])  # divided by the third blob
    assert normalisation.epsilon == pytest.approx(1e-5)


def test_a_count_of_zero_makes_the_statistics_zero(tmp_path: Path) -> None:
    graph = read(tmp_path, NORM, {**WEIGHTS, "bn": [*STATISTICS[:2], np.array([0.0])]})
    _, _, mean, variance = build(graph).get_layer("bn").get_weights()
    assert not mean.any()
    assert not variance.any()


def test_two_scales_in_a_row_are_not_both_taken_into_the_norm(tmp_path: Path) -> None:
    second = layer("Scale", name="again", bottom="scale")
    blobs = {**WEIGHTS, "bn": STATISTICS, "scale": [np.ones(4) * 2, np.ones(4)], "again": [np.arange(4.0)]}
    assert ops(read(tmp_path, NORM + SCALE + second, blobs)) == ["Conv", "BatchNormalization", "Mul"]


def test_statistics_of_each_batch_are_refused(tmp_path: Path) -> None:
    text = NORM.replace('name: "bn"', 'name: "bn" batch_norm_param { use_global_stats: false }')
    with pytest.raises(UnsupportedError, match=r"bn \(BatchNorm\): use_global_stats: false"):
        read(tmp_path, text, {**WEIGHTS, "bn": STATISTICS})


def test_nvidias_batch_norm_holds_gamma_and_beta_itself(tmp_path: Path) -> None:
    text = NORM.replace('name: "bn"', 'name: "bn" batch_norm_param { scale_bias: true }')
    blobs = {**WEIGHTS, "bn": [*STATISTICS, np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 7, 8])]}
    gamma, beta, mean, _ = (
        array.tolist() for array in build(read(tmp_path, text, blobs)).get_layer("bn").get_weights()
    )
    assert (gamma, beta, mean) == ([1, 2, 3, 4], [5, 6, 7, 8], [1, 2, 3, 4])


def test_bn_of_the_forks_that_keeps_no_statistics_is_refused(tmp_path: Path) -> None:
    arrays = [np.ones((1, 3, 1, 1)), np.zeros((1, 3, 1, 1))]
    for params in ("", "bn_param { bn_mode: LEARN }", "bn_param { var_eps: 1e-9 moving_average: false }"):
        with pytest.raises(UnsupportedError, match=r"x \(BN\): normalises by each batch's own statistics"):
            read(tmp_path, HEAD + layer("BN", params), {"x": arrays})
    graph = read(tmp_path, HEAD + layer("BN", "bn_param { var_eps: 0.5 moving_average: true axis: 1 }"))
    assert graph.nodes[0].attrs == {"epsilon": 0.5}


# Names, values and outputs


def test_parameters_and_nodes_keep_caffes_names(tmp_path: Path) -> None:
    text = HEAD + CONV.replace('"conv"', '"conv2/3x3"') + layer("ReLU", name="relu", bottom="conv2/3x3")
    graph = read(tmp_path, text)
    assert graph.params == {"conv2/3x3/0": Param((4, 3, 3, 3)), "conv2/3x3/1": Param((4,))}
    assert [node.name for node in graph.nodes] == ["conv2/3x3", "relu"]
    assert (graph.name, graph.inputs, graph.outputs) == ("net", {"data": (3, 8, 8)}, ("relu",))


def test_layers_may_share_names_with_blobs_and_with_layers_that_hold_no_weights(tmp_path: Path) -> None:
    text = HEAD + layer("ReLU", name="data") + layer("ReLU", name="data") + layer("Sigmoid", name="data")
    graph = read(tmp_path, text)
    assert [node.name for node in graph.nodes] == ["data_2", "data_3", "data_4"]
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run(graph, x), 1 / (1 + np.exp(-np.maximum(x, 0))), rtol=1e-5)


def test_all_values_that_nothing_reads_are_outputs(tmp_path: Path) -> None:
    graph = read(tmp_path, HEAD + layer("ReLU", name="a") + layer("TanH", name="b"))
    assert graph.outputs == ("a", "b")


def test_the_places_of_maxima_are_left_out_unless_something_reads_them(tmp_path: Path) -> None:
    pool = layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }").replace('top: "x"', 'top: "x" top: "mask"')
    assert read(tmp_path, HEAD + pool).outputs == ("x",)
    text = HEAD + pool + layer("Upsample", "upsample_param { scale: 2 }", name="up", bottom='x" bottom: "mask')
    told = r"x \(Pooling\): its second top 'mask', the places of the maxima, is used"
    with pytest.raises(UnsupportedError, match=told):
        read(tmp_path, text)
    with pytest.raises(UnsupportedError, match=told):
        read(tmp_path, HEAD + pool, options=Options(until="mask"))


# Ending earlier, and another input

DETECTOR = (
    HEAD
    + CONV
    + 'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }\n'
    + layer("Sigmoid", name="score", bottom="conv")
    + layer("PriorBox", "prior_box_param { min_size: 30 }", name="priors", bottom="conv")
    + layer("DetectionOutput", name="found", bottom='score" bottom: "priors')
)


def test_detection_layers_are_named_together_with_the_way_around_them(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        read(tmp_path, DETECTOR, WEIGHTS)
    assert str(caught.value) == (
        "net.prototxt: unsupported layer types: priors (PriorBox), found (DetectionOutput); "
        "the part below them can be had with until= (--until relu)"
    )


def test_reading_ends_at_a_layer_or_at_what_a_blob_last_holds(tmp_path: Path) -> None:
    graph = read(tmp_path, DETECTOR, WEIGHTS, Options(until="score"))
    assert (ops(graph), graph.outputs) == (["Conv", "Relu", "Sigmoid"], ("score",))
    assert ops(read(tmp_path, DETECTOR, WEIGHTS, Options(until="conv"))) == ["Conv"]  # the layer, before its ReLU
    assert ops(read(tmp_path, DETECTOR, WEIGHTS, Options(until="relu"))) == ["Conv", "Relu"]
    text = DETECTOR.replace('name: "conv"', 'name: "conv2d"')
    weights = {"conv2d": WEIGHTS["conv"], "priors": [np.ones(3)]}
    graph = read(tmp_path, text, weights, Options(until="conv"))
    assert (ops(graph), graph.outputs) == (["Conv", "Relu"], ("relu",))
    assert graph.unused == {"priors/0": "is not needed for 'conv', where reading ends"}


def test_reading_may_end_in_a_batch_norm_or_in_an_auxiliary_head(tmp_path: Path) -> None:
    blobs = {**WEIGHTS, "bn": STATISTICS, "scale": [np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 7, 8])]}
    graph = read(tmp_path, NORM + SCALE, blobs, Options(until="bn"))
    assert set(graph.unused) == {"scale/0", "scale/1"}
    assert read(tmp_path, TRAIN, TRAINED, Options(until="aux/fc")).outputs == ("aux/fc",)
    assert ops(read(tmp_path, TRAIN, TRAINED, Options(until="aux/loss")))[-1] == "Softmax"


def test_a_name_to_end_at_that_is_not_there_gives_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"net\.prototxt: has no layer or blob named 'scor' to end at .*nearest: score$"
    ):
        read(tmp_path, DETECTOR, WEIGHTS, Options(until="scor"))
    with pytest.raises(UsageError, match=r"named 'data'"):
        read(tmp_path, DETECTOR, WEIGHTS, Options(until="data"))


def test_another_input_shape_is_taken_where_the_network_allows(tmp_path: Path) -> None:
    graph = read(tmp_path, HEAD + CONV, WEIGHTS, Options(input_shape=(3, 20, 12)))
    assert graph.inputs == {"data": (3, 20, 12)}
    assert run(graph, np.zeros((1, 3, 20, 12), np.float32)).shape == (1, 4, 18, 10)
    with pytest.raises(FormatError, match=r"blob 0 has shape \(4, 3, 3, 3\), net\.prototxt needs \(4, 1, 3, 3\)"):
        read(tmp_path, HEAD + CONV, WEIGHTS, Options(input_shape=(1, 20, 12)))


def test_dummy_data_is_an_input_of_its_shape(tmp_path: Path) -> None:
    text = HEAD.replace("Input", "DummyData").replace("input_param", "dummy_data_param")
    assert read(tmp_path, text + CONV).inputs == {"data": (3, 8, 8)}
    old = (
        'layer { name: "d" type: "DummyData" top: "data" dummy_data_param { num: 1 channels: 3 height: 8 width: 9 } }\n'
    )
    assert read(tmp_path, old + CONV).inputs == {"data": (3, 8, 9)}


# Spellings of Caffe's generations


def test_layer_and_layers_in_one_file_count_in_document_order(tmp_path: Path) -> None:
    text = (
        HEAD
        + """layers { name: "a" type: TANH bottom: "data" top: "data" }
layer { name: "b" type: "ReLU" bottom: "data" top: "data" }
layers { name: "c" type: "Sigmoid" bottom: "data" top: "data" }
"""
    )
    assert [(node.op, node.name) for node in read(tmp_path, text).nodes] == [
        ("Tanh", "a"),
        ("Relu", "b"),
        ("Sigmoid", "c"),
    ]


def test_input_and_an_input_layer_for_the_same_blob_are_one_input(tmp_path: Path) -> None:
    text = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n' + HEAD.split("\n", 1)[1]
    assert read(tmp_path, text + CONV).inputs == {"data": (3, 8, 8)}


def test_the_first_generation_says_the_same_in_flat_parameters(tmp_path: Path) -> None:
    first = """input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "padded" }
layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 stride: 1 weight_filler { type: "gaussian" }
  blobs_lr: 1. } bottom: "padded" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "conv" top: "pool" }
layers { layer { name: "norm" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.5 } bottom: "pool" top: "norm" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.2 } bottom: "norm" top: "norm" }
layers { layer { name: "fc" type: "innerproduct" num_output: 5 biasterm: false } bottom: "norm" top: "fc" }
layers { layer { name: "prob" type: "softmax" } bottom: "fc" top: "prob" }
"""
    current = HEAD + CONV.replace("kernel_size: 3", "kernel_size: 3 pad: 1")
    current += layer("ReLU", name="relu", bottom="conv")
    current += layer("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 }", name="pool", bottom="relu")
    current += layer("LRN", "lrn_param { local_size: 3 alpha: 0.1 beta: 0.5 }", name="norm", bottom="pool")
    current += layer("Dropout", "dropout_param { dropout_ratio: 0.2 }", name="drop", bottom="norm")
    current += layer("InnerProduct", "inner_product_param { num_output: 5 bias_term: false }", name="fc", bottom="drop")
    current += layer("Softmax", name="prob", bottom="fc")
    old, new = read(tmp_path, first), read(tmp_path, current)
    assert old.nodes == new.nodes
    assert old.params == new.params


# Networks for training

TRAIN = """name: "train"
layer { name: "images" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 16 mirror: true } data_param { source: "a" batch_size: 256 backend: LMDB } }
layer { name: "images" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 8 mean_value: 104 } data_param { source: "b" batch_size: 50 backend: LMDB } }
layer { name: "noise" type: "Dropout" bottom: "data" top: "data" exclude { phase: TEST } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { name: "b" lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { value: 0.2 } } }
layer { name: "aux/fc" type: "InnerProduct" bottom: "conv" top: "aux/fc" inner_product_param { num_output: 2 } }
layer { name: "aux/loss" type: "SoftmaxWithLoss" bottom: "aux/fc" bottom: "label" top: "l1" loss_weight: 0.3 }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "top1" type: "Accuracy" bottom: "fc" bottom: "label" top: "top1" include { phase: TEST } }
"""
TRAINED = {
    **WEIGHTS,
    "aux/fc": [RNG.normal(size=(2, 144)), np.zeros(2)],
    "fc": [RNG.normal(size=(2, 144)), np.zeros(2)],
}


def test_a_training_network_becomes_what_it_is_at_test_time(tmp_path: Path) -> None:
    graph = read(tmp_path, TRAIN, TRAINED)
    assert graph.inputs == {"data": (3, 8, 8)}
    assert [(node.op, node.name) for node in graph.nodes] == [
        ("Conv", "conv"),
        ("Flatten", "fc/flatten"),
        ("Gemm", "fc"),
        ("Softmax", "loss"),
    ]
    reason = "belongs to an auxiliary head, which only helps training"
    assert graph.unused == {"aux/fc/0": reason, "aux/fc/1": reason}


def test_other_losses_end_the_network_at_what_they_measure(tmp_path: Path) -> None:
    euclidean = TRAIN.replace("SoftmaxWithLoss", "EuclideanLoss")
    assert read(tmp_path, euclidean).outputs == ("aux/fc", "fc")
    old = TRAIN.replace("layer {", "layers {").replace('"SoftmaxWithLoss"', "SIGMOID_CROSS_ENTROPY_LOSS")
    assert ops(read(tmp_path, old))[-1] == "Sigmoid"


def test_a_softmax_beside_the_loss_is_not_computed_twice(tmp_path: Path) -> None:
    graph = read(tmp_path, TRAIN + layer("Softmax", name="prob", bottom="fc"), TRAINED)
    assert graph.outputs == ("prob",)


def test_rules_by_stage_pick_the_deployed_layers(tmp_path: Path) -> None:
    text = HEAD + layer("TanH", 'include { stage: "deploy" }', name="a")
    text += layer("ReLU", 'exclude { stage: "deploy" }', name="b") + layer("ReLU", "include { min_level: 1 }", name="c")
    assert [node.name for node in read(tmp_path, text).nodes] == ["a"]


def test_a_data_layer_that_does_not_say_its_size_is_told_apart(tmp_path: Path) -> None:
    text = re.sub(r"crop_size: \d+", "", TRAIN)
    with pytest.raises(UsageError, match=r"does not say what shape input 'data' has; .*--input-shape 3,224,224"):
        read(tmp_path, text)
    graph = read(tmp_path, text, options=Options(input_shape=(3, 10, 8)))
    assert graph.inputs == {"data": (3, 10, 8)}


# Weights


@pytest.mark.parametrize("number", ["float", "double"])
def test_numbers_may_come_one_by_one_and_in_double_precision(tmp_path: Path, number: str) -> None:
    field = {"float": "data* 5 float", "double": "data* 8 double"}[number]  # without [packed]: a tag before each
    tables = {**schema.BINARY, "Blob": ("shape 7 BlobShape", field)}
    expected = read(tmp_path, HEAD + CONV, WEIGHTS)
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(WEIGHTS, tables).SerializeToString())
    graph = caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    for name, array in expected.params.items():
        assert graph.params[name].dtype == np.float32
        assert np.array_equal(graph.params[name], array)


@pytest.mark.parametrize(("kind", "dtype"), [(0, "<f8"), (1, "<f4"), (2, "<f2"), (None, "<f4")])
def test_nvidias_raw_numbers(tmp_path: Path, kind: int | None, dtype: str) -> None:
    graph = read(tmp_path, HEAD + CONV, WEIGHTS)
    net = caffemodel(WEIGHTS)
    for blob in net.layer[0].blobs:
        blob.raw_data = np.frombuffer(b"".join(blob.data), "<f4").astype(dtype).tobytes()
        del blob.data[:]
        if kind is not None:
            blob.half_data.append(kind)  # the same number of field, packed or not
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    halves = caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    for name, array in graph.params.items():
        assert halves.params[name].dtype == np.float32
        assert np.array_equal(halves.params[name], array.astype(dtype).astype(np.float32))


def test_halves_written_as_integers(tmp_path: Path) -> None:
    net = caffemodel({"conv": []})
    for array in WEIGHTS["conv"]:
        blob = net.layer[0].blobs.add(half_data=array.astype("<f2").view("<u2").ravel().tolist())
        blob.shape.dim.extend(array.shape)
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    graph = caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    assert np.array_equal(graph.params["conv/0"], WEIGHTS["conv"][0].astype("<f2").astype(np.float32))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"raw_data": bytes(432), "half_data": [3]}, "blob 0: raw_data_type 3 holds no floating-point numbers"),
        ({"raw_data": bytes(431), "half_data": [1]}, "blob 0: its raw_data ends within a number"),
        ({"raw_data": bytes(430), "half_data": [2]}, "blob 0: its shape .* needs 108 numbers, the file holds 215"),
        ({"half_data": [65536] * 108}, "blob 0: its half-precision numbers have more than 16 bits"),
        ({"half_data": [1] * 107}, "blob 0: its shape .* needs 108 numbers"),
    ],
)
def test_damaged_numbers_of_forks_are_refused(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    net = caffemodel({"conv": []})
    net.layer[0].blobs.add(**fields).shape.dim.extend([4, 3, 3, 3])
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    with pytest.raises(FormatError, match=told):
        caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")


def test_a_mean_image_is_channels_height_width(tmp_path: Path) -> None:
    image = RNG.uniform(0, 255, (3, 5, 4)).astype(np.float32)
    blob: Any = schema.messages("test_mean", schema.BINARY)["Blob"]()
    blob.num, blob.channels, blob.height, blob.width = 1, 3, 5, 4
    blob.data.append(image.tobytes())
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(blob.SerializeToString())
    assert np.array_equal(caffe.mean(path), image)
    blob.shape.dim.extend([3, 5, 4])
    path.write_bytes(blob.SerializeToString())
    assert np.array_equal(caffe.mean(str(path)), image)
    assert caffe.mean(path).dtype == np.float32


def test_what_is_no_mean_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    blob: Any = schema.messages("test_no_mean", schema.BINARY)["Blob"]()
    blob.num, blob.channels, blob.height, blob.width = 2, 3, 1, 1
    blob.data.append(bytes(24))
    path.write_bytes(blob.SerializeToString())
    with pytest.raises(FormatError, match=r"^mean\.binaryproto: holds an array of shape \(2, 3, 1, 1\); expected one"):
        caffe.mean(path)
    blob.channels = 1 << 30
    path.write_bytes(blob.SerializeToString())
    with pytest.raises(FormatError, match=r"needs 2,147,483,648 numbers, the file holds 6"):
        caffe.mean(path)
    path.write_bytes(b"\xff" * 20)
    with pytest.raises(FormatError, match=r"^mean\.binaryproto: is no mean image, or is cut short"):
        caffe.mean(path)
    with pytest.raises(FormatError, match="cannot be read"):
        caffe.mean(tmp_path / "none")


def test_packed_numbers_may_come_in_pieces(tmp_path: Path) -> None:
    net = caffemodel(WEIGHTS)
    whole = net.layer[0].blobs[0].data.pop()
    net.layer[0].blobs[0].data.extend([whole[:100], whole[100:]])
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    graph = caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    assert np.array_equal(graph.params["conv/0"], WEIGHTS["conv"][0].astype(np.float32))


def test_arrays_are_not_copied_out_of_the_file_twice(tmp_path: Path) -> None:
    graph = read(tmp_path, HEAD + CONV, WEIGHTS)
    assert not graph.params["conv/0"].flags.owndata


def test_what_the_network_does_not_use_is_named_with_the_reason(tmp_path: Path) -> None:
    blobs = {"conv": [*WEIGHTS["conv"], np.zeros(7)], "conv6": [np.zeros((2, 5))]}
    assert read(tmp_path, HEAD + CONV, blobs).unused == {
        "conv/2": "the layer takes 2 blobs in net.prototxt",
        "conv6/0": "net.prototxt has no such layer",
    }


@pytest.mark.parametrize(
    ("blobs", "told"),
    [
        ({}, "holds no layers"),
        ({"other": [np.zeros(2)]}, r"lacks weights that net\.prototxt needs: conv \(blob 0, \(4, 3, 3, 3\)\), conv"),
        ({"conv": WEIGHTS["conv"][:1]}, r"lacks weights .*conv \(blob 1, \(4,\)\)"),
        ({"conv": [np.zeros((3, 4, 3, 3)), np.zeros(4)]}, r"blob 0 has shape \(3, 4, 3, 3\), .* needs \(4, 3, 3, 3\)"),
        ({"conv": [np.zeros(108), np.zeros(4)]}, r"blob 0 has shape \(108,\)"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, blobs: Any, told: str) -> None:
    with pytest.raises(FormatError, match=rf"^net\.caffemodel: .*{told}"):
        read(tmp_path, HEAD + CONV, blobs)


def test_shapes_are_not_believed_before_they_are_compared_with_the_bytes(tmp_path: Path) -> None:
    for dims in ([2**40, 2**40], [-4, -27], [4, 3, 3, 4], [2] * 60):
        net = caffemodel(WEIGHTS)
        del net.layer[0].blobs[0].shape.dim[:]
        net.layer[0].blobs[0].shape.dim.extend(dims)
        (tmp_path / "net.prototxt").write_text(HEAD + CONV)
        (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
        with pytest.raises(FormatError, match=r"layer 'conv': blob 0: (its shape|impossible shape)"):
            caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")


def test_a_file_beyond_protobufs_limit_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    (tmp_path / "net.caffemodel").touch()
    os.truncate(tmp_path / "net.caffemodel", 1 << 32)  # a hole: takes no room
    with pytest.raises(FormatError, match=r"4,294,967,296 bytes; protobuf files"):
        caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")


def write_hdf5(path: Path, blobs: dict[str, Sequence[np.ndarray]]) -> None:
    """As Caffe's Net::ToHDF5 writes it."""
    with h5py.File(path, "w") as file:
        for name, arrays in blobs.items():
            group = file.create_group(f"data/{name}")
            for i, array in enumerate(arrays):
                group[str(i)] = array.astype(np.float32)


def test_a_caffemodel_in_hdf5_holds_the_same(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    write_hdf5(tmp_path / "net.caffemodel.h5", {**WEIGHTS, "other": [np.ones(3)], "empty": []})
    graph = caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel.h5")
    for i, array in enumerate(WEIGHTS["conv"]):
        assert np.array_equal(graph.params[f"conv/{i}"], array.astype(np.float32))
    assert graph.unused == {"other/0": "net.prototxt has no such layer"}


def test_an_hdf5_file_that_is_no_caffemodel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    path = tmp_path / "net.caffemodel.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(FormatError, match=r"^net\.caffemodel\.h5: "):
        caffe.read(tmp_path / "net.prototxt", path)
    with h5py.File(path, "w") as file:
        file["model_weights/conv/0"] = np.ones(3)
    with pytest.raises(FormatError, match=r"^net\.caffemodel\.h5: holds no arrays data/<layer>/<index>"):
        caffe.read(tmp_path / "net.prototxt", path)
    with h5py.File(path, "w") as file:
        file["data/conv/1"] = np.ones(3)
    with pytest.raises(FormatError, match=r"layer 'conv' holds blobs \[1\]; expected 0, 1"):
        caffe.read(tmp_path / "net.prototxt", path)


@pytest.mark.weights
def test_the_real_network_is_read_to_the_last_blob(nsfw_files: Any) -> None:
    files = nsfw_files()
    graph = caffe.read(files["graph"], files["weights"])
    assert graph.unused == {}
    assert set(ops(graph)) == {
        "Conv",
        "BatchNormalization",
        "Relu",
        "MaxPool",
        "Add",
        "AveragePool",
        "Flatten",
        "Gemm",
        "Softmax",
    }
    numbers = sum(array.size for array in graph.params.values())
    counts = ops(graph).count("BatchNormalization")  # one number each, which divides the statistics
    assert abs(4 * (numbers + counts) - files["weights"].stat().st_size) < 100_000  # the rest is names and parameters


@pytest.mark.parametrize("keep", [0.999, 0.5, 0.01])
def test_a_truncated_caffemodel_is_refused(tmp_path: Path, keep: float) -> None:
    raw = (GOLDEN / "net_squeezenet-v1.1" / "weights.caffemodel").read_bytes()
    (tmp_path / "cut.caffemodel").write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(FormatError, match=r"^cut\.caffemodel: is no caffemodel, or is cut short"):
        caffe.read(GOLDEN / "net_squeezenet-v1.1" / "deploy.prototxt", tmp_path / "cut.caffemodel")


def test_swapped_files_are_told(tmp_path: Path) -> None:
    graph, weights = (GOLDEN / "lrn" / name for name in ("deploy.prototxt", "weights.caffemodel"))
    with pytest.raises(FormatError, match=r"^weights\.caffemodel: .*swapped"):
        caffe.read(weights, graph)
    with pytest.raises(FormatError, match=r"^deploy\.prototxt: .*swapped"):
        caffe.read(graph, graph)


# Networks that cannot be read


def test_all_unknown_layers_are_named_at_once(tmp_path: Path) -> None:
    text = (
        HEAD
        + 'layer { name: "source" type: "Python" top: "y" }'
        + layer("ROIPooling", name="roi")
        + CONV
        + layer("Python", name="py", bottom="conv")
        + CONV
    )
    with pytest.raises(
        UnsupportedError, match=r"unsupported layer types: source \(Python\), roi \(ROIPooling\), py \(Python\)"
    ):
        read(tmp_path, text, WEIGHTS)


def test_all_unsupported_options_are_named_at_once(tmp_path: Path) -> None:
    text = HEAD + layer("ArgMax", "argmax_param { top_k: 5 }", name="a")
    text += layer("ReLU", name="behind", bottom="a") + layer("Reduction", name="b")
    with pytest.raises(
        UnsupportedError, match=r"a \(ArgMax\): top_k 5; only 1; b \(Reduction\): axis 0, which reduces"
    ):
        read(tmp_path, text)


def test_a_field_that_may_matter_is_not_ignored(tmp_path: Path) -> None:
    text = CONV.replace("num_output", "pad_type: 1\n num_output")
    with pytest.raises(UnsupportedError, match=r"conv \(Convolution\): .*convolution_param\.pad_type \(line 4\)"):
        read(tmp_path, HEAD + text)


def test_fields_for_training_are_ignored(tmp_path: Path) -> None:
    text = 'force_backward: true state { level: 0 }\ndebug_info: false # a comment: { [ "\n' + HEAD + CONV
    text = text.replace(
        "num_output", 'engine: CAFFE weight_filler { type: "gaussian" std: 0.01 sparse: [1, 2] } num_output'
    ).replace("bottom", "param { lr_mult: 1 } propagate_down: false phase: TRAIN blobs_lr: 1. bottom")
    assert ops(read(tmp_path, text)) == ["Conv"]


BAD = {
    "": "is empty",
    "name: ": r"net\.prototxt:1:\d+: Expected string",
    "<html><body>404</body></html>": r"net\.prototxt:1:",
    'name: "net"': "holds no layers",
    "layer {": r"net\.prototxt:1:\d+: ",
    HEAD + "layer { name: }": r"net\.prototxt:3:15: ",
    HEAD: "no layer that runs at test time reads an input",
    HEAD + CONV.replace("num_output: 4", "num_output: -4"): r"net\.prototxt:4:\d+: ",
    HEAD + CONV.replace("num_output: 4", "num_output: 0"): "cannot split 3 inputs and 0 outputs into 1 groups",
    HEAD + CONV.replace("num_output: 4", "num_output: 99999999999999"): r"net\.prototxt:4:\d+: .*out of range",
    HEAD + CONV.replace("num_output: 4", "num_output: 4 group: 2"): "cannot split 3 inputs and 4 outputs into 2 groups",
    HEAD
    + CONV.replace("kernel_size: 3", "kernel_size: 9"): r"net\.prototxt:3: layer 'conv' .*empty output \(4, 0, 0\)",
    HEAD + CONV.replace("kernel_size: 3", ""): r"kernel \(0, 0\)",
    HEAD + CONV.replace("kernel_size: 3", "kernel_size: 3 stride: 0"): r"stride \(0, 0\)",
    HEAD + CONV.replace("kernel_size: 3", "kernel_size: 3 pad: 4294967295"): "impossible output",
    HEAD + CONV.replace("kernel_size: 3", "kernel_size: [3, 3, 3]"): "3 numbers for kernel_size",
    HEAD + CONV.replace("kernel_size: 3", "kernel_size: 3 kernel_h: 3"): "both kernel_size and kernel_h/kernel_w",
    HEAD
    + CONV.replace('bottom: "data"', 'bottom: "dta"'): r"net\.prototxt:3: layer 'conv' .*reads 'dta', which no layer",
    HEAD + CONV.replace('bottom: "data"', ""): "layer 'conv' .* has no bottom",
    HEAD + CONV.replace('name: "conv"', ""): "has no name",
    HEAD + CONV.replace(' top: "conv"', ""): r"has bottoms \['data'\] and tops \[\]",
    HEAD + layer("ReLU", "exclude { phase: TEST }", name="a") + layer("ReLU", bottom="a"): "do not run at test time",
    HEAD + layer("ReLU", bottom="y") + layer("ReLU", name="y", bottom="x"): "reads 'y', which a layer after it makes",
    HEAD + CONV + CONV.replace('top: "conv"', 'top: "b"'): r"net\.prototxt:5: layer 'conv' .*has the same name",
    HEAD + layer("ReLU", name="a\\nb"): r"net\.prototxt:3: 'a\\nb'\.\.\. is no name",
    HEAD + layer("x" * 10_000): r"'x{40}'\.\.\. is no name",
    HEAD + layer("Pooling", "pooling_param { kernel_size: 2 pad: 2 }"): "padding has to be smaller",
    HEAD + layer("Softmax", "softmax_param { axis: 7 }"): "has axis 7, its input 4 axes",
    HEAD + layer("Reshape", "reshape_param { shape { dim: 0 dim: 7 dim: -1 } }"): r"cannot turn \(3, 8, 8\)",
    HEAD + layer("Reshape"): "reshapes",
    HEAD + layer("LRN", "lrn_param { local_size: 4 }"): "local_size 4",
    HEAD + layer("Eltwise"): "combines",
    HEAD + CONV + layer("Eltwise").replace('top: "x"', 'bottom: "conv" top: "x"'): r"combines \(3, 8, 8\) with",
    HEAD + CONV + layer("Concat").replace('top: "x"', 'bottom: "conv" top: "x"'): "cannot join",
    HEAD.replace("dim: 3", "dim: 0") + CONV: r"input 'data' has the impossible shape \(0, 8, 8\)",
    HEAD.replace("dim: 3", "dim: -3") + CONV: "impossible shape",
    HEAD.replace("dim: 8", "") + CONV: r"input of shape \(3,\)",
    'input: "data" input_dim: 1 input_dim: 3 ' + CONV: "1 inputs but 2 input_dim",
    "input_dim: 1 " * 100_000 + CONV: "0 inputs but 100000 input_dim",
    "a {" * 1000 + "}" * 1000: "nested more than 16 deep",
    HEAD + "layer {} " * 20_000: "has 20,001 layers",
}


@pytest.mark.parametrize(("text", "told"), BAD.items(), ids=range(len(BAD)))
def test_a_bad_network_gives_one_line_that_says_where(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(FormatError, match=told) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert message.startswith("net.prototxt")
    assert "\n" not in message
    assert len(message) < 400


def test_a_window_beyond_an_unpadded_input_is_refused(tmp_path: Path) -> None:
    text = HEAD + layer("Pooling", "pooling_param { kernel_size: 1 stride: 2 }")
    with pytest.raises(UnsupportedError, match=r"its last window .* misses the input"):
        read(tmp_path, text)


def test_a_text_too_large_for_a_network_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").touch()
    os.truncate(tmp_path / "net.prototxt", prototxt.MAX_BYTES + 1)
    with pytest.raises(FormatError, match="too many for a network definition"):
        caffe.read(tmp_path / "net.prototxt")


def test_a_huge_layer_allocates_nothing(tmp_path: Path) -> None:
    text = HEAD + CONV.replace("num_output: 4", "num_output: 1000000000") + layer("BatchNorm", bottom="conv")
    graph = read(tmp_path, text)
    assert graph.params["conv/0"] == Param((1_000_000_000, 3, 3, 3))
    with pytest.raises(FormatError, match=r"needs \(1000000000, 3, 3, 3\)"):
        read(tmp_path, text, {**WEIGHTS, "x": STATISTICS})


# Anything at all

FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = (TRAIN + (GOLDEN / "net_mobilenet-v1-shicai" / "deploy.prototxt").read_text()[:2000]).encode()
WORDS = [
    *re.findall(r'[\w.]+|"[^"]*"|[{}:]', TRAIN),
    "[",
    "]",
    "<",
    ">",
    ",",
    "-1",
    "1e400",
    "nan",
    '"\\xff"',
    "dim",
    "0",
]


def mutated(raw: bytes, cuts: list[tuple[float, int, bytes]]) -> bytes:
    for at, length, inserted in cuts:
        start = int(at * len(raw))
        raw = raw[:start] + inserted + raw[start + length :]
    return raw


CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=6)), min_size=1, max_size=4)


def assert_only_zoo_errors(graph: Path, weights: Path | None = None) -> None:
    told = ""
    try:
        caffe.read(graph, weights)
    except ZooError as error:
        told = str(error)
    assert "\n" not in told
    assert len(told) < 2000


@FUZZ
@given(CUTS)
def test_mutated_text_gives_a_graph_or_a_zoo_error(tmp_path: Path, cuts: list[tuple[float, int, bytes]]) -> None:
    (tmp_path / "net.prototxt").write_bytes(mutated(TEXT, cuts))
    assert_only_zoo_errors(tmp_path / "net.prototxt")


@FUZZ
@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_shuffled_words_give_a_graph_or_a_zoo_error(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "net.prototxt").write_text(HEAD + "layer { " + " ".join(words))
    assert_only_zoo_errors(tmp_path / "net.prototxt")


PARAMS = [
    f"{field.name}: {{}}"
    for name in ("ConvolutionParameter", "PoolingParameter", "InnerProductParameter", "ScaleParameter")
    for field in schema.messages("fuzz", schema.TEXT)[name].DESCRIPTOR.fields
    if field.type not in (field.TYPE_BOOL, field.TYPE_ENUM, field.TYPE_MESSAGE)
] + ["axis: {}", "num_axes: {}", "shape {{ dim: {} dim: {} }}", "coeff: {}", "end_axis: {}", "local_size: {}"]
NUMBERS = st.sampled_from([0, 1, 2, 3, 7, 255, 2**31 - 1, 2**32 - 1, -1, -2, -5])
BLOCK = {kind: name for name, kind in (
    ("convolution_param", "Convolution"), ("pooling_param", "Pooling"), ("inner_product_param", "InnerProduct"),
    ("scale_param", "Scale"), ("bias_param", "Bias"), ("reshape_param", "Reshape"), ("flatten_param", "Flatten"),
    ("concat_param", "Concat"), ("softmax_param", "Softmax"), ("eltwise_param", "Eltwise"), ("lrn_param", "LRN"),
    ("batch_norm_param", "BatchNorm"), ("prelu_param", "PReLU"), ("power_param", "Power"),
)}  # fmt: skip


@FUZZ
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(BLOCK)), st.lists(st.tuples(st.sampled_from(PARAMS), NUMBERS), max_size=4)),
        min_size=1,
        max_size=5,
    )
)
def test_any_parameters_give_a_graph_or_a_zoo_error(tmp_path: Path, layers: Any) -> None:
    text, bottom = HEAD, "data"
    for i, (kind, params) in enumerate(layers):
        inside = " ".join(param.format(number, number) for param, number in params)
        text += layer(kind, f"{BLOCK[kind]} {{ {inside} }}", name=f"x{i}", bottom=bottom)
        bottom = f"x{i}"
    (tmp_path / "net.prototxt").write_text(text)
    assert_only_zoo_errors(tmp_path / "net.prototxt")


@FUZZ
@given(CUTS)
def test_mutated_weights_give_a_graph_or_a_zoo_error(tmp_path: Path, cuts: list[tuple[float, int, bytes]]) -> None:
    folder = GOLDEN / "v1_input_dim"
    (tmp_path / "net.caffemodel").write_bytes(mutated((folder / "weights.caffemodel").read_bytes(), cuts))
    assert_only_zoo_errors(folder / "deploy.prototxt", tmp_path / "net.caffemodel")


# The dispatcher


def test_files_are_told_apart_by_their_content_in_any_order(tmp_path: Path) -> None:
    graph, weights = tmp_path / "a.txt", tmp_path / "b"
    graph.write_bytes((GOLDEN / "lrn" / "deploy.prototxt").read_bytes())
    weights.write_bytes((GOLDEN / "lrn" / "weights.caffemodel").read_bytes())
    for paths in ([graph, weights], [str(weights), graph]):
        found = formats.read(paths)
        assert isinstance(found, Graph)
        assert ops(found) == ["LRN"]
