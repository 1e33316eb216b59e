"""Keras's own files give Keras's numbers, whichever version wrote them; others are refused by name."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

import zoo
from zoo import architectures, formats
from zoo.build import build
from zoo.errors import FormatError, UnsupportedError, UsageError, ZooError
from zoo.formats import keras
from zoo.formats.keras import match
from zoo.formats.options import Options
from zoo.graph import Graph
from zoo.sources import KerasSource

GOLDEN = Path(__file__).parents[1] / "golden" / "keras"
CASES = sorted(path.stem for path in GOLDEN.glob("*.npz"))
REASONS = {
    "counts what mean and variance were computed from",
    "state of a random generator, which only training uses",
    "state of the training",
}
NETS = ("nested", "small_network", "trained")


def unpacked(case: str, folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Writes a case's file; returns its path, and the case's arrays."""
    with np.load(GOLDEN / f"{case}.npz") as held:
        arrays = {key: held[key] for key in held.files}
    (key,) = (key for key in arrays if key.startswith("file:"))
    path = folder / key.removeprefix("file:")
    path.write_bytes(arrays.pop(key).tobytes())
    return path, arrays


def answers(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    made: Any = build(graph)(x, training=False)
    return [np.asarray(y) for y in (made if isinstance(made, (list, tuple)) else [made])]


# What Keras computes


@pytest.mark.parametrize("case", CASES)
def test_a_file_gives_keras_numbers(case: str, tmp_path: Path) -> None:
    path, arrays = unpacked(case, tmp_path)
    options = Options(theano_kernels=True) if case == "keras1_theano" else Options()
    graph = formats.read(path, options=options)
    assert isinstance(graph, Graph)
    x = arrays["input"].transpose(0, 2, 3, 1) if case == "keras1_theano" else arrays["input"]
    given, expected = answers(graph, x), [arrays[key] for key in arrays if key.startswith("output:")]
    assert len(given) == len(expected)
    for actual, wanted in zip(given, expected, strict=True):
        assert actual.shape == wanted.shape
        worst = np.abs(actual - wanted).max() / np.abs(wanted).max()
        assert worst <= (1e-4 if case.endswith(NETS) else 1e-5)
    assert set(graph.unused.values()) <= REASONS


@pytest.mark.parametrize("case", ["keras2_nested", "keras3_nested", "keras2_archive_nested"])
def test_names_are_the_layers_own(case: str, tmp_path: Path) -> None:
    graph = formats.read(unpacked(case, tmp_path)[0])
    assert isinstance(graph, Graph)
    weights = {"block/conv/kernel", "block/norm/moving_variance", "stem/conv/bias", "stem/norm/gamma", "twice/kernel"}
    assert weights <= set(graph.params)
    assert {"stem/conv", "twice", "twice_2", "block/sum", "block/sum_2", "pool", "max"} <= {n.name for n in graph.nodes}
    assert list(graph.inputs.values()) == [(4, 7, 8)]


@pytest.mark.parametrize("case", ["keras2_shapes", "keras3_shapes"])
def test_what_stands_behind_a_layer_is_left_out(case: str, tmp_path: Path) -> None:
    path, arrays = unpacked(case, tmp_path)
    graph = formats.read(path, options=Options(until="gate"))
    assert isinstance(graph, Graph)
    assert set(graph.params) == {"gate/kernel", "gate/bias"}
    assert set(graph.unused.values()) == {"no output of the network needs it"}
    assert answers(graph, arrays["input"])[0].shape == (1, 1, 1, 4)


# Weights alone


def arrays_of(graph: Graph, rename: Callable[[str, str], str]) -> dict[str, np.ndarray]:
    random = np.random.RandomState(1)
    found = {}
    for key, param in graph.params.items():
        layer, _, variable = key.rpartition("/")
        if not isinstance(param, np.ndarray) and param.shape_in_file is not None:
            found[rename(layer, variable)] = random.uniform(0.5, 1.0, param.shape_in_file).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def xception() -> Graph:
    return architectures.build("xception", "keras", classes=7)


OLD = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}


