"""Charts as inline SVG: numbers in, markup out. Colours are classes of style.css, so that dark mode and print follow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from zoo.finetune.metrics import Bin

_Number = float | int | None


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """Returns an element; text and attributes are escaped, `_` in attribute names stands for `-`, None leaves one out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{told}>{''.join(escape(child) for child in children)}</{name}>")


def svg(width: float, height: float, label: str, *children: str, fixed: bool = False) -> Markup:
    """Returns a picture that screen readers call `label`; `fixed` ones keep their size and may be scrolled."""
    size = {"width": width, "height": height} if fixed else {}
    return tag("svg", *children, viewBox=f"0 0 {_short(width)} {_short(height)}", role="img", aria_label=label, **size)


@dataclass(frozen=True)
class Line:
    """One series of a line chart.

    Args:
        name: for the legend.
        values: by x; None is a gap.
        kind: class of style.css: `first` or `second`.
    """

    name: str
    values: Sequence[_Number]
    kind: str


@dataclass(frozen=True)
class Phase:
    """A stretch of a line chart's x axis.

    Args:
        name: written above it.
        start: first x in it.
        stop: one past the last.
        best: x of the values that were kept, if any.
    """

    name: str
    start: int
    stop: int
    best: int | None = None


WIDTH, HEIGHT = 340, 216
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 24, 34


def lines(
    title: str,
    series: Sequence[Line],
    x: Sequence[int],
    phases: Sequence[Phase],
    *,
    share: bool = False,
    logarithmic: bool = False,
) -> Markup | None:
    """Returns a chart over epochs; None when there is no number to draw.

    Args:
        title: what is drawn.
        series: of one length.
        x: what is written below each position.
        phases: stretches of positions, told apart by shading.
        share: values are shares from 0 to 1, written as percent.
        logarithmic: values above 0 on a logarithmic axis.
    """
    usable = [[_usable(value, logarithmic) for value in line.values] for line in series]
    numbers = [value for values in usable for value in values if value is not None]
    if not numbers:
        return None
    ticks = _log_ticks(numbers) if logarithmic else _ticks(min(numbers), max(numbers), limit=1.0 if share else None)
    floor, ceiling = min(*ticks, *numbers), max(*ticks, *numbers)
    bend = math.log10 if logarithmic else float
    span = (bend(ceiling) - bend(floor)) or 1.0

    def across(position: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (position + 0.5) / len(x)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (bend(value) - bend(floor)) / span

    parts: list[Markup] = []
    for number, phase in enumerate(phases):
        begin, end = across(phase.start - 0.5), across(phase.stop - 0.5)
        parts.append(tag("rect", x=begin, y=TOP, width=end - begin, height=HEIGHT - TOP - BOTTOM,
                         class_="band even" if number % 2 else "band"))  # fmt: skip
        if len(phases) > 1:
            parts.append(tag("text", phase.name, x=(begin + end) / 2, y=TOP - 8, class_="note", text_anchor="middle"))
    for tick in ticks:
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=up(tick), y2=up(tick), class_="grid"))
        text = f"{tick * 100:g} %" if share else f"{tick:g}"
        parts.append(tag("text", text, x=LEFT - 6, y=up(tick) + 4, class_="tick", text_anchor="end"))
    every = max(1, math.ceil(len(x) / 8))
    marked = [place for place in range(len(x)) if x[place] % every == 0]
    parts += [
        tag("text", str(x[place]), x=across(place), y=HEIGHT - BOTTOM + 15, class_="tick", text_anchor="middle")
        for place in marked
    ]
    parts.append(tag("text", "epoch", x=WIDTH - RIGHT, y=HEIGHT - 4, class_="note", text_anchor="end"))
    for line, values in zip(series, usable, strict=True):
        for phase in phases:
            points = [(across(i), up(v)) for i in range(phase.start, phase.stop) if (v := values[i]) is not None]
            parts.append(_path(points, line.kind))
        for phase in phases:
            if phase.best is not None and line.kind == "second" and (value := values[phase.best]) is not None:
                parts.append(tag("circle", tag("title", f"kept: epoch {x[phase.best]}, {value:.4g}"),
                                 cx=across(phase.best), cy=up(value), r=4, class_="best"))  # fmt: skip
    last = ", ".join(f"{line.name} ends at {_last(values)}" for line, values in zip(series, usable, strict=True))
    return svg(WIDTH, HEIGHT, f"{title} by epoch: {last}", *parts)


def _path(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    if len(points) == 1:
        return tag("circle", cx=points[0][0], cy=points[0][1], r=2.5, class_=f"dot {kind}")
    drawn = "".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(points))
    return tag("path", d=drawn, class_=f"curve {kind}")


