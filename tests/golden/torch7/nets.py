"""Narrow networks, one per family, built as their authors' Lua code builds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from modules import Graph, add, bn, concat, conv, f, identity, linear, lrn, m, pool, relu, seq, table, view
from t7 import M


def dropout(p: float = 0.5, **more: Any) -> M:
    return m("Dropout", p=p, **{"v2": True, **more})


def alexnet() -> M:
    """Groups, LRN of cudnn, a Dropout from before version 2."""
    features = seq(
        conv(3, 8, 5, 2, 2), m("cudnn.ReLU"), lrn(name="cudnn.SpatialCrossMapLRN", k=2),
        pool("cudnn.SpatialMaxPooling", 3, 2), conv(8, 12, 5, 1, 2, groups=2), m("cudnn.ReLU"),
        lrn(name="cudnn.SpatialCrossMapLRN", k=None), pool("cudnn.SpatialMaxPooling", 3, 2, ceil=True),
        conv(12, 12, 3, 1, 1), m("cudnn.ReLU"), conv(12, 8, 3, 1, 1, groups=2), m("cudnn.ReLU"),
    )  # fmt: skip
    classifier = seq(
        view(8 * 4 * 4), m("Dropout", p=0.4), linear(128, 16), m("Threshold", threshold=0, val=1e-6),
        dropout(), linear(16, 10), m("cudnn.LogSoftMax"),
    )  # fmt: skip
    return seq(features, classifier)


def unfolded(i: int, o: int, k: int, s: int = 1, p: int = 0) -> M:
    return conv(i, o, k, s, p, name="SpatialConvolutionMM", weight=f(o, i * k * k, scale=(2 / (i * k * k)) ** 0.5))


def overfeat() -> M:
    """Unfolded weights, padding as layers, fully convolutional."""
    return seq(
        unfolded(3, 8, 5, 2), m("Threshold", threshold=0, val=0), pool("Max", 2, 2), unfolded(8, 12, 3),
        m("Threshold", threshold=1e-6, val=0), m("SpatialZeroPadding", pad_l=1, pad_r=1, pad_t=1, pad_b=1),
        unfolded(12, 12, 3), m("Threshold", threshold=0, val=0), pool("Max", 2, 2), unfolded(12, 16, 2),
        m("Threshold", threshold=0, val=0), unfolded(16, 10, 1), view(10), m("SoftMax"),
    )  # fmt: skip


def vgg() -> M:
    net: list[Any] = []
    channels = 3
    for width in (4, 8, 12, 12, 12):
        net += [conv(channels, width, 3, 1, 1), relu(), conv(width, width, 3, 1, 1), relu(), pool("Max", 2, 2)]
        channels = width
    net += [view(-1, dims=3), linear(12, 16), relu(), dropout(), linear(16, 10), m("SoftMax")]
    return seq(*net)


def nin() -> M:
    def block(i: int, o: int, k: int, s: int, p: int) -> list[M]:
        return [conv(i, o, k, s, p), bn(o), relu(), conv(o, o, 1), relu(), conv(o, o, 1), relu()]

    return seq(
        *block(3, 8, 5, 2, 2), pool("Max", 3, 2, ceil=True), *block(8, 12, 5, 1, 2), pool("Average", 3, 2, ceil=True),
        *block(12, 10, 3, 1, 1), pool("Average", 4, 1), view(10), m("LogSoftMax"),
    )  # fmt: skip


def googlenet() -> M:
    """Inception of four kinds of branches, rounding pools up; joined by Concat and by DepthConcat."""

    def inception(i: int, *, wide: bool = False) -> M:
        branches = [
            seq(conv(i, 4, 1), relu()),
            seq(conv(i, 3, 1), relu(), conv(3, 6, 3, 1, 0 if wide else 1), relu()),
            seq(conv(i, 2, 1), relu(), conv(2, 3, 5, 1, 0 if wide else 2), relu()),
            seq(pool("Max", 3, 1, 1), conv(i, 3, 1), relu()),
        ]
        return m("DepthConcat" if wide else "Concat", *branches, dimension=2)

    return seq(
        conv(3, 8, 7, 2, 3), relu(), pool("Max", 3, 2, ceil=True), lrn(), conv(8, 8, 3, 1, 1), relu(), lrn(3),
        pool("Max", 3, 2, ceil=True), inception(8), inception(16, wide=True),
        m("Inception", seq(inception(16)), version=1), pool("Max", 3, 2, ceil=True), inception(16),
        pool("Average", 3, 1), view(16), dropout(0.4), linear(16, 10), m("LogSoftMax"),
    )  # fmt: skip


def shortcut(i: int, o: int, s: int, kind: str) -> M:
    if i == o and s == 1:
        return identity()
    if kind == "B":
        return seq(conv(i, o, 1, s, bias=False), bn(o))
    return seq(pool("Average", 1, s), concat(identity(), m("MulConstant", constant_scalar=0, inplace=False)))


def resnet(kind: str, *, groups: int | None = None, bottleneck: bool = False) -> M:
    """fb.resnet.torch: the stride in the 3x3, shortcuts of type A or B."""

    def block(i: int, o: int, s: int) -> M:
        if bottleneck:
            body = seq(
                conv(i, o // 2, 1, bias=False), bn(o // 2), relu(),
                conv(o // 2, o // 2, 3, s, 1, groups=groups, bias=False), bn(o // 2), relu(),
                conv(o // 2, o, 1, bias=False), bn(o),
            )  # fmt: skip
        else:
            body = seq(conv(i, o, 3, s, 1, bias=False), bn(o), relu(), conv(o, o, 3, 1, 1, bias=False), bn(o))
        return seq(table(body, shortcut(i, o, s, kind)), add(), relu())

    return seq(
        conv(3, 8, 3, 2, 1, bias=False), bn(8), relu(), pool("Max", 3, 2, 1), seq(block(8, 8, 1), block(8, 8, 1)),
        seq(block(8, 16, 2), block(16, 16, 1)), pool("Average", 4, 1), m("View", size=view(16).size, numInputDims=3),
        linear(16, 10),
    )  # fmt: skip


def wide_resnet() -> M:
    """Pre-activation, shared before the first shortcut; Dropout within."""

    def block(i: int, o: int, s: int) -> M:
        body = [conv(i, o, 3, s, 1, bias=False), bn(o), relu(), dropout(0.3), conv(o, o, 3, 1, 1, bias=False)]
        if i != o:
            return seq(bn(i), relu(), table(seq(*body), conv(i, o, 1, s, bias=False)), add())
        return seq(table(seq(bn(i), relu(), *body), identity()), add())

    return seq(
        conv(3, 4, 3, 1, 1, bias=False), block(4, 12, 2), block(12, 12, 1), block(12, 16, 2), bn(16), relu(),
        pool("Average", 8, 8), view(16, dims=3), linear(16, 10),
    )  # fmt: skip


def densenet() -> M:
    def layer(i: int, growth: int) -> M:
        body = seq(bn(i), relu(), conv(i, 2 * growth, 1, bias=False), bn(2 * growth), relu(),
                   conv(2 * growth, growth, 3, 1, 1, bias=False), dropout(0.2))  # fmt: skip
        return concat(identity(), body)

    def joined(i: int, growth: int) -> M:
        body = seq(bn(i), relu(), conv(i, growth, 3, 1, 1, bias=False))
        return seq(table(identity(), body), m("JoinTable", dimension=1, nInputDims=3))

    return seq(
        conv(3, 8, 3, 2, 1, bias=False), layer(8, 4), layer(12, 4), bn(16), relu(), conv(16, 8, 1, bias=False),
        pool("Average", 2, 2), joined(8, 4), joined(12, 4), bn(16), relu(), pool("Average", 8, 8),
        m("Reshape", size=view(16).size, nelement=16), linear(16, 10),
    )  # fmt: skip


def densenet_tables() -> M:
    """DenseNet as its authors' memory-saving code writes it: layers that hand on tables of all maps."""

    def layer(i: int, growth: int) -> M:
        first = seq(bn(i, "cudnn.SpatialBatchNormalization"), m("cudnn.ReLU"))
        second = seq(conv(i, 2 * growth, 1), bn(2 * growth), relu(), conv(2 * growth, growth, 3, 1, 1))
        return m("DenseConnectLayerCustom", first, second, net1=first, net2=second)

    return seq(
        conv(3, 8, 3, 2, 1, bias=False), layer(8, 4), layer(12, 4), layer(16, 4), m("JoinTable", dimension=2),
        seq(bn(20), relu(), conv(20, 8, 1), pool("Average", 2, 2)), layer(8, 4), m("JoinTable", dimension=2),
        m("cudnn.ReLU"), pool("cudnn.SpatialAveragePooling", 8, 8), m("Reshape", size=view(12).size), linear(12, 10),
    )  # fmt: skip


