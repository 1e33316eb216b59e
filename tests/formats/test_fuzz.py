"""Bad model files fail cleanly: a short part of tests/fuzz/run.py, what its long runs found, and who tests what.

`KINDS` lists the kinds of bad input that model files come in, and the tests that hold each one.
"""

from __future__ import annotations

import ast
import re
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from zoo.errors import FormatError
from zoo.finished import FACTS, FACTS_LIMIT, facts
from zoo.formats import pytorch
from zoo.graph import Graph, Node, Param

TESTS = Path(__file__).parents[1]
FUZZ = TESTS / "fuzz" / "run.py"

KINDS = {
    "a pickle that runs os.system": ["test_code_in_a_file_is_named_and_never_run"],
    "a pickle with chains of getattr": ["test_nothing_can_be_called"],
    "a pickle with STACK_GLOBAL from the memo": ["test_a_name_hidden_in_the_memo_is_still_seen"],
    "a pickle bomb": ["test_bombs_end_soon_and_small"],
    "a legacy tar .pth": ["test_what_is_no_state_dict_is_told_apart"],
    "a storage shorter than its tensor, negative or overlapping strides, overflow": [
        "test_a_tensor_reaches_nothing_but_its_own_storage",
        "test_members_laid_over_each_other_are_refused",
    ],
    "TorchScript instead of a state dict": ["test_sound_files_that_zoo_cannot_use_say_why"],
    "arrays of objects (.npy, .npz)": [
        "test_numpy_files_without_arrays_are_no_models",
        "test_nothing_in_zoo_loads_what_can_run_code",
        "test_code_in_the_pickle_is_named_and_never_run",
        "test_a_list_held_a_thousand_times_does_not_multiply",
    ],
    "HDF5: external link, soft link": ["test_links_are_refused_at_any_part_of_a_path"],
    "HDF5: virtual dataset": ["test_a_virtual_dataset_is_refused_before_its_sources_are_opened"],
    "HDF5: external storage": ["test_external_storage_is_refused"],
    "HDF5: cycle": ["test_an_object_is_reached_once"],
    "HDF5: shape bomb": [
        "test_a_shape_without_numbers_is_refused",
        "test_deflated_zeros_beyond_the_ratio_are_refused",
        "test_a_huge_chunk_around_a_small_shape_is_refused",
        "test_a_chunk_inflates_to_its_size_or_not_at_all",
        "test_many_names_that_are_one_long_text_are_refused",
    ],
    "HDF5: deep nesting": ["test_deep_nesting_is_refused"],
    ".keras with Lambda, foreign module, TFSMLayer": ["test_a_keras_file_that_brings_code_is_refused"],
    "Keras's description with Lambda, foreign module, TFSMLayer": ["test_layers_with_code_are_refused_together"],
    "Keras's description: cycle, huge numbers, deep nesting": [
        "test_damaged_descriptions_say_what_is_wrong",
        "test_models_inside_models_have_an_end",
    ],
    ".keras whose members are bombs": ["test_archives_are_bounded"],
    "Keras's weights: missing or foreign layers": ["test_missing_and_foreign_weights_are_named"],
    ".keras whose zoo.json is a bomb": ["test_facts_that_inflate_without_end_are_refused"],
    "caffemodel: generations mixed": ["test_layer_and_layers_in_one_file_count_in_document_order"],
    "caffemodel: data and double_data": ["test_numbers_may_come_one_by_one_and_in_double_precision"],
    "caffemodel: num, channels, height, width": ["test_a_network_gives_the_numbers_of_caffe"],
    "caffemodel: 2 GiB": ["test_a_file_beyond_protobufs_limit_is_refused_unread"],
    "caffemodel: unknown layer": ["test_all_unknown_layers_are_named_at_once"],
    "prototxt: huge repeat counts, cyclic bottoms": [
        "test_a_bad_network_gives_one_line_that_says_where",
        "test_a_huge_layer_allocates_nothing",
        "test_a_text_too_large_for_a_network_is_refused_unread",
    ],
    ".params: wrong mark, sparse or int8 arrays, names without arg: and aux:": [
        "test_bad_params_give_one_line_that_says_where",
        "test_sparse_arrays_are_refused",
        "test_all_types_of_numbers",
        "test_arrays_are_views_under_their_bare_names_and_left_overs_are_told",
    ],
    "SavedModel: py_function": ["test_what_cannot_be_expressed_is_named"],
    "safetensors: header over the limit, overlaps, holes": ["test_a_damaged_header_is_refused_in_one_line"],
    "NaN, infinity or nothing but zeros": ["test_weights_that_no_training_leaves_are_refused"],
    "a tensor missing or unused": [
        "test_a_transposed_or_missing_or_additional_tensor_is_refused",
        "test_weights_of_another_network_are_refused",
        "test_what_the_network_does_not_use_is_named_with_the_reason",
    ],
    "as many tensors, permuted": ["test_tensors_are_found_by_name_whatever_their_order"],
    "another variant's weights": ["test_a_file_of_another_variant_is_refused_with_the_tensors_that_differ"],
    "equal shapes, other meaning": ["test_a_card_with_wrong_preprocessing_does_not_pass_the_check"],
}


