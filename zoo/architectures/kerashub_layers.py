"""Keras's layers with what KerasHub says alike in all networks, and the backbones that are made of nothing else.

A layer is named as in KerasHub; `block1a_.conv1` is the attribute `conv1` of the block `block1a_`, a layer of
KerasHub's own (`Layers.block` says of which class), which Keras stores behind that block's path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Layers:
    """Adds layers to symbolic values of Keras.

    Args:
        keras: the module.
    """

    def __init__(self, keras: Any) -> None:
        self.layers = keras.layers
        self.ops = keras.ops
        self.epsilon = 1e-5
        """Of batch normalisations."""
        self.classes: dict[str, str] = {}
        """Block -> its class in KerasHub."""

    def block(self, name: str, kind: str) -> str:
        """Takes note of a block's class; returns what its layers' names begin with."""
        self.classes[name] = kind
        return f"{name}."

    def conv(
        self, x: Any, name: str, filters: int, kernel: int = 1, strides: int = 1, *, padding: str = "valid",
        bias: bool = False, act: str | None = None, groups: int = 1,
    ) -> Any:  # fmt: skip
        """Convolution, with padding where Keras or a layer `pad` before it puts it."""
        return self.layers.Conv2D(
            filters, kernel, strides=strides, padding=padding, use_bias=bias, activation=act, groups=groups, name=name
        )(x)

    def depthwise(self, x: Any, name: str, kernel: int, strides: int = 1, *, padding: str = "valid") -> Any:
        """Depthwise convolution without bias."""
        return self.layers.DepthwiseConv2D(kernel, strides=strides, padding=padding, use_bias=False, name=name)(x)

    def norm(self, x: Any, name: str) -> Any:
        """Batch normalisation."""
        return self.layers.BatchNormalization(epsilon=self.epsilon, name=name)(x)

    def act(self, x: Any, name: str, kind: str = "relu") -> Any:
        """Activation."""
        return self.layers.Activation(kind, name=name)(x)

    def pad(self, x: Any, name: str, size: int | Sequence[Sequence[int]]) -> Any:
        """Zeros around a map."""
        return self.layers.ZeroPadding2D(size, name=name)(x)

    def add(self, first: Any, second: Any, name: str) -> Any:
        """Sum; Keras orders layers by what comes first."""
        return self.layers.Add(name=name)([first, second])

    def split(self, x: Any, parts: int) -> Any:
        """The channels in equal parts."""
        return self.ops.split(x, parts, axis=-1)

    def gated(self, x: Any, name: str, reduce: str, expand: str, squeezed: int, acts: tuple[str, str]) -> Any:
        """Squeeze-and-excitation by two 1x1 convolutions, named in full, with their activations."""
        channels = x.shape[-1]
        gates = self.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
        gates = self.conv(gates, reduce, squeezed, bias=True, act=acts[0])
        gates = self.conv(gates, expand, channels, bias=True, act=acts[1])
        return self.layers.Multiply(name=f"{name}_excite")([x, gates])


def resnet(
    make: Layers, x: Any, *, input_conv_filters: Sequence[int], input_conv_kernel_sizes: Sequence[int],
    stackwise_num_filters: Sequence[int], stackwise_num_blocks: Sequence[int], stackwise_num_strides: Sequence[int],
    block_type: str, use_pre_activation: bool,
) -> Any:  # fmt: skip
    """ResNetBackbone. Version 2 pads its max pool with minus infinity; `zoo.architectures.kerashub` sees to it."""
    x = make.pad(x, "conv1_pad", (input_conv_kernel_sizes[0] - 1) // 2)
    last = len(input_conv_filters)
    for index, (filters, kernel) in enumerate(zip(input_conv_filters, input_conv_kernel_sizes, strict=True), 1):
        strides, padding = (2, "valid") if index == 1 else (1, "same")
        x = make.conv(x, f"conv{index}_conv", filters, kernel, strides, padding=padding)
        if index < last or not use_pre_activation:
            x = make.act(make.norm(x, f"conv{index}_bn"), f"conv{index}_relu")
    x = make.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(make.pad(x, "pool1_pad", 1))
    for stack, (filters, blocks) in enumerate(zip(stackwise_num_filters, stackwise_num_blocks, strict=True)):
        for index in range(blocks):
            strides = 1 if index else stackwise_num_strides[stack]
            changed = not index and (block_type != "basic_block" or stack > 0)
            name = f"stack{stack}_block{index}"
            x = _residual(make, x, name, filters, strides, block_type, changed=changed, before=use_pre_activation)
    return make.act(make.norm(x, "post_bn"), "post_relu") if use_pre_activation else x


def _residual(
    make: Layers, x: Any, name: str, filters: int, strides: int, block_type: str, *, changed: bool, before: bool
) -> Any:
    """A block; `changed`: its shortcut has a convolution; `before`: normalisation comes first (version 2)."""
    deep = block_type.startswith("bottleneck")
    shortcut, start = x, x
    if before:
        start = make.act(make.norm(x, f"{name}_pre_activation_bn"), f"{name}_pre_activation_relu")
    if changed:
        shortcut = start
        if block_type.endswith("_vd") and not before and strides > 1:
            shortcut = make.layers.AveragePooling2D(2, strides=strides, padding="same", name=f"{name}_0_pool")(shortcut)
        inside = 1 if block_type.endswith("_vd") else strides
        shortcut = make.conv(shortcut, f"{name}_0_conv", filters * (4 if deep else 1), 1, inside)
        shortcut = shortcut if before else make.norm(shortcut, f"{name}_0_bn")
    x = start
    kernels = (1, 3, 1) if deep else (3, 3)
    for index, kernel in enumerate(kernels, 1):
        step = strides if index == (2 if deep else 1) else 1
        end = index == len(kernels)
        if step > 1:
            x = make.pad(x, f"{name}_{index}_pad", kernel // 2)
        wide = filters * 4 if deep and end else filters
        padding = "valid" if step > 1 or kernel == 1 else "same"
        x = make.conv(x, f"{name}_{index}_conv", wide, kernel, step, padding=padding)
        if not (end and before):
            x = make.norm(x, f"{name}_{index}_bn")
        x = x if end else make.act(x, f"{name}_{index}_relu")
    if before:
        return make.add(shortcut, x, f"{name}_out")
    return make.act(make.add(shortcut, x, f"{name}_add"), f"{name}_out")


def vgg(make: Layers, x: Any, *, stackwise_num_repeats: Sequence[int], stackwise_num_filters: Sequence[int]) -> Any:
    """VGGBackbone."""
    for block, (repeats, filters) in enumerate(zip(stackwise_num_repeats, stackwise_num_filters, strict=True), 1):
        for index in range(1, repeats + 1):
            x = make.conv(x, f"block{block}_conv{index}", filters, 3, padding="same", bias=True, act="relu")
        x = make.layers.MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)
    return x


def densenet(
    make: Layers, x: Any, *, stackwise_num_repeats: Sequence[int], compression_ratio: float, growth_rate: int
) -> Any:
    """DenseNetBackbone: padding as TensorFlow's, where torchvision pads as much on both sides."""
    make.epsilon = 1.001e-5
    x = make.conv(x, "conv1_conv", 64, 7, 2, padding="same")
    x = make.act(make.norm(x, "conv1_bn"), "conv1_relu")
    x = make.layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    for stack, repeats in enumerate(stackwise_num_repeats, 1):
        for block in range(1, repeats + 1):
            name, before = f"stack{stack}_block{block}", x
            x = make.act(make.norm(x, f"{name}_1_bn"), f"{name}_1_relu")
            x = make.conv(x, f"{name}_1_conv", 4 * growth_rate)
            x = make.act(make.norm(x, f"{name}_2_bn"), f"{name}_2_relu")
            x = make.conv(x, f"{name}_2_conv", growth_rate, 3, padding="same")
            x = make.layers.Concatenate(name=f"{name}_concat")([before, x])
        if stack < len(stackwise_num_repeats):
            name = f"transition{stack}"
            x = make.act(make.norm(x, f"{name}_bn"), f"{name}_relu")
            x = make.conv(x, f"{name}_conv", int(x.shape[-1] * compression_ratio))
            x = make.layers.AveragePooling2D(2, strides=2, name=f"{name}_pool")(x)
    return make.act(make.norm(x, "bn"), "relu")


