"""Parity per node: what a network computes on the way, against arrays that the origin framework gave."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from zoo.errors import FormatError, UsageError, ZooError
from zoo.graph import Graph, Node

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4
INPUT = "input"  # what a file may call a network's only input

Result = Literal["equal", "differs", "cannot run"]


@dataclass(frozen=True)
class Row:
    """One value of the network and what the origin gave for it.

    Args:
        name: as the file has it.
        shape: the origin's, with the batch.
        error: max|a - b| / max|b|; infinite where shapes differ or only one of the two is a number.
        index: of the element that is farthest off, in the origin's order of axes; None if shapes differ.
        actual: that element in the network.
        expected: that element in the file.
        equal: whether the error is within the tolerance.
        note: what else there is to say.
    """

    name: str
    shape: tuple[int, ...]
    error: float
    index: tuple[int, ...] | None
    actual: float
    expected: float
    equal: bool
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """The outcome for one file of arrays.

    Args:
        result: `equal`, `differs` or `cannot run`.
        rows: the values compared, in the order in which the network computes them.
        unknown: names in the file that the network does not have.
        tolerance: the largest error that counts as equal.
        why: why it cannot run.
    """

    result: Result
    rows: tuple[Row, ...] = ()
    unknown: tuple[str, ...] = ()
    tolerance: float = TOLERANCE
    why: str = ""

    @property
    def first(self) -> Row | None:
        """The first value that departs from the origin's."""
        return next((row for row in self.rows if not row.equal), None)

    def __str__(self) -> str:
        missing = f"; the network has no {', '.join(self.unknown[:8])}" if self.unknown else ""
        missing += f" and {len(self.unknown) - 8} more" if len(self.unknown) > 8 else ""
        row = self.first
        if self.result == "cannot run":
            return f"cannot run: {self.why}{missing}"
        if row is None:
            worst = max((row.error for row in self.rows), default=0.0)
            return f"equal: {len(self.rows)} values, largest error {worst:.1e} of {self.tolerance:.0e} allowed{missing}"
        if row.index is None:
            return f"differs: first at {row.name}: {row.note}{missing}"
        return (
            f"differs: first at {row.name}: error {row.error:.1e} of {self.tolerance:.0e} allowed, worst at "
            f"{list(row.index)}: {row.actual:.6g}, expected {row.expected:.6g}{missing}"
        )


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads a file of arrays as the origin gave them.

    Raises:
        FormatError: it is no .npz of numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        AttributeError,
        TypeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
        raise FormatError(f"{path}: is no .npz file of arrays ({why}); make one with numpy.savez") from error
    strange = [name for name, array in found.items() if array.dtype.kind not in "fiub"]
    if strange:
        raise FormatError(f"{path}: {strange[0]!r} holds {found[strange[0]].dtype}; expected numbers")
    return found


def compare(
    network: Graph | keras.Model,
    arrays: Mapping[str, np.ndarray],
    *,
    tolerance: float = TOLERANCE,
    reverse: bool | None = None,
) -> Comparison:
    """Runs a network once on a file's input and compares every value that the file has.

    Args:
        network: a Graph whose parameters are bound, or a model whose layers have the origin's names. Only a Graph
            gives values that building merges into others.
        arrays: name in the origin -> array, NCHW where it is a map: the network's inputs (or one named `input`),
            outputs, and any others, by the name of the value or of the node that makes it.
        tolerance: the largest max|a - b| / max|b| that counts as equal.
        reverse: for a model with preprocessing inside, when the file's input is what the origin took: whether that is
            BGR. The model is used up. None: the file's input is the model's own.

    Returns:
        The values in the order in which the network computes them, and one of three results.
    """
    try:
        found = _of_graph(network, arrays) if isinstance(network, Graph) else _of_model(network, arrays, reverse)
    except ZooError as error:
        return Comparison("cannot run", tolerance=tolerance, why=str(error))
    if not found.names:
        why = "the file has no value of the network besides its input"
        return Comparison("cannot run", unknown=found.unknown, tolerance=tolerance, why=why)
    try:
        values = _run(found)
    except Exception as error:  # whatever a backend raises: the answer is that it does not run
        why = " ".join(str(error).split())[:300]
        return Comparison("cannot run", unknown=found.unknown, tolerance=tolerance, why=why)
    rows = [
        _row(name, value, np.asarray(arrays[name]), tolerance) for name, value in zip(found.names, values, strict=True)
    ]
    result: Result = "equal" if all(row.equal for row in rows) else "differs"
    return Comparison(result, tuple(rows), found.unknown, tolerance)


