"""Unfinished downloads that outlive the process.

Each is a folder, so that one rename hands over bytes and validators together: `partial/<key>` waits for whoever comes;
`partial/<key>.<owner>` is being written. Taking one over is a rename, which only one process can win, even where locks
do nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from zoo import cache

Span = tuple[int, int]
"""First byte, and the one after the last."""

_FLUSH = 32 << 20  # bytes


class Part:
    """The bytes had so far of one address, and what the server said about that version of the file."""

    def __init__(self, folder: Path) -> None:
        self.body = folder / "body.part"
        self._about = folder / "about.json"
        self._map = folder / "map.json"
        self._stream: BinaryIO | None = None
        self._unsent = 0

    @property
    def size(self) -> int:
        """Bytes had so far, wherever they lie in the file."""
        spans = self.spans
        return self._length if spans is None else sum(end - start for start, end in spans)

    @property
    def _length(self) -> int:
        try:
            return self.body.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def spans(self) -> list[Span] | None:
        """Which pieces of the file are there, if they came in parallel; None if the body simply grows."""
        try:
            spans = [(int(start), int(end)) for start, end in json.loads(self._map.read_text("utf-8"))]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):
            return []
        edges = [0, *(edge for span in spans for edge in span)]
        return spans if edges == sorted(edges) and edges[-1] <= self._length else []

    def note(self, spans: list[Span]) -> None:
        """Writes down which pieces are there; those bytes were written before."""
        if not self.body.exists():
            return
        new = self._map.with_suffix(".new")
        new.write_text(json.dumps(spans), "utf-8")
        os.replace(new, self._map)

    def flatten(self) -> None:
        """Makes a body that came in pieces one that grows: what lies behind the first gap is dropped."""
        spans = self.spans
        if spans is None:
            return
        self.close()
        front = spans[:1] if spans and spans[0][0] == 0 else []
        self.note(front)
        with self.body.open("ab") as stream:
            stream.truncate(front[0][1] if front else 0)
        self._map.unlink(missing_ok=True)

    @property
    def about(self) -> dict[str, str]:
        """url, etag and last_modified of the first answer; empty if unknown."""
        try:
            about = json.loads(self._about.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return about if isinstance(about, dict) else {}

    def restart(self, about: dict[str, str] | None = None) -> None:
        """Drops the bytes. A new file takes their place: whoever else still writes the old one writes into nothing."""
        self.close()
        self.body.unlink(missing_ok=True)
        self._map.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)
        if about is not None:
            self._about.write_text(json.dumps(about), "utf-8")

    def write(self, chunk: bytes | memoryview) -> None:
        """Writes behind what is there."""
        if self._stream is None:
            # Unbuffered: a killed process loses nothing that it was given.
            self._stream = self.body.open("ab", buffering=0)
        self._write(self._stream, chunk)

    def write_at(self, offset: int, chunk: bytes | memoryview) -> None:
        """Writes a piece of a body that comes in pieces; counts only when it is noted."""
        if self._stream is None:
            self.body.touch()
            self._stream = self.body.open("r+b", buffering=0)
        if self._stream.tell() != offset:
            self._stream.seek(offset)
        self._write(self._stream, chunk)

    def _write(self, stream: BinaryIO, chunk: bytes | memoryview) -> None:
        view = memoryview(chunk)
        while view:
            view = view[stream.write(view) :]
        self._unsent += len(chunk)
        if self._unsent >= _FLUSH and hasattr(os, "posix_fadvise"):
            # The disk begins to write now, not when the end waits for it (fsync).
            end = stream.tell()
            os.posix_fadvise(stream.fileno(), max(0, end - self._unsent), self._unsent, os.POSIX_FADV_DONTNEED)
            self._unsent = 0

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


@contextlib.contextmanager
def claim(key: str) -> Iterator[Part]:
    """Takes over what an earlier run got under `key`, or begins anew; gives it back if the body does not finish it.

    A full disk gets its room back: the bytes are dropped then.
    """
    base = cache.partial_dir()
    base.mkdir(parents=True, exist_ok=True)
    mine = base / f"{key}.{cache.owner()}"
    for left in _left(base, key):
        if mine.exists():
            cache.remove(left)
            continue
        with contextlib.suppress(OSError):  # another process was faster
            os.rename(left, mine)
    mine.mkdir(exist_ok=True)
    part = Part(mine)
    try:
        yield part
    except BaseException as error:
        part.close()
        if part.size == 0 or cache.no_room(error):
            cache.remove(mine)
        else:
            _give_back(mine, base / key)
        raise
    part.close()
    cache.remove(mine)


@contextlib.contextmanager
def scratch(key: str) -> Iterator[Path]:
    """Gives an empty folder on the cache's disk, removed at the end; those of dead processes go too."""
    base = cache.partial_dir()
    base.mkdir(parents=True, exist_ok=True)
    for left in _left(base, key):
        cache.remove(left)
    folder = base / f"{key}.{cache.owner()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        cache.remove(folder)


def had(prefix: str) -> int:
    """Returns the bytes of the largest unfinished download of a file."""
    try:
        names = [path for path in cache.partial_dir().iterdir() if path.name.startswith(prefix)]
    except OSError:
        return 0
    return max((Part(path).size for path in names), default=0)


def discard(prefix: str) -> None:
    """Removes what is left of a file that was had in the meantime, from all its addresses."""
    with contextlib.suppress(OSError):
        for path in cache.partial_dir().iterdir():
            key, _, mark = path.name.partition(".")
            if key.startswith(prefix) and (not mark or cache.abandoned(path, mark)):
                cache.remove(path)


def _left(base: Path, key: str) -> list[Path]:
    """Returns the unowned and abandoned parts under `key`, largest first."""
    left = []
    for path in base.iterdir():
        name, _, mark = path.name.partition(".")
        if name == key and (not mark or cache.abandoned(path, mark)):
            left.append(path)
    return sorted(left, key=lambda path: Part(path).size, reverse=True)


def _give_back(mine: Path, waiting: Path) -> None:
    try:
        os.rename(mine, waiting)
    except OSError:  # one waits there already: two processes fetched at once, and one of the two is enough
        cache.remove(mine)