def interval(value: float, low: float, high: float, other: float | None = None) -> Markup:
    """Returns a share as a point with its interval on a line from 0 to 1, and another one as a tick beside it."""
    width, height, middle = 320, 22, 8

    def across(share: float) -> float:
        return 6 + (width - 12) * share

    parts = [
        tag("line", x1=across(0), x2=across(1), y1=middle, y2=middle, class_="track"),
        tag("line", x1=across(low), x2=across(high), y1=middle, y2=middle, class_="whisker"),
        tag("circle", cx=across(value), cy=middle, r=4.5, class_="dot first"),
    ]
    label = f"{value:.1%}, 95 % interval {low:.1%} to {high:.1%}"
    if other is not None:
        parts.append(tag("line", x1=across(other), x2=across(other), y1=middle - 6, y2=middle + 6, class_="reference"))
        label += f"; reference {other:.1%}"
    parts += [
        tag("text", "0", x=across(0), y=height, class_="tick"),
        tag("text", "100 %", x=across(1), y=height, class_="tick", text_anchor="end"),
    ]
    return svg(width, height + 2, label, *parts)


def bar(values: Sequence[tuple[float, str]], total: float, label: str) -> Markup:
    """Returns one horizontal bar of several pieces; `total` fills its width."""
    width, height = 160.0, 10
    parts, at = [tag("rect", x=0, y=0, width=width, height=height, rx=2, class_="trough")], 0.0
    for value, kind in values:
        piece = width * value / total if total else 0.0
        parts.append(
            tag("rect", x=at, y=0, width=max(piece, 1.0 if value else 0.0), height=height, class_=f"fill {kind}")
        )
        at += piece
    return svg(width, height, label, *parts)


def ranked(counts: Sequence[int], label: str) -> Markup:
    """Returns the numbers of images of very many classes, largest first, as an area."""
    ordered, width, height = sorted(counts, reverse=True), 640, 150
    top = max(ordered[0], 1)
    step = (width - LEFT - RIGHT) / len(ordered)
    heights = [height - 26 - (height - 40) * count / top for count in ordered]
    drawn = f"M{LEFT} {height - 26}" + "".join(
        f"L{LEFT + step * place:.1f} {y:.1f}L{LEFT + step * (place + 1):.1f} {y:.1f}" for place, y in enumerate(heights)
    )
    parts = [
        tag("path", d=f"{drawn}L{width - RIGHT} {height - 26}Z", class_="fill first"),
        tag("text", str(top), x=LEFT - 6, y=heights[0] + 9, class_="tick", text_anchor="end"),
        tag("text", "0", x=LEFT - 6, y=height - 24, class_="tick", text_anchor="end"),
        tag("text", f"{len(ordered)} classes, largest first", x=width - RIGHT, y=height - 8, class_="note",
            text_anchor="end"),
    ]  # fmt: skip
    return svg(width, height, label, *parts)


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str], label: str) -> Markup:
    """Returns a heat map: each row a true class, each column an answer, shaded by the row's share."""
    count = len(names)
    cell = 44 if count <= 6 else 34 if count <= 12 else 22
    left, top = min(170, 14 + 7 * max(map(len, names))), min(150, 24 + 5 * max(map(len, names)))
    parts = [tag("text", "answered", x=left, y=11, class_="note"), tag("text", "true", x=left - 8, y=top - 6, class_="note",
             text_anchor="end")]  # fmt: skip
    for number, name in enumerate(names):
        middle = cell * (number + 0.5)
        short = clip(name, 22)
        parts.append(
            tag("text", tag("title", name), short, x=left - 8, y=top + middle + 4, class_="axis", text_anchor="end")
        )
        parts.append(tag("text", tag("title", name), short, x=0, y=0, class_="axis",
                         transform=f"translate({left + middle + 3:.1f} {top - 7}) rotate(-40)"))  # fmt: skip
    for row, values in enumerate(matrix):
        total = sum(values)
        for column, value in enumerate(values):
            x, y, share = left + cell * column, top + cell * row, value / total if total else 0.0
            told = f"{names[row]} answered as {names[column]}: {value} of {total}"
            square = [tag("rect", x=x + 1, y=y + 1, width=cell - 2, height=cell - 2, rx=2, class_="empty")]
            if value:
                kind = "right" if row == column else "wrong"
                square.append(tag("rect", x=x + 1, y=y + 1, width=cell - 2, height=cell - 2, rx=2,
                                  class_=f"heat {kind}", fill_opacity=0.12 + 0.88 * share))  # fmt: skip
                if cell > 16:
                    square.append(tag("text", str(value), x=x + cell / 2, y=y + cell / 2 + 4, text_anchor="middle",
                                      class_="count over" if share > 0.45 else "count"))  # fmt: skip
            parts.append(tag("g", tag("title", told), *square))
    return svg(left + cell * count + max(70, top - 24), top + cell * count + 6, label, *parts, fixed=True)


