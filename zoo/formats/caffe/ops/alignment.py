"""Where layers put the pixels of what they read: what FCN's own Crop layer, which states no offset, works out.

A position x of a layer's bottom lies at a * x + b of its top (coord_map.py and crop_layer.cpp of the fork that FCN was
published with); the offset is how far two ways from one value have moved apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from zoo.formats.caffe.network import Layer
from zoo.formats.caffe.ops.common import pair, window
from zoo.formats.caffe.translate import Step

MAX_WAY = 500  # layers between a Crop and where its bottoms part; FCN's have tens
Place = tuple[Fraction, Fraction]
"""a and b."""
_AS_IS = frozenset(
    {
        *("AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Concat", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log"),
        *(
            "Mish",
            "PReLU",
            "Power",
            "ReLU",
            "ReLU6",
            "Scale",
            "Sigmoid",
            "Softmax",
            "Split",
            "Swish",
            "TanH",
            "Threshold",
        ),
    }
)


def aligned(step: Step) -> list[int]:
    """Returns the rows and columns to leave out in front so that both bottoms of a Crop show the same pixels."""
    first = list(_ways(step, step.layer.bottoms[0]))
    second = list(_ways(step, step.layer.bottoms[1]))
    passed = {value for value, _ in first}
    met = next((value for value, _ in second if value in passed), None)
    if met is None:
        raise step.damaged("crops to a value that comes from another input")
    offsets = []
    ends = [next(places for value, places in ways if value == met) for ways in (first, second)]
    for (a, b), (c, d) in zip(*ends, strict=True):
        if a != c or (b - d).denominator != 1 or b < d:
            raise step.damaged(f"its bottoms do not align: scales {a} and {c}, moved by {b} and {d}")
        offsets.append(int(b - d))
    step.state.aligned[step.layer.tops[0]] = offsets
    return offsets


def _ways(step: Step, value: int) -> Iterator[tuple[int, tuple[Place, Place]]]:
    """Every value on the way up from one, by first bottoms, and where (rows, columns) of it lie in that one."""
    places: tuple[Place, Place] = ((Fraction(1), Fraction(0)), (Fraction(1), Fraction(0)))
    yield value, places
    for _ in range(MAX_WAY):
        if value not in step.state.makers:
            break
        layer = step.state.makers[value]
        value = layer.bottoms[0]
        own = _moves(step, layer)
        rows, columns = ((a * c, a * d + b) for (a, b), (c, d) in zip(places, own, strict=True))
        places = (rows, columns)
        yield value, places


def _moves(step: Step, layer: Layer) -> tuple[Place, Place]:
    """Where rows and columns of a layer's bottom lie in its top."""
    if layer.type in _AS_IS:
        return (Fraction(1), Fraction(0)), (Fraction(1), Fraction(0))
    at = Step(layer, tuple(step.state.values[bottom] for bottom in layer.bottoms), step.state)
    if layer.type == "Crop" and layer.spec.crop_param.aligned:
        top, left = step.state.aligned[layer.tops[0]]
        return (Fraction(1), Fraction(-top)), (Fraction(1), Fraction(-left))
    if layer.type == "Pooling" and not layer.spec.pooling_param.global_pooling:
        kernel, stride, pad = window(at, layer.spec.pooling_param)
    elif layer.type in ("Convolution", "Deconvolution"):
        kernel, stride, pad = window(at, layer.spec.convolution_param)
        dilation = pair(at, "dilation", layer.spec.convolution_param.dilation, 1)
        kernel = ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1)
    else:
        raise step.unsupported(f"states no offset, and none can be told across {layer.name} ({layer.type})")
    sides = list(zip(kernel, stride, pad, strict=True))
    if layer.type == "Deconvolution":
        rows, columns = ((Fraction(s), Fraction(k - 1, 2) - p) for k, s, p in sides)
    else:
        rows, columns = ((Fraction(1, s), (p - Fraction(k - 1, 2)) / s) for k, s, p in sides)
    return rows, columns
