"""The run folder: the model, how good it is, how it was made."""

from __future__ import annotations

import csv
import json
import os
import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo import library
from zoo.errors import FormatError, ZooError
from zoo.finetune.data import Dataset, Split
from zoo.finetune.features import predict
from zoo.finetune.plan import Plan
from zoo.schema import Preprocessing

MODEL = "model.keras"


def measure(probabilities: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """Compares answers with labels.

    Args:
        probabilities: (N, classes).
        labels: (N,) integers.
        classes: their names.

    Returns:
        accuracy, balanced_accuracy (mean over classes), top5 (None with five classes or fewer), loss (mean negative log
        likelihood), per class: images and accuracy, and the confusion matrix, rows true and columns answered.
    """
    answers = probabilities.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (labels, answers), 1)
    totals = confusion.sum(axis=1)
    right = np.diag(confusion) / np.maximum(totals, 1)
    own = probabilities[np.arange(len(labels)), labels]
    rank = (probabilities > own[:, None]).sum(axis=1)
    return {
        "accuracy": float((answers == labels).mean()),
        "balanced_accuracy": float(right[totals > 0].mean()),
        "top5": float((rank < 5).mean()) if len(classes) > 5 else None,
        "loss": float(-np.log(np.maximum(own, 1e-12)).mean()),
        "per_class": {
            name: {"images": int(total), "accuracy": float(share)}
            for name, total, share in zip(classes, totals, right, strict=True)
        },
        "confusion": confusion.tolist(),
    }


def versions() -> dict[str, str]:
    """Returns the versions that numbers may depend on."""
    import importlib.metadata

    import sklearn

    import zoo

    backend = keras.backend.backend()
    found = {"zoo": zoo.__version__, "python": platform.python_version(), "keras": keras.__version__}
    return {
        **found,
        "backend": f"{backend} {importlib.metadata.version(backend)}",
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
    }


def write(
    folder: Path,
    model: keras.Model,
    *,
    plan: Plan,
    metrics: dict[str, Any],
    facts: dict[str, Any],
    history: list[dict[str, Any]],
    dataset: Dataset,
    split: Split,
    sample: np.ndarray,
) -> None:
    """Writes every file of a run into an existing folder, and loads the model again as its user will.

    Raises:
        ZooError: the saved model cannot be loaded, or gives other numbers.
    """
    library.export(model, folder / MODEL, facts)
    again = keras.saving.load_model(folder / MODEL, safe_mode=True, compile=False)
    positions = np.arange(len(sample))
    worst = float(np.abs(predict(model, sample, positions) - predict(again, sample, positions)).max())
    if not worst < 1e-4:
        raise ZooError(f"{folder.name}: the saved model gives other probabilities (by {worst:.1e}); please report this")
    _json(folder / "metrics.json", metrics)
    _json(folder / "plan.json", plan.as_json())
    part_of = {int(position): part for part in ("training", "validation", "test") for position in getattr(split, part)}
    rows = [
        {"path": item, "class": dataset.classes[label], "part": part_of[position]}
        for position, (item, label) in enumerate(zip(dataset.items, dataset.labels, strict=True))
    ]
    _csv(folder / "split.csv", rows, ("path", "class", "part"))
    columns = ("phase", "epoch", "rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds", "best")
    _csv(folder / "history.csv", history, columns)


def load_run(path: str | os.PathLike[str]) -> tuple[keras.Model, list[str], Preprocessing]:
    """Loads what a fine-tuning run made.

    Args:
        path: the run folder, or the .keras file in it.

    Returns:
        The model (RGB 0..255 in, probabilities out), its class names by output index, and how to resize its input.

    Raises:
        FormatError: there is no model, or it was not made by a run.
    """
    import zipfile

    file = Path(path) / MODEL if Path(path).is_dir() else Path(path)
    try:
        with zipfile.ZipFile(file) as archive:
            facts = json.loads(archive.read("zoo.json"))
        preprocessing = Preprocessing.model_validate_json(json.dumps(facts["preprocessing"]))
        names = [str(name) for name in facts["class_names"]]
    except FileNotFoundError:
        raise FormatError(f"{file}: does not exist; name the folder that a fine-tuning run wrote") from None
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise FormatError(f"{file}: is not the model of a fine-tuning run: {str(error).splitlines()[0]}") from error
    return keras.saving.load_model(file, safe_mode=True, compile=False), names, preprocessing


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _csv(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
