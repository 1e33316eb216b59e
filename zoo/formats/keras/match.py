"""Arrays of Keras's files under the names that a Graph has for them: `conv1/conv1_W_1:0` -> `conv1/kernel`.

Keras itself loads by order and checks counts only. Here names come first: a layer's, then a variable's. Where the
layers' names are those that Keras counts up in a session (`conv2d_94`), the order of the numbers decides, kind by kind;
and where other names were given, the order of the layers. `Graph.bind` then compares all shapes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from zoo.graph import Graph, Param

_VARIABLE = re.compile(
    r"(?:^|_)(depthwise_kernel|pointwise_kernel|kernel|bias|gamma|beta|moving_mean|moving_variance|running_mean"
    r"|running_std|alphas?|mean|variance|count|W|b)(?:_\d+)?(?::0)?$"
)
# Keras 1's names. What it calls running_std is a variance (keras 1.2.2 keras/layers/normalization.py).
_TODAY = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
    "alphas": "alpha",
}
# Classes as Keras 1 counted them -> as Keras does since.
_BASES = {
    "convolution2d": "conv2d",
    "separableconvolution2d": "separable_conv2d",
    "batchnormalization": "batch_normalization",
}
MODERN = "layers/"
"""How Keras 3's names begin: a path through the model's attributes, without the layers' own names."""


def named(graph: Graph, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns arrays under the Graph's names as far as they can be told; what is left keeps its name in the file.

    Args:
        graph: its `Param`s in the order in which Keras keeps weights.
        arrays: as `zoo.formats.keras.weights` gives them, in the file's order.
    """
    stored = {key: param for key, param in graph.params.items() if isinstance(param, Param)}
    stored = {key: param for key, param in stored.items() if param.shape_in_file is not None}
    if any(key.startswith(MODERN) for key in arrays):
        return dict(graph.named(arrays))
    declared: dict[str, list[str]] = {}
    for key in stored:
        declared.setdefault(key.rpartition("/")[0], []).append(key)
    groups = _by_name(declared, arrays)
    if not all(layer in groups for layer in declared):
        groups = _renumbered(declared, arrays) or groups
    names = {key: name for layer, keys in groups.items() for key, name in _variables(layer, keys, declared[layer])}
    return {names.get(key, key): array for key, array in arrays.items()}


def _by_name(declared: Mapping[str, list[str]], arrays: Iterable[str]) -> dict[str, list[str]]:
    """Layer -> the keys of its arrays, by the layers' own names."""
    groups: dict[str, list[str]] = {}
    for key in arrays:
        layer = next((key[:at] for at in _slashes(key) if key[:at] in declared), None) or _inside(declared, key)
        if layer is not None:
            groups.setdefault(layer, []).append(key)
    return groups


def _slashes(key: str) -> list[int]:
    """Where a key can be cut, the longest beginning first."""
    return [at for at in range(len(key) - 1, 0, -1) if key[at] == "/"]


def _inside(declared: Mapping[str, list[str]], key: str) -> str | None:
    """The layer of a model inside the model, whose weights the file keeps as if it were one layer."""
    model, _, rest = key.partition("/")
    own = {layer.rpartition("/")[2]: layer for layer in declared if layer.startswith(f"{model}/")}
    if not own:
        return None
    *scopes, variable = rest.split("/")
    for scope in reversed(scopes):
        if scope in own:
            return own[scope]
    begun = [name for name in own if variable.startswith(f"{name}_")]
    return own[max(begun, key=len)] if begun else None


def _renumbered(declared: Mapping[str, list[str]], arrays: Iterable[str]) -> dict[str, list[str]] | None:
    """Layer -> the keys of its arrays, where the file counts layers from another number or calls them otherwise."""
    found: dict[str, list[str]] = {}
    for key in arrays:
        found.setdefault(key.partition("/")[0], []).append(key)
    if len(found) != len(declared):
        return None
    ranked = [sorted(names, key=_counted) for names in (declared, found)]
    bases = [Counter(_counted(name)[0] for name in names) for names in ranked]
    if bases[0] != bases[1]:
        ranked = [list(declared), list(found)]
    return {layer: found[group] for layer, group in zip(*ranked, strict=True)}


def _counted(name: str) -> tuple[str, int]:
    """A layer's name as its class and its number."""
    base, _, number = name.rpartition("_")
    base, count = (base, int(number)) if base and number.isdecimal() and len(number) < 9 else (name, 0)
    return _BASES.get(base, base), count


def _variables(layer: str, keys: list[str], declared: list[str]) -> list[tuple[str, str]]:
    """Pairs a layer's arrays with its variables: by what their names end in, or else by their order."""
    own = {name.rpartition("/")[2]: name for name in declared}
    told = []
    for key in keys:
        match = _VARIABLE.search(key.rpartition("/")[2])
        variable = _TODAY.get(match[1], match[1]) if match else ""
        if variable == "kernel" and variable not in own and "depthwise_kernel" in own:
            variable = "depthwise_kernel"
        told.append(variable)
    if all(told) and len(set(told)) == len(told) and set(own) <= set(told):
        return [(key, own.get(variable, f"{layer}/{variable}")) for key, variable in zip(keys, told, strict=True)]
    return list(zip(keys, declared, strict=True)) if len(keys) == len(declared) else []
