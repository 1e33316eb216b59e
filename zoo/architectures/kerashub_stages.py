"""KerasHub's CSPNet and HGNetV2 backbones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.architectures.kerashub_layers import Layers


def cspnet(
    make: Layers, x: Any, *, stem_filters: int, stem_kernel_size: int, stem_strides: int, stem_padding: str,
    stem_pooling: str | None, stackwise_depth: Sequence[int], stackwise_strides: Sequence[int],
    stackwise_num_filters: Sequence[int], bottle_ratio: Sequence[float], block_ratio: Sequence[float],
    expand_ratio: Sequence[float], stage_type: str, block_type: str, groups: int, down_growth: bool,
    cross_linear: bool, avg_down: bool = False,
) -> Any:  # fmt: skip
    """CSPNetBackbone of `csp` and `dark` stages; its leaky ReLU has a slope of 0.01."""
    if stem_strides > 1:
        x = make.pad(x, "csp_stem_pad_0", (stem_kernel_size - 1) // 2)
    strides = 2 if stem_strides > 1 else 1
    x = make.conv(x, "csp_stem_conv_0", stem_filters, stem_kernel_size, strides, padding=stem_padding)
    x = _leaky(make, make.norm(x, "csp_stem_bn_0"), "csp_stem_activation_0")
    if stem_pooling:
        x = make.layers.MaxPooling2D(3, strides=2, name="csp_stem_pool")(make.pad(x, "csp_stem_pool_pad", 1))
    for stage, (depth, filters) in enumerate(zip(stackwise_depth, stackwise_num_filters, strict=True)):
        strides, name = stackwise_strides[stage], f"stage_{stage}"
        inside = round(filters * _of(block_ratio, stage))
        ratio = _of(bottle_ratio, stage)
        wide = round(filters * _of(expand_ratio, stage))
        if strides > 1:
            down = filters if down_growth or stage_type == "dark" else x.shape[-1]
            x = make.pad(x, f"{name}_{stage_type}_conv_pad_1", 1)
            x = make.conv(x, f"{name}_{stage_type}_conv_down_1", down, 3, strides, groups=groups)
            x = _leaky(make, make.norm(x, f"{name}_{stage_type}_bn_1"), f"{name}_{stage_type}_activation_1")
        if stage_type == "dark":
            x = _blocks(make, x, name, depth, inside, ratio, groups, block_type)
            continue
        x = make.norm(make.conv(x, f"{name}_csp_conv_exp", wide), f"{name}_csp_bn_2")
        x = x if cross_linear else _leaky(make, x, f"{name}_csp_activation_2")
        kept, x = make.split(x, 2)
        x = _blocks(make, x, name, depth, inside, ratio, groups, block_type)
        x = make.norm(make.conv(x, f"{name}_csp_conv_transition_b", wide // 2), f"{name}_csp_transition_b_bn")
        x = _leaky(make, x, f"{name}_csp_transition_b_activation")
        x = make.layers.Concatenate(name=f"{name}_csp_conv_concat")([kept, x])
        x = make.norm(make.conv(x, f"{name}_csp_conv_transition", filters), f"{name}_csp_transition_bn")
        x = _leaky(make, x, f"{name}_csp_transition_activation")
    return x


def _of(numbers: Sequence[float], stage: int) -> float:
    """The last one stands for all that follow."""
    return numbers[min(stage, len(numbers) - 1)]


def _leaky(make: Layers, x: Any, name: str) -> Any:
    return make.layers.LeakyReLU(negative_slope=0.01, name=name)(x)


def _blocks(
    make: Layers, x: Any, name: str, depth: int, filters: int, ratio: float, groups: int, block_type: str
) -> Any:
    """`dark_block`: 1x1, 3x3. `bottleneck_block`: 1x1, grouped 3x3, 1x1, and what follows the sum."""
    hidden, deep = round(filters * ratio), block_type == "bottleneck_block"
    for index in range(depth):
        own, before = f"{name}_block_{index}_{block_type}", x
        x = _leaky(make, make.norm(make.conv(x, f"{own}_conv_1", hidden), f"{own}_bn_1"), f"{own}_activation_1")
        wide = hidden if deep else filters
        x = make.conv(x, f"{own}_conv_2", wide, 3, padding="same", groups=groups)
        x = _leaky(make, make.norm(x, f"{own}_bn_2"), f"{own}_activation_2")
        if deep:
            x = make.norm(make.conv(x, f"{own}_conv_3", filters), f"{own}_bn_3")
        x = make.add(x, before, f"{own}_add")
        x = _leaky(make, x, f"{own}_activation_4") if deep else x
    return x


def hgnetv2(
    make: Layers, x: Any, *, stem_channels: Sequence[int], stackwise_stage_filters: Sequence[Sequence[int]],
    apply_downsample: Sequence[bool], use_lightweight_conv_block: Sequence[bool],
) -> Any:  # fmt: skip
    """HGNetV2Backbone without learnable affine blocks, which the distilled (`ssld`) networks do not have."""
    _, first, last = stem_channels
    own = make.block("embedder", "HGNetV2Embeddings")
    x = make.pad(convolved(make, x, f"{own}stem1_layer", first, 3, 2), f"{own}padding1", ((0, 1), (0, 1)))
    thin = convolved(make, x, f"{own}stem2a_layer", first // 2, 2)
    thin = make.pad(thin, f"{own}padding2", ((0, 1), (0, 1)))
    thin = convolved(make, thin, f"{own}stem2b_layer", first, 2)
    pooled = make.layers.MaxPooling2D(2, strides=1, name=f"{own}pool_layer")(x)
    x = make.layers.Concatenate(name=f"{own}concatenate_layer")([pooled, thin])
    x = convolved(make, convolved(make, x, f"{own}stem3_layer", first, 3, 2), f"{own}stem4_layer", last, 1)
    own = make.block("encoder", "HGNetV2Encoder")
    for stage, (channels, inside, filters, blocks, layers, kernel) in enumerate(stackwise_stage_filters):
        name = f"{own}stages_list.{_counted('hg_net_v2_stage', stage)}"
        if apply_downsample[stage]:
            x = convolved(make, x, f"{name}.downsample_layer", channels, 3, 2, groups=channels, act=False)
        light = use_lightweight_conv_block[stage]
        for index in range(blocks):
            block = f"{name}.blocks_list.{_counted('hg_net_v2_basic_layer', index)}"
            x = _aggregated(make, x, block, inside, filters, layers, kernel, light=light, residual=index > 0)
    return x


def convolved(
    make: Layers, x: Any, name: str, filters: int, kernel: int, strides: int = 1, *, groups: int = 1, act: bool = True
) -> Any:
    """`HGNetV2ConvLayer`."""
    if kernel > 2:
        x = make.pad(x, f"{name}.padding", (kernel - 1) // 2)
    x = make.conv(x, f"{name}.convolution", filters, kernel, strides, groups=groups)
    x = make.norm(x, f"{name}.normalization")
    return make.act(x, f"{name}.activation_layer") if act else x


def _aggregated(
    make: Layers, before: Any, name: str, inside: int, filters: int, layers: int, kernel: int, *, light: bool,
    residual: bool,
) -> Any:  # fmt: skip
    """`HGNetV2BasicLayer`: every layer's result goes into two 1x1 convolutions."""
    x, found = before, [before]
    for index in range(layers):
        if light:
            own = f"{name}.layer_list.{_counted('hg_net_v2_conv_layer_light', index)}"
            x = convolved(make, x, f"{own}.conv1_layer", inside, 1, act=False)
            x = convolved(make, x, f"{own}.conv2_layer", inside, kernel, groups=inside)
        else:
            x = convolved(make, x, f"{name}.layer_list.{_counted('hg_net_v2_conv_layer', index)}", inside, kernel)
        found.append(x)
    x = make.layers.Concatenate(name=f"{name}.concatenate_layer")(found)
    x = convolved(make, x, f"{name}.aggregation_squeeze_conv", filters // 2, 1)
    x = convolved(make, x, f"{name}.aggregation_excitation_conv", filters, 1)
    return make.add(x, before, f"{name}.add_layer") if residual else x


def _counted(name: str, index: int) -> str:
    """As Keras names the members of a list."""
    return f"{name}_{index}" if index else name
