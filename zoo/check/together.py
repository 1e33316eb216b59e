"""Rules between cards: no name twice, and no file twice without a word about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zoo import registry
from zoo.check.findings import Finding
from zoo.check.reading import Stated
from zoo.files import File


def check(stated: Sequence[Stated], others: Sequence[Stated]) -> list[Finding]:
    """Returns what the rules of this module find in `stated`, next to `others`."""
    return [*_contradictions(stated, others), *_shared(stated, others)]


def _contradictions(stated: Sequence[Stated], others: Sequence[Stated]) -> Iterator[Finding]:
    at = {id(one.card): one for one in stated}
    pairs = [(one.card, one.shown) for one in (*others, *stated)]
    for found in registry.contradictions(pairs):
        if id(found.card) in at:
            yield at[id(found.card)].finding("error", found.key.removeprefix("."), found.what, found.fix)


def _shared(stated: Sequence[Stated], others: Sequence[Stated]) -> Iterator[Finding]:
    """Two models may be one file, read in two ways; then a note of one of them names the other."""
    first: dict[str, tuple[Stated, str]] = {}
    told: set[tuple[str, str]] = set()
    ours = {id(one) for one in stated}
    for one in (*others, *stated):
        for role in one.card.source.roles:
            file = one.card.files[role]
            for key in _keys(file):
                twin, twins_role = first.setdefault(key, (one, role))
                pair = (twin.card.name, one.card.name)
                if twin is one or id(one) not in ours or pair in told or _said(one, twin):
                    continue
                told.add(pair)
                what = f"has the {key.partition(':')[0]} of {twin.card.name}.files.{twins_role} ({twin.shown})"
                fix = f"leave one of the models out, or name {twin.card.name} in notes and say what differs"
                yield one.finding("warning", f"files.{role}", what, fix)


def _keys(file: File) -> list[str]:
    return [f"{algorithm}:{digest}" for algorithm, digest in file.digests.items()]


def _said(one: Stated, twin: Stated) -> bool:
    return twin.card.name in (one.card.notes or "") or one.card.name in (twin.card.notes or "")
