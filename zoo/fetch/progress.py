"""What is told while files come: bars for a person, lines for a log, events for a program."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal

from zoo.cache import megabytes
from zoo.errors import UsageError

Event = dict[str, Any]
"""`event` (start, progress, done, failed), `file`, `bytes`, `total` (None if unknown), `place`; `reason` if failed."""

Progress = bool | Literal["bars", "lines", "json", "off"] | Callable[[Event], None]

_OFF = ("0", "false", "no", "off", "none")
_ON = ("", "1", "true", "yes", "on", "auto")
_INTERVAL = 0.1  # seconds between two events of one file
_LINES = 5.0  # seconds between two lines of one file; what is done before the first stays silent


Reporter = Callable[[Event], None]
"""Where events go."""


def reporter(progress: Progress) -> Reporter:
    """Returns where events go for a `progress` argument; True asks ZOO_PROGRESS, then whether a person watches.

    Raises:
        UsageError: the argument, or ZOO_PROGRESS, is none of the allowed words.
    """
    if callable(progress):
        return progress
    word, said_by = ("off", "") if progress is False else (str(progress), "progress")
    if progress is True:
        word, said_by = os.environ.get("ZOO_PROGRESS", "").lower(), "ZOO_PROGRESS"
    if word in _ON:
        word = "bars" if sys.stderr is not None and sys.stderr.isatty() else "lines"
    if word in _OFF or sys.stderr is None:
        return silent
    kinds: dict[str, Callable[[], Reporter]] = {"bars": Bars, "lines": Lines, "json": lambda: _print_json}
    if word not in kinds:
        raise UsageError(f"{said_by}: expected bars, lines, json or off, got {word!a}")
    return kinds[word]()


def silent(event: Event) -> None:
    """Tells no one."""


def _print_json(event: Event) -> None:
    print(json.dumps(event), file=sys.stderr, flush=True)


class Bars:
    """One bar at a time on standard error."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, event: Event) -> None:
        from tqdm import tqdm

        if event["event"] == "start":
            self._bar = tqdm(
                desc=event["file"],
                total=event["total"],
                unit="B",
                unit_scale=True,
                unit_divisor=1000,
                file=sys.stderr,
                leave=False,
            )
        if self._bar is not None:
            self._bar.update(event["bytes"] - self._bar.n)
            if event["event"] in ("done", "failed"):
                self._bar.close()
                self._bar = None


class Lines:
    """A line every few seconds on standard error, for what takes longer than that."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._said: set[str] = set()

    def __call__(self, event: Event) -> None:
        name, kind, now = event["file"], event["event"], time.monotonic()
        if kind == "start":
            self._last[name] = now
        elif kind == "progress" and now - self._last.get(name, now) >= _LINES:
            self._last[name] = now
            self._said.add(name)
            of = f" of {megabytes(event['total'])}" if event["total"] else ""
            self._print(f"{name}: {megabytes(event['bytes'])}{of}")
        elif kind == "done" and name in self._said:
            self._print(f"{name}: {megabytes(event['bytes'])}, complete")

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class Bar:
    """Tells a reporter how much of one file has come from one place."""

    def __init__(self, report: Reporter, name: str, total: int | None, place: str = "") -> None:
        self._report = report
        self._facts: Event = {"file": name, "bytes": 0, "total": total, "place": place}
        self._next = 0.0

    def at(self, count: int) -> None:
        """Says that there are `count` bytes; fewer than before if a download started over."""
        self._facts["bytes"] = count
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL
            self._report({"event": "progress", **self._facts})

    def tick(self) -> None:
        """Says that something without known length goes on."""
        self.at(self._facts["bytes"])

    def __enter__(self) -> Bar:
        self._report({"event": "start", **self._facts})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._report({"event": "done", **self._facts})
        else:
            reason = str(error) or (kind.__name__ if kind else "")
            self._report({"event": "failed", **self._facts, "reason": reason})
