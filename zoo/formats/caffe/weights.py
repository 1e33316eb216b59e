"""Caffe's weights: a caffemodel's blobs by layer name, as views into the file; mean images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from zoo.errors import FormatError, UnsupportedError
from zoo.formats import wire
from zoo.formats.caffe import schema
from zoo.formats.mapped import mapped

MAX_BYTES = (1 << 31) - 1  # protobuf's own limit
_MAX_RANK = 32  # Caffe's kMaxBlobAxes
_MAX_LAYERS = 100_000
_MAX_FIELDS = 3_000_000  # of a whole file; ResNet-152's has 15,000
_HDF5 = b"\x89HDF\r\n\x1a\n"

# Numbers of fields (caffe.proto). Layers of three generations: number in what holds them -> numbers of name and blobs.
_LAYERS = {100: (1, 7), 2: (4, 6)}
_V0_INSIDE_V1, _V0 = 1, (1, 50)
_LEGACY, _SHAPE, _DATA, _DOUBLE, _HALF, _RAW = (1, 2, 3, 4), 7, 5, 8, 10, 12
# NVIDIA's enum Type, which lies under the number of the other forks' halves; 3 and 4 are integers, as no weights are.
_RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}
_BLOB = schema.messages("zoo_caffe_blob", schema.BLOB)["Blob"]


@dataclass(frozen=True)
class Blob:
    """One array of a layer: `array` has the shape the file states; float32, perhaps read-only."""

    array: np.ndarray

    def reshaped(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """Returns the array in another shape, or None if the two differ in more than leading ones.

        Files of Caffe's first years hold every blob with four axes: a bias is (1, 1, 1, C), a slope of BN (1, C, 1, 1).
        """
        if len(shape) == 1 and self.array.size == shape[0] == max(self.array.shape, default=1):
            return self.array.reshape(shape)
        if _without_leading_ones(self.array.shape) != _without_leading_ones(shape):
            return None
        return self.array.reshape(shape)


def _without_leading_ones(shape: Sequence[int]) -> tuple[int, ...]:
    first = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    return tuple(shape[first:])


def read(path: Path) -> Mapping[str, list[Blob]]:
    """Reads all blobs of a caffemodel.

    Args:
        path: the file; at most 2 GiB, as protobuf has it.

    Returns:
        Layer name -> its blobs in Caffe's order; layers without blobs are left out.

    Raises:
        FormatError: the file is damaged, or no caffemodel.
    """
    raw = _bytes(path)
    if raw[: len(_HDF5)] == _HDF5:
        return _read_hdf5(path)
    walk = _Walk(path, len(raw), "caffemodel")
    result: dict[str, list[Blob]] = {}
    count = 0
    for number, kind, layer in walk.fields(raw):
        if number not in _LAYERS or kind != wire.BYTES:
            continue
        count += 1
        if count > _MAX_LAYERS:
            raise FormatError(f"{path.name}: holds more than {_MAX_LAYERS:,} layers; no network has so many")
        name, blobs = _layer(walk, memoryview(layer), *_LAYERS[number])
        if not blobs:
            continue
        _check_name(name, path)
        if name in result:
            raise FormatError(f"{path.name}: holds weights for two layers named {name!r}; cannot tell them apart")
        where = f"{path.name}: layer {name!r}"
        result[name] = [Blob(_array(walk, blob, f"{where}: blob {i}")) for i, blob in enumerate(blobs)]
    if not count:
        raise FormatError(f"{path.name}: holds no layers; expected a caffemodel")
    return result


@dataclass
class _Walk:
    """The fields of one file, whose number is bounded: they are walked in Python."""

    path: Path
    size: int
    what: str
    count: int = 0

    def fields(self, message: memoryview) -> Iterator[tuple[int, int, Any]]:
        try:
            for found in wire.fields(message):
                self.count += 1
                if self.count > _MAX_FIELDS:
                    raise FormatError(f"{self.path.name}: is no {self.what}: it has more than {_MAX_FIELDS:,} fields")
                yield found
        except ValueError as error:
            head = bytes(message[:256])
            swapped = head.isascii() and b"\0" not in head
            hint = "were the prototxt and the caffemodel swapped?" if swapped else "get it anew"
            raise FormatError(
                f"{self.path.name}: is no {self.what}, or is cut short ({self.size:,} bytes); {hint}"
            ) from error


def _layer(walk: _Walk, layer: memoryview, name_at: int, blobs_at: int) -> tuple[str, list[memoryview]]:
    """A layer's name and its blobs, unread; V0's lie one message deeper."""
    name, blobs = b"", []
    for number, kind, value in walk.fields(layer):
        if kind != wire.BYTES:
            continue
        if number == name_at:
            name = bytes(value)
        elif number == blobs_at:
            blobs.append(value)
        elif (name_at, number) == (_LAYERS[2][0], _V0_INSIDE_V1):
            return _layer(walk, value, *_V0)
    return name.decode("utf-8", errors="replace"), blobs


def mean(path: str | PathLike[str]) -> np.ndarray:
    """Reads a mean image, as `mean.binaryproto` and `imagenet_mean.binaryproto` are.

    Args:
        path: the file.

    Returns:
        (C, H, W) float32, channels in the network's order (BGR as a rule), 0..255; perhaps read-only.

    Raises:
        FormatError: the file is damaged, or holds anything but one image.
    """
    path = Path(path)
    raw = _bytes(path)
    array = _array(_Walk(path, len(raw), "mean image"), raw, f"{path.name}: mean image")
    shape = array.shape[1:] if array.ndim == 4 and array.shape[0] == 1 else array.shape
    if len(shape) != 3 or 0 in shape:
        raise FormatError(f"{path.name}: holds an array of shape {array.shape}; expected one image (1, C, H, W)")
    return array.reshape(shape)


def _bytes(path: Path) -> memoryview:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise FormatError(f"{path.name}: cannot be read: {error.strerror or error}") from error
    if size > MAX_BYTES:
        raise FormatError(f"{path.name}: {size:,} bytes; protobuf files, as caffemodels are, end at {MAX_BYTES:,}")
    return memoryview(mapped(path, "a caffemodel") if size else b"")


def _check_name(name: str, path: Path) -> None:
    if len(name) > 200 or not name.isprintable():
        raise FormatError(f"{path.name}: {name[:40]!a}... is no layer's name; the file is damaged")


def _read_hdf5(path: Path) -> Mapping[str, list[Blob]]:
    """A `.caffemodel.h5`: datasets `data/<layer>/<index>`; what training keeps beside them (`diff`) is left out."""
    from zoo.formats import hdf5

    found: dict[str, dict[int, np.ndarray]] = {}
    with hdf5.open(path) as file:
        for dataset in file.datasets():
            root, _, rest = dataset.partition("/")
            name, _, index = rest.rpartition("/")
            if root != "data" or not name or not (index.isascii() and index.isdigit() and len(index) < 4):
                continue
            _check_name(name, path)
            with np.errstate(over="ignore"):
                found.setdefault(name, {})[int(index)] = file.array(dataset).astype(np.float32, copy=False)
    if not found:
        raise FormatError(f"{path.name}: holds no arrays data/<layer>/<index>; expected a caffemodel in HDF5")
    for name, arrays in found.items():
        if sorted(arrays) != list(range(len(arrays))):
            raise FormatError(f"{path.name}: layer {name!r} holds blobs {sorted(arrays)}; expected 0, 1, ...")
    return {name: [Blob(arrays[i]) for i in range(len(arrays))] for name, arrays in found.items()}


@dataclass
class _Parts:
    """A blob's fields: what says its shape, and its numbers, still in the file."""

    legacy: dict[int, int] = field(default_factory=dict)
    dims: list[int] | None = None
    chunks: dict[int, list[memoryview]] = field(default_factory=dict)
    kind: int | None = None  # NVIDIA's, or a half written as an integer
    numbers: np.ndarray | None = None


