"""Keras's layers with weights: convolutions, dense layers, normalisations."""

from __future__ import annotations

from typing import Any

from zoo import windows
from zoo.formats.keras.activations import activated
from zoo.formats.keras.values import MAX_CHANNELS, Op, Step, Value, spread


def conv(step: Step) -> Value:
    """Conv2D of all versions: `Convolution2D` says `nb_filter`, `nb_row`, `subsample`, `border_mode`."""
    image = step.image()
    channels = step.state.shapes[image][1]
    filters, kernel = step.whole("filters", "nb_filter"), kernel_size(step)
    groups = step.whole("groups", default=1)
    if channels % groups or filters % groups:
        raise step.damaged(f"has {groups} groups for {channels} channels and {filters} filters")
    weights = [image, step.param("kernel", (filters, channels // groups, *kernel), **stored(step))]
    name = step.make(
        "Conv", _with_bias(step, weights, filters), group=groups, kernel_shape=kernel, **window(step, kernel)
    )
    return activated(step, step.map(name), suffix="activation")


def kernel_size(step: Step) -> tuple[int, int]:
    if step.get("nb_row") is not None:
        return step.whole("nb_row"), step.whole("nb_col")
    return step.pair("kernel_size")


def stored(step: Step) -> dict[str, Any]:
    """How the file lays out a convolution's kernel: Keras 1 had it in Theano's order beside `dim_ordering: th`."""
    theano = step.state.version == 1 and step.channels_first
    return {"stored": "as is" if theano else "HWIO", "turned": step.state.turned}


def window(step: Step, kernel: tuple[int, int]) -> dict[str, Any]:
    """Strides, dilations and padding as ONNX has them."""
    strides = step.pair("strides", "subsample", default=1)
    dilations = step.pair("dilation_rate", "atrous_rate", default=1)
    padding = step.word("padding", "border_mode", default="valid")
    if padding not in ("same", "valid"):
        raise step.unsupported(f"padding {padding[:20]!r}")
    pads: dict[str, Any] = {"pads": (0, 0, 0, 0)}
    if padding == "same" and step.state.turned:  # Theano pads as much on both sides
        pads = {"pads": (kernel[0] // 2, kernel[1] // 2) * 2}
    elif padding == "same":
        pads = {"auto_pad": "SAME_UPPER"}
    return {"strides": strides, "dilations": dilations, **pads}


def _with_bias(step: Step, inputs: list[str], outputs: int) -> list[str]:
    return [*inputs, step.param("bias", (outputs,))] if step.flag("use_bias", "bias", default=True) else inputs


def depthwise(step: Step) -> Value:
    """DepthwiseConv2D: each channel has `depth_multiplier` kernels of its own."""
    name, _ = _depthwise(step, biased=step.flag("use_bias", "bias", default=True))
    return activated(step, step.map(name), suffix="activation")


def _depthwise(step: Step, *, biased: bool, suffix: str = "") -> tuple[str, int]:
    image = step.image()
    channels = step.state.shapes[image][1]
    times, kernel = step.whole("depth_multiplier", default=1), kernel_size(step)
    outputs = channels * times
    inputs = [image, step.param("depthwise_kernel", (outputs, 1, *kernel), f"HWC{times}")]
    if biased:
        inputs.append(step.param("bias", (outputs,)))
    attrs = window(step, kernel)
    return step.make("Conv", inputs, suffix=suffix, group=channels, kernel_shape=kernel, **attrs), outputs


def separable(step: Step) -> Value:
    """SeparableConv2D: a depthwise convolution, then a 1x1 one."""
    apart, channels = _depthwise(step, biased=False, suffix="depthwise")
    filters = step.whole("filters", "nb_filter")
    weights = [apart, step.param("pointwise_kernel", (filters, channels, 1, 1), "HWIO")]
    name = step.make("Conv", _with_bias(step, weights, filters), kernel_shape=(1, 1))
    return activated(step, step.map(name), suffix="activation")


def conv_transpose(step: Step) -> Value:
    """Conv2DTranspose; its kernel is (rows, columns, outputs, inputs)."""
    image = step.image()
    _, channels, *size = step.state.shapes[image]
    filters, kernel = step.whole("filters"), kernel_size(step)
    if step.state.version == 1 or step.whole("groups", default=1) != 1:
        raise step.unsupported("Keras 1's layout, or groups")
    attrs = window(step, kernel)
    spans = [windows.span(k, d) for k, d in zip(kernel, attrs["dilations"], strict=True)]
    same = "auto_pad" in attrs
    more = step.get("output_padding")
    begins, ends, extra = [], [], []
    for axis, (n, reach, stride) in enumerate(zip(size, spans, attrs["strides"], strict=True)):
        whole = (n - 1) * stride + reach
        wanted = n * stride if same else n * stride + max(reach - stride, 0)
        if more is not None:
            wanted = whole - (2 * (kernel[axis] // 2) if same else 0)
            wanted += step.count(more[axis] if isinstance(more, list) else more, "output_padding", low=0)
        total = max(whole - wanted, 0)
        begins.append(total // 2)
        ends.append(total - total // 2)
        extra.append(max(wanted - whole, 0))
    weights = [image, step.param("kernel", (channels, filters, *kernel), "HWIO", turned=step.state.turned)]
    name = step.make(
        "ConvTranspose", _with_bias(step, weights, filters), kernel_shape=kernel, strides=attrs["strides"],
        dilations=attrs["dilations"], pads=(*begins, *ends), output_padding=tuple(extra),
    )  # fmt: skip
    return activated(step, step.map(name), suffix="activation")


def dense(step: Step) -> Value:
    """Dense, along the last axis."""
    value = step.plain(step.value())
    units, inputs = step.whole("units", "output_dim"), value.shape[-1]
    if len(value.shape) == 1:
        weights = [value.name, step.param("kernel", (units, inputs), "IO")]
        name = step.make("Gemm", _with_bias(step, weights, units), transB=1)
    else:
        name = step.make("MatMul", [value.name, step.param("kernel", (inputs, units))], suffix="product")
        if step.flag("use_bias", "bias", default=True):
            name = step.make("Add", [name, step.param("bias", (units,))])
    return activated(step, step.result(name), suffix="activation")


def batch_normalization(step: Step) -> Value:
    """BatchNormalization by the statistics that the file holds."""
    value = step.value()
    if step.get("mode", default=0) != 0:
        raise step.unsupported(f"mode {step.get('mode')}, which normalises by each batch's own statistics")
    place = step.axis(step.get("axis", default=-1), value)
    channels = value.shape[place - 1]
    weights = [
        step.param("gamma", (channels,), "as is" if step.flag("scale", default=True) else "ones"),
        step.param("beta", (channels,), "as is" if step.flag("center", default=True) else 0.0),
        step.param("moving_mean", (channels,)),
        step.param("moving_variance", (channels,)),
    ]
    epsilon = step.number("epsilon", default=1e-3)
    return normalized(step, value, place, weights, epsilon)


def normalized(step: Step, value: Value, place: int, weights: list[str], epsilon: float) -> Value:
    """Returns a value behind a BatchNormalization along one of Keras's axes."""
    rank = len(value.shape)
    if value.image and place == 3:
        made = step.make("BatchNormalization", [value.name, *weights], epsilon=epsilon)
        return step.result(made, image=True)
    value = step.plain(value)
    if place == 1:
        return step.result(step.make("BatchNormalization", [value.name, *weights], epsilon=epsilon))
    if place == rank == 3:  # channels last, in a network that has its maps otherwise
        value = step.state.transposed(value, image=True)
        return step.result(step.make("BatchNormalization", [value.name, *weights], epsilon=epsilon), image=True)
    front = (0, place, *(axis for axis in range(1, rank + 1) if axis != place))
    moved = step.make("Transpose", [value.name], suffix="front", perm=front)
    moved = step.make("BatchNormalization", [moved, *weights], suffix="norm", epsilon=epsilon)
    back = tuple(front.index(axis) for axis in range(rank + 1))
    return step.result(step.make("Transpose", [moved], perm=back))


def layer_normalization(step: Step) -> Value:
    """LayerNormalization along the last axis."""
    value = step.value()
    axes = step.get("axis", default=-1)
    axes = [step.axis(axis, value) for axis in (axes if isinstance(axes, list) else [axes])]
    if axes != [len(value.shape)] or step.flag("rms_scaling", default=False):
        raise step.unsupported(f"normalises along axes {axes} or by squares alone; expected the last axis")
    value, size = step.plain(value), value.shape[-1]
    weights = [
        step.param("gamma", (size,), "as is" if step.flag("scale", default=True) else "ones"),
        step.param("beta", (size,), "as is" if step.flag("center", default=True) else 0.0),
    ]
    attrs: dict[str, Any] = {"axis": -1, "epsilon": step.number("epsilon", default=1e-3)}
    return step.result(step.make("LayerNormalization", [value.name, *weights], **attrs))


def normalization(step: Step) -> Value:
    """Normalization by a mean and a variance that stand in the description or, once learned, among the weights."""
    value = step.value()
    axes = step.get("axis", default=-1)
    place = step.axis(axes, value)
    channels = value.shape[place - 1]
    if step.flag("invert", default=False):
        raise step.unsupported("inverts")
    given = {key: spread(step.layer.config, key) for key in ("mean", "variance")}
    if all(given.values()):
        if any(len(numbers) not in (1, channels) for numbers in given.values()):
            raise step.damaged(f"has {[len(numbers) for numbers in given.values()]} numbers for {channels} channels")
        if channels > MAX_CHANNELS:
            raise step.damaged(f"has {channels} channels")
        full = {key: numbers * (channels // len(numbers)) for key, numbers in given.items()}
        mean, variance = (step.constant(key, numbers) for key, numbers in full.items())
    else:
        mean, variance = step.param("mean", (channels,)), step.param("variance", (channels,))
        for place_of_count in (f"{step.layer.name}/count", f"{step.layer.path}/vars/2"):
            step.state.ignored[place_of_count] = "counts what mean and variance were computed from"
    ones, zeros = step.param("ones", (channels,), "ones"), step.param("zeros", (channels,), 0.0)
    return normalized(step, value, place, [ones, zeros, mean, variance], 0.0)


def layer_scale(step: Step) -> Value:
    """keras.applications' LayerScale: a factor per channel."""
    value = step.plain(step.value())
    return step.result(step.make("Mul", [value.name, step.param("gamma", (value.shape[-1],))]))


OPS: dict[str, Op] = {
    "BatchNormalization": batch_normalization,
    "Conv2D": conv,
    "Conv2DTranspose": conv_transpose,
    "Dense": dense,
    "DepthwiseConv2D": depthwise,
    "LayerNormalization": layer_normalization,
    "LayerScale": layer_scale,
    "Normalization": normalization,
    "SeparableConv2D": separable,
}
