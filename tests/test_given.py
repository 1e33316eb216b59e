"""Facts that no source gives are the caller's to state; mean images and grey inputs go inside the model."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import small_model
from click.testing import CliRunner

import zoo
from zoo import cards, given, registry, storage
from zoo.cli import cli
from zoo.errors import FormatError, UnknownFactError, UsageError

UNKNOWN = {"channel_order": "unknown", "mean": "unknown", "std": "unknown"}
IMAGE = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)


def run(model: Any, x: np.ndarray) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(model(x)))


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Registers a small model whose files lie in a folder, and returns that folder."""
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(registry, "_registered", [])

    def adds(*, channels: int = 3, mean_image: np.ndarray | None = None, **preprocessing: Any) -> Path:
        files = small_model.write(tmp_path / "files", channels)
        if mean_image is not None:
            files["mean"] = small_model.write_mean(tmp_path / "files" / "mean.binaryproto", mean_image)
            preprocessing["mean"] = {"file": "mean"}
        zoo.register(small_model.card(files, preprocessing=preprocessing))
        return tmp_path / "files"

    return adds


def test_every_fact_that_is_missing_is_named_with_what_states_it(add: Any) -> None:
    folder = add(**UNKNOWN, resize="unknown")
    with pytest.raises(UnknownFactError) as caught:
        zoo.get("small-net", source=folder)
    told = str(caught.value)
    assert told.startswith("small-net.preprocessing.channel_order, mean and std: no source gives them")
    for part in ("--channel-order BGR", "--mean 123.68,116.78,103.94", "--std none", "mean=(123.68, 116.78, 103.94)"):
        assert part in told
    with pytest.raises(UnknownFactError, match=r"mean, std and resize: .* --resize short-side:256"):
        zoo.predict("small-net", IMAGE)
    with pytest.raises(UnknownFactError, match=r"mean, std and resize: .* --resize short-side:256"):
        zoo.finetune("small-net", folder, output=folder / "run")
    assert not (folder.parent / "home" / "files").exists(), "nothing is fetched for a model that cannot be used"


def test_what_the_caller_states_decides_the_numbers_and_is_told_as_the_callers(add: Any, tmp_path: Path) -> None:
    folder = add(**UNKNOWN, resize="unknown")
    facts: Any = {"channel_order": "BGR", "mean": (10, 20, 30), "std": (2, 4, 8)}
    model = zoo.load("small-net", source=folder, **facts)
    x = (IMAGE[..., ::-1].astype(float) - (10, 20, 30)) / (2, 4, 8)
    np.testing.assert_allclose(run(model, IMAGE), small_model.probabilities(x), atol=1e-5)
    rule = {"kind": "square", "size": 8}
    answer = zoo.predict("small-net", IMAGE, top=1, resize=rule, **facts)[0][0]
    assert answer.index == small_model.probabilities(x).argmax()
    with pytest.raises(TypeError, match="'meen'"):
        zoo.get("small-net", meen=(1, 2, 3))  # type: ignore[call-arg]

    exported = zoo.get("small-net", output=tmp_path / "out.keras", resize=rule, **facts)
    with zipfile.ZipFile(exported) as archive:
        about = json.loads(archive.read("zoo.json"))
    assert about["stated_by_caller"] == {**facts, "mean": [10, 20, 30], "std": [2, 4, 8], "resize": rule}
    assert about["preprocessing"]["mean"] == [10, 20, 30]


def test_each_choice_is_a_model_of_its_own_and_stays_when_the_cache_is_pruned(add: Any) -> None:
    folder = add(mean="unknown")
    paths = [zoo.get("small-net", source=folder, mean=mean) for mean in ((1, 2, 3), (3, 2, 1), [1.0, 2.0, 3.0])]
    assert paths[0] == paths[2] != paths[1]
    assert json.loads((paths[1] / "check.json").read_text())["given"] == {"mean": [3, 2, 1]}
    assert [entry.state for entry in storage.contents() if entry.kind == "model"] == ["current", "current"]
    assert storage.prune() == []
    assert zoo.get("small-net", source=folder, mean=(1, 2, 3), resize={"kind": "square", "size": 9}) == paths[0]


def test_the_network_without_preprocessing_needs_no_fact(add: Any) -> None:
    folder = add(**UNKNOWN)
    model = zoo.load("small-net", source=folder, preprocessing=False)
    x = np.random.default_rng(1).normal(size=(2, 8, 8, 3))
    np.testing.assert_allclose(run(model, x), small_model.probabilities(x), atol=1e-5)
    assert zoo.verify("small-net")["parity"] is None


