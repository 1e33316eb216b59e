"""Label lists: what a network's outputs mean, and a hash of their order by which two networks' outputs compare.

Without pydantic, because `zoo info` reads them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

from zoo.errors import CardError

Classes = tuple[tuple[str, str], ...]
"""(id, name) per class."""

BACKGROUND = ("background", "background")


@functools.cache
def read(path: Path) -> Classes:
    """Reads a label list: one class a line, `id<TAB>name`; lines that begin with # are comments.

    Raises:
        CardError: a line is something else, or the file is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CardError(f"labels/{path.name}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        key, tab, name = line.partition("\t")
        if not (key and tab and name.strip()) or not (key + name).isprintable():
            raise CardError(f"labels/{path.name}:{number}: expected id<TAB>name, got {line[:60]!a}")
        found.append((key, name))
    return tuple(found)


def order(classes: Iterable[tuple[str, str]]) -> str:
    """Returns a hash of the ids in their order: outputs of two networks compare where it is the same.

    Returns:
        16 hexadecimal digits of the sha256 of the ids, a line each.

    Example:
        >>> order([("n01440764", "tench"), ("n01443537", "goldfish")])
        'b309fad9bb0a7d1d'
    """
    return hashlib.sha256("".join(f"{key}\n" for key, _ in classes).encode()).hexdigest()[:16]
