"""The network that is fine-tuned: of the registry, of an earlier run, or the caller's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.errors import UsageError
from zoo.schema import CropFraction, Preprocessing, Training


@dataclass(frozen=True)
class Base:
    """A pretrained network and what is known about it.

    Args:
        model: the keras.Model, RGB 0..255 in; it will be changed.
        name: for people.
        preprocessing: how images are brought to its size.
        training: how its publisher trained it; None when no source says.
        labels: (id, name) of its outputs; None where nobody names them.
        note: what is doubtful about it.
    """

    model: Any
    name: str
    preprocessing: Preprocessing
    training: Training | None
    labels: list[tuple[str, str]] | None
    note: str | None = None

    def add(self, classes: tuple[str, ...]) -> tuple[list[str], list[int]]:
        """Returns the names of the model's classes with those of the data added, and which of them each of the data is.

        A class of the data that has a name or an identifier of the model's is that class.
        """
        names = [name for _, name in self.labels or []]
        known = {_plain(text): number for number, pair in reversed(list(enumerate(self.labels or []))) for text in pair}
        found = []
        for name in classes:
            if _plain(name) not in known:
                known[_plain(name)] = len(names)
                names.append(name)
            found.append(known[_plain(name)])
        return names, found


def is_file(model: Any) -> bool:
    """Returns whether a model is named by a file: a fine-tuning run's folder, or any .keras file."""
    if isinstance(model, os.PathLike):
        return True
    return isinstance(model, str) and (model.endswith(".keras") or (Path(model) / "model.keras").is_file())


def check_name(model: Any) -> None:
    """Raises UnknownModelError where a name is none, before anything takes time."""
    if isinstance(model, str) and not is_file(model):
        registry.info(model)


def load(model: Any, offline: bool | None) -> Base:
    """Loads a registered network or that of a file, or copies the one given, so that the caller's stays as it is.

    Raises:
        UsageError: it is no network of one input of fixed size.
    """
    if is_file(model):
        return _of_file(Path(model))
    if isinstance(model, str):
        from zoo import library

        card = registry.info(model)
        training = None if card.training == "unknown" else card.training
        return Base(
            library.load(model, offline=offline), card.name, card.preprocessing, training, registry.labels(card)
        )
    import keras

    if not isinstance(model, keras.Model):
        raise UsageError(
            f"model: expected a registered name, a run, a .keras file or a keras.Model, got {type(model).__name__}"
        )
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] != 3 or None in shape[1:]:
        raise UsageError(f"{model.name}: expected one input (N, height, width, 3) of fixed size, got {shape}")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    # The whole picture, brought to the network's size: nobody says how it was trained.
    preprocessing = Preprocessing(
        height=shape[1],
        width=shape[2],
        channel_order="RGB",
        value_range=(0.0, 255.0),
        mean="none",
        std="none",
        resize=CropFraction(kind="crop-fraction", fraction=1.0),
        interpolation="bilinear",
        library="pil",
        antialias=True,
    )
    return Base(copy, model.name, preprocessing, None, None)


def _of_file(path: Path) -> Base:
    from zoo.finetune.head import NAMES
    from zoo.predict import classifier

    found = classifier(path)
    for layer in found.model.layers:
        if layer.name in {*NAMES, "bottleneck", "features"} or layer.name.endswith("_mean"):
            layer.name = f"{layer.name}_before"  # the new head has layers of these names
    stated = "preprocessing" in found.facts
    note = f"{path} does not say how its images are prepared: it is given RGB, 0 to 255; if it was trained on others, \
accuracy suffers"
    return Base(
        found.model,
        path.stem if path.is_file() else path.name,
        found.preprocessing,
        None,
        found.labels,
        note if not stated else None,
    )


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()
