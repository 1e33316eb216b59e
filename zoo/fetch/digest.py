"""Size and hashes of a stream, compared with the published ones."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from zoo.cache import megabytes
from zoo.files import STRONG

if TYPE_CHECKING:
    from hashlib import _Hash

    from zoo.files import File

CHUNK = 1 << 20
"""Bytes read at a time: large enough that Python costs nothing, small enough for a smooth progress bar."""

_BEHIND = 8
"""Chunks that may wait to be hashed."""

LIMIT = 16 << 30
"""Bytes that a file of unknown size may have."""


@dataclass(frozen=True)
class Published:
    """What is known about a file's bytes before they are fetched."""

    size: int | None
    digests: dict[str, str]
    """Algorithm -> hexadecimal digest, strongest first."""
    prefix: str | None = None
    """First digits of the sha256."""
    most: int = LIMIT
    """Bytes that a file of unknown size may have."""

    @classmethod
    def of(cls, file: File) -> Published:
        return cls(None if file.size == "unknown" else file.size, file.digests, file.sha256_prefix)

    @property
    def strong(self) -> bool:
        """Whether a hash is known that nobody can forge."""
        return any(name in self.digests for name in STRONG)

    @property
    def limit(self) -> int:
        """Bytes after which reading stops."""
        return self.most if self.size is None else self.size


class Digester:
    """Runs over the bytes of a file once and tells whether they are the published ones."""

    def __init__(self, published: Published) -> None:
        self.published = published
        self.count = 0
        names = dict.fromkeys(published.digests if published.strong else ("sha256", *published.digests))
        self._hashes = {name: _new(name, published.size) for name in names}

    def update(self, chunk: bytes | memoryview) -> None:
        self.count += len(chunk)
        for hashed in self._hashes.values():
            if hashed is not None:
                hashed.update(chunk)

    def read(self, path: Path) -> None:
        """Runs over the bytes of a file on disk."""
        for chunk in chunks(path):
            self.update(chunk)

    def hexdigest(self, name: str) -> str:
        hashed = self._hashes[name]
        assert hashed is not None
        return hashed.hexdigest()

    def problem(self, path: Path) -> str | None:
        """Returns how the bytes differ from the published ones, or None; `path` holds the bytes that were run over."""
        size = self.published.size
        if size is not None and self.count != size:
            return f"has {self.count:,} bytes, the published file has {size:,}"
        for name, expected in self.published.digests.items():
            hashed = self._hashes[name]
            if hashed is None:  # git hashes the size first, and only now it is known
                hashed = _new(name, self.count)
                assert hashed is not None
                for chunk in chunks(path):
                    hashed.update(chunk)
            if hashed.hexdigest() != expected:
                return f"has {name} {hashed.hexdigest()}, the published one is {expected}"
        prefix = self.published.prefix
        if prefix and "sha256" in self._hashes and not self.hexdigest("sha256").startswith(prefix):
            return f"has sha256 {self.hexdigest('sha256')}, the published one begins with {prefix}"
        return None


class Behind:
    """Feeds a digester from a second thread, so that hashing costs a stream no time; all is counted when it ends.

    hashlib lets other threads run while it hashes. The queue is short: memory stays at a few chunks.
    """

    def __init__(self, digester: Digester) -> None:
        self._digester = digester
        self._queue: queue.Queue[bytes | memoryview | None] = queue.Queue(_BEHIND)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None

    def update(self, chunk: bytes | memoryview) -> None:
        self._queue.put(chunk)

    def _run(self) -> None:
        while (chunk := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._digester.update(chunk)
                except BaseException as error:  # told to the thread that asked; this one goes on emptying the queue
                    self._error = error

    def __enter__(self) -> Behind:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error


def chunks(path: Path) -> Iterator[memoryview]:
    """Gives the bytes of a file, piece by piece, in one buffer that is used again."""
    buffer = memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            yield buffer[:count]


def about(published: Published) -> str:
    """Returns size and strongest hash in words, for a person who has to find the file by hand."""
    size = "size unknown" if published.size is None else megabytes(published.size)
    for name, digest in published.digests.items():
        return f"{size}, {name} {digest}"
    if published.prefix:
        return f"{size}, sha256 {published.prefix}..."
    return f"{size}, no published hash"


def _new(name: str, size: int | None) -> _Hash | None:
    if name != "git_blob":
        return hashlib.new(name, usedforsecurity=False)
    if size is None:
        return None
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
