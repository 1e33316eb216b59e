"""VoVNet and ShuffleNet: parameters as the publishers count them, gates and shortcuts where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from zoo import architectures
from zoo.graph import Param


@pytest.mark.parametrize(
    ("variant", "dialect", "count"),
    [
        ("shufflenet-v2-x0-5", "torchvision", 1_366_792),
        ("shufflenet-v2-x2-0", "torchvision", 7_393_996),
        ("ese-vovnet19b-dw", "timm", 6_543_080),
        ("ese-vovnet39b", "timm", 24_568_936),
    ],
)
def test_parameters_are_as_many_as_published(variant: str, dialect: str, count: int) -> None:
    params = architectures.build(variant, dialect).params
    trained = [param for name, param in params.items() if isinstance(param, Param) and ".running_" not in name]
    assert sum(int(np.prod(param.shape)) for param in trained) == count


def test_only_the_last_block_of_a_stage_has_a_gate_and_all_but_the_first_a_shortcut() -> None:
    names = {node.name for node in architectures.build("ese-vovnet57b", "timm").nodes}
    assert [block for block in range(4) if f"stages.2.blocks.{block}.attn.gate" in names] == [3]
    assert [block for block in range(4) if f"stages.2.blocks.{block}.add" in names] == [1, 2, 3]


def test_the_first_version_has_neither() -> None:
    names = [node.name for node in architectures.build("vovnet57a", "timm").nodes]
    assert not [name for name in names if name.endswith((".add", ".attn.gate"))]
