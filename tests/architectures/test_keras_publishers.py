"""What is special in the files of those who published networks for Keras themselves."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import zoo
from zoo import architectures
from zoo.errors import FormatError, UnsupportedError
from zoo.graph import Graph, Param

SQUEEZENET = "squeezenet1-1/rcmalli"


def arrays_of(graph: Graph) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {name: param.shape_in_file for name, param in graph.params.items() if isinstance(param, Param)}
    return {name: random.random(shape, np.float32) for name, shape in shapes.items() if shape is not None}


def named(variant: str, dialect: str, stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    graph = architectures.build(variant, dialect)
    return dict(architectures.named(variant, dialect, graph, stored))


# ---------------------------------------------------------------------------------------------------------------- names


def test_layers_that_keras_1_counted_from_one_are_told_by_their_order() -> None:
    arrays = arrays_of(architectures.build("inception-v4", "titu1994"))
    old = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}
    stored = {}
    for name, array in arrays.items():
        layer, variable = name.split("/")
        base, _, number = layer.rpartition("_")
        base, number = (base, number) if number.isdecimal() else (layer, "0")
        base = {"conv2d": "convolution2d", "batch_normalization": "batchnormalization"}.get(base, base)
        layer = f"{base}_{int(number) + 1}"
        stored[f"{layer}/{layer}_{old.get(variable, variable)}"] = array
    found = named("inception-v4", "titu1994", stored)
    assert found.keys() == arrays.keys()
    assert all(found[name] is array for name, array in arrays.items())


def test_files_of_before_keras_1_number_their_layers() -> None:
    shapes = {name: param.shape for name, param in architectures.build("vgg16", "cnn-finetune", size=32).params.items()}
    stored = {f"layer_{2 * (index // 2) + 1}/param_{index % 2}": np.zeros(1) for index in range(len(shapes))}
    assert list(named("vgg16", "cnn-finetune", stored)) == list(shapes)


# ------------------------------------------------------------------------------------------------- grouped convolutions


def test_a_grouped_kernel_is_taken_out_of_a_depthwise_one() -> None:
    kernel = Param((6, 3, 1, 1), "HWG2")
    assert kernel.shape_in_file == (1, 1, 6, 3)
    stored = np.arange(18, dtype=np.float32).reshape(1, 1, 6, 3)  # input channel, map of it
    taken = kernel.of(stored)[:, :, 0, 0]
    assert all(taken[3 * g + m, j] == stored[0, 0, 3 * g + j, m] for g in range(2) for j in range(3) for m in range(3))


def test_a_sum_that_was_trained_is_refused() -> None:
    channels, maps = 128, 4
    ones = np.zeros((1, 1, channels * maps, channels), np.float32)
    for channel in range(channels):
        start = channel // maps * maps * maps + channel % maps
        ones[0, 0, start : start + maps * maps : maps, channel] = 1
    key = "conv2_block1_2_gconv/conv2_block1_2_gconv/kernel:0"
    assert named("resnext50-32x4d", "keras", {key: ones})
    ones[0, 0, 0, 0] = 0.9
    with pytest.raises(FormatError, match="conv2_block1_2_gconv was trained"):
        named("resnext50-32x4d", "keras", {key: ones})


# ---------------------------------------------------------------------------------------------------------- whole files


def write(path: Path, arrays: dict[str, np.ndarray], *, whole: bool) -> Path:
    """Writes a file as Keras 2 does; a whole model has a network of one Lambda, whose code nobody runs."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        layers: dict[str, list[str]] = {}
        for name, array in arrays.items():
            layer, _, variable = name.rpartition("/")
            root[f"{layer}/{layer}/{variable}:0"] = array
            layers.setdefault(layer, []).append(f"{layer}/{variable}:0")
        root.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, names in layers.items():
            root[layer].attrs["weight_names"] = [name.encode() for name in names]
        if whole:
            image = {"class_name": "InputLayer", "name": "image", "inbound_nodes": [],
                     "config": {"batch_input_shape": [None, 227, 227, 3], "name": "image"}}  # fmt: skip
            code = {"class_name": "Lambda", "name": "code", "inbound_nodes": [[["image", 0, 0, {}]]],
                    "config": {"name": "code", "function": ["4wEAAAA=", None, None]}}  # fmt: skip
            network = {"name": "model", "layers": [image, code], "input_layers": [["image", 0, 0]],
                       "output_layers": [["code", 0, 0]]}  # fmt: skip
            file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": network})
            file.attrs["keras_version"] = "2.2.4"
    return path


