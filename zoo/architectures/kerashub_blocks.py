"""The backbones of KerasHub that are made of blocks of its own: EfficientNet and MobileNet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from zoo.architectures.kerashub_layers import Layers
from zoo.architectures.net import scaled


def efficientnet(
    make: Layers, x: Any, *, stackwise_width_coefficients: Sequence[float],
    stackwise_depth_coefficients: Sequence[float], stackwise_kernel_sizes: Sequence[int],
    stackwise_num_repeats: Sequence[int], stackwise_input_filters: Sequence[int],
    stackwise_output_filters: Sequence[int], stackwise_expansion_ratios: Sequence[int],
    stackwise_squeeze_and_excite_ratios: Sequence[float], stackwise_strides: Sequence[int],
    stackwise_block_types: Sequence[str], activation: str = "swish", num_features: int = 1280,
) -> Any:  # fmt: skip
    """EfficientNetBackbone, as it is for timm's networks: padding of its own, epsilon 1e-5, never below 8 channels."""
    kind = {"swish": "silu"}.get(activation, activation)
    x = make.pad(x, "stem_conv_pad", 1)
    x = make.conv(x, "stem_conv", scaled(stackwise_input_filters[0], stackwise_width_coefficients[0]), 3, 2)
    x = make.act(make.norm(x, "stem_bn"), "stem_activation", kind)
    for stack, block_type in enumerate(stackwise_block_types):
        width = stackwise_width_coefficients[stack]
        for index in range(math.ceil(stackwise_depth_coefficients[stack] * stackwise_num_repeats[stack])):
            name = f"block{stack + 1}{chr(ord('a') + index)}_"
            x = _BLOCKS[block_type](
                make, x, name, scaled(stackwise_output_filters[stack], width), stackwise_kernel_sizes[stack],
                1 if index else stackwise_strides[stack], stackwise_expansion_ratios[stack],
                stackwise_squeeze_and_excite_ratios[stack], kind,
            )  # fmt: skip
    x = make.conv(x, "top_conv", scaled(num_features, stackwise_width_coefficients[-1]), padding="same")
    return make.act(make.norm(x, "top_bn"), "top_activation", kind)


