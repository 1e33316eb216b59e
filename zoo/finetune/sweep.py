"""Several networks fine-tuned on the same data with the same options, one run folder each, and compared."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo import cache
from zoo.errors import UsageError, ZooError
from zoo.finetune import base as base_module
from zoo.finetune import folder as folder_module
from zoo.finetune.cluster import Cluster, fan_out, sendable
from zoo.finetune.wishes import Wishes
from zoo.given import split

STATE = "sweep.json"
COLUMNS = (
    "model", "run", "accuracy", "low", "high", "balanced_accuracy", "cross_validation", "deviation", "folds",
    "strategy", "parameters", "seconds", "reason",
)  # fmt: skip
"""Of comparison.csv."""


@dataclass(frozen=True)
class Comparison:
    """What several networks made of the same data. `str()` is a table, `as_json()` the same for programs.

    Args:
        rows: the best first, those that failed last: model, run (its folder within `path`), accuracy on the images
            held out with its 95 % interval (low, high), balanced_accuracy, cross_validation and its deviation and
            folds (None where there was none), strategy, parameters, seconds, reason (why it failed, or None).
        path: the folder of all runs, with comparison.json and comparison.csv.
    """

    rows: tuple[dict[str, Any], ...]
    path: Path

    @property
    def best(self) -> Path:
        """The run folder of the best."""
        return self.path / str(self.rows[0]["run"])

    def as_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return {"path": str(self.path), "rows": list(self.rows)}

    def __str__(self) -> str:
        from zoo import show

        columns = ("model", "accuracy", "95 % interval", "cross-validation", "strategy", "parameters", "seconds")
        lines = [show.table(columns, [_cells(row) for row in self.rows])]
        lines += [f"  {row['model']}: {row['reason']}" for row in self.rows if row["reason"]]
        best = self.rows[0]
        near = [row["model"] for row in self.rows[1:] if not row["reason"] and row["high"] >= best["low"]]
        if near:
            lines.append(
                f"note: as far as the images held out can tell, {', '.join(near)} may be as good as {best['model']}"
            )
        return "\n".join([*lines, f"Written: {self.path}; the best is in {self.best}"])


def finetune_many(
    models: Sequence[Any],
    data: Any,
    *,
    output: str | os.PathLike[str],
    resume: bool = False,
    labels: Any = None,
    old_data: Any = None,
    offline: bool | None = None,
    progress: bool = True,
    report: Callable[[str], None] | None = None,
    ray: Cluster | str | bool | None = None,
    **options: Any,
) -> Comparison:
    """Fine-tunes several networks on the same data, each into its own run folder, and compares them.

    Args:
        models: what `finetune` takes, each.
        data: see `finetune`.
        output: the folder to make; each network's run is in a folder of its name there.
        resume: go on with a comparison in `output` that was interrupted: runs that have ended are kept, one that was
            cut goes on; further models may be named.
        labels: see `finetune`.
        old_data: see `finetune`.
        offline: see `finetune`.
        progress: show bars on a terminal.
        report: is given the plans and results as text; default: nothing is printed.
        ray: one Ray task for each: True for the cores and GPUs of this machine, the address of a cluster, or a
            `zoo.finetune.Cluster`; default: one after the other.
        options: see `finetune`.

    Returns:
        One row per network. One that fails has the reason in its row.

    Raises:
        UsageError: an argument is impossible; `output` is not empty, or holds a comparison with other options.
        UnknownModelError: no such model.
        ZooError: none could be fine-tuned.

    Example:
        >>> import zoo
        >>> zoo.finetune_many(["efficientnet-lite0", "open-nsfw"], "pets", output="compared").best  # doctest: +SKIP
        PosixPath('compared/efficientnet-lite0')
    """
    given, options = split(options)
    if stated := [key for key, value in given.items() if value is not None]:
        raise UsageError(f"{stated[0]}: is a fact about one model's images; fine-tune that one by itself")
    wishes, cluster = Wishes.of(options), Cluster.of(ray)
    folders = _folders(models)
    path, say = Path(output), report or (lambda text: None)
    with _working(path, resume, {"data": _named(data), "options": asdict(wishes)}):
        shared = (sendable(data) if cluster else data, labels, old_data, offline, options)
        found = {name: row for name in folders if (row := _ended(path / name)) is not None}
        found = {name: {**row, **_known(name, folders)} for name, row in found.items()}
        for row in found.values():
            say(f"{row['model']}: has ended already")
        jobs = [
            (sendable(model) if cluster else model, os.path.abspath(path / name), *shared)
            for name, model in folders.items()
            if name not in found
        ]
        names = [name for name in folders if name not in found]
        for number, row in _rows(jobs, cluster, progress, report):
            found[names[number]] = {**row, **_known(names[number], folders)}
            say(_sentence(found[names[number]]))
        rows = sorted((found[name] for name in folders), key=_worth)
        if rows[0]["reason"]:
            raise ZooError(
                "no model could be fine-tuned: " + "; ".join(f"{row['model']}: {row['reason']}" for row in rows)
            )
        compared = Comparison(tuple(rows), path)
        _write(compared)
    say(str(compared))
    return compared


def _folders(models: Sequence[Any]) -> dict[str, Any]:
    """Folder name -> model, each once."""
    if isinstance(models, str | os.PathLike) or not models:
        raise UsageError(f"models: expected a list of names, got {models!r}")
    found: dict[str, Any] = {}
    for model in models:
        base_module.check_name(model)
        path = os.fspath(model) if isinstance(model, str | os.PathLike) else None
        if path and base_module.is_file(model):
            file = Path(os.path.abspath(path))
            name = file.parent.name if file.name == folder_module.MODEL else file.name.removesuffix(".keras")
        else:
            name = cache.folder_name(path or model.name)
        if name in found and found[name] != model:
            raise UsageError(f"models: {path or name!r} and another have the same name, {name!r}; rename one")
        found[name] = model
    return found


class _working:
    """Makes the folder a comparison's, or goes on with it; a failure that left no run leaves nothing."""

    def __init__(self, path: Path, resume: bool, fingerprint: dict[str, Any]) -> None:
        self._path, self._made = path, not path.exists()
        self._facts = json.loads(json.dumps(fingerprint))
        folder_module.check_place(path, "the runs")
        state = path / STATE
        if not self._made and any(path.iterdir()):
            if not state.is_file():
                raise UsageError(f"{path}: is not empty; name a new folder for the runs, or empty this one")
            if not resume:
                raise UsageError(f"{path}: holds a comparison; --resume goes on with it, or name a new folder")
            before = folder_module.read_json(state)
            for key, value in self._facts.items():
                if before.get(key) != value:
                    raise UsageError(
                        f"{path}: cannot go on: {_difference(key, before.get(key), value)}; name a new folder"
                    )

    def __enter__(self) -> None:
        with cache.disk_errors(self._path.parent):
            self._path.mkdir(parents=True, exist_ok=True)
        with cache.atomic_file(self._path / STATE) as temporary:
            folder_module.write_json(temporary, self._facts)

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is not None and [item.name for item in self._path.iterdir()] == [STATE]:
            (self._path / STATE).unlink()
            if self._made:
                self._path.rmdir()


