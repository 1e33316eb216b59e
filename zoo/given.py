"""Facts about preprocessing that no source gives, and that the caller states in their place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from pydantic import ValidationError

from zoo import artifact
from zoo.errors import UnknownFactError, UsageError, ZooError
from zoo.schema import ModelCard, Preprocessing

if TYPE_CHECKING:
    from zoo.schema import Resize


class Given(TypedDict, total=False):
    """What a caller may state; None is as good as left out."""

    height: int | None
    """Rows of the network's input, pixels."""
    width: int | None
    """Columns of the network's input, pixels."""
    mean: Sequence[float] | Literal["none"] | None
    """One number per channel in the origin's channel order on its value range, or "none"."""
    std: Sequence[float] | Literal["none"] | None
    """As `mean`."""
    value_range: Sequence[float] | None
    """(0, 1) or (0, 255)."""
    channel_order: Literal["RGB", "BGR", "gray"] | None
    resize: Resize | Mapping[str, Any] | None
    """A resize rule: `{"kind": "short-side", "size": 256}`."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "area"] | None


SIDES = ("height", "width")
INSIDE = (*SIDES, "channel_order", "value_range", "mean", "std")
"""Facts that decide the numbers of a converted model; the others are needed when images are prepared."""

SOURCE = "stated by the caller"

EXAMPLES = {
    "height": ("--height 224", "height=224"),
    "width": ("--width 224", "width=224"),
    "channel_order": ("--channel-order BGR", "channel_order='BGR'"),
    "value_range": ("--value-range 0,255", "value_range=(0, 255)"),
    "mean": ("--mean 123.68,116.78,103.94", "mean=(123.68, 116.78, 103.94)"),
    "std": ("--std none", "std='none'"),
    "resize": ("--resize short-side:256", "resize={'kind': 'short-side', 'size': 256}"),
    "interpolation": ("--interpolation bilinear", "interpolation='bilinear'"),
}
_NEUTRAL: dict[str, Any] = {"channel_order": "RGB", "value_range": (0.0, 255.0), "mean": "none", "std": "none"}


def apply(card: ModelCard, given: Mapping[str, Any]) -> tuple[ModelCard, dict[str, Any]]:
    """Puts a caller's facts into a card.

    Args:
        card: the model's card.
        given: keys of `Given`; they count for more than what the card states.

    Returns:
        (card, facts): the card with those facts, whose source is the caller, and the facts that differ from the card's,
        as JSON has them. Where they decide the model's numbers, the card loses its check: the origin's output was
        computed with others.

    Raises:
        TypeError: there is no such keyword.
        UsageError: a fact is impossible.
    """
    check(given)
    stated = card.preprocessing.model_dump(mode="json")
    wanted = {key: _plain(value) for key, value in given.items() if value is not None}
    try:
        preprocessing = Preprocessing.model_validate_json(json.dumps({**stated, **wanted}))
    except (ValidationError, TypeError, ValueError) as error:
        raise UsageError(_impossible(error, wanted)) from None
    said = preprocessing.model_dump(mode="json")
    facts = {key: said[key] for key in wanted if said[key] != stated[key]}
    if not facts:
        return card, {}
    change: dict[str, Any] = {
        "preprocessing": preprocessing,
        "sources": {**card.sources, **{f"preprocessing.{key}": SOURCE for key in facts}},
    }
    if any(key in INSIDE for key in facts):
        change |= {"check": None, "status": "convertible" if card.status == "verified" else card.status}
    return card.model_copy(update=change), facts


def check(given: Mapping[str, Any]) -> None:
    """Raises TypeError where a keyword states no fact about preprocessing."""
    strange = [key for key in given if key not in Given.__annotations__]
    if strange:
        raise TypeError(
            f"unexpected keyword argument {strange[0]!r}; expected some of {', '.join(Given.__annotations__)}"
        )


def lacking(card: ModelCard, given: Mapping[str, Any]) -> Given:
    """Returns those of a caller's facts that a card does not state: where facts are for several models at once."""
    check(given)
    lacked = {key: value for key, value in given.items() if value is not None}
    return cast(Given, {key: lacked[key] for key in lacked if getattr(card.preprocessing, key) == "unknown"})


