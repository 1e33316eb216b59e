"""What two models do differently: in their networks, in what goes in, in what comes out, in what is known of them.

Two networks of one name may differ where no shape shows it: place of the stride, epsilon, padding. These are read off
their Graphs. A network that is one of `zoo.architectures` needs no file for that; one that lies in its files is
compared if they are in the cache.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo import hub_cards, label_lists, registries, registry
from zoo.errors import FetchError, ZooError
from zoo.graph import Graph, Node
from zoo.registry import info, is_builtin
from zoo.schema import ModelCard
from zoo.sources import UnsupportedSource, WeightsSource

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Row:
    """One fact of two models, as text."""

    part: str
    """`network`, `input`, `output` or `published`."""
    fact: str
    first: str
    second: str

    @property
    def same(self) -> bool:
        """Whether both say the same; what is unknown is not the same as anything."""
        return self.first == self.second and not self.first.startswith(UNKNOWN)


def diff(first: str, second: str) -> list[Row]:
    """Compares two models.

    Args:
        first: a registered name or alias, `hf:owner/name`, or a network of `zoo.architectures` in a publisher's
            dialect, `resnet50/torchvision`, of which only the network is compared.
        second: the other.

    Returns:
        Every fact that can be compared, whether it differs or not (`Row.same`).

    Raises:
        UnknownModelError: there is no such model.
        UsageError: there is no such network or dialect.

    Example:
        >>> import zoo
        >>> [row.fact for row in zoo.diff("efficientnet-lite0", "open-nsfw") if row.fact == "channel order"]
        ['channel order']
    """
    sides = [_facts(name) for name in (first, second)]
    return [Row(*key, sides[0][key], sides[1][key]) for key in sides[0] if key in sides[1]]


def _facts(name: str) -> dict[tuple[str, str], str]:
    if "/" in name and not name.startswith(hub_cards.PREFIX) and not registries.of(name):
        from zoo import architectures

        variant, _, dialect = name.partition("/")
        parts = {"network": _network(architectures.build(variant, dialect))}
    else:
        card = info(name)
        parts = {
            "network": _network(_graph(card)),
            "input": _input(card),
            "output": _output(card),
            "published": _published(card),
        }
    return {(part, fact): text for part, facts in parts.items() for fact, text in facts.items()}


def _graph(card: ModelCard) -> Graph | None:
    """Returns a card's network as far as it can be had without the network; weights may be missing."""
    if isinstance(card.source, WeightsSource):
        from zoo import architectures

        classes = 1000 if card.labels.count == "unknown" else card.labels.count
        size, _ = card.preprocessing.sides
        return architectures.build(card.source.architecture, card.source.dialect, classes=classes, size=size)
    if isinstance(card.source, UnsupportedSource):
        return None
    from zoo.convert import read_card
    from zoo.fetch import fetch

    try:
        files = fetch(card, offline=True, progress=False)
    except FetchError:
        return None
    try:
        return read_card(card, files, sandbox=not is_builtin(card))
    except ZooError:  # what `zoo get` would tell
        return None


# -------------------------------------------------------------------------------------------------------- the network


def _network(graph: Graph | None) -> dict[str, str]:
    if graph is None:
        return dict.fromkeys(_NETWORK, f"{UNKNOWN} until its files are there (zoo get)")
    counts = Counter(node.op for node in graph.nodes)
    convolutions = [node for node in graph.nodes if node.op in ("Conv", "ConvTranspose")]
    activations = ", ".join(f"{op} x{counts[op]}" for op in sorted(counts) if op in _ACTIVATIONS)
    facts = (
        _strided(convolutions, graph),
        _counted(filter(None, (_padding(node, graph) for node in convolutions))),
        _counted(_pool(node) for node in graph.nodes if node.op in ("MaxPool", "AveragePool")),
        _counted(f"{node.attrs.get('epsilon', 1e-5):g}" for node in graph.nodes if node.op == "BatchNormalization"),
        f"{len(convolutions)}, {sum(len(node.inputs) > 2 for node in convolutions)} with a bias",
        activations or "none",
        _head(graph),
        " ".join("x".join(str(side) for side in shape[1:]) for shape in graph.inputs.values()),
        f"{sum(math.prod(value.shape) for value in graph.params.values()):,}",
    )
    return dict(zip(_NETWORK, facts, strict=True))


