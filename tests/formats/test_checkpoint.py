"""TensorFlow checkpoints of both versions are read; optimizer's slots and averages are told; damage is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zoo import formats, sandbox
from zoo.errors import FormatError, UsageError
from zoo.formats import checkpoint

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
ARRAYS = {
    "net/conv/weights": KERNEL,
    "net/conv/weights/ExponentialMovingAverage": KERNEL + 1,
    "net/conv/weights/Momentum": KERNEL * 0,
    "net/conv/biases": np.array([1.5, -2.0], np.float64),
    "global_step": np.array(7, np.int64),
    "../../etc/passwd": np.ones(1, np.float32),
}

Writer = Callable[..., list[Path]]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Writes a checkpoint with TensorFlow's own Saver; returns its files, the one that is read first at the front."""

    def writes(version: int, *, sharded: bool = False) -> list[Path]:
        import tensorflow as tf

        v1 = tf.compat.v1
        with tf.Graph().as_default(), v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
            variables = {}
            for number, (name, value) in enumerate(ARRAYS.items()):
                with tf.device(f"/cpu:{number % 2}"):
                    variables[name] = v1.get_variable(f"v{number}", initializer=value)
            session.run(v1.global_variables_initializer())
            saver = v1.train.Saver(variables, write_version=version, sharded=sharded)
            saver.save(session, str(tmp_path / "model.ckpt"), write_meta_graph=False)
        (tmp_path / "checkpoint").unlink()
        return sorted(tmp_path.iterdir(), key=lambda path: (path.suffix != ".index", path.name))

    return writes


def assert_same(found: dict[str, np.ndarray]) -> None:
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


@pytest.mark.parametrize(("version", "sharded", "count"), [(1, False, 1), (2, False, 2), (2, True, 3)])
def test_arrays_come_by_name_with_their_types(version: int, sharded: bool, count: int, write: Writer) -> None:
    files = write(version, sharded=sharded)
    assert len(files) == count
    assert_same(checkpoint.read(*files))
    assert_same(formats.read(files[::-1]))  # told from the files, in any order


def test_a_checkpoint_is_called_by_its_prefix(write: Writer, tmp_path: Path) -> None:
    write(2, sharded=True)
    assert_same(formats.read(tmp_path / "model.ckpt"))


def test_files_may_have_lost_their_names(write: Writer, tmp_path: Path) -> None:
    index, data = write(2)
    assert_same(checkpoint.read(index.rename(tmp_path / "aaaa"), data.rename(tmp_path / "bbbb")))


def test_the_sandbox_reads_them_too(write: Writer) -> None:
    assert_same(sandbox.read(None, write(2), told=True))  # type: ignore[arg-type]


def test_averages_take_the_place_of_what_they_average() -> None:
    found = checkpoint.served(ARRAYS)
    assert np.array_equal(found["net/conv/weights"], KERNEL + 1)
    assert np.array_equal(found["net/conv/weights/not averaged"], KERNEL)
    assert "net/conv/weights/ExponentialMovingAverage" not in found
    assert set(checkpoint.served(ARRAYS, averaged=False)) == set(ARRAYS)


@pytest.mark.parametrize("averaged", [True, False])
def test_what_inference_does_not_use_is_told_with_the_reason(averaged: bool) -> None:
    from zoo.graph import Graph, Node, Param

    params = {"net/conv/weights": Param((2, 3, 4)), "net/conv/biases": Param((2,)), "../../etc/passwd": Param((1,))}
    graph = Graph("net", {}, (), (Node("Sum", "s", tuple(params), ("s",)),), params)
    bound = graph.bind(checkpoint.served(ARRAYS, averaged=averaged), where="x", ignore=checkpoint.UNUSED)
    other = "net/conv/weights/" + ("not averaged" if averaged else "ExponentialMovingAverage")
    assert set(bound.unused) == {"global_step", "net/conv/weights/Momentum", other}
    assert np.array_equal(bound.params["net/conv/weights"], KERNEL + averaged)


# ------------------------------------------------------------------------------------------------------------- damage


def test_an_index_without_its_data_is_refused(write: Writer) -> None:
    with pytest.raises(FormatError, match=r"model\.ckpt\.index: holds no arrays; .*give its data files"):
        formats.read(write(2)[:1])


def test_data_without_an_index_are_refused(write: Writer) -> None:
    with pytest.raises(UsageError, match="one index file and one data file"):
        formats.read(write(2)[1:], "checkpoint")


@pytest.mark.parametrize("version", [1, 2])
def test_a_flipped_byte_is_noticed(version: int, write: Writer) -> None:
    files = write(version)
    for path in files:
        whole = path.read_bytes()
        for place in range(3, len(whole) - 60, max(1, len(whole) // 12)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
            with contextlib.suppress(FormatError):  # else only what no number depends on is another
                assert_same(checkpoint.read(*files))
        path.write_bytes(whole)


@pytest.mark.parametrize("keep", [0, 3, 48, 200])
def test_a_cut_file_is_refused(keep: int, write: Writer) -> None:
    index, data = write(2)
    index.write_bytes(index.read_bytes()[:keep])
    with pytest.raises(FormatError):
        checkpoint.read(index, data)


def test_data_shorter_than_the_index_says_are_refused(write: Writer) -> None:
    index, data = write(2)
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(FormatError, match=r"claims .* bytes of variables and has 100"):
        checkpoint.read(index, data)
