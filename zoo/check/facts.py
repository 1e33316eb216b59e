"""Rules that need nothing but a card and what lies beside it: names, labels, licence, sources, status, places."""

from __future__ import annotations

import difflib
import functools
import ipaddress
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from zoo import label_lists
from zoo.check.findings import Finding
from zoo.check.reading import Stated
from zoo.errors import CardError, UsageError
from zoo.files import ArchivePlace, HubPlace, UrlPlace
from zoo.index import folder
from zoo.sources import KerasSource, WeightsSource

OLD_NAMES = ("efficientnet-lite0", "open-nsfw", "open-nsfw-onnx")
"""From before names had a tag."""
MOST_LINES = 320
"""Of a file of cards, so that people can read it."""
NOTHING = {"", "?", "-", "n/a", "na", "none", "null", "tbd", "todo", "unknown"}
"""What is not a statement."""
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_BRANCH = re.compile(
    r"https://(?:raw\.githubusercontent\.com/[^/]+/[^/]+/|github\.com/[^/]+/[^/]+/(?:raw|blob)/)([^/]+)/"
)

Rule = Callable[[Stated], Iterator[Finding]]


def check(stated: Stated) -> list[Finding]:
    """Returns what the rules of this module find."""
    return [finding for rule in RULES for finding in rule(stated)]


def not_checked(every: Iterable[Stated]) -> list[str]:
    """Returns what the rules of this module cannot see here."""
    if compared() is None and any(stated.card.status == "convertible" for stated in every):
        return ["status 'convertible': tests/golden of the source tree is not there to compare with"]
    return []


def _name(stated: Stated) -> Iterator[Finding]:
    card = stated.card
    if not stated.in_registry:
        return
    if card.name not in OLD_NAMES and not re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+", card.name):
        fix = "call it architecture.publisher, of a-z, 0-9 and '-', such as resnet50.torchvision-v1"
        yield stated.finding("error", "", "the name is not an architecture, a dot and a publisher's tag", fix)
    if card.origin != stated.path.parent.name:
        what = f"{card.origin!r} belongs in registry/{card.origin}/, not in {stated.path.parent.name}/"
        yield stated.finding("error", "origin", what, "move the file, or correct the origin")
    lines = stated.text.count("\n") + 1
    if lines > MOST_LINES and f'[models."{card.name}"]' in stated.text[-4000:] and _last(stated):
        fix = f"move some of its models to a second file, such as {stated.path.stem}-2.toml"
        yield stated.finding("error", "", f"the file has {lines} lines, more than {MOST_LINES}", fix)


def _last(stated: Stated) -> bool:
    """Whether the card is the last of its file: what is said of a file is said once."""
    titles = re.findall(r'^\[models\."([^"]+)"\]', stated.text, re.MULTILINE)
    return not titles or titles[-1] == stated.card.name


def _labels(stated: Stated) -> Iterator[Finding]:
    labels = stated.card.labels
    if labels.list == "unknown":
        if labels.offset:
            yield stated.finding("error", "labels.offset", "is of no list", "name the list, or leave the offset out")
        return
    path = stated.beside("labels", f"{labels.list}.txt")
    if path is None:
        lists = sorted({path.stem for root in stated.roots for path in (root / "labels").glob("*.txt")})
        near = difflib.get_close_matches(labels.list, lists, 1)
        fix = f"write {near[0]!r}" if near else f"add the file, or name one that is there: {', '.join(lists)}"
        yield stated.finding("error", "labels.list", f"there is no label list {labels.list!r}", fix)
        return
    try:
        length = len(label_lists.read(path))
    except CardError as error:
        yield stated.finding("error", "labels.list", str(error), "correct that line of the list")
        return
    if labels.count == "unknown" or length + labels.offset == labels.count:
        return
    what = f"the list {labels.list!r} has {length} classes, with offset {labels.offset} that is "
    what += f"{length + labels.offset} outputs, and the model has {labels.count}"
    if labels.count == length:
        yield stated.finding("error", "labels.offset", what, "leave the offset out: there is no room for a background")
    elif labels.count > length and labels.count - length <= 8:
        fix = f"write {labels.count - length}, if the outputs before the list's are background classes"
        yield stated.finding("error", "labels.offset", what, fix)
    else:
        fix = "correct count, list or offset"
        yield stated.finding("error", "labels.count", what, fix)


