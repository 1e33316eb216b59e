"""zoo.finetune() from a folder of images to a run folder."""

from __future__ import annotations

import csv
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import zoo
from zoo.cli_finetune import finetune as command
from zoo.errors import DataError, FormatError, UsageError
from zoo.finetune.result import load_run
from zoo.preprocessing import load_image, resize_and_crop

LOAD = """
import sys
sys.modules["zoo"] = None  # any import of zoo fails
import keras, numpy
model = keras.saving.load_model(sys.argv[1], safe_mode=True)
images = numpy.load(sys.argv[2])
numpy.save(sys.argv[3], model.predict(images, verbose=0))
"""


def held_out(run: Path, data: Path) -> list[tuple[Path, str]]:
    with open(run / "split.csv", newline="") as file:
        return [(data / row["path"], row["class"]) for row in csv.DictReader(file) if row["part"] == "validation"]


@pytest.mark.weights
@pytest.mark.parametrize("strategy", ["linear", "head", "blocks"])
def test_a_real_network_learns_photographs(photos: Path, tmp_path: Path, strategy: str, python: str) -> None:
    said: list[str] = []
    run = tmp_path / "run"
    result = zoo.finetune(
        "efficientnet-lite0", photos, output=run, strategy=strategy, epochs=1 if strategy == "blocks" else None,
        report=said.append, progress=False,
    )  # fmt: skip
    assert result.path == run
    assert result.plan.strategy == strategy
    assert sorted(path.name for path in run.iterdir()) == [
        "history.csv",
        "log.txt",
        "metrics.json",
        "model.keras",
        "plan.json",
        "predictions.csv",
        "report.html",
        "split.csv",
    ]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["accuracy"] >= 0.875
    assert np.array(metrics["confusion"]).sum() == metrics["validation_images"] == 8
    assert str(result.plan) in said[0]
    assert "Accuracy" in said[-1]
    model, names, preprocessing = load_run(run)
    assert names == ["astronaut", "chelsea", "coffee", "rocket"]
    samples = held_out(run, photos)
    images = np.stack([resize_and_crop(load_image(path), preprocessing) for path, _ in samples])
    assert images.shape == (8, 224, 224, 3)
    answers = model.predict(images, verbose=0)
    right = np.mean([names[answer.argmax()] == name for answer, (_, name) in zip(answers, samples, strict=True)])
    assert right == pytest.approx(metrics["accuracy"])
    if strategy == "blocks":
        np.save(tmp_path / "images.npy", images)
        command = [
            python,
            "-c",
            LOAD,
            str(run / "model.keras"),
            str(tmp_path / "images.npy"),
            str(tmp_path / "out.npy"),
        ]
        subprocess.run(command, check=True)
        assert np.abs(np.load(tmp_path / "out.npy") - answers).max() < 1e-4


def test_a_run_of_a_model_of_ones_own(digits: Path, network: Any, tmp_path: Path) -> None:
    result = zoo.finetune(network, digits, output=tmp_path / "new" / "run", strategy="head", progress=False)
    assert result.metrics["model"] == "small"
    assert result.metrics["accuracy"] > 0.6
    assert result.metrics["top5"] is None
    with zipfile.ZipFile(tmp_path / "new" / "run" / "model.keras") as archive:
        facts = json.loads(archive.read("zoo.json"))
    assert facts["class_names"] == ["digit-0", "digit-1", "digit-2", "digit-3"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run"]
    loaded = keras.saving.load_model(tmp_path / "new" / "run" / "model.keras", safe_mode=True)
    assert loaded.output_shape == (None, 4)
    assert all(layer.trainable for layer in loaded.layers)
    assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers)


def test_skipped_files_are_in_plan_and_metrics(digits: Path, network: Any, tmp_path: Path) -> None:
    import shutil

    data = Path(shutil.copytree(digits, tmp_path / "data"))
    (data / "digit-0" / "zzz.png").write_bytes(b"\x89PNG")
    result = zoo.finetune(network, data, output=tmp_path / "run", strategy="linear", progress=False)
    (skipped,) = json.loads((tmp_path / "run" / "metrics.json").read_text())["skipped"]
    assert skipped["path"] == "digit-0/zzz.png"
    assert "digit-0/zzz.png" in str(result.plan)
    assert "zzz" not in (tmp_path / "run" / "split.csv").read_text()


def test_a_table_gives_the_parts_and_its_test_part_is_left_alone(digits: Path, network: Any, tmp_path: Path) -> None:
    lines = ["file,class,split"]
    for path in sorted(digits.glob("*/*.png")):
        part = {"0": "test", "1": "val", "5": "val"}.get(path.stem[-1], "train")
        lines.append(f"{path},{path.parent.name},{part}")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    run = tmp_path / "run"
    result = zoo.finetune(network, tmp_path / "data.csv", output=run, strategy="linear", progress=False)
    assert (result.plan.training, result.plan.validation) == (36, 12)
    assert result.plan.data == str(tmp_path / "data.csv")
    with open(run / "split.csv", newline="") as file:
        written = [",".join(row.values()) for row in csv.DictReader(file)]
    names = {"test": "test", "val": "validation", "train": "training"}
    assert written == [f"{line.rpartition(',')[0]},{names[line.rpartition(',')[2]]}" for line in lines[1:]]


