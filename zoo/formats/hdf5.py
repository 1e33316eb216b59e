"""HDF5 behind a guard: the arrays and the names that a file of weights holds, and nothing that leads out of it.

HDF5 can do much that no file of weights needs: links to other files, numbers kept in other files, loops, filters that
load code, and shapes that take any amount of memory. `open` walks the whole file once and refuses all of that before
a number is read; it is an allow-list, at least as strict as what Keras 3.15 does on loading:

- links are hard links, and each object is reached once: no soft, external or user-defined link anywhere, no cycle
- numbers lie in this file and are all there: no external storage, no virtual dataset, no part that is only implied
- types are plain integers and floats; filters are shuffle, deflate and fletcher32, each once
- what the file holds is no larger than the file, or, deflated, than `MAX_EXPANSION` times the file
- depth, number of objects, lengths of names and attributes are bounded

The HDF5 library itself is C code that parses the file's structure before any check here can run; a file nobody vouches
for is better opened in a process of its own. `zoo.formats.keras` reads Keras's files with it.
"""

from __future__ import annotations

import contextlib
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5s, h5t, h5z

from zoo.errors import FormatError, UnsupportedError
from zoo.formats.mapped import mapped
from zoo.formats.pickles import shown

MAGIC = b"\x89HDF\r\n\x1a\n"

MAX_OBJECTS = 100_000  # groups and datasets
MAX_DEPTH = 32  # groups inside each other; a model inside a model takes two or three
MAX_NAME = 500  # characters of one name
MAX_ATTRIBUTE = 1 << 20  # bytes of one attribute of names; HDF5 itself splits at 64 kB
MAX_NAMES = 4 << 30  # bytes that a list of names of variable length could at worst take in memory
MAX_PARTS = 4096  # pieces of one list of names
MAX_TEXT = 64 << 20  # bytes of a text such as Keras's model_config
MAX_EXPANSION = 16  # bytes read for each byte in the file, over all deflated datasets together
SMALL = 64 << 20  # bytes that deflated datasets may always take: a file of constants deflates a thousandfold

_TYPES = [
    (getattr(h5t, f"{family}{kind}{bits}{order}"), np.dtype(f"{'<' if order == 'LE' else '>'}{code}{bits // 8}"))
    for family, kind, code, sizes in (
        ("IEEE_", "F", "f", (16, 32, 64)),
        ("STD_", "I", "i", (8, 16, 32, 64)),
        ("STD_", "U", "u", (8, 16, 32, 64)),
    )
    for bits in sizes
    for order in ("LE", "BE")
]
_HEAP = b"GCOL\x01\0\0\0"
# In the order in which HDF5 applies them; another order or a second deflate serves bombs only.
_FILTERS = (h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE, h5z.FILTER_FLETCHER32)


@dataclass(frozen=True)
class _Chunks:
    shape: tuple[int, ...]
    filters: tuple[int, ...]
    places: tuple[tuple[int, int], ...]
    """First byte and number of bytes of each, in the file."""