def reliability(bins: Sequence[Bin], label: str) -> Markup:
    """Returns a reliability diagram: how often answers are right, by how sure they were; below, how many there are."""
    width, side, base = 340, 236, 12
    left, right = 44, width - 10
    reach = right - left
    most = max((entry.images for entry in bins), default=0) or 1

    def across(share: float) -> float:
        return left + reach * share

    def up(share: float) -> float:
        return base + side * (1 - share)

    parts: list[Markup] = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(tag("line", x1=left, x2=right, y1=up(tick), y2=up(tick), class_="grid"))
        parts.append(tag("text", f"{tick:.0%}", x=left - 6, y=up(tick) + 4, class_="tick", text_anchor="end"))
    bottom = base + side + 58
    for entry in bins:
        x, thick = across(entry.lower) + 1, reach * (entry.upper - entry.lower) - 2
        if entry.accuracy is None:
            continue
        told = f"{entry.images} answers at {entry.confidence:.1%} on average: {entry.accuracy:.1%} right"
        high, low = max(entry.accuracy, entry.confidence), min(entry.accuracy, entry.confidence)
        tall = 40 * entry.images / most
        parts.append(
            tag(
                "g",
                tag("title", told),
                tag("rect", x=x, y=up(entry.accuracy), width=thick, height=side * entry.accuracy, class_="fill first"),
                tag("rect", x=x, y=up(high), width=thick, height=side * (high - low), class_="gap"),
                tag("rect", x=x, y=bottom - tall, width=thick, height=max(tall, 1), class_="fill quiet"),
            )
        )
    parts.append(tag("line", x1=across(0), y1=up(0), x2=across(1), y2=up(1), class_="diagonal"))
    parts.append(tag("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="grid"))
    parts.append(tag("text", str(most), x=left - 6, y=bottom - 32, class_="tick", text_anchor="end"))
    for tick in (0.0, 0.5, 1.0):
        parts.append(tag("text", f"{tick:.0%}", x=across(tick), y=bottom + 15, class_="tick", text_anchor="middle"))
    parts.append(tag("text", "probability of the answer", x=(left + right) / 2, y=bottom + 30, class_="note",
                     text_anchor="middle"))  # fmt: skip
    return svg(width, bottom + 36, label, *parts)


def spread(rows: Iterable[tuple[str, float, float]], label: str) -> Markup:
    """Returns shares as points with their standard deviations, one row each: (name, mean, deviation)."""
    rows = list(rows)
    left, width, step = 200, 640, 22
    low = max(0.0, min(mean - deviation for _, mean, deviation in rows) - 0.02)
    high = min(1.0, max(mean + deviation for _, mean, deviation in rows) + 0.02)
    ticks = _ticks(low, high, limit=1.0)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    best = max(mean for _, mean, _ in rows)

    def across(share: float) -> float:
        return left + (width - left - 20) * (share - low) / ((high - low) or 1)

    bottom = 8 + step * len(rows)
    parts: list[Markup] = []
    for tick in ticks:
        parts.append(tag("line", x1=across(tick), x2=across(tick), y1=4, y2=bottom, class_="grid"))
        text = f"{tick * 100:g} %"
        parts.append(tag("text", text, x=across(tick), y=bottom + 15, class_="tick", text_anchor="middle"))
    for number, (name, mean, deviation) in enumerate(rows):
        y = 8 + step * (number + 0.5)
        begin, end = across(max(low, mean - deviation)), across(min(high, mean + deviation))
        parts.append(
            tag("text", tag("title", name), clip(name, 32), x=left - 10, y=y + 4, class_="axis", text_anchor="end")
        )
        parts.append(tag("line", x1=begin, x2=end, y1=y, y2=y, class_="whisker"))
        kind = "dot first" if mean == best else "dot quiet"
        told = f"{name}: {mean:.1%} ± {deviation:.1%}"
        parts.append(tag("circle", tag("title", told), cx=across(mean), cy=y, r=4.5, class_=kind))
    return svg(width, bottom + 22, label, *parts, fixed=True)


def clip(text: str, length: int) -> str:
    """Returns text of at most `length` characters, its middle left out."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2]}…{text[len(text) - (length - length // 2 - 1) :]}"


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _usable(value: _Number, logarithmic: bool) -> float | None:
    if value is None or not math.isfinite(value) or (logarithmic and value <= 0):
        return None
    return float(value)


def _last(values: Sequence[float | None]) -> str:
    told = [value for value in values if value is not None]
    return f"{told[-1]:.3g}" if told else "nothing"


def _ticks(low: float, high: float, limit: float | None = None) -> list[float]:
    """Three to six round numbers around [low, high]."""
    if high - low < 1e-9:
        low, high = low - 0.05 * abs(low or 1), high + 0.05 * abs(high or 1)
    raw = (high - low) / 4
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(number * step, 12) for number in range(first, last + 1)]
    return [tick for tick in ticks if limit is None or 0 <= tick <= limit] or ticks


def _log_ticks(numbers: Sequence[float]) -> list[float]:
    low, high = math.floor(math.log10(min(numbers))), math.ceil(math.log10(max(numbers)))
    high = max(high, low + 1)
    return [10.0**power for power in range(low, high + 1, max(1, math.ceil((high - low) / 4)))]
