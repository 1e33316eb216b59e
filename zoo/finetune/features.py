"""What is frozen is computed once: outputs of a network for every image and its augmented views."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from zoo.finetune import devices
from zoo.finetune.augment import Augmenter
from zoo.finetune.store import Store

BATCH = 32
HALF_LIMIT = 3e4
"""Activations above this are kept in float32: float16 ends at 65504."""
Images = Callable[[np.ndarray], np.ndarray]


class Runner:
    """Runs a network in batches of one size, so that it is compiled once.

    Args:
        model: one input, one or more outputs.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """Returns one float32 array (n, ...) per output, for n <= 32 images."""
        count, spread = len(images), devices.spread_of(self._model)
        outputs = devices.run(self._model, _padded(images, -(-BATCH // spread) * spread))
        return [np.asarray(output)[:count] for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]

    def many(self, inputs: Callable[[int, int], np.ndarray], count: int) -> np.ndarray:
        """Returns the first output for any number of inputs, which are asked for by the first and behind the last."""
        starts = range(0, count, BATCH)
        return np.concatenate([self(inputs(start, min(start + BATCH, count)))[0] for start in starts])


def predict(model: keras.Model, images: Images, positions: np.ndarray) -> np.ndarray:
    """Returns the model's output (len(positions), ...) for some of the images."""
    return Runner(model).many(lambda first, behind: images(positions[first:behind]), len(positions))


def view_kinds(kinds: tuple[str, ...], views: int) -> list[tuple[str, ...]]:
    """Returns the augmentations of each view: none for the first, mirroring only in the last half of the others.

    Mirrored views stand apart because they can be wrong (a mirrored digit is no digit) and are then left out.
    """
    plain = tuple(kind for kind in kinds if kind != "flip")
    unmirrored = (views + 1) // 2 if "flip" in kinds and plain else (0 if "flip" in kinds else views)
    return [(), *[plain if view < unmirrored else kinds for view in range(views)]]


@dataclass(frozen=True)
class Pool:
    """Outputs of the frozen network.

    Args:
        kinds: augmentations of each view; the first is the image itself.
        trained: name -> per view (n, ...), of the images to train on.
        held: name -> (m, ...), of those held out.
        where: (N,) row of an image among those to train on, or -1.
        where_held: (N,) row of an image among those held out, or -1.
    """

    kinds: list[tuple[str, ...]]
    trained: dict[str, list[np.ndarray]]
    held: dict[str, np.ndarray]
    where: np.ndarray
    where_held: np.ndarray

    def plain(self, name: str, positions: np.ndarray) -> np.ndarray:
        """Returns (n, ...) float32 of images themselves, of either kind."""
        first = self.trained[name][0]
        found = np.empty((len(positions), *first.shape[1:]), np.float32)
        rows = self.where[positions]
        found[rows >= 0] = first[rows[rows >= 0]]
        if (rows < 0).any():
            found[rows < 0] = self.held[name][self.where_held[positions[rows < 0]]]
        return found

    def all_views(self, name: str, positions: np.ndarray) -> np.ndarray:
        """Returns (views, n, ...) float32 of images to train on."""
        return np.stack([np.asarray(view[self.where[positions]], np.float32) for view in self.trained[name]])

    def take(self, name: str, views: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Returns (n, ...) float32: of each image to train on, the view asked for."""
        arrays, rows = self.trained[name], self.where[positions]
        found = np.empty((len(rows), *arrays[0].shape[1:]), np.float32)
        for view in np.unique(views):
            found[views == view] = arrays[view][rows[views == view]]
        return found


def collect(
    tensors: dict[str, Any],
    base: keras.Model,
    images: Images,
    digests: tuple[str, ...],
    *,
    trained: np.ndarray,
    held: np.ndarray,
    kinds: list[tuple[str, ...]],
    store: Store,
    seed: int,
    progress: bool = True,
) -> Pool:
    """Computes outputs of a network in one pass, or finds them where an earlier run has left them.

    Args:
        tensors: name -> tensor of the network; feature maps are held in float16 if their values allow.
        base: the network.
        images: positions -> images.
        digests: what tells each image, for the store.
        trained: positions of the images of which all views are computed.
        held: positions of those of which only the image itself is.
        kinds: augmentations of each view, `()` for the image itself.
        store: where the outputs are held.
        seed: decides the views.
        progress: show a bar on a terminal.
    """
    model = keras.Model(base.input, list(tensors.values()))
    work = Extraction(model, images, digests, store, seed, progress)
    views = [work(trained, number, kind) for number, kind in enumerate(kinds)]
    alone = work(held, 0, ())
    where, where_held = (np.full(len(digests), -1) for _ in range(2))
    where[trained], where_held[held] = np.arange(len(trained)), np.arange(len(held))
    by_name = {name: [view[number] for view in views] for number, name in enumerate(tensors)}
    return Pool(kinds, by_name, dict(zip(tensors, alone, strict=True)), where, where_held)


@dataclass
class Extraction:
    """Runs a network over images once; what is in the store is not computed again.

    Args:
        model: one input, several outputs.
        images: positions -> images.
        digests: what tells each image.
        store: where the outputs are held.
        seed: decides the views.
        progress: show a bar on a terminal.
        speed: images a second of the last pass that computed anything.
    """

    model: keras.Model
    images: Images
    digests: tuple[str, ...]
    store: Store
    seed: int
    progress: bool = True
    speed: float | None = None

    def __post_init__(self) -> None:
        self._run = Runner(self.model)
        self._about = self.store.model_key(self.model)

    def __call__(self, positions: np.ndarray, view: int, kinds: tuple[str, ...]) -> list[np.ndarray]:
        """Returns one array (len(positions), ...) per output: float32, or float16 for feature maps.

        Args:
            positions: of the images.
            view: its number, which decides the changes.
            kinds: of changes; none for the images themselves.
        """
        from tqdm import tqdm

        shapes = [(len(positions), *output.shape[1:]) for output in self.model.outputs]
        if not len(positions):
            return [np.zeros(shape, np.float32) for shape in shapes]
        digests = [self.digests[position] for position in positions]
        key = self.store.key(self._about, digests, kinds, (self.seed, view, BATCH) if kinds else (0, 0, BATCH))
        starts = range(0, len(positions), BATCH)
        augment = Augmenter(kinds) if kinds else None
        with self.store.open(key, shapes, lambda: self._types(positions), len(starts)) as entry:
            todo = starts[entry.done :]
            what = "features" if not kinds else f"view {view}"
            hidden = None if self.progress else True
            bar = tqdm(total=len(positions), initial=len(positions) - len(todo) * BATCH if todo else len(positions),
                       desc=what, unit="image", leave=False, disable=hidden)  # fmt: skip
            with bar, ThreadPoolExecutor(1) as ahead:
                waiting = ahead.submit(self._batch, positions, todo[0]) if todo else None
                began, seen = time.monotonic(), 0
                for number, start in enumerate(todo):
                    assert waiting is not None
                    batch = waiting.result()
                    if number + 1 < len(todo):
                        waiting = ahead.submit(self._batch, positions, todo[number + 1])
                    if augment is not None:
                        batch = augment(_padded(batch), _seed(self.seed, view, start))[: len(batch)]
                    for array, output in zip(entry.arrays, self._run(batch), strict=True):
                        limit = np.finfo(array.dtype).max
                        array[start : start + BATCH] = np.clip(output, -limit, limit)
                    entry.advance()
                    bar.update(len(batch))
                    seen += len(batch)
                    if number == 0 and len(todo) > 1:  # the first batch is slow: the network is compiled
                        began, seen = time.monotonic(), 0
                if seen:
                    entry.facts["speed"] = seen / max(time.monotonic() - began, 1e-6)
            self.speed = entry.facts.get("speed", self.speed)
            return entry.arrays

    def _batch(self, positions: np.ndarray, start: int) -> np.ndarray:
        return self.images(positions[start : start + BATCH])

    def _types(self, positions: np.ndarray) -> list[Any]:
        first = self._run(self.images(positions[:BATCH]))
        small = [output.ndim == 4 and np.abs(output).max(initial=0) < HALF_LIMIT for output in first]
        return [np.float16 if half else np.float32 for half in small]


def _padded(images: np.ndarray, length: int = BATCH) -> np.ndarray:
    padded = np.zeros((length, *images.shape[1:]), np.float32)
    padded[: len(images)] = images
    return padded


def _seed(seed: int, view: int, start: int) -> int:
    """Of its own for each batch, so that a pass that was cut goes on with the same views."""
    return int(np.random.SeedSequence([seed, view, start]).generate_state(1)[0] // 2)


def depths(model: keras.Model) -> dict[str, Any]:
    """Returns name -> tensor (N, features): what enters the classifier, and two feature maps below it, averaged.

    Pictures unlike those the network was trained on (drawings, scans, letters) are often told apart better by earlier
    maps; cross-validation decides.
    """
    from zoo import heads
    from zoo.errors import UsageError
    from zoo.finetune import cuts

    found = {"bottleneck": heads.bottleneck(model)}
    for share in (1 / 12, 1 / 3):
        try:
            name = cuts.choose(model, share)
        except UsageError:
            continue
        tensor = heads.find(model, name)
        if len(tensor.shape) == 4 and name not in found:
            found[name] = keras.layers.GlobalAveragePooling2D(name=f"{name}_mean")(tensor)
    return found
