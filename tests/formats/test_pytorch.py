"""PyTorch files are read without PyTorch, give PyTorch's numbers, and execute nothing."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.errors import FormatError, UnsupportedError, ZooError
from zoo.formats import pickles, pytorch, zips
from zoo.formats.pytorch import read

GOLDEN = Path(__file__).parents[1] / "golden" / "pytorch"
SOUND = sorted(path.stem for path in GOLDEN.glob("*.npz"))


def legacy(content: bytes, storages: dict[str, tuple[int, bytes]] | None = None, *, little: bool = True) -> bytes:
    """A legacy file around the pickle of its content; storages: key -> declared elements, bytes."""
    storages = storages or {}
    head = [pickle.dumps(value, 2) for value in (pytorch.MAGIC, pytorch.PROTOCOL, {"little_endian": little})]
    tail = [struct.pack("<q", count) + raw for count, raw in storages.values()]
    return b"".join([*head, content, pickle.dumps(list(storages), 2), *tail])


def zipped(content: bytes, members: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A file as torch.save writes it since 1.6, around the pickle of its content."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in {"data.pkl": content, **(members or {})}.items():
            archive.writestr(f"archive/{name}", data)
    return file.getvalue()


def tensor(
    shape: tuple[Any, ...],
    strides: tuple[Any, ...],
    *,
    offset: Any = 0,
    count: Any = 4,
    key: str = "0",
    kind: str = "FloatStorage",
    view: Any = None,
) -> bytes:
    """The pickle of {"w": tensor} as torch.save writes it, any of its numbers wrong on request."""
    writer = pickle.dumps  # plain values are written by pickle itself, calls and names by hand
    plain = lambda value: writer(value, 2)[2:-1]  # noqa: E731
    part = b"" if view is None else plain(view)
    storage = b"(" + plain("storage") + b"ctorch\n" + kind.encode() + b"\n" + plain(key) + plain("cpu") + plain(count)
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + part + b"tQ" + plain(offset) + plain(shape)
    return b"\x80\x02}" + plain("w") + call + plain(strides) + b"\x89ccollections\nOrderedDict\n)RtRs."


def four(raw: bytes = struct.pack("<4f", 1, 2, 3, 4)) -> dict[str, tuple[int, bytes]]:
    return {"0": (4, raw)}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[bytes], Path]:
    def save(data: bytes) -> Path:
        path = tmp_path / "weights.pth"
        path.write_bytes(data)
        return path

    return save


def message(path: Path, error: type[ZooError] = FormatError) -> str:
    with pytest.raises(error) as caught:
        read(path)
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    assert len(text) < 500
    return text


# ------------------------------------------------------------------------------------------------------ sound files


@pytest.mark.parametrize("name", SOUND)
def test_gives_the_names_types_and_numbers_that_pytorch_sees(name: str) -> None:
    arrays = read(GOLDEN / f"{name}.pth")
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as expected:
        assert list(arrays) == expected.files
        for key in expected.files:
            assert arrays[key].dtype == expected[key].dtype, key
            np.testing.assert_array_equal(arrays[key], expected[key], strict=True)


@pytest.mark.parametrize("name", ["zip", "legacy", "views-legacy", "bfloat16"])
def test_arrays_cannot_be_written_through_to_the_file(name: str) -> None:
    for array in read(GOLDEN / f"{name}.pth").values():
        assert not array.flags.writeable


def test_numbers_stay_in_the_file_until_they_are_used(saved: Callable[[bytes], Path]) -> None:
    count = 8 << 20
    path = saved(legacy(tensor((count,), (1,), count=count), {"0": (count, bytes(4 * count))}))
    tracemalloc.start()
    array = read(path)["w"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert array.shape == (count,)
    assert peak < path.stat().st_size * 3  # the pickle's part of the file is copied once, the numbers never
    assert array.base is not None


def test_a_storage_shared_by_tensors_is_held_once() -> None:
    arrays = read(GOLDEN / "views.pth")
    assert np.shares_memory(arrays["whole"], arrays["transposed"])


def test_part_of_a_storage_as_pytorch_0_shared_it(saved: Callable[[bytes], Path]) -> None:
    path = saved(legacy(tensor((2,), (1,), view=("1", 1, 3), offset=1), four()))
    assert read(path)["w"].tolist() == [3.0, 4.0]


def test_python_2_wrote_ordered_dicts_as_pairs(saved: Callable[[bytes], Path]) -> None:
    key_and_value = tensor((4,), (1,))[3:-2]
    path = saved(legacy(b"\x80\x02ccollections\nOrderedDict\n(](" + key_and_value + b"tatR.", four()))
    assert read(path)["w"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_an_averaged_model_wins_over_the_raw_one() -> None:
    raw, averaged = read(GOLDEN / "zip.pth"), read(GOLDEN / "ema.pth")
    assert list(raw) == list(averaged)
    assert not np.array_equal(raw["conv.bias"], averaged["conv.bias"])


def test_reading_needs_no_pytorch_keras_or_pillow() -> None:
    code = (
        "import sys; from zoo.formats.pytorch import read; read(sys.argv[1]);"
        "print([m for m in ('torch', 'keras', 'tensorflow', 'PIL', 'requests') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(GOLDEN / "zip.pth")], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


# ---------------------------------------------------------------------------------------------------- hostile files


class Runs:
    """What an attacker saves: unpickling it calls the function."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("container", [legacy, zipped])
