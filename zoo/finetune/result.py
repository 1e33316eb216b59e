"""What a run leaves: the model, how good it is, how it was made."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from zoo import library
from zoo.errors import FormatError, ZooError
from zoo.finetune import data as data_module
from zoo.finetune.features import few, predict
from zoo.finetune.folder import COLUMNS, MODEL, write_csv, write_json
from zoo.finetune.metrics import measure
from zoo.finetune.strategies import predicted
from zoo.schema import Preprocessing

if TYPE_CHECKING:
    from zoo.finetune.base import Base
    from zoo.finetune.crossvalidate import Folds
    from zoo.finetune.strategies import Outcome, Task

MATRIX = 100
"""Most classes whose confusion matrix is kept: of a thousand it has a million numbers, nearly all 0."""


@dataclass
class Ending:
    """A trained run on its way into its folder.

    Args:
        base: the pretrained network's facts.
        dataset: the images.
        classes: names of the result's outputs.
        parts: which images were trained on.
        task: what was worked on.
        outcome: what the strategy made.
        folds: what cross-validation found, if it was asked for.
        command: repeats the run.
    """

    base: Base
    dataset: data_module.Dataset
    classes: tuple[str, ...]
    parts: data_module.Split
    task: Task
    outcome: Outcome
    folds: Folds | None
    command: str

    def measure(self, seconds: dict[str, float], kept: dict[str, Any] | None) -> tuple[keras.Model, dict[str, Any]]:
        """Returns the final model, calibrated if that was asked for, and its metrics."""
        from zoo.finetune import calibration

        model, task, plan, parts = self.outcome.model, self.task, self.task.plan, self.parts
        labels = task.labels
        self.answers = predicted(task, self.outcome, parts.validation)
        found = calibration.calibrate(self.answers, labels[parts.validation], seed=plan.seed)
        if plan.calibrate:
            model = calibration.apply(model, found.temperature)
            self.answers = calibration.scale(self.answers, found.temperature)
        score = self.outcome.found.pop("cross_validation", None)
        if self.folds is not None:
            score = {**self.folds.summary(), "of": "plan"}
        test = None
        if len(parts.test):
            test = {"images": len(parts.test), **self._figures(predict(model, task.images, parts.test), parts.test)}
        return model, {
            **self._figures(self.answers, parts.validation),
            "model": self.base.name,
            "strategy": plan.strategy,
            "measured_on": f"{len(parts.validation)} images held out, never trained on",
            "training_images": len(parts.training),
            "validation_images": len(parts.validation),
            "classes": list(self.classes),
            "batch": self.outcome.found.pop("batch", None),
            "chosen": self.outcome.found,
            "cross_validation": score,
            "folds": None if self.folds is None else self.folds.rows,
            "test": test,
            "keep_classes": kept,
            "calibration": {**asdict(found), "chance": list(found.chance), "applied": plan.calibrate},
            "skipped": plan.skipped,
            "notes": plan.notes,
            "seconds": seconds,
            "parameters": model.count_params(),
            "versions": versions(),
            "command": self.command,
        }

    def _figures(self, answers: np.ndarray, positions: np.ndarray) -> dict[str, Any]:
        found = measure(answers, self.task.labels[positions], self.classes)
        return found if len(self.classes) <= MATRIX else {**found, "confusion": None}

    def write(self, folder: Path, model: keras.Model, metrics: dict[str, Any]) -> keras.Model:
        """Writes every file of a run into an existing folder, and loads the model again as its user will.

        Returns:
            The model as it was loaded: it has no layers of any other.

        Raises:
            ZooError: the saved model cannot be loaded, or gives other numbers.
        """
        from zoo.finetune import report
        from zoo.finetune.record import Record

        labels, names = self.task.labels, np.full(len(self.dataset.items), "training", object)
        names[self.parts.validation], names[self.parts.test] = "validation", "test"
        facts = {
            "model": self.base.name,
            "made_by": "zoo finetune",
            "strategy": self.task.plan.strategy,
            "class_names": list(self.classes),
            "class_ids": None,
            "preprocessing": self.base.preprocessing.model_dump(mode="json"),
            **self.base.facts,
        }
        library.export(model, folder / MODEL, facts)
        again = self._check(folder / MODEL)
        write_json(folder / "metrics.json", metrics)
        write_json(folder / "plan.json", self.task.plan.as_json())
        split = [
            {"path": item, "class": self.classes[label], "part": part}
            for item, label, part in zip(self.dataset.items, labels, names, strict=True)
        ]
        write_csv(folder / "split.csv", split, ("path", "class", "part"))
        write_csv(folder / "history.csv", self.outcome.history, COLUMNS)
        measured, probabilities = self.parts.validation, self.answers
        if self.folds is not None:
            measured, probabilities = self.folds.positions, self.folds.probabilities
        report.write(
            Record(
                self.task.plan, metrics, self.outcome.history, self.classes, self.dataset.items, labels, names,
                measured, probabilities, self.task.images, again, self.command,
            ),
            folder,
        )  # fmt: skip
        return again

    def _check(self, path: Path) -> keras.Model:
        again = keras.saving.load_model(path, safe_mode=True, compile=False)
        found = few(again, [self.task.images(self.parts.validation[:8])])
        worst = float(np.abs(found - self.answers[:8]).max())
        if not worst < 1e-4:
            raise ZooError(
                f"{path.name}: the saved model gives other probabilities (by {worst:.1e}); please report this"
            )
        return again


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
