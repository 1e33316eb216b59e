"""Graphs of the form in which Google published networks: one that decodes JPEG files itself, and quantised ones."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import zoo
from zoo import formats, registry
from zoo.build import build
from zoo.cli import cli
from zoo.convert import read_card
from zoo.errors import UsageError
from zoo.formats import tensorflow
from zoo.formats.options import Options
from zoo.graph import Graph

GOLDEN = Path(__file__).parents[1] / "golden" / "tensorflow" / "published"
QUANTISED = ("mobilenet_v1_quant", "mobilenet_v3_quant")
LAST = ("unnamed-1007", "unnamed output 1007")
BORDER = 0.01
"""Most of a map's numbers that may lie on a rounding border, where the last bit of a sum decides between two steps."""


def unpacked(case: str, folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Writes a case's graph; returns it, and the values that TensorFlow gave by their names."""
    with np.load(GOLDEN / f"{case}.npz") as held:
        values = {key: held[key] for key in held.files}
    path = folder / "graph.pb"
    path.write_bytes(values.pop("file:graph.pb").tobytes())
    return path, values


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    made: Any = build(graph)(x, training=False)
    return np.asarray(made)


def near(actual: np.ndarray, wanted: np.ndarray) -> bool:
    return actual.shape == wanted.shape and bool(np.abs(actual - wanted).max() <= 1e-5 * np.abs(wanted).max())


# A graph that decodes and scales images


def scaled(values: dict[str, np.ndarray]) -> np.ndarray:
    return (values["ResizeBilinear"] - 128) / 128


def test_a_graph_that_decodes_images_begins_where_it_is_told(tmp_path: Path) -> None:
    path, values = unpacked("classify_image", tmp_path)
    graph = tensorflow.read(path, options=Options(input="Mul"))
    assert graph.inputs == {"Mul": (3, 43, 43)}  # the size is the one that the graph scales to
    assert graph.outputs == ("softmax",)
    assert near(run(graph, scaled(values)), values["softmax"])


def test_what_stands_before_the_beginning_is_told(tmp_path: Path) -> None:
    path, _ = unpacked("classify_image", tmp_path)
    unused = tensorflow.read(path, options=Options(input="Mul")).unused
    assert unused["DecodeJpeg/contents"] == "no array: stands before Mul, where reading begins"
    assert "scale_after_normalization" in unused["conv/batchnorm/gamma"]


@pytest.mark.parametrize("name", ["mixed/join", "pool_3/_reshape", "softmax/logits"])
def test_a_network_may_begin_and_end_anywhere(name: str, tmp_path: Path) -> None:
    path, values = unpacked("classify_image", tmp_path)
    assert near(run(tensorflow.read(path, options=Options(input="Mul:0", until=name)), scaled(values)), values[name])
    if name != "softmax/logits":
        assert near(run(tensorflow.read(path, options=Options(input=name)), values[name]), values["softmax"])


def test_without_a_beginning_the_scaling_stays_inside(tmp_path: Path) -> None:
    path, values = unpacked("classify_image", tmp_path)
    graph = tensorflow.read(path)
    assert list(graph.inputs) == ["ResizeBilinear"]
    assert near(run(graph, values["ResizeBilinear"]), values["softmax"])


def test_the_command_takes_beginning_and_end(tmp_path: Path) -> None:
    path, values = unpacked("classify_image", tmp_path)
    np.savez(tmp_path / "origin.npz", input=scaled(values), **{"pool_3/_reshape": values["pool_3/_reshape"]})
    words = [
        "convert",
        str(path),
        "-o",
        str(tmp_path / "features.keras"),
        "--input",
        "Mul",
        "--until",
        "pool_3/_reshape",
    ]
    result = CliRunner().invoke(cli, [*words, "--against", str(tmp_path / "origin.npz")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "features.keras").is_file()
    assert "not used: DecodeJpeg: no array: stands before Mul" in result.stderr


def test_the_card_of_2015_begins_behind_the_scaling_and_names_its_outputs(tmp_path: Path) -> None:
    path, values = unpacked("classify_image", tmp_path)
    card = zoo.info("inception-v3.google-2015")
    small = card.model_copy(update={"preprocessing": card.preprocessing.model_copy(update={"height": 43, "width": 43})})
    graph = read_card(small, {"graph": path}, sandbox=False)
    assert near(run(graph, scaled(values)), values["softmax"])
    assert (card.preprocessing.mean, card.preprocessing.std) == ((128, 128, 128), (128, 128, 128))
    names = registry.labels(card)
    assert names is not None
    assert (len(names), names[449], names[1007]) == (1008, ("n01440764", "tench"), LAST)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Mull", "has no node 'Mull'; the nearest names are: Mul"),
        ("Mul:1", "a network can begin at the first"),
        ("softmax/weights", "'softmax/weights' does not depend on an image"),
        ("DecodeJpeg", "nothing says the size of 'DecodeJpeg'; give input_shape="),
    ],
)
def test_an_impossible_beginning_is_refused(name: str, told: str, tmp_path: Path) -> None:
    path, _ = unpacked("classify_image", tmp_path)
    with pytest.raises(UsageError, match=r".*") as caught:
        tensorflow.read(path, options=Options(input=name))
    assert told in str(caught.value)


def test_only_tensorflows_graphs_begin_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "deploy.prototxt"
    path.write_text('name: "net"')
    with pytest.raises(UsageError, match=r"input= \(--input\) is for TensorFlow graphs, this is of format caffe"):
        formats.read_parts("caffe", [path, path], Options(input="data"))


# Quantised networks


def test_every_layer_of_a_quantised_network_gives_tensorflows_steps(tmp_path: Path) -> None:
    """Each from TensorFlow's own values before it, so that a step that fell the other way is not counted again."""
    path, values = unpacked("mobilenet_v1_quant", tmp_path)
    pairs = list(itertools.pairwise(values))
    assert len(pairs) == 11
    for before, name in pairs:
        graph = tensorflow.read(path, options=Options(input=before, until=name))
        equal_but_for_borders(run(graph, values[before]), values[name], last=name == pairs[-1][1])


@pytest.mark.parametrize("case", QUANTISED)
def test_a_quantised_network_gives_tensorflows_answer(case: str, tmp_path: Path) -> None:
    """Within 1e-4; or the first value that differs does so by single steps, at numbers on a rounding border."""
    path, values = unpacked(case, tmp_path)
    answer = list(values)[-1]
    if np.abs(run(tensorflow.read(path), values["input"]) - values[answer]).max() <= 1e-4:
        return
    for name in list(values)[1:-1]:
        actual = run(tensorflow.read(path, options=Options(until=name)), values["input"])
        equal_but_for_borders(actual, values[name])
        if not near(actual, values[name]):
            return
    raise AssertionError(f"{case}: all layers agree, the answer does not")


def equal_but_for_borders(actual: np.ndarray, wanted: np.ndarray, *, last: bool = False) -> None:
    assert actual.shape == wanted.shape
    if last:
        assert np.abs(actual - wanted).max() <= 1e-5
        return
    step = (wanted.max() - wanted.min()) / 255  # the range is that of these very values
    off = np.abs(actual - wanted)
    assert off.max() <= 1.01 * step
    assert (off > 0.01 * step).mean() <= BORDER
