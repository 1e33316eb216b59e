"""DenseNet: names of before and after torchvision renamed its modules, and two publishers of the same numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest

from zoo import architectures
from zoo.errors import FormatError, UsageError
from zoo.graph import Graph, Param

NAME = "densenet121"


def arrays_of(graph: Graph) -> dict[str, np.ndarray]:
    return {name: np.zeros(param.shape, np.float32) for name, param in graph.params.items() if isinstance(param, Param)}


def as_on_torchvisions_host(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): array for name, array in arrays.items()}


@pytest.mark.parametrize("dialect", ["torchvision", "timm"])
def test_files_from_before_the_modules_were_renamed_are_bound(dialect: str) -> None:
    graph = architectures.build(NAME, dialect)
    old = as_on_torchvisions_host(arrays_of(graph))
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert list(graph.bind(old, where="densenet121-a639ec97.pth").params) == list(graph.params)


def test_old_names_are_known_without_a_card_and_their_classes_counted() -> None:
    old = as_on_torchvisions_host(arrays_of(architectures.build(NAME, "torchvision", classes=7)))
    graph = architectures.fit(NAME, old, where="mine.pth")
    assert graph.params["classifier.weight"].shape == (7, 1024)


def test_a_file_with_an_array_under_both_names_is_refused() -> None:
    arrays = arrays_of(architectures.build(NAME, "torchvision"))
    arrays["features.denseblock1.denselayer1.norm.1.weight"] = arrays["features.denseblock1.denselayer1.norm1.weight"]
    with pytest.raises(FormatError, match=r"left over: features.denseblock1.denselayer1.norm\.1\.weight"):
        architectures.fit(NAME, arrays, where="mine.pth")


def test_publishers_of_the_same_names_and_numbers_need_no_telling_apart() -> None:
    graph = architectures.fit("densenet169", arrays_of(architectures.build("densenet169", "timm")), where="mine.pth")
    assert graph.name == "densenet169"


@pytest.mark.parametrize(("variant", "count"), [("densenet121", 7_978_856), ("densenet201", 20_013_928)])
def test_parameters_are_as_many_as_torchvision_says(variant: str, count: int) -> None:
    arrays = arrays_of(architectures.build(variant, "torchvision"))
    assert sum(array.size for name, array in arrays.items() if ".running_" not in name) == count


def test_pretrainedmodels_averages_a_map_of_7x7() -> None:
    with pytest.raises(UsageError, match="size=288"):
        architectures.build(NAME, "pretrainedmodels", size=288)
