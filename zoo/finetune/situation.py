"""What a plan is made for: the data, the network, and what is known of both before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from zoo.finetune.base import Base
    from zoo.finetune.data import Dataset, Split
    from zoo.finetune.likeness import Likeness
    from zoo.schema import Training


@dataclass(frozen=True)
class Situation:
    """What the plan is made for.

    Args:
        dataset: what was found.
        sizes: number of images to train on, to hold out, and of the test part.
        model: the pretrained keras.Model.
        name: its name.
        training: how its publisher trained it; None when no source says.
        precision: the mixed precision the GPU offers; None when there is no GPU.
        room: bytes that arrays computed once may take.
        likeness: how well the network's features tell the classes apart; None where it was not measured.
        speed: images a second through the network; None where it was not measured.
        old: names of the model's own classes, where they are known.
        dropout: rate before the model's own classifier; None if it has none.
        notes: what is doubtful about the model.
        devices: their kind, `GPU` or `CPU`, and number.
    """

    dataset: Dataset
    sizes: tuple[int, int, int]
    model: Any
    name: str
    training: Training | None = None
    precision: str | None = None
    room: int = 2**33
    likeness: Likeness | None = None
    speed: float | None = None
    old: list[str] | None = None
    dropout: float | None = None
    notes: tuple[str, ...] = ()
    devices: tuple[str, int] = ("CPU", 1)

    @classmethod
    def of(
        cls,
        base: Base,
        dataset: Dataset,
        parts: Split,
        room: int,
        likeness: Likeness | None,
        speed: float | None,
    ) -> Situation:
        """Returns the situation on this machine.

        Args:
            base: the network.
            dataset: the images.
            parts: how they are divided.
            room: bytes that arrays computed once may take.
            likeness: see above.
            speed: see above.
        """
        from zoo.finetune import devices, head
        from zoo.finetune.train import gpu_precision

        return cls(
            dataset,
            (len(parts.training), len(parts.validation), len(parts.test)),
            base.model,
            base.name,
            base.training,
            gpu_precision(),
            room,
            likeness,
            speed,
            None if base.labels is None else [name for _, name in base.labels],
            head.own_dropout(base.model),
            base.notes,
            devices.available(),
        )


def extremes(sizes: np.ndarray) -> dict[str, list[int]]:
    """Returns the smallest, the median and the largest image's width and height, by area, of (N, 2) sizes."""
    order = np.argsort(sizes.prod(axis=1), kind="stable")
    places = {"smallest": order[0], "median": order[len(order) // 2], "largest": order[-1]}
    return {name: [int(side) for side in sizes[place]] for name, place in places.items()}
