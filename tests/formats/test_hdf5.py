"""HDF5 files give their arrays and names; whatever leads out of the file, or claims more than it holds, is refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from zoo import formats
from zoo.errors import FormatError, UnsupportedError, ZooError
from zoo.formats import hdf5

KERNEL = np.arange(24, dtype="<f4").reshape(2, 3, 4)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Returns a function that makes a file with h5py: `fill` gets the open file, which holds one sound dataset."""

    def make(fill: Callable[[Any], Any] = lambda file: None, **options: Any) -> Path:
        path = tmp_path / "weights.h5"
        with h5py.File(path, "w", **options) as file:
            file["conv/kernel:0"] = KERNEL
            fill(file)
        return path

    return make


def message(path: Path, error: type[ZooError] = FormatError) -> str:
    with pytest.raises(error) as caught:
        hdf5.read(path)
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    assert len(text) < 500
    return text


# ------------------------------------------------------------------------------------------------------ sound files


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8", "|i1", "<i2", "<i4", "<i8", "|u1", ">u2", "<u8"])
def test_plain_numbers_come_out_as_they_went_in(made: Callable[..., Path], dtype: str) -> None:
    found = hdf5.read(made(lambda file: file.create_dataset("a/b/c", data=KERNEL.astype(dtype))))
    assert list(found) == ["a/b/c", "conv/kernel:0"] or set(found) == {"a/b/c", "conv/kernel:0"}
    np.testing.assert_array_equal(found["a/b/c"], KERNEL.astype(dtype), strict=True)
    assert not found["a/b/c"].flags.writeable


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_every_layout_gives_the_same_numbers(made: Callable[..., Path], libver: str) -> None:
    numbers = np.random.default_rng(1).normal(size=(50, 70)).astype("<f4")

    def fill(file: Any) -> None:
        file["contiguous"] = numbers
        for name, options in {
            "chunked": {},
            "deflated": {"compression": 6},
            "all": {"compression": 1, "shuffle": True, "fletcher32": True},
            "summed": {"fletcher32": True},
        }.items():
            file.create_dataset(name, data=numbers, chunks=(16, 32), **options)
        file["scalar"] = np.float32(3)
        file["empty"] = np.zeros((0, 3), "<f4")
        compact = h5p.create(h5p.DATASET_CREATE)
        compact.set_layout(h5d.COMPACT)
        space = h5s.create_simple((4,))
        h5d.create(file.id, b"compact", h5t.IEEE_F32LE, space, compact).write(h5s.ALL, h5s.ALL, numbers[0, :4].copy())

    found = hdf5.read(made(fill, libver=libver))
    for name in ("contiguous", "chunked", "deflated", "all", "summed"):
        np.testing.assert_array_equal(found[name], numbers, strict=True)
    assert found["scalar"] == 3
    assert found["empty"].shape == (0, 3)
    np.testing.assert_array_equal(found["compact"], numbers[0, :4], strict=True)


def test_numbers_in_one_piece_are_views_that_outlive_the_file(made: Callable[..., Path]) -> None:
    with hdf5.open(made()) as file:
        assert file.datasets() == ("conv/kernel:0",)
        assert file.groups() == ("", "conv")
        assert file.shape("conv/kernel:0") == (2, 3, 4)
        array = file.array("conv/kernel:0")
    np.testing.assert_array_equal(array, KERNEL)
    assert not array.flags.owndata


def test_names_that_keras_wrote_come_in_its_order(made: Callable[..., Path]) -> None:
    def fill(file: Any) -> None:
        file.attrs["layer_names"] = [b"conv", b"a", "größe".encode()]
        file["conv"].attrs["weight_names"] = np.array([b"conv/kernel:0"])  # as older versions of h5py wrote it
        file["conv"].attrs["empty"] = []
        file["conv/kernel:0"].attrs["parts"] = [b"x"]
        file.attrs["keras_version"] = b"2.1.6"
        file.attrs["model_config"] = '{"a": "b\\nc"}'
        file.attrs["fixed"] = np.bytes_(b"theano")

    with hdf5.open(made(fill)) as file:
        assert file.attribute_strings("", "layer_names") == ["conv", "a", "größe"]
        assert file.attribute_strings("conv", "weight_names") == ["conv/kernel:0"]
        assert file.attribute_strings("conv", "empty") == []
        assert file.attribute_strings("conv/kernel:0", "parts") == ["x"]
        assert file.attribute_strings("", "weight_names") is None
        assert file.attribute_text("", "keras_version") == "2.1.6"
        assert file.attribute_text("", "model_config") == '{"a": "b\\nc"}'
        assert file.attribute_text("", "fixed") == "theano"
        assert file.attribute_text("", "backend") is None


