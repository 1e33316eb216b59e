"""Rules that compare a card with the network that it names: outputs, size of the input, number of parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from zoo import architectures
from zoo.check import known
from zoo.check.findings import Finding
from zoo.check.known import Key, Network
from zoo.check.reading import Stated
from zoo.errors import ZooError
from zoo.sources import KerasSource, WeightsSource

EXPLAINED = 0.4
"""How far a published number of parameters may be off where the card's notes speak of it."""
TOLERATED = 0.05
"""Off by more than this, it is another network's number."""


def check(stated: Stated) -> list[Finding]:
    """Returns what the rules of this module find."""
    return list(_findings(stated))


def prepare(every: Iterable[Stated]) -> None:
    """Makes `check` quick for many cards."""
    known.prepare(key for stated in every if (key := _key(stated)))


def _key(stated: Stated) -> Key | None:
    """Returns the network that a card names, and the size that it is to take; None where there is no saying."""
    card, source = stated.card, stated.card.source
    if not isinstance(source, WeightsSource | KerasSource) or source.architecture is None or source.dialect is None:
        return None
    try:
        if source.dialect not in architectures.dialects(source.architecture):
            return None  # told by `facts`
    except ZooError:
        return None
    height, width = card.preprocessing.sides
    classes = 1000 if card.labels.count == "unknown" else card.labels.count
    return Key(source.architecture, source.dialect, classes, height) if height == width else None


def _findings(stated: Stated) -> Iterator[Finding]:
    key, inputs = _key(stated), stated.card.preprocessing
    if key is None:
        named = getattr(stated.card.source, "architecture", None)
        if named and inputs.height != inputs.width:
            fix = "correct one of them: networks for files of weights are built for square inputs"
            what = f"is {inputs.width}, and height is {inputs.height}"
            yield stated.finding("error", "preprocessing.width", what, fix)
        return
    try:
        network = known.network(*key)
    except (ZooError, ValueError) as error:
        fix = "write the size that the publisher evaluated it at"
        yield stated.finding("error", "preprocessing.height", f"{key.variant} cannot take it: {error}", fix)
        return
    if stated.card.labels.count not in ("unknown", network.outputs):
        what = f"is {key.classes}, and {key.variant}/{key.dialect} gives {network.outputs} outputs"
        yield stated.finding("error", "labels.count", what, "correct it, or the architecture")
    yield from _parameters(stated, network, f"{key.variant}/{key.dialect}")


def _parameters(stated: Stated, network: Network, name: str) -> Iterator[Finding]:
    stated_count, notes = stated.card.parameters, stated.card.notes or ""
    if stated_count == "unknown" or rounds_to(network.parameters, stated_count):
        return
    what = f"is {stated_count}, and {name} has {network.parameters}"
    fix = f"write {network.parameters}"
    if abs(stated_count - network.parameters - network.statistics) <= 10:  # Keras has a layer for the image's, too
        what += ": it counts the statistics of batch normalisation, which are not trained"
        yield stated.finding("error", "parameters", what, fix)
        return
    off = abs(stated_count - network.parameters) / network.parameters
    if off <= EXPLAINED and re.search(r"\bparam(eter)?s\b", notes, re.IGNORECASE):
        return
    if off > TOLERATED:
        fix += ", correct the architecture, or say in notes what the published number of parameters counts"
        yield stated.finding("error", "parameters", what, fix)
    else:
        fix += ", or say in notes what the published number of parameters counts"
        yield stated.finding("warning", "parameters", what, fix)


def rounds_to(count: int, published: int) -> bool:
    """Returns whether a published number is a count, rounded or cut to fewer digits.

    >>> rounds_to(5_288_548, 5_300_000), rounds_to(5_288_548, 5_288_000), rounds_to(5_288_548, 5_288_549)
    (True, True, False)
    """
    digits = len(str(published)) - len(str(published).rstrip("0"))
    unit = 10**digits if digits >= 3 else 1
    return abs(count - published) < unit