@dataclass(frozen=True)
class _Found:
    """A model whose outputs are the wanted values, its inputs, and how the values are called in the file."""

    model: Any
    inputs: list[np.ndarray]
    names: tuple[str, ...]
    unknown: tuple[str, ...]
    flattened: Mapping[int, tuple[int, ...]]  # output -> (C, H, W) of the map it is, flattened as H, W, C


def _of_graph(graph: Graph, arrays: Mapping[str, np.ndarray]) -> _Found:
    """The Graph built anew with the wanted values as its outputs, so that none of them is merged away."""
    from zoo.build import build

    inputs = _named_inputs(list(graph.inputs), arrays)
    values = {value: value for node in graph.nodes for value in node.outputs}
    by_node = {node.name: node.outputs[0] for node in graph.nodes}
    wanted = {name: values.get(name) or by_node.get(name) for name in arrays if name not in inputs.values()}
    places = {value: place for place, value in enumerate(values)}
    known = {name: value for name, value in wanted.items() if value is not None}
    names = sorted(known, key=lambda name: places[known[name]])
    unknown = tuple(name for name in wanted if name not in known)
    if not names:
        return _Found(None, [], (), unknown, {})
    needed = tuple(dict.fromkeys(known[name] for name in names))
    pruned = _pruned(graph, needed)
    model = build(pruned)
    given = [
        _fed(np.asarray(arrays[inputs[key]]), tensor, key)
        for key, tensor in zip(pruned.inputs, model.inputs, strict=True)
    ]
    tensors = dict(zip(needed, model.outputs, strict=True))
    return _Found(_with_outputs(model.inputs, [tensors[known[n]] for n in names]), given, tuple(names), unknown, {})


