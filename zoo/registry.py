"""Finds, lists and names cards: the built-in registry, the user's own folders, and cards registered at run time.

Layout: `<origin>/<family>.toml` (several variants a file, see `zoo.cards`), `labels/<list>.txt`, `checks/<model>.json`.
The environment variable ZOO_REGISTRY adds the user's own: folders or TOML files, separated as in PATH. Other people's,
whose models' names begin with their registry's, are in `zoo.registries`.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import cards, hub_cards, index, label_lists, registries
from zoo.errors import CardError, UnknownModelError, UsageError, ZooWarning
from zoo.files import File
from zoo.index import folder
from zoo.schema import ModelCard
from zoo.search import Choice, choose

Stated = tuple[ModelCard, str]
"""A card, and how messages call the place that states it."""

_registered: list[Stated] = []


def list_models(
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
) -> list[ModelCard]:
    """Lists the models zoo knows.

    Args:
        pattern: shell wildcard that a name or an alias must match, such as `"efficientnet*"`.
        origin: framework a model came from: caffe, keras, tensorflow, torch or mxnet.
        family: family, as cards state it.
        status: verified, convertible, unverified or unsupported.
        task: what it tells apart: `imagenet` (its 1000 classes), `imagenet-other`, `places`, `faces`, ...
        license: shell wildcard for the licence of the weights, such as `"Apache*"`.
        max_params: most trained parameters.
        min_top1: least published top-1 accuracy, a fraction.
        sort: name, origin, family, status, top1, top5, parameters, classes or license.

    Returns:
        The cards that meet all conditions; a fact that is unknown meets no condition on it.

    Raises:
        CardError: a registry file is wrong.
        UsageError: there is no such origin, family, status, task or key to sort by.

    Example:
        >>> import zoo
        >>> [card.name for card in zoo.list_models("efficientnet-lite0")]
        ['efficientnet-lite0']
    """
    found = index.select(
        rows(), pattern, origin=origin, family=family, status=status, task=task, license=license, max_params=max_params,
        min_top1=min_top1, sort=sort,
    )  # fmt: skip
    return [_card(row["name"]) for row in found]


def rows() -> list[index.Row]:
    """Returns what lists show of every model: built-in, the user's, registered, of other people's registries.

    They are in natural order of the names.
    """
    built_in = index.open().rows
    others = [*(index.row(card) for card, _ in _others()), *registries.rows(_complain)]
    return sorted([*built_in, *others], key=lambda row: index.natural(row["name"])) if others else built_in


def info(name: str, *, offline: bool | None = None) -> ModelCard:
    """Gives the card of one model.

    Args:
        name: the model's name or one of its aliases; `lab/name`, one of the registry that was added as `lab`;
            `hf:owner/name`, a Hugging Face repository (`zoo.hub_cards`); or an architecture that several models have,
            `resnet50`: the one of `choice`.
        offline: for repositories never asked about before: never use the network; default: whether ZOO_OFFLINE is 1.

    Returns:
        The card.

    Raises:
        CardError: a registry file is wrong.
        UnknownModelError: no model has this name; the message offers the nearest.
        FetchError: the repository cannot be had.
        UnsupportedError: it does not say what zoo has to know.

    Example:
        >>> import zoo
        >>> zoo.info("efficientnet-lite0").labels.count
        1000
    """
    if isinstance(name, str) and name.startswith(hub_cards.PREFIX):
        return hub_cards.card(name, offline=offline)
    if isinstance(name, str) and "/" in name:
        return _of_registry(name)
    built_in = index.open()
    if row := built_in.row(name):
        return _card(row["name"])
    names = [*built_in.names]
    for card, _ in _others():
        if name in card.names:
            if name in card.former_names:
                index.renamed(name, card.name)
            return card
        names += card.names
    chosen = choice(name)
    if chosen is not None:
        return _card(chosen.row["name"])
    close = difflib.get_close_matches(str(name).lower(), names, 3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise UnknownModelError(f"no model is called {name!r}; {hint}`zoo list` shows all {len(rows())}")


def _of_registry(name: str) -> ModelCard:
    """Returns a card of another registry."""
    registry = registries.of(name)
    if registry is None:
        prefix, there = name.partition("/")[0], [registry.name for registry in registries.added()]
        known = f"; there are: {', '.join(there)}" if there else ""
        raise UnknownModelError(
            f"no model is called {name!r}: no registry was added as {prefix!r}{known}; `zoo registry add` adds one"
        )
    opened = registries.open_(registry)
    if row := opened.row(name):
        return _built(opened.card(row))
    close = difflib.get_close_matches(name.lower(), [*opened.names], 3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise UnknownModelError(f"no model is called {name!r}; {hint}`zoo list '{registry.name}/*'` shows all")


def choice(name: str) -> Choice | None:
    """Returns which model the bare name of an architecture stands for, and why; None for any other name.

    What was compared with its origin comes first (verified, then convertible, then unverified), then the highest
    published top-1, then the publisher whose weights others only converted.
    """
    every = rows()
    if any(name in (row["name"], *row["aliases"]) for row in every):
        return None
    return choose(every, name)


def known() -> list[ModelCard]:
    """Returns every card of `list_models`, and those of the Hugging Face repositories that were used."""
    others = [_built(opened.card(row)) for _, opened in registries.opened(_complain) for row in opened.rows]
    return [*(card for card, _ in _stated()), *others, *hub_cards.noted()]


def _complain(text: str) -> None:
    """Says what is wrong with another registry; the command line says it itself."""
    warnings.warn(text, ZooWarning, stacklevel=4)


def register(card_or_path: ModelCard | Mapping[str, Any] | str | os.PathLike[str]) -> ModelCard:
    """Adds a model for the rest of this process.

    Args:
        card_or_path: a ModelCard, a dict of a whole card, or the path of a TOML file that holds one model.

    Returns:
        The card.

    Raises:
        CardError: the card is wrong, or its name, an alias or a file contradicts a model that is already known.
        UsageError: the file holds several models.
    """
    if isinstance(card_or_path, ModelCard):
        card, shown = card_or_path, "register"
    elif isinstance(card_or_path, Mapping):
        card, shown = cards.card(card_or_path, "register"), "register"
    else:
        shown = os.fspath(card_or_path)
        read = cards.read(Path(shown))
        if len(read) != 1:
            raise UsageError(
                f"{shown}: holds {len(read)} models, register takes one; set ZOO_REGISTRY={shown} for all of them"
            )
        card = read[0]
    check_together([*_stated(), (card, shown)])
    _registered.append((card, shown))
    return card


def is_builtin(card: ModelCard) -> bool:
    """Returns whether a card is one of the built-in registry, and so its files are ones that were looked at."""
    built_in = index.open().names
    return card.name in built_in and card == _card(card.name)


def labels(card: ModelCard, *, home: Path | None = None) -> list[tuple[str, str]] | None:
    """Gives the meaning of a model's outputs.

    Args:
        card: the model.
        home: the folder of the registry that the card is of; default: told by its name.

    Returns:
        (id, name) per output index, the card's offset applied; None if nobody says what the outputs mean.

    Raises:
        CardError: the list is missing, malformed, or has another length than the card says.
    """
    wanted = card.labels
    if wanted.names is not None:
        return list(wanted.names)
    if wanted.list == "unknown":
        return None
    classes = [label_lists.BACKGROUND] * wanted.offset + list(label_list(wanted.list, _homes(card, home)))
    if wanted.count != "unknown" and wanted.count != len(classes):
        raise CardError(
            f"{card.name}.labels: the model has {wanted.count} outputs, "
            f"the list {wanted.list!r} gives {len(classes)} (offset {wanted.offset}); correct count, list or offset"
        )
    return classes


def label_list(stem: str, homes: Iterable[Path] | None = None) -> tuple[tuple[str, str], ...]:
    """Reads a label list, (id, name) per line: the first of its name in `homes`; default: built-in, then the user's."""
    homes = (folder(), *_user_places()) if homes is None else homes
    for place in homes:
        path = place / "labels" / f"{stem}.txt"
        if path.is_file():
            return label_lists.read(_inside(path, place))
    known = ", ".join(sorted(path.stem for path in (folder() / "labels").glob("*.txt")))
    raise CardError(f"registry/labels/{stem}.txt: no such label list; there are: {known}")


