"""File sharing services, hubs, progress events, and what is never told."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from faulty_server import FaultyServer, Handler, cut, says, whole
from fetching import card_of, file_of, left_in

from zoo.errors import FetchError, UsageError
from zoo.fetch import fetch, http, parts, shares
from zoo.fetch.digest import Published
from zoo.fetch.places import Patience, PlaceError, shown
from zoo.fetch.progress import Bar, Lines, reporter
from zoo.files import File, HubPlace

DATA = os.urandom(300_000)
KNOWN = Published(len(DATA), {"sha256": hashlib.sha256(DATA).hexdigest()})
ID = "1aB_c-2dEfGhIjK"
PAGE = """<!doctype html><title>Google Drive - Virus scan warning</title>
<form action="{action}"><input type="hidden" name="id" value="not this one"></form>
<form id="download-form" action="{action}" method="get"><input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="1aB"><input type="hidden" name="uuid" value="a&amp;b"></form>"""


@pytest.mark.parametrize(
    ("page", "direct"),
    [
        (f"https://drive.google.com/file/d/{ID}/view?usp=sharing", f"download?id={ID}&export=download&confirm=t"),
        (f"https://drive.google.com/uc?export=download&id={ID}", f"download?id={ID}&export=download&confirm=t"),
        (f"https://docs.google.com/open?id={ID}&resourcekey=0-x", "confirm=t&resourcekey=0-x"),
        ("https://1drv.ms/u/s!AbC", "/shares/u!aHR0cHM6Ly8xZHJ2Lm1zL3UvcyFBYkM/root/content"),
        ("https://onedrive.live.com/embed?resid=A%211&authkey=%21k", "download?resid=A%211&authkey=%21k"),
        ("https://127.0.0.1/file/d/1/view", "https://127.0.0.1/file/d/1/view"),
    ],
)
def test_page_of_a_service_is_turned_into_the_file(page: str, direct: str) -> None:
    assert shares.resolve(page).endswith(direct)


@pytest.mark.parametrize(
    "page",
    [
        "https://drive.google.com/drive/folders/1aB_c-2dEfGhIjK",
        "https://drive.google.com/uc?id=../../x",
        "https://onedrive.live.com/?id=A%211",
        "https://mega.nz/#!YU1FWJrA!O1ywiCS2IiOl",
    ],
)
def test_page_without_a_file_says_what_to_do(page: str) -> None:
    with pytest.raises(PlaceError, match="in a browser, download the file there and pass its folder as source"):
        shares.resolve(page)


def shared(server: FaultyServer, tmp_path: Path) -> bytes:
    """Fetches through a service whose files lie on the test's server."""
    host = f"localhost:{server.server_port}"
    direct = {host: lambda page: f"http://127.0.0.1:{server.server_port}/download?id=1"}
    os.environ["ZOO_HOME"] = str(tmp_path / "home")
    with parts.claim("test") as part, Bar(reporter(False), "", None) as bar:
        url = f"http://{host}/file/d/1/view"
        http.download(url, part, KNOWN, patience=Patience(backoff=0.01), bar=bar, direct=direct)
        return part.body.read_bytes()


def test_confirm_page_is_confirmed(home: Path, server: FaultyServer, tmp_path: Path) -> None:
    server.on("/download?id=1", says(200, PAGE.format(action="/download2").encode()))
    server.on("/download2?id=1aB&uuid=a%26b", whole(DATA))
    assert shared(server, tmp_path) == DATA


@pytest.mark.parametrize("action", ["http://localhost:1/x", "file:///etc/passwd", "https://127.0.0.1/x"])
def test_confirm_page_that_leads_elsewhere_is_not_followed(
    action: str, home: Path, server: FaultyServer, tmp_path: Path
) -> None:
    server.on("/download?id=1", says(200, PAGE.format(action=action).encode()))
    with pytest.raises(PlaceError, match="Google Drive's confirm page"):
        shared(server, tmp_path)
    assert len(server.requests) == 1


def test_confirm_page_for_ever_ends(home: Path, server: FaultyServer, tmp_path: Path) -> None:
    server.on("/download?id=1", says(200, PAGE.format(action="/download2").encode()))
    server.on("/download2?id=1aB&uuid=a%26b", says(200, PAGE.format(action="/download2").encode()))
    with pytest.raises(PlaceError, match="Google Drive's confirm page"):
        shared(server, tmp_path)


