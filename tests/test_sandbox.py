"""Readers of untrusted files run elsewhere: their result arrives whole, and whatever they do, only one error does."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from zoo import graph_io, sandbox, storage
from zoo.errors import FormatError, UsageError
from zoo.formats import pytorch
from zoo.graph import Graph, Node, Param
from zoo.sandbox import Limits

ENOUGH = Limits(memory=2 << 30, seconds=60, disk=1 << 30)
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def left_in(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"]


def everything() -> Graph:
    attrs = {
        "pads": (1, 2, 3, 4),
        "alpha": 0.1,
        "low": -np.inf,
        "name": "ä\n",
        "none": None,
        "flag": True,
        "nested": ((1, 2), ("a",)),
        "value": np.arange(3, dtype=np.int64),
        "scalar": np.float32(0.5),
    }
    params = {
        "w": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),
        "none": np.zeros((0, 3), np.float16),
        "one": np.array(7, np.int8),
        "big-endian": np.array([1.5, 2.5], ">f8"),
        "later": Param((3, 4)),
    }
    return Graph("net", {"data": (3, 8, 8)}, ("y",), (Node("Op", "y", ("data", "", *params), ("y",), attrs),), params)


def test_arrays_that_lie_in_the_file_are_not_copied(tmp_path: Path) -> None:
    path = GOLDEN / "pytorch" / "legacy.pth"
    found = pytorch.read(path)
    odd = {"view": found["conv.weight"][:, ::-1], **found}
    graph_io.save(odd, tmp_path, [path])
    assert (tmp_path / graph_io.ARRAYS).stat().st_size <= odd["view"].nbytes + 64
    after = graph_io.load(tmp_path, [path])
    assert isinstance(after, dict)
    assert list(after) == list(odd)
    assert all(np.array_equal(after[name], odd[name]) for name in odd)
    with pytest.raises(FormatError, match="not a Graph that was read"):
        graph_io.load(tmp_path)  # without the file
    cut = tmp_path / "cut.pth"
    cut.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FormatError, match="outside the file"):
        graph_io.load(tmp_path, [cut])


def test_graph_survives_the_way_through_a_folder(tmp_path: Path) -> None:
    before = everything()
    graph_io.save(before, tmp_path)
    after = graph_io.load(tmp_path)
    assert isinstance(after, Graph)
    assert (after.name, after.inputs, after.outputs) == (before.name, before.inputs, before.outputs)
    (node,), (expected,) = after.nodes, before.nodes
    assert (node.op, node.name, node.inputs, node.outputs) == (expected.op, expected.name, expected.inputs, ("y",))
    assert list(node.attrs) == list(expected.attrs)
    for key, value in expected.attrs.items():
        assert np.array_equal(node.attrs[key], value) if key == "value" else node.attrs[key] == value
    assert after.params["later"] == Param((3, 4))
    for name in ("w", "none", "one", "big-endian"):
        was, now = before.params[name], after.params[name]
        assert isinstance(was, np.ndarray)
        assert isinstance(now, np.ndarray)
        assert (now.dtype, now.shape) == (was.dtype.newbyteorder("="), was.shape)
        assert np.array_equal(now, was)
        assert not now.flags.writeable


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"<f4", [4, 2, 3]', '"<f4", [4000, 2, 3]'),
        lambda text: text.replace('"<f4", [4, 2, 3]', '"<f4", [-4, -2, 3]'),
        lambda text: text.replace('"<f4", [4, 2, 3]', '"|O", [4, 2, 3]'),
        lambda text: text.replace('"<f4", [4, 2, 3]', '"<f4", [4611686018427387904, 4, 1]'),
        lambda text: text.replace('["data",', '["nothing",'),
        lambda text: text.replace('"outputs"', '"inputs"'),
        lambda text: text[: len(text) // 2],
        lambda text: "[" * 100_000,
        lambda text: "[]",
    ],
)
def test_folder_that_was_tampered_with_is_refused(change: Callable[[str], str], tmp_path: Path) -> None:
    graph_io.save(everything(), tmp_path)
    path = tmp_path / graph_io.GRAPH
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    with pytest.raises(FormatError):
        graph_io.load(tmp_path)


def test_objects_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="object"):
        graph_io.save({"a": np.array([print], object)}, tmp_path)


@pytest.mark.weights
def test_real_file_gives_the_same_in_the_sandbox(lite0_files: Callable[[], dict[str, Path]]) -> None:
    (path,) = lite0_files().values()
    inside, outside = sandbox.read("pytorch", [path]), pytorch.read(path)
    assert isinstance(inside, dict)
    assert list(inside) == list(outside)
    assert all(np.array_equal(inside[name], outside[name]) for name in outside)


def test_graph_of_a_network_definition_is_the_same_in_the_sandbox(tmp_path: Path) -> None:
    from zoo.formats import caffe

    (path, *_) = sorted(GOLDEN.glob("caffe/*/*.prototxt"))
    inside, outside = sandbox.read("caffe", [path]), caffe.read(path)
    assert isinstance(inside, Graph)
    assert inside.nodes == outside.nodes
    assert inside.params == outside.params


def test_reader_s_own_error_arrives_as_it_was(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(b"<html>no model</html>")
    for told in (False, True):
        with pytest.raises(FormatError) as outside:
            pytorch.read(path)
        with pytest.raises(FormatError) as inside:
            sandbox.read("pytorch", [path], told=told)
        assert str(inside.value) == str(outside.value)
    with pytest.raises(UsageError, match="unknown format"):
        sandbox.read("nonsense", [path], told=True)
    assert left_in(home) == []


READERS = {
    "memory": "import numpy\ndef read(path, options):\n    return {'a': numpy.ones(1 << 30)}",
    "slow": "import time\ndef read(path, options):\n    time.sleep(60)",
    "busy": "def read(path, options):\n    while True: pass",
    "crash": "import os, signal\ndef read(path, options):\n    os.kill(os.getpid(), signal.SIGSEGV)",
    "exit": "import os\ndef read(path, options):\n    os._exit(7)",
    "bug": "def read(path, options):\n    return {}['no\\nkey']",
    "network": "import socket\ndef read(path, options):\n    socket.create_connection(('127.0.0.1', 9))",
    "program": "import subprocess\ndef read(path, options):\n    subprocess.run(['true'])",
    "shell": "import os\ndef read(path, options):\n    os.system('true')",
    "disk": "import numpy\ndef read(path, options):\n    return {'a': numpy.zeros(3 << 20, 'u1')}",
    "object": "import numpy\ndef read(path, options):\n    return {'a': numpy.array([print], object)}",
    "nothing": "def read(path, options):\n    return None",
    "chatter": "import numpy\ndef read(path, options):\n    print('x' * 9_000_000)\n    return {'a': numpy.ones(1)}",
}


@pytest.fixture
def misbehaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes readers that misbehave importable as modules of zoo.formats, here and in the child."""
    folder = tmp_path / "readers"
    folder.mkdir()
    for name, text in READERS.items():
        (folder / f"bad_{name}.py").write_text(text)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        f"import zoo.formats\nzoo.formats.__path__.append({str(folder)!r})\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(Path(zoo.__file__).parents[1])]))


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        ("memory", "needs more memory than the 2.1 GB it may have"),
        ("slow", "reading took more than 2 s and was stopped"),
        ("busy", "reading took more than 2 s and was stopped"),
        ("crash", "the reader was ended by SIGSEGV"),
        ("exit", "the reader ended with status 7"),
        ("bug", "the reader failed with KeyError: 'no\\\\nkey'"),
        ("network", "the reader tried socket."),
        ("program", "the reader tried subprocess.Popen"),
        ("shell", "the reader tried os.system"),
        ("disk", "the reader failed with OSError: .*File too large"),
        ("object", "an array of object cannot be kept"),
        ("nothing", "the reader failed with AttributeError"),
    ],
)
@pytest.mark.usefixtures("misbehaving")
def test_reader_that_misbehaves_is_one_error_and_leaves_nothing(
    reader: str, message: str, tmp_path: Path, home: Path
) -> None:
    if reader in ("memory", "disk"):
        pytest.importorskip("resource")
    path = tmp_path / "model.bin"
    path.write_bytes(b"x")
    limits = Limits(memory=2_100_000_000, seconds=2 if reader in ("slow", "busy") else 60, disk=2 << 20)
    start = time.monotonic()
    with pytest.raises(FormatError, match=message) as error:
        sandbox.read(f"bad_{reader}", [path], limits=limits)
    assert time.monotonic() - start < 20
    assert "\n" not in str(error.value)
    assert left_in(home) == []