@pytest.mark.parametrize(
    "rename",
    [
        lambda layer, variable: f"{layer}/{layer}/{variable}:0",
        lambda layer, variable: f"{layer}/{layer}_2/{variable}:0",
        lambda layer, variable: f"{layer}/{layer}_{OLD.get(variable, variable)}_1:0",
        lambda layer, variable: f"{layer}/{layer}_{OLD.get(variable, variable)}:0",
        lambda layer, variable: f"{counted(layer, 1)}/{counted(layer, 1)}/{variable}:0",
        lambda layer, variable: f"{counted(layer, 94)}/{variable}",
        lambda layer, variable: f"layer_of_{layer}_x/{variable}:0",
    ],
)
def test_weights_find_their_layer_by_every_versions_names(rename: Callable[[str, str], str], xception: Graph) -> None:
    graph = xception
    plain = arrays_of(graph, lambda layer, variable: f"{layer}/{variable}")
    stored = arrays_of(graph, rename)
    found = match.named(graph, stored)
    assert set(found) == set(plain)
    assert all(np.array_equal(found[key], plain[key]) for key in plain)


def counted(layer: str, more: int) -> str:
    """The name of a layer that Keras named, later in a session."""
    found = re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d+))?", layer)
    return f"{found[1]}_{int(found[2] or 0) + more}" if found else layer


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
def test_published_weights_find_their_architecture(suffix: str, tmp_path: Path) -> None:
    import keras as origin

    arguments = {"input_shape": (224, 224, 3), "alpha": 0.25, "classes": 5, "classifier_activation": None}
    origin.layers.Conv2D(1, 1)  # so that numbers in names begin elsewhere
    model = origin.applications.MobileNet(weights=None, **arguments)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".h5":
        from keras.src.legacy.saving import legacy_h5_format

        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    else:
        model.save_weights(path)
    converted = zoo.convert(path, architecture="mobilenetv1-025/keras")
    x = np.random.RandomState(0).standard_normal((1, 224, 224, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(converted(x)), np.asarray(model(x)), rtol=1e-4, atol=1e-6)
    with pytest.raises(FormatError, match=r"choose the (architecture|variant) the file was made for"):
        zoo.convert(path, architecture="mobilenetv1-050/keras", sandbox=False)
    with pytest.raises(UsageError, match="holds weights without a graph; give architecture="):
        zoo.convert(path, sandbox=False)


def test_the_sandbox_reads_a_whole_model(tmp_path: Path) -> None:
    path, arrays = unpacked("keras1_theano", tmp_path)
    model: Any = zoo.convert(path, theano_kernels=True)
    given = np.asarray(model(arrays["input"].transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(given, arrays["output:0"], atol=1e-6)


# Files that nobody should trust


def layer(kind: str, name: str, *before: str, **config: Any) -> dict[str, Any]:
    nodes = [[[one, 0, 0, {}] for one in before]] if before else []
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}


IMAGE = layer("InputLayer", "image", batch_input_shape=[None, 8, 8, 3])


def model(*layers: dict[str, Any], outputs: Any = None, kind: str = "Functional") -> dict[str, Any]:
    outputs = outputs or [[layers[-1]["name"], 0, 0]]
    inside = {"name": "net", "layers": list(layers), "input_layers": [["image", 0, 0]], "output_layers": outputs}
    return {"class_name": kind, "config": inside}


def saved(described: Any, folder: Path, fill: Callable[[Any], Any] = lambda group: None) -> Path:
    """Writes a whole model without weights."""
    path = folder / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = described if isinstance(described, str) else json.dumps(described)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = []
        fill(group)
    return path


def refused(path: Path, error: type[ZooError], **options: Any) -> str:
    with pytest.raises(error) as caught:
        keras.read(path, options=Options(**options))
    text = str(caught.value)
    assert text.startswith(path.name)
    assert "\n" not in text
    assert len(text) < 1500
    return text


def test_layers_with_code_are_refused_together(tmp_path: Path) -> None:
    code = {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}}
    strange = layer("Conv2D", "stolen", "own", filters=1, kernel_size=1) | {"module": "os"}
    registered = layer("Dense", "registered", "stolen", units=2) | {"registered_name": "mine>Dense"}
    path = saved(
        model(
            IMAGE,
            layer("Lambda", "code", "image", function=code),
            layer("TFSMLayer", "program", "code", filepath="/tmp/x"),
            layer("MyLayer", "own", "program"),
            strange,
            registered,
            layer("Activation", "odd", "registered", activation="mine"),
        ),
        tmp_path,
    )
    text = refused(path, UnsupportedError)
    for name in ("code (Lambda)", "program (TFSMLayer)", "own (MyLayer)", "stolen (Conv2D of os)", "registered (Dense"):
        assert name in text


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"class_name": "Model", "config": ' + "1" * 10_000 + "}", "no JSON"),
        ("3", "which only its own code can build"),
        ({"class_name": "Mine", "config": {}}, "'Mine'"),
        ({"class_name": "Model", "config": {}}, "damaged"),
        ({"class_name": "Model", "config": {"layers": [1]}}, "damaged"),
        ({"class_name": "Sequential", "config": []}, "without layers"),
        (model(IMAGE, layer("ReLU", "a", "b"), layer("ReLU", "b", "a")), "cycle"),
        (model(IMAGE, layer("ReLU", "a", "a")), "cycle"),
        (model(IMAGE, layer("ReLU", "a", "gone")), "'gone', call 0, which is not there"),
        (model(IMAGE, layer("ReLU", "a", "image"), outputs=[["a", 7, 0]]), "not there"),
        (model(IMAGE, layer("ReLU", "a", "image"), outputs=[["a", 0, 7]]), "no output 7"),
        (model(IMAGE, layer("ReLU", "a", "image"), layer("ReLU", "a", "image")), "two layers are named 'a'"),
        (model(IMAGE, layer("Conv2D", "a", "image", filters=10**12, kernel_size=1)), "filters is 10"),
        (model(IMAGE, layer("Conv2D", "a", "image", filters=1e400, kernel_size=1)), "filters is"),
        (model(IMAGE, layer("Conv2D", "a", "image", filters=1, kernel_size=[1, 2, 3])), "expected two numbers"),
        (model(IMAGE, layer("ZeroPadding2D", "a", "image", padding=10**9)), "padding is 1000000000"),
        (model(IMAGE, layer("Reshape", "a", "image", target_shape=[0, -1])), "target_shape"),
        (model(IMAGE, layer("Dense", "a\nb", "image", units=3)), "is no name of a layer"),
        (model(IMAGE, layer("UpSampling2D", "a", "image", size=1 << 23)), "impossible output"),
        (model(IMAGE, layer("Dense", "a", "image", units=3)), "missing: a/kernel, a/bias"),
        (model(IMAGE, layer("MaxPooling2D", "a", "image", pool_size=9)), "larger than input"),
    ],
)
def test_damaged_descriptions_say_what_is_wrong(described: Any, words: str, tmp_path: Path) -> None:
    assert words in refused(saved(described, tmp_path), ZooError)  # type: ignore[type-abstract]


