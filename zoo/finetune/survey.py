"""A first look: a sample of the data through the network, before anything is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.finetune.features import Extraction, Images, depths
from zoo.finetune.store import Store

if TYPE_CHECKING:
    from zoo.finetune.likeness import Likeness

SAMPLE = 300
"""Images looked at; where there are fewer than `ALL`, all of them, whose features the linear strategy needs anyway."""
ALL = 1000


def survey(
    model: Any,
    images: Images,
    digests: tuple[str, ...],
    labels: np.ndarray,
    positions: np.ndarray,
    store: Store,
    seed: int,
    progress: bool,
) -> tuple[Likeness | None, float | None]:
    """Returns how well the network's features tell the classes apart, and how many images it takes a second.

    Args:
        model: the network.
        images: positions -> images.
        digests: what tells each image, for the store.
        labels: (N,) integers.
        positions: of the images to train on.
        store: where the features are held.
        seed: decides the sample.
        progress: show a bar on a terminal.
    """
    import keras

    from zoo.finetune import likeness, linear

    sample = positions if len(positions) < ALL else positions[linear.subset(labels[positions], seed, SAMPLE)]
    tensors = depths(model)
    work = Extraction(keras.Model(model.input, list(tensors.values())), images, digests, store, seed, progress)
    arrays = work(sample, 0, ())
    features = {name: np.asarray(array, np.float32) for name, array in zip(tensors, arrays, strict=True)}
    return likeness.measure(features, labels[sample], seed=seed), work.speed
