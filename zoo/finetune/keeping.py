"""Classes that are kept: how well a model still knows them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from zoo.errors import DataError
from zoo.finetune import data as data_module
from zoo.finetune.base import Base
from zoo.finetune.features import predict
from zoo.finetune.head import CLASSIFIER
from zoo.finetune.pictures import Pictures
from zoo.finetune.scratch import Scratch
from zoo.finetune.strategies import BOTTLENECK, Outcome, Task, predicted

GIVEN_UP = 0.05
"""Share of the new images that may be lost so that old classes are not taken for new ones."""


class OldClasses:
    """What the network said before it was trained.

    Args:
        task: the run's task, before training.
        base: the network, before training.
        data: images of its classes, of any kind that `finetune` takes; None for none.
        scratch: where they are held.

    Raises:
        DataError: a class of `data` is none of the network's.
    """

    def __init__(self, task: Task, base: Base, data: Any, scratch: Scratch) -> None:
        if task.old is None:
            raise ValueError("the plan keeps no classes")
        self._task, self._old = task, task.old
        self._said = task.old.at(1.0)(task.pool.plain(BOTTLENECK, task.validation)).argmax(axis=1)
        self._images: Pictures | None = None
        if data is not None:
            dataset = data_module.index(data, trained=False, progress=task.progress)
            names, found = base.add(dataset.classes)
            if len(names) > len(task.old.names):
                unknown = names[len(task.old.names) :]
                raise DataError(
                    f"{dataset.name}: {unknown[0]!r} is no class of {base.name}; old_data holds its classes only"
                )
            self._images = Pictures(dataset, base.preprocessing, scratch, task.progress)
            self._labels = np.array(found)[dataset.labels]
            self._before = (self._answers(base.model) == self._labels).mean()

    def balance(self, outcome: Outcome) -> float:
        """Takes from the new classes what they have too much; returns by how much their logits were lowered.

        Trained on images of new classes alone, a network says `new` to everything (1905.13260). Their logits are
        lowered together as far as leaves all but `GIVEN_UP` of the new images held out their answer.
        """
        task, number = self._task, len(self._old.names)
        new = task.validation[task.labels[task.validation] >= number]
        if not len(new):
            return 0.0
        logits = np.log(np.maximum(predicted(task, outcome, new), 1e-30))
        margins = logits[:, number:].max(axis=1) - logits[:, :number].max(axis=1)
        shift = max(0.0, float(np.quantile(margins, GIVEN_UP, method="lower")) - 1e-3)
        layer = outcome.model.get_layer(CLASSIFIER)
        bias = np.array(keras.ops.convert_to_numpy(layer.bias))
        bias[number:] -= shift
        layer.bias.assign(bias)
        return shift

    def compare(self, outcome: Outcome, shift: float) -> dict[str, Any]:
        """Returns how the old classes fare in the trained model, and how the new ones do, after `balance`."""
        task, number = self._task, len(self._old.names)
        probabilities = predicted(task, outcome, task.validation)
        labels = task.labels[task.validation]
        new = labels >= number
        found: dict[str, Any] = {
            "old_classes": number,
            "lowered": shift,
            "new_classes": task.classes - number,
            "accuracy_new": float((probabilities.argmax(axis=1) == labels)[new].mean()) if new.any() else None,
            "agreement": float((probabilities[:, :number].argmax(axis=1) == self._said).mean()),
        }
        known = "" if found["accuracy_new"] is None else f"new classes {found['accuracy_new']:.1%}; "
        sentence = (
            f"Kept classes: {known}among the {number} old ones, the answer is as before on {found['agreement']:.1%}"
        )
        if self._images is not None:
            after = self._answers(outcome.model)
            found["old_images"] = len(self._labels)
            found["accuracy_old_before"] = float(self._before)
            found["accuracy_old_after"] = float((after == self._labels).mean())
            sentence += (
                f"; on old images {found['accuracy_old_before']:.1%} before, {found['accuracy_old_after']:.1%} after"
            )
        else:
            sentence += " of the images held out; old_data measures accuracy"
        return {**found, "sentence": sentence}

    def _answers(self, model: keras.Model) -> np.ndarray:
        assert self._images is not None
        return np.asarray(predict(model, self._images, np.arange(len(self._labels))).argmax(axis=1))
