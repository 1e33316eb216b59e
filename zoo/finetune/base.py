"""The network that is fine-tuned: of the registry, of an earlier run, or the caller's own."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.errors import UsageError
from zoo.finetune import network
from zoo.given import Given, apply, require
from zoo.schema import CropFraction, Preprocessing, Training


@dataclass(frozen=True)
class Base:
    """A pretrained network and what is known about it.

    Args:
        model: the keras.Model, RGB 0..255 in. It will be changed, unless it is borrowed.
        name: for people.
        preprocessing: how images are brought to its size.
        training: how its publisher trained it; None when no source says.
        labels: (id, name) of its outputs; None where nobody names them.
        facts: what a run made of it says beside, in zoo.json: the licence, and what the caller stated.
        notes: what is doubtful about it, or was changed so that it can be fine-tuned; one sentence each.
        borrowed: whether it has layers of the caller's model, which stay as they are.
    """

    model: Any
    name: str
    preprocessing: Preprocessing
    training: Training | None
    labels: list[tuple[str, str]] | None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    borrowed: bool = False

    def to_train(self, strategy: str) -> Any:
        """Returns the network that a strategy works on: a copy where it changes layers, and they are the caller's."""
        return network.copy(self.model) if self.borrowed and strategy in ("blocks", "all") else self.model

    @property
    def stated(self) -> dict[str, Any]:
        """Facts of `preprocessing` that the caller stated."""
        return {key: value for key, value in self.facts.items() if key == "stated_by_caller"}

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


def check_name(model: Any, given: Given | None = None) -> None:
    """Raises UnknownModelError where a name is none, and tells facts that are missing, before anything takes time."""
    if isinstance(model, str) and not is_file(model):
        require(apply(registry.info(model), given or {})[0], images=True)
        return
    if stated := [key for key, value in (given or {}).items() if value is not None]:
        raise UsageError(f"{stated[0]}: is for registered models; this one has its preprocessing inside")
    if is_file(model):
        from zoo.predict import check

        check(Path(model))


def load(model: Any, offline: bool | None, given: Given | None = None) -> Base:
    """Loads a registered network or that of a file, or borrows the one given, which stays as it is.

    `given` are facts about a registered model's preprocessing that the caller states.

    Raises:
        UsageError: it is no network of layers with one image of fixed size as its input, or ends in neither classes
            nor features.
    """
    if is_file(model):
        return _of_file(Path(model))
    if isinstance(model, str):
        from zoo import library

        card, stated = apply(registry.info(model), given or {})
        training = None if card.training == "unknown" else card.training
        facts = {"license": card.license.model_dump(mode="json"), **({"stated_by_caller": stated} if stated else {})}
        found, notes = network.ready(library.load(model, offline=offline, **(given or {})), classifies=True)
        return Base(found, card.name, card.preprocessing, training, registry.labels(card), facts, tuple(notes))
    import keras

    if not isinstance(model, keras.Model):
        raise UsageError(
            f"model: expected a registered name, a run, a .keras file or a keras.Model, got {type(model).__name__}"
        )
    found, notes = network.ready(model, kept=True)
    borrowed = not {id(layer) for layer in found.layers}.isdisjoint(id(layer) for layer in model.layers)
    height, width = found.input_shape[1:3]
    # The whole picture, brought to the network's size: nobody says how it was trained.
    preprocessing = Preprocessing(
        height=height,
        width=width,
        channel_order="RGB",
        value_range=(0.0, 255.0),
        mean="none",
        std="none",
        resize=CropFraction(kind="crop-fraction", fraction=1.0),
        interpolation="bilinear",
        library="pil",
        antialias=True,
    )
    return Base(found, model.name, preprocessing, None, None, notes=tuple(notes), borrowed=borrowed)


def _of_file(path: Path) -> Base:
    from zoo.predict import names, opened, rules

    file = path / "model.keras" if path.is_dir() else path
    model, facts = opened(file)
    by_zoo = "preprocessing" in facts
    found, notes = network.ready(model, classifies=by_zoo)
    if not by_zoo:
        notes.append(
            f"{path} does not say how its images are prepared: it is given RGB, 0 to 255; if it was trained on others, "
            f"accuracy suffers"
        )
    return Base(
        found,
        path.stem if path.is_file() else path.name,
        rules(file, facts, found),
        None,
        names(facts),
        notes=tuple(notes),
    )


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()