def test_a_named_architecture_takes_the_weights_of_a_file_whose_network_holds_code(tmp_path: Path) -> None:
    arrays = arrays_of(architectures.build("squeezenet1-1", "rcmalli", classes=5))
    path = write(tmp_path / "whole.h5", arrays, whole=True)
    with pytest.raises(UnsupportedError, match=r"code \(Lambda\)"):
        zoo.convert(path, sandbox=False)
    model = zoo.convert(path, architecture=SQUEEZENET, sandbox=False)
    assert model.output_shape == (None, 5)
    weights = {weight.path.rpartition("/")[0]: weight for weight in model.weights if weight.path.endswith("/kernel")}
    assert np.array_equal(weights["conv10"], arrays["conv10/kernel"])


# --------------------------------------------------------------------------------------------------- without classifier


def test_a_file_without_classifier_gives_the_features_that_enter_it(tmp_path: Path) -> None:
    arrays = arrays_of(architectures.build("squeezenet1-1", "rcmalli"))
    trunk = {name: array for name, array in arrays.items() if not name.startswith("conv10/")}
    model = zoo.convert(write(tmp_path / "notop.h5", trunk, whole=False), architecture=SQUEEZENET, sandbox=False)
    assert model.output_shape == (None, 13, 13, 512)
    del arrays["conv10/bias"]
    half = write(tmp_path / "half.h5", arrays, whole=False)
    with pytest.raises(FormatError, match=r"half.h5: does not hold the weights of squeezenet1-1: missing: conv10"):
        zoo.convert(half, architecture=SQUEEZENET, sandbox=False)


def test_all_dense_layers_may_be_missing_and_layers_counted_from_any_number() -> None:
    arrays = {name: np.zeros(param.shape_in_file or 0, np.float32)
              for name, param in architectures.build("vgg16", "heuritech").params.items()
              if isinstance(param, Param) and not name.startswith("dense")}  # fmt: skip
    graph = architectures.fit("vgg16/heuritech", arrays, where="notop.h5")
    assert graph.outputs == ("pool5",)
    assert graph.unused == {"the classifier": "not in the file; the network gives the features that enter it"}
    full = arrays_of(architectures.build("densenet121", "titu1994"))
    stored = {f"{name.rpartition('/')[0]}/{name}:0": array for name, array in full.items() if "dense/" not in name}
    shifted = {}
    for key, array in stored.items():
        layer = key.partition("/")[0]
        base, _, number = layer.rpartition("_")
        base, number = (base, number) if number.isdecimal() else (layer, "0")
        shifted[key.replace(layer, f"{base}_{int(number) + 7}")] = array
    graph = architectures.fit("densenet121/titu1994", shifted, where="notop.h5")
    assert graph.outputs == ("flatten",)


def test_a_classifier_of_nan_counts_as_none() -> None:
    graph = architectures.build("efficientnet-lite0", "lukemelas")
    arrays = {name: np.zeros(param.shape_in_file or 0, np.float32) for name, param in graph.params.items()
              if isinstance(param, Param)}  # fmt: skip
    for name in ("_fc.weight", "_fc.bias"):
        arrays[name][:] = np.nan
    found = architectures.fit("efficientnet-lite0", arrays, where="features.pth")
    assert found.outputs == ("_flatten",)
    assert found.unused["_fc.weight"] == "holds no number"
