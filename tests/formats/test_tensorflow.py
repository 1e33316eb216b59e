"""TensorFlow's graphs are read as they run when they serve; damaged and hostile ones give one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.build import build
from zoo.formats import tensorflow
from zoo.formats.options import Options
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
