"""Which output of a network a folder of images belongs to: told by WordNet id, by name or by number."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from zoo.errors import DataError, UsageError

Label = tuple[str, str]
SHOWN = 4
_WORDNET = re.compile(r"n\d{8}(?=$|[ _.-])")


@dataclass(frozen=True)
class Match:
    """Folders and the outputs they belong to.

    Args:
        outputs: folder -> index of the output, for those that fit one.
        unknown: folders that fit none.
        missing: outputs that no folder fits, ascending.
        by: how the folders were told: some of `id`, `name`, `index`, `order`.
    """

    outputs: dict[str, int]
    unknown: tuple[str, ...]
    missing: tuple[int, ...]
    by: tuple[str, ...]


def match(
    folders: Sequence[str], labels: Sequence[Label] | None, outputs: int, *, name: str, numbers: bool = True
) -> Match:
    """Finds the output of each folder.

    A folder is told by the class's id (`n02123045`, also with words behind it: `n02123045-tabby`), by its name
    (`tiger cat`, `tiger_cat`), by another WordNet name of the same class, or, if all folders are whole numbers and
    none of them is a name, by the index of the output. Where nobody names the classes, it is the index, or the order
    of the folders if there are as many as outputs.

    Args:
        folders: their names.
        labels: (id, name) per output; None where nobody names the classes.
        outputs: number of outputs.
        name: the model's name, for messages.
        numbers: whether a number may stand for an output whose class has a name.

    Raises:
        DataError: a folder's name fits several classes.
        UsageError: nobody names the classes, and the folders are no numbers of outputs.
    """
    found: dict[str, int] = {}
    by: list[str] = []
    for folder in folders if labels is not None else ():
        for kind, tier in _tiers(tuple(labels or ())):
            places = tier(folder)
            if len(places) > 1:
                choices = " or ".join(f"{(labels or ())[place][0]} ({(labels or ())[place][1]})" for place in places)
                raise DataError(f"folder {folder!r}: may be {choices} of {name}; name the folder by the first of these")
            if places:
                found[folder] = places[0]
                key, called = (labels or ())[places[0]]
                by.append("name" if key == called else kind)
                break
    if not found and (numbers or labels is None):
        found, kind = _unnamed(folders, outputs, name, guess=labels is None)
        by = [kind] if found else []
    taken = set(found.values())
    return Match(
        found,
        tuple(folder for folder in folders if folder not in found),
        tuple(index for index in range(outputs) if index not in taken),
        tuple(dict.fromkeys(by)),
    )


def refuse_unknown(found: Match, labels: Sequence[Label] | None, *, name: str, data: str, skip: bool) -> None:
    """Checks that every folder fits a class, or that the caller leaves out those that do not.

    Raises:
        DataError: one does not and `skip` is not set, or none does.
    """
    if not found.unknown or (skip and found.outputs):
        return
    total = len(found.unknown) + len(found.outputs)
    near = _nearest(found.unknown[0], labels or ())
    raise DataError(
        f"{data}: {len(found.unknown)} of {total} folders fit no class of {name}: {some(found.unknown)}{near}; name "
        f"folders by id or name as `zoo evaluate --help` says"
        + ("" if not found.outputs else ", or leave them out with skip_unknown=True (--skip-unknown)")
    )


def some(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are."""
    rest = len(names) - SHOWN
    return ", ".join(repr(name) for name in names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def is_wordnet(label: Label) -> bool:
    """Returns whether a class is known by its WordNet id."""
    return _WORDNET.fullmatch(label[0]) is not None


@functools.lru_cache(8)
def _tiers(labels: tuple[Label, ...]) -> list[tuple[str, Callable[[str], list[int]]]]:
    """Ways to find a folder's outputs, the surest first."""
    ids = _table((label[0], index) for index, label in enumerate(labels))
    names = _table((label[1], index) for index, label in enumerate(labels))
    folded = _table((_fold(part), index) for index, label in enumerate(labels) for part in label)
    others = _table((_fold(word), index) for index, label in enumerate(labels) for word in _other_names(label))

    def by_id(folder: str) -> list[int]:
        start = _WORDNET.match(folder)
        return ids.get(folder) or ids.get(start[0] if start else folder, [])

    return [
        ("id", by_id),
        ("name", lambda folder: names.get(folder, [])),
        ("name", lambda folder: folded.get(_fold(folder), [])),
        ("name", lambda folder: others.get(_fold(folder), [])),
    ]


def _table(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for key, index in pairs:
        places = found.setdefault(key, [])
        if index not in places:
            places.append(index)
    return found


def _fold(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()


def _other_names(label: Label) -> list[str]:
    """A label such as `tabby, tabby cat` lists its own; WordNet has more for its ids."""
    listed = label[1].split(",") if "," in label[1] else []
    return [*listed, *_synonyms().get(label[0], ())]


@functools.cache
def _synonyms() -> dict[str, tuple[str, ...]]:
    """WordNet id -> names."""
    from zoo.index import folder

    lines = (folder() / "labels" / "synonyms" / "imagenet-2012.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if not line.startswith("#"))
    return {key: tuple(names.split(", ")) for key, names in pairs}


def _unnamed(folders: Sequence[str], outputs: int, name: str, *, guess: bool) -> tuple[dict[str, int], str]:
    if all(folder.isascii() and folder.isdigit() and int(folder) < outputs for folder in folders):
        return {folder: int(folder) for folder in folders}, "index"
    if not guess:
        return {}, ""
    if len(folders) == outputs:
        return {folder: index for index, folder in enumerate(sorted(folders))}, "order"
    raise UsageError(
        f"{name}: nobody says what its {outputs} outputs mean; name the folders 0 to {outputs - 1}, by the output's "
        f"index"
    )


def _nearest(folder: str, labels: Sequence[Label]) -> str:
    close = difflib.get_close_matches(_fold(folder), [_fold(name) for _, name in labels], 1)
    return f" (for the first, nearest: {close[0]!r})" if close else ""
