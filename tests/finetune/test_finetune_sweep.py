"""Several models on the same data, and folds, here and as tasks. Ray is a stand-in: see standin.py."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from standin import Ray

import zoo
from zoo.cli_finetune import finetune as command
from zoo.errors import DataError, UnknownModelError, UsageError, ZooError
from zoo.finetune import Cluster, cluster, report, spread, sweep

QUICK: dict[str, Any] = {"strategy": "linear", "augment": "none", "progress": False}


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are most of a small run's time, and other tests'."""
    monkeypatch.setattr(report, "write", lambda record, folder: None)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    made = Ray()
    monkeypatch.setitem(sys.modules, "ray", made)
    for name in ("TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "false")
    return made


@pytest.fixture
def blind() -> keras.Model:
    """Sees only how bright an image is."""
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x), name="blind")


def test_models_are_compared_the_best_first(few: Path, network: Any, blind: Any, tmp_path: Path) -> None:
    said: list[str] = []
    found = zoo.finetune_many([blind, network], few, output=tmp_path / "runs", report=said.append, **QUICK)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "blind", "comparison.csv", "comparison.json", "small", "sweep.json"
    ]  # fmt: skip
    assert [row["accuracy"] for row in found.rows] == sorted((row["accuracy"] for row in found.rows), reverse=True)
    assert found.best == tmp_path / "runs" / found.rows[0]["run"]
    metrics = json.loads((found.best / "metrics.json").read_text())
    assert found.rows[0]["accuracy"] == metrics["accuracy"]
    assert [found.rows[0][key] for key in ("low", "high")] == metrics["accuracy_interval"]
    assert json.loads((tmp_path / "runs" / "comparison.json").read_text())["rows"] == list(found.rows)
    with open(tmp_path / "runs" / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == [row["model"] for row in found.rows]
    assert float(rows[1]["accuracy"]) == found.rows[1]["accuracy"]
    assert said[-1] == str(found)
    assert "95 % interval" in said[-1]


def test_tasks_give_what_one_after_the_other_gives(
    few: Path, network: Any, blind: Any, tmp_path: Path, ray: Ray
) -> None:
    models = [network, blind]
    alone = zoo.finetune_many(models, few, output=tmp_path / "alone", **QUICK)
    spread = zoo.finetune_many(models, few, output=tmp_path / "spread", ray=True, **QUICK)
    for row, other in zip(alone.rows, spread.rows, strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
    assert ray.tasks == ["member", "member"]
    assert ray.asked == [{"num_cpus": 1, "num_gpus": 0, "max_retries": 1}]
    assert not ray.is_initialized()


def test_one_that_fails_has_the_reason_and_the_others_go_on(few: Path, network: Any, tmp_path: Path) -> None:
    inputs = keras.Input((None, None, 3))
    sizeless = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs), name="sizeless")
    found = zoo.finetune_many([sizeless, network], few, output=tmp_path / "runs", **QUICK)
    assert [row["model"] for row in found.rows] == ["small", "sizeless"]
    assert "of fixed size" in found.rows[1]["reason"]
    assert f"sizeless: {found.rows[1]['reason']}" in str(found)
    assert not (tmp_path / "runs" / "sizeless").exists()


