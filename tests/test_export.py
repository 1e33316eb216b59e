"""export: every format is opened in its own runtime, as its user does, and answers as the model does."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo import library
from zoo.errors import DataError, ParityError, UnsupportedError, UsageError
from zoo.preprocessing import preprocess

SIDE = 20
NAMES = ["astronaut", "cat", "cup of coffee"]
RULES = {
    "height": SIDE, "width": SIDE, "channel_order": "RGB", "value_range": [0, 255], "mean": "none", "std": "none",
    "resize": {"kind": "short-side", "size": 24}, "interpolation": "bicubic", "library": "pil", "antialias": True,
}  # fmt: skip


def network(last: Any = None) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    inputs = keras.Input((SIDE, SIDE, 3), name="picture")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = layers.Conv2D(8, 3, strides=2, name="_conv")(layers.ZeroPadding2D(((0, 1), (0, 1)))(x))
    x = layers.ReLU(name="conv")(layers.BatchNormalization(name="_bn")(x))
    x = layers.MaxPooling2D(2)(layers.DepthwiseConv2D(3, padding="same", activation="swish")(x))
    x = layers.Dense(64, activation="relu")(layers.Dropout(0.5)(layers.Flatten()(x)))
    x = layers.Dense(3)(x)
    return keras.Model(inputs, (last or layers.Softmax())(x), name="small")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    facts = {"model": "small", "made_by": "zoo finetune", "class_names": NAMES, "preprocessing": RULES}
    library.export(network(), folder / "model.keras", facts)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve crops of photographs, and a file that is none."""
    from skimage import data

    folder = tmp_path_factory.mktemp("photos")
    for number in range(12):
        picture = (data.astronaut(), data.chelsea(), data.coffee())[number % 3]
        Image.fromarray(picture[:: 4 + number % 5, 20 * number :]).save(folder / f"{number}.jpg")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def expected(run: Path, photos: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images, and the answers of the model itself."""
    from zoo.finetune.result import load_run

    model, _, preprocessing = load_run(run)
    images = preprocess(preprocessing, sorted(photos.glob("[0-9]*.jpg"))).astype(np.float32)
    return images, np.asarray(model.predict_on_batch(images))


def says_what_it_takes(facts: dict[str, Any]) -> None:
    assert facts["input"]["shape"] == [None, SIDE, SIDE, 3]
    assert (facts["input"]["name"], facts["input"]["range"]) == ("images", [0, 255])
    assert facts["input"]["resize"]["resize"] == {"kind": "short-side", "size": 24}
    assert facts["output"] == {"name": "probabilities", "shape": [None, 3]}
    assert facts["class_names"] == NAMES


def test_keras(run: Path, tmp_path: Path, expected: Any) -> None:
    import keras

    found = zoo.export(run, tmp_path / "out.keras")
    assert (found.format, found.difference, found.beside) == ("keras", 0.0, ())
    images, answers = expected
    again = keras.saving.load_model(found.path, safe_mode=True)
    assert np.asarray(again.predict_on_batch(images)) == pytest.approx(answers, abs=1e-6)
    with zipfile.ZipFile(found.path) as archive:
        assert json.loads(archive.read("zoo.json"))["made_by"] == "zoo finetune"
    assert zoo.predict(found.path, images[0].astype(np.uint8))[0][0].name in NAMES


def test_savedmodel(run: Path, tmp_path: Path, expected: Any) -> None:
    import tensorflow as tf

    found = zoo.export(run, tmp_path / "out")
    assert found.format == "savedmodel"
    assert found.difference is not None
    assert found.difference <= 1e-4
    images, answers = expected
    serve = tf.saved_model.load(str(found.path)).signatures["serving_default"]
    for count in (1, 5):
        (given,) = (serve(images=tf.constant(images[:count]))["probabilities"],)
        assert given.numpy() == pytest.approx(answers[:count], abs=1e-5)
    assert (found.path / "labels.txt").read_text().splitlines() == NAMES
    says_what_it_takes(json.loads((found.path / "zoo.json").read_text()))


def test_onnx(run: Path, tmp_path: Path, photos: Path, expected: Any) -> None:
    import onnx
    import onnxruntime

    found = zoo.export(run, tmp_path / "out.onnx", images=photos)
    assert found.runtime == "onnxruntime"
    assert found.images == 12  # the broken one is left out
    images, answers = expected
    session = onnxruntime.InferenceSession(found.path)
    assert session.get_inputs()[0].shape == ["batch", SIDE, SIDE, 3]
    assert session.get_outputs()[0].shape == ["batch", 3]
    for count in (1, 5):
        (given,) = session.run(["probabilities"], {"images": images[:count]})
        assert given == pytest.approx(answers[:count], abs=1e-5)
    written = onnx.load(found.path)
    facts = {entry.key: json.loads(entry.value) for entry in written.metadata_props}
    says_what_it_takes(facts)
    assert "RGB 0..255" in written.doc_string
    assert session.get_modelmeta().custom_metadata_map["class_names"] == json.dumps(NAMES)
    says_what_it_takes(json.loads((tmp_path / "out.onnx.json").read_text()))
    assert "object" not in vars(np)  # what tf2onnx wants of numpy is nobody else's matter


@pytest.mark.parametrize(("quantize", "error"), [(None, 1e-5), ("float16", 5e-3), ("int8", 5e-2)])
def test_tflite(run: Path, tmp_path: Path, photos: Path, expected: Any, quantize: str | None, error: float) -> None:
    import tensorflow as tf

    found = zoo.export(run, tmp_path / "out.tflite", quantize=quantize, images=photos)
    assert found.quantize == quantize
    assert found.agreement is not None
    assert found.agreement >= 0.8
    images, answers = expected
    interpreter = tf.lite.Interpreter(str(found.path))
    assert interpreter.get_input_details()[0]["dtype"] == np.float32
    runner = interpreter.get_signature_runner("serving_default")
    for count in (1, 5):
        assert runner(images=images[:count])["probabilities"] == pytest.approx(answers[:count], abs=error)
    assert (tmp_path / "out.tflite.txt").read_text().splitlines() == NAMES
    facts = json.loads((tmp_path / "out.tflite.json").read_text())
    says_what_it_takes(facts)
    assert facts["quantized"] == quantize
    assert (facts["checked"]["images"], facts["checked"]["runtime"]) == (12, "tf.lite.Interpreter")
    weights = 4 * network().count_params()
    assert found.size < weights if quantize else found.size > weights


@pytest.mark.parametrize("name", ["out.keras", "out", "out.onnx"])
def test_what_answers_otherwise_than_the_model_is_not_written(
    run: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo import export_tf

    def shifted(path: Path) -> Any:
        return lambda images: np.full((len(images), 3), 1 / 3)

    for kind in export_tf.RUNTIMES:
        monkeypatch.setitem(export_tf.RUNTIMES, kind, shifted)
    if name == "out.keras":
        other, write = network(), library.export
        other.layers[-2].set_weights([np.zeros_like(array) for array in other.layers[-2].get_weights()])
        monkeypatch.setattr(library, "export", lambda model, path, facts: write(other, path, facts))
    with pytest.raises(ParityError, match=r"not written: .* gives other answers than the model, by"):
        zoo.export(run, tmp_path / "new" / name)
    assert list((tmp_path / "new").iterdir()) == []


def test_what_a_format_cannot_express_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    import keras

    # TFLite's built-in operations have no inverse error function.
    odd = network(keras.layers.Lambda(keras.ops.erfinv, output_shape=(3,)))
    with pytest.raises(UnsupportedError, match="tflite cannot express this model"):
        zoo.export(odd, tmp_path / "out.tflite")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_says_nothing_of_its_classes_is_exported_without(tmp_path: Path) -> None:
    import keras

    found = zoo.export(network(keras.layers.Identity()), tmp_path / "out.onnx", check=False)
    assert found.beside == (tmp_path / "out.onnx.json",)
    facts = json.loads(found.beside[0].read_text())
    assert (facts["class_names"], facts["output"]["name"]) == (None, "scores")
    assert not (tmp_path / "out.onnx.txt").exists()


def test_where_keras_has_another_backend_a_process_with_tensorflow_does_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    found = zoo.export(run, tmp_path / "out.onnx")
    assert found.difference is not None
    assert found.difference < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.onnx", "out.onnx.json", "out.onnx.txt"]


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("out.pb", {}, r"the ending '\.pb' names no format: expected one of keras, savedmodel, onnx, tflite"),
        ("out.onnx", {"format": "onix"}, "format='onix': expected one of"),
        ("out.onnx", {"format": "tflite"}, r"has to end in \.tflite"),
        ("out.onnx", {"format": "savedmodel"}, "a SavedModel is a folder"),
        ("out.onnx", {"quantize": "int8"}, "for format tflite alone"),
        ("out.tflite", {"quantize": "int4"}, "expected float16 or int8"),
        ("out.tflite", {"quantize": "int8"}, "needs images=FOLDER"),
        ("full", {}, "full: is not empty; name a new folder"),
        ("full.onnx", {}, "is a folder; name a file"),
    ],
)
def test_impossible_wishes_are_refused(run: Path, tmp_path: Path, name: str, how: Any, words: str) -> None:
    for folder in ("full", "full.onnx"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine").touch()
    with pytest.raises(UsageError, match=words):
        zoo.export(run, tmp_path / name, **how)


def test_int8_wants_some_images_to_learn_from(run: Path, tmp_path: Path, photos: Path) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "one.jpg").write_bytes((photos / "1.jpg").read_bytes())
    with pytest.raises(DataError, match="1 images that can be read; int8 needs 10"):
        zoo.export(run, tmp_path / "out.tflite", quantize="int8", images=tmp_path / "few")


def test_a_missing_package_is_named_with_what_brings_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "tf2onnx" else real(name, *rest)
    )
    with pytest.raises(UsageError, match=r"format onnx needs tf2onnx: pip install 'convnet-zoo\[export\]'"):
        zoo.export(run, tmp_path / "out.onnx")
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "onnxruntime" else real(name, *rest)
    )
    found = zoo.export(run, tmp_path / "out.onnx")
    assert (found.difference, found.runtime) == (None, None)
    assert found.notes[0].startswith("not run: onnxruntime is not installed")


def test_the_command_writes_and_says_what_it_wrote(run: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from zoo.cli import cli

    done = CliRunner().invoke(cli, ["export", str(run), "-o", str(tmp_path / "out.onnx")])
    assert done.exit_code == 0, done.output
    assert "out.onnx  (onnx, " in done.output
    assert "onnxruntime, 11 images: answers differ by" in done.output
    done = CliRunner().invoke(cli, ["export", str(run), "-o", str(tmp_path / "out.keras"), "--no-check", "--json"])
    assert json.loads(done.output)["difference"] is None


def test_a_network_that_is_sure_of_every_image_is_compared_all_the_same() -> None:
    from zoo.export import _difference

    sure = np.array([[1.0, 1e-20, 1e-25]])
    assert _difference(sure, np.array([[1.0, 1e-20, 1e-25]])) == 0
    assert _difference(sure, np.array([[1.0, 1e-22, 1e-25]])) > 0.05
    assert _difference(sure, np.array([[1.0, 1e-20, 0.0]])) == pytest.approx(0, abs=1e-12)
    scores = np.array([[-3.0, 50.0]])
    assert _difference(scores, np.array([[-3.0, 49.5]])) == pytest.approx(0.01)
