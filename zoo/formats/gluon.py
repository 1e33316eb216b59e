"""Gluon: MXNet's .params whose network is Python code -> name -> array, without MXNet.

The container is that of `zoo.formats.mxnet`. What differs are the names: `Block.save_parameters` writes the path of a
layer among its blocks (`features.0.weight`), `save_params` before MXNet 1.2 the layer's own name (`conv0_weight`).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from zoo.formats.mxnet import params

__all__ = ["read"]


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Returns the arrays of a .params file by name, in the file's order.

    Args:
        path: written by any version of MXNet.

    Raises:
        UnsupportedError: the file holds sparse arrays.
        FormatError: the file is damaged, or its arrays have no names.
    """
    return params.read(Path(path))
