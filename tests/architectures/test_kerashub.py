"""KerasHub's presets: two files whose arrays are told by where Keras puts them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_published import CASES, generated, graph_of, shapes_in_file

import zoo
from zoo import architectures
from zoo.architectures import kerashub_tables
from zoo.errors import FormatError, UsageError
from zoo.graph import Param

SMALL = "mobilenetv3-small-050"


def stored(case: str) -> dict[str, tuple[int, ...]]:
    """Path in the files -> shape."""
    graph = graph_of(case)
    params = {path: graph.params.get(name) for path, name in graph.renamed.items()}
    return {path: param.shape_in_file for path, param in params.items() if isinstance(param, Param)}


@pytest.mark.parametrize("variant", ["resnet18", "resnet-vd-18", "vgg11", "efficientnetv2-rw-t", SMALL, "hgnetv2-b4"])
def test_arrays_lie_where_kerashub_writes_them(variant: str) -> None:
    case = f"kerashub:kerashub/{variant}"
    paths = sorted((path, list(shape)) for path, shape in stored(case).items())
    assert hashlib.sha256(json.dumps(paths).encode()).hexdigest() == CASES[case]["file"]


def write(folder: Path, *, classes: int = 10) -> tuple[Path, Path]:
    """Writes a small preset's two files as KerasHub names what is in them."""
    graph = architectures.build(SMALL, "kerashub", classes=classes, size=96)
    arrays = generated.arrays(shapes_in_file(graph), CASES[f"kerashub:kerashub/{SMALL}"]["gain"])
    places = {name: path for path, name in graph.renamed.items()}
    files = (folder / "model.weights.h5", folder / "task.weights.h5")
    for path, begin in zip(files, ("layers/", "1/layers/"), strict=True):
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                if places[name].startswith(begin):
                    file[places[name].removeprefix("1/")] = array
    return files


def test_a_preset_is_read_from_its_two_files(tmp_path: Path) -> None:
    weights, task = write(tmp_path)
    model = zoo.convert([task, weights], architecture=f"{SMALL}/kerashub", preprocessing=None)
    assert model.output_shape == (None, 10)
    features = zoo.convert(weights, architecture=f"{SMALL}/kerashub", preprocessing=None)  # the backbone's file alone
    assert features.output_shape == (None, 1, 1, 288)
    with h5py.File(task, "a") as file:
        file["optimizer/vars/0"] = np.zeros(3, np.float32)  # a task is compiled as it is made
    assert zoo.convert([weights, task], architecture=f"{SMALL}/kerashub").output_shape == (None, 10)
    with h5py.File(task, "a") as file:
        file["layers/strange/vars/0"] = np.zeros(3, np.float32)
    with pytest.raises(FormatError, match="1/layers/strange/vars/0"):
        zoo.convert([weights, task], architecture=f"{SMALL}/kerashub", preprocessing=None)


def test_every_preset_has_as_many_parameters_as_its_card_says() -> None:
    """With or without statistics: KerasHub's figures are either, and confirm what its files hold."""
    lacking = []
    for card in zoo.list_models("*kerashub*"):
        case = CASES[f"kerashub:kerashub/{card.source.architecture}"]  # type: ignore[union-attr]
        if card.parameters not in case["parameters"][1:]:
            lacking.append((card.name, card.parameters, case["parameters"]))
    assert not lacking


def test_vgg_takes_its_own_size_only() -> None:
    with pytest.raises(UsageError, match="vgg16: cannot take size=96"):
        architectures.build("vgg16", "kerashub", size=96)


def test_tables_have_no_network_twice() -> None:
    seen = [json.dumps([known.backbone, known.config, known.head]) for known in kerashub_tables.NETWORKS.values()]
    assert len(set(seen)) == len(seen)