_NETWORK = (
    *("strides", "padding", "pooling", "epsilon", "convolutions"),
    *("activations", "ends in", "input size", "stored numbers"),
)
_ACTIVATIONS = {
    *("Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu"),
    *("Gelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh"),
}


def _counted(found: Iterable[str]) -> str:
    return ", ".join(f"{text} x{count}" for text, count in Counter(found).items()) or "none"


def _strides(node: Node) -> tuple[int, ...]:
    return tuple(node.attrs.get("strides", (1, 1)))


def _kernel(node: Node, graph: Graph) -> tuple[int, ...]:
    return tuple(graph.params[node.inputs[1]].shape[2:]) if node.inputs[1] in graph.params else (0, 0)


def _strided(convolutions: list[Node], graph: Graph) -> str:
    """Kernels and strides of the convolutions that have one, and which of all convolutions these are."""
    found: dict[str, list[str]] = {}
    for number, node in enumerate(convolutions, 1):
        if max(_strides(node)) > 1:
            kernel = "x".join(map(str, _kernel(node, graph)))
            found.setdefault(f"{kernel} by {max(_strides(node))}", []).append(str(number))
    return ", ".join(f"{kind} at {' '.join(numbers)}" for kind, numbers in found.items()) or "none"


def _padding(node: Node, graph: Graph) -> str:
    """How a convolution pads; nothing for one that need not: without stride, SAME is as much on both sides."""
    automatic = node.attrs.get("auto_pad", "NOTSET")
    if max(_kernel(node, graph)) == 1:
        return ""
    if automatic.startswith("SAME"):
        return "SAME" if max(_strides(node)) > 1 else "as much on both sides"
    pads = tuple(node.attrs.get("pads", ())) or (0,) * 4
    if automatic == "VALID" or not any(pads):
        return "nothing"
    return "as much on both sides" if pads[:2] == pads[2:] else "more on one side"


def _pool(node: Node) -> str:
    kernel = "x".join(map(str, node.attrs.get("kernel_shape", ())))
    more = ", size rounded up" if node.attrs.get("ceil_mode") else ""
    padding = node.attrs.get("auto_pad", "NOTSET")
    padded = " SAME" if padding.startswith("SAME") else " padded" if any(node.attrs.get("pads", ())) else ""
    return f"{node.op.removesuffix('Pool').lower()} {kernel} by {max(_strides(node))}{padded}{more}"


def _head(graph: Graph) -> str:
    """The last operators."""
    ops = [node.op for node in graph.nodes if node.op not in ("Identity", "Dropout")]
    return " -> ".join(ops[-4:])


# ----------------------------------------------------------------------------------------------------------- the card


def _input(card: ModelCard) -> dict[str, str]:
    rules = card.preprocessing.model_dump(mode="json")
    resize = rules.pop("resize")
    told = resize if isinstance(resize, str) else " ".join(str(value) for value in resize.values())
    return {**{key.replace("_", " "): _text(value) for key, value in rules.items()}, "resize": told}


def _output(card: ModelCard) -> dict[str, str]:
    labels = card.labels
    return {
        "classes": str(labels.count),
        "labels": labels.list if labels.names is None else ", ".join(name for _, name in labels.names[:8]),
        "offset": str(labels.offset),
        "order of classes": UNKNOWN if (classes := registry.labels(card)) is None else label_lists.order(classes),
    }


def _published(card: ModelCard) -> dict[str, str]:
    metrics = [m for m in card.metrics if m.top1 != UNKNOWN]
    accuracy = UNKNOWN
    if metrics:
        accuracy = f"{100 * metrics[0].top1:.2f} % ({metrics[0].dataset}; {metrics[0].protocol})"
    return {
        "origin": card.origin,
        "format": card.source.format,
        "architecture": _architecture(card),
        "dataset": card.dataset,
        "top-1": accuracy,
        "trained numbers": f"{card.parameters:,}" if isinstance(card.parameters, int) else UNKNOWN,
        "licence of the weights": card.license.weights,
        "status": card.status,
    }


def _architecture(card: ModelCard) -> str:
    if isinstance(card.source, WeightsSource):
        return f"{card.source.architecture}, as {card.source.dialect} has it"
    return card.architecture


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{part}" for part in value.values())
    if isinstance(value, list):
        return ", ".join(f"{part:g}" for part in value)
    return str(value)
