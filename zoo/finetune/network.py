"""A Keras network of any make -> a flat one, RGB in, with one classifier at its end: it can be cut and re-headed.

What is given may be Sequential, hold models within it, have auxiliary outputs, take grey images, or end in features.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError

if TYPE_CHECKING:
    import keras

ABSENT = "no_classifier"
"""Layer that stands where a network without a classifier gets one."""
GREY = "rgb_to_grey"
_POOLED = "features_pooled"
_TAKEN = {"bottleneck", "features", "probabilities"}
_ENDS = ("softmax", "sigmoid", "log_softmax")


def check(model: Any) -> None:
    """Raises UsageError unless a network has layers that files can name, and one image of fixed size as its input."""
    inputs = getattr(model, "inputs", None)
    if not inputs or not getattr(model, "outputs", None):
        raise UsageError(
            f"{model.name}: expected a network of Keras layers that is built, functional or Sequential with an Input; "
            f"this {type(model).__name__} is none"
        )
    shapes = [tuple(tensor.shape) for tensor in inputs]
    shape = shapes[0]
    if len(shapes) > 1 or len(shape) != 4 or shape[3] not in (1, 3) or None in shape[1:]:
        hint = "; build it with an input_shape such as (224, 224, 3)" if None in shape[1:] and shape[3:] == (3,) else ""
        got = shape if len(shapes) == 1 else f"{len(shapes)} inputs"
        raise UsageError(f"{model.name}: expected one input (N, height, width, 3) of fixed size, got {got}{hint}")
    for layer in model._flatten_layers(include_self=False):
        if not _is_known(type(layer)):
            raise UsageError(
                f"{model.name}: {layer.name!r} is a {type(layer).__name__}: a file with it could not be loaded; use "
                f"layers of Keras's own, or put @keras.saving.register_keras_serializable() before its class"
            )


def _is_known(kind: type) -> bool:
    """Whether a saved model with such a layer can be loaded: it is Keras's own and holds no code, or is registered."""
    import keras

    if issubclass(kind, keras.layers.Lambda):
        return False
    own = kind.__module__.partition(".")[0] == "keras"
    return own or keras.saving.get_registered_object(keras.saving.get_registered_name(kind)) is kind


def ready(model: Any, *, classifies: bool = False, kept: bool = False) -> tuple[Any, list[str]]:
    """Returns the network as fine-tuning takes it, and what has to be said about the change.

    Args:
        model: a Keras network.
        classifies: whether it is known that its outputs are classes.
        kept: whether the model stays as it is; else it is used up. The result may have its layers: `copy` those before
            they are trained.

    Raises:
        UsageError: it does not pass `check`; which of its outputs is the main one cannot be told; its outputs are
            neither classes nor features.
    """
    import keras

    check(model)
    notes = _said_of_outputs(model)
    network = model
    if kept or isinstance(model, keras.Sequential) or len(model.outputs) > 1:
        # Also without what it was compiled with, which may not be possible to copy.
        network = keras.Model(model.inputs[0], _main_output(model), name=model.name)
    if kept and _is_disturbed(network):
        network = copy(network)
    network = _flat(network)
    coloured = in_colour(network)
    if coloured is not network:
        network = coloured
        notes.append(f"{model.name} takes grey images: pictures are made grey before it")
    shape = tuple(network.outputs[0].shape)
    if len(shape) not in (2, 4):
        raise UsageError(
            f"{model.name}: gives {shape}; expected classes (N, classes), or features (N, features) or "
            f"(N, height, width, channels)"
        )
    if _is_headless(network, classifies):
        network = _with_head(network)
        notes.append(f"{model.name} ends in features {shape[1:]}, not in classes: the new classifier is put on them")
    _rename(network)
    return network, notes


def copy(model: keras.Model) -> keras.Model:
    """Returns a network with layers and weights of its own."""
    import keras

    found = keras.models.clone_model(model)
    found.set_weights(model.get_weights())
    return found


def _is_disturbed(model: keras.Model) -> bool:
    """Whether `ready` would call layers again or give them other names."""
    import keras

    nested = any(isinstance(operation, keras.Model) for operation in model.operations)
    return nested or model.inputs[0].shape[3] == 1 or bool(_taken(model))


def _main_output(model: Any) -> Any:
    """The output that most layers lead to: auxiliary classifiers branch off earlier."""
    import keras

    from zoo import heads

    outputs = list(model.outputs)
    if len(outputs) == 1:
        return outputs[0]
    numbers = [len(heads.steps(keras.Model(model.inputs, tensor))) for tensor in outputs]
    longest = [tensor for tensor, number in zip(outputs, numbers, strict=True) if number == max(numbers)]
    if len(longest) > 1:
        names = " and ".join(repr(_name(tensor)) for tensor in longest)
        raise UsageError(
            f"{model.name}: which of its {len(outputs)} outputs is the classifier cannot be told: as many layers lead "
            f"to {names}; pass keras.Model(model.input, model.get_layer(NAME).output)"
        )
    return longest[0]


