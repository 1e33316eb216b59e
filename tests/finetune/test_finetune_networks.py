"""Networks of every make: what is fine-tuned of them, and what is refused before any image is read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers

import zoo
from zoo import heads
from zoo.errors import UsageError
from zoo.finetune import base
from zoo.finetune.advise import advise
from zoo.finetune.features import Extraction
from zoo.finetune.result import load_run
from zoo.preprocessing import GREY

PLAIN: dict[str, Any] = {"augment": "none", "progress": False}
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3)).astype(np.float32)


def convolutions(channels: int = 3) -> tuple[Any, Any]:
    """Input and feature map (N, 5, 5, 8) of a small network."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((24, 24, channels))
    x = layers.Rescaling(1 / 64, offset=-2.0)(inputs)
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="low")(x)
    return inputs, layers.Conv2D(8, 3, strides=2, name="high")(x)


def output(model: Any, images: np.ndarray = IMAGES) -> np.ndarray:
    return np.asarray(model.predict_on_batch(images))


def features(model: Any) -> np.ndarray:
    """What enters the classifier of a loaded network."""
    return output(keras.Model(model.input, heads.bottleneck(model)))


def loaded(model: Any) -> base.Base:
    return base.load(model, None)


def save(model: Any, folder: Path) -> str:
    model.save(folder / "mine.keras")
    return str(folder / "mine.keras")


@pytest.mark.parametrize("ending", ["pooled map", "activated map", "average", "hidden layer"])
def test_a_network_without_a_classifier_gets_one_on_its_features(ending: str) -> None:
    inputs, x = convolutions()
    if ending == "pooled map":
        x = layers.MaxPooling2D()(layers.BatchNormalization()(x))
    elif ending == "activated map":
        x = layers.ReLU()(x)
    elif ending == "average":
        x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    else:
        x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    model = keras.Model(inputs, x, name="trunk")
    found = loaded(model)
    wanted = output(model)
    wanted = wanted.mean(axis=(1, 2)) if wanted.ndim == 4 else wanted
    assert np.abs(features(found.model) - wanted).max() < 1e-5
    assert found.notes == (
        f"trunk ends in features {model.output_shape[1:]}, not in classes: the new classifier is put on them",
    )


def test_a_fully_convolutional_classifier_is_replaced_by_one_that_answers_once() -> None:
    inputs, x = convolutions()
    model = keras.Model(inputs, layers.Softmax()(layers.Conv2D(6, 1, name="score")(x)))
    found = loaded(model)
    wanted = output(keras.Model(inputs, x)).mean(axis=(1, 2))
    assert np.abs(features(found.model) - wanted).max() < 1e-5
    assert heads.classifier(found.model).operation.name == "score"


def test_a_trunk_is_fine_tuned_from_the_command_line(digits: Path, tmp_path: Path) -> None:
    from zoo.cli import cli

    inputs, x = convolutions()
    path = save(keras.Model(inputs, layers.MaxPooling2D()(x), name="trunk"), tmp_path)
    run = tmp_path / "run"
    said = CliRunner().invoke(cli, ["finetune", path, str(digits), "-o", str(run), "--augment", "none"])
    assert said.exit_code == 0, said.output
    assert "one linear classifier on its features" in said.output
    assert "note: trunk ends in features (2, 2, 8), not in classes" in said.output
    assert "data:image/jpeg" in (run / "report.html").read_text("utf-8")
    assert load_run(run)[0].output_shape == (None, 4)
    advice = advise(digits, [path], progress=False)
    assert advice.recommended == path
    assert any("not in classes" in note for note in advice.notes)


def test_layers_of_a_trunk_are_trained(digits: Path, tmp_path: Path) -> None:
    inputs, x = convolutions()
    model = keras.Model(inputs, layers.ReLU()(x), name="trunk")
    how = {"strategy": "blocks", "head_epochs": 1, "epochs": 1, **PLAIN}
    result = zoo.finetune(model, digits, output=tmp_path / "run", **how)
    assert result.plan.trained.endswith("with a new softmax layer on its features")