def _license(stated: Stated) -> Iterator[Finding]:
    for key in ("code", "weights", "training_data"):
        value = getattr(stated.card.license, key)
        if value.strip().lower() in NOTHING:
            fix = 'write an SPDX identifier, or "not stated" if its publisher says nothing'
            yield stated.finding("error", f"license.{key}", f"{value!r} says nothing", fix)
    note = stated.card.license.note
    if note is not None and note.strip().lower() in NOTHING:
        yield stated.finding(
            "error", "license.note", "says nothing", "quote the licence's words, or leave the note out"
        )


def _sources(stated: Stated) -> Iterator[Finding]:
    card = stated.card
    for key, text in card.sources.items():
        if text.strip().lower() in NOTHING:
            fix = "name the page or file that states it, with its commit or version"
            yield stated.finding("error", f'sources."{key}"' if "." in key else f"sources.{key}", "says nothing", fix)
    for index, metric in enumerate(card.metrics):
        for key in ("source", "protocol", "dataset"):
            if getattr(metric, key).strip().lower() in NOTHING:
                fix = "name the page or file, with its commit" if key == "source" else "say what the source says of it"
                yield stated.finding("error", f"metrics[{index}].{key}", "says nothing", fix)
        if "unknown" not in (metric.top1, metric.top5) and metric.top5 < metric.top1:  # type: ignore[operator]
            what = f"{metric.top5} is below top1, {metric.top1}, and cannot be"
            yield stated.finding("error", f"metrics[{index}].top5", what, "correct one of them")
    facts = card.model_dump()
    for part in ("files", "labels", "license", "paper", "preprocessing"):
        if part in card.sources or not isinstance(facts[part], dict):
            continue
        for key, value in facts[part].items():
            told = any(at == f"{part}.{key}" or at.startswith(f"{part}.{key}.") for at in card.sources)
            if value not in ("unknown", "none", "not stated", None, 0) and not told:
                fix = f'add sources."{part}.{key}" (or sources.{part} for all of it), or write "unknown"'
                yield stated.finding("error", f"{part}.{key}", "no source is given for it", fix)


def _preprocessing(stated: Stated) -> Iterator[Finding]:
    inputs = stated.card.preprocessing
    if inputs.value_range == "unknown":
        return
    top = inputs.value_range[1]
    mean, std = inputs.mean, inputs.std
    if isinstance(mean, tuple) and (max(mean) > top or (top == 255 and 0 < max(mean) <= 1)):
        what = f"{list(mean)} is not on the value_range, {list(inputs.value_range)}"
        yield stated.finding("error", "preprocessing.mean", what, f"multiply or divide it by 255, to be on 0..{top:g}")
    if isinstance(std, tuple) and (max(std) > 2 * top or (top == 255 and max(std) < 1)):
        what = f"{list(std)} is not on the value_range, {list(inputs.value_range)}"
        yield stated.finding("error", "preprocessing.std", what, f"multiply or divide it by 255, to be on 0..{top:g}")


def _network(stated: Stated) -> Iterator[Finding]:
    from zoo import architectures

    source = stated.card.source
    if not isinstance(source, WeightsSource | KerasSource) or source.architecture is None:
        return
    try:
        dialects = architectures.dialects(source.architecture)
    except UsageError as error:
        what, _, near = str(error).partition("; ")
        near = near.replace("did you mean", "write").rstrip("?")
        yield stated.finding("error", "source.architecture", what, near or "see `zoo architectures`")
        return
    if source.dialect not in dialects:
        what = f"{source.architecture} has no dialect {source.dialect!r}"
        yield stated.finding("error", "source.dialect", what, f"write one of {', '.join(dialects)}")