def key(card: ModelCard, folder: Path) -> str | None:
    """Returns the key of a card with the facts that the caller of a converted model stated, None if there were none."""
    try:
        facts = json.loads((folder / artifact.RECEIPT).read_bytes())["given"]
        return artifact.key(apply(card, facts)[0])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZooError):
        return None


def split(options: Mapping[str, Any]) -> tuple[Given, dict[str, Any]]:
    """Returns the keywords that state facts, and the others."""
    stated = {key: value for key, value in options.items() if key in Given.__annotations__}
    return cast(Given, stated), {key: value for key, value in options.items() if key not in stated}


def flags(given: Mapping[str, Any]) -> list[str]:
    """Returns the words that say the same on the command line."""
    words = []
    for key, value in given.items():
        if value is None:
            continue
        text = _plain(value)
        if isinstance(text, dict):
            text = ":".join(f"{part:g}" if isinstance(part, int | float) else str(part) for part in text.values())
        elif isinstance(text, list):
            text = ",".join(f"{number:g}" for number in text)
        words += [f"--{key.replace('_', '-')}", str(text)]
    return words


def require(card: ModelCard, *, images: bool = False) -> None:
    """Raises UnknownFactError if a card lacks facts that its use needs; all of them are named.

    Args:
        card: the model's card.
        images: whether images are to be prepared, beside the model itself.
    """
    missing = unknown(card.preprocessing)
    if images:
        missing += [key for key in ("resize", "interpolation") if getattr(card.preprocessing, key) == "unknown"]
    if missing:
        raise UnknownFactError(told(missing, card.name))


def neutral(card: ModelCard) -> dict[str, Any]:
    """Returns facts that do nothing to an input, for those that a card lacks: for the network without preprocessing.

    No size of the input does nothing: where the card lacks that, the caller states it.
    """
    return {key: _NEUTRAL[key] for key in unknown(card.preprocessing) if key not in SIDES}


def unknown(preprocessing: Preprocessing) -> list[str]:
    """Returns which of the facts that decide numbers no source gives."""
    return [key for key in INSIDE if getattr(preprocessing, key) == "unknown"]


def told(missing: Sequence[str], name: str) -> str:
    """Returns what an error says of facts that no source gives."""
    flags, keywords = (" ".join(EXAMPLES[key][0] for key in missing), ", ".join(EXAMPLES[key][1] for key in missing))
    what = "gives it; state it yourself" if len(missing) == 1 else "gives them; state them yourself"
    names = " and ".join([", ".join(missing[:-1]), missing[-1]] if len(missing) > 1 else missing)
    order = ", in the origin's channel order and on its value range" if {"mean", "std"} & set(missing) else ""
    apart = set(missing) & set(INSIDE) and not set(missing) & set(SIDES)
    raw = "; or load the network without it (preprocessing=False)" if apart else ""
    return f"{name}.preprocessing.{names}: no source {what}, for example {flags} (in Python {keywords}){order}{raw}"


def _plain(value: Any) -> Any:
    """A caller's value as JSON has it."""
    if isinstance(value, str | bool | Mapping):
        return dict(value) if isinstance(value, Mapping) else value
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    try:
        return [float(number) for number in value]
    except (TypeError, ValueError):
        return value


def _impossible(error: Exception, wanted: Mapping[str, Any]) -> str:
    if not isinstance(error, ValidationError):
        return f"{', '.join(wanted)}: {' '.join(str(error).split())}"
    first = error.errors(include_url=False)[0]
    where = next((str(part) for part in first["loc"] if part in wanted), "")
    what = first["msg"].removeprefix("Value error, ")
    got = f", got {wanted[where]!r}" if where else ""
    return f"{where}: {what}{got}" if where else what
