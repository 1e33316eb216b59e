"""Cards of Hugging Face repositories that hold a model zoo wrote: what `zoo push` uploaded is used by its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from zoo.errors import FetchError, FormatError, UnsupportedError
from zoo.files import File
from zoo.schema import License, ModelCard

FILE = "model.keras"


def card(name: str, hub: Any) -> ModelCard:
    """Makes the card of a repository whose model.keras carries zoo.json; the file is fetched for that, and kept.

    Args:
        name: the model's name, `hf:owner/repo`.
        hub: what the hub says of the repository.

    Raises:
        FetchError: the file cannot be had, or is not the one that the hub lists.
        UnsupportedError: it was not written by zoo, or holds anything but what Keras itself defines.
    """
    from zoo import finished
    from zoo.fetch import fetch_files

    file = _file(name, hub)
    try:
        path = fetch_files(name, {"weights": File.model_validate_json(json.dumps(file))})["weights"]
        said = finished.facts(path)
        finished.check(path)
        if not isinstance(said.get("preprocessing"), dict):
            raise UnsupportedError(f"{path}: says nothing of its input in {finished.FACTS}: zoo did not write it")
    except FormatError as error:
        raise type(error)(f"{name}: {str(error).replace(str(path), FILE)}") from error
    try:
        return ModelCard.model_validate_json(json.dumps(_facts(name, hub, said, file)))
    except (ValidationError, TypeError, ValueError) as error:
        what = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            what = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        raise UnsupportedError(f"{name}: {finished.FACTS} in {FILE} makes no sound card: {what[:300]}") from error


def _file(name: str, hub: Any) -> dict[str, Any]:
    listed = next(sibling for sibling in hub.siblings if sibling.rfilename == FILE)
    known: dict[str, Any] = {"sha256": listed.lfs.sha256} if listed.lfs else {"sha256": "unknown"}
    if not listed.lfs and listed.blob_id:
        known["git_blob"] = listed.blob_id
    if known == {"sha256": "unknown"}:
        raise FetchError(f"{name}: the hub lists {FILE} without a hash, so nobody can tell whether it arrived whole")
    place = {"kind": "hub", "repo": hub.id, "file": FILE, "revision": hub.sha}
    size = listed.size if listed.size is not None else "unknown"
    return {"name": FILE, "size": size, **known, "places": [place]}


def _facts(name: str, hub: Any, said: Mapping[str, Any], file: dict[str, Any]) -> dict[str, Any]:
    """Returns the card as plain data."""
    names = said.get("class_names")
    pairs = None if names is None else [list(pair) for pair in zip(said.get("class_ids") or names, names, strict=True)]
    base, rules = _line(said.get("model")), said["preprocessing"]
    made = "fine-tuned" if said.get("made_by") == "zoo finetune" else "exported"
    classes = "" if names is None else f"{len(names)} classes, "
    where = f"Hugging Face repository {hub.id} @{hub.sha}"
    labels = {"count": "unknown" if names is None else len(names), "list": "unknown"}
    return {
        "name": name,
        "origin": "keras",
        "family": base,
        "architecture": base,
        "summary": f"{base}, {made} with zoo, of {hub.id}: {classes}{rules.get('height')}x{rules.get('width')}",
        "source": {"format": "zoo", "weights": "weights"},
        "files": {"weights": file},
        "paper": "unknown",
        "dataset": "unknown",
        "labels": labels if pairs is None else {**labels, "names": pairs},
        "preprocessing": rules,
        "metrics": [],
        "parameters": "unknown",
        "license": _license(hub, said),
        "training": "unknown",
        "status": "unverified",
        "sources": {
            "files": f"{where}: size and hash as the hub states them",
            "labels": f"{where} {FILE}: zoo.json",
            "preprocessing": f"{where} {FILE}: zoo.json",
            "license": f"{where}: its card, or zoo.json",
        },
    }


def _license(hub: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what zoo.json says of the licences, or what the repository's card says of its files."""
    stated = said.get("license")
    if isinstance(stated, dict):
        return License.model_validate_json(json.dumps(stated)).model_dump(mode="json")
    found = hub.card_data.get("license") if hub.card_data is not None else None
    note = f"The repository says: {_line(found)}" if found else None
    return {"code": "not stated", "weights": "not stated", "training_data": "not stated", "note": note}


def _line(text: Any) -> str:
    """Returns text of a stranger's as one printable line."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text or "unknown"))[:100]
