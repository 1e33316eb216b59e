"""PyTorch state dicts (.pth, .pt, .bin), read without PyTorch and without executing anything.

Two containers exist: a zip whose members are stored uncompressed (PyTorch 1.6 and later), and the older stream of five
pickles followed by the raw storages. In both the pickle only describes the tensors (`zoo.formats.torch_tensors`), and
their numbers are handed out as read-only views into the mapped file.

A file may hold more than the state dict. What `read` returns is found so:

1. While the dict has one of the keys of `WRAPPERS` with a dict of tensors under it, that dict is taken. The first key
   in the order of `WRAPPERS` wins: averaged weights before raw ones, because published accuracies are theirs.
2. `module.` (DataParallel) and `_orig_mod.` (torch.compile) are cut off where every tensor's name begins with them.
3. Entries that are no tensors (epoch, optimizer, ...) are left out.
"""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zoo.errors import FormatError, UnsupportedError
from zoo.formats import pickles, safetensors, zips
from zoo.formats.mapped import mapped
from zoo.formats.pickles import shown
from zoo.formats.torch_tensors import Storage, Storages, Tensor, allowed, bare_names, itemsize, storage_ids

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model_state", "model", "net")

UNUSED = {"*num_batches_tracked": "counts training steps; inference does not use it"}
"""Pattern of names -> why inference has no use for such arrays."""

MAX_PICKLE = 64 << 20  # bytes; a state dict of 1,000 tensors takes about 200 kB
MAX_DEPTH = 4  # of wrappers, so that a dict inside itself ends
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001

# What is saved as .pth by mistake, or needs another reader: first bytes -> what it is.
LOOKALIKES = {
    b"version https://git-lfs": "a Git LFS pointer, not the file it stands for",
    b"<": "an HTML or XML page",
    b"\x89HDF\r\n": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive, to be unpacked first",
}


