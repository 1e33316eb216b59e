"""InceptionNeXt (Yu et al., arXiv:2303.16900): ConvNeXt whose depthwise convolution is split into four branches.

Most channels pass as they are; three equal shares of them go through a depthwise 3x3 convolution and two bands, one
along rows and one along columns. Batch normalisations stand where ConvNeXt normalises positions.

Source: huggingface/pytorch-image-models timm/models/inception_next.py, which has sail-sg/inceptionnext's weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.architectures.net import TORCH, Net
from zoo.graph import Graph

WIDER = (4, 4, 4, 3)
"""How much wider blocks are inside, by stage."""
HEAD_WIDER = 3
HEAD_EPSILON = 1e-6


@dataclass(frozen=True)
class Variant:
    """Numbers of one network."""

    depths: tuple[int, int, int, int]
    width: int
    """Channels of the first stage; each stage doubles them."""
    share: int = 8
    """One branch has so many times fewer channels than come in."""
    band: int = 11
    """Length of the bands."""


VARIANTS: Mapping[str, Variant] = {
    "inception-next-atto": Variant((2, 2, 6, 2), 40, share=4, band=9),
    "inception-next-tiny": Variant((3, 3, 9, 3), 96),
    "inception-next-small": Variant((3, 3, 27, 3), 96),
    "inception-next-base": Variant((3, 3, 27, 3), 128),
}
PUBLISHED: Mapping[str, Sequence[str]] = {"timm": tuple(VARIANTS)}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    numbers, net = VARIANTS[variant], Net(TORCH)
    value = net.conv("image", "stem.0", numbers.width, 4, 4, pad="valid", bias=True)
    value = net.norm(value, "stem.1")
    for stage, depth in enumerate(numbers.depths):
        prefix = f"stages.{stage}."
        if stage:
            value = net.norm(value, f"{prefix}downsample.0")
            value = net.conv(value, f"{prefix}downsample.1", numbers.width << stage, 2, 2, pad="valid", bias=True)
        for unit in range(depth):
            value = _block(net, numbers, value, f"{prefix}blocks.{unit}.", WIDER[stage])
    return net.graph(variant, _head(net, value, classes), size or 224)


def _block(net: Net, numbers: Variant, before: str, prefix: str, wider: int) -> str:
    channels = net.channels[before]
    value = net.norm(_mixed(net, numbers, before, f"{prefix}token_mixer"), f"{prefix}norm")
    value = net.conv(value, f"{prefix}mlp.fc1", wider * channels, bias=True)
    value = net.act(value, f"{prefix}mlp.act", "gelu")
    value = net.conv(value, f"{prefix}mlp.fc2", channels, bias=True)
    gamma = net.param(f"{prefix}gamma", channels, 1, 1, stored=(channels,))
    return net.add(f"{prefix}add", net.node("Mul", f"{prefix}scaled", value, gamma), before)


def _mixed(net: Net, numbers: Variant, value: str, name: str) -> str:
    """The four branches, one behind the other."""
    share = net.channels[value] // numbers.share
    kept, *parts = net.split(value, f"{name}.split", net.channels[value] - 3 * share, share, share, share)
    kernels = {"dwconv_hw": (3, 3), "dwconv_w": (1, numbers.band), "dwconv_h": (numbers.band, 1)}
    ends = [
        net.conv(part, f"{name}.{branch}", share, kernel, groups=share, bias=True)
        for part, (branch, kernel) in zip(parts, kernels.items(), strict=True)
    ]
    return net.concat(name, kept, *ends)


def _head(net: Net, value: str, classes: int) -> str:
    value = net.flatten(net.global_pool(value, "head.global_pool.pool"), "head.global_pool.flatten")
    features = HEAD_WIDER * net.channels[value]
    value = net.act(net.linear(value, "head.fc1", features), "head.act", "gelu")
    scale, offset = (net.param(f"head.norm.{kind}", features) for kind in ("weight", "bias"))
    value = net.node("LayerNormalization", "head.norm", value, scale, offset, axis=1, epsilon=HEAD_EPSILON)
    return net.linear(value, "head.fc2", classes)