def test_where_all_fail_nothing_is_left(network: Any, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"no model could be fine-tuned: small: .*does not exist"):
        zoo.finetune_many([network], tmp_path / "nowhere", output=tmp_path / "runs", **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_that_was_cut_goes_on(few: Path, network: Any, blind: Any, tmp_path: Path) -> None:
    where = tmp_path / "runs"

    def cut(text: str) -> None:
        if text.startswith("small: "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.finetune_many([network, blind], few, output=where, report=cut, **QUICK)
    before = (where / "small" / "model.keras").stat()
    with pytest.raises(UsageError, match="--resume goes on"):
        zoo.finetune_many([network, blind], few, output=where, **QUICK)
    with pytest.raises(UsageError, match="cannot go on: seed was 0 and is 1"):
        zoo.finetune_many([network, blind], few, output=where, resume=True, seed=1, **QUICK)
    said: list[str] = []
    found = zoo.finetune_many([network, blind], few, output=where, resume=True, report=said.append, **QUICK)
    assert said[0] == "small: has ended already"
    assert {row["model"] for row in found.rows} == {"small", "blind"}
    assert (where / "small" / "model.keras").stat() == before


def test_folders_with_something_else_in_them_are_left_alone(few: Path, network: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        zoo.finetune_many([network], few, output=few, **QUICK)
    with pytest.raises(UsageError, match="expected a list of names"):
        zoo.finetune_many("small", few, output=tmp_path / "runs", **QUICK)
    with pytest.raises(UnknownModelError):
        zoo.finetune_many([network, "no-such-net"], few, output=tmp_path / "runs", **QUICK)
    other = keras.models.clone_model(network)
    with pytest.raises(UsageError, match="the same name, 'small'"):
        zoo.finetune_many([network, other], few, output=tmp_path / "runs", **QUICK)
    assert not (tmp_path / "runs").exists()


def test_folds_as_tasks_give_the_same_numbers(few: Path, network: Any, tmp_path: Path, ray: Ray) -> None:
    """Tasks end in another order, and a killed run asks only for the folds that are missing."""
    wishes = {**QUICK, "strategy": "head", "epochs": 1, "folds": 2}
    here = zoo.finetune(network, few, output=tmp_path / "here", **wishes)
    said: list[str] = []
    there = zoo.finetune(network, few, output=tmp_path / "there", ray="10.0.0.1:6379", report=said.append, **wishes)
    assert there.metrics["folds"] == here.metrics["folds"]
    assert there.metrics["cross_validation"] == here.metrics["cross_validation"]
    assert ray.tasks == ["fold"] * 2
    assert ray.started[0]["address"] == "10.0.0.1:6379"
    assert [text[:6] for text in said if text.startswith("fold")] == ["fold 2", "fold 1"]


def test_only_missing_folds_are_sent(few: Path, network: Any, tmp_path: Path, ray: Ray) -> None:
    wishes = {**QUICK, "strategy": "head", "epochs": 1, "folds": 2}

    def cut(text: str) -> None:
        if text.startswith("fold 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.finetune(network, few, output=tmp_path / "run", report=cut, **wishes)
    zoo.finetune(network, few, output=tmp_path / "run", resume=True, ray=True, **wishes)
    assert ray.tasks == ["fold"]


def fails(value: Any) -> Any:
    if value == "bad":
        raise DataError("bad: cannot be read")
    if value == "odd":
        raise KeyError("nothing here")
    return value


def test_an_error_in_a_task_is_the_same_error_here(ray: Ray) -> None:
    assert sorted(cluster.fan_out(Cluster(), fails, [("a",), ("b",)])) == [(0, "a"), (1, "b")]
    with pytest.raises(DataError, match=r"^bad: cannot be read$"):
        list(cluster.fan_out(Cluster(), fails, [("a",), ("b",), ("bad",)]))
    assert ray.cancelled == 2
    with pytest.raises(ZooError, match=r"^unexpected KeyError: 'nothing here'$"):
        list(cluster.fan_out(Cluster(), fails, [("odd",)]))
    with pytest.raises(UsageError, match="go to other processes, and one cannot"):
        list(cluster.fan_out(Cluster(), fails, [(lambda: 0,)]))
    assert not ray.is_initialized()


def test_a_dead_worker_and_a_missing_cluster_are_said_in_a_line(monkeypatch: pytest.MonkeyPatch, ray: Ray) -> None:
    with pytest.raises(UsageError, match=r"^ray='nowhere:1': no cluster there"):
        list(cluster.fan_out(Cluster("nowhere:1"), fails, [("a",)]))
    monkeypatch.setitem(sys.modules, "ray", Ray(dies_at="fails"))
    with pytest.raises(ZooError, match=r"^ray: a task ended without a result: A worker died"):
        list(cluster.fan_out(Cluster(), fails, [("a",)]))


def test_a_task_takes_a_gpu_where_there_are_some(monkeypatch: pytest.MonkeyPatch, ray: Ray) -> None:
    asked = []
    for chosen in (Cluster(), Cluster(num_cpus=4, num_gpus=0.5)):
        machine = Ray(gpus=2)
        monkeypatch.setitem(sys.modules, "ray", machine)
        list(cluster.fan_out(chosen, fails, [("a",)]))
        asked += machine.asked
    assert [(task["num_cpus"], task["num_gpus"]) for task in asked] == [(1, 1), (4, 0.5)]


def test_features_of_few_images_are_computed_here_and_the_plan_says_why(
    few: Path, network: Any, tmp_path: Path, ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = zoo.finetune(network, few, output=tmp_path / "run", ray=True, **QUICK)
    assert any(note.startswith("Ray is not asked for features: a pass over 12 images") for note in result.plan.notes)
    assert ray.started == []
    monkeypatch.setattr(spread, "WORTH", 0.0)
    plan = zoo.finetune(network, few, output=tmp_path / "dry", ray=True, dry_run=True, **QUICK).plan
    assert any(note.startswith("Ray computes the features: a pass over 12 images") for note in plan.notes)


def test_workers_that_never_answer_are_not_waited_for() -> None:
    assert list(spread.patient(range(9), 30)) == list(range(9))

    def stuck() -> Iterator[int]:
        yield 1
        threading.Event().wait(5)

    came = spread.patient(stuck(), 0.2)
    assert next(came) == 1
    with pytest.raises(ZooError, match=r"^ray: no worker answered for 0 minutes; what is done is kept"):
        next(came)

    def broken() -> Iterator[int]:
        yield 1
        raise DataError("a.jpg: is gone")

    with pytest.raises(DataError, match=r"^a\.jpg: is gone$"):
        list(spread.patient(broken(), 30))


def test_what_cannot_be_spread_is_refused(
    few: Path, network: Any, tmp_path: Path, ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="num_cpus=0: expected a number above 0"):
        zoo.finetune_many([network], few, output=tmp_path / "run", ray=Cluster(num_cpus=0), **QUICK)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'convnet-zoo\[ray\]'"):
        zoo.finetune_many([network], few, output=tmp_path / "run", ray=True, **QUICK)
    assert not (tmp_path / "run").exists()


def test_the_command_compares_models(few: Path, network: Any, tmp_path: Path, ray: Ray) -> None:
    from click.testing import CliRunner

    zoo.finetune(network, few, output=tmp_path / "one", **QUICK)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    line = [str(tmp_path / "one"), str(few), "-o", str(tmp_path / "runs"), "--models", str(tmp_path / "two")]
    line += ["--strategy", "linear", "--augment", "none", "--no-mixed-precision"]
    done = CliRunner().invoke(command, [*line, "--json", "--ray"], catch_exceptions=False)
    rows = json.loads(done.output)["rows"]
    assert sorted(row["run"] for row in rows) == ["one", "two"]
    assert [row["reason"] for row in rows] == [None, None]
    assert ray.tasks == ["member", "member"]
    refused = CliRunner().invoke(command, [*line, "--dry-run"])
    assert refused.exit_code == 2
    assert "zoo advise --models" in refused.output


def test_columns_of_the_table_are_those_of_a_row(few: Path, network: Any, tmp_path: Path) -> None:
    row = sweep.member(network, str(tmp_path / "run"), few, None, None, None, {"strategy": "linear", "augment": "none"})
    assert tuple(row) == sweep.COLUMNS
    assert np.isfinite(row["seconds"])
