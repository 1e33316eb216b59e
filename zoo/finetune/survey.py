"""A first look: a sample of the data through the network, before anything is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zoo.finetune.features import Extraction, depths

if TYPE_CHECKING:
    from zoo.finetune.likeness import Likeness

SAMPLE = 300
"""Images looked at; where there are fewer than `ALL`, all of them, whose features the linear strategy needs anyway."""
ALL = 1000


def survey(work: Extraction, labels: np.ndarray, positions: np.ndarray) -> tuple[Likeness | None, float | None]:
    """Returns how well the network's features tell the classes apart, and how many images it takes a second.

    Args:
        work: the network and the images; its seed decides the sample.
        labels: (N,) integers.
        positions: of the images to train on.
    """
    from zoo.finetune import likeness, linear

    sample = positions if len(positions) < ALL else positions[linear.subset(labels[positions], work.seed, SAMPLE)]
    features = {name: np.asarray(array, np.float32) for name, array in work(depths(work.base), sample).items()}
    return likeness.measure(features, labels[sample], seed=work.seed), work.speed
