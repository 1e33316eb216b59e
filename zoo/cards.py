"""TOML text -> ModelCards, and errors that name file, line and key.

A family file has `origin` and `family` at the top, a `[defaults]` table, and one `[models."name"]` table per variant.
The defaults are merged under each variant, table by table; where both state a key, the variant's counts.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zoo.errors import CardError, Problem
from zoo.schema import ModelCard

Key = tuple[str | int, ...]
Data = dict[str, Any]

TOP_KEYS = ("origin", "family", "defaults", "models")
SHOWN = 3  # problems told at once; the rest is counted
MAX_BYTES = 4 << 20  # of a file; cards of a family are some kilobytes
MAX_DEPTH = 16  # of tables and lists; a card has six
MAX_NUMBER = 1 << 53  # what JSON and floating point hold exactly
MISSING = object()


def read(path: Path, shown: str | None = None) -> list[ModelCard]:
    """Reads a family file.

    Args:
        path: a TOML file.
        shown: how messages call it; its path when left out.

    Returns:
        Its models, in the file's order.

    Raises:
        CardError: the file cannot be read, is not TOML, or a card in it is wrong.
    """
    shown = shown or str(path)
    return parse(read_text(path, shown), shown)


def read_text(path: Path, shown: str) -> str:
    """Returns the text of a family file; arguments and errors as in `read`."""
    try:
        if not path.is_file() and path.exists():  # a pipe would be waited for
            raise _refused(shown, Problem("", "is no file; name a .toml file of cards"))
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _refused(
                shown, Problem("", f"has more than {MAX_BYTES >> 20} MB; a file of cards has some kilobytes")
            )
        return content.decode("utf-8-sig").replace("\r\n", "\n")  # editors on Windows begin with a byte order mark
    except OSError as error:
        raise _refused(shown, Problem("", f"cannot be read: {error.strerror}")) from None
    except UnicodeDecodeError as error:
        raise _refused(shown, Problem("", f"not UTF-8 text (byte {error.start}); save it as UTF-8")) from None


def parse(text: str, shown: str) -> list[ModelCard]:
    """Reads the text of a family file; `shown` is how messages call the file."""
    data = tables(text, shown)
    return [variant(data, name, text, shown) for name in data["models"]]


def tables(text: str, shown: str) -> Data:
    """Returns a family file's tables, of which only the outermost were looked at."""
    data = _toml(text, shown)
    if _too_deep(data):
        raise _refused(shown, Problem("", "not a card: tables or lists nested too deep"))
    _check_top(data, text, shown)
    return data


def variant(data: Data, name: str, text: str, shown: str) -> ModelCard:
    """Returns one model of a family file: `tables` of its text, the model's title there."""
    merged = merge(data.get("defaults", {}), data["models"][name])
    for key in ("name", "origin", "family"):
        if key in merged:
            reason = "the table's title is the name" if key == "name" else "it stands once, at the top of the file"
            line = line_of(text, name, (key,))
            raise _refused(shown, Problem(_dotted((name, key)), f"leave it out; {reason}", line))
    merged = {"name": name, "origin": data["origin"], "family": data["family"], **merged}
    return _validated(merged, shown, partial(line_of, text, name))


def card(data: Mapping[str, Any], shown: str = "card") -> ModelCard:
    """Makes a ModelCard of a whole card in JSON's types (lists, dicts, numbers, text); `shown` opens the messages."""
    return _validated(dict(data), shown, lambda key: None)


def _refused(shown: str, *problems: Problem) -> CardError:
    """Returns the error, its message one printable line of bounded length whatever keys and values the file has."""
    told = []
    for problem in problems[:SHOWN]:
        line = f":{problem.line}" if problem.line else ""
        key = f"{problem.key}: " if problem.key else ""
        told.append(f"{shown}{line}: {key}{problem.what}")
    rest = len(problems) - SHOWN
    text = "; ".join(told) + (f"; and {rest} more" if rest > 0 else "")
    text = "".join(char if char.isprintable() else "?" for char in text)
    return CardError(text if len(text) <= 1500 else f"{text[:1200]}...{text[-250:]}", problems)


