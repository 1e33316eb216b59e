"""Where a new model's files are, as people write it: an address, a package's member, a hub's file, a path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from zoo.errors import FetchError, UsageError

_PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*):(.+)\Z")
_HUB = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w.-]+))?/(.+)\Z", re.ASCII)
_PACKINGS = {".zip": "zip", ".tar": "tar", ".tar.gz": "tar.gz", ".tgz": "tar.gz", ".tar.bz2": "tar.bz2"}
FORMS = "https://host/file, https://host/archive.zip#member, name==version:member, hf:owner/name/file, or a path"


def parse(text: str) -> dict[str, Any] | Path:
    """Returns a place as cards state it, or the path of a file of the user's own.

    Raises:
        UsageError: it is none of FORMS.
        FetchError: the hub does not tell the commit of a branch.
    """
    if re.match(r"https?://", text):
        return _address(text)
    if found := _HUB.match(text):
        repo, revision, file = found.groups()
        return {"kind": "hub", "repo": repo, "file": file, "revision": _commit(repo, revision or "main")}
    if found := _PACKAGE.match(text):
        return {"kind": "package", "package": found[1], "member": found[2]}
    path = Path(text).expanduser()
    if not path.is_file():
        raise UsageError(f"{text}: no such file; expected {FORMS}")
    return path


def file_name(place: dict[str, Any] | Path) -> str:
    """Returns the name that a file has at a place."""
    if isinstance(place, Path):
        name = place.name
    elif place["kind"] == "url":
        name = unquote(urlsplit(place["url"]).path.rpartition("/")[2])
    else:
        name = (place.get("member") or place["file"]).rpartition("/")[2]
    name = re.sub(r"[^A-Za-z0-9._+-]", "_", name).lstrip("._+-")[:200]
    if not name:
        raise UsageError(f"{place}: does not end in a file's name; expected {FORMS}")
    return name


def _address(text: str) -> dict[str, Any]:
    url, _, member = text.partition("#")
    if not member:
        return {"kind": "url", "url": url}
    path = urlsplit(url).path.lower()
    for suffix in sorted(_PACKINGS, key=len, reverse=True):
        if path.endswith(suffix):
            return {
                "kind": "archive", "url": url, "member": member, "packing": _PACKINGS[suffix], "sha256": "unknown"
            }  # fmt: skip
    raise UsageError(f"{url}: a member is of an archive, whose name ends in {', '.join(_PACKINGS)}")


def _commit(repo: str, revision: str) -> str:
    """Returns the commit that a branch is at: what lies there tomorrow may be another file."""
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    import os

    import huggingface_hub
    from huggingface_hub import constants

    from zoo.fetch import hub
    from zoo.fetch.places import PlaceError
    from zoo.files import HubPlace

    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    try:
        with hub.reasons(HubPlace(kind="hub", repo=repo, file="-", revision=revision)):
            api = huggingface_hub.HfApi(endpoint=endpoint)
            found = api.model_info(repo, revision=revision, token=hub.token() or False).sha
    except PlaceError as error:
        raise FetchError(f"hf:{repo}@{revision}: {error}") from error
    if not found:
        raise FetchError(f"hf:{repo}@{revision}: the hub does not say which commit it is; write hf:{repo}@COMMIT/FILE")
    return found