def graph_net() -> M:
    """An nngraph with a skip, a table, its selected entries and two branches."""
    return Graph(
        ["x"],
        [
            ("a", conv(3, 6, 3, 1, 1), ["x"]),
            ("b", seq(bn(6), relu()), ["a"]),
            ("c", conv(6, 6, 3, 1, 1), ["b"]),
            ("sum", add(), ["c", "a"]),
            ("pair", table(conv(6, 4, 1), conv(6, 4, 3, 1, 1)), ["sum"]),
            ("pair[2]", None, ["pair"]),
            ("pair[1]", None, ["pair"]),
            ("gate", m("Sigmoid"), ["pair[2]"]),
            ("mul", m("CMulTable"), ["gate", "pair[1]"]),
            ("join", m("JoinTable", dimension=2), ["mul", "b"]),
            ("pool", pool("Average", 16, 16), ["join"]),
            ("flat", view(10), ["pool"]),
            ("fc", linear(10, 10), ["flat"]),
        ],
        ["fc"],
    )


def old_graph() -> M:
    """As the first nngraph wrote it, with two inputs and two outputs."""
    return Graph(
        ["x", "y"],
        [
            ("a", conv(3, 4, 3, 2, 1), ["x"]),
            ("b", conv(3, 4, 5, 2, 2), ["y"]),
            ("diff", m("CSubTable"), ["b", "a"]),
            ("both", m("JoinTable", dimension=1, nInputDims=3), ["diff", "b", "a"]),
        ],
        ["both", "diff"],
        old=True,
    )


