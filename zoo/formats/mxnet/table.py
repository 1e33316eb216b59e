"""What the table of MXNet's ops holds of each: its translation and what its inputs are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from zoo.formats.mxnet.attributes import Attributes

if TYPE_CHECKING:
    from zoo.formats.mxnet.translate import Step, Value

Op: TypeAlias = "Callable[[Step], Value | list[Value]]"


@dataclass(frozen=True)
class Rule:
    """One op of MXNet.

    Args:
        translate: adds its nodes to the Graph; returns its value, or values where it has several.
        arguments: names of its inputs, which complete the nodes of old files; empty where the file states all.
        optional: argument -> whether a node with these attributes has it.
        reads: how many inputs inference reads, where others are labels.
    """

    translate: Op
    arguments: tuple[str, ...] = ()
    optional: tuple[str, Callable[[Attributes], bool]] | None = None
    reads: int | None = None

    def arguments_of(self, attributes: Attributes) -> tuple[str, ...]:
        """Returns the names of a node's inputs."""
        if self.optional is None or self.optional[1](attributes):
            return self.arguments
        return tuple(argument for argument in self.arguments if argument != self.optional[0])
