"""What is on an image: a registered model's, a fine-tuned model's or any Keras classifier's first answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from pydantic import ValidationError

from zoo import finished
from zoo import given as given_module
from zoo.errors import DataError, FormatError, UsageError, ZooError
from zoo.given import INSIDE, Given, apply, require
from zoo.schema import Preprocessing, ShortSide

if TYPE_CHECKING:
    import keras
    import numpy as np

    from zoo.preprocessing import Image
    from zoo.schema import ModelCard


@dataclass(frozen=True)
class Prediction:
    """One answer.

    Args:
        index: the output's index, from 0.
        id: the class's identifier (`n02123045`); the index as text where nobody names the classes.
        name: the class's name (`tabby`); the index as text where nobody names the classes.
        score: what the model gave for it; a probability from 0 to 1 for the models of the registry.
    """

    index: int
    id: str
    name: str
    score: float


@dataclass(frozen=True)
class Classifier:
    """A network and what is known of it.

    Args:
        model: RGB 0..255 (N, H, W, 3) in, scores (N, classes) out.
        labels: (id, name) per output; None where nobody says.
        preprocessing: how images are brought to its size.
        name: for messages.
        facts: what the file says about itself (its member zoo.json), or what such a file would say.
        card: of the registered model that it is; None for a fine-tuned one, or one of the user's own.
    """

    model: Any
    labels: list[tuple[str, str]] | None
    preprocessing: Preprocessing
    name: str
    facts: dict[str, Any]
    card: ModelCard | None


def predict(
    model: str | os.PathLike[str] | keras.Model,
    images: Image | Iterable[Image],
    *,
    top: int = 5,
    batch_size: int = 32,
    offline: bool | None = None,
    **given: Unpack[Given],
) -> list[list[Prediction]]:
    """Says what is on images.

    Args:
        model: a registered name; a fine-tuning run's folder or any `.keras` file that zoo wrote; or a Keras classifier
            that takes RGB (or grey) 0..255 of a fixed size. The last carries no resize rule: the short side is brought
            to 8/7 of the longer side of the input, bilinear, and the centre is cut out.
        images: one or many of: a path, a PIL image, a uint8 array (H, W, 3) RGB or (H, W) grey; a folder stands for
            the images in it and below, in the order of `zoo.preprocessing.image_paths`; an array (N, H, W, 3).
        top: how many answers an image, at most one per class.
        batch_size: how many images go through the model at once.
        offline: never use the network; default: whether ZOO_OFFLINE is 1.
        given: facts about its preprocessing in place of the model's: `resize` (`{"kind": "short-side", "size": 256}`)
            and `interpolation` (nearest, bilinear, bicubic, lanczos or area); for a registered model also
            `height`, `width`, `channel_order`, `value_range`, `mean` and `std`, as in `zoo.get`.

    Returns:
        Per image, its answers, best first; ties in the order of the classes.

    Raises:
        DataError: an image cannot be read.
        UnknownFactError: no source gives a fact about the model's preprocessing, and `given` does not either.
        UnknownModelError: no such model.
        UsageError: an argument is impossible, or the model is no classifier of images.

    Example:
        >>> import zoo, skimage.data
        >>> zoo.predict("efficientnet-lite0", skimage.data.chelsea(), top=1)[0][0].name  # doctest: +SKIP
        'tiger cat'
    """
    from zoo.preprocessing import preprocess

    for key, value in (("top", top), ("batch_size", batch_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"{key}: expected a whole number of at least 1, got {value!r}")
    todo = _expand(images)
    if not todo:
        return []
    if isinstance(model, str) and _path(model) is None:
        from zoo import registry

        require(apply(registry.info(model, offline=offline), given)[0], images=True)
    chosen = classifier(model, offline, **given)
    answers: list[list[Prediction]] = []
    for start in range(0, len(todo), batch_size):
        chunk = todo[start : start + batch_size]
        batch = preprocess(
            chosen.preprocessing, chunk, resize=given.get("resize"), interpolation=given.get("interpolation")
        )
        answers += _best(scores(chosen, batch), chosen, top)
    return answers


def _expand(images: Image | Iterable[Image]) -> list[Any]:
    """Folders become their images; a missing file is told before any model is loaded."""
    from zoo.preprocessing import as_list, image_paths

    found: list[Any] = []
    for image in as_list(images):
        if not isinstance(image, str | os.PathLike):
            found.append(image)
            continue
        path = Path(image)
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        found += image_paths(path) if path.is_dir() else [path]
    return found


def check(
    model: str | os.PathLike[str] | keras.Model, offline: bool | None = None, *, images: bool = False,
    **given: Unpack[Given],
) -> None:  # fmt: skip
    """Tells a model that is not there, or whose facts are not known, before anything takes time.

    Args:
        model: as `classifier` takes it.
        offline: as there.
        images: whether images are to be prepared, beside the model itself.
        given: as there.

    Raises:
        UnknownFactError: no source gives a fact about the model's preprocessing, and `given` does not either.
        UnknownModelError: no such model.
        UsageError: no such file, or facts for a model that is none of the registry, without images to prepare.
    """
    given_module.check(given)
    if isinstance(model, str | os.PathLike):
        path = _path(model)
        if path is None:
            from zoo import registry

            require(apply(registry.info(str(model), offline=offline), given)[0], images=images)
            return
        _facts(path)
    stated = [key for key, value in given.items() if value is not None]
    if stated and not images:
        raise UsageError(f"{stated[0]}: is for registered models; what is inside of this one is as it is")


def classifier(
    model: str | os.PathLike[str] | keras.Model, offline: bool | None = None, **given: Unpack[Given]
) -> Classifier:
    """Loads what `predict` takes as a model; `given` as there.

    Raises:
        FormatError: the file is damaged, or was not written by Keras.
        UnknownFactError: no source gives a fact about the model's preprocessing, and `given` does not either.
        UnknownModelError: no such model.
        UsageError: it is no network of one image.
    """
    file = _path(model) if isinstance(model, str | os.PathLike) else None
    if isinstance(model, str | os.PathLike) and file is None:
        return _from_registry(str(model), offline, given)
    inside = [key for key in INSIDE if given.get(key) is not None]
    if inside:
        raise UsageError(f"{inside[0]}: is for registered models; this one has its preprocessing inside")
    if file is not None:
        return _from_file(file, str(model))
    if not hasattr(model, "input_shape"):
        raise UsageError(
            f"model: expected a name, a run folder, a .keras file or a Keras model, got {type(model).__name__}"
        )
    from zoo.finetune import network

    coloured = network.in_colour(model)
    return Classifier(coloured, None, _plain(coloured), getattr(model, "name", "model"), {}, None)


def _path(model: str | os.PathLike[str]) -> Path | None:
    """The .keras file that is meant; None for a name of the registry."""
    path = Path(model)
    if isinstance(model, os.PathLike) or path.suffix == ".keras" or (path / "model.keras").is_file():
        return path / "model.keras" if path.is_dir() else path
    return None


def _from_registry(name: str, offline: bool | None, given: Given) -> Classifier:
    from zoo import library, registry

    card = registry.info(name, offline=offline)
    rules = apply(card, given)[0].preprocessing
    model = library.load(name, offline=offline, **given)
    return Classifier(model, registry.labels(card), rules, card.name, library.about(card, given), card)


def _from_file(file: Path, name: str) -> Classifier:
    from zoo.finetune import network

    model, facts = opened(file)
    model = network.in_colour(model)
    return Classifier(model, names(facts), rules(file, facts, model), name, facts, _card(facts))


def opened(file: Path) -> tuple[Any, dict[str, Any]]:
    """Returns the model in a .keras file, and what zoo wrote into it about its classes and images.

    Raises:
        FormatError: the file is damaged, or was not written by Keras.
        UsageError: no such file.
    """
    facts = _facts(file)
    import keras

    try:
        return keras.saving.load_model(file, safe_mode=True, compile=False), facts
    except Exception as error:  # Keras raises whatever its layers raise
        raise FormatError(f"{file}: Keras cannot load it: {' '.join(str(error).split())[:300]}") from error


def names(facts: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """Returns (id, name) per output, as a file states them; None if it does not."""
    found: list[str] | None = facts.get("class_names")
    ids: list[str] | None = facts.get("class_ids") or found
    return list(zip(ids, found, strict=True)) if found and ids else None


def rules(file: Path, facts: Mapping[str, Any], model: Any) -> Preprocessing:
    """Returns how a file's images are prepared, or what is usual where it does not say.

    Raises:
        FormatError: what it says is impossible.
        UsageError: it says nothing, and takes no RGB images of a fixed size.
    """
    stated = facts.get("preprocessing")
    try:
        return Preprocessing.model_validate_json(json.dumps(stated)) if stated else _plain(model)
    except ValidationError as error:
        raise FormatError(
            f"{file}: {finished.FACTS}: preprocessing: {error.errors()[0]['msg']}; was it written by zoo?"
        ) from None


def _card(facts: Mapping[str, Any]) -> ModelCard | None:
    """The card of the registered model that a file is a copy of; a fine-tuned one says by what it was made."""
    from zoo import registry

    name = facts.get("model")
    if not isinstance(name, str) or "made_by" in facts:
        return None
    try:
        return registry.info(name, offline=True)
    except ZooError:  # a registry that is not at hand today
        return None


def _facts(file: Path) -> dict[str, Any]:
    """What zoo wrote into a .keras file about its classes; nothing for a file of Keras's own."""
    if not file.is_file():
        raise UsageError(f"{file}: no such file; expected a .keras file or a fine-tuning run's folder")
    return finished.facts(file)