def line_of(text: str, name: str, key: Key) -> int | None:
    """Returns the line of a family file that states a model's key, or the nearest table around it."""
    top = [key] if key[:1] in (("origin",), ("family",)) else []
    return _at(text, ("models", name, *key), ("defaults", *key), *top)


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> Data:
    """Merges two tables: tables within are merged likewise, anything else is taken from `over`."""
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        # A table that chooses its kind replaces: a `square` resize has no use for a `short-side` one's keys.
        tables = isinstance(old, dict) and isinstance(value, dict) and not {"kind", "format"} & value.keys()
        merged[key] = merge(old, value) if tables and isinstance(old, dict) else value
    return merged


def _toml(text: str, shown: str) -> Data:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|(end of document))\)", str(error), re.DOTALL)
        line, what = None, str(error)
        if found:
            line = int(found[2] or max(1, len(text.splitlines())))
            what = found[1] + (" at the end of the file" if found[4] else f" at column {found[3]}")
        raise _refused(shown, Problem("", f"not TOML: {what}", line)) from None
    except RecursionError:
        raise _refused(shown, Problem("", "not a card: tables or lists nested too deep")) from None
    except ValueError:  # of int(), which takes 4300 digits
        raise _refused(shown, Problem("", "not a card: a number of thousands of digits")) from None


def _too_deep(data: Any) -> bool:
    """Whether tables and lists are nested deeper than a card's; without recursion, which has a depth of its own."""
    level: list[Any] = [data]
    for _ in range(MAX_DEPTH):
        level = [child for value in level for child in _children(value) if isinstance(child, dict | list | tuple)]
    return bool(level)


