"""The arrays of Keras's HDF5 files, in the order in which Keras keeps them.

Three layouts exist: Keras 1 and 2 name layers and weights in attributes (`layer_names`, `weight_names`); before that
groups were numbered (`layer_3/param_0`); Keras 3 has one group per layer of a class (`layers/conv2d_3/vars/0`).
"""

from __future__ import annotations

import re

import numpy as np

from zoo.errors import FormatError
from zoo.formats.hdf5 import Guarded
from zoo.formats.keras.match import MODERN
from zoo.formats.pickles import shown

WHOLE = "model_weights"
"""The group of the weights in a file that holds the network as well."""
_OLDER = "_layer_checkpoint_dependencies/"  # Keras 2.12's name of `layers/`


def arrays(file: Guarded) -> dict[str, np.ndarray]:
    """Returns every array: those of layers as `<layer>/<weight>` in the layers' order, then all others.

    Raises:
        FormatError: a layer or a weight that the file names is not in it.
    """
    root = WHOLE if WHOLE in file.groups() else ""
    paths = _listed(file, root)
    others = [path for path in file.datasets() if path not in set(paths)]
    if not paths:
        others.sort(key=_natural)
    prefix = f"{root}/" if root else ""
    return {_key(path, prefix): file.array(path) for path in [*paths, *others]}


def _listed(file: Guarded, root: str) -> list[str]:
    """Paths of the arrays that attributes name."""
    layers = file.attribute_strings(root, "layer_names")
    if layers is None:
        return []
    groups, datasets = set(file.groups()), set(file.datasets())
    paths: list[str] = []
    for layer in layers:
        group = f"{root}/{layer}" if root else layer
        if group not in groups:
            raise FormatError(f"{file.name}: names the layer {shown(layer)!r}, but does not hold it; fetch it again")
        for weight in file.attribute_strings(group, "weight_names") or ():
            path = f"{group}/{weight}"
            if path not in datasets:
                raise FormatError(
                    f"{file.name}: names the weight {shown(path)!r}, but does not hold it; fetch it again"
                )
            paths.append(path)
    return list(dict.fromkeys(paths))


def _key(path: str, prefix: str) -> str:
    path = path.removeprefix(prefix)
    return path.replace(_OLDER, MODERN).replace("\\", "/") if path.startswith(_OLDER) else path


def _natural(path: str) -> list[tuple[int, str]]:
    """Orders `layer_10` behind `layer_9`."""
    parts = re.findall(r"\d+|\D+", path)
    return [(int(part) if part.isdecimal() and len(part) < 12 else -1, part) for part in parts]
