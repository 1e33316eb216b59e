"""Modules of parallel branches: what GoogLeNet, the Inceptions, Inception-ResNet and PolyNet have in common.

A module takes one value through several branches and puts their ends one behind the other. It is written down as a
tuple of branches, each a line of steps:

    64                convolution 1x1 to 64 channels, with its batch normalisation and ReLU
    64:1x7            with another kernel
    64:3x3/2          with stride 2
    64:3x3v           without padding
    256:1x3|256:3x1   two convolutions of the same value, one behind the other
    avg, max, max/2v  pool over 3x3
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from zoo.architectures.net import SLIM, TORCH, Net, Padding, Pair, Style

AUXILIARY = "belongs to an auxiliary classifier, which only training uses"
STEPS = "counts training steps"


@dataclass(frozen=True)
class Step:
    """A convolution or a pool; `out` is 0 for a pool."""

    kind: str
    out: int
    kernel: tuple[int, int]
    stride: int
    valid: bool


Steps = tuple[tuple[Step, ...], ...]
"""Of a branch; a step that forks has several parts."""
Names = Callable[[int, Steps], list[tuple[str, ...]]]
"""(place of a branch in its module, its steps) -> name of each part of each step, without the module's."""
_STEP = re.compile(r"(avg|max|\d+)(?::(\d+)x(\d+))?(?:/(\d))?(v?)")


@functools.cache
def steps_of(branch: str) -> Steps:
    """Returns the steps of a branch.

    >>> [[(step.out, step.kernel) for step in parts] for parts in steps_of("64 256:1x3|128:3x1")]
    [[(64, (1, 1))], [(256, (1, 3)), (128, (3, 1))]]
    """
    return tuple(tuple(_step(part) for part in parts.split("|")) for parts in branch.split())


def _step(text: str) -> Step:
    found = _STEP.fullmatch(text)
    assert found is not None, text
    what, rows, columns, stride, valid = found.groups()
    pool = what in ("avg", "max")
    kernel = (int(rows), int(columns)) if rows else ((3, 3) if pool else (1, 1))
    return Step(what if pool else "conv", 0 if pool else int(what), kernel, int(stride or 1), bool(valid))


def numbered(prefix: str, first: int = 0) -> Names:
    """Names as in torch's modules: `branch0` where it is one step, else `branch0.0`; `branch0_1a` where steps fork."""

    def names(branch: int, steps: Steps) -> list[tuple[str, ...]]:
        stem = f"{prefix}{branch + first}"
        if len(steps) == 1:
            return [(stem,)]
        if all(len(parts) == 1 for parts in steps):
            return [(f"{stem}.{index}",) for index in range(len(steps))]
        return [_parts(f"{stem}_{index}", parts) for index, parts in enumerate(steps)]

    return names


def prefixed(prefixes: Sequence[str]) -> Names:
    """Names from one prefix per branch: the bare prefix for its only convolution, else `prefix_1`, `prefix_2a`."""

    def names(branch: int, steps: Steps) -> list[tuple[str, ...]]:
        prefix = prefixes[branch]
        if any(parts[0].kind != "conv" for parts in steps):
            return [(prefix,)] if len(steps) == 1 else [(f"{prefix}.pool",), (prefix,)]
        if len(steps) == 1:
            return [(prefix,)]
        return [_parts(f"{prefix}_{index}", parts) for index, parts in enumerate(steps, 1)]

    return names


def _parts(name: str, parts: tuple[Step, ...]) -> tuple[str, ...]:
    return (name,) if len(parts) == 1 else tuple(name + "ab"[part] for part in range(len(parts)))


def scoped(branch: int, steps: Steps) -> list[tuple[str, ...]]:
    """Names as slim has them: `Branch_1/Conv2d_0b_3x3`; what makes the map smaller is `1a`."""
    letters = iter("abcdefgh")
    named = []
    for parts in steps:
        names = []
        for step in parts:
            what = {"avg": "AvgPool", "max": "MaxPool"}.get(step.kind, "Conv2d")
            place = "1a" if step.valid or step.stride > 1 else f"0{next(letters)}"
            names.append(f"Branch_{branch}/{what}_{place}_{step.kernel[0]}x{step.kernel[1]}")
        named.append(tuple(names))
    return named


@dataclass(frozen=True)
class Dialect:
    """How a publisher writes such modules down.

    Args:
        layers: name of a convolution in a module -> names of its three layers: convolution, normalisation, ReLU.
        between: what stands between a module's name and that of a part of it.
        renamed: name by the rule -> name where the publisher breaks it.
        include_pad: whether the zeros around the image count in averages.
        ceil: whether pools round up.
    """

    style: Style
    layers: Callable[[str], tuple[str, str, str]]
    names: Names
    between: str = "."
    renamed: Mapping[str, str] = field(default_factory=dict)
    scale: bool = True
    bias: bool = False
    include_pad: bool = True
    ceil: bool = False


