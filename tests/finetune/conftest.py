"""Real images in folders: scikit-learn's digits, crops of scikit-image's photographs; a small network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def save_digits(folder: Path, digits: int, each: int) -> Path:
    """Writes `each` images of the first `digits` digits as 8 x 8 PNG files, one folder per digit."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    for digit in range(digits):
        place = folder / f"digit-{digit}"
        place.mkdir(parents=True)
        for number, pixels in enumerate(images[labels == digit][:each]):
            Image.fromarray((pixels.reshape(8, 8) * 15.9).astype(np.uint8)).save(place / f"{number:03}.png")
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four digits, fourteen images each."""
    return save_digits(tmp_path_factory.mktemp("digits") / "data", 4, 14)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight crops of each of four photographs."""
    from skimage import data

    folder = tmp_path_factory.mktemp("photos") / "data"
    generator = np.random.default_rng(0)
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        picture = Image.fromarray(getattr(data, name)())
        side = int(min(picture.size) * 0.8)
        (folder / name).mkdir(parents=True)
        for number in range(8):
            left, top = (int(generator.integers(0, length - side)) for length in picture.size)
            crop = picture.crop((left, top, left + side, top + side)).resize((192, 192))
            crop.save(folder / name / f"{number}.jpg", quality=90)
    return folder


@pytest.fixture
def few(digits: Path, tmp_path: Path) -> Path:
    """A copy of the first six images of the first two digits, to spoil or to name in tables."""
    for place in ("digit-0", "digit-1"):
        (tmp_path / "few" / place).mkdir(parents=True)
        for path in sorted((digits / place).iterdir())[:6]:
            shutil.copy(path, tmp_path / "few" / place)
    return tmp_path / "few"


@pytest.fixture
def folder(photos: Path, tmp_path: Path) -> Path:
    """A copy of the photographs to spoil."""
    return Path(shutil.copytree(photos, tmp_path / "data"))


@pytest.fixture
def network() -> Any:
    """A small residual classifier with batch normalisation, RGB 0..255 at 24 x 24, five classes."""
    return make_network()


def make_network() -> Any:
    """Builds the small classifier, always with the same weights."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(5)
    inputs = keras.Input((24, 24, 3))
    x = layers.Rescaling(1 / 64, offset=-2.0, name="preprocessing")(inputs)
    x = layers.Conv2D(8, 3, strides=2, name="conv1")(x)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.ReLU(name="relu1")(x)
    y = layers.Conv2D(8, 3, padding="same", name="conv2")(x)
    x = layers.Add(name="add2")([x, layers.BatchNormalization(name="bn2")(y)])
    x = layers.Conv2D(16, 3, strides=2, name="conv3")(x)
    x = layers.BatchNormalization(name="bn3")(x)
    x = layers.ReLU(name="relu3")(x)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv4")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.1, name="drop")(x)
    x = layers.Dense(5, name="fc")(x)
    return keras.Model(inputs, layers.Softmax(name="prob")(x), name="small")
