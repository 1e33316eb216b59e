"""Keras: HDF5 files and `.keras` archives of any version -> Graph, or arrays where a file holds weights alone.

The network's description is read as data: no class that it names is looked up, no code in it is run, and layers that
are not in zoo's own tables are refused by name.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import FormatError, UsageError
from zoo.formats import hdf5, zips
from zoo.formats.keras import config, match, weights
from zoo.formats.keras.translate import translate
from zoo.formats.keras.values import State
from zoo.formats.mapped import mapped
from zoo.formats.options import Options
from zoo.graph import Graph

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read"]

MAX_TEXT = 64 << 20
"""Bytes of a network's description."""
MAX_EXPANSION = 16
"""Bytes of deflated weights for each byte of their archive."""


def read(
    path: str | os.PathLike[str],
    *more: str | os.PathLike[str],
    options: Options = Options(),  # noqa: B008
) -> Graph | dict[str, np.ndarray]:
    """Reads a model that Keras saved.

    Args:
        path: `.h5` with the whole model or its weights alone, `.weights.h5`, or `.keras`.
        more: further files of weights alone; their arrays' names begin with the file's number, `1/` for the first.
        options: `input_shape` where the network leaves the image's size open; `until` to end at a layer;
            `theano_kernels` where Theano made the weights and the file does not say so; `weights_alone` for arrays
            where the network is known otherwise.

    Returns:
        A Graph whose nodes and parameters are named as the layers (`block1_conv1`, `block1_conv1/kernel`). For weights
        alone, arrays by their names in the file, in its order; `match.named` finds what a Graph calls them.

    Raises:
        UnsupportedError: layers have no counterpart, or are somebody's own code; all are named.
        FormatError: the file is damaged, or weights are missing.
        UsageError: the input's size has to be given, or an option names nothing.
    """
    if more:
        return _several([Path(path), *map(Path, more)], options)
    path = Path(path)
    data = mapped(path, "a model that Keras saved")
    if data[:4] == b"PK\x03\x04":
        with _unpacked(path, options) as (text, version, inside), hdf5.open(inside) as file:
            return _read(file, text, version, path.name, options)
    with hdf5.open(path) as file:
        described = file.attribute_text("", "model_config")
        return _read(file, described, file.attribute_text("", "keras_version"), path.name, options)


def _read(
    file: hdf5.Guarded, described: str | None, version: str | None, where: str, options: Options
) -> Graph | dict[str, np.ndarray]:  # fmt: skip
    if described is not None and not options.weights_alone:
        return _whole(file, described, version, where, options)
    if replace(options, weights_alone=False) != Options():
        raise UsageError(f"{where}: holds weights without a graph; leave until and input_shape out")
    return weights.arrays(file)


def _several(paths: list[Path], options: Options) -> dict[str, np.ndarray]:
    """The arrays of files that hold weights alone, each file's behind its number."""
    found: dict[str, np.ndarray] = {}
    for number, path in enumerate(paths):
        arrays = read(path, options=options)
        if isinstance(arrays, Graph):
            raise UsageError(f"{path.name}: holds its own graph; several files are for weights alone")
        found |= {f"{number}/{key}" if number else key: array for key, array in arrays.items()}
    return found


def _whole(file: hdf5.Guarded, text: str, version: str | None, where: str, options: Options) -> Graph:
    backend = file.attribute_text("", "backend") or ""
    turned = backend == "theano" if options.theano_kernels is None else options.theano_kernels
    number = _numbers(version)
    network = config.parse(text, where, version=number[0] if number else None)
    # Keras before 2.4 had TensorFlow 1's rule, which counts from the corners.
    bilinear = not number or number >= (2, 4) or "-tf" in (version or "")
    graph = translate(network, State(where, network.version, options, turned, bilinear))
    declared = {key.rpartition("/")[0] for key in graph.params}
    idle = [layer for layer in network.all_layers() if layer.name not in declared]
    ignore = {f"{glob.escape(name)}/*": "no output of the network needs it"
              for layer in idle for name in (layer.name, layer.path)}  # fmt: skip
    return graph.bind(match.named(graph, weights.arrays(file)), where=where, ignore=ignore).check()


def _numbers(version: str | None) -> tuple[int, ...]:
    parts = (version or "").replace("-", ".").split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdecimal() and len(part) < 5 for part in parts) else ()


@contextlib.contextmanager
def _unpacked(path: Path, options: Options) -> Iterator[tuple[str, str | None, Path]]:
    """Gives a `.keras` archive's description, the version that wrote it, and its weights as a file of their own."""
    data, where = mapped(path, "a model that Keras saved"), path.name
    members = zips.members(data, where)
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise FormatError(f"{where}: holds a member twice; refused")
    held = dict(zip(names, members, strict=True))
    lacking = [name for name in ("config.json", "model.weights.h5") if name not in held]
    if lacking:
        raise FormatError(f"{where}: an archive without {lacking[0]}; expected a model that Keras saved")
    texts = {}
    for name in ("config.json", "metadata.json"):
        if name in held:
            stream = io.BytesIO()
            zips.unpack(data, held[name], where, MAX_TEXT, stream)
            texts[name] = stream.getvalue().decode("utf-8", errors="replace")
    version = None
    with contextlib.suppress(ValueError, RecursionError):
        told = json.loads(texts.get("metadata.json", "{}"))
        version = told.get("keras_version") if isinstance(told, dict) else None
    with tempfile.TemporaryDirectory(prefix="zoo-", ignore_cleanup_errors=True) as folder:
        inside = Path(folder) / "model.weights.h5"
        limit = max(hdf5.SMALL, MAX_EXPANSION * len(data))
        with inside.open("wb") as out:
            zips.unpack(data, held["model.weights.h5"], where, limit, out)
        yield texts["config.json"], version if isinstance(version, str) else None, inside
