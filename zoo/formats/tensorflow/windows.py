"""TensorFlow's ops on feature maps: convolutions, pools, normalisation, resizing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo import windows
from zoo.formats.tensorflow.values import Const, Item, Op, Step, Value

Pair = tuple[int, int]


def feature(step: Step, index: int = 0, default: str = "NHWC") -> Value:
    """Returns an input as the Graph needs feature maps: NCHW."""
    form = step.word("data_format", default)
    if form not in ("NHWC", "NCHW"):
        raise step.unsupported(f"its data_format is {form[:20]!a}; expected NHWC or NCHW")
    value = step.value(index)
    if len(value.shape) != 3:
        raise step.unsupported(f"reads {value.shape} (without the batch); expected a feature map")
    return step.image(value) if form == "NHWC" else step.plain(value)


def spatial(step: Step, key: str, numbers: Sequence[int]) -> Pair:
    """Returns the height's and the width's number of four, in the order of the data's axes."""
    if not numbers:
        return 1, 1
    if len(numbers) != 4 or any(not 0 < n < 1 << 31 for n in numbers):
        raise step.damaged(f"has {key} {list(numbers[:8])}; expected four positive numbers")
    batch, *rest = numbers
    channels, pair = (rest[0], rest[1:]) if step.word("data_format", "NHWC") == "NCHW" else (rest[2], rest[:2])
    if batch != 1 or channels != 1:
        raise step.unsupported(f"has {key} {list(numbers)}, which acts on channels or batch")
    return pair[0], pair[1]


def padded(step: Step) -> dict[str, Any]:
    """Returns the padding as attributes of an ONNX node."""
    padding = step.word("padding", "VALID")
    if padding == "SAME":
        return {"auto_pad": "SAME_UPPER"}
    if padding == "VALID":
        return {}
    numbers = step.numbers("explicit_paddings")
    if padding != "EXPLICIT" or len(numbers) != 8 or any(not 0 <= n < 1 << 31 for n in numbers):
        raise step.damaged(f"has padding {padding[:20]!a} {list(numbers[:8])}; expected SAME, VALID or EXPLICIT")
    first = 4 if step.word("data_format", "NHWC") == "NCHW" else 2
    top, bottom, left, right = numbers[first : first + 4]
    if any(numbers[:first]) or any(numbers[first + 4 :]):
        raise step.unsupported(f"pads {list(numbers)}: channels or batch")
    return {"pads": (top, left, bottom, right)}


def _by_batches(step: Step, value: Value, kernel: Sequence[int]) -> dict[str, Any]:
    """Dilation and padding of a convolution that stood between SpaceToBatchND and BatchToSpaceND."""
    block, pads, crops = (step.ints(i, what) for i, what in ((2, "block"), (3, "paddings"), (4 + 1, "crops")))
    outer = step.ints(4, "block")
    plain = not padded(step) and spatial(step, "strides", step.numbers("strides")) == (1, 1)
    if len(block) != 2 or outer != block or len(pads) != 4 or len(crops) != 4 or not plain or min(block) < 1:
        raise step.unsupported("stands between SpaceToBatchND and BatchToSpaceND and is no dilated convolution")
    sides = [p - c for p, c in zip(pads, crops, strict=True)]
    if min(sides) < 0:
        raise step.unsupported(f"crops {crops} of what was padded by {pads}")
    top, bottom, left, right = sides
    return {"strides": (1, 1), "dilations": (block[0], block[1]), "pads": (top, left, bottom, right)}


def _convolution(step: Step, const: Const, name: str, kernel: Sequence[int], value: Value, group: int) -> Item:
    if step.node.extra.get("dilated"):
        attrs = _by_batches(step, value, kernel)
    else:
        strides = spatial(step, "strides", step.numbers("strides"))
        attrs = {"strides": strides, "dilations": spatial(step, "dilations", step.numbers("dilations")), **padded(step)}
    made = step.make("Conv", [value.name, name], kernel_shape=tuple(kernel), group=group, **attrs)
    return step.like(made, value)


def _kernel(step: Step) -> tuple[Const, tuple[int, ...]]:
    const = step.const(1, "filter")
    shape = const.array.shape
    if len(shape) != 4 or const.array.dtype == object or 0 in shape:
        raise step.damaged(f"has a filter of shape {shape}; expected four axes")
    return const, shape


