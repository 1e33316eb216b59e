"""What the report says of a run's course: data, notes, plan, training, cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.finetune.record import Record
from zoo.finetune.report import charts, curves, words

CLASSES_SHOWN = 30
"""Classes with pictures; of more, the ones with most and with fewest images."""
EXAMPLES = 5
"""Pictures of each."""
FILES = 50
"""Skipped files and notes listed."""
_TOLD_ELSEWHERE = frozenset({"model", "data", "classes", "skipped", "reasons", "notes"})
"""Values of the plan that have a place of their own in the page."""


def counted(record: Record, rows: np.ndarray) -> np.ndarray:
    """Returns how many of some images (a mask) each class has."""
    return np.bincount(record.labels[rows], minlength=len(record.classes))


def data(record: Record) -> dict[str, Any]:
    """How many images of each class, and which positions to show of it."""
    names = ("training", "validation", "test")
    counts = {name: counted(record, record.parts == name) for name in names}
    totals = np.bincount(record.labels, minlength=len(record.classes))
    order = np.argsort(-totals, kind="stable")
    order = order[totals[order] > 0]
    half = CLASSES_SHOWN // 2
    shown = order if len(order) <= CLASSES_SHOWN else np.concatenate([order[:half], order[-half:]])
    present = [name for name in names if counts[name].any()]
    kinds = {"training": "first", "validation": "second", "test": "third"}
    rows = []
    for label in shown:
        pieces = [(float(counts[name][label]), kinds[name]) for name in present]
        told = ", ".join(f"{counts[name][label]} {name}" for name in present)
        members = np.flatnonzero(record.labels == label)
        chosen = (
            members[np.unique(np.linspace(0, len(members) - 1, EXAMPLES).round().astype(int))]
            if len(members)
            else members
        )
        rows.append(
            {
                "name": record.classes[label],
                "counts": [int(counts[name][label]) for name in present],
                "bar": charts.bar(pieces, float(totals.max()), f"{record.classes[label]}: {told}"),
                "positions": [int(position) for position in chosen],
            }
        )
    smallest, largest = int(totals[order].min()), int(totals.max())
    return {
        "parts": [(name, int(counts[name].sum()), kinds[name]) for name in present],
        "images": len(record.items),
        "classes": len(record.classes),
        "empty": len(record.classes) - len(order),
        "rows": rows,
        "left_out": len(order) - len(shown),
        "balance": _balance(smallest, largest),
        "chart": charts.ranked(totals[order].tolist(), f"Images per class, from {largest} down to {smallest}")
        if len(order) > len(shown)
        else None,
    }


def _balance(smallest: int, largest: int) -> str:
    if smallest == largest:
        return f"Every class has {words.count(largest, 'image')}."
    ratio = largest / smallest
    judgement = "balanced" if ratio < 1.5 else "somewhat unbalanced" if ratio < 4 else "unbalanced"
    return (
        f"Between {smallest:,} and {words.count(largest, 'image')} a class: {judgement}"
        + (f", the largest {ratio:.0f} times the smallest." if ratio >= 1.5 else ".")
    )  # fmt: skip


def notes(record: Record) -> dict[str, Any]:
    """What was skipped, and what else the run had to say."""
    skipped = [words.sentence(entry) for entry in record.metrics.get("skipped") or []]
    said = [words.sentence(entry) for entry in record.metrics.get("notes") or []]
    return {
        "skipped": skipped[:FILES],
        "skipped_more": max(0, len(skipped) - FILES),
        "said": said[:FILES],
        "said_more": max(0, len(said) - FILES),
    }


def plan(record: Record) -> dict[str, Any]:
    """The plan in its order: (setting, value, reason) of what was decided, (setting, value) of the rest."""
    values, reasons = record.plan.as_json(), record.plan.reasons
    rows = []
    for key, value in values.items():
        reason, text = reasons.get(key, ""), words.say(value)
        if key in _TOLD_ELSEWHERE or not (text or reason):
            continue
        if key == "seconds" and value is not None:
            key, text = "expected_time", words.duration(value)
        if value or reason or key == "seed":  # what is off says nothing
            rows.append((words.label(key), text or "none", reason))
    return {
        "decided": [row for row in rows if row[2]],
        "rest": [(name, text) for name, text, reason in rows if not reason],
    }


def training(record: Record) -> dict[str, Any]:
    """Curves by epoch; or, where the classifier was solved, what was compared."""
    chosen = dict(record.metrics.get("chosen") or {})
    searched = record.metrics.get("cross_validation") or chosen.get("cross_validation") or {}
    chosen.pop("cross_validation", None)
    if isinstance(seen := chosen.get("views_compared"), dict):
        chosen["views_compared"] = [f"{views}: {words.percent(share)}" for views, share in seen.items()]
    compared = searched.get("compared") or []
    settings = words.rows(chosen)
    if not record.history:
        return {"charts": [], "chosen": settings, "compared": _compared(compared)}
    phases = _phases(record.history)
    x = [int(row["epoch"]) for row in record.history]

    def series(*names: tuple[str, str, str]) -> list[curves.Line]:
        return [curves.Line(name, [row.get(key) for row in record.history], kind) for name, key, kind in names]

    loss = series(("training", "loss", "first"), ("held out", "val_loss", "second"))
    accuracy = series(("training", "accuracy", "first"), ("held out", "val_accuracy", "second"))
    drawn = [
        ("Loss", curves.lines("Loss", loss, x, phases)),
        ("Accuracy", curves.lines("Accuracy", accuracy, x, phases, share=True)),
        (
            "Learning rate",
            curves.lines("Learning rate", series(("rate", "rate", "first")), x, phases, logarithmic=True),
        ),
    ]
    return {
        "charts": [(name, chart) for name, chart in drawn if chart is not None],
        "phases": [_phase_told(record.history[phase.start : phase.stop]) for phase in phases],
        "chosen": settings,
        "compared": _compared(compared),
    }


def _phases(history: list[dict[str, Any]]) -> list[curves.Phase]:
    starts = [0] + [row for row in range(1, len(history)) if history[row]["phase"] != history[row - 1]["phase"]]
    phases = []
    for start, stop in zip(starts, [*starts[1:], len(history)], strict=True):
        kept = [row for row in range(start, stop) if history[row].get("best")]
        phases.append(curves.Phase(str(history[start]["phase"]), start, stop, kept[-1] if kept else None))
    return phases


def _phase_told(rows: list[dict[str, Any]]) -> dict[str, str]:
    kept = [row for row in rows if row.get("best")]
    best = kept[-1] if kept else rows[-1]
    return {
        "phase": str(rows[0]["phase"]),
        "epochs": str(max(row["epoch"] for row in rows)),
        "kept": str(best["epoch"]),
        "loss": words.number(best.get("val_loss")),
        "accuracy": words.percent(best.get("val_accuracy")),
        "seconds": words.duration(sum(row.get("seconds") or 0.0 for row in rows)),
    }


def _compared(table: list[dict[str, Any]]) -> Any:
    rows = []
    for entry in table:
        named = [_told(key, value) for key, value in entry.items() if key not in ("accuracy", "deviation")]
        rows.append((" · ".join(named), float(entry["accuracy"]), float(entry.get("deviation") or 0.0)))
    if not rows:
        return None
    rows.sort(key=lambda row: -row[1])
    return charts.spread(rows[:24], f"Cross-validated accuracy of {len(rows)} choices, the best first: {rows[0][0]}")


def _told(key: str, value: Any) -> str:
    if isinstance(value, list) and len(value) > 1:
        return f"{value[0]} and {len(value) - 1} more"
    return f"{key} {words.say(value)}" if isinstance(value, int | float) else words.say(value)


def cost(record: Record) -> dict[str, Any]:
    """Where the time went, the size of the model, the versions."""
    seconds = {key: float(value) for key, value in (record.metrics.get("seconds") or {}).items()
               if isinstance(value, int | float)}  # fmt: skip
    whole = seconds.pop("all", None) or sum(seconds.values())
    times = [
        (words.label(key), words.duration(value), charts.bar([(value, "first")], whole, f"{key}: {value:.1f} s"))
        for key, value in seconds.items()
    ]
    parameters = record.metrics.get("parameters")
    return {
        "times": times,
        "whole": words.duration(whole),
        "parameters": words.rows(parameters)
        if isinstance(parameters, dict)
        else [("Parameters", words.say(parameters))],
        "versions": [(name, words.say(text)) for name, text in (record.metrics.get("versions") or {}).items()],
    }


def kept_classes(record: Record) -> dict[str, Any]:
    """What a run that kept the old classes measured on them and on the new ones."""
    found = record.metrics.get("keep_classes")
    if not isinstance(found, dict):
        return {"rows": [], "sentence": ""}
    shares = {key for key, value in found.items() if isinstance(value, float)}
    return {
        "rows": [
            (words.label(key), words.percent(value) if key in shares else words.say(value))
            for key, value in found.items()
            if words.say(value) and key != "sentence"
        ],
        "sentence": found.get("sentence", ""),
    }
