"""The built-in registry, compiled: a row per model to list and search, and each card as JSON.

Reading a thousand cards from TOML and validating them takes seconds. It is done once, and what came of it is kept in
the cache (or in the folder ZOO_INDEX) under a hash of the registry's files and of the rules that read them: another
content is another index.
Looking at rows needs neither TOML nor pydantic; `zoo.registry` makes ModelCards of what is asked for.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo import cache
from zoo.errors import UsageError, ZooError, ZooWarning

if TYPE_CHECKING:
    from zoo.schema import ModelCard

Row = dict[str, Any]
"""What lists show of a model: see `row`. Facts that no source gives are "unknown"."""

ROWS, CARDS = "rows.json", "cards.jsonl"
RULES = ("cards.py", "files.py", "index.py", "registries.py", "registry.py", "schema.py", "sources.py")
"""Modules whose change may change what a card is read as."""
_KEPT = 30 * 24 * 3600  # seconds
ORIGINS = ("caffe", "keras", "tensorflow", "torch", "mxnet")
STATUSES = ("verified", "convertible", "unverified", "unsupported")


def folder() -> Path:
    """The built-in registry's folder: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "_registry"
    return installed if installed.is_dir() else package.parent / "registry"


class Index(NamedTuple):
    """The compiled registry."""

    rows: list[Row]
    """In natural order of the names."""
    cards: bytes
    """Cards as JSON, one a line; a row's `at` says where its card begins and how long it is."""
    names: dict[str, Row]
    """Name, alias or former name -> row."""

    def row(self, name: str) -> Row | None:
        """Returns the row of a name; says so if the model has another one by now."""
        found = self.names.get(name)
        if found is not None and name in found["former"]:
            renamed(name, found["name"])
        return found

    def card(self, row: Row) -> bytes:
        """Returns a card as JSON."""
        start, length = row["at"]
        return self.cards[start : start + length]


def renamed(old: str, new: str) -> None:
    """Warns that a model has another name than it had."""
    warnings.warn(f"{old!r} is called {new!r} now; the old name works for the time being", ZooWarning, stacklevel=4)


def open() -> Index:
    """Returns the index of the built-in registry, compiled now if the cache has none of this content."""
    return _open(folder())


def row(card: ModelCard) -> Row:
    """Returns what lists show of a card."""
    accuracy = [metric for metric in card.metrics if metric.top1 != "unknown"]
    return {
        "name": card.name,
        "aliases": list(card.aliases),
        "former": list(card.former_names),
        "origin": card.origin,
        "family": card.family,
        "architecture": card.architecture,
        "format": card.source.format,
        "status": card.status,
        "top1": accuracy[0].top1 if accuracy else "unknown",
        "top5": accuracy[0].top5 if accuracy else "unknown",
        "parameters": card.parameters,
        "height": card.preprocessing.height,
        "width": card.preprocessing.width,
        "classes": card.labels.count,
        "dataset": card.dataset,
        "task": task(card.dataset, card.labels.count),
        "paper": "unknown" if card.paper == "unknown" else card.paper.title,
        "license": card.license.weights,
        "summary": card.summary,
    }


_TASKS = (
    ("places", r"places"),
    ("faces", r"ms1m|casia|facescrub|adience"),
    ("nsfw", r"yahoo's own|its author's own images"),
    ("cifar", r"cifar"),
    ("digits", r"mnist"),
    ("flowers", r"flowers"),
    ("style", r"flickr style"),
    ("location", r"geo-location"),
    ("imagenet", r"ilsvrc|imagenet"),
)
TASKS = (*(name for name, _ in _TASKS), "imagenet-other", "unknown")
"""What models tell apart: the 1000 classes of ImageNet, other classes of it, places, ..."""


def task(dataset: str, classes: int | str) -> str:
    """Returns which of TASKS a model was trained for last, by its card's data set and number of outputs."""
    found = next((name for name, pattern in _TASKS if re.search(pattern, dataset.lower())), "unknown")
    return "imagenet-other" if found == "imagenet" and classes not in (1000, 1001) else found


