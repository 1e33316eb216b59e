"""SavedModel: a folder with a graph, the signature that says what to call, and a checkpoint with its variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import FormatError, UsageError
from zoo.formats import checkpoint
from zoo.formats.tensorflow import tensors, wire
from zoo.formats.tensorflow.flat import Flat, FlatNode, Ref

_SERVE = "serve"
_DEFAULT = "serving_default"
_SPEC = re.compile(r"\d+( \d+)* (-|\d+,\d+)(:(-|\d+,\d+))*")


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs by name: reference into the graph, and shape where the signature says it."""

    inputs: Mapping[str, tuple[str, tuple[int | None, ...] | None]]
    outputs: Mapping[str, str]


def parse(data: memoryview, where: str, *, needed: bool = True) -> tuple[wire.RawGraph, Signature | None]:
    """Returns the graph to serve and its signature, if it has one; where none is needed, several are none.

    Raises:
        FormatError: the file is damaged.
        UsageError: it has several signatures and none is the default.
    """
    found = [field.content for field in wire.fields(data, where) if field.number == 2]
    if not found:
        raise FormatError(f"{where}: holds no graph; expected a SavedModel")
    metas = [_Meta.of(content, where) for content in found[:16]]
    meta = next((meta for meta in metas if _SERVE in meta.tags), metas[0])
    return wire.graph(meta.graph, where), _signature(meta, where, needed)


@dataclass
class _Meta:
    tags: list[str] = field(default_factory=list)
    graph: memoryview = field(default_factory=lambda: memoryview(b""))
    signatures: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, content: memoryview, where: str) -> _Meta:
        meta = cls()
        for part in wire.fields(content, where):
            if part.number == 1:
                meta.tags += [wire.text(tag, where) for tag in wire.parse("MetaInfo", part.content, where).tags]
            elif part.number == 2:
                meta.graph = part.content
            elif part.number == 5:
                entry = wire.parse("SignatureEntry", part.content, where)
                meta.signatures[wire.text(entry.key, where)] = entry.value
        return meta


def _signature(meta: _Meta, where: str, needed: bool) -> Signature | None:
    usable = {name: value for name, value in meta.signatures.items() if not name.startswith("__") and value.outputs}
    if _DEFAULT in usable:
        chosen = usable[_DEFAULT]
    elif len(usable) > 1 and needed:
        names = ", ".join(sorted(usable)[:8])
        raise UsageError(f"{where}: has the signatures {names} and no {_DEFAULT}; name an output with until= (--until)")
    elif len(usable) == 1:
        chosen = next(iter(usable.values()))
    else:
        return None
    inputs = {}
    for entry in chosen.inputs:
        info = entry.value
        shape = tensors.dims(info.tensor_shape, where) if info.HasField("tensor_shape") else None
        inputs[wire.text(entry.key, where)] = (wire.text(info.name, where), shape)
    outputs = {wire.text(entry.key, where): wire.text(entry.value.name, where) for entry in chosen.outputs}
    return Signature(inputs, dict(sorted(outputs.items())))


def references(signature: Signature, flat: Flat) -> list[Ref]:
    """Returns where a signature's outputs are made."""
    found = []
    for key, name in signature.outputs.items():
        ref = flat.find(name)
        if ref is None:
            raise FormatError(f"{flat.file}: output {key!r} of its signature is {name!r}, which is not in the graph")
        found.append(ref)
    return found


def shapes(signature: Signature) -> dict[str, tuple[int | None, ...] | None]:
    """Returns the shapes that a signature states, by input node."""
    return {name.partition(":")[0]: shape for name, shape in signature.inputs.values()}


