"""What KerasHub's presets are made with: backbone and arguments of each, as their config.json has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Known(NamedTuple):
    """A preset's network; `head` are arguments of the classifier."""

    backbone: str
    size: int
    config: Mapping[str, Any]
    head: Mapping[str, Any] = {}


def _resnet(depths: tuple[int, ...], block: str, *, deep_stem: bool = False, before: bool = False) -> Known:
    return Known(
        "ResNetBackbone",
        224,
        {
            "input_conv_filters": [32, 32, 64] if deep_stem else [64],
            "input_conv_kernel_sizes": [3, 3, 3] if deep_stem else [7],
            "stackwise_num_filters": [64, 128, 256, 512],
            "stackwise_num_blocks": list(depths),
            "stackwise_num_strides": [1, 2, 2, 2],
            "block_type": block,
            "use_pre_activation": before,
        },
    )


_DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3),
           200: (3, 12, 48, 3)}  # fmt: skip


def _resnets() -> dict[str, Known]:
    found = {f"resnet{n}": _resnet(_DEPTHS[n], f"{_kind(n)}_block") for n in (18, 50, 101, 152)}
    found |= {f"resnetv2-{n}": _resnet(_DEPTHS[n], "bottleneck_block", before=True) for n in (50, 101)}
    vd = {f"resnet-vd-{n}": _resnet(depths, f"{_kind(n)}_block_vd", deep_stem=True) for n, depths in _DEPTHS.items()}
    return found | vd


def _kind(depth: int) -> str:
    return "basic" if depth < 50 else "bottleneck"


def _vgg(*repeats: int) -> Known:
    return Known(
        "VGGBackbone",
        224,
        {"stackwise_num_repeats": list(repeats), "stackwise_num_filters": [64, 128, 256, 512, 512]},
    )


def _densenet(*repeats: int) -> Known:
    return Known(
        "DenseNetBackbone",
        224,
        {"stackwise_num_repeats": list(repeats), "compression_ratio": 0.5, "growth_rate": 32},
    )


def _efficientnet(size: int, width: float = 1.0, depth: float = 1.0, **more: Any) -> Known:
    base = {
        "stackwise_width_coefficients": [width] * 7,
        "stackwise_depth_coefficients": [depth] * 7,
        "stackwise_squeeze_and_excite_ratios": [0.25] * 7,
        "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
        "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
        "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
        "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
        "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
        "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
        "stackwise_block_types": ["v1"] * 7,
    }
    return Known("EfficientNetBackbone", size, {**base, **more})


def _version_2(size: int, width: float, depths: list[float], last: int = 272, **more: Any) -> Known:
    return _efficientnet(
        size,
        stackwise_width_coefficients=[width] * 6,
        stackwise_depth_coefficients=depths,
        stackwise_squeeze_and_excite_ratios=[0, 0, 0, 0.25, 0.25, 0.25],
        stackwise_kernel_sizes=[3] * 6,
        stackwise_num_repeats=[2, 4, 4, 6, 9, 15],
        stackwise_input_filters=[24, 24, 48, 64, 128, 160],
        stackwise_output_filters=[24, 48, 64, 128, 160, last],
        stackwise_expansion_ratios=[1, 4, 4, 4, 6, 6],
        stackwise_strides=[1, 2, 2, 2, 1, 2],
        activation="silu",
        **{"stackwise_block_types": ["fused"] * 3 + ["unfused"] * 3, **more},
    )


def _mobilenet(**more: Any) -> Known:
    small = {
        "stackwise_num_blocks": [2, 3, 2, 3],
        "stackwise_expansion": [[40, 56], [64, 144, 144], [72, 72], [144, 288, 288]],
        "stackwise_num_filters": [[16, 16], [24, 24, 24], [24, 24], [48, 48, 48]],
        "stackwise_kernel_size": [[3, 3], [5, 5, 5], [5, 5], [5, 5, 5]],
        "stackwise_num_strides": [[2, 1], [2, 1, 1], [1, 1], [2, 1, 1]],
        "stackwise_se_ratio": [[None, None], [0.25] * 3, [0.25] * 2, [0.25] * 3],
        "stackwise_activation": [["relu"] * 2, ["hard_swish"] * 3, ["hard_swish"] * 2, ["hard_swish"] * 3],
        "stackwise_padding": [[1, 1], [2, 2, 2], [2, 2], [2, 2, 2]],
        "input_num_filters": 16,
        "depthwise_filters": 8,
        "depthwise_stride": 2,
        "depthwise_residual": False,
        "squeeze_and_excite": 0.5,
        "last_layer_filter": 288,
        "input_activation": "hard_swish",
    }
    return Known("MobileNetBackbone", 224, {**small, **more}, {"num_features": 1024})