def _plain(model: Any) -> Preprocessing:
    """Resize rule for a model that carries none."""
    shape = model.input_shape
    fixed = isinstance(shape, tuple) and len(shape) == 4 and all(isinstance(side, int) for side in shape[1:])
    if not fixed or shape[3] != 3:
        raise UsageError(
            f"{model.name}: expected a model of one input (N, height, width, 3) of fixed size, or grey, got {shape}"
        )
    height, width = shape[1:3]
    return Preprocessing(
        height=height,
        width=width,
        channel_order="RGB",
        value_range=(0.0, 255.0),
        mean="none",
        std="none",
        resize=ShortSide(kind="short-side", size=-(-max(height, width) * 8 // 7)),
        interpolation="bilinear",
        library="pil",
        antialias=True,
    )


def scores(classifier: Classifier, batch: np.ndarray) -> np.ndarray:
    """Returns (N, classes) for images (N, H, W, 3) at the network's size, after checking that it is a classifier's."""
    import numpy as np

    found = np.asarray(classifier.model.predict_on_batch(batch))
    if found.ndim != 2:
        raise UsageError(f"{classifier.name}: expected a classifier with outputs (N, classes), got {found.shape}")
    if classifier.labels is not None and len(classifier.labels) != found.shape[1]:
        raise FormatError(f"{classifier.name}: {found.shape[1]} outputs but {len(classifier.labels)} class names")
    return found


def _best(scores: np.ndarray, classifier: Classifier, top: int) -> list[list[Prediction]]:
    import numpy as np

    labels = classifier.labels or [(str(index), str(index)) for index in range(scores.shape[1])]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [Prediction(int(index), labels[index][0], labels[index][1], float(row[index])) for index in best]
        for row, best in zip(scores, order, strict=True)
    ]
