"""Caffe's weights: a caffemodel's blobs by layer name, without copies that can be spared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from zoo.errors import FormatError, UnsupportedError
from zoo.formats.caffe import schema

MAX_BYTES = (1 << 31) - 1  # protobuf's own limit
_MAX_RANK = 32  # Caffe's kMaxBlobAxes
_MAX_LAYERS = 100_000

_CLASSES = schema.messages("zoo_caffe_weights", schema.BINARY)
_UNPACKED = schema.messages("zoo_caffe_unpacked", schema.UNPACKED)["Blob"]


@dataclass(frozen=True)
class Blob:
    """One array of a layer: `array` has the shape the file states; float32, perhaps read-only."""

    array: np.ndarray

    def reshaped(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """Returns the array in another shape, or None if the two differ in more than leading ones.

        Files of Caffe's first years hold every blob with four axes: a bias is (1, 1, 1, C).
        """
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
    net = _parse(path)
    if not net.layer and not net.layers:
        raise FormatError(f"{path.name}: holds no layers; expected a caffemodel")
    if len(net.layer) + len(net.layers) > _MAX_LAYERS:
        raise FormatError(f"{path.name}: holds {len(net.layer) + len(net.layers):,} layers; no network has so many")
    result: dict[str, list[Blob]] = {}
    for layer in _layers(net):
        if not layer.blobs:
            continue
        name = bytes(layer.name).decode("utf-8", errors="replace")
        if len(name) > 200 or not name.isprintable():
            raise FormatError(f"{path.name}: {name[:40]!a}... is no layer's name; the file is damaged")
        if name in result:
            raise FormatError(f"{path.name}: holds weights for two layers named {name!r}; cannot tell them apart")
        where = f"{path.name}: layer {name!r}"
        result[name] = [Blob(_array(blob, f"{where}: blob {i}")) for i, blob in enumerate(layer.blobs)]
    return result


def _parse(path: Path) -> Any:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FormatError(f"{path.name}: {size:,} bytes; protobuf files, as caffemodels are, end at {MAX_BYTES:,}")
        raw = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path.name}: cannot be read: {error.strerror or error}") from error
    if raw.startswith(b"\x89HDF\r\n\x1a\n"):
        raise UnsupportedError(f"{path.name}: is a caffemodel in HDF5; only the protobuf kind is supported")
    net: Any = _CLASSES["Net"]()
    try:
        net.ParseFromString(raw)
    except DecodeError as error:
        head = raw[:256]
        hint = (
            "were the prototxt and the caffemodel swapped?" if head.isascii() and b"\0" not in head else "get it anew"
        )
        raise FormatError(f"{path.name}: is no caffemodel, or is cut short ({size:,} bytes); {hint}") from error
    return net


def _layers(net: Any) -> list[Any]:
    """All generations' layers; V0's lie one message deeper."""
    return [*(layer.layer if layer.HasField("layer") else layer for layer in net.layers), *net.layer]


def _array(blob: Any, where: str) -> np.ndarray:
    shape = _shape(blob, where)
    count = math.prod(shape)
    array = _packed(blob)
    if array is None or array.size != count:
        # Numbers that are not packed are unknown to the fast message, which has kept them.
        array = _unpacked(blob, where)
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