def read(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Returns the arrays of a PyTorch state dict by name, in the file's order.

    Args:
        path: a file that torch.save wrote, zip or legacy, or a safetensors file, whatever its name.

    Returns:
        Read-only arrays of the file's own type and shape, views into the mapped file; bfloat16, which numpy lacks,
        comes as float32.

    Raises:
        FormatError: the file is damaged, describes tensors outside itself, or names anything but tensors and plain
            containers.
        UnsupportedError: a sound file of another kind: TorchScript, tar, big-endian, sparse or quantized tensors.

    >>> read("efficientnet-lite0-57934424.pth")["_fc.bias"].shape  # doctest: +SKIP
    (1000,)
    """
    path = Path(path)
    data = mapped(path, "a PyTorch state dict")
    where = path.name
    named_so = path.suffix == ".safetensors" and data[:1] not in (b"P", b"\x80")
    if named_so or safetensors.told_by(data[:9]):
        return safetensors.arrays(data, where)
    content, storages = (_read_zip if data[:4] == b"PK\x03\x04" else _read_legacy)(data, where)
    return {name: storages.array(tensor, name) for name, tensor in _state_dict(content, where).items()}


def _state_dict(content: Any, where: str) -> dict[str, Tensor]:
    """Returns the tensors by name after the three rules at the top of this module."""
    for _ in range(MAX_DEPTH):
        inner = [content[key] for key in WRAPPERS if isinstance(content, dict) and _has_tensors(content.get(key))]
        if not inner:
            break
        content = inner[0]
    if not isinstance(content, dict):
        kind = "tensor" if isinstance(content, Tensor) else type(content).__name__
        raise FormatError(f"{where}: holds a {kind}, not a dict of tensors; save model.state_dict() in PyTorch")
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        keys = ", ".join(shown(str(key), 30) for key in list(content)[:8]) or "none"
        raise FormatError(f"{where}: holds no tensors where a state dict has them; its entries: {keys}")
    if not all(isinstance(name, str) for name in tensors):
        raise FormatError(f"{where}: tensors under numbers instead of names; save model.state_dict() in PyTorch")
    return bare_names(tensors, where)


def _has_tensors(value: Any) -> bool:
    """Says whether a dict holds tensors, at once or one wrapper further in."""
    for _ in range(MAX_DEPTH):
        if not isinstance(value, dict):
            return False
        if any(isinstance(item, Tensor) for item in value.values()):
            return True
        value = next((value[key] for key in WRAPPERS if isinstance(value.get(key), dict)), None)
    return False


# ---------------------------------------------------------------------------------------------------------------- zip


def _read_zip(data: mmap.mmap, where: str) -> tuple[Any, Storages]:
    members = zips.members(data, where)
    top_level = [member.filename for member in members if member.filename.count("/") == 1]
    if any(name.endswith(("/constants.pkl", "/archive_format")) for name in top_level):
        raise UnsupportedError(
            f"{where}: a TorchScript or exported program, which holds code; nothing was executed; "
            "load it in PyTorch and torch.save(model.state_dict(), ...)"
        )
    pickled = [name for name in top_level if name.endswith("/data.pkl")]
    if len(pickled) != 1:
        raise FormatError(
            f"{where}: a zip file that torch.save did not write: no data.pkl in it; expected a state dict"
        )
    places = _stored(data, where, members)
    top = pickled[0].removesuffix("data.pkl")
    start, length = places.get(top + "byteorder", (0, 0))
    if length and data[start : start + min(length, 8)] != b"little":
        raise UnsupportedError(f"{where}: saved on a big-endian machine; save it again on a little-endian one")
    start, length = places[pickled[0]]
    if length > MAX_PICKLE:
        raise FormatError(f"{where}: data.pkl has {length} bytes, more than a state dict takes ({MAX_PICKLE})")
    stream = io.BytesIO(data[start : start + length])
    content = pickles.load(stream, where=where, allowed=allowed(where), persistent=storage_ids(where))
    folder = top + "data/"
    inside = {name.removeprefix(folder): place for name, place in places.items() if name.startswith(folder)}
    return content, Storages(data, where, inside)


def _stored(data: mmap.mmap, where: str, members: list[zipfile.ZipInfo]) -> dict[str, tuple[int, int]]:
    """Returns member name -> first byte and number of bytes in the file; torch.save stores members uncompressed."""
    places: dict[str, tuple[int, int]] = {}
    total = 0
    for member in members:
        name = member.filename
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise FormatError(
                f"{where}: member {shown(name)!r} is compressed or encrypted, which torch.save never does"
            )
        start = zips.start_of(data, member, where)
        total += member.file_size
        if name in places or start + member.file_size > len(data) or total > len(data):
            raise FormatError(
                f"{where}: member {shown(name)!r} is cut, doubled or laid over others; fetch the file again"
            )
        places[name] = (start, member.file_size)
    return places


# ------------------------------------------------------------------------------------------------------------- legacy


def _read_legacy(data: mmap.mmap, where: str) -> tuple[Any, Storages]:
    head = data[:512]
    if head[257:262] == b"ustar":
        raise UnsupportedError(f"{where}: PyTorch 0.1's tar format; load it in an old PyTorch and save it again")
    stream = io.BytesIO(data[: min(MAX_PICKLE, len(data))])
    if head[:1] != b"\x80" or _plain(stream, where) != MAGIC:
        kind = next((f"but {what}" for start, what in LOOKALIKES.items() if head.startswith(start)), "")
        kind = kind or f"(first bytes {head[:4].hex(' ')})"
        raise FormatError(f"{where}: not a PyTorch file {kind}; expected a state dict written by torch.save")
    if _plain(stream, where) != PROTOCOL:
        raise UnsupportedError(f"{where}: another legacy version than {PROTOCOL}; save it again in PyTorch")
    system = _plain(stream, where)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UnsupportedError(f"{where}: saved on a big-endian machine; save it again on a little-endian one")
    described: dict[str, Storage] = {}
    content = pickles.load(stream, where=where, allowed=allowed(where), persistent=storage_ids(where, described))
    keys = _plain(stream, where)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(set(keys)) != len(keys):
        raise FormatError(f"{where}: the list of storages is damaged; fetch the file again")
    return content, Storages(data, where, _places(data, where, stream.tell(), keys, described))


def _plain(stream: BinaryIO, where: str) -> Any:
    """Returns the next pickle, which may hold plain values only."""
    return pickles.load(stream, where=where, allowed={})


def _places(
    data: mmap.mmap, where: str, start: int, keys: list[str], described: Mapping[str, Storage]
) -> dict[str, tuple[int, int]]:
    """Returns storage key -> first byte and number of bytes; each storage lies behind its number of elements."""
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in described:
            raise FormatError(f"{where}: storage {shown(key)!r} belongs to no tensor; fetch the file again")
        header = data[start : start + 8]
        count = struct.unpack("<q", header)[0] if len(header) == 8 else -1
        length = count * itemsize(described[key].dtype)
        if count < 0 or start + 8 + length > len(data):
            raise FormatError(f"{where}: the file is cut at storage {shown(key)!r}; fetch it again")
        places[key] = (start + 8, length)
        start += 8 + length
    return places
