"""`zoo new`: a card made of a model's files and of what its maker says about them.

What the files say is read from them: size and hash, format, outputs, number of parameters. What they do not say is
what the maker says, with the source, or "unknown"; nothing is guessed in silence.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import cache, cards
from zoo.errors import CardError, UsageError
from zoo.files import File
from zoo.index import ORIGINS
from zoo.new import measure, places, toml
from zoo.schema import ModelCard, Preprocessing

if TYPE_CHECKING:
    from zoo.graph import Graph

Data = dict[str, Any]
Tell = Callable[[str], None]

_NOBODY = "not stated where the files are; nobody looked further when the card was made"


@dataclass(frozen=True)
class Made:
    """What `make` wrote."""

    path: Path
    """The TOML file."""
    card: ModelCard
    check: Path | None = None
    """The origin's output, if one was given."""
    error: float | None = None
    """How far the network is from it."""
    missing: list[str] = field(default_factory=list)
    """What a person could still fill in, a line each."""


def make(
    name: str,
    facts: Mapping[str, Any],
    files: Sequence[str],
    *,
    also: Mapping[str, Sequence[str]] | None = None,
    sha256: Mapping[str, str] | None = None,
    into: Path | None = None,
    reference: Path | None = None,
    framework: str | None = None,
    tell: Tell = lambda text: None,
) -> Made:
    """Makes a card and writes it.

    Args:
        name: `architecture.publisher`.
        facts: what is known, as a card has it in JSON; `source` may hold architecture and dialect. What the file it
            goes into states under [defaults] need not be said again.
        files: where each file is, in a form of `zoo.new.places`.
        also: role or name of a file -> further places of it.
        sha256: role -> hash that somebody published; without it an address has to be https.
        into: the TOML file; default: that of the family and publisher in `registry/` below the current folder.
        reference: an .npz file of what the origin framework gave for zoo's test image (`output`), or for another
            `input`.
        framework: what computed that, with version.
        tell: is given a line about everything that was read off the files and not stated.

    Returns:
        What was written.

    Raises:
        UsageError: a fact has no source, or the facts and the files do not go together.
        FetchError: a file is not to be had.
        FormatError: the files are not those of the network.
        ParityError: the network does not give the origin's numbers.
    """
    if (reference is None) != (framework is None):
        raise UsageError("reference: an output and the framework that computed it go together: give both")
    arrays = None if reference is None else measure.reference(reference)
    path = into or _home(name, facts)
    text, defaults = _there(path, facts)
    draft = cards.merge(_unknown(), cards.merge(defaults, facts))
    with tempfile.TemporaryDirectory() as scratch:
        found = _fetched(name, files, also or {}, sha256 or {}, Path(scratch))
        card, graph = _read(name, draft, found, Path(scratch), tell)
        kept, error = None, None
        if arrays is not None:
            card, kept, error = _compared(card, graph, arrays, str(framework), found.paths, Path(scratch), tell)
        else:
            _built(card, graph, found.paths, Path(scratch))
    text = _with(text, card, defaults, path)
    check = None
    if kept is not None:
        check = _checks(path) / f"{name}.json"
        with cache.atomic_file(check) as temporary:
            temporary.write_text(kept, "utf-8")
    with cache.atomic_file(path) as temporary:
        temporary.write_text(text, "utf-8")
    return Made(path, card, check, error, _missing(card))


# -------------------------------------------------------------------------------------------------------- the file


def _home(name: str, facts: Mapping[str, Any]) -> Path:
    """Returns the file for a family's models of one publisher."""
    registry = Path("registry")
    family, origin, tag = facts.get("family"), str(facts.get("origin")), name.rpartition(".")[2]
    if not registry.is_dir():
        raise UsageError("into: there is no registry/ in this folder; say which .toml file the card goes into")
    if origin not in ORIGINS:
        got = "nothing" if facts.get("origin") is None else repr(origin)
        raise UsageError(f"origin: expected one of {', '.join(ORIGINS)}, got {got}")
    if not family or "." not in name:
        raise UsageError(
            "into: the file is that of family and publisher: give family, and a name architecture.publisher"
        )
    parts = tag.split("-")
    there = [registry / origin / f"{family}-{'-'.join(parts[:count])}.toml" for count in range(len(parts), 0, -1)]
    return next((path for path in there if path.exists()), there[0])