_CSPNETS: Mapping[str, Mapping[str, Any]] = {
    "cspdarknet53": {
        "stem_filters": 32, "stem_kernel_size": 3, "stem_strides": 1, "stem_padding": "same", "stem_pooling": None,
        "stackwise_depth": [1, 2, 8, 8, 4], "stackwise_strides": [2, 2, 2, 2, 2],
        "stackwise_num_filters": [64, 128, 256, 512, 1024], "bottle_ratio": [0.5, 1.0], "block_ratio": [1.0, 0.5],
        "expand_ratio": [2.0, 1.0], "stage_type": "csp", "block_type": "dark_block", "groups": 1, "down_growth": True,
        "cross_linear": False,
    },
    "darknet53": {
        "stem_filters": 32, "stem_kernel_size": 3, "stem_strides": 1, "stem_padding": "same", "stem_pooling": None,
        "stackwise_depth": [1, 2, 8, 8, 4], "stackwise_strides": [2, 2, 2, 2, 2],
        "stackwise_num_filters": [64, 128, 256, 512, 1024], "bottle_ratio": [0.5], "block_ratio": [1.0],
        "expand_ratio": [1.0], "stage_type": "dark", "block_type": "dark_block", "groups": 1, "down_growth": False,
        "cross_linear": False,
    },
    "cspresnet50": {
        "stem_filters": 64, "stem_kernel_size": 7, "stem_strides": 4, "stem_padding": "valid", "stem_pooling": "max",
        "stackwise_depth": [3, 3, 5, 2], "stackwise_strides": [1, 2, 2, 2],
        "stackwise_num_filters": [128, 256, 512, 1024], "bottle_ratio": [0.5], "block_ratio": [1.0],
        "expand_ratio": [2.0], "stage_type": "csp", "block_type": "bottleneck_block", "groups": 1,
        "down_growth": False, "cross_linear": True,
    },
    "cspresnext50": {
        "stem_filters": 64, "stem_kernel_size": 7, "stem_strides": 4, "stem_padding": "valid", "stem_pooling": "max",
        "stackwise_depth": [3, 3, 5, 2], "stackwise_strides": [1, 2, 2, 2],
        "stackwise_num_filters": [256, 512, 1024, 2048], "bottle_ratio": [1.0], "block_ratio": [0.5],
        "expand_ratio": [1.0], "stage_type": "csp", "block_type": "bottleneck_block", "groups": 32,
        "down_growth": False, "cross_linear": True,
    },
}  # fmt: skip


def _hgnetv2(stem: list[int], *stages: list[int]) -> Known:
    return Known(
        "HGNetV2Backbone",
        224,
        {
            "stem_channels": stem,
            "stackwise_stage_filters": list(stages),
            "apply_downsample": [False, True, True, True],
            "use_lightweight_conv_block": [False, False, True, True],
        },
        {"head_filters": 2048},
    )


_SMALL_100 = {
    "stackwise_expansion": [[72, 88], [96, 240, 240], [120, 144], [288, 576, 576]],
    "stackwise_num_filters": [[24, 24], [40, 40, 40], [48, 48], [96, 96, 96]],
    "depthwise_filters": 16,
    "last_layer_filter": 576,
}
_LARGE_100 = {
    "stackwise_num_blocks": [2, 3, 4, 2, 3],
    "stackwise_expansion": [[64, 72], [72, 120, 120], [240, 200, 184, 184], [480, 672], [672, 960, 960]],
    "stackwise_num_filters": [[24, 24], [40] * 3, [80] * 4, [112, 112], [160] * 3],
    "stackwise_kernel_size": [[3, 3], [5, 5, 5], [3, 3, 3, 3], [3, 3], [5, 5, 5]],
    "stackwise_num_strides": [[2, 1], [2, 1, 1], [2, 1, 1, 1], [1, 1], [2, 1, 1]],
    "stackwise_se_ratio": [[None] * 2, [0.25] * 3, [None] * 4, [0.25] * 2, [0.25] * 3],
    "stackwise_activation": [["relu"] * 2, ["relu"] * 3, ["hard_swish"] * 4, ["hard_swish"] * 2, ["hard_swish"] * 3],
    "stackwise_padding": [[1, 1], [2, 2, 2], [1, 1, 1, 1], [1, 1], [2, 2, 2]],
    "depthwise_filters": 16,
    "depthwise_stride": 1,
    "depthwise_residual": True,
    "squeeze_and_excite": None,
    "last_layer_filter": 960,
}

