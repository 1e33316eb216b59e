"""Card and files -> Keras model, its receipt, and the numeric check against the origin framework.

A receipt says what a conversion did: which files went in, what became of each tensor, which version converted, and how
far the result is from the origin's own output. It is kept beside the artifact as check.json.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

import zoo
from zoo import architectures, artifact, formats
from zoo.artifact import CONVERTER
from zoo.build import Affine, Inside, PerPixel, build, describe
from zoo.errors import FormatError, ParityError, UnsupportedError, UsageError
from zoo.formats import caffe_mean, checkpoint, pytorch
from zoo.formats.options import Options
from zoo.graph import Graph
from zoo.preprocessing import affine, is_per_pixel, per_pixel
from zoo.registry import check_file, check_logits
from zoo.schema import MeanFile, ModelCard, Preprocessing
from zoo.sources import (
    CheckpointSource,
    FinishedSource,
    KerasSource,
    TensorFlowSource,
    UnsupportedSource,
    WeightsSource,
)


def convert_card(
    card: ModelCard,
    files: Mapping[str, Path],
    folder: Path,
    *,
    sandbox: bool = False,
    kept: Path | None = None,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Converts a registered model into an artifact, and compares that with the origin framework's output.

    Args:
        card: the model's card; its preprocessing goes inside the model, which takes RGB 0..255, NHWC, and gives
            probabilities.
        files: role -> verified file.
        folder: an empty folder for the artifact.
        sandbox: read the files in a child process with limits (`zoo.sandbox`).
        given: facts of the card's preprocessing that the caller stated, for the receipt (`zoo.given`).
        kept: the origin framework's output, where it is not among the registry's checks.

    Returns:
        The receipt, which is also in the folder.

    Raises:
        FormatError: a file is damaged, or holds other tensors than the network has.
        ParityError: the model's numbers are not the origin's.
    """
    if isinstance(card.source, FinishedSource):
        return _keep(card, files, folder)
    with ThreadPoolExecutor(1) as pool:  # hashing goes on while the files are read and the network is built
        hashing = {role: pool.submit(_fingerprint, path) for role, path in files.items()}
        graph = read_card(card, files, sandbox=sandbox)
        model, arrays = describe(graph, affine=_inside(card, files, sandbox=sandbox), name=card.name)
        fingerprints = {role: future.result() for role, future in hashing.items()}
    _check_unchanged(card, files, fingerprints)
    hashes = artifact.save(with_probabilities(model), folder, arrays)
    (folder / "card.json").write_text(card.model_dump_json(indent=1))
    receipt = {
        "model": card.name,
        **_made_of(graph),
        "files": {role: {"name": card.files[role].name, **found} for role, found in fingerprints.items()},
        # Of what was written, not of what was meant to be.
        "parity": parity(card, artifact.load(folder), kept) if card.check else None,
        **({"given": dict(given)} if given else {}),
    }
    artifact.seal(folder, receipt, hashes)
    return receipt


def _check_unchanged(card: ModelCard, files: Mapping[str, Path], found: Mapping[str, Mapping[str, Any]]) -> None:
    for role, fingerprint in found.items():
        if card.files[role].sha256 not in ("unknown", fingerprint["sha256"]):
            raise FormatError(
                f"{card.name}: {card.files[role].name} was changed after it was verified; "
                f"delete {files[role]} and get the model again"
            )