def xception(
    make: Layers, x: Any, *, stackwise_conv_filters: Sequence[Sequence[int]], stackwise_pooling: Sequence[bool]
) -> Any:
    """XceptionBackbone."""
    make.epsilon = 1e-3
    last = len(stackwise_conv_filters)
    for block, (widths, pooled) in enumerate(zip(stackwise_conv_filters, stackwise_pooling, strict=True), 1):
        before = x
        for index, filters in enumerate(widths, 1):
            kind = "conv" if block == 1 else "sepconv"
            name = f"block{block}_{kind}{index}"
            if 1 < block < last and (block, index) != (2, 1):
                x = make.act(x, f"{name}_act")
            if block == 1:
                x = make.conv(x, name, filters, 3, 2 if index == 1 else 1)
            else:
                x = make.layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
            x = make.norm(x, f"{name}_bn")
            if block in (1, last):
                x = make.act(x, f"{name}_act")
        if pooled:
            x = make.layers.MaxPool2D(3, strides=2, padding="same", name=f"block{block}_pool")(x)
        if 1 < block < last:
            name = f"block{block}_residual"
            if x.shape[-1] != before.shape[-1]:
                before = make.norm(make.conv(before, f"{name}_conv", x.shape[-1], 1, 2, padding="same"), f"{name}_bn")
            x = make.add(x, before, f"{name}_add")
    return x
