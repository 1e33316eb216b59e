"""Other people's registries: a name of the user's for each, and cards under names that begin with it, `lab/resnet-x`.

What was added stands in `registries.json`. A folder and a package's folder are read where they are; of anything else
the cards, label lists and checks are kept here as they were when they were fetched, with what pins them. Nothing of
theirs is executed, none of their names can be one of zoo's or of another registry, and their files are read in the
sandbox. This module is on the way of `zoo list`: what fetches is in `zoo.registry_sources`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import cache, index
from zoo.errors import CardError, UsageError, ZooError

if TYPE_CHECKING:
    from zoo.schema import ModelCard

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
RESERVED = ("hf", "zoo", "registry")
STATE = "registries.json"
MAX_FILES = 5000
MAX_FILE = 4 << 20
MAX_TOTAL = 64 << 20
"""Bytes of one file, and of all files of a registry."""


@dataclass(frozen=True)
class Registry:
    """One that the user added.

    Args:
        name: what its models' names begin with.
        source: as the user wrote it.
        kind: folder, git, web, hub or package.
        pin: what says which state of the source this is: a commit, a sha256, a version; nothing for a folder.
        root: the folder that is read; relative to `cache.registries_dir()` for what is kept there.
        updated: when it was added or last fetched, UTC.
    """

    name: str
    source: str
    kind: str
    pin: dict[str, str] = field(default_factory=dict)
    root: str = ""
    updated: str = ""

    @property
    def folder(self) -> Path:
        """The folder that is read."""
        return cache.registries_dir() / self.root


def added() -> list[Registry]:
    """Returns the registries that were added, by name.

    Raises:
        CardError: the list of them is damaged.
    """
    path = cache.registries_dir() / STATE
    try:
        found = json.loads(path.read_bytes())["registries"]
        return sorted((Registry(**facts) for facts in found), key=lambda registry: registry.name)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CardError(
            f"{path}: is damaged ({type(error).__name__}); delete it and add your registries again"
        ) from error


def of(name: str) -> Registry | None:
    """Returns the registry that a model's name belongs to, `lab` for `lab/resnet-x`, if there is one."""
    prefix, slash, _ = name.partition("/")
    return next((registry for registry in added() if registry.name == prefix), None) if slash else None


def open_(registry: Registry) -> index.Index:
    """Returns a registry's compiled index.

    Raises:
        CardError: a file of it is wrong or missing; its folder is gone.
    """
    found = files(registry.folder, registry.name)
    return index.compiled(
        [(f"{registry.name}/{path}", registry.folder / path) for path in found if path.endswith(".toml")],
        lambda: read(registry),
    )


def rows(complain: Callable[[str], None]) -> list[index.Row]:
    """Returns what lists show of all registries' models; a broken registry is told and left out."""
    return [row for _, opened in opened(complain) for row in opened.rows]


def opened(complain: Callable[[str], None]) -> Iterator[tuple[Registry, index.Index]]:
    """Gives each registry with its index; a broken one is told and left out."""
    try:
        every = added()
    except CardError as error:
        complain(str(error))
        return
    for registry in every:
        try:
            yield registry, open_(registry)
        except ZooError as error:
            complain(f"registry {registry.name!r} is left out: {error}")


def files(root: Path, name: str) -> list[str]:
    """Returns the paths of a registry's files, relative to its folder: cards, `labels/*.txt`, `checks/*.json`; sorted.

    Raises:
        CardError: there is no such folder, a link leads out of it, or it holds more than a registry may.
    """
    if not root.is_dir():
        raise CardError(f"{name}: {root}: no such folder; `zoo registry update {name}` or `zoo registry remove {name}`")
    inside, found, total = root.resolve(), [], 0
    for folder, names, members in os.walk(root):
        names[:] = sorted(part for part in names if not part.startswith("."))
        for member in members:
            path = Path(folder) / member
            relative = path.relative_to(root).as_posix()
            if not wanted(relative):
                continue
            if not path.resolve().is_relative_to(inside):
                raise CardError(f"{name}: {relative}: is a link that leads out of the registry; put a file there")
            size = path.stat().st_size if path.is_file() else MAX_FILE + 1
            found.append(relative)
            total += size
            check_room(name, relative, size, len(found), total)
    return sorted(found)


def check_room(name: str, path: str, size: int, count: int, total: int) -> None:
    """Raises CardError if a registry holds more than one may."""
    if size > MAX_FILE:
        raise CardError(f"{name}: {path}: is no file, or has more than {cache.megabytes(MAX_FILE)}")
    if count > MAX_FILES or total > MAX_TOTAL:
        raise CardError(
            f"{name}: holds more than {MAX_FILES:,} files or {cache.megabytes(MAX_TOTAL)}; no registry does"
        )


def wanted(path: str) -> bool:
    """Returns whether a path inside a registry is one of a card, a label list or a check."""
    parts = path.split("/")
    if any(part.startswith(".") or not part for part in parts):
        return False
    if parts[0] == "labels" and len(parts) == 2:
        return path.endswith(".txt")
    if parts[0] == "checks" and len(parts) == 2:
        return path.endswith(".json")
    return path.endswith(".toml") and parts[-1] not in ("pyproject.toml", "Cargo.toml")