def test_code_in_a_file_is_named_and_never_run(
    saved: Callable[[bytes], Path], tmp_path: Path, container: Callable[[bytes], bytes], protocol: int
) -> None:
    trap = tmp_path / "executed"
    path = saved(container(pickle.dumps({"w": Runs(os.system, f"touch {trap}")}, protocol)))
    text = message(path)
    assert f"{os.system.__module__}.system" in text
    assert "nothing was executed" in text
    assert not trap.exists()


def test_a_name_hidden_in_the_memo_is_still_seen(saved: Callable[[bytes], Path]) -> None:
    content = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x9400h\x00h\x01\x93\x8c\x02id\x85R."
    assert "os.system" in message(saved(legacy(content)))


@pytest.mark.parametrize(
    "call",
    [
        b"cbuiltins\neval\n(X\x01\x00\x00\x001tR",
        b"cbuiltins\ngetattr\n(ctorch\nSize\nX\x08\x00\x00\x00__init__tR",
        b"(X\x02\x00\x00\x00idios\nsystem\n",
        b"(cos\nsystem\nX\x02\x00\x00\x00ido",
        b"ctorch\nFloatStorage\n(tR",
        b"ctorch\nSize\n)\x81",
        b"X\x04\x00\x00\x00text)R",
        b"\x82\x01",
        b"Pname\n",
    ],
    ids=["eval", "getattr", "INST", "OBJ", "a type", "NEWOBJ", "a text", "EXT1", "PERSID"],
)
def test_nothing_can_be_called(saved: Callable[[bytes], Path], call: bytes) -> None:
    message(saved(zipped(b"\x80\x02" + call + b".")))


def test_a_name_from_a_file_cannot_break_the_line(saved: Callable[[bytes], Path]) -> None:
    name = "evil\nzoo: all is well\x1b[2J" + "x" * 5000
    path = saved(
        legacy(b"\x80\x04" + b"".join(b"X" + struct.pack("<I", len(t)) + t for t in (b"m", name.encode())) + b"\x93.")
    )
    assert "\x1b" not in message(path)


def test_state_given_to_an_ordered_dict_is_dropped(saved: Callable[[bytes], Path]) -> None:
    state = b"}X\x07\x00\x00\x00__doc__X\x01\x00\x00\x00xs"
    content = tensor((4,), (1,))[:-1] + state + b"b."
    assert list(read(saved(legacy(content, four())))) == ["w"]


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02" + b"]" * 3_000_000 + b".",
        b"\x80\x02" + b"(" * 3_000_000 + b".",
        b"\x80\x02]q\x00" + b"h\x00" * 3_000_000 + b".",
        b"\x80\x02)" + b"\x85" * 1_900_000 + b".",
        b"\x80\x02}(" + b")" + b"\x85" * 1_000_000 + b"K\x01u.",
        b"\x80\x02](" + b"]" * 900_000 + b"eq\x00" + b"ccollections\nOrderedDict\n(h\x00tR" * 100 + b".",
        b"\x80\x02r\xff\xff\xff\xffN.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b".",
        b"L" + b"9" * 100_000 + b"L\n.",
        b"}q\x00X\x0a\x00\x00\x00state_dicth\x00s.",
    ],
    ids=["lists", "marks", "memo", "deep", "deep key", "pairs", "put", "long", "text", "digits", "loop"],
)
def test_bombs_end_soon_and_small(saved: Callable[[bytes], Path], content: bytes) -> None:
    text = message(saved(legacy(content)))
    assert "Traceback" not in text


