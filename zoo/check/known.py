"""What can be said of the networks of `zoo.architectures` without their weights.

Keras takes long to define one of its own; what came of that is kept in the cache, under a hash of all that decides it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import math
import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import zoo
from zoo import architectures, cache
from zoo.errors import ZooError
from zoo.graph import Graph, Param
from zoo.shapes import infer_all


class Network(NamedTuple):
    """What can be said of a network without its weights, at one size of its input."""

    outputs: int
    parameters: int
    """Trainable ones: no statistics of batch normalisation."""
    statistics: int
    """Numbers of those."""


class Key(NamedTuple):
    """Which network, at which size; as `zoo.architectures.build` takes it."""

    variant: str
    dialect: str
    classes: int
    size: int

    def __str__(self) -> str:
        return f"{self.variant}/{self.dialect} {self.classes} {self.size}"


_WORTH_A_PROCESS = 8
"""Networks for which a process is started: it imports Keras first."""


@functools.cache
def network(variant: str, dialect: str, classes: int, size: int) -> Network:
    """Returns what is known of a network.

    Args:
        variant: as in `zoo.architectures.build`, and so are the others.

    Raises:
        ZooError: there is no such network.
        ValueError: it cannot take an input of that size.
    """
    if not dialect.startswith("keras"):
        return _examined(variant, dialect, classes, size)
    # Keras takes long to define a network: what came of it is kept.
    kept, key = _kept(), str(Key(variant, dialect, classes, size))
    if key not in kept.networks:
        kept.networks[key] = _examined(variant, dialect, classes, size)
        kept.save()
    return Network(*kept.networks[key])


def trainable(graph: Graph) -> tuple[int, int]:
    """Returns how many trainable parameters a network has, and how many statistics of batch normalisation."""
    moving = {name for node in graph.nodes if node.op == "BatchNormalization" for name in (*node.inputs[3:5],) if name}
    chosen = {name for node in graph.nodes if node.op == "Gather" for name in node.inputs[1:]}  # numbers of channels
    counts = [0, 0]
    for name, param in graph.params.items():
        # An array without axes is a number of the definition.
        stored = param.shape_in_file is not None if isinstance(param, Param) else param.ndim > 0
        if stored and name not in chosen:
            counts[name in moving] += math.prod(param.shape)
    return counts[0], counts[1]


def prepare(wanted: Iterable[Key]) -> None:
    """Examines many of Keras's networks at a time, in processes of their own; `network` has them at hand then."""
    kept = _kept()
    missing = sorted({key for key in wanted if key.dialect.startswith("keras") and str(key) not in kept.networks})
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(processors, 4, len(missing) // _WORTH_A_PROCESS)
    if workers < 2:
        return
    with contextlib.suppress(OSError, BrokenExecutor):  # no processes to be had: `network` examines one by one
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            shares = [missing[start::workers] for start in range(workers)]
            for share, found in zip(shares, pool.map(_examined_all, shares), strict=True):
                kept.networks |= {str(key): known for key, known in zip(share, found, strict=True) if known is not None}
        kept.save()


def _examined_all(keys: Sequence[Key]) -> list[Network | None]:
    from zoo.quiet import silence

    silence()
    found: list[Network | None] = []
    for key in keys:
        try:
            found.append(_examined(*key))
        except (ZooError, ValueError):  # told by whoever asks for this one
            found.append(None)
    return found


def _examined(variant: str, dialect: str, classes: int, size: int) -> Network:
    if dialect.startswith("keras"):  # one definition does for any size
        graph = _defined_by_keras(variant, dialect, classes)
        graph = replace(graph, inputs={name: (shape[0], size, size) for name, shape in graph.inputs.items()})
    else:
        graph = architectures.build(variant, dialect, classes=classes, size=size)
    outputs = math.prod(infer_all(graph)[graph.outputs[0]][1:])
    return Network(outputs, *trainable(graph))


@functools.cache
def _defined_by_keras(variant: str, dialect: str, classes: int) -> Graph:
    return architectures.build(variant, dialect, classes=classes)


class _Kept:
    """What is known of networks, in the cache under a hash of all that decides it."""

    def __init__(self) -> None:
        package = Path(zoo.__file__).parent
        rules = [package / "check" / "known.py", package / "shapes.py", package / "graph.py"]
        rules += [
            *sorted((package / "architectures").glob("keras*.py")),
            *sorted((package / "formats/keras").glob("*.py")),
        ]
        digest = hashlib.sha256(importlib.metadata.version("keras").encode())
        for path in rules:
            digest.update(path.read_bytes())
        self.path = cache.home() / "check" / f"networks-{digest.hexdigest()[:32]}.json"
        self.networks: dict[str, Sequence[Any]] = {}
        with contextlib.suppress(OSError, ValueError):
            self.networks = json.loads(self.path.read_bytes())

    def save(self) -> None:
        with contextlib.suppress(OSError, ZooError):  # a read-only cache: examined again the next time
            with cache.atomic_file(self.path) as temporary:
                temporary.write_text(json.dumps(self.networks), "utf-8")
            for other in self.path.parent.glob("networks-*.json"):
                if other != self.path:
                    cache.remove(other)


@functools.cache
def _kept() -> _Kept:
    return _Kept()
