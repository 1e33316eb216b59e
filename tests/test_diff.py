"""`zoo diff` says what two models do differently, where no shape shows it too."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import zoo
from zoo.diff import Row
from zoo.errors import UnknownModelError, UsageError


def differences(first: str, second: str) -> dict[str, tuple[str, str]]:
    return {row.fact: (row.first, row.second) for row in zoo.diff(first, second) if not row.same}


def test_dialects_of_equal_shapes_differ_in_padding_and_epsilon() -> None:
    found = differences("efficientnet-lite0/timm-tf", "efficientnet-lite0/timm")
    assert found["epsilon"] == ("0.001 x49", "1e-05 x49")
    assert found["padding"] == ("SAME x5, as much on both sides x12", "as much on both sides x17")
    assert set(found) == {"epsilon", "padding"}


def test_a_convolutional_head_is_told_from_a_dense_one() -> None:
    found = differences("vgg16/torchvision", "vgg16/slim")
    assert found["ends in"] == ("Relu -> Gemm -> Relu -> Gemm", "Relu -> Conv -> GlobalAveragePool -> Flatten")
    assert found["convolutions"] == ("13, 13 with a bias", "16, 16 with a bias")


def test_a_model_does_not_differ_from_itself() -> None:
    rows = zoo.diff("efficientnet-lite0", "efficientnet-lite0")
    assert {row.part for row in rows} == {"network", "input", "output", "published"}
    assert [row.fact for row in rows if not row.same] == []


@pytest.mark.weights
def test_models_of_two_origins_are_compared_in_all_parts(nsfw_files: object) -> None:
    nsfw_files()  # type: ignore[operator]
    found = differences("open-nsfw", "efficientnet-lite0")
    assert found["channel order"] == ("BGR", "RGB")
    assert found["classes"] == ("2", "1000")
    assert found["format"] == ("caffe", "pytorch")
    assert found["strides"][0] == "7x7 by 2 at 1, 1x1 by 2 at 12 13 25 26 44 45"


def test_a_network_whose_files_are_not_there_is_unknown(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    first, _ = differences("open-nsfw", "efficientnet-lite0")["strides"]
    assert first == "unknown until its files are there (zoo get)"


def test_two_unknown_facts_are_not_the_same() -> None:
    assert not Row("input", "resize", "unknown", "unknown").same


def test_names_that_do_not_exist_are_told() -> None:
    with pytest.raises(UnknownModelError, match="did you mean open-nsfw"):
        zoo.diff("open-nsf", "efficientnet-lite0")
    with pytest.raises(UsageError, match="no dialect 'slin'; did you mean slim"):
        zoo.diff("vgg16/slin", "vgg16/slim")


def test_the_command_prints_a_table_or_json() -> None:
    command = [sys.executable, "-m", "zoo", "diff", "vgg16/torchvision", "vgg16/slim"]
    table = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout
    assert "fact" in table
    assert "GlobalAveragePool" in table
    done = subprocess.run([*command, "--json", "--all"], capture_output=True, text=True, check=True, env=os.environ)
    rows = json.loads(done.stdout)
    assert {"part": "network", "fact": "epsilon", "first": "none", "second": "none"} in rows
