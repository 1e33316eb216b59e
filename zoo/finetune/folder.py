"""The run folder: new, interrupted or finished; what is in it while a run works, and how it comes to its end.

While it works it has a folder `state` with the plan and the checkpoints; that folder goes when all results are there.
So a folder with `state` is a run to go on with, and one without is whole.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import cache
from zoo.errors import FormatError, UsageError
from zoo.finetune.plan import Plan

if TYPE_CHECKING:
    from zoo.finetune.state import Checkpoint

STATE = "state"
MODEL = "model.keras"
COLUMNS = ("phase", "epoch", "rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds", "best")


class RunFolder:
    """A run's folder.

    Args:
        path: where.
        resume: whether a run that is there may go on.

    Raises:
        UsageError: something else is there, or a run that was not asked to go on.
    """

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        self.path, self.state = path, path / STATE
        self.plan: Plan | None = None
        self.finished = False
        self._tensorboard = False
        check_place(path, "the run")
        if not path.is_dir() or not any(path.iterdir()):
            return
        if self.state.is_dir():
            if not resume:
                raise UsageError(
                    f"{path}: holds a run that was interrupted; --resume goes on with it, or name a new folder"
                )
        elif resume and (path / MODEL).is_file() and (path / "plan.json").is_file():
            self.finished = True
        else:
            raise UsageError(f"{path}: is not empty; name a new folder for the run, or empty this one")

    @contextlib.contextmanager
    def working(self, fingerprint: dict[str, Any]) -> Iterator[None]:
        """Makes the folder a working run's, or goes on with it; a failure before the first checkpoint leaves nothing.

        Args:
            fingerprint: what has to be the same for a run to go on.

        Raises:
            UsageError: another process works here; the run that is here had other data or options.
        """
        if cache.locked(self.path):
            raise UsageError(f"{self.path}: another process trains there; name another folder")
        with cache.lock(self.path):
            fresh = not self.state.is_dir()
            made = not self.path.is_dir()
            if fresh:
                with cache.disk_errors(self.path.parent):
                    self.state.mkdir(parents=True)
                self._write(self.state / "run.json", fingerprint)
            else:
                self._same(fingerprint)
            try:
                yield
            except BaseException as error:
                if isinstance(error, Exception) and not list(self.state.glob("*.safetensors")):
                    self._clear(made)
                raise
            shutil.rmtree(self.state)

    def keep_plan(self, plan: Plan) -> None:
        """Notes the plan, so that a run that goes on keeps to it."""
        self._tensorboard = plan.tensorboard
        self._write(self.state / "plan.json", plan.as_json())

    def read(self) -> tuple[Plan, dict[str, Any]]:
        """Returns plan and metrics of a finished run."""
        return Plan.from_json(read_json(self.path / "plan.json")), read_json(self.path / "metrics.json")

    def checkpoint(self) -> Checkpoint:
        """Returns where the course of training is kept."""
        from zoo.finetune.state import Checkpoint

        return Checkpoint(self.state)

    def tell(self, report: Callable[[str], None] | None) -> Callable[[str], None]:
        """Returns what writes text into the log, with the time, and passes it on."""

        def say(text: str) -> None:
            now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
            with open(self.path / "log.txt", "a", encoding="utf-8") as file:
                file.write(f"{now} {text}\n")
            if report:
                report(text)

        return say

    def log(self) -> Callable[[dict[str, Any]], None]:
        """Returns what writes each row of the history into the log, and for TensorBoard if it is asked for."""
        say = self.tell(None)
        writers: dict[str, Any] = {}

        def write(row: dict[str, Any]) -> None:
            loss = "" if row["loss"] is None else f", loss {row['loss']:.4f}"
            held = f"held out: loss {row['val_loss']:.4f}, accuracy {row['val_accuracy']:.4f}"
            say(f"{row['phase']} {row['epoch']}{loss}, {held}, {row['seconds']:.1f} s{' *' if row['best'] else ''}")
            if self._tensorboard:
                _scalars(writers, self.path / "tensorboard", row)

        return write

    def end(self, files: Callable[[Path], Any]) -> Any:
        """Lets `files` write the results into a folder, and moves them to their places; the model comes last.

        Returns:
            What `files` gave.
        """
        with cache.atomic_folder(self.state / "results") as temporary:
            found = files(temporary)
        results = sorted((self.state / "results").iterdir(), key=lambda path: path.name == MODEL)
        for path in results:
            path.replace(self.path / path.name)
        return found

    def _same(self, fingerprint: dict[str, Any]) -> None:
        before = read_json(self.state / "run.json")
        for key, value in json.loads(json.dumps(fingerprint)).items():
            if before.get(key) != value:
                what = "the data have changed" if key == "data" else f"{key} was {before.get(key)!r} and is {value!r}"
                raise UsageError(f"{self.path}: cannot go on: {what}; begin a new run in another folder")
        if (self.state / "plan.json").is_file():
            self.plan = Plan.from_json(read_json(self.state / "plan.json"))

    def _clear(self, made: bool) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
        (self.path / "log.txt").unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):
                self.path.rmdir()

    @staticmethod
    def _write(path: Path, value: Any) -> None:
        with cache.atomic_file(path) as temporary:
            write_json(temporary, value)


def check_place(path: Path, what: str) -> None:
    """Raises UsageError where no folder can be made for `what`."""
    places = (path, *path.parents)
    file = (
        path if path.is_symlink() else next((place for place in places if place.exists() and not place.is_dir()), None)
    )
    if file is not None:
        raise UsageError(f"{file}: exists and is no folder; name a new folder for {what}")


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON for people and programs."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Writes rows with a header."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def read_json(path: Path) -> dict[str, Any]:
    """Returns a JSON object; raises FormatError where there is none."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError("expected an object")
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: damaged ({error}); begin a new run in another folder") from error
    return facts


def _scalars(writers: dict[str, Any], folder: Path, row: dict[str, Any]) -> None:
    import tensorflow as tf

    if row["phase"] not in writers:
        writers[row["phase"]] = tf.summary.create_file_writer(str(folder / row["phase"]))
    writer = writers[row["phase"]]
    with writer.as_default(step=row["epoch"]):
        for key in ("rate", "loss", "accuracy", "val_loss", "val_accuracy"):
            if row[key] is not None:
                tf.summary.scalar(key, row[key])
    writer.flush()
