"""Arrays that NumPy saved are read without unpickling: their numbers in place, and nothing in a file is executed."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from zoo import architectures
from zoo.errors import FormatError, ZooError
from zoo.formats import mapped
from zoo.formats.numpy import ADVICE, read

KERNEL = np.arange(3 * 3 * 3 * 64, dtype="<f4").reshape(3, 3, 3, 64)
LAYERS = {
    "conv1_1": [KERNEL, np.linspace(-1, 1, 64, dtype="<f4")],
    "fc8": [np.eye(4, 3, dtype="<f4"), np.ones(3, "<f4")],
}


class Python2(pickle._Pickler):
    """Writes strings and bytes alike as Python 2 wrote its strings."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def _string(self, value: Any) -> None:
        raw = value.encode("latin-1") if isinstance(value, str) else value
        short = len(raw) < 256
        self.write((b"U" + bytes([len(raw)]) if short else b"T" + struct.pack("<i", len(raw))) + raw)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = _string


def python2(value: Any) -> bytes:
    stream = io.BytesIO()
    Python2(stream, 2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def npy(content: bytes, header: str = "{'descr': '|O', 'fortran_order': False, 'shape': (), }") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(data: bytes, name: str = "weights.npy") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return save


def message(path: Path) -> str:
    with pytest.raises(ZooError) as caught:
        read(path)
    text = str(caught.value)
    assert path.name in text
    assert text.isprintable()
    return text


# ---------------------------------------------------------------------------------------------------------- sound files


@pytest.mark.parametrize("protocol", ["Python 2", 0, 1, 2, 3, 4])
def test_arrays_in_a_dict_of_lists_are_named_by_the_way_to_them(protocol: Any, saved: Callable[..., Path]) -> None:
    held = np.array(LAYERS)
    found = read(saved(npy(python2(held) if protocol == "Python 2" else pickle.dumps(held, protocol))))
    assert list(found) == ["conv1_1/0", "conv1_1/1", "fc8/0", "fc8/1"]
    for name, array in found.items():
        layer, _, index = name.partition("/")
        np.testing.assert_array_equal(array, LAYERS[layer][int(index)])
        assert array.dtype == np.float32
        assert not array.flags.writeable


@pytest.mark.parametrize("protocol", ["Python 2", 4])
def test_large_arrays_stay_in_the_file(protocol: Any, saved: Callable[..., Path]) -> None:
    held = np.array(LAYERS)
    path = saved(npy(python2(held) if protocol == "Python 2" else pickle.dumps(held, protocol)))
    found = read(path)
    place = mapped.place_of(found["conv1_1/0"])
    assert place is not None
    assert path.read_bytes()[place[1] :].startswith(KERNEL.tobytes())


def test_the_names_are_those_of_the_architecture(saved: Callable[..., Path]) -> None:
    found = read(saved(npy(python2(np.array({"conv1_1": LAYERS["conv1_1"]})))))
    graph = architectures.build("vgg16", "machrisaa")
    assert {name: array.shape for name, array in found.items()} == {
        name: graph.params[name].shape_in_file  # type: ignore[union-attr]
        for name in ("conv1_1/0", "conv1_1/1")
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_an_archive_have_their_members_names(save: Any, tmp_path: Path) -> None:
    nested = np.empty(2, object)
    nested[:] = [KERNEL, {"mean": np.zeros(3)}]
    save(tmp_path / "w.npz", conv1_1_W=KERNEL, note=np.array("by hand"), list=nested)
    found = read(tmp_path / "w.npz")
    assert {name: array.shape for name, array in found.items()} == {
        "conv1_1_W": (3, 3, 3, 64), "list/0": (3, 3, 3, 64), "list/1/mean": (3,),
    }  # fmt: skip
    np.testing.assert_array_equal(found["conv1_1_W"], KERNEL)
    assert (mapped.place_of(found["conv1_1_W"]) is not None) == (save is np.savez)


def test_orders_of_axes_and_bytes_and_empty_arrays_are_kept(tmp_path: Path) -> None:
    arrays = {
        "fortran": np.asfortranarray(KERNEL[0, 0]), "big": KERNEL.astype(">f8"), "empty": np.zeros((0, 3), "<i8"),
        "flags": np.array([True, False]), "half": np.ones((), "<f2"),
    }  # fmt: skip
    np.savez(tmp_path / "plain.npz", **arrays)
    np.save(tmp_path / "dict.npy", np.array(arrays), allow_pickle=True)
    for name in ("plain.npz", "dict.npy"):
        found = read(tmp_path / name)
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[key], array)
            assert found[key].dtype == array.dtype.newbyteorder("=")


# -------------------------------------------------------------------------------------------------------- hostile files


class _Trap:
    def __init__(self, callee: Any, *args: Any) -> None:
        self.call = callee, args

    def __reduce__(self) -> Any:
        return self.call


def test_code_in_the_pickle_is_named_and_never_run(tmp_path: Path, saved: Callable[..., Path]) -> None:
    trap = tmp_path / "executed"
    for protocol in (0, 2, 4):
        text = message(saved(npy(pickle.dumps({"w": _Trap(os.system, f"touch {trap}")}, protocol))))
        assert "system" in text
        assert ADVICE in text
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("w.npy", npy(pickle.dumps(_Trap(os.system, f"touch {trap}"), 2)))
    assert "system" in message(tmp_path / "w.npz")
    assert not trap.exists()


def test_a_type_that_is_not_numpys_own_is_refused(saved: Callable[..., Path]) -> None:
    reconstruct = np.empty(0).__reduce__()[0]
    assert "not numpy's own" in message(
        saved(npy(pickle.dumps({"w": _Trap(reconstruct, np.dtype("f4"), (0,), b"b")}, 2)))
    )


SOUND = npy(python2(np.array(LAYERS)))
FLOATS = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x93NUMPY", "is cut"),
        (b"\x93NUMPY\x09" + bytes(20), "another version"),
        (SOUND[:100], "header is too long"),
        (SOUND[:-2000], "damaged pickle"),
        (SOUND[:140], "damaged pickle"),
        (npy(bytes(16), FLOATS % "4,"), "without a name"),
        (npy(bytes(15), FLOATS % "4,"), "in 15 bytes"),
        (npy(bytes(16), FLOATS % "4294967296, 4294967296"), "in 16 bytes"),
        (npy(b"", FLOATS % "0, 9223372036854775808"), "shape"),
        (npy(b"", FLOATS % "0, 9223372036854775807, 3"), "impossible shape"),
        (npy(bytes(8), FLOATS % "2,".replace("2", "-2")), "does not say what array"),
        (npy(bytes(16), "{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }"), "'<c8'"),
        (npy(bytes(16), "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,), }"), "does not say"),
        (npy(bytes(16), "__import__('os').system('true')"), "does not say what array"),
        (npy(pickle.dumps({"w": 1}, 2)), "no arrays"),
        (npy(pickle.dumps({"w\n": np.ones(2)}, 2)), "no name of an array"),
        (npy(SOUND[128:].replace(struct.pack("<i", KERNEL.nbytes), struct.pack("<i", KERNEL.nbytes - 4), 1)), "pickle"),
        (npy(python2({"w": KERNEL}).replace(b"K\x40", b"K\x41", 1)), "fetch the file again"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_damaged_file_is_refused_in_one_line(saved: Callable[..., Path], data: bytes, words: str) -> None:
    assert words in message(saved(data))


def test_a_list_held_a_thousand_times_does_not_multiply(saved: Callable[..., Path]) -> None:
    shared = [np.ones(2)] * 1000
    assert "one of too many" in message(saved(npy(pickle.dumps({str(key): shared for key in range(1000)}, 2))))


def test_containers_inside_themselves_end(saved: Callable[..., Path]) -> None:
    inside: list[Any] = [np.ones(2)]
    inside.append(inside)
    assert set(read(saved(npy(pickle.dumps({"w": inside}, 2))))) == {"w/0", "w/1/0", "w/1/1/0"}


def test_archives_are_bounded(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "ab":
            archive.writestr(f"{name}.npy", npy(bytes(40 << 20), FLOATS % f"{10 << 20},"))
    assert "refused" in message(tmp_path / "bomb.npz")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("w.npy", npy(bytes(16), FLOATS % "4,"))
        archive.writestr("readme.txt", "")
    assert "is no array" in message(tmp_path / "other.npz")
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        archive.writestr("w.npy", npy(bytes(16), FLOATS % "4,"))
        archive.writestr("v.npy", npy(bytes(16), FLOATS % "4,"))
    (tmp_path / "twice.npz").write_bytes((tmp_path / "twice.npz").read_bytes().replace(b"v.npy", b"w.npy"))
    assert "twice" in message(tmp_path / "twice.npz")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="arrays that NumPy saved"):
        read(tmp_path / "missing.npy")