# ------------------------------------------------------------------------------------- tensors outside their storage


@pytest.mark.parametrize("container", ["legacy", "zip"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (5,), "strides": (1,)},
        {"shape": (2, 2), "strides": (3, 1)},
        {"shape": (4,), "strides": (1,), "offset": 1},
        {"shape": (4,), "strides": (-1,)},
        {"shape": (-4,), "strides": (1,)},
        {"shape": (4,), "strides": (1,), "offset": -1},
        {"shape": (2**62, 2**62), "strides": (1, 1)},
        {"shape": (2,), "strides": (2**62,)},
        {"shape": (0, 2**62), "strides": (1, 1)},
        {"shape": (2**100,), "strides": (1,)},
        {"shape": (4,), "strides": (1,), "offset": 2**62},
        {"shape": (4, 4), "strides": (1, 0)},
        {"shape": (3, 3), "strides": (1, 0)},
        {"shape": (4,), "strides": (1, 1)},
        {"shape": (1,) * 40, "strides": (1,) * 40},
        {"shape": (4.0,), "strides": (1,)},
        {"shape": (True,), "strides": (1,)},
        {"shape": ("4",), "strides": (1,)},
        {"shape": (4,), "strides": (1,), "count": 5},
        {"shape": (4,), "strides": (1,), "count": -4},
        {"shape": (4,), "strides": (1,), "count": 2**70},
        {"shape": (4,), "strides": (1,), "kind": "DoubleStorage"},
        {"shape": (4,), "strides": (1,), "key": "1"},
        {"shape": (4,), "strides": (1,), "key": "../data.pkl"},
        {"shape": (4,), "strides": (1,), "view": ("1", 2, 3)},
        {"shape": (4,), "strides": (1,), "view": ("1", -1, 4)},
    ],
    ids=str,
)
def test_a_tensor_reaches_nothing_but_its_own_storage(
    saved: Callable[[bytes], Path], container: str, wrong: dict[str, Any]
) -> None:
    raw = struct.pack("<4f", 1, 2, 3, 4)
    content = tensor(**wrong)
    path = saved(legacy(content, four(raw)) if container == "legacy" else zipped(content, {"data/0": raw}))
    message(path)


def test_the_same_tensor_described_rightly_is_read(saved: Callable[[bytes], Path]) -> None:
    raw = struct.pack("<4f", 1, 2, 3, 4)
    content = tensor((2, 2), (1, 2))
    for data in (legacy(content, four(raw)), zipped(content, {"data/0": raw, "byteorder": b"little"})):
        assert read(saved(data))["w"].tolist() == [[1, 3], [2, 4]]


def test_a_stride_that_is_never_walked_may_be_anything(saved: Callable[[bytes], Path]) -> None:
    path = saved(legacy(tensor((1, 4), (2**62, 1)), four()))
    assert read(path)["w"].tolist() == [[1, 2, 3, 4]]