ASSUMED: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "CSPNetBackbone": {"activation": ("leaky_relu",), "avg_down": (False,), "output_strides": (32,)},
    "EfficientNetBackbone": {
        "batch_norm_epsilon": (1e-5,), "cap_round_filter_decrease": (True,), "depth_divisor": (8,),
        "include_stem_padding": (True,), "projection_activation": (None,), "stem_conv_padding": ("valid",),
        "stackwise_force_input_filters": ([0] * 6, [0] * 7), "stackwise_nores_option": ([False] * 6, [False] * 7),
        "use_depth_divisor_as_min_depth": (True,), "activation": ("silu", "relu6"),
    },
    "HGNetV2Backbone": {"hidden_act": ("relu",), "use_learnable_affine_block": (False,)},
}  # fmt: skip
"""Arguments that are alike in all networks here: what they may be."""

NETWORKS: Mapping[str, Known] = {
    **_resnets(),
    **{name: Known("CSPNetBackbone", 256, config) for name, config in _CSPNETS.items()},
    "hgnetv2-b4": _hgnetv2(
        [3, 32, 48], [48, 48, 128, 1, 6, 3], [128, 96, 512, 1, 6, 3], [512, 192, 1024, 3, 6, 5],
        [1024, 384, 2048, 1, 6, 5],
    ),
    "hgnetv2-b5": _hgnetv2(
        [3, 32, 64], [64, 64, 128, 1, 6, 3], [128, 128, 512, 2, 6, 3], [512, 256, 1024, 5, 6, 5],
        [1024, 512, 2048, 2, 6, 5],
    ),
    "hgnetv2-b6": _hgnetv2(
        [3, 48, 96], [96, 96, 192, 2, 6, 3], [192, 192, 512, 3, 6, 3], [512, 384, 1024, 6, 6, 5],
        [1024, 768, 2048, 3, 6, 5],
    ),
    "vgg11": _vgg(1, 1, 2, 2, 2),
    "vgg13": _vgg(2, 2, 2, 2, 2),
    "vgg16": _vgg(2, 2, 3, 3, 3),
    "vgg19": _vgg(2, 2, 4, 4, 4),
    "densenet121": _densenet(6, 12, 24, 16),
    "densenet169": _densenet(6, 12, 32, 32),
    "densenet201": _densenet(6, 12, 48, 32),
    "xception": Known(
        "XceptionBackbone",
        299,
        {
            "stackwise_conv_filters": [[32, 64], [128, 128], [256, 256], [728, 728], *[[728] * 3] * 8, [728, 1024],
                                       [1536, 2048]],
            "stackwise_pooling": [False, True, True, True, *[False] * 8, True, False],
        },
    ),
    "efficientnet-b0": _efficientnet(224),
    "efficientnet-b1": _efficientnet(240, 1.0, 1.1),
    "efficientnet-b2": _efficientnet(256, 1.1, 1.2),
    "efficientnet-b3": _efficientnet(288, 1.2, 1.4),
    "efficientnet-b4": _efficientnet(320, 1.4, 1.8),
    "efficientnet-b5": _efficientnet(448, 1.6, 2.2),
    "efficientnet-lite0": _efficientnet(224, stackwise_squeeze_and_excite_ratios=[0] * 7, activation="relu6"),
    "efficientnetv2-rw-m": _version_2(320, 1.2, [1.2] * 4 + [1.6] * 2, num_features=1792),
    "efficientnetv2-rw-s": _version_2(288, 1.0, [1.0] * 6, num_features=1792),
    "efficientnetv2-rw-t": _version_2(
        224, 0.8, [0.9] * 6, 256, stackwise_block_types=["cba", "fused", "fused", "unfused", "unfused", "unfused"]
    ),
    "mobilenetv3-small-050": _mobilenet(),
    "mobilenetv3-small-100": _mobilenet(**_SMALL_100),
    "mobilenetv3-large-100": Known("MobileNetBackbone", 224, _mobilenet(**_LARGE_100).config, {"num_features": 1280}),
}  # fmt: skip
"""Variant -> what its preset's files say. The numbers are those of keras-hub 0.32.0 src/utils/timm/convert_*.py and of
keras-team/keras-hub tools/checkpoint_conversion/convert_resnet_vd_checkpoints.py, convert_xception_checkpoints.py."""
