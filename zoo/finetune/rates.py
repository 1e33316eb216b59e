"""Finding a learning rate: a step at each of many, from tiny to absurd (Smith, 1506.01186; fastai's `lr_find`)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import UsageError
from zoo.finetune.scratch import Scratch
from zoo.finetune.wishes import Wishes
from zoo.given import split

LOWEST, HIGHEST = 1e-7, 10.0
TOO_MUCH = 4.0
"""The search ends where the smoothed loss is this many times the lowest."""
SMOOTH = 0.9


@dataclass(frozen=True)
class Rates:
    """What the search saw.

    Args:
        rates: learning rates tried, rising.
        losses: smoothed loss after each step.
        steepest: rate at which the loss fell fastest.
        tenth: a tenth of the rate at which it was lowest.
        chosen: what the plan would take without a search.
        path: where the curve was drawn, or None.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    steepest: float
    tenth: float
    chosen: float
    path: str | None

    def as_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return {**self.__dict__, "rates": list(self.rates), "losses": list(self.losses)}

    def __str__(self) -> str:
        lines = [
            f"{len(self.rates)} steps, from {self.rates[0]:.0e} to {self.rates[-1]:.1e}",
            f"steepest          {self.steepest:.1e}",
            f"lowest loss / 10  {self.tenth:.1e}",
            f"the plan's own    {self.chosen:.1e}",
            f"take the lower of the first two: --learning-rate {min(self.steepest, self.tenth):.1e}",
        ]
        return "\n".join([*lines, *([f"drawn: {self.path}"] if self.path else [])])


def lr_find(
    model: Any,
    data: Any,
    *,
    output: str | os.PathLike[str] | None = None,
    steps: int = 100,
    labels: Any = None,
    offline: bool | None = None,
    progress: bool = True,
    **options: Any,
) -> Rates:
    """Tries learning rates for the last phase that `finetune` would run with the same arguments.

    Args:
        model: see `finetune`.
        data: see `finetune`.
        output: an SVG file to draw the curve in.
        steps: from the lowest to the highest rate.
        labels: see `finetune`.
        offline: see `finetune`.
        progress: show bars on a terminal.
        options: see `finetune`.

    Raises:
        UsageError: the strategy has no rate; an argument is impossible.
        DataError: the data cannot be trained on.
    """
    from zoo.finetune.run import work_of

    given, options = split(options)
    wishes = Wishes.of(options)
    if steps < 10:
        raise UsageError(f"steps={steps}: expected at least 10")
    with Scratch() as scratch:
        work = work_of(model, data, wishes, scratch, labels=labels, offline=offline, progress=progress, given=given)
        plan = work.make_plan()
        if plan.strategy == "linear":
            raise UsageError(
                "lr_find: a linear classifier is solved and has no rate; ask for --strategy head or blocks"
            )
        task = work.task(plan)
        rates, losses = _search(task, steps)
    steepest, tenth = suggest(rates, losses)
    found = Rates(
        tuple(rates), tuple(losses), steepest, tenth, plan.learning_rate or 0.0, None if output is None else str(output)
    )
    if output is not None:
        _draw(found, Path(output))
    return found


def suggest(rates: list[float], losses: list[float]) -> tuple[float, float]:
    """Returns (rate at which the loss falls fastest per decade, a tenth of the rate at which it is lowest)."""
    slopes = np.gradient(np.array(losses), np.log10(rates))
    lowest = int(np.argmin(losses))
    first = len(rates) // 10  # the first steps tell the noise of the batches
    steepest = first + int(np.argmin(slopes[first : max(first + 1, lowest)]))
    return rates[steepest], rates[lowest] / 10


def _search(task: Any, steps: int) -> tuple[list[float], list[float]]:
    from zoo.finetune.strategies import compiled

    model, batches, made = compiled(task)
    factor = (HIGHEST / LOWEST) ** (1 / (steps - 1))
    rates: list[float] = []
    losses: list[float] = []
    rate, mean, best = LOWEST, 0.0, float("inf")
    for step in range(steps):
        epoch, number = divmod(step, len(batches))
        if number == 0:
            batches.start(epoch)
        made.learning_rate = rate
        loss = float(model.train_on_batch(*batches[number], return_dict=True)["loss"])
        mean = SMOOTH * mean + (1 - SMOOTH) * loss
        smoothed = mean / (1 - SMOOTH ** (step + 1))
        if not smoothed < TOO_MUCH * best:
            break
        best = min(best, smoothed)
        rates.append(rate)
        losses.append(smoothed)
        rate *= factor
    return rates, losses


def _draw(found: Rates, path: Path) -> None:
    from zoo import cache

    if path.suffix.lower() != ".svg":
        raise UsageError(f"{path}: the curve is drawn as SVG; name a file that ends in .svg")
    with cache.atomic_file(path) as temporary:
        temporary.write_text(curve(found), encoding="utf-8")


def curve(found: Rates) -> str:
    """Returns the loss over the learning rate as an SVG picture."""
    from zoo.finetune.report.svg import tag

    width, height, left, bottom = 640, 400, 60, 50
    low, high = np.log10(found.rates[0]), np.log10(found.rates[-1])
    ceiling = min(max(found.losses), 2.5 * found.losses[0])
    floor = min(found.losses)

    def across(rate: float) -> float:
        return float(left + (width - left - 20) * (np.log10(rate) - low) / (high - low))

    def up(loss: float) -> float:
        return float(height - bottom - (height - bottom - 30) * (min(loss, ceiling) - floor) / (ceiling - floor or 1))

    text = {"font_family": "sans-serif", "font_size": 13, "fill": "#444"}
    parts = [tag("rect", width=width, height=height, fill="white")]
    for power in range(int(np.ceil(low)), int(high) + 1):
        x = across(10.0**power)
        parts.append(tag("line", x1=x, x2=x, y1=20, y2=height - bottom, stroke="#ddd"))
        parts.append(tag("text", f"{10.0**power:g}", x=x, y=height - bottom + 20, text_anchor="middle", **text))
    for loss in (floor, (floor + ceiling) / 2, ceiling):
        parts.append(tag("text", f"{loss:.2f}", x=left - 8, y=up(loss) + 4, text_anchor="end", **text))
    points = " ".join(
        f"{across(rate):.1f},{up(loss):.1f}" for rate, loss in zip(found.rates, found.losses, strict=True)
    )
    parts.append(tag("polyline", points=points, fill="none", stroke="#1f6feb", stroke_width=2))
    for name, rate, colour in (("steepest", found.steepest, "#2da44e"), ("lowest / 10", found.tenth, "#bf8700")):
        parts.append(tag("line", x1=across(rate), x2=across(rate), y1=20, y2=height - bottom, stroke=colour))
        parts.append(tag("text", f"{name} {rate:.1e}", x=across(rate) + 4, y=32 if colour == "#2da44e" else 50, **text))
    parts.append(tag("text", "learning rate", x=width / 2, y=height - 8, text_anchor="middle", **text))
    parts.append(tag("text", "loss", x=8, y=18, **text))
    return str(tag("svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height}"))
