"""Sliding windows: where padding goes, in ONNX's terms and in Keras's."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

from zoo import windows
from zoo.build.context import Context
from zoo.graph import Node
from zoo.windows import Pair

# Lowest float32: what max pooling pads with. Not -inf, which strict JSON cannot hold; float16 turns it into -inf.
LOWEST = -3.4028234663852886e38


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
        """
        attrs = node.attrs
        strides = tuple(attrs.get("strides", (1, 1)))
        dilations = tuple(attrs.get("dilations", (1, 1)))
        spans = [windows.span(k, d) for k, d in zip(kernel, dilations, strict=True)]
        same = [windows.same(n, span, stride) for n, span, stride in zip(size, spans, strides, strict=True)]
        pads = windows.padding(attrs, size, spans, strides)
        ceil = bool(attrs.get("ceil_mode", 0))
        extra = [
            windows.extra(n, span, s, p) if ceil else 0
            for n, span, s, p in zip(size, spans, strides, pads, strict=True)
        ]
        whole = [(before, after + more) for (before, after), more in zip(pads, extra, strict=True)]
        return cls(
            (int(kernel[0]), int(kernel[1])),
            (int(strides[0]), int(strides[1])),
            (int(dilations[0]), int(dilations[1])),
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