def select(
    rows: Iterable[Row],
    pattern: str = "*",
    *,
    origin: str | None = None,
    family: str | None = None,
    status: str | None = None,
    task: str | None = None,
    license: str | None = None,
    max_params: float | None = None,
    min_top1: float | None = None,
    sort: str = "name",
) -> list[Row]:
    """Returns the rows that meet all conditions, sorted; a fact that is unknown meets no condition on it.

    Args:
        rows: rows, in natural order of their names.
        pattern: shell wildcard that the name or an alias must match, such as `"resnet50*"`.
        origin: one of ORIGINS.
        family: family, as cards state it.
        status: one of STATUSES.
        task: one of TASKS.
        license: shell wildcard for the licence of the weights, such as `"Apache*"` or `"not stated"`.
        max_params: most trained parameters.
        min_top1: least published top-1 accuracy, a fraction.
        sort: a key of rows; numbers descend but for parameters, unknown ones come last.

    Raises:
        UsageError: there is no such origin, family, status, task or key.
    """
    rows = list(rows)
    allowed = {"origin": ORIGINS, "family": sorted({row["family"] for row in rows}), "status": STATUSES, "task": TASKS}
    for key, wanted in (("origin", origin), ("family", family), ("status", status), ("task", task)):
        if wanted is None:
            continue
        if wanted not in allowed[key]:
            raise UsageError(f"{key}: expected one of {', '.join(allowed[key])}, got {wanted!r}")
        rows = [row for row in rows if row[key] == wanted]
    if license is not None:
        rows = [row for row in rows if fnmatchcase(row["license"].lower(), license.lower())]
    if max_params is not None:
        rows = [row for row in rows if row["parameters"] != "unknown" and row["parameters"] <= max_params]
    if min_top1 is not None:
        rows = [row for row in rows if row["top1"] != "unknown" and row["top1"] >= min_top1]
    rows = [row for row in rows if any(fnmatchcase(name, pattern) for name in (row["name"], *row["aliases"]))]
    order = _order(sort)
    return rows if order is None else sorted(rows, key=order)  # stable: equal ones stay in order of their names


def _order(key: str) -> Callable[[Row], Any] | None:
    """Returns what to sort rows by that stand in order of their names; None where that is the order."""
    known = ("name", "origin", "family", "status", "task", "top1", "top5", "parameters", "classes", "license")
    if key not in known:
        raise UsageError(f"sort: expected one of {', '.join(known)}, got {key!r}")
    if key == "name":
        return None
    falling = -1 if key in ("top1", "top5") else 1

    def order(row: Row) -> Any:
        value = row[key]
        if isinstance(value, str) and key not in ("origin", "family", "status", "task", "license"):
            return (1, 0)  # unknown
        return (0, falling * value if not isinstance(value, str) else value)

    return order


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts resnet-50 before resnet-101."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|\D+", name)]


# ---------------------------------------------------------------------------------------------------------- compiling


@functools.cache
def _open(registry: Path) -> Index:
    def read() -> list[tuple[ModelCard, str]]:
        from zoo import registry as names

        return names.read_builtin()

    with os.scandir(registry) as entries:
        origins = [entry.name for entry in entries if entry.is_dir()]
    names = [f"{origin}/{file}" for origin in origins for file in os.listdir(registry / origin)]
    return compiled([(name, f"{registry}/{name}") for name in sorted(names) if name.endswith(".toml")], read)


def compiled(stated: Iterable[tuple[str, str | Path]], read: Callable[[], list[tuple[ModelCard, str]]]) -> Index:
    """Returns the index of some files of cards, compiled now if the cache has none of this content.

    Args:
        stated: what each file is called, and its path.
        read: reads and checks them, giving cards and how messages call the place of each.
    """
    digest = _digest(stated)
    if digest not in _opened:
        _opened[digest] = _compiled(digest, read)
    return _opened[digest]


_opened: dict[str, Index] = {}


def _compiled(digest: str, read: Callable[[], list[tuple[ModelCard, str]]]) -> Index:
    chosen = os.environ.get("ZOO_INDEX")
    place = (Path(chosen).expanduser().absolute() if chosen else cache.home() / "index") / digest
    try:
        table, cards = json.loads((place / ROWS).read_bytes()), (place / CARDS).read_bytes()
        rows = [dict(zip(table["keys"], values, strict=True)) for values in table["rows"]]
    except (OSError, ValueError, LookupError, TypeError):
        rows, cards = _compile(read())
        try:
            with cache.atomic_folder(place) as temporary:
                # Keys once, not in every row: half the time to read it.
                table = {"keys": list(rows[0]) if rows else [], "rows": [list(row.values()) for row in rows]}
                (temporary / ROWS).write_text(json.dumps(table, separators=(",", ":")), "utf-8")
                (temporary / CARDS).write_bytes(cards)
            _sweep(place)
        except (OSError, ZooError):
            pass  # a read-only cache: compiled again the next time
    return Index(rows, cards, {name: row for row in rows for name in (row["name"], *row["aliases"], *row["former"])})


def _sweep(current: Path) -> None:
    """Removes indexes that nobody made for a month; another version of zoo that needs one compiles it again."""
    for path in current.parent.iterdir():
        if path != current and time.time() - path.stat().st_mtime > _KEPT:
            shutil.rmtree(path, ignore_errors=True)


def _compile(stated: Iterable[tuple[ModelCard, str]]) -> tuple[list[Row], bytes]:
    rows, lines, start = [], [], 0
    for card, shown in sorted(stated, key=lambda one: natural(one[0].name)):
        line = card.model_dump_json(exclude_none=True).encode()
        rows.append({**row(card), "stated": shown, "at": [start, len(line)]})
        lines.append(line)
        start += len(line) + 1
    return rows, b"\n".join(lines)


def _digest(stated: Iterable[tuple[str, str | Path]]) -> str:
    """A hash of files of cards and what they are called, and of the modules that read them."""
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for name, path in [*stated, *((rule, package / rule) for rule in RULES)]:
        content = Path(path).read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:32]