def _said_of_outputs(model: Any) -> list[str]:
    if len(model.outputs) == 1:
        return []
    main = _main_output(model)
    others = ", ".join(repr(_name(tensor)) for tensor in model.outputs if tensor is not main)
    return [f"{model.name} has {len(model.outputs)} outputs: {_name(main)!r} is fine-tuned, {others} left out"]


def _name(tensor: Any) -> str:
    return str(tensor._keras_history.operation.name)


def _flat(model: keras.Model) -> keras.Model:
    """Returns the network with the layers of models within it in their place."""
    import keras

    def call(layer: Any, *values: Any, **how: Any) -> Any:
        if not isinstance(layer, keras.Model):
            return layer(*values, **how)
        how.pop("training", None)  # which layers are in inference mode is decided by what is frozen
        return layer.call(*values, **how)

    while any(isinstance(operation, keras.Model) for operation in model.operations):
        _check_inner(model)
        _make_unique(model)
        model = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return model


def _check_inner(model: keras.Model) -> None:
    import keras

    for inner in model.operations:
        if isinstance(inner, keras.Model) and not getattr(inner, "inputs", None):
            raise UsageError(
                f"{model.name}: {inner.name!r} within it is a {type(inner).__name__} whose layers cannot be told; use "
                f"functional or Sequential models"
            )


def _make_unique(model: keras.Model) -> None:
    """Gives layers of models within a network names that no other layer has."""
    import keras

    inner = [operation for operation in model.operations if isinstance(operation, keras.Model)]
    known = {operation.name for operation in model.operations}
    for part in inner:
        for operation in part.operations if hasattr(part, "operations") else part.layers:
            if not isinstance(operation, keras.layers.InputLayer):
                operation.name = _free(operation.name, known)
                known.add(operation.name)


def _free(name: str, known: set[str]) -> str:
    number, free = 1, name
    while free in known:
        free, number = f"{name}_{number}", number + 1
    return free


def in_colour(model: keras.Model) -> keras.Model:
    """Returns a network of grey images with a layer before it that makes RGB images grey; any other as it is."""
    import keras
    import numpy as np

    from zoo.preprocessing import GREY as WEIGHTS

    shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 1 or None in shapes[0][1:]:
        return model
    inputs = keras.Input((*model.inputs[0].shape[1:3], 3))
    turn = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False, name=GREY)
    grey = turn(inputs)
    turn.set_weights([np.array(WEIGHTS, np.float32).reshape(1, 1, 3, 1)])
    return keras.Model(inputs, model.call(grey), name=model.name)


def _is_headless(model: keras.Model, classifies: bool) -> bool:
    """Whether a network ends in features: in no dense layer or convolution, or in the activation of a hidden one."""
    import keras

    from zoo import heads

    try:
        end = heads.classifier(model).operation
    except UsageError:
        return True
    walk = [step.operation for step in heads.steps(model)]
    after = walk[walk.index(end) :]
    kinds = {_activation(operation) for operation in after} - {None, "linear"}
    soft = any(isinstance(operation, keras.layers.Softmax) for operation in after) or bool(kinds & set(_ENDS))
    if classifies or soft:
        return False
    sizes = model.outputs[0].shape
    positions = sizes[1] * sizes[2] if len(sizes) == 4 else 1
    # A map of class scores comes from 1 x 1 kernels, as a dense layer at each position would give it.
    return bool(kinds) or (positions > 1 and getattr(end, "kernel_size", (1, 1)) != (1, 1))


def _activation(operation: Any) -> str | None:
    import keras

    if isinstance(operation, keras.layers.ReLU):
        return "relu"
    return getattr(getattr(operation, "activation", None), "__name__", None)


def _with_head(model: keras.Model) -> keras.Model:
    """Returns the network with a classifier of nothing on its features, to be replaced."""
    import keras

    tensor = model.outputs[0]
    if len(tensor.shape) == 4:
        taken = {operation.name for operation in model.operations}
        tensor = keras.layers.GlobalAveragePooling2D(name=_free(_POOLED, taken))(tensor)
    zeros = keras.layers.Dense(1, kernel_initializer="zeros", name=ABSENT)
    return keras.Model(model.inputs[0], zeros(tensor), name=model.name)


def _rename(model: keras.Model) -> None:
    """Gives other names to layers that are called like those of a new head, in place: an earlier run's has them."""
    known = {operation.name for operation in model.operations}
    for operation in _taken(model):
        operation.name = _free(f"{operation.name}_before", known)
        known.add(operation.name)


def _taken(model: keras.Model) -> list[Any]:
    """Returns the operations that are called like those of a new head; not the classifier and what is behind it."""
    from zoo import heads
    from zoo.finetune.head import NAMES

    walk = [step.operation for step in heads.steps(model)]
    with contextlib.suppress(UsageError):  # it ends in features
        walk = walk[: walk.index(heads.classifier(model).operation)]
    return [step for step in walk if step.name in {*NAMES, *_TAKEN} or step.name.endswith("_mean")]
