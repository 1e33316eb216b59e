"""The batch that fits: the plan's is tried for one step, and halved while the device runs out of memory.

What is halved is made up for by accumulation: as many images as before decide each move of the weights, so the
learning rate stays.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import numpy as np

from zoo import cache
from zoo.errors import FormatError, UsageError
from zoo.finetune import devices
from zoo.finetune.batches import Batches
from zoo.finetune.train import Ready, Settings, prepared

Step = Callable[[int, int], None]
_FULL = {"MemoryError", "ResourceExhaustedError", "OutOfMemoryError"}
_SAID = ("resource_exhausted", "out of memory")


@dataclass(frozen=True)
class Size:
    """What a step takes.

    Args:
        batch_size: images per step.
        accumulate: steps whose gradients are added up.
        tried: batch sizes that were tried, the last of which fits; none where it was not tried.
        note: what was found, in words.
    """

    batch_size: int
    accumulate: int
    tried: tuple[int, ...]
    note: str


class Memo:
    """What was found, for the folds of a run and for a run that goes on.

    Args:
        path: where it is kept; None keeps it in memory alone.
    """

    def __init__(self, path: Path | None = None, size: Size | None = None) -> None:
        self._path, self._size = path, size

    def read(self) -> Size | None:
        """Returns what was found, or None.

        Raises:
            FormatError: the file is damaged.
        """
        if self._size is None and self._path is not None and self._path.is_file():
            try:
                facts = json.loads(self._path.read_text(encoding="utf-8"))
                self._size = Size(**{**facts, "tried": tuple(facts["tried"])})
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise FormatError(f"{self._path}: damaged ({error}); remove it to try batches again") from error
        return self._size

    def keep(self, size: Size) -> None:
        """Notes what was found."""
        self._size = size
        if self._path is not None:
            with cache.atomic_file(self._path) as temporary:
                temporary.write_text(json.dumps(asdict(size)), encoding="utf-8")


def fitted(
    model: keras.Model,
    batches: Batches,
    settings: Settings,
    memo: Memo,
    say: Callable[[str], None],
    *,
    spread: int = 1,
    step: Step | None = None,
) -> tuple[Batches, Settings, Ready | None, Size]:
    """Finds the batch size with which a step fits into the memory of the device.

    Args:
        model: what will be trained; has its weights again afterwards.
        batches: at the plan's size.
        settings: how it will be trained.
        memo: what was found before is not tried again.
        say: is told what was found.
        spread: devices that share each batch; its size stays a multiple of their number.
        step: (batch size, accumulated steps) -> None, runs out of memory where a step would; default: a real step of
            training, tried on GPUs only: main memory does not end with an error that can be caught.

    Returns:
        The batches and settings to train with, the model as it is compiled by then, and what was found.

    Raises:
        UsageError: not even one image a device fits.
    """
    size, ready = memo.read(), None
    if size is None:
        if step is None and devices.available()[0] == "CPU":
            note = f"{batches.size} images; not tried, as there is no GPU"
            size = Size(batches.size, settings.accumulate, (), note)
        else:
            trial = _Trial(model, batches, settings)
            size = find(batches.size, settings.accumulate, step or trial, spread)
            ready = trial.ready
        memo.keep(size)
        say(f"Batch: {size.note}")
    settings = replace(settings, accumulate=size.accumulate)
    return batches.resized(size.batch_size), settings, ready, size


def find(batch_size: int, accumulate: int, step: Step, spread: int = 1) -> Size:
    """Halves a batch until a step with it does not run out of memory.

    Args:
        batch_size: images per step to begin with.
        accumulate: steps whose gradients are added up to begin with.
        step: (batch size, accumulated steps) -> None; raises where memory ends.
        spread: the batch size stays a multiple of this.

    Raises:
        UsageError: the smallest batch does not fit, or accumulation is not to be had.
    """
    whole, size, tried = batch_size * accumulate, batch_size, []
    while True:
        tried.append(size)
        steps = accumulate if size == batch_size else max(1, round(whole / size))
        try:
            if steps > 1:
                devices.check_accumulation(steps, spread)
            step(size, steps)
        except Exception as error:
            if not out_of_memory(error):
                raise
            why = str(error).strip().split("\n")[0][:100]
            if size <= spread:
                raise UsageError(
                    f"batch_size={size}: the device runs out of memory even so ({why}); take strategy='head', a "
                    f"smaller network, or freeze more of it (freeze_until)"
                ) from error
        else:
            note = f"{size} images fit"
            if size < batch_size:
                note += (
                    f", {batch_size} do not; the gradients of {steps} steps are added up, so the rate stays"
                    f"{'' if steps * size == whole else f' (for {steps * size} images in place of {whole})'}"
                )
            return Size(size, steps, tuple(tried), note)
        gc.collect()  # of what the failed step held; outside of `except`, where its frames are still alive
        size = spread * max(1, size // spread // 2)


def out_of_memory(error: BaseException) -> bool:
    """Returns whether an error of any framework says that the memory of a device, or the machine's, is full."""
    if _FULL & {kind.__name__ for kind in type(error).__mro__}:
        return True
    # TensorFlow's InternalError, JAX's XlaRuntimeError and JaxRuntimeError say so in their text alone.
    text = str(error).casefold()
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"RuntimeError", "OpError"}) and any(word in text for word in _SAID)


class _Trial:
    """One real step at some size, after which model and optimizer are as they were."""

    def __init__(self, model: keras.Model, batches: Batches, settings: Settings) -> None:
        self._model, self._batches, self._settings = model, batches, settings
        self.ready: Ready | None = None

    def __call__(self, batch_size: int, accumulate: int) -> None:
        model, batches = self._model, self._batches.resized(batch_size)
        self.ready = None
        self.ready = prepared(model, batches, replace(self._settings, accumulate=accumulate))
        variables = [*model.variables, *self.ready.optimizer.variables]
        before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
        try:
            # Not train_on_batch: TensorFlow would give each of several devices the whole batch.
            model.fit(_First(batches), verbose=0, shuffle=False)
        finally:
            model.reset_metrics()
            for variable, array in zip(variables, before, strict=True):
                variable.assign(array)


class _First(keras.utils.PyDataset):  # type: ignore[misc]
    """The first batch of others."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._batches = batches

    def __len__(self) -> int:
        return 1

    def __getitem__(self, number: int) -> tuple[np.ndarray, ...]:
        return self._batches[number]
