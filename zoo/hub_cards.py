"""Cards of Hugging Face repositories: `hf:owner/name` is a model's name if the repository says what zoo must know.

What is understood is timm's config.json (architecture, normalisation, crop and classes), the JSON files of a KerasHub
preset, and a model.keras that zoo wrote, as `zoo push` uploads it, which says the same inside. A card is made from it
the first time the name is used, kept in the cache with the commit it was made from, and stays what it is from then on;
`hf:owner/name@revision` names another commit. Nothing of a repository is executed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zoo import cache, hub_finished, hub_kerashub
from zoo.errors import CardError, FetchError, UnsupportedError, UsageError
from zoo.schema import SPDX, ModelCard

PREFIX = "hf:"
NAME = re.compile(
    r"hf:([A-Za-z0-9][A-Za-z0-9._-]{0,95})/([A-Za-z0-9][A-Za-z0-9._-]{0,95})(?:@([A-Za-z0-9][\w.-]{0,99}))?\Z"
)
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Files that are looked for, in this order."""

MAX_CONFIG = 4 << 20
"""Bytes of a config.json; one with the names of 21,843 classes takes about 1 MB."""

# timm/data/imagenet_info.py tells data sets apart by the number of classes; its lists are in the order of zoo's.
_LABELS = {1000: "imagenet-2012"}
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")


def card(name: str, *, offline: bool | None = None) -> ModelCard:
    """Returns the card of a repository, made now if it is not in the cache.

    Args:
        name: `hf:owner/name` or `hf:owner/name@revision`.
        offline: never use the network; default: whether ZOO_OFFLINE is 1.

    Raises:
        UsageError: the name is no such name.
        FetchError: the hub does not give the repository.
        UnsupportedError: its config.json is not understood, or its network is none that zoo can build.
    """
    found = NAME.match(name)
    if not found or ".." in name or "--" in name:
        raise UsageError(f"{name!r}: expected hf:owner/name or hf:owner/name@revision")
    note = _note(name)
    with contextlib.suppress(OSError, ValueError):
        return ModelCard.model_validate_json(note.read_text("utf-8"))
    if offline is None:
        offline = os.environ.get("ZOO_OFFLINE", "").lower() not in ("", "0", "false", "no", "off")
    if offline:
        raise FetchError(f"{name}: offline, and its config.json was never fetched; run `zoo info {name}` online once")
    owner, repo, revision = found.groups()
    made = _made(f"{owner}/{repo}", revision or "main", name)
    with contextlib.suppress(OSError), cache.atomic_file(note) as temporary:  # a read-only cache asks again
        temporary.write_text(made.model_dump_json(indent=1), "utf-8")
    return made


def _made(repo: str, revision: str, name: str) -> ModelCard:
    from zoo.fetch import hub
    from zoo.fetch.places import PlaceError

    try:
        facts = hub.facts(repo, revision)
    except PlaceError as error:
        raise FetchError(f"{name}: {error}") from error
    there = {sibling.rfilename for sibling in facts.siblings or []}
    if hub_finished.FILE in there and not there.intersection(WEIGHTS):
        return hub_finished.card(name, facts)
    return _card(name, facts, _json(repo, facts.sha, "config.json", name))


def noted() -> list[ModelCard]:
    """Returns the cards that are in the cache."""
    found = []
    for path in sorted(_notes().glob("*.json")) if _notes().is_dir() else []:
        with contextlib.suppress(OSError, ValueError):
            found.append(ModelCard.model_validate_json(path.read_text("utf-8")))
    return found


def forget(name: str) -> None:
    """Removes a card from the cache, so that the hub is asked again."""
    cache.remove(_note(name))


def _notes() -> Path:
    return cache.home() / "hub"


def _note(name: str) -> Path:
    return _notes() / f"{cache.folder_name(name)}.json"


# ------------------------------------------------------------------------------------------------------------ the hub


def _json(repo: str, commit: str, file: str, name: str) -> Mapping[str, Any]:
    """Returns a JSON file of a repository of one commit."""
    from zoo.fetch import hub
    from zoo.fetch.places import PlaceError
    from zoo.files import HubPlace

    try:
        body = hub.read(HubPlace(kind="hub", repo=repo, file=file, revision=commit), MAX_CONFIG)
    except PlaceError as error:
        raise FetchError(f"{name}: {error}") from error
    with _understood(name, file):
        found = json.loads(body)
        if not isinstance(found, dict):
            raise TypeError("no JSON object")
        return found


@contextlib.contextmanager
def _understood(name: str, file: str = "config.json") -> Iterator[None]:
    """Says in one line what is odd about a JSON file."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        what = " ".join(str(error).split())[:200]
        raise UnsupportedError(f"{name}: its {file} is not understood: {type(error).__name__}: {what}") from error


# ----------------------------------------------------------------------------------------------------------- the card


def _card(name: str, facts: Any, config: Mapping[str, Any]) -> ModelCard:
    with _understood(name):
        if hub_kerashub.understood(config):
            card = _kerashub(name, facts, config)
        elif "architecture" in config:
            card = _facts(name, facts, config)
        else:
            raise ValueError("it names no architecture of timm's or KerasHub's, and zoo understands no other kind")
    try:
        return ModelCard.model_validate_json(json.dumps(card))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CardError(f"{name}: its config.json makes no sound card: {where}: {first['msg']}") from error


def _kerashub(name: str, facts: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the card of a KerasHub preset as plain data."""
    found = hub_kerashub.card(
        name,
        facts,
        config,
        lambda file: _json(facts.id, facts.sha, file, name),
        lambda file: _file(name, facts, (file,)),
    )
    return {**found, "license": _license(facts, {})}