def _children(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _check_top(data: Data, text: str, shown: str) -> None:
    def refused(key: str, what: str, *at: str) -> CardError:
        return _refused(shown, Problem(key, what, _at(text, at or (key,))))

    for key in data:
        if key not in TOP_KEYS:
            raise refused(key, f"unknown key{_nearest(key, TOP_KEYS)}")
    for key in ("origin", "family"):
        if not isinstance(data.get(key), str):
            raise refused(key, f"expected text at the top of the file, got {_short(data.get(key, MISSING))}")
    for key in ("defaults", "models"):
        if not isinstance(data.get(key, {}), dict):
            raise refused(key, f"expected a table, got {_short(data[key])}")
    if not data.get("models"):
        raise refused("models", 'expected at least one table [models."name"]')
    for name, own in data["models"].items():
        if not isinstance(own, dict):
            raise refused(f"models.{name}", f"expected a table, got {_short(own)}", "models", name)
        if own and not own.keys() & ModelCard.model_fields.keys() and all(isinstance(x, dict) for x in own.values()):
            whole = f"{name}.{next(iter(own))}"
            what = f'TOML takes the dot for a table in a table; write the name in quotes, [models."{whole}"]'
            raise refused(f"models.{whole}", what, "models", name, next(iter(own)))


def _validated(data: Data, shown: str, line: Callable[[Key], int | None]) -> ModelCard:
    name = str(data.get("name", "card"))
    odd, what = ((), "tables or lists nested too deep") if _too_deep(data) else _odd(data)
    if what:
        raise _refused(shown, Problem(_dotted((name, *odd)), what, line(odd)))
    try:
        # JSON in strict mode: lists become tuples, but "1" stays text and no number becomes a bool.
        return ModelCard.model_validate_json(json.dumps(data))
    except ValidationError as error:
        problems = _problems(error, data)
    except (TypeError, ValueError):
        problems = [((), "a card holds text, numbers, lists and tables only")]
    raise _refused(shown, *(Problem(_dotted((name, *key)), what, line(key)) for key, what in problems)) from None


def _odd(value: Any, key: Key = ()) -> tuple[Key, str]:
    """Finds the value that no card can hold: a date, a terminal's control sequence, or in Python anything at all."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for part, child in pairs:
        at = (*key, part)
        if not isinstance(child, dict | list | tuple | str | int | float | bool | None):
            return at, f"expected text, a number, a list or a table, got {_short(child)}"
        if isinstance(child, int) and abs(child) > MAX_NUMBER:
            return at, f"expected a number of at most {MAX_NUMBER}, got one of {len(hex(child)) - 2} hexadecimal digits"
        if any(isinstance(text, str) and CONTROL.search(text) for text in (part, child)):
            return at, f"expected text without control characters, got {_short(child)}"
        found = _odd(child, at)
        if found[1]:
            return found
    return key, ""


# What moves a terminal's cursor, or turns the direction of text: a card is shown by `zoo info`.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")

# pydantic's errors in our words: type -> text with the error's context.
WORDS: dict[str, str] = {
    "missing": "is missing",
    "string_type": "expected text",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "tuple_type": "expected a list",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
    "none_required": "expected nothing",
    "literal_error": "expected {expected}",
    "finite_number": "expected a finite number",
    "greater_than": "expected a number above {gt}",
    "greater_than_equal": "expected a number of at least {ge}",
    "less_than_equal": "expected a number of at most {le}",
    "too_short": "expected at least {min_length} entry",
    "too_long": "expected at most {max_length} entries",
    "union_tag_not_found": "is missing",
    "union_tag_invalid": "expected one of {expected_tags}, got '{tag}'",
}
WRONG_TYPE = {name for name in WORDS if name.endswith("_type")} | {"literal_error", "none_required"}
WITH_ALTERNATIVES = {name for name in WORDS if name.startswith("union_tag")} | {"missing"}


def _problems(error: ValidationError, data: Data) -> list[tuple[Key, str]]:
    """One problem per key, although pydantic reports one per arm of a union."""
    groups: dict[Key, list[tuple[Key, Any]]] = {}
    items = error.errors(include_url=False)
    for item in items:
        if item["type"] == "too_short" and any(
            other["loc"][: len(item["loc"])] == item["loc"] for other in items if other is not item
        ):
            continue  # pydantic does not count entries that are wrong themselves
        field, key = _real_key(item["loc"], data, item["type"])
        groups.setdefault(field, []).append((key, item))
    problems = []
    for field, group in groups.items():
        # An arm that got past the type is the arm that was meant.
        meant = [(key, item) for key, item in group if key != field or item["type"] not in WRONG_TYPE]
        if meant:
            kinds: dict[Key, list[Any]] = {}
            for key, item in meant:
                kinds.setdefault(key, []).append(item)
            for key, same in kinds.items():
                problems += _alike(key, same, data)
        else:
            problems += _alike(field, [item for _, item in group], data)
    return problems


def _alike(key: Key, items: list[Any], data: Data) -> list[tuple[Key, str]]:
    """What arms of a union say of one key, as one problem where all take its type for a wrong one."""
    if len(items) == 1 or any(item["type"] not in WRONG_TYPE for item in items):
        return [_told(key, item, data) for item in items]
    words = list(dict.fromkeys(_words(item) for item in items))
    text = "expected " + " or ".join(word.removeprefix("expected ") for word in words)
    return [(key, f"{text}, got {_short(_value(data, key))}")]


def _real_key(loc: tuple[int | str, ...], data: Data, kind: str) -> tuple[Key, Key]:
    """Turns pydantic's location into keys of the file, without the names of union arms that stand between them.

    Returns:
        The field (the key down to where a union begins), and the key itself; the same if there is no union.
    """
    here: Any = data
    key: list[str | int] = []
    field: Key | None = None
    entered = False
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        tag = isinstance(here, dict) and part == here.get("kind", here.get("format"))
        if entered and tag and not (last and kind == "extra_forbidden"):
            entered = False  # the arm that a discriminator chose; pydantic names it first thing inside the table
        elif (isinstance(here, dict) and part in here) or (isinstance(here, list | tuple) and isinstance(part, int)):
            key.append(part)
            here, entered = _value(here, (part,)), True
        elif last and kind == "missing":
            key.append(part)
        elif field is None:
            field = tuple(key)
    return (tuple(key) if field is None else field), tuple(key)


def _told(key: Key, item: Any, data: Data) -> tuple[Key, str]:
    """The key and the text of one problem."""
    value = _value(data, key)
    if item["type"] == "extra_forbidden":
        return key, f"unknown key{_nearest(str(key[-1]), _allowed_keys(data, key[:-1]))}"
    if item["type"] == "value_error":
        text = str(item["ctx"]["error"])
        named = re.match(r"([a-z_][a-z0-9_]*(?:\.[a-z0-9_]+)*): ", text)
        return ((*key, *named[1].split(".")), text[named.end() :]) if named else (key, text)
    if item["type"].startswith("union_tag"):
        key = (*key, item["ctx"]["discriminator"].strip("'"))
    got = "" if item["type"] in WITH_ALTERNATIVES else f", got {_short(value)}"
    return key, _words(item) + got


def _words(item: Any) -> str:
    if item["type"] not in WORDS:
        return str(item["msg"])
    return WORDS[item["type"]].format(**item.get("ctx", {}))


def _value(data: Any, key: Key) -> Any:
    for part in key:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return MISSING
    return data


def _allowed_keys(data: Data, key: Key) -> list[str]:
    """Keys that the table at `key` may have, from the card's JSON schema."""
    schema = ModelCard.model_json_schema()
    here = _arms(schema, schema, data)
    value: Any = data
    for part in key:
        value = value[part]
        step: list[Data] = []
        for arm in here:
            child = arm.get("properties", {}).get(part) or arm.get("items") or arm.get("additionalProperties")
            step += _arms(schema, child, value) if isinstance(child, dict) else []
        here = step
    return sorted({name for arm in here for name in arm.get("properties", {})})


def _arms(root: Data, node: Data, value: Any) -> list[Data]:
    """Follows references and unions; a union with a discriminator gives the arm that `value` chose."""
    if "$ref" in node:
        return _arms(root, root["$defs"][node["$ref"].rsplit("/", 1)[1]], value)
    if "discriminator" in node:
        chosen = value.get(node["discriminator"]["propertyName"]) if isinstance(value, dict) else None
        mapping = node["discriminator"]["mapping"]
        return _arms(root, {"$ref": mapping[chosen]}, value) if chosen in mapping else []
    return [arm for child in node.get("anyOf", []) for arm in _arms(root, child, value)] or [node]


def _nearest(key: str, allowed: list[str] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(key, allowed, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; allowed: {', '.join(allowed)}" if allowed else ""


def _short(value: Any) -> str:
    if value is MISSING:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _dotted(key: Key) -> str:
    """`("alexnet", "files", "graph", "places", 0, "url")` as people write it: `alexnet.files.graph.places[0].url`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


KEY_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(\.|\Z)""")


def _at(text: str, *keys: Key) -> int | None:
    """The line that states the key (or the nearest table around it), or None.

    A light search, not a parser. Several keys may be meant (a variant's own, the defaults'): whichever is stated most
    fully counts, the first of equals.
    """
    best, number = (-len(text), 0), 0
    seen: dict[Key, int] = {}
    header: Key = ()
    for line, content in enumerate(text.splitlines(), 1):
        title = re.match(r"\s*(\[\[?)([^\]]*)\]", content)
        pair = re.match(r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_.-])+)\s*=""", content)
        if title and (parts := _parts(title[2])):
            header = parts
            if title[1] == "[[":
                seen[parts] = seen.get(parts, -1) + 1
                header = (*parts, seen[parts])
            stated = header
        elif pair and (parts := _parts(pair[1])):
            stated = (*header, *parts)
        else:
            continue
        for order, key in enumerate(keys):
            if stated == key[: len(stated)]:
                score = (len(stated) - len(key), -order)
                best, number = max((best, number), (score, line), key=lambda found: found[0])
    return number or None


def _parts(dotted: str) -> Key:
    parts: list[str] = []
    position = 0
    while position < len(dotted):
        found = KEY_PART.match(dotted, position)
        if not found:
            return ()
        parts.append(found[1] if found[1] is not None else found[2] if found[2] is not None else found[3])
        position = found.end()
    return tuple(parts)