def _pruned(graph: Graph, outputs: Sequence[str]) -> Graph:
    """The Graph without what the outputs do not need."""
    needed = set(outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return replace(
        graph,
        inputs={key: shape for key, shape in graph.inputs.items() if key in needed},
        outputs=tuple(outputs),
        nodes=tuple(reversed(kept)),
        params={key: array for key, array in graph.params.items() if key in needed},
    )


def _of_model(model: Any, arrays: Mapping[str, np.ndarray], reverse: bool | None) -> _Found:
    """The model's layers by their names in the origin; a flattened map is told by the layer that flattens it."""
    import keras

    from zoo import heads

    tensors = list(model.inputs)
    layers = [str(tensor.name) for tensor in tensors]
    named = {key: _origin_name(key, arrays) for key in layers}
    inputs = _named_inputs([named[key] for key in layers], arrays)
    if reverse is not None and len(tensors) == 1:
        tensors = [heads.raw_input(model, reverse=reverse)]
    walk = heads.steps(model)
    places = {id(tensor): place for place, step in enumerate(walk) for tensor in step.outputs}
    makers = {id(tensor): step for step in walk for tensor in step.outputs}
    known: dict[str, Any] = {}
    unknown = []
    for name in arrays:
        if name in inputs.values():
            continue
        try:
            known[name] = heads.find(model, name)
        except UsageError:
            unknown.append(name)
    names = sorted(known, key=lambda name: places[id(known[name])])
    if not names:
        return _Found(None, [], (), tuple(unknown), {})
    flattened = {}
    for place, name in enumerate(names):
        step = makers[id(known[name])]
        shape = step.inputs[0].shape
        if isinstance(step.operation, keras.layers.Flatten) and len(shape) == 4:
            flattened[place] = (int(shape[3]), int(shape[1]), int(shape[2]))
    given = [
        _fed(np.asarray(arrays[inputs[named[key]]]), tensor, named[key])
        for key, tensor in zip(layers, tensors, strict=True)
    ]
    return _Found(_with_outputs(tensors, [known[n] for n in names]), given, tuple(names), tuple(unknown), flattened)


def _origin_name(layer: str, arrays: Mapping[str, np.ndarray]) -> str:
    from zoo.heads import layer_name_of

    return next((name for name in arrays if layer_name_of(name) == layer), layer)


def _with_outputs(inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
    import keras

    return keras.Model(list(inputs), list(outputs))


def _named_inputs(names: Sequence[str], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Input of the network -> its name in the file."""
    found = {name: name for name in names if name in arrays}
    if not found and len(names) == 1 and INPUT in arrays:
        found = {names[0]: INPUT}
    missing = [name for name in names if name not in found]
    if missing:
        raise UsageError(f"the file has no input {missing[0]!r}; it holds {', '.join(list(arrays)[:8]) or 'nothing'}")
    return found


def _fed(array: np.ndarray, tensor: Any, name: str) -> np.ndarray:
    """An input in the model's layout: NHWC where the file has NCHW."""
    wanted = tuple(tensor.shape[1:])
    if array.dtype.kind not in "fiub":
        raise UsageError(f"the file's input {name!r} holds {array.dtype}; expected numbers")
    fits = [order for order in _orders(array.ndim) if _fit(tuple(array.transpose(order).shape[1:]), wanted)]
    if not fits or array.ndim != len(wanted) + 1:
        raise UsageError(f"the file's input {name!r} has shape {array.shape}; the network takes (N, *{wanted}) as NHWC")
    return np.ascontiguousarray(array.transpose(fits[0]), dtype=np.float32)


def _orders(rank: int) -> list[tuple[int, ...]]:
    """NCHW to NHWC first: the origin's order decides where both fit."""
    return [(0, 2, 3, 1), (0, 1, 2, 3)] if rank == 4 else [tuple(range(rank))]


def _fit(sizes: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(sizes) == len(wanted) and all(m in (None, n) for n, m in zip(sizes, wanted, strict=True))


def _run(found: _Found) -> list[list[np.ndarray]]:
    """Each value in the orders of axes that it may have in the origin, the likeliest first."""
    import keras

    results = found.model(found.inputs, training=False)
    arrays = [keras.ops.convert_to_numpy(value) for value in (results if isinstance(results, list) else [results])]
    values = []
    for place, array in enumerate(arrays):
        orders = [array.transpose(0, 3, 1, 2), array] if array.ndim == 4 else [array]
        if place in found.flattened:
            channels, height, width = found.flattened[place]
            turned = array.reshape(len(array), height, width, channels).transpose(0, 3, 1, 2)
            orders.append(turned.reshape(array.shape))
        values.append(orders)
    return values


def _row(name: str, candidates: list[np.ndarray], expected: np.ndarray, tolerance: float) -> Row:
    """The comparison in the first order that fits; a flattened map's other order if that is nearer."""
    if expected.dtype.kind not in "fiub":
        return Row(name, expected.shape, np.inf, None, np.nan, np.nan, False, f"the file holds {expected.dtype}")
    rows = []
    for actual in candidates:
        if _without_ones(actual.shape) == _without_ones(expected.shape):
            rows.append(_measured(name, actual.reshape(expected.shape), expected, tolerance))
            if expected.ndim == 4 and actual.ndim == 4:
                break
    if not rows:
        note = f"has shape {candidates[0].shape}, expected {expected.shape}"
        return Row(name, expected.shape, np.inf, None, np.nan, np.nan, False, note)
    return min(rows, key=lambda row: row.error)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape by which (N, C, 1, 1) and (N, C) are the same."""
    return (*shape[:1], *(n for n in shape[1:] if n != 1))


def _measured(name: str, actual: np.ndarray, expected: np.ndarray, tolerance: float) -> Row:
    a, b = actual.astype(np.float64), expected.astype(np.float64)
    if not a.size:
        return Row(name, expected.shape, 0.0, None, np.nan, np.nan, True, "is empty")
    with np.errstate(all="ignore"):
        off = np.abs(a - b)
    # Equal infinities and numbers that neither has are no difference; those that only one has are the greatest.
    off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.where(np.isfinite(off), off, np.inf))
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(off)), off.shape))
    finite = np.abs(b[np.isfinite(b)])
    scale = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    error = float(off[index]) / scale
    missing = int(np.count_nonzero(np.isnan(a) != np.isnan(b)))
    note = f"{missing} elements are no number in only one of the two" if missing else ""
    return Row(name, expected.shape, error, index, float(a[index]), float(b[index]), error <= tolerance, note)