def _keep(card: ModelCard, files: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Makes an artifact of a model that zoo wrote: nothing is left to convert."""
    from zoo import finished

    fingerprints = {role: _fingerprint(path) for role, path in files.items()}
    _check_unchanged(card, files, fingerprints)
    with _named_as_published(card, files):
        model = finished.load(files[card.source.roles[0]])
    wanted = (None, *card.preprocessing.sides, 3)
    if tuple(model.input_shape) != wanted or len(model.output_shape) != 2:
        raise FormatError(
            f"{card.name}: takes {model.input_shape} and gives {model.output_shape}; expected {wanted}, (None, classes)"
        )
    if card.labels.count not in ("unknown", model.output_shape[1]):
        raise FormatError(f"{card.name}: has {model.output_shape[1]} outputs, its zoo.json names {card.labels.count}")
    hashes = artifact.save(model, folder)
    (folder / "card.json").write_text(card.model_dump_json(indent=1))
    receipt = {
        "model": card.name,
        "zoo": zoo.__version__,
        "converter": CONVERTER,
        "tensors": {weight.path: list(weight.shape) for weight in model.weights},
        "unused": {},
        "files": {role: {"name": card.files[role].name, **found} for role, found in fingerprints.items()},
        "parity": None,
    }
    artifact.seal(folder, receipt, hashes)
    return receipt


def read_card(card: ModelCard, files: Mapping[str, Path], *, sandbox: bool) -> Graph:
    """Returns a card's network with its weights, as the origin has it; arguments and errors as in `convert_card`."""
    with _named_as_published(card, files):
        return _with_sane_numbers(_graph_of(card, files, _reader(sandbox)))


@contextlib.contextmanager
def _named_as_published(card: ModelCard, files: Mapping[str, Path]) -> Iterator[None]:
    """Puts a file's published name into messages: the cache names files by their hash, which tells a user nothing."""
    try:
        yield
    except FormatError as error:
        message = str(error)
        for role, path in files.items():
            message = message.replace(path.name, card.files[role].name)
        raise type(error)(f"{card.name}: {message}") from error


def convert_files(
    paths: list[Path],
    *,
    format: str | None,
    architecture: str | None,
    preprocessing: Preprocessing | None,
    options: Options,
    sandbox: bool,
) -> tuple[keras.Model, Graph]:
    """Converts files that have no card; see `zoo.convert`. Returns the model and the Graph it was built from."""
    if architecture is not None and formats.told(paths, format)[0] == "keras":
        options = replace(options, weights_alone=True)
    if sandbox:
        from zoo.sandbox import read

        found = read(format, paths, options=options, told=True)
    else:
        found = formats.read(paths, format, options)
    if isinstance(found, Graph):
        if architecture is not None:
            raise UsageError(f"{paths[0].name}: holds its own graph; leave architecture out")
        graph = found
    else:
        if architecture is None:
            raise UsageError(
                f"{paths[0].name}: holds weights without a graph; give architecture=, such as resnet50/torchvision "
                f"(`zoo architectures` lists them){_graph_beside(paths[0])}"
            )
        ignore = {**pytorch.UNUSED, **checkpoint.UNUSED}
        graph = architectures.fit(architecture, checkpoint.served(found), where=paths[0].name, ignore=ignore)
    graph = _with_sane_numbers(graph)
    return build(graph, affine=None if preprocessing is None else _affine(preprocessing)), graph


def _graph_beside(path: Path) -> str:
    """What to give besides weights whose network another file may hold."""
    return ", or the network's symbol.json too" if path.suffix == ".params" else ""


def receipt_of(graph: Graph, files: Mapping[str, Path]) -> dict[str, Any]:
    """Returns what is told of a conversion without a card: see the top of this module."""
    members = {
        f"{name}/{path.relative_to(root).as_posix()}" if path != root else name: path
        for name, root in files.items()
        for path in (sorted(root.rglob("*")) if root.is_dir() else [root])
        if path.is_file()
    }
    return {**_made_of(graph), "files": {name: _fingerprint(path) for name, path in members.items()}}


def _made_of(graph: Graph) -> dict[str, Any]:
    return {
        "zoo": zoo.__version__,
        "converter": CONVERTER,
        "tensors": {name: list(array.shape) for name, array in graph.params.items()},
        "unused": dict(graph.unused),
    }


def with_probabilities(model: keras.Model) -> keras.Model:
    """Returns a model (N, H, W, 3) -> (N, classes) that ends in one softmax, whatever the origin ended in.

    Raises:
        UnsupportedError: the output is not one vector of scores per image.
    """
    from zoo import heads

    if len(model.outputs) != 1:
        raise UnsupportedError(f"{model.name}: has {len(model.outputs)} outputs; a classifier has one")
    scores = heads.logits(model)
    ends_in_softmax = scores is not model.outputs[0]
    if len(scores.shape) == 2 and ends_in_softmax:
        return model
    taken = {step.operation.name for step in heads.steps(model)}
    if len(scores.shape) == 4 and scores.shape[1:3] == (1, 1):
        scores = keras.layers.Flatten(name="logits" if "logits" not in taken else "logits_flat")(scores)
    if len(scores.shape) != 2:
        raise UnsupportedError(f"{model.name}: gives shape {scores.shape}; a classifier gives (N, classes)")
    name = "probabilities" if "probabilities" not in taken else "probabilities_flat"
    return keras.Model(model.input, keras.layers.Softmax(name=name, dtype="float32")(scores), name=model.name)


def parity(card: ModelCard, model: keras.Model, kept: Path | None = None) -> dict[str, Any] | None:
    """Compares a model's logits on the test image with the origin framework's, kept in registry/checks.

    Returns:
        The measured figures, or None if the card has no check.

    Raises:
        ParityError: they differ by more than the card allows.
    """
    from zoo import heads

    path = kept or check_file(card)
    if card.check is None or path is None:
        return None
    expected = np.asarray(check_logits(path), np.float32)
    image = test_image(*card.preprocessing.sides)
    network = keras.Model(model.input, heads.logits(model))
    actual = keras.ops.convert_to_numpy(network(image[None]))[0]
    if actual.shape != expected.shape:
        raise ParityError(f"{card.name}: gives {actual.size} outputs, {card.check.framework} gave {expected.size}")
    error = relative_error(actual, expected)
    if not error <= card.check.tolerance:
        worst = int(np.abs(actual - expected).argmax())
        raise ParityError(
            f"{card.name}: output {worst} is {actual[worst]:.6g}, {card.check.framework} gave {expected[worst]:.6g} "
            f"(relative error {error:.2g}, allowed {card.check.tolerance:g}); please report this"
        )
    return {"framework": card.check.framework, "relative_error": error, "tolerance": card.check.tolerance}


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Returns max|actual - expected| / max|expected|."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def test_image(height: int, width: int) -> np.ndarray:
    """Returns the image that checks are computed on: (height, width, 3) uint8 RGB, integer arithmetic only.

    A ramp in red across, one in green down, a board of 16-pixel squares in blue, and a disc in the middle.
    """
    y, x = np.mgrid[:height, :width]
    image = np.stack([255 * x // (width - 1), 255 * y // (height - 1), 255 * ((x // 16 + y // 16) % 2)], axis=-1)
    disc = (2 * x - width) ** 2 + (2 * y - height) ** 2 < (min(height, width) // 2) ** 2
    image[disc, 0] = 255 - image[disc, 0]
    image[disc, 2] = 128
    return image.astype(np.uint8)


def _with_sane_numbers(graph: Graph) -> Graph:
    """Returns the Graph after refusing weights that no training leaves: NaN, infinity, or nothing but zeros."""
    arrays = {name: array for name, array in graph.params.items() if isinstance(array, np.ndarray)}
    with np.errstate(all="ignore"):
        broken = [name for name, array in arrays.items() if not np.isfinite(array.sum(dtype=np.float64))]
    if broken:
        raise FormatError(
            f"{graph.name}: {broken[0]} holds NaN or infinity ({len(broken)} such arrays); fetch it again"
        )
    kernels = [array for array in arrays.values() if array.ndim > 1]
    if kernels and not any(array.any() for array in kernels):
        raise FormatError(f"{graph.name}: all kernels are zero; the file holds no trained weights")
    return graph


def _inside(card: ModelCard, files: Mapping[str, Path], *, sandbox: bool) -> Inside:
    """Returns the preprocessing that goes inside a card's model."""
    inputs = card.preprocessing
    if not isinstance(inputs.mean, MeanFile):
        return _affine(inputs, card.name)
    role = inputs.mean.file
    with _named_as_published(card, files):
        mean = _reader(sandbox)("caffe_mean", [files[role]])[caffe_mean.MEAN]
    return PerPixel(*per_pixel(inputs, np.asarray(mean), name=card.name))


def _affine(preprocessing: Preprocessing, name: str = "model") -> Inside:
    if is_per_pixel(preprocessing):
        if isinstance(preprocessing.mean, MeanFile):
            raise UsageError("preprocessing.mean: a mean image belongs to a card, which says where its file is")
        return PerPixel(*per_pixel(preprocessing, name=name))
    scale, offset = affine(preprocessing, name=name)
    return Affine(tuple(scale), tuple(offset), preprocessing.channel_order == "BGR")


def _graph_of(card: ModelCard, files: Mapping[str, Path], read: _Read) -> Graph:
    source, inputs = card.source, card.preprocessing
    paths = [files[role] for role in source.roles]
    if isinstance(source, UnsupportedSource):
        raise UnsupportedError(f"{card.name}: cannot be converted yet: {source.reason}")
    if isinstance(source, FinishedSource):
        raise UnsupportedError(f"{card.name}: is a Keras model that zoo wrote; there is no origin's network to read")
    if isinstance(source, WeightsSource):
        return _graph_of_weights(card, source, read(source.format, paths), paths[0].name)
    theano = None
    if isinstance(source, KerasSource):
        if source.architecture is not None:  # the card knows the network, whatever else the file holds
            arrays = read(source.format, paths, options=Options(weights_alone=True))
            return _graph_of_weights(card, source, arrays, paths[0].name)
        theano = source.theano_kernels
    channels = 1 if inputs.channel_order == "gray" else 3
    begin = source.input if isinstance(source, TensorFlowSource) else None
    shape = (channels, *inputs.sides)
    options = Options(input_shape=shape, input=begin, until=source.until, theano_kernels=theano)
    found = read(source.format, paths, options=options)
    if not isinstance(found, Graph):
        raise FormatError(f"{paths[0].name}: holds weights without a graph; the card has to name the architecture")
    return found


def _graph_of_weights(card: ModelCard, source: WeightsSource | KerasSource, read: Any, where: str) -> Graph:
    """Returns the architecture that a card names, at the card's input size, with the file's arrays."""
    if isinstance(read, Graph):
        raise FormatError(f"{where}: holds its own graph; the card's architecture is for weights alone")
    arrays: Mapping[str, np.ndarray] = read
    variant, dialect = str(source.architecture), str(source.dialect)
    height, width = card.preprocessing.sides
    if height != width:
        raise UnsupportedError(f"{card.name}: input {height}x{width}; architectures are built for square inputs")
    graph = architectures.build(variant, dialect, size=height)
    if isinstance(source, CheckpointSource):
        arrays, ignore = checkpoint.served(arrays, averaged=source.averaged), checkpoint.UNUSED
    else:
        ignore = pytorch.UNUSED
    arrays = architectures.named(variant, dialect, graph, arrays)
    stated, found = card.labels.count, architectures.classes_of(graph, arrays)
    if found is not None and stated not in ("unknown", found):
        raise FormatError(f"{where}: gives {found} classes, labels.count of the card says {stated}")
    if found not in (None, 1000):
        graph = architectures.build(variant, dialect, classes=found, size=height)
    return graph.bind(arrays, where=where, ignore=ignore)


def _reader(sandbox: bool) -> _Read:
    """Returns what reads files of a known format: here, or in a child process."""
    if sandbox:
        from zoo.sandbox import read

        return read
    return formats.read_parts


_Read = Callable[..., Any]


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
