"""Where a network is cut in a frozen and a trained part, and which layers form a block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.errors import UsageError

if TYPE_CHECKING:
    import keras


def choose(model: keras.Model, share: float) -> str:
    """Returns the layer after which about `share` of the network's convolution and dense layers remain.

    Raises:
        UsageError: the network cannot be cut in two anywhere.
    """
    weighty = _weighty(model)
    before = _before(model)
    enough = [point for point in points(model) if _above(before, point, weighty) >= share * (len(weighty) - 1)]
    if not enough:
        raise UsageError(f"{model.name}: cannot be cut in a frozen and a trained part; use strategy='linear' or 'head'")
    return enough[-1]


def named(model: keras.Model, name: str) -> str:
    """Returns the layer to cut after, for a layer's name or that of a block: the last of those that begin with it.

    Args:
        model: the network.
        name: a layer's name, in Keras or in the origin (`layer2.1.relu`), or what the names of a block's layers begin
            with (`layer2`).

    Raises:
        UsageError: there is no such layer or block, or the network cannot be cut there.
    """
    import difflib
    import re

    from zoo import heads

    wanted, possible = heads.layer_name_of(name), points(model)
    if wanted in possible:
        return wanted
    # `block1` is not the beginning of `block10`.
    other = r"\d" if wanted[-1:].isdigit() else r"(?!)"
    block = [point for point in possible if re.match(rf"{re.escape(wanted)}(?!{other})", point)]
    if block:
        return block[-1]
    inside = any(operation.name.startswith(wanted) for operation in model.operations)
    near = difflib.get_close_matches(wanted, possible, n=3, cutoff=0.3) or possible[len(possible) // 2 :][:3]
    what = "the network cannot be cut there" if inside else "there is no such layer or block"
    raise UsageError(f"freeze_until={name!r}: {what} in {model.name}; it can after {', '.join(near)}, say")


def points(model: keras.Model) -> list[str]:
    """Returns the layers before the classifier after which the network can be cut, from input to output."""
    from zoo import heads

    before = set(_before(model))
    return [point for point in heads.cut_points(model) if point in before]


def share_above(model: keras.Model, cut: str) -> float:
    """Returns which part of the convolution and dense layers lies above a cut, 0 to 1."""
    weighty = _weighty(model)
    return _above(_before(model), cut, weighty) / max(1, len(weighty))


def blocks(model: keras.Model) -> dict[str, int]:
    """Returns layer name -> number of its block, from 0 at the output: blocks lie between two places to cut.

    Stretches without weights count as none, so that numbers tell the depth.
    """
    possible = set(points(model))
    weights = {layer.name for layer in model.layers if layer.weights}
    found: dict[str, int] = {}
    number, filled = 0, False
    for operation in model.operations:
        found[operation.name] = number
        filled = filled or operation.name in weights
        if operation.name in possible and filled:
            number, filled = number + 1, False
    deepest = max(found.values())
    return {name: deepest - block for name, block in found.items()}


def _weighty(model: keras.Model) -> set[str]:
    import keras

    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D, keras.layers.Dense)
    return {operation.name for operation in model.operations if isinstance(operation, kinds)}


def _before(model: keras.Model) -> list[str]:
    """Names of what stands before the classifier, from input to output."""
    from zoo import heads

    end = heads.classifier(model).operation.name
    operations = [operation.name for operation in model.operations]
    return operations[: operations.index(end)]


def _above(before: list[str], cut: str, weighty: set[str]) -> int:
    return sum(name in weighty for name in before[before.index(cut) + 1 :])
