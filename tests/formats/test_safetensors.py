"""Safetensors files give the library's numbers; a header that lies about one byte is refused before it is used."""

from __future__ import annotations

import hashlib
import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from zoo import formats
from zoo.errors import FormatError, UnsupportedError, ZooError
from zoo.formats import pytorch
from zoo.formats.safetensors import DTYPES, MAX_HEADER, read, write

SOUND = {
    "b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "a": {"dtype": "U8", "shape": [1, 4], "data_offsets": [8, 12]},
}
NUMBERS = struct.pack("<2f", 1.5, -2) + b"\1\2\3\4"


def packed(header: Any, numbers: bytes = NUMBERS, *, length: int | None = None) -> bytes:
    """A file around a header: JSON's values, or text or bytes to be written as they are."""
    raw = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + numbers


def changed(name: str = "b", **entry: Any) -> dict[str, Any]:
    return {**SOUND, name: {**SOUND[name], **entry}}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "weights.safetensors"
        path.write_bytes(data)
        return path

    return write


def message(path: Path, error: type[ZooError] = FormatError) -> str:
    with pytest.raises(error) as caught:
        read(path)
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    assert len(text) < 500
    return text


# ------------------------------------------------------------------------------------------------------ sound files


def test_every_type_comes_out_as_it_went_in(saved: Callable[[bytes], Path]) -> None:
    arrays = {
        name: np.arange(6).reshape(2, 3).astype(dtype) for name, dtype in DTYPES.items() if name not in ("BF16", "BOOL")
    }
    arrays |= {"BOOL": np.array([True, False]), "scalar": np.array(7, "<f4"), "empty": np.zeros((0, 3), "<f4")}
    found = read(saved(save(arrays, metadata={"format": "pt"})))
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert not found[name].flags.writeable


def test_bfloat16_comes_as_float32(saved: Callable[[bytes], Path]) -> None:
    numbers = np.array([1.0, -2.5, 3e38, 0.0], "<f4")
    bits = (numbers.view("<u4") >> 16).astype("<u2")
    header = {"w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
    found = read(saved(packed(header, bits.tobytes())))["w"]
    assert found.dtype == np.float32
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, (bits.astype("<u4") << 16).view("<f4").reshape(2, 2))


