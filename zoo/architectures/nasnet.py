"""NASNet-A (arXiv:1707.07012) and PNASNet-5 (arXiv:1712.00559): cells of five pairs of operations that a search found.

Sources: slim (tensorflow/models research/slim/nets/nasnet/nasnet.py, nasnet_utils.py, pnasnet.py) is the first; timm
(models/nasnet.py, pnasnet.py) and pretrainedmodels (models/nasnet.py, nasnet_mobile.py, pnasnet.py) hold its weights
under names of their own. `CELLS` says what all of them compute. Three of them differ from it:

- pretrainedmodels pads as much on both sides where slim pads as TensorFlow's SAME, and shifts the windows in some cells
  (`SHIFTED`): the same numbers as slim's at the published size, others where a map has an even side that is odd there.
- titu1994 (titu1994/Keras-NASNet nasnet.py, tag v1.2) computes what slim does, but the cell behind a reduction cell
  reads the output before it in the large network too, where slim reads the one before that. Later versions of that
  code are those of keras.applications.
- timm's averages of stride 2 count the zeros around the map (layers/pool2d_same.py), slim's do not.

pretrainedmodels ends in an average over 11x11 (mobile: 7x7) positions, which is all of them at the only size that it
takes. Here it is all of them at any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from zoo.architectures.nasnet_names import NAMES, Names, of_titu1994
from zoo.architectures.net import Net, Padding
from zoo.errors import UsageError
from zoo.graph import Graph, Node


class Cell(NamedTuple):
    """What a cell does with its states: 0 is the output before it, 1 the one before that, 2 to 6 are its own sums."""

    pairs: tuple[tuple[str, int, str, int], ...]
    """Operation and state left, the same right; the two are added. `sep5` is two separable 5x5 convolutions."""
    joined: tuple[int, ...]
    """States that it puts side by side."""


CELLS = {
    "nasnet": Cell(
        (
            ("sep5", 0, "sep3", 1),
            ("sep5", 1, "sep3", 1),
            ("avg", 0, "none", 1),
            ("avg", 1, "avg", 1),
            ("sep3", 0, "none", 0),
        ),
        joined=(1, 2, 3, 4, 5, 6),
    ),
    "nasnet-reduction": Cell(
        (
            ("sep5", 0, "sep7", 1),
            ("max", 0, "sep7", 1),
            ("avg", 0, "sep5", 1),
            ("none", 3, "avg", 2),
            ("sep3", 2, "max", 0),
        ),
        joined=(3, 4, 5, 6),
    ),
    "pnasnet": Cell(
        (
            ("sep5", 1, "max", 1),
            ("sep7", 0, "max", 0),
            ("sep5", 0, "sep3", 0),
            ("sep3", 4, "max", 0),
            ("sep3", 1, "none", 0),
        ),
        joined=(2, 3, 4, 5, 6),
    ),
}


@dataclass(frozen=True)
class Variant:
    """A network's size: three blocks of cells, each with twice the channels of the one before.

    Args:
        family: key of `CELLS`; NASNet has a reduction cell of its own before the second and the third block, PNASNet
            takes the first cell of the block.
        filters: channels of a state in the first block.
        stem: channels of the first convolution.
        cells: in a block.
        size: rows and columns it was published for, pixels.
        skip: whether the cell behind a reduction cell also reads the output two before it, not the one before.
    """

    family: str
    filters: int
    stem: int
    cells: int
    size: int
    skip: bool = False


VARIANTS: Mapping[str, Variant] = {
    "nasnetalarge": Variant("nasnet", 168, 96, 6, 331, skip=True),
    "nasnetamobile": Variant("nasnet", 44, 32, 4, 224),
    "pnasnet5large": Variant("pnasnet", 216, 96, 4, 331),
    "pnasnet5mobile": Variant("pnasnet", 54, 32, 3, 224),
}
PUBLISHED: Mapping[str, Sequence[str]] = {
    "timm": ("nasnetalarge", "pnasnet5large"),
    "pretrainedmodels": ("nasnetalarge", "nasnetamobile", "pnasnet5large"),
    "slim": tuple(VARIANTS),
    "titu1994": ("nasnetalarge", "nasnetamobile"),
}
TIMM = {name: (name, "timm") for name in PUBLISHED["timm"]}
SHIFTED: Mapping[str, Sequence[str]] = {
    "nasnetalarge": ("reduction_cell_0",),
    "nasnetamobile": ("cell_stem_1", "reduction_cell_0", "reduction_cell_1"),
    "pnasnet5large": ("cell_4",),
}
"""Cells in which pretrainedmodels adds a row and a column of zeros in front and drops the first output: they give what
SAME gives for maps of an even side, and fit nowhere else."""
IGNORED = {
    "aux_*": "an auxiliary head, which only training has",
    "global_step": "counts training steps",
}
"""In slim's checkpoints."""
SMALLEST = 19
"""Rows of an input that leave two before the last reduction: slim tells by the number of rows what has to shrink."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only.

    Raises:
        UsageError: the input is too small, or one that pretrainedmodels' shifted cells do not fit.
    """
    network = VARIANTS[variant]
    if dialect == "titu1994":
        network = replace(network, skip=False)
    size = size or network.size
    if size < SMALLEST:
        raise UsageError(f"{variant}: size={size}; expected {SMALLEST} or more")
    writer = _Writer(NAMES[dialect, network.family], variant, dialect)
    output = writer.network(network, classes, size)
    graph = writer.net.graph(variant, output, size, ignored=IGNORED if dialect == "slim" else None)
    return _renamed(graph, network.cells) if dialect == "titu1994" else graph


