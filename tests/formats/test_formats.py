"""Files are told apart by what they hold; what belongs to no model is refused with what does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo import formats
from zoo.errors import FormatError, UsageError
from zoo.formats import Options

PROTOTXT = b'name: "net"\nlayer { name: "a" }'
SYMBOL = b'\n{"nodes": [], "heads": []}'
PARAMS = b"\x12\x01" + bytes(30)
ONNX = b"\x08\x08\x12\x07pytorch"
SAVED_MODEL = b"\x08\x01\x12\x05abcde"
GRAPH_DEF = b"\x0a\x0c\x0a\x04data\x12\x04Noop"
CAFFEMODEL = b"\x0a\x03net\xa2\x06\x03\x0a\x01a"
PICKLE = b"\x80\x02}q\x00."
NPY = b"\x93NUMPY\x01\x00"
NPZ = b"PK\x03\x04" + bytes(22) + b"\x07\x00\x00\x00" + b"fc6.npy"
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(90)
ARCHIVE = b"PK\x03\x04" + bytes(26) + b"metadata.json"
T7 = b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1"


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], Options]]:
    """Stands in for the readers; keeps what they were asked for."""
    asked: list[tuple[str, list[str], Options]] = []

    class Reader:
        def __init__(self, name: str) -> None:
            self.name = name.rpartition(".")[2]

        def read(self, *files: Path, options: Options | None = None) -> dict[str, np.ndarray]:
            asked.append((self.name, [path.name for path in files], options or Options()))
            return {}

    monkeypatch.setattr(formats.importlib, "import_module", Reader)
    return asked


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., list[Path]]:
    def make(**files: bytes) -> list[Path]:
        paths = [tmp_path / name.replace("__", ".") for name in files]
        for path, data in zip(paths, files.values(), strict=True):
            path.write_bytes(data)
        return paths

    return make


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a__txt": PROTOTXT, "b": CAFFEMODEL}, ("caffe", ["a.txt", "b"])),
        ({"b__caffemodel": CAFFEMODEL, "a__prototxt": PROTOTXT}, ("caffe", ["a.prototxt", "b.caffemodel"])),
        ({"a__prototxt": PROTOTXT}, ("caffe", ["a.prototxt"])),
        ({"p": PARAMS, "s": SYMBOL}, ("mxnet", ["s", "p"])),
        ({"x-0000__params": b"??", "x-symbol__json": SYMBOL}, ("mxnet", ["x-symbol.json", "x-0000.params"])),
        ({"p__params": PARAMS}, ("gluon", ["p.params"])),
        ({"x": ONNX}, ("onnx", ["x"])),
        ({"x__onnx": b"\x3a\x02"}, ("onnx", ["x.onnx"])),
        ({"x__pb": GRAPH_DEF}, ("tensorflow", ["x.pb"])),
        ({"saved": SAVED_MODEL}, ("tensorflow", ["saved"])),
        ({"x__t7": T7}, ("torch7", ["x.t7"])),
        ({"x__t7": b"4\n1\n3\nV 1\n"}, ("torch7", ["x.t7"])),
        ({"x": PICKLE}, ("pytorch", ["x"])),
        ({"x__pth": PICKLE}, ("pytorch", ["x.pth"])),
        ({"x": NPY}, ("numpy", ["x"])),
        ({"x": NPZ}, ("numpy", ["x"])),
        ({"x__npz": b"??"}, ("numpy", ["x.npz"])),
        ({"x": HDF5}, ("keras", ["x"])),
        ({"x__keras": ARCHIVE}, ("keras", ["x.keras"])),
        ({"x": ARCHIVE}, ("keras", ["x"])),
        ({"x__zip": ARCHIVE.replace(b"metadata.json", b"archive/data.")}, ("pytorch", ["x.zip"])),
        ({"a__prototxt": PROTOTXT, "b__caffemodel__h5": HDF5}, ("caffe", ["a.prototxt", "b.caffemodel.h5"])),
    ],
)
def test_files_are_told_apart_and_put_in_order(
    files: dict[str, bytes], expected: tuple[str, list[str]], made: Callable[..., list[Path]], readers: list[Any]
) -> None:
    formats.read(made(**files))
    assert [asked[:2] for asked in readers] == [expected]


def test_a_saved_model_is_a_folder(tmp_path: Path, readers: list[Any]) -> None:
    (tmp_path / "saved_model.pb").write_bytes(SAVED_MODEL)
    formats.read(tmp_path)
    assert readers[0][:2] == ("tensorflow", [tmp_path.name])
    with pytest.raises(UsageError, match="expected files, or a SavedModel"):
        formats.read(tmp_path.parent)


def test_a_file_without_a_mark_is_what_the_format_that_is_given_lacks(
    made: Callable[..., list[Path]], readers: list[Any]
) -> None:
    formats.read(made(a=PROTOTXT, b=CAFFEMODEL), format="caffe")
    formats.read(made(s=SYMBOL, b=CAFFEMODEL), format="mxnet")
    formats.read(made(b=CAFFEMODEL), format="torch7")
    assert [asked[:2] for asked in readers] == [("caffe", ["a", "b"]), ("mxnet", ["s", "b"]), ("torch7", ["b"])]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"b__caffemodel": CAFFEMODEL}, "caffe is one prototxt file and one caffemodel file"),
        ({"p__params": PARAMS, "q__params": PARAMS}, "gluon is one params file"),
        ({"a": PROTOTXT, "b": PROTOTXT}, "a, b: a model of format caffe is"),
        ({"a": PROTOTXT, "b__pth": PICKLE, "c": CAFFEMODEL}, "a model of format caffe is"),
        ({"x__onnx": ONNX, "y__onnx": ONNX}, "onnx is one onnx file"),
    ],
)
def test_files_that_make_no_model_are_refused(
    files: dict[str, bytes], words: str, made: Callable[..., list[Path]], readers: list[Any]
) -> None:
    with pytest.raises(UsageError, match=words):
        formats.read(made(**files))
    assert readers == []


def test_what_cannot_be_told_is_refused(made: Callable[..., list[Path]], tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"noise: its format cannot be told; give format=, one of: caffe, che"):
        formats.read(made(noise=b"\x01\x02\x03\x04"))
    with pytest.raises(UsageError, match="unknown format 'theano'"):
        formats.read(made(x=b"x"), format="theano")
    with pytest.raises(FormatError, match="cannot be read"):
        formats.read(tmp_path / "none.caffemodel")
    with pytest.raises(UsageError, match="no files given"):
        formats.read([])


def test_weights_without_a_graph_have_no_layer_to_end_at(made: Callable[..., list[Path]]) -> None:
    with pytest.raises(UsageError, match="leave until and input_shape out"):
        formats.read(made(x__pth=PICKLE), options=Options(until="fc7"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.ckpt.index", "its checkpoint cannot be read"),
        ("model.keras", "not an HDF5 file"),
        ("model.h5", "its format cannot be told"),
    ],
)
def test_the_sandbox_tells_what_a_file_of_another_content_is_not(name: str, told: str, tmp_path: Path) -> None:
    """Its readers import libraries that start programs: before that is forbidden, whatever the file holds."""
    from zoo import sandbox

    (tmp_path / name).write_bytes(b"\xfe\xdc not what the name says \x00\x01" * 40)
    with pytest.raises(FormatError, match=told):
        sandbox.read(None, [tmp_path / name], told=True)
