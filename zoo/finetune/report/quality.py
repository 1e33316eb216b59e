"""What the report says of how good the model is: figures, confusions, classes, calibration, mistakes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from zoo.errors import UsageError
from zoo.finetune import calibration, metrics
from zoo.finetune.record import Record
from zoo.finetune.report import charts, words
from zoo.finetune.report.course import counted

MATRIX_LIMIT = 30
"""Classes up to which the confusion matrix is drawn."""
CONFUSIONS = 20
"""Confusions listed."""
ROWS = 100
"""Classes in the table of precision and recall; of more, the worst."""
MISTAKES = 12
"""Pictures of mistakes shown."""
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
    test = record.metrics.get("test")
    if test:
        span = [words.percent(share) for share in test["accuracy_interval"]]
        told = f"{words.count(test['images'], 'image')} set aside, 95 % interval {span[0]} to {span[1]}"
        tiles.insert(0, ("Test accuracy", words.percent(test["accuracy"]), told))
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
        return "they were held out, and never trained on"
    if parts == {"test"}:
        return "they are the test part, and were never trained on"
    return "each was answered by a model of the cross-validation that had not been trained on it"


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
            "share": float(off[true, answered] / totals[true]),
        }
        for true, answered in pairs
        if off[true, answered]
    ]
    seen = np.flatnonzero(totals + matrix.sum(axis=0))  # kept classes, as a rule, are neither shown nor answered
    small = len(seen) <= MATRIX_LIMIT
    label = f"Confusion matrix of {len(seen)} classes; its largest entries off the diagonal are in the table"
    drawn = matrix[np.ix_(seen, seen)].tolist()
    return {
        "chart": charts.confusion(drawn, [record.classes[place] for place in seen], label) if small else None,
        "rows": rows if not small else rows[:10],
        "left_out": int((off > 0).sum()) - len(rows if not small else rows[:10]),
        "unseen": len(record.classes) - len(seen),
        "kinds": int((off > 0).sum()),
        "mistakes": int(off.sum()),
    }


def per_class(record: Record, measured: dict[str, Any]) -> dict[str, Any]:
    """Precision, recall and F1 of each class, the worst first."""
    matrix = np.array(measured["confusion"])
    np.fill_diagonal(matrix, 0)
    trained = counted(record, record.parts == "training")
    rows = []
    for label, name in enumerate(record.classes):
        figures = measured["per_class"][name]
        if not figures["images"] and not trained[label]:
            continue
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
    """Reliability of the probabilities, and what a temperature would do, or did."""
    labels, seed = record.labels[record.measured], int(getattr(record.plan, "seed", 0))
    stored = record.metrics.get("calibration") or {}
    applied = bool(stored.get("applied"))
    found = _stored(stored) if applied else calibration.calibrate(record.probabilities, labels, seed=seed)
    bins = metrics.reliability(record.probabilities, labels)
    filled = [entry for entry in bins if entry.accuracy is not None]
    label = "Reliability diagram: " + "; ".join(
        f"sure by {entry.confidence:.0%}, right in {entry.accuracy:.0%} of {entry.images}" for entry in filled
    )
    sure, right = float(record.probabilities.max(axis=1).mean()), measured["accuracy"]
    chance = calibration.expected_by_chance(record.probabilities, seed=seed) if applied else found.chance
    return {
        "chart": charts.reliability(bins, label),
        "found": found,
        "applied": applied,
        "of": found_on if applied and (found_on := record.metrics.get("validation_images")) != len(labels) else None,
        "sure": words.percent(sure),
        "right": words.percent(right),
        "chance": chance,
        "error": words.number(measured["calibration_error"]),
        "verdict": _verdict(measured["calibration_error"], chance[1], sure, right),
        "recipe": RECIPE.format(temperature=found.temperature),
        "bins_in_all": metrics.BINS,
    }


def _stored(facts: dict[str, Any]) -> calibration.Calibration:
    """What metrics.json says of a temperature that is in the model by now."""
    names = {field.name for field in fields(calibration.Calibration)}
    return calibration.Calibration(**{name: value for name, value in facts.items() if name in names})


def _verdict(error: float, chance: float, sure: float, right: float) -> str:
    if error <= chance:
        return "No more than chance explains on this many images: nothing speaks against the probabilities."
    if sure > right:
        return "More than chance explains: the model is surer than it is right."
    return "More than chance explains: the model is right more often than it dares to say."


def cross_validation(record: Record) -> dict[str, Any] | None:
    """Mean and deviation over folds, and each fold where it is known."""
    found = record.metrics.get("cross_validation")
    score = found or (record.metrics.get("chosen") or {}).get("cross_validation")
    if not score:
        return None
    listed = record.metrics.get("folds")
    of_search = not found or "compared" in score
    folds = listed if isinstance(listed, list) and not of_search else None
    keys = [key for key in ("fold", "accuracy", "balanced_accuracy", "images") if folds and key in folds[0]]
    rows = [
        [words.percent(fold.get(key)) if "accuracy" in key else words.say(fold.get(key)) for key in keys]
        for fold in (folds or [])
    ]
    chart = None
    if folds and "accuracy" in folds[0]:
        points = [(f"fold {fold.get('fold', place + 1)}", fold["accuracy"], 0.0) for place, fold in enumerate(folds)]
        points.append(("mean ± deviation", score["accuracy"], score["deviation"]))
        chart = charts.spread(points, f"Accuracy of {len(folds)} folds", width=400)
    deviation = words.percent(score["deviation"])
    return {
        "told": f"{score['accuracy'] * 100:.1f} ± {deviation}",
        "note": f"mean and deviation of {score['folds']} folds" + (" of the training images" if of_search else ""),
        "of_search": of_search,
        "columns": [words.label(key) for key in keys],
        "rows": rows,
        "chart": chart,
        "score": score,
    }


def mistakes(record: Record) -> dict[str, Any]:
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
        maps = gradcam(record.model, pixels, np.stack(labels, axis=1))
    except UsageError as error:
        return [], str(error).split(";")[0]  # what follows is advice for callers of gradcam
    return list(maps.swapaxes(0, 1)), ""
