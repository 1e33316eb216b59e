"""VoVNet V1 and V2 (Lee et al., arXiv:1904.09730, arXiv:1911.06667): blocks that join all their layers at the end.

timm (models/vovnet.py). V2 (`ese`) adds a shortcut and scales channels by a gate; `eca` has another gate, `dw`
separable convolutions, and `evos` EvoNorm-S0 (arXiv:2004.02967) in place of batch normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from zoo.architectures.net import TORCH, Net
from zoo.graph import Graph


class Variant(NamedTuple):
    """A network.

    Args:
        layers: of each block.
        blocks: per stage.
        gate: `ese`, `eca` or none; V1 has none, and no shortcuts.
        slim: whether it has half the channels.
        separable: whether convolutions are depthwise and 1x1.
        evonorm: whether it has EvoNorm-S0.
    """

    layers: int
    blocks: tuple[int, int, int, int]
    gate: str = "ese"
    slim: bool = False
    separable: bool = False
    evonorm: bool = False


VARIANTS: Mapping[str, Variant] = {
    "vovnet39a": Variant(5, (1, 1, 2, 2), ""),
    "vovnet57a": Variant(5, (1, 1, 4, 3), ""),
    "ese-vovnet19b-slim-dw": Variant(3, (1, 1, 1, 1), slim=True, separable=True),
    "ese-vovnet19b-dw": Variant(3, (1, 1, 1, 1), separable=True),
    "ese-vovnet19b-slim": Variant(3, (1, 1, 1, 1), slim=True),
    "ese-vovnet39b": Variant(5, (1, 1, 2, 2)),
    "ese-vovnet57b": Variant(5, (1, 1, 4, 3)),
    "ese-vovnet99b": Variant(5, (1, 3, 9, 3)),
    "eca-vovnet39b": Variant(5, (1, 1, 2, 2), "eca"),
    "ese-vovnet39b-evos": Variant(5, (1, 1, 2, 2), evonorm=True),
}
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}
INNER = (128, 160, 192, 224)
"""Channels of the layers of each stage's blocks."""
OUTER = (256, 512, 768, 1024)
OUTER_SLIM = (112, 256, 384, 512)
"""Channels of each stage's output."""
GROUPS = 32
"""Of EvoNorm-S0."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    size = size or (256 if variant == "ese-vovnet57b" else 224)
    spec = VARIANTS[variant]
    net = _Vov(spec, size)
    value = "image"
    for index, (channels, stride) in enumerate(((64, 2), (64, 1), (64 if spec.separable else 128, 2))):
        value = net.layer(value, f"stem.{index}", channels, 3, stride, separable=spec.separable and index > 0)
    for stage, blocks in enumerate(spec.blocks):
        if stage:
            value = net.max_pool(value, f"stages.{stage}.pool", 3, 2, ceil=True)
            net.side = (net.side - 2) // 2 + 1
        for block in range(blocks):
            value = net.block(value, stage, block)
    value = net.flatten(net.global_pool(value, "head.global_pool.pool"), "head.global_pool.flatten")
    return net.graph(variant, net.linear(value, "head.fc", classes), size)


class _Vov(Net):
    """Layers of VoVNets, with the rows and columns of the latest map."""

    def __init__(self, spec: Variant, size: int) -> None:
        super().__init__(TORCH)
        self.spec = spec
        self.side = size

    def block(self, value: str, stage: int, block: int) -> str:
        """One-shot aggregation: layers one behind the other, joined with the input at the end."""
        spec = self.spec
        name, whole = f"stages.{stage}.blocks.{block}", value
        inner = INNER[stage] // 2 if spec.slim else INNER[stage]
        parts = [value]
        if spec.separable and self.channels[value] != inner:
            value = self.layer(value, f"{name}.conv_reduction", inner)
        for index in range(spec.layers):
            value = self.layer(value, f"{name}.conv_mid.{index}", inner, 3, separable=spec.separable)
            parts.append(value)
        outer = (OUTER_SLIM if spec.slim else OUTER)[stage]
        value = self.layer(self.concat(f"{name}.cat", *parts), f"{name}.conv_concat", outer)
        if spec.gate and block == spec.blocks[stage] - 1:
            value = self.gate(value, f"{name}.attn")
        return self.add(f"{name}.add", value, whole) if spec.gate and block else value

    def layer(
        self, value: str, name: str, out: int, kernel: int = 1, stride: int = 1, *, separable: bool = False
    ) -> str:
        """Convolution, normalisation and activation."""
        if separable:
            value = self.conv(value, f"{name}.conv_dw", self.channels[value], kernel, stride,
                              groups=self.channels[value])  # fmt: skip
            value = self.conv(value, f"{name}.conv_pw", out)
        else:
            value = self.conv(value, f"{name}.conv", out, kernel, stride)
        self.side = (self.side - 1) // stride + 1
        if self.spec.evonorm:
            return self.evonorm(value, f"{name}.bn")
        return self.act(self.norm(value, f"{name}.bn"), f"{name}.bn.act", "relu")

    def gate(self, value: str, name: str) -> str:
        """Scales channels by what the whole map says of them."""
        if self.spec.gate == "eca":
            # The nearest odd number to half of log2(channels) + 1, rounded up (arXiv:1910.03151); 5 for all these.
            return self.eca(value, name, 5)
        gates = self.conv(self.global_pool(value, f"{name}.pool"), f"{name}.fc", self.channels[value], bias=True)
        return self.node("Mul", name, value, self.act(gates, f"{name}.gate", "hard_sigmoid"))

    def evonorm(self, value: str, name: str) -> str:
        """EvoNorm-S0: x * sigmoid(v * x) over the standard deviation of a group of channels, scaled and shifted."""
        channels = self.channels[value]
        weight, bias, v = (
            self.param(f"{name}.{key}", channels, 1, 1, stored=(channels,)) for key in ("weight", "bias", "v")
        )
        self.params[f"{name}.eps"] = np.array(self.style.epsilon, np.float32)
        grouped = self.node("Reshape", f"{name}.groups", value,
                            shape=[0, GROUPS, channels // GROUPS, self.side, self.side])  # fmt: skip
        mean = self.node("ReduceMean", f"{name}.mean", grouped, axes=[2, 3, 4], keepdims=1)
        centred = self.node("Sub", f"{name}.centred", grouped, mean)
        square = self.node("Mul", f"{name}.square", centred, centred)
        variance = self.node("ReduceMean", f"{name}.variance", square, axes=[2, 3, 4], keepdims=1)
        deviation = self.node("Sqrt", f"{name}.std", self.node("Add", f"{name}.plus", variance, f"{name}.eps"))
        gates = self.node("Sigmoid", f"{name}.sigmoid", self.node("Mul", f"{name}.v_x", value, v))
        swish = self.node("Reshape", f"{name}.swish_groups", self.node("Mul", f"{name}.swish", value, gates),
                          shape=[0, GROUPS, channels // GROUPS, self.side, self.side])  # fmt: skip
        value = self.node("Reshape", f"{name}.normed", self.node("Div", f"{name}.over_std", swish, deviation),
                          shape=[0, channels, self.side, self.side], channels=channels)  # fmt: skip
        return self.node("Add", f"{name}.offset", self.node("Mul", f"{name}.scale", value, weight), bias)