def hub_file(**facts: object) -> File:
    place = HubPlace(kind="hub", repo="timm/net", file="model.bin", **facts)  # type: ignore[arg-type]
    return file_of(DATA, "https://127.0.0.1/").model_copy(update={"places": (place,)})


HUB = """
import sys, zoo
from zoo.fetch import fetch
from zoo.files import File
file = File.model_validate_json(sys.argv[1])
try:
    card = zoo.info("efficientnet-lite0").model_copy(update={"name": "test-model", "files": {"weights": file}})
    print(fetch(card)["weights"])
except zoo.FetchError as error:
    sys.exit(f"zoo: {error}")
"""
TOKEN = "hf_" + "s3cretTOKENvalue" * 2


def ask_hub(
    server: FaultyServer, run_python: Callable[..., Any], answer: Callable[[Handler], None], **env: str
) -> subprocess.CompletedProcess[str]:
    revision = "0" * 40
    server.on(f"/timm/net/resolve/{revision}/model.bin", answer)
    settings = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_TOKEN": TOKEN, **env}
    file = hub_file(revision=revision)
    return run_python(HUB, file.model_dump_json(), env={**os.environ, **settings})  # type: ignore[no-any-return]


def from_hub(data: bytes) -> Callable[[Handler], None]:
    etag = hashlib.sha256(data).hexdigest()
    return says(200, data, etag=f'"{etag}"', x_repo_commit="0" * 40, accept_ranges="bytes")


def test_file_of_a_hub_is_fetched_and_verified(
    home: Path, server: FaultyServer, run_python: Callable[..., Any]
) -> None:
    done = ask_hub(server, run_python, from_hub(DATA))
    assert done.stderr == ""
    assert Path(done.stdout.strip()).read_bytes() == DATA
    assert left_in(home) == [f"files/sha256/{KNOWN.digests['sha256']}"]
    asked = [
        {name.lower(): value for name, value in headers.items()}
        for path, headers in server.requests
        if "/resolve/" in path
    ]
    assert [headers.get("authorization") for headers in asked] == [f"Bearer {TOKEN}"] * 2


def test_cut_download_from_a_hub_goes_on_where_it_stopped(
    home: Path, server: FaultyServer, run_python: Callable[..., Any]
) -> None:
    def answer(handler: Handler) -> None:
        asked = handler.range_start()
        if handler.command == "HEAD":
            from_hub(DATA)(handler)
        elif asked:
            span = f"bytes {asked}-{len(DATA) - 1}/{len(DATA)}"
            handler.reply(206, DATA[asked:], etag=hashlib.sha256(DATA).hexdigest(), content_range=span)
        else:
            cut(DATA, 100_000, etag=hashlib.sha256(DATA).hexdigest())(handler)

    done = ask_hub(server, run_python, answer)
    assert Path(done.stdout.strip()).read_bytes() == DATA
    assert [headers.get("Range") for _, headers in server.requests][-1] == "bytes=100000-"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (from_hub(bytes(len(DATA))), "hub timm/net/model.bin: has sha256"),
        (from_hub(DATA + b"x"), "has 300,001 bytes, the published file has 300,000"),
        (says(404, x_error_code="EntryNotFound"), "timm/net has no file model.bin"),
        (says(403, x_error_code="GatedRepo"), "timm/net is gated"),
    ],
)
def test_hub_that_does_not_give_the_file_is_one_line_without_the_token(
    answer: Callable[[Handler], None], words: str, home: Path, server: FaultyServer, run_python: Callable[..., Any]
) -> None:
    done = ask_hub(server, run_python, answer)
    (line,) = done.stderr.splitlines()
    assert words in line
    assert TOKEN not in done.stderr
    assert left_in(home) == []