def test_a_network_of_grey_images_is_given_them_in_grey(digits: Path, tmp_path: Path) -> None:
    inputs, x = convolutions(channels=1)
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)), name="grey")
    found = loaded(model)
    assert found.model.input_shape == (None, 24, 24, 3)
    grey = IMAGES @ np.array(GREY, np.float32)
    assert np.abs(output(found.model) - output(model, grey[..., None])).max() < 1e-4
    result = zoo.finetune(model, digits, output=tmp_path / "run", strategy="all", epochs=1, head_epochs=1, **PLAIN)
    assert result.model is not None
    assert np.allclose(np.ravel(result.model.get_layer("rgb_to_grey").get_weights()[0]), GREY)
    assert "grey takes grey images: pictures are made grey before it" in result.plan.notes


def test_a_background_class_is_no_obstacle(digits: Path, tmp_path: Path) -> None:
    inputs, x = convolutions()
    model = keras.Model(inputs, layers.Dense(1001, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
    assert zoo.finetune(model, digits, output=tmp_path / "run", **PLAIN).metrics["accuracy"] > 0.4
    with pytest.raises(UsageError, match="does not name its classes"):
        zoo.finetune(model, digits, output=tmp_path / "kept", keep_classes=True, **PLAIN)


def test_of_several_outputs_the_last_in_depth_is_taken_wherever_it_stands() -> None:
    inputs, x = convolutions()
    low = x._keras_history.operation.input
    early = layers.Dense(5, name="auxiliary")(layers.GlobalAveragePooling2D()(low))
    late = layers.Dense(5, name="main")(layers.GlobalAveragePooling2D()(layers.ReLU()(x)))
    for outputs in ([early, late], [late, early], {"a": early, "b": late}):
        model = keras.Model(inputs, outputs, name="inception")
        found = loaded(model)
        assert np.abs(output(found.model) - output(keras.Model(inputs, late))).max() < 1e-5
        assert "auxiliary" not in [layer.name for layer in found.model.layers]
        assert found.notes == ("inception has 2 outputs: 'main' is fine-tuned, 'auxiliary' left out",)
    twin = layers.Dense(5, name="twin")(layers.GlobalAveragePooling2D()(layers.ReLU()(x)))
    with pytest.raises(UsageError, match="which of its 2 outputs is the classifier cannot be told: as many layers"):
        loaded(keras.Model(inputs, [late, twin]))


def test_models_within_a_model_are_taken_apart() -> None:
    """As the Keras guide makes them: augmentation, a trunk and a head, of which each numbers its own layers."""
    inputs, x = convolutions()
    trunk = keras.Model(inputs, layers.BatchNormalization(name="norm")(x), name="trunk")
    outer = keras.Input((24, 24, 3))
    augment = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)], name="augment")
    y = trunk(augment(outer), training=False)
    y = layers.Conv2D(8, 3, name="high")(y)  # a name that the trunk has as well
    model = keras.Model(outer, layers.Dense(2)(layers.GlobalAveragePooling2D()(y)))
    model.compile(loss=lambda a, b: keras.ops.mean(a - b))
    found = loaded(model)
    assert not any(isinstance(layer, keras.Model) for layer in found.model.layers)
    assert {"low", "norm", "high"} < {layer.name for layer in found.model.layers}
    assert np.abs(output(found.model) - output(model)).max() < 1e-5


@pytest.mark.parametrize("strategy", ["linear", "head", "all"])
@pytest.mark.parametrize("named", ["feature", "bottleneck"])
def test_the_callers_model_stays_as_it_is(digits: Path, tmp_path: Path, strategy: str, named: str) -> None:
    inputs, x = convolutions()
    x = layers.BatchNormalization(name=named, trainable=False)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, layers.Dense(6, activation="softmax")(x), name="mine")

    def state() -> list[Any]:
        return [(layer.name, layer.trainable, layer.dtype_policy.name) for layer in model.layers]

    known, weights, answers = state(), model.get_weights(), output(model)
    length = {} if strategy == "linear" else {"epochs": 1, **({"head_epochs": 1} if strategy == "all" else {})}
    result = zoo.finetune(model, digits, output=tmp_path / "run", strategy=strategy, **PLAIN, **length)
    assert state() == known
    assert all(np.array_equal(before, after) for before, after in zip(weights, model.get_weights(), strict=True))
    again = keras.saving.load_model(save(model, tmp_path), safe_mode=True)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert np.abs(output(again) - answers).max() < 1e-6
    own = {id(variable) for variable in model.variables}
    assert own.isdisjoint(id(variable) for variable in result.model.variables)
    trained, given = (part.get_layer("low").get_weights()[0] for part in (result.model, model))
    assert np.array_equal(trained, given) == (strategy != "all")


