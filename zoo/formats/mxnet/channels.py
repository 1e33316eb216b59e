"""Which of MXNet's images have their channels last: layout NHWC, as half-precision training on GPUs wrote them."""

from __future__ import annotations

from zoo.formats.mxnet.attributes import Wrong
from zoo.formats.mxnet.symbol import Node, Symbol

LAYOUTS = ("NCHW", "NHWC", "NCW", "NWC", "NCDHW", "NDHWC")
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)

# What may stand between an image and its first window and leaves axes as they are.
_POINTWISE = frozenset(
    {
        *("BatchNorm", "BatchNorm_v1", "Cast", "cast", "amp_cast", "_copy", "identity"),
        *("_plus_scalar", "_minus_scalar", "_mul_scalar", "_div_scalar", "_PlusScalar", "_MinusScalar", "_MulScalar"),
        *("broadcast_sub", "broadcast_div", "broadcast_mul", "broadcast_add"),
    }
)


def takes_channels_last(symbol: Symbol, number: int) -> bool:
    """Returns whether a variable is an image with channels last, as the first windows over it take it."""
    readers = _readers(symbol)
    waiting, seen = [number], {number}
    while waiting:
        for reader in readers.get(waiting.pop(), []):
            node = symbol.nodes[reader]
            if _is_nhwc(node):
                return True
            if node.op in _POINTWISE and reader not in seen:
                seen.add(reader)
                waiting.append(reader)
    return False


def _readers(symbol: Symbol) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for number, node in symbol.nodes.items():
        for entry in node.inputs[:1]:
            found.setdefault(entry.node, []).append(number)
    return found


def _is_nhwc(node: Node) -> bool:
    try:
        return node.op in ("Convolution", "Pooling") and node.attributes.choice("layout", LAYOUTS, "NCHW") == "NHWC"
    except Wrong:
        return False
