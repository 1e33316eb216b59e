"""Where a classifier ends: its logits, what enters the classifier, the last feature map, where it can be cut in two.

Everything here works on a functional `keras.Model` whose layers are each used once, as `zoo.load` and
keras.applications give them, whatever framework the network came from.
"""

from __future__ import annotations

from typing import Any

import keras

from zoo.errors import UsageError

# Layers that may stand between a classifier's weights and its output, or that do nothing at inference.
_AFTER_CLASSIFIER = (
    keras.layers.Softmax,
    keras.layers.Activation,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.ReLU,
    keras.layers.Dropout,
)


def producers(model: keras.Model) -> dict[int, Any]:
    """Returns `id(tensor)` -> the operation that makes it, for every tensor inside the model."""
    made = {}
    for operation in model.operations:
        for tensor in keras.tree.flatten(operation.output):
            made[id(tensor)] = operation
    return made


def classifier(model: keras.Model) -> Any:
    """Returns the layer that holds the classifier's weights: the last dense or convolution before the output.

    Raises:
        UsageError: the model ends in something else, so that what to replace cannot be told.
    """
    made = producers(model)
    operation = made[id(model.output)]
    while not isinstance(operation, keras.layers.Dense | keras.layers.Conv2D):
        if not isinstance(operation, _AFTER_CLASSIFIER):
            raise UsageError(
                f"{model.name}: no classifier found: {operation.name!r} ({type(operation).__name__}) stands before the "
                f"output; name the layer to cut at with layer="
            )
        operation = made[id(operation.input)]
    return operation


def logits(model: keras.Model) -> Any:
    """Returns the tensor (N, classes) that enters the final softmax, or the output if there is none."""
    made = producers(model)
    last = made[id(model.output)]
    is_softmax = isinstance(last, keras.layers.Softmax) or (
        isinstance(last, keras.layers.Activation) and last.activation is keras.activations.softmax
    )
    return last.input if is_softmax else model.output


def bottleneck(model: keras.Model) -> Any:
    """Returns the tensor (N, features) that enters the classifier; a feature map is averaged over its positions.

    Dropout before the classifier is left out: it does nothing at inference, and a new head brings its own.
    """
    tensor = _skip_dropout(classifier(model).input, producers(model))
    if len(tensor.shape) == 2:
        return tensor
    return keras.layers.GlobalAveragePooling2D(name="bottleneck")(tensor)


def features(model: keras.Model) -> Any:
    """Returns the last feature map (N, H, W, C) before pooling, flattening and dense layers.

    Raises:
        UsageError: the network has no feature map.
    """
    made = producers(model)
    tensor = _skip_dropout(classifier(model).input, made)
    while len(tensor.shape) != 4 or tensor.shape[1:3] == (1, 1):
        operation = made.get(id(tensor))
        inputs = keras.tree.flatten(operation.input) if operation is not None else []
        if not inputs or isinstance(operation, keras.layers.InputLayer):
            raise UsageError(f"{model.name}: has no feature map before its classifier; name a layer with layer=")
        tensor = inputs[0]
    return tensor


def cut_points(model: keras.Model) -> list[str]:
    """Returns the names, in order, of the layers whose single output is all that the rest of the network reads.

    The model can be split after any of them: inside a residual block there is none, at its end there is one.
    """
    operations = [op for op in model.operations if not isinstance(op, keras.layers.InputLayer)]
    last_use: dict[int, int] = {}
    for position, operation in enumerate(operations):
        for tensor in keras.tree.flatten(operation.input):
            last_use[id(tensor)] = position
    alive = {id(tensor) for tensor in model.inputs}
    points = []
    for position, operation in enumerate(operations[:-1]):
        outputs = keras.tree.flatten(operation.output)
        alive |= {id(tensor) for tensor in outputs}
        alive = {tensor for tensor in alive if last_use.get(tensor, -1) > position}
        if len(outputs) == 1 and alive == {id(outputs[0])}:
            points.append(operation.name)
    return points


def split(model: keras.Model, layer_name: str) -> tuple[keras.Model, keras.Model]:
    """Returns (lower, upper): the network up to and including a layer, and the rest; both share the model's weights.

    Raises:
        UsageError: the network cannot be cut there.
    """
    if layer_name not in cut_points(model):
        raise UsageError(f"{model.name}: cannot be cut after {layer_name!r}; see zoo.heads.cut_points for where it can")
    tensor = find(model, layer_name)
    return keras.Model(model.inputs, tensor), keras.Model(tensor, model.outputs)


def find(model: keras.Model, name: str) -> Any:
    """Returns the output tensor of a layer, by its Keras name or its name in the origin (`inception_3a/1x1`).

    Raises:
        UsageError: there is no such layer; the message offers the nearest names.
    """
    wanted = layer_name_of(name)
    for operation in model.operations:
        if operation.name == wanted:
            return operation.output
    import difflib

    near = difflib.get_close_matches(wanted, [op.name for op in model.operations], n=3)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    raise UsageError(f"{model.name}: has no layer {name!r}{hint}")


def layer_name_of(name: str) -> str:
    """Returns the Keras name of a node: the origin's, with `/`, which Keras forbids, written as `.`."""
    return name.replace("/", ".")


def _skip_dropout(tensor: Any, made: dict[int, Any]) -> Any:
    while isinstance(made.get(id(tensor)), keras.layers.Dropout):
        tensor = made[id(tensor)].input
    return tensor