@pytest.mark.usefixtures("misbehaving")
def test_what_a_reader_prints_goes_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert list(sandbox.read("bad_chatter", [tmp_path / "x"], limits=ENOUGH)) == ["a"]  # type: ignore[arg-type]
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("misbehaving")
def test_child_ends_with_its_parent(tmp_path: Path, home: Path) -> None:
    script = "import sys; from pathlib import Path; from zoo import sandbox; sandbox.read('bad_slow', [Path('/x')])"
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        if not children.exists():
            parent.kill()
            pytest.skip("needs /proc")
        child = wait_for(lambda: children.read_text().split())[0]
        wait_for(lambda: list(home.glob("partial/sandbox.*")))
        time.sleep(0.5)
        parent.kill()
    wait_for(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text())
    assert [entry.kind for entry in storage.prune()] == ["leftover"]
    assert list(home.glob("partial/*")) == []


def wait_for(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < end, "waited for 30 seconds"
        time.sleep(0.02)
    return found


def test_child_imports_neither_keras_nor_tensorflow(tmp_path: Path) -> None:
    script = (
        "import sys, zoo.sandbox, zoo.graph_io, zoo.formats, zoo.formats.caffe, zoo.formats.pytorch; "
        "print([name for name in ('keras', 'tensorflow', 'requests', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_memory_that_a_file_claims_cannot_be_had(tmp_path: Path) -> None:
    """The real reader, a real limit: a caffemodel whose values unpack to more than its size."""
    pytest.importorskip("resource")
    path = tmp_path / "big.caffemodel"
    (tmp_path / "net.prototxt").write_text(
        'name: "n" input: "data" input_shape { dim: 1 dim: 1 dim: 1 dim: 1 }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 1 } }\n'
    )
    values = bytes(4 * 40_000_000)
    blob = b"\x2a" + varint(len(values)) + values
    layer = b"\x0a\x02ip" + b"\x3a" + varint(len(blob)) + blob
    path.write_bytes(b"\xa2\x06" + varint(len(layer)) + layer)
    tight = Limits(memory=400 << 20, seconds=60, disk=1 << 30)
    with pytest.raises(FormatError, match=r"net\.prototxt|big\.caffemodel"):
        sandbox.read("caffe", [tmp_path / "net.prototxt", path], limits=tight)


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + struct.pack("B", value & 127 | 128), value >> 7
    return out + struct.pack("B", value)
