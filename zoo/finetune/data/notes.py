"""How lists of names are written in messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

LONGEST = 400
"""Signs of a name that are written; a path of a table may be anything."""
LISTED = 20
"""Files that could not be read and are named on a terminal; metrics.json has all."""


def some(names: Sequence[str], most: int = 6) -> str:
    """Returns the first names, quoted, and how many follow."""
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def shown(name: str) -> str:
    """Returns a name as it can stand in a line: line breaks, control characters and bytes of no text are escaped."""
    name = name if name.isprintable() else repr(name)[1:-1]
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2]}...{name[-LONGEST // 4 :]}"


def skipped_lines(skipped: Sequence[Mapping[str, str]]) -> list[str]:
    """Returns a line for each of the first files that could not be read (`path`, `reason`), and one for the rest."""
    lines = [f"  skipped: {skip['path']}: {skip['reason']}" for skip in skipped[:LISTED]]
    return lines if len(skipped) <= LISTED else [*lines, f"  skipped: {len(skipped) - LISTED} more files"]


def is_text(name: str) -> bool:
    """Whether a name can be written to files: one whose bytes are no UTF-8 cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
