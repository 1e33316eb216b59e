"""One large file over several connections."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from faulty_server import Answer, FaultyServer, Handler, says, whole
from fetching import card_of, file_of, left_in

from zoo.errors import FetchError, UsageError
from zoo.fetch import fetch, ranges
from zoo.fetch.parts import Part

SIZE = ranges.WORTH_IT + 1_000_001
DATA = os.urandom(1_000_003) * (SIZE // 1_000_003 + 1)
DATA = DATA[:SIZE]
FETCH = """
import sys, zoo
from zoo.fetch import fetch
from zoo.files import File
file = File.model_validate_json(sys.argv[1])
fetch(zoo.info("efficientnet-lite0").model_copy(update={"name": "test-model", "files": {"weights": file}}), jobs=4)
"""


def pieces(data: bytes = DATA, etag: str = '"v1"', wait: threading.Event | None = None) -> Answer:
    """What a good server does, with ranges that have an end; what starts behind the first MB waits, if told so."""

    def answer(handler: Handler) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("range", ""))
        if not found or handler.headers.get("if-range", etag) != etag:
            whole(data, etag)(handler)
            return
        start, end = int(found[1]), min(int(found[2]) + 1, len(data))
        if wait and start > 20_000_000:
            wait.wait(20)
        handler.reply(206, data[start:end], content_range=f"bytes {start}-{end - 1}/{len(data)}", etag=etag)

    return answer


def asked(server: FaultyServer) -> list[tuple[int, int]]:
    found = [re.fullmatch(r"bytes=(\d+)-(\d+)", text or "") for text in server.ranges()]
    return sorted((int(one[1]), int(one[2]) + 1) for one in found if one)


def test_pieces_are_asked_for_once_each_and_joined(home: Path, server: FaultyServer) -> None:
    file = file_of(DATA, server.on("/x", pieces()))
    assert fetch(card_of(weights=file), jobs=4)["weights"].read_bytes() == DATA
    spans = asked(server)
    assert len(spans) == len(server.requests) > 4
    assert spans[0][0] == 0
    assert spans[-1][1] == SIZE
    assert all(one[1] == two[0] for one, two in pairwise(spans))
    assert {headers.get("If-Range") for _, headers in server.requests[1:]} == {'"v1"'}
    assert left_in(home) == [f"files/sha256/{file.sha256}"]


def test_one_job_and_small_files_take_one_stream(home: Path, server: FaultyServer) -> None:
    fetch(card_of(weights=file_of(DATA, server.on("/x", pieces()))))
    small = DATA[:1000]
    fetch(card_of(weights=file_of(small, server.on("/y", pieces(small)))), jobs=4)
    assert server.ranges() == [None, None]


def test_server_without_ranges_is_asked_once(home: Path, server: FaultyServer) -> None:
    file = file_of(DATA, server.on("/x", says(200, DATA)))
    assert fetch(card_of(weights=file), jobs=4)["weights"].read_bytes() == DATA
    assert len(server.requests) == 1


def shifted(handler: Handler) -> None:
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("range", ""))
    assert found
    start, end = int(found[1]) + 1, int(found[2]) + 1
    handler.reply(206, DATA[start:end], content_range=f"bytes {start}-{end - 1}/{SIZE}", etag='"v1"')


def other_total(handler: Handler) -> None:
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("range", ""))
    assert found
    start, end = int(found[1]), int(found[2]) + 1
    handler.reply(206, DATA[start:end], content_range=f"bytes {start}-{end - 1}/{SIZE + 1}", etag='"v1"')


def packed(handler: Handler) -> None:
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("range", ""))
    assert found
    start, end = int(found[1]), int(found[2]) + 1
    span = f"bytes {start}-{end - 1}/{SIZE}"
    handler.reply(206, DATA[start:end], content_range=span, etag='"v1"', content_encoding="gzip")


WRONG = {
    "another start": shifted,
    "another size": other_total,
    "compressed": packed,
    "another version": pieces(bytes(SIZE), '"v2"'),
    "all of it": whole(DATA, '"v2"'),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("good", [0, 2])
def test_wrong_piece_ends_in_one_stream(case: str, good: int, home: Path, server: FaultyServer) -> None:
    wrong, right = WRONG[case], whole(DATA)

    def answer(handler: Handler) -> None:
        if "Range" not in handler.headers:
            right(handler)
        elif len(server.requests) <= good:
            pieces()(handler)
        else:
            wrong(handler)

    file = file_of(DATA, server.on("/x", answer))
    assert fetch(card_of(weights=file), jobs=4)["weights"].read_bytes() == DATA


def test_cut_and_busy_pieces_are_asked_for_again_and_the_rest_is_kept(home: Path, server: FaultyServer) -> None:
    good, faults = pieces(), iter(["cut", "busy"])

    def answer(handler: Handler) -> None:
        fault = next(faults, "") if len(server.requests) in (3, 12) else ""
        if fault == "cut":
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers["range"])
            assert found
            start, end = int(found[1]), int(found[2]) + 1
            span = f"bytes {start}-{end - 1}/{SIZE}"
            handler.reply(206, DATA[start : start + 9], content_length=str(end - start), content_range=span)
        elif fault == "busy":
            handler.reply(503, retry_after="0")
        else:
            good(handler)

    assert fetch(card_of(weights=file_of(DATA, server.on("/x", answer))), jobs=4)["weights"].read_bytes() == DATA
    assert None not in server.ranges()


def test_page_in_place_of_the_first_piece_is_named(home: Path, server: FaultyServer) -> None:
    page = (b"<!doctype html><title>Log in</title>" + bytes(SIZE))[:SIZE]
    with pytest.raises(FetchError, match="a web page in place of the file"):
        fetch(card_of(weights=file_of(DATA, server.on("/x", pieces(page)))), jobs=4)
    assert left_in(home) == []


def test_flipped_byte_in_a_piece_is_found(home: Path, server: FaultyServer) -> None:
    bad = DATA[:-1] + bytes([DATA[-1] ^ 1])
    with pytest.raises(FetchError, match="has sha256"):
        fetch(card_of(weights=file_of(DATA, server.on("/x", pieces(bad)))), jobs=4)


@pytest.mark.parametrize("jobs", [1, 4])
def test_killed_download_in_pieces_goes_on(jobs: int, home: Path, server: FaultyServer) -> None:
    gate = threading.Event()
    file = file_of(DATA, server.on("/x", pieces(wait=gate)))
    with subprocess.Popen([sys.executable, "-c", FETCH, file.model_dump_json()]) as process:
        end = time.monotonic() + 30
        while max((Part(path).size for path in home.glob("partial/*-*.*")), default=0) < 16_000_000:
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    gate.set()
    server.requests.clear()
    assert fetch(card_of(weights=file), jobs=jobs)["weights"].read_bytes() == DATA
    later = asked(server)
    assert later[0][0] >= 16_000_000
    assert sum(two - one for one, two in later) <= SIZE - 16_000_000
    assert left_in(home) == [f"files/sha256/{file.sha256}"]


def test_damaged_map_starts_over(home: Path, tmp_path: Path) -> None:
    for text in ("", "[[5, 1]]", "[[0, 99]]", "{}", '[["a", "b"]]', "[[0, 5], [3, 8]]"):
        folder = tmp_path / str(hash(text))
        folder.mkdir()
        (folder / "body.part").write_bytes(bytes(10))
        (folder / "map.json").write_text(text)
        assert Part(folder).size == 0


@pytest.mark.parametrize("jobs", [0, 17])
def test_impossible_number_of_jobs(jobs: int, home: Path) -> None:
    with pytest.raises(UsageError, match="jobs: expected 1 to 16"):
        fetch(card_of(weights=file_of(b"x", "https://127.0.0.1/x")), jobs=jobs)