# ------------------------------------------------------------------------------------------------------ other files


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        (b"\x1f\x8b\x08" + bytes(64), "gzip"),
        (struct.pack("<Q", 20) + b'{"w":{"dtype":"F32"}}', "safetensors"),
        (b"weights.bin".ljust(257, b"\0") + b"ustar" + bytes(300), "tar"),
        (b"PK\x03\x04" + bytes(100), "damaged zip"),
        (b"\x80\x02K\x01.", "not a PyTorch file"),
        (b"\x80\x02", "damaged pickle"),
        (bytes(100), "not a PyTorch file"),
        (zipped(b"", {"x": b""}).replace(b"data.pkl", b"date.pkl"), "data.pkl"),
        (zipped(b"\x80\x02}.", compression=zipfile.ZIP_DEFLATED), "compressed"),
        (zipped(b"\x80\x02}.", {"byteorder": b"big"}), "big-endian"),
        (legacy(b"\x80\x02}.", little=False), "big-endian"),
        (pickle.dumps(pytorch.MAGIC, 2) + pickle.dumps(1000, 2), "1001"),
        (legacy(b"\x80\x02}."), "no tensors"),
        (legacy(b"\x80\x02]."), "list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_state_dict_is_told_apart(saved: Callable[[bytes], Path], data: bytes, words: str) -> None:
    assert words in message(saved(data))


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("torchscript", UnsupportedError, "TorchScript"),
        ("sparse", UnsupportedError, "sparse"),
        ("complex", UnsupportedError, "ComplexFloatStorage"),
        ("float8", UnsupportedError, "float8_e4m3fn"),
        ("expanded", UnsupportedError, "contiguous"),
        ("module", FormatError, "torch.nn.modules.linear.Linear"),
        ("tensor", FormatError, "not a dict"),
        ("nothing", FormatError, "epoch, arch"),
    ],
)
def test_sound_files_that_zoo_cannot_use_say_why(name: str, error: type[ZooError], words: str) -> None:
    assert words in message(GOLDEN / f"refused-{name}.pth", error)


def test_a_path_without_a_file_is_an_error(tmp_path: Path) -> None:
    message(tmp_path / "missing.pth")
    message(tmp_path)


def test_members_laid_over_each_other_are_refused(saved: Callable[[bytes], Path]) -> None:
    data = bytearray(zipped(tensor((4,), (1,)), {"data/0": bytes(16), "data/1": bytes(400)}))
    entries = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]
    data[entries[1] + 20 : entries[1] + 28] = struct.pack("<II", 400, 400)
    message(saved(bytes(data)))


def test_a_zip_with_a_huge_directory_is_refused_unread(saved: Callable[[bytes], Path]) -> None:
    size = zips.MAX_DIRECTORY + 46
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 9, 9, size, 4, 0)
    path = saved(b"PK\x03\x04" + bytes(size) + end)
    assert "list of members" in message(path)


# ------------------------------------------------------------------------------------------------------------- fuzz

SEEDS = [(GOLDEN / f"{name}.pth").read_bytes() for name in ("zip", "legacy", "checkpoint-legacy", "bfloat16", "views")]
RELAXED = settings(
    max_examples=400,
    deadline=2000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["set", "cut", "drop", "put", "double"]))
        if kind == "set":
            data[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "put":
            data[at:at] = draw(st.binary(max_size=12))
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 200))]
    return bytes(data)


def only_zoo_errors(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        arrays = read(path)
    except ZooError:
        return
    for array in arrays.values():
        assert array.nbytes <= 2 * len(data)
        array.tobytes()


@RELAXED
@given(data=mutations())
def test_damaged_files_give_arrays_or_one_clear_error(tmp_path: Path, data: bytes) -> None:
    only_zoo_errors(tmp_path / "fuzz.pth", data)


PIECES = st.sampled_from(
    [code.code.encode("latin-1") for code in pickletools.opcodes]
    + [
        b"ccollections\nOrderedDict\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch\nFloatStorage\n",
        b"K\x01",
        b"q\x00",
    ]
    + [b"h\x00", b"X\x01\x00\x00\x00w", b"X\x07\x00\x00\x00storage", b")", b"(", b"t", b"R", b"s", b"}", b"]", b"Q"]
)


@RELAXED
@given(program=st.lists(PIECES | st.binary(max_size=3), max_size=60))
def test_random_pickle_programs_give_one_clear_error(tmp_path: Path, program: list[bytes]) -> None:
    only_zoo_errors(tmp_path / "fuzz.pth", legacy(b"\x80\x02" + b"".join(program) + b"."))


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner)
)


@settings(max_examples=100, deadline=2000, derandomize=True)
@given(value=VALUES, protocol=st.integers(0, 5))
def test_plain_values_come_out_as_they_went_in(value: Any, protocol: int) -> None:
    assert pickles.load(io.BytesIO(pickle.dumps(value, protocol)), where="x", allowed={}) == value
