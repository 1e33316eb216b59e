"""finetune(): data -> plan -> training -> run folder."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError
from zoo.finetune import base as base_module
from zoo.finetune import data as data_module
from zoo.finetune import network
from zoo.finetune.cluster import Cluster, sendable
from zoo.finetune.plan import Plan
from zoo.finetune.scratch import Scratch
from zoo.finetune.spread import Spread
from zoo.finetune.wishes import Wishes
from zoo.given import Given, flags, split

if TYPE_CHECKING:
    import keras

    from zoo.finetune.folder import RunFolder
    from zoo.finetune.head import Old
    from zoo.finetune.strategies import Task


@dataclass(frozen=True)
class FinetuneResult:
    """What fine-tuning made.

    Args:
        model: RGB 0..255 (N, H, W, 3) at the network's size in, probabilities (N, classes) out; None after a dry run.
        metrics: what metrics.json holds; empty after a dry run.
        plan: what was decided, and why.
        path: the run folder; None after a dry run.
    """

    model: keras.Model | None
    metrics: dict[str, Any]
    plan: Plan
    path: Path | None


def finetune(
    model: str | os.PathLike[str] | keras.Model,
    data: Any,
    *,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    labels: Any = None,
    old_data: Any = None,
    offline: bool | None = None,
    dry_run: bool = False,
    progress: bool = True,
    report: Callable[[str], None] | None = None,
    ray: Cluster | str | bool | None = None,
    **options: Any,
) -> FinetuneResult:
    """Makes a classifier of your own images from a pretrained network.

    Args:
        model: a registered name; the folder of an earlier run; a .keras file; or a Keras classifier that takes RGB
            0..255 of a fixed size, (N, H, W, 3), which is left as it is.
        data: a folder with one subfolder of images per class, or with train, val and test folders of that kind; a CSV
            or Parquet table; arrays (images, labels); a data set of TensorFlow, Keras, PyTorch or Hugging Face: what
            `zoo.finetune.data.index` reads. Broken files are skipped.
        output: the run folder to make; a dry run needs none.
        resume: go on with a run in `output` that was interrupted; begins where there is none.
        labels: class names, for arrays and data sets that hold numbers.
        old_data: with `keep_classes`, images of the model's old classes, to measure before and after.
        offline: never use the network to get the model; default: whether ZOO_OFFLINE is 1.
        dry_run: stop after the plan; nothing is trained or written.
        progress: show bars on a terminal.
        report: is given the plan and the result as text; default: nothing is printed.
        ray: with `folds`, each fold is a Ray task; features of a large set are computed by its workers: True for the
            cores and GPUs of this machine, the address of a cluster, or a `zoo.finetune.Cluster`.
        options: any field of `zoo.finetune.Wishes`, such as strategy, epochs, learning_rate, augment, folds, seed; what
            is left out the plan decides; and facts about a registered model's preprocessing in place of its card's,
            as in `zoo.get`: mean, std, value_range, channel_order, resize, interpolation.

    Returns:
        The model as it is read back from the run folder, its metrics on the images held out, the plan and the folder.

    Raises:
        DataError: the data cannot be trained on.
        UsageError: an argument is impossible, `output` is missing, not empty, or holds a run of another kind.
        UnknownModelError: no such model.
        UnknownFactError: the card does not know how images are prepared.

    Example:
        >>> import zoo
        >>> zoo.finetune("efficientnet-lite0", "pets", output="pets-run").metrics["accuracy"]  # doctest: +SKIP
        0.93
    """
    from zoo.finetune import folder as folder_module

    started = time.monotonic()
    given, options = split(options)
    wishes, cluster = Wishes.of(options), Cluster.of(ray)
    if old_data is not None and not wishes.keep_classes:
        raise UsageError("old_data: is measured where the old classes are kept; add keep_classes, or leave it out")
    if output is None and not dry_run:
        raise UsageError("output: is missing; name a new folder for the model and its report")
    run = None if output is None or dry_run else folder_module.RunFolder(Path(output), resume=resume)
    if run is not None and run.finished:
        return _finished(run, report)
    with Scratch() as scratch, contextlib.ExitStack() as open_until_the_end:
        work = work_of(model, data, wishes, scratch, labels=labels, offline=offline, progress=progress, given=given)
        work.started, work.old_data, work.command = started, old_data, command_of(model, data, output, wishes, given)
        if cluster:
            work.elsewhere = (cluster, (sendable(model), sendable(data), wishes, labels, offline, given))
            spread = work.features.spread = Spread(cluster, work.dataset, work.base.preprocessing, progress)
            open_until_the_end.callback(spread.close)
        if run is None:
            plan = work.make_plan()
            if report:
                report(str(plan))
            return FinetuneResult(None, {}, plan, None)
        with run.working(work.fingerprint()):
            plan = run.plan or work.make_plan()
            run.keep_plan(plan)
            say = run.tell(report)
            say(str(plan))
            trained, metrics = work.train(plan, run, say)
    say(_summary(metrics, run.path))
    return FinetuneResult(trained, metrics, plan, run.path)


def _finished(run: RunFolder, report: Callable[[str], None] | None) -> FinetuneResult:
    """What `resume` gives for a run that has ended."""
    from zoo.finetune.result import load_run

    plan, metrics = run.read()
    if report:
        report(f"{run.path}: has ended already")
    return FinetuneResult(load_run(run.path)[0], metrics, plan, run.path)


def work_of(
    model: Any,
    data: Any,
    wishes: Wishes,
    scratch: Scratch,
    *,
    labels: Any,
    offline: bool | None,
    progress: bool,
    given: Given | None = None,
) -> Work:
    """Reads the data and loads the network.

    Args:
        model: see `finetune`.
        data: see `finetune`.
        wishes: what was asked for.
        scratch: where decoded images are held.
        labels: see `finetune`.
        offline: see `finetune`.
        progress: show bars on a terminal.
        given: facts about a registered model's preprocessing that the caller states.
    """
    base_module.check_name(model, given)
    if hasattr(model, "layers"):
        network.check(model)
    dataset = data_module.index(data, labels=labels, progress=progress)
    parts = data_module.split(dataset, wishes.validation, wishes.seed)
    import keras

    keras.utils.set_random_seed(wishes.seed)
    if wishes.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    return Work(base_module.load(model, offline, given), dataset, parts, wishes, scratch, progress)


class Work:
    """One run's data and network on their way to a result."""

    def __init__(
        self,
        base: base_module.Base,
        dataset: data_module.Dataset,
        parts: data_module.Split,
        wishes: Wishes,
        scratch: Scratch,
        progress: bool,
    ) -> None:
        from zoo.finetune.features import Extraction
        from zoo.finetune.pictures import Pictures
        from zoo.finetune.store import Store

        self.base, self.dataset, self.parts, self.wishes = base, dataset, parts, wishes
        self.progress, self.scratch, self.command = progress, scratch, ""
        self.started, self.old_data = time.monotonic(), None
        self.elsewhere: tuple[Cluster, tuple[Any, ...]] | None = None
        self.images = Pictures(dataset, base.preprocessing, scratch, progress)
        self.store = Store(about=base.preprocessing.model_dump_json())
        self.features = Extraction(base.model, self.images, dataset.digests, self.store, wishes.seed, progress)
        self.classes, self.labels = dataset.classes, dataset.labels
        self.old: Old | None = None
        if wishes.keep_classes:
            import numpy as np

            from zoo.finetune import head

            if base.labels is None:
                raise UsageError(f"keep_classes: {base.name} does not name its classes; a fine-tuning run's model does")
            self.old = head.old(base.model, [name for _, name in base.labels])
            names, found = base.add(dataset.classes)
            self.classes, self.labels = tuple(names), np.array(found)[dataset.labels]

    def fingerprint(self) -> dict[str, Any]:
        """Returns what has to be the same for a run to go on."""
        import hashlib
        from dataclasses import asdict

        pairs = "\n".join(f"{digest} {label}" for digest, label in zip(self.dataset.digests, self.labels, strict=True))
        data = hashlib.sha256(pairs.encode()).hexdigest()
        return {"model": self.base.name, "data": data, **asdict(self.wishes), **self.base.stated}

    def make_plan(self) -> Plan:
        """Measures how like the data are to what the network knows, and decides."""
        from zoo.finetune import decide
        from zoo.finetune.situation import Situation
        from zoo.finetune.survey import survey

        likeness, speed = survey(self.features, self.labels, self.parts.training)
        room = self.store.room()
        plan = decide.make(Situation.of(self.base, self.dataset, self.parts, room, likeness, speed), self.wishes)
        if self.features.spread is not None:
            plan.notes.append(self.features.spread.sentence(plan.training + plan.validation, plan.views, speed))
        return plan

    def task(self, plan: Plan, run: RunFolder | None = None, say: Callable[[str], None] = lambda text: None) -> Task:
        """Computes what the plan's frozen part gives; returns all that its strategy works on."""
        import numpy as np

        from zoo.finetune import fits
        from zoo.finetune.state import Checkpoint
        from zoo.finetune.strategies import Task, prepare

        parts, model = self.parts, self.base.to_train(plan.strategy)
        everything = np.concatenate([parts.training, parts.validation])
        trained, held = (everything, everything[:0]) if plan.folds else (parts.training, parts.validation)
        return Task(
            model,
            self.images,
            self.labels,
            parts.training,
            parts.validation,
            len(self.classes),
            plan,
            prepare(self.features, plan, trained, held),
            Checkpoint(None) if run is None else run.checkpoint(),
            (lambda row: None) if run is None else run.log(),
            self.old,
            self.progress,
            fits.Memo(None if run is None else run.state / "batch.json"),
            say,
        )

    def train(self, plan: Plan, run: RunFolder, say: Callable[[str], None]) -> tuple[Any, dict[str, Any]]:
        """Runs the plan; returns the model and its metrics, which are then in the run folder."""
        from zoo.finetune import crossvalidate, keeping, result
        from zoo.finetune.strategies import STRATEGIES

        task = self.task(plan, run, say)
        prepared = time.monotonic()
        kept = keeping.OldClasses(task, self.base, self.old_data, self.scratch) if task.old else None
        fixed = {layer.name for layer in self.base.model.layers if not layer.trainable}
        fan = crossvalidate.elsewhere(*self.elsewhere, plan) if self.elsewhere else None
        folds = crossvalidate.run(task, self.dataset, run, say, fan) if plan.folds else None
        outcome = STRATEGIES[plan.strategy](task)
        for layer in outcome.model.layers:
            layer.trainable = layer.name not in fixed
        seconds = {"features": round(prepared - self.started, 2), "training": round(time.monotonic() - prepared, 2)}
        ending = result.Ending(self.base, self.dataset, self.classes, self.parts, task, outcome, folds, self.command)
        judged = None if kept is None else kept.compare(outcome, kept.balance(outcome))
        model, metrics = ending.measure(seconds, judged)
        seconds["all"] = round(time.monotonic() - self.started, 2)
        written = run.end(lambda place: ending.write(place, model, metrics))
        self.store.prune()
        return written, metrics


