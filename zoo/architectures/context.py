"""Layers that look at a whole map: global context, attention in the place of an average, attention of one key."""

from __future__ import annotations

from zoo.architectures.net import Net
from zoo.shapes import infer_all

EPSILON = 1e-6
"""Of a global context's normalisation."""


def global_context(net: Net, value: str, name: str, squeezed: int, *, act: str = "relu", adds: bool = False) -> str:
    """Scales channels by what two 1x1 convolutions make of a weighted average over all positions (arXiv:1904.11492).

    The weights are a softmax of what a 1x1 convolution gives each position; `squeezed` channels are between the two
    others. timm (layers/global_context.py) calls it
    `gc`, and where the result is added instead (`adds`) `gca`.
    """
    scores = net.conv(value, f"{name}.conv_attn", 1, bias=True)
    largest = net.node("ReduceMax", f"{name}.largest", scores, axes=(2, 3), keepdims=1)
    powers = net.node("Exp", f"{name}.powers", net.node("Sub", f"{name}.lower", scores, largest))
    whole = net.node("ReduceSum", f"{name}.whole", powers, axes=(2, 3), keepdims=1)
    weights = net.node("Div", f"{name}.weights", powers, whole)
    weighted = net.node("Mul", f"{name}.weighted", value, weights)
    result = net.node("ReduceSum", f"{name}.context", weighted, axes=(2, 3), keepdims=1)
    layers = f"{name}.mlp_add" if adds else f"{name}.mlp_scale"
    result = net.conv(result, f"{layers}.fc1", squeezed, bias=True)
    result = net.act(net.layer_norm(result, f"{layers}.norm", EPSILON), f"{layers}.act", act)
    result = net.conv(result, f"{layers}.fc2", net.channels[value], bias=True)
    if adds:
        return net.add(name, value, result)
    return net.node("Mul", name, value, net.act(result, f"{name}.gate", "sigmoid"))


def attention_pool(net: Net, value: str, name: str, side: int, out: int, *, head: int = 64) -> str:
    """What CLIP's ResNets have in the place of average and classifier (arXiv:2103.00020): (N, C, H, W) -> (N, out).

    The average of a map asks, and all positions and the average itself answer. Positions have numbers of their own, so
    that a file is for maps of one size.

    Args:
        net: what to add to.
        value: the map.
        name: of the layers.
        side: rows and columns of the map.
        out: features in the end.
        head: channels of each attention.
    """
    channels, positions = net.channels[value], side * side
    heads = channels // head
    rows = net.node("Reshape", f"{name}.positions", value, shape=(0, channels, positions))
    mean = net.node("ReduceMean", f"{name}.mean", rows, axes=(2,), keepdims=1)
    tokens = net.node("Concat", f"{name}.tokens", mean, rows, axis=2)
    tokens = net.node("Transpose", f"{name}.tokens_first", tokens, perm=(0, 2, 1), channels=channels)
    place = net.param(f"{name}.pos_embed", 1, positions + 1, channels, stored=(positions + 1, channels))
    tokens = net.node("Add", f"{name}.placed", tokens, place)
    asking = net.node("Slice", f"{name}.asking", tokens, starts=(0,), ends=(1,), axes=(1,))
    query, key, answer = (
        _heads(net, of, f"{name}.{part}", count, heads, head)
        for of, part, count in ((asking, "q", 1), (tokens, "k", positions + 1), (tokens, "v", positions + 1))
    )
    turned = net.node("Transpose", f"{name}.k_turned", key, perm=(0, 1, 3, 2))
    scores = net.node("MatMul", f"{name}.scores", query, turned)
    weights = net.node("Softmax", f"{name}.weights", net.times(scores, f"{name}.scaled", head**-0.5), axis=3)
    joined = net.node("MatMul", f"{name}.attended", weights, answer)
    joined = net.node("Reshape", f"{name}.joined", joined, channels=channels, shape=(0, channels))
    return net.linear(joined, f"{name}.proj", out)


def _heads(net: Net, value: str, name: str, count: int, heads: int, width: int) -> str:
    """A dense layer of each of `count` tokens, as (N, heads, count, width)."""
    channels = net.channels[value]
    kernel, bias = net.param(f"{name}.weight", channels, heads * width, stored="IO"), f"{name}.bias"
    result = net.node("MatMul", f"{name}.product", value, kernel, channels=heads * width)
    result = net.node("Add", name, result, net.param(bias, heads * width))
    apart = net.node("Reshape", f"{name}.heads", result, shape=(0, count, heads, width))
    return net.node("Transpose", f"{name}.heads_first", apart, perm=(0, 2, 1, 3), channels=heads)


def multi_query(
    net: Net, value: str, name: str, out: int, *, heads: int, width: int, kernel: int, stride: int, size: int
) -> str:
    """Attention whose heads share keys and values (MobileNetV4, arXiv:2404.10518); (N, C, H, W) -> (N, out, H, W).

    Args:
        net: what to add to.
        value: the map.
        name: of the layers.
        out: channels in the end.
        heads: how many there are.
        width: channels of each.
        kernel: of the depthwise convolutions that make the map of keys and values smaller.
        stride: by how much; 1: there are none.
        size: rows and columns of the network's input, pixels: a map's own are told from it.
    """
    rows, columns = infer_all(net.graph(name, value, size))[value][2:]
    query = net.conv(value, f"{name}.query.proj", heads * width)
    query = net.node("Reshape", f"{name}.query.heads", query, shape=(0, heads, width, rows * columns))
    query = net.node("Transpose", f"{name}.query.positions", query, perm=(0, 1, 3, 2))
    query = net.node("Reshape", f"{name}.query.rows", query, shape=(0, heads * rows * columns, width))
    key, answer = (_shared(net, value, f"{name}.{part}", width, kernel, stride) for part in ("key", "value"))
    scores = net.times(net.node("MatMul", f"{name}.scores", query, key), f"{name}.scaled", width**-0.5)
    weights = net.node("Softmax", f"{name}.weights", scores, axis=2)
    answer = net.node("Transpose", f"{name}.value.positions", answer, perm=(0, 2, 1))
    result = net.node("MatMul", f"{name}.attended", weights, answer)
    result = net.node("Reshape", f"{name}.apart", result, shape=(0, heads, rows * columns, width))
    result = net.node("Transpose", f"{name}.turned", result, perm=(0, 1, 3, 2))
    joined = net.node(
        "Reshape", f"{name}.joined", result, shape=(0, heads * width, rows, columns), channels=heads * width
    )
    return net.conv(joined, f"{name}.output.proj", out)


def _shared(net: Net, value: str, name: str, width: int, kernel: int, stride: int) -> str:
    """The one key, or value, of each position, (N, width, positions)."""
    if stride > 1:
        channels = net.channels[value]
        value = net.norm(
            net.conv(value, f"{name}.down_conv", channels, kernel, stride, groups=channels), f"{name}.norm"
        )
    value = net.conv(value, f"{name}.proj", width)
    return net.node("Reshape", f"{name}.rows", value, shape=(0, width, -1))
