"""CondConv (arXiv:1904.04971): a convolution whose kernel is a sum of several, weighted for each image.

What the weighted sum of kernels makes of a map is what the kernels, side by side along the input channels, make of as
many copies of the map, each times its weight. A depthwise convolution's results are added behind it instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from zoo.architectures.net import Net
from zoo.graph import Param


def routed(net: Net, value: str, name: str, experts: int) -> tuple[str, ...]:
    """Returns the weights of `experts` kernels, (N, 1, 1, 1) each, that a dense layer makes of a map's averages."""
    row = net.flatten(net.global_pool(value, f"{name}.pool"), f"{name}.flatten")
    row = net.act(net.linear(row, name, experts), f"{name}.sigmoid", "sigmoid")
    row = net.node("Reshape", f"{name}.maps", row, shape=[0, experts, 1, 1])
    return net.split(row, f"{name}.weights", *(1,) * experts)


def convolved(
    net: Net, value: str, name: str, out: int, kernel: int, stride: int, *, depthwise: bool, weights: Sequence[str]
) -> str:
    """Returns what a convolution without bias makes of a map with the sum of its kernels by `weights`."""
    experts = len(weights)
    copies = [net.node("Mul", f"{name}.weighted.{i}", value, weight) for i, weight in enumerate(weights)]
    value = net.concat(f"{name}.copies", *copies)
    # tensorflow/tpu's condconv_layers.py names its kernels so; torch's have a weight like any layer's.
    suffix = net.style.depthwise if depthwise else net.style.kernel
    array = name + suffix.replace("kernel", "condconv_kernel")
    if depthwise:
        wide = experts * out
        value = net.conv(value, f"{name}.each", wide, kernel, stride, groups=wide, weights=array)
        value = net.add(name, *net.split(value, f"{name}.parts", *(out,) * experts))
    else:
        value = net.conv(value, name, out, kernel, stride, weights=array)
    declared = net.params[array]
    assert isinstance(declared, Param)
    net.params[array] = replace(declared, experts=experts)
    return value