def command_of(model: Any, data: Any, output: Any, wishes: Wishes, given: Given | None = None) -> str:
    """Returns the command line that repeats a run."""
    import shlex
    from dataclasses import fields

    words = ["zoo", "finetune", str(getattr(model, "name", model)), _named(data), "-o", str(output)]
    for item in fields(Wishes):
        value = getattr(wishes, item.name)
        if wishes.states(item):
            flag = f"--{item.name.replace('_', '-')}"
            words += [flag] if value is True else [f"--no-{flag[2:]}"] if value is False else [flag, str(value)]
    return shlex.join([*words, *flags(given or {})])


def _named(data: Any) -> str:
    return os.fspath(data) if isinstance(data, str | os.PathLike) else type(data).__name__


def _summary(metrics: dict[str, Any], path: Path) -> str:
    low, high = metrics["accuracy_interval"]
    right = round(metrics["accuracy"] * metrics["validation_images"])
    lines = [
        f"Accuracy: {metrics['accuracy']:.1%} ({right} of {metrics['validation_images']} images held out; "
        f"95 % interval {low:.1%} to {high:.1%})"
    ]
    score = metrics.get("cross_validation")
    if score:
        whole = score.get("of") == "plan"
        what = "all images, each judged by a model that did not see it" if whole else "the training images"
        lines.append(
            f"Cross-validation: {score['accuracy']:.1%} +- {score['deviation']:.1%} ({score['folds']} folds of {what})"
        )
    if metrics.get("test"):
        lines.append(f"Test: {metrics['test']['accuracy']:.1%} of {metrics['test']['images']} images set aside")
    if metrics.get("keep_classes"):
        lines.append(metrics["keep_classes"]["sentence"])
    lines.append(f"Written: {path} ({metrics['seconds']['all']:.0f} s); open report.html")
    return "\n".join(lines)
