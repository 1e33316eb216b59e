"""Groups of nodes that TensorFlow writes one meaning as: batch norm in arithmetic, dropout, dilation by batches.

Each group's last node is replaced by one that says what is meant; `translate` then never walks into the others, unless
something else reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

from zoo.formats.tensorflow.flat import Flat, FlatNode, Ref

Found: TypeAlias = dict[str, Ref]
# A pattern: a name to be captured, or an op with the patterns of its inputs.
Pattern: TypeAlias = "str | tuple[str, Pattern] | tuple[str, Pattern, Pattern]"

_SPELLINGS = {
    "Add": ("Add", "AddV2"),
    "Div": ("RealDiv", "Div"),
    "Mul": ("Mul",),
    "Sub": ("Sub",),
    "Neg": ("Neg",),
    "Sqrt": ("Sqrt",),
    "Rsqrt": ("Rsqrt",),
}
_COMMUTES = ("Add", "Mul")
_SPREAD: Pattern = ("Add", "variance", "epsilon")
_ROOT: Pattern = ("Rsqrt", _SPREAD)
_SCALE: Pattern = ("Mul", _ROOT, "gamma")
_CENTRED: Pattern = ("Sub", "x", "mean")
_NORMS: tuple[Pattern, ...] = (("Mul", _CENTRED, _ROOT), ("Div", _CENTRED, ("Sqrt", _SPREAD)))
# tf.nn.batch_normalization folds the mean into the offset; others write the formula as papers do.
_BATCH_NORMS: tuple[Pattern, ...] = (
    ("Add", ("Mul", "x", _SCALE), ("Sub", "beta", ("Mul", "mean", _SCALE))),
    ("Add", ("Mul", "x", _ROOT), ("Sub", "beta", ("Mul", "mean", _ROOT))),
    ("Add", ("Mul", "x", _SCALE), ("Neg", ("Mul", "mean", _SCALE))),
    ("Add", ("Mul", "x", _ROOT), ("Neg", ("Mul", "mean", _ROOT))),
    ("Add", ("Mul", "x", _SCALE), ("Mul", ("Neg", "mean"), _SCALE)),
    ("Add", ("Mul", "x", _ROOT), ("Mul", ("Neg", "mean"), _ROOT)),
    ("Sub", ("Mul", "x", _SCALE), ("Mul", "mean", _SCALE)),
    ("Sub", ("Mul", "x", _ROOT), ("Mul", "mean", _ROOT)),
    *(("Add", ("Mul", norm, "gamma"), "beta") for norm in _NORMS),
    ("Add", ("Mul", _CENTRED, _SCALE), "beta"),
    *(("Add", norm, "beta") for norm in _NORMS),
    *(("Mul", norm, "gamma") for norm in _NORMS),
    ("Mul", _CENTRED, _SCALE),
    *_NORMS,
)
_STORED = ("gamma", "beta", "mean", "variance", "epsilon")
_VARIABLES = ("Const", "Variable", "VariableV2", "VarHandleOp")
_RANDOM = ("RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2")
_NOISE = (*_SPELLINGS["Add"], "Sub", "Mul", "Floor", "Cast", "GreaterEqual", "Greater", "Less", "LessEqual")


def rewrite(flat: Flat) -> None:
    """Replaces the groups in place; all are found first, for one may be part of another."""
    found: dict[int, FlatNode] = {}
    for index, node in enumerate(flat.nodes):
        for find in (_batch_norm, _dropout, _dilated):
            if node.op in _ROOTS[find] and (made := find(flat, node)) is not None:
                found[index] = made
                break
    for index, made in found.items():
        flat.nodes[index] = made


def _batch_norm(flat: Flat, node: FlatNode) -> FlatNode | None:
    for pattern in _BATCH_NORMS:
        for found in _match(flat, node, pattern, {}):
            if all(_stored(flat, found[key]) for key in _STORED if key in found) and not _stored(flat, found["x"]):
                keys = ["x", *(key for key in _STORED if key in found)]
                extra = {key: position for position, key in enumerate(keys)}
                return replace(node, op="_BatchNorm", inputs=tuple(found[key] for key in keys), extra=extra)
    return None


def _match(flat: Flat, node: FlatNode, pattern: Pattern, found: Found) -> Iterator[Found]:
    """Yields every way to read a node as a pattern; patterns are at most five deep, so the recursion is."""
    if isinstance(pattern, str) or node.op not in _SPELLINGS[pattern[0]] or len(node.inputs) != len(pattern) - 1:
        return
    sides: list[Pattern] = list(pattern[1:])
    for ordered in (sides, sides[::-1]) if pattern[0] in _COMMUTES else (sides,):
        ways = iter([found])
        for reference, wanted in zip(node.inputs, ordered, strict=True):
            ways = _match_all(flat, ways, flat.straight(reference), wanted)
        yield from ways


def _match_all(flat: Flat, ways: Iterator[Found], reference: Ref, wanted: Pattern) -> Iterator[Found]:
    for found in ways:
        if not isinstance(wanted, str):
            yield from _match(flat, flat.nodes[reference.node], wanted, found)
        elif found.get(wanted, reference) == reference:
            yield {**found, wanted: reference}


def _stored(flat: Flat, reference: Ref) -> bool:
    """Whether a value is an array of the file, perhaps read, cast or given other axes."""
    for _ in range(16):
        node = flat.source(reference)
        if node.op in _VARIABLES:
            return True
        if node.op not in ("ReadVariableOp", "Cast", "Reshape", "ExpandDims", "Squeeze") or not node.inputs:
            return False
        reference = node.inputs[0]
    return False


def _dropout(flat: Flat, node: FlatNode) -> FlatNode | None:
    """Dropout: a value over what is kept, times a mask made of noise; or chosen by the mask."""
    if node.op in ("Select", "SelectV2"):
        sides = [node.inputs[1]] if len(node.inputs) == 3 and _noise(flat, node.inputs[0]) else []
    elif len(node.inputs) == 2:
        sides = [a for a, b in (node.inputs, node.inputs[::-1]) if _noise(flat, b) and not _noise(flat, a)]
    else:
        sides = []
    for side in sides:
        kept = flat.source(side)
        if kept.op in ("RealDiv", "Div", "Mul") and len(kept.inputs) == 2:
            for value, rate in (kept.inputs, kept.inputs[::-1])[: 1 + (kept.op == "Mul")]:
                if _number(flat, rate):
                    return replace(node, op="_Dropout", inputs=(value,))
    return None


def _noise(flat: Flat, reference: Ref) -> bool:
    """Whether a value is random, or a function of random numbers and stored ones."""
    left, seen, random = [reference], 0, False
    while left:
        node = flat.source(left.pop())
        seen += 1
        if seen > 40:
            return False
        if node.op in _RANDOM:
            random = True
        elif node.op in _NOISE:
            left += node.inputs
        elif node.op not in ("Const", "Placeholder", "PlaceholderWithDefault", "RealDiv", "Div"):
            return False
    return random


def _number(flat: Flat, reference: Ref) -> bool:
    """Whether a value is a stored number or one given from outside, or one over such a number."""
    node = flat.source(reference)
    if node.op in ("RealDiv", "Div", "Sub") and len(node.inputs) == 2:
        return all(flat.source(side).op in ("Const", "Placeholder", "PlaceholderWithDefault") for side in node.inputs)
    if node.op == "Const" and "value" in node.attrs:
        return len(node.attrs["value"].tensor.tensor_shape.dim) == 0
    return node.op in ("Placeholder", "PlaceholderWithDefault") and not _ranked(node)


def _ranked(node: FlatNode) -> bool:
    return "shape" in node.attrs and len(node.attrs["shape"].shape.dim) > 0


def _dilated(flat: Flat, node: FlatNode) -> FlatNode | None:
    """A convolution on batches of every n-th pixel is a dilated one (tf.nn.with_space_to_batch)."""
    if len(node.inputs) != 3:
        return None
    conv = flat.source(node.inputs[0])
    if conv.op not in ("Conv2D", "DepthwiseConv2dNative") or len(conv.inputs) != 2:
        return None
    spread = flat.source(conv.inputs[0])
    if spread.op != "SpaceToBatchND" or len(spread.inputs) != 3:
        return None
    # The convolution's name and attributes; block, pads and crops become inputs behind its two.
    inputs = (spread.inputs[0], conv.inputs[1], spread.inputs[1], spread.inputs[2], node.inputs[1], node.inputs[2])
    return replace(node, name=conv.name, op=conv.op, inputs=inputs, raw=conv.raw, extra={"dilated": True})


_ROOTS: dict[Callable[[Flat, FlatNode], FlatNode | None], tuple[str, ...]] = {
    _batch_norm: ("Add", "AddV2", "Sub", "Mul", "RealDiv", "Div"),
    _dropout: ("Mul", "Select", "SelectV2"),
    _dilated: ("BatchToSpaceND",),
}
