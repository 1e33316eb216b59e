"""The names that Keras gives layers nobody named: their kind and how many of it were made before."""

from __future__ import annotations

from collections import Counter


class Counted:
    """Names layers as Keras does in a session of its own: `conv2d`, `conv2d_1`; each call makes the next of a kind.

    >>> named = Counted()
    >>> named("conv2d"), named("dense"), named("conv2d")
    ('conv2d', 'dense', 'conv2d_1')
    """

    def __init__(self) -> None:
        self._made: Counter[str] = Counter()

    def __call__(self, kind: str, count: int = 1) -> str:
        """Returns the next name of a kind; `count` of them are used up."""
        number = self._made[kind]
        self._made[kind] += count
        return f"{kind}_{number}" if number else kind
