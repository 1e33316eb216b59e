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
    text = show.models(found, show.width(), columns or show.MODEL_COLUMNS)
    if not found:
        print("no model meets all of this; a fact that is unknown meets no condition on it", file=sys.stderr)
    return text


def described(name: str, *, as_json: bool = False) -> str:
    """Returns what `zoo info` prints: everything that is known about a model."""
    from zoo import show

    facts = card_facts(name)
    if as_json:
        return show.as_json(facts)
    order = _order(facts)
    if order is not None:
        facts["labels"] = {**facts["labels"], "order": order}
    return show.card(facts, show.width())


def _order(facts: dict[str, Any]) -> str | None:
    """Returns the hash of a model's order of classes; None where nobody says what they are."""
    from zoo import index, label_lists

    labels = facts["labels"]
    path = index.folder() / "labels" / f"{labels['list']}.txt"
    if labels.get("names") is None and "/" not in facts["name"] and path.is_file():
        return label_lists.order([label_lists.BACKGROUND] * labels["offset"] + [*label_lists.read(path)])
    if labels.get("names") is None and labels["list"] == "unknown":
        return None
    from zoo import registry

    classes = registry.labels(registry.info(facts["name"]))
    return None if classes is None else label_lists.order(classes)


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