def test_every_kind_of_bad_input_has_its_tests() -> None:
    defined = {
        name for path in TESTS.rglob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    assert {name for names in KINDS.values() for name in names} - defined == set()


def test_damaged_files_of_every_kind_give_a_model_or_one_clear_line(python: str, tmp_path: Path) -> None:
    """200 cases of each reader, always the same, in child processes with limits on memory and time."""
    answer = subprocess.run(
        [python, str(FUZZ), "--cases", "200", "--kept", str(tmp_path / "kept")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout
    assert answer.stdout.count("200 cases, 0 findings") == len(answer.stdout.splitlines()) >= 8


def test_what_long_runs_found_stays_fixed(python: str) -> None:
    answer = subprocess.run([python, str(FUZZ), "--replay"], capture_output=True, text=True, timeout=300, check=False)
    assert answer.returncode == 0, answer.stdout.splitlines()[-1] + answer.stderr[-2000:]
    assert len(answer.stdout.splitlines()) == len(list((FUZZ.parent / "corpus").iterdir())) > 0


def test_numpy_files_without_arrays_are_no_models(tmp_path: Path) -> None:
    from zoo import formats

    objects = np.array([{"w": 1}], dtype=object)
    np.save(tmp_path / "w.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "w.npz", w=objects)
    for name in ("w.npy", "w.npz"):
        with pytest.raises(FormatError, match=name):
            formats.read(tmp_path / name)


def test_nothing_in_zoo_loads_what_can_run_code() -> None:
    modules = {"pickle", "cPickle", "dill", "marshal", "shelve", "joblib", "yaml", "torch"}
    calls = {"eval", "exec", "np.load", "numpy.load", "os.system", "keras.config.enable_unsafe_deserialization"}
    options = {"allow_pickle": True, "safe_mode": False, "shell": True}
    found, sources = [], sorted((TESTS.parent / "zoo").rglob("*.py"))
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name.split(".")[0] in modules]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module] if (node.module or "").split(".")[0] in modules else []
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                names = [called] if called in calls or called.endswith((".extractall", ".unsafe_load")) else []
                if called == "np.load" and any(ast.unparse(k) == "allow_pickle=False" for k in node.keywords):
                    names = []  # arrays of numbers alone
                for keyword in node.keywords:
                    if keyword.arg in options and ast.unparse(keyword.value) != str(not options[keyword.arg]):
                        names.append(f"{called}({keyword.arg}=...)")
            found += [f"{path.name}:{node.lineno}: {name}" for name in names if hasattr(node, "lineno")]
    assert len(sources) > 20
    assert found == []


def test_facts_that_inflate_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(FACTS, b" " * (4 * FACTS_LIMIT))
    with pytest.raises(FormatError, match="more than 16777216 bytes"):
        facts(path)


@pytest.mark.parametrize("kind", ["lambda", "foreign", "tfsm"])
def test_a_keras_file_that_brings_code_is_refused(tmp_path: Path, kind: str) -> None:
    import json

    import keras

    import zoo

    trap = tmp_path / "executed"
    config = {
        "lambda": {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {"name": "x", "function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}},
        },
        "foreign": {"module": "os", "class_name": "system", "config": {"command": f"touch {trap}"}},
        "tfsm": {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": str(tmp_path)}},
    }[kind]
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]).save(tmp_path / "sound.keras")
    with (
        zipfile.ZipFile(tmp_path / "sound.keras") as sound,
        zipfile.ZipFile(tmp_path / "evil.keras", "w") as evil,
    ):
        for name in sound.namelist():
            raw = sound.read(name)
            if name == "config.json":
                whole = json.loads(raw)
                whole["config"]["layers"].append({**config, "registered_name": None})
                raw = json.dumps(whole).encode()
            evil.writestr(name, raw)
    with pytest.raises(FormatError, match=r"evil\.keras: Keras cannot load it"):
        zoo.predict(tmp_path / "evil.keras", np.zeros((8, 8, 3), np.uint8))
    assert not trap.exists()


def test_tensors_are_found_by_name_whatever_their_order() -> None:
    node = Node("Gemm", "fc", ("x", "fc.weight", "fc.bias"), ("fc",))
    graph = Graph("g", {"x": (3,)}, ("fc",), (node,), {"fc.weight": Param((2, 3)), "fc.bias": Param((2,))})
    arrays = {"fc.bias": np.ones(2, np.float32), "fc.weight": np.ones((2, 3), np.float32)}
    assert graph.bind(arrays, where="f").params["fc.bias"] is arrays["fc.bias"]
    with pytest.raises(FormatError, match=r"f: fc.weight has shape \(2,\), g needs \(2, 3\)"):
        graph.bind({"fc.weight": arrays["fc.bias"], "fc.bias": arrays["fc.weight"]}, where="f")


def test_empty_tensors_are_read_only_like_all_others() -> None:
    folder = TESTS / "golden" / "pytorch"
    arrays = [array for path in folder.glob("[!r]*.pth") for array in pytorch.read(path).values()]
    assert any(array.size == 0 for array in arrays)
    assert not any(array.flags.writeable for array in arrays)
