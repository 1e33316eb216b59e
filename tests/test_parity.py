"""The two real networks give the origin's numbers, from the registry's card to the exported file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.convert import relative_error

pytestmark = pytest.mark.weights
GOLDEN = Path(__file__).parent / "golden"
STRANGER = """
import sys
sys.modules["zoo"] = None  # any import of zoo fails
import keras, numpy
model = keras.saving.load_model(sys.argv[1], safe_mode=True)
numpy.save(sys.argv[3], model.predict(numpy.load(sys.argv[2]), verbose=0))
print(keras.backend.backend())
"""
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")


def golden_images(name: str) -> np.ndarray:
    """The origin's input, made without zoo: (4, 224, 224, 3) uint8 RGB."""
    return np.stack([np.asarray(Image.open(GOLDEN / name / f"{photo}.png")) for photo in PHOTOGRAPHS])


def photographs() -> list[np.ndarray]:
    """The photographs as scikit-image ships them, uint8 RGB."""
    import skimage.data

    return [getattr(skimage.data, photo)() for photo in PHOTOGRAPHS]


@pytest.mark.parametrize("name", ["efficientnet-lite0", "open-nsfw"])
def test_preprocessing_gives_exactly_the_origins_input(name: str) -> None:
    assert np.array_equal(zoo.preprocess(name, photographs()), golden_images(name))


def test_efficientnet_lite0_gives_the_reference_logits_and_top_5() -> None:
    expected = np.load(GOLDEN / "efficientnet-lite0" / "logits.npz", allow_pickle=False)["logits"]
    logits = zoo.load("efficientnet-lite0", outputs="logits").predict(golden_images("efficientnet-lite0"), verbose=0)
    assert relative_error(logits, expected) <= 1e-4
    assert np.array_equal(np.argsort(-logits)[:, :5], np.argsort(-expected)[:, :5])


def test_open_nsfw_gives_what_opencv_gives_at_every_compared_layer() -> None:
    golden = np.load(GOLDEN / "open-nsfw" / "outputs.npz", allow_pickle=False)
    images = golden_images("open-nsfw")
    for name in golden.files:
        model = zoo.load("open-nsfw") if name == "prob" else zoo.load("open-nsfw", layer=name)
        expected = golden[name].transpose(0, 2, 3, 1) if golden[name].ndim == 4 else golden[name]
        actual = model.predict(images[: len(expected)], verbose=0).reshape(expected.shape)
        assert relative_error(actual, expected) <= 1e-4, name


def test_the_right_thing_is_seen_on_each_photograph() -> None:
    right = {
        "chelsea": {"n02123045", "n02123159", "n02124075"},  # tabby, tiger cat, Egyptian cat
        "coffee": {"n07920052", "n07930864"},  # espresso, cup
        "rocket": {"n03773504", "n04008634", "n04266014"},  # missile, projectile, space shuttle
    }
    answers = zoo.predict("efficientnet-lite0", photographs()[:3], top=1)
    for (photo, ids), (best,) in zip(right.items(), answers, strict=True):
        assert best.id in ids, f"{photo}: {best}"


def test_uint8_and_float_images_are_the_same_to_a_model() -> None:
    model = zoo.load("efficientnet-lite0")
    images = golden_images("efficientnet-lite0")[:1]
    assert np.array_equal(model.predict(images, verbose=0), model.predict(images.astype(np.float32), verbose=0))


@pytest.mark.parametrize("name", ["efficientnet-lite0", "open-nsfw"])
def test_without_preprocessing_a_model_takes_what_the_origin_took(name: str) -> None:
    images = golden_images(name)[:2]
    x = (images - np.float32(127)) / 128 if name != "open-nsfw" else images[..., ::-1] - np.float32([104, 117, 123])
    expected = zoo.load(name).predict(images, verbose=0)
    assert relative_error(zoo.load(name, preprocessing=False).predict(x, verbose=0), expected) <= 1e-5


@pytest.mark.parametrize(("name", "shape"), [("efficientnet-lite0", (7, 7, 1280)), ("open-nsfw", (7, 7, 1024))])
def test_a_trunk_gives_its_last_feature_map_pooled_or_not(name: str, shape: tuple[int, ...]) -> None:
    image = golden_images(name)[:1]
    feature_map = zoo.load(name, top=False).predict(image, verbose=0)[0]
    assert feature_map.shape == shape
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        pooled = zoo.load(name, top=False, pooling=pooling).predict(image, verbose=0)[0]
        assert relative_error(pooled, reduce(feature_map, axis=(0, 1))) <= 1e-5


def test_the_receipt_accounts_for_every_tensor() -> None:
    receipt = zoo.verify("efficientnet-lite0")
    assert receipt["parity"]["relative_error"] <= 1e-4
    used, unused = set(receipt["tensors"]), set(receipt["unused"])
    assert not used & unused
    assert {name.rsplit(".", 1)[1] for name in unused} == {"num_batches_tracked"}
    model = zoo.load("efficientnet-lite0")
    assert sum(int(np.prod(shape)) for shape in receipt["tensors"].values()) == model.count_params()


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize("name", ["efficientnet-lite0", "open-nsfw"])
def test_an_exported_file_works_where_zoo_is_unknown(name: str, backend: str, tmp_path: Path) -> None:
    path = zoo.get(name, output=tmp_path / "x.keras")
    images, answer = tmp_path / "images.npy", tmp_path / "answer.npy"
    np.save(images, golden_images(name))
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, path, images, answer],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [backend], done.stderr
    expected = zoo.load(name).predict(np.load(images), verbose=0)
    assert relative_error(np.load(answer), expected) <= 1e-4
    assert np.array_equal(np.argsort(-np.load(answer))[:, :5], np.argsort(-expected)[:, :5])


def test_a_second_get_does_no_work_and_needs_neither_keras_nor_the_network() -> None:
    folder = zoo.get("efficientnet-lite0")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    code = "import sys, zoo; print(zoo.get('efficientnet-lite0', offline=True)); assert 'keras' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_converting_the_files_alone_gives_the_origins_network(nsfw_files) -> None:
    files = nsfw_files()
    model = zoo.convert([files["weights"], files["graph"]])
    x = golden_images("open-nsfw")[..., ::-1] - np.float32([104, 117, 123])
    expected = np.load(GOLDEN / "open-nsfw" / "outputs.npz", allow_pickle=False)["prob"]
    assert relative_error(model.predict(x, verbose=0).reshape(expected.shape), expected) <= 1e-4
    assert isinstance(model.layers[-1], keras.layers.Softmax)
