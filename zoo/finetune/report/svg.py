"""The parts that charts are made of: escaped elements, round numbers for axes."""

from __future__ import annotations

import math

from markupsafe import Markup, escape


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """Returns an element, text and attributes escaped; `_` in attributes' names stands for `-`, None leaves one out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{told}>{''.join(escape(child) for child in children)}</{name}>")


def svg(
    width: float, height: float, label: str, *children: str, fixed: bool = False, stretched: bool = False
) -> Markup:
    """Returns a picture that screen readers call `label`; `fixed` ones keep their size, `stretched` ones no ratio."""
    size: dict[str, object] = {"width": width, "height": height} if fixed else {}
    if stretched:
        size["preserveAspectRatio"] = "none"
    return tag("svg", *children, viewBox=f"0 0 {_short(width)} {_short(height)}", role="img", aria_label=label, **size)


def clip(text: str, length: int) -> str:
    """Returns text of at most `length` characters, its middle left out."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2]}…{text[len(text) - (length - length // 2 - 1) :]}"


def ticks(low: float, high: float, limit: float | None = None) -> list[float]:
    """Returns three to six round numbers around [low, high], within [0, limit] if there is a limit."""
    if high - low < 1e-9:
        low, high = low - 0.05 * abs(low or 1), high + 0.05 * abs(high or 1)
    raw = (high - low) / 4
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    found = [round(number * step, 12) for number in range(first, last + 1)]
    return [tick for tick in found if limit is None or 0 <= tick <= limit] or found


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
