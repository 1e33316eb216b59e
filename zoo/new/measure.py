"""What the files of a new model say themselves: format, network, size of the input, outputs, parameters, numbers."""

from __future__ import annotations

import json
import math
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ParityError, UsageError, ZooError

if TYPE_CHECKING:
    import numpy as np

    from zoo.graph import Graph
    from zoo.schema import ModelCard

TOLERANCE = 1e-4
ROLES = {
    "prototxt": "graph", "symbol": "graph", "t7": "graph", "graph": "graph", "onnx": "graph",
    "caffemodel": "weights", "params": "weights", "keras": "weights", "state dict": "weights", "index": "weights",
    "arrays": "weights",
}  # fmt: skip
"""Kind of a file, as in `zoo.formats.PARTS` -> its key in `files`."""


def under_their_names(files: Mapping[str, Path], folder: Path) -> list[Path]:
    """Puts files of the cache, which names them by their hash, into a folder under their own names."""
    found = []
    for name, path in files.items():
        try:
            (folder / name).symlink_to(path)
        except OSError:  # Windows lets not everyone make links
            shutil.copy(path, folder / name)
        found.append(folder / name)
    return found


def source_of(paths: list[Path], format: str | None) -> tuple[dict[str, Any], dict[str, Path]]:
    """Tells a model's format; returns `source` as far as it follows from the files, and role -> file."""
    from zoo import formats

    format, ordered = formats.told(paths, format)
    parts = formats.PARTS[format]
    source: dict[str, Any] = {"format": format}
    files: dict[str, Path] = {}
    data: list[str] = []
    for index, path in enumerate(ordered):
        part = parts[min(index, len(parts) - 1)]
        role = ROLES.get(part, "")
        if part == "data":
            role = f"data-{len(data)}"
            data.append(role)
        else:
            source[role] = role
        files[role] = path
    if data:
        source["data"] = data
    return source, files


def dialect_of(architecture: str, dialect: str | None) -> tuple[str, str]:
    """Returns variant and dialect of `variant/dialect`, or of a variant that has only one."""
    from zoo import architectures

    variant, _, stated = architecture.partition("/")
    known = architectures.dialects(variant)
    chosen = stated or dialect or (known[0] if len(known) == 1 else "")
    if chosen not in known:
        choices = " or ".join(f"{variant}/{name}" for name in known)
        raise UsageError(f"architecture: whose {variant} it is decides the numbers; write {choices}")
    return variant, chosen


def usual_size(source: Mapping[str, Any], files: Mapping[str, Path]) -> tuple[int, int]:
    """Returns rows and columns of the input that the network was built for."""
    from zoo import architectures
    from zoo.formats.options import Options
    from zoo.graph import Graph
    from zoo.sandbox import read

    if source.get("architecture"):
        graph = architectures.build(source["architecture"], source["dialect"])
    else:
        ordered = [files[source[key]] for key in ("graph", "weights") if key in source]
        try:
            found = read(source["format"], ordered, options=Options())
        except ZooError as error:
            raise UsageError(f"size: the files do not say it ({error}); give the input's rows and columns") from error
        if not isinstance(found, Graph):
            raise UsageError(
                f"architecture: {ordered[0].name} holds weights without a graph; name the network, such as "
                "resnet50/torchvision (`zoo architectures` lists them)"
            )
        graph = found
    height, width = next(iter(graph.inputs.values()))[-2:]
    return height, width


def outputs_of(graph: Graph) -> int:
    """Returns how many outputs a network has."""
    from zoo.shapes import infer_all

    return math.prod(infer_all(graph)[graph.outputs[0]][1:])


def parameters_of(card: ModelCard, graph: Graph, outputs: int) -> int:
    """Returns how many parameters are trained."""
    from zoo import architectures
    from zoo.check.known import trainable

    architecture, dialect = (getattr(card.source, key, None) for key in ("architecture", "dialect"))
    if architecture and dialect:  # arrays that are not in the file, but the same everywhere, are told by its Params
        graph = architectures.build(architecture, dialect, classes=outputs, size=card.preprocessing.sides[0])
    return trainable(graph)[0]


