"""A card as TOML: the text of a new family file, or the table to append to one that is there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

Data = Mapping[str, Any]

_FIRST = (
    "architecture",
    "aliases",
    "summary",
    "notes",
    "paper",
    "dataset",
    "parameters",
    "training",
    "status",
    "check",
)
_TABLES = ("source", "files", "labels", "preprocessing", "license")
_KINDS = ("kind", "format")
"""A table with such a key replaces the defaults' whole."""


def own(card: Data, defaults: Data) -> dict[str, Any] | None:
    """Returns what a model has to state beside its file's defaults; None if they state what it must not have."""
    found: dict[str, Any] = {}
    if set(defaults) - set(card):
        return None
    for key, value in card.items():
        under = defaults.get(key)
        if value == under:
            continue
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            different = any(value.get(kind) != under.get(kind) for kind in _KINDS)
            part = None if different else own(value, under)
            if part is None:
                if not any(kind in value for kind in _KINDS):
                    return None
                part = dict(value)
            found[key] = part
        else:
            found[key] = value
    return found


def head(origin: str, family: str, comment: str) -> str:
    """Returns the beginning of a family file."""
    return f"# {comment}\norigin = {_value(origin)}\nfamily = {_value(family)}\n"


def model(name: str, facts: Data) -> str:
    """Returns a model's tables; `facts` are those that it states itself."""
    title = f"models.{_value(name)}"
    lines = [f"[{title}]"]
    for key in _FIRST:
        if key in facts:
            lines.append(f"{key} = {_value(facts[key])}")
    if facts.get("metrics") == []:
        lines.append("metrics = []")
    for key in _TABLES:
        if key == "files":
            for role, file in facts.get("files", {}).items():
                lines += ["", f"[{title}.files.{_key(role)}]", *_pairs(file)]
        elif key in facts:
            lines += ["", f"[{title}.{key}]", *_pairs(facts[key])]
    for metric in facts.get("metrics", ()):
        lines += ["", f"[[{title}.metrics]]", *_pairs(metric)]
    if facts.get("sources"):
        lines += ["", f"[{title}.sources]", *_pairs(facts["sources"])]
    return "\n".join(lines) + "\n"


def _pairs(table: Data) -> list[str]:
    return [f"{_key(key)} = {_value(value, long=key == 'places')}" for key, value in table.items()]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any, *, long: bool = False) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(child)}" for key, child in value.items()) + " }"
    if isinstance(value, list | tuple):
        parts = [_value(child) for child in value]
        return "[\n" + "".join(f"  {part},\n" for part in parts) + "]" if long else "[" + ", ".join(parts) + "]"
    # JSON's escapes are TOML's, but for the one of DEL, which JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
