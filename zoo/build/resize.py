"""Resize: the origin's rule for where an output position lies in the input, as weights or indices of our own.

Keras resizes by one rule only (half-pixel centres). Any other is a matrix per axis: exact, and the same on every
backend.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from zoo.build.context import Context, Op
from zoo.build.layout import Value
from zoo.graph import Node

# coordinate_transformation_mode -> place in the input of output positions i; n: input size, m: output size, s: scale
_PLACES: dict[str, Callable[[np.ndarray, int, int, float], np.ndarray]] = {
    "half_pixel": lambda i, n, m, s: (i + 0.5) / s - 0.5,
    "pytorch_half_pixel": lambda i, n, m, s: (i + 0.5) / s - 0.5 if m > 1 else i * 0.0,
    "half_pixel_symmetric": lambda i, n, m, s: n / 2 * (1 - m / (s * n)) + (i + 0.5) / s - 0.5,
    "align_corners": lambda i, n, m, s: i * ((n - 1) / (m - 1)) if m > 1 else i * 0.0,
    "asymmetric": lambda i, n, m, s: i / s,
    "tf_half_pixel_for_nn": lambda i, n, m, s: (i + 0.5) / s,
}
_NEAREST: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def resize(context: Context, node: Node) -> Value:
    """ONNX Resize of height and width: nearest, linear, cubic."""
    value = context.value(node)
    attrs = node.attrs
    mode, rule = attrs.get("mode", "nearest"), attrs.get("coordinate_transformation_mode", "half_pixel")
    nearest = attrs.get("nearest_mode", "round_prefer_floor")
    if rule not in _PLACES or nearest not in _NEAREST or mode not in ("nearest", "linear", "cubic"):
        raise context.refuse(node, f"resizes by mode {mode!r}, {rule!r}, {nearest!r}")
    if attrs.get("antialias", 0):
        raise context.refuse(node, "antialias is not supported")
    tensor = context.image(node)
    _, _, *sizes = value.shape
    axes = _outputs(context, node, value.shape)
    steps = []
    for axis, (n, (m, scale)) in enumerate(zip(sizes, axes, strict=True)):
        places = _PLACES[rule](np.arange(m, dtype=np.float64), int(n or 0), m, scale)
        if m != n or not np.array_equal(places, np.arange(m)):
            steps.append((axis, int(n or 0), np.round(places, 9)))
    if mode == "nearest":
        return Value(_taken(context, node, tensor, steps, _NEAREST[nearest]), (0, 2, 3, 1))
    for count, (axis, n, places) in enumerate(steps):
        cubic = float(attrs.get("cubic_coeff_a", -0.75))
        matrix = _linear(places, n) if mode == "linear" else _cubic(places, n, cubic, attrs.get("exclude_outside", 0))
        shape = list(tensor.shape[1:])
        shape[axis] = len(places)
        tensor = context.layer(
            keras.layers.EinsumDense,
            node,
            tensor,
            {"kernel": matrix.astype(np.float32)},
            equation="abcd,be->aecd" if axis == 0 else "abcd,ce->abed",
            output_shape=tuple(shape),
            trainable=False,
            suffix="" if count == len(steps) - 1 else "rows",
        )
    return Value(tensor, (0, 2, 3, 1))


def _outputs(context: Context, node: Node, shape: tuple[int | None, ...]) -> list[tuple[int, float]]:
    """(output size, scale) of height and width."""
    sizes, scales = node.attrs.get("sizes"), node.attrs.get("scales")
    if sizes is not None:
        channels, *wanted = [int(n) for n in sizes][1:]
        found = [(m, m / n) for m, n in zip(wanted, (int(n or 0) for n in shape[2:]), strict=True)]
        kept = channels == shape[1]
    elif scales is not None:
        batch, channel, *rest = [float(s) for s in scales]
        found = [(int(np.floor(s * int(n or 0))), s) for s, n in zip(rest, shape[2:], strict=True)]
        kept = batch == 1 and channel == 1
    else:
        raise context.refuse(node, "has neither sizes nor scales")
    if not kept or any(m < 1 for m, _ in found):
        raise context.refuse(node, f"resizes {shape} to {sizes or scales}; only height and width can be")
    return found


def _taken(context: Context, node: Node, tensor, steps, rounded):  # type: ignore[no-untyped-def]
    indices = {axis: np.clip(rounded(places), 0, n - 1).astype(int).tolist() for axis, n, places in steps}
    factors = []
    for axis in (0, 1):
        n = tensor.shape[axis + 1]
        found = indices.get(axis, list(range(n)))
        factor = len(found) // n
        factors.append(factor if factor and found == [i // factor for i in range(n * factor)] else 0)
    if all(factors):
        return context.layer(keras.layers.UpSampling2D, node, tensor, size=tuple(factors)) if steps else tensor
    for count, (axis, found) in enumerate(indices.items()):
        tensor = keras.ops.take(tensor, found, axis=axis + 1)
        context.rename(tensor, node.name if count == len(indices) - 1 else f"{node.name}.rows")
    return tensor


def _linear(places: np.ndarray, n: int) -> np.ndarray:
    """(n, outputs): how much of each input position is in each output position; the border goes on outside."""
    distance: np.ndarray = np.abs(np.arange(n)[:, None] - np.clip(places, 0, n - 1))
    weights: np.ndarray = np.maximum(0, 1 - distance)
    return weights


def _cubic(places: np.ndarray, n: int, a: float, exclude_outside: int) -> np.ndarray:
    """As `_linear`, by Keys's cubic kernel with coefficient a; the border's numbers go on outside or count nothing."""
    base = np.floor(places)
    matrix = np.zeros((n, len(places)))
    for tap in (-1, 0, 1, 2):
        x = np.abs(places - (base + tap))
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
        weight = np.where(x <= 1, near, np.where(x < 2, far, 0))
        at = (base + tap).astype(int)
        if exclude_outside:
            weight = np.where((at >= 0) & (at < n), weight, 0)
        np.add.at(matrix, (np.clip(at, 0, n - 1), np.arange(len(places))), weight)
    total: np.ndarray = matrix.sum(axis=0)
    return matrix / total if exclude_outside else matrix


OPS: dict[str, Op] = {"Resize": resize}