def read(registry: Registry) -> list[tuple[ModelCard, str]]:
    """Reads and checks a registry's cards, which get the registry's name before their own.

    Raises:
        CardError: a card is wrong, or two contradict each other; the message names the file and the key.
    """
    from zoo import cards
    from zoo import registry as names

    found = []
    for path in files(registry.folder, registry.name):
        if path.endswith(".toml"):
            shown = f"{registry.name}: {path}"
            found += [(card, shown) for card in cards.read(registry.folder / path, shown)]
    if not found:
        raise CardError(
            f"{registry.name}: {registry.folder}: holds no cards; expected TOML files with tables [models.x]"
        )
    names.check_together(found)
    return [(_prefixed(card, registry.name), shown) for card, shown in found]


def _prefixed(card: ModelCard, prefix: str) -> ModelCard:
    others = {key: tuple(f"{prefix}/{name}" for name in getattr(card, key)) for key in ("aliases", "former_names")}
    return card.model_copy(update={"name": f"{prefix}/{card.name}", **others})


def validate(registry: Registry) -> int:
    """Checks a registry as far as that can be done without its models' files, and returns how many models it has.

    Raises:
        CardError: a card, a label list or a check is wrong or missing.
    """
    from zoo import registry as names

    found = read(registry)
    for card, shown in found:
        try:
            names.labels(card, home=registry.folder)
            check = names.check_file(card, home=registry.folder)
            if check is not None:
                names.check_logits(check)
        except CardError as error:
            raise CardError(f"{shown}: {error}") from None
    return len(found)


# ---------------------------------------------------------------------------------------------------- what users do


def add(source: str, name: str | None = None) -> tuple[Registry, int]:
    """Adds a registry.

    Args:
        source: a folder; a git address (https, or file:///path); an https address of a .toml, .zip or .tar.gz;
            `hf:owner/repo`; the name of an installed package with an entry point in the group zoo.registries.
        name: what its models' names are to begin with; default: from the source.

    Returns:
        The registry, and how many models it has.

    Raises:
        UsageError: the source is none, or the name cannot be had.
        FetchError: it cannot be fetched.
        CardError: a card in it is wrong.
    """
    from zoo import registry_sources

    with cache.lock(cache.registries_dir() / STATE):
        taken = {registry.name for registry in added()}
        parsed = registry_sources.parse(source)
        chosen = _name(name or parsed.suggested, source, taken, asked=name is not None)
        new = Registry(chosen, parsed.source, parsed.kind)
        return _settle(new, registry_sources.fetch(parsed, chosen))


def update(name: str | None = None) -> list[tuple[Registry, Registry, int]]:
    """Fetches registries again; one whose new state is wrong stays as it was.

    Args:
        name: only this one.

    Returns:
        Per registry: before, after, how many models it has now.

    Raises:
        UsageError: there is no registry of this name.
        FetchError: one cannot be fetched; those before it are up to date.
        CardError: a card in the new state is wrong.
    """
    from zoo import registry_sources

    done = []
    with cache.lock(cache.registries_dir() / STATE):
        for old in [_find(name)] if name is not None else added():
            parsed = registry_sources.parse(old.source, kind=old.kind)
            new, count = _settle(replace(old, updated=""), registry_sources.fetch(parsed, old.name))
            if old.root != new.root:
                _drop(old)
            done.append((old, new, count))
    return done


def remove(name: str) -> Registry:
    """Forgets a registry; what was converted from its models stays in the cache.

    Raises:
        UsageError: there is no registry of this name.
    """
    with cache.lock(cache.registries_dir() / STATE):
        old = _find(name)
        _write([registry for registry in added() if registry.name != name])
        _drop(old)
    return old


def _settle(registry: Registry, fetched: Any) -> tuple[Registry, int]:
    """Keeps what was fetched if it is sound, and notes the registry."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if fetched.files is None:
        new = replace(registry, pin=fetched.pin, root=str(fetched.root), updated=now)
        count = validate(new)
    else:
        root = Path(registry.name) / fetched.key
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(cache.atomic_folder(cache.registries_dir() / root))
            for path, content in fetched.files.items():
                (temporary / path).parent.mkdir(parents=True, exist_ok=True)
                (temporary / path).write_bytes(content)
            count = validate(replace(registry, root=str(temporary)))
        new = replace(registry, pin=fetched.pin, root=str(root), updated=now)
    _write([*(other for other in added() if other.name != new.name), new])
    return new, count


def _write(registries: list[Registry]) -> None:
    ordered = sorted(registries, key=lambda registry: registry.name)
    with cache.atomic_file(cache.registries_dir() / STATE) as temporary:
        temporary.write_text(json.dumps({"registries": [asdict(found) for found in ordered]}, indent=1), "utf-8")


def _drop(registry: Registry) -> None:
    """Removes what was kept of a registry; a folder of the user's own stays."""
    if not Path(registry.root).is_absolute():
        cache.remove(registry.folder)
        with contextlib.suppress(OSError):
            registry.folder.parent.rmdir()


def _find(name: str) -> Registry:
    every = added()
    for registry in every:
        if registry.name == name:
            return registry
    there = f"there are: {', '.join(registry.name for registry in every)}" if every else "none was added"
    raise UsageError(f"no registry is called {name!r}; {there}")


def _name(name: str, source: str, taken: set[str], *, asked: bool) -> str:
    from zoo import architectures

    if not NAME.match(name):
        raise UsageError(f"name: expected at most 40 of a-z, 0-9 and '-', got {name!a}; choose one with --name")
    if name in RESERVED or name in architectures.variants():
        raise UsageError(f"name: {name!r} means something else where a model's name stands; choose one with --name")
    if name in taken:
        how = "choose another" if asked else "choose another with --name"
        raise UsageError(f"{source}: a registry is called {name!r} already; `zoo registry update {name}`, or {how}")
    return name
