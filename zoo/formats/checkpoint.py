"""TensorFlow checkpoints, read with the TensorFlow that is installed: names and arrays, no graph.

Two kinds exist. Version 2 is an index beside one or more data files, `model.ckpt.index` and
`model.ckpt.data-00000-of-00001`; version 1 (until 2016) is a single `model.ckpt`. Both index and version 1 are tables
that end in the same eight bytes. `open` is also what reads a SavedModel's variables.

A checkpoint of training holds more than a network. `UNUSED` names what an optimizer keeps; a shadow that averages a
variable over training steps is handled by `served`.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import FormatError
from zoo.formats.pickles import shown

MAGIC = bytes.fromhex("57fb808b247547db")
"""Last bytes of a table (kTableMagicNumber of tensorflow/core/lib/io/format.h)."""

SHADOW = "/ExponentialMovingAverage"
_RAW = "/not averaged"

UNUSED = {
    "*global_step": "counts training steps; inference does not use it",
    "*/Momentum": "the optimizer's; inference does not use it",
    "*/RMSProp": "the optimizer's; inference does not use it",
    "*/RMSProp_1": "the optimizer's; inference does not use it",
    "*/Adam": "the optimizer's; inference does not use it",
    "*/Adam_1": "the optimizer's; inference does not use it",
    "*beta1_power": "the optimizer's; inference does not use it",
    "*beta2_power": "the optimizer's; inference does not use it",
    f"*{_RAW}": "the file holds its average over training too, with which the publisher evaluated",
    f"*{SHADOW}": "an average over training, which the card does not ask for",
}
"""Pattern of names -> why inference has no use for such arrays."""


def read(index: Path, *data: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a checkpoint by name.

    Args:
        index: the index, or the one file of version 1.
        data: the data files of version 2, in the order of their numbers.

    Returns:
        Arrays of the file's own type and shape; entries that hold no numbers (TensorFlow 2's notes on objects) are
        left out.

    Raises:
        FormatError: the files are damaged, or do not belong together.
    """
    with tempfile.TemporaryDirectory(prefix="zoo-", ignore_cleanup_errors=True) as folder:
        prefix = Path(folder) / "checkpoint"
        # TensorFlow finds a checkpoint's files by their names, and the cache has named them by their hashes.
        if data:
            _stand_in(index, prefix.with_name("checkpoint.index"))
            for number, path in enumerate(data):
                _stand_in(path, prefix.with_name(f"checkpoint.data-{number:05}-of-{len(data):05}"))
        else:
            _stand_in(index, prefix)
        reader, shapes = open(prefix, index.name, data or [index])
        names = [name for name in shapes if not name.startswith("_CHECKPOINTABLE")]
        if not names:
            told = "if it is an index, give its data files (.data-00000-of-00001) too"
            raise FormatError(f"{index.name}: holds no arrays; {told}")
        return {name: tensor(reader, name, index.name) for name in names}


def served(arrays: Mapping[str, np.ndarray], *, averaged: bool = True) -> dict[str, np.ndarray]:
    """Returns the arrays under the names of the variables that inference reads.

    Args:
        arrays: what `read` gave.
        averaged: whether a variable's shadow (`.../ExponentialMovingAverage`) takes its place, where there is one.
    """
    if not averaged:
        return dict(arrays)
    found = {}
    for name, array in arrays.items():
        if name.endswith(SHADOW):
            found[name.removesuffix(SHADOW)] = array
        else:
            found[name + _RAW if name + SHADOW in arrays else name] = array
    return found


def open(prefix: Path, where: str, files: Sequence[Path]) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """Opens a checkpoint; returns TensorFlow's reader, and name -> shape.

    Args:
        prefix: path of version 1's file, or of version 2's files without their endings.
        where: what messages call it.
        files: those that hold the numbers.

    Raises:
        FormatError: it cannot be read, or claims to hold more than its files have room for.
    """
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
        types = reader.get_variable_to_dtype_map()
    except Exception as error:  # whatever the checkpoint's own reader raises on damaged files
        told = shown(" ".join(str(error).replace(str(prefix), where).split()), 200)
        raise FormatError(f"{where}: its checkpoint cannot be read: {told}") from None
    held = sum(path.stat().st_size for path in files)
    needed = sum(math.prod(shape) * (types[name].size or 1) for name, shape in shapes.items())
    if needed > held * _expansion(prefix):
        raise FormatError(f"{where}: its checkpoint claims {needed:,} bytes of variables and has {held:,}")
    return reader, shapes


def tensor(reader: Any, name: str, where: str) -> np.ndarray:
    """Returns one array of an open checkpoint.

    Raises:
        FormatError: it is damaged, or holds no numbers.
    """
    try:
        array = np.asarray(reader.get_tensor(name))
    except Exception as error:  # whatever the checkpoint's own reader raises on damaged files
        told = " ".join(str(error).split())[:200]
        raise FormatError(f"{where}: {shown(name)!r} cannot be read from the checkpoint: {told}") from None
    if array.dtype.name == "bfloat16":  # numpy's own functions do not know it
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise FormatError(f"{where}: {shown(name)!r} holds no numbers in the checkpoint")
    return array


def is_index(path: Path) -> bool:
    """Says whether a file is an index of version 2, or a checkpoint of version 1, by its last bytes."""
    try:
        with path.open("rb") as file:
            file.seek(-len(MAGIC), os.SEEK_END)
            return file.read() == MAGIC
    except (OSError, ValueError):  # shorter than that
        return False


def _expansion(prefix: Path) -> int:
    """Version 1 deflates its blocks (Snappy, at most 21 times); version 2 stores numbers as they are."""
    return 21 if prefix.is_file() else 1


def _stand_in(path: Path, link: Path) -> None:
    try:
        link.symlink_to(path.absolute())
    except (OSError, NotImplementedError):  # a system, or a user, that may not make links
        try:
            os.link(path, link)
        except OSError:
            shutil.copyfile(path, link)
