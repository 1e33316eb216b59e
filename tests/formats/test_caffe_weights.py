"""Weights of all of Caffe's generations and forks; damaged and hostile files give one clear line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from caffe_nets import (
    CONV,
    GOLDEN,
    HEAD,
    RNG,
    WEIGHTS,
    caffemodel,
    ops,
    read,
)

from zoo import formats
from zoo.errors import FormatError
from zoo.formats import caffe
from zoo.formats.caffe import schema
from zoo.formats.mapped import place_of
from zoo.graph import Graph

# Weights


@pytest.mark.parametrize("number", ["float", "double"])
def test_numbers_may_come_one_by_one_and_in_double_precision(tmp_path: Path, number: str) -> None:
    field = {"float": "data* 5 float", "double": "data* 8 double"}[number]  # without [packed]: a tag before each
    tables = {**schema.BINARY, "Blob": ("shape 7 BlobShape", field)}
    expected = read(tmp_path, HEAD + CONV, WEIGHTS)
    (tmp_path / "other.caffemodel").write_bytes(caffemodel(WEIGHTS, tables).SerializeToString())
    graph = caffe.read(tmp_path / "net.prototxt", tmp_path / "other.caffemodel")
    for name, array in expected.params.items():
        assert graph.params[name].dtype == np.float32
        assert np.array_equal(graph.params[name], array)


@pytest.mark.parametrize(("kind", "dtype"), [(0, "<f8"), (1, "<f4"), (2, "<f2"), (None, "<f4")])
def test_nvidias_raw_numbers(tmp_path: Path, kind: int | None, dtype: str) -> None:
    graph = read(tmp_path, HEAD + CONV, WEIGHTS)
    net = caffemodel(WEIGHTS)
    for blob in net.layer[0].blobs:
        blob.raw_data = np.frombuffer(b"".join(blob.data), "<f4").astype(dtype).tobytes()
        del blob.data[:]
        if kind is not None:
            blob.half_data.append(kind)  # the same number of field, packed or not
    (tmp_path / "other.caffemodel").write_bytes(net.SerializeToString())
    halves = caffe.read(tmp_path / "net.prototxt", tmp_path / "other.caffemodel")
    for name, array in graph.params.items():
        assert halves.params[name].dtype == np.float32
        assert np.array_equal(halves.params[name], array.astype(dtype).astype(np.float32))


def test_halves_written_as_integers(tmp_path: Path) -> None:
    net = caffemodel({"conv": []})
    for array in WEIGHTS["conv"]:
        blob = net.layer[0].blobs.add(half_data=array.astype("<f2").view("<u2").ravel().tolist())
        blob.shape.dim.extend(array.shape)
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    graph = caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    assert np.array_equal(graph.params["conv/0"], WEIGHTS["conv"][0].astype("<f2").astype(np.float32))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"raw_data": bytes(432), "half_data": [3]}, "blob 0: raw_data_type 3 holds no floating-point numbers"),
        ({"raw_data": bytes(431), "half_data": [1]}, "blob 0: its numbers end within one"),
        ({"raw_data": bytes(430), "half_data": [2]}, "blob 0: its shape .* needs 108 numbers, the file holds 215"),
        ({"half_data": [65536] * 108}, "blob 0: its half-precision numbers have more than 16 bits"),
        ({"half_data": [1] * 107}, "blob 0: its shape .* needs 108 numbers"),
    ],
)
def test_damaged_numbers_of_forks_are_refused(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    net = caffemodel({"conv": []})
    net.layer[0].blobs.add(**fields).shape.dim.extend([4, 3, 3, 3])
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    with pytest.raises(FormatError, match=told):
        caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")


def test_a_mean_image_is_channels_height_width(tmp_path: Path) -> None:
    image = RNG.uniform(0, 255, (3, 5, 4)).astype(np.float32)
    blob: Any = schema.messages("test_mean", schema.BINARY)["Blob"]()
    blob.num, blob.channels, blob.height, blob.width = 1, 3, 5, 4
    blob.data.append(image.tobytes())
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(blob.SerializeToString())
    assert np.array_equal(caffe.mean(path), image)
    blob.shape.dim.extend([3, 5, 4])
    path.write_bytes(blob.SerializeToString())
    assert np.array_equal(caffe.mean(str(path)), image)
    assert caffe.mean(path).dtype == np.float32


def test_what_is_no_mean_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    blob: Any = schema.messages("test_no_mean", schema.BINARY)["Blob"]()
    blob.num, blob.channels, blob.height, blob.width = 2, 3, 1, 1
    blob.data.append(bytes(24))
    path.write_bytes(blob.SerializeToString())
    with pytest.raises(FormatError, match=r"^mean\.binaryproto: holds an array of shape \(2, 3, 1, 1\); expected one"):
        caffe.mean(path)
    blob.channels = 1 << 30
    path.write_bytes(blob.SerializeToString())
    with pytest.raises(FormatError, match=r"needs 2,147,483,648 numbers, the file holds 6"):
        caffe.mean(path)
    path.write_bytes(b"\xff" * 20)
    with pytest.raises(FormatError, match=r"^mean\.binaryproto: is no mean image, or is cut short"):
        caffe.mean(path)
    with pytest.raises(FormatError, match="cannot be read"):
        caffe.mean(tmp_path / "none")


def test_packed_numbers_may_come_in_pieces(tmp_path: Path) -> None:
    net = caffemodel(WEIGHTS)
    whole = net.layer[0].blobs[0].data.pop()
    net.layer[0].blobs[0].data.extend([whole[:100], whole[100:]])
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    graph = caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    assert np.array_equal(graph.params["conv/0"], WEIGHTS["conv"][0].astype(np.float32))


def test_arrays_stay_where_they_lie_in_the_file(tmp_path: Path) -> None:
    graph = read(tmp_path, HEAD + CONV, WEIGHTS)
    raw = (tmp_path / "net.caffemodel").read_bytes()
    for i, array in enumerate(WEIGHTS["conv"]):
        assert place_of(graph.params[f"conv/{i}"]) == (
            tmp_path / "net.caffemodel",
            raw.index(array.astype("<f4").tobytes()),
        )


def test_a_file_of_endless_small_fields_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    for raw in (b"\x08\x01" * 5000, b"\xa2\x06\x04\x08\x01\x08\x01" * 2000, b"\xa2\x06\0" * 2000):
        monkeypatch.setattr("zoo.formats.caffe.weights._MAX_FIELDS", 4000)
        monkeypatch.setattr("zoo.formats.caffe.weights._MAX_LAYERS", 1500)
        (tmp_path / "many.caffemodel").write_bytes(raw)
        with pytest.raises(FormatError, match=r"^many\.caffemodel: (is no caffemodel: it has|holds) more than"):
            caffe.read(tmp_path / "net.prototxt", tmp_path / "many.caffemodel")
        (tmp_path / "many.caffemodel").unlink()


def test_what_the_network_does_not_use_is_named_with_the_reason(tmp_path: Path) -> None:
    blobs = {"conv": [*WEIGHTS["conv"], np.zeros(7)], "conv6": [np.zeros((2, 5))]}
    assert read(tmp_path, HEAD + CONV, blobs).unused == {
        "conv/2": "the layer takes 2 blobs in net.prototxt",
        "conv6/0": "net.prototxt has no such layer",
    }


@pytest.mark.parametrize(
    ("blobs", "told"),
    [
        ({}, "holds no layers"),
        ({"other": [np.zeros(2)]}, r"lacks weights that net\.prototxt needs: conv \(blob 0, \(4, 3, 3, 3\)\), conv"),
        ({"conv": WEIGHTS["conv"][:1]}, r"lacks weights .*conv \(blob 1, \(4,\)\)"),
        ({"conv": [np.zeros((3, 4, 3, 3)), np.zeros(4)]}, r"blob 0 has shape \(3, 4, 3, 3\), .* needs \(4, 3, 3, 3\)"),
        ({"conv": [np.zeros(108), np.zeros(4)]}, r"blob 0 has shape \(108,\)"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, blobs: Any, told: str) -> None:
    with pytest.raises(FormatError, match=rf"^net\.caffemodel: .*{told}"):
        read(tmp_path, HEAD + CONV, blobs)


def test_shapes_are_not_believed_before_they_are_compared_with_the_bytes(tmp_path: Path) -> None:
    for dims in ([2**40, 2**40], [-4, -27], [4, 3, 3, 4], [2] * 60):
        net = caffemodel(WEIGHTS)
        del net.layer[0].blobs[0].shape.dim[:]
        net.layer[0].blobs[0].shape.dim.extend(dims)
        (tmp_path / "net.prototxt").write_text(HEAD + CONV)
        (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
        with pytest.raises(FormatError, match=r"layer 'conv': blob 0: (its shape|impossible shape)"):
            caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")


def test_a_file_beyond_protobufs_limit_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    (tmp_path / "net.caffemodel").touch()
    os.truncate(tmp_path / "net.caffemodel", 1 << 32)  # a hole: takes no room
    with pytest.raises(FormatError, match=r"4,294,967,296 bytes; protobuf files"):
        caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")


def write_hdf5(path: Path, blobs: dict[str, Sequence[np.ndarray]]) -> None:
    """As Caffe's Net::ToHDF5 writes it."""
    with h5py.File(path, "w") as file:
        for name, arrays in blobs.items():
            group = file.create_group(f"data/{name}")
            for i, array in enumerate(arrays):
                group[str(i)] = array.astype(np.float32)


