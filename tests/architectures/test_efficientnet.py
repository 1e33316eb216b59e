"""EfficientNet-Lite's Graphs have the publishers' names and shapes, and give the publishers' numbers."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from zoo import architectures
from zoo.errors import FormatError, UsageError
from zoo.graph import Graph

GOLDEN = Path(__file__).parents[1] / "golden" / "efficientnet"
CASES = json.loads((GOLDEN / "golden.json").read_text())
IGNORED = {"num_batches_tracked": "counts training steps; inference does not use it"}
LITE0 = "efficientnet-lite0"


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The weights and the input that the publishers' code was run with."""
    spec = importlib.util.spec_from_file_location("efficientnet_weights", GOLDEN / "weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    return {name: tuple(param.shape) for name, param in graph.params.items()}


def zeros(graph: Graph) -> dict[str, np.ndarray]:
    return {name: np.zeros(shape, np.float32) for name, shape in shapes(graph).items()}


# --------------------------------------------------------------------------------------------- as the publisher has it


@pytest.mark.parametrize("case", CASES)
def test_tensors_have_the_publishers_names_and_shapes(case: str) -> None:
    dialect, variant = case.split("/")
    found = {name: list(shape) for name, shape in shapes(architectures.build(variant, dialect, classes=10)).items()}
    assert len(found) == CASES[case]["tensors"]
    assert hashlib.sha256(json.dumps(sorted(found.items())).encode()).hexdigest() == CASES[case]["digest"]


@pytest.mark.parametrize("case", [case for case in CASES if "output" in CASES[case]])
def test_outputs_are_the_publishers(case: str, made: ModuleType) -> None:
    from zoo.build import build

    dialect, variant = case.split("/")
    graph = architectures.build(variant, dialect, classes=10)
    model = build(graph.bind(made.weights(shapes(graph)), where="weights.py"))
    expected = np.array(CASES[case]["output"])
    actual = np.asarray(model(made.image(graph.inputs["image"][1])))[0]
    assert np.abs(actual - expected).max() <= 1e-4 * np.abs(expected).max()


def test_two_dialects_of_the_same_names_give_different_numbers(made: ModuleType) -> None:
    from zoo.build import build

    graphs = [architectures.build(LITE0, dialect, classes=10) for dialect in ("timm", "timm-symmetric")]
    assert shapes(graphs[0]) == shapes(graphs[1])
    arrays, image = made.weights(shapes(graphs[0])), made.image(224)
    first, second = (np.asarray(build(graph.bind(arrays, where="x"))(image)) for graph in graphs)
    assert np.abs(first - second).max() > 1e-2 * np.abs(first).max()


# ----------------------------------------------------------------------------------------------------------- the Graph


def test_every_variant_in_every_dialect_is_well_formed() -> None:
    for variant in architectures.variants():
        for dialect in architectures.dialects(variant):
            graph = architectures.build(variant, dialect)
            assert graph.check() is graph
            assert graph.name == variant
            assert graph.nodes[-1].op == "Gemm"
            assert graph.nodes[-2].op == "Dropout"


def test_the_table_of_families_names_what_the_modules_hold() -> None:
    listed = []
    for module in architectures._FAMILIES:
        listed += importlib.import_module(f"zoo.architectures.{module}").VARIANTS
    assert listed == architectures.variants()


def test_parameters_are_counted_as_the_paper_counts_them() -> None:
    graph = architectures.build(LITE0, "lukemelas")
    trained = [np.prod(shape) for name, shape in shapes(graph).items() if not name.split(".")[-1].startswith("running")]
    assert sum(trained) == 4_652_008


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        (
            "lukemelas",
            ["_conv_stem", "_bn0", "_bn0.relu6", "_blocks.1._expand_conv", "_blocks.2.add", "_dropout", "_fc"],
        ),
        ("timm", ["conv_stem", "bn1", "bn1.act", "blocks.1.0.conv_pwl", "blocks.1.1.add", "drop", "classifier"]),
    ],
)
def test_nodes_carry_the_publishers_module_names(dialect: str, names: list[str]) -> None:
    nodes = [node.name for node in architectures.build(LITE0, dialect).nodes]
    assert [name for name in nodes if name in names] == names


