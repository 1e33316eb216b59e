"""Network definitions are read as Caffe runs them at test time; bad ones give one clear line."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from caffe_nets import (
    CONV,
    HEAD,
    NORM,
    RNG,
    SCALE,
    STATISTICS,
    TRAIN,
    TRAINED,
    WEIGHTS,
    layer,
    ops,
    read,
    run,
)

from zoo.errors import FormatError, UnsupportedError, UsageError
from zoo.formats import caffe
from zoo.formats.caffe import prototxt
from zoo.formats.options import Options
from zoo.graph import Param

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


def test_the_places_of_maxima_are_only_made_for_upsample(tmp_path: Path) -> None:
    pool = layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }").replace('top: "x"', 'top: "x" top: "mask"')
    assert read(tmp_path, HEAD + pool).outputs == ("x",)
    with pytest.raises(UnsupportedError, match=r"x \(Pooling\): its second top 'mask', .* cannot be an end"):
        read(tmp_path, HEAD + pool, options=Options(until="mask"))
    with pytest.raises(UnsupportedError, match=r"abs \(AbsVal\): reads the places of the maxima of a pooling"):
        read(tmp_path, HEAD + pool + layer("AbsVal", name="abs", bottom="mask"))


@pytest.mark.parametrize(
    ("pool", "up", "told"),
    [
        ("kernel_size: 3 stride: 2", "scale: 2", "only those of square windows that lie side by side"),
        ("kernel_size: 2 stride: 2 pad: 1", "scale: 2", "only those of square windows"),
        ("global_pooling: true", "scale: 8", "only those of square windows"),
        ("kernel_size: 2 stride: 2", "scale: 3", r"\(3, 4, 4\) on \[12, 12\]; the places are of \(3, 8, 8\)"),
        ("kernel_size: 2 stride: 2", "upsample_h: 7 upsample_w: 8", r"on \[7, 8\]; the places are of \(3, 8, 8\)"),
    ],
)
def test_places_that_upsample_cannot_find_again_are_refused(tmp_path: Path, pool: str, up: str, told: str) -> None:
    text = HEAD + layer("Pooling", f"pooling_param {{ {pool} }}").replace('top: "x"', 'top: "x" top: "mask"')
    text += layer("Upsample", f"upsample_param {{ {up} }}", name="up", bottom='x" bottom: "mask')
    with pytest.raises(UnsupportedError, match=rf"up \(Upsample\): puts .*{told}"):
        read(tmp_path, text)


def test_upsample_takes_a_mask_and_no_other_value(tmp_path: Path) -> None:
    text = HEAD + layer("Upsample", "upsample_param { scale: 2 }", bottom='data" bottom: "data')
    with pytest.raises(UnsupportedError, match=r"x \(Upsample\): puts values back to places; only those of"):
        read(tmp_path, text)
    with pytest.raises(FormatError, match="has no mask of a pooling for its second bottom"):
        read(tmp_path, HEAD + layer("Upsample", "upsample_param { upsample_h: 16 upsample_w: 16 }"))


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


@pytest.mark.parametrize("kind", ["Python", "DenseImageData", "ImageSegData"])
def test_what_reads_training_data_in_its_own_way_is_an_input(tmp_path: Path, kind: str) -> None:
    source = f'layer {{ name: "source" type: "{kind}" top: "data" top: "label" python_param {{ module: "voc" }} }}\n'
    text = source + CONV + layer("SegAccuracy", name="top1", bottom='conv" bottom: "label')
    with pytest.raises(UsageError, match=r"does not say what shape input 'data' has; give input_shape="):
        read(tmp_path, text)
    graph = read(tmp_path, text, WEIGHTS, Options(input_shape=(3, 9, 7)))
    assert (graph.inputs, graph.outputs) == ({"data": (3, 9, 7)}, ("conv",))


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


# Networks that cannot be read


def test_all_unknown_layers_are_named_at_once(tmp_path: Path) -> None:
    text = (
        HEAD
        + 'layer { name: "source" type: "Prefetch" top: "y" }'
        + layer("ROIPooling", name="roi")
        + CONV
        + layer("Python", name="py", bottom="conv")
        + CONV
    )
    with pytest.raises(
        UnsupportedError, match=r"unsupported layer types: source \(Prefetch\), roi \(ROIPooling\), py \(Python\)"
    ):
        read(tmp_path, text, WEIGHTS)


def test_all_unsupported_options_are_named_at_once(tmp_path: Path) -> None:
    text = HEAD + layer("ArgMax", "argmax_param { top_k: 65 }", name="a")
    text += layer("ReLU", name="behind", bottom="a") + layer("Reduction", name="b")
    with pytest.raises(
        UnsupportedError, match=r"a \(ArgMax\): top_k 65; at most 64; b \(Reduction\): axis 0, which reduces"
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
    HEAD + layer("Eltwise"): "has 1 bottoms; expected 2 or more",
    HEAD + layer("TanH", bottom='data" bottom: "data'): "has 2 bottoms; expected 1",
    HEAD + layer("Scale", bottom='data" bottom: "data" bottom: "data'): "has 3 bottoms; expected 1 or 2",
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
