"""Shapes of a Graph's values, op by op, without computing any.

A shape has the batch, `BATCH`, as its first entry; stored arrays have their own. Readers use it while they translate,
so what it refuses is told with plain words (`ValueError`) for them to put file and layer in front of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from zoo import windows
from zoo.graph import Graph, Node

BATCH = -1
LIMIT = 1 << 40

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Sequence[Shape | None]
Rule: TypeAlias = Callable[[Node, Shapes], list[Shape]]


def infer(node: Node, shapes: Shapes) -> list[Shape]:
    """Returns the shapes of a node's outputs.

    Args:
        node: an operation of a Graph.
        shapes: those of its inputs: a value's begins with `BATCH`, a stored array's is its own, None is left out.

    Raises:
        ValueError: the node cannot take such inputs, or its outputs would be empty or impossibly large. Its text
            names neither node nor file.

    >>> infer(Node("Flatten", "flat", ("x",), ("flat",)), [(BATCH, 8, 4, 4)])
    [(-1, 128)]
    """
    rule = RULES.get(node.op)
    if rule is None:
        raise ValueError(f"the op {node.op} has no shape rule")
    try:
        found = rule(node, shapes)
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"lacks an input or attribute, or has an impossible one ({error})") from None
    if len(found) != len(node.outputs):
        raise ValueError(f"has {len(node.outputs)} outputs, expected {len(found)}")
    for shape in found:
        _check(shape)
    return found


def infer_all(graph: Graph) -> dict[str, Shape]:
    """Returns value name -> shape, batch first, for a Graph's inputs and all that its nodes make.

    Raises:
        ValueError: a node cannot take its inputs; its name stands in front.
    """
    known: dict[str, Shape] = {name: (BATCH, *shape) for name, shape in graph.inputs.items()}
    arrays = {name: tuple(param.shape) for name, param in graph.params.items()}
    for node in graph.nodes:
        inputs = [arrays[key] if key in arrays else known[key] if key else None for key in node.inputs]
        try:
            known.update(zip(node.outputs, infer(node, inputs), strict=True))
        except ValueError as error:
            raise ValueError(f"{node.name} ({node.op}): {error}") from None
    return known


def told(shape: Shape) -> str:
    """Returns a shape as messages have it, with N for the batch: `Nx3x224x224`."""
    return "x".join("N" if n == BATCH else str(n) for n in shape) or "scalar"


def _check(shape: Shape) -> None:
    sizes = shape[1:] if shape[:1] == (BATCH,) else shape
    if any(n == BATCH for n in sizes):
        raise ValueError("moves the batch from the first axis, which has to stay there")
    if any(n < 1 for n in sizes):
        raise ValueError(f"gives an empty output {told(shape)}")
    if math.prod(sizes) > LIMIT:
        raise ValueError(f"gives the impossible output {told(shape)}")


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """Returns the common shape of values and arrays that meet element by element, as ONNX aligns them: at the end.

    One thing more: a value (N, C) meets a map (N, C, H, W) as (N, C, 1, 1), since the batch has to stay the batch.
    """
    rank = max(len(shape) for shape in shapes)
    spread = [
        (*shape, *(1,) * (rank - len(shape))) if shape[:1] == (BATCH,) else (*(1,) * (rank - len(shape)), *shape)
        for shape in shapes
    ]
    result = []
    for sizes in zip(*spread, strict=True):
        different = set(sizes) - {1}
        if len(different) > 1:
            raise ValueError(f"inputs of shapes {', '.join(told(s) for s in shapes)} do not go together")
        result.append(different.pop() if different else 1)
    return tuple(result)


def _axis(given: Any, rank: int, *, batch: bool = False) -> int:
    axis = int(given)
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} does not exist in {rank} axes")
    if axis % rank == 0 and not batch:
        raise ValueError("acts on axis 0, the batch")
    return axis % rank


def _given(shapes: Shapes, index: int = 0, rank: int | None = None) -> Shape:
    shape = shapes[index] if index < len(shapes) else None
    if shape is None:
        raise ValueError(f"lacks its input {index}")
    if rank is not None and len(shape) != rank:
        raise ValueError(f"expected an input of {rank} axes, got {told(shape)}")
    return shape


def _sizes(node: Node, key: str, default: Sequence[int] | None, count: int, low: int = 1) -> list[int]:
    """A list attribute of a known length, each of at least `low`."""
    given = node.attrs.get(key, default)
    if given is None:
        raise ValueError(f"lacks {key}")
    sizes = [int(n) for n in given]
    if len(sizes) != count or any(not low <= n <= LIMIT for n in sizes):
        raise ValueError(f"has {key} {sizes[:8]}, expected {count} numbers of at least {low}")
    return sizes


def _like_first(node: Node, shapes: Shapes) -> list[Shape]:
    return [_given(shapes)]


def _elementwise(node: Node, shapes: Shapes) -> list[Shape]:
    return [broadcast([_given(shapes, i) for i in range(max(len(shapes), 1))])]


def _like_channels(node: Node, shapes: Shapes) -> list[Shape]:
    """Normalisations: each array has one number per channel."""
    shape = _given(shapes)
    if len(shape) < 2:
        raise ValueError(f"expected an input with channels, got {told(shape)}")
    for index in range(1, len(shapes)):
        if _given(shapes, index) != (shape[1],):
            raise ValueError(f"array {index} has shape {told(_given(shapes, index))}, the input {shape[1]} channels")
    return [shape]


def _prelu(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    if broadcast([shape, _given(shapes, 1)]) != shape:
        raise ValueError(f"slopes of shape {told(_given(shapes, 1))} do not fit {told(shape)}")
    return [shape]


def _window(node: Node, size: Sequence[int], kernel: Sequence[int], *, pool: bool) -> list[int]:
    strides = _sizes(node, "strides", (1, 1), 2)
    dilations = _sizes(node, "dilations", (1, 1), 2)
    _sizes(node, "pads", (0, 0, 0, 0), 4, low=0)
    if node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        raise ValueError(f"has auto_pad {node.attrs['auto_pad']!r}, which a Graph does not know")
    spans = [windows.span(k, d) for k, d in zip(kernel, dilations, strict=True)]
    pads = windows.padding(node.attrs, size, spans, strides)
    explicit = node.attrs.get("auto_pad", "NOTSET") == "NOTSET"
    if pool and explicit and any(max(pad) >= reach for pad, reach in zip(pads, spans, strict=True)):
        raise ValueError(f"padding {pads} holds whole windows of {spans[0]}x{spans[1]}")
    ceil = bool(node.attrs.get("ceil_mode", 0))
    found = [
        windows.outputs(n, reach, s, p, ceil=ceil) for n, reach, s, p in zip(size, spans, strides, pads, strict=True)
    ]
    if 0 in found:
        padded = [n + sum(pad) for n, pad in zip(size, pads, strict=True)]
        raise ValueError(f"kernel {spans[0]}x{spans[1]} larger than input {padded[0]}x{padded[1]}")
    return found


def _kernel(node: Node, shapes: Shapes, outputs: int) -> tuple[Shape, Shape, int]:
    """The input, the kernel and the groups of a convolution whose kernel counts its outputs on axis `outputs`."""
    shape, kernel = _given(shapes, 0, 4), _given(shapes, 1)
    if len(kernel) != 4:
        raise ValueError(f"expected a kernel of 4 axes, got {told(kernel)}")
    group = int(node.attrs.get("group", 1))
    inputs = kernel[1] * group if outputs == 0 else kernel[0]
    if group < 1 or inputs != shape[1] or kernel[0] % group:
        raise ValueError(f"kernel {told(kernel)} in {group} group(s) does not fit {shape[1]} input channels")
    count = kernel[0] if outputs == 0 else kernel[1] * group
    stated = node.attrs.get("kernel_shape")
    if stated is not None and tuple(stated) != kernel[2:]:
        raise ValueError(f"has kernel_shape {tuple(stated)}, its kernel is {told(kernel)}")
    if len(shapes) > 2 and shapes[2] not in (None, (count,)):
        raise ValueError(f"bias has shape {told(_given(shapes, 2))}, expected {count} numbers")
    return shape, kernel, count


def _conv(node: Node, shapes: Shapes) -> list[Shape]:
    shape, kernel, count = _kernel(node, shapes, 0)
    return [(shape[0], count, *_window(node, shape[2:], kernel[2:], pool=False))]


def _conv_transpose(node: Node, shapes: Shapes) -> list[Shape]:
    shape, kernel, count = _kernel(node, shapes, 1)
    strides, dilations = (_sizes(node, key, (1, 1), 2) for key in ("strides", "dilations"))
    extra = _sizes(node, "output_padding", (0, 0), 2, low=0)
    top, left, bottom, right = _sizes(node, "pads", (0, 0, 0, 0), 4, low=0)
    if "output_shape" in node.attrs:
        return [(shape[0], count, *_sizes(node, "output_shape", None, 2))]
    auto = node.attrs.get("auto_pad", "NOTSET")
    if auto == "SAME_UPPER":
        return [(shape[0], count, *(n * s for n, s in zip(shape[2:], strides, strict=True)))]
    cut = (0, 0) if auto == "VALID" else (top + bottom, left + right)
    size = [
        s * (n - 1) + e + windows.span(k, d) - c
        for n, k, s, d, e, c in zip(shape[2:], kernel[2:], strides, dilations, extra, cut, strict=True)
    ]
    return [(shape[0], count, *size)]


def _pool(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes, 0, 4)
    kernel = _sizes(node, "kernel_shape", None, 2)
    return [(*shape[:2], *_window(node, shape[2:], kernel, pool=True))]


def _global_pool(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    if len(shape) < 3:
        raise ValueError(f"expected a feature map, got {told(shape)}")
    return [(*shape[:2], *(1,) * (len(shape) - 2))]


def _gemm(node: Node, shapes: Shapes) -> list[Shape]:
    shape, kernel = _given(shapes, 0, 2), _given(shapes, 1, 2)
    if node.attrs.get("transA", 0):
        raise ValueError("transposes its input (transA), which moves the batch")
    rows, columns = kernel[::-1] if node.attrs.get("transB", 0) else kernel
    if rows != shape[1]:
        raise ValueError(f"takes {rows} numbers, its input has {shape[1]}")
    result = (shape[0], columns)
    if len(shapes) > 2 and shapes[2] is not None and broadcast([result, shapes[2]]) != result:
        raise ValueError(f"bias has shape {told(shapes[2])}, the output {told(result)}")
    return [result]


def _matmul(node: Node, shapes: Shapes) -> list[Shape]:
    left, right = _given(shapes), _given(shapes, 1)
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2] or BATCH in (left[-1], right[-2]):
        raise ValueError(f"cannot multiply {told(left)} by {told(right)}")
    if left[:1] != (BATCH,) and right[:1] != (BATCH,):
        raise ValueError("multiplies two stored arrays")
    if len(left) == 2 and len(right) > 2:
        raise ValueError(f"cannot multiply {told(left)} by {told(right)}: the batch has to stay first")
    many = broadcast([left[:-2], right[:-2]]) if len(left) > 2 and len(right) > 2 else left[:-2]
    return [(*many, left[-2], right[-1])]


def _concat(node: Node, shapes: Shapes) -> list[Shape]:
    every = [_given(shapes, i) for i in range(len(shapes))]
    axis = _axis(node.attrs["axis"], len(every[0]))
    first = every[0]
    if any(len(s) != len(first) or s[:axis] + s[axis + 1 :] != first[:axis] + first[axis + 1 :] for s in every):
        raise ValueError(f"cannot join {', '.join(told(s) for s in every[:6])} on axis {axis}")
    return [(*first[:axis], sum(s[axis] for s in every), *first[axis + 1 :])]


def _split(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    axis = _axis(node.attrs.get("axis", 0), len(shape))
    count = len(node.outputs)
    if "split" not in node.attrs and shape[axis] % count:
        raise ValueError(f"cannot split {shape[axis]} into {count} equal parts")
    parts = _sizes(node, "split", (shape[axis] // count,) * count, count)
    if sum(parts) != shape[axis]:
        raise ValueError(f"splits axis {axis} of {told(shape)} into {parts[:8]}")
    return [(*shape[:axis], n, *shape[axis + 1 :]) for n in parts]


def _slice(node: Node, shapes: Shapes) -> list[Shape]:
    shape = list(_given(shapes))
    starts, ends = list(node.attrs["starts"]), list(node.attrs["ends"])
    axes = list(node.attrs.get("axes", range(len(starts))))
    steps = list(node.attrs.get("steps", (1,) * len(starts)))
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if int(step) == 0:
            raise ValueError("slices with a step of 0")
        place = _axis(axis, len(shape), batch=True)
        if shape[place] == BATCH:
            if (int(start), int(step)) != (0, 1) or int(end) < (1 << 31) - 1:
                raise ValueError("slices the batch")
            continue
        shape[place] = len(range(*slice(int(start), int(end), int(step)).indices(shape[place])))
    return [tuple(shape)]


def _gather(node: Node, shapes: Shapes) -> list[Shape]:
    shape, indices = _given(shapes), _given(shapes, 1)
    axis = _axis(node.attrs.get("axis", 0), len(shape))
    return [(*shape[:axis], *indices, *shape[axis + 1 :])]


def _squeeze(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    given = node.attrs.get("axes", [i for i, n in enumerate(shape) if n == 1])
    axes = {_axis(axis, len(shape)) for axis in given}
    if any(shape[axis] != 1 for axis in axes):
        raise ValueError(f"cannot squeeze axes {sorted(axes)} of {told(shape)}")
    return [tuple(n for i, n in enumerate(shape) if i not in axes)]


def _unsqueeze(node: Node, shapes: Shapes) -> list[Shape]:
    shape = list(_given(shapes))
    rank = len(shape) + len(node.attrs["axes"])
    for axis in sorted(_axis(axis, rank) for axis in node.attrs["axes"]):
        shape.insert(axis, 1)
    return [tuple(shape)]


def _flatten(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    rank = len(shape)
    axis = int(node.attrs.get("axis", 1))
    axis = axis + rank if axis < 0 else axis
    if not 1 <= axis <= rank or (axis > 1 and math.prod(shape[1:axis]) != 1):
        raise ValueError(f"flattens {told(shape)} from axis {axis}, which mixes the batch with the rest")
    return [(shape[0], math.prod(shape[axis:]))]


def _reshape(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    given = [int(n) for n in node.attrs["shape"]]
    if not given or given[0] not in (0, BATCH) or any(not -1 <= n <= LIMIT for n in given):
        raise ValueError(f"reshapes {told(shape)} to {given[:8]}; expected 0, the batch, and then sizes")
    if any(n == 0 and i >= len(shape) for i, n in enumerate(given)):
        raise ValueError(f"reshapes {told(shape)} to {given[:8]}, which keeps an axis that is not there")
    sizes = [shape[i] if n == 0 else n for i, n in enumerate(given)][1:]
    total = math.prod(shape[1:])
    if sizes.count(-1) == 1 and given[0] == 0:
        known = math.prod(n for n in sizes if n != -1)
        sizes = [total // known if n == -1 else n for n in sizes]
    if any(n < 1 for n in sizes) or math.prod(sizes) != total:
        raise ValueError(f"reshapes {told(shape)} to {given[:8]}: the sizes do not agree")
    return [(shape[0], *sizes)]


def _transpose(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    perm = [int(n) for n in node.attrs.get("perm", range(len(shape))[::-1])]
    if sorted(perm) != list(range(len(shape))):
        raise ValueError(f"orders the {len(shape)} axes of {told(shape)} as {perm[:8]}")
    return [tuple(shape[i] for i in perm)]


def _expand(node: Node, shapes: Shapes) -> list[Shape]:
    shape, given = _given(shapes), [int(n) for n in node.attrs["shape"]]
    if len(given) >= len(shape) and given[0] in (0, BATCH):
        given[0] = 1
    if any(not 1 <= n <= LIMIT for n in given):
        raise ValueError(f"expands {told(shape)} to {given[:8]}")
    if len(given) > len(shape):
        raise ValueError(f"expands {told(shape)} to {given[:8]}: the batch has to stay first")
    return [broadcast([shape, tuple(given)])]


def _tile(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    repeats = _sizes(node, "repeats", None, len(shape))
    if repeats[0] != 1:
        raise ValueError("repeats the batch")
    return [(shape[0], *(n * times for n, times in zip(shape[1:], repeats[1:], strict=True)))]


def _pad(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    pads = _sizes(node, "pads", None, 2 * len(shape), low=-LIMIT)
    before, after = pads[: len(shape)], pads[len(shape) :]
    if before[0] or after[0]:
        raise ValueError("pads the batch")
    mode = node.attrs.get("mode", "constant")

    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise ValueError(f"pads in the unknown mode {mode!r}")
    for n, *pad in zip(shape[1:], before[1:], after[1:], strict=True):
        if mode == "reflect" and max(pad) >= n:
            raise ValueError(f"reflects {max(pad)} rows of an axis of {n}")
    return [(shape[0], *(n + b + a for n, b, a in zip(shape[1:], before[1:], after[1:], strict=True)))]


def _resize(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes, 0, 4)
    if "sizes" in node.attrs:
        sizes = [int(n) for n in node.attrs["sizes"]]
        if len(sizes) != 4 or sizes[0] not in (BATCH, 0, 1):
            raise ValueError(f"resizes {told(shape)} to {sizes[:8]}")
        return [(shape[0], *sizes[1:])]
    scales = [float(n) for n in node.attrs["scales"]]
    if len(scales) != 4 or scales[0] != 1 or not all(0 < n < LIMIT for n in scales):
        raise ValueError(f"resizes {told(shape)} by {scales[:8]}; expected 1, then three positive numbers")
    return [(shape[0], *(math.floor(n * s) for n, s in zip(shape[1:], scales[1:], strict=True)))]


def _depth_to_space(node: Node, shapes: Shapes) -> list[Shape]:
    batch, channels, height, width = _given(shapes, 0, 4)
    block = int(node.attrs["blocksize"])
    if block < 1 or channels % block**2:
        raise ValueError(f"cannot make blocks of {block}x{block} from {channels} channels")
    return [(batch, channels // block**2, height * block, width * block)]


def _space_to_depth(node: Node, shapes: Shapes) -> list[Shape]:
    batch, channels, height, width = _given(shapes, 0, 4)
    block = int(node.attrs["blocksize"])
    if block < 1 or height % block or width % block:
        raise ValueError(f"cannot cut a map of {height}x{width} into blocks of {block}x{block}")
    return [(batch, channels * block**2, height // block, width // block)]


def _reduced(shape: Shape, axes: set[int], keep: bool) -> list[Shape]:
    kept = [1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes]
    return [tuple(kept)]


def _reduce(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    if "axes" not in node.attrs:
        raise ValueError("reduces all axes, the batch too; name the axes")
    axes = {_axis(axis, len(shape)) for axis in node.attrs["axes"]}
    return _reduced(shape, axes, bool(node.attrs.get("keepdims", 1)))


def _arg_max(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    axis = _axis(node.attrs.get("axis", 0), len(shape))
    return _reduced(shape, {axis}, bool(node.attrs.get("keepdims", 1)))


def _axis_only(node: Node, shapes: Shapes) -> list[Shape]:
    shape = _given(shapes)
    _axis(node.attrs.get("axis", -1), len(shape))
    return [shape]


def _all(rule: Rule, ops: str) -> Mapping[str, Rule]:
    return dict.fromkeys(ops.split(), rule)


RULES: dict[str, Rule] = {
    **_all(_like_first, "Relu LeakyRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign Gelu Mish"),
    **_all(_like_first, "ThresholdedRelu Clip Erf Abs Exp Log Sqrt Reciprocal Neg Floor Ceil Round Sign"),
    **_all(_like_first, "Identity Dropout Cast LRN"),
    **_all(_elementwise, "Add Sub Mul Div Pow Max Min Sum Mean Greater Less GreaterOrEqual LessOrEqual Equal Where"),
    **_all(_like_channels, "BatchNormalization GroupNormalization InstanceNormalization"),
    **_all(_axis_only, "Softmax LogSoftmax LpNormalization"),
    **_all(_pool, "MaxPool AveragePool LpPool"),
    **_all(_global_pool, "GlobalAveragePool GlobalMaxPool GlobalLpPool"),
    **_all(_reduce, "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare"),
    "ArgMax": _arg_max,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "PRelu": _prelu,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