def _array(walk: _Walk, blob: memoryview, where: str) -> np.ndarray:
    parts = _parts(walk, blob, where)
    shape = _shape(parts, where)
    array = _numbers(parts, where) if parts.numbers is None else parts.numbers
    if array.size != math.prod(shape):
        raise FormatError(
            f"{where}: its shape {shape} needs {math.prod(shape):,} numbers, the file holds {array.size:,}"
        )
    return array.reshape(shape)


def _parts(walk: _Walk, blob: memoryview, where: str) -> _Parts:
    parts = _Parts()
    for number, kind, value in walk.fields(blob):
        if kind == wire.VARINT and number in _LEGACY:
            parts.legacy[number] = wire.signed(value)
        elif kind == wire.BYTES and number == _SHAPE:
            parts.dims = (parts.dims or []) + _dims(walk, value, where)
        elif kind == wire.BYTES and number in (_DATA, _DOUBLE, _RAW):
            parts.chunks.setdefault(number, []).append(value)
        elif kind == wire.VARINT and number == _HALF and parts.kind is None:
            parts.kind = value
        elif number in (_DATA, _DOUBLE, _HALF):
            return _one_by_one(blob, where)
    return parts


def _dims(walk: _Walk, shape: memoryview, where: str) -> list[int]:
    dims: list[int] = []
    try:
        for number, kind, value in walk.fields(shape):
            if number == 1 and kind == wire.VARINT:
                dims.append(wire.signed(value))
            elif number == 1 and kind == wire.BYTES:
                dims += [wire.signed(n) for n in islice(wire.varints(value), 2 * _MAX_RANK)]
            if len(dims) > _MAX_RANK:
                break
    except ValueError as error:
        raise FormatError(f"{where}: its shape is cut short; the file is damaged") from error
    return dims


