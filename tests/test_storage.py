"""The cache can be listed, checked and emptied, and nothing is ever removed that zoo did not make or that is in use."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_cli import clean_environment, refused, write_card

import zoo
from zoo import artifact, cache, storage
from zoo.errors import UnknownModelError, ZooError

DATA = b"weights" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()
DEAD = "0badc0de-1-00000000"
"""Mark of a process on another machine: gone, once what it made is old."""

HOLD = """
import sys, time
from pathlib import Path
from zoo import cache
with getattr(cache, sys.argv[1])(Path(sys.argv[2])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with everything in it, beside things that are not zoo's."""
    home = tmp_path / "home"
    registry = write_card(tmp_path / "mine.toml", size=len(DATA), sha256=DIGEST)
    monkeypatch.setenv("ZOO_HOME", str(home))
    monkeypatch.setenv("ZOO_REGISTRY", str(registry))
    put(home / "files" / "sha256" / DIGEST, DATA)
    put(home / "files" / "sha256" / ("1" * 64), b"of no card")
    model(home, "mine", artifact.key(zoo.info("mine")))
    model(home, "mine", "0" * 16)
    model(home, "gone", "1" * 16)
    put(home / "partial" / f"sha256-{DIGEST}-12345678" / "body.part", DATA[:100])
    put(home / "partial" / f"sha256-{DIGEST}-12345678.{DEAD}" / "body.part", DATA[:50], old=True)
    put(home / "partial" / f"wheel.{DEAD}" / "some.whl", b"", old=True)
    put(home / "models" / "mine" / f".{'0' * 16}.{DEAD}.tmp" / "model.safetensors", b"half", old=True)
    put(home / "files" / "sha256" / f".{DIGEST}.{DEAD}.tmp", b"half", old=True)
    put(home / "locks" / "something.lock", b"")
    for foreign in FOREIGN:
        put(home / foreign, b"the user's own", old=True)
    return home


FOREIGN = (
    "notes.txt",
    "files/sha256/model.pth",
    "files/sha256/" + "A" * 64,
    "files/mine/" + "2" * 64,
    "models/readme.txt",
    "models/mine/backup/model.keras",
    "models/mine/.hidden.tmp",
    "partial/thesis.tex",
    "partial/thesis/body.part",
    "locks/key.pem",
)


def put(path: Path, data: bytes, *, old: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if old:
        for there in (path, path.parent):
            os.utime(there, (time.time() - 3 * 86400,) * 2)


def model(home: Path, name: str, key: str) -> Path:
    folder = home / "models" / name / key
    put(folder / artifact.CONFIG, b"{}")
    put(folder / artifact.WEIGHTS, b"numbers")
    contents = {artifact.CONFIG: b"{}", artifact.WEIGHTS: b"numbers"}
    artifact.seal(folder, {"model": name}, {file: hashlib.sha256(data).hexdigest() for file, data in contents.items()})
    return folder


def files_in(home: Path) -> set[str]:
    return {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}


def paths(home: Path, entries: list[storage.Entry]) -> set[str]:
    return {entry.path.relative_to(home).as_posix() for entry in entries}


@pytest.fixture
def holding() -> Iterator[Callable[[str, Path], None]]:
    """Starts a process that is in the middle of making something."""
    started = []

    def hold(how: str, path: Path) -> None:
        command = [sys.executable, "-c", HOLD, how, str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"

    yield hold
    for process in started:
        process.communicate()


def test_contents_say_what_belongs_to_what(home: Path) -> None:
    key = artifact.key(zoo.info("mine"))
    found = {entry.path.relative_to(home).as_posix(): entry for entry in storage.contents()}
    told = {path: (entry.kind, entry.state, entry.models) for path, entry in found.items()}
    assert told.pop(f"models/mine/{key}") == ("model", "current", ("mine",))
    assert told.pop(f"models/mine/{'0' * 16}") == ("model", "outdated", ("mine",))
    assert told.pop(f"models/gone/{'1' * 16}") == ("model", "unknown", ("gone",))
    assert told.pop(f"files/sha256/{DIGEST}") == ("original", "current", ("mine",))
    assert told.pop(f"files/sha256/{'1' * 64}") == ("original", "unknown", ())
    assert told.pop(f"partial/sha256-{DIGEST}-12345678") == ("unfinished", "waiting", ("mine",))
    assert told.pop(f"partial/sha256-{DIGEST}-12345678.{DEAD}") == ("unfinished", "waiting", ("mine",))
    assert told.pop(f"partial/wheel.{DEAD}") == ("leftover", "left", ())
    assert told.pop(f"models/mine/.{'0' * 16}.{DEAD}.tmp") == ("leftover", "left", ())
    assert told.pop(f"files/sha256/.{DIGEST}.{DEAD}.tmp") == ("leftover", "left", ())
    assert {kind for kind, _, _ in told.values()} == {"other"}
    assert found[f"files/sha256/{DIGEST}"].size == len(DATA)
    assert found[f"files/sha256/{DIGEST}"].name == "mine.pth"
    assert abs(found[f"files/sha256/{DIGEST}"].modified - time.time()) < 60


def test_prune_removes_what_nobody_needs_and_nothing_else(home: Path) -> None:
    before = files_in(home)
    planned = storage.prune(dry_run=True)
    assert files_in(home) == before
    removed = storage.prune()
    assert removed == planned
    key = artifact.key(zoo.info("mine"))
    assert {path for path in files_in(home) if path not in FOREIGN} == {
        f"files/sha256/{DIGEST}",
        f"files/sha256/{'1' * 64}",
        *(f"models/mine/{key}/{name}" for name in (artifact.CONFIG, artifact.WEIGHTS, artifact.RECEIPT)),
        # Its card may be in a registry that is not named today; whoever knows better says `zoo cache rm gone`.
        *(f"models/gone/{'1' * 16}/{name}" for name in (artifact.CONFIG, artifact.WEIGHTS, artifact.RECEIPT)),
    }
    assert files_in(home) >= set(FOREIGN)
    assert storage.prune() == []
    assert f"models/gone/{'1' * 16}" in paths(home, storage.remove("gone"))


def test_prune_takes_originals_of_converted_models_when_asked(home: Path) -> None:
    removed = storage.prune(originals=True)
    assert {f"files/sha256/{DIGEST}", f"files/sha256/{'1' * 64}"} <= paths(home, removed)
    put(home / "files" / "sha256" / DIGEST, DATA)
    storage.remove("mine")
    assert storage.prune(originals=True) == []  # not converted: it would have to be fetched again


def test_prune_spares_young_unfinished_downloads_when_asked(home: Path) -> None:
    removed = paths(home, storage.prune(older_than=2))
    assert f"partial/sha256-{DIGEST}-12345678" not in removed
    assert f"partial/sha256-{DIGEST}-12345678.{DEAD}" in removed


def test_what_a_running_process_makes_stays(home: Path, holding: Callable[[str, Path], None]) -> None:
    key = artifact.key(zoo.info("mine"))
    shutil.rmtree(home / "models" / "mine" / key)
    holding("lock", home / "models" / "mine" / key)
    holding("atomic_folder", home / "models" / "mine" / key)
    (temporary,) = home.glob(f"models/mine/.{key}.*.tmp")
    mine = home / "partial" / f"sha256-{DIGEST}-87654321.{cache.owner()}"
    put(mine / "body.part", b"abc")
    storage.prune(originals=True)
    assert temporary.is_dir()
    assert mine.is_dir()
    assert (home / "files" / "sha256" / DIGEST).is_file()
    assert {entry.state for entry in storage.contents() if entry.path in (temporary, mine)} == {"in use"}
    with pytest.raises(ZooError, match="mine: another process fetches or converts it now"):
        storage.remove("mine", files=True)
    assert (home / "files" / "sha256" / DIGEST).is_file()


def test_model_is_removed_with_its_files_only_when_asked(home: Path) -> None:
    removed = paths(home, storage.remove("mine"))
    assert removed == {f"models/mine/{key}" for key in ("0" * 16, artifact.key(zoo.info("mine")))}
    assert (home / "files" / "sha256" / DIGEST).is_file()
    removed = paths(home, storage.remove("mine", files=True))
    assert f"files/sha256/{DIGEST}" in removed
    assert not (home / "files" / "sha256" / DIGEST).exists()
    assert files_in(home) >= set(FOREIGN)
    assert storage.remove("mine", files=True) == []


def test_file_that_two_models_share_stays(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write_card(tmp_path / "other.toml", name="other", size=len(DATA), sha256=DIGEST)
    monkeypatch.setenv("ZOO_REGISTRY", os.pathsep.join([os.environ["ZOO_REGISTRY"], str(other)]))
    storage.remove("mine", files=True)
    assert (home / "files" / "sha256" / DIGEST).is_file()


def test_model_whose_card_is_gone_can_be_removed(home: Path) -> None:
    assert paths(home, storage.remove("gone")) == {f"models/gone/{'1' * 16}"}
    assert not (home / "models" / "gone").exists()


@pytest.mark.parametrize("name", ["gome", "../models", ".", "", "mine/../gone"])
def test_name_that_is_none_removes_nothing(name: str, home: Path) -> None:
    before = files_in(home)
    with pytest.raises(UnknownModelError) as error:
        storage.remove(name, files=True)
    assert ("did you mean gone or mine?" in str(error.value)) == (name == "gome")
    assert files_in(home) == before


def test_user_s_file_beside_a_model_survives_it(home: Path) -> None:
    put(home / "models" / "gone" / ("1" * 16) / "mine.txt", b"the user's own")
    storage.remove("gone")
    assert [path.name for path in (home / "models" / "gone" / ("1" * 16)).iterdir()] == ["mine.txt"]


def test_links_are_not_followed(home: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / ("3" * 16) / artifact.RECEIPT, b"{}")
    (home / "models" / "linked").symlink_to(tmp_path / "elsewhere")
    (home / "partial" / f"wheel-2.{DEAD}").symlink_to(tmp_path / "elsewhere")
    storage.prune(originals=True)
    assert (tmp_path / "elsewhere" / ("3" * 16) / artifact.RECEIPT).is_file()


def test_verify_names_what_is_damaged_and_what_to_do(home: Path) -> None:
    shutil.rmtree(home / "models" / "gone")
    (home / "files" / "sha256" / ("1" * 64)).unlink()
    checked, damaged = storage.verify()
    assert (len(checked), damaged) == (3, [])
    (home / "files" / "sha256" / DIGEST).write_bytes(DATA[:-1] + b"x")  # same size, one byte flipped
    (home / "models" / "mine" / ("0" * 16) / artifact.WEIGHTS).write_bytes(b"Numbers")
    (home / "models" / "mine" / artifact.key(zoo.info("mine")) / artifact.CONFIG).unlink()
    _, damaged = storage.verify("mine")
    told = {damage.entry.name: (damage.problem, damage.advice) for damage in damaged}
    assert told["mine.pth"][0].startswith("its sha256 is ")
    assert told["mine.pth"][1] == "delete this file; `zoo get mine` fetches it again"
    assert told["0" * 16] == ("was changed after the conversion", "`zoo cache rm mine`, then `zoo get mine`")
    assert told[artifact.key(zoo.info("mine"))][0] == "config.json is missing"


@pytest.mark.parametrize("receipt", [b"", b"[]", b"{}", b'{"artifact": 1}', b"\xff"])
def test_receipt_that_is_none_is_damage(receipt: bytes, home: Path) -> None:
    (home / "models" / "gone" / ("1" * 16) / artifact.RECEIPT).write_bytes(receipt)
    _, damaged = storage.verify("gone")
    assert len(damaged) == 1


def test_original_known_by_its_git_hash_is_checked(home: Path) -> None:
    blob = hashlib.sha1(b"blob 7000\0" + DATA).hexdigest()
    put(home / "files" / "git_blob" / blob, DATA)
    put(home / "files" / "git_blob" / ("2" * 40), DATA)
    damaged = {damage.entry.path.name for damage in storage.verify()[1]}
    assert damaged == {"1" * 64, "2" * 40}


# ------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def run(home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "zoo", "cache", *arguments]
        environment = {**clean_environment(), "ZOO_REGISTRY": os.environ["ZOO_REGISTRY"]}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)

    return run


def test_command_lists_checks_and_removes(home: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert run("path").stdout == f"{home}\n"
    assert "\n  prune " in run().stdout
    listed = run("ls")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "mine.pth" in listed.stdout
    facts = json.loads(run("ls", "--json").stdout)
    assert {"kind", "state", "models", "name", "size", "modified", "path"} == set(facts[0])
    verified = run("verify")
    assert verified.returncode == 1
    assert f"damaged: {home}/files/sha256/{'1' * 64}: its sha256 is " in verified.stdout
    assert verified.stdout.endswith("4 of 5 whole\n")
    assert [fact["problem"] for fact in json.loads(run("verify", "mine", "--json").stdout)] == [None] * 3
    before = files_in(home)
    planned = run("prune", "--dry-run")
    assert planned.stdout.splitlines()[-1].endswith(f"would be removed from {home}")
    assert files_in(home) == before
    assert "outdated" in run("prune").stdout
    assert json.loads(run("rm", "mine", "--files", "--json").stdout)["removed"]
    assert run("rm", "mine").stdout == f"nothing removed from {home}\n"
    assert "did you mean mine" in refused(run("rm", "mime"))


def test_empty_cache_is_no_error(run: Callable[..., subprocess.CompletedProcess[str]], home: Path) -> None:
    shutil.rmtree(home)
    for arguments in (["ls"], ["verify"], ["prune"], ["path"]):
        assert run(*arguments).returncode == 0
    assert not home.exists()


def test_read_only_cache_can_be_looked_at(home: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("needs a mount namespace (unshare -rm)")
    shutil.rmtree(home / "files" / "sha256")
    shutil.rmtree(home / "models" / "gone")
    script = (
        f"mount --bind {home} {home} && mount -o remount,bind,ro {home} && "
        'for command in ls path verify prune "rm mine" "prune --dry-run"; do '
        '"$1" -m zoo cache $command; echo "= $?"; done'
    )
    environment = {**clean_environment(), "ZOO_REGISTRY": os.environ["ZOO_REGISTRY"]}
    command = ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert [line for line in done.stdout.splitlines() if line.startswith("= ")] == ["= 0"] * 3 + ["= 1"] * 2 + ["= 0"]
    assert len(done.stderr.splitlines()) == 2
    assert done.stderr.count("cannot be written (Read-only file system); set ZOO_HOME") == 2


# ----------------------------------------------------------------------------------------------------------- offline

WATCH = """
import sys
def watch(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.posix_spawn", "os.fork")):
        with open({log!r}, "a") as log:
            log.write(event + "\\n")
sys.addaudithook(watch)
"""


@pytest.mark.parametrize("how", ["option", "variable"])
def test_offline_command_opens_no_socket_and_says_how_to_bring_the_files(how: str, home: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    put(tmp_path / "site" / "sitecustomize.py", WATCH.format(log=str(log)).encode())
    root = str(Path(zoo.__file__).parents[1])
    environment = {**clean_environment(), "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), root])}
    offline = {"ZOO_OFFLINE": "1"} if how == "variable" else {}
    arguments = ["get", "open-nsfw", *(["--offline"] if how == "option" else [])]
    command = [sys.executable, "-m", "zoo", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**environment, **offline}, timeout=60)
    line = refused(done)
    assert "offline, not fetched: deploy.prototxt (" in line
    assert "resnet_50_1by2_nsfw.caffemodel (" in line
    assert "on a machine with network and pass the folder as source" in line
    assert not log.exists()
    # The watch watches: the same without "offline", to a place that refuses.
    shutil.rmtree(home)
    write_card(Path(os.environ["ZOO_REGISTRY"]), size=len(DATA), sha256=DIGEST)
    command = [sys.executable, "-m", "zoo", "get", "mine"]
    environment["ZOO_REGISTRY"] = os.environ["ZOO_REGISTRY"]
    refused(subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60))
    assert "socket." in log.read_text()


def test_features_of_fine_tuning_are_listed_and_pruned(home: Path) -> None:
    made, strange = home / "features" / ("ab" * 16), home / "features" / "notes"
    for folder in (made, strange):
        folder.mkdir(parents=True)
        (folder / "entry.json").write_text("{}")
        (folder / "0.bin").write_bytes(b"1234")
    found = {entry.path: entry.kind for entry in storage.contents()}
    assert (found[made], found[strange]) == ("features", "other")
    assert made not in [entry.path for entry in storage.prune(older_than=1)]
    assert made in [entry.path for entry in storage.prune()]
    assert not made.exists()
    assert strange.exists()
