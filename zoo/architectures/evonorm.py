"""EvoNorm-S0 (Liu et al., arXiv:2004.02967): normalisation and activation as one layer, of each image's own statistics.

It is x * sigmoid(v * x) / deviation * weight + bias, the deviation being that of a group of channels and v a number for
each channel. timm (layers/evo_norm.py) has two kinds, which differ where a network wants no activation: `S0` then
divides by nothing, `S0a` still by the deviation.
"""

from __future__ import annotations

from typing import Literal

from zoo.architectures.net import Net

Kind = Literal["S0", "S0a"]
EPSILON: dict[Kind, float] = {"S0": 1e-5, "S0a": 1e-3}


def normed(net: Net, value: str, name: str, groups: int, *, kind: Kind = "S0", act: bool = True) -> str:
    """Adds an EvoNorm, with its activation where `act` says so."""
    result = value
    if act:
        gate = net.node("Mul", f"{name}.gated", value, _per_channel(net, value, f"{name}.v"))
        result = net.node("Mul", f"{name}.active", value, net.node("Sigmoid", f"{name}.gate", gate))
    if act or kind == "S0a":
        result = net.node("Div", f"{name}.normalised", result, _deviation(net, value, name, groups, EPSILON[kind]))
    result = net.node("Mul", f"{name}.scaled", result, _per_channel(net, value, f"{name}.weight"))
    return net.node("Add", name, result, _per_channel(net, value, f"{name}.bias"))


def _per_channel(net: Net, value: str, name: str) -> str:
    channels = net.channels[value]
    return net.param(name, channels, 1, 1, stored=(channels,))


def _deviation(net: Net, value: str, name: str, groups: int, epsilon: float) -> str:
    """The standard deviation of each group, for each of its channels, (N, C, 1, 1)."""
    mean = _of_groups(net, net.global_pool(value, f"{name}.mean"), groups)
    centred = net.node("Sub", f"{name}.centred", value, mean)
    square = net.node("Mul", f"{name}.square", centred, centred)
    variance = _of_groups(net, net.global_pool(square, f"{name}.variance"), groups)
    variance = net.node("Add", f"{name}.variance_epsilon", variance, net.param(f"{name}.epsilon", stored=epsilon))
    return net.node("Sqrt", f"{name}.deviation", variance)


def _of_groups(net: Net, value: str, groups: int) -> str:
    """Channels' averages, (N, C, 1, 1) -> those of their groups, as many."""
    channels = net.channels[value]
    if groups == channels:
        return value
    parts = net.node("Reshape", f"{value}.parts", value, channels=groups, shape=(0, groups, channels // groups, 1))
    parts = net.node("ReduceMean", f"{value}.groups", parts, axes=(2,), keepdims=1)
    parts = net.node("Expand", f"{value}.expanded", parts, shape=(1, groups, channels // groups, 1))
    return net.node("Reshape", f"{value}.of_groups", parts, channels=channels, shape=(0, channels, 1, 1))