def _version_1(
    make: Layers, before: Any, name: str, filters: int, kernel: int, strides: int, ratio: int, squeeze: float, kind: str
) -> Any:
    """`_apply_efficientnet_block`: plain layers."""
    x, wide = before, before.shape[-1] * ratio
    if ratio != 1:
        x = make.conv(x, f"{name}expand_conv", wide, padding="same")
        x = make.act(make.norm(x, f"{name}expand_bn"), f"{name}expand_activation", kind)
    x = make.depthwise(make.pad(x, f"{name}dwconv_pad", kernel // 2), f"{name}dwconv", kernel, strides)
    x = make.act(make.norm(x, f"{name}dwconv_bn"), f"{name}dwconv_activation", kind)
    if squeeze:
        reduced = max(1, int(before.shape[-1] * squeeze))
        x = make.gated(x, f"{name}se", f"{name}se_reduce", f"{name}se_expand", reduced, (kind, "sigmoid"))
    x = make.norm(make.conv(x, f"{name}project", filters, padding="same"), f"{name}project_bn")
    return _joined(make, x, before, name, strides)


def _unfused(
    make: Layers, before: Any, name: str, filters: int, kernel: int, strides: int, ratio: int, squeeze: float, kind: str
) -> Any:
    """`MBConvBlock`; its depthwise convolution pads as TensorFlow's SAME."""
    own = make.block(name, "MBConvBlock")
    x = make.conv(before, f"{own}conv1", before.shape[-1] * ratio, padding="same")
    x = make.act(make.norm(x, f"{own}bn1"), f"{own}act1", kind)
    x = make.depthwise(x, f"{own}depthwise", kernel, strides, padding="same")
    x = make.act(make.norm(x, f"{own}bn2"), f"{own}act2", kind)
    x = _squeezed(make, x, own, before.shape[-1], squeeze, kind)
    x = make.norm(make.conv(x, f"{own}output_conv", filters), f"{own}bn3")
    return _joined(make, x, before, own, strides)


def _fused(
    make: Layers, before: Any, name: str, filters: int, kernel: int, strides: int, ratio: int, squeeze: float, kind: str
) -> Any:
    """`FusedMBConvBlock`."""
    own = make.block(name, "FusedMBConvBlock")
    x = make.conv(make.pad(before, f"{own}pad", kernel // 2), f"{own}conv1", before.shape[-1] * ratio, kernel, strides)
    x = make.act(make.norm(x, f"{own}bn1"), f"{own}act", kind)
    x = _squeezed(make, x, own, before.shape[-1], squeeze, kind)
    x = make.norm(make.conv(x, f"{own}output_conv", filters), f"{own}bn2")
    return _joined(make, x, before, own, strides)


def _plain(
    make: Layers, before: Any, name: str, filters: int, kernel: int, strides: int, ratio: int, squeeze: float, kind: str
) -> Any:
    """`CBABlock`: one convolution."""
    own = make.block(name, "CBABlock")
    x = make.conv(make.pad(before, f"{own}pad", kernel // 2), f"{own}conv1", filters, kernel, strides)
    return _joined(make, make.act(make.norm(x, f"{own}bn1"), f"{own}act", kind), before, own, strides)


_BLOCKS = {"v1": _version_1, "unfused": _unfused, "fused": _fused, "cba": _plain}


def _squeezed(make: Layers, x: Any, own: str, channels: int, ratio: float, kind: str) -> Any:
    if not ratio:
        return x
    reduced = max(1, int(channels * ratio))
    return make.gated(x, f"{own}se", f"{own}se_conv1", f"{own}se_conv2", reduced, (kind, "sigmoid"))


def _joined(make: Layers, x: Any, before: Any, name: str, strides: int) -> Any:
    """The sum with the input, where both have one shape."""
    return make.add(x, before, f"{name}add") if strides == 1 and x.shape[-1] == before.shape[-1] else x


def mobilenet(
    make: Layers, x: Any, *, stackwise_expansion: Sequence[Sequence[int]], stackwise_num_blocks: Sequence[int],
    stackwise_num_filters: Sequence[Sequence[int]], stackwise_kernel_size: Sequence[Sequence[int]],
    stackwise_num_strides: Sequence[Sequence[int]], stackwise_se_ratio: Sequence[Sequence[float | None]],
    stackwise_activation: Sequence[Sequence[str]], stackwise_padding: Sequence[Sequence[int]], depthwise_filters: int,
    depthwise_stride: int, depthwise_residual: bool, last_layer_filter: int, squeeze_and_excite: float | None,
    input_activation: str, input_num_filters: int,
) -> Any:  # fmt: skip
    """MobileNetBackbone."""
    x = make.conv(make.pad(x, "input_pad", 1), "input_conv", scaled(input_num_filters), 3, 2)
    x = make.act(make.norm(x, "input_batch_norm"), "input_activation", input_activation)
    own, before = make.block("block_0_0", "DepthwiseConvBlock"), x
    x = _grouped(make, make.pad(x, f"{own}pad", 1), f"{own}conv1", 3, depthwise_stride)
    x = make.act(make.norm(x, f"{own}batch_normalization1"), f"{own}activation1")
    if squeeze_and_excite:
        x = _mobile_gate(make, x, f"{own}se_layer", squeeze_and_excite)
    x = make.norm(make.conv(x, f"{own}conv2", depthwise_filters), f"{own}batch_normalization2")
    x = make.add(x, before, f"{own}add") if depthwise_residual else x
    for stack, blocks in enumerate(stackwise_num_blocks):
        for index in range(blocks):
            own, before = make.block(f"block_{stack + 1}_{index}", "InvertedResidualBlock"), x
            kind, strides = stackwise_activation[stack][index], stackwise_num_strides[stack][index]
            x = make.conv(x, f"{own}conv1", scaled(stackwise_expansion[stack][index]))
            x = make.act(make.norm(x, f"{own}batch_normalization1"), f"{own}activation1", kind)
            x = make.pad(x, f"{own}pad", stackwise_padding[stack][index])
            x = _grouped(make, x, f"{own}conv2", stackwise_kernel_size[stack][index], strides)
            x = make.act(make.norm(x, f"{own}batch_normalization2"), f"{own}activation2", kind)
            ratio = stackwise_se_ratio[stack][index]
            x = _mobile_gate(make, x, f"{own}squeeze_excite", ratio) if ratio else x
            x = make.conv(x, f"{own}conv3", scaled(stackwise_num_filters[stack][index]))
            x = make.norm(x, f"{own}batch_normalization3")
            x = _joined(make, x, before, own, strides)
    own = make.block(f"block_{len(stackwise_num_blocks) + 1}_0", "ConvBnActBlock")
    x = make.norm(make.conv(x, f"{own}conv", scaled(last_layer_filter)), f"{own}batch_normalization")
    return make.act(x, f"{own}activation_layer", "hard_swish")


def _grouped(make: Layers, x: Any, name: str, kernel: int, strides: int) -> Any:
    """A depthwise convolution that is kept as one of as many groups as channels."""
    return make.conv(x, name, x.shape[-1], kernel, strides, groups=x.shape[-1])


def _mobile_gate(make: Layers, x: Any, name: str, ratio: float) -> Any:
    """`SqueezeAndExcite2D`."""
    reduced = scaled(x.shape[-1] * ratio)
    return make.gated(x, name, f"{name}.conv_reduce", f"{name}.conv_expand", reduced, ("relu", "hard_sigmoid"))
