"""An artifact is the model, byte for byte, and is loaded without initialisers."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from zoo import artifact
from zoo.errors import FormatError

IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 12, 12, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """One layer of each kind that the builder makes, every variable away from its default."""
    inputs = keras.Input((12, 12, 3), name="data")
    x = keras.layers.Rescaling([0.5, 1.0, 2.0], [1.0, 2.0, 3.0], name="preprocessing")(inputs)
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.PReLU(shared_axes=[1, 2], name="act")(x)
    x = keras.layers.DepthwiseConv2D(3, name="dw")(x)
    x = keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-3.4e38)
    x = keras.layers.MaxPooling2D(3, name="pool")(x)
    x = keras.layers.Dense(5, name="fc")(keras.layers.Flatten(name="flat")(x))
    model = keras.Model(inputs, keras.layers.Dropout(0.5, name="drop")(x), name="sample")
    for index, weight in enumerate(model.weights):
        weight.assign(np.random.default_rng(index).uniform(0.1, 1, weight.shape))
    return model


def test_what_was_saved_is_what_is_loaded(model: keras.Model, tmp_path: Path) -> None:
    artifact.save(model, tmp_path)
    loaded = artifact.load(tmp_path)
    assert loaded.to_json() == model.to_json()
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs)), ours.path
    assert np.array_equal(loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0))


def test_loading_runs_no_initialiser(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact.save(model, tmp_path)
    ran = []
    for kind in (keras.initializers.GlorotUniform, keras.initializers.Zeros, keras.initializers.Ones):
        monkeypatch.setattr(kind, "__call__", lambda self, *args, **kwargs: ran.append(self))
    artifact.load(tmp_path)
    assert ran == []


@pytest.mark.parametrize("name", [artifact.CONFIG, artifact.WEIGHTS])
def test_a_damaged_artifact_is_refused_in_one_line(model: keras.Model, tmp_path: Path, name: str) -> None:
    artifact.save(model, tmp_path)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="damaged model") as caught:
        artifact.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_change_after_sealing_is_noticed(model: keras.Model, tmp_path: Path) -> None:
    artifact.seal(tmp_path, {"model": "sample"}, artifact.save(model, tmp_path))
    assert artifact.read_receipt(tmp_path)["model"] == "sample"
    description = json.loads((tmp_path / artifact.CONFIG).read_text())
    description["config"]["name"] = "other"
    (tmp_path / artifact.CONFIG).write_text(json.dumps(description))
    with pytest.raises(FormatError, match="was changed"):
        artifact.read_receipt(tmp_path)