def torch_dialect(
    names: Names, *, act: str = ".relu", epsilon: float = 1e-3, include_pad: bool = True,
    renamed: Mapping[str, str] | None = None,
) -> Dialect:  # fmt: skip
    """The dialect of torch modules that hold `conv` and `bn`."""
    return Dialect(
        replace(TORCH, epsilon=epsilon), lambda name: (f"{name}.conv", f"{name}.bn", name + act), names,
        include_pad=include_pad, renamed=renamed or {},
    )  # fmt: skip


def slim_dialect(renamed: Mapping[str, str] | None = None) -> Dialect:
    """The dialect of tensorflow/models research/slim: normalisations have no gamma, averages leave padding out."""
    return Dialect(
        SLIM, lambda name: (name, f"{name}/BatchNorm", f"{name}/Relu"), scoped, between="/", renamed=renamed or {},
        scale=False, include_pad=False,
    )  # fmt: skip


class Branches:
    """Adds convolutions with their normalisation, pools, and modules of them, to a Net."""

    def __init__(self, net: Net, dialect: Dialect) -> None:
        self.net = net
        self.dialect = dialect

    def unit(
        self, value: str, name: str, out: int, kernel: Pair = 1, stride: int = 1, *, pad: Padding = None,
        act: bool = True,
    ) -> str:  # fmt: skip
        """Convolution, batch normalisation and ReLU."""
        conv, norm, relu = self.dialect.layers(name)
        value = self.net.conv(value, conv, out, kernel, stride, pad=pad, bias=self.dialect.bias)
        value = self.net.norm(value, norm, scale=self.dialect.scale)
        return self.net.act(value, relu, "relu") if act else value

    def pool(self, value: str, name: str, step: Step) -> str:
        pad: Padding = "valid" if step.valid else None
        if step.kind == "max":
            return self.net.max_pool(value, name, step.kernel, step.stride, pad=pad, ceil=self.dialect.ceil)
        return self.net.avg_pool(
            value, name, step.kernel, step.stride, pad=pad, ceil=self.dialect.ceil,
            include_pad=self.dialect.include_pad,
        )  # fmt: skip

    def chain(self, value: str, layers: Sequence[tuple[str, str]]) -> str:
        """Adds steps one after the other; each is its name and a step as in the table of a module."""
        for name, text in layers:
            value = self._step(value, name, steps_of(text)[0][0])
        return value

    def module(
        self, value: str, name: str, branches: Sequence[str], *, output: str = "", names: Names | None = None
    ) -> str:
        """Adds a module.

        Args:
            value: what all branches take.
            name: of the module.
            branches: as at the head of this file.
            output: name of the value it gives; default: the module's.
            names: other than the dialect's.
        """
        ends = []
        for index, branch in enumerate(branches):
            end, steps = value, steps_of(branch)
            for parts, named in zip(steps, (names or self.dialect.names)(index, steps), strict=True):
                full = [self._full(name, part) for part in named]
                made = [self._step(end, part, step) for part, step in zip(full, parts, strict=True)]
                end = made[0] if len(made) == 1 else self.net.concat(f"{full[0]}.concat", *made)
            ends.append(end)
        return self.net.concat(output or name, *ends)

    def residual(self, value: str, name: str, *ends: str, scale: float, act: bool = True) -> str:
        """A value and the ends of its branches, scaled, all added, and ReLU; the last makes the value `name`."""
        between = self.dialect.between
        for index, end in enumerate(ends):
            suffix = f".{index}" if len(ends) > 1 else ""
            end = self.net.times(end, f"{name}{between}scaled{suffix}", scale)
            last = not act and index == len(ends) - 1
            value = self.net.add(name if last else f"{name}{between}add{suffix}", value, end)
        return self.net.act(value, name, "relu") if act else value

    def _full(self, module: str, name: str) -> str:
        full = f"{module}{self.dialect.between}{name}"
        return self.dialect.renamed.get(full, full)

    def _step(self, value: str, name: str, step: Step) -> str:
        if step.kind != "conv":
            return self.pool(value, name, step)
        return self.unit(value, name, step.out, step.kernel, step.stride, pad="valid" if step.valid else None)

    # --------------------------------------------------------------------------------------------------------- heads

    def torch_head(self, value: str, pool: str, fc: str, classes: int, *, dropout: float = 0.0) -> str:
        """Average of all positions, dropout, dense layer."""
        value = self.net.flatten(self.net.global_pool(value, pool), f"{pool}.flatten")
        return self.net.linear(self.net.dropout(value, "dropout", dropout), fc, classes)

    def slim_head(self, value: str, scope: str, names: tuple[str, str, str], classes: int, *, dense: bool) -> str:
        """The same in slim, which drops a fifth; the classifier is a dense layer or a 1x1 convolution."""
        pool, drop, logits = (f"{scope}/Logits/{name}" for name in names)
        value = self.net.global_pool(value, pool)
        if dense:
            value = self.net.flatten(value, f"{scope}/Logits/flatten")
            return self.net.linear(self.net.dropout(value, drop, 0.2), logits, classes)
        value = self.net.conv(self.net.dropout(value, drop, 0.2), logits, classes, bias=True)
        return self.net.flatten(value, f"{scope}/Logits/SpatialSqueeze")