def test_models_inside_models_have_an_end(tmp_path: Path) -> None:
    inside: dict[str, Any] = layer("ReLU", "deepest", "image")
    for depth in range(12):
        inside = {**model(IMAGE, inside), "name": f"m{depth}", "inbound_nodes": [[["image", 0, 0, {}]]]}
    assert "nested more than 8 deep" in refused(saved(model(IMAGE, inside), tmp_path), FormatError)
    inside, last = layer("ReLU", "deepest", "image"), None
    for depth in range(5):  # each calls the one inside it 20 times
        chain = [[["image", 0, 0, {}]]] + [[[f"m{depth}", i, 0, {}]] for i in range(19)]
        inside = {**model(IMAGE, inside, outputs=last), "name": f"m{depth}", "inbound_nodes": chain}
        last = [[f"m{depth}", 19, 0]]
    assert "called more than" in refused(saved(model(IMAGE, inside, outputs=last), tmp_path), FormatError)


def test_missing_and_foreign_weights_are_named(tmp_path: Path) -> None:
    described = model(IMAGE, layer("Conv2D", "a", "image", filters=2, kernel_size=1, use_bias=False))

    def fill(group: Any, shape: tuple[int, ...] = (1, 1, 3, 2), name: str = "a/kernel:0") -> None:
        group.attrs["layer_names"] = [b"a"]
        group.create_group("a").attrs["weight_names"] = [name.encode()]
        group["a"][name] = np.ones(shape, "<f4")

    assert set(keras.read(saved(described, tmp_path, fill)).params) == {"a/kernel"}  # type: ignore[union-attr]
    turned = saved(described, tmp_path, lambda group: fill(group, (2, 3, 1, 1)))
    assert "a/kernel has shape (2, 3, 1, 1), net needs (1, 1, 3, 2)" in refused(turned, FormatError)

    def lacking(group: Any) -> None:
        fill(group)
        group.attrs["layer_names"] = [b"a", b"b"]

    assert "names the layer 'b', but does not hold it" in refused(saved(described, tmp_path, lacking), FormatError)

    def foreign(group: Any) -> None:
        fill(group)
        group["c/kernel:0"] = np.ones(2, "<f4")

    assert "left over: c/kernel:0" in refused(saved(described, tmp_path, foreign), FormatError)


