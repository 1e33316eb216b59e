"""What a format reader returns, as a folder: graph.json and, one array behind the other, arrays.bin.

Arrays that are views of the file that was read are not written: graph.json says where in that file they lie.

The folder crosses from the process that reads untrusted files to the one that uses them, so nothing in it can run code
and nothing in it is believed: every name, type, shape and offset is checked. Not safetensors, because its writer holds
all arrays in memory a second time, and parameters come by names that it would have to be taught to escape.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from zoo.errors import FormatError
from zoo.formats.mapped import place_of
from zoo.graph import Graph, Node, Param

GRAPH = "graph.json"
ARRAYS = "arrays.bin"

MAX_DESCRIPTION = 256 << 20
"""Bytes of graph.json; a network of a thousand layers takes about 1 MB."""

_ALIGNMENT = 64
_DTYPES = {
    np.dtype(name).str: np.dtype(name)
    for name in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8", "c16")
}


def save(model: Graph | Mapping[str, np.ndarray], folder: Path, files: Sequence[Path] = ()) -> None:
    """Writes a Graph, or arrays by name, into an existing folder; arrays are written from where they lie, uncopied.

    Args:
        model: what a reader returned.
        folder: the folder.
        files: those that were read, and which `load` will be given too.
    """
    with (folder / ARRAYS).open("wb") as out:
        stream = _Out(out, files)
        if isinstance(model, Graph):
            facts: dict[str, Any] = {
                "name": model.name,
                "inputs": {name: list(shape) for name, shape in model.inputs.items()},
                "outputs": list(model.outputs),
                "nodes": [
                    [n.op, n.name, list(n.inputs), list(n.outputs), {k: _plain(v, stream) for k, v in n.attrs.items()}]
                    for n in model.nodes
                ],
                "unused": dict(model.unused),
            }
            params: Mapping[str, np.ndarray | Param] = model.params
        else:
            facts, params = {}, model
        facts["params"] = {name: _written(value, stream) for name, value in params.items()}
    (folder / GRAPH).write_text(json.dumps(facts), "utf-8")


def load(folder: Path, files: Sequence[Path] = ()) -> Graph | dict[str, np.ndarray]:
    """Reads what `save` wrote; arrays are read-only views into the mapped files.

    Args:
        folder: the folder.
        files: as `save` was given them.

    Raises:
        FormatError: the folder holds something else, or a file cannot be read.
    """
    try:
        path = folder / GRAPH
        if path.stat().st_size > MAX_DESCRIPTION:
            raise ValueError(f"{GRAPH} has more than {MAX_DESCRIPTION} bytes")
        facts = json.loads(path.read_text("utf-8"))
        data = _In(folder / ARRAYS, files)
        params = {str(name): _param(value, data) for name, value in facts["params"].items()}
        if "nodes" not in facts:
            return {name: _array_only(name, value) for name, value in params.items()}
        return Graph(
            name=_text(facts["name"]),
            inputs={str(name): _shape(shape) for name, shape in facts["inputs"].items()},
            outputs=_texts(facts["outputs"]),
            nodes=tuple(_node(value, data) for value in facts["nodes"]),
            params=params,
            unused={str(name): _text(why) for name, why in facts["unused"].items()},
        ).check()
    except FormatError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"{folder}: not a Graph that was read ({error})") from error


class _Out(NamedTuple):
    stream: BinaryIO
    files: Sequence[Path]


class _In:
    """The bytes of arrays.bin (index -1) and of the files that were read, each mapped when it is needed."""

    def __init__(self, own: Path, files: Sequence[Path]) -> None:
        self.paths = {-1: own, **dict(enumerate(files))}
        self.data: dict[int, np.ndarray] = {}

    def __getitem__(self, index: int) -> np.ndarray:
        if index not in self.data:
            self.data[index] = _mapped(self.paths[index])
        return self.data[index]


def _written(value: np.ndarray | Param, out: _Out) -> list[Any]:
    """Writes an array; returns [dtype, shape, offset, file], or [shape] for a parameter without one."""
    if isinstance(value, Param):
        return [list(value.shape)]
    place = place_of(value) if value.dtype.str in _DTYPES else None
    if place is not None and place[0] in out.files:
        return [value.dtype.str, list(value.shape), place[1], out.files.index(place[0])]
    array = np.ascontiguousarray(value).reshape(value.shape)
    if array.dtype.str not in _DTYPES:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.str not in _DTYPES:
        raise FormatError(f"an array of {array.dtype} cannot be kept; expected numbers")
    stream = out.stream
    start = stream.tell()
    stream.write(bytes(-start % _ALIGNMENT))
    offset = stream.tell()
    if array.size:
        stream.write(array.reshape(-1).view(np.uint8).data)
    return [array.dtype.str, list(array.shape), offset, -1]


def _plain(value: Any, stream: _Out) -> Any:
    """Returns an attribute as JSON: sequences as lists, which `_attribute` makes tuples again."""
    if isinstance(value, np.ndarray):
        return {"array": _written(value, stream)}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {"dict": {str(key): _plain(item, stream) for key, item in value.items()}}
    return [_plain(item, stream) for item in value]


def _attribute(value: Any, data: _In) -> Any:
    if isinstance(value, list):
        return tuple(_attribute(item, data) for item in value)
    if isinstance(value, dict):
        if "array" in value:
            return _param(value["array"], data)
        return {str(key): _attribute(item, data) for key, item in value["dict"].items()}
    return value


def _node(value: Any, data: _In) -> Node:
    op, name, inputs, outputs, attrs = value
    return Node(
        _text(op),
        _text(name),
        _texts(inputs),
        _texts(outputs),
        {str(key): _attribute(item, data) for key, item in attrs.items()},
    )


def _param(value: Any, data: _In) -> np.ndarray | Param:
    if len(value) == 1:
        return Param(_shape(value[0]))
    name, shape, offset, index = value
    dtype, shape = _DTYPES[name], _shape(shape)
    if len(shape) > 32 or type(offset) is not int or type(index) is not int:
        raise ValueError("an array has more than 32 dimensions, or no place")
    end = offset + math.prod(shape) * dtype.itemsize
    if offset < 0 or end > data[index].size:
        raise ValueError("an array lies outside the file")
    return data[index][offset:end].view(dtype).reshape(shape)


def _array_only(name: str, value: np.ndarray | Param) -> np.ndarray:
    if isinstance(value, Param):
        raise ValueError(f"{name} is no array")
    return value


def _mapped(path: Path) -> np.ndarray:
    if not path.stat().st_size:
        return np.zeros(0, np.uint8)
    if os.name == "nt":  # where a mapped file cannot be deleted
        return np.fromfile(path, np.uint8)
    with path.open("rb") as stream:
        return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int and size >= 0 for size in value):
        raise ValueError(f"expected a shape, got {value!r:.60}")
    return tuple(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {value!r:.60}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"expected texts, got {value!r:.60}")
    return tuple(_text(item) for item in value)
