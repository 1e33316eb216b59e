"""Windows over one axis, (batch, channels, length): the same over maps of one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zoo.formats.onnx import ops
from zoo.formats.onnx.step import Known, Step, Value

# Attribute -> what its missing axis of height has.
_ROWS = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0, "output_shape": 1}


def or_lines(translate: ops.Op) -> ops.Op:
    """Returns the translation of a window that slides over maps, for lines as well."""

    def either(step: Step) -> Value | list[Value]:
        value = step.inputs[0] if step.inputs else None
        if not isinstance(value, Value) or len(value.shape) != 3:
            return translate(step)
        row = step.node("Unsqueeze", [value.name], suffix="row", axes=(2,))
        inputs: list[Known | Value | None] = [row, *step.inputs[1:]]
        kernel = inputs[1] if len(inputs) > 1 else None
        if isinstance(kernel, Known) and kernel.array.ndim == 3:
            inputs[1] = Known(kernel.array[:, :, None], kernel.name)
        name = step.state.unique(f"{step.layer.name}/window")
        layer = replace(step.layer, name=name, outputs=(name,), attrs=_of_rows(step))
        made = translate(Step(layer, tuple(inputs), step.state))
        assert isinstance(made, Value)
        return step.node("Squeeze", [made.name], axes=(2,))

    return either


def _of_rows(step: Step) -> Mapping[str, Any]:
    attrs = dict(step.attrs)
    for key, alone in _ROWS.items():
        if key in attrs:
            numbers = step.ints(key, None)
            attrs[key] = [alone, *(numbers[-1:] if key == "output_shape" else numbers)]
    if "pads" in attrs:
        before, after = step.ints("pads", None)
        attrs["pads"] = [0, before, 0, after]
    return attrs


_WINDOWS = (
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"),
    *("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"),
)
OPS: Mapping[str, ops.Op] = {name: or_lines(ops.OPS[name]) for name in _WINDOWS}
