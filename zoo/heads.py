"""Where a classifier ends: its logits, what enters the classifier, the last feature map, where it can be cut in two.

Everything here works on a functional `keras.Model`, as `zoo.load` and keras.applications give it, whatever framework
the network came from.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

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
    keras.layers.Identity,
)


class Step(NamedTuple):
    """One operation as a model uses it: a layer may be part of other models as well."""

    operation: Any
    inputs: list[Any]
    outputs: list[Any]


def steps(model: keras.Model) -> list[Step]:
    """Returns the model's operations in execution order, its input layers not among them."""
    found: list[Step] = []
    seen = {id(tensor) for tensor in model.inputs}
    waiting = [(tensor, False) for tensor in reversed(model.outputs)]
    while waiting:
        tensor, ready = waiting.pop()
        if id(tensor) in seen:
            continue
        # Keras says only here which use of a layer made a tensor; `layer.output` knows the first use alone.
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        if ready:
            seen |= {id(output) for output in node.output_tensors}
            found.append(Step(operation, list(node.input_tensors), list(node.output_tensors)))
        else:
            waiting.append((tensor, True))
            waiting.extend((value, False) for value in reversed(node.input_tensors))
    return found


def _makers(model: keras.Model) -> dict[int, Step]:
    """`id(tensor)` -> the step that makes it."""
    return {id(tensor): step for step in steps(model) for tensor in step.outputs}


def classifier(model: keras.Model) -> Step:
    """Returns the step that holds the classifier's weights: the last dense or convolution before the output.

    Raises:
        UsageError: the model ends in something else, so that what to replace cannot be told.
    """
    made = _makers(model)
    step = made.get(id(model.outputs[0]))
    while step is not None and not isinstance(step.operation, keras.layers.Dense | keras.layers.Conv2D):
        if not isinstance(step.operation, _AFTER_CLASSIFIER):
            raise UsageError(
                f"{model.name}: no classifier found: {step.operation.name!r} ({type(step.operation).__name__}) stands "
                f"before the output; name the layer to cut at with layer="
            )
        step = made.get(id(step.inputs[0]))
    if step is None:
        raise UsageError(f"{model.name}: no classifier found: no dense layer or convolution before the output")
    return step


def logits(model: keras.Model) -> Any:
    """Returns the tensor (N, classes) that enters the final softmax, or the output if there is none."""
    last = _makers(model)[id(model.outputs[0])]
    layer = last.operation
    is_softmax = isinstance(layer, keras.layers.Softmax) or (
        isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.softmax
    )
    return last.inputs[0] if is_softmax else model.outputs[0]


def bottleneck(model: keras.Model) -> Any:
    """Returns the tensor (N, features) that enters the classifier; a feature map is averaged over its positions.

    Dropout before the classifier is left out: it does nothing at inference, and a new head brings its own.
    """
    tensor = _skip_dropout(classifier(model).inputs[0], _makers(model))
    if len(tensor.shape) == 2:
        return tensor
    return keras.layers.GlobalAveragePooling2D(name="bottleneck")(tensor)


def features(model: keras.Model) -> Any:
    """Returns the last feature map (N, H, W, C) before pooling, flattening and dense layers.

    Raises:
        UsageError: the network has no feature map.
    """
    made = _makers(model)
    tensor = _skip_dropout(classifier(model).inputs[0], made)
    while len(tensor.shape) != 4 or tensor.shape[1:3] == (1, 1):
        step = made.get(id(tensor))
        if step is None:
            raise UsageError(f"{model.name}: has no feature map before its classifier; name a layer with layer=")
        tensor = step.inputs[0]
    return tensor


def cut_points(model: keras.Model) -> list[str]:
    """Returns the names, in order, of the layers whose single output is all that the rest of the network reads.

    The model can be split after any of them: inside a residual block there is none, at its end there is one.
    """
    walk = steps(model)
    last_use = {id(tensor): position for position, step in enumerate(walk) for tensor in step.inputs}
    alive = {id(tensor) for tensor in model.inputs}
    points = []
    for position, step in enumerate(walk[:-1]):
        alive |= {id(tensor) for tensor in step.outputs}
        alive = {tensor for tensor in alive if last_use.get(tensor, -1) > position}
        if len(step.outputs) == 1 and alive == {id(step.outputs[0])}:
            points.append(step.operation.name)
    return points


def split(model: keras.Model, layer_name: str) -> tuple[keras.Model, keras.Model]:
    """Returns (lower, upper): the network up to and including a layer, and the rest; both share the model's weights.

    Raises:
        UsageError: the network cannot be cut there.
    """
    if layer_name not in cut_points(model):
        raise UsageError(f"{model.name}: cannot be cut after {layer_name!r}; see zoo.heads.cut_points for where it can")
    tensor = find(model, layer_name)
    return keras.Model(model.input, tensor), keras.Model(tensor, model.output)


def find(model: keras.Model, name: str) -> Any:
    """Returns the output tensor of a layer, by its Keras name or its name in the origin (`inception_3a/1x1`).

    Raises:
        UsageError: there is no such layer; the message offers the nearest names.
    """
    import difflib

    wanted = layer_name_of(name)
    walk = steps(model)
    for step in walk:
        if step.operation.name in (name, wanted):
            return step.outputs[0]
    near = difflib.get_close_matches(wanted, [step.operation.name for step in walk], n=3)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    raise UsageError(f"{model.name}: has no layer {name!r}{hint}")


def raw_input(model: keras.Model, *, reverse: bool) -> Any:
    """Returns the tensor behind the built-in preprocessing: what the origin network takes, in its channel order.

    Where the build reversed the first kernels for a BGR network, they are turned back in place, so the model that was
    passed is used up.

    Args:
        model: a model with preprocessing inside, as `zoo.build.build` makes it.
        reverse: whether the origin takes BGR.
    """
    walk = steps(model)
    found = {step.operation.name: step.outputs[0] for step in walk if step.operation.name.startswith("preprocessing")}
    if not found:
        return model.input
    for name in ("preprocessing_bgr", "preprocessing_per_pixel"):
        if name in found:  # turns the channels itself
            return found[name]
    if not reverse:
        return found["preprocessing"]
    images = {id(found["preprocessing"])}
    for step in walk:
        if not any(id(tensor) in images for tensor in step.inputs):
            continue
        if isinstance(step.operation, keras.layers.ZeroPadding2D):
            images.add(id(step.outputs[0]))
        else:
            step.operation.kernel.assign(step.operation.kernel[:, :, ::-1])
    return found["preprocessing"]


def layer_name_of(name: str) -> str:
    """Returns the Keras name of a node: the origin's, with all but ASCII letters, digits, `_` and `-` written as `_`.

    Keras forbids `/`, its torch backend `.`, TensorFlow most other signs.
    """
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _skip_dropout(tensor: Any, made: dict[int, Step]) -> Any:
    while id(tensor) in made and isinstance(made[id(tensor)].operation, keras.layers.Dropout):
        tensor = made[id(tensor)].inputs[0]
    return tensor
