"""`zoo check --online`: does every address answer, and with a file of the size that the card states?

Politely: each address once, a host never twice at a time, a few hosts at a time, and no more than a file's first bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.check.findings import Finding
from zoo.check.reading import Stated
from zoo.fetch.places import Patience, PlaceError, host_of, shown
from zoo.files import ArchivePlace, File, HubPlace, PackagePlace, Place, TorrentPlace

if TYPE_CHECKING:
    from zoo.check import Report, Tell

_HOSTS = 4
"""Asked at a time."""
_PATIENCE = Patience(connect=10, read=15, attempts=2)


@dataclass
class _Address:
    """One address, and who names it."""

    text: str
    host: str
    ask: Callable[[], int | None]
    named: list[tuple[Stated, str, int, File, Place]] = field(default_factory=list)
    size: int | None = None
    problem: str | None = None


def check(stated: Sequence[Stated], report: Report, tell: Tell) -> None:
    """Adds to a report what the addresses of some cards answered."""
    addresses, skipped = _addresses(stated)
    hosts: dict[str, list[_Address]] = {}
    for address in addresses:
        hosts.setdefault(address.host, []).append(address)
    tell(f"asking {len(addresses)} addresses of {len(hosts)} hosts")
    with ThreadPoolExecutor(_HOSTS) as pool:
        list(pool.map(_ask_all, hosts.values()))
    for address in addresses:
        report.addresses.append(_answer(address))
    for one in stated:
        for role, file in one.card.files.items():
            report.findings += _of_file(one, role, file, addresses)
    if skipped:
        report.not_checked.append(f"{skipped} addresses over plain http without a strong hash: nothing is asked there")


def _addresses(stated: Sequence[Stated]) -> tuple[list[_Address], int]:
    found: dict[str, _Address] = {}
    skipped = 0
    for one in stated:
        for role, file in one.card.files.items():
            for index, place in enumerate(file.places):
                if not file.safe(place):
                    skipped += 1
                    continue
                made = _address(place)
                address = found.setdefault(made.text, made)
                address.named.append((one, role, index, file, place))
    return list(found.values()), skipped


def _address(place: Place) -> _Address:
    if isinstance(place, PackagePlace):
        return _Address(f"package {place.package}", "packages", lambda: _package(place))
    if isinstance(place, HubPlace):
        text = f"hub {place.repo}/{place.file}@{place.revision}"
        return _Address(text, "hub", lambda: _hub(place))
    if isinstance(place, TorrentPlace):
        return _Address(place.url, host_of(place.url), lambda: _torrent(place.url))
    return _Address(place.url, host_of(place.url), lambda: _web(place.url))


def _web(url: str) -> int | None:
    from zoo.fetch import connection

    return connection.probe(url, patience=_PATIENCE)


def _torrent(url: str) -> None:
    _web(url)  # the size is that of the .torrent


def _hub(place: HubPlace) -> int | None:
    from zoo.fetch import hub

    return hub.size(place)


def _package(place: PackagePlace) -> None:
    from zoo.fetch import package
    from zoo.fetch.places import Session

    if place.sdist_sha256 is None:
        package.probe(place.package)
    else:
        _web(package.sdist(place.package, Session()))


def _ask_all(addresses: list[_Address]) -> None:
    """Asks one host, address after address."""
    for address in addresses:
        try:
            address.size = address.ask()
        except PlaceError as error:
            address.problem = str(error)


def _answer(address: _Address) -> dict[str, Any]:
    return {
        "address": shown(address.text) if "://" in address.text else address.text,
        "models": [one.card.name for one, *_ in address.named],
        "answers": address.problem is None,
        "size": address.size,
        "problem": address.problem,
    }


def _of_file(one: Stated, role: str, file: File, addresses: Sequence[_Address]) -> list[Finding]:
    """What the answers mean for one file: an address that is gone matters most where there is no other."""
    mine = {index: a for a in addresses for at, of, index, _, _ in a.named if at is one and of == role}
    answering = [index for index, address in mine.items() if address.problem is None]
    found = []
    for index, address in sorted(mine.items()):
        key, place = f"files.{role}.places[{index}]", file.places[index]
        dead = getattr(place, "status", None) == "dead"
        if address.problem is not None and not dead:
            fix = 'correct it, or write status = "dead" and seen = "who saw it, and when"'
            level: Any = "warning" if answering else "error"
            found.append(one.finding(level, key, f"{shown(address.text)}: {address.problem}", fix))
        if address.problem is None and dead:
            what = f"{shown(address.text)} answers, and is called dead"
            found.append(
                one.finding("warning", f"{key}.status", what, 'write status = "alive", with who saw it and when')
            )
        size = place.size if isinstance(place, ArchivePlace) else file.size
        if address.size is not None and size not in ("unknown", address.size):
            what = f"{shown(address.text)} has {address.size} bytes, and the card says {size}"
            at = f"{key}.size" if isinstance(place, ArchivePlace) else f"files.{role}.size"
            found.append(one.finding("error", at, what, "correct the size and the hash, or the address"))
    return found
