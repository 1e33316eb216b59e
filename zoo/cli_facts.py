"""What several commands need of the registry, without click, and without pydantic where only zoo's own is there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any


def listed(
    pattern: str = "*", columns: Sequence[str] | None = None, *, as_json: bool = False, **conditions: Any
) -> str:
    """Returns what `zoo list` prints.

    Args:
        pattern: shell wildcard that names must match.
        columns: of the table; default: the usual ones.
        as_json: whole cards, for programs.
        conditions: see `zoo.index.select`.
    """
    from zoo import index, show

    found = index.select(rows(), pattern, **conditions)
    if as_json:
        return show.as_json([card_facts(row["name"]) for row in found])
    return show.models(found, show.width(), columns or show.MODEL_COLUMNS)


def described(name: str, *, as_json: bool = False) -> str:
    """Returns what `zoo info` prints: everything that is known about a model."""
    from zoo import show

    facts = card_facts(name)
    return show.as_json(facts) if as_json else show.card(facts, show.width())


def rows() -> list[dict[str, Any]]:
    """Returns every model's row, without pydantic where no registry is there that was not compiled yet."""
    from zoo import cache, index

    if os.environ.get("ZOO_REGISTRY"):
        from zoo import registry

        return registry.rows()
    if not cache.registries_dir().exists():
        return index.open().rows
    from zoo import registries

    others = registries.rows(lambda text: print(f"zoo: {text}", file=sys.stderr))
    return [*index.open().rows, *others]


def card_facts(name: str) -> dict[str, Any]:
    """Returns a card as JSON has it."""
    from zoo import index

    if not os.environ.get("ZOO_REGISTRY"):
        built_in = index.open()
        if row := built_in.row(name):
            facts: dict[str, Any] = json.loads(built_in.card(row))
            return facts
    from zoo import registry

    told(name)
    return registry.info(name).model_dump(mode="json", exclude_none=True)


def told(name: str) -> None:
    """Says on stderr which model the bare name of an architecture stands for."""
    from zoo import registry

    chosen = registry.choice(name)
    if chosen is not None:
        print(chosen, file=sys.stderr)
