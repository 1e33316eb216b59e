"""Sliding windows: where padding goes, in ONNX's terms and in Keras's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from zoo import windows
from zoo.build.context import Context
from zoo.graph import Node
from zoo.windows import Pair

# Lowest bfloat16: what max pooling pads with. Not -inf, which strict JSON cannot hold, nor the lowest float32, which
# PyTorch refuses to pad a bfloat16 map with.
LOWEST = -3.3895313892515355e38

LARGEST = 1 << 20
"""Rows or columns that a padded map may have; no network comes near."""


class Window(NamedTuple):
    """Kernel, strides and padding of one node, per axis (height, width).

    Args:
        pads: zeros before and after the input, as the origin states them.
        extra: further rows/columns at the end so that the last window of ceil mode is whole; they count as outside.
        same: whether Keras's `padding="same"` does exactly this.
    """

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: tuple[Pair, Pair]
    extra: Pair
    same: bool

    @classmethod
    def of(cls, node: Node, kernel: tuple[int, ...], size: tuple[int, ...]) -> Window:
        """Reads a node's attributes.

        Args:
            kernel: (height, width) of the kernel.
            size: (height, width) of the input, static.

        Raises:
            ValueError: no window fits, or one that no network has.
        """
        attrs = node.attrs
        strides, dilations = _pair(attrs, "strides", 1), _pair(attrs, "dilations", 1)
        if min(*kernel, *strides, *dilations) < 1:
            raise ValueError(f"kernel {tuple(kernel)}, strides {strides}, dilations {dilations}: expected 1 or more")
        spans = [windows.span(k, d) for k, d in zip(kernel, dilations, strict=True)]
        same = [windows.same(n, span, stride) for n, span, stride in zip(size, spans, strides, strict=True)]
        pads = windows.padding(attrs, size, spans, strides)
        ceil = bool(attrs.get("ceil_mode", 0))
        extra = [
            windows.extra(n, span, s, p) if ceil else 0
            for n, span, s, p in zip(size, spans, strides, pads, strict=True)
        ]
        whole = [(before, after + more) for (before, after), more in zip(pads, extra, strict=True)]
        for n, span, (before, after) in zip(size, spans, whole, strict=True):
            if before < 0 or after < 0 or not span <= n + before + after <= LARGEST:
                raise ValueError(f"a window of {span} over {n} and padding of {before} and {after}")
        return cls(
            (int(kernel[0]), int(kernel[1])),
            strides,
            dilations,
            pads,
            (extra[0], extra[1]),
            whole == same,
        )

    @property
    def whole(self) -> tuple[Pair, Pair]:
        """All padding: the stated one and what ceil mode adds at the end."""
        (top, bottom), (left, right) = self.pads
        return (top, bottom + self.extra[0]), (left, right + self.extra[1])

    @property
    def padded(self) -> bool:
        return self.whole != ((0, 0), (0, 0))

    def pad_zeros(self, context: Context, node: Node, tensor: Any) -> tuple[Any, str]:
        """Returns the tensor, padded if need be, and the `padding` argument for the layer that follows."""
        if not self.padded:
            return tensor, "valid"
        if self.same:
            return tensor, "same"
        layer = keras.layers.ZeroPadding2D(self.whole, name=context.unique(f"{node.name}.pad"))
        return layer(tensor), "valid"


class Transposed(NamedTuple):
    """A transposed convolution's sizes per axis (height, width).

    Args:
        begin: rows and columns cut off before the origin's output.
        output: its size.
    """

    kernel: Pair
    strides: Pair
    dilations: Pair
    size: Pair
    begin: Pair
    output: Pair

    @classmethod
    def of(cls, node: Node, kernel: tuple[int, ...], size: tuple[int, ...]) -> Transposed:
        """Reads a node's attributes, as `Window.of` does."""
        attrs = node.attrs
        strides, dilations = _pair(attrs, "strides", 1), _pair(attrs, "dilations", 1)
        more = _pair(attrs, "output_padding", 0)
        spans = [windows.span(k, d) for k, d in zip(kernel, dilations, strict=True)]
        whole = [(n - 1) * s + span + m for n, s, span, m in zip(size, strides, spans, more, strict=True)]
        auto = attrs.get("auto_pad", "NOTSET")
        wanted = attrs.get("output_shape")
        if wanted is None and auto.startswith("SAME"):
            wanted = [n * s for n, s in zip(size, strides, strict=True)]
        if wanted is not None:
            output = [int(n) for n in wanted[-2:]]
            totals = [max(n - o, 0) for n, o in zip(whole, output, strict=True)]
            begin = [-(-t // 2) if auto == "SAME_LOWER" else t // 2 for t in totals]
        else:
            top, left, bottom, right = attrs.get("pads", (0, 0, 0, 0)) if auto == "NOTSET" else (0, 0, 0, 0)
            begin = [int(top), int(left)]
            output = [whole[0] - top - bottom, whole[1] - left - right]
        return cls(
            (int(kernel[0]), int(kernel[1])),
            strides,
            dilations,
            (int(size[0]), int(size[1])),
            (begin[0], begin[1]),
            (int(output[0]), int(output[1])),
        )

    def _ends(self, longer: Pair) -> list[int]:
        """What Keras's valid layer gives beyond the origin's output; it is never shorter than stride * size."""
        return [
            (n + more) * s + max(k - s, 0) - b - o
            for n, more, k, s, b, o in zip(
                self.size, longer, self.kernel, self.strides, self.begin, self.output, strict=True
            )
        ]

    @property
    def missing(self) -> Pair:
        """Rows and columns of zeros to add to the input so that the layer's output reaches to the origin's end."""
        rows, columns = (max(-(end // s), 0) for end, s in zip(self._ends((0, 0)), self.strides, strict=True))
        return rows, columns

    def crops(self, longer: Pair) -> tuple[Pair, Pair]:
        """What to cut off Keras's output."""
        bottom, right = self._ends(longer)
        return (self.begin[0], bottom), (self.begin[1], right)

    def around(self) -> tuple[Pair, Pair]:
        """Padding (negative: cropping) of the input with zeros between its positions, for a valid convolution."""
        pads = []
        for i in (0, 1):
            span = windows.span(self.kernel[i], self.dilations[i])
            before = span - 1 - self.begin[i]
            pads.append((before, self.output[i] - self.size[i] * self.strides[i] - before + span - 1))
        return pads[0], pads[1]


def pad_or_crop(context: Context, tensor: Any, pads: tuple[Pair, Pair], name: str) -> Any:
    """Returns an (N, H, W, C) tensor with zeros around it; a negative number cuts off instead."""
    (top, bottom), (left, right) = ((max(-a, 0), max(-b, 0)) for a, b in pads)
    if top or bottom or left or right:
        tensor = keras.layers.Cropping2D(((top, bottom), (left, right)), name=context.unique(f"{name}.crop"))(tensor)
    (top, bottom), (left, right) = ((max(a, 0), max(b, 0)) for a, b in pads)
    if top or bottom or left or right:
        tensor = keras.layers.ZeroPadding2D(((top, bottom), (left, right)), name=context.unique(name))(tensor)
    return tensor


def _pair(attrs: Mapping[str, Any], key: str, default: int) -> Pair:
    first, second = attrs.get(key) or (default, default)
    return int(first), int(second)
