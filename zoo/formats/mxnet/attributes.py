"""An MXNet node's attributes: strings in the spelling of any generation, read as what the op takes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

MAX_TEXT = 1000
LIMIT = 1 << 40
# What only training, a device or a library needs; lr_mult and wd_mult also stand as suffixes of a weight's name.
_HARMLESS = frozenset(
    {"workspace", "cudnn_tune", "cudnn_off", "num_args", "ctx_group", "force_mirroring", "mirror_stage", "name"}
)
_TRAINING = re.compile(r"__\w+__|(\w+_)?(lr_mult|wd_mult)")
_INTEGER = re.compile(r"[+-]?\d{1,19}L?")
_TRUE, _FALSE, _NONE = ("true", "1"), ("false", "0"), ("none", "")


class Wrong(ValueError):
    """An attribute is missing or no value of its kind; the text names neither node nor file."""


def plain(value: Any) -> str:
    """Returns an attribute as a text; some writers leave numbers, flags and lists as JSON has them."""
    try:
        text = value if isinstance(value, str) else str(value)
    except RecursionError:
        raise Wrong("is a list nested too deeply") from None
    if len(text) > MAX_TEXT or not text.isprintable():
        raise Wrong(f"{text[:40]!a}... is no value; expected up to {MAX_TEXT} printable characters")
    return text.strip()


class Attributes:
    """Attributes of one node; remembers which were asked for, so that none is passed over.

    Args:
        own: the op's parameters.
        others: attributes that may be the user's own (the second table of a node that has two).
    """

    def __init__(self, own: Mapping[str, Any], others: Mapping[str, Any] | None = None) -> None:
        self._own, self._others = own, others or {}
        self._asked: set[str] = set()

    def unknown(self) -> list[str]:
        """Returns the attributes that matter, or may, and that nobody asked for."""
        left = [key for key in self._own if key not in self._asked and key not in _HARMLESS]
        return [key for key in left if not _TRAINING.fullmatch(key)]

    def ignore(self, *keys: str) -> None:
        """Marks attributes as known and without a meaning at inference."""
        self._asked.update(keys)

    def _text(self, key: str) -> str | None:
        self._asked.add(key)
        value = self._own.get(key, self._others.get(key))
        text = None if value is None else plain(value)
        return None if text is None or text.lower() in _NONE else text

    def has(self, key: str) -> bool:
        """Returns whether the attribute is there and not None."""
        return self._text(key) is not None

    def flag(self, key: str, default: bool) -> bool:
        text = self._text(key)
        if text is None:
            return default
        if text.lower() not in _TRUE + _FALSE:
            raise Wrong(f"has {key} {text[:40]!r}; expected True or False")
        return text.lower() in _TRUE

    def integer(self, key: str, default: int | None = None, low: int = -LIMIT, high: int = LIMIT) -> int:
        text = self._text(key)
        if text is None:
            if default is None:
                raise Wrong(f"lacks {key}")
            return default
        number = _integer(key, text)
        if not low <= number <= high:
            raise Wrong(f"has {key} {number}; expected {low} to {high}")
        return number

    def number(self, key: str, default: float | None = None) -> float:
        text = self._text(key)
        if text is None:
            if default is None:
                raise Wrong(f"lacks {key}")
            return default
        try:
            number = float(text.removesuffix("f"))
        except ValueError:
            raise Wrong(f"has {key} {text[:40]!r}; expected a number") from None
        if not math.isfinite(number):
            raise Wrong(f"has {key} {text[:40]!r}; expected a finite number")
        return number

    def choice(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        text = self._text(key) or default
        if text is None:
            raise Wrong(f"lacks {key}")
        if text not in allowed:
            raise Wrong(f"has {key} {text[:40]!r}; expected one of: {', '.join(allowed)}")
        return text

    def integers(self, key: str) -> tuple[int, ...] | None:
        """Returns a shape or a list of axes, None if it is not there; `3` alone is a list of one."""
        some = self.holes(key)
        if some is not None and None in some:
            raise Wrong(f"has {key} with None in it; expected whole numbers")
        return None if some is None else tuple(n for n in some if n is not None)

    def holes(self, key: str) -> tuple[int | None, ...] | None:
        """Returns a list that may have None in it, None if it is not there."""
        text = self._text(key)
        if text is None:
            return None
        inner = text[1:-1] if text[:1] + text[-1:] in ("()", "[]") else text
        parts = [part.strip() for part in inner.split(",")]
        if parts and not parts[-1]:  # "(1,)" and "()"
            parts.pop()
        return tuple(None if part.lower() == "none" else _integer(key, part) for part in parts)

    def pair(self, key: str, default: int | None = None, low: int = 0) -> tuple[int, int]:
        """Returns two numbers, for height and width; `()` and nothing mean the default."""
        numbers = self.integers(key)
        if not numbers:
            if default is None:
                raise Wrong(f"lacks {key}")
            return default, default
        if len(numbers) != 2 or any(not low <= n <= LIMIT for n in numbers):
            raise Wrong(f"has {key} {numbers[:8]}; expected two numbers (height, width) of at least {low}")
        return numbers[0], numbers[1]


def _integer(key: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise Wrong(f"has {key} {text[:40]!r}; expected whole numbers")
    number = int(text.removesuffix("L"))
    if abs(number) > LIMIT:
        raise Wrong(f"has {key} {number}, which no network needs")
    return number
