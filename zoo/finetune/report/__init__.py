"""report.html: a finished run on one page that needs nothing else, and predictions.csv beside it."""

from __future__ import annotations

import base64
import csv
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import UsageError
from zoo.finetune.record import Record

MISTAKES = 12
"""Pictures of mistakes shown."""
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
    from zoo.finetune.report import sections, words

    measured = measure(record.probabilities, record.labels[record.measured], record.classes)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("zoo.finetune.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=words.percent, number=words.number, count=words.count, clip=lambda text, size: _clip(text, size)
    )
    here = Path(__file__).parent / "page"
    script = (here / "script.js").read_text("utf-8")
    return environment.get_template("report.html").render(
        style=Markup((here / "style.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        made=made,
        plan=record.plan.as_json(),
        command=record.command,
        headline=sections.headline(record, measured),
        data=_with_pictures(record, sections.data(record)),
        notes=sections.notes(record),
        settings=sections.plan(record),
        training=sections.training(record),
        confusion=sections.confusion(record, measured),
        per_class=sections.per_class(record, measured),
        honesty=sections.honesty(record, measured),
        mistakes=_mistakes(record),
        crossed=sections.cross_validation(record),
        kept=sections.kept_classes(record),
        cost=sections.cost(record),
    )


def _clip(text: str, size: int) -> str:
    from zoo.finetune.report.charts import clip

    return clip(text, size)


def _with_pictures(record: Record, data: dict[str, Any]) -> dict[str, Any]:
    """Puts the pictures that each class's row names beside their names."""
    from zoo.finetune.report.pictures import SMALL, thumbnail

    for row in data["rows"]:
        pixels = record.images(np.array(row["positions"], np.int64)) if row["positions"] else []
        row["pictures"] = [
            (thumbnail(image, SMALL), record.items[place])
            for image, place in zip(pixels, row["positions"], strict=True)
        ]
    return data


def _mistakes(record: Record) -> dict[str, Any]:
    """The mistakes that the model was surest of, with where it looked; where there are none, the closest calls."""
    from zoo.finetune.report.pictures import overlay, thumbnail

    labels = record.labels[record.measured]
    answers, sure = record.probabilities.argmax(axis=1), record.probabilities.max(axis=1)
    wrong = np.flatnonzero(answers != labels)
    order = wrong[np.argsort(-sure[wrong], kind="stable")] if len(wrong) else np.argsort(sure, kind="stable")
    order = order[:MISTAKES]
    rival = np.argsort(-record.probabilities, axis=1, kind="stable")[:, 1]
    others = labels if len(wrong) else rival
    pixels = record.images(record.measured[order])
    heats, why_not = _heats(record, pixels, answers[order], others[order])
    entries = []
    for number, row in enumerate(order):
        other = int(others[row])
        entries.append(
            {
                "path": record.items[record.measured[row]],
                "true": record.classes[labels[row]],
                "answered": record.classes[answers[row]],
                "other": record.classes[other],
                "probability": float(sure[row]),
                "other_probability": float(record.probabilities[row, other]),
                "picture": thumbnail(pixels[number]),
                "maps": [overlay(pixels[number], heat[number]) for heat in heats],
            }
        )
    out_of_fold = bool((record.parts[record.measured] == "training").any())
    return {"entries": entries, "wrong": len(wrong), "why_not": why_not, "out_of_fold": out_of_fold}


def _heats(record: Record, pixels: np.ndarray, *labels: np.ndarray) -> tuple[list[np.ndarray], str]:
    """Grad-CAM for each list of classes; none, and why, where the network has no feature map."""
    from zoo.finetune.gradcam import gradcam

    try:
        return [gradcam(record.model, pixels, some) for some in labels], ""
    except UsageError as error:
        return [], str(error)
