"""Shapes are inferred as ONNX Runtime finds them when it runs (tests/golden/shapes/make.py); the impossible is told."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.graph import Graph, Node, Param
from zoo.shapes import BATCH, LIMIT, RULES, infer, infer_all

CASES = json.loads((Path(__file__).parent / "golden" / "shapes" / "cases.json").read_text())
MAP = (BATCH, 6, 5, 5)


def shape_of(op: str, attrs: dict[str, Any], *shapes: tuple[int, ...] | None, outputs: int = 1) -> Any:
    names = tuple(f"y{i}" for i in range(outputs))
    found = infer(Node(op, "n", tuple(f"x{i}" for i in range(len(shapes))), names, attrs), shapes)
    return found[0] if outputs == 1 else found


@pytest.mark.parametrize("op", sorted({case[0] for case in CASES}))
def test_an_op_gives_the_shapes_that_onnx_runtime_gives(op: str) -> None:
    for _, attrs, shapes, expected in (case for case in CASES if case[0] == op):
        found = shape_of(op, attrs, *map(tuple, shapes), outputs=len(expected))
        found = found if len(expected) > 1 else [found]
        assert [list(shape) for shape in found] == expected, (attrs, shapes)


def test_there_are_cases_for_the_ops_with_a_rule_of_their_own() -> None:
    counts = Counter(case[0] for case in CASES)
    assert sum(counts.values()) >= 450
    assert len(counts) >= 35


@pytest.mark.parametrize(
    ("op", "attrs", "shapes", "told"),
    [
        ("Conv", {}, [MAP, (4, 6, 7, 7)], "kernel 7x7 larger than input 5x5"),
        ("Conv", {}, [MAP, (4, 3, 1, 1)], "kernel 4x3x1x1 in 1 group(s) does not fit 6 input channels"),
        ("Conv", {}, [MAP, (4, 6, 1)], "expected a kernel of 4 axes, got 4x6x1"),
        ("Conv", {"strides": [0, 1]}, [MAP, (4, 6, 1, 1)], "has strides [0, 1]"),
        ("Conv", {"pads": [1 << 50, 0, 0, 0]}, [MAP, (4, 6, 1, 1)], "has pads"),
        ("Conv", {"auto_pad": "SAME_BOTH"}, [MAP, (4, 6, 1, 1)], "which a Graph does not know"),
        ("MaxPool", {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]}, [MAP], "holds whole windows"),
        ("MaxPool", {}, [MAP], "lacks kernel_shape"),
        ("Gemm", {}, [(BATCH, 6), (5, 2)], "takes 5 numbers, its input has 6"),
        ("Gemm", {"transA": 1}, [(BATCH, 6), (6, 2)], "transA"),
        ("Add", {}, [MAP, (4, 1, 1)], "Nx6x5x5, 4x1x1 do not go together"),
        ("Concat", {"axis": 1}, [MAP, (BATCH, 1, 4, 4)], "cannot join Nx6x5x5, Nx1x4x4"),
        ("Concat", {"axis": 0}, [MAP, MAP], "the batch"),
        ("LayerNormalization", {"axis": 0}, [MAP, (5,)], "acts on axis 0, the batch"),
        ("LayerNormalization", {"axis": 2}, [MAP, (6, 5, 5)], "array of shape 6x5x5 does not fit axes 5x5"),
        ("GroupNormalization", {"num_groups": 4}, [MAP, (6,), (6,)], "splits 6 channels into 4 groups"),
        ("Reshape", {"shape": [0, 7, -1]}, [MAP], "the sizes do not agree"),
        ("Reshape", {"shape": [1, 150]}, [MAP], "expected 0, the batch"),
        ("Transpose", {"perm": [1, 0, 2, 3]}, [MAP], "moves the batch"),
        ("Flatten", {"axis": 2}, [MAP], "mixes the batch"),
        ("Slice", {"starts": [0], "ends": [1], "axes": [0]}, [MAP], "slices the batch"),
        ("Slice", {"starts": [3], "ends": [3], "axes": [1]}, [MAP], "empty output Nx0x5x5"),
        ("Tile", {"repeats": [1, 1 << 30, 1 << 30, 1]}, [MAP], "impossible output"),
        ("Tile", {"repeats": [1, 1 << 50, 1, 1]}, [MAP], "has repeats"),
        ("ReduceMean", {}, [MAP], "reduces all axes"),
        ("Squeeze", {"axes": [1]}, [MAP], "cannot squeeze axes [1] of Nx6x5x5"),
        ("Split", {"axis": 1, "split": [5]}, [MAP], "splits axis 1"),
        ("Softmax", {"axis": 4}, [MAP], "axis 4 does not exist in 4 axes"),
        ("Relu", {}, [], "lacks its input 0"),
        ("RoiPool", {}, [MAP], "has no shape rule"),
    ],
)
def test_what_cannot_be_is_told(op: str, attrs: dict[str, Any], shapes: Any, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        shape_of(op, attrs, *shapes)


def test_a_value_without_positions_meets_a_map_channel_by_channel() -> None:
    assert shape_of("Mul", {}, (BATCH, 6), MAP) == MAP
    assert shape_of("Add", {}, MAP, (5,)) == MAP  # a stored array is aligned at the end, as ONNX has it


def test_all_shapes_of_a_graph_are_found_and_the_node_that_cannot_be_is_named() -> None:
    nodes = (
        Node("Conv", "conv", ("x", "w", ""), ("conv",)),
        Node("Split", "split", ("conv",), ("a", "b"), {"axis": 1, "split": [1, 3]}),
        Node("Flatten", "flat", ("b",), ("flat",)),
    )
    graph = Graph("g", {"x": (3, 5, 5)}, ("a", "flat"), nodes, {"w": Param((4, 3, 3, 3))})
    shapes = infer_all(graph)
    assert shapes == {
        "x": (-1, 3, 5, 5),
        "conv": (-1, 4, 3, 3),
        "a": (-1, 1, 3, 3),
        "b": (-1, 3, 3, 3),
        "flat": (-1, 27),
    }
    with pytest.raises(ValueError, match=r"conv \(Conv\): kernel 3x3 larger than input 2x5"):
        infer_all(Graph("g", {"x": (3, 2, 5)}, ("flat",), nodes, {"w": np.zeros((4, 3, 3, 3))}))


NUMBERS = st.one_of(st.integers(-5, 9), st.sampled_from([2**31, 2**63 - 1, -(2**63), LIMIT]))
ATTRS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ["kernel_shape", "strides", "pads", "dilations", "axes", "starts", "ends", "steps", "shape", "split"],
            st.lists(NUMBERS, max_size=8),
        ),
        **dict.fromkeys(["perm", "repeats", "sizes", "output_padding"], st.lists(NUMBERS, max_size=4)),
        **dict.fromkeys(["axis", "group", "blocksize", "ceil_mode", "keepdims", "transB"], NUMBERS),
        "scales": st.lists(st.floats(), max_size=4),
        "auto_pad": st.sampled_from(["SAME_UPPER", "VALID", "other", 3]),
    },
)
SHAPES = st.lists(st.none() | st.lists(NUMBERS.filter(lambda n: n > 0), max_size=5).map(tuple), max_size=4)


@given(st.sampled_from(sorted(RULES)), ATTRS, st.lists(NUMBERS.filter(lambda n: n > 0), max_size=4), SHAPES)
@settings(max_examples=600, deadline=None)
def test_whatever_the_attributes_only_a_value_error_comes_out(op: str, attrs: Any, first: Any, rest: Any) -> None:
    try:
        found = shape_of(op, attrs, (BATCH, *first), *rest)
    except ValueError:
        return
    assert all(n > 0 for n in found[1:])
