"""How lists of names are written in messages."""

from __future__ import annotations

from collections.abc import Sequence


def some(names: Sequence[str], most: int = 6) -> str:
    """Returns the first names, quoted, and how many follow."""
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
