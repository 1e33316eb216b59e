"""Charts as inline SVG: numbers in, markup out; colours are classes of style.css, so dark mode and print follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from zoo.finetune.metrics import Bin, wilson
from zoo.finetune.report.svg import clip, svg, tag, ticks


def interval(value: float, low: float, high: float, other: float | None = None) -> Markup:
    """Returns a share as a point with its interval on a line from 0 to 1, and another one as a tick beside it."""
    width, height, middle = 320, 26, 9

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
    parts, at = [tag("rect", x=0, y=0, width=width, height=height, class_="trough")], 0.0
    for value, kind in values:
        piece = width * value / total if total else 0.0
        parts.append(
            tag("rect", x=at, y=0, width=max(piece, 1.0 if value else 0.0), height=height, class_=f"fill {kind}")
        )
        at += piece
    return svg(width, height, label, *parts, stretched=True)


def ranked(counts: Sequence[int], label: str) -> Markup:
    """Returns the numbers of images of very many classes, largest first, as an area."""
    ordered, width, height, left = sorted(counts, reverse=True), 400, 90, 40
    base, top = height - 6, max(ordered[0], 1)
    step = (width - left) / len(ordered)
    heights = [base - (base - 6) * count / top for count in ordered]
    drawn = "".join(
        f"L{left + step * place:.1f} {y:.1f}L{left + step * (place + 1):.1f} {y:.1f}" for place, y in enumerate(heights)
    )
    return svg(
        width,
        height,
        label,
        tag("path", d=f"M{left} {base}{drawn}L{width} {base}Z", class_="fill first"),
        tag("text", str(top), x=left - 6, y=heights[0] + 9, class_="tick", text_anchor="end"),
        tag("text", "0", x=left - 6, y=base + 3, class_="tick", text_anchor="end"),
    )


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str], label: str) -> Markup:
    """Returns a heat map: each row a true class, each column an answer, shaded by the row's share."""
    count = len(names)
    cell = 46 if count <= 6 else 34 if count <= 12 else 22
    longest = max(len(clip(name, 22)) for name in names)
    left, top = max(84, 14 + 6.6 * longest), max(40, 18 + 4.6 * longest)
    parts = [
        tag("text", "answered →", x=left - 8, y=top - 22, class_="note", text_anchor="end"),
        tag("text", "true ↓", x=left - 8, y=top - 7, class_="note", text_anchor="end"),
    ]
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
    return svg(left + cell * count + max(20, top - 40), top + cell * count + 4, label, *parts, fixed=True)


def reliability(bins: Sequence[Bin], label: str) -> Markup:
    """Returns a reliability diagram: how often answers are right, by how sure they were; below, how many there are."""
    width, side, base = 360, 230, 12
    left, right = 44, width - 18
    reach = right - left
    most = max((entry.images for entry in bins), default=0) or 1

    def across(share: float) -> float:
        return left + reach * share

    def up(share: float) -> float:
        return base + side * (1 - share)

    parts = [
        tag("defs", tag("pattern", tag("path", d="M0 0V6", class_="hatch"), id="hatch", width=5, height=6,
                        patternUnits="userSpaceOnUse", patternTransform="rotate(45)"))
    ]  # fmt: skip
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(tag("line", x1=left, x2=right, y1=up(tick), y2=up(tick), class_="grid"))
        parts.append(tag("text", f"{tick * 100:g} %", x=left - 6, y=up(tick) + 4, class_="tick", text_anchor="end"))
    bottom = base + side + 58
    for entry in bins:
        x, thick = across(entry.lower) + 1, reach * (entry.upper - entry.lower) - 2
        if entry.accuracy is None:
            continue
        told = f"{entry.images} answers at {entry.confidence:.1%} on average: {entry.accuracy:.1%} right"
        high, low = max(entry.accuracy, entry.confidence), min(entry.accuracy, entry.confidence)
        tall = 40 * entry.images / most
        least, greatest = wilson(round(entry.accuracy * entry.images), entry.images)
        middle = x + thick / 2
        parts.append(
            tag(
                "g",
                tag("title", told),
                tag("rect", x=x, y=up(entry.accuracy), width=thick, height=side * entry.accuracy, class_="fill first"),
                tag("rect", x=x, y=up(high), width=thick, height=side * (high - low), class_="gap", fill="url(#hatch)"),
                tag("line", x1=middle, x2=middle, y1=up(least), y2=up(greatest), class_="doubt"),
                tag("rect", x=x, y=bottom - max(tall, 1.5), width=thick, height=max(tall, 1.5), class_="fill quiet"),
            )
        )
    parts.append(tag("line", x1=across(0), y1=up(0), x2=across(1), y2=up(1), class_="diagonal"))
    parts.append(tag("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="grid"))
    parts.append(tag("text", str(most), x=left - 6, y=bottom - 32, class_="tick", text_anchor="end"))
    for tick in (0.0, 0.5, 1.0):
        text = f"{tick * 100:g} %"
        parts.append(tag("text", text, x=across(tick), y=bottom + 15, class_="tick", text_anchor="middle"))
    parts.append(tag("text", "probability of the answer", x=(left + right) / 2, y=bottom + 30, class_="note",
                     text_anchor="middle"))  # fmt: skip
    return svg(width, bottom + 36, label, *parts)


def spread(rows: Iterable[tuple[str, float, float]], label: str, width: int = 640) -> Markup:
    """Returns shares as points with their standard deviations, one row each: (name, mean, deviation)."""
    rows = list(rows)
    longest = max(len(clip(name, 48)) for name, _, _ in rows)
    left, step = 16 + 6.6 * longest, 22
    low = max(0.0, min(mean - deviation for _, mean, deviation in rows) - 0.02)
    high = min(1.0, max(mean + deviation for _, mean, deviation in rows) + 0.02)
    marks = ticks(low, high, limit=1.0)
    low, high = min(low, marks[0]), max(high, marks[-1])
    best = max(mean for _, mean, _ in rows)

    def across(share: float) -> float:
        return left + (width - left - 20) * (share - low) / ((high - low) or 1)

    bottom = 8 + step * len(rows)
    parts: list[Markup] = []
    for tick in marks:
        parts.append(tag("line", x1=across(tick), x2=across(tick), y1=4, y2=bottom, class_="grid"))
        text = f"{tick * 100:g} %"
        parts.append(tag("text", text, x=across(tick), y=bottom + 15, class_="tick", text_anchor="middle"))
    for number, (name, mean, deviation) in enumerate(rows):
        y = 8 + step * (number + 0.5)
        begin, end = across(max(low, mean - deviation)), across(min(high, mean + deviation))
        parts.append(
            tag("text", tag("title", name), clip(name, 48), x=left - 10, y=y + 4, class_="axis", text_anchor="end")
        )
        parts.append(tag("line", x1=begin, x2=end, y1=y, y2=y, class_="whisker"))
        kind = "dot first" if mean == best else "dot quiet"
        told = f"{name}: {mean:.1%} ± {deviation:.1%}"
        parts.append(tag("circle", tag("title", told), cx=across(mean), cy=y, r=4.5, class_=kind))
    return svg(width, bottom + 22, label, *parts, fixed=True)