def _status(stated: Stated) -> Iterator[Finding]:
    card = stated.card
    if card.check is not None:
        yield from _check_file(stated)
        if card.status in ("convertible", "unverified"):
            what = f"is {card.status!r}, and the card has a check"
            yield stated.finding("warning", "status", what, 'write "verified" once `zoo verify` agrees')
    if card.status != "convertible":
        return
    architecture, dialect = (getattr(card.source, key, None) for key in ("architecture", "dialect"))
    if architecture is None:
        what = "'convertible' is for a network of zoo.architectures whose numbers were compared with other weights"
        yield stated.finding("error", "status", what, 'write "unverified"')
        return
    cases = compared()
    if cases is not None and f"{dialect}/{architecture}" not in cases:
        what = f"no case of tests/golden/architectures compares the numbers of {architecture}/{dialect}"
        yield stated.finding("error", "status", what, 'write "unverified", or add the case')


def _check_file(stated: Stated) -> Iterator[Finding]:
    """What is kept in `checks/` has to be of this model: the origin's logits, one a class."""
    card = stated.card
    assert card.check is not None
    path = stated.beside("checks", card.check.file)
    if path is None:
        fix = "add the origin framework's output there, or lower the status and leave the check out"
        yield stated.finding("error", "check.file", f"there is no checks/{card.check.file}", fix)
        return
    try:
        kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
        logits = [float(number) for number in kept["logits"]]
        framework = str(kept["framework"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"checks/{card.check.file} cannot be read ({type(error).__name__}: {error})"
        yield stated.finding("error", "check.file", what, "write JSON with framework, input and logits")
        return
    if framework != card.check.framework:
        what = f"the card says {card.check.framework!r}, checks/{card.check.file} says {framework!r}"
        yield stated.finding("error", "check.framework", what, "make them the same")
    if card.labels.count not in ("unknown", len(logits)):
        what = f"checks/{card.check.file} has {len(logits)} logits, and the model has {card.labels.count} outputs"
        yield stated.finding("error", "check.file", what, "correct labels.count, or name the file of this model")
    if not all(map(math.isfinite, logits)):
        what = f"checks/{card.check.file} holds NaN or infinity"
        yield stated.finding("error", "check.file", what, "compute the origin's output again")


def _of_one_network(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))


def _places(stated: Stated) -> Iterator[Finding]:
    for role, file in stated.card.files.items():
        seen = set()
        for index, place in enumerate(file.places):
            key = f"files.{role}.places[{index}]"
            about = place.model_dump_json(exclude={"status", "seen"})
            if about in seen:
                yield stated.finding("error", key, "is there twice", "leave one out")
            seen.add(about)
            host = urlsplit(place.url).hostname if isinstance(place, UrlPlace | ArchivePlace) else None
            if host and _of_one_network(host):
                what = f"{host} is an address of one machine or network, which others cannot reach"
                yield stated.finding("warning", f"{key}.url", what, "name an address that anybody can reach")
            if file.strong:
                continue  # whatever lies there one day, it is this file or none
            if isinstance(place, HubPlace) and not _COMMIT.match(place.revision):
                what = f"{place.revision!r} may be another file tomorrow, and no sha256 is stated"
                fix = "write the commit's 40 digits, or state the file's sha256"
                yield stated.finding("warning", f"{key}.revision", what, fix)
            branch = _BRANCH.match(place.url) if isinstance(place, UrlPlace | ArchivePlace) else None
            if branch and not _COMMIT.match(branch[1]):
                what = f"{branch[1]!r} may be another file tomorrow, and no sha256 is stated"
                fix = "put the commit's 40 digits into the address, or state the file's sha256"
                yield stated.finding("warning", f"{key}.url", what, fix)
            if isinstance(place, UrlPlace | ArchivePlace) and place.status == "dead" and not place.seen:
                fix = 'add seen = "who saw it, and when"'
                yield stated.finding("warning", f"{key}.seen", "is missing beside status dead", fix)


RULES: tuple[Rule, ...] = (_name, _labels, _license, _sources, _preprocessing, _network, _status, _places)


@functools.cache
def compared() -> frozenset[str] | None:
    """Returns `dialect/variant` of the networks whose numbers the source tree's golden cases hold.

    None where zoo is installed without its tests.
    """
    golden = folder().parent / "tests" / "golden" / "architectures"
    if not golden.is_dir():
        return None
    cases = [json.loads(path.read_text("utf-8")) for path in sorted(golden.glob("*.json"))]
    return frozenset(name for case in cases for name, facts in case.items() if "output" in facts)
