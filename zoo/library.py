"""The library's verbs: get, load, preprocess, convert, verify."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from zoo import artifact, cache
from zoo.errors import ParityError, UnsupportedError, UsageError
from zoo.given import INSIDE, Given, apply, neutral, require
from zoo.registry import info, is_builtin, labels
from zoo.schema import ModelCard, Preprocessing
from zoo.sources import FinishedSource, UnsupportedSource

if TYPE_CHECKING:
    import keras
    import numpy as np

    from zoo.fetch.progress import Progress
    from zoo.graph import Graph
    from zoo.preprocessing import Image


def get(
    name: str,
    *,
    output: str | os.PathLike[str] | None = None,
    source: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    sandbox: bool | None = None,
    progress: Progress = True,
    jobs: int = 1,
    **given: Unpack[Given],
) -> Path:
    """Fetches, checks and converts a model; does nothing that was done before.

    Args:
        name: a registered name or alias.
        output: a `.keras` file to export to; it loads with plain `keras.saving.load_model`.
        source: a folder or file of yours where the model's files are looked for, by hash, before the network is used.
        offline: never use the network; default: whether ZOO_OFFLINE is 1.
        sandbox: read the files in a child process with limits on memory and time; default: unless the model is one of
            the built-in registry.
        progress: how a download is told: see `zoo.fetch.fetch`.
        jobs: connections at a time for a file of more than 64 MB, 1 to 16.
        given: facts about its preprocessing in place of the card's, for models of which no source gives them:
            `height`, `width`, `channel_order`, `value_range`, `mean`, `std`, `resize`, `interpolation`
            (`zoo.given.Given`). Each choice is a model of its own in the cache, and says so in its receipt.

    Returns:
        `output` if given, else the artifact's folder.

    Raises:
        UnknownModelError: no such model.
        UnknownFactError: no source gives a fact that decides the model's numbers, and `given` does not either.
        FetchError: a file cannot be had, or is not the published one.
        FormatError: a file is damaged.
        ParityError: the converted model does not give the origin's numbers.
    """
    if output is not None and Path(output).suffix != ".keras":
        raise UsageError(f"{output}: the exported file's name has to end in .keras")
    card = info(name, offline=offline)
    folder = _artifact(card, given, source=source, offline=offline, sandbox=sandbox, progress=progress, jobs=jobs)
    if output is None:
        return folder
    return export(artifact.load(folder), Path(output), about(card, given))


def load(
    name: str,
    *,
    top: bool = True,
    pooling: Literal["avg", "max"] | None = None,
    layer: str | None = None,
    outputs: Literal["probabilities", "logits"] = "probabilities",
    preprocessing: bool = True,
    source: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    sandbox: bool | None = None,
    **given: Unpack[Given],
) -> keras.Model:
    """Loads a model, getting it first if need be.

    Args:
        name: a registered name or alias.
        top: whether to keep the classifier. Without it the model gives its last feature map, (N, H, W, C).
        pooling: with `top=False`, average or maximum over the map's positions, (N, C).
        layer: give this layer's output instead, by its name in the origin (`conv2/3x3`) or in Keras.
        outputs: what the classifier gives: probabilities, or the logits before the softmax. Both are (N, classes).
        preprocessing: whether the model takes RGB 0..255 (float or uint8, NHWC, at the card's size) and normalises
            itself; without it, it takes what the origin network took, in the origin's channel order, and no fact about
            preprocessing is needed.
        source: as in `get`.
        offline: as in `get`.
        sandbox: as in `get`.
        given: as in `get`.

    Returns:
        A functional Keras model of built-in layers, ready for inference or training.

    Raises:
        UsageError: arguments that exclude each other, or a layer that does not exist.
    """
    if outputs not in ("probabilities", "logits"):
        raise UsageError(f"outputs={outputs!r}: expected 'probabilities' or 'logits'")
    if pooling not in (None, "avg", "max"):
        raise UsageError(f"pooling={pooling!r}: expected 'avg', 'max' or None")
    if pooling and (top or layer):
        raise UsageError("pooling is for top=False, without layer")
    if layer and not top:
        raise UsageError("layer and top=False exclude each other: give one")
    card = info(name, offline=offline)
    facts = {**({} if preprocessing else neutral(card)), **given}
    folder = _artifact(card, facts, source=source, offline=offline, sandbox=sandbox)
    import keras

    from zoo import heads

    model = artifact.load(folder)
    if layer:
        result = heads.find(model, layer)
    elif not top:
        result = heads.features(model)
        if pooling:
            pool = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}[pooling]
            result = pool(name=f"{pooling}_pool")(result)
    else:
        result = heads.logits(model) if outputs == "logits" else model.output
    inputs = model.input
    if not preprocessing:
        inputs = heads.raw_input(model, reverse=apply(card, facts)[0].preprocessing.channel_order == "BGR")
    if inputs is model.input and result is model.output:
        return model
    return keras.Model(inputs, result, name=model.name)


def preprocess(name: str, images: Image | Iterable[Image], **given: Unpack[Given]) -> np.ndarray:
    """Resizes and crops images as the model's card says.

    Args:
        name: a registered name or alias.
        images: one or several of: a path, a PIL image, an array (H, W, 3) or (H, W) of RGB or gray 0..255.
        given: as in `get`; `resize` and `interpolation` count here.

    Returns:
        (N, height, width, 3) uint8, RGB 0..255: what the model that `load` gives takes.

    Raises:
        DataError: an image cannot be read.
        UnknownFactError: the card does not know how images were resized, and `given` does not say it.
    """
    from zoo import preprocessing

    return preprocessing.preprocess(apply(info(name), given)[0], images)


def convert(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    format: str | None = None,
    architecture: str | None = None,
    preprocessing: Preprocessing | None = None,
    until: str | None = None,
    input: str | None = None,
    input_shape: tuple[int, int, int] | None = None,
    theano_kernels: bool | None = None,
    sandbox: bool = True,
) -> keras.Model:
    """Converts files of any supported format.

    Args:
        paths: one file, or those that make up the model (`deploy.prototxt`, `x.caffemodel`), in any order; a SavedModel
            is a folder.
        format: `caffe`, `checkpoint`, `keras`, `mxnet`, `onnx`, `pytorch`, `tensorflow` or `torch7`; default: told
            from the files.
        architecture: for weights that carry no graph: one of `zoo.architectures.variants()`, or `variant/dialect`
            (`resnet50/torchvision`) where several publishers' files have the same names.
        preprocessing: put inside the model, which then takes RGB 0..255. Without it the model takes what the origin
            took, as NHWC in the origin's channel order.
        until: the layer, by its name in the origin, whose output becomes the model's; what only stands behind it is
            left out, and may be of kinds that zoo cannot express.
        input: the node of a TensorFlow graph whose value becomes the model's input; what only stands before it,
            decoding and scaling say, is left out alike.
        input_shape: (channels, height, width) of the input, for files that do not state it.
        theano_kernels: whether a model that Keras saved was made with Theano; default: as its file says.
        sandbox: read the files in a child process with limits on memory and time.

    Returns:
        A Keras model that ends as the origin ended.

    Raises:
        FormatError: the files are damaged.
        UnsupportedError: the network has operations that zoo cannot express; all are named.
        UsageError: the arguments do not fit the files.
    """
    from zoo.convert import convert_files
    from zoo.formats.options import Options

    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    model, _ = convert_files(
        [Path(path) for path in given],
        format=format,
        architecture=architecture,
        preprocessing=preprocessing,
        options=Options(input_shape=input_shape, input=input, until=until, theano_kernels=theano_kernels),
        sandbox=sandbox,
    )
    return model


def convert_to(
    output: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    *,
    format: str | None = None,
    architecture: str | None = None,
    until: str | None = None,
    input: str | None = None,
    input_shape: tuple[int, int, int] | None = None,
    theano_kernels: bool | None = None,
    against: str | os.PathLike[str] | None = None,
    sandbox: bool = True,
) -> dict[str, Any]:
    """Converts files, as `convert` does, to one .keras file.

    Args:
        output: the file, whose name ends in .keras.
        paths: as in `convert`, and so are the other arguments.
        against: arrays that the origin gave, as in `verify`.

    Returns:
        The receipt, which is also in the file (member zoo.json): the files' hashes, which version converted, what
        became of each tensor, and under `nodes` how the numbers compare with `against`.

    Raises:
        ParityError: the numbers are not those of `against`.
        ZooError: as `convert`; nothing is written then.
    """
    if Path(output).suffix != ".keras":
        raise UsageError(f"{output}: the file's name has to end in .keras")
    from zoo.convert import convert_files, receipt_of
    from zoo.formats.options import Options

    arrays = None if against is None else _arrays(against)
    files = [Path(path) for path in paths]
    options = Options(input_shape=input_shape, input=input, until=until, theano_kernels=theano_kernels)
    model, graph = convert_files(
        files, format=format, architecture=architecture, preprocessing=None, options=options, sandbox=sandbox
    )
    receipt = receipt_of(graph, {path.name: path for path in files})
    if arrays is not None:
        receipt["nodes"] = _compared(graph, arrays)
        if receipt["nodes"]["result"] != "equal":
            raise ParityError(f"{files[0].name}: {receipt['nodes']['summary']}; nothing was written")
    export(model, Path(output), receipt)
    return receipt


def verify(name: str, *, against: str | os.PathLike[str] | None = None, offline: bool | None = None) -> dict[str, Any]:
    """Checks a converted model again: its bytes against the receipt, its numbers against the origin framework's.

    Args:
        name: a registered name or alias.
        against: an .npz file of arrays that the origin gave: its input (named so, or `input`), and any values of the
            network by their name in the origin; maps as NCHW.
        offline: as in `get`.

    Returns:
        The receipt, with the figures measured now under `parity`, and those of `against` under `nodes`: `result`
        (`equal`, `differs` or `cannot run`), `summary`, one of `rows` for each value, and `unknown` names.

    Raises:
        ParityError: the bytes, or the numbers kept with the registry, are others.
        FormatError: `against` is no such file.
    """
    card = info(name, offline=offline)
    arrays = None if against is None else _arrays(against)
    folder = _artifact(card, neutral(card), source=None, offline=offline)
    receipt = artifact.read_receipt(folder)
    from zoo.convert import parity, read_card  # imports keras: only once there is something to compare

    receipt = {**receipt, "parity": parity(card, artifact.load(folder))}
    if arrays is not None:
        from zoo.fetch import fetch

        graph = read_card(card, fetch(card, offline=offline), sandbox=not is_builtin(card))
        receipt["nodes"] = _compared(graph, arrays)
    return receipt


def _arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    from zoo.parity import read_arrays

    return read_arrays(Path(path))


def _compared(graph: Graph, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    from dataclasses import asdict

    from zoo.parity import compare

    found = compare(graph, arrays)
    rows = [
        {key: value if not isinstance(value, float) or isfinite(value) else str(value) for key, value in row.items()}
        for row in asdict(found)["rows"]  # strict JSON has neither infinity nor NaN
    ]
    return {**asdict(found), "rows": rows, "summary": str(found)}


def about(card: ModelCard, given: Given | None = None) -> dict[str, Any]:
    """Returns what an exported file tells about itself, in its member zoo.json."""
    card, facts = apply(card, given or {})
    names = labels(card)
    return {
        "model": card.name,
        "class_names": None if names is None else [name for _, name in names],
        "class_ids": None if names is None else [key for key, _ in names],
        "preprocessing": card.preprocessing.model_dump(mode="json"),
        "license": card.license.model_dump(mode="json"),
        **({"stated_by_caller": facts} if facts else {}),
    }


def export(model: keras.Model, path: Path, facts: dict[str, Any]) -> Path:
    """Writes a model as one .keras file, with `facts` in its member zoo.json; the file appears whole or not at all."""
    import zipfile

    with cache.atomic_file(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr("zoo.json", json.dumps(facts, indent=1, ensure_ascii=False))
    return path


def _artifact(
    card: ModelCard,
    given: Mapping[str, Any],
    *,
    source: str | os.PathLike[str] | None,
    offline: bool | None,
    sandbox: bool | None = None,
    progress: Progress = True,
    jobs: int = 1,
) -> Path:
    """Returns the folder of a card's artifact with a caller's facts, made now if it is not there."""
    if isinstance(card.source, UnsupportedSource):
        raise UnsupportedError(f"{card.name}: cannot be converted yet: {card.source.reason}")
    if sandbox is None:
        sandbox = not is_builtin(card)
    apply(card, given)  # tells of facts that are impossible, also of those that do not count here
    # How images are resized is no part of the model.
    card, facts = apply(card, {key: value for key, value in given.items() if key in INSIDE})
    if facts and isinstance(card.source, FinishedSource):
        raise UsageError(f"{card.name}: {', '.join(facts)}: this model has its preprocessing inside; leave it out")
    require(card)
    folder = artifact.folder_of(card)
    if (folder / artifact.RECEIPT).exists():
        return folder
    # Fetched under the lock too: whoever comes second shall not fetch what ZOO_KEEP_ORIGINALS=0 drops meanwhile.
    with cache.lock(folder):
        if not (folder / artifact.RECEIPT).exists():
            from zoo.fetch import fetch

            files = fetch(card, source=source, offline=offline, progress=progress, jobs=jobs)
            from zoo.convert import convert_card

            with cache.atomic_folder(folder) as temporary:
                convert_card(card, files, temporary, sandbox=sandbox, given=facts)
            if os.environ.get("ZOO_KEEP_ORIGINALS", "").lower() in ("0", "false", "no", "off"):
                from zoo import storage

                storage.drop_originals(card)
    return folder