def _renamed(graph: Graph, cells: int) -> Graph:
    def new(name: str) -> str:
        return of_titu1994(name, cells)

    nodes = tuple(
        Node(node.op, new(node.name), tuple(map(new, node.inputs)), tuple(map(new, node.outputs)), node.attrs)
        for node in graph.nodes
    )
    params = {new(name): param for name, param in graph.params.items()}
    return replace(graph, nodes=nodes, params=params, outputs=tuple(map(new, graph.outputs)))


def _plan(network: Variant, names: Names) -> Iterator[tuple[str, Cell, float, int, int]]:
    """Yields each cell's name, what it does, its channels, its stride, and how many outputs back its state 1 is."""
    cell = CELLS[network.family]
    reduction = CELLS.get(f"{network.family}-reduction")
    for index in range(2):
        yield f"cell_stem_{index}", reduction or cell, network.filters / 4 * 2**index, 2, 2
    for block in range(3):
        filters = network.filters * 2**block
        if block and reduction:
            yield f"reduction_cell_{block - 1}", reduction, filters, 2, 2
        for index in range(network.cells):
            first = block > 0 and index == 0
            yield (
                f"cell_{block * (names.numbered or network.cells) + index}",
                cell,
                filters,
                2 if first and not reduction else 1,
                3 if first and network.skip else 2,
            )