def check_file(card: ModelCard, *, home: Path | None = None) -> Path | None:
    """Finds the origin framework's output for a card, in the checks of its registry.

    Args:
        card: the model.
        home: as in `labels`.

    Raises:
        CardError: the card names a file that is not there.
    """
    if card.check is None:
        return None
    for place in _homes(card, home)[: 1 if _is_others(card, home) else None]:
        path = place / "checks" / card.check.file
        if path.is_file():
            return _inside(path, place)
    where = f"{home}/checks" if home else "registry/checks"
    raise CardError(f"{where}/{card.check.file}: no such file; {card.name}.check names it")


def _is_others(card: ModelCard, home: Path | None) -> bool:
    return home is not None or ("/" in card.name and not card.name.startswith(hub_cards.PREFIX))


def _homes(card: ModelCard, home: Path | None) -> list[Path]:
    """Where lists and checks are looked for: in another registry's own folder, then zoo's; or in zoo's, the user's."""
    if not _is_others(card, home):
        return [folder(), *_user_places()]
    registry = registries.of(card.name)
    own = home or (registry.folder if registry else None)
    return [*([own] if own else []), folder()]


def _inside(path: Path, place: Path) -> Path:
    """Returns a path after refusing one that leads out of its registry."""
    if not path.resolve().is_relative_to(place.resolve()):
        raise CardError(f"{path}: is a link that leads out of the registry; put a file there")
    return path