def test_a_caffemodel_in_hdf5_holds_the_same(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    write_hdf5(tmp_path / "net.caffemodel.h5", {**WEIGHTS, "other": [np.ones(3)], "empty": []})
    graph = caffe.read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel.h5")
    for i, array in enumerate(WEIGHTS["conv"]):
        assert np.array_equal(graph.params[f"conv/{i}"], array.astype(np.float32))
    assert graph.unused == {"other/0": "net.prototxt has no such layer"}


def test_an_hdf5_file_that_is_no_caffemodel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(HEAD + CONV)
    path = tmp_path / "net.caffemodel.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(FormatError, match=r"^net\.caffemodel\.h5: "):
        caffe.read(tmp_path / "net.prototxt", path)
    with h5py.File(path, "w") as file:
        file["model_weights/conv/0"] = np.ones(3)
    with pytest.raises(FormatError, match=r"^net\.caffemodel\.h5: holds no arrays data/<layer>/<index>"):
        caffe.read(tmp_path / "net.prototxt", path)
    with h5py.File(path, "w") as file:
        file["data/conv/1"] = np.ones(3)
    with pytest.raises(FormatError, match=r"layer 'conv' holds blobs \[1\]; expected 0, 1"):
        caffe.read(tmp_path / "net.prototxt", path)


@pytest.mark.weights
def test_the_real_network_is_read_to_the_last_blob(nsfw_files: Any) -> None:
    files = nsfw_files()
    graph = caffe.read(files["graph"], files["weights"])
    assert graph.unused == {}
    assert set(ops(graph)) == {
        "Conv",
        "BatchNormalization",
        "Relu",
        "MaxPool",
        "Add",
        "AveragePool",
        "Flatten",
        "Gemm",
        "Softmax",
    }
    numbers = sum(array.size for array in graph.params.values())
    counts = ops(graph).count("BatchNormalization")  # one number each, which divides the statistics
    assert abs(4 * (numbers + counts) - files["weights"].stat().st_size) < 100_000  # the rest is names and parameters


@pytest.mark.parametrize("keep", [0.999, 0.5, 0.01])
def test_a_truncated_caffemodel_is_refused(tmp_path: Path, keep: float) -> None:
    raw = (GOLDEN / "net_squeezenet-v1.1" / "weights.caffemodel").read_bytes()
    (tmp_path / "cut.caffemodel").write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(FormatError, match=r"^cut\.caffemodel: is no caffemodel, or is cut short"):
        caffe.read(GOLDEN / "net_squeezenet-v1.1" / "deploy.prototxt", tmp_path / "cut.caffemodel")


def test_swapped_files_are_told(tmp_path: Path) -> None:
    graph, weights = (GOLDEN / "lrn" / name for name in ("deploy.prototxt", "weights.caffemodel"))
    with pytest.raises(FormatError, match=r"^weights\.caffemodel: .*swapped"):
        caffe.read(weights, graph)
    with pytest.raises(FormatError, match=r"^deploy\.prototxt: .*swapped"):
        caffe.read(graph, graph)


# The dispatcher


def test_files_are_told_apart_by_their_content_in_any_order(tmp_path: Path) -> None:
    graph, weights = tmp_path / "a.txt", tmp_path / "b"
    graph.write_bytes((GOLDEN / "lrn" / "deploy.prototxt").read_bytes())
    weights.write_bytes((GOLDEN / "lrn" / "weights.caffemodel").read_bytes())
    for paths in ([graph, weights], [str(weights), graph]):
        found = formats.read(paths)
        assert isinstance(found, Graph)
        assert ops(found) == ["LRN"]