def test_the_size_of_the_input_is_the_callers_to_state_too(add: Any) -> None:
    folder = add(height="unknown", width="unknown")
    with pytest.raises(UnknownFactError, match=r"height and width: no source gives them.*--height 224 --width 224"):
        zoo.get("small-net", source=folder)
    with pytest.raises(UnknownFactError, match="height and width") as caught:
        zoo.load("small-net", source=folder, preprocessing=False)
    assert "preprocessing=False" not in str(caught.value), "without preprocessing it needs a size as well"
    got = CliRunner().invoke(cli, ["get", "small-net", "--source", str(folder), "--height", "8", "--width", "8"])
    assert got.exit_code == 0, got.output
    model = zoo.load("small-net", height=8, width=8)
    assert model.input_shape == (None, 8, 8, 3)
    x = IMAGE[..., ::-1].astype(float) - (104, 117, 123)
    np.testing.assert_allclose(run(model, IMAGE), small_model.probabilities(x), atol=1e-5)
    assert (
        zoo.predict("small-net", IMAGE, top=1, height=8, width=8)[0][0].index == small_model.probabilities(x).argmax()
    )


def test_a_network_that_takes_any_size_takes_the_callers(add: Any) -> None:
    folder = add(resize={"kind": "square", "size": 12})
    model = zoo.load("small-net", source=folder, height=10, width=12)
    assert model.input_shape == (None, 10, 12, 3)
    with pytest.raises(UsageError, match="expected at least 14"):
        zoo.load("small-net", source=folder, height=14)
    with pytest.raises(UsageError, match="height: "):
        given.apply(zoo.info("small-net"), {"height": 0})


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"mean": (1, 2)}, "mean: expected 3 numbers"),
        ({"std": (1, 0, 1)}, "std: expected numbers above 0"),
        ({"value_range": (0, 2)}, r"value_range: expected \[0, 1\] or \[0, 255\]"),
        ({"channel_order": "GBR"}, "channel_order: .*'GBR'"),
        ({"mean": "much"}, "mean: .*'much'"),
        ({"mean": object()}, "mean: "),
        ({"resize": {"kind": "letterbox"}}, "resize: .*'letterbox'"),
    ],
)
def test_impossible_facts_are_refused_in_one_line(facts: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        given.apply(zoo.info("open-nsfw"), facts)
    assert "\n" not in str(caught.value)


def test_a_fact_that_the_card_has_already_changes_nothing_and_another_one_drops_the_check() -> None:
    card = zoo.info("open-nsfw")
    assert given.apply(card, {"mean": [104, 117, 123], "std": None}) == (card, {})
    other, facts = given.apply(card, {"std": (2, 2, 2)})
    assert (other.check, other.status, facts) == (None, "convertible", {"std": [2, 2, 2]})
    assert other.sources["preprocessing.std"] == "stated by the caller"
    assert cards.card(json.loads(other.model_dump_json(exclude_none=True))) == other


def test_the_command_line_takes_the_same_facts(add: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = add(**UNKNOWN, resize="unknown")
    image = tmp_path / "x.png"
    PIL.Image.fromarray(IMAGE[0]).save(image)

    def zoo_(*arguments: str) -> Any:
        return CliRunner().invoke(cli, arguments)

    facts = ["--channel-order", "BGR", "--mean", "10,20,30", "--std", "none"]
    got = zoo_("get", "small-net", "--source", str(folder), *facts)
    assert got.exit_code == 0, got.output
    receipt = json.loads((Path(got.stdout.strip()) / "check.json").read_text())
    assert receipt["given"] == {"channel_order": "BGR", "mean": [10, 20, 30], "std": "none"}
    named = zoo_("predict", "small-net", str(image), "--json", *facts, "--resize", "square:8")
    x = IMAGE[..., ::-1] - np.array([10.0, 20.0, 30.0])
    best = json.loads(named.stdout)[0]["predictions"][0]
    assert best["index"] == small_model.probabilities(x).argmax()
    assert best["score"] == pytest.approx(small_model.probabilities(x).max(), abs=1e-5)
    assert isinstance(zoo_("predict", "small-net", str(image)).exception, UnknownFactError)
    for wrong in (["--mean", "a,b"], ["--resize", "short-side"], ["--channel-order", "RBG"], ["--value-range", "none"]):
        refused = zoo_("get", "small-net", *wrong)
        assert refused.exit_code == 2
        assert wrong[0] in refused.output


def test_fine_tuning_starts_from_what_the_caller_states(add: Any, tmp_path: Path) -> None:
    folder = add(mean="unknown")
    zoo.get("small-net", source=folder, mean=(1, 2, 3))
    for name, value in (("dark", 40), ("light", 200)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(4):
            PIL.Image.new("RGB", (8, 8), (value + number, value, value)).save(
                tmp_path / "data" / name / f"{number}.png"
            )
    zoo.finetune("small-net", tmp_path / "data", output=tmp_path / "run", mean=(1, 2, 3), progress=False)
    with zipfile.ZipFile(tmp_path / "run" / "model.keras") as archive:
        about = json.loads(archive.read("zoo.json"))
    assert about["stated_by_caller"] == {"mean": [1, 2, 3]}
    assert about["license"]["weights"] == "MIT"
    with pytest.raises(UsageError, match="mean: is for registered models"):
        zoo.predict(tmp_path / "run", IMAGE, mean=(1, 2, 3))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four dark and four light pictures; the classes are named by outputs of the small network."""
    for name, value in (("0", 40), ("1", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            path = tmp_path / "photos" / name / f"{number}.png"
            PIL.Image.new("RGB", (8, 8), (value + number, value, value)).save(path)
    return tmp_path / "photos"


def test_evaluate_and_export_use_what_the_caller_states(add: Any, photos: Path, tmp_path: Path) -> None:
    folder = add(mean="unknown", resize="unknown")
    zoo.get("small-net", source=folder, mean=(1, 2, 3))
    with pytest.raises(UnknownFactError, match="mean and resize"):
        zoo.evaluate("small-net", photos, progress=False)
    with pytest.raises(UnknownFactError, match="mean: no source"):
        zoo.export("small-net", tmp_path / "out.keras")
    facts = ["--mean", "1,2,3", "--resize", "square:8"]
    ran = CliRunner().invoke(cli, ["evaluate", "small-net", str(photos), *facts, "--json"])
    assert ran.exit_code == 0, ran.output
    pictures = np.stack([np.asarray(PIL.Image.open(path)) for path in sorted(photos.rglob("*.png"))])
    order = zoo.info("small-net").preprocessing.channel_order
    x = (pictures if order == "RGB" else pictures[..., ::-1]).astype(float) - (1, 2, 3)
    right = small_model.probabilities(x).argmax(1) == np.repeat([0, 1], 4)
    assert json.loads(ran.stdout)["top1"]["value"] == right.mean()
    ran = CliRunner().invoke(cli, ["export", "small-net", "-o", str(tmp_path / "out.keras"), *facts])
    assert ran.exit_code == 0, ran.output
    with zipfile.ZipFile(tmp_path / "out.keras") as archive:
        assert json.loads(archive.read("zoo.json"))["preprocessing"]["mean"] == [1, 2, 3]
    with pytest.raises(UsageError, match="mean: is for registered models"):
        zoo.export(tmp_path / "out.keras", tmp_path / "again.keras", mean=(1, 2, 3))
    for verb in (zoo.evaluate, zoo.export):
        with pytest.raises(TypeError, match="'meen'"):
            verb("small-net", tmp_path / "x.keras", meen=(1, 2, 3))  # type: ignore[operator]


def test_advise_gives_facts_to_the_models_that_lack_them_and_lr_find_to_its_own(add: Any, photos: Path) -> None:
    folder = add(mean="unknown")
    zoo.get("small-net", source=folder, mean=(1, 2, 3))
    with pytest.raises(UnknownFactError, match="mean"):
        zoo.advise(photos, ["small-net"], progress=False)
    ran = CliRunner().invoke(cli, ["advise", str(photos), "--models", "small-net", "--mean", "1,2,3", "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["recommended"] == "small-net"
    with pytest.raises(UsageError, match="std: each of the models says it itself"):
        zoo.advise(photos, ["small-net"], mean=(1, 2, 3), std="none", progress=False)
    ran = CliRunner().invoke(
        cli, ["lr-find", "small-net", str(photos), "--strategy", "head", "--steps", "10", "--mean", "1,2,3", "--json"]
    )
    assert ran.exit_code == 0, ran.output


def test_a_mean_image_is_cut_at_its_centre_and_subtracted_inside_the_model(add: Any) -> None:
    mean = np.random.default_rng(2).uniform(0, 255, (3, 11, 10)).astype(np.float32)
    folder = add(mean_image=mean)
    model = zoo.load("small-net", source=folder)
    x = IMAGE[..., ::-1] - np.moveaxis(mean[:, 1:9, 1:9], 0, -1)
    np.testing.assert_allclose(run(model, IMAGE), small_model.probabilities(x), atol=1e-5)
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
    raw = zoo.load("small-net", source=folder, preprocessing=False)
    np.testing.assert_allclose(run(raw, x), small_model.probabilities(x), atol=1e-5)
    trained = [weight.path for weight in model.trainable_weights]
    assert not any("preprocessing" in path for path in trained), "fine-tuning leaves the mean image as it is"


def test_a_mean_image_of_another_size_is_refused(add: Any) -> None:
    folder = add(mean_image=np.zeros((3, 7, 8), np.float32))
    with pytest.raises(FormatError, match="mean image has 3 channels of 7x8, the input has 3 of 8x8"):
        zoo.get("small-net", source=folder)


def test_a_grey_network_takes_rgb(add: Any) -> None:
    folder = add(channels=1, channel_order="gray", mean="none", std=[256])
    model = zoo.load("small-net", source=folder)
    assert model.input_shape == (None, 8, 8, 3)
    x = (IMAGE @ np.array([0.299, 0.587, 0.114]))[..., None] / 256
    np.testing.assert_allclose(run(model, IMAGE), small_model.probabilities(x), atol=1e-5)
    raw = zoo.load("small-net", source=folder, preprocessing=False)
    np.testing.assert_allclose(run(raw, x), small_model.probabilities(x), atol=1e-5)
