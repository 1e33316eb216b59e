"""What an evaluation found: shares of right answers with their intervals, beside what was published."""

from __future__ import annotations

import csv
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Share:
    """A share of images, with Wilson's 95 % interval for the share among all images of the kind."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Published:
    """What a card says of the model's accuracy, for comparison.

    Args:
        dataset: what it was measured on.
        protocol: how.
        source: who says so.
        top1: share; None if not stated.
        top5: share; None if not stated.
        top1_inside: whether it lies in the interval measured here; None if not stated.
        top5_inside: likewise; None also where another number of answers was counted here.
        same_classes: whether the images here are of all the classes that the published share is of.
    """

    dataset: str
    protocol: str
    source: str
    top1: float | None
    top5: float | None
    top1_inside: bool | None
    top5_inside: bool | None
    same_classes: bool


@dataclass(frozen=True)
class Row:
    """One image: `rank` answers had a higher score than its class, so 0 is right."""

    path: str
    label: str
    answer: str
    score: float
    label_score: float
    rank: int


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. `str()` is a table for people, `as_json()` the same for programs.

    Args:
        model: its name.
        data: what it was measured on.
        images: how many.
        classes: how many classes have images here.
        outputs: how many the model knows.
        matched_by: how folders were told: some of `id`, `name`, `index`, `order`.
        top1: share of images whose first answer is right.
        top: how many answers `top_k` counts.
        top_k: share whose class is among the first `top` answers; None if there are no more outputs than that.
        balanced: mean over classes of the share that is right.
        per_class: class -> images and share that is right.
        published: what the card says, where the images are of the same kind.
        images_per_second: reading and network together, the first compilation left out.
        unknown: folders that fit no class and were left out.
        missing: classes of the model without images here.
        skipped: files that could not be read: path and reason.
        notes: what a person should know, one sentence each.
        rows: one per image.
    """

    model: str
    data: str
    images: int
    classes: int
    outputs: int
    matched_by: tuple[str, ...]
    top1: Share
    top: int
    top_k: Share | None
    balanced: float
    per_class: dict[str, dict[str, float]]
    published: tuple[Published, ...]
    images_per_second: float
    unknown: tuple[str, ...]
    missing: tuple[str, ...]
    skipped: tuple[dict[str, str], ...]
    notes: tuple[str, ...]
    rows: tuple[Row, ...] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Returns everything but the rows as plain lists, dictionaries, strings and numbers."""
        facts = {key: value for key, value in vars(self).items() if key != "rows"}
        for key in ("matched_by", "unknown", "missing", "skipped", "notes"):
            facts[key] = list(facts[key])
        facts["top1"] = asdict(self.top1)
        facts["top_k"] = None if self.top_k is None else asdict(self.top_k)
        facts["published"] = [asdict(figure) for figure in self.published]
        return facts

    def __str__(self) -> str:
        from zoo.finetune.data.notes import skipped_lines

        classes = f"{self.classes} of its {self.outputs} classes (told by {' and '.join(self.matched_by)})"
        speed = f"{self.images_per_second:.3g} images/s"
        lines = [
            f"{self.model} on {self.data}: {self.images} images of {classes}, {speed}",
            f"  {'top-1':<18}{_told(self.top1)}",
        ]
        if self.top_k is not None:
            lines.append(f"  {f'top-{self.top}':<18}{_told(self.top_k)}")
        lines.append(f"  {'balanced':<18}{self.balanced:6.1%}  (mean over classes)")
        lines += [_compared(figure) for figure in self.published]
        lines += [f"  note: {note}" for note in self.notes]
        lines += skipped_lines(self.skipped)
        return "\n".join(lines)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes one line per image as CSV: path, label, answer, score, label_score, rank; the file appears whole."""
        from zoo import cache

        target = Path(path)
        with cache.atomic_file(target) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(Row.__dataclass_fields__))
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.rows)
        return target


def share(right: int, images: int) -> Share:
    """Returns the share `right / images` with its interval; `images` is at least one."""
    from zoo.finetune.metrics import wilson

    return Share(right / images, *wilson(right, images))


def _told(share: Share) -> str:
    return f"{share.value:6.1%}  (95 %: {share.low:.1%} to {share.high:.1%})"


def _compared(figure: Published) -> str:
    shares = []
    for name, share, inside in (("top-1", figure.top1, figure.top1_inside), ("top-5", figure.top5, figure.top5_inside)):
        if share is not None:
            verdict = {True: " (in the interval)", False: " (outside the interval)", None: ""}[inside]
            shares.append(f"{name} {share:.1%}{verdict}")
    also = "" if figure.same_classes else "; of all its classes, here are fewer"
    return f"  {'published':<18}{', '.join(shares)}: {figure.dataset}; {figure.protocol}{also}"
