"""Cards of KerasHub presets on Hugging Face: config.json is the backbone's, task.json the classifier's.

What a preset does to images is in image_converter.json, or else in preprocessor.json: scale and offset of a pixel
0..255, and Keras's resize. Nothing in them is executed; classes are looked up in zoo's own tables by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo.errors import UnsupportedError

REGISTERED = "keras_hub>"
"""How a class of KerasHub's is called in its config.json."""
BACKBONE, TASK = "model.weights.h5", "task.weights.h5"
_CONVERTERS = ("image_converter.json", "preprocessor.json")
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic")

Read = Callable[[str], Mapping[str, Any]]
"""A JSON file of the repository by its name."""


def understood(config: Mapping[str, Any]) -> bool:
    """Returns whether a config.json is a KerasHub preset's."""
    return str(config.get("registered_name", "")).startswith(REGISTERED)


def card(name: str, facts: Any, config: Mapping[str, Any], read: Read, file: Callable[[str], Any]) -> dict[str, Any]:
    """Returns the card of a preset as plain data, without its licence.

    Args:
        name: the card's.
        facts: what the hub says of the repository.
        config: its config.json.
        read: what reads another of its JSON files.
        file: what makes an entry of the card's files.

    Raises:
        UnsupportedError: its network is none that zoo can build, or it has no classifier.
    """
    there = {sibling.rfilename for sibling in facts.siblings or []}
    if lacking := [file for file in (BACKBONE, "task.json", TASK) if file not in there]:
        sharded = "; sharded weights cannot be read" if "model.weights.json" in there else ""
        raise UnsupportedError(f"{name}: a KerasHub preset without {lacking[0]}: it has no classifier{sharded}")
    variant = variant_of(name, config)
    task = read("task.json")
    classes = _classes(name, variant, task)
    preprocessing = _preprocessing(name, variant, read, there)
    commit = f"Hugging Face repository {facts.id} @{facts.sha}"
    side = f"{preprocessing['height']}x{preprocessing['width']}"
    known = classes == 1000 and facts.id.startswith("keras/")
    return {
        "name": name,
        "origin": "keras",
        "family": variant,
        "architecture": str(config["class_name"]),
        "summary": f"{variant} of {facts.id}: {classes} classes, {side}",
        "source": {
            "format": "keras", "architecture": variant, "dialect": "kerashub", "weights": "weights", "task": "task"
        },
        "files": {"weights": file(BACKBONE), "task": file(TASK)},
        "paper": "unknown",
        "dataset": "unknown",
        "labels": {"count": classes, "list": "imagenet-2012" if known else "unknown"},
        "preprocessing": preprocessing,
        "metrics": [],
        "parameters": "unknown",
        "training": "unknown",
        "status": "unverified",
        "sources": {
            "files": f"{commit}: size and sha256 as the hub states them",
            "labels": f"{commit} task.json; keras-hub 0.32.0 (package) src/utils/imagenet/imagenet_utils.py: "
            "IMAGENET_NAMES",
            "preprocessing": f"{commit} image_converter.json or preprocessor.json; keras-hub 0.32.0 (package) "
            "src/layers/preprocessing/image_converter.py",
            "license": f"{commit}: its card",
        },
    }  # fmt: skip


def variant_of(name: str, config: Mapping[str, Any]) -> str:
    """Returns the variant of `zoo.architectures` that a backbone's config.json describes.

    Raises:
        UnsupportedError: there is none.
    """
    from zoo.architectures.kerashub_tables import ASSUMED, NETWORKS

    kind, stated = str(config["class_name"]), config["config"]
    assumed = {"data_format": ("channels_last", None), **ASSUMED.get(kind, {})}
    for key, allowed in assumed.items():
        if key in stated and _plain(stated[key]) not in [_plain(value) for value in allowed]:
            raise UnsupportedError(f"{name}: {kind} with {key}={stated[key]!r}, which zoo cannot build")
    for variant, known in NETWORKS.items():
        if known.backbone == kind and all(
            _plain(stated[key]) == _plain(value) for key, value in known.config.items() if key in stated
        ):
            return variant
    raise UnsupportedError(f"{name}: its {kind} is none of KerasHub's networks that zoo can build")


def _plain(value: Any) -> Any:
    """Lists, numbers and words as they compare; Keras writes 0.0 for 0 and a tuple as a list."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return {"swish": "silu"}.get(value, value) if isinstance(value, str) else value


def _classes(name: str, variant: str, task: Mapping[str, Any]) -> int:
    from zoo.architectures.kerashub_tables import NETWORKS

    stated = task["config"]
    expected = {"pooling": "avg", "pooling_hidden_dim": 4096, **NETWORKS[variant].head}
    if not str(task["class_name"]).endswith("ImageClassifier"):
        raise UnsupportedError(f"{name}: is made for {task['class_name']}, no classifier of images")
    for key, value in expected.items():
        if stated.get(key, value) != value:
            raise UnsupportedError(f"{name}: a classifier with {key}={stated[key]!r}, which zoo cannot build")
    return int(stated["num_classes"])


def _preprocessing(name: str, variant: str, read: Read, there: set[str]) -> dict[str, Any]:
    """As `ImageConverter` computes it: Keras's resize, then x * scale + offset on 0..255."""
    from zoo.architectures.kerashub_tables import NETWORKS

    file = next((file for file in _CONVERTERS if file in there), None)
    stated = read(file)["config"] if file else {}
    if file == "preprocessor.json":
        stated = (stated.get("image_converter") or {}).get("config") or {}
    size = stated.get("image_size") or [NETWORKS[variant].size] * 2
    if len(size) != 2 or size[0] != size[1]:
        raise UnsupportedError(f"{name}: takes images of {size}; expected a square")
    mean, std = _affine(stated.get("scale"), stated.get("offset")) if stated else ("unknown", "unknown")
    cropped, padded = stated.get("crop_to_aspect_ratio", True), stated.get("pad_to_aspect_ratio", False)
    rule = {"kind": "crop-padding", "padding": 0} if cropped else {"kind": "square", "size": size[0]}
    interpolation = stated.get("interpolation", "bilinear") if stated else "unknown"
    return {
        "height": size[0],
        "width": size[1],
        "channel_order": "RGB",
        "value_range": [0, 255],
        "mean": mean,
        "std": std,
        "resize": rule if stated and not padded else "unknown",
        "interpolation": interpolation if interpolation in _INTERPOLATIONS else "unknown",
        "library": "tensorflow",
        "antialias": bool(stated.get("antialias", False)) if stated else "unknown",
    }


def _affine(scale: Any, offset: Any) -> tuple[Any, Any]:
    """x * scale + offset as (x - mean) / std."""
    scales, offsets = _three(scale, 1.0), _three(offset, 0.0)
    if any(value <= 0 for value in scales):
        raise ValueError(f"scale {scale}: expected numbers above 0")
    mean = [-shift / factor for shift, factor in zip(offsets, scales, strict=True)]
    return mean if any(mean) else "none", [1 / factor for factor in scales] if set(scales) != {1.0} else "none"


def _three(value: Any, default: float) -> list[float]:
    found = [default if value is None else value] * 3 if not isinstance(value, list) else value
    if len(found) != 3:
        raise ValueError(f"{value}: expected one number or three")
    return [float(number) for number in found]