def test_numbers_stay_in_the_file_until_they_are_used(saved: Callable[[bytes], Path]) -> None:
    count = 8 << 20
    path = saved(packed({"w": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}, bytes(4 * count)))
    tracemalloc.start()
    array = read(path)["w"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert array.shape == (count,)
    assert peak < 1 << 20


def test_order_and_prefixes_are_those_of_a_state_dict(saved: Callable[[bytes], Path]) -> None:
    assert list(read(saved(packed(SOUND)))) == ["b", "a"]
    assert list(read(saved(packed({f"module.{name}": entry for name, entry in SOUND.items()})))) == ["b", "a"]
    assert list(read(saved(packed({"module.b": SOUND["b"], "a": SOUND["a"]})))) == ["module.b", "a"]


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin", "w.pth", "w"])
def test_content_tells_the_format_whatever_the_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(packed(SOUND))
    for found in (formats.read(path), formats.read(path, format="pytorch"), pytorch.read(path)):
        assert isinstance(found, dict)
        assert found["b"].tolist() == [1.5, -2]


def test_a_file_of_that_name_but_another_format_is_told(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"<!DOCTYPE html><html>")
    with pytest.raises(FormatError, match=r"not a safetensors file \(first bytes 3c 21"):
        formats.read(path)
    path.write_bytes((Path(__file__).parents[1] / "golden" / "pytorch" / "zip.pth").read_bytes())
    assert "conv.bias" in formats.read(path)


# ---------------------------------------------------------------------------------------------------- damaged headers


DAMAGED = {
    "no header": (b"", "empty"),
    "eight bytes": (struct.pack("<Q", 2), "not a safetensors file"),
    "a header over the limit": (packed(b"{" + b" " * MAX_HEADER + b"}"), "at most 8388608"),
    "a header of 2**63 bytes": (packed(SOUND, length=2**63), "at most 8388608"),
    "a header longer than the file": (packed(SOUND, length=4096), "cut inside the safetensors header"),
    "no object": (packed("[1, 2, 3]"), "not a safetensors file"),
    "no JSON": (packed('{"b": '), "damaged safetensors header"),
    "no UTF-8": (packed(b'{"\xff": 1}'), "damaged safetensors header"),
    "numbers behind the object": (packed("{} 1"), "damaged safetensors header"),
    "nested deep": (packed('{"b":' + "[" * 100_000 + "]" * 100_000 + "}"), "damaged safetensors header"),
    "endless digits": (packed('{"b":' + "9" * 100_000 + "}"), "damaged safetensors header"),
    "a name twice": (packed(json.dumps(SOUND)[:-1] + ', "b": {}}'), "'b' stands twice"),
    "a key twice": (packed(json.dumps(SOUND).replace('"dtype"', '"dtype": "F32", "dtype"', 1)), "'dtype' stands twice"),
    "NaN": (packed(json.dumps(SOUND).replace("[2]", "[NaN]")), "NaN is no JSON"),
    "no tensors": (packed({}, b""), "names no tensors"),
    "metadata alone": (packed({"__metadata__": {"format": "pt"}}, b""), "names no tensors"),
    "metadata that is no object": (packed({**SOUND, "__metadata__": ["pt"]}), "__metadata__"),
    "metadata that is no text": (packed({**SOUND, "__metadata__": {"format": {"a": 1}}}), "__metadata__"),
    "an entry that is no object": (packed({**SOUND, "c": 3}), "expected dtype, shape and data_offsets"),
    "a key missing": (packed({**SOUND, "c": {"dtype": "F32"}}), "expected dtype, shape and data_offsets"),
    "a key too many": (packed(changed(strides=[1])), "expected dtype, shape and data_offsets"),
    "an unknown dtype": (packed(changed(dtype="float32")), "unknown dtype 'float32'"),
    "a dtype that is no text": (packed(changed(dtype=["F32"])), "unknown dtype"),
    "a negative length": (packed(changed(shape=[-2])), "whole numbers from 0 up"),
    "two negative lengths": (packed(changed(shape=[-1, -2])), "whole numbers from 0 up"),
    "a fraction": (packed(changed(shape=[2.0])), "whole numbers from 0 up"),
    "a truth": (packed(changed(shape=[2, True])), "whole numbers from 0 up"),
    "a shape that is no list": (packed(changed(shape=2)), "whole numbers from 0 up"),
    "33 dimensions": (packed(changed(shape=[1] * 32 + [2])), "whole numbers from 0 up"),
    "a product over 2**64": (packed(changed(shape=[2**62, 4, 2])), "its shape needs"),
    "a product that wraps to 2": (packed(changed(shape=[2**32 + 1, 2**32, 2])), "its shape needs"),
    "a zero beside a huge length": (packed(changed(shape=[2**62, 0])), "its shape needs 0 bytes"),
    "a shape too large": (packed(changed(shape=[3])), "its shape needs 12 bytes, its data_offsets hold 8"),
    "a shape too small": (packed(changed(shape=[1])), "its shape needs 4 bytes, its data_offsets hold 8"),
    "three offsets": (packed(changed(data_offsets=[0, 8, 8])), "data_offsets are not"),
    "offsets the wrong way round": (packed(changed(data_offsets=[8, 0])), "data_offsets hold -8"),
    "offsets below 0": (packed(changed(data_offsets=[-8, 0])), "whole numbers from 0 up"),
    "an overlap": (packed(changed("a", data_offsets=[4, 8])), "which overlaps the one before it"),
    "the same bytes twice": (packed({**SOUND, "c": SOUND["b"]}), "which overlaps the one before it"),
    "a hole at the start": (packed(changed("b", dtype="U8", shape=[4], data_offsets=[4, 8])), "which leaves a hole"),
    "a hole between": (packed(changed("a", data_offsets=[9, 13]), NUMBERS + b"\0"), "which leaves a hole"),
    "bytes left over": (packed(SOUND, NUMBERS + b"\0"), "describes 12 bytes of numbers, the file holds 13"),
    "cut by one byte": (packed(SOUND, NUMBERS[:-1]), "describes 12 bytes of numbers, the file holds 11"),
    "offsets outside the file": (packed(changed("a", data_offsets=[2**62, 2**62 + 4])), "leaves a hole"),
    "a name that breaks the line": (packed({"a\nzoo: \x1b[2J": SOUND["a"], "b": SOUND["b"]}), "is no tensor's name"),
    "an endless name": (packed({"a" * 5000: SOUND["a"], "b": SOUND["b"]}), "is no tensor's name"),
    "half a character": (packed(json.dumps(SOUND).replace('"b"', '"\\ud800"')), "is no tensor's name"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_header_is_refused_in_one_line(saved: Callable[[bytes], Path], case: str) -> None:
    data, told = DAMAGED[case]
    assert told in message(saved(data))


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F4", "C64"])
def test_types_no_network_here_has_are_unsupported_and_not_damage(saved: Callable[[bytes], Path], dtype: str) -> None:
    assert f"numbers of type {dtype}" in message(saved(packed(changed(dtype=dtype))), UnsupportedError)


def test_a_hostile_header_takes_little_memory(saved: Callable[[bytes], Path]) -> None:
    path = saved(packed('{"a":[' + ",".join(["[]"] * (MAX_HEADER // 3 - 10)) + "]}"))
    tracemalloc.start()
    message(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 << 20


# -------------------------------------------------------------------------------------------------- beside the library


def library(path: Path) -> dict[str, np.ndarray]:
    with safetensors.safe_open(path, framework="numpy") as file:
        shapes = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
        return {
            # It has no bfloat16 for numpy.
            name: np.empty(part.get_shape(), "V2") if part.get_dtype() == "BF16" else file.get_tensor(name)
            for name, part in shapes.items()
        }


SMALL = st.integers(-1, 13) | st.sampled_from([2**31, 2**32, 2**62, 2**63, 2**64])
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*DTYPES, "F8_E4M3", "f4"]),
        "shape": st.lists(SMALL, max_size=3),
        "data_offsets": st.lists(SMALL, min_size=2, max_size=2) | st.sampled_from([[0, 8], [8, 12], [0, 12], [0, 0]]),
    }
)
FUZZ = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def assert_library_agrees(path: Path) -> None:
    """What zoo reads, the library reads too, with the same numbers; the other way round zoo may be stricter."""
    try:
        found = read(path)
    except ZooError:
        return
    expected = library(path)
    assert set(found) == set(expected)
    for name in found:
        assert found[name].shape == expected[name].shape
        if expected[name].dtype.kind != "V":
            assert found[name].tobytes() == expected[name].tobytes()


@FUZZ
@given(header=st.dictionaries(st.sampled_from(["a", "b", "c"]), ENTRY, max_size=3))
def test_any_header_gives_the_librarys_numbers_or_a_zoo_error(tmp_path: Path, header: dict[str, Any]) -> None:
    (tmp_path / "f").write_bytes(packed(header))
    assert_library_agrees(tmp_path / "f")


@FUZZ
@given(data=st.data())
def test_changed_bytes_give_the_librarys_numbers_or_a_zoo_error(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(packed(SOUND))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    (tmp_path / "f").write_bytes(raw)
    assert_library_agrees(tmp_path / "f")


@pytest.mark.parametrize("part", [1 << 26, 100_000, 1])
def test_what_is_written_is_what_the_library_reads(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.formats.safetensors._PART", part)
    kernel = np.random.default_rng(0).normal(size=(70, 12, 7, 7)).astype(np.float32)
    wide = np.random.default_rng(1).normal(size=(1200, 600)).astype(np.float32)
    arrays = {
        "fc/kernel": kernel.transpose(2, 3, 1, 0),
        "wide/kernel": wide.T,
        "fc/bias": np.zeros(0),
        "n": np.array(7),
    }
    shapes = {"fc/kernel": (588, 70), "wide/kernel": (600, 1200), "fc/bias": (0,), "n": ()}
    digest = write(tmp_path / "x.safetensors", arrays, shapes)
    assert hashlib.sha256((tmp_path / "x.safetensors").read_bytes()).hexdigest() == digest
    found = load_file(tmp_path / "x.safetensors")
    assert {name: array.shape for name, array in found.items()} == shapes
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array.reshape(shapes[name]))
    ours = read(tmp_path / "x.safetensors")
    assert all(np.array_equal(ours[name], found[name]) for name in found)
