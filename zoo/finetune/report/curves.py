"""Line charts over epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from zoo.finetune.report.svg import clip, svg, tag, ticks

_Number = float | int | None
WIDTH, HEIGHT = 340, 216
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 24, 34
DECADES = 4


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
        logarithmic: values above 0 on a logarithmic axis of four decades at most.
    """
    usable = [[_usable(value, logarithmic) for value in line.values] for line in series]
    numbers = [value for values in usable for value in values if value is not None]
    if not numbers:
        return None
    marks = _log_ticks(numbers) if logarithmic else ticks(min(numbers), max(numbers), limit=1.0 if share else None)
    # A schedule that ends near 0 would take a logarithmic axis for its last step alone: it leaves the axis there.
    floor, ceiling = marks[0] if logarithmic else min(*marks, *numbers), max(*marks, *numbers)
    bend = math.log10 if logarithmic else float
    span = (bend(ceiling) - bend(floor)) or 1.0

    def across(position: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (position + 0.5) / len(x)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (bend(max(value, floor)) - bend(floor)) / span

    parts = [*_bands(phases, across), *_epochs(phases, x, across)]
    for tick in marks:
        text = f"{tick * 100:g} %" if share else f"{tick:g}"
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=up(tick), y2=up(tick), class_="grid"))
        parts.append(tag("text", text, x=LEFT - 6, y=up(tick) + 4, class_="tick", text_anchor="end"))
    for line, values in zip(series, usable, strict=True):
        for phase in phases:
            points = [(across(i), up(v)) for i in range(phase.start, phase.stop) if (v := values[i]) is not None]
            parts.append(_path(points, line.kind))
        for phase in phases:
            if phase.best is not None and line.kind == "second" and (value := values[phase.best]) is not None:
                parts.append(tag("circle", tag("title", f"kept: epoch {x[phase.best]}, {value:.4g}"),
                                 cx=across(phase.best), cy=up(value), r=4, class_="best"))  # fmt: skip
    last = ", ".join(
        f"{line.name} ends at {told[-1]:.3g}"
        for line, values in zip(series, usable, strict=True)
        if (told := [value for value in values if value is not None])
    )
    return svg(WIDTH, HEIGHT, f"{title} by epoch: {last}", *parts)


def _bands(phases: Sequence[Phase], across: Callable[[float], float]) -> list[Markup]:
    parts = []
    for number, phase in enumerate(phases):
        begin, end = across(phase.start - 0.5), across(phase.stop - 0.5)
        parts.append(tag("rect", x=begin, y=TOP, width=end - begin, height=HEIGHT - TOP - BOTTOM,
                         class_="band even" if number % 2 else "band"))  # fmt: skip
        if len(phases) > 1:
            name = clip(phase.name, max(4, int((end - begin) / 6)))
            parts.append(tag("text", name, x=(begin + end) / 2, y=TOP - 8, class_="note", text_anchor="middle"))
    return parts


def _epochs(phases: Sequence[Phase], x: Sequence[int], across: Callable[[float], float]) -> list[Markup]:
    """Numbers of epochs, each phase from its own beginning, none so near the next phase's that they touch."""
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, len(x)) if len(x) <= 8 * step or step == len(x))
    parts = [tag("text", "epoch", x=WIDTH - RIGHT, y=HEIGHT - 4, class_="note", text_anchor="end")]
    for phase in phases:
        end = across(phase.stop) if phase.stop < len(x) else math.inf
        parts += [
            tag("text", str(x[place]), x=across(place), y=HEIGHT - BOTTOM + 15, class_="tick", text_anchor="middle")
            for place in range(phase.start, phase.stop)
            if x[place] % every == 0 and (place == phase.start or end - across(place) > 20)
        ]
    return parts


def _path(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    if len(points) == 1:
        return tag("circle", cx=points[0][0], cy=points[0][1], r=2.5, class_=f"dot {kind}")
    drawn = "".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(points))
    return tag("path", d=drawn, class_=f"curve {kind}")


def _usable(value: _Number, logarithmic: bool) -> float | None:
    if value is None or not math.isfinite(value) or (logarithmic and value <= 0):
        return None
    return float(value)


def _log_ticks(numbers: Sequence[float]) -> list[float]:
    """One tick a decade, from the lowest number or four decades below the highest, where the axis ends."""
    high = math.ceil(math.log10(max(numbers)) - 1e-9)
    low = max(high - DECADES, min(high - 1, math.floor(math.log10(min(numbers)) + 1e-9)))
    return [10.0**power for power in range(low, high + 1)]
