"""`load.py MODE FOLDER FUNCTION`: one way from files to a model; `prepare` makes the files. Imports are not counted."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protocol import forget_peak, keras_is_up, resident, tell

mode, folder, function = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
WEIGHTS = folder / f"{function}.weights.h5"
EXPORTED = folder / "model.keras"


def registered() -> str:
    import zoo

    return zoo.register(json.loads((folder / "card.json").read_text())).name


def artifact(name: str) -> Path:
    import zoo
    from zoo.artifact import folder_of

    return folder_of(zoo.info(name))


def prepare() -> None:
    import keras

    import zoo

    name = registered()
    zoo.get(name, source=folder, sandbox=False, progress=False)
    zoo.get(name, output=EXPORTED)
    keras.utils.set_random_seed(0)
    getattr(keras.applications, function)(weights=None).save_weights(WEIGHTS)


def zoo() -> Callable[[], Any]:
    import zoo
    from zoo import heads, library  # noqa: F401  # what is imported on first use is not counted

    name = registered()
    return lambda: zoo.load(name)


def keras() -> Callable[[], Any]:
    import keras

    return lambda: keras.saving.load_model(EXPORTED)


def applications() -> Callable[[], Any]:
    import keras

    return lambda: getattr(keras.applications, function)(weights=str(WEIGHTS))


def raw() -> Callable[[], Any]:
    path = artifact(registered()) / "model.safetensors"
    return path.read_bytes


def layers() -> Callable[[], Any]:
    """Keras's own construction of the model's layers, with zeros for weights: none of its initialisers run."""
    import keras

    described = json.loads((artifact(registered()) / "config.json").read_text())
    for layer in described["config"]["layers"]:
        for key in layer["config"]:
            if key.endswith("_initializer"):
                layer["config"][key] = "zeros"
    text = json.dumps(described)
    return lambda: keras.models.model_from_json(text)


keras_is_up()
if mode == "prepare":
    prepare()
    tell(seconds=0)
else:
    load = {"zoo": zoo, "keras": keras, "applications": applications, "raw": raw, "layers": layers}[mode]()
    forget_peak()
    before, start = resident("VmRSS"), time.perf_counter()
    kept = load()
    tell(seconds=time.perf_counter() - start, memory=resident("VmHWM") - before)
