"""What several commands need of the registry, without pydantic where the built-in one is all there is."""

from __future__ import annotations

import json
import os
from typing import Any

import click


def rows() -> list[dict[str, Any]]:
    """Returns every model's row, without pydantic where no registry is there that was not compiled yet."""
    from zoo import index, registries

    others = registries.rows(lambda text: click.echo(f"zoo: {text}", err=True))
    if not os.environ.get("ZOO_REGISTRY"):
        return [*index.open().rows, *others]
    from zoo import registry

    return registry.rows()


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
        click.echo(str(chosen), err=True)