def test_a_sequential_network_is_one_as_any_other() -> None:
    model = keras.Sequential(
        [keras.Input((24, 24, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    )
    assert np.abs(output(loaded(model).model) - output(model)).max() < 1e-6


def test_what_a_run_made_is_fine_tuned_again_and_again(digits: Path, network: Any, tmp_path: Path) -> None:
    """Each run's model has the layers of the heads before it."""
    model = network
    ways = [{"strategy": "linear"}, {"strategy": "linear"}, *[{"head": "mlp", "strategy": "head", "epochs": 1}] * 2]
    for number, how in enumerate(ways):
        model = zoo.finetune(model, digits, output=tmp_path / str(number), **how, **PLAIN).model
        assert model.output_shape == (None, 4)
    assert len({layer.name for layer in model.layers}) == len(model.layers)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: _of((None, None, 3)), r"got \(None, None, None, 3\); build it with an input_shape such as"),
        (
            lambda: _of((3, 24, 24)),
            r"expected one input \(N, height, width, 3\) of fixed size, got \(None, 3, 24, 24\)",
        ),
        (lambda: _of((24, 24, 4)), r"got \(None, 24, 24, 4\)"),
        (lambda: _of((24,)), r"got \(None, 24\)"),
        (lambda: _two_inputs(), "got 2 inputs"),
        (lambda: keras.Sequential([layers.Dense(2)]), "that is built"),
        (lambda: _Subclassed(), "this _Subclassed is none"),
    ],
)
def test_what_cannot_be_fine_tuned_is_said_before_images_are_read(tmp_path: Path, model: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        zoo.finetune(model(), tmp_path / "nowhere", output=tmp_path / "run", progress=False)


def test_a_layer_that_no_file_can_name_is_refused_unless_it_is_registered() -> None:
    class Twice(layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x * 2

    inputs, x = convolutions()
    pooled = layers.GlobalAveragePooling2D()(Twice(name="odd")(x))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(pooled), name="mine")
    with pytest.raises(UsageError, match=r"mine: 'odd' is a Twice: a file with it .*register_keras_ser"):
        loaded(model)
    keras.saving.register_keras_serializable("tests")(Twice)
    assert loaded(model).notes == ()
    doubled = keras.Model(inputs, layers.Dense(3)(layers.Lambda(lambda tensor: tensor * 2, name="code")(pooled)))
    with pytest.raises(UsageError, match="'code' is a Lambda: a file with it could not be loaded"):
        loaded(doubled)


def test_answers_that_are_no_classes_are_refused() -> None:
    inputs, x = convolutions()
    with pytest.raises(UsageError, match=r"gives \(None, 25, 8\); expected classes \(N, classes\), or features"):
        loaded(keras.Model(inputs, layers.Reshape((25, 8))(x)))


def test_a_missing_file_is_said_before_images_are_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        zoo.finetune(str(tmp_path / "none.keras"), tmp_path / "nowhere", output=tmp_path / "run", progress=False)


class _Subclassed(keras.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


def _of(shape: tuple[int | None, ...]) -> Any:
    inputs = keras.Input(shape)
    return keras.Model(inputs, layers.Dense(2)(inputs))


def _two_inputs() -> Any:
    first, second = keras.Input((24, 24, 3)), keras.Input((24, 24, 3))
    return keras.Model([first, second], layers.Dense(2)(layers.Add()([first, second])))


def test_names_that_are_not_as_many_as_outputs_are_refused_before_anything_is_computed(
    digits: Path, network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.save(tmp_path / "five.keras")
    with zipfile.ZipFile(tmp_path / "five.keras", "a") as archive:
        archive.writestr("zoo.json", json.dumps({"class_names": ["a", "b", "c"]}))

    def computed(*arguments: Any) -> None:
        raise AssertionError("features were computed")

    monkeypatch.setattr(Extraction, "__call__", computed)
    with pytest.raises(UsageError, match="5 outputs and 3 class names, so which name an output has cannot be told"):
        zoo.finetune(tmp_path / "five.keras", digits, output=tmp_path / "run", keep_classes=True, **PLAIN)
    with pytest.raises(UsageError, match="small does not name its classes"):
        zoo.finetune(network, digits, output=tmp_path / "run", keep_classes=True, **PLAIN)
    assert not (tmp_path / "run").exists()
