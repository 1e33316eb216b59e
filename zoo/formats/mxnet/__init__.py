"""MXNet: a symbol (JSON) and its arrays (.params) -> Graph, without MXNet."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from zoo.formats.mxnet import elementwise, layers, movement, params, reductions, symbol
from zoo.formats.mxnet.symbol import Symbol
from zoo.formats.mxnet.table import Rule
from zoo.formats.mxnet.translate import State, translate
from zoo.formats.options import Options
from zoo.graph import Graph

__all__ = ["read"]

RULES: dict[str, Rule] = {**layers.RULES, **elementwise.RULES, **movement.RULES, **reductions.RULES}

# Part of an op's name -> what to do about it.
HINTS = {
    "quantize": "an int8 network; convert the float one it was made from",
    "_sg_": "fused for one kind of processor; convert the network it was made from",
    "Custom": "code of the network's author, which no file holds",
    "MultiBox": "detection; read the part below it with until=",
    "Proposal": "detection; read the part below it with until=",
    "ROI": "detection; read the part below it with until=",
    "box_": "detection; read the part below it with until=",
}


def read(
    symbol_path: str | os.PathLike[str],
    params_path: str | os.PathLike[str] | None = None,
    *,
    options: Options = Options(),  # noqa: B008  # frozen
) -> Graph:
    """Reads an MXNet network as it runs at inference.

    Args:
        symbol_path: the symbol's JSON, of any version from 0.7 to 1.9.
        params_path: the .params file; without it the parameters are `Param` shapes.
        options: `input_shape`, which the JSON rarely states, and `until`: the name of a node or of its output.

    Returns:
        A Graph whose nodes are named as MXNet's and whose parameters have their names without `arg:` and `aux:`.
        Labels are gone and losses are what they compute at inference. Casts between kinds of floats do nothing: a
        Graph computes in one precision.

    Raises:
        UnsupportedError: operations have no counterpart; all are named.
        UsageError: the shape of the input is needed, or nothing is named `until`.
        FormatError: a file is damaged, or the two do not belong together.
    """
    symbol_path = Path(symbol_path)
    net = symbol.read(symbol_path, RULES, options.until)
    arrays = None if params_path is None else _named_alike(net, params.read(Path(params_path)))
    where = "" if params_path is None else Path(params_path).name
    return translate(State(net, arrays, where, options), RULES, HINTS)


def _named_alike(net: Symbol, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Gives arrays the names the symbol has: gluon's `save_params` left out the prefix that all of them share."""
    variables = {node.name for node in net.nodes.values() if node.op == "null"} | net.skipped
    first = next(iter(arrays), None)
    if first is None or not variables.isdisjoint(arrays):
        return arrays
    ending = (name.removesuffix(first) for name in sorted(variables) if name.endswith(first))
    prefixes = [prefix for prefix in itertools.islice(ending, 8) if all(prefix + name in variables for name in arrays)]
    if len(prefixes) != 1:
        return arrays
    return {prefixes[0] + name: array for name, array in arrays.items()}
