"""A Graph under another publisher's names, for publishers who wrote a network down again and changed no number.

A rule is a regular expression and what stands in its place, in which `{1}` is the first group and `{1-1}`, `{2*2+4}`
are computed from a group that is a number: `features.stage2.unit3` by `stage(\\d)\\.unit(\\d)` -> `{1}.{2-1}` is
`features.2.2`. All rules are applied to a name, one after the other.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from zoo.architectures.net import TORCH, Style
from zoo.graph import Graph, Node

NORMS = ("BatchNormalization", "GroupNormalization", "InstanceNormalization")
Rules = Iterable[tuple[str, str]]
_COMPUTED = re.compile(r"\{(\d)(?:\*(\d+))?([+-]\d+)?\}")


def renamed(graph: Graph, rules: Rules, style: Style, *, of: Style = TORCH) -> Graph:
    """Returns a Graph with other names of nodes, values and parameters.

    Args:
        graph: as another publisher has it; its inputs keep their names.
        rules: for names of nodes and for what stands before a parameter's suffix.
        style: whose suffixes normalisations get.
        of: whose they have.
    """
    rules = tuple(rules)
    suffixes = dict(zip(of.norm, style.norm, strict=True))
    kept = set(graph.inputs)
    names = {value: _by(rules, value) for node in graph.nodes for value in (node.name, *node.outputs)}
    normed = {name for node in graph.nodes if node.op in NORMS for name in node.inputs[1:]}
    for name in graph.params:
        path, dot, suffix = name.rpartition(".")
        suffix = suffixes[dot + suffix] if name in normed else dot + suffix
        names[name] = _by(rules, path) + suffix

    def new(value: str) -> str:
        return value if value in kept or not value else names[value]

    nodes = tuple(
        Node(node.op, new(node.name), tuple(map(new, node.inputs)), tuple(map(new, node.outputs)), node.attrs)
        for node in graph.nodes
    )
    params = {new(name): param for name, param in graph.params.items()}
    assert len(params) == len(graph.params), f"{graph.name}: two parameters have one name"
    return replace(
        graph, outputs=tuple(map(new, graph.outputs)), nodes=nodes, params=params, ignored={}, renamed={}
    )  # fmt: skip


def _by(rules: tuple[tuple[str, str], ...], name: str) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, functools.partial(_filled, replacement), name)
    return name


def _filled(template: str, match: re.Match[str]) -> str:
    def computed(part: re.Match[str]) -> str:
        group, factor, term = part.groups()
        if factor is None and term is None:
            return match[int(group)] or ""
        return str(int(match[int(group)]) * int(factor or 1) + int(term or 0))

    return _COMPUTED.sub(computed, template)


def by_kind(graph: Graph, scopes: Mapping[str, str]) -> dict[str, str]:
    """Returns the names that MXNet gave a network's arrays before version 1.2 -> those of a Graph.

    A layer was called by its kind and by how many of that kind its scope had before it: `stage1_conv0_weight`. The
    prefix of the whole network is left out, as `Block.save_params` did.

    Args:
        graph: whose nodes stand in the order in which Gluon makes the layers.
        scopes: regular expression for the beginning of a layer's path -> prefix of its scope, `stage1_`, or the name
            that the layer was given, `pred`; without one a layer is in the network's own.
    """
    counts: dict[str, int] = {}
    found = {}
    for node in graph.nodes:
        kind = {"Conv": "conv", "BatchNormalization": "batchnorm", "Gemm": "dense"}.get(node.op)
        if kind is None:
            continue
        scope = next((_filled(to, m) for pattern, to in scopes.items() if (m := re.match(pattern, node.name))), "")
        layer = scope
        if not scope or scope.endswith("_"):
            number = counts.get(scope + kind, 0)
            counts[scope + kind] = number + 1
            layer = f"{scope}{kind}{number}"
        for name in node.inputs[1:]:
            found[f"{layer}_{name.rpartition('.')[2]}"] = name
    return found
