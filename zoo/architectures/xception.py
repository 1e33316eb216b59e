"""Xception: blocks of separable convolutions.

- `xception` (Chollet, arXiv:1610.02357) in pretrainedmodels (models/xception.py) and timm (models/xception.py,
  `legacy_xception`): Keras's weights with torch's epsilon and symmetric padding. pretrainedmodels' file is from before
  its function calls `fc` `last_linear`: its names are those of the dialect `timm`, which has the same file. The dialect
  `pretrainedmodels` is what its networks save.
- `xception65` in gluoncv (dmlc/gluon-cv gluoncv/model_zoo/xception.py): the Aligned Xception without normalisation
  behind the 1x1 halves of its own, which has one behind the whole, and with ReLUs elsewhere than timm's.
- `xception41` to `xception71` in timm (models/xception_aligned.py): the Aligned Xceptions of DeepLab (Chen et al.,
  arXiv:1802.02611), with strides in place of pools. `xception41p` and `xception65p` normalise before each convolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from zoo.architectures.net import GLUON, TORCH, Net
from zoo.graph import Graph

Block = tuple[tuple[int, int, int], int]
"""Channels of a block's three separable convolutions, and the stride of the last."""


@dataclass(frozen=True)
class Aligned:
    """An Aligned Xception.

    Args:
        entry: blocks before the repeated ones.
        middle: how many blocks of 728 channels are repeated.
        before: whether normalisation and ReLU stand before convolutions.
        epsilon: of normalisations.
    """

    entry: tuple[Block, ...]
    middle: int
    before: bool = False
    epsilon: float = 1e-3


def _same(channels: int, stride: int) -> Block:
    return (channels, channels, channels), stride


_ENTRY = (_same(128, 2), _same(256, 2), _same(728, 2))
_LONG = (_same(128, 2), _same(256, 1), _same(256, 2), _same(728, 1), _same(728, 2))
_EXIT: tuple[Block, ...] = (((728, 1024, 1024), 2), ((1536, 1536, 2048), 1))
ALIGNED: Mapping[str, Aligned] = {
    "xception41": Aligned(_ENTRY, 8),
    "xception65": Aligned(_ENTRY, 16),
    "xception71": Aligned(_LONG, 16),
    "xception41p": Aligned(_ENTRY, 8, before=True, epsilon=1e-5),
    "xception65p": Aligned(_ENTRY, 16, before=True),
}
CHANNELS = ((128, 128), (256, 256), (728, 728), *((728, 728, 728),) * 8, (728, 1024))
"""Of the separable convolutions of each block of `xception`; blocks of two make the map smaller."""

PUBLISHED: Mapping[str, Sequence[str]] = {
    "timm": ("xception", *ALIGNED),
    "pretrainedmodels": ("xception",),
    "gluoncv": ("xception65",),
}
TIMM = {"legacy_xception": ("xception", "timm"), **{name: (name, "timm") for name in ("xception", *ALIGNED)}}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    size = size or 299
    if dialect == "gluoncv":
        return _gluoncv(variant, classes, size)
    if variant in ALIGNED:
        return _aligned(variant, ALIGNED[variant], classes, size)
    net, value = Net(TORCH), "image"
    for index, (channels, stride) in enumerate(((32, 2), (64, 1)), 1):
        value = net.norm(net.conv(value, f"conv{index}", channels, 3, stride, pad="valid"), f"bn{index}")
        value = net.act(value, f"act{index}", "relu")
    for index, block in enumerate(CHANNELS, 1):
        value = _block(net, value, f"block{index}", block, 2 if len(block) == 2 else 1, act_first=index > 1)
    for index, channels in ((3, 1536), (4, 2048)):
        value = net.norm(_separable(net, value, f"conv{index}", channels), f"bn{index}")
        value = net.act(value, f"act{index}", "relu")
    value = net.flatten(net.global_pool(value, "global_pool"), "flatten")
    return net.graph(variant, net.linear(value, "fc" if dialect == "timm" else "last_linear", classes), size)


def _block(net: Net, value: str, name: str, channels: Sequence[int], stride: int, *, act_first: bool) -> str:
    end, place = value, 0
    for index, out in enumerate(channels):
        if index or act_first:
            end = net.act(end, f"{name}.rep.{place}", "relu")
            place += 1
        end = net.norm(_separable(net, end, f"{name}.rep.{place}", out), f"{name}.rep.{place + 1}")
        place += 2
    if stride > 1:
        end = net.max_pool(end, f"{name}.rep.{place}", 3, stride, pad=1)
        value = net.norm(net.conv(value, f"{name}.skip", channels[-1], 1, stride), f"{name}.skipbn")
    return net.add(name, end, value)


def _separable(net: Net, value: str, name: str, out: int) -> str:
    value = net.conv(value, f"{name}.conv1", net.channels[value], 3, groups=net.channels[value])
    return net.conv(value, f"{name}.pointwise", out)


# ----------------------------------------------------------------------------------------------------------- aligned


