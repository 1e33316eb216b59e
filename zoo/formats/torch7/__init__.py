"""Torch7: a network that torch.save wrote (.t7) -> Graph, without Torch."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import numpy as np

from zoo.errors import FormatError, UsageError
from zoo.formats.mapped import mapped
from zoo.formats.options import Options
from zoo.formats.pickles import shown
from zoo.formats.torch7 import axes, containers, elementwise, layers, objects
from zoo.formats.torch7.found import network, unused
from zoo.formats.torch7.objects import Object
from zoo.formats.torch7.translate import (
    Flow,
    Op,
    Reached,
    State,
    Value,
    Walk,
    all_refused,
    broken,
    entries_of,
)
from zoo.graph import Graph, Node, Param

__all__ = ["read"]

NOTHING_TOLD = Options()
OPS: dict[str, Op] = {**layers.OPS, **elementwise.OPS, **axes.OPS, **containers.OPS}


def read(path: str | os.PathLike[str], *, options: Options = NOTHING_TOLD) -> Graph:
    """Reads a Torch7 network as it runs at test time.

    Args:
        path: the .t7 file, binary (either byte order, longs of 8 or 4 bytes) or ASCII; it holds a network, or a table
            with one network in it.
        options: `input_shape` is needed unless the network takes vectors, and is that of every image if it takes
            several; `until` is a module's path.

    Returns:
        A Graph whose nodes are named by where their module stands in its containers, counted from 1 (`3.2.1`), and
        parameters by that and their field (`3.2.1.weight`). All other tensors of the file stand in `unused`.

    Raises:
        UnsupportedError: modules have no counterpart; all are named.
        FormatError: the file is damaged, or holds no network, or more than one.
        UsageError: `input_shape` is needed, or `until` names nothing.
    """
    path = Path(path)
    where = shown(path.name)
    roots = objects.load(mapped(path, "a Torch7 file"), where)
    found = network(roots, where)
    state = _translated(found, where, options)
    outputs = _outputs(state, where, options.until)
    nodes, params, inputs = _needed(state, outputs)
    graph = Graph(path.stem, inputs, outputs, nodes, params, unused(roots, found, state, params))
    return graph.check()


def _translated(module: Object, where: str, options: Options) -> State:
    """Translates for batches and, if a module would mix the images of one, for single images."""
    image = options.input_shape
    if image is not None and (len(image) != 3 or not all(type(n) is int and 1 <= n < 1 << 24 for n in image)):
        raise UsageError(f"input_shape {image!r}: expected channels, height and width, as 3,224,224")
    batches, single = (State(where, how, image, options.until) for how in (False, True))
    error = _walk(module, batches)
    if not batches.mixes or _done(batches):
        if error is not None:
            raise error
        return batches
    again = _walk(module, single)
    if again is None and (not single.refused or _done(single)):
        return single
    # A view that does not fit acts on the batch as well: then the second error says what is wrong.
    if again is not None and batches.mixes == len(batches.refused):
        raise FormatError(f"{again} (read for single images; for batches, {batches.refused[0]})")
    return batches


def _done(state: State) -> bool:
    """Whether the output that was asked for is there, whatever else is refused."""
    return state.until in state.results and not broken(state.results[state.until])


def _walk(module: Object, state: State) -> FormatError | None:
    """Translates a network; returns the error that ended it, for the caller to weigh."""
    count = containers.number_of_inputs(module)
    names = ["input"] if count == 1 else [f"input{i}" for i in range(1, count + 1)]
    state.inputs.update(dict.fromkeys(names))
    state.names.update(names)
    values: list[Flow] = [Value(name, None) for name in names]
    walk = Walk(state, OPS, containers.CONTAINERS)
    held = module.name.rpartition(".")[2] in containers.CONTAINERS
    flow = values[0] if count == 1 else values
    try:
        state.results["" if held else "1"] = walk.run(module, "" if held else "1", flow)
    except Reached:
        return None
    except FormatError as error:
        return error
    return None


def _outputs(state: State, where: str, until: str | None) -> tuple[str, ...]:
    """Returns the names of the values that the network puts out, or the part of it that was asked for."""
    if until is None:
        if state.refused:
            raise all_refused(where, state.refused)
        flow = state.results.get("", state.results.get("1"))
    elif until in state.results:
        flow = state.results[until]
        if broken(flow):
            raise all_refused(where, state.refused)
    elif any(node.name == until for node in state.nodes):
        return (until,)
    else:
        near = difflib.get_close_matches(until[:100], [key for key in state.results if key], 4)
        raise UsageError(
            f"{where}: no module has the path {shown(until)!r}; "
            + (f"the nearest are {', '.join(near)}" if near else "expected one as 3.2.1, counted from 1")
        )
    values = [entry for entry in entries_of(flow) if entry is not None]
    names = tuple(dict.fromkeys(value.name for value in values))
    if not names or any(name in state.inputs for name in names):
        raise FormatError(f"{where}: puts out its input as it is; expected modules that compute something")
    return names


def _needed(
    state: State, outputs: tuple[str, ...]
) -> tuple[tuple[Node, ...], dict[str, np.ndarray | Param], dict[str, tuple[int, ...]]]:
    """Returns nodes, parameters and inputs that the outputs depend on."""
    wanted = set(outputs)
    kept: list[Node] = []
    for node in reversed(state.nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    params: dict[str, np.ndarray | Param] = {name: array for name, array in state.params.items() if name in wanted}
    inputs = {name: tuple(shape[1:]) for name, shape in state.inputs.items() if shape is not None and name in wanted}
    return tuple(reversed(kept)), params, inputs
