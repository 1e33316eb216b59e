"""The JSON schema of a file of cards, for editors that complete and check TOML.

It is made of the models in `zoo.schema`, whose docstrings become descriptions. What it says is less than what reading a
card says: the defaults of a file are merged into its models, so no key of a model is required by itself.
"""

from __future__ import annotations

from typing import Any

from zoo.index import ORIGINS
from zoo.schema import ModelCard

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TOP = ("name", "origin", "family")
"""Stated by the table's title and at the top of the file."""

Node = dict[str, Any]


def file_schema() -> Node:
    """Returns the schema of a family file: what is at its top, `[defaults]`, and one `[models."name"]` per model."""
    whole = ModelCard.model_json_schema()
    definitions: Node = whole.pop("$defs")
    for key in _TOP:
        del whole["properties"][key]
    partial = {**_partial(whole), "description": "One model, or what all models of the file share."}
    definitions = {
        **{name: _whole(node) for name, node in definitions.items()},
        **{f"Part{name}": _partial(node) for name, node in definitions.items()},
        "Part": partial,
    }
    text = {"type": "string", "minLength": 1}
    return {
        "$schema": DIALECT,
        "title": "Cards of pretrained models",
        "description": "A file of zoo's registry: models of one family and one origin.",
        "type": "object",
        "properties": {
            "origin": {"enum": list(ORIGINS), "description": "Framework the models came from."},
            "family": {**text, "description": "Family of the architectures, such as `resnet`."},
            "defaults": {"$ref": "#/$defs/Part", "description": "Facts that all models share; a model's own count."},
            "models": {
                "type": "object",
                "description": "Name -> what is the model's own.",
                "propertyNames": {"pattern": "^[a-z0-9][a-z0-9._-]{0,99}$"},
                "additionalProperties": {"$ref": "#/$defs/Part"},
                "minProperties": 1,
            },
        },
        "required": ["origin", "family", "models"],
        "additionalProperties": False,
        "$defs": _used(definitions, partial),
    }


def _whole(node: Any) -> Any:
    """Drops what only pydantic reads."""
    if isinstance(node, list):
        return [_whole(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {name: _whole(child) for name, child in value.items()} if key == "properties" else _whole(value)
        for key, value in node.items()
        if key not in ("title", "discriminator") and (key, value) != ("default", None)
    }


def _partial(node: Any) -> Any:
    """Returns the schema of a table of which the other half may stand under [defaults].

    Lists are not merged, so what is in them is whole; of several kinds of table any may be meant, as its kind may be
    among the defaults.
    """
    if isinstance(node, list):
        return [_partial(child) for child in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return {**_whole(node), "$ref": node["$ref"].replace("#/$defs/", "#/$defs/Part")}
    found = _whole({key: value for key, value in node.items() if key not in ("required", "minProperties")})
    for key in ("anyOf", "oneOf"):
        if key in node:
            found.pop(key)
            found["anyOf"] = _partial(node[key])
    for key in ("properties", "additionalProperties"):
        if isinstance(node.get(key), dict):
            partial = {name: _partial(child) for name, child in node[key].items()}
            found[key] = partial if key == "properties" else _partial(node[key])
    return found


def _used(definitions: Node, start: Node) -> Node:
    """Returns the definitions that something refers to, in order of their names."""
    found, waiting = {"Part"}, [start]
    while waiting:
        node = waiting.pop()
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        waiting += children
        name = str(node["$ref"]).rpartition("/")[2] if isinstance(node, dict) and "$ref" in node else ""
        if name and name not in found:
            found.add(name)
            waiting.append(definitions[name])
    return {name: definitions[name] for name in sorted(found)}
