"""Every network in every dialect has the publisher's tensors, and gives the publisher's numbers.

The golden files, and how they were made, are in tests/golden/architectures. Here numbers of the quick cases are
compared; `make check-architectures` (`--all-architectures`) compares them all.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from zoo import architectures
from zoo.graph import Graph, Param

GOLDEN = Path(__file__).parents[1] / "golden" / "architectures"
CASES: dict[str, dict[str, Any]] = {
    f"{path.stem}:{name}": case
    for path in sorted(GOLDEN.glob("*.json"))
    for name, case in json.loads(path.read_text()).items()
}


def _load_generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", GOLDEN / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generated = _load_generated()


def graph_of(case: str) -> Graph:
    dialect, variant = case.partition(":")[2].split("/")
    return architectures.build(variant, dialect, classes=generated.CLASSES, size=CASES[case].get("size"))


def shapes_in_file(graph: Graph) -> dict[str, tuple[int, ...]]:
    shapes = {name: param.shape_in_file for name, param in graph.params.items() if isinstance(param, Param)}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "named" in metafunc.fixturenames:  # keras.applications takes seconds to build its larger networks
        every = metafunc.config.getoption("--all-architectures")
        metafunc.parametrize("named", [n for n, case in CASES.items() if every or not case.get("slow")])
    if "answering" in metafunc.fixturenames:
        every = metafunc.config.getoption("--all-architectures")
        metafunc.parametrize(
            "answering", [n for n, case in CASES.items() if "output" in case and (every or case.get("quick"))]
        )


def test_tensors_have_the_publishers_names_and_shapes(named: str) -> None:
    assert generated.digest(shapes_in_file(graph_of(named))).items() <= CASES[named].items()


def test_outputs_are_the_publishers(answering: str) -> None:
    import keras

    from zoo.build import build

    case, graph = CASES[answering], graph_of(answering)
    arrays = generated.arrays(shapes_in_file(graph), case["gain"], case.get("damped"))
    model = build(graph.bind(arrays, where="generated.py"))
    image = generated.image(case["size"], raw=case.get("raw", False)) * case.get("scale", 1)
    expected = np.array(case["output"])
    actual = np.asarray(model(image), np.float64).reshape(-1)
    keras.backend.clear_session()
    assert np.abs(actual - expected).max() <= 1e-4 * np.abs(expected).max()


def test_every_dialect_of_every_variant_has_a_golden_case() -> None:
    cases = {case.partition(":")[2] for case in CASES}
    lacking = {f"{d}/{v}" for v in architectures.variants() for d in architectures.dialects(v)} - cases
    assert not lacking, sorted(lacking)[:20]


def test_timm_names_lead_to_variants_of_that_dialect() -> None:
    for family in architectures._modules():
        for variant, dialect in getattr(family, "TIMM", {}).values():
            assert variant in family.PUBLISHED[dialect]


def test_generated_weights_are_those_the_makers_used() -> None:
    """A change to generated.py's numbers would make every golden output worthless."""
    made = generated.arrays({"a.weight": (8, 3, 3, 3), "a/weights": (3, 3, 3, 8), "b.running_var": (5,)}, 0.6)
    assert [float(f"{value.sum():.5g}") for value in made.values()] == pytest.approx(SUMS, rel=1e-4)


SUMS = [1.9393, -0.18243, 1.9094]
