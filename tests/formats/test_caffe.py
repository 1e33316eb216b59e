"""Caffe's layers and networks give the numbers that Caffe gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from caffe_nets import (
    GOLDEN,
    HEAD,
    NORM,
    RNG,
    SCALE,
    STATISTICS,
    WEIGHTS,
    answers,
    layer,
    ops,
    read,
    run,
)

from zoo.build import build
from zoo.errors import FormatError, UnsupportedError
from zoo.formats import caffe

CASES = sorted(path.parent.name for path in GOLDEN.glob("*/deploy.prototxt"))

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


def test_arg_max_gives_the_largest_in_order_and_of_equal_ones_the_last(tmp_path: Path) -> None:
    x = RNG.integers(-9, 9, (2, 3, 8, 8)).astype(np.float32)  # many are equal
    flat = x.reshape(2, -1)
    order = np.array([sorted(range(192), key=lambda i, row=row: (-row[i], -i)) for row in flat])  # type: ignore[misc]
    for params, expected in (
        ("top_k: 3", order[:, None, :3, None]),
        (
            "top_k: 3 out_max_val: true",
            np.stack([order[:, :3], np.take_along_axis(flat, order[:, :3], 1)], 1)[..., None],
        ),
    ):
        made = run(read(tmp_path, HEAD + layer("ArgMax", f"argmax_param {{ {params} }}"), {"x": []}), x)
        np.testing.assert_array_equal(made, expected)
    by_row = np.array(
        [[[sorted(range(8), key=lambda i, row=row: (-row[i], -i))[:2] for row in c] for c in n] for n in x]
    )  # type: ignore[misc]
    made = run(read(tmp_path, HEAD + layer("ArgMax", "argmax_param { top_k: 2 axis: 3 }"), {"x": []}), x)
    np.testing.assert_array_equal(made, by_row)
    text = HEAD + layer("ArgMax", "argmax_param { top_k: 2 axis: 3 out_max_val: true }")
    np.testing.assert_array_equal(run(read(tmp_path, text, {"x": []}), x), np.take_along_axis(x, by_row, 3))


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_spp_cuts_the_map_into_ever_smaller_parts(tmp_path: Path, pool: str) -> None:
    """spp_layer.cpp: level n has 2^n x 2^n windows, padded by half of what they reach beyond the map."""
    head = HEAD.replace("dim: 8 dim: 8", "dim: 7 dim: 6")
    x = RNG.normal(size=(2, 3, 7, 6)).astype(np.float32)
    parts = []
    for bins in (1, 2, 4):
        sides = []
        for size in (7, 6):
            kernel = -(-size // bins)
            pad = (kernel * bins - size + 1) // 2
            sides.append([(i * kernel - pad, min(i * kernel - pad + kernel, size + pad)) for i in range(bins)])
        for c in range(3):
            for top, bottom in sides[0]:
                for left, right in sides[1]:
                    window = x[:, c, max(top, 0) : min(bottom, 7), max(left, 0) : min(right, 6)]
                    area = (bottom - top) * (right - left)
                    parts.append(window.max((1, 2)) if pool == "MAX" else window.sum((1, 2)) / area)
    graph = read(tmp_path, head + layer("SPP", f"spp_param {{ pyramid_height: 3 pool: {pool} }}"), {"x": []})
    np.testing.assert_allclose(run(graph, x), np.stack(parts, 1), rtol=1e-5, atol=1e-6)
    alone = read(tmp_path, head + layer("SPP", f"spp_param {{ pyramid_height: 1 pool: {pool} }}"), {"x": []})
    assert run(alone, x).shape == (2, 3, 1, 1)


FCN = """layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1"
  convolution_param { num_output: 2 kernel_size: 3 pad: 100 } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
