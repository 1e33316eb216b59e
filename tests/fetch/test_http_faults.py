"""Every way in which a server or a network goes wrong, against one running on 127.0.0.1."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_server import FaultyServer, Handler, cut, says, whole
from fetching import card_of, file_of, left_in

from zoo.errors import FetchError
from zoo.fetch import fetch, http, parts
from zoo.fetch.digest import Published
from zoo.fetch.places import Patience, PlaceError
from zoo.fetch.progress import Bar, reporter

DATA = os.urandom(3_000_000)
PUBLISHED = Published.of(file_of(DATA, "https://127.0.0.1/"))
HASTE = Patience(connect=1, read=0.5, backoff=0.01)


def download(url: str, published: Published = PUBLISHED, patience: Patience = HASTE) -> bytes:
    """Fetches without the cache around it, with little patience."""
    with parts.claim("test") as part, Bar(reporter(False), "", None) as bar:
        http.download(url, part, published, patience=patience, bar=bar)
        return part.body.read_bytes()


def refused(card_file: object) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(card_of(weights=card_file))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_good_file_lands_under_its_hash_and_nothing_else_stays(home: Path, server: FaultyServer) -> None:
    file = file_of(DATA, server.on("/x", whole(DATA)))
    path = fetch(card_of(weights=file))["weights"]
    assert path.read_bytes() == DATA
    assert left_in(home) == [f"files/sha256/{file.sha256}"]


def test_second_fetch_asks_nobody(home: Path, server: FaultyServer) -> None:
    card = card_of(weights=file_of(DATA, server.on("/x", whole(DATA))))
    first = fetch(card)
    before = first["weights"].stat().st_atime_ns
    assert fetch(card) == first
    assert len(server.requests) == 1
    assert first["weights"].stat().st_atime_ns == before


def test_cached_file_cut_short_is_fetched_again(home: Path, server: FaultyServer) -> None:
    card = card_of(weights=file_of(DATA, server.on("/x", whole(DATA))))
    fetch(card)["weights"].write_bytes(DATA[:100])
    assert fetch(card)["weights"].read_bytes() == DATA


def test_truncated_body_is_resumed_where_it_was_cut(home: Path, server: FaultyServer) -> None:
    url = server.on("/x", cut(DATA, 1_000_000), whole(DATA))
    assert download(url) == DATA
    assert server.ranges() == [None, "bytes=1000000-"]
    assert server.requests[1][1]["If-Range"] == '"v1"'


def test_body_that_is_always_truncated_fails_and_stays_resumable(home: Path, server: FaultyServer) -> None:
    url = server.on("/x", cut(DATA, 1_000_000), lambda handler: None)
    with pytest.raises(PlaceError, match=r"cuts the connection after 1\.0 MB, 5 attempts in a row"):
        download(url)
    server.on("/x", whole(DATA))
    assert download(url) == DATA
    assert server.ranges()[-1] == "bytes=1000000-"


def test_body_longer_than_published_is_refused_by_its_length(home: Path, server: FaultyServer) -> None:
    message = refused(file_of(DATA, server.on("/x", whole(DATA + b"!"))))
    assert "has 3,000,001 bytes, the published file has 3,000,000" in message
    assert left_in(home) == []


def test_body_longer_than_published_stops_without_a_length(home: Path, server: FaultyServer) -> None:
    sent = 0

    def endless(handler: Handler) -> None:
        nonlocal sent
        handler.reply(200, content_length="")
        for _ in range(1000):
            handler.wfile.write(DATA[:1_000_000])
            sent += 1

    assert "sends more than the 3,000,000 bytes" in refused(file_of(DATA, server.on("/x", endless)))
    assert sent < 100
    assert left_in(home) == []


def test_one_flipped_byte_names_the_bad_place_and_the_next_one_is_used(home: Path, server: FaultyServer) -> None:
    bad = DATA[:-1] + bytes([DATA[-1] ^ 1])
    wrong, right = server.on("/wrong", whole(bad)), server.on("/right", whole(DATA))
    message = refused(file_of(DATA, wrong))
    assert f"{wrong}: has sha256 " in message
    assert left_in(home) == []
    assert fetch(card_of(weights=file_of(DATA, wrong, right)))["weights"].read_bytes() == DATA


@pytest.mark.parametrize("name", ["sha1", "md5", "git_blob"])
@pytest.mark.parametrize("size", [len(DATA), "unknown"])
def test_every_published_hash_is_checked(name: str, size: object, home: Path, server: FaultyServer) -> None:
    import hashlib

    blob = hashlib.sha1(b"blob %d\0" % len(DATA) + DATA).hexdigest()
    digest = {"sha1": hashlib.sha1(DATA).hexdigest(), "md5": hashlib.md5(DATA).hexdigest(), "git_blob": blob}[name]
    url = server.on("/x", whole(DATA))
    other = ("1" if digest[0] == "0" else "0") + digest[1:]
    assert f"the published one is {other}" in refused(file_of(DATA, url, size=size, **{name: other}))
    assert fetch(card_of(weights=file_of(DATA, url, size=size, **{name: digest})))["weights"].read_bytes() == DATA


def test_200_to_a_range_request_starts_over(home: Path, server: FaultyServer) -> None:
    url = server.on("/x", cut(DATA, 1_000_000), says(200, DATA))
    assert download(url) == DATA
    assert server.ranges() == [None, "bytes=1000000-"]


def test_206_with_another_start_is_not_appended(home: Path, server: FaultyServer) -> None:
    off_by_one = says(206, DATA[1_000_001:], content_range=f"bytes 1000001-{len(DATA) - 1}/{len(DATA)}")
    url = server.on("/x", cut(DATA, 1_000_000), off_by_one, whole(DATA))
    assert download(url) == DATA
    assert server.ranges() == [None, "bytes=1000000-", None]


def test_file_that_changed_between_two_ranges_starts_over(home: Path, server: FaultyServer) -> None:
    old = os.urandom(len(DATA))
    url = server.on("/x", cut(old, 1_000_000, etag='"old"'), whole(DATA, etag='"new"'))
    assert download(url) == DATA
    assert server.requests[1][1]["If-Range"] == '"old"'


def test_206_with_another_etag_starts_over_and_is_no_fault_of_the_file(home: Path, server: FaultyServer) -> None:
    old = cut(os.urandom(len(DATA)), 1_000_000, etag='"old"')
    span = f"bytes 1000000-{len(DATA) - 1}/{len(DATA)}"
    deaf = says(206, DATA[1_000_000:], content_range=span, etag='"new"')  # does not know If-Range
    url = server.on("/x", old, deaf, old, deaf, whole(DATA, etag='"new"'))
    assert download(url) == DATA
    assert server.ranges() == [None, "bytes=1000000-", None, "bytes=1000000-", None]


def test_change_that_no_header_tells_is_found_by_the_hash(home: Path, server: FaultyServer) -> None:
    old = os.urandom(len(DATA))
    span = f"bytes 1000000-{len(DATA) - 1}/{len(DATA)}"
    silent = says(206, DATA[1_000_000:], content_range=span)
    url = server.on("/x", cut(old, 1_000_000, etag=""), silent, whole(DATA))
    assert download(url) == DATA
    assert server.ranges() == [None, "bytes=1000000-", None]


def test_416_on_a_complete_part_file_is_the_end(home: Path, server: FaultyServer) -> None:
    unknown_size = Published(None, PUBLISHED.digests)
    # No length, and the connection ends in the middle of a chunk: the client cannot know that it has everything.
    url = server.on("/x", broken_chunks(DATA), whole(DATA))
    assert download(url, unknown_size) == DATA
    assert server.ranges() == [None, f"bytes={len(DATA)}-"]


def test_416_on_a_file_that_shrank_starts_over(home: Path, server: FaultyServer) -> None:
    unknown_size = Published(None, PUBLISHED.digests)
    url = server.on("/x", broken_chunks(DATA + b"more"), says(416, content_range="bytes */3000000"), whole(DATA))
    assert download(url, unknown_size) == DATA
    assert server.ranges() == [None, "bytes=3000004-", None]


def broken_chunks(data: bytes) -> object:
    def answer(handler: Handler) -> None:
        handler.reply(200, b"%x\r\n" % len(data) + data + b"\r\n5\r\n", content_length="", transfer_encoding="chunked")

    return answer


def test_chunked_body_without_a_length_is_read(home: Path, server: FaultyServer) -> None:
    def answer(handler: Handler) -> None:
        body = b"%x\r\n" % len(DATA) + DATA + b"\r\n0\r\n\r\n"
        handler.reply(200, body, content_length="", transfer_encoding="chunked")

    assert fetch(card_of(weights=file_of(DATA, server.on("/x", answer))))["weights"].read_bytes() == DATA


def test_body_without_a_length_that_ends_early_is_resumed(home: Path, server: FaultyServer) -> None:
    url = server.on("/x", says(200, DATA[:1_000_000], content_length=""), whole(DATA))
    assert download(url) == DATA
    assert server.ranges() == [None, "bytes=1000000-"]


def test_compressed_body_is_named_as_such(home: Path, server: FaultyServer) -> None:
    import gzip

    text = b"name: 'net'\n" * 1000
    url = server.on("/x", says(200, gzip.compress(text), content_encoding="gzip"))
    assert "the server compressed it, 'gzip'" in refused(file_of(text, url))
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html><html><head><title>\n Sign in </title>", 'a web page in place of the file ("Sign in")'),
        (b"\n\n<html><body>404</body></html>", "a web page in place of the file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "a Git-LFS pointer"),
        (
            b"<!doctype html><title>Google Drive - Virus scan warning</title>" + b" " * 9999,
            "Google Drive's confirm page",
        ),
        (b"<html><title>Google Drive - Quota exceeded</title>", "quota exceeded"),
        (
            b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>",
            'an error message in place of the file ("NoSuch',
        ),
    ],
)
def test_page_in_place_of_the_file_is_named(body: bytes, words: str, home: Path, server: FaultyServer) -> None:
    assert words in refused(file_of(DATA, server.on("/x", says(200, body))))
    # Also where neither size nor length could tell, and when the page comes in pieces.
    url = server.on("/y", lambda handler: in_pieces(handler, body))
    assert words in refused(file_of(DATA, url, size="unknown"))
    assert left_in(home) == []


def in_pieces(handler: Handler, body: bytes) -> None:
    handler.reply(200, content_length="", transfer_encoding="chunked")
    for piece in (body[:5], body[5:]):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.flush()
        time.sleep(0.02)
    handler.wfile.write(b"0\r\n\r\n")


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/x", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirect_from_https_to_anything_else_is_refused(target: str, home: Path, tls_server: FaultyServer) -> None:
    message = refused(file_of(DATA, tls_server.on("/x", says(302, location=target))))
    assert f"redirects from https to {target.split(':')[0]}, which is refused" in message


def test_redirects_are_followed_and_resumed_through(home: Path, server: FaultyServer) -> None:
    url = server.on("/a", says(302, location="b"))
    server.on("/b", says(307, location=server.on("/c", cut(DATA, 1_000_000), whole(DATA))))
    assert download(url) == DATA
    assert server.ranges() == [None, None, None, *["bytes=1000000-"] * 3]


def test_redirect_loop_ends(home: Path, server: FaultyServer) -> None:
    url = server.on("/a", says(302, location="/b"))
    server.on("/b", says(302, location="/a"))
    assert "redirects in a circle" in refused(file_of(DATA, url))
    assert len(server.requests) < 20


def test_netrc_login_goes_to_its_own_host_only(
    home: Path, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine localhost login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    first = server.on("/a", says(302, location=server.on("/b", whole(DATA))))
    download(first.replace("127.0.0.1", "localhost"))
    assert "Authorization" in server.requests[0][1]
    assert "Authorization" not in server.requests[1][1]


def test_bad_certificate_is_said_and_not_retried(
    home: Path, tls_server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    message = refused(file_of(DATA, tls_server.on("/x", whole(DATA))))
    assert "the certificate of 127.0.0.1" in message
    assert "is not valid: self-signed certificate" in message


def test_stalled_socket_times_out_and_the_rest_is_asked_for(home: Path, server: FaultyServer) -> None:
    def stall(handler: Handler) -> None:
        handler.reply(200, DATA[:1_000_000], content_length=str(len(DATA)), etag='"v1"')
        handler.wfile.flush()
        time.sleep(2)

    url = server.on("/x", stall, whole(DATA))
    start = time.monotonic()
    assert download(url) == DATA
    assert time.monotonic() - start < 1.9
    assert server.ranges() == [None, "bytes=1000000-"]


def test_server_that_trickles_counts_as_stalled(home: Path, server: FaultyServer) -> None:
    def trickle(handler: Handler) -> None:
        handler.reply(200, DATA[:100_000], content_length=str(len(DATA)), etag='"v1"')
        for at in range(100_000, 100_100):
            handler.wfile.write(DATA[at : at + 1])
            handler.wfile.flush()
            time.sleep(0.05)

    url = server.on("/x", trickle, whole(DATA))
    hasty = replace(HASTE, window=0.2, slowest=1_000_000)
    start = time.monotonic()
    assert download(url, patience=hasty) == DATA
    assert time.monotonic() - start < 4
    assert str(server.ranges()[1]).startswith("bytes=1000")


def test_server_that_makes_everyone_start_over_for_ever_is_given_up(home: Path, server: FaultyServer) -> None:
    broken_off = cut(DATA, 1_000_000)

    def answer(handler: Handler) -> None:
        if handler.range_start():
            handler.reply(206, DATA[7:], content_range=f"bytes 7-{len(DATA) - 1}/{len(DATA)}")
        else:
            broken_off(handler)

    with pytest.raises(PlaceError, match="attempts in a row"):
        download(server.on("/x", answer))
    assert len(server.requests) < 10


def test_network_that_cuts_often_gets_there(home: Path, server: FaultyServer) -> None:
    def answer(handler: Handler) -> None:
        start = handler.range_start()
        span = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        length = str(len(DATA) - start)
        handler.reply(206 if start else 200, DATA[start : start + 200_000], content_length=length, content_range=span)

    assert download(server.on("/x", answer)) == DATA
    assert len(server.requests) == 15


def test_server_that_never_answers_is_given_up(home: Path, server: FaultyServer) -> None:
    url = server.on("/x", lambda handler: time.sleep(1))
    with pytest.raises(PlaceError, match=r"sends nothing for 0\.5 s"):
        download(url)


def test_busy_server_is_tried_again(home: Path, server: FaultyServer) -> None:
    url = server.on("/x", says(503, retry_after="0"), says(429), whole(DATA))
    assert download(url) == DATA


def test_server_that_asks_for_an_hour_is_not_waited_for(home: Path, server: FaultyServer) -> None:
    url = server.on("/x", says(429, retry_after="3600"))
    assert "answers 429 Too Many Requests; asks to come back in 3600 s" in refused(file_of(DATA, url))
    assert len(server.requests) == 1


def test_missing_file_is_not_tried_again(home: Path, server: FaultyServer) -> None:
    url = server.on("/y").replace("/y", "/x")
    assert f"{url}: answers 404 Not Found" in refused(file_of(DATA, url))
    assert len(server.requests) == 1


def test_dead_first_place_costs_little(home: Path, server: FaultyServer) -> None:
    dead = ["http://127.0.0.1:1/x", "http://no-such-host.invalid/x"]
    start = time.monotonic()
    card = card_of(weights=file_of(DATA, *dead, server.on("/x", whole(DATA))))
    assert fetch(card)["weights"].read_bytes() == DATA
    assert time.monotonic() - start < 3


def test_all_places_and_reasons_are_in_one_line(home: Path, server: FaultyServer) -> None:
    dead, missing = "http://127.0.0.1:1/x", server.on("/x", says(410))
    message = refused(file_of(DATA, dead, missing))
    assert message.startswith("test-model: model.bin (3.0 MB, sha256 ")
    assert f"{dead}: 127.0.0.1:1 refuses the connection; {missing}: answers 410 Gone; " in message
    assert message.endswith("download by hand and pass the folder as source")


def test_what_a_failed_place_left_goes_when_another_gives_the_file(home: Path, server: FaultyServer) -> None:
    file = file_of(DATA, server.on("/a", cut(DATA, 1_000_000), says(404)), server.on("/b", whole(DATA)))
    fetch(card_of(weights=file))
    assert [path for path, _ in server.requests] == ["/a", "/a", "/b"]
    assert left_in(home) == [f"files/sha256/{file.sha256}"]


def test_place_known_as_dead_is_tried_last(home: Path, server: FaultyServer) -> None:
    file = file_of(DATA, server.on("/a", whole(DATA)), server.on("/b", whole(DATA)))
    first, second = file.places
    file = file.model_copy(update={"places": (first.model_copy(update={"status": "dead"}), second)})
    fetch(card_of(weights=file))
    assert [path for path, _ in server.requests] == ["/b"]


def test_file_without_a_hash_has_to_stay_what_it_was(home: Path, tls_server: FaultyServer) -> None:
    url = tls_server.on("/x", whole(DATA))
    card = card_of(weights=file_of(DATA, url, sha256="unknown"))
    path = fetch(card)["weights"]
    assert path.read_bytes() == DATA
    assert fetch(card)["weights"] == path
    assert len(tls_server.requests) == 1
    path.unlink()
    tls_server.on("/x", whole(os.urandom(len(DATA))))
    assert "the published one is " in refused(card.files["weights"])
    tls_server.on("/x", whole(DATA))
    assert fetch(card)["weights"] == path


def test_file_without_a_hash_is_not_had_over_plain_http(home: Path, server: FaultyServer) -> None:
    with pytest.raises(PlaceError, match="plain http is refused"):
        download(server.on("/x", whole(DATA)), Published(len(DATA), {}))
    assert server.requests == []
