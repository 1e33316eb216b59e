"""advise: candidates compared on a folder of images, ranked, and the plan for the best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from zoo import library
from zoo.errors import DataError, UnknownModelError, UsageError
from zoo.finetune import data as data_module

RULES = {
    "height": 24, "width": 24, "channel_order": "RGB", "value_range": [0, 255], "mean": "none", "std": "none",
    "resize": {"kind": "square", "size": 24}, "interpolation": "bilinear", "library": "pil", "antialias": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))


def network(folder: Path, sees: str) -> str:
    """A run whose network looks at shapes, or at nothing but the mean colour."""
    import keras
    from keras import layers

    inputs = keras.Input((24, 24, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Flatten()(layers.AveragePooling2D(3)(x)) if sees == "shapes" else layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Softmax()(layers.Dense(2)(x)), name=sees)
    folder.mkdir()
    facts = {"model": sees, "made_by": "zoo finetune", "class_names": ["a", "b"], "preprocessing": RULES}
    library.export(model, folder / "model.keras", facts)
    return str(folder)


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, str]:
    return {sees: network(tmp_path / sees, sees) for sees in ("colour", "shapes")}


def test_the_network_whose_features_tell_the_classes_apart_is_recommended(digits: Path, runs: dict[str, str]) -> None:
    found = zoo.advise(digits, [runs["colour"], runs["shapes"]], progress=False)
    assert [candidate.model for candidate in found.candidates] == [runs["shapes"], runs["colour"]]
    best, other = (candidate.likeness for candidate in found.candidates)
    assert best is not None
    assert other is not None
    assert best.logme > other.logme
    assert best.probe > 0.85 > other.probe
    assert found.recommended == runs["shapes"]
    assert all(candidate.speed and candidate.speed > 0 for candidate in found.candidates)
    assert found.candidates[0].parameters == 8 * 8 * 3 * 2 + 2
    assert (found.images, found.classes) == (56, {f"digit-{digit}": 14 for digit in range(4)})
    assert found.looked_at == found.plan.training if found.plan else False
    assert found.sizes["median"] == [8, 8]


def test_the_plan_is_that_of_a_run_with_the_recommended_network(
    digits: Path, runs: dict[str, str], tmp_path: Path
) -> None:
    advised = zoo.advise(digits, [runs["colour"], runs["shapes"]], progress=False).plan
    planned = zoo.finetune(runs["shapes"], digits, output=tmp_path / "run", dry_run=True, progress=False).plan
    assert advised is not None
    assert advised.likeness == planned.likeness
    assert advised.seconds is not None
    assert advised.seconds > 0
    facts = [plan.as_json() for plan in (advised, planned)]
    for plan in facts:
        del plan["seconds"]  # how fast the network is was measured twice
        plan["reasons"].pop("seconds", None)
    assert facts[0] == facts[1]


def test_one_network_that_fails_is_a_row_with_its_reason(digits: Path, runs: dict[str, str]) -> None:
    found = zoo.advise(digits, ["efficientnet-lite0", runs["shapes"]], offline=True, progress=False)
    failed = found.candidates[-1]
    assert failed.model == "efficientnet-lite0"
    assert failed.likeness is None
    assert failed.reason is not None
    assert "offline" in failed.reason.lower()
    assert failed.license == zoo.info("efficientnet-lite0").license.weights
    assert found.recommended == runs["shapes"]
    assert f"efficientnet-lite0: {failed.reason}" in str(found)
    alone = zoo.advise(digits, ["efficientnet-lite0"], offline=True, progress=False)
    assert (alone.recommended, alone.plan) == (None, None)
    assert "Recommended" not in str(alone)


def test_each_trunk_is_run_once_over_the_sample(
    digits: Path, runs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.finetune import features

    seen: list[int] = []
    run = features.Runner.__call__

    def counted(self: Any, images: np.ndarray) -> list[np.ndarray]:
        seen.append(len(images))
        return run(self, images)

    monkeypatch.setattr(features.Runner, "__call__", counted)
    found = zoo.advise(digits, [runs["shapes"]], images=20, progress=False)
    assert found.looked_at == 20
    # the pass, and twice to see how fast it is
    assert seen == [20, 20, 20]
    again = zoo.advise(digits, [runs["shapes"]], images=20, progress=False)
    assert seen[3:] == [20, 20]  # the features are there; only the speed is measured anew
    assert again.candidates[0].likeness == found.candidates[0].likeness


def test_what_is_remarkable_about_the_data_is_said(digits: Path, runs: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    for digit, each in ((0, 14), (1, 4)):
        (folder / f"digit-{digit}").mkdir(parents=True)
        for file in sorted((digits / f"digit-{digit}").iterdir())[:each]:
            (folder / f"digit-{digit}" / file.name).write_bytes(file.read_bytes())
    (folder / "digit-0" / "broken.png").write_bytes(b"no picture")
    found = zoo.advise(folder, [runs["shapes"]], progress=False)
    assert "unbalanced: 14 images of 'digit-0', 4 of 'digit-1'" in found.notes
    assert found.skipped[0]["path"] == "digit-0/broken.png"
    assert str(found).count("broken.png") == 1


def test_a_part_of_a_data_set_opens_its_own_images(digits: Path) -> None:
    from zoo.finetune.advise import _take

    whole = data_module.index(digits, progress=False)
    part = _take(whole, np.array([3, 50, 7]))
    assert part.items == (whole.items[3], whole.items[50], whole.items[7])
    assert part.digests[1] == whole.digests[50]
    for place, position in enumerate((3, 50, 7)):
        assert np.array_equal(np.asarray(part.open(place)), np.asarray(whole.open(position)))


def test_without_names_the_models_in_the_cache_are_compared_else_the_verified_ones(
    digits: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from zoo import artifact
    from zoo.finetune import advise as module

    names, said = module._defaults()
    assert names == ["efficientnet-lite0", "efficientnet-lite1.ml-illustrated", "mobilenet-v1-100-224.nudity"]
    assert "none is converted yet" in said
    for name in ("bvlc-alexnet", "efficientnet-lite0"):
        folder = artifact.folder_of(zoo.info(name))
        folder.mkdir(parents=True)
        (folder / artifact.RECEIPT).write_text("{}")
    (tmp_path / "home" / "models" / "unknown-to-all" / "0123").mkdir(parents=True)
    names, said = module._defaults()
    assert names == ["efficientnet-lite0", zoo.info("bvlc-alexnet").name]  # the higher published accuracy first
    assert "converted already" in said


def test_impossible_wishes_are_refused(digits: Path, tmp_path: Path, runs: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="images: expected a whole number of at least 2"):
        zoo.advise(digits, [runs["shapes"]], images=1)
    with pytest.raises(UsageError, match="models: expected a list of names"):
        zoo.advise(digits, "efficientnet-lite0")
    with pytest.raises(UnknownModelError, match="efficientnet-lite99"):
        zoo.advise(digits, [runs["shapes"], "efficientnet-lite99"])
    with pytest.raises(DataError, match="does not exist"):
        zoo.advise(tmp_path / "nowhere", [runs["shapes"]])


def test_the_command_prints_a_ranked_table_and_the_plan(digits: Path, runs: dict[str, str]) -> None:
    from click.testing import CliRunner

    from zoo.cli import cli

    arguments = ["advise", str(digits), "--models", f"{runs['colour']},{runs['shapes']}", "--images", "30"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert done.output.index(f"\n{runs['shapes']}") < done.output.index(f"\n{runs['colour']}")
    assert f"Recommended: {runs['shapes']}" in done.output
    assert "Plan: shapes on" in done.output
    facts = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).output)
    assert facts["recommended"] == runs["shapes"]
    assert facts["plan"]["strategy"] == "linear"
    assert facts["candidates"][0]["likeness"]["verdict"] in ("like", "unlike")
