"""What is frozen is computed once: outputs of a network for every image and its augmented views."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from zoo.finetune import devices
from zoo.finetune.augment import Augmenter
from zoo.finetune.store import Entry, Store

if TYPE_CHECKING:
    from zoo.finetune.spread import Spread

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
        return [_array(output)[:count] for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]

    def many(self, inputs: Callable[[int, int], np.ndarray], count: int) -> np.ndarray:
        """Returns the first output for any number of inputs, which are asked for by the first and behind the last."""
        starts = range(0, count, BATCH)
        return np.concatenate([self(inputs(start, min(start + BATCH, count)))[0] for start in starts])


def predict(model: keras.Model, images: Images, positions: np.ndarray) -> np.ndarray:
    """Returns the model's output (len(positions), ...) for some of the images."""
    return Runner(model).many(lambda first, behind: images(positions[first:behind]), len(positions))


def few(model: keras.Model, inputs: list[np.ndarray]) -> np.ndarray:
    """Returns the model's output (n, ...) float32 for so few images that compiling it would take longer."""
    tensors = [keras.ops.convert_to_tensor(array, "float32") for array in inputs]
    return _array(model(tensors[0] if len(tensors) == 1 else tensors, training=False))


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
    work: Extraction, tensors: dict[str, Any], *, trained: np.ndarray, held: np.ndarray, kinds: list[tuple[str, ...]]
) -> Pool:
    """Computes outputs of a network, or finds them where an earlier pass has left them.

    Args:
        work: the network and the images.
        tensors: name -> tensor of the network.
        trained: positions of the images of which all views are computed.
        held: positions of those of which only the image itself is.
        kinds: augmentations of each view, `()` for the image itself.
    """
    views = [work(tensors, trained, number, kind) for number, kind in enumerate(kinds)]
    alone = work(tensors, held)
    where, where_held = (np.full(len(work.digests), -1) for _ in range(2))
    where[trained], where_held[held] = np.arange(len(trained)), np.arange(len(held))
    return Pool(kinds, {name: [view[name] for view in views] for name in tensors}, alone, where, where_held)


