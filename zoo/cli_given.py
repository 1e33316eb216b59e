"""Options by which a caller states facts about a model's preprocessing: `zoo get NAME --mean 104,117,123 ...`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_RULES = {"short-side": "size", "square": "size", "crop-fraction": "fraction", "crop-padding": "padding"}


def _numbers(context: click.Context, option: click.Parameter, value: str | None) -> list[float] | str | None:
    if value is None or (value == "none" and option.name != "value_range"):
        return value
    try:
        return [float(number) for number in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r}: expected numbers with commas between them, such as 104,117,123") from None


def _rule(context: click.Context, option: click.Parameter, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    kind, _, number = value.partition(":")
    try:
        return {"kind": kind, _RULES[kind]: float(number) if kind == "crop-fraction" else int(number)}
    except (KeyError, ValueError):
        shown = ", ".join(f"{kind}:{key.upper()}" for kind, key in _RULES.items())
        raise click.BadParameter(f"{value!r}: expected one of {shown}, such as short-side:256") from None


_OPTIONS = (
    click.option("--height", type=click.IntRange(min=1), metavar="ROWS", help="Of the network's input."),
    click.option("--width", type=click.IntRange(min=1), metavar="COLUMNS", help="Of the network's input."),
    click.option(
        "--channel-order",
        type=click.Choice(["RGB", "BGR", "gray"]),
        help="Channels the origin takes. This and its neighbours: where no source gives the fact, or in its place.",
    ),
    click.option(
        "--value-range", metavar="LOW,HIGH", callback=_numbers, help="Of a pixel before the mean: 0,255 or 0,1."
    ),
    click.option("--mean", metavar="A,B,C", callback=_numbers, help="Subtracted, in the origin's order; or none."),
    click.option("--std", metavar="A,B,C", callback=_numbers, help="Divided by, in the origin's order; or none."),
    click.option(
        "--resize", metavar="RULE", callback=_rule, help="How images get the model's size: short-side:256, ..."
    ),
    click.option(
        "--interpolation",
        type=click.Choice(["nearest", "bilinear", "bicubic", "lanczos", "area"]),
        help="Of the resize.",
    ),
)


def preprocessing_options(command: Command) -> Command:
    """Adds the options; the command gets them as the keywords of `zoo.given.Given`, None where left out."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