def _difference(key: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        key, before, now = next(
            (name, before.get(name), value) for name, value in now.items() if before.get(name) != value
        )
    return f"{key} was {before!r} and is {now!r}"


def _rows(
    jobs: list[tuple[Any, ...]], cluster: Cluster | None, progress: bool, report: Callable[[str], None] | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    if cluster is not None:
        yield from fan_out(cluster, member, jobs)
        return
    for number, job in enumerate(jobs):
        yield number, member(*job, progress=progress, report=report)
        gc.collect()


def member(
    model: Any,
    output: str,
    data: Any,
    labels: Any,
    old_data: Any,
    offline: bool | None,
    options: dict[str, Any],
    *,
    progress: bool = False,
    report: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Fine-tunes one network, here or in a task; returns its row, with the reason where it failed."""
    from zoo.finetune.run import finetune

    name = str(getattr(model, "name", model))
    try:
        result = finetune(
            model, data, output=output, resume=True, labels=labels, old_data=old_data, offline=offline,
            progress=progress, report=report, **options,
        )  # fmt: skip
    except Exception as error:  # one network's failure, of whatever kind, is not that of the others
        kind = "" if isinstance(error, ZooError) else f"unexpected {type(error).__name__}: "
        return {**dict.fromkeys(COLUMNS), "model": name, "reason": " ".join(f"{kind}{error}".split())}
    return _row(name, result.metrics)


def _known(name: str, folders: dict[str, Any]) -> dict[str, str]:
    """What a row has of the caller: the model as it was named, and the folder of its run."""
    model = folders[name]
    return {"model": os.fspath(model) if isinstance(model, str | os.PathLike) else model.name, "run": name}


def _ended(path: Path) -> dict[str, Any] | None:
    """The row of a run that has ended."""
    run = folder_module.RunFolder(path, resume=True)
    if not run.finished:
        return None
    _, metrics = run.read()
    return _row(metrics["model"], metrics)


def _row(name: str, metrics: dict[str, Any]) -> dict[str, Any]:
    low, high = metrics["accuracy_interval"]
    score = metrics["cross_validation"] or {}
    return {
        "model": name,
        "run": None,
        "accuracy": metrics["accuracy"],
        "low": low,
        "high": high,
        "balanced_accuracy": metrics["balanced_accuracy"],
        "cross_validation": score.get("accuracy"),
        "deviation": score.get("deviation"),
        "folds": score.get("folds"),
        "strategy": metrics["strategy"],
        "parameters": metrics["parameters"],
        "seconds": metrics["seconds"]["all"],
        "reason": None,
    }


def _worth(row: dict[str, Any]) -> tuple[Any, ...]:
    """The most accurate first; of equals the one that cross-validation favours, then the one that took less time."""
    return (row["reason"] is not None, -(row["accuracy"] or 0), -(row["cross_validation"] or 0), row["seconds"] or 0)


def _write(compared: Comparison) -> None:
    for name in ("comparison.json", "comparison.csv"):
        with cache.atomic_file(compared.path / name) as temporary:
            if name.endswith("json"):
                folder_module.write_json(temporary, {"rows": list(compared.rows)})
            else:
                folder_module.write_csv(temporary, list(compared.rows), COLUMNS)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if row["reason"]:
        return (row["model"], "failed", *[""] * 5)
    score = row["cross_validation"]
    return (
        row["model"],
        f"{row['accuracy']:.1%}",
        f"{row['low']:.1%} to {row['high']:.1%}",
        "-" if score is None else f"{score:.1%} +- {row['deviation']:.1%} ({row['folds']} folds)",
        row["strategy"],
        f"{row['parameters'] / 1e6:.1f}M" if row["parameters"] >= 100_000 else str(row["parameters"]),
        f"{row['seconds']:.0f}",
    )


def _sentence(row: dict[str, Any]) -> str:
    return f"{row['model']}: " + (row["reason"] or f"{row['accuracy']:.1%}, {row['seconds']:.0f} s")


def _named(data: Any) -> str:
    return os.path.abspath(data) if isinstance(data, str | os.PathLike) else type(data).__name__
