"""A model as a file for another runtime: written, described, run there and compared before it has its name."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from zoo import cache, library
from zoo.errors import DataError, ParityError, UsageError
from zoo.given import Given

if TYPE_CHECKING:
    import keras

    from zoo.predict import Classifier

SUFFIXES = {"keras": ".keras", "onnx": ".onnx", "tflite": ".tflite"}
FORMATS = ("keras", "savedmodel", "onnx", "tflite")
QUANTIZED = ("float16", "int8")
RUNTIMES = {"keras": "keras", "savedmodel": "tf.saved_model", "onnx": "onnxruntime", "tflite": "tf.lite.Interpreter"}
TOLERANCE: dict[str | None, float] = {None: 1e-4, "float16": 2e-2}
"""Largest difference of an answer, where the largest answer is 1 or less; else as a share of it."""
AGREEMENT = 0.5
"""Share of the images whose first answer has to stay the same under int8. Far less than usual: it rounds every number,
and of many classes the first two are often close; less than this is a ruin."""
LEAST = 1e-30
"""Probabilities below this have lost digits."""
SAMPLE = 16
CALIBRATION = 128
FEW = 10
"""Images that int8 needs at least."""


@dataclass(frozen=True)
class Export:
    """What was written. `str()` is a line for people, `as_json()` the same for programs.

    Args:
        path: the file, or the folder of a SavedModel.
        format: keras, savedmodel, onnx or tflite.
        size: bytes, of all files.
        beside: files that describe it.
        quantize: float16, int8 or None.
        runtime: what it was run in; None if it was not.
        images: on how many images.
        difference: largest difference to the model's own answers, or to their logarithms as a share of the largest of
            these, whichever is more; None if it was not run.
        agreement: share of the images whose first answer is the same; None if it was not run.
        notes: what a person should know, one sentence each.
    """

    path: Path
    format: str
    size: int
    beside: tuple[Path, ...]
    quantize: str | None
    runtime: str | None
    images: int
    difference: float | None
    agreement: float | None
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns everything as plain lists, dictionaries, strings and numbers."""
        beside = [str(path) for path in self.beside]
        return {**vars(self), "path": str(self.path), "beside": beside, "notes": list(self.notes)}

    def __str__(self) -> str:
        lines = [f"{self.path}  ({self.format}{f', {self.quantize}' if self.quantize else ''}, "]
        lines[0] += f"{cache.megabytes(self.size)})"
        if self.difference is not None:
            lines.append(
                f"  {self.runtime}, {self.images} images: answers differ by {self.difference:.1e} at most, "
                f"the first is the same for {self.agreement:.0%}"
            )
        lines += [f"  beside it: {path}" for path in self.beside]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def export(
    model: str | os.PathLike[str] | keras.Model,
    output: str | os.PathLike[str],
    *,
    format: str | None = None,
    check: bool = True,
    quantize: str | None = None,
    images: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    **given: Unpack[Given],
) -> Export:
    """Writes a model for another runtime, runs it there, and compares the answers; what differs gets no name.

    The file takes any number of images at once, (N, height, width, 3) float32, RGB 0..255, normalises them itself, and
    gives what the model gives. Beside it stands what its input and output are and how images are brought to its size;
    a `.keras` file holds that inside.

    Args:
        model: what `predict` takes: a registered name, a fine-tuning run's folder, a `.keras` file, a Keras classifier.
        output: the file to write, or the folder of a SavedModel.
        format: `keras`, `savedmodel`, `onnx` or `tflite`; default: as `output` ends, without an ending savedmodel.
        check: whether to run the file and compare.
        quantize: of tflite: `float16` (weights of half the size) or `int8` (a quarter; needs `images`).
        images: a folder of images like those that the model is for, to compare on, and for int8 to learn its ranges
            from; default: drawn patterns.
        offline: never use the network to get the model; default: whether ZOO_OFFLINE is 1.
        given: facts about a registered model's preprocessing in place of its card's, as in `zoo.get`.

    Returns:
        What was written, and how far its answers are from the model's.

    Raises:
        DataError: `images` has too few images.
        ParityError: the file gives other answers than the model.
        UnknownFactError: no source gives a fact about the model's preprocessing, and `given` does not either.
        UnsupportedError: the format cannot express the model.
        UsageError: an argument is impossible, or a package is missing.

    Example:
        >>> import zoo
        >>> zoo.export("pets-run", "pets.onnx").difference < 1e-4  # doctest: +SKIP
        True
    """
    from zoo.predict import check as check_model
    from zoo.predict import classifier

    target = Path(output)
    kind = _format(target, format)
    _refuse(kind, target, quantize, images)
    missing = _missing(kind)
    check_model(model, offline, **given)
    chosen = classifier(model, offline, **given)
    pictures = _pictures(chosen, images, CALIBRATION if quantize == "int8" else SAMPLE)
    if quantize == "int8" and len(pictures) < FEW:
        raise DataError(f"{images}: {len(pictures)} images that can be read; int8 needs {FEW} to learn its ranges from")
    facts = _facts(chosen, kind, quantize, pictures)
    with _places(target, kind, labels=chosen.labels is not None) as places:
        found = _write(chosen, places["model"], kind, quantize, facts, pictures, run=check and not missing)
        checked = None if found is None else _compare(target, kind, quantize, *found)
        _describe(places, {**facts, "checked": None if checked is None else vars(checked)})
        size = sum(path.stat().st_size for path in _files(places["model"]))
    notes = [f"not run: {missing}"] if missing and check else []
    if checked is not None and quantize:
        notes.append(f"{quantize} rounds: measure its accuracy on labelled images before you trust it")
    return Export(
        path=target,
        format=kind,
        size=size,
        beside=tuple(_beside(target, kind, labels=chosen.labels is not None).values()),
        quantize=quantize,
        runtime=checked.runtime if checked else None,
        images=checked.images if checked else 0,
        difference=checked.difference if checked else None,
        agreement=checked.agreement if checked else None,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Checked:
    runtime: str
    images: int
    difference: float
    agreement: float


def _format(target: Path, wish: str | None) -> str:
    endings = {suffix: kind for kind, suffix in SUFFIXES.items()}
    kind = wish or endings.get(target.suffix, "" if target.suffix else "savedmodel")
    if kind not in FORMATS:
        given = f"format={wish!r}" if wish else f"{target}: the ending {target.suffix!r} names no format"
        raise UsageError(f"{given}: expected one of {', '.join(FORMATS)}")
    if kind in SUFFIXES and target.suffix != SUFFIXES[kind]:
        raise UsageError(f"{target}: the name of a file of format {kind} has to end in {SUFFIXES[kind]}")
    if kind == "savedmodel" and target.suffix in endings:
        raise UsageError(f"{target}: a SavedModel is a folder; name it without {target.suffix}")
    return kind


def _refuse(kind: str, target: Path, quantize: str | None, images: Any) -> None:
    """Refuses what cannot be done before a model is loaded."""
    if quantize is not None and (quantize not in QUANTIZED or kind != "tflite"):
        raise UsageError(f"quantize={quantize!r}: expected {' or '.join(QUANTIZED)}, for format tflite alone")
    if quantize == "int8" and images is None:
        raise UsageError("quantize='int8': needs images=FOLDER (--images), to learn the range of each value from")
    if kind == "savedmodel" and target.is_dir() and any(target.iterdir()):
        raise UsageError(f"{target}: is not empty; name a new folder, or empty this one")
    if kind == "savedmodel" and target.exists() and not target.is_dir():
        raise UsageError(f"{target}: is a file; a SavedModel is a folder, name a new one")
    if kind != "savedmodel" and target.is_dir():
        raise UsageError(f"{target}: is a folder; name a file")


def _missing(kind: str) -> str | None:
    """Why a file of this format cannot be run here; None if it can.

    Raises:
        UsageError: it cannot even be written.
    """
    if kind != "onnx":
        return None
    absent = [name for name in ("onnx", "tf2onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if set(absent) - {"onnxruntime"}:
        raise UsageError(f"format onnx needs {' and '.join(absent)}: pip install 'convnet-zoo[export]'")
    return "onnxruntime is not installed: pip install 'convnet-zoo[export]'" if absent else None


def _pictures(chosen: Classifier, folder: Any, most: int) -> np.ndarray:
    """Images at the network's size, (n, H, W, 3) float32: from a folder, evenly taken, or drawn."""
    from zoo.convert import test_image
    from zoo.preprocessing import image_paths, preprocess

    height, width = chosen.preprocessing.sides
    if folder is None:
        drawn = test_image(height, width)
        noise = np.random.default_rng(0).integers(0, 256, (4, height, width, 3))
        plain = np.stack([np.full_like(drawn, value) for value in (0, 90, 255)])
        return np.concatenate([[drawn, 255 - drawn, drawn[::-1], drawn[:, ::-1]], noise, plain]).astype(np.float32)
    paths = image_paths(folder) if Path(folder).is_dir() else [Path(folder)]
    chosen_paths = [paths[place] for place in np.unique(np.linspace(0, len(paths) - 1, most).round().astype(int))]
    unknown = chosen.preprocessing.unknown
    how: dict[str, Any] = {"resize": {"kind": "crop-fraction", "fraction": 1.0}} if "resize" in unknown else {}
    how |= {"interpolation": "bilinear"} if "interpolation" in unknown else {}
    found, first = [], None
    for path in chosen_paths:
        try:
            found.append(preprocess(chosen.preprocessing, path, **how)[0])
        except DataError as error:
            first = first or error
    if not found:
        raise first or DataError(f"{folder}: no images")
    return np.stack(found).astype(np.float32)


def _facts(chosen: Classifier, kind: str, quantize: str | None, pictures: np.ndarray) -> dict[str, Any]:
    """What the file tells about itself."""
    from zoo.predict import scores

    answers = scores(chosen, pictures[:2])
    sums_to_one = answers.min() >= 0 and np.allclose(answers.sum(axis=1), 1, atol=1e-3)
    if kind == "keras":
        rules = chosen.preprocessing.model_dump(mode="json")
        return chosen.facts or {"model": chosen.name, "class_names": None, "class_ids": None, "preprocessing": rules}
    height, width = chosen.preprocessing.sides
    resize = ("resize", "interpolation", "library", "antialias")
    packages = ("convnet-zoo", "keras", "tensorflow", *(("tf2onnx", "onnx") if kind == "onnx" else ()))
    return {
        "model": chosen.facts.get("model", chosen.name),
        "format": kind,
        "quantized": quantize,
        "input": {
            "name": "images",
            "shape": [None, height, width, 3],
            "type": "float32",
            "channels": "RGB",
            "range": [0, 255],
            "normalisation": "inside the model",
            "resize": {key: chosen.preprocessing.model_dump(mode="json")[key] for key in resize},
        },
        "output": {"name": "probabilities" if sums_to_one else "scores", "shape": [None, answers.shape[1]]},
        "class_names": None if chosen.labels is None else [name for _, name in chosen.labels],
        "class_ids": None if chosen.labels is None else [key for key, _ in chosen.labels],
        "license": chosen.facts.get("license"),
        "made_with": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # zoo run from its sources
        return None


def _beside(target: Path, kind: str, *, labels: bool) -> dict[str, Path]:
    """Names of the files that describe an export."""
    if kind == "keras":
        return {}
    if kind == "savedmodel":
        found = {"facts": target / "zoo.json", "labels": target / "labels.txt"}
    else:
        found = {"facts": target.with_name(f"{target.name}.json"), "labels": target.with_name(f"{target.name}.txt")}
    return {key: path for key, path in found.items() if key == "facts" or labels}


@contextmanager
def _places(target: Path, kind: str, *, labels: bool) -> Iterator[dict[str, Path]]:
    """Temporary names for the export and what stands beside it; all get their own at the end, the export last."""
    with ExitStack() as stack:
        if kind == "savedmodel":
            folder = stack.enter_context(cache.atomic_folder(target))
            yield {"model": folder, **_beside(folder, kind, labels=labels)}
            return
        places = {"model": stack.enter_context(cache.atomic_file(target))}
        for key, path in _beside(target, kind, labels=labels).items():
            places[key] = stack.enter_context(cache.atomic_file(path))
        yield places


def _write(
    chosen: Classifier,
    path: Path,
    kind: str,
    quantize: str | None,
    facts: dict[str, Any],
    pictures: np.ndarray,
    *,
    run: bool,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Writes the file; returns the model's answers and those of the file, or None if it was not run."""
    import keras

    if kind == "keras":
        library.export(chosen.model, path, facts)
        if not run:
            return None
        again = keras.saving.load_model(path, safe_mode=True, compile=False)
        return np.asarray(chosen.model.predict_on_batch(pictures)), np.asarray(again.predict_on_batch(pictures))
    from zoo import export_tf

    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        saved = Path(folder) / "model.keras"
        chosen.model.save(saved)
        job = export_tf.Job(
            model=saved,
            target=path,
            format=kind,
            output=facts["output"]["name"],
            quantize=quantize,
            metadata={key: json.dumps(value, ensure_ascii=False) for key, value in facts.items()},
            sample=pictures if run else None,
            calibration=pictures if quantize == "int8" else None,
        )
        if keras.backend.backend() != "tensorflow":
            return export_tf.in_a_child(job, Path(folder))
        try:
            return export_tf.work(job)
        except MemoryError:
            raise
        except Exception as error:  # converters raise nearly anything
            if cache.no_room(error):
                raise
            raise export_tf.refusal(job, error) from error


def _compare(target: Path, kind: str, quantize: str | None, expected: np.ndarray, answers: np.ndarray) -> _Checked:
    """Refuses a file that gives other answers than the model it was made of."""
    difference = _difference(expected, answers)
    agreement = float((answers.argmax(axis=1) == expected.argmax(axis=1)).mean())
    runtime = RUNTIMES[kind]
    if quantize == "int8":
        if not (np.isfinite(difference) and agreement >= AGREEMENT):
            raise ParityError(
                f"{target}: not written: with int8 the first answer is the same for {agreement:.0%} of "
                f"{len(expected)} images; give other images to learn from (--images), or take float16"
            )
    elif not difference <= TOLERANCE[quantize]:
        raise ParityError(
            f"{target}: not written: {runtime} gives other answers than the model, by {difference:.1e} "
            f"(at most {TOLERANCE[quantize]:g} is allowed); please report this"
        )
    return _Checked(runtime, len(expected), difference, agreement)


def _difference(expected: np.ndarray, answers: np.ndarray) -> float:
    """Largest difference, as a share of the largest answer where that is above 1.

    Of probabilities the logarithms count as well: a network that is sure of an image gives 1 and 0 whatever happens to
    the values inside, while the logarithms of what is nearly 0 show it.
    """
    found = np.abs(answers - expected).max() / max(1.0, np.abs(expected).max())
    seen = (expected > LEAST) & (answers > LEAST)
    if min(expected.min(), answers.min()) >= 0 and seen.any():
        logs, others = np.log(expected[seen]), np.log(answers[seen])
        found = max(found, np.abs(logs - others).max() / max(1.0, np.abs(logs).max()))
    return float(found)


def _describe(places: dict[str, Path], facts: dict[str, Any]) -> None:
    if "facts" in places:
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        places["facts"].write_text(text + "\n", encoding="utf-8")
    if "labels" in places:
        names = (" ".join(name.split()) for name in facts["class_names"])
        places["labels"].write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
