"""One named member of a .zip, .tar, .tar.gz or .tar.bz2, streamed to a file.

Nothing else of the archive is ever written, so names and links in it have no power over the disk. An archive that holds
what no published model needs (names that lead outside, links, devices, the same name twice) is refused all the same:
it was made to harm, or is damaged.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, cast

from zoo.cache import megabytes
from zoo.fetch.digest import CHUNK, LIMIT, Digester, Published
from zoo.fetch.places import PlaceError

_MEMBERS = 100_000  # an archive of more is refused: their names alone fill memory
_RATIO = 100  # unpacked bytes for each packed one; weights hardly compress
_UNPACKED_FREE = 64 << 20  # bytes that need no ratio
_HEADER = 1 << 20  # bytes of a tar's extended header

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    NotImplementedError,
    UnicodeError,
    ValueError,
    OverflowError,
    IndexError,
)


def extract(archive: Path, packing: str, member: str, target: Path, published: Published) -> Digester:
    """Writes one member to `target`, counting and hashing as it streams.

    Args:
        archive: the file.
        packing: zip, tar, tar.gz or tar.bz2; the file's own name is not asked.
        member: path inside the archive, or a pattern that one member alone has to fit (`zoo.files.ArchivePlace`).
        target: file to write.
        published: size and hashes of the member.

    Raises:
        PlaceError: the archive is damaged, hostile or another kind, no member or several fit, or the member is not the
            published file.
    """
    digester = Digester(published)
    reader = _from_zip if packing == "zip" else _from_tar
    try:
        with target.open("wb") as out:
            reader(archive, packing, member, out, digester)
    except _DAMAGE as error:
        raise PlaceError(f"the archive is damaged, or no {packing} ({_short(error)})") from error
    except OSError as error:
        if error.errno is not None:
            raise  # of the disk
        raise PlaceError(f"the archive is damaged, or no {packing} ({_short(error)})") from error
    problem = digester.problem(target)
    if problem:
        raise PlaceError(f"{member} {problem}")
    return digester


def members(archive: Path, packing: str, wanted: Callable[[str], bool], most: int) -> dict[str, bytes]:
    """Returns the small members of an archive that are wanted.

    Args:
        archive: the file.
        packing: zip, tar, tar.gz or tar.bz2; the file's own name is not asked.
        wanted: told a member's path, says whether it is.
        most: bytes that one of them may have.

    Raises:
        PlaceError: the archive is damaged, hostile or another kind, or a member that is wanted is too large.
    """
    found: dict[str, bytes] = {}
    limit = min(LIMIT, max(_UNPACKED_FREE, _RATIO * archive.stat().st_size))

    def take(name: str, size: int, open_: Callable[[], IO[bytes] | None]) -> None:
        if size > most or size + sum(map(len, found.values())) > limit:
            raise PlaceError(f"{_quoted(name)} has {size:,} bytes, too many for what it is")
        source = open_()
        if source is None:
            raise PlaceError(f"{_quoted(name)} is no file")
        with source:
            body = source.read(size + 1)
        if len(body) != size:
            raise PlaceError(f"{_quoted(name)} has another size than the archive says")
        found[name.removeprefix("./")] = body

    try:
        if packing == "zip":
            with zipfile.ZipFile(archive) as opened:
                for info in _listed(opened, _Names("")):
                    if not info.is_dir() and wanted(info.orig_filename):
                        take(info.orig_filename, info.file_size, partial(opened.open, info))
        else:
            names = _Names("")
            with _unpacked(archive, packing) as plain:
                guard = _Guard(plain, limit)
                with tarfile.open(fileobj=guard, mode="r:", encoding="utf-8", errors="surrogateescape") as reader:
                    for entry in _entries(reader, names):
                        if entry.isreg() and wanted(entry.name.removeprefix("./")):
                            take(entry.name, entry.size, partial(reader.extractfile, entry))
    except _DAMAGE as error:
        raise PlaceError(f"the archive is damaged, or no {packing} ({_short(error)})") from error
    except OSError as error:
        if error.errno is not None:
            raise  # of the disk
        raise PlaceError(f"the archive is damaged, or no {packing} ({_short(error)})") from error
    except RuntimeError as error:  # encrypted
        raise PlaceError(f"the archive cannot be read ({_short(error)})") from error
    return found


def _listed(archive: zipfile.ZipFile, names: _Names) -> list[zipfile.ZipInfo]:
    """Returns a zip's members after refusing what none needs."""
    infos = archive.infolist()
    if min((info.header_offset for info in infos), default=0) != 0:
        raise PlaceError("the zip is appended to another file")
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
        # orig_filename: zipfile cuts names at a NUL and turns the system's separators around.
        names.add(info.orig_filename, folder=info.is_dir())
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise PlaceError(f"the archive holds a link or device: {_quoted(info.orig_filename)}")
    return infos


def _entries(archive: tarfile.TarFile, names: _Names) -> Iterator[tarfile.TarInfo]:
    """Gives a tar's members after refusing what none needs."""
    while (info := archive.next()) is not None:
        if not (info.isreg() or info.isdir()) or info.issparse():
            raise PlaceError(f"the archive holds a link, device or sparse file: {_quoted(info.name)}")
        names.add(info.name, folder=info.isdir())
        yield info


