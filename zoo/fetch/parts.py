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


class Part:
    """The bytes had so far of one address, and what the server said about that version of the file."""

    def __init__(self, folder: Path) -> None:
        self.body = folder / "body.part"
        self._about = folder / "about.json"
        self._stream: BinaryIO | None = None

    @property
    def size(self) -> int:
        try:
            return self.body.stat().st_size
        except FileNotFoundError:
            return 0

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
        self._about.unlink(missing_ok=True)
        if about is not None:
            self._about.write_text(json.dumps(about), "utf-8")

    def write(self, chunk: bytes | memoryview) -> None:
        if self._stream is None:
            # Unbuffered: a killed process loses nothing that it was given.
            self._stream = self.body.open("ab", buffering=0)
        view = memoryview(chunk)
        while view:
            view = view[self._stream.write(view) :]

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