def archive(folder: Path, **members: bytes) -> Path:
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name.replace("__", "."), data)
    return path


def test_archives_are_bounded(tmp_path: Path) -> None:
    described = json.dumps(model(IMAGE, layer("ReLU", "a", "image"))).encode()
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["x"] = np.zeros(3)
    weights = (tmp_path / "w.h5").read_bytes()
    assert "left over: x" in refused(archive(tmp_path, config__json=described, model__weights__h5=weights), FormatError)
    bomb = archive(tmp_path, config__json=described, model__weights__h5=bytes(100 << 20))
    assert "has 104857600 bytes, more than" in refused(bomb, FormatError)
    lying = bytearray(
        archive(tmp_path, config__json=described + b" " * 10_000, model__weights__h5=weights).read_bytes()
    )
    size = (len(described) + 10_000).to_bytes(4, "little")
    lying = lying.replace(size, (100).to_bytes(4, "little"))
    bomb.write_bytes(lying)
    assert "is larger than it says" in refused(bomb, FormatError)
    assert "without model.weights.h5" in refused(archive(tmp_path, config__json=described), FormatError)
    assert "an archive without config.json" in refused(archive(tmp_path, metadata__json=b"{}"), FormatError)


def test_a_network_without_a_size_asks_for_it(tmp_path: Path) -> None:
    open_size = layer("InputLayer", "image", batch_input_shape=[None, None, None, 3])
    path = saved(model(open_size, layer("ReLU", "a", "image")), tmp_path)
    assert "give input_shape=" in refused(path, UsageError)
    graph = keras.read(path, options=Options(input_shape=(3, 6, 5)))
    assert isinstance(graph, Graph)
    assert graph.inputs == {"image": (3, 6, 5)}
    assert "no layer 'b'" in refused(path, UsageError, input_shape=(3, 6, 5), until="b")


# Cards


def test_a_card_names_the_architecture_of_weights_alone() -> None:
    weights = {"format": "keras", "weights": "weights"}
    whole = KerasSource.model_validate({**weights, "until": "fc2", "theano_kernels": True})
    alone = KerasSource.model_validate({**weights, "architecture": "vgg16", "dialect": "keras-th"})
    assert whole.roles == alone.roles == ("weights",)
    for more in ({"architecture": "vgg16"}, {"architecture": "vgg16", "dialect": "keras", "until": "fc2"}):
        with pytest.raises(ValidationError, match=r"go together|hold the network"):
            KerasSource.model_validate({**weights, **more})