def test_names_too_long_for_one_attribute_are_joined(made: Callable[..., Path]) -> None:
    names = [f"layer_{i}_{'x' * 50}" for i in range(2700)]

    def fill(file: Any) -> None:
        for part in range(3):
            file.attrs[f"layer_names{part}"] = np.array([n.encode() for n in names[part * 900 : (part + 1) * 900]])

    with hdf5.open(made(fill)) as file:
        assert file.attribute_strings("", "layer_names") == names


def test_a_file_that_keras_wrote_is_read(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    model.save(tmp_path / "old.h5")
    model.save_weights(tmp_path / "new.weights.h5")
    kernel = model.get_weights()[0]
    with hdf5.open(tmp_path / "old.h5") as file:
        assert file.attribute_strings("model_weights", "layer_names") == ["dense"]
        (name, _) = file.attribute_strings("model_weights/dense", "weight_names") or ()
        np.testing.assert_array_equal(file.array(f"model_weights/dense/{name}"), kernel)
        assert '"class_name"' in (file.attribute_text("", "model_config") or "")
    assert any(np.array_equal(array, kernel) for array in hdf5.read(tmp_path / "new.weights.h5").values())


# ---------------------------------------------------------------------------------------------------- hostile files


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Another file of the user's, that no model file may reach."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.full(6, 42, "<f4")
    return path


@pytest.mark.parametrize("where", ["leak", "conv/leak", "a/b/c/leak"])
@pytest.mark.parametrize("kind", ["external", "external group", "soft", "dangling"])
def test_links_are_refused_at_any_part_of_a_path(
    made: Callable[..., Path], secret: Path, kind: str, where: str
) -> None:
    target = {
        "external": h5py.ExternalLink(str(secret), "/x"),
        "external group": h5py.ExternalLink(str(secret), "/"),
        "soft": h5py.SoftLink("/conv"),
        "dangling": h5py.SoftLink("/nowhere"),
    }[kind]
    assert f"{where}: a soft, external or doubled link" in message(made(lambda file: file.__setitem__(where, target)))


def test_a_virtual_dataset_is_refused_before_its_sources_are_opened(made: Callable[..., Path], secret: Path) -> None:
    def fill(file: Any) -> None:
        layout = h5py.VirtualLayout((6,), "<f4")
        layout[:] = h5py.VirtualSource(str(secret), "x", (6,))
        file.create_virtual_dataset("leak", layout)

    assert "leak: a virtual dataset" in message(made(fill, libver="latest"))


def test_external_storage_is_refused(made: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "passwords").write_bytes(bytes(24))
    path = made(lambda file: file.create_dataset("leak", (6,), "<f4", external=[(str(tmp_path / "passwords"), 0, 24)]))
    assert "leak: its numbers lie in another file" in message(path)


@pytest.mark.parametrize("target", ["/", "/conv", "/conv/kernel:0"])
def test_an_object_is_reached_once(made: Callable[..., Path], target: str) -> None:
    def fill(file: Any) -> None:
        file.create_group("conv/inner")
        file["conv/inner/again"] = file[target]

    assert "reached before" in message(made(fill))


@pytest.mark.parametrize("options", [{}, {"compression": 9}, {"chunks": (1024, 1024)}])
def test_a_shape_without_numbers_is_refused(made: Callable[..., Path], options: dict[str, Any]) -> None:
    path = made(lambda file: file.create_dataset("bomb", (1 << 20, 1 << 20), "<f4", fillvalue=1, **options))
    assert path.stat().st_size < 10_000
    assert any(told in message(path) for told in ("the file holds 0 of it", "chunks are in the file"))


def test_deflated_zeros_beyond_the_ratio_are_refused(made: Callable[..., Path]) -> None:
    path = made(lambda file: file.create_dataset("bomb", data=np.zeros((5000, 5000), "<f4"), compression=9))
    assert path.stat().st_size < 2_000_000
    assert "would take more memory than 16 times the file" in message(path)


def test_small_constants_may_deflate_as_they_like(made: Callable[..., Path]) -> None:
    path = made(lambda file: file.create_dataset("gamma", data=np.ones((1000, 1000), "<f4"), compression=9))
    assert hdf5.read(path)["gamma"].sum() == 1e6


def test_many_small_bombs_count_together(made: Callable[..., Path]) -> None:
    def fill(file: Any) -> None:
        for i in range(5):
            file.create_dataset(f"bomb{i}", data=np.zeros((2000, 2000), "<f4"), compression=9)

    assert "bomb4: " in message(made(fill))


def test_a_huge_chunk_around_a_small_shape_is_refused(made: Callable[..., Path]) -> None:
    def fill(file: Any) -> None:
        bomb = file.create_dataset("bomb", (2, 2), "<f4", maxshape=(None, None), chunks=(8192, 8192), compression=9)
        bomb.id.write_direct_chunk((0, 0), zlib.compress(bytes(16)))

    assert "would take more memory" in message(made(fill))


@pytest.mark.parametrize("content", [bytes(20_000_000), bytes(60), b"", "garbage"], ids=["bomb", "short", "none", "no"])
def test_a_chunk_inflates_to_its_size_or_not_at_all(made: Callable[..., Path], content: Any) -> None:
    def fill(file: Any) -> None:
        chunk = b"no deflate" if content == "garbage" else zlib.compress(content)
        file.create_dataset("bomb", (256, 256), "<f4", chunks=(256, 256), compression=9).id.write_direct_chunk(
            (0, 0), chunk
        )

    assert "bomb: " in message(made(fill))


def test_a_chunk_is_missing(made: Callable[..., Path]) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("half", (8, 4), "<f4", chunks=(4, 4))[:4] = 1

    assert "half: 1 of 2 chunks are in the file" in message(made(fill))


@pytest.mark.parametrize("options", [{"compression": "lzf"}, {"scaleoffset": 4}])
def test_other_filters_are_unsupported(made: Callable[..., Path], options: dict[str, Any]) -> None:
    path = made(lambda file: file.create_dataset("x", data=np.arange(64), chunks=(8,), **options))
    assert "only shuffle, deflate, fletcher32" in message(path, UnsupportedError)


def test_deflate_twice_is_refused(made: Callable[..., Path]) -> None:
    def fill(file: Any) -> None:
        twice = h5p.create(h5p.DATASET_CREATE)
        twice.set_chunk((16,))
        twice.set_deflate(9)
        twice.set_deflate(9)
        h5d.create(file.id, b"x", h5t.IEEE_F32LE, h5s.create_simple((16,)), twice)

    assert "uses filters (1, 1)" in message(made(fill), UnsupportedError)


@pytest.mark.parametrize(
    "value",
    [
        np.array([b"text"]),
        np.array(["variable"], h5py.string_dtype()),
        np.array([True]),
        np.array([1 + 2j]),
        np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")]),
        np.zeros(2, "V16"),
        h5py.Empty("f4"),
    ],
    ids=["fixed text", "text", "bool", "complex", "compound", "opaque", "null"],
)
def test_only_plain_numbers_are_read(made: Callable[..., Path], value: Any) -> None:
    assert "x: " in message(made(lambda file: file.__setitem__("x", value)))


def test_references_are_refused(made: Callable[..., Path]) -> None:
    assert "x: numbers of a type" in message(made(lambda file: file.create_dataset("x", (1,), h5py.ref_dtype)))


def test_named_types_are_refused(made: Callable[..., Path]) -> None:
    assert "x: neither a group nor a dataset" in message(made(lambda file: file.__setitem__("x", np.dtype("f4"))))


def test_deep_nesting_is_refused(made: Callable[..., Path]) -> None:
    path = made(lambda file: file.create_group("/".join("a" * 31)))
    assert hdf5.read(path)
    with h5py.File(path, "a") as file:
        file.create_group("/".join("a" * 32))
    assert "nested more than 32 deep" in message(path)


def test_too_many_objects_are_refused(made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "MAX_OBJECTS", 50)  # h5py takes a minute for the real number
    assert "more than 50 objects" in message(made(lambda file: [file.create_group(f"g{i}") for i in range(60)]))


@pytest.mark.parametrize("name", ["a\nb", "x" * 600, "\x1b[2J"])
def test_names_that_break_a_message_are_refused(made: Callable[..., Path], name: str) -> None:
    assert "is no name" in message(made(lambda file: file.create_group(name)))


def test_datasets_laid_over_each_other_are_refused(made: Callable[..., Path]) -> None:
    def fill(file: Any) -> None:
        file["a"], file["b"] = np.full(5000, 1, "<f4"), np.full(5000, 2, "<f4")

    path = made(fill)
    with h5py.File(path) as file:
        first, second = (struct.pack("<Q", file[name].id.get_offset()) for name in "ab")
    data = path.read_bytes()
    assert data.count(second + struct.pack("<Q", 20000)) == 1
    # Alone this only makes b another name for a's bytes; the sum over all datasets is what is bounded.
    path.write_bytes(data.replace(second, first)[: 20000 + len(data) - 40000])
    message(path)


def test_a_shape_larger_than_its_bytes_is_refused(made: Callable[..., Path]) -> None:
    path = made(lambda file: file.create_dataset("a", data=np.zeros(5003, "<f4")))
    data = path.read_bytes()
    assert data.count(struct.pack("<Q", 5003)) >= 1
    path.write_bytes(data.replace(struct.pack("<Q", 5003), struct.pack("<Q", 2**40)))
    message(path)


@pytest.mark.parametrize(
    ("value", "error", "told"),
    [
        (3, FormatError, "expected a list of names"),
        ([1, 2], FormatError, "expected a list of names"),
        ("text", FormatError, "expected a list of names"),
        ([[b"a"], [b"b"]], FormatError, "expected a list of names"),
        (np.array([b"\xff\xfe"]), FormatError, "is no UTF-8"),
        ([b"\xff\xfe"], FormatError, "is no UTF-8"),
        ([b"a\nb"], FormatError, "is no name"),
        ([b"x" * 600], FormatError, "is no name"),
        (np.zeros(40_000, "S60"), FormatError, "takes more than 1048576 bytes"),
        (h5py.Empty("S3"), FormatError, "expected a list of names"),
    ],
    ids=range(10),
)
def test_a_damaged_list_of_names_is_refused(
    made: Callable[..., Path], value: Any, error: type[ZooError], told: str
) -> None:
    path = made(lambda file: file.attrs.__setitem__("layer_names", value), libver="latest")
    with hdf5.open(path) as file, pytest.raises(error, match=f"weights.h5: @layer_names: .*{told}"):
        file.attribute_strings("", "layer_names")


def test_many_names_that_are_one_long_text_are_refused(made: Callable[..., Path]) -> None:
    def fill(file: Any) -> None:
        file.attrs["model_config"] = "x" * (8 << 20)
        file.attrs["layer_names"] = ["a"] * 3000
        file.attrs["few_names"] = ["a"] * 300

    with hdf5.open(made(fill)) as file:
        assert file.attribute_strings("", "few_names") == ["a"] * 300
        with pytest.raises(FormatError, match="its names could take more than"):
            file.attribute_strings("", "layer_names")


@pytest.mark.parametrize(
    ("at", "wrong", "told"),
    [
        (40, bytes(16), "is damaged"),
        (8, struct.pack("<Q", 2**40), "is cut"),
        (24, struct.pack("<Q", 5000), "is damaged"),
    ],
    ids=["free space without size", "heap beyond the file", "text beyond the heap"],
)
def test_a_damaged_heap_of_texts_is_refused(made: Callable[..., Path], at: int, wrong: bytes, told: str) -> None:
    path = made(lambda file: file.attrs.__setitem__("layer_names", ["a"]))
    data = path.read_bytes()
    at += data.index(b"GCOL")
    path.write_bytes(data[:at] + wrong + data[at + len(wrong) :])
    with hdf5.open(path) as file, pytest.raises(FormatError, match=told):
        file.attribute_strings("", "layer_names")


@pytest.mark.parametrize("value", [3, ["a", "b"], [b"a"], np.bytes_(b"\xff"), h5py.Empty("S3")])
def test_a_text_that_is_none_is_refused(made: Callable[..., Path], value: Any) -> None:
    with (
        hdf5.open(made(lambda file: file.attrs.__setitem__("model_config", value))) as file,
        pytest.raises(FormatError, match="@model_config: "),
    ):
        file.attribute_text("", "model_config")


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"", "empty"), (b"<html>", "not an HDF5 file"), (hdf5.MAGIC + bytes(200), "damaged HDF5")],
)
def test_what_is_no_hdf5_is_told(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "x.h5").write_bytes(data)
    assert told in message(tmp_path / "x.h5")


def test_a_user_block_is_refused(made: Callable[..., Path], tmp_path: Path) -> None:
    path = made(userblock_size=512)
    assert "not an HDF5 file" in message(path)
    path.write_bytes(hdf5.MAGIC + path.read_bytes()[8:])
    message(path)


@pytest.mark.parametrize("keep", [0.99, 0.5, 0.1])
def test_a_file_cut_short_is_refused(made: Callable[..., Path], keep: float) -> None:
    path = made(lambda file: file.create_dataset("a", data=np.zeros(5000)))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    message(path)


def test_what_is_missing_is_named(made: Callable[..., Path], tmp_path: Path) -> None:
    with hdf5.open(made()) as file, pytest.raises(FormatError, match="holds no dataset 'gone'; it holds 1 others"):
        file.array("gone")
    message(tmp_path / "gone.h5")


def test_a_file_without_a_network_gives_its_arrays(made: Callable[..., Path]) -> None:
    found = formats.read(made())
    assert isinstance(found, dict)
    assert list(found) == ["conv/kernel:0"]
