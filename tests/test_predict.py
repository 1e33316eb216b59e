"""predict: what it takes, what it says, and how it refuses."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.errors import DataError, FormatError, UnknownFactError, UnknownModelError, UsageError
from zoo.predict import Prediction

RED, GREEN, BLUE = (np.full((9, 12, 3), colour, np.uint8) for colour in ([250, 20, 5], [0, 200, 30], [1, 2, 222]))


@pytest.fixture(scope="module")
def colours() -> Any:
    """A network that needs no weights: its outputs are the mean red, green and blue of its 8 x 8 input."""
    import keras

    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image), name="colours")


def rules(**changes: Any) -> dict[str, Any]:
    facts = {
        "height": 8,
        "width": 8,
        "channel_order": "RGB",
        "value_range": [0, 255],
        "mean": "none",
        "std": "none",
        "resize": {"kind": "square", "size": 8},
        "interpolation": "bilinear",
        "library": "pil",
        "antialias": True,
    }
    return {**facts, **changes}


def run_folder(folder: Path, model: Any, facts: Any) -> Path:
    """What fine-tuning leaves: model.keras with a member zoo.json."""
    folder.mkdir(exist_ok=True)
    model.save(folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras", "a") as archive:
        archive.writestr("zoo.json", facts if isinstance(facts, str) else json.dumps(facts))
    return folder


@pytest.fixture
def run(tmp_path: Path, colours: Any) -> Path:
    return run_folder(tmp_path / "run", colours, {"class_names": ["red", "green", "blue"], "preprocessing": rules()})


def test_a_run_says_its_own_class_names(run: Path) -> None:
    answers = zoo.predict(run, [RED, GREEN, BLUE], top=2)
    assert [[answer.name for answer in image] for image in answers] == [
        ["red", "green"],
        ["green", "blue"],
        ["blue", "green"],
    ]
    best = answers[0][0]
    assert (best.index, best.id, best.name) == (0, "red", "red")
    assert best.score == pytest.approx(250)
    assert isinstance(best.score, float)


def test_a_run_may_be_named_by_its_folder_or_its_file(run: Path) -> None:
    expected = zoo.predict(run, RED)
    assert zoo.predict(str(run), RED) == expected
    assert zoo.predict(run / "model.keras", RED) == expected
    assert zoo.predict(str(run / "model.keras"), RED) == expected


def test_exported_files_keep_the_ids_of_their_classes(tmp_path: Path, colours: Any) -> None:
    facts = {"class_names": ["tench", "goldfish", "shark"], "class_ids": ["n1", "n2", "n3"], "preprocessing": rules()}
    answer = zoo.predict(run_folder(tmp_path / "run", colours, facts), GREEN, top=1)[0][0]
    assert (answer.id, answer.name) == ("n2", "goldfish")


def test_the_runs_resize_rule_is_followed(tmp_path: Path, colours: Any) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[:4] = image[-4:] = image[:, :4] = image[:, -4:] = [255, 0, 0]  # a red frame around a blue square
    image[4:12, 4:12] = [0, 0, 255]
    whole = {"class_names": ["red", "green", "blue"], "preprocessing": rules(interpolation="nearest")}
    assert zoo.predict(run_folder(tmp_path / "a", colours, whole), image, top=1)[0][0].name == "red"
    inner = {
        **whole,
        "preprocessing": rules(interpolation="nearest", resize={"kind": "crop-fraction", "fraction": 0.5}),
    }
    assert zoo.predict(run_folder(tmp_path / "b", colours, inner), image, top=1)[0][0] == Prediction(
        2, "blue", "blue", 255.0
    )


def test_a_rule_that_nobody_states_is_asked_for(tmp_path: Path, colours: Any) -> None:
    run = run_folder(
        tmp_path / "run", colours, {"class_names": ["r", "g", "b"], "preprocessing": rules(resize="unknown")}
    )
    with pytest.raises(UnknownFactError, match=r"preprocessing\.resize: no source gives it; pass resize="):
        zoo.predict(run, RED)
    assert zoo.predict(run, RED, resize={"kind": "square", "size": 8}, top=1)[0][0].name == "r"


def test_a_keras_model_answers_with_plain_indices(colours: Any) -> None:
    answers = zoo.predict(colours, [BLUE])
    assert [(answer.index, answer.id, answer.name) for answer in answers[0]] == [
        (2, "2", "2"),
        (1, "1", "1"),
        (0, "0", "0"),
    ]


def test_a_plain_keras_model_sees_the_centre(colours: Any) -> None:
    # 8 x 8 input: the short side goes to ceil(8 * 8 / 7) = 10, one pixel falls away on each side
    image = np.full((10, 30, 3), [255, 0, 0], np.uint8)
    image[1:9, 11:19] = [0, 0, 255]
    assert zoo.predict(colours, image, top=1) == [[Prediction(2, "2", "2", 255.0)]]


def test_a_keras_file_without_zoos_facts_is_a_plain_model(tmp_path: Path, colours: Any) -> None:
    colours.save(tmp_path / "x.keras")
    assert zoo.predict(tmp_path / "x.keras", BLUE, top=1)[0][0].name == "2"


def test_batches_do_not_change_the_answers(run: Path) -> None:
    images = [RED, GREEN, BLUE, GREEN, RED]
    assert zoo.predict(run, images, batch_size=2) == zoo.predict(run, images, batch_size=32)


def test_more_answers_than_classes_are_all_classes(run: Path) -> None:
    assert len(zoo.predict(run, RED, top=50)[0]) == 3


def test_equal_scores_come_in_the_order_of_the_classes(run: Path) -> None:
    grey = np.full((8, 8), 100, np.uint8)
    assert [answer.name for answer in zoo.predict(run, grey)[0]] == ["red", "green", "blue"]


def test_images_may_be_paths_folders_arrays_or_pil(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(GREEN).save(folder / "a.png")
    Image.fromarray(BLUE).save(folder / "more" / "b.png")
    (folder / "notes.txt").write_text("not an image")

    def best(images: Any) -> list[str]:
        return [answers[0].name for answers in zoo.predict(run, images)]

    assert best(folder) == ["green", "blue"]
    assert best([str(folder), RED, Image.fromarray(GREEN), folder / "a.png"]) == [
        "green",
        "blue",
        "red",
        "green",
        "green",
    ]
    assert best(np.stack([RED, BLUE])) == ["red", "blue"]
    assert best([]) == []


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"top": 0}, "top: expected a whole number of at least 1, got 0"),
        ({"top": 2.5}, "top: expected a whole number of at least 1, got 2.5"),
        ({"batch_size": True}, "batch_size: expected a whole number of at least 1, got True"),
        ({"interpolation": "cubic"}, "interpolation: expected one of nearest, "),
    ],
)
def test_impossible_arguments_are_refused(run: Path, arguments: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError) as caught:
        zoo.predict(run, RED, **arguments)
    assert str(caught.value).startswith(what)


def test_bad_images_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg: no such file or folder"):
        zoo.predict("no model is looked for before the image is found", tmp_path / "gone.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(DataError, match=r"bad\.jpg: not an image"):
        zoo.predict(run, [RED, tmp_path / "bad.jpg"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no images in this folder"):
        zoo.predict(run, tmp_path / "empty")


def test_models_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownModelError, match="no model is called 'efficientnet-lite'; did you mean efficientnet-lite0"
    ):
        zoo.predict("efficientnet-lite", RED)
    with pytest.raises(
        UsageError, match=r"gone\.keras: no such file; expected a \.keras file or a fine-tuning run's folder"
    ):
        zoo.predict("gone.keras", RED)
    with pytest.raises(UsageError, match=r"model\.keras: no such file"):
        zoo.predict(tmp_path, RED)
    with pytest.raises(UsageError, match=r"expected a name, a run folder, a \.keras file or a Keras model"):
        zoo.predict(3, RED)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ("{", "not a sound .keras file"),
        ({"class_names": "red"}, "expected class names as a list of text"),
        ({"class_names": ["r", 2, "b"]}, "expected class names as a list of text"),
        ([], "expected class names as a list of text"),
        ({"class_names": ["r", "g", "b"], "class_ids": ["r"]}, "3 class names but 1 class ids"),
        ({"class_names": ["r", "g"]}, "3 outputs but 2 class names"),
        ({"class_names": ["r", "g", "b"], "preprocessing": {"height": 8}}, "zoo.json: preprocessing: "),
    ],
)
def test_damaged_facts_are_refused(tmp_path: Path, colours: Any, facts: Any, what: str) -> None:
    with pytest.raises(FormatError) as caught:
        zoo.predict(run_folder(tmp_path / "run", colours, facts), RED)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_keras_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.keras").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(FormatError, match=r"x\.keras: not a sound \.keras file"):
        zoo.predict(tmp_path / "x.keras", RED)
    with zipfile.ZipFile(tmp_path / "y.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(FormatError, match=r"y\.keras: Keras cannot load it"):
        zoo.predict(tmp_path / "y.keras", RED)


def test_models_that_classify_no_images_are_refused() -> None:
    import keras

    any_size = keras.Input((None, None, 3))
    with pytest.raises(UsageError, match=r"free: expected a model of one input \(N, height, width, 3\) of fixed size"):
        zoo.predict(keras.Model(any_size, keras.layers.GlobalAveragePooling2D()(any_size), name="free"), RED)
    image = keras.Input((8, 8, 3))
    with pytest.raises(UsageError, match=r"map: expected a classifier with outputs \(N, classes\), got \(1, 4, 4, 3\)"):
        zoo.predict(keras.Model(image, keras.layers.MaxPooling2D(2)(image), name="map"), RED)


@pytest.mark.weights
def test_efficientnet_lite0_names_the_cat_as_the_reference_does(lite0_files: Any) -> None:
    import skimage.data

    lite0_files()
    golden = np.load(Path(__file__).parent / "golden" / "efficientnet-lite0" / "logits.npz")["logits"].astype(
        np.float64
    )
    photographs = [getattr(skimage.data, name)() for name in ("chelsea", "coffee", "rocket", "astronaut")]
    answers = zoo.predict("efficientnet-lite0", photographs)
    for row, found in zip(golden, answers, strict=True):
        scores = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        assert [answer.index for answer in found] == np.argsort(-row)[:5].tolist()
        np.testing.assert_allclose([answer.score for answer in found], np.sort(scores)[::-1][:5], rtol=1e-3)
    assert [found[0].name for found in answers] == ["tiger cat", "espresso", "missile", "football helmet"]
    assert answers[0][0].id == "n02123159"


@pytest.mark.weights
def test_open_nsfw_finds_the_photographs_safe(nsfw_files: Any) -> None:
    import skimage.data

    nsfw_files()
    golden = np.load(Path(__file__).parent / "golden" / "open-nsfw" / "outputs.npz")["prob"]
    photographs = [getattr(skimage.data, name)() for name in ("chelsea", "coffee", "rocket", "astronaut")]
    for row, found in zip(golden, zoo.predict("open-nsfw", photographs), strict=True):
        assert [answer.name for answer in found] == ["sfw", "nsfw"]
        np.testing.assert_allclose([answer.score for answer in found], row, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["predict", "finetune"])
def test_importing_the_module_of_a_verb_first_leaves_the_verb_callable(python: str, name: str) -> None:
    code = f"import importlib; importlib.import_module('zoo.{name}'); import zoo; print(callable(zoo.{name}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


@pytest.fixture
def grey_file(tmp_path: Path) -> Path:
    """A .keras file of Keras's own that takes grey images: its outputs are the mean grey, and what lacks to white."""
    import keras

    image = keras.Input((8, 8, 1))
    mean = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, keras.layers.Concatenate()([mean, keras.layers.Rescaling(-1.0, offset=255.0)(mean)]))
    model.save(tmp_path / "grey.keras")
    return tmp_path / "grey.keras"


def test_a_network_of_grey_images_is_given_pictures_made_grey(grey_file: Path, tmp_path: Path) -> None:
    import keras
    from PIL import Image

    (answers,) = zoo.predict(grey_file, RED, top=2)
    found = {answer.index: answer.score for answer in answers}
    grey = 0.299 * 250 + 0.587 * 20 + 0.114 * 5
    assert found[0] == pytest.approx(grey, abs=0.5)
    assert zoo.predict(keras.saving.load_model(grey_file), RED, top=2)[0][0].index == answers[0].index
    for name, colour in (("0", 250), ("1", 5)):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9), (colour,) * 3).save(tmp_path / "data" / name / "one.png")
    assert zoo.evaluate(grey_file, tmp_path / "data", progress=False).top1.value == 1
