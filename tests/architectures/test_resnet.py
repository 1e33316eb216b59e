"""ResNets: what names and shapes do not show, and what is special about some of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zoo import architectures
from zoo.architectures import resnet
from zoo.architectures.net import Net
from zoo.architectures.resnet_tables import BASIC, BOTTLENECK, TIMM, Variant
from zoo.errors import UsageError
from zoo.graph import Graph

GOLDEN = Path(__file__).parents[1] / "golden" / "architectures"
CASES = json.loads((GOLDEN / "resnet.json").read_text())


def small(**numbers: object) -> Graph:
    """A network of four narrow blocks."""
    chosen = Variant(**{"depths": (1, 1, 1, 1), "channels": (8, 8, 8, 16), "stem": (8,), **numbers})  # type: ignore[arg-type]
    net = Net()
    return net.graph("small", resnet.head(net, TIMM, resnet.features(net, chosen, TIMM), 5), 64).check()


def shapes(graph: Graph) -> dict[str, tuple[int, ...] | None]:
    return {name: param.shape_in_file for name, param in graph.params.items()}


def made_for(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    if name.endswith(".running_var"):
        return random.uniform(0.1, 0.4, shape).astype(np.float32)
    if len(shape) > 1:
        return (random.standard_normal(shape) * np.prod(shape[1:]) ** -0.5).astype(np.float32)
    return (random.standard_normal(shape) * 0.05 + name.endswith(".weight")).astype(np.float32)


def answer(graph: Graph) -> np.ndarray:
    from zoo.build import build

    random = np.random.default_rng(7)
    made = {name: made_for(name, shape or (), random) for name, shape in sorted(shapes(graph).items())}
    image = random.uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)
    return np.asarray(build(graph.bind(made, where="made"))(image))


def differ(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() > 0.01 * np.abs(b).max())


# ------------------------------------------------------------------------------------ what names and shapes do not show


@pytest.mark.parametrize(
    "other",
    [{"strided": 0}, {"blur": "average"}, {"blur": "binomial"}, {"stem_pool": "ceil"}],
    ids=["stride in the first 1x1", "average", "binomial", "ceil pool"],
)
def test_networks_of_the_same_tensors_give_other_numbers(other: dict[str, object]) -> None:
    plain, changed = small(), small(**other)
    assert shapes(plain) == shapes(changed)
    assert differ(answer(plain), answer(changed))


@pytest.mark.parametrize("other", ["resnetaa50", "resnetblur50"])
def test_the_publishers_anti_aliased_networks_answer_otherwise_than_resnet50(other: str) -> None:
    plain, changed = CASES["timm/resnet50"], CASES[f"timm/{other}"]
    assert [plain[key] for key in ("digest", "size", "gain")] == [changed[key] for key in ("digest", "size", "gain")]
    assert differ(np.array(changed["output"]), np.array(plain["output"]))


def test_stride_is_in_the_first_convolution_only_in_kaimings_caffe_network() -> None:
    def strides(variant: str) -> list[object]:
        nodes = {node.name: node for node in architectures.build(variant, "pretrainedmodels", size=224).nodes}
        return [nodes[f"layer2.0.conv{n}"].attrs["strides"] for n in (1, 2)]

    assert strides("cafferesnet101") == [(2, 2), (1, 1)]
    assert strides("resnet101") == [(1, 1), (2, 2)]


# -------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("variant", "dialect", "parameters"),
    [
        ("resnet50", "torchvision", 25_557_032),  # torchvision's docs
        ("resnext101-64x4d", "torchvision", 83_455_272),
        ("wide-resnet101-2", "torchvision", 126_886_696),
        ("ecaresnet50d-pruned", "timm", 19_939_713),
    ],
)
def test_parameters_are_as_many_as_published(variant: str, dialect: str, parameters: int) -> None:
    found = shapes(architectures.build(variant, dialect))
    trained = [shape for name, shape in found.items() if shape and ".running_" not in name]
    assert sum(int(np.prod(shape)) for shape in trained) == pytest.approx(parameters, abs=500)


def test_stages_may_have_blocks_of_different_kinds() -> None:
    mixed = shapes(small(blocks=(BASIC, BASIC, BOTTLENECK, BASIC)))
    assert "layer3.0.conv3.weight" in mixed
    assert "layer4.0.conv3.weight" not in mixed


# ----------------------------------------------------------------------------------------------------- special in some


@pytest.mark.parametrize("variant", ["fbresnet152", "cafferesnet101", "resnext101-32x4d"])
def test_ports_with_a_window_of_7x7_take_no_other_map(variant: str) -> None:
    assert architectures.build(variant, "pretrainedmodels", size=224)
    with pytest.raises(UsageError, match=r"size=256 leaves 8 rows, expected 7; use size=224"):
        architectures.build(variant, "pretrainedmodels", size=256)


def test_a_file_of_two_publishers_with_one_network_is_read() -> None:
    made = {
        name: np.zeros(shape or (), np.float32)
        for name, shape in shapes(architectures.build("resnet18", "timm")).items()
    }
    bound = architectures.fit("resnet18", made, where="resnet18.pth")
    assert bound.nodes == architectures.build("resnet18", "torchvision").nodes


@pytest.mark.parametrize("variant", ["resnetrs420", "ecaresnet269d", "seresnextaa201d-32x8d", "res2net101d"])
def test_keras_follows_the_deepest_networks_without_too_deep_a_recursion(variant: str) -> None:
    """Keras goes through each layer's inputs in their order, one call within the other, until it meets one it knows."""
    graph = architectures.build(variant, "timm")
    maker = {value: node for node in graph.nodes for value in node.outputs}
    known: set[str] = set()
    deepest, waiting = 0, [(graph.outputs[0], 1)]
    while waiting:
        value, depth = waiting.pop()
        if value in maker and maker[value].name not in known:
            known.add(maker[value].name)
            deepest = max(deepest, depth)
            waiting.extend((before, depth + 1) for before in reversed(maker[value].inputs))
    assert deepest < 600  # Python allows 1000, some of which are the callers'
