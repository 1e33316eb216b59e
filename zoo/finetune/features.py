"""What is frozen is computed once: outputs of a network for every training image and its augmented views."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from zoo.finetune.images import Augmenter
from zoo.finetune.scratch import Scratch

BATCH = 32
HALF_LIMIT = 3e4
"""Activations above this are kept in float32: float16 ends at 65504."""


class Runner:
    """Runs a network in batches of one size, so that it is compiled once.

    Args:
        model: one input, one or more outputs.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """Returns one float32 array (n, ...) per output, for n <= 32 images."""
        count = len(images)
        padded = np.zeros((BATCH, *images.shape[1:]), np.float32)
        padded[:count] = images
        outputs = self._model.predict_on_batch(padded)
        return [np.asarray(output)[:count] for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]

    def many(self, images: np.ndarray) -> np.ndarray:
        """Returns the first output for any number of images."""
        return np.concatenate([self(images[start : start + BATCH])[0] for start in range(0, len(images), BATCH)])


def view_kinds(kinds: tuple[str, ...], views: int) -> list[tuple[str, ...]]:
    """Returns the augmentations of each view: none for the first, mirroring only in the last half of the others.

    Mirrored views stand apart because they can be wrong (a mirrored digit is no digit) and are then left out.
    """
    plain = tuple(kind for kind in kinds if kind != "flip")
    unmirrored = (views + 1) // 2 if "flip" in kinds and plain else (0 if "flip" in kinds else views)
    return [(), *[plain if view < unmirrored else kinds for view in range(views)]]


def extract(
    model: keras.Model,
    images: np.ndarray,
    positions: np.ndarray,
    views: list[tuple[str, ...]],
    scratch: Scratch,
    *,
    seed: int,
    half: bool = False,
    what: str = "features",
    progress: bool = True,
) -> list[np.ndarray]:
    """Computes a network's outputs for views of images.

    Args:
        model: takes (N, H, W, C).
        images: (N, H, W, C), all images.
        positions: which of them.
        views: augmentations of each view, `()` for the image itself.
        scratch: where the outputs are held.
        seed: decides the views.
        half: hold them in float16 if their size allows.
        what: name of the bar.
        progress: show a bar on a terminal.

    Returns:
        One array (views, len(positions), ...) per output, float32 or float16.
    """
    from tqdm import tqdm

    run = Runner(model)
    first = run(np.asarray(images[positions[:BATCH]]))
    held = [
        scratch.array(
            (len(views), len(positions), *output.shape[1:]),
            np.float16 if half and np.abs(output).max(initial=0) < HALF_LIMIT else np.float32,
        )
        for output in first
    ]
    total = len(views) * len(positions)
    with tqdm(total=total, desc=what, unit="image", leave=False, disable=None if progress else True) as bar:
        for number, kinds in enumerate(views):
            augment = Augmenter(kinds, seed * 1000 + number * 10)
            for start in range(0, len(positions), BATCH):
                batch = np.asarray(images[positions[start : start + BATCH]])
                for array, output in zip(held, run(augment(batch) if kinds else batch), strict=True):
                    limit = np.finfo(array.dtype).max
                    array[number, start : start + BATCH] = np.clip(output, -limit, limit)
                bar.update(len(batch))
    return held


def through(
    model: keras.Model, cached: np.ndarray, scratch: Scratch, *, what: str = "features", progress: bool = True
) -> np.ndarray:
    """Returns the upper part's outputs (views, n, ...) float32 for what the lower part gave, (views, n, ...)."""
    flat = cached.reshape(-1, *cached.shape[2:])
    (outputs,) = extract(model, flat, np.arange(len(flat)), [()], scratch, seed=0, what=what, progress=progress)
    return outputs.reshape(*cached.shape[:2], *outputs.shape[2:])


def predict(model: keras.Model, images: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns the model's output (len(positions), ...) for some of the images."""
    run = Runner(model)
    starts = range(0, len(positions), BATCH)
    return np.concatenate([run(np.asarray(images[positions[start : start + BATCH]]))[0] for start in starts])


def depths(model: keras.Model) -> dict[str, Any]:
    """Returns name -> tensor (N, features): what enters the classifier, and two feature maps below it, averaged.

    Pictures unlike those the network was trained on (drawings, scans, letters) are often told apart better by earlier
    maps; cross-validation decides.
    """
    from zoo import heads
    from zoo.errors import UsageError
    from zoo.finetune.plan import choose_cut

    found = {"bottleneck": heads.bottleneck(model)}
    for share in (1 / 12, 1 / 3):
        try:
            name = choose_cut(model, share)
        except UsageError:
            continue
        tensor = heads.find(model, name)
        if len(tensor.shape) == 4 and name not in found:
            found[name] = keras.layers.GlobalAveragePooling2D(name=f"{name}_mean")(tensor)
    return found