class Variables:
    """Finds the arrays of a graph's variables: constants have none, a SavedModel's lie in its checkpoint."""

    def __init__(self, flat: Flat, folder: Path | None) -> None:
        self.flat = flat
        self.folder = folder
        self.taken: set[str] = set()
        self._reader: Any = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._keys: dict[int, list[tuple[str, str]]] | None = None

    def __call__(self, node: FlatNode, index: int) -> np.ndarray:
        """Returns the array of a variable.

        Raises:
            FormatError: there is no checkpoint, or it lacks the variable.
        """
        if self._reader is None:
            self._open(node)
        if self._keys is None:
            self._keys = self._restored()
        for key, spec in [*self._keys.get(index, []), *((name, "") for name in _own_names(node))]:
            if key in self._shapes:
                return self._read(node, key, spec)
        raise FormatError(f"{self.flat.file}: variable {node.name!r} is not in the checkpoint variables/variables")

    def unused(self) -> dict[str, str]:
        """Returns what the checkpoint holds beyond what was read."""
        left = [key for key in self._shapes if key not in self.taken and not key.startswith("_CHECKPOINTABLE")]
        return {key.removesuffix(_SUFFIX): "the network does not read it when it serves" for key in sorted(left)}

    def _open(self, node: FlatNode) -> None:
        prefix = None if self.folder is None else self.folder / "variables" / "variables"
        if prefix is None or not prefix.with_name("variables.index").is_file():
            raise FormatError(
                f"{self.flat.file}: variable {node.name!r} has no value: the graph is not frozen, and no checkpoint "
                f"(variables/variables.index) lies beside it; freeze the graph, or give the SavedModel folder"
            )
        data = list(prefix.parent.glob("variables.data-*"))
        self._reader, self._shapes = checkpoint.open(prefix, self.flat.file, data)

    def _restored(self) -> dict[int, list[tuple[str, str]]]:
        """Variable -> (name in the checkpoint, part of it), as the graph's own restoring would have it."""
        found: dict[int, list[tuple[str, str]]] = {}
        texts: dict[int, list[list[str]]] = {}  # one node restores all variables: its names are read once
        for node in self.flat.nodes:
            if node.op not in ("Assign", "AssignVariableOp") or len(node.inputs) != 2:
                continue
            source = self.flat.straight(node.inputs[1])
            restore = self.flat.nodes[source.node]
            if restore.op not in ("RestoreV2", "Restore", "RestoreSlice") or len(restore.inputs) < 2:
                continue
            if source.node not in texts:
                texts[source.node] = [self._texts(ref) for ref in restore.inputs[1:3]]
            names, *rest = texts[source.node]
            specs = rest[0] if rest else []
            if source.output < len(names):
                spec = specs[source.output] if source.output < len(specs) else ""
                target = self.flat.straight(node.inputs[0]).node
                found.setdefault(target, []).append((names[source.output], spec))
        return found

    def _texts(self, ref: Ref) -> list[str]:
        node = self.flat.source(ref)
        if node.op != "Const" or "value" not in node.attrs:
            return []
        return [bytes(raw).decode(errors="replace") for raw in node.attrs["value"].tensor.string_val]

    def _read(self, node: FlatNode, key: str, spec: str) -> np.ndarray:
        where = f"{self.flat.file}: variable {node.name!r}"
        array = checkpoint.tensor(self._reader, key, where)
        self.taken.add(key)
        array = _part(array, spec, where)
        if "shape" in node.attrs:
            stated = tensors.dims(node.attrs["shape"].shape, where)
            if stated is not None and None not in stated and stated != array.shape:
                raise FormatError(f"{where}: has shape {array.shape} in the checkpoint, the graph says {stated}")
        return array


_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def _own_names(node: FlatNode) -> list[str]:
    shared = bytes(node.attrs["shared_name"].s).decode(errors="replace") if "shared_name" in node.attrs else ""
    return [name for name in (shared, node.name) if name]


def _part(array: np.ndarray, spec: str, where: str) -> np.ndarray:
    """Returns the part of an array that a partitioned variable has: `3 3 16 64 0,3:0,3:0,16:0,32`."""
    if not spec:
        return array
    spans = spec.rpartition(" ")[2].split(":")
    if not _SPEC.fullmatch(spec) or len(spans) != array.ndim:
        raise FormatError(f"{where}: is part {spec[:80]!r} of an array of shape {array.shape}")
    slices = []
    for span in spans:
        start, _, length = span.partition(",")
        slices.append(slice(None) if span == "-" else slice(int(start), int(start) + int(length)))
    return array[tuple(slices)]
