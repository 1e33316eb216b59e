"""A Caffe mean image as the only array of a file, so that it is read where any model file is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.formats import caffe

MEAN = "mean"


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads a mean image, as `zoo.formats.caffe.mean` does; its name in the result is `MEAN`."""
    return {MEAN: caffe.mean(path)}