def _there(path: Path, facts: Mapping[str, Any]) -> tuple[str, Data]:
    """Returns the text of the file that the card goes into, and its defaults."""
    if path.suffix != ".toml":
        raise UsageError(f"{path}: the name of a file of cards ends in .toml")
    if not path.exists():
        return "", {}
    text = cards.read_text(path, str(path))
    data = cards.tables(text, str(path))
    for key in ("origin", "family"):
        if key in facts and facts[key] != data[key]:
            raise UsageError(f"{path}: {key} is {data[key]!r} there, and {facts[key]!r} here; name another file")
    return text, {**data.get("defaults", {}), "origin": data["origin"], "family": data["family"]}


def _with(text: str, card: ModelCard, defaults: Data, path: Path) -> str:
    """Returns the file's text with the card in it, after reading it back."""
    whole = card.model_dump(mode="json", exclude_none=True)
    if not whole["aliases"]:
        del whole["aliases"]
    if not whole["labels"].get("offset"):
        whole["labels"].pop("offset", None)
    for key in ("name", "origin", "family"):
        del whole[key]
    for file in whole["files"].values():
        file["places"] = [_plain(place) for place in file["places"]]
    under = {key: value for key, value in defaults.items() if key not in ("origin", "family")}
    stated = toml.own(whole, under)
    if stated is None:
        raise UsageError(f"{path}: its [defaults] state facts that {card.name} does not have; name another file")
    if f'[models."{card.name}"]' in text:
        raise UsageError(f"{path}: holds a model {card.name} already; choose another name")
    begin = text.rstrip("\n") + "\n" if text else toml.head(card.origin, card.family, f"{card.summary}.")
    whole_text = f"{begin}\n{toml.model(card.name, stated)}"
    back = cards.parse(whole_text, str(path))[-1]
    if back != card:
        raise UsageError(f"{path}: its [defaults] change what {card.name} states; name another file")
    return whole_text


def _plain(place: Data) -> Data:
    """Drops what a place says by default."""
    default = {"insecure": False, "status": "unknown", "size": "unknown"}
    return {key: value for key, value in place.items() if default.get(key) != value}


def _checks(path: Path) -> Path:
    root = path.parent.parent if path.parent.name in ORIGINS else path.parent
    return root / "checks"


# ------------------------------------------------------------------------------------------------------- the files


@dataclass(frozen=True)
class _Found:
    """Files by their name."""

    files: dict[str, Data]
    """As cards state them."""
    paths: dict[str, Path]
    named: list[Path]
    """The same files under their own names."""
    also: Mapping[str, Sequence[str]]


def _fetched(
    name: str, given: Sequence[str], also: Mapping[str, Sequence[str]], sha256: Mapping[str, str], scratch: Path
) -> _Found:
    from zoo.fetch import fetch_files

    if not given:
        raise UsageError(f"file: expected where the model's files are: {places.FORMS}")
    files: dict[str, Data] = {}
    paths: dict[str, Path] = {}
    wanted: dict[str, File] = {}
    for text in given:
        place = places.parse(text)
        own_name = places.file_name(place)
        if own_name in files:
            raise UsageError(f"{text}: two files are called {own_name}")
        files[own_name] = {"name": own_name, "places": [] if isinstance(place, Path) else [place]}
        if isinstance(place, Path):
            paths[own_name] = place.resolve()
        else:
            known = {"sha256": sha256.get(own_name, "unknown")}
            wanted[own_name] = _file({**files[own_name], "size": "unknown", **known})
    paths |= fetch_files(name, wanted)
    for own_name, path in paths.items():
        files[own_name] |= {"size": path.stat().st_size, "sha256": _sha256(path)}
    folder = scratch / "named"
    folder.mkdir()
    return _Found(files, paths, measure.under_their_names(paths, folder), also)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _file(facts: Data) -> File:
    from pydantic import ValidationError

    try:
        return File.model_validate_json(json.dumps(facts))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("url", "hub", "archive", "package"))
        what = str(first["ctx"]["error"]) if "error" in first.get("ctx", {}) else first["msg"]
        raise UsageError(f"{facts['name']}: {where + ': ' if where else ''}{what}") from None


# -------------------------------------------------------------------------------------------------------- the facts


def _unknown() -> Data:
    """Returns a card of which nothing is known."""
    return {
        "paper": "unknown",
        "dataset": "unknown",
        "labels": {"count": "unknown", "list": "unknown"},
        "preprocessing": dict.fromkeys(Preprocessing.model_fields, "unknown"),
        "metrics": [],
        "parameters": "unknown",
        "license": dict.fromkeys(("code", "weights", "training_data"), "not stated"),
        "training": "unknown",
        "sources": {},
    }