def test_the_publishers_dropout_is_kept_for_fine_tuning() -> None:
    rates = [architectures.build(f"efficientnet-lite{i}", "timm").nodes[-2].attrs["ratio"] for i in range(5)]
    assert rates == [0.2, 0.2, 0.3, 0.3, 0.3]


# -------------------------------------------------------------------------------------------------------------- errors


def test_an_unknown_variant_offers_the_nearest_and_all() -> None:
    with pytest.raises(UsageError, match=r"did you mean efficientnet-lite0\?.*efficientnet-lite4"):
        architectures.build("efficientnet_lite0", "timm")
    with pytest.raises(UsageError, match="there are: efficientnet-lite0"):
        architectures.build("squeezenet", "timm")


def test_an_unknown_dialect_offers_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no dialect 'lukemela'; did you mean lukemelas\?.*timm"):
        architectures.build(LITE0, "lukemela")
    with pytest.raises(UsageError, match="classes=0"):
        architectures.build(LITE0, "timm", classes=0)


def test_another_variants_weights_are_refused() -> None:
    graph = architectures.build(LITE0, "lukemelas")
    larger = zeros(architectures.build("efficientnet-lite2", "lukemelas"))
    with pytest.raises(FormatError, match=r"lite2.pth: .*left over: _blocks.*and \d+ more"):
        graph.bind(larger, where="lite2.pth")


def test_a_transposed_or_missing_or_additional_tensor_is_refused() -> None:
    graph = architectures.build(LITE0, "lukemelas")
    arrays = zeros(graph)
    with pytest.raises(FormatError, match=r"_fc\.weight has shape"):
        graph.bind({**arrays, "_fc.weight": arrays["_fc.weight"].T}, where="x.pth")
    with pytest.raises(FormatError, match=r"left over: extra\.weight"):
        graph.bind({**arrays, "extra.weight": np.zeros(1)}, where="x.pth")
    del arrays["_bn0.running_var"]
    with pytest.raises(FormatError, match=r"missing: _bn0\.running_var"):
        graph.bind(arrays, where="x.pth")


# ------------------------------------------------------------------------------------- arrays that come without a card


def test_dialect_and_classes_are_read_off_the_arrays() -> None:
    arrays = zeros(architectures.build(LITE0, "lukemelas", classes=7))
    arrays["_bn0.num_batches_tracked"] = np.array(3)
    graph = architectures.fit(LITE0, arrays, where="mine.pth", ignore=IGNORED)
    assert graph.params["_fc.weight"].shape == (7, 1280)
    assert graph.unused == {"_bn0.num_batches_tracked": IGNORED["num_batches_tracked"]}


def test_names_that_two_publishers_share_need_a_word() -> None:
    arrays = zeros(architectures.build(LITE0, "timm"))
    with pytest.raises(UsageError, match=f"{LITE0}/timm or {LITE0}/timm-symmetric"):
        architectures.fit(LITE0, arrays, where="mine.pth")
    graph = architectures.fit(f"{LITE0}/timm-symmetric", arrays, where="mine.pth")
    assert {node.attrs["epsilon"] for node in graph.nodes if node.op == "BatchNormalization"} == {1e-5}


def test_arrays_of_no_dialect_are_compared_with_the_nearest() -> None:
    arrays = zeros(architectures.build(LITE0, "lukemelas"))
    del arrays["_conv_head.weight"]
    with pytest.raises(FormatError, match=r"mine.pth: .*missing: _conv_head.weight; left over: none"):
        architectures.fit(LITE0, arrays, where="mine.pth")
    with pytest.raises(UsageError, match="no dialect 'tim'"):
        architectures.fit(f"{LITE0}/tim", arrays, where="mine.pth")


def test_listing_variants_imports_no_family_and_no_numpy() -> None:
    code = "import sys; from zoo import architectures as a; a.variants(); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