def check_logits(path: Path) -> list[float]:
    """Reads the origin framework's output from a file of `checks/`.

    Raises:
        CardError: the file is none.
    """
    try:
        return [float(number) for number in json.loads(path.read_bytes())["logits"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise CardError(f"{path}: expected JSON with framework, input and logits ({told}); write it again") from None


@functools.lru_cache(4096)
def _built(line: bytes) -> ModelCard:
    return ModelCard.model_validate_json(line)


def _card(name: str) -> ModelCard:
    """Returns the card of this very name."""
    built_in = index.open()
    row = built_in.names.get(name)
    if row is not None and row["name"] == name:
        return _built(built_in.card(row))
    if "/" in name:
        return _of_registry(name)
    return next(card for card, _ in _others() if card.name == name)


def _stated() -> list[Stated]:
    """Every card: built-in, the user's, registered."""
    return [*_builtin(), *_others()]


def _others() -> list[Stated]:
    """The user's cards, and those registered in this process."""
    places = os.environ.get("ZOO_REGISTRY", "")
    if places and _registered:  # either may have come after the other
        check_together([*_builtin(), *_users(places), *_registered])
    return [*_users(places), *_registered] if places or _registered else []


def _builtin() -> list[Stated]:
    built_in = index.open()
    return [(_built(built_in.card(row)), row["stated"]) for row in built_in.rows]


def read_builtin() -> list[Stated]:
    """Reads and checks the files of the built-in registry; `zoo.index` keeps what comes of it.

    Raises:
        CardError: a file is wrong, or two contradict each other.
    """
    found: list[Stated] = []
    for path in sorted(folder().glob("*/*.toml")):
        shown = f"registry/{path.parent.name}/{path.name}"
        for card in cards.read(path, shown):
            if card.origin != path.parent.name:
                right = f"registry/{card.origin}/"
                raise CardError(f"{shown}: origin: {card.origin!r} belongs in {right}, not in {path.parent.name}/")
            found.append((card, shown))
    check_together(found)
    return found


@functools.cache
def _users(places: str) -> tuple[Stated, ...]:
    found: list[Stated] = []
    for place in _user_places(places):
        if not place.exists():
            raise CardError(f"ZOO_REGISTRY: {place}: no such file or folder; correct the variable or unset it")
        for path in sorted(place.rglob("*.toml")) if place.is_dir() else [place]:
            found += [(card, str(path)) for card in cards.read(path)]
    check_together([*_builtin(), *found])
    return tuple(found)


def _user_places(places: str | None = None) -> list[Path]:
    places = os.environ.get("ZOO_REGISTRY", "") if places is None else places
    return [Path(place).expanduser() for place in places.split(os.pathsep) if place]


def check_together(every: Iterable[Stated]) -> None:
    """Refuses two models of one name, and files whose bytes are the same but whose name or size differ.

    Args:
        every: cards, as their files state them.

    Raises:
        CardError: two contradict each other, or one has a name that no file may give.
    """
    for found in contradictions(every):
        raise CardError(f"{found.where}: {found.card.name}{found.key}: {found.what}; {found.fix}")


@dataclass(frozen=True)
class Contradiction:
    """What is wrong with a card only because of another one."""

    card: ModelCard
    where: str
    key: str
    what: str
    fix: str


def _states(card: ModelCard, name: str) -> str:
    """Returns the key of a card that states one of its names; nothing for the title of its table."""
    return "" if name == card.name else ".aliases" if name in card.aliases else ".former_names"


def contradictions(every: Iterable[Stated]) -> Iterator[Contradiction]:
    """Finds two models of one name, and files whose bytes are the same but whose name or size differ."""
    names: dict[str, Stated] = {}
    files: dict[str, tuple[str, File]] = {}
    for card, where in every:
        for name in card.names:
            if name.startswith(hub_cards.PREFIX):
                what = "names that begin with 'hf:' are those of Hugging Face repositories"
                yield Contradiction(card, where, _states(card, name), what, "choose another")
            elif "/" in name:
                what = "a name has no '/': that stands behind the name of another registry"
                yield Contradiction(card, where, _states(card, name), what, "choose another")
            elif name in names:
                other, place = names[name]
                what = f"the name {name!r} belongs to {other.name} ({place})"
                fix = "a name or alias can stand once, choose another"
                yield Contradiction(card, where, _states(card, name), what, fix)
            else:
                names[name] = (card, where)
        for role, file in card.files.items():
            for algorithm, digest in file.digests.items():
                at, twin = files.setdefault(f"{algorithm}:{digest}", (f"{card.name}.files.{role}", file))
                if (twin.name, twin.size) != (file.name, file.size):
                    what = (
                        f"{file.name} ({file.size} bytes) has the {algorithm} of {at}, "
                        f"which is {twin.name} ({twin.size} bytes)"
                    )
                    yield Contradiction(card, where, f".files.{role}", what, "the same bytes have one name and size")
