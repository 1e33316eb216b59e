"""Things appear whole under their final name, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from zoo import cache
from zoo.errors import ZooError

HANG = """
import sys, time
from pathlib import Path
from zoo import cache
with getattr(cache, sys.argv[1])(Path(sys.argv[2])) as temporary:
    (temporary / "half" if temporary.is_dir() else temporary).write_text("half")
    print("ready", flush=True)
    time.sleep(30)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_home_is_the_platforms_cache_folder_unless_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.home() == home
    monkeypatch.delenv("ZOO_HOME")
    assert cache.home().name in ("zoo", "Cache")
    assert cache.home().is_absolute()
    monkeypatch.setenv("ZOO_HOME", "~/somewhere")
    assert cache.home() == Path.home() / "somewhere"


def test_folder_appears_at_the_end(home: Path) -> None:
    final = home / "models" / "m" / "key"
    with cache.atomic_folder(final) as temporary:
        (temporary / "a").write_text("x")
        assert not final.exists()
    assert (final / "a").read_text() == "x"
    assert list(final.parent.iterdir()) == [final]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failed_body_leaves_nothing(error: type[BaseException], home: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise error

    with pytest.raises(error), cache.atomic_folder(home / "folder") as temporary:
        fail(temporary / "a")
    with pytest.raises(error), cache.atomic_file(home / "file.keras") as temporary:
        fail(temporary)
    assert list(home.iterdir()) == []


def test_file_is_replaced_at_the_end_and_keeps_its_suffix(home: Path) -> None:
    final = home / "x.keras"
    home.mkdir()
    final.write_text("old")
    with cache.atomic_file(final) as temporary:
        assert temporary.suffix == ".keras"
        temporary.write_text("new")
        assert final.read_text() == "old"
    assert final.read_text() == "new"
    assert list(home.iterdir()) == [final]


@pytest.mark.parametrize("kind", ["atomic_folder", "atomic_file"])
def test_next_run_removes_what_a_killed_one_left_and_nothing_else(kind: str, home: Path) -> None:
    final = home / "thing.keras"
    home.mkdir()
    for mine in ("thing.keras.bak", ".thing.keras.swp", ".thing.keras.a-b-c.tmp2", ".thing.keras.notes.tmp.keras"):
        (home / mine).write_text("the user's own")
    with subprocess.Popen([sys.executable, "-c", HANG, kind, str(final)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        before = len(list(home.iterdir()))
        with getattr(cache, kind)(home / "other") as temporary:
            (temporary / "a" if temporary.is_dir() else temporary).write_text("")
        process.kill()
    assert before == 5
    assert not final.exists()
    with getattr(cache, kind)(final) as temporary:
        (temporary / "whole" if temporary.is_dir() else temporary).write_text("whole")
    assert len(list(home.iterdir())) == 6
    assert final.exists()


def test_running_process_keeps_its_temporary_folder(home: Path) -> None:
    final = home / "thing"
    with subprocess.Popen([sys.executable, "-c", HANG, "atomic_folder", str(final)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        with cache.atomic_folder(final) as temporary:
            (temporary / "a").write_text("x")
        assert len(list(home.iterdir())) == 2
        process.kill()


def test_folder_of_another_machine_goes_when_it_is_old(home: Path) -> None:
    left = home / ".thing.0badc0de-1-00000000.tmp"
    left.mkdir(parents=True)
    with cache.atomic_folder(home / "thing") as temporary:
        (temporary / "a").touch()
    assert left.exists()
    os.utime(left, (time.time() - 2 * 86400,) * 2)
    with cache.atomic_folder(home / "thing") as temporary:
        (temporary / "a").touch()
    assert not left.exists()


def test_second_finisher_of_a_folder_gives_way_to_a_whole_one_and_mends_a_broken_one(home: Path) -> None:
    final = home / "thing"
    for text in ("first", "second"):
        with cache.atomic_folder(final) as temporary:
            (temporary / "a").write_text(text)
            (temporary / "b").write_text(text)
    assert (final / "a").read_text() == "first"
    (final / "b").unlink()
    with cache.atomic_folder(final) as temporary:
        (temporary / "a").write_text("third")
        (temporary / "b").write_text("third")
    assert (final / "a").read_text() == "third"
    assert list(home.iterdir()) == [final]


def test_full_disk_is_said_in_one_line(home: Path) -> None:
    resource = pytest.importorskip("resource")
    script = (
        "import sys; from pathlib import Path; from zoo import cache, errors\n"
        "try:\n"
        "    with cache.atomic_folder(Path(sys.argv[1])) as temporary:\n"
        "        (temporary / 'big').write_bytes(bytes(1000000))\n"
        "except errors.ZooError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(home / "thing")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{home}: no room left on disk; free some")
    assert list(home.iterdir()) == []


def test_words_of_other_libraries_for_a_full_disk_are_understood(home: Path) -> None:
    with pytest.raises(ZooError, match="no room left on disk"), cache.atomic_folder(home / "thing"):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_folder_in_the_way_of_the_cache_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match="cannot be written"), cache.atomic_folder(tmp_path / "file" / "x" / "y"):
        pass


def test_lock_lets_one_thread_in_at_a_time(home: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        with cache.lock(home / "models" / "m" / "key"):
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not (home / "models").exists()


def test_lock_that_cannot_be_made_does_not_stop_the_work(home: Path) -> None:
    home.mkdir()
    (home / "locks").write_text("in the way")
    with cache.lock(home / "x"):
        done = True
    assert done


def test_errors_of_the_body_pass_through_the_lock(home: Path) -> None:
    with pytest.raises(FileNotFoundError), cache.lock(home / "x"):
        (home / "nothing").read_text()


@pytest.mark.parametrize(("count", "words"), [(5, "5 bytes"), (60_617, "60.6 kB"), (18_826_032, "18.8 MB")])
def test_sizes_are_for_people(count: int, words: str) -> None:
    assert cache.megabytes(count) == words
