"""A bar on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType


class Bar:
    """Shows how much of a file has come; silent where no person watches."""

    def __init__(self, name: str, total: int | None, *, shown: bool) -> None:
        self._bar = None
        if shown and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=name, total=total, unit="B", unit_scale=True, unit_divisor=1000, file=sys.stderr, leave=False
            )

    def at(self, count: int) -> None:
        """Moves to `count` bytes; backwards if a download started over."""
        if self._bar is not None:
            self._bar.update(count - self._bar.n)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class Clock:
    """Shows that something without known length goes on."""

    def __init__(self, name: str, *, shown: bool) -> None:
        self._bar = None
        if shown and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc=name, bar_format="{desc} {elapsed}", file=sys.stderr, leave=False)

    def tick(self) -> None:
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