"""


def test_crop_without_an_offset_aligns_its_bottoms_in_files_of_the_first_fcn(tmp_path: Path) -> None:
    """FCN-32s of the fork that had no crop_param: padding 100, five halvings, 7x7, 32 times up: it cuts 19 in front."""
    text, below = "input: 'data' input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n" + FCN, "conv1"
    for i in range(1, 6):
        text += f"layers {{ name: 'pool{i}' type: POOLING bottom: '{below}' top: 'pool{i}'"
        text += " pooling_param { kernel_size: 2 stride: 2 } }\n"
        below = f"pool{i}"
    text += f"""layers {{ name: "fc6" type: CONVOLUTION bottom: "{below}" top: "fc6"
      convolution_param {{ num_output: 2 kernel_size: 7 }} }}
    layers {{ name: "up" type: DECONVOLUTION bottom: "fc6" top: "up"
      convolution_param {{ num_output: 2 kernel_size: 64 stride: 32 }} }}
    layers {{ name: "score" type: CROP bottom: "up" bottom: "data" top: "score" }}
    """
    crop = read(tmp_path, text).nodes[-1]
    assert (crop.op, crop.attrs["axes"], crop.attrs["starts"], crop.attrs["ends"]) == (
        "Slice",
        (2, 3),
        (19, 19),
        (27, 27),
    )
    with pytest.raises(FormatError, match=r"score.*do not align: scales 2 and 1"):
        read(tmp_path, text.replace("kernel_size: 64 stride: 32", "kernel_size: 64 stride: 64"))
    reshaped = text.replace("convolution_param { num_output: 2 kernel_size: 7 }", "reshape_param { shape { dim: 0 } }")
    reshaped = reshaped.replace('"fc6" type: CONVOLUTION', '"fc6" type: RESHAPE').replace(
        "{ dim: 0 }", "{ " + "dim: 0 " * 4 + "}"
    )
    with pytest.raises(UnsupportedError, match=r"none can be told across fc6 \(Reshape\)"):
        read(tmp_path, reshaped)
    today = text.replace("layers {", "layer {").replace("CROP", '"Crop"').replace("RELU", '"ReLU"')
    today = today.replace("POOLING", '"Pooling"').replace("DECONVOLUTION", '"Deconvolution"')
    with_offset_zero = read(tmp_path, today.replace("CONVOLUTION", '"Convolution"')).nodes[-1]
    assert with_offset_zero.attrs["starts"] == (0, 0)  # Caffe's own Crop, whose offset is 0 where none is stated


def test_types_of_the_first_generation_may_be_numbers(tmp_path: Path) -> None:
    """V1LayerParameter.LayerType: 4 convolution, 17 pooling, 18 ReLU, 14 inner product, 2 BNLL, 20 softmax."""
    named = "input: 'data' input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n"
    for name, kind, params in (
        ("c", "CONVOLUTION", "convolution_param { num_output: 4 kernel_size: 3 }"),
        ("r", "RELU", ""),
        ("p", "POOLING", "pooling_param { kernel_size: 2 stride: 2 }"),
        ("b", "BNLL", ""),
        ("f", "INNER_PRODUCT", "inner_product_param { num_output: 5 }"),
        ("s", "SOFTMAX", ""),
    ):
        bottom = {"c": "data", "r": "c", "p": "r", "b": "p", "f": "b", "s": "f"}[name]
        named += f"layers {{ name: '{name}' type: {kind} bottom: '{bottom}' top: '{name}' {params} }}\n"
    numbered = named
    for kind, number in (("CONVOLUTION", 4), ("POOLING", 17), ("RELU", 18), ("INNER_PRODUCT", 14), ("BNLL", 2)):
        numbered = numbered.replace(f"type: {kind} ", f"type: {number} ")
    numbered = numbered.replace("type: SOFTMAX ", "type: 20 ")
    assert read(tmp_path, numbered).nodes == read(tmp_path, named).nodes
    with pytest.raises(UnsupportedError, match=r"unsupported layer types: s \(99\)"):
        read(tmp_path, named.replace("type: SOFTMAX ", "type: 99 "))