def conv(step: Step) -> Item:
    """Conv2D; fewer input channels in the filter than in the data make groups."""
    value = feature(step)
    const, (height, width, inputs, _) = _kernel(step)
    channels = value.shape[2] if value.image else value.shape[0]
    if channels % inputs:
        raise step.damaged(f"has {channels} input channels, its filter {inputs}")
    name = step.store(const, "conv", const.array.transpose(3, 2, 0, 1))
    return _convolution(step, const, name, (height, width), value, channels // inputs)


def depthwise(step: Step) -> Item:
    """DepthwiseConv2dNative: the filter's last axis counts outputs per channel."""
    value = feature(step)
    const, (height, width, channels, times) = _kernel(step)
    array = const.array.transpose(2, 3, 0, 1).reshape(channels * times, 1, height, width)
    name = step.store(const, "depthwise", array)
    return _convolution(step, const, name, (height, width), value, channels)


def conv_transpose(step: Step) -> Item:
    """Conv2DBackpropInput: the gradient of a convolution of the size it names, that is a transposed convolution."""
    value = feature(step, 2)
    const, (height, width, _, inputs) = _kernel(step)
    sizes = step.const(0, "output size").array.ravel().tolist()
    if len(sizes) == 4:
        sizes = sizes[2:] if step.word("data_format", "NHWC") == "NCHW" else sizes[1:3]
    if len(sizes) != 2 or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise step.unsupported(f"its output size {sizes[:8]} is not known")
    strides = spatial(step, "strides", step.numbers("strides"))
    dilations = spatial(step, "dilations", step.numbers("dilations"))
    given = padded(step)
    channels, *size = (value.shape[2], *value.shape[:2]) if value.image else value.shape
    if channels % inputs:
        raise step.damaged(f"has {channels} input channels, its filter {inputs}")
    spans = [windows.span(k, d) for k, d in zip((height, width), dilations, strict=True)]
    (top, bottom), (left, right) = windows.padding(given, sizes, spans, strides)
    more = []
    for n, out, reach, stride, pads in zip(size, sizes, spans, strides, ((top, bottom), (left, right)), strict=True):
        if windows.outputs(out, reach, stride, pads) != n:
            raise step.damaged(f"an input of {tuple(size)} does not give an output of {tuple(sizes)}")
        more.append(out - ((n - 1) * stride + reach - sum(pads)))
    name = step.store(const, "conv_transpose", const.array.transpose(3, 2, 0, 1))
    made = step.make(
        "ConvTranspose",
        [value.name, name],
        kernel_shape=(height, width),
        strides=strides,
        dilations=dilations,
        pads=(top, left, bottom, right),
        output_padding=tuple(more),
        group=channels // inputs,
    )
    return step.like(made, value)


def pool(kind: str) -> Op:
    """MaxPool and AvgPool; padding never wins and never counts."""

    def translate(step: Step) -> Item:
        value = feature(step)
        if step.node.op == "MaxPoolV2":
            sizes = spatial(step, "ksize", step.ints(1, "ksize"))
            strides = spatial(step, "strides", step.ints(2, "strides"))
        else:
            sizes = spatial(step, "ksize", step.numbers("ksize"))
            strides = spatial(step, "strides", step.numbers("strides"))
        return step.like(
            step.make(kind, [value.name], kernel_shape=sizes, strides=strides, **padded(step)),
            value,
        )

    return translate


def lrn(step: Step) -> Item:
    """LRN: alpha multiplies the sum itself here, in ONNX the mean over the window."""
    value = step.image(step.value())
    radius = int(step.attr("depth_radius").i) if "depth_radius" in step.node.attrs else 5
    if not 0 <= radius < 1 << 20:
        raise step.damaged(f"has depth_radius {radius}")
    size = 2 * radius + 1
    alpha, beta, bias = step.number("alpha", 1.0), step.number("beta", 0.5), step.number("bias", 1.0)
    return step.like(step.make("LRN", [value.name], size=size, alpha=alpha * size, beta=beta, bias=bias), value)


def _vector(step: Step, const: Const, channels: int, what: str) -> str:
    if const.array.size != channels or const.array.dtype == object:
        raise step.damaged(f"has {what} of shape {const.array.shape} for {channels} channels")
    return step.store(const, "vector", const.array.reshape(channels))


def _filled(step: Step, what: str, number: float, channels: int) -> str:
    name = step.state.unique(f"{step.name}/{what}")
    step.state.params[name] = np.broadcast_to(np.float32(number), (channels,))
    return name


def normalised(step: Step, value: Value, consts: dict[str, Const | None], epsilon: float) -> Item:
    """A BatchNormalization of a value that the Graph has as NCHW or (N, C)."""
    channels = step.state.shapes[value.name][1]
    names = []
    for what, default in (("gamma", 1.0), ("beta", 0.0), ("mean", None), ("variance", None)):
        const = consts.get(what)
        if const is None and default is None:
            raise step.damaged(f"has no {what}")
        if const is None:
            names.append(_filled(step, what, default or 0.0, channels))
        else:
            names.append(_vector(step, const, channels, what))
    return step.like(step.make("BatchNormalization", [value.name, *names], epsilon=epsilon), value)


def fused_batch_norm(step: Step) -> Item:
    """FusedBatchNorm, V2 and V3, with stored statistics."""
    if step.flag("is_training", True):
        raise step.unsupported("is_training: normalises by each batch's own statistics; export the network for serving")
    value = feature(step)
    names = ("gamma", "beta", "mean", "variance")
    consts: dict[str, Const | None] = {name: step.const(i, name) for i, name in enumerate(names, 1)}
    return normalised(step, value, consts, step.number("epsilon", 1e-4))


def global_norm(step: Step) -> Item:
    """BatchNormWithGlobalNormalization, batch norm in graphs of 2015: gamma may be stored and not used."""
    value = step.image(step.value())
    names = ("mean", "variance", "beta", "gamma")
    consts: dict[str, Const | None] = {name: step.const(i, name) for i, name in enumerate(names, 1)}
    if not step.flag("scale_after_normalization"):
        gamma = consts.pop("gamma")
        assert gamma is not None
        step.state.notes[gamma.name] = f"{step.name} has scale_after_normalization: false"
    return normalised(step, value, consts, step.number("variance_epsilon", 1e-3))


def resize(step: Step) -> Item:
    """ResizeBilinear and ResizeNearestNeighbor to a known size, with TensorFlow's three ways to place pixels."""
    value = step.image(step.value())
    size = step.ints(1, "size")
    if len(size) != 2 or min(size) < 1:
        raise step.damaged(f"resizes to {size}")
    corners, centres = step.flag("align_corners"), step.flag("half_pixel_centers")
    if corners and centres:
        raise step.damaged("has both align_corners and half_pixel_centers")
    place = "align_corners" if corners else "half_pixel" if centres else "asymmetric"
    mode = "linear" if step.node.op == "ResizeBilinear" else "nearest"
    attrs: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": place}
    if mode == "nearest":
        attrs["nearest_mode"] = "floor" if place == "asymmetric" else "round_prefer_ceil"
    channels = value.shape[2]
    return step.like(step.make("Resize", [value.name], sizes=(1, channels, *size), **attrs), value)


def blocks(op: str) -> Op:
    """DepthToSpace and SpaceToDepth."""

    def translate(step: Step) -> Item:
        value = feature(step)
        size = int(step.attr("block_size").i)
        if not 1 < size < 1 << 20:
            raise step.damaged(f"has block_size {size}")
        return step.like(step.make(op, [value.name], blocksize=size), value)

    return translate


OPS: dict[str, Op] = {
    "Conv2D": conv,
    "DepthwiseConv2dNative": depthwise,
    "Conv2DBackpropInput": conv_transpose,
    "MaxPool": pool("MaxPool"),
    "MaxPoolV2": pool("MaxPool"),
    "AvgPool": pool("AveragePool"),
    "LRN": lrn,
    "FusedBatchNorm": fused_batch_norm,
    "FusedBatchNormV2": fused_batch_norm,
    "FusedBatchNormV3": fused_batch_norm,
    "BatchNormWithGlobalNormalization": global_norm,
    "ResizeBilinear": resize,
    "ResizeNearestNeighbor": resize,
    "DepthToSpace": blocks("DepthToSpace"),
    "SpaceToDepth": blocks("SpaceToDepth"),
}