@dataclass(frozen=True)
class _Dataset:
    id: Any
    type: Any
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    layout: int
    offset: int = 0
    chunks: _Chunks | None = None

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Returns every array of an HDF5 file by its path inside the file (`conv1/kernel:0`).

    Args:
        path: the file.

    Returns:
        Read-only arrays of the file's own type and shape; those that are not deflated are views of the mapped file.

    Raises:
        FormatError: the file is damaged, or does what no file of weights does; see the top of this module.
        UnsupportedError: a dataset's type is none of integers and floats.
    """
    with open(path) as file:
        return {name: file.array(name) for name in file.datasets()}


def open(path: str | PathLike[str]) -> Guarded:
    """Opens an HDF5 file after checking all of it; see `read` for what is raised."""
    return Guarded(Path(path))


class Guarded:
    """A checked HDF5 file, to be used in a `with` block; arrays outlive it.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._bytes = mapped(path, "an HDF5 file")
        if self._bytes[: len(MAGIC)] != MAGIC:
            raise FormatError(f"{self.name}: not an HDF5 file (first bytes {self._bytes[:8].hex(' ')})")
        self._groups: dict[str, Any] = {}
        self._datasets: dict[str, _Dataset] = {}
        self._stored = 0
        self._file = None
        try:
            with self._damage(""):
                self._file = h5f.open(str(path).encode(), h5f.ACC_RDONLY)
                properties = self._file.get_create_plist()
                if properties.get_userblock() or properties.get_sizes() != (8, 8):
                    raise UnsupportedError(f"{self.name}: has a user block or short addresses; no weights have them")
                self._walk()
                self._check_size()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Guarded:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; closing twice is no error."""
        self._groups.clear()
        self._datasets.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def datasets(self) -> tuple[str, ...]:
        """Returns the paths of all datasets, in the file's order: `conv1/conv1/kernel:0`."""
        return tuple(self._datasets)

    def groups(self) -> tuple[str, ...]:
        """Returns the paths of all groups, in the file's order; the first is the file itself, `""`."""
        return tuple(self._groups)

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns a dataset's shape without reading it."""
        return self._dataset(name).shape

    def array(self, name: str) -> np.ndarray:
        """Returns a dataset, read-only.

        Raises:
            FormatError: no such dataset, or its deflated bytes are damaged.
        """
        found = self._dataset(name)
        if found.layout == h5d.CONTIGUOUS and found.nbytes:
            flat = np.frombuffer(self._bytes, found.dtype, math.prod(found.shape), found.offset)
            return flat.reshape(found.shape)
        if found.chunks is not None:
            self._check_chunks(found.chunks, found.dtype.itemsize, name)
        with self._damage(name):
            made = np.empty(found.shape, found.dtype)
            if found.nbytes:
                found.id.read(h5s.ALL, h5s.ALL, made, mtype=found.type)
        made.flags.writeable = False
        return made

    def attribute_strings(self, path: str, name: str) -> list[str] | None:
        """Returns a list of names that is an attribute, such as `layer_names` or `weight_names`.

        Args:
            path: a group's or dataset's; `""` for the file's own attributes.
            name: the attribute's. Where it is missing, `<name>0`, `<name>1`, ... are joined: Keras splits what is
                larger than HDF5's 64 kB.

        Returns:
            The names; None if there is no such attribute, whole or in parts.

        Raises:
            FormatError: it holds something else than a list of names.
        """
        place = self._object(path)
        where = f"{path}@{name}"
        with self._damage(where):
            if h5a.exists(place, name.encode()):
                return self._names(place, name, where)
            found: list[str] = []
            for part in range(MAX_PARTS):
                if not h5a.exists(place, f"{name}{part}".encode()):
                    return found if part else None
                found += self._names(place, f"{name}{part}", where)
        raise FormatError(f"{self._at(where)}: more than {MAX_PARTS} parts; the file is damaged")

    def attribute_text(self, path: str, name: str) -> str | None:
        """Returns an attribute that is one text, such as `keras_version` or `model_config`; None where it is missing.

        Raises:
            FormatError: it is no text.
        """
        place = self._object(path)
        where = f"{path}@{name}"
        with self._damage(where):
            if not h5a.exists(place, name.encode()):
                return None
            attribute = h5a.open(place, name.encode())
            kind = attribute.get_type()
            size = kind.get_size()
            if attribute.shape != () or not isinstance(kind, h5t.TypeStringID) or size > MAX_TEXT:
                raise FormatError(f"{self._at(where)}: expected one text")
            if not kind.is_variable_str():
                return self._decoded(self._fixed(attribute, size)[0], where)
            if self._longest_text() > MAX_TEXT:
                raise FormatError(f"{self._at(where)}: could take more than {MAX_TEXT} bytes; refused")
            made = np.empty((), h5py.string_dtype())
            attribute.read(made)
            text: Any = made[()]
            return self._decoded(text, where)

    # ------------------------------------------------------------------------------------------------------ the walk

    def _walk(self) -> None:
        assert self._file is not None
        root = h5g.open(self._file, b"/")
        seen = {h5o.get_info(root).addr}
        self._groups[""] = root
        open_groups = [("", root, 1)]
        while open_groups:
            path, group, depth = open_groups.pop()
            for link in self._links(group, path):
                inside = f"{path}/{link}" if path else link
                with self._damage(inside):
                    found = h5o.open(group, link.encode())
                    address = h5o.get_info(found).addr
                if address in seen:
                    raise FormatError(f"{self._at(inside)}: leads to an object reached before; cycles are refused")
                seen.add(address)
                if len(seen) > MAX_OBJECTS:
                    raise FormatError(f"{self.name}: holds more than {MAX_OBJECTS} objects; no file of weights does")
                if isinstance(found, h5g.GroupID):
                    if depth >= MAX_DEPTH:
                        raise FormatError(f"{self._at(inside)}: groups are nested more than {MAX_DEPTH} deep")
                    self._groups[inside] = found
                    open_groups.append((inside, found, depth + 1))
                elif isinstance(found, h5d.DatasetID):
                    self._datasets[inside] = self._checked(found, inside)
                else:
                    raise FormatError(f"{self._at(inside)}: neither a group nor a dataset")

    def _links(self, group: Any, path: str) -> list[str]:
        """Returns the names in a group after checking that all are hard links."""
        found: dict[bytes, int] = {}

        def note(name: bytes, info: Any) -> Any:
            doubled = name in found
            found[bytes(name)] = h5l.TYPE_EXTERNAL if doubled else info.type
            return True if doubled or len(found) > MAX_OBJECTS else None

        with self._damage(path):
            group.links.iterate(note, info=True)
        names = []
        for raw, kind in found.items():
            name = raw.decode("utf-8", errors="replace")
            # A slash would make the library take the name as a way through other links.
            if not 0 < len(name) <= MAX_NAME or not name.isprintable() or "/" in name or name in (".", "..", "\ufffd"):
                raise FormatError(f"{self._at(path)}: {shown(name, 40)!r} is no name; the file is damaged")
            if kind != h5l.TYPE_HARD:
                raise FormatError(
                    f"{self._at(f'{path}/{name}' if path else name)}: a soft, external or doubled link; only what lies "
                    "in the file itself is read"
                )
            names.append(name)
        return names

    def _checked(self, dataset: Any, path: str) -> _Dataset:
        where = self._at(path)
        with self._damage(path):
            # The layout first: asking a virtual dataset for its shape opens other files.
            properties = dataset.get_create_plist()
            layout = properties.get_layout()
            if layout not in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED):
                raise FormatError(f"{where}: a virtual dataset, made of other files; refused")
            if properties.get_external_count():
                raise FormatError(f"{where}: its numbers lie in another file; refused")
            kind = dataset.get_type()
            dtype = next((dtype for known, dtype in _TYPES if kind == known), None)
            if dtype is None:
                raise UnsupportedError(f"{where}: numbers of a type that zoo does not read; expected floats, integers")
            space = dataset.get_space()
            if space.get_simple_extent_type() not in (h5s.SIMPLE, h5s.SCALAR):
                raise FormatError(f"{where}: has no shape; the file is damaged")
            shape = tuple(space.get_simple_extent_dims())
            found = _Dataset(dataset, kind, dtype, shape, layout)
            if layout == h5d.CHUNKED:
                return _Dataset(
                    dataset, kind, dtype, shape, layout, chunks=self._chunks(dataset, properties, found, where)
                )
            return self._in_one_piece(found, where)

    def _in_one_piece(self, found: _Dataset, where: str) -> _Dataset:
        stored, offset = found.id.get_storage_size(), found.id.get_offset()
        if found.layout == h5d.COMPACT:
            offset = 0
        if stored != found.nbytes or (stored and (offset is None or offset + stored > len(self._bytes))):
            raise FormatError(f"{where}: shape {found.shape} needs {found.nbytes} bytes, the file holds {stored} of it")
        self._count(stored, where)
        return _Dataset(found.id, found.type, found.dtype, found.shape, found.layout, offset or 0)

    def _chunks(self, dataset: Any, properties: Any, found: _Dataset, where: str) -> _Chunks:
        shape = tuple(properties.get_chunk())
        filters = tuple(properties.get_filter(i)[0] for i in range(properties.get_nfilters()))
        if filters != tuple(known for known in _FILTERS if known in filters):
            raise UnsupportedError(f"{where}: uses filters {filters[:8]}; only shuffle, deflate, fletcher32 are read")
        places: list[tuple[int, int]] = []
        masked = False

        def note(info: Any) -> None:
            nonlocal masked
            masked = masked or info.filter_mask != 0
            places.append((info.byte_offset, info.size))

        dataset.chunk_iter(note)
        expected = math.prod(-(-n // step) for n, step in zip(found.shape, shape, strict=True))
        if len(places) != expected or masked:
            raise FormatError(f"{where}: {len(places)} of {expected} chunks are in the file; fetch it again")
        for offset, size in places:
            if offset is None or offset + size > len(self._bytes):
                raise FormatError(f"{where}: a chunk lies outside the file; fetch it again")
            self._count(size, where)
        return _Chunks(shape, filters, tuple(places))

    def _count(self, stored: int, where: str) -> None:
        """Notes bytes of the file as used; datasets laid over each other would use more than there are."""
        self._stored += stored
        if self._stored > len(self._bytes):
            raise FormatError(f"{where}: with the datasets before it, takes more bytes than the file has; refused")

    def _check_size(self) -> None:
        limit = max(SMALL, MAX_EXPANSION * len(self._bytes))
        total = 0
        for name, found in self._datasets.items():
            if found.chunks is None:
                continue
            total += found.nbytes
            one = math.prod(found.chunks.shape) * found.dtype.itemsize
            if max(total, one) > limit:
                raise FormatError(
                    f"{self._at(name)}: shape {found.shape} in chunks of {found.chunks.shape} would take more memory "
                    f"than {MAX_EXPANSION} times the file; refused"
                )

    def _check_chunks(self, chunks: _Chunks, itemsize: int, name: str) -> None:
        """Inflates each chunk with a limit, which the library does not set: a few bytes could fill the memory."""
        size = math.prod(chunks.shape) * itemsize
        tail = 4 if h5z.FILTER_FLETCHER32 in chunks.filters else 0
        for offset, stored in chunks.places:
            if h5z.FILTER_DEFLATE in chunks.filters:
                inflater = zlib.decompressobj()
                with self._damage(name):
                    raw = self._bytes[offset : offset + stored - tail]
                    length = len(inflater.decompress(raw, size + 1))
            else:
                length = stored - tail
            if length != size:
                raise FormatError(f"{self._at(name)}: a chunk does not hold its {size} bytes; fetch the file again")

    # ---------------------------------------------------------------------------------------------------------- text

    def _names(self, place: Any, name: str, where: str) -> list[str]:
        attribute = h5a.open(place, name.encode())
        kind = attribute.get_type()
        shape = attribute.shape
        if shape is None or len(shape) != 1:
            raise FormatError(f"{self._at(where)}: expected a list of names")
        if shape == (0,):
            return []  # Keras writes an empty list as floats
        if not isinstance(kind, h5t.TypeStringID):
            raise FormatError(f"{self._at(where)}: expected a list of names")
        count = shape[0]
        if count * kind.get_size() > MAX_ATTRIBUTE:  # for texts of variable length, the size of a reference
            raise FormatError(f"{self._at(where)}: takes more than {MAX_ATTRIBUTE} bytes; refused")
        if kind.is_variable_str():
            # All of them may refer to the longest text in the file, and each is read into memory of its own.
            if count * self._longest_text() > MAX_NAMES:
                raise FormatError(f"{self._at(where)}: its names could take more than {MAX_NAMES} bytes; refused")
            made = np.empty(shape, h5py.string_dtype())
            attribute.read(made)
            texts = list(made)
        else:
            texts = self._fixed(attribute, kind.get_size())
        names = [self._decoded(raw, where) for raw in texts]
        for text in names:
            if len(text) > MAX_NAME or not text.isprintable():
                raise FormatError(f"{self._at(where)}: {shown(text, 40)!r} is no name; the file is damaged")
        return names

    def _longest_text(self) -> int:
        """Returns the bytes of the longest text of variable length, after checking the heaps that hold such texts.

        The library never ends on a heap whose free space has size 0.
        """
        longest, end = 0, 0
        start = self._bytes.find(_HEAP)
        while start >= 0:
            size = int.from_bytes(self._bytes[start + 8 : start + 16], "little")
            if start < end or size < 4096 or start + size > len(self._bytes):
                raise FormatError(f"{self.name}: a heap at byte {start} is cut or laid over another; fetch it again")
            at, end = start + 16, start + size
            while end - at >= 16:
                index, length = struct.unpack("<H6xQ", self._bytes[at : at + 16])
                step = 16 + -(-length // 8) * 8 if index else length
                if step < 16 or at + step > end:
                    raise FormatError(f"{self.name}: the heap at byte {start} is damaged; fetch the file again")
                longest = max(longest, length if index else 0)
                at += step
            start = self._bytes.find(_HEAP, start + 8)
        return longest

    def _fixed(self, attribute: Any, size: int) -> list[bytes]:
        made = np.empty(attribute.shape, f"S{size}")
        attribute.read(made)
        return [bytes(text) for text in np.atleast_1d(made)]

    def _decoded(self, raw: bytes | str, where: str) -> str:
        try:
            return raw if isinstance(raw, str) else raw.decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError(f"{self._at(where)}: is no UTF-8 text; the file is damaged") from None

    # -------------------------------------------------------------------------------------------------------- lookup

    def _dataset(self, name: str) -> _Dataset:
        if name not in self._datasets:
            raise FormatError(f"{self.name}: holds no dataset {shown(name)!r}; it holds {len(self._datasets)} others")
        return self._datasets[name]

    def _object(self, path: str) -> Any:
        if path in self._groups:
            return self._groups[path]
        return self._dataset(path).id

    def _at(self, path: str) -> str:
        return f"{self.name}: {shown(path, 200)}" if path else self.name

    @contextlib.contextmanager
    def _damage(self, path: str) -> Iterator[None]:
        """What h5py makes of the library's complaints is of many kinds; all of them mean a damaged file here."""
        try:
            yield
        except FormatError:
            raise
        except Exception as error:
            raise FormatError(
                f"{self._at(path)}: damaged HDF5 ({shown(' '.join(str(error).split()), 120)}); fetch the file again"
            ) from None