def two_inputs() -> M:
    return Graph(
        ["x", "y"],
        [
            ("a", conv(3, 4, 3, 2, 1), ["x"]),
            ("b", conv(3, 4, 5, 2, 2), ["y"]),
            ("ratio", m("CSubTable"), ["b", "a"]),
        ],
        ["ratio", "b"],
    )


def old_bn(n: int) -> M:
    """Before version 2: the inverse of the deviation."""
    made = bn(n, eps=1e-3)
    made.fields["running_std"] = ((made.fields.pop("running_var") + 1e-3) ** -0.5).astype(np.float32)
    made.version = 1
    return made


def old_net() -> M:
    """A file of 2014: unfolded weights, one number for padding, inverse deviations, Dropout that scales at test time,
    pooling without padding fields that sums."""
    summing = m("SpatialAveragePooling", kW=2, kH=2, dW=2, dH=2)
    first = unfolded(3, 6, 3)
    del first.fields["padW"], first.fields["padH"]
    first.fields["padding"] = 1
    return seq(
        first, m("Threshold", threshold=1e-6, val=0), m("SpatialMaxPooling", kW=2, kH=2, dW=2, dH=2),
        unfolded(6, 8, 3), old_bn(8), m("Tanh"), summing,
        m("SpatialSubSampling", nInputPlane=8, kW=2, kH=2, dW=1, dH=1, weight=f(8), bias=f(8)),
        m("Reshape", size=view(8 * 6 * 6).size, nelement=288), m("Dropout", p=0.3), linear(288, 10), m("LogSoftMax"),
    )  # fmt: skip


NETS: dict[str, Any] = {
    "net_alexnet": (alexnet, (3, 40, 40)),
    "net_overfeat": (overfeat, (3, 31, 31)),
    "net_vgg": (vgg, (3, 32, 32)),
    "net_nin": (nin, (3, 32, 32)),
    "net_googlenet": (googlenet, (3, 56, 56)),
    "net_resnet_a": (lambda: resnet("A"), (3, 32, 32)),
    "net_resnet_b": (lambda: resnet("B", bottleneck=True), (3, 32, 32)),
    "net_resnext": (lambda: resnet("B", bottleneck=True, groups=4), (3, 32, 32)),
    "net_wide_resnet": (wide_resnet, (3, 32, 32)),
    "net_densenet": (densenet, (3, 32, 32)),
    "net_densenet_tables": (densenet_tables, (3, 32, 32)),
    "net_nngraph": (graph_net, (3, 16, 16)),
    "net_nngraph_old": (old_graph, (3, 12, 12)),
    "net_nngraph_inputs": (two_inputs, (3, 12, 12)),
    "net_of_2014": (old_net, (3, 32, 32)),
}
