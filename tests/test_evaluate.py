"""evaluate: shares of right answers on photographs in folders, and what stands beside them."""

from __future__ import annotations

import csv
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo import library, registry
from zoo.errors import DataError, UnknownModelError, UsageError, ZooError
from zoo.evaluation import share
from zoo.finetune.data import Dataset

PHOTOS = {"chelsea": "n02123159", "coffee": "n07920052", "rocket": "n04008634"}
SIDE = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten crops of each of three photographs, in folders named by WordNet id."""
    from skimage import data

    folder = tmp_path_factory.mktemp("photos") / "val"
    generator = np.random.default_rng(0)
    for name, synset in PHOTOS.items():
        picture = Image.fromarray(getattr(data, name)())
        side = int(min(picture.size) * 0.3)
        (folder / synset).mkdir(parents=True)
        for number in range(10):
            left, top = (int(generator.integers(0, length - side)) for length in picture.size)
            picture.crop((left, top, left + side, top + side)).resize((32, 32)).save(folder / synset / f"{number}.png")
    return folder


def nearest_mean(folder: Path, outputs: int, index: dict[str, int]) -> Any:
    """A network that gives the output whose mean training image is nearest; other outputs are never the answer."""
    import keras

    kernel, bias = np.zeros((SIDE * SIDE * 3, outputs), np.float32), np.full(outputs, -999.0, np.float32)
    for name, output in index.items():
        files = sorted((folder / name).iterdir())
        pixels = np.stack(
            [np.asarray(Image.open(file).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for file in files]
        )
        mean = (pixels / 255.0).mean(axis=0).ravel()
        kernel[:, output], bias[output] = 2 * mean, -mean @ mean
    inputs = keras.Input((SIDE, SIDE, 3))
    dense = keras.layers.Dense(outputs)
    x = dense(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs)))
    model = keras.Model(inputs, keras.layers.Softmax()(x), name="nearest")
    dense.set_weights([kernel, bias])
    return model


def rules(**changes: Any) -> dict[str, Any]:
    return {
        "height": SIDE, "width": SIDE, "channel_order": "RGB", "value_range": [0, 255], "mean": "none", "std": "none",
        "resize": {"kind": "square", "size": SIDE}, "interpolation": "bilinear", "library": "pil", "antialias": True,
        **changes,
    }  # fmt: skip


IMAGENET = registry.labels(zoo.info("efficientnet-lite0")) or []


@pytest.fixture(scope="module")
def exported(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as `zoo get -o` writes it: it says that it is efficientnet-lite0, of which figures are published."""
    index = {key: place for place, (key, _) in enumerate(IMAGENET) if key in PHOTOS.values()}
    facts = {
        "model": "efficientnet-lite0",
        "class_ids": [key for key, _ in IMAGENET],
        "class_names": [name for _, name in IMAGENET],
        "preprocessing": rules(),
    }
    return library.export(nearest_mean(photos, 1000, index), tmp_path_factory.mktemp("file") / "net.keras", facts)


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuning run on the photographs, its classes in an order of its own."""
    folder = tmp_path_factory.mktemp("run")
    names = ["n07920052", "n04008634", "n02123159"]
    model = nearest_mean(photos, 3, {name: place for place, name in enumerate(names)})
    facts = {"model": "small", "made_by": "zoo finetune", "class_names": names, "preprocessing": rules()}
    library.export(model, folder / "model.keras", facts)
    (folder / "metrics.json").write_text(json.dumps({"accuracy": 0.5, "validation_images": 2}))
    (folder / "plan.json").write_text(json.dumps({"data": str(photos)}))
    (folder / "split.csv").write_text("path,class,part\nn02123159/0.png,n02123159,training\n")
    return folder


def dataset(classes: tuple[str, ...], labels: np.ndarray, opener: Any, parts: tuple[str, ...] | None = None) -> Dataset:
    items = tuple(map(str, range(len(labels))))
    return Dataset("made", classes, items, labels, np.full((len(labels), 2), SIDE), items, parts, opener=opener)


def test_the_interval_is_wilsons() -> None:
    # The example of Newcombe, Statistics in Medicine 17 (1998), 857: 81 of 263
    found = share(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    assert (round(share(0, 20).high, 4), share(0, 20).low) == (0.1611, 0.0)
    assert share(20, 20).high == pytest.approx(1.0)


def test_photographs_are_told_apart_and_the_published_figure_stands_beside(exported: Path, photos: Path) -> None:
    found = zoo.evaluate(exported, photos, progress=False)
    assert (found.images, found.classes, found.outputs, found.matched_by) == (30, 3, 1000, ("id",))
    assert found.top1.value > 0.8
    assert found.top1.low < found.top1.value <= found.top1.high
    assert found.top_k is not None
    assert found.top_k.value == 1.0
    figure = found.published[0]
    metric = zoo.info("efficientnet-lite0").metrics[0]
    assert (figure.top1, figure.protocol, figure.same_classes) == (metric.top1, metric.protocol, False)
    assert figure.top1_inside == (found.top1.low <= figure.top1 <= found.top1.high)
    text = str(found)
    assert "published" in text
    assert metric.protocol in text
    assert json.loads(json.dumps(found.as_json()))["top1"]["value"] == found.top1.value


def test_shares_agree_with_what_predict_answers(exported: Path, photos: Path) -> None:
    found = zoo.evaluate(exported, photos, batch_size=7, progress=False)
    answers = zoo.predict(exported, photos, top=1)
    labels = [path.parent.name for path in sorted(photos.rglob("*.png"))]
    right = [answer[0].id == label for answer, label in zip(answers, labels, strict=True)]
    assert found.top1.value == pytest.approx(np.mean(right))
    assert [row.rank == 0 for row in found.rows] == right
    per_class = [np.mean([r for r, label in zip(right, labels, strict=True) if label == name]) for name in set(labels)]
    assert found.balanced == pytest.approx(np.mean(per_class))
    assert sum(facts["images"] for facts in found.per_class.values()) == 30


def test_a_run_knows_its_classes_in_any_order_and_says_what_it_was_trained_on(run: Path, photos: Path) -> None:
    found = zoo.evaluate(run, photos, progress=False)
    assert found.top1.value > 0.8
    assert found.top_k is None  # five of three outputs
    assert "when it was trained: 50.0% of 2 images held out" in found.notes
    assert any(note.startswith("1 of these images were trained on") for note in found.notes)
    assert found.published == ()


def test_classes_that_only_one_side_has_are_said(run: Path, photos: Path, tmp_path: Path) -> None:
    data = tmp_path / "other"
    data.mkdir()
    for name in ("n02123159", "n07920052"):
        (data / name).symlink_to(photos / name)
    (data / "penguins").symlink_to(photos / "n04008634")
    with pytest.raises(DataError, match=r"other: 1 of 3 folders fit no class of .*: 'penguins'.*skip_unknown=True"):
        zoo.evaluate(run, data, progress=False)
    found = zoo.evaluate(run, data, skip_unknown=True, progress=False)
    assert (found.images, found.unknown, found.missing) == (20, ("penguins",), ("n04008634",))
    assert "no images here of 1 of the run's classes: 'n04008634'" in found.notes


def test_a_model_that_sees_other_images_than_it_was_made_for_is_doubted(photos: Path, tmp_path: Path) -> None:
    index = {key: place for place, (key, _) in enumerate(IMAGENET) if key in PHOTOS.values()}
    moved = {key: place + 1 for key, place in index.items()}
    facts = {
        "model": "efficientnet-lite0", "class_ids": [key for key, _ in IMAGENET],
        "class_names": [name for _, name in IMAGENET], "preprocessing": rules(),
    }  # fmt: skip
    file = library.export(nearest_mean(photos, 1000, moved), tmp_path / "moved.keras", facts)
    notes = zoo.evaluate(file, photos, progress=False).notes
    assert any("far below the published" in note and "zoo verify efficientnet-lite0" in note for note in notes)
    assert any("would be right if each answer were one less" in note for note in notes)


def test_a_sample_has_its_share_of_each_class_and_is_the_same_each_time(exported: Path, photos: Path) -> None:
    first, again = (zoo.evaluate(exported, photos, limit=12, progress=False) for _ in range(2))
    assert first.rows == again.rows
    assert [facts["images"] for facts in first.per_class.values()] == [4, 4, 4]
    assert any(note.startswith("12 of 30 images") for note in first.notes)


def test_every_answer_is_written_down(exported: Path, photos: Path, tmp_path: Path) -> None:
    found = zoo.evaluate(exported, photos, progress=False)
    with open(found.write(tmp_path / "out.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert rows[0]["path"] == "n02123159/0.png"
    assert rows[0]["label"] == "n02123159"
    assert rows[0]["answer"].endswith(")")
    assert np.mean([row["rank"] == "0" for row in rows]) == found.top1.value


def test_no_more_than_a_few_batches_are_held(photos: Path) -> None:
    import keras

    held, most, lock = 0, 0, threading.Lock()
    picture = Image.new("RGB", (SIDE, SIDE))

    def take(position: int) -> Image.Image:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return picture

    def seen(batch: np.ndarray) -> np.ndarray:
        nonlocal held
        with lock:
            held -= 4 if seen.warm else 0
        seen.warm = True
        return np.tile([0.0, 1.0], (len(batch), 1))

    seen.warm = False  # type: ignore[attr-defined]
    labels = np.arange(200) % 2
    data = dataset(("a", "b"), labels, take)
    inputs = keras.Input((SIDE, SIDE, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    model.predict_on_batch = seen
    found = zoo.evaluate(model, data, batch_size=4, progress=False)
    assert found.top1.value == 0.5
    assert found.matched_by == ("order",)
    assert most <= 4 * 4


def test_of_data_in_parts_the_one_that_nobody_has_seen_is_taken(run: Path, photos: Path) -> None:
    names = sorted(PHOTOS.values())
    parts = ("training", "validation", "test")
    pictures = [Image.open(photos / name / "0.png").convert("RGB") for name in names for _ in parts]
    data = dataset(tuple(names), np.repeat(np.arange(3), 3), pictures.__getitem__, parts * 3)
    assert [row.path for row in zoo.evaluate(run, data, progress=False).rows] == ["2", "5", "8"]
    assert [row.path for row in zoo.evaluate(run, data, part="training", progress=False).rows] == ["0", "3", "6"]
    assert zoo.evaluate(run, data, part="all", progress=False).images == 9
    with pytest.raises(UsageError, match="does not say which images are of which part"):
        zoo.evaluate(run, photos, part="test", progress=False)


def test_what_cannot_be_measured_is_refused_in_one_line(run: Path, photos: Path, tmp_path: Path) -> None:
    import keras

    for arguments, error, words in (
        ({"top": 0}, UsageError, "top: expected a whole number"),
        ({"limit": 0}, UsageError, "limit: expected"),
        ({"part": "half"}, UsageError, "part='half': expected one of training"),
    ):
        with pytest.raises(error, match=words):
            zoo.evaluate(run, photos, progress=False, **arguments)  # type: ignore[arg-type]
    with pytest.raises(UnknownModelError, match="no model is called 'efficientnet-lite99'"):
        zoo.evaluate("efficientnet-lite99", photos)
    with pytest.raises(DataError, match="does not exist"):
        zoo.evaluate(run, tmp_path / "nowhere")
    inputs = keras.Input((SIDE, SIDE, 3))
    broken = keras.Model(inputs, keras.ops.log(keras.layers.GlobalAveragePooling2D()(inputs) - 300.0))
    with pytest.raises(ZooError, match=r"no finite numbers for n02123159/0\.png"):
        zoo.evaluate(broken, photos, progress=False)


def test_the_command_prints_a_table_or_json(exported: Path, photos: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from zoo.cli import cli

    table = CliRunner().invoke(cli, ["evaluate", str(exported), str(photos), "-o", str(tmp_path / "p.csv")])
    assert table.exit_code == 0, table.output
    assert "top-1" in table.output
    assert (tmp_path / "p.csv").is_file()
    nearest = ["--resize", "square:14", "--interpolation", "nearest", "--limit", "6", "--json"]
    found = CliRunner().invoke(cli, ["evaluate", str(exported), str(photos), *nearest])
    assert json.loads(found.output)["images"] == 6
    wrong = CliRunner().invoke(cli, ["evaluate", str(exported), str(photos), "--resize", "square"])
    assert wrong.exit_code == 2


@pytest.mark.weights
def test_a_registered_network_knows_a_cat_by_its_folder(photos: Path, tmp_path: Path) -> None:
    from skimage import data

    for folder, picture in (("tiger_cat", data.chelsea()), ("n07920052", data.coffee())):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number, cut in enumerate((0, 8)):
            Image.fromarray(picture[:, cut:]).save(tmp_path / "data" / folder / f"{number}.png")
    found = zoo.evaluate("efficientnet-lite0", tmp_path / "data", progress=False)
    assert (found.images, found.matched_by) == (4, ("id", "name"))
    assert found.published == ()  # a folder called by name is no folder of ImageNet's
    assert found.top_k is not None
    assert found.top_k.value == 1.0


@pytest.mark.parametrize("size", [1, 3, 7, 40, 99, 100, 500])
def test_a_stratified_sample_is_exact_fair_and_blind_to_numbers(size: int) -> None:
    from zoo.finetune.stream import stratified

    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), [50, 30, 10, 8, 2]))
    chosen = stratified(labels, size, seed=3)
    assert len(set(chosen.tolist())) == min(size, 100)
    assert np.array_equal(chosen, np.sort(chosen))
    counts = np.bincount(labels[chosen], minlength=5)
    if 5 <= size < 100:
        assert counts.min() >= 1
        assert np.abs(counts - size * np.array([0.5, 0.3, 0.1, 0.08, 0.02])).max() <= 1.5
    assert np.array_equal(chosen, stratified(np.array([9, 2, 4, 0, 1])[labels], size, seed=3))
    assert size >= 100 or not np.array_equal(chosen, stratified(labels, size, seed=4))


def test_an_image_that_goes_away_meanwhile_is_named(run: Path, photos: Path) -> None:
    def gone(position: int) -> Image.Image:
        if position == 2:
            raise FileNotFoundError("no such file")
        return Image.new("RGB", (SIDE, SIDE))

    data = dataset(tuple(sorted(PHOTOS.values())), np.repeat(np.arange(3), 2), gone)
    with pytest.raises(DataError, match=r"^2: could be read a moment ago and now cannot \(no such file\)"):
        zoo.evaluate(run, data, batch_size=1, progress=False)


def test_one_class_with_one_image_can_be_measured(run: Path, photos: Path, tmp_path: Path) -> None:
    image = sorted(photos.rglob("*.png"))[0]
    (tmp_path / "one" / image.parent.name).mkdir(parents=True)
    shutil.copy(image, tmp_path / "one" / image.parent.name)
    assert zoo.evaluate(run, tmp_path / "one", progress=False).images == 1
