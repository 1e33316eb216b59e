"""TensorFlow: a frozen graph or a SavedModel -> Graph, without running TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import FormatError
from zoo.formats.mapped import mapped
from zoo.formats.options import Options
from zoo.formats.tensorflow import saved_model, wire
from zoo.formats.tensorflow.flat import flatten
from zoo.formats.tensorflow.fold import ROOM
from zoo.formats.tensorflow.translate import translate
from zoo.formats.tensorflow.values import State
from zoo.graph import Graph

__all__ = ["read"]

_NAMES = ("saved_model.pb",)


def read(path: str | os.PathLike[str], *, options: Options = Options()) -> Graph:  # noqa: B008 - immutable
    """Reads a TensorFlow network as it runs when it serves.

    Args:
        path: a frozen GraphDef (`.pb`), or a SavedModel: its folder, or the saved_model.pb in it with `variables/`
            beside. Variables are read with the TensorFlow that is installed; the graph is never loaded into it.
        options: `input_shape` where the graph leaves the image's size open; `input` to begin at a node's value,
            which is of the size that what stands before it says, and `until` to end at one.

    Returns:
        A Graph whose nodes and parameters have the file's names. Its inputs are the placeholders that the outputs
        need; where a graph decodes images itself, its input is the first value of four axes and known size, and what
        comes before stands in `unused`. Its outputs are the signature's, or what nothing reads. A batch in the file
        is any number of images here.

    Raises:
        UnsupportedError: nodes have no counterpart; all are named.
        FormatError: a file is damaged, or a variable is missing.
        UsageError: the input's size has to be given, or an option names nothing.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise FormatError(f"{path}: holds no saved_model.pb; expected a SavedModel folder")
        path = path / "saved_model.pb"
    saved = path.name in _NAMES
    name = path.parent.name if saved and path.parent.name else path.name
    data = memoryview(mapped(path, "a TensorFlow graph"))
    saved = saved or _is_saved_model(data, name)
    if saved:
        raw, signature = saved_model.parse(data, name, needed=options.until is None)
    else:
        raw, signature = wire.graph(data, name), None
    served = () if signature is None else {made.partition(":")[0] for made in signature.outputs.values()}
    flat = flatten(raw, name, served)
    if not flat.nodes:
        raise FormatError(f"{name}: holds no nodes; expected a TensorFlow graph")
    variables = saved_model.Variables(flat, path.parent if saved else None)
    stated = {} if signature is None else saved_model.shapes(signature)
    state = State(flat, options, stated, variables, room=ROOM + 2 * len(data))
    wanted = None if signature is None else saved_model.references(signature, flat)
    graph = translate(state, wanted)
    return Graph(
        graph.name, graph.inputs, graph.outputs, graph.nodes, graph.params, {**variables.unused(), **graph.unused}
    )


def _is_saved_model(data: memoryview, where: str) -> bool:
    """A SavedModel begins with its version, a number; a GraphDef with a node."""
    first = next(wire.fields(data, where), None)
    return first is not None and first.number == 1 and len(first.content) == 0
