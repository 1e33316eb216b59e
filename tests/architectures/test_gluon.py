"""Networks of MXNet's Gluon: names of all ages, what only they have, and files that hold weights alone."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo import architectures, formats
from zoo.architectures import gluon, gluoncv
from zoo.architectures.renaming import by_kind, renamed
from zoo.errors import UsageError
from zoo.graph import Graph, Param

CASES = json.loads((Path(__file__).parents[1] / "golden" / "architectures" / "gluon.json").read_text())


def shapes_of(graph: Graph) -> dict[str, tuple[int, ...]]:
    return {name: param.shape for name, param in graph.params.items() if isinstance(param, Param)}


def saved(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Writes a .params as `Block.save_parameters` does."""
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        parts.append(struct.pack(f"<Iii{array.ndim}qiii", 0xF993FAC9, 0, array.ndim, *array.shape, 1, 0, 0))
        parts.append(array.astype("<f4").tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    parts += [struct.pack("<Q", len(name)) + name.encode() for name in arrays]
    path.write_bytes(b"".join(parts))
    return path


@pytest.fixture(scope="module")
def small() -> dict[str, np.ndarray]:
    """Arrays of Gluon's smallest network, by path."""
    dice = np.random.default_rng(0)
    shapes = shapes_of(architectures.build("mobilenetv1-025", "gluon", classes=5))
    return {
        name: np.abs(dice.standard_normal(shape)).astype(np.float32) * (0.1 if len(shape) > 1 else 1)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_names_from_before_mxnet_1_2_are_known(case: str) -> None:
    graph = architectures.build(case.partition("/")[2], "gluon", classes=10, size=CASES[case].get("size"))
    names = by_kind(graph, gluon.scopes_of(graph.name))
    pairs = sorted(pair for pair in names.items() if pair[1] not in graph.ignored)
    assert hashlib.sha256(json.dumps(pairs).encode()).hexdigest() == CASES[case]["older"]


@pytest.mark.parametrize("prefix", ["", "mobilenet0_", "my_net_"])
def test_older_files_are_read_whatever_their_network_was_called(
    prefix: str, small: dict[str, np.ndarray], tmp_path: Path
) -> None:
    graph = architectures.build("mobilenetv1-025", "gluon", classes=5)
    paths = {path: name for name, path in by_kind(graph, {}).items()}
    file = saved(tmp_path / "old.params", {prefix + paths[path]: array for path, array in small.items()})
    read = formats.read(file)
    assert isinstance(read, dict)
    bound = architectures.fit("mobilenetv1-025/gluon", read, where=file.name)
    assert all(np.array_equal(np.asarray(bound.params[name]), array) for name, array in small.items())


def test_weights_alone_become_a_model(small: dict[str, np.ndarray], tmp_path: Path) -> None:
    model = zoo.convert(saved(tmp_path / "x.params", small), architecture="mobilenetv1-025/gluon")
    assert model.output_shape == (None, 5)


def test_arrays_alone_need_an_architecture(small: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = saved(tmp_path / "x.params", small)
    read = formats.read(path)
    assert isinstance(read, dict)
    assert list(read) == list(small)
    with pytest.raises(UsageError, match=r"x\.params: holds weights without a graph; give architecture=.*symbol\.json"):
        zoo.convert(path)


def test_the_first_normalisation_of_resnet_v2_has_no_scale() -> None:
    graph = architectures.build("resnetv2-18", "gluon")
    arrays = {name: np.full(shape, 3, np.float32) for name, shape in shapes_of(graph).items()}
    bound = graph.bind(arrays, where="x.params")
    assert np.asarray(bound.params["features.0.gamma"]).tolist() == [1, 1, 1]
    assert list(bound.unused) == ["features.0.gamma"]


def test_version_1_has_the_stride_and_a_bias_in_a_bottlenecks_first_convolution() -> None:
    nodes = {node.name: node for node in architectures.build("resnet50-v1", "gluon").nodes}
    assert nodes["features.5.0.body.0"].attrs["strides"] == (2, 2)
    assert "features.5.0.body.0.bias" in nodes["features.5.0.body.0"].inputs
    assert nodes["features.5.0.body.3"].attrs["strides"] == (1, 1)


@pytest.mark.parametrize(
    ("variant", "count"),
    [  # apache/mxnet docs/api/python/gluon/model_zoo.md counts running statistics
        ("alexnet", 61_100_840),
        ("densenet121", 8_062_504),
        ("inception-v3", 23_869_000),
        ("mobilenetv2-025", 1_526_856),
        ("resnet18-v1", 11_699_112),
        ("resnetv2-18", 11_695_796),
        ("vgg11-bn", 132_874_344),
    ],
)
def test_parameters_are_as_many_as_published(variant: str, count: int) -> None:
    assert sum(int(np.prod(shape)) for shape in shapes_of(architectures.build(variant, "gluon")).values()) == count


def test_names_by_rule_are_computed_from_groups() -> None:
    graph = architectures.build("densenet121", "torchvision")
    nodes = renamed(graph, [(r"^features\.denseblock(\d)\.denselayer(\d+)", "block{1*2+1}.{2-1}.of{1}")], gluon.GLUON)
    assert "block9.15.of4.norm1.gamma" in nodes.params


def test_gluoncvs_pruned_files_name_arrays_behind_the_network_they_came_from() -> None:
    graph = architectures.build("resnet50-v1d-8-8x", "gluoncv", classes=10)
    paths = by_kind(graph, gluoncv.SCOPES)
    arrays = {f"resnetv1d_{name}": np.ones(shapes_of(graph)[path], np.float32) for name, path in paths.items()}
    assert arrays["resnetv1d_down1_conv0_weight"].shape == (8, 8, 1, 1)
    bound = graph.bind(architectures.named(graph.name, "gluoncv", graph, arrays), where="x.params")
    assert not bound.unused
    assert np.asarray(bound.params["layer4.2.conv3.weight"]).shape == (784, 400, 1, 1)


def test_gluoncvs_googlenet_holds_its_classifier_twice() -> None:
    graph = architectures.build("googlenet", "gluoncv", classes=10)
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes_of(graph).items()}
    again = {f"head.2.{part}": arrays[f"output.{part}"] for part in ("weight", "bias")}
    assert sorted(graph.bind({**arrays, **again}, where="x.params").unused) == sorted(again)


def test_mobilenet_v2_of_gluon_expands_in_its_first_block_and_that_of_gluoncv_does_not() -> None:
    first = {
        dialect: shapes_of(architectures.build("mobilenetv2-100", dialect))["features.3.out.0.weight"]
        for dialect in ("gluon", "gluoncv")
    }
    assert first == {"gluon": (32, 32, 1, 1), "gluoncv": (32, 1, 3, 3)}
