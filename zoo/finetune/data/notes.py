"""How lists of names are written in messages."""

from __future__ import annotations

from collections.abc import Sequence


def some(names: Sequence[str], most: int = 6) -> str:
    """Returns the first names, quoted, and how many follow."""
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def shown(name: str) -> str:
    """Returns a name as it can stand in a line: line breaks, control characters and bytes of no text are escaped."""
    return name if name.isprintable() else repr(name)[1:-1]


def is_text(name: str) -> bool:
    """Whether a name can be written to files: one whose bytes are no UTF-8 cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
