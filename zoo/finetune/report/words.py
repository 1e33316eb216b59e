"""Values of a run in words: numbers with their units, nested settings as rows."""

from __future__ import annotations

from typing import Any

SPACE = "\u00a0"
MANY = 12
"""Values in a list above which only their range is told."""


def percent(share: float | None, digits: int = 1) -> str:
    """Returns 0.934 as `93.4 %`, and nothing as a dash."""
    return "–" if share is None else f"{share * 100:.{digits}f}{SPACE}%"


def number(value: float | None, digits: int = 3) -> str:
    """Returns a number with some digits after the point, and nothing as a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def count(value: int, one: str, many: str | None = None) -> str:
    """Returns `1 image`, `1,200 images`."""
    return f"{value:,}{SPACE}{one if value == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Returns `4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest}{SPACE}s"
    return f"{minutes // 60}{SPACE}h {minutes % 60}{SPACE}min"


def label(key: str) -> str:
    """Returns `learning_rate` as `Learning rate`."""
    text = key.replace("_", " ")
    return text[:1].upper() + text[1:]


def say(value: Any) -> str:
    """Returns a setting as text; empty where there is nothing to say."""
    if value is None or value == "" or value == [] or value == {}:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple | dict) and len(value) > MANY:
        return _many(value)
    if isinstance(value, list | tuple):
        sides = 1 < len(value) < 4 and all(type(part) is int for part in value)
        return (" × " if sides else ", ").join(say(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {told}" for name, part in value.items() if (told := say(part)))
    return str(value)


def _many(values: list[Any] | tuple[Any, ...] | dict[str, Any]) -> str:
    """Returns how many there are, with their range, or the first of them."""
    held = list(values.values()) if isinstance(values, dict) else list(values)
    if all(isinstance(value, int | float) for value in held):
        return f"{len(held):,}, from {say(min(held))} to {say(max(held))}"
    return f"{len(held):,}: {', '.join(say(value) for value in list(values)[:3])} …"


def rows(settings: dict[str, Any], skip: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    """Returns (label, text) of every setting that says something."""
    told = [(label(key), say(value)) for key, value in settings.items() if key not in skip]
    return [(name, text) for name, text in told if text]


def sentence(note: Any) -> str:
    """Returns a note as text: it is one, or has a path and a reason."""
    if isinstance(note, dict):
        parts = [str(note[key]) for key in ("path", "reason") if note.get(key)]
        return ": ".join(parts) or say(note)
    return str(note)
