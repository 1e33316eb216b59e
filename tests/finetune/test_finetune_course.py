"""What a run does besides training once: going on after a kill, folds, kept classes, rates, calibration."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import zoo
from zoo import cache
from zoo.errors import DataError, UsageError
from zoo.finetune import Wishes, lr_find
from zoo.finetune.rates import suggest
from zoo.finetune.result import load_run
from zoo.finetune.run import command_of

KILLED = """
import sys
sys.path.insert(0, sys.argv[1])
from conftest import make_network
import zoo
zoo.finetune(
    make_network(), sys.argv[2], output=sys.argv[3], strategy="blocks", epochs=4, head_epochs=8, patience=9,
    learning_rate=0.01, resume=True, progress=False, seed=3,
)
"""
PLAIN: dict[str, Any] = {"augment": "none", "progress": False}


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(
    digits: Path, tmp_path: Path, python: str
) -> None:
    def start(run: Path) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "ZOO_CHECKPOINT_SECONDS": "0", "ZOO_HOME": str(tmp_path / "home")}
        command = [python, "-c", KILLED, str(Path(__file__).parent), str(digits), str(run)]
        return subprocess.Popen(command, env=environment)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for phase in ("head", "blocks"):
        process = start(killed)
        course = killed / "state" / f"{phase}.safetensors"
        deadline = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < deadline and not course.exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL, "was done before it was killed"
        assert (killed / "state").is_dir()
        assert not (killed / "model.keras").exists()
    for run in (killed, whole):
        assert start(run).wait() == 0
        assert not (run / "state").exists()
    rows = [list(csv.DictReader((run / "history.csv").open())) for run in (killed, whole)]
    for one, other in zip(*rows, strict=True):
        assert float(one["val_loss"]) == pytest.approx(float(other["val_loss"]), rel=1e-4)
    weights = [load_run(run)[0].get_weights() for run in (killed, whole)]
    assert max(np.abs(a - b).max() for a, b in zip(*weights, strict=True)) < 1e-4
    assert (killed / "split.csv").read_bytes() == (whole / "split.csv").read_bytes()


def stop(text: str) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_run_is_gone_on_with_only_as_it_began(digits: Path, network: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"output": tmp_path / "run", "strategy": "head", "epochs": 2, **PLAIN}
    with pytest.raises(KeyboardInterrupt):
        zoo.finetune(network, digits, report=stop, **options)
    with pytest.raises(UsageError, match="--resume goes on with it"):
        zoo.finetune(network, digits, **options)
    with pytest.raises(UsageError, match="cannot go on: epochs was 2 and is 3"):
        zoo.finetune(network, digits, resume=True, **{**options, "epochs": 3})
    result = zoo.finetune(network, digits, resume=True, **options)
    again = zoo.finetune(network, digits, resume=True, **options)
    assert again.metrics == result.metrics
    assert again.plan == result.plan
    with pytest.raises(UsageError, match="is not empty"):
        zoo.finetune(network, digits, **options)


def test_data_that_changed_meanwhile_are_told(digits: Path, network: Any, tmp_path: Path) -> None:
    data = Path(shutil.copytree(digits, tmp_path / "data"))
    with pytest.raises(KeyboardInterrupt):
        zoo.finetune(network, data, output=tmp_path / "run", report=stop, **PLAIN)
    next((data / "digit-0").iterdir()).unlink()
    with pytest.raises(UsageError, match="cannot go on: the data have changed"):
        zoo.finetune(network, data, output=tmp_path / "run", resume=True, **PLAIN)


def test_folds_judge_every_image_by_a_model_that_did_not_see_it(digits: Path, network: Any, tmp_path: Path) -> None:
    said: list[str] = []
    run = tmp_path / "run"
    result = zoo.finetune(network, digits, output=run, strategy="linear", folds=4, report=said.append, **PLAIN)
    rows = result.metrics["folds"]
    assert [row["fold"] for row in rows] == [1, 2, 3, 4]
    assert sum(row["images"] for row in rows) == 56
    score = result.metrics["cross_validation"]
    assert score["accuracy"] == pytest.approx(np.mean([row["accuracy"] for row in rows]))
    assert score["accuracy"] > 0.6
    answered = list(csv.DictReader((run / "predictions.csv").open()))
    assert len({row["path"] for row in answered}) == 56
    right = np.mean([row["class"] == row["predicted"] for row in answered])
    assert right == pytest.approx(sum(row["accuracy"] * row["images"] for row in rows) / 56)
    assert sum(text.startswith("fold") for text in said) == 4


def test_a_fold_leaves_the_network_as_it_was(digits: Path, network: Any, tmp_path: Path) -> None:
    how: dict[str, Any] = {"strategy": "blocks", "epochs": 1, "head_epochs": 2, **PLAIN}
    plain = zoo.finetune(network, digits, output=tmp_path / "plain", **how)
    folded = zoo.finetune(network, digits, output=tmp_path / "folded", folds=2, **how)
    assert plain.model is not None
    assert folded.model is not None
    pairs = zip(plain.model.get_weights(), folded.model.get_weights(), strict=True)
    assert max(np.abs(a - b).max() for a, b in pairs) < 1e-4


def test_a_test_part_is_measured_at_the_end_and_never_trained_on(digits: Path, network: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for path in sorted(digits.rglob("*.png")):
        part = {0: "test", 1: "val"}.get(int(path.stem) % 4, "train")
        target = data / part / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    result = zoo.finetune(network, data, output=tmp_path / "run", strategy="linear", **PLAIN)
    assert result.metrics["test"]["images"] == 16
    assert result.metrics["test"]["accuracy"] > 0.5
    parts = [row["part"] for row in csv.DictReader((tmp_path / "run" / "split.csv").open())]
    assert {part: parts.count(part) for part in sorted(set(parts))} == {"test": 16, "training": 24, "validation": 16}


def test_a_calibrated_model_gives_the_scaled_probabilities(digits: Path, network: Any, tmp_path: Path) -> None:
    how: dict[str, Any] = {"strategy": "head", "epochs": 2, **PLAIN}
    plain = zoo.finetune(network, digits, output=tmp_path / "plain", **how)
    scaled = zoo.finetune(network, digits, output=tmp_path / "scaled", calibrate=True, **how)
    temperature = scaled.metrics["calibration"]["temperature"]
    assert temperature != pytest.approx(1, abs=0.01)
    assert scaled.metrics["accuracy"] == plain.metrics["accuracy"]
    assert scaled.metrics["loss"] <= plain.metrics["loss"] + 1e-6
    kernels = [load_run(tmp_path / name)[0].get_layer("classifier").get_weights()[0] for name in ("plain", "scaled")]
    assert np.allclose(kernels[0] / temperature, kernels[1], rtol=1e-4, atol=1e-6)


def test_a_second_run_takes_the_features_of_the_first(
    digits: Path, network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))

    def features() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (cache.home() / "features").glob("*/values.bin")}

    before = features()
    how: dict[str, Any] = {"strategy": "linear", "seed": 77, "augment": "flip", "progress": False}
    zoo.finetune(network, digits, output=tmp_path / "one", **how)
    made = features()
    assert len(made) > len(before)
    zoo.finetune(network, digits, output=tmp_path / "two", **how)
    assert features() == made


@pytest.mark.weights
def test_new_classes_are_added_and_the_old_ones_kept(photos: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, names in ((old, ("astronaut", "chelsea")), (new, ("coffee", "rocket"))):
        for name in names:
            shutil.copytree(photos / name, folder / name)
    zoo.finetune("efficientnet-lite0", old, output=tmp_path / "first", strategy="linear", **PLAIN)
    result = zoo.finetune(
        tmp_path / "first", new, output=tmp_path / "kept", keep_classes=True, old_data=old, epochs=10, **PLAIN
    )
    assert result.plan.strategy == "head"
    assert result.metrics["classes"] == ["astronaut", "chelsea", "coffee", "rocket"]
    kept = result.metrics["keep_classes"]
    assert (kept["old_classes"], kept["new_classes"]) == (2, 2)
    assert kept["accuracy_old_before"] == 1
    assert kept["accuracy_old_after"] > 0.8
    assert kept["accuracy_new"] == 1
    assert kept["lowered"] > 0
    assert load_run(tmp_path / "kept")[1] == result.metrics["classes"]
    with pytest.raises(DataError, match="is no class of"):
        zoo.finetune(
            tmp_path / "first", new, output=tmp_path / "bad", keep_classes=True, old_data=photos, **PLAIN
        )  # fmt: skip
    assert not (tmp_path / "bad").exists()


def test_a_run_is_fine_tuned_again(digits: Path, network: Any, tmp_path: Path) -> None:
    how: dict[str, Any] = {"head": "mlp", "strategy": "head", "epochs": 2, **PLAIN}
    zoo.finetune(network, digits, output=tmp_path / "one", **how)
    result = zoo.finetune(tmp_path / "one", digits, output=tmp_path / "two", **how)
    assert result.metrics["model"] == "one"
    assert load_run(tmp_path / "two")[0].output_shape == (None, 4)


def test_the_command_repeats_the_run() -> None:
    wishes = Wishes.of({"strategy": "head", "epochs": 2, "keep_classes": True, "mixed_precision": False})
    assert command_of("vgg16", "my pets", "run", wishes) == (
        "zoo finetune vgg16 'my pets' -o run --strategy head --keep-classes --epochs 2 --no-mixed-precision"
    )


def test_rates_are_tried_and_a_curve_is_drawn(digits: Path, network: Any, tmp_path: Path) -> None:
    curve = tmp_path / "curve.svg"
    found = lr_find(network, digits, strategy="head", output=curve, steps=40, **PLAIN)
    assert found.rates[0] == pytest.approx(1e-7)
    assert 1e-6 < found.steepest <= 10
    assert "--learning-rate" in str(found)
    assert ElementTree.parse(curve).getroot().tag.endswith("svg")
    with pytest.raises(UsageError, match="is solved and has no rate"):
        lr_find(network, digits, **PLAIN)


def test_the_steepest_fall_is_found_where_it_is() -> None:
    rates = [float(rate) for rate in np.geomspace(1e-6, 1, 61)]
    losses = [2.0 - 1.5 / (1 + np.exp(-4 * (np.log10(rate) + 3))) + max(0.0, np.log10(rate) + 1) for rate in rates]
    steepest, tenth = suggest(rates, losses)
    assert steepest == pytest.approx(1e-3, rel=0.3)
    assert 1e-4 < tenth < 0.1
