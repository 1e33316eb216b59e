"""The artifact: a converted model on disk, as config.json and model.safetensors.

config.json is Keras's own description of the model; model.safetensors holds each variable as `<layer>/<variable>`. It
cannot run code, maps into memory, and is loaded without any initialiser running: while Keras rebuilds the layers, each
variable's initialiser is one that hands over the stored array. This module imports keras only to save or load, so that
asking whether an artifact exists stays cheap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import cache
from zoo.errors import FormatError
from zoo.schema import ModelCard

if TYPE_CHECKING:
    import keras
    import numpy as np

CONVERTER = 5
"""Number of the conversion rules; raised when a change makes another artifact of the same files."""

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
RECEIPT = "check.json"

# Variable that an initialiser argument fills, where the name does not say it.
_VARIABLE = {"depthwise_initializer": "kernel"}


def key(card: ModelCard) -> str:
    """Returns the name of the folder of a card's artifact: a hash of all that decides its bytes."""
    facts = {
        "converter": CONVERTER,
        "source": card.source.model_dump(mode="json"),
        "files": {role: file.digests or file.model_dump(mode="json") for role, file in card.files.items()},
        "preprocessing": card.preprocessing.model_dump(mode="json"),
        "check": card.check.model_dump(mode="json") if card.check else None,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def folder_of(card: ModelCard) -> Path:
    """Returns where in the cache a card's artifact lies, made or not."""
    return cache.models_dir() / cache.folder_name(card.name) / key(card)


def seal(folder: Path, receipt: dict[str, Any], hashes: Mapping[str, str]) -> None:
    """Writes the receipt beside the model, with the hashes of the model's files that `save` returned."""
    (folder / RECEIPT).write_text(json.dumps({**receipt, "artifact": dict(hashes)}, indent=1))


def read_receipt(folder: Path) -> dict[str, Any]:
    """Returns the receipt after comparing the model's files with it.

    Raises:
        FormatError: a file was changed after it was written.
    """
    receipt: dict[str, Any] = json.loads((folder / RECEIPT).read_text())
    for name, digest in receipt["artifact"].items():
        if _sha256(folder / name) != digest:
            raise FormatError(
                f"{folder / name}: was changed after the conversion; delete {folder} and get the model again"
            )
    return receipt


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save(model: keras.Model, folder: Path, arrays: Mapping[str, np.ndarray] | None = None) -> dict[str, str]:
    """Writes a model's config and weights into an existing folder.

    Args:
        model: the model.
        folder: an existing folder.
        arrays: `<layer>/<variable>` -> its values, for a model whose variables have none (`zoo.build.describe`).

    Returns:
        File name -> sha256.
    """
    import keras

    from zoo.formats import safetensors

    variables = {f"{layer.name}/{key}": found for layer in model.layers for key, found in _variables(layer).items()}
    if arrays is None:
        arrays = {key: keras.ops.convert_to_numpy(variable) for key, variable in variables.items()}
    shapes = {key: tuple(variable.shape) for key, variable in variables.items()}
    digest = safetensors.write(folder / WEIGHTS, arrays, shapes)
    config = model.to_json().encode()
    (folder / CONFIG).write_bytes(config)
    return {CONFIG: hashlib.sha256(config).hexdigest(), WEIGHTS: digest}


def load(folder: Path) -> keras.Model:
    """Reads a model that `save` wrote.

    Raises:
        FormatError: the folder's files are damaged or do not belong together.
    """
    from zoo.formats import safetensors

    try:
        description = json.loads((folder / CONFIG).read_text())
        return _rebuild(description, safetensors.read(folder / WEIGHTS))
    except (OSError, ValueError, FormatError) as error:
        raise FormatError(f"{folder}: damaged model ({error}); delete the folder and get the model again") from error


def _rebuild(description: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> keras.Model:
    import keras

    class Stored(keras.initializers.Initializer):  # type: ignore[misc]  # keras is untyped
        """Initialiser that gives a stored array."""

        def __init__(self, key: str) -> None:
            self.key = key

        def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
            array = arrays[self.key]
            if array.shape != tuple(shape):
                raise ValueError(f"{self.key} has shape {array.shape}, the layer needs {tuple(shape)}")
            left.discard(self.key)
            return array

        def get_config(self) -> dict[str, Any]:
            return {"key": self.key}

    left = set(arrays)
    originals = {}
    for layer in description["config"]["layers"]:
        config = layer["config"]
        for name in [name for name in config if name.endswith("_initializer")]:
            key = f"{layer['name']}/{_VARIABLE.get(name, name.removesuffix('_initializer'))}"
            if key in left:
                originals[layer["name"], name] = config[name]
                config[name] = {"class_name": "Stored", "config": {"key": key}, "registered_name": "Stored"}
    model = keras.models.model_from_json(json.dumps(description), custom_objects={"Stored": Stored})
    layers = {layer.name: layer for layer in model.layers}
    for (layer_name, name), config in originals.items():
        setattr(layers[layer_name], name, keras.initializers.get(config))
    for key in sorted(left):
        layer_name, variable = key.rsplit("/", 1)
        _variables(layers[layer_name])[variable].assign(arrays[key])
    return model


def _variables(layer: keras.layers.Layer) -> dict[str, Any]:
    """Returns a layer's variables by the argument that initialises them; any others by their position."""
    named = {}
    for name in layer.get_config():
        if name.endswith("_initializer"):
            key = _VARIABLE.get(name, name.removesuffix("_initializer"))
            variable = getattr(layer, key, None)
            if variable is not None and any(variable is weight for weight in layer.weights):
                named[key] = variable
    others = [weight for weight in layer.weights if not any(weight is variable for variable in named.values())]
    return {**named, **{f"@{index}": weight for index, weight in enumerate(others)}}