def _aligned(variant: str, table: Aligned, classes: int, size: int) -> Graph:
    net = Net(replace(TORCH, epsilon=table.epsilon))
    value = _unit(net, "image", "stem.0", 32, 3, 2, act=True)
    value = net.conv(value, "stem.1", 64, 3) if table.before else _unit(net, value, "stem.1", 64, 3, 1, act=True)
    blocks = (*table.entry, *(_same(728, 1),) * table.middle, *_EXIT)
    for index, (channels, stride) in enumerate(blocks):
        block = _before if table.before else _behind
        value = block(net, value, f"blocks.{index}", channels, stride, last=index == len(blocks) - 1)
    if table.before:
        value = net.act(value, "act", "relu")
    value = net.flatten(net.global_pool(value, "head.global_pool.pool"), "head.global_pool.flatten")
    return net.graph(variant, net.linear(value, "head.fc", classes), size)


def _unit(net: Net, value: str, name: str, out: int, kernel: int, stride: int, *, act: bool) -> str:
    value = net.norm(net.conv(value, f"{name}.conv", out, kernel, stride), f"{name}.bn")
    return net.act(value, f"{name}.bn.act", "relu") if act else value


def _behind(net: Net, value: str, name: str, channels: Sequence[int], stride: int, *, last: bool) -> str:
    """Each half of a separable convolution has a normalisation; ReLU is before the whole, in the last block behind."""
    end = value
    for index, out in enumerate(channels, 1):
        if not last:
            end = net.act(end, f"{name}.stack.act{index}", "relu")
        conv, step = f"{name}.stack.conv{index}", stride if index == len(channels) else 1
        end = net.conv(end, f"{conv}.conv_dw", net.channels[end], 3, step, groups=net.channels[end])
        end = net.norm(end, f"{conv}.bn_dw")
        if last:
            end = net.act(end, f"{conv}.act_dw", "relu")
        end = net.norm(net.conv(end, f"{conv}.conv_pw", out), f"{conv}.bn_pw")
        if last:
            end = net.act(end, f"{conv}.act_pw", "relu")
    if last:
        return end
    if stride > 1 or channels[-1] != net.channels[value]:
        value = _unit(net, value, f"{name}.shortcut", channels[-1], 1, stride, act=False)
    return net.add(name, end, value)


def _before(net: Net, value: str, name: str, channels: Sequence[int], stride: int, *, last: bool) -> str:
    """The shortcut takes what is normalised already, also where it does nothing to it."""
    value = end = net.act(net.norm(value, f"{name}.norm"), f"{name}.norm.act", "relu")
    for index, out in enumerate(channels, 1):
        conv, step = f"{name}.stack.conv{index}", stride if index == len(channels) else 1
        if index > 1:
            end = net.act(net.norm(end, f"{conv}.norm"), f"{conv}.norm.act", "relu")
        end = net.conv(end, f"{conv}.conv_dw", net.channels[end], 3, step, groups=net.channels[end])
        end = net.conv(end, f"{conv}.conv_pw", out)
    if last:
        return end
    if stride > 1 or channels[-1] != net.channels[value]:
        value = net.conv(value, f"{name}.shortcut", channels[-1], 1, stride)
    return net.add(name, end, value)


# ----------------------------------------------------------------------------------------------------------- gluoncv


def _gluoncv(variant: str, classes: int, size: int) -> Graph:
    net, table = Net(GLUON), ALIGNED[variant]
    value = net.act(net.norm(net.conv("image", "conv1", 32, 3, 2), "bn1"), "relu1", "relu")
    value = net.act(net.norm(net.conv(value, "conv2", 64, 3), "bn2"), "relu2", "relu")
    for index, (channels, stride) in enumerate(table.entry, 1):
        value = _plain(net, value, f"block{index}", channels, stride, act_first=index == len(table.entry))
        if index == 1:
            value = net.act(value, "relu3", "relu")
    for index in range(table.middle):
        value = _plain(net, value, f"midflow.{index}", (728,) * 3, 1, act_first=True)
    value = net.act(_plain(net, value, "block20", *_EXIT[0], act_first=True), "relu4", "relu")
    for index, out in enumerate(_EXIT[1][0], 3):
        value = net.norm(_normed_separable(net, value, f"conv{index}", out), f"bn{index}")
        value = net.act(value, f"bn{index}.relu", "relu")
    value = net.flatten(net.global_pool(value, "avgpool"), "flat")
    return net.graph(variant, net.linear(value, "fc", classes), size)


def _plain(net: Net, before: str, name: str, channels: Sequence[int], stride: int, *, act_first: bool) -> str:
    """Separable convolutions and their normalisations, ReLUs between them; the last has the stride."""
    value, place = before, 0
    for index, out in enumerate(channels):
        if index or act_first:
            value = net.act(value, f"{name}.rep.{place}", "relu")
            place += 1
        step = stride if index == len(channels) - 1 else 1
        value = net.norm(_normed_separable(net, value, f"{name}.rep.{place}", out, step), f"{name}.rep.{place + 1}")
        place += 2
    if stride > 1 or net.channels[before] != channels[-1]:
        before = net.norm(net.conv(before, f"{name}.skip", channels[-1], 1, stride), f"{name}.skipbn")
    return net.add(f"{name}.add", value, before)


def _normed_separable(net: Net, value: str, name: str, out: int, stride: int = 1) -> str:
    """A depthwise convolution, its normalisation, a 1x1 convolution."""
    value = net.conv(value, f"{name}.conv1", net.channels[value], 3, stride, groups=net.channels[value])
    return net.conv(net.norm(value, f"{name}.bn"), f"{name}.pointwise", out)