def test_arrays_are_fine_tuned_on_and_doubts_are_in_the_plan(network: Any, tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8) * 15.9).astype(np.uint8)[labels < 3][:60]
    data = {"images": images, "labels": labels[labels < 3][:60], "classes": ["zero", "one", "two", "three"]}
    result = zoo.finetune(network, data, output=tmp_path / "run", strategy="linear", augment="none", progress=False)
    assert list(result.plan.classes) == result.metrics["classes"] == ["zero", "one", "two"]
    assert result.metrics["accuracy"] > 0.7
    note = "1 class(es) without an image are left out: 'three'."
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["notes"] == [note]
    assert f"note: {note}" in str(result.plan)


def test_a_dry_run_writes_nothing(digits: Path, network: Any, tmp_path: Path) -> None:
    said: list[str] = []
    result = zoo.finetune(network, digits, output=tmp_path / "run", dry_run=True, report=said.append, progress=False)
    assert (result.model, result.path, result.metrics) == (None, None, {})
    assert said == [str(result.plan)]
    assert list(tmp_path.iterdir()) == []
    assert zoo.finetune(network, digits, dry_run=True, progress=False).plan == result.plan
    with pytest.raises(UsageError, match="output: is missing"):
        zoo.finetune(network, digits, progress=False)


def test_a_folder_with_something_in_it_is_not_written_to(digits: Path, network: Any, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        zoo.finetune(network, digits, output=tmp_path, progress=False)
    with pytest.raises(UsageError, match="exists and is no folder"):
        zoo.finetune(network, digits, output=tmp_path / "precious.txt", progress=False)
    with pytest.raises(UsageError, match=r"precious\.txt: exists and is no folder"):
        zoo.finetune(network, digits, output=tmp_path / "precious.txt" / "run", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_an_empty_folder_is_used(digits: Path, network: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    zoo.finetune(network, digits, output=tmp_path / "run", strategy="linear", augment="none", progress=False)
    assert (tmp_path / "run" / "model.keras").is_file()


def test_options_that_say_nothing_are_refused(digits: Path, network: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="old_data: is measured where the old classes are kept"):
        zoo.finetune(network, digits, output=tmp_path / "run", old_data=digits, progress=False)
    with pytest.raises(UsageError, match="data: an empty name"):
        zoo.finetune(network, "", output=tmp_path / "run", progress=False)
    for option in ("--num-cpus", "--num-gpus"):
        done = CliRunner().invoke(command, ["x", str(digits), "-o", str(tmp_path / "run"), option, "2"])
        assert done.exit_code == 2
        assert f"{option}: is of a Ray task; add --ray" in done.output
    assert not (tmp_path / "run").exists()


def test_a_rate_that_is_far_too_high_ends_the_phase_and_is_said(digits: Path, network: Any, tmp_path: Path) -> None:
    said: list[str] = []
    how: dict[str, Any] = {"strategy": "all", "optimizer": "sgd", "learning_rate": 1e11, "epochs": 6, "head_epochs": 1}
    result = zoo.finetune(
        network, digits, output=tmp_path / "run", augment="none", report=said.append, progress=False, **how
    )
    (warning,) = [text for text in said if text.startswith("warning: all: the loss is no number any more")]
    assert "Use a lower learning_rate (--learning-rate)" in warning
    with open(tmp_path / "run" / "history.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["phase"] == "all"]
    assert len(rows) < 7  # the epochs that are left are not run
    assert f"in epoch {rows[-1]['epoch']}" in warning
    assert all(np.isfinite(weights).all() for weights in result.model.get_weights())  # type: ignore[union-attr]


def test_bad_data_leaves_nothing(network: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        zoo.finetune(network, tmp_path / "nowhere", output=tmp_path / "run", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_the_middle_leaves_nothing(digits: Path, tmp_path: Path) -> None:
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(4, 3, name="only")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    (tmp_path / "run").mkdir()

    def vanish(text: str) -> None:
        for path in (tmp_path / "data" / "digit-0").iterdir():
            path.unlink()

    import shutil

    shutil.copytree(digits, tmp_path / "data")
    with pytest.raises(DataError, match="start again"):
        zoo.finetune(model, tmp_path / "data", output=tmp_path / "run", report=vanish, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "run"]
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("model", [3, None])
def test_what_is_no_model_is_refused(digits: Path, tmp_path: Path, model: Any) -> None:
    with pytest.raises(UsageError, match=r"expected a registered name, a run, a .keras file or a keras\.Model"):
        zoo.finetune(model, digits, output=tmp_path / "run", progress=False)


def test_a_model_without_a_fixed_size_is_refused(digits: Path, tmp_path: Path) -> None:
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(inputs)))
    with pytest.raises(UsageError, match="fixed size"):
        zoo.finetune(model, digits, output=tmp_path / "run", progress=False)


def test_a_folder_that_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not exist"):
        load_run(tmp_path)
    (tmp_path / "model.keras").write_text("nothing")
    with pytest.raises(FormatError, match="is not the model of a fine-tuning run"):
        load_run(tmp_path)
