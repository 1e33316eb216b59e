"""`zoo check --files`: models are converted, so that every tensor is accounted for and the numbers are compared."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.check.findings import Finding
from zoo.check.reading import Stated
from zoo.errors import FetchError, ParityError, ZooError
from zoo.sources import UnsupportedSource

if TYPE_CHECKING:
    from zoo.check import Report, Tell
    from zoo.graph import Graph


def check(stated: Sequence[Stated], report: Report, tell: Tell, *, fetch: bool, offline: bool | None) -> None:
    """Adds to a report what came of converting some models; with `fetch`, files that are not in the cache are had."""
    absent = 0
    for one in stated:
        if isinstance(one.card.source, UnsupportedSource):
            continue
        try:
            files = _files(one, offline=offline if fetch else True)
        except FetchError as error:
            if fetch:
                report.not_checked.append(f"{one.card.name}: its files are not to be had: {error}")
            absent += 1
            continue
        tell(f"converting {one.card.name}")
        found = _converted(one, files, report)
        report.findings += found
    if absent and not fetch:
        report.not_checked.append(f"files of {absent} models that are not in the cache; name their files to fetch them")


def _files(one: Stated, *, offline: bool | None) -> dict[str, Path]:
    from zoo.fetch import fetch

    return fetch(one.card, offline=offline, progress=False)


def _converted(one: Stated, files: dict[str, Path], report: Report) -> list[Finding]:
    from zoo.convert import convert_card, read_card

    card = one.card
    told: dict[str, Any] = {"model": card.name, "tensors": 0, "unused": 0, "parity": None}
    found = []
    kept = None if card.check is None else one.beside("checks", card.check.file)
    try:
        graph = read_card(card, files, sandbox=True)
        with tempfile.TemporaryDirectory() as scratch:
            receipt = convert_card(card, files, Path(scratch), sandbox=True, kept=kept)
        told |= {"tensors": len(receipt["tensors"]), "unused": len(receipt["unused"]), "parity": receipt["parity"]}
        found += _counted(one, graph)
    except ParityError as error:
        fix = "correct preprocessing, dialect or architecture until the numbers are the origin's"
        found.append(one.finding("error", "check", _plain(error, card.name), fix))
    except ZooError as error:
        found.append(one.finding("error", "source", _plain(error, card.name), "correct the source or the files"))
    told["problem"] = found[0].what if found and found[0].level == "error" else None
    report.converted.append(told)
    return found


def _counted(one: Stated, graph: Graph) -> list[Finding]:
    """Compares the number of parameters with the arrays; of networks of `zoo.architectures`, `networks` did."""
    from zoo.check.known import trainable
    from zoo.check.networks import rounds_to

    card = one.card
    if card.parameters == "unknown" or card.notes or getattr(card.source, "architecture", None):
        return []
    count, _ = trainable(graph)
    if rounds_to(count, card.parameters):
        return []
    what = f"is {card.parameters}, and the files have {count}"
    return [
        one.finding("warning", "parameters", what, f"write {count}, or say in notes what the published number counts")
    ]


def _plain(error: ZooError, name: str) -> str:
    return str(error).removeprefix(f"{name}: ").replace(os.linesep, " ")
