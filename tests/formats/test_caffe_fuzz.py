"""Anything at all gives a Graph or a ZooError."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from caffe_nets import (
    GOLDEN,
    HEAD,
    TRAIN,
    layer,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.formats import caffe
from zoo.formats.caffe import schema
from zoo.formats.caffe.ops import OPS
from zoo.formats.caffe.translate import BOTTOMS
from zoo.formats.options import Options

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


def assert_only_zoo_errors(
    graph: Path,
    weights: Path | None = None,
    options: Options = Options(),  # noqa: B008 - frozen
) -> None:
    told = ""
    try:
        caffe.read(graph, weights, options=options)
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


PARAM_OF = {
    "ArgMax": "argmax", "BN": "bn", "BatchNorm": "batch_norm", "Bias": "bias", "Clip": "clip", "Concat": "concat",
    "Convolution": "convolution", "ConvolutionDepthwise": "convolution", "Crop": "crop", "Deconvolution": "convolution",
    "Dropout": "dropout", "ELU": "elu", "Eltwise": "eltwise", "Exp": "exp", "Flatten": "flatten", "Interp": "interp",
    "HardSigmoid": "hardsigmoid", "InnerProduct": "inner_product", "LRN": "lrn", "Log": "log", "MVN": "mvn",
    "Normalize": "norm", "PReLU": "prelu", "Permute": "permute", "Pooling": "pooling", "Power": "power", "ReLU": "relu",
    "ReLU6": "relu6", "Reduction": "reduction", "Reshape": "reshape", "SPP": "spp", "Scale": "scale", "Slice": "slice",
    "ShuffleChannel": "shuffle_channel", "Softmax": "softmax", "Swish": "swish", "Threshold": "threshold",
    "Tile": "tile", "Upsample": "upsample",
}  # fmt: skip
LAYER = schema.messages("fuzz", schema.TEXT)["Layer"].DESCRIPTOR
WHOLE = [*"1112233", "0", "7", "255", "2147483647", "4294967295", "-1", "-2", "-5"]
BROKEN = ["0", "1", "-1", "0.5", "2", "1e30", "-1e-30", "nan", "inf", "-inf"]


@st.composite
def parameters(draw: Any, kind: str) -> str:
    """Text of a layer's parameters, each field of its message perhaps there, perhaps several times."""
    name = f"{PARAM_OF[kind]}_param" if kind in PARAM_OF else ""
    if not name:
        return ""
    fields = LAYER.fields_by_name[name].message_type.fields
    pieces = []
    for field in draw(st.lists(st.sampled_from(list(fields)), max_size=3)):
        if field.type == field.TYPE_MESSAGE:
            pieces.append(
                f"{field.name} {{ dim: {' dim: '.join(draw(st.lists(st.sampled_from(WHOLE), min_size=1)))} }}"
            )
            continue
        if field.type == field.TYPE_ENUM:
            values = st.sampled_from([value.name for value in field.enum_type.values])
        elif field.type == field.TYPE_BOOL:
            values = st.sampled_from(["true", "false"])
        else:
            values = st.sampled_from(BROKEN if field.type == field.TYPE_FLOAT else WHOLE)
        pieces.append(f"{field.name}: {draw(values)}")
    return f"{name} {{ {' '.join(pieces)} }}"


@st.composite
def networks(draw: Any) -> str:
    """Layers of any type that read any of the values before them."""
    text, made = HEAD, ["data"]
    for i in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(sorted(OPS)))
        least, most = BOTTOMS.get(kind, (1, 1))
        count = draw(st.integers(least, min(most, 3)) | st.integers(1, 3))
        bottoms = draw(st.lists(st.sampled_from(made), min_size=count, max_size=count))
        more = st.lists(st.sampled_from([f"y{i}", *bottoms]), max_size=1)
        tops = [f"x{i}", *(draw(more) if kind in ("Pooling", "Slice", "Split", "Convolution") else ())]
        between = '" bottom: "'.join(bottoms)
        text += layer(kind, draw(parameters(kind)), name=f"x{i}", bottom=between).replace(
            f'top: "x{i}"', " ".join(f'top: "{top}"' for top in tops)
        )
        made += tops
    return text


@FUZZ
@given(networks(), st.none() | st.sampled_from(["x0", "y1", "x2", "data"]))
def test_any_network_gives_a_graph_or_a_zoo_error(tmp_path: Path, text: str, until: str | None) -> None:
    (tmp_path / "net.prototxt").write_text(text)
    assert_only_zoo_errors(tmp_path / "net.prototxt", options=Options(until=until))


def test_every_layer_type_is_in_the_table_of_parameters_or_has_none() -> None:
    without = {"AbsVal", "Axpy", "BNLL", "DepthwiseConvolution", "HSigmoid", "HSwish", "HardSwish", "Mish", "Sigmoid"}
    assert set(OPS) - set(PARAM_OF) == without | {"Split", "TanH"}


@FUZZ
@given(CUTS)
def test_mutated_weights_give_a_graph_or_a_zoo_error(tmp_path: Path, cuts: list[tuple[float, int, bytes]]) -> None:
    folder = GOLDEN / "v1_input_dim"
    (tmp_path / "net.caffemodel").write_bytes(mutated((folder / "weights.caffemodel").read_bytes(), cuts))
    assert_only_zoo_errors(folder / "deploy.prototxt", tmp_path / "net.caffemodel")
