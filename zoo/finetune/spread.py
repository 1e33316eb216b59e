"""Features of large sets, computed by the workers of a Ray cluster through Ray Data; the caller stores them.

Nothing has to be shared between the machines: the network goes through Ray's object store. Where every machine sees the
image files under the same paths, workers read them; else this machine reads and sends them, at the network's size.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import json
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from zoo import errors
from zoo.errors import DataError, UsageError, ZooError
from zoo.finetune.cluster import Cluster, gpus_each, line, passed_on, session

if TYPE_CHECKING:
    import keras

    from zoo.finetune.data import Dataset
    from zoo.finetune.store import Entry
    from zoo.schema import Preprocessing

WORTH = 60.0
"""Seconds that a pass takes here, from which on it is spread: each worker first loads Keras and the network."""
SPEED = 30.0
"""Images a second where it was not measured."""
BLOCKS = 1000
"""Most pieces that a pass is cut into; what a dead worker had of one is computed again."""
PROBED = 3
"""Files that every machine has to see, with the same content, to be asked to read all."""
PATIENCE = 1800.0
"""Seconds without an answer of any worker after which none is waited for: starting and one batch take a few minutes."""
READERS = 4
"""Most batches that this machine reads and sends at once; its own threads do the work."""
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Pass:
    """What a worker has to know of a pass: which images, and how they are changed.

    Args:
        positions: of the images.
        batch: images of a batch.
        kinds: of changes; none for the images themselves.
        seed: decides the changes, with the view's number.
        view: its number.
    """

    positions: np.ndarray
    batch: int
    kinds: tuple[str, ...]
    seed: int
    view: int

    def of(self, number: int) -> np.ndarray:
        """Returns the positions of a batch."""
        return self.positions[number * self.batch : (number + 1) * self.batch]


@dataclass(frozen=True)
class Reader:
    """Reads images and brings them to the network's size."""

    opener: Callable[[int], Any]
    items: tuple[str, ...]
    preprocessing: Preprocessing

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """Returns (n, height, width, 3) uint8; raises DataError where one cannot be read."""
        from zoo.finetune.data import threaded

        return np.stack(list(threaded(self._one, positions, "loading", False)))

    def _one(self, position: int) -> np.ndarray:
        from zoo.preprocessing import resize_and_crop

        try:
            return resize_and_crop(self.opener(int(position)), self.preprocessing)
        except (OSError, ZooError) as error:
            raise DataError(
                f"{self.items[position]}: could be read a moment ago and on {socket.gethostname()} cannot ({error})"
            ) from error