class _Writer:
    """Writes the cells of one network under a publisher's names."""

    def __init__(self, names: Names, variant: str, dialect: str) -> None:
        self.names = names
        self.variant = variant
        self.dialect = dialect
        self.net = Net(names.style)
        self.rows: dict[str, int] = {}
        """Of the outputs of cells."""

    def network(self, network: Variant, classes: int, size: int) -> str:
        net, names = self.net, self.names
        conv, norm = names.first
        value = net.norm(net.conv("image", conv, network.stem, 3, 2, pad="valid"), norm)
        self.rows[value] = (size - 3) // 2 + 1
        outputs = [value]
        for name, cell, filters, stride, back in _plan(network, names):
            before = outputs[-back] if len(outputs) >= back else None
            outputs.append(self.cell(name, cell, int(filters), stride, outputs[-1], before))
        act, pool, flatten, dropout, linear = names.head
        value = net.act(outputs[-1], act, "relu")
        value = net.flatten(net.global_pool(value, pool), flatten)
        return net.linear(net.dropout(value, dropout, names.dropout), linear, classes)

    def cell(self, name: str, cell: Cell, filters: int, stride: int, value: str, before: str | None) -> str:
        """A cell; `before` is the output before `value`, None for the first cell, whose state 1 is `value` as it is."""
        net, names = self.net, self.names
        rows = self.rows[value]
        self._fits(name, rows)
        scope = name + names.separator
        states = [self._projected(value, scope, names.current, filters)]
        if before is None:
            states.append(value)
        elif self.rows[before] != rows:
            states.append(self._halved(before, scope, filters))
        else:
            states.append(self._projected(before, scope, names.previous, filters))
        for index, (left, first, right, second) in enumerate(cell.pairs):
            sides = []
            for side, kind, state in (("left", left, first), ("right", right, second)):
                at = scope + names.side.format(index, side)
                sides.append(self._operation(kind, states[state], name, at, filters, stride if state < 2 else 1))
            states.append(net.add(scope + names.sum.format(index), *sides))
        joined = net.concat(name + names.joined, *(states[state] for state in cell.joined))
        self.rows[joined] = -(-rows // stride)
        return joined

    def _fits(self, cell: str, rows: int) -> None:
        if self._shifted(cell) and rows % 2:
            raise UsageError(
                f"pretrainedmodels' {self.variant}: with this size the map before {cell} has {rows} rows;"
                f" it needs an even number of them there, as with size={VARIANTS[self.variant].size}"
            )

    def _shifted(self, cell: str) -> bool:
        return self.dialect == "pretrainedmodels" and cell in SHIFTED[self.variant]

    def _operation(self, kind: str, value: str, cell: str, at: str, filters: int, stride: int) -> str:
        net, names = self.net, self.names
        fits = net.channels[value] == filters
        if kind == "none":
            return value if fits and stride == 1 else self._projected(value, at, names.strided, filters, stride)
        kernel = 3 if kind in ("max", "avg") else int(kind[-1])
        pad = self._pad(cell, kernel, stride)
        if kind.startswith("sep"):
            return self._separables(value, at, filters, kernel, stride, pad)
        pool = at + (names.pools[kind] if fits else names.pools["projected"])
        if kind == "max":
            value = net.max_pool(value, pool, 3, stride, pad=pad)
        elif self.dialect == "timm" and stride == 2:
            value = net.node(
                "AveragePool", pool, value, kernel_shape=(3, 3), strides=(2, 2), auto_pad="SAME_UPPER",
                count_include_pad=1,
            )  # fmt: skip
        else:
            value = net.avg_pool(value, pool, 3, stride, pad=pad, include_pad=False)
        if fits:
            return value
        _, conv, norm = names.strided
        return net.norm(net.conv(value, at + conv, filters), at + norm)

    def _pad(self, cell: str, kernel: int, stride: int) -> Padding:
        if self.dialect != "pretrainedmodels":
            return "same"
        before = kernel // 2
        # Windows begin two further left because of the added zeros, and the first one is dropped.
        return (before - 1, before - 1, before, before) if stride == 2 and self._shifted(cell) else before

    def _separables(self, value: str, at: str, filters: int, kernel: int, stride: int, pad: Padding) -> str:
        """Twice ReLU, separable convolution, normalisation; the first has the stride, and brings the channels."""
        net, names = self.net, self.names
        depthwise, pointwise = names.separable
        for index in (1, 2):
            act, conv, norm = (at + part.format(index, kernel) for part in (names.act[index - 1], *names.convolution))
            value = net.act(value, act, "relu")
            value = net.conv(
                value, conv + depthwise.node, net.channels[value], kernel, stride, pad=pad,
                groups=net.channels[value], weights=conv + depthwise.weights,
            )  # fmt: skip
            value = net.conv(value, conv + pointwise.node, filters, weights=conv + pointwise.weights)
            value = net.norm(value, norm)
            stride, pad = 1, kernel // 2
        return value

    def _projected(self, value: str, scope: str, parts: tuple[str, str, str], filters: int, stride: int = 1) -> str:
        """ReLU, 1x1 convolution, normalisation."""
        act, conv, norm = (scope + part for part in parts)
        value = self.net.conv(self.net.act(value, act, "relu"), conv, filters, 1, stride, pad="valid")
        return self.net.norm(value, norm)

    def _halved(self, value: str, scope: str, filters: int) -> str:
        """Half the side without loss: 1x1 convolutions of a map's even positions and of its odd ones, padded behind."""
        net = self.net
        act, even, odd, norm = (scope + part for part in self.names.halved)
        value = net.act(value, act, "relu")
        half = filters // 2
        first = net.conv(value, even, half, 1, 2, pad="valid")
        value = net.node("Pad", f"{odd}.shift", value, pads=(0, 0, -1, -1, 0, 0, 1, 1))
        second = net.conv(value, odd, filters - half, 1, 2, pad="valid")
        return net.norm(net.concat(f"{norm}.concat", first, second), norm)