# ------------------------------------------------------------------------------------------------------ the reference


def reference(path: Path) -> dict[str, np.ndarray]:
    """Reads what the origin gave: `output`, one number per class, and `input` if it is not zoo's test image.

    Raises:
        UsageError: it is no such file.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name], np.float32) for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, TypeError) as error:
        # what numpy says of loading it all the same is no advice for a file of others
        told = "it holds Python objects, or is none" if "pickle" in str(error) else str(error)
        raise UsageError(f"{path}: cannot be read as .npz ({told}); write it with numpy.savez") from error
    inputs = found.pop("input", None)
    if len(found) > 1:
        found = {name: array for name, array in found.items() if name in ("output", "logits")}
    if len(found) != 1:
        raise UsageError(f"{path}: expected one array `output` (and `input`), the origin's logits for zoo's test image")
    output = next(iter(found.values())).reshape(-1)
    if not output.size or not np.isfinite(output).all():
        raise UsageError(f"{path}: the output is empty, or holds NaN or infinity; compute it again")
    if output.min() >= 0 and abs(float(output.sum()) - 1) < 1e-3:
        raise UsageError(f"{path}: the output adds up to 1: give the logits, the numbers before the softmax")
    return {"output": output} if inputs is None else {"input": inputs, "output": output}


def prepared(card: ModelCard) -> np.ndarray:
    """Returns zoo's test image as the origin network takes it: (1, channels, height, width).

    Raises:
        UnknownFactError: the card does not say how images are prepared.
    """
    import numpy as np

    from zoo.convert import test_image
    from zoo.preprocessing import affine

    scale, offset = affine(card.preprocessing, name=card.name)
    image = test_image(*card.preprocessing.sides) * np.asarray(scale) + np.asarray(offset)
    if card.preprocessing.channel_order == "BGR":
        image = image[..., ::-1]
    prepared: np.ndarray = image.astype(np.float32).transpose(2, 0, 1)[None]
    return prepared


def compare(graph: Graph, arrays: Mapping[str, np.ndarray], name: str) -> float:
    """Compares a network's output for `input` with the origin's `output`; returns max|a-b| / max|b|.

    Raises:
        ParityError: they differ.
    """
    import keras
    import numpy as np

    from zoo import heads
    from zoo.build import build
    from zoo.convert import relative_error

    model = build(graph, affine=None)
    network = keras.Model(model.input, heads.logits(model))
    given = arrays["input"]
    given = given[None] if given.ndim == 3 else given
    actual = keras.ops.convert_to_numpy(network(np.moveaxis(given, 1, -1))).reshape(-1)
    if actual.shape != arrays["output"].shape:
        raise ParityError(f"{name}: gives {actual.size} outputs, the reference has {arrays['output'].size}")
    error = relative_error(actual, arrays["output"])
    if not error <= TOLERANCE:
        raise ParityError(
            f"{name}: is {error:.2g} off the reference (allowed {TOLERANCE:g}); look at dialect, architecture, "
            "order of the colours"
        )
    return error


def kept(card: ModelCard, framework: str, output: np.ndarray) -> str:
    """Returns the text of the file in `checks/`: the origin's logits for zoo's test image."""
    inputs = card.preprocessing
    height, width = inputs.sides
    mean, std = (list(value) if isinstance(value, tuple) else value for value in (inputs.mean, inputs.std))
    how = f"{inputs.channel_order}, on {inputs.value_range}, mean {mean}, std {std}"
    facts = {
        "framework": framework,
        "input": f"zoo's test image, {height}x{width}, {how}",
        "logits": [float(f"{number:.8g}") for number in output],
    }
    return json.dumps(facts, indent=1).replace(os.linesep, "\n") + "\n"
