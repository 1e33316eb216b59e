"""Where registries come from: folders, git repositories, files on the web, Hugging Face repositories, packages.

Of each only the cards, label lists and checks are taken, as bytes; nothing is checked out, unpacked, imported or run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from zoo.errors import FetchError, UsageError
from zoo.registries import MAX_FILE, MAX_TOTAL, check_room, wanted

GROUP = "zoo.registries"
"""Entry points of packages that ship a registry: name = the package folder that holds it, dotted."""

_ARCHIVES = {".zip": "zip", ".tar.gz": "tar.gz", ".tgz": "tar.gz", ".tar.bz2": "tar.bz2", ".tar": "tar"}
_KINDS = (
    "a folder, an https address (of a git repository, or of a .toml, .zip or .tar.gz), hf:owner/repo, "
    "or the name of an installed package"
)


@dataclass(frozen=True)
class Parsed:
    """A source, told by how it is written."""

    kind: str
    source: str
    """As it is kept: a folder's path is absolute."""
    suggested: str
    """A name for the registry."""


@dataclass(frozen=True)
class Fetched:
    """What a source gave: files to keep, or a folder that is read where it is."""

    pin: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] | None = None
    root: Path | None = None

    @property
    def key(self) -> str:
        """Name of a folder for the files."""
        digest = hashlib.sha256()
        for path, content in sorted((self.files or {}).items()):
            digest.update(f"{path}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()[:16]


def parse(source: str, kind: str | None = None) -> Parsed:
    """Tells what a source is.

    Args:
        source: as the user writes it.
        kind: what it is known to be.

    Raises:
        UsageError: it is none.
    """
    path = Path(source).expanduser()
    if kind == "folder" or (kind is None and path.is_dir()):
        return Parsed("folder", str(path.absolute()), _suggested(path.absolute().name))
    if source.startswith("hf:"):
        if not re.match(r"hf:[\w.-]+/[\w.-]+(@[\w./-]+)?\Z", source) or ".." in source:
            raise UsageError(f"{source!r}: expected hf:owner/repo or hf:owner/repo@revision")
        return Parsed("hub", source, _suggested(source.partition(":")[2].partition("/")[2].partition("@")[0]))
    address = source.removeprefix("git+")
    scheme = urlsplit(address).scheme
    if scheme == "https" or (scheme == "file" and address.startswith("file:///")):
        return _address(address, forced=address != source, web=scheme == "https", kind=kind)
    if "://" in source or re.match(r"[\w.-]+@[\w.-]+:", source):
        raise UsageError(f"{source!a}: expected an https address; others are not fetched")
    name = source.removeprefix("package:")
    plain = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z", name) and not path.exists()
    if plain and (kind == "package" or source != name or _entry_points(name)):
        return Parsed("package", f"package:{name}", _suggested(name))
    raise UsageError(f"{source!a}: no registry: expected {_KINDS}")


def _address(address: str, *, forced: bool, web: bool, kind: str | None) -> Parsed:
    parts = urlsplit(address)
    if parts.username or parts.password or not re.match(r"[!-~]+\Z", address):
        raise UsageError(
            "address: expected ASCII without blanks and without a login; git's own credentials and netrc hold"
        )
    last = unquote(parts.path.rstrip("/").rpartition("/")[2])
    suffix = next((suffix for suffix in (".toml", *_ARCHIVES) if last.lower().endswith(suffix)), None)
    if web and suffix and not forced and kind != "git":
        return Parsed("web", address, _suggested(last[: -len(suffix)]))
    return Parsed("git", address, _suggested(last.removesuffix(".git")))


def _suggested(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]


def fetch(parsed: Parsed, name: str) -> Fetched:
    """Gets a registry's files, or the folder where they are.

    Args:
        parsed: the source.
        name: the registry's, for messages.

    Raises:
        FetchError: it cannot be had.
        CardError: it holds more than a registry may, or a link.
    """
    offline = os.environ.get("ZOO_OFFLINE", "").lower() not in ("", "0", "false", "no", "off")
    if offline and parsed.kind in ("git", "web", "hub"):
        raise FetchError(f"{parsed.source}: offline (ZOO_OFFLINE); go online to add or update it")
    if parsed.kind == "folder":
        return Fetched(root=_root(Path(parsed.source)))
    if parsed.kind == "package":
        return _package(parsed.source.removeprefix("package:"))
    if parsed.kind == "git":
        from zoo import registry_git

        address, _, ref = parsed.source.partition("#")
        return _kept(*registry_git.snapshot(address, ref or "HEAD", name), name)
    if parsed.kind == "hub":
        return _kept(*_hub(parsed.source, name), name)
    return _kept(*_web(parsed.source, name), name)


def _root(folder: Path) -> Path:
    """A registry may be the folder `registry` of a larger one, a checkout say."""
    return folder / "registry" if (folder / "registry").is_dir() else folder


def _kept(found: Mapping[str, bytes], pin: dict[str, str], name: str) -> Fetched:
    """Returns the files of a registry: those below `registry/`, if there is such a folder, else all."""
    below = {path.removeprefix("registry/"): body for path, body in found.items() if path.startswith("registry/")}
    return Fetched(pin, {path: body for path, body in (below or dict(found)).items() if wanted(path)})


def maybe(path: str) -> bool:
    """Returns whether a file of a repository may be one of its registry's."""
    return wanted(path.removeprefix("registry/"))


# ------------------------------------------------------------------------------------------------------------ the web


def _web(url: str, name: str) -> tuple[dict[str, bytes], dict[str, str]]:
    from zoo import cache
    from zoo.fetch import archive, http, parts
    from zoo.fetch.digest import Published
    from zoo.fetch.places import Patience, PlaceError, shown
    from zoo.fetch.progress import Bar, reporter

    last = unquote(urlsplit(url).path.rpartition("/")[2])
    published = Published(None, {}, most=MAX_TOTAL)
    key = f"address-{hashlib.sha256(url.encode()).hexdigest()[:32]}"
    try:
        with cache.disk_errors(cache.home(), kind=FetchError), parts.claim(key) as part:
            with Bar(reporter(True), last, None, shown(url)) as bar:
                digester = http.download(url, part, published, patience=Patience(), bar=bar)
            pin = {"sha256": digester.hexdigest("sha256")}
            if last.lower().endswith(".toml"):
                check_room(name, last, digester.count, 1, 0)
                return {last: part.body.read_bytes()}, pin
            packing = next(kind for suffix, kind in _ARCHIVES.items() if last.lower().endswith(suffix))
            found = archive.members(part.body, packing, lambda path: maybe(path) or maybe(_below_top(path)), MAX_FILE)
    except PlaceError as error:
        raise FetchError(f"{shown(url)}: {error}") from error
    for count, (path, body) in enumerate(found.items(), 1):
        check_room(name, path, len(body), count, 0)
    tops = {path.partition("/")[0] for path in found}
    # A repository's archive holds one folder with everything in it.
    if len(tops) == 1 and all("/" in path for path in found) and not tops & {"registry", "labels", "checks"}:
        found = {_below_top(path): body for path, body in found.items()}
    return found, pin


def _below_top(path: str) -> str:
    return path.partition("/")[2]


# ------------------------------------------------------------------------------------------------------------ the hub


def _hub(source: str, name: str) -> tuple[dict[str, bytes], dict[str, str]]:
    from zoo.fetch import hub
    from zoo.fetch.places import PlaceError
    from zoo.files import HubPlace

    repo, _, revision = source.removeprefix("hf:").partition("@")
    found: dict[str, bytes] = {}
    try:
        facts = hub.facts(repo, revision or "main")
        chosen = [sibling for sibling in facts.siblings or [] if maybe(sibling.rfilename)]
        for sibling in chosen:
            check_room(
                name, sibling.rfilename, sibling.size or 0, len(chosen), sum(other.size or 0 for other in chosen)
            )
        for sibling in chosen:
            place = HubPlace(kind="hub", repo=repo, file=sibling.rfilename, revision=facts.sha)
            found[sibling.rfilename] = body = hub.read(place, MAX_FILE)
            problem = _differs(body, sibling)
            if problem:
                raise PlaceError(f"{sibling.rfilename}: {problem}; try again")
    except PlaceError as error:
        raise FetchError(f"{source}: {error}") from error
    except ValueError as error:  # of HubPlace
        raise FetchError(f"{source}: gives a file's name that leads outside") from error
    return found, {"commit": facts.sha}


def _differs(body: bytes, sibling: Any) -> str | None:
    """Returns how a file differs from what the hub says of it."""
    if sibling.lfs is not None:
        same = hashlib.sha256(body).hexdigest() == sibling.lfs.sha256
    elif sibling.blob_id:
        whole = b"blob %d\0" % len(body) + body
        same = hashlib.sha1(whole, usedforsecurity=False).hexdigest() == sibling.blob_id
    else:
        same = sibling.size in (None, len(body))
    return None if same else "is not the file that the hub lists"


# ----------------------------------------------------------------------------------------------------------- packages


def _entry_points(name: str) -> list[Any]:
    """Returns the entry points of a name, or of a package of this name."""
    from importlib import metadata

    def plain(text: str) -> str:
        return re.sub(r"[-_.]+", "-", text).lower()

    every = list(metadata.entry_points(group=GROUP))
    exact = [point for point in every if point.name == name]
    return exact or [point for point in every if point.dist is not None and plain(point.dist.name) == plain(name)]


def _package(name: str) -> Fetched:
    """Finds a package's folder. Its top-level package is found, not imported; what is below it are folders."""
    from importlib import util

    found = _entry_points(name)
    if not found:
        raise UsageError(f"package:{name}: no installed package has an entry point of this name in the group {GROUP}")
    if len(found) > 1:
        raise UsageError(
            f"package:{name}: has several registries: {', '.join(point.name for point in found)}; name one"
        )
    value = found[0].value
    if not re.match(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z", value):
        raise UsageError(f"package:{name}: entry point {value!a}: expected a package folder, such as labzoo.registry")
    top, *below = value.split(".")
    try:
        spec = util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place).joinpath(*below)
        if folder.is_dir():
            version = found[0].dist.version if found[0].dist is not None else "unknown"
            return Fetched({"version": version}, root=folder)
    raise UsageError(f"package:{name}: entry point {value!r}: no such package folder; reinstall the package")
