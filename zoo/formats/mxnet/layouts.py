"""MXNet's windows over maps with channels last (layout NHWC), as half-precision training on GPUs wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zoo.formats.mxnet.channels import LAYOUTS, TO_NCHW, TO_NHWC
from zoo.formats.mxnet.table import Rule
from zoo.formats.mxnet.translate import Step, Value
from zoo.graph import Param


@dataclass
class _Turned(Step):
    """A step whose first input and stored kernel are as layout NCHW would have them."""

    first: Value

    def input(self, index: int = 0) -> Value:
        return self.first if index == 0 else super().input(index)

    def array(self, index: int, shape: tuple[int, ...]) -> tuple[str, np.ndarray | Param]:
        if len(shape) != 4:
            return super().array(index, shape)
        outer, inner, *kernel = shape
        name, array = super().array(index, (outer, *kernel, inner))
        return name, Param(shape) if isinstance(array, Param) else array.transpose(TO_NCHW)

    def add(self, op: str, inputs: Sequence[Value], /, *, suffix: str = "", name: str = "", **attrs: Any) -> Value:
        return super().add(op, inputs, suffix=suffix or "nchw", name=name, **attrs)


def either(rule: Rule) -> Rule:
    """Returns the rule of a window over channels first, for both layouts."""

    def translate(step: Step) -> Value | list[Value]:
        if step.attributes.choice("layout", LAYOUTS, "NCHW") != "NHWC":
            return rule.translate(step)
        if len(step.shape) != 4:
            raise step.unsupported(f"input of {len(step.shape)} axes; only batch, height, width, channels")
        first = step.add("Transpose", [step.input()], suffix="turned", perm=TO_NCHW)
        made = rule.translate(_Turned(step.node, step.state, first))
        assert isinstance(made, Value)
        return step.add("Transpose", [made], perm=TO_NHWC)

    return replace(rule, translate=translate)
