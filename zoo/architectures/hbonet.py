"""HBONet (Li et al., arXiv:1908.03888): blocks that compute on a smaller map and bring the result back to a larger one.

Source: d-li14/HBONet (models/imagenet/hbonet.py). A block convolves down, widens, and adds what it got,
brought back, to the first channels of its input; as many of the last stay as they are. Numbers in names are widths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.net import TORCH, Net, scaled
from zoo.graph import Graph

VARIANTS: Mapping[str, tuple[float, int]] = {
    "hbonet-0-1": (0.1, 4),
    "hbonet-0-25": (0.25, 2),
    "hbonet-0-35": (0.35, 8),
    "hbonet-0-5": (0.5, 2),
    "hbonet-0-8": (0.8, 8),
    "hbonet-1-0": (1.0, 8),
}
"""Width, and what channels are multiples of."""
PUBLISHED: Mapping[str, Sequence[str]] = {"d-li14": tuple(VARIANTS)}
STEM, LAST = 32, 1600
BLOCKS = (
    ("inverted", 1, 20, 1, 1), ("harmonious", 2, 36, 1, 1), ("harmonious", 2, 72, 3, 2), ("harmonious", 2, 96, 4, 2),
    ("harmonious", 2, 192, 4, 2), ("harmonious", 2, 288, 1, 1), ("conv", 0, 144, 1, 1), ("inverted", 6, 200, 2, 2),
    ("inverted", 6, 400, 1, 1),
)  # fmt: skip
"""Kind, expansion, channels, how many, and the stride of the first."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    (width, divisor), net = VARIANTS[variant], Net(TORCH)
    value = _layer(net, "image", "features.0", 0, scaled(STEM, width, divisor=divisor), 3, 2)
    place = 1
    for kind, expansion, channels, repeats, first in BLOCKS:
        out = scaled(channels, width, divisor=divisor)
        for index in range(repeats):
            name, stride = f"features.{place}", 1 if index else first
            if kind == "conv":
                value = _layer(net, value, name, 0, out, act=False)
            elif kind == "inverted":
                value = _inverted(net, value, name, out, stride, expansion)
            else:
                value = _harmonious(net, value, name, out, stride, expansion)
            place += 1
    value = _layer(net, value, "conv", 0, LAST)
    value = net.flatten(net.global_pool(value, "avgpool"), "flatten")
    return net.graph(variant, net.linear(value, "classifier", classes), size or 224)


def _inverted(net: Net, before: str, name: str, out: int, stride: int, expansion: int) -> str:
    entering, value, place = net.channels[before], before, 0
    inside = entering * expansion
    if expansion != 1:
        value, place = _layer(net, value, f"{name}.conv", place, inside), 3
    value = _layer(net, value, f"{name}.conv", place, inside, 3, stride, groups=inside)
    value = _layer(net, value, f"{name}.conv", place + 3, out, act=False)
    return net.add(f"{name}.add", before, value) if stride == 1 and entering == out else value


def _harmonious(net: Net, before: str, name: str, out: int, stride: int, expansion: int) -> str:
    entering, conv = net.channels[before], f"{name}.conv"
    inside, half = entering * expansion, out // 2
    value = _layer(net, before, conv, 0, entering, 5, 2, groups=entering, act=False)
    value = _layer(net, value, conv, 2, inside)
    value = _layer(net, value, conv, 5, inside, 3, groups=inside)
    value = _layer(net, value, conv, 8, half, act=False)
    kept = _channels(net, before, f"{name}.kept", entering - (out - half), entering)
    if stride == 2:
        return net.concat(f"{name}.cat", net.avg_pool(kept, f"{name}.avgpool", 2, 2), value)
    value = net.node(
        "Resize", f"{name}.upsample", value, scales=[1.0, 1.0, 2.0, 2.0], mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    value = net.add(f"{name}.add", _channels(net, before, f"{name}.first", 0, half), value)
    value = _layer(net, value, f"{name}.upconv", 0, half, 5, groups=half, act=False)
    return net.concat(f"{name}.cat", kept, value)


def _channels(net: Net, value: str, name: str, start: int, end: int) -> str:
    """Some of a value's channels; none is left out where they are all."""
    count = net.channels[value]
    sizes = [size for size in (start, end - start, count - end) if size]
    return net.split(value, name, *sizes)[1 if start else 0] if len(sizes) > 1 else value


def _layer(
    net: Net, value: str, name: str, place: int, out: int, kernel: int = 1, stride: int = 1, *, groups: int = 1,
    act: bool = True,
) -> str:  # fmt: skip
    """Convolution, batch normalisation, ReLU6, children of a sequence from a place on."""
    value = net.conv(value, f"{name}.{place}", out, kernel, stride, groups=groups)
    value = net.norm(value, f"{name}.{place + 1}")
    return net.act(value, f"{name}.{place + 2}", "relu6") if act else value
