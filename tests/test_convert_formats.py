"""Files of every format become a .keras file, read in the sandbox and compared with the origin's values."""

from __future__ import annotations

import io
import json
import lzma
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from golden_arrays import golden_arrays

from zoo import formats, library, parity
from zoo.cli import cli
from zoo.errors import FormatError, ParityError

GOLDEN = Path(__file__).parent / "golden"
Sample = tuple[list[Path], dict[str, np.ndarray]]


def normalised(image: np.ndarray) -> np.ndarray:
    return (image.astype(np.float32) - 128) / 64


def caffe(folder: Path) -> Sample:
    source = GOLDEN / "caffe" / "net_squeezenet-v1.1"
    paths = [Path(shutil.copy(source / name, folder)) for name in ("weights.caffemodel", "deploy.prototxt")]
    graph = formats.read(paths)
    (shape,) = graph.inputs.values()  # type: ignore[union-attr]
    with np.load(GOLDEN / "caffe" / "inputs" / "image.npz") as file:
        image = file["image"][:, :, : shape[1], : shape[2]]
    with np.load(source / "blobs.npz") as file:
        return paths, {"data": normalised(image), "prob": file["prob"]}


def mxnet(folder: Path) -> Sample:
    with zipfile.ZipFile(GOLDEN / "mxnet" / "net_squeezenet-v1.1.zip") as held:
        held.extractall(folder, ["net.params", "symbol.json"])
        values = dict(np.load(io.BytesIO(held.read("values.npz"))))
    inner = {name.removeprefix("node:"): array for name, array in values.items() if name.startswith("node:")}
    return [folder / "net.params", folder / "symbol.json"], {"input": normalised(values["input"][:1]), **inner}


def torch7(folder: Path) -> Sample:
    path = Path(shutil.copy(GOLDEN / "torch7" / "net_resnet_a.t7", folder))
    with golden_arrays(GOLDEN / "torch7" / "arrays.npz.xz") as held:
        inner = {name: held[f"net_resnet_a/at/{name}"] for name in ("1", "6.2.1.1.2", "7")}
        return [path], {"input": normalised(held["net_resnet_a/x"][:1]), **inner}


def tensorflow(folder: Path) -> Sample:
    return of_tensorflow("net_mobilenet_v1", folder, "graph.pb")


def saved_model(folder: Path) -> Sample:
    return of_tensorflow("saved_resource_variables", folder, "")


def of_tensorflow(case: str, folder: Path, member: str) -> Sample:
    folder = folder / "graph"
    with np.load(GOLDEN / "tensorflow" / f"{case}.npz") as held:
        for key in held.files:
            path = folder / key.removeprefix("file:")
            if key.startswith("file:"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(held[key].tobytes())
        image, expected = held["input"], held["output:0"]
    graph = formats.read(folder / member)
    return [folder / member], {"input": normalised(image).transpose(0, 3, 1, 2), graph.outputs[0]: expected}  # type: ignore[union-attr]


def onnx(folder: Path) -> Sample:
    path = folder / "resnet18.onnx"
    path.write_bytes(lzma.decompress((GOLDEN / "onnx" / "nets" / "resnet18.onnx.xz").read_bytes()))
    graph = formats.read(path)
    (shape,) = graph.inputs.values()  # type: ignore[union-attr]
    with golden_arrays(GOLDEN / "onnx" / "nets.npz.xz") as held:
        values = {name.removeprefix("resnet18/"): held[name] for name in held.files if name.startswith("resnet18/")}
    n, c, y, x = np.meshgrid(*(np.arange(k) for k in (1, *shape)), indexing="ij")  # as tests/golden/onnx makes it
    waves = (x * (7 + 3 * c) + y * (11 - 2 * c) + 40 * c + 90 * n) % 512 - 256
    return [path], {"input": normalised(np.abs(waves)), **values}


SAMPLES: list[Callable[[Path], Sample]] = [caffe, mxnet, torch7, tensorflow, saved_model, onnx]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.__name__)
def test_files_become_a_model_with_the_origins_numbers(sample: Callable[[Path], Sample], tmp_path: Path) -> None:
    paths, arrays = sample(tmp_path)
    np.savez(tmp_path / "origin.npz", **arrays)
    (image,) = (array for name, array in arrays.items() if name in ("input", "data"))
    receipt = library.convert_to(
        tmp_path / "out.keras", paths, input_shape=image.shape[1:], against=tmp_path / "origin.npz"
    )
    assert receipt["nodes"]["result"] == "equal"
    assert len(receipt["nodes"]["rows"]) == len(arrays) - 1
    assert receipt["tensors"]
    assert all(len(file["sha256"]) == 64 for file in receipt["files"].values())
    model = keras.saving.load_model(tmp_path / "out.keras")
    assert model.input_shape == (None, *image.shape[2:], image.shape[1])
    with zipfile.ZipFile(tmp_path / "out.keras") as archive:
        assert json.loads(archive.read("zoo.json"))["files"] == receipt["files"]


