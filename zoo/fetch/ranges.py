"""One large file over several connections: who asks for which piece, and one writer that notes what is there.

Only the thread that calls `run` writes, so a connection that is given up can damage nothing, whatever it still sends.
Which pieces are there is noted after their bytes were written: a killed process loses at most what came since the last
note. Their hash is the whole file's, computed by the caller at the end.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from zoo.fetch.parts import Part, Span
from zoo.fetch.places import Patience
from zoo.fetch.progress import Bar

WORTH_IT = 64 << 20
"""Missing bytes from which on more than one connection is tried."""

_SMALLEST, _LARGEST = 8 << 20, 64 << 20  # bytes of a piece
_WAITING = 16  # chunks read but not yet written: what bounds memory
_NOTE_EVERY = 0.5  # seconds

Chunks = Iterator[bytes]
Stream = Callable[[Any, int, int, Any], Chunks]


class OtherFileError(Exception):
    """A piece is of another file, another version of it, or another place in it."""


class TooSlowError(Exception):
    """All connections together bring too little."""


class Plan:
    """What is there of a file, and the pieces that are still to be asked for."""

    def __init__(self, size: int, there: list[Span], jobs: int) -> None:
        self.there = sorted(there)
        self.jobs = jobs
        gaps, at = [], 0
        for start, end in [*self.there, (size, size)]:
            if at < start:
                gaps.append((at, start))
            at = end
        step = min(_LARGEST, max(_SMALLEST, sum(end - start for start, end in gaps) // (4 * jobs)))
        self.missing = deque((at, min(at + step, end)) for start, end in gaps for at in range(start, end, step))
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Bytes that are there."""
        return sum(end - start for start, end in self.there)

    def take(self) -> Span:
        """Returns the next piece to ask for.

        Raises:
            IndexError: none is left.
        """
        with self._lock:
            return self.missing.popleft()

    def add(self, start: int, end: int) -> None:
        """Counts bytes as there, joined to those before and behind them."""
        spans = [span for span in self.there if span[1] < start or span[0] > end]
        touching = [span for span in self.there if span[1] >= start and span[0] <= end]
        joined = (min([start, *(s for s, _ in touching)]), max([end, *(e for _, e in touching)]))
        self.there = sorted([*spans, joined])


def run(
    plan: Plan,
    part: Part,
    *,
    stream: Stream,
    session: Callable[[], Any],
    first: tuple[Span, Any],
    bar: Bar,
    patience: Patience,
    head: Callable[[bytes], None],
) -> None:
    """Fetches all that is missing.

    Args:
        plan: what is missing.
        part: where the bytes are written and noted.
        stream: (session, start, end, answer or None) -> the bytes of a piece, as they come.
        session: makes one connection's session.
        first: the first piece, already asked for, and the answer to it.
        bar: is told how much is there.
        patience: when all connections together count as stalled.
        head: is shown the file's first bytes, and may raise.

    Raises:
        Exception: the first that `stream` or `head` raised; what was written until then is noted.
    """
    arrived: queue.Queue[tuple[int, bytes] | BaseException | None] = queue.Queue(_WAITING)
    stop = threading.Event()

    def put(item: tuple[int, bytes] | BaseException | None) -> None:
        while not stop.is_set():
            try:
                arrived.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def work(given: tuple[Span, Any] | None) -> None:
        own = session()
        try:
            with own:
                while not stop.is_set():
                    (start, end), answer = given or (plan.take(), None)
                    given = None
                    for chunk in stream(own, start, end, answer):
                        put((start, chunk))
                        start += len(chunk)
                        if stop.is_set():
                            return
        except IndexError:
            put(None)
        except BaseException as error:
            put(error)

    workers = min(plan.jobs, len(plan.missing) + 1)
    for index in range(workers):
        threading.Thread(target=work, args=(first if index == 0 else None,), daemon=True).start()
    try:
        _write(plan, part, arrived, workers, bar=bar, patience=patience, head=head)
    finally:
        stop.set()
        part.note(plan.there)


def _write(
    plan: Plan,
    part: Part,
    arrived: queue.Queue[tuple[int, bytes] | BaseException | None],
    workers: int,
    *,
    bar: Bar,
    patience: Patience,
    head: Callable[[bytes], None],
) -> None:
    noted = since = time.monotonic()
    had = plan.count
    while workers:
        try:
            item = arrived.get(timeout=1)
        except queue.Empty:
            item = None
        else:
            if isinstance(item, BaseException):
                raise item
            workers -= item is None
        now = time.monotonic()
        if item is not None:
            start, chunk = item
            if start == 0:
                head(chunk)
            part.write_at(start, chunk)
            plan.add(start, start + len(chunk))
            bar.at(plan.count)
        if now - noted > _NOTE_EVERY:
            part.note(plan.there)
            noted = now
        if now - since > patience.window:
            if plan.count - had < patience.window * patience.slowest:
                raise TooSlowError
            since, had = now, plan.count
