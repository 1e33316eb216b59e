"""Caffe's weights: a caffemodel's blobs by layer name, without copies that can be spared; mean images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from zoo.errors import FormatError, UnsupportedError
from zoo.formats.caffe import schema

MAX_BYTES = (1 << 31) - 1  # protobuf's own limit
_MAX_RANK = 32  # Caffe's kMaxBlobAxes
_MAX_LAYERS = 100_000

_HDF5 = b"\x89HDF\r\n\x1a\n"
# NVIDIA's enum Type (its caffe.proto); 3 and 4 are integers, which no layer's weights are.
RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}

_CLASSES = schema.messages("zoo_caffe_weights", schema.BINARY)
_UNPACKED = schema.messages("zoo_caffe_unpacked", schema.UNPACKED)["Blob"]


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
    if raw.startswith(_HDF5):
        return _read_hdf5(path)
    net = _parse(path, raw, "Net", "caffemodel")
    if not net.layer and not net.layers:
        raise FormatError(f"{path.name}: holds no layers; expected a caffemodel")
    if len(net.layer) + len(net.layers) > _MAX_LAYERS:
        raise FormatError(f"{path.name}: holds {len(net.layer) + len(net.layers):,} layers; no network has so many")
    result: dict[str, list[Blob]] = {}
    for layer in _layers(net):
        if not layer.blobs:
            continue
        name = bytes(layer.name).decode("utf-8", errors="replace")
        _check_name(name, path)
        if name in result:
            raise FormatError(f"{path.name}: holds weights for two layers named {name!r}; cannot tell them apart")
        where = f"{path.name}: layer {name!r}"
        result[name] = [Blob(_array(blob, f"{where}: blob {i}")) for i, blob in enumerate(layer.blobs)]
    return result


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
    blob = _parse(path, _bytes(path), "Blob", "mean image")
    array = _array(blob, f"{path.name}: mean image")
    shape = array.shape[1:] if array.ndim == 4 and array.shape[0] == 1 else array.shape
    if len(shape) != 3 or 0 in shape:
        raise FormatError(f"{path.name}: holds an array of shape {array.shape}; expected one image (1, C, H, W)")
    return array.reshape(shape)


def _bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FormatError(f"{path.name}: {size:,} bytes; protobuf files, as caffemodels are, end at {MAX_BYTES:,}")
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path.name}: cannot be read: {error.strerror or error}") from error


def _parse(path: Path, raw: bytes, message: str, what: str) -> Any:
    result: Any = _CLASSES[message]()
    try:
        result.ParseFromString(raw)
    except DecodeError as error:
        head = raw[:256]
        hint = (
            "were the prototxt and the caffemodel swapped?" if head.isascii() and b"\0" not in head else "get it anew"
        )
        raise FormatError(f"{path.name}: is no {what}, or is cut short ({len(raw):,} bytes); {hint}") from error
    return result


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


def _layers(net: Any) -> list[Any]:
    """All generations' layers; V0's lie one message deeper."""
    return [*(layer.layer if layer.HasField("layer") else layer for layer in net.layers), *net.layer]


def _array(blob: Any, where: str) -> np.ndarray:
    shape = _shape(blob, where)
    count = math.prod(shape)
    forked = blob.HasField("raw_data") or (blob.half_data and not blob.data and not blob.double_data)
    array = _halves(blob, where) if forked else _packed(blob)
    if array is None or array.size != count:
        # Numbers that are not packed are unknown to the fast message, which has kept them.
        numbers = _unpacked(blob, where)
        array = numbers if array is None or numbers.size else array
    if array.size != count:
        raise FormatError(f"{where}: its shape {shape} needs {count:,} numbers, the file holds {array.size:,}")
    return array.reshape(shape)


def _packed(blob: Any) -> np.ndarray | None:
    for chunks, dtype in ((blob.data, "<f4"), (blob.double_data, "<f8")):
        if chunks:
            raw = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if len(raw) % np.dtype(dtype).itemsize:
                return None
            with np.errstate(over="ignore"):
                return np.frombuffer(raw, dtype=dtype).astype(np.float32, copy=False)
    return None


def _halves(blob: Any, where: str) -> np.ndarray:
    """The numbers of forks that know half precision: NVIDIA's raw bytes, or halves written as integers."""
    if not blob.HasField("raw_data"):
        numbers = np.fromiter(blob.half_data, np.uint32, len(blob.half_data))
        if numbers.max() > 0xFFFF:
            raise FormatError(f"{where}: its half-precision numbers have more than 16 bits; the file is damaged")
        return numbers.astype("<u2").view("<f2").astype(np.float32)
    kind = blob.half_data[-1] if blob.half_data else 1
    if kind not in RAW_TYPES:
        raise UnsupportedError(f"{where}: raw_data_type {kind} holds no floating-point numbers; expected 0, 1 or 2")
    if len(blob.raw_data) % np.dtype(RAW_TYPES[kind]).itemsize:
        raise FormatError(f"{where}: its raw_data ends within a number; the file is damaged")
    with np.errstate(over="ignore"):
        return np.frombuffer(blob.raw_data, RAW_TYPES[kind]).astype(np.float32, copy=False)


def _unpacked(blob: Any, where: str) -> np.ndarray:
    try:
        slow: Any = _UNPACKED.FromString(blob.SerializeToString())
    except DecodeError as error:
        raise FormatError(f"{where}: its numbers are cut short; the file is damaged") from error
    with np.errstate(over="ignore"):
        return np.array(slow.data or slow.double_data).astype(np.float32)


def _shape(blob: Any, where: str) -> tuple[int, ...]:
    legacy = any(blob.HasField(name) for name in ("num", "channels", "height", "width"))
    if blob.HasField("shape") or not legacy:
        shape = tuple(int(n) for n in blob.shape.dim)
    else:
        shape = (blob.num, blob.channels, blob.height, blob.width)
    if len(shape) > _MAX_RANK or any(n < 0 for n in shape):
        raise FormatError(f"{where}: impossible shape {shape[:_MAX_RANK]}; the file is damaged")
    return shape