def test_hub_set_offline_is_not_asked(home: Path, server: FaultyServer, run_python: Callable[..., Any]) -> None:
    done = ask_hub(server, run_python, from_hub(DATA), HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE" in done.stderr
    assert server.requests == []


@pytest.mark.parametrize("change", [{"repo": "a/b/c"}, {"repo": ".."}, {"file": "../x"}, {"revision": "a..b"}])
def test_card_cannot_name_what_is_no_repository(change: dict[str, str]) -> None:
    good = {"kind": "hub", "repo": "timm/net", "file": "a/model.bin"}
    assert HubPlace.model_validate(good).revision == "main"
    with pytest.raises(ValueError, match="expected"):
        HubPlace.model_validate({**good, **change})


def test_events_of_good_and_bad_places(home: Path, server: FaultyServer) -> None:
    bad, good = server.on("/bad", says(404)), server.on("/good", whole(DATA))
    events: list[dict[str, Any]] = []
    fetch(card_of(weights=file_of(DATA, bad, good)), progress=events.append)
    kinds = [event["event"] for event in events if event["event"] != "progress"]
    assert kinds == ["start", "failed", "start", "done"]
    assert [event["place"] for event in events if event["event"] == "start"] == [bad, good]
    assert events[-1] == {"event": "done", "file": "model.bin", "bytes": 300_000, "total": 300_000, "place": good}
    assert [event["reason"] for event in events if "reason" in event] == ["answers 404 Not Found"]


def test_json_events_on_standard_error(home: Path, server: FaultyServer, capsys: pytest.CaptureFixture[str]) -> None:
    fetch(card_of(weights=file_of(DATA, server.on("/x", whole(DATA)))), progress="json")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event["event"] for event in events if event["event"] != "progress"] == ["start", "done"]


def test_environment_decides_and_is_checked(
    home: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = card_of(weights=file_of(DATA, server.on("/x", whole(DATA))))
    monkeypatch.setenv("ZOO_PROGRESS", "loud")
    with pytest.raises(UsageError, match="ZOO_PROGRESS: expected bars, lines, json or off, got 'loud'"):
        fetch(card)
    fetch(card, progress=False)
    (home / "files" / "sha256" / KNOWN.digests["sha256"]).unlink()
    monkeypatch.setenv("ZOO_PROGRESS", "json")
    fetch(card)
    assert '"event": "done"' in capsys.readouterr().err


def test_lines_are_few(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr("zoo.fetch.progress.time.monotonic", lambda: next(clock))
    lines = Lines()
    facts = {"file": "m", "total": 10_000_000, "place": ""}
    for kind, count in [("start", 0), *[("progress", 10**6 * step) for step in range(1, 10)], ("done", 10**7)]:
        lines({"event": kind, "bytes": count, **facts})
    assert capsys.readouterr().err.splitlines() == [
        *(f"m: {count}.0 MB of 10.0 MB" for count in (3, 6, 9)),
        "m: 10.0 MB, complete",
    ]


def test_netrc_of_the_host_a_server_redirects_to_is_not_used(
    home: Path, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    file = file_of(DATA, server.on("/b", whole(DATA)))
    url = server.on("/a", says(302, location=file.places[0].url)).replace("127.0.0.1", "localhost")  # type: ignore[union-attr]
    fetch(card_of(weights=file_of(DATA, url)))
    assert [path for path, headers in server.requests if "Authorization" in headers] == []
    fetch(card_of(weights=file_of(b"x", server.on("/c", whole(b"x")))))
    assert "Authorization" in server.requests[-1][1]


def test_login_in_a_redirect_is_refused_and_not_told(home: Path, server: FaultyServer) -> None:
    url = server.on("/a", says(302, location="http://me:secret@127.0.0.1:1/x"))
    with pytest.raises(FetchError, match="with a login in the address") as caught:
        fetch(card_of(weights=file_of(DATA, url)))
    assert "secret" not in str(caught.value)


def test_token_in_an_address_is_not_told(home: Path, server: FaultyServer) -> None:
    url = server.on("/a?access_token=secret", says(404))
    with pytest.raises(FetchError, match="404") as caught:
        fetch(card_of(weights=file_of(DATA, url)))
    assert "secret" not in str(caught.value)
    assert shown("https://me:secret@127.0.0.1/x?id=5") == "https://127.0.0.1/x?id=5"


@pytest.mark.parametrize("name", ["..%2F..%2Fx", "C:x", "nul", "a" * 300, "%00", "con.txt"])
def test_names_that_servers_give_are_not_used(name: str, home: Path, server: FaultyServer) -> None:
    named = says(200, DATA, content_disposition=f'attachment; filename="../../{name}"')
    file = file_of(DATA, server.on(f"/{name}", named))
    assert urlsplit(file.places[0].url).path == f"/{name}"  # type: ignore[union-attr]
    fetch(card_of(weights=file))
    assert left_in(home) == [f"files/sha256/{file.sha256}"]


def test_cached_file_of_another_size_is_had_again_from_anywhere(home: Path, server: FaultyServer) -> None:
    card = card_of(weights=file_of(DATA, server.on("/x", whole(DATA))))
    path = fetch(card)["weights"]
    path.write_bytes(b"edited")
    assert fetch(card)["weights"].read_bytes() == DATA