class Extraction:
    """Runs a network over images once: what is in the store is not computed again, nor compiled what is.

    Args:
        base: the network; while this is used, its weights stay as they are.
        images: positions -> images.
        digests: what tells each image.
        store: where the outputs are held.
        seed: decides the changed views.
        progress: show a bar on a terminal.

    Attributes:
        spread: what computes long passes on a cluster, if anything does.
        speed: images a second, of the last pass that computed anything or of the one that filled the store.
    """

    def __init__(
        self,
        base: keras.Model,
        images: Images,
        digests: tuple[str, ...],
        store: Store,
        seed: int,
        progress: bool = True,
    ) -> None:
        self.base, self.images, self.digests, self.store = base, images, digests, store
        self.seed, self.progress = seed, progress
        self.speed: float | None = None
        self.spread: Spread | None = None
        self._keys: dict[str, str] = {}
        self._runners: dict[tuple[str, ...], Runner] = {}

    def __call__(
        self, tensors: dict[str, Any], positions: np.ndarray, view: int = 0, kinds: tuple[str, ...] = ()
    ) -> dict[str, np.ndarray]:
        """Returns name -> (len(positions), ...): float32, or float16 for feature maps if their values allow.

        Args:
            tensors: name -> tensor of the network.
            positions: of the images.
            view: its number, which decides the changes.
            kinds: of changes; none for the images themselves.
        """
        if not len(positions):
            return {name: np.zeros((0, *tensor.shape[1:]), np.float32) for name, tensor in tensors.items()}
        digests = [self.digests[position] for position in positions]
        way = (self.seed, view, BATCH) if kinds else (0, 0, BATCH)
        keys = {name: self.store.key(self._key(tensor), digests, kinds, way) for name, tensor in tensors.items()}
        named = {key: tensors[name] for name, key in sorted(keys.items(), key=lambda pair: pair[1])}
        batches = -(-len(positions) // BATCH)
        with contextlib.ExitStack() as stack:
            # In the order of their keys, so that no two processes wait for each other.
            entries = {key: stack.enter_context(self._open(key, named, positions, batches)) for key in named}
            missing = [key for key, entry in entries.items() if entry.done < batches]
            if missing:
                wanted, lacking = [named[key] for key in missing], [entries[key] for key in missing]
                left = len(positions) - min(entry.done for entry in lacking) * BATCH
                if self.spread is not None and self.spread.worth(left, self.speed):
                    from zoo.finetune.spread import Pass

                    job = Pass(positions, BATCH, kinds, self.seed, view)
                    self.spread.fill(keras.Model(self.base.input, wanted), lacking, job)
                else:
                    self._fill(lacking, self._runner(wanted), positions, view, kinds)
            self.speed = min(
                (entry.facts["speed"] for entry in entries.values() if "speed" in entry.facts), default=None
            )
            return {name: entries[key].array for name, key in keys.items()}

    def timed(self, tensors: dict[str, Any]) -> float:
        """Returns how many images a second go through the network now, where `speed` rests on too few or is old."""
        run, batch = self._runner(list(tensors.values())), self.images(np.arange(min(BATCH, len(self.digests))))
        run(batch)  # compiles
        started = time.monotonic()
        run(batch)
        return BATCH / max(time.monotonic() - started, 1e-6)  # shorter batches are filled up

    def _key(self, tensor: Any) -> str:
        name = _name(tensor)
        if name not in self._keys:
            self._keys[name] = self.store.model_key(keras.Model(self.base.input, tensor))
        return self._keys[name]

    def _runner(self, tensors: list[Any]) -> Callable[[np.ndarray], list[np.ndarray]]:
        """Returns what computes some tensors: a compiled network that gives them, among others or alone."""
        wanted = [_name(tensor) for tensor in tensors]
        able = [names for names in self._runners if set(wanted) <= set(names)]
        names = min(able, key=len, default=tuple(wanted))
        if not able:
            self._runners[names] = Runner(keras.Model(self.base.input, tensors))
        run, places = self._runners[names], [names.index(name) for name in wanted]

        def some(images: np.ndarray) -> list[np.ndarray]:
            outputs = run(images)
            return [outputs[place] for place in places]

        return some

    def _open(
        self, key: str, named: dict[str, Any], positions: np.ndarray, batches: int
    ) -> contextlib.AbstractContextManager[Entry]:
        def kind() -> Any:
            if len(named[key].shape) != 4:
                return np.float32
            found = self._runner(list(named.values()))(self.images(positions[:BATCH]))[list(named).index(key)]
            return np.float16 if np.abs(found).max(initial=0) < HALF_LIMIT else np.float32

        return self.store.open(key, (len(positions), *named[key].shape[1:]), kind, batches)

    def _fill(
        self,
        entries: list[Entry],
        run: Callable[[np.ndarray], list[np.ndarray]],
        positions: np.ndarray,
        view: int,
        kinds: tuple[str, ...],
    ) -> None:
        """Goes on where the entry ends that has least."""
        from tqdm import tqdm

        begin = min(entry.done for entry in entries)
        augment = Augmenter(kinds) if kinds else None
        bar = tqdm(
            total=len(positions),
            initial=begin * BATCH,
            desc=f"view {view}" if kinds else "features",
            unit="image",
            leave=False,
            disable=None if self.progress else True,
        )
        began, seen = time.monotonic(), 0
        with bar, contextlib.closing(self._batches(positions, begin)) as batches:
            for number, batch in batches:
                count, start = len(batch), number * BATCH
                if augment is not None:
                    batch = changed(augment, batch, self.seed, view, start)
                for entry, output in zip(entries, run(batch), strict=True):
                    if number >= entry.done:
                        entry.array[start : start + BATCH] = fitting(output, entry.array.dtype)
                        entry.advance()
                bar.update(count)
                seen += count
                if number == begin and count < len(positions) - start:  # the first is slow: the network is compiled
                    began, seen = time.monotonic(), 0
        for entry in entries:
            entry.facts["speed"] = seen / max(time.monotonic() - began, 1e-6)

    def _batches(self, positions: np.ndarray, begin: int) -> Generator[tuple[int, np.ndarray]]:
        """Gives (number, images) of each batch from one on; the next is read while one is worked on."""
        numbers = range(begin, -(-len(positions) // BATCH))

        def read(number: int) -> np.ndarray:
            return self.images(positions[number * BATCH : (number + 1) * BATCH])

        with ThreadPoolExecutor(1) as ahead:
            waiting = ahead.submit(read, begin)
            for number in numbers:
                batch = waiting.result()
                if number + 1 in numbers:
                    waiting = ahead.submit(read, number + 1)
                yield number, batch


def changed(augment: Augmenter, batch: np.ndarray, seed: int, view: int, start: int) -> np.ndarray:
    """Returns a view of a batch, which its first image's place decides."""
    return augment(_padded(batch), _seed(seed, view, start))[: len(batch)]


def fitting(output: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Returns values as they are stored, held within what the type can say."""
    limit = np.finfo(dtype).max
    held: np.ndarray = np.clip(output, -limit, limit).astype(dtype)
    return held


def _name(tensor: Any) -> str:
    """What tells a tensor of one network: its layer's name and which output it is."""
    history = tensor._keras_history
    return f"{history.operation.name} {history.tensor_index}"


def _array(output: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(output), np.float32)


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
