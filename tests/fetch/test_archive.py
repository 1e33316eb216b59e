"""Archives, good and hostile: one member comes out, or one line says why not."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import os
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_server import FaultyServer, cut, whole
from fetching import card_of, file_of, left_in

from zoo.errors import FetchError
from zoo.fetch import archive, fetch
from zoo.fetch.digest import Published
from zoo.fetch.places import PlaceError
from zoo.files import ArchivePlace, File

DATA = os.urandom(400_000)
KNOWN = Published(len(DATA), {"sha256": hashlib.sha256(DATA).hexdigest()})
Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, data: bytes = DATA, **facts: object) -> Entry:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Entry:
    return entry(name, b"", type=kind, linkname=target)


def tar_of(*entries: Entry) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        for info, data in entries:
            packed.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zip_of(*members: tuple[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda info: None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            packed.writestr(info, data)
    return out.getvalue()


def taken(packed: bytes, packing: str, tmp_path: Path, published: Published = KNOWN, member: str = "a/m.bin") -> bytes:
    (tmp_path / "packed").write_bytes(packed)
    archive.extract(tmp_path / "packed", packing, member, tmp_path / "out", published)
    return (tmp_path / "out").read_bytes()


PACKED = tar_of(entry("readme", b"hello"), entry("./a/m.bin"), entry("z", b"last"))
GOOD = {
    "tar": PACKED,
    "tar.gz": gzip.compress(PACKED),
    "tar.bz2": bz2.compress(PACKED),
    "zip": zip_of(("readme", b"hello"), ("a/m.bin", DATA), ("z", b"last")),
}


@pytest.mark.parametrize("packing", GOOD)
def test_named_member_comes_out_and_extra_members_stay_inside(packing: str, tmp_path: Path) -> None:
    assert taken(GOOD[packing], packing, tmp_path) == DATA
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "packed"]


@pytest.mark.parametrize("packing", GOOD)
def test_pattern_finds_the_one_member_that_fits(packing: str, tmp_path: Path) -> None:
    for pattern in ("**/*.bin", "*/m.*", "**/a/m.bin", "a/*"):
        assert taken(GOOD[packing], packing, tmp_path, member=pattern) == DATA
    for pattern in ("*.bin", "**/*.ckpt", "a*"):
        with pytest.raises(PlaceError, match=re.escape(f"holds no {pattern}")):
            taken(GOOD[packing], packing, tmp_path, member=pattern)
    with pytest.raises(PlaceError, match=r"several \*\*/\*: 'readme' and 'a/m.bin'; the card has to name one"):
        taken(GOOD[packing], packing, tmp_path, Published(None, {}), member="**/*")


def test_hidden_names_that_macos_adds_fit_no_pattern(tmp_path: Path) -> None:
    packed = tar_of(entry("a/._m.bin", b"resource fork"), entry("._a/m.bin", b"x"), entry("a/m.bin"))
    assert taken(packed, "tar", tmp_path, member="**/*.bin") == DATA


@pytest.mark.parametrize("packing", GOOD)
def test_cut_archive_is_damaged(packing: str, tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match=r"damaged|holds no"):
        taken(GOOD[packing][:200_000], packing, tmp_path)


@pytest.mark.parametrize("packing", GOOD)
def test_archive_of_another_kind_is_damaged(packing: str, tmp_path: Path) -> None:
    other = GOOD["tar.gz"] if packing != "tar.gz" else GOOD["zip"]
    with pytest.raises(PlaceError, match=f"damaged, or no {packing}"):
        taken(other, packing, tmp_path)


@pytest.mark.parametrize("packing", ["tar.gz", "tar.bz2"])
def test_flipped_bit_behind_the_member_is_found_without_a_hash(packing: str, tmp_path: Path) -> None:
    packed = bytearray(GOOD[packing])
    packed[-6] ^= 1  # in the checksum
    with pytest.raises(PlaceError, match="damaged"):
        taken(bytes(packed), packing, tmp_path, Published(None, {}))


NAMES = ["../x", "a/../../x", "/etc/x", "a\\..\\x", "C:/x", "C:x"]
HOSTILE: dict[str, tuple[tuple[Entry, ...], str]] = {
    **{f"name {name}": ((entry("a/m.bin"), entry(name)), "leads outside") for name in NAMES},
    "member is a symlink": ((link("a/m.bin", "/etc/passwd"),), "link, device"),
    "symlink to write through": ((link("a", "/tmp"), entry("a/m.bin")), "link, device"),
    "hard link outside": ((entry("a/m.bin"), link("x", "/etc/passwd", tarfile.LNKTYPE)), "link, device"),
    "device": ((entry("a/m.bin"), entry("x", b"", type=tarfile.CHRTYPE)), "link, device"),
    "fifo": ((entry("a/m.bin"), entry("x", b"", type=tarfile.FIFOTYPE)), "link, device"),
    "twice": ((entry("a/m.bin"), entry("a/m.bin", b"x")), "twice"),
    "twice, once with dot": ((entry("a/m.bin"), entry("./a/m.bin", b"x")), "twice"),
    "capitals": ((entry("a/m.bin"), entry("A/M.bin", b"x")), "capitals"),
    "accents": ((entry("a/m.bin"), entry("é"), entry("e\u0301")), "twice"),
    "missing": ((entry("m.bin"),), "holds no a/m.bin"),
    "folder": ((entry("a/m.bin", b"", type=tarfile.DIRTYPE),), "holds no a/m.bin"),
    "longer": ((entry("a/m.bin", DATA + b"!"),), "has 400,001 bytes, the published file has 400,000"),
    "other bytes": ((entry("a/m.bin", bytes(len(DATA))),), "has sha256"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_tar_is_refused(case: str, tmp_path: Path) -> None:
    entries, words = HOSTILE[case]
    with pytest.raises(PlaceError, match=words):
        taken(tar_of(*entries), "tar", tmp_path)


@pytest.mark.parametrize("name", [*NAMES, "x\0.bin"])
def test_zip_with_a_name_that_leads_outside_is_refused(name: str, tmp_path: Path) -> None:
    packed = zip_of(("a/m.bin", DATA), ("y" * len(name), b"x")).replace(b"y" * len(name), name.encode())
    with pytest.raises(PlaceError, match="leads outside"):
        taken(packed, "zip", tmp_path)


def test_zip_with_one_name_twice_or_in_capitals_is_refused(tmp_path: Path) -> None:
    for other in (b"a/m.bin", b"A/m.BIN"):
        packed = zip_of(("a/m.bin", DATA), ("x/x.xxx", b"x")).replace(b"x/x.xxx", other)
        with pytest.raises(PlaceError, match="twice"):
            taken(packed, "zip", tmp_path)


def test_zip_with_a_symlink_is_refused(tmp_path: Path) -> None:
    def as_link(info: zipfile.ZipInfo) -> None:
        info.create_system = 3
        info.external_attr = 0o120777 << 16

    with pytest.raises(PlaceError, match="link or device"):
        taken(zip_of(("a/m.bin", b"/etc/passwd"), change=as_link), "zip", tmp_path)


def test_encrypted_zip_is_refused(tmp_path: Path) -> None:
    packed = bytearray(GOOD["zip"])
    at = packed.rindex(b"PK\x01\x02", 0, packed.rindex(b"a/m.bin"))
    packed[at + 8] |= 1
    with pytest.raises(PlaceError, match="encrypted"):
        taken(bytes(packed), "zip", tmp_path)


def test_zip_appended_to_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match="appended to another file"):
        taken(b"\x7fELF" + bytes(1000) + GOOD["zip"], "zip", tmp_path)


def test_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    packed = GOOD["zip"].replace(len(DATA).to_bytes(4, "little"), (len(DATA) - 1).to_bytes(4, "little"))
    with pytest.raises(PlaceError, match="399,999 bytes, the published"):
        taken(packed, "zip", tmp_path)
    with pytest.raises(PlaceError, match="damaged"):
        taken(packed, "zip", tmp_path, Published(len(DATA) - 1, {}))


@pytest.mark.parametrize("packing", ["zip", "tar.gz", "tar.bz2"])
def test_bomb_is_refused_before_it_is_unpacked(packing: str, tmp_path: Path) -> None:
    zeros = bytes(70_000_000)
    packed = {
        "zip": lambda: zip_of(("a/m.bin", zeros)),
        "tar.gz": lambda: gzip.compress(tar_of(entry("a/m.bin", zeros)), 1),
        "tar.bz2": lambda: bz2.compress(tar_of(entry("a/m.bin", zeros)), 1),
    }[packing]()
    with pytest.raises(PlaceError, match="refused as a bomb"):
        taken(packed, packing, tmp_path, Published(None, {}))
    assert (tmp_path / "out").stat().st_size == 0


def test_bomb_beside_the_member_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(tar_of(entry("bomb", bytes(90_000_000)), entry("a/m.bin")), 1)
    with pytest.raises(PlaceError, match=r"more than .*: refused as a bomb"):
        taken(packed, "tar.gz", tmp_path)


def test_huge_extended_header_is_refused(tmp_path: Path) -> None:
    packed = tar_of(entry("x", bytes(5_000_000), type=tarfile.XHDTYPE), entry("a/m.bin"))
    with pytest.raises(PlaceError, match="headers are too large"):
        taken(packed, "tar", tmp_path)


def test_name_in_no_encoding_is_no_trouble(tmp_path: Path) -> None:
    packed = tar_of(entry("y" * 8, b"x"), entry("a/m.bin"))
    info = tarfile.TarInfo("\udcff\udcfe.txt")
    packed = tar_of((info, b""), entry("a/m.bin"))
    assert taken(packed, "tar", tmp_path) == DATA


def packed_file(data: bytes, url: str, member: str, packed: bytes | None, **facts: object) -> File:
    known = hashlib.sha256(packed).hexdigest() if packed else "unknown"
    place = ArchivePlace(kind="archive", url=url, member=member, packing="tar.gz", sha256=known)
    return file_of(data, "https://127.0.0.1/").model_copy(update={"places": (place,), **facts})


TWO = gzip.compress(tar_of(entry("a/m.bin"), entry("graph", b"graph")))


def test_two_files_of_one_archive_fetch_it_once_and_resume_it(home: Path, server: FaultyServer) -> None:
    url = server.on("/two.tar.gz", cut(TWO, 100_000), whole(TWO))
    files = {"weights": packed_file(DATA, url, "a/m.bin", TWO), "graph": packed_file(b"graph", url, "graph", TWO)}
    paths = fetch(card_of(**files))
    assert (paths["weights"].read_bytes(), paths["graph"].read_bytes()) == (DATA, b"graph")
    assert server.ranges() == [None, "bytes=100000-"]
    assert left_in(home) == sorted(f"files/sha256/{file.sha256}" for file in files.values())


def test_archive_with_another_hash_is_refused_unopened(home: Path, server: FaultyServer) -> None:
    url = server.on("/two.tar.gz", whole(TWO))
    with pytest.raises(FetchError, match=r"two\.tar\.gz: has sha256 .* the published one is"):
        fetch(card_of(weights=packed_file(DATA, url, "a/m.bin", TWO + b"x")))
    assert left_in(home) == []


def test_archive_of_ones_own_is_used(home: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "two.tar.gz").write_bytes(TWO)
    file = packed_file(DATA, "https://127.0.0.1:1/two.tar.gz", "a/m.bin", None)
    assert fetch(card_of(weights=file), source=tmp_path / "own", offline=True)["weights"].read_bytes() == DATA


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"member": "../x"}, "relative path inside the archive"),
        ({"member": "a**/x"}, "as a folder's whole name"),
        ({"packing": "rar"}, "tar.gz"),
        ({"sha256": "abc"}, "64 lower-case"),
        ({"url": "https://me:secret@127.0.0.1/x"}, "without blanks or a login"),
    ],
)
def test_card_cannot_ask_for_more_than_a_member(change: dict[str, str], words: str) -> None:
    good = {"kind": "archive", "url": "https://127.0.0.1/x", "member": "a", "packing": "zip", "sha256": "unknown"}
    ArchivePlace.model_validate(good)
    with pytest.raises(ValueError, match=words):
        ArchivePlace.model_validate({**good, **change})


def test_plain_http_needs_the_hash_of_the_archive() -> None:
    place = {"kind": "archive", "url": "http://127.0.0.1/x", "member": "a", "packing": "zip", "sha256": "unknown"}
    file = file_of(DATA, "https://127.0.0.1/").model_dump()
    with pytest.raises(ValueError, match="plain http needs one"):
        File.model_validate({**file, "places": (place,)})
