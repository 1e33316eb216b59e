"""Models that zoo wrote as one .keras file, when they come from others: what the file says of itself, and loading it.

Keras's safe mode refuses code inside a file; here, only what Keras itself defines is let through at all, layers that
hold programs of another framework excepted.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import FormatError, UnsupportedError
from zoo.fetch import parts
from zoo.formats.pickles import shown

if TYPE_CHECKING:
    import keras

FACTS = "zoo.json"
"""The member of a .keras file in which zoo says what the model's outputs mean."""
FACTS_LIMIT = 16 * 2**20
_CONFIG_LIMIT = 64 * 2**20
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, IndexError, OSError, RuntimeError, ValueError)
"""RuntimeError: encrypted, or JSON nested too deep; the others: damage that zipfile does not look for."""

_MEMBERS = ("metadata.json", "config.json", "model.weights.h5", FACTS)
_VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__")
"""What Keras writes as an object and is none."""
_MODULES = ("keras", "keras.activations", "keras.constraints", "keras.initializers", "keras.layers", "keras.models")
_MODULES_BELOW = ("keras.src.layers.", "keras.src.models.", "keras.src.ops.", "keras.src.dtype_policies.", "keras.ops.")
_PROGRAMS = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")


def facts(file: Path) -> dict[str, Any]:
    """Returns what zoo wrote into a .keras file; nothing for a file of Keras's own.

    Raises:
        FormatError: the file is damaged, or zoo did not write its facts.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if FACTS not in archive.namelist():
                return {}
            found = json.loads(_member(archive, FACTS, FACTS_LIMIT, file))
    except _DAMAGE as error:
        raise FormatError(f"{file}: not a sound .keras file: {shown(str(error))}") from None
    names, ids = (found.get(key) for key in ("class_names", "class_ids")) if isinstance(found, dict) else ((), None)
    for listed in (names, ids):
        if listed is not None and not (isinstance(listed, list) and all(isinstance(name, str) for name in listed)):
            raise FormatError(
                f"{file}: {FACTS}: expected class names as a list of text; the file was not written by zoo"
            )
    if names is not None and ids is not None and len(names) != len(ids):
        raise FormatError(f"{file}: {FACTS}: {len(names)} class names but {len(ids)} class ids")
    return dict(found)


def _member(archive: zipfile.ZipFile, name: str, limit: int, file: Path) -> bytes:
    with archive.open(name) as member:
        raw = member.read(limit + 1)  # the size that the zip states is no bound on what it inflates to
    if len(raw) > limit:
        raise FormatError(f"{file}: {name}: more than {limit} bytes; the file was not written by zoo")
    return raw


def load(file: Path) -> keras.Model:
    """Loads a model from a file that nobody vouches for.

    Raises:
        UnsupportedError: it holds anything but what Keras itself defines.
        FormatError: the file is damaged.
    """
    import keras

    check(file)
    with parts.scratch("finished") as folder:
        named = folder / "model.keras"  # Keras goes by the name, and files in the cache have their hash as theirs
        try:
            os.link(file, named)
        except OSError:
            shutil.copyfile(file, named)
        try:
            model = keras.saving.load_model(named, safe_mode=True, compile=False)
        except Exception as error:  # Keras raises whatever its layers raise
            raise FormatError(f"{file}: Keras cannot load it: {shown(str(error), 300)}") from error
    if not isinstance(model, keras.Model) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UnsupportedError(f"{file}: expected a functional model of one input and one output")
    return model


def check(file: Path) -> None:
    """Raises UnsupportedError if a .keras file's config names anything but what Keras itself defines."""
    try:
        with zipfile.ZipFile(file) as archive:
            strange = sorted(set(archive.namelist()) - set(_MEMBERS)) or len(archive.namelist()) > len(_MEMBERS)
            if strange:
                raise UnsupportedError(f"{file}: holds members that zoo does not write, or one twice: refused")
            config = json.loads(_member(archive, "config.json", _CONFIG_LIMIT, file))
            if not isinstance(config, dict):
                raise ValueError("config.json is no object")
            # What says how it was trained is not read.
            for found in _objects({key: value for key, value in config.items() if key != "compile_config"}):
                _check_object(found, file)
    except KeyError:
        raise FormatError(f"{file}: holds no config.json: not a .keras file of Keras 3") from None
    except _DAMAGE as error:
        raise FormatError(f"{file}: not a sound .keras file: {shown(str(error))}") from None


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            if "class_name" in here or "registered_name" in here:
                yield here
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)


def _check_object(found: dict[str, Any], file: Path) -> None:
    name, module, registered = (found.get(key) for key in ("class_name", "module", "registered_name"))
    if name in _VALUES and module is None:
        return
    if name == "function" and module == "builtins" and registered in (None, "function"):
        return  # one of Keras's own, by its name
    if isinstance(name, str) and isinstance(module, str) and registered in (None, name) and _defined(module, name):
        return
    raise UnsupportedError(
        f"{file}: holds {shown(f'{module}.{name}')[:200]}, which is none of Keras's own layers: refused"
    )


def _defined(module: str, name: str) -> bool:
    """Returns whether Keras defines a layer, operation, initialiser or the like of this name."""
    import keras

    if name in _PROGRAMS or not (module in _MODULES or module.startswith(_MODULES_BELOW)):
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    kinds = (
        keras.Operation, keras.initializers.Initializer, keras.constraints.Constraint, keras.dtype_policies.DTypePolicy,
    )  # fmt: skip
    return isinstance(found, type) and issubclass(found, kinds)
