"""Graphs for weight files that carry no graph: one module per family, imported when one of its variants is built.

A variant is a network (`efficientnet-lite0`); a dialect is how one publisher wrote it down: parameter names, padding,
epsilon. Tensor names and shapes alone do not tell all dialects apart, and a wrong one gives wrong numbers silently.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

from zoo.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from zoo.graph import Graph

# Module -> its variants; the modules hold the same names with their numbers.
_FAMILIES = {
    "efficientnet": (
        "efficientnet-lite0",
        "efficientnet-lite1",
        "efficientnet-lite2",
        "efficientnet-lite3",
        "efficientnet-lite4",
    ),
}


class _Classifier(Protocol):
    @property
    def classifier(self) -> str: ...


class _Family(Protocol):
    """What a family's module has."""

    DIALECTS: Mapping[str, _Classifier]
    """Dialect -> its facts; `classifier` is the name of the last layer, whose bias counts the classes."""

    def build(self, variant: str, dialect: str, classes: int) -> Graph: ...


def variants() -> list[str]:
    """Returns the names of all networks that `build` knows."""
    return [variant for names in _FAMILIES.values() for variant in names]


def dialects(variant: str) -> list[str]:
    """Returns the dialects of a variant.

    Raises:
        UsageError: there is no such variant.
    """
    return list(_family(variant).DIALECTS)


def build(variant: str, dialect: str, *, classes: int = 1000) -> Graph:
    """Returns the Graph of a network whose parameters are shapes, to be filled by `Graph.bind`.

    Args:
        variant: one of `variants()`.
        dialect: one of `dialects(variant)`.
        classes: outputs of the classifier.

    Raises:
        UsageError: there is no such variant or dialect, or no classes; the message names those there are.

    >>> build("efficientnet-lite0", "lukemelas").params["_fc.weight"].shape
    (1000, 1280)
    """
    family = _family(variant)
    if dialect not in family.DIALECTS:
        raise UsageError(f"{variant}: no dialect {dialect!r}{_known(dialect, list(family.DIALECTS))}")
    if classes < 1:
        raise UsageError(f"{variant}: classes={classes}; expected 1 or more")
    return family.build(variant, dialect, classes).check()


def fit(
    architecture: str, arrays: Mapping[str, np.ndarray], *, where: str, ignore: Mapping[str, str] | None = None
) -> Graph:
    """Returns the Graph that arrays without a card belong to, bound; dialect and classes are read off the arrays.

    Args:
        architecture: a variant, or `variant/dialect` where names alone cannot tell two dialects apart.
        arrays: name in the origin -> array.
        where: the file's name, for messages.
        ignore: suffix of a name -> reason, as for `Graph.bind`.

    Raises:
        UsageError: there is no such architecture, or several dialects have these names.
        FormatError: the arrays are not those of the architecture in any dialect.
    """
    variant, _, dialect = architecture.partition("/")
    family = _family(variant)
    names = {name for name in arrays if not name.endswith(tuple(ignore or ()))}
    graphs = {}
    for key in [dialect] if dialect else dialects(variant):
        graph = build(variant, key, classes=_classes(family, key, arrays))
        graphs[key] = (len(names ^ set(graph.params)), graph)
    best = min(distance for distance, _ in graphs.values())
    nearest = [key for key, (distance, _) in graphs.items() if distance == best]
    if best == 0 and len(nearest) > 1:
        choices = " or ".join(f"{variant}/{key}" for key in nearest)
        raise UsageError(f"{where}: its names fit several publishers' {variant}; give architecture={choices}")
    return graphs[nearest[0]][1].bind(arrays, where=where, ignore=ignore)


def _classes(family: _Family, dialect: str, arrays: Mapping[str, np.ndarray]) -> int:
    """Classes by the classifier's bias; without one ImageNet's, and `Graph.bind` then says what is missing."""
    facts = family.DIALECTS.get(dialect)
    bias = arrays.get(f"{facts.classifier}.bias") if facts else None
    return int(bias.shape[0]) if bias is not None and bias.ndim == 1 and bias.size else 1000


def _family(variant: str) -> _Family:
    for module, names in _FAMILIES.items():
        if variant in names:
            return cast(_Family, importlib.import_module(f"zoo.architectures.{module}"))
    raise UsageError(f"no architecture {variant!r}{_known(variant, variants())}")


def _known(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name.lower(), names, 1)
    return (f"; did you mean {near[0]}?" if near else "") + f"; there are: {', '.join(names)}"