def _facts(name: str, facts: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the card as plain data."""
    pretrained = {**config, **config.get("pretrained_cfg", {})}  # older files have one level
    architecture, classes = str(config["architecture"]), int(pretrained["num_classes"])
    if config.get("model_args"):
        changed = ", ".join(sorted(map(str, config["model_args"])))
        raise UnsupportedError(f"{name}: changes its architecture by model_args ({changed}), which zoo cannot do")
    if classes < 1:
        raise UnsupportedError(f"{name}: has no classifier (num_classes is {classes})")
    from zoo import architectures

    try:
        variant, dialect = architectures.timm(architecture)
    except UsageError as error:
        raise UnsupportedError(f"{name}: {error}") from error
    preprocessing, commit = _preprocessing(pretrained), f"Hugging Face repository {facts.id} @{facts.sha}"
    side = f"{preprocessing['height']}x{preprocessing['width']}"
    return {
        "name": name,
        "origin": "torch",
        "family": variant,
        "architecture": architecture,
        "summary": f"{architecture} of {facts.id}: {classes} classes, {side}",
        "notes": _notes_on(pretrained),
        "source": {"format": "pytorch", "architecture": variant, "dialect": dialect, "weights": "weights"},
        "files": {"weights": _file(name, facts)},
        "paper": "unknown",
        "dataset": "unknown",
        "labels": _labels(config, classes, facts.id),
        "preprocessing": preprocessing,
        "metrics": [],
        "parameters": "unknown",
        "license": _license(facts, pretrained),
        "training": "unknown",
        "status": "unverified",
        "sources": {
            "files": f"{commit}: size and sha256 as the hub states them",
            "labels": f"{commit} config.json; timm/data/imagenet_info.py: 1000 classes are ImageNet-1k's, in order",
            "preprocessing": f"{commit} config.json; timm/data/transforms_factory.py: transforms_imagenet_eval",
            "license": f"{commit}: its card, or config.json",
        },
    }


def _preprocessing(config: Mapping[str, Any]) -> dict[str, Any]:
    """As timm's `transforms_imagenet_eval` has it: torchvision's resize of PIL images, which widens its kernel."""
    channels, height, width = config["input_size"]
    if channels != 3:
        raise ValueError(f"input_size {config['input_size']}: expected 3 channels")
    fraction = float(config.get("crop_pct") or 0.875)
    scaled = math.floor(height / fraction)
    mode = config.get("crop_mode") or "center"
    kinds = {"center": "short-side", "squash": "square"}
    interpolation = config.get("interpolation")
    known = interpolation in _INTERPOLATIONS
    return {
        "height": height,
        "width": width,
        "channel_order": "RGB",
        "value_range": [0, 1],
        "mean": config["mean"],
        "std": config["std"],
        "resize": {"kind": kinds[mode], "size": scaled} if mode in kinds and height == width else "unknown",
        "interpolation": interpolation if known else "unknown",
        "library": "pil",
        "antialias": interpolation != "nearest" if known else "unknown",
    }


def _labels(config: Mapping[str, Any], classes: int, repo: str) -> dict[str, Any]:
    names, described = config.get("label_names"), config.get("label_descriptions") or {}
    if isinstance(names, list) and len(names) == classes:
        shown = [[str(name), str(described.get(name, name))] for name in names]
        return {"count": classes, "list": "unknown", "names": shown}
    known = _LABELS.get(classes) if repo.startswith("timm/") else None
    return {"count": classes, "list": known or "unknown"}


def _file(name: str, facts: Any, names: tuple[str, ...] = WEIGHTS) -> dict[str, Any]:
    there = {sibling.rfilename: sibling for sibling in facts.siblings or []}
    chosen = next((there[file] for file in names if file in there), None)
    if chosen is None:
        raise UnsupportedError(f"{name}: the repository has none of {', '.join(names)}")
    digest = chosen.lfs.sha256 if chosen.lfs else None
    place = {"kind": "hub", "repo": facts.id, "file": chosen.rfilename, "revision": facts.sha}
    size = chosen.size if chosen.size is not None else "unknown"
    return {"name": chosen.rfilename, "size": size, "sha256": digest or "unknown", "places": [place]}


def _license(facts: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    data = facts.card_data
    stated = (data.get("license") if data is not None else None) or config.get("license")
    spdx = {known.lower(): known for known in SPDX}
    found = spdx.get(str(stated).lower(), "not stated")
    note = None if found != "not stated" or not stated else f"The repository says: {stated}"
    return {"code": "not stated", "weights": found, "training_data": "not stated", "note": note}


def _notes_on(config: Mapping[str, Any]) -> str | None:
    size, fraction = config.get("test_input_size"), config.get("test_crop_pct")
    if not size and not fraction:
        return None
    size = "x".join(str(number) for number in (size or config["input_size"])[1:])
    return f"Its config.json recommends {size} with crop_pct {fraction or config.get('crop_pct')} for testing."
