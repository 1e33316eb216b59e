"""Graph: the small, origin-neutral description of a network that every format is read into.

Ops, attributes and their meaning are those of the ONNX operator specification; layout is NCHW, convolution weights
are OIHW. Only `zoo.build` turns a Graph into Keras. Additions, because frameworks differ where ONNX is silent:

- `MaxPool`, `AveragePool` and `LpPool` with `ceil_mode=1` drop the last window when it would start in the right or
  bottom padding (Caffe `pooling_layer.cpp`; PyTorch `Pool.h`).
- `AveragePool` with `count_include_pad=1` divides by the window's area clipped at size + padding (same sources), else
  by how much of the window lies inside the input, dilated or not.
- `auto_pad` is `NOTSET` (use `pads`), `SAME_UPPER` (TensorFlow's SAME), `SAME_LOWER` or `VALID`.

And restrictions, so that there is one way to say each thing:

- The batch is axis 0 of every value, of unknown size; no op mixes, moves or reduces it. `Reshape` writes 0 there. A
  value of lower rank does not broadcast to one of higher rank, since that puts its batch upon another axis:
  `Unsqueeze` first.
- What decides shapes is an attribute, not an input: `shape` of Reshape and Expand, `starts`, `ends`, `axes`, `steps`
  of Slice, `split` of Split, `axes` of Squeeze, Unsqueeze and the reductions, `pads`, `mode`, `value` of Pad (pads
  for all axes), `repeats` of Tile, `scales` or `sizes` (four numbers) of Resize, `min` and `max` of Clip, `ratio` of
  Dropout. `Cast` has `to` as a numpy name. Gather's indices are a parameter.
- Meanings are those of the newest opset: `Softmax` and `LogSoftmax` act along one axis, by default the last (opset
  13); `BatchNormalization` is the inference form, the arrays of `GroupNormalization` go by channel (opset 21); an even
  `size` of `LRN` has the odd channel behind. A reader of older files says the same in these terms.
- Arrays are parameters. One that is added behind a `Conv`, `ConvTranspose`, `Gemm` or `MatMul` without a bias becomes
  its bias, and an `Add` or `Sub` behind a `Mul` or `Div` per channel one layer with it, under the name of the first;
  the second's name stays that of a layer that does nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from math import prod
from typing import Any

import numpy as np

from zoo.errors import FormatError


@dataclass(frozen=True)
class Param:
    """An array that a Graph needs but does not hold yet: what an architecture declares and `Graph.bind` fills in.

    Args:
        shape: as the Graph's nodes take it.
        stored: how the origin's file lays it out: `as is`; `HWIO` a convolution's kernel, `HWC1` a depthwise one's
            (`HWC8` where it makes eight maps of each channel), `HWG32` one of 32 groups as a depthwise one that makes
            a group's maps of each channel, `IO` a dense layer's and `rows, columns, channels` a number for each place
            of a map, all as TensorFlow has them; a shape: the same numbers with fewer or more axes of size 1; `ones`,
            or a number: not in the file, because it is that everywhere.
        standardize: if given, the origin normalises the kernel before each use (weight standardisation): what makes
            one output gets mean 0 and variance 1, with this epsilon. It is done once, when the file's array is taken.
        turned: whether the file's kernel is turned by half a turn, as Theano's convolution does.
        experts: if given, the file has as many kernels, a flat row each; they stand side by side along the input
            channels here, those of a depthwise convolution along its own.
    """

    shape: tuple[int, ...]
    stored: str | tuple[int, ...] | float = "as is"
    standardize: float | None = None
    turned: bool = False
    experts: int = 0

    @property
    def shape_in_file(self) -> tuple[int, ...] | None:
        """Shape of the origin's array; None if there is none."""
        if self.experts:
            return self.experts, prod(self._one().shape_in_file or ())
        if self.stored == "ones" or isinstance(self.stored, float):
            return None
        if isinstance(self.stored, tuple):
            return self.stored
        if self.stored.startswith("HWC"):
            maps, (out, _, rows, columns) = int(self.stored[3:]), self.shape
            return rows, columns, out // maps, maps
        if self.stored.startswith("HWG"):
            groups, (out, channels, rows, columns) = int(self.stored[3:]), self.shape
            return rows, columns, channels * groups, out // groups
        return tuple(self.shape[axis] for axis in _AXES[self.stored]) if self.stored in _AXES else self.shape

    def of(self, stored: np.ndarray) -> np.ndarray:
        """Returns the origin's array as the Graph takes it: a view with its axes in order, or a changed copy."""
        if self.experts:
            one = self._one()
            kernels = [one.of(row.reshape(one.shape_in_file or ())) for row in stored]
            return np.concatenate(kernels, axis=0 if self.shape[1] == 1 else 1)
        array = self._arranged(stored)
        array = array[:, :, ::-1, ::-1] if self.turned else array
        return array if self.standardize is None else _standardized(array, self.standardize)

    def everywhere(self) -> np.ndarray:
        """Returns the array of a parameter that is not in the file."""
        return np.full(self.shape, self.stored if isinstance(self.stored, float) else 1, np.float32)

    def _one(self) -> Param:
        """One of several kernels."""
        out, channels, *window = self.shape
        shape = (out // self.experts, 1, *window) if channels == 1 else (out, channels // self.experts, *window)
        return replace(self, shape=shape, experts=0)

    def _arranged(self, stored: np.ndarray) -> np.ndarray:
        if isinstance(self.stored, tuple):
            return stored.reshape(self.shape)
        if isinstance(self.stored, str) and self.stored.startswith("HWC"):
            return stored.transpose(2, 3, 0, 1).reshape(self.shape)
        if isinstance(self.stored, str) and self.stored.startswith("HWG"):
            rows, columns, channels, maps = stored.shape
            groups = int(self.stored[3:])
            parts = stored.reshape(rows, columns, groups, channels // groups, maps)
            return parts.transpose(2, 4, 3, 0, 1).reshape(self.shape)
        axes = _AXES.get(self.stored) if isinstance(self.stored, str) else None
        return stored if axes is None else stored.transpose(np.argsort(axes))


def _standardized(kernel: np.ndarray, epsilon: float) -> np.ndarray:
    rows = kernel.reshape(len(kernel), -1).astype(np.float64)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.sqrt(np.square(rows).mean(axis=1, keepdims=True) + epsilon)
    return rows.reshape(kernel.shape).astype(kernel.dtype)


# Axis of the Graph's array (OIHW, OI or CHW) that each axis of the file's array is.
_AXES = {"HWIO": (2, 3, 1, 0), "IO": (1, 0), "rows, columns, channels": (1, 2, 0)}


@dataclass(frozen=True)
class Node:
    """One operation.

    Args:
        op: ONNX operator name (`Conv`, `BatchNormalization`, `Gemm`, ...).
        name: the operation's name in the origin (`conv2/3x3_reduce`); unique in its Graph.
        inputs: names of values (node outputs or graph inputs) and parameters; `""` is an optional input left out.
        outputs: names of the values it produces. The first is the node's own name unless the origin has another.
        attrs: ONNX attributes; those left out take ONNX's defaults.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """A network: nodes in execution order, and its parameters by their name in the origin.

    Args:
        name: the network's own name, for messages.
        inputs: input name -> shape, NCHW without the batch dimension, e.g. `{"data": (3, 224, 224)}`.
        outputs: names of the values the network returns.
        nodes: in an order in which every input is produced before it is used.
        params: name -> array (or `Param` until bound). Arrays may be read-only views into a mapped file.
        unused: arrays the file held that the network does not use -> why; goes into the receipt.
        ignored: before binding, what the files of an architecture may hold besides: pattern of names (`AuxLogits.*`,
            as in `fnmatch`) -> why it is not used.
        renamed: before binding, names that other files of the same network have for its arrays -> the Graph's own.
    """

    name: str
    inputs: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    params: Mapping[str, np.ndarray | Param] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    def named(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under the names that the Graph has for them, where files have others (`renamed`).

        A name stays if another array has the new one already.
        """
        if not self.renamed:
            return arrays
        found: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            new = self.renamed.get(name, name)
            found[name if new in found or (new != name and new in arrays) else new] = array
        return found

    def bind(self, arrays: Mapping[str, np.ndarray], *, where: str, ignore: Mapping[str, str] | None = None) -> Graph:
        """Returns the Graph with its `Param`s filled from `arrays`; every array is used or explained.

        Arrays that the Graph already holds, constants of the network, stay.

        Args:
            arrays: name in the origin -> array, as the origin lays it out.
            where: the file's name, for messages.
            ignore: pattern of names -> reason, for arrays of a format that inference never uses
                (`*num_batches_tracked`); beside the Graph's own `ignored`.

        Raises:
            FormatError: an array is missing, left over, or has another shape than the architecture declares.
        """
        arrays = self.named(arrays)
        declared = {name: param for name, param in self.params.items() if isinstance(param, Param)}
        expected = {name: shape for name, param in declared.items() if (shape := param.shape_in_file) is not None}
        reasons = {**self.ignored, **(ignore or {})}
        missing = [name for name in expected if name not in arrays]
        extra = {name: _reason(name, reasons) for name in arrays if name not in expected}
        left_over = [name for name, reason in extra.items() if reason is None]
        if missing or left_over:
            raise FormatError(
                f"{where}: does not hold the weights of {self.name}: {_some('missing', missing)}; "
                f"{_some('left over', left_over)}; choose the architecture the file was made for"
            )
        wrong = [n for n, shape in expected.items() if tuple(arrays[n].shape) != tuple(shape)]
        if wrong:
            name = wrong[0]
            raise FormatError(
                f"{where}: {name} has shape {tuple(arrays[name].shape)}, {self.name} needs {expected[name]}"
                f" ({len(wrong)} such arrays); choose the variant the file was made for"
            )
        unused = {name: reason for name, reason in extra.items() if reason is not None}
        bound = {
            name: param.of(arrays[name]) if name in expected else param.everywhere() for name, param in declared.items()
        }
        return replace(self, params={**self.params, **bound}, unused={**self.unused, **unused}, ignored={}, renamed={})

    def check(self) -> Graph:
        """Returns the Graph itself after checking that it is well formed.

        Raises:
            FormatError: a name is produced twice, or used before it is produced, or a parameter is never used.
        """
        known = set(self.inputs) | set(self.params)
        doubled = [name for name, count in Counter(node.name for node in self.nodes).items() if count > 1]
        if doubled:
            raise FormatError(f"{self.name}: two nodes are named {doubled[0]!r}; node names must be unique")
        for node in self.nodes:
            for value in node.inputs:
                if value and value not in known:
                    raise FormatError(f"{self.name}: node {node.name!r} reads {value!r}, which nothing before it makes")
            for value in node.outputs:
                if value in known:
                    raise FormatError(f"{self.name}: node {node.name!r} makes {value!r} a second time")
                known.add(value)
        for value in self.outputs:
            if value not in known:
                raise FormatError(f"{self.name}: output {value!r} is made by no node")
        used = {value for node in self.nodes for value in node.inputs}
        idle = [name for name in self.params if name not in used]
        if idle:
            raise FormatError(f"{self.name}: {_some('parameters used by no node', idle)}")
        return self


def _reason(name: str, ignore: Mapping[str, str]) -> str | None:
    return next((why for pattern, why in ignore.items() if fnmatchcase(name, pattern)), None)


def _some(what: str, names: Iterable[str], limit: int = 4) -> str:
    names = list(names)
    if not names:
        return f"{what}: none"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{what}: {', '.join(names[:limit])}{more}"
