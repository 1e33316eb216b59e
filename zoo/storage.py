"""What is in the cache: list, check and remove it.

Only what zoo made is ever removed, known by its name: hexadecimal digests, artifact keys, and temporary names that
carry their owner. Anything else that lies in the cache's folders is shown as `other` and left alone, and so is all that
a running process works on. Models are removed as they are made: renamed aside first, so no reader sees half of one.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from zoo import artifact, cache, given, registry
from zoo.errors import UnknownModelError, ZooError
from zoo.fetch import pin, pinned
from zoo.files import DIGEST_LENGTH, File
from zoo.schema import ModelCard

Kind = Literal["model", "original", "features", "unfinished", "leftover", "other"]
State = Literal["current", "outdated", "unknown", "waiting", "left", "in use"]

_MARK = r"[0-9a-f]{8}-[0-9]+-[0-9a-f]{8}"
_TEMPORARY = re.compile(rf"\.(.+)\.({_MARK})\.tmp(\.[^.]+)?\Z")
_PART = re.compile(rf"(?P<key>[a-z0-9_-]+)\.(?P<mark>{_MARK})\Z")
_WAITING = re.compile(
    r"(?P<algorithm>sha256|sha384|sha1|md5|git_blob|address)-(?P<digest>[0-9a-f]{32,96})(-[a-z0-9-]+)?\Z"
)
_KEY = re.compile(r"[0-9a-f]{16}\Z")
_FEATURES = re.compile(r"[0-9a-f]{32}\Z")
_MADE = (artifact.RECEIPT, artifact.CONFIG, artifact.WEIGHTS, "card.json")
"""What an artifact consists of; the receipt first, because it is what makes a folder an artifact."""


@dataclass(frozen=True)
class Entry:
    """One thing in the cache.

    Args:
        kind: `model` (converted), `original` (a downloaded file), `features` (what a network gives for the images of a
            fine-tuning run), `unfinished` (a download that can go on), `leftover` (of a process that was killed), or
            `other` (not zoo's; never touched).
        path: file or folder.
        size: bytes.
        modified: seconds since 1970.
        models: names of the models it belongs to.
        name: an original's published name, or a converted model's key.
        state: a model is `current` or `outdated` (zoo or its card changed since), an original `current`; both are
            `unknown` if no card names them. Unfinished downloads are `waiting`, leftovers `left`. Whatever a running
            process works on is `in use`.
    """

    kind: Kind
    path: Path
    size: int
    modified: float
    models: tuple[str, ...] = ()
    name: str = ""
    state: State = "unknown"


@dataclass(frozen=True)
class Damage:
    """One damaged thing: what is wrong with it, and what to do."""

    entry: Entry
    problem: str
    advice: str


def contents() -> list[Entry]:
    """Lists what is in the cache: models, originals, then what is unfinished, left behind, or not zoo's.

    Raises:
        CardError: a registry file is wrong, so nobody knows what belongs to what.
    """
    known = _Known()
    found = [*_models(known), *_originals(known), *_features(), *_partial(known)]
    order = ("model", "original", "features", "unfinished", "leftover", "other")
    return sorted(found, key=lambda entry: (order.index(entry.kind), entry.models, str(entry.path)))


def verify(name: str | None = None) -> tuple[list[Entry], list[Damage]]:
    """Reads every original and every converted model again and compares it with its hash.

    Args:
        name: only what belongs to this model.

    Returns:
        (what was checked, what is damaged).

    Raises:
        UnknownModelError: no such model.
    """
    wanted = None if name is None else _resolve(name)[0]
    checked = [
        entry
        for entry in contents()
        if entry.kind in ("model", "original") and (wanted is None or wanted in entry.models)
    ]
    return checked, [damage for entry in checked if (damage := _damage(entry))]


def prune(*, originals: bool = False, older_than: float = 0.0, dry_run: bool = False) -> list[Entry]:
    """Removes what no one needs: leftovers of dead processes, unfinished downloads, models of a card's earlier state.

    And features of fine-tuning runs, which are computed again where they are needed.

    A model without a card stays: its card may be in a registry of the user's own that is not named at the moment.

    Args:
        originals: also remove the originals of which every model is converted, and those that no card names.
        older_than: spare unfinished downloads and features that were used in the last so many days.
        dry_run: remove nothing.

    Returns:
        What was, or would be, removed.

    Raises:
        ZooError: the cache cannot be written.
    """
    found = contents()
    converted = {name for entry in found if entry.kind == "model" and entry.state == "current" for name in entry.models}

    def idle(entry: Entry) -> bool:
        if entry.kind == "original":
            return originals and entry.state != "in use" and converted.issuperset(entry.models)
        if entry.kind in ("unfinished", "features"):
            return entry.state in ("waiting", "current") and time.time() - entry.modified >= older_than * 86400
        return entry.state in ("left", "outdated")

    chosen = [entry for entry in found if entry.kind != "other" and idle(entry)]
    if not dry_run:
        _remove(chosen)
        cache.remove_free_locks()
    return chosen


def remove(name: str, *, files: bool = False, dry_run: bool = False) -> list[Entry]:
    """Removes a model's converted forms.

    Args:
        name: a registered name or alias, or one of a model in the cache.
        files: also remove its originals and unfinished downloads, unless another model shares them.
        dry_run: remove nothing.

    Returns:
        What was, or would be, removed.

    Raises:
        UnknownModelError: no such model; the message offers the nearest names.
        ZooError: another process works on it, or the cache cannot be written.
    """
    name, card = _resolve(name)
    kinds = ("model", "original", "unfinished") if files else ("model",)
    chosen = [entry for entry in contents() if entry.kind in kinds and entry.models == (name,)]
    if any(entry.state == "in use" for entry in chosen) or (card and _busy(card)):
        raise ZooError(f"{name}: another process fetches or converts it now; try again when that is done")
    if not dry_run:
        _remove(chosen)
        if files and card:
            _forget(card, chosen)
    return chosen


def drop_originals(card: ModelCard) -> None:
    """Removes the originals of a model that was converted; those that another conversion reads now stay."""
    known = _Known()
    for entry in _originals(known):
        others = [known.cards[name] for name in entry.models if name != card.name and name in known.cards]
        if _origin_of(entry.path) in _digests(card) and not any(_busy(other) for other in others):
            cache.remove(entry.path)


def _features() -> Iterator[Entry]:
    for path in _listed(cache.home() / "features"):
        if not _FEATURES.match(path.name) or not _is_folder(path):
            yield _entry("other", path)
            continue
        state: State = "current" if (path / "entry.json").is_file() else "left"
        yield _entry("features", path, name=path.name, state="in use" if cache.locked(path) else state)


class _Known:
    """What cards say of digests and keys."""

    @cached_property
    def cards(self) -> dict[str, ModelCard]:
        return {card.name: card for card in registry.known()}

    @cached_property
    def files(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """(algorithm, digest) -> (model, published name) of each card that has the file."""
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for card in self.cards.values():
            for file in card.files.values():
                for pair in _pairs(file):
                    found.setdefault(pair, []).append((card.name, file.name))
        return found

    def models(self, pair: tuple[str, str]) -> tuple[str, ...]:
        return tuple(sorted({model for model, _ in self.files.get(pair, [])}))

    @cached_property
    def busy(self) -> set[str]:
        """Models that a process fetches or converts now."""
        return {name for name, card in self.cards.items() if _busy(card)}


def _busy(card: ModelCard) -> bool:
    return cache.locked(artifact.folder_of(card))


def _digests(card: ModelCard) -> set[tuple[str, str]]:
    return {pair for file in card.files.values() for pair in _pairs(file)}


def _pairs(file: File) -> list[tuple[str, str]]:
    """(algorithm, digest) of a file, with the sha256 that one without a strong published hash had the first time."""
    seen = None if file.strong else pinned(file)
    return [*file.digests.items(), *([("sha256", seen)] if seen else [])]


def _models(known: _Known) -> Iterator[Entry]:
    for folder in _listed(cache.models_dir()):
        if not _is_folder(folder):
            yield _entry("other", folder)
            continue
        for path in _listed(folder):
            if temporary := _temporary(path):
                yield temporary
            elif not (_KEY.match(path.name) and _is_folder(path)):
                yield _entry("other", path)
            else:
                name = cache.model_of(folder.name)
                card = known.cards.get(name)
                state: State = "unknown"
                if cache.locked(path):
                    state = "in use"
                elif card:
                    state = "current" if path.name in (artifact.key(card), given.key(card, path)) else "outdated"
                yield _entry("model", path, models=(name,), name=path.name, state=state)


def _originals(known: _Known) -> Iterator[Entry]:
    for folder in _listed(cache.files_dir()):
        for path in _listed(folder) if _is_folder(folder) else [folder]:
            if temporary := _temporary(path):
                yield temporary
                continue
            pair = _origin_of(path)
            if pair is None:
                if folder.name != "by-address":
                    yield _entry("other", path)
                continue
            models = known.models(pair)
            state: State = "in use" if known.busy.intersection(models) else "current" if models else "unknown"
            names = sorted({name for _, name in known.files.get(pair, [])})
            yield _entry("original", path, models=models, name=", ".join(names), state=state)


def _origin_of(path: Path) -> tuple[str, str] | None:
    """Returns algorithm and digest of files/<algorithm>/<digest>, or None if it is not such a file."""
    length = DIGEST_LENGTH.get(path.parent.name)
    if length and re.match(rf"[0-9a-f]{{{length}}}\Z", path.name) and path.is_file() and not path.is_symlink():
        return path.parent.name, path.name
    return None


def _partial(known: _Known) -> Iterator[Entry]:
    for path in _listed(cache.partial_dir()):
        owned, waiting = _PART.match(path.name), _WAITING.match(path.name)
        download = _WAITING.match(owned["key"] if owned else path.name)
        models = known.models((download["algorithm"], download["digest"])) if download else ()
        if not _is_folder(path) or not (owned or waiting):
            yield _entry("other", path)
        elif owned and not cache.abandoned(path, owned["mark"]):
            yield _entry("unfinished" if download else "leftover", path, models=models, state="in use")
        elif owned and not (path / "body.part").exists():
            yield _entry("leftover", path, models=models, state="left")
        else:
            yield _entry("unfinished", path, models=models, state="waiting")


def _temporary(path: Path) -> Entry | None:
    """Returns the entry of a temporary name beside a final one."""
    found = _TEMPORARY.match(path.name)
    if not found or path.is_symlink():
        return None
    return _entry("leftover", path, state="left" if cache.abandoned(path, found[2]) else "in use")


def _entry(kind: Kind, path: Path, *, models: tuple[str, ...] = (), name: str = "", state: State = "unknown") -> Entry:
    size, modified = 0, 0.0
    for there in [path, *(path.rglob("*") if _is_folder(path) else [])]:
        with contextlib.suppress(OSError):
            facts = there.lstat()
            size += 0 if there.is_dir() and not there.is_symlink() else facts.st_size
            modified = max(modified, facts.st_mtime)
    return Entry(kind, path, size, modified, models, name, state)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _damage(entry: Entry) -> Damage | None:
    again = f"`zoo get {entry.models[0]}`" if entry.models else "`zoo get`"
    try:
        if entry.kind == "original":
            algorithm, expected = entry.path.parent.name, entry.path.name
            actual = _hash(entry.path, algorithm)
            if actual == expected:
                return None
            return Damage(entry, f"its {algorithm} is {actual} now", f"delete this file; {again} fetches it again")
        artifact.read_receipt(entry.path)
        return None
    except FileNotFoundError as error:
        problem = f"{Path(error.filename).name} is missing"
    except (ZooError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        if isinstance(error, ZooError):
            problem = "was changed after the conversion"
        elif isinstance(error, OSError):
            problem = f"cannot be read: {error.strerror or error}"
    if entry.kind == "original":
        return Damage(entry, problem, "look after the disk and who may read it")
    return Damage(entry, problem, f"`zoo cache rm {entry.models[0]}`, then {again}")


def _hash(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        if algorithm != "git_blob":
            return hashlib.file_digest(stream, algorithm).hexdigest()
        whole = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        while chunk := stream.read(1 << 20):
            whole.update(chunk)
        return whole.hexdigest()


def _resolve(name: str) -> tuple[str, ModelCard | None]:
    """Returns a model's name and card; a model in the cache whose card is gone has none."""
    cards = {known: card for card in registry.known() for known in card.names}
    if name in cards:
        return cards[name].name, cards[name]
    cached = {cache.model_of(path.name) for path in _listed(cache.models_dir()) if _is_folder(path)}
    if name in cached:
        return name, None
    near = difflib.get_close_matches(name.lower(), {*cards, *cached}, 3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UnknownModelError(f"no model is called {name!r}; {hint}`zoo cache ls` shows what is in the cache")


def _remove(entries: Iterable[Entry]) -> None:
    """Removes entries for good; raises ZooError at the first that cannot be removed."""
    for entry in entries:
        with cache.disk_errors(entry.path.parent), contextlib.suppress(FileNotFoundError):
            if entry.kind == "model":
                _remove_model(entry.path)
            elif entry.kind == "unfinished":
                # Whoever wants to go on with it takes it by a rename too; only one of the two gets it.
                key = entry.path.name.partition(".")[0]
                aside = entry.path.with_name(f"{key}.{cache.owner()}")
                os.rename(entry.path, aside)
                shutil.rmtree(aside)
            elif _is_folder(entry.path):
                shutil.rmtree(entry.path)
            else:
                entry.path.unlink()
        if entry.kind in ("model", "original"):
            with contextlib.suppress(OSError):  # another one is in there
                entry.path.parent.rmdir()


def _remove_model(folder: Path) -> None:
    own = [path for path in _listed(folder) if path.name not in _MADE]
    if own:  # a user's files: they stay, and so does the folder
        for name in _MADE:
            (folder / name).unlink(missing_ok=True)
        return
    aside = folder.with_name(f".{folder.name}.{cache.owner()}.tmp")
    os.rename(folder, aside)
    shutil.rmtree(aside)


def _forget(card: ModelCard, removed: Iterable[Entry]) -> None:
    """Drops the pins of files that are gone and have no strong hash: their publisher may have other bytes by now."""
    gone = {entry.path.name for entry in removed if entry.kind == "original"}
    for file in card.files.values():
        if not file.strong and pinned(file) in gone:
            cache.remove(pin(file))
