"""Data moves only where a layer needs another order; and what cannot be built is told at once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest

from zoo import heads
from zoo.build import Affine, build
from zoo.build.layout import Rows, Value, blocks, standard, transposed, without
from zoo.errors import FormatError, UnsupportedError
from zoo.graph import Graph, Node

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(2, 6, 5, 3)).astype(np.float32)


def node(op: str, name: str, *inputs: str, **attrs: Any) -> Node:
    return Node(op, name, inputs, (name,), attrs)


def model_of(*nodes: Node, shape: tuple[int, ...] = (3, 6, 5), outputs: Any = None, **params: Any) -> keras.Model:
    arrays = {key: np.asarray(value, np.float32) for key, value in params.items()}
    return build(Graph("net", {"x": shape}, outputs or nodes[-1].outputs, nodes, arrays))


def kinds(model: keras.Model) -> Counter[str]:
    return Counter(type(step.operation).__name__ for step in heads.steps(model))


def weights(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


# Layout


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((6, 4, 5), (2, 3, 4, 5), [([1], [1, 2]), ([2], [3]), ([3], [4])]),
        ((6, 4, 5), (120,), [([1, 2, 3], [1])]),
        ((6, 1, 1), (6,), [([1], [1])]),
        ((6, 4), (1, 8, 1, 3), [([1, 2], [2, 4])]),
        ((1, 1), (1,), []),
    ],
)
def test_a_reshape_falls_into_independent_parts(old: Any, new: Any, expected: Any) -> None:
    assert blocks(old, new) == expected


def test_orders_follow_transpositions_and_vanished_axes() -> None:
    assert transposed(standard(4), (0, 2, 3, 1)) == (0, 1, 2, 3)
    assert without((0, 2, 3, 1), [2, 3]) == (0, 1)
    assert without((0, 2, 3, 1), [3]) == (0, 2, 1)
    value = Value(keras.KerasTensor((None, 6, 5, 3)), standard(4))
    assert value.shape == (None, 3, 6, 5)
    assert value.axis(1) == value.axis(-3) == 3
    assert Rows((3, 6, 5), (1, 2, 0)).permuted(np.arange(90)).tolist() == (
        np.arange(90).reshape(3, 6, 5).transpose(1, 2, 0).ravel().tolist()
    )


def test_a_transposition_there_and_back_costs_nothing() -> None:
    model = model_of(
        node("Transpose", "last", "x", perm=(0, 2, 3, 1)),
        node("Mul", "scale", "last", "g"),
        node("Reshape", "rows", "scale", shape=(0, 30, 3)),
        node("Reshape", "map", "rows", shape=(0, 6, 5, 3)),
        node("Transpose", "first", "map", perm=(0, 3, 1, 2)),
        node("Conv", "conv", "first", "w"),
        g=weights(3),
        w=weights(4, 3, 1, 1),
    )
    assert kinds(model) == {"DepthwiseConv2D": 1, "Reshape": 2, "Conv2D": 1}


def test_a_map_flattened_as_tensorflow_has_it_is_not_moved() -> None:
    model = model_of(
        node("Transpose", "last", "x", perm=(0, 2, 3, 1)),
        node("Reshape", "flat", "last", shape=(0, -1)),
        node("MatMul", "fc", "flat", "w"),
        node("Add", "bias", "fc", "b"),
        w=weights(90, 4),
        b=weights(4),
    )
    assert kinds(model) == {"Flatten": 1, "Dense": 1, "Identity": 1}
    assert heads.classifier(model).operation.name == "fc"
    assert heads.find(model, "bias").shape == (None, 4)


def test_a_channel_shuffle_moves_data_once() -> None:
    model = model_of(
        node("Reshape", "split", "x", shape=(0, 3, 2, 4, 4)),
        node("Transpose", "swap", "split", perm=(0, 2, 1, 3, 4)),
        node("Reshape", "join", "swap", shape=(0, 6, 4, 4)),
        shape=(6, 4, 4),
    )
    assert kinds(model) == {"Reshape": 2, "Permute": 1}


def test_two_readers_of_a_moved_value_share_the_move() -> None:
    model = model_of(
        node("Transpose", "turn", "x", perm=(0, 1, 3, 2)),
        node("Conv", "a", "turn", "w"),
        node("MaxPool", "b", "turn", kernel_shape=(1, 1)),
        node("Concat", "both", "a", "b", axis=1),
        w=weights(2, 3, 1, 1),
    )
    assert kinds(model)["Permute"] == 1


def test_a_pooled_map_becomes_a_vector_without_a_permutation() -> None:
    model = model_of(
        node("GlobalAveragePool", "pool", "x"),
        node("Flatten", "flat", "pool"),
        node("Unsqueeze", "map", "flat", axes=(2, 3)),
        node("Mul", "gate", "map", "x"),
    )
    assert kinds(model) == {"GlobalAveragePooling2D": 1, "Flatten": 1, "Reshape": 1, "Multiply": 1}


def test_several_inputs_and_outputs_keep_their_order() -> None:
    nodes = (node("Relu", "a", "x"), node("Add", "b", "y", "a"), node("Flatten", "c", "y"))
    graph = Graph("net", {"x": (3, 6, 5), "y": (3, 6, 5)}, ("c", "b", "a"), nodes)
    c, b, a = build(graph)([X, 2 * X])
    assert c.shape == (2, 90)
    assert np.allclose(b, 2 * X + np.maximum(X, 0))
    assert np.allclose(a, np.maximum(X, 0))


# Weights


def test_an_addition_behind_a_convolution_is_its_bias_unless_the_sum_alone_is_read() -> None:
    nodes = [node("Conv", "conv", "x", "w"), node("Add", "bias", "conv", "b"), node("Relu", "act", "bias")]
    arrays = {"w": weights(4, 3, 1, 1), "b": weights(4, 1, 1)}
    fused = model_of(*nodes, **arrays)
    assert kinds(fused) == {"Conv2D": 1, "Identity": 1, "ReLU": 1}
    model = model_of(*nodes, outputs=("act", "conv"), **arrays)
    assert kinds(model)["Embedding"] == 1
    assert np.allclose(model(X)[0], fused(X), atol=1e-6)


def test_large_arrays_do_not_stand_in_the_description() -> None:
    model = model_of(
        node("Sub", "mean", "x", "image"),
        node("Resize", "up", "mean", mode="cubic", sizes=(1, 3, 40, 40)),
        shape=(3, 32, 32),
        image=weights(3, 32, 32),
    )
    assert len(model.to_json()) < 12_000
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 3 * 32 * 32
    assert sum(int(np.prod(w.shape)) for w in model.non_trainable_weights) == 2 * 32 * 40


def test_a_bgr_networks_kernels_are_reversed_behind_zeros_around_its_input() -> None:
    nodes = (
        node("Pad", "zeros", "x", pads=(0, 0, 2, 1, 0, 0, 2, 1)),
        node("Conv", "conv", "zeros", "w", strides=(2, 2)),
    )
    graph = Graph("net", {"x": (3, 6, 5)}, ("conv",), nodes, {"w": weights(4, 3, 3, 3)})
    model = build(graph, affine=Affine((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), reverse=True))
    assert "preprocessing_bgr" not in [layer.name for layer in model.layers]
    expected = np.asarray(build(graph)(X[..., ::-1]))
    assert np.allclose(model(X), expected, atol=1e-5)
    inner = keras.Model(heads.raw_input(model, reverse=True), model.output)
    assert np.allclose(inner(X[..., ::-1]), expected, atol=1e-5)


# Refusals


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (
            node("Transpose", "t", "x", perm=(1, 0, 2, 3)),
            "reorders 4 axes as [1, 0, 2, 3]; the batch",
        ),
        (node("Reshape", "t", "x", shape=(0, 7, -1)), "cannot turn (3, 6, 5) into (7, -1) (without the batch)"),
        (node("Concat", "t", "x", "x", axis=0), "joins along the batch"),
        (node("ReduceMean", "t", "x"), "reduces along the batch"),
        (node("ReduceMax", "t", "x", axes=(0, 1)), "reduces along the batch"),
        (node("ArgMax", "t", "x"), "looks along the batch"),
        (node("Slice", "t", "x", starts=(0,), ends=(1,)), "takes part of the batch"),
        (node("Split", "t", "x", axis=1, split=(1, 1)), "splits (None, 3, 6, 5) into [1, 1] along axis 1"),
        (node("Squeeze", "t", "x", axes=(2,)), "removes axes [2] of (None, 3, 6, 5)"),
        (node("Unsqueeze", "t", "x", axes=(0,)), "puts new axes [0]"),
        (node("Tile", "t", "x", repeats=(2, 1, 1, 1)), "the batch has to stay"),
        (node("Expand", "t", "x", shape=(1, 4, 6, 5)), "cannot expand (None, 3, 6, 5) to [1, 4, 6, 5]"),
        (node("Pad", "t", "x", pads=(1, 0, 0, 0, 0, 0, 0, 0)), "pads the batch"),
        (node("Pad", "t", "x", pads=(0, 0, 1, 0, 0, 0, 0, 0), mode="odd"), "mode 'odd' is not supported"),
        (node("Gather", "t", "x", "w", axis=0), "along axis 0"),
        (node("Gather", "t", "x", indices=3, axis=1), "takes indices beyond the 3 places of axis 1"),
        (node("Resize", "t", "x", sizes=(1, 4, 6, 5)), "only height and width can be"),
        (node("Resize", "t", "x", scales=(1, 1, 2, 2), coordinate_transformation_mode="tf_crop_and_resize"), "tf_crop"),
        (node("Resize", "t", "x", scales=(1, 1, 0.5, 0.5), antialias=1), "antialias is not supported"),
        (node("MaxPool", "t", "x", kernel_shape=(3,)), "only 2-D pooling is supported, the window is (3,)"),
        (node("Conv", "t", "x", "x"), "its input 1 has to be a stored array"),
        (node("Conv", "t", "x", "w"), "kernel (5, 4, 1, 1) in 1 group(s) does not fit 3 input channels"),
        (node("Gemm", "t", "x", "w"), "multiplies (None, 3, 6, 5) by (5, 4, 1, 1); expected two matrices"),
        (node("MatMul", "t", "w", "x"), "its first factor is stored"),
        (node("Add", "t", "w", "w"), "computes with stored arrays alone"),
        (node("Add", "t", "x", "w"), "its array of shape (5, 4, 1, 1) does not broadcast"),
        (node("Add", "t", "x", "flat"), "combines values of ranks [2, 4], which puts the batch upon another axis"),
        (node("BatchNormalization", "t", "x", "w", "w", "w", "w", training_mode=1), "each batch's own statistics"),
        (node("LpNormalization", "t", "x", p=3, axis=1), "p is 3; expected 1 or 2"),
        (node("PRelu", "t", "x", "w"), "has slopes of shape (5, 4, 1, 1)"),
        (node("DepthToSpace", "t", "x", blocksize=2), "cannot split 3 channels into blocks of 2x2"),
        (node("SpaceToDepth", "t", "x", blocksize=4), "cannot split 6x5 into blocks of 4x4"),
        (
            Node("MaxPool", "t", ("x",), ("t", "places"), {"kernel_shape": (2, 2)}),
            "output 'places' is not",
        ),
    ],
)
def test_a_node_that_cannot_be_built_is_named_with_the_reason(refused: Node, message: str) -> None:
    nodes = (node("Flatten", "flat", "x"), refused, node("Relu", "behind", refused.outputs[-1]))
    arrays = {"w": weights(5, 4, 1, 1), "used": weights(1)}
    more = (node("Add", "uses", "x", "used"), node("Conv", "also", "x", "w", group=3))
    with pytest.raises(UnsupportedError) as told:
        build(Graph("net", {"x": (3, 6, 5)}, ("behind", "flat", "uses", "also"), (*nodes, *more), arrays))
    text = str(told.value)
    assert text.startswith("net: nodes that cannot be built: t (")
    assert message in text
    assert "also (Conv): kernel (5, 4, 1, 1) in 3 group(s)" in text
    assert "behind" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "odd",
    [
        node("Softmax", "t", "x", axis=7),
        node("Softmax", "t", "x", axis=0),
        node("MaxPool", "t", "x", kernel_shape=(9, 9)),
        node("MaxPool", "t", "x", kernel_shape=(2, 2), strides=(0, 1)),
        node("MaxPool", "t", "x", kernel_shape=(2, 2), pads=(1 << 40, 0, 0, 0)),
        node("AveragePool", "t", "x", kernel_shape=(2, 2), pads=(-1, 0, 0, 0)),
        node("MaxPool", "t", "x"),
        node("Concat", "t", "x", "pool", axis=1),
        node("Mul", "t", "x", "wrong"),
    ],
)
def test_shapes_and_attributes_that_do_not_fit_are_one_line(odd: Node) -> None:
    nodes = (node("MaxPool", "pool", "x", kernel_shape=(2, 2)), odd)
    params = {"wrong": weights(4, 1, 1)} if odd.op == "Mul" else {}
    with pytest.raises(FormatError, match=r"^net: t \(") as told:
        build(Graph("net", {"x": (3, 6, 5)}, ("t", "pool"), nodes, params))
    assert "\n" not in str(told.value)


def test_normalising_channels_between_transpositions_moves_nothing() -> None:
    nodes = (
        node("Transpose", "last", "x", perm=(0, 2, 3, 1)),
        node("LayerNormalization", "norm", "last", "g", "b", axis=3, epsilon=1e-3),
        node("Transpose", "first", "norm", perm=(0, 3, 1, 2)),
    )
    model = model_of(*nodes, g=weights(3), b=weights(3))
    assert kinds(model) == {"LayerNormalization": 1}


def test_a_layer_normalisation_along_the_batch_is_refused() -> None:
    with pytest.raises(FormatError, match=r"norm \(LayerNormalization\).*along the batch"):
        model_of(node("LayerNormalization", "norm", "x", "g", axis=0), g=weights(2, 3, 6, 5))
