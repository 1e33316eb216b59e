"""Files -> one array of images at the size the network takes, and augmented views of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from zoo.errors import DataError, ZooError
from zoo.finetune.data import Dataset, threaded
from zoo.finetune.scratch import Scratch
from zoo.preprocessing import resize_and_crop
from zoo.schema import Preprocessing

AUGMENTATIONS = ("translate", "rotate", "flip")
SHIFT = 0.1
"""Largest translation, as a share of each side."""
TURN = 15 / 360
"""Largest rotation, in turns: 15 degrees."""


def load(dataset: Dataset, preprocessing: Preprocessing, scratch: Scratch, *, progress: bool = True) -> np.ndarray:
    """Decodes and resizes every image once.

    Args:
        dataset: the images.
        preprocessing: size, resize rule and interpolation.
        scratch: where the array is held.
        progress: show a bar on a terminal.

    Returns:
        (N, height, width, 3) uint8, RGB, 0..255.

    Raises:
        DataError: an image changed since it was read.
    """
    shape = (len(dataset.items), *preprocessing.sides, 3)
    images = scratch.array(shape, np.uint8)

    def read(position: int) -> None:
        try:
            pixels = resize_and_crop(dataset.open(position), preprocessing)
        except (OSError, ZooError) as error:
            raise DataError(
                f"{dataset.items[position]}: could be read a moment ago and now cannot ({error}); start again"
            ) from error
        images[position] = np.clip(np.rint(pixels), 0, 255)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's on odd metadata of sound pictures
        for _ in threaded(read, range(len(dataset.items)), "loading", progress):
            pass
    return images


class Augmenter:
    """Random translation, rotation and mirroring by Keras layers; the same seed gives the same views.

    Args:
        kinds: any of `AUGMENTATIONS`.
        seed: decides the views.
    """

    def __init__(self, kinds: tuple[str, ...], seed: int) -> None:
        import keras

        make: dict[str, Any] = {
            "translate": lambda: keras.layers.RandomTranslation(SHIFT, SHIFT, fill_mode="nearest", seed=seed),
            "rotate": lambda: keras.layers.RandomRotation(TURN, fill_mode="nearest", seed=seed + 1),
            "flip": lambda: keras.layers.RandomFlip("horizontal", seed=seed + 2),
        }
        self._layers = [make[kind]() for kind in AUGMENTATIONS if kind in kinds]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns one random view of each image: (N, H, W, 3) float32, 0..255."""
        import keras

        views: Any = keras.ops.convert_to_tensor(images.astype(np.float32))
        for layer in self._layers:
            views = layer(views, training=True)
        return np.asarray(keras.ops.convert_to_numpy(views))
