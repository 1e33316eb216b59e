"""Accuracy against the number of parameters, as a picture. Takes rows of `zoo.index`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import cache
from zoo.errors import UsageError
from zoo.index import ORIGINS, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

FORMATS = (".png", ".svg", ".pdf")
_COLOURS = {"caffe": "#d55e00", "keras": "#cc79a7", "tensorflow": "#e69f00", "torch": "#0072b2", "mxnet": "#009e73"}
"""Of Okabe and Ito's palette, which the colour-blind can tell apart."""


def plotted(rows: Iterable[Row]) -> tuple[list[Row], int]:
    """Returns the models whose ImageNet accuracy and number of parameters are known, and how many others there are."""
    every = list(rows)
    kept = [row for row in every if row["task"] == "imagenet" and "unknown" not in (row["top1"], row["parameters"])]
    return kept, len(every) - len(kept)


def front(rows: Iterable[Row]) -> list[Row]:
    """Returns the models that no other beats: every model with as few parameters is less accurate."""
    best, found = -1.0, []
    for row in sorted(rows, key=lambda row: (row["parameters"], -row["top1"])):
        if row["top1"] > best:
            best = row["top1"]
            found.append(row)
    return found


def save(rows: Iterable[Row], output: Path) -> tuple[int, int]:
    """Draws a picture of models.

    Args:
        rows: models.
        output: a .png, .svg or .pdf file.

    Returns:
        How many models are on it, and how many are not, because a fact of theirs is unknown or of another data set.

    Raises:
        UsageError: the file has another suffix, no model can be drawn, or matplotlib is not installed.
    """
    if output.suffix.lower() not in FORMATS:
        raise UsageError(f"{output}: the file's name has to end in {', '.join(FORMATS)}")
    kept, left_out = plotted(rows)
    if not kept:
        raise UsageError(f"none of the {left_out} models has a published ImageNet accuracy and a number of parameters")
    try:
        import matplotlib
    except ImportError:
        raise UsageError("zoo plot needs matplotlib: pip install 'convnet-zoo[plot]'") from None
    from matplotlib.figure import Figure

    # Fixed, so that the same registry gives the same file.
    with matplotlib.rc_context({"svg.hashsalt": "zoo", "font.size": 9}):
        figure = Figure(figsize=(11, 7), layout="constrained")
        _thin(figure, _draw(figure.add_subplot(), kept))
        metadata: dict[str, Any] = {"Date": None} if output.suffix.lower() == ".svg" else {}
        with cache.atomic_file(output) as temporary:
            figure.savefig(temporary, dpi=150, metadata=metadata)
    return len(kept), left_out


def _draw(axes: Axes, rows: list[Row]) -> list[Annotation]:
    """Draws the models; returns the names of those on the front, the most accurate first."""
    for origin in ORIGINS:
        mine = [row for row in rows if row["origin"] == origin]
        if mine:
            sizes, scores = zip(*((row["parameters"] / 1e6, 100 * row["top1"]) for row in mine), strict=True)
            axes.scatter(sizes, scores, s=14, alpha=0.7, linewidths=0, color=_COLOURS[origin], label=origin)
    best = front(rows)
    axes.plot(
        [row["parameters"] / 1e6 for row in best],
        [100 * row["top1"] for row in best],
        lw=0.8,
        color="#888888",
        zorder=0,
    )
    labels = [
        axes.annotate(
            row["name"],
            (row["parameters"] / 1e6, 100 * row["top1"]),
            xytext=(-3, 3),
            textcoords="offset points",
            fontsize=6.5,
            ha="right",
            va="bottom",
        )
        for row in reversed(best)
    ]
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("trained parameters, millions")
    axes.set_ylabel("published top-1 accuracy on ILSVRC2012, %")
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    axes.legend(frameon=False, loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    left, right = axes.get_xlim()
    axes.set_xlim(left / 3, right)  # room for the names, which stand to the left of their points
    return labels


def _thin(figure: Figure, labels: list[Annotation]) -> None:
    """Hides names that would stand on one of a more accurate model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown: list[Any] = []
    for label in labels:
        box = label.get_window_extent(canvas.get_renderer())
        if any(box.overlaps(other) for other in shown):
            label.set_visible(False)
        else:
            shown.append(box)