def _read(name: str, draft: Data, found: _Found, scratch: Path, tell: Tell) -> tuple[ModelCard, Graph]:
    """Fills in what the files say, and returns the card and the network that they hold."""
    from zoo.convert import read_card

    stated = draft.get("source", {})
    source, roles = measure.source_of(found.named, stated.get("format"))
    if stated.get("architecture"):
        variant, dialect = measure.dialect_of(stated["architecture"], stated.get("dialect"))
        source |= {"architecture": variant, "dialect": dialect}
    elif source["format"] in ("pytorch", "checkpoint", "numpy"):
        raise UsageError(
            f"architecture: {found.named[0].name} holds weights without a graph; name the network, such as "
            "resnet50/torchvision (`zoo architectures` lists them)"
        )
    sources = dict(draft["sources"])
    files = {role: dict(found.files[path.name]) for role, path in roles.items()}
    named = {file["name"]: role for role, file in files.items()}
    for key, texts in found.also.items():
        role = named.get(key, key)
        if role not in files:
            raise UsageError(f"also: expected one of {', '.join([*files, *named])}, got {key!r}")
        files[role]["places"] += [_place(text) for text in texts]
    for role, file in files.items():
        if not file["places"]:
            raise UsageError(
                f"{file['name']}: others cannot have a file of yours; say where it is: also {role}=https://..."
            )
    sources["files"] = draft["sources"].get("files") or "size and sha256 computed from the file at its first place"
    inputs = dict(draft["preprocessing"])
    if "unknown" in (inputs["height"], inputs["width"]):
        inputs["height"], inputs["width"] = measure.usual_size(source, roles)
        tell(f"preprocessing.height, width: {inputs['height']}, {inputs['width']}, the size that the network is for")
        for key in ("height", "width"):
            sources.setdefault(f"preprocessing.{key}", "the size that the network in the files is built for")
    if not any(key.split(".")[0] == "license" for key in sources):
        sources["license"] = _NOBODY
    labels = dict(draft["labels"])
    if labels["count"] == "unknown":
        sources.setdefault("labels", "count: outputs of the network in the files")
    facts = {
        **draft, "name": name, "source": source, "files": files, "preprocessing": inputs, "labels": labels,
        "parameters": "unknown", "status": "unverified", "sources": sources,
    }  # fmt: skip
    facts.pop("check", None)
    _sources_are_there(facts)
    card = _card(_ready(facts))
    graph = read_card(card, {role: found.paths[path.name] for role, path in roles.items()}, sandbox=True)
    outputs = measure.outputs_of(graph)
    if labels["count"] == "unknown":
        tell(f"labels.count: {outputs}, the network's outputs")
        labels["count"] = outputs
        _offset(labels, tell)
    facts["parameters"] = measure.parameters_of(card, graph, outputs)
    tell(f"parameters: {facts['parameters']:,}, counted in the network; files.*: sizes and sha256 computed")
    sources["parameters"] = "counted in the file: every array but the statistics of batch normalisation"
    if "summary" not in draft:
        facts["summary"] = _summary(facts)
    return _card(facts), graph


def _place(text: str) -> Data:
    place = places.parse(text)
    if isinstance(place, Path):
        raise UsageError(f"{text}: is a path; another place of a file is where others can have it")
    return place


def _ready(facts: Data) -> Data:
    return {"summary": "-", **facts}


def _card(facts: Data) -> ModelCard:
    try:
        return cards.card(facts, "new")
    except CardError as error:
        raise UsageError(str(error).removeprefix("new: ")) from None


def _sources_are_there(facts: Data) -> None:
    """Raises UsageError that names all facts without a source at once."""
    told = {key.split(".")[0] for key in facts["sources"]}
    lacking = [key for key in ("paper", "dataset", "training") if facts[key] != "unknown" and key not in told]
    if facts["labels"]["list"] != "unknown" and "labels" not in told:
        lacking.append("labels")
    known = [key for key, value in facts["preprocessing"].items() if value != "unknown"]
    if "preprocessing" not in facts["sources"]:
        lacking += [f"preprocessing.{key}" for key in known if f"preprocessing.{key}" not in facts["sources"]]
    if len([key for key in lacking if key.startswith("preprocessing.")]) > 2:
        lacking = [key for key in lacking if not key.startswith("preprocessing.")] + ["preprocessing"]
    if any(value != "not stated" for value in facts["license"].values()) and facts["sources"]["license"] == _NOBODY:
        lacking.append("license")
    if lacking:
        options = " ".join(f"--source {key}=..." for key in lacking)
        raise UsageError(f"no source for {', '.join(lacking)}; say which page or file states it: {options}")


