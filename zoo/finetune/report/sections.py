"""What each section of the report says: a Record in, values for the template out."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.finetune import calibration
from zoo.finetune import metrics as metrics_module
from zoo.finetune.record import Record
from zoo.finetune.report import charts, words

CLASSES_SHOWN = 40
"""Classes with pictures; of more, the ones with most and with fewest images."""
MATRIX_LIMIT = 30
"""Classes up to which the confusion matrix is drawn."""
CONFUSIONS = 30
ROWS = 100
"""Classes in the table of precision and recall; of more, the worst."""
FILES = 50
"""Skipped files and notes listed."""
_TOLD_ELSEWHERE = frozenset({"model", "data", "classes", "skipped", "reasons", "notes"})
"""Values of the plan that have a place of their own in the page."""


RECIPE = """from zoo.finetune import calibration, load_run
model, names, preprocessing = load_run("RUN")
model = calibration.apply(model, {temperature:.4f})"""


def headline(record: Record, measured: dict[str, Any]) -> dict[str, Any]:
    """The figures a reader looks for first."""
    total, right = len(record.measured), round(measured["accuracy"] * len(record.measured))
    truth = np.bincount(record.labels[record.measured], minlength=len(record.classes))
    guess = float(truth.max() / total)
    low, high = measured["accuracy_interval"]
    tiles = [
        ("Balanced accuracy", words.percent(measured["balanced_accuracy"]), "mean over classes of the share found"),
        ("F1, macro", words.number(measured["macro"]["f1"]), "mean over classes"),
        ("Calibration error", words.number(measured["calibration_error"]), "0 is honest; see below"),
    ]
    if measured["top5"] is not None:
        span = [words.percent(share) for share in measured["top5_interval"]]
        tiles.insert(1, ("Top 5", words.percent(measured["top5"]), f"95 % interval {span[0]} to {span[1]}"))
    crossed = cross_validation(record)
    if crossed:
        tiles.insert(0, ("Cross-validation", crossed["told"], crossed["note"]))
    return {
        "accuracy": words.percent(measured["accuracy"]),
        "low": words.percent(low),
        "high": words.percent(high),
        "chart": charts.interval(measured["accuracy"], low, high, guess),
        "right": f"{right:,}",
        "total": words.count(total, "image"),
        "guess": words.percent(guess),
        "on": measured_on(record),
        "tiles": tiles,
    }


def measured_on(record: Record) -> str:
    """Says in words which images the figures are of."""
    parts = set(record.parts[record.measured].tolist())
    if parts == {"validation"}:
        return "images held out, never trained on"
    if parts == {"test"}:
        return "images of the test part, never trained on"
    return "images, each answered by a model of the cross-validation that was not trained on it"


def data(record: Record) -> dict[str, Any]:
    """How many images of each class, and which positions to show of it."""
    names = ("training", "validation", "test")
    counts = {name: _counted(record, record.parts == name) for name in names}
    totals = np.bincount(record.labels, minlength=len(record.classes))
    order = np.argsort(-totals, kind="stable")
    half = CLASSES_SHOWN // 2
    shown = order if len(order) <= CLASSES_SHOWN else np.concatenate([order[:half], order[-half:]])
    each = 6 if len(shown) <= 16 else 4
    present = [name for name in names if counts[name].any()]
    kinds = {"training": "first", "validation": "second", "test": "third"}
    rows = []
    for label in shown:
        pieces = [(float(counts[name][label]), kinds[name]) for name in present]
        told = ", ".join(f"{counts[name][label]} {name}" for name in present)
        members = np.flatnonzero(record.labels == label)
        chosen = (
            members[np.unique(np.linspace(0, len(members) - 1, each).round().astype(int))] if len(members) else members
        )
        rows.append(
            {
                "name": record.classes[label],
                "counts": [int(counts[name][label]) for name in present],
                "bar": charts.bar(pieces, float(totals.max()), f"{record.classes[label]}: {told}"),
                "positions": [int(position) for position in chosen],
            }
        )
    smallest, largest = int(totals.min()), int(totals.max())
    return {
        "parts": [(name, int(counts[name].sum()), kinds[name]) for name in present],
        "images": len(record.items),
        "classes": len(record.classes),
        "rows": rows,
        "left_out": len(order) - len(shown),
        "balance": _balance(smallest, largest),
        "chart": charts.ranked(totals.tolist(), f"Images per class, from {largest} down to {smallest}")
        if len(order) > len(shown)
        else None,
    }


def _balance(smallest: int, largest: int) -> str:
    if smallest == largest:
        return f"Every class has {words.count(largest, 'image')}."
    if not smallest:
        return f"Between no image and {words.count(largest, 'image')} a class."
    ratio = largest / smallest
    judgement = "balanced" if ratio < 1.5 else "somewhat unbalanced" if ratio < 4 else "unbalanced"
    return (
        f"Between {smallest:,} and {words.count(largest, 'image')} a class: {judgement}"
        + (f", the largest {ratio:.0f} times the smallest." if ratio >= 1.5 else ".")
    )  # fmt: skip


def _counted(record: Record, rows: np.ndarray) -> np.ndarray:
    return np.bincount(record.labels[rows], minlength=len(record.classes))


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


def plan(record: Record) -> list[tuple[str, str, str]]:
    """(setting, value, reason) of the plan, in its order."""
    values, reasons = record.plan.as_json(), record.plan.reasons
    rows = []
    for key, value in values.items():
        reason, text = reasons.get(key, ""), words.say(value)
        if key in _TOLD_ELSEWHERE or not (text or reason):
            continue
        rows.append((words.label(key), text or "–", reason))
    return rows


def training(record: Record) -> dict[str, Any]:
    """Curves by epoch; or, where the classifier was solved, what was compared."""
    chosen = dict(record.metrics.get("chosen") or {})
    compared = (chosen.pop("cross_validation", None) or {}).get("compared") or []
    settings = words.rows(chosen)
    if not record.history:
        return {"charts": [], "chosen": settings, "compared": _compared(compared)}
    phases = _phases(record.history)
    x = [int(row["epoch"]) for row in record.history]

    def series(*names: tuple[str, str, str]) -> list[charts.Line]:
        return [charts.Line(name, [row.get(key) for row in record.history], kind) for name, key, kind in names]

    loss = series(("training", "loss", "first"), ("held out", "val_loss", "second"))
    accuracy = series(("training", "accuracy", "first"), ("held out", "val_accuracy", "second"))
    drawn = [
        ("Loss", charts.lines("Loss", loss, x, phases)),
        ("Accuracy", charts.lines("Accuracy", accuracy, x, phases, share=True)),
        (
            "Learning rate",
            charts.lines("Learning rate", series(("rate", "rate", "first")), x, phases, logarithmic=True),
        ),
    ]
    return {
        "charts": [(name, chart) for name, chart in drawn if chart is not None],
        "phases": [_phase_told(record.history[phase.start : phase.stop]) for phase in phases],
        "chosen": settings,
        "compared": _compared(compared),
    }


def _phases(history: list[dict[str, Any]]) -> list[charts.Phase]:
    starts = [0] + [row for row in range(1, len(history)) if history[row]["phase"] != history[row - 1]["phase"]]
    phases = []
    for start, stop in zip(starts, [*starts[1:], len(history)], strict=True):
        kept = [row for row in range(start, stop) if history[row].get("best")]
        phases.append(charts.Phase(str(history[start]["phase"]), start, stop, kept[-1] if kept else None))
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
        setting = {key: value for key, value in entry.items() if key not in ("accuracy", "deviation")}
        named = [f"{key} {words.say(value)}" if isinstance(value, int | float) else words.say(value)
                 for key, value in setting.items()]  # fmt: skip
        rows.append((" · ".join(named), float(entry["accuracy"]), float(entry.get("deviation") or 0.0)))
    if not rows:
        return None
    rows.sort(key=lambda row: -row[1])
    return charts.spread(rows[:24], f"Cross-validated accuracy of {len(rows)} choices, the best first: {rows[0][0]}")


def confusion(record: Record, measured: dict[str, Any]) -> dict[str, Any]:
    """The matrix where it is readable, and the most frequent confusions."""
    matrix = np.array(measured["confusion"])
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:CONFUSIONS]
    totals = matrix.sum(axis=1)
    pairs = [np.unravel_index(place, off.shape) for place in order]
    rows = [
        {
            "true": record.classes[true],
            "answered": record.classes[answered],
            "images": int(off[true, answered]),
            "share": words.percent(off[true, answered] / totals[true], 0),
        }
        for true, answered in pairs
        if off[true, answered]
    ]
    small = len(record.classes) <= MATRIX_LIMIT
    label = f"Confusion matrix of {len(record.classes)} classes; its largest entries off the diagonal are in the table"
    return {
        "chart": charts.confusion(matrix.tolist(), record.classes, label) if small else None,
        "rows": rows if not small else rows[:10],
        "kinds": int((off > 0).sum()),
        "mistakes": int(off.sum()),
    }


def per_class(record: Record, measured: dict[str, Any]) -> dict[str, Any]:
    """Precision, recall and F1 of each class, the worst first."""
    matrix = np.array(measured["confusion"])
    np.fill_diagonal(matrix, 0)
    trained = _counted(record, record.parts == "training")
    rows = []
    for label, name in enumerate(record.classes):
        figures = measured["per_class"][name]
        mistaken = int(matrix[label].argmax())
        rows.append(
            {
                "name": name,
                "trained": int(trained[label]),
                **figures,
                "bar": charts.bar([(figures["f1"], "first")], 1.0, f"F1 of {name}: {figures['f1']:.2f}"),
                "mistaken": record.classes[mistaken] if matrix[label].any() else "",
            }
        )
    rows.sort(key=lambda row: (row["images"] == 0, row["f1"], row["name"]))
    return {"rows": rows[:ROWS], "left_out": max(0, len(rows) - ROWS), "macro": measured["macro"]}


def honesty(record: Record, measured: dict[str, Any]) -> dict[str, Any]:
    """Reliability of the probabilities, and what a temperature would do."""
    labels = record.labels[record.measured]
    found = calibration.calibrate(record.probabilities, labels, seed=int(getattr(record.plan, "seed", 0)))
    bins = metrics_module.reliability(record.probabilities, labels)
    filled = [entry for entry in bins if entry.accuracy is not None]
    label = "Reliability diagram: " + "; ".join(
        f"sure by {entry.confidence:.0%}, right in {entry.accuracy:.0%} of {entry.images}" for entry in filled
    )
    sure, right = float(record.probabilities.max(axis=1).mean()), measured["accuracy"]
    return {
        "chart": charts.reliability(bins, label),
        "found": found,
        "sure": words.percent(sure),
        "right": words.percent(right),
        "verdict": _verdict(found, sure, right),
        "bins": filled,
        "brier": words.number(measured["brier"]),
        "recipe": RECIPE.format(temperature=found.temperature),
        "bins_in_all": metrics_module.BINS,
    }


def _verdict(found: calibration.Calibration, sure: float, right: float) -> str:
    if found.error_before <= found.chance[1]:
        return "No more than chance explains on this many images: the probabilities can be taken at their word."
    if sure > right:
        return "More than chance explains: the model is surer than it is right."
    return "More than chance explains: the model is right more often than it dares to say."


def cross_validation(record: Record) -> dict[str, Any] | None:
    """Mean and deviation over folds, and each fold where it is known."""
    found = record.metrics.get("cross_validation")
    searched = ((record.metrics.get("chosen") or {}).get("cross_validation")) or None
    score = found or searched
    if not score:
        return None
    folds = record.metrics.get("folds") if found else None
    keys = [key for key in ("fold", "accuracy", "balanced_accuracy", "images") if folds and key in folds[0]]
    rows = [
        [words.percent(fold.get(key)) if "accuracy" in key else words.say(fold.get(key)) for key in keys]
        for fold in (folds or [])
    ]
    chart = None
    if folds and "accuracy" in folds[0]:
        points = [(f"fold {fold.get('fold', place + 1)}", fold["accuracy"], 0.0) for place, fold in enumerate(folds)]
        points.append(("mean ± deviation", score["accuracy"], score["deviation"]))
        chart = charts.spread(points, f"Accuracy of {len(folds)} folds")
    deviation = words.percent(score["deviation"])
    return {
        "told": f"{score['accuracy'] * 100:.1f} ± {deviation}",
        "note": f"mean and deviation of {score['folds']} folds" + ("" if found else " of the training images"),
        "of_search": not found,
        "columns": [words.label(key) for key in keys],
        "rows": rows,
        "chart": chart,
        "score": score,
    }


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


def kept_classes(record: Record) -> list[tuple[str, str]]:
    """What a run that kept the old classes measured on them and on the new ones."""
    found = record.metrics.get("keep_classes")
    if not isinstance(found, dict):
        return []
    return [
        (words.label(key), words.percent(value) if "accuracy" in key and isinstance(value, float) else words.say(value))
        for key, value in found.items()
        if words.say(value)
    ]