def _one_by_one(blob: memoryview, where: str) -> _Parts:
    """Numbers with a tag before each, or halves as integers: millions of fields, which protobuf walks faster."""
    try:
        message: Any = _BLOB.FromString(bytes(blob))
    except DecodeError as error:
        raise FormatError(f"{where}: its numbers are cut short; the file is damaged") from error
    names = ("num", "channels", "height", "width")
    parts = _Parts(
        {i: getattr(message, name) for i, name in zip(_LEGACY, names, strict=True) if message.HasField(name)}
    )
    if message.HasField("shape"):
        parts.dims = list(message.shape.dim)
    if message.HasField("raw_data"):
        parts.chunks[_RAW] = [memoryview(message.raw_data)]
        parts.kind = message.half_data[-1] if message.half_data else None
        return parts
    with np.errstate(over="ignore"):
        parts.numbers = np.array(message.data or message.double_data).astype(np.float32)
    if message.half_data and not parts.numbers.size:
        parts.numbers = _halves(np.fromiter(message.half_data, np.uint32, len(message.half_data)), where)
    return parts


def _halves(numbers: np.ndarray, where: str) -> np.ndarray:
    if numbers.max() > 0xFFFF:
        raise FormatError(f"{where}: its half-precision numbers have more than 16 bits; the file is damaged")
    return numbers.astype("<u2").view("<f2").astype(np.float32)


def _numbers(parts: _Parts, where: str) -> np.ndarray:
    """The numbers that lie together in the file; float32 ones stay there."""
    dtype, chunks = "<f4", parts.chunks.get(_DATA, [])
    if _RAW in parts.chunks:
        kind = 1 if parts.kind is None else parts.kind
        if kind not in _RAW_TYPES:
            raise UnsupportedError(f"{where}: raw_data_type {kind} holds no floating-point numbers; expected 0, 1 or 2")
        dtype, chunks = _RAW_TYPES[kind], parts.chunks[_RAW][-1:]
    elif not any(map(len, chunks)) and _DOUBLE in parts.chunks:
        dtype, chunks = "<f8", parts.chunks[_DOUBLE]
    elif not chunks and parts.kind is not None:
        return _halves(np.array([parts.kind], np.uint64), where)
    raw = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    if len(raw) % np.dtype(dtype).itemsize:
        raise FormatError(f"{where}: its numbers end within one; the file is damaged")
    with np.errstate(over="ignore"):
        return np.frombuffer(raw, dtype).astype(np.float32, copy=False)


def _shape(parts: _Parts, where: str) -> tuple[int, ...]:
    if parts.dims is not None or not parts.legacy:
        shape = tuple(parts.dims or ())
    else:
        shape = tuple(parts.legacy.get(i, 0) for i in _LEGACY)
    if len(shape) > _MAX_RANK or any(not 0 <= n < 1 << 40 for n in shape):
        raise FormatError(f"{where}: impossible shape {shape[:_MAX_RANK]}; the file is damaged")
    return shape