class Spread:
    """Computes features on a cluster, which is connected when the first pass needs it and left with `close`.

    Args:
        cluster: where.
        dataset: the images.
        preprocessing: how they are brought to the network's size.
        progress: show a bar on a terminal.
    """

    def __init__(self, cluster: Cluster, dataset: Dataset, preprocessing: Preprocessing, progress: bool) -> None:
        self._cluster, self._progress, self._dataset = cluster, progress, dataset
        self._reader = Reader(_absolute(dataset.opener), dataset.items, preprocessing)
        self._stack = contextlib.ExitStack()
        self._ray: Any = None
        self._seen: bool | None = None

    def worth(self, images: int, speed: float | None) -> bool:
        """Returns whether a pass over so many images is long enough, at `speed` images a second here."""
        return images / (speed or SPEED) >= WORTH

    def sentence(self, images: int, views: int, speed: float | None) -> str:
        """Returns what the plan says of it."""
        from zoo.finetune.plan import duration

        time_here = f"a pass over {images} images takes {duration(images / (speed or SPEED))} here"
        if self.worth(images, speed):
            passes = f", {1 + views} passes in all" if views else ""
            return f"Ray computes the features: {time_here}{passes}."
        return f"Ray is not asked for features: {time_here}, and starting workers about as long."

    def fill(self, model: keras.Model, entries: list[Entry], job: Pass) -> None:
        """Computes what the entries lack, each the values of one output of the model, and keeps it in them.

        Raises:
            DataError: an image cannot be read.
            UsageError: Ray is not installed, or there is no such cluster.
            ZooError: workers fail again and again, or have another Keras.
        """
        from tqdm import tqdm

        begin = min(entry.done for entry in entries)
        bar = tqdm(
            total=len(job.positions), initial=begin * job.batch, desc="features (Ray)", unit="image", leave=False,
            disable=None if self._progress else True,
        )  # fmt: skip
        began = time.monotonic()
        there: set[int] = set()
        with bar:
            for number, arrays in self._computed(model, [entry.array.dtype.name for entry in entries], job, begin):
                start = number * job.batch
                for entry, array in zip(entries, arrays, strict=True):
                    if number >= entry.done:
                        entry.array[start : start + len(array)] = array
                there.add(number)  # not in order: an entry counts the batches that are there without a gap
                for entry in entries:
                    while entry.done in there:
                        entry.advance()
                bar.update(len(arrays[0]))
        for entry in entries:
            entry.facts["speed"] = (len(job.positions) - begin * job.batch) / max(time.monotonic() - began, 1e-6)

    def close(self) -> None:
        """Leaves the cluster, if this connected to it."""
        self._stack.close()
        self._ray = None

    def _computed(
        self, model: keras.Model, types: list[str], job: Pass, begin: int
    ) -> Iterator[tuple[int, list[np.ndarray]]]:
        if self._ray is None:
            self._ray = self._stack.enter_context(session(self._cluster))
        ray, data = self._ray, _ray_data()
        if self._seen is None:
            self._seen = _see(ray, self._reader.opener, self._dataset.digests)
        import keras

        # Held here until the end: a worker that starts anew asks for them again.
        held = [_put(ray, model), ray.put(job), ray.put(self._reader if self._seen else None)]
        numbers = range(begin, -(-len(job.positions) // job.batch))
        rows = data.from_items([{"number": n} for n in numbers], override_num_blocks=min(BLOCKS, len(numbers)))
        rows.context.enable_progress_bars = False
        if not self._seen:
            here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=False
            )
            read = functools.partial(_read, [ray.put(self._reader), held[1]])
            pinned: Callable[[], dict[str, Any]] = functools.partial(dict, scheduling_strategy=here)
            # No core is set aside: workers may have all of this machine's, and would wait for images forever.
            tasks = data.TaskPoolStrategy(size=min(READERS, len(numbers)))
            rows = rows.map_batches(read, batch_size=1, num_cpus=0, compute=tasks, ray_remote_args_fn=pinned)
        gpus = gpus_each(ray, self._cluster)
        done = rows.map_batches(
            Worker,
            batch_size=1,
            fn_constructor_args=(held, types, keras.__version__, passed_on(), keras.backend.backend()),
            compute=data.ActorPoolStrategy(min_size=1, max_size=self._workers(gpus, len(numbers))),
            num_cpus=self._cluster.num_cpus,
            num_gpus=gpus,
        )
        try:
            for row in patient(done.iter_rows(), PATIENCE):
                if row["error"]:
                    raise told(row["error"])
                yield int(row["number"]), _unpacked(row["values"], row["shapes"], types)
        except ray.exceptions.RayError as error:
            raise ZooError(f"ray: the workers that compute features fail: {line(error)}") from error

    def _workers(self, gpus: float, batches: int) -> int:
        """As many as the cluster has room for, and no more than there are batches."""
        has = self._ray.cluster_resources()
        most = int(has.get("GPU", 0) / gpus) if gpus else int(has.get("CPU", 1) / self._cluster.num_cpus)
        if most < 1:
            raise UsageError(
                f"ray: the cluster has {has.get('CPU', 0):g} cores and {has.get('GPU', 0):g} GPUs, and a worker takes "
                f"{self._cluster.num_cpus:g} and {gpus:g}; say less with num_cpus and num_gpus"
            )
        return min(most, batches)


def patient(rows: Iterable[_Row], seconds: float) -> Iterator[_Row]:
    """Yields what an iterator gives; it goes on in a thread, and is left where it gives nothing for too long.

    Raises:
        ZooError: nothing came for so many seconds.
    """
    found: queue.Queue[tuple[bool, Any]] = queue.Queue(maxsize=4)
    left = threading.Event()

    def put(last: bool, value: Any) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                found.put((last, value), timeout=1)
                return

    def go() -> None:
        try:
            for row in rows:
                put(False, row)
                if left.is_set():
                    return
            put(True, None)
        except BaseException as error:  # raised again below, where it can be caught
            put(True, error)

    threading.Thread(target=go, daemon=True, name="features (Ray)").start()
    try:
        while True:
            last, value = found.get(timeout=seconds)
            if not last:
                yield value
            elif value is None:
                return
            else:
                raise value
    except queue.Empty:
        raise ZooError(
            f"ray: no worker answered for {seconds / 60:.0f} minutes; what is done is kept: look at the cluster (`ray "
            f"status`), then run the same command again, or without ray"
        ) from None
    finally:
        left.set()


class Worker:
    """Holds the network in a process of the cluster, and computes batch after batch.

    Args:
        held: references to the network, the `Pass` and a `Reader`, None where images are sent.
        types: of the values of each output.
        version: of the caller's Keras.
        variables: of the caller's environment.
        backend: the caller's.
    """

    def __init__(
        self, held: Sequence[Any], types: list[str], version: str, variables: dict[str, str], backend: str
    ) -> None:
        from zoo.quiet import silence

        silence()
        os.environ.update(variables, KERAS_BACKEND=backend)
        import keras

        from zoo.finetune.augment import Augmenter
        from zoo.finetune.features import Runner

        self._error: ZooError | None = None
        self._types = types
        if (keras.__version__, keras.backend.backend()) != (version, backend):
            self._error = ZooError(
                f"ray: {socket.gethostname()} has Keras {keras.__version__} on {keras.backend.backend()} and this "
                f"machine {version} on {backend}; install the same"
            )
            return
        ray = importlib.import_module("ray")
        model, self._job, self._reader = (ray.get(reference) for reference in held)
        self._run = Runner(model)
        self._augment = Augmenter(self._job.kinds) if self._job.kinds else None

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """Returns number, values and shapes of one batch, or the error that kept it."""
        number = int(rows["number"][0])
        error, arrays = self._error or _error_of(rows), []
        if error is None:
            try:
                arrays = self._values(number, rows)
            except ZooError as trouble:
                error = trouble
        packed = b"".join(array.tobytes() for array in arrays)
        shapes = json.dumps([array.shape for array in arrays])
        return {
            "number": [number],
            "values": [packed],
            "shapes": [shapes],
            "error": [telling(error) if error else ""],
        }

    def _values(self, number: int, rows: dict[str, np.ndarray]) -> list[np.ndarray]:
        from zoo.finetune.features import changed, fitting

        job = self._job
        positions = job.of(number)
        if self._reader is None:
            (batch,) = _unpacked(rows["values"][0], rows["shapes"][0], ["uint8"])
        else:
            batch = self._reader(positions)
        if self._augment is not None:
            batch = changed(self._augment, batch, job.seed, job.view, number * job.batch)
        return [fitting(output, np.dtype(kind)) for output, kind in zip(self._run(batch), self._types, strict=True)]


def _read(held: Sequence[Any], rows: dict[str, np.ndarray]) -> dict[str, Any]:
    """On the caller's machine: the images of a batch, or why they cannot be had."""
    ray = importlib.import_module("ray")
    reader, job = (ray.get(reference) for reference in held)
    number = int(rows["number"][0])
    try:
        batch, error = reader(job.of(number)), ""
    except ZooError as trouble:
        batch, error = np.zeros((0, 1, 1, 3), np.uint8), telling(trouble)
    shapes = json.dumps([batch.shape])
    return {"number": [number], "values": [batch.tobytes()], "shapes": [shapes], "error": [error]}


def _error_of(rows: dict[str, np.ndarray]) -> ZooError | None:
    error = rows["error"][0] if "error" in rows else ""
    return told(error) if error else None


def _unpacked(values: bytes, shapes: str, types: list[str]) -> list[np.ndarray]:
    found, start = [], 0
    for shape, kind in zip(json.loads(shapes), types, strict=True):
        count = int(np.prod(shape))
        found.append(np.frombuffer(values, kind, count, start).reshape(shape))
        start += count * np.dtype(kind).itemsize
    return found


def telling(error: ZooError) -> str:
    """Returns an error as text, for a row of Ray Data."""
    return json.dumps([type(error).__name__, str(error)])


def told(text: str) -> ZooError:
    """Returns the error that `telling` made text of."""
    kind, message = json.loads(text)
    found: ZooError = getattr(errors, kind, ZooError)(message)
    return found


def _put(ray: Any, model: keras.Model) -> Any:
    try:
        return ray.put(model)
    except Exception as error:  # whatever a layer of the caller's raises when it is to be described
        raise UsageError(f"ray: the network goes to other processes, and cannot ({line(error)})") from error


def _ray_data() -> Any:
    try:
        found = importlib.import_module("ray.data")
    except ImportError as error:
        raise UsageError(f"ray: Ray Data is not installed ({error}); pip install 'convnet-zoo[ray]'") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return found


def _absolute(opener: Any) -> Any:
    """Returns what opens the same images whatever the working folder is."""
    from zoo.finetune.data.read import Files

    if isinstance(opener, Files):
        return replace(opener, root=opener.root.absolute())
    return replace(opener, opener=_absolute(opener.opener)) if hasattr(opener, "opener") else opener


def _see(ray: Any, opener: Any, digests: Sequence[str]) -> bool:
    """Whether the images are files, and every machine of the cluster sees them."""
    from zoo.finetune.data.read import Files

    probed = np.unique(np.linspace(0, len(digests) - 1, PROBED).astype(int)).tolist()
    places = probed
    while hasattr(opener, "opener"):
        places, opener = [opener.positions[place] for place in places], opener.opener
    if not isinstance(opener, Files):
        return False
    files = [(str(opener.root / opener.items[place]), digests[n]) for place, n in zip(places, probed, strict=True)]
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    task = ray.remote(num_cpus=0, max_retries=1)(_sees)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    asked = [task.options(scheduling_strategy=strategy(node, soft=False)).remote(files) for node in nodes]
    try:
        return all(ray.get(asked))
    except ray.exceptions.RayError as error:
        raise ZooError(f"ray: a machine of the cluster does not answer: {line(error)}") from error


def _sees(files: list[tuple[str, str]]) -> bool:
    try:
        return all(hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest for path, digest in files)
    except OSError:
        return False