class _Names:
    """Refuses names that lead outside, or that are one on some disk."""

    def __init__(self, member: str) -> None:
        self.member = member
        self._pattern = _pattern(member)
        self._seen: set[str] = set()
        self._count = 0
        self.found = ""

    def is_wanted(self, name: str, *, folder: bool) -> bool:
        """Returns whether this is the member that is wanted."""
        return not folder and self._pattern.fullmatch(self._plain(name)) is not None

    def _plain(self, name: str) -> str:
        while name.startswith("./"):
            name = name[2:]
        return name

    def add(self, name: str, *, folder: bool) -> None:
        """Takes note of a member."""
        self._count += 1
        if self._count > _MEMBERS:
            raise PlaceError(f"the archive holds more than {_MEMBERS:,} members")
        plain = self._plain(name.removesuffix("/") if folder else name)
        if plain in ("", ".") and folder:
            return
        parts = plain.split("/")
        if plain.startswith("/") or ".." in parts or re.search(r"[\\\x00]|^[A-Za-z]:", plain):
            raise PlaceError(f"the archive holds a name that leads outside: {_quoted(name)}")
        same = unicodedata.normalize("NFC", plain).casefold()
        if same in self._seen and not folder:
            raise PlaceError(f"the archive holds {_quoted(name)} twice, or in capitals and not")
        self._seen.add(same)
        if self.is_wanted(name, folder=folder):
            if self.found:
                raise PlaceError(
                    f"the archive holds several {self.member}: {_quoted(self.found)} and {_quoted(plain)}; "
                    "the card has to name one"
                )
            self.found = plain

    def check(self) -> None:
        if not self.found:
            raise PlaceError(f"the archive holds no {self.member}")


def _pattern(member: str) -> re.Pattern[str]:
    """As shells have it: a name that begins with a dot (what macOS adds) fits no wildcard."""
    found = ""
    for part in member.split("/"):
        if part == "**":
            found += r"(?:(?!\.)[^/]+/)*"
        else:
            hidden = r"(?!\.)" if part.startswith("*") else ""
            found += hidden + "[^/]*".join(map(re.escape, part.split("*"))) + "/"
    return re.compile(found.removesuffix("/"))


def _pour(source: IO[bytes], out: IO[bytes], digester: Digester, member: str) -> None:
    while chunk := source.read(CHUNK):
        digester.update(chunk)
        if digester.count > digester.published.limit:
            raise PlaceError(f"{member} has more than the {digester.published.limit:,} bytes of the published file")
        out.write(chunk)


def _check_size(member: str, size: int, packed: int, published: Published) -> None:
    if published.size is not None and size != published.size:
        raise PlaceError(f"{member} has {size:,} bytes, the published file has {published.size:,}")
    if size > min(LIMIT, max(_UNPACKED_FREE, _RATIO * packed)):
        raise PlaceError(f"{member} unpacks from {megabytes(packed)} to {megabytes(size)}: refused as a bomb")


def _from_zip(path: Path, packing: str, member: str, out: IO[bytes], digester: Digester) -> None:
    with zipfile.ZipFile(path) as archive:
        names = _Names(member)
        infos = _listed(archive, names)
        names.check()
        wanted = next(info for info in infos if names.is_wanted(info.orig_filename, folder=info.is_dir()))
        if wanted.flag_bits & 0x41:
            raise PlaceError(f"{member} is encrypted")
        if wanted.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise PlaceError(f"{member} is packed in an unusual way ({wanted.compress_type})")
        _check_size(member, wanted.file_size, wanted.compress_size, digester.published)
        with archive.open(wanted) as source:
            _pour(source, out, digester, member)


def _from_tar(path: Path, packing: str, member: str, out: IO[bytes], digester: Digester) -> None:
    packed = path.stat().st_size
    names = _Names(member)
    with _unpacked(path, packing) as plain:
        guard = _Guard(plain, min(LIMIT, max(_UNPACKED_FREE, _RATIO * packed)))
        with tarfile.open(fileobj=guard, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            for info in _entries(archive, names):
                if names.is_wanted(info.name, folder=info.isdir()):
                    _check_size(member, info.size, packed, digester.published)
                    source = archive.extractfile(info)
                    assert source is not None
                    with source:
                        _pour(source, out, digester, member)
        while guard.read(CHUNK):  # to the end, where gzip and bzip2 have their checksum
            pass
    names.check()


@contextlib.contextmanager
def _unpacked(path: Path, packing: str) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        if packing == "tar.gz":
            with gzip.GzipFile(fileobj=raw) as plain:
                yield cast(IO[bytes], plain)
        elif packing == "tar.bz2":
            with bz2.BZ2File(raw) as plain:
                yield cast(IO[bytes], plain)
        else:
            yield raw


class _Guard(io.RawIOBase):
    """Stands between tarfile and an unpacker: goes forward only, so far, and in small steps."""

    def __init__(self, plain: IO[bytes], limit: int) -> None:
        self._plain = plain
        self._limit = limit

    def _check(self, end: int) -> None:
        if end > self._limit:
            raise PlaceError(f"the archive unpacks to more than {megabytes(self._limit)}: refused as a bomb")

    def read(self, count: int | None = -1) -> bytes:
        if count is None or not 0 <= count <= _HEADER:
            raise PlaceError("the archive's headers are too large")
        self._check(self._plain.tell())
        return self._plain.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence != 0:
            raise ValueError("unexpected seek")
        self._check(offset)
        return self._plain.seek(offset)

    def tell(self) -> int:
        return self._plain.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _quoted(name: str) -> str:
    return ascii(name[:80])


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(letter for letter in text if letter.isprintable())[:120]