def test_numbers_that_are_not_the_origins_write_nothing(tmp_path: Path) -> None:
    paths, arrays = torch7(tmp_path)
    arrays["6.2.1.1.2"] = arrays["6.2.1.1.2"] + np.eye(4, dtype=np.float32)
    np.savez(tmp_path / "origin.npz", **arrays)
    with pytest.raises(ParityError, match=r"net_resnet_a\.t7: differs: first at 6\.2\.1\.1\.2: .*nothing was written$"):
        library.convert_to(tmp_path / "out.keras", paths, input_shape=(3, 32, 32), against=tmp_path / "origin.npz")
    assert not (tmp_path / "out.keras").exists()


def test_the_command_ends_where_it_is_told_and_tells_what_was_left_out(tmp_path: Path) -> None:
    paths, arrays = mxnet(tmp_path)
    output = str(tmp_path / "out.keras")
    how = ["--input-shape", "3,47,47", "--until", "fire4_concat"]
    done = CliRunner().invoke(cli, ["convert", *map(str, paths), "-o", output, *how])
    assert done.exit_code == 0, done.output
    assert "not used: fire5_squeeze1x1_weight: " in done.stderr
    assert done.stdout == output + "\n"
    x = arrays["input"].transpose(0, 2, 3, 1)
    made = keras.ops.convert_to_numpy(keras.saving.load_model(output)(x)).transpose(0, 3, 1, 2)
    assert np.abs(made - arrays["fire4_concat"]).max() <= 1e-4 * np.abs(arrays["fire4_concat"]).max()


@pytest.mark.parametrize("shape", ["3", "3,0,4", "a,b,c", "3,224"])
def test_a_shape_that_is_none_is_refused(shape: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["convert", "x.t7", "-o", str(tmp_path / "x.keras"), "--input-shape", shape])
    assert done.exit_code == 2
    assert "expected channels, height and width" in done.stderr


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(40), b"\x93NUMPY", b"\x80\x04."])
def test_a_file_of_arrays_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "origin.npz"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"origin\.npz: is no \.npz file of arrays"):
        parity.read_arrays(path)
    np.savez(path, a=np.array(["text"]))
    with pytest.raises(FormatError, match="'a' holds <U4; expected numbers"):
        parity.read_arrays(path)


@pytest.mark.weights
@pytest.mark.usefixtures("nsfw_files")
def test_a_registered_model_is_compared_node_by_node(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "x.npz", data=np.ones((1, 3, 224, 224), np.float32), prob=np.float32([[0.5, 0.5]]), x=np.ones(1)
    )
    done = CliRunner().invoke(cli, ["verify", "open-nsfw", "--against", str(tmp_path / "x.npz")])
    assert re.search(r"prob +1x2 +\d\.\de[-+]\d+ +differs", done.stdout)
    assert isinstance(done.exception, ParityError)
    assert re.search(r"open-nsfw: differs: first at prob: error .*; the network has no x$", str(done.exception))
