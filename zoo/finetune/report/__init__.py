"""report.html: a finished run on one page that needs nothing else, and predictions.csv beside it."""

from __future__ import annotations

import base64
import csv
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from zoo.finetune.record import Record

COLUMNS = (
    "path",
    "class",
    "part",
    "predicted",
    "probability",
    "probability_of_class",
    "correct",
    "second",
    "second_probability",
)


def write(record: Record, folder: Path) -> None:
    """Writes report.html and predictions.csv of a run into its folder.

    Args:
        record: the finished run.
        folder: where; it has to exist.

    Raises:
        ZooError: there is no room, or no right to write.
    """
    from zoo import cache

    with cache.atomic_file(folder / "predictions.csv") as path, open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(predictions(record))
    with cache.atomic_file(folder / "report.html") as path:
        path.write_text(html(record, made=time.strftime("%Y-%m-%d")), encoding="utf-8")


def predictions(record: Record) -> list[dict[str, Any]]:
    """Returns one row per measured image: what it is, what was answered, and how sure."""
    rows = []
    for position, probabilities in zip(record.measured, record.probabilities, strict=True):
        label = int(record.labels[position])
        first, second = (int(place) for place in np.argsort(-probabilities, kind="stable")[:2])
        rows.append(
            {
                "path": record.items[position],
                "class": record.classes[label],
                "part": str(record.parts[position]),
                "predicted": record.classes[first],
                "probability": f"{probabilities[first]:.6f}",
                "probability_of_class": f"{probabilities[label]:.6f}",
                "correct": first == label,
                "second": record.classes[second],
                "second_probability": f"{probabilities[second]:.6f}",
            }
        )
    return rows


def html(record: Record, *, made: str = "") -> str:
    """Returns the page as text.

    Args:
        record: the finished run.
        made: the date to put on it.
    """
    import jinja2
    from markupsafe import Markup

    from zoo.finetune.metrics import measure
    from zoo.finetune.report import course, quality, words

    measured = measure(record.probabilities, record.labels[record.measured], record.classes)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("zoo.finetune.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=words.percent, number=words.number, count=words.count)
    here = Path(__file__).parent / "page"
    script = (here / "script.js").read_text("utf-8")
    return environment.get_template("report.html").render(
        style=Markup((here / "style.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        made=made,
        model=record.metrics.get("model") or record.model.name,
        plan=record.plan.as_json(),
        command=record.command,
        headline=quality.headline(record, measured),
        data=_with_pictures(record, course.data(record)),
        notes=course.notes(record),
        settings=course.plan(record),
        training=course.training(record),
        confusion=quality.confusion(record, measured),
        per_class=quality.per_class(record, measured),
        honesty=quality.honesty(record, measured),
        mistakes=quality.mistakes(record),
        crossed=quality.cross_validation(record),
        kept=course.kept_classes(record),
        cost=course.cost(record),
    )


def _with_pictures(record: Record, data: dict[str, Any]) -> dict[str, Any]:
    """Puts the pictures that each class's row names beside their names."""
    from zoo.finetune.report.pictures import SMALL, thumbnail

    for row in data["rows"]:
        places = np.array(row["positions"], np.int64)
        pixels = list(record.images(places)) if len(places) else []
        row["pictures"] = [
            (thumbnail(image, SMALL), record.items[place]) for image, place in zip(pixels, places, strict=True)
        ]
    return data