def _offset(labels: Data, tell: Tell) -> None:
    """A list that is one short of the outputs has a background class in front, as far as is known of such networks."""
    from zoo.registry import label_list

    if labels["list"] == "unknown" or labels.get("offset"):
        return
    before = labels["count"] - len(label_list(labels["list"]))
    if before == 1:
        labels["offset"] = before
        tell("labels.offset: 1, as the list is one class short; see whether there is a background")


def _summary(facts: Data) -> str:
    inputs, labels = facts["preprocessing"], facts["labels"]
    best = next((m["top1"] for m in facts["metrics"] if m["top1"] != "unknown"), None)
    end = "" if best is None else f", {100 * best:.1f} % top-1"
    what = "ImageNet classifier" if labels["list"] == "imagenet-2012" else "Classifier"
    return f"{what}: {labels['count']} classes, {inputs['height']}x{inputs['width']}{end}"


# ------------------------------------------------------------------------------------------------------- the numbers


def _roles(card: ModelCard, paths: Mapping[str, Path]) -> dict[str, Path]:
    return {role: paths[file.name] for role, file in card.files.items()}


def _built(card: ModelCard, graph: Graph, paths: Mapping[str, Path], scratch: Path) -> None:
    """Converts the model, as far as is known how; what fails here would fail for everyone."""
    from zoo.build import build
    from zoo.convert import convert_card
    from zoo.errors import UnknownFactError, UnsupportedError
    from zoo.preprocessing import affine

    try:
        affine(card.preprocessing, name=card.name)
    except (UnknownFactError, UnsupportedError):  # no model that takes images, but a network
        build(graph, affine=None)
        return
    (scratch / "model").mkdir()
    convert_card(card, _roles(card, paths), scratch / "model", sandbox=True)


def _compared(
    card: ModelCard, graph: Graph, arrays: Mapping[str, Any], framework: str, paths: Mapping[str, Path], scratch: Path,
    tell: Tell,
) -> tuple[ModelCard, str | None, float]:  # fmt: skip
    """Compares with the origin's output; returns the card, the text to keep beside it if it is verified, the error."""
    import numpy as np

    from zoo.convert import convert_card
    from zoo.errors import ParityError, UnknownFactError

    if "input" in arrays:
        try:
            image = measure.prepared(card)
        except UnknownFactError:
            image = np.zeros(0)
        if arrays["input"].size != image.size or np.abs(arrays["input"].reshape(image.shape) - image).max() > 1e-4:
            error = measure.compare(graph, arrays, card.name)
            tell(f"the network gives the reference's output ({error:.1e} off), for an input other than the test image; "
                 "the status stays unverified, as later conversions have nothing to be compared with")  # fmt: skip
            return card, None, error
    text = measure.kept(card, framework, arrays["output"])
    name = f"{card.name}.json"
    (scratch / name).write_text(text, "utf-8")
    check = {"file": name, "framework": framework, "tolerance": measure.TOLERANCE}
    verified = _card({**card.model_dump(mode="json", exclude_none=True), "status": "verified", "check": check})
    (scratch / "model").mkdir()
    try:
        receipt = convert_card(verified, _roles(card, paths), scratch / "model", sandbox=True, kept=scratch / name)
    except ParityError as differs:
        told = str(differs).removesuffix("; please report this")
        fix = "correct the preprocessing, the network's publisher, or what computed the reference"
        raise ParityError(f"{told}; {fix}, or leave the reference out, for a card of status unverified") from None
    error = float(receipt["parity"]["relative_error"])
    tell(f"the model gives the reference's output for zoo's test image ({error:.1e} off): verified")
    return verified, text, error


def _missing(card: ModelCard) -> list[str]:
    """Returns what is still unknown, and what to do about it."""
    found = [f'{key}: "unknown"' for key in ("paper", "dataset", "training") if getattr(card, key) == "unknown"]
    if card.labels.list == "unknown" and card.labels.names is None:
        found.append('labels.list: "unknown": nobody learns what an output means')
    found += [f'preprocessing.{key}: "unknown"' for key in card.preprocessing.unknown]
    if not card.metrics:
        found.append("metrics: none: no published accuracy")
    found += [f"license.{key}: not stated" for key in ("code", "weights", "training_data")
              if getattr(card.license, key) == "not stated"]  # fmt: skip
    if card.sources.get("license") == _NOBODY:
        found.append("sources.license: the page or file where you looked for the licences")
    if card.status != "verified":
        found.append("status: unverified: give the origin framework's output for zoo's test image as a reference")
    return found
