"""Net: a Graph as it is written down, layer by layer; what the families of this folder have in common.

A layer is named as in the origin (`layer1.0.conv1`, `vgg_16/conv1/conv1_1`), and its parameters are that name and a
suffix; `Style` says which suffixes, and what else a publisher's framework does the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from zoo.graph import Graph, Node, Param

Pair = int | tuple[int, int]
"""Rows and columns; one number for both."""
Padding = Literal["same", "valid"] | int | tuple[int, ...] | None
"""`same` is TensorFlow's, which puts the odd zero behind; a number or (rows, columns) are for both sides; four numbers
are top, left, bottom, right; None is the style's own rule."""


@dataclass(frozen=True)
class Style:
    """What a publisher's framework does alike in all layers."""

    kernel: str = ".weight"
    """Suffix of a convolution's or a dense layer's kernel."""
    depthwise: str = ".weight"
    """Suffix of a depthwise convolution's kernel."""
    bias: str = ".bias"
    norm: tuple[str, str, str, str] = (".weight", ".bias", ".running_mean", ".running_var")
    """Suffixes of a batch normalisation's scale, offset, mean and variance."""
    channels_last: bool = False
    """Whether files hold kernels as HWIO (depthwise HWC1, dense IO), as TensorFlow does; else OIHW and OI."""
    theano: bool = False
    """Whether a convolution's kernel is OIHW and turned by half a turn and a dense one IO, as Keras had with Theano."""
    same: bool = False
    """Whether convolutions pad as TensorFlow's SAME where nothing else is said; else as much on both sides."""
    epsilon: float = 1e-5
    """Of batch normalisations."""


TORCH = Style()
"""torch.nn: symmetric padding, epsilon 1e-5."""
GLUON = Style(norm=(".gamma", ".beta", ".running_mean", ".running_var"))
"""mxnet.gluon.nn, as `Block.save_parameters` names arrays: symmetric padding, epsilon 1e-5."""
SLIM = Style(
    kernel="/weights",
    depthwise="/depthwise_weights",
    bias="/biases",
    norm=("/gamma", "/beta", "/moving_mean", "/moving_variance"),
    channels_last=True,
    same=True,
    epsilon=1e-3,
)
"""tf_slim's layers; a batch normalisation is a layer of its own, `.../BatchNorm`. Its epsilon is 1e-3 by default."""
TPU = Style(
    kernel="/kernel",
    depthwise="/depthwise_kernel",
    bias="/bias",
    norm=("/gamma", "/beta", "/moving_mean", "/moving_variance"),
    channels_last=True,
    same=True,
    epsilon=1e-3,
)
"""tf.layers and tf.keras.layers inside TensorFlow 1 checkpoints, as tensorflow/tpu writes them."""
KERAS = TPU
"""Keras's own files, under the names that `zoo.formats.keras.match` gives arrays."""
THEANO = replace(KERAS, channels_last=False, same=False, theano=True)
"""Keras's files of Theano's layout; Theano pads as much on both sides."""


class Net:
    """Nodes and parameters of a Graph as they are added; each method returns the name of the value it makes.

    Args:
        style: how parameters are named and stored, and what holds where a call says nothing.
        image: name of the input.
        channels: of the input.
    """

    def __init__(self, style: Style = TORCH, *, image: str = "image", channels: int = 3) -> None:
        self.style = style
        self.nodes: list[Node] = []
        self.params: dict[str, np.ndarray | Param] = {}
        self.channels = {image: channels}
        """Value -> number of its channels (axis 1)."""

    def graph(
        self, name: str, output: str, size: Pair, *, image: str = "image", ignored: Mapping[str, str] | None = None,
        renamed: Mapping[str, str] | None = None,
    ) -> Graph:  # fmt: skip
        """Returns what was added as a Graph.

        Args:
            name: of the network.
            output: the value it gives.
            size: rows and columns of its input, pixels.
            image: name of the input.
            ignored: as in `Graph`.
            renamed: as in `Graph`.
        """
        inputs = {image: (self.channels[image], *_pair(size))}
        nodes = tuple(self.nodes)
        return Graph(name, inputs, (output,), nodes, self.params, ignored=ignored or {}, renamed=renamed or {})

    # ------------------------------------------------------------------------------------------------- any operation

    def node(self, op: str, name: str, *inputs: str, channels: int | None = None, **attrs: Any) -> str:
        """Adds an operation with one output, its own name; `channels` where they are not those of the first input."""
        self.nodes.append(Node(op, name, inputs, (name,), attrs))
        self.channels[name] = self.channels[inputs[0]] if channels is None else channels
        return name

    def param(
        self, name: str, *shape: int, stored: str | tuple[int, ...] | float = "as is", standardize: float | None = None
    ) -> str:
        """Declares an array by its shape in the Graph; `stored` and `standardize` as in `Param`."""
        self.params[name] = Param(shape, stored, standardize)
        return name

    # -------------------------------------------------------------------------------------------------------- layers

    def conv(
        self, value: str, name: str, out: int, kernel: Pair = 1, stride: Pair = 1, *, pad: Padding = None,
        groups: int = 1, dilation: Pair = 1, bias: bool = False, weights: str | None = None,
        standardize: float | None = None, dense: bool = False,
    ) -> str:  # fmt: skip
        """Convolution; with `groups` as many as channels a depthwise one.

        `weights` names the kernel in full where it is not the layer's name and the style's suffix; `standardize` is
        that of its `Param`; `dense`: the file holds a 1x1 kernel as a dense layer's.
        """
        before = self.channels[value]
        rows, columns = _pair(kernel)
        stored: str | tuple[int, ...] = "HWIO" if self.style.channels_last else "as is"
        suffix = self.style.kernel
        if groups == before and groups > 1:
            suffix = self.style.depthwise
            stored = f"HWC{out // groups}" if self.style.channels_last else stored
        if dense:
            stored = (out, before)
        weights, shape = weights or name + suffix, (out, before // groups, rows, columns)
        self.params[weights] = Param(shape, stored, standardize, turned=self.style.theano)
        inputs = [value, weights]
        if bias:
            inputs.append(self.param(name + self.style.bias, out))
        return self.node(
            "Conv", name, *inputs, channels=out, kernel_shape=(rows, columns), strides=_pair(stride), group=groups,
            dilations=_pair(dilation), **self._padding(pad, (rows, columns), _pair(stride), _pair(dilation)),
        )  # fmt: skip

    def norm(self, value: str, name: str, *, epsilon: float | None = None, scale: bool = True) -> str:
        """Batch normalisation in inference; without `scale` the file holds no gamma, and it is 1."""
        channels = self.channels[value]
        gamma, beta, mean, variance = (name + suffix for suffix in self.style.norm)
        stored = [self.param(key, channels) for key in ([gamma] if scale else []) + [beta, mean, variance]]
        if not scale:
            stored.insert(0, self.param(gamma, channels, stored="ones"))
        epsilon = self.style.epsilon if epsilon is None else epsilon
        return self.node("BatchNormalization", name, value, *stored, epsilon=epsilon)

    def scale(self, value: str, name: str) -> str:
        """Each channel times a factor plus an offset (Caffe's Scale), in the arrays of a normalisation."""
        channels = self.channels[value]
        gamma, beta = (self.param(name + key, channels, 1, 1, stored=(channels,)) for key in self.style.norm[:2])
        return self.node("Add", f"{name}.offset", self.node("Mul", name, value, gamma), beta)

    def instance_norm(self, value: str, name: str, *, epsilon: float | None = None) -> str:
        """Normalisation by the statistics of each image's own channels; scale and offset per channel."""
        gamma, beta = (self.param(name + suffix, self.channels[value]) for suffix in self.style.norm[:2])
        epsilon = self.style.epsilon if epsilon is None else epsilon
        return self.node("InstanceNormalization", name, value, gamma, beta, epsilon=epsilon)

    def mixed_norm(self, value: str, name: str, *parts: tuple[str, int]) -> str:
        """Some channels normalised by `instance_norm`, the others by `norm` (IBN-Net, arXiv:1807.09441).

        Each part is the name of a normalisation and how many channels it has; one that begins with `IN` or `inst` is
        of instances.
        """
        values = self.split(value, f"{name}.split", *(channels for _, channels in parts))
        normed = []
        for part, (kind, _) in zip(values, parts, strict=True):
            norm = self.instance_norm if kind.startswith(("IN", "inst")) else self.norm
            normed.append(norm(part, f"{name}.{kind}"))
        return self.concat(name, *normed)

    def layer_norm(self, value: str, name: str, epsilon: float) -> str:
        """Normalisation over the channels of each position, (N, C, H, W)."""
        channels = self.channels[value]
        arrays = [self.param(name + suffix, channels) for suffix in self.style.norm[:2]]
        last = self.node("Transpose", f"{name}.channels_last", value, perm=(0, 2, 3, 1), channels=channels)
        normed = self.node("LayerNormalization", name, last, *arrays, axis=3, epsilon=epsilon)
        return self.node("Transpose", f"{name}.channels_first", normed, perm=(0, 3, 1, 2), channels=channels)

    def group_norm(self, value: str, name: str, groups: int = 32, *, epsilon: float | None = None) -> str:
        """Normalisation by the statistics of each image's own channels, in groups; scale and offset per channel."""
        gamma, beta = (self.param(name + suffix, self.channels[value]) for suffix in self.style.norm[:2])
        epsilon = self.style.epsilon if epsilon is None else epsilon
        return self.node("GroupNormalization", name, value, gamma, beta, num_groups=groups, epsilon=epsilon)

    def act(self, value: str, name: str, kind: str) -> str:
        """Activation: a key of `ACTIVATIONS`, or `silu`, `hard_swish` as TensorFlow spells it, or `linear` for none."""
        if kind == "linear":
            return value
        if kind == "silu":
            return self.node("Mul", name, value, self.node("Sigmoid", f"{name}.sigmoid", value))
        op, attrs = ACTIVATIONS[kind]
        return self.node(op, name, value, **attrs)

    def linear(self, value: str, name: str, out: int, *, bias: bool = True) -> str:
        """Dense layer on (N, features)."""
        stored = "IO" if self.style.channels_last or self.style.theano else "as is"
        inputs = [value, self.param(name + self.style.kernel, out, self.channels[value], stored=stored)]
        if bias:
            inputs.append(self.param(name + self.style.bias, out))
        return self.node("Gemm", name, *inputs, channels=out, transB=1)

    def max_pool(
        self, value: str, name: str, kernel: Pair, stride: Pair, *, pad: Padding = "valid", ceil: bool = False
    ) -> str:
        """Maximum over windows; padding never wins. Pads nothing where nothing is said, as torch and slim do."""
        return self._pool("MaxPool", value, name, kernel, stride, pad, ceil_mode=int(ceil))

    def avg_pool(
        self, value: str, name: str, kernel: Pair, stride: Pair, *, pad: Padding = "valid", ceil: bool = False,
        include_pad: bool = True,
    ) -> str:  # fmt: skip
        """Average over windows; `include_pad`: zeros around the image count (torch's default, never TensorFlow's)."""
        counts = int(include_pad and pad != "same")
        return self._pool(
            "AveragePool", value, name, kernel, stride, pad, ceil_mode=int(ceil), count_include_pad=counts
        )

    def blur_pool(self, value: str, name: str, stride: int = 2, *, zeros: bool = False) -> str:
        """Binomial 3x3 filter (timm's BlurPool2d): two averages over 2x2 are its numbers.

        Borders are reflected, or `zeros` are around the map.
        """
        mode = {"mode": "constant", "value": 0.0} if zeros else {"mode": "reflect"}
        value = self.node("Pad", f"{name}.pad", value, pads=(0, 0, 1, 1) * 2, **mode)
        return self.avg_pool(self.avg_pool(value, f"{name}.blur", 2, 1), name, 2, stride)

    def global_pool(self, value: str, name: str) -> str:
        """Average over all positions, (N, C, 1, 1)."""
        return self.node("GlobalAveragePool", name, value)

    def flatten(self, value: str, name: str, *, positions: int = 1) -> str:
        """(N, C, H, W) -> (N, C * H * W), channels slowest; `positions` is H * W."""
        return self.node("Flatten", name, value, channels=self.channels[value] * positions, axis=1)

    def dropout(self, value: str, name: str, rate: float) -> str:
        """Dropout, which only fine-tuning sees; nothing where the rate is 0."""
        return self.node("Dropout", name, value, ratio=rate) if rate else value

    def times(self, value: str, name: str, number: float) -> str:
        """A value times a number that the definition holds, not the file; nothing where it is 1."""
        if number == 1:
            return value
        self.params[f"{name}.number"] = np.array(number, np.float32)
        return self.node("Mul", name, value, f"{name}.number")

    def add(self, name: str, *values: str) -> str:
        """Sum of two or more values of one shape."""
        return self.node("Add" if len(values) == 2 else "Sum", name, *values)

    def concat(self, name: str, *values: str) -> str:
        """Values one behind the other along the channels."""
        return self.node("Concat", name, *values, channels=sum(self.channels[value] for value in values), axis=1)

    def split(self, value: str, name: str, *sizes: int) -> tuple[str, ...]:
        """The channels in parts of these sizes, `name:0` and so on."""
        parts = tuple(f"{name}:{index}" for index in range(len(sizes)))
        self.nodes.append(Node("Split", name, (value,), parts, {"axis": 1, "split": sizes}))
        self.channels |= zip(parts, sizes, strict=True)
        return parts

    def squeeze_excite(
        self, value: str, name: str, reduce: str, expand: str, squeezed: int, *, act: str = "relu",
        gate: str = "sigmoid", gain: float = 1.0, bias: bool = True, dense: bool = False, norm: str = "",
    ) -> str:  # fmt: skip
        """Scales channels by what two 1x1 convolutions, named in full, make of their averages; `gain` times as much.

        `norm` names a normalisation behind the first of them.
        """
        gates = self.conv(self.global_pool(value, f"{name}.pool"), reduce, squeezed, bias=bias, dense=dense)
        gates = self.act(self.norm(gates, norm) if norm else gates, f"{reduce}.act", act)
        gates = self.conv(gates, expand, self.channels[value], bias=bias, dense=dense)
        gates = self.act(gates, f"{expand}.gate", gate)
        return self.node("Mul", name, value, self.times(gates, f"{expand}.times", gain))

    def eca(self, value: str, name: str, kernel: int) -> str:
        """Scales channels by what a convolution along them, `name`.conv, makes of their averages (timm's EcaModule)."""
        row = self.node("Transpose", f"{name}.row", self.global_pool(value, f"{name}.pool"), perm=(0, 2, 3, 1))
        weight = self.param(f"{name}.conv{self.style.kernel}", 1, 1, 1, kernel, stored=(1, 1, kernel))
        pads = (0, kernel // 2) * 2
        row = self.node("Conv", f"{name}.conv", row, weight, channels=1, kernel_shape=(1, kernel), pads=pads)
        gates = self.act(row, f"{name}.gate", "sigmoid")
        gates = self.node("Transpose", f"{name}.gates", gates, channels=self.channels[value], perm=(0, 3, 1, 2))
        return self.node("Mul", name, value, gates)

    # ------------------------------------------------------------------------------------------------------- windows

    def _pool(self, op: str, value: str, name: str, kernel: Pair, stride: Pair, pad: Padding, **attrs: int) -> str:
        window, step = _pair(kernel), _pair(stride)
        padding = self._padding(pad, window, step, (1, 1))
        return self.node(op, name, value, kernel_shape=window, strides=step, **padding, **attrs)

    def _padding(
        self, pad: Padding, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
    ) -> dict[str, Any]:
        if pad is None and not self.style.same:
            # What keeps the size at stride 1, and timm's rule for even kernels (`get_padding`).
            pad = tuple((s - 1 + d * (k - 1)) // 2 for k, s, d in zip(kernel, stride, dilation, strict=True))
        if pad is None or pad == "same":
            return {"auto_pad": "SAME_UPPER"}
        if pad == "valid":
            return {"pads": (0,) * 4}
        sides = _pair(pad) if isinstance(pad, int) else pad
        return {"pads": tuple(sides) if len(sides) == 4 else tuple(sides) * 2}


ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "relu6": ("Clip", {"min": 0.0, "max": 6.0}),
    "sigmoid": ("Sigmoid", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),  # relu6(x + 3) / 6
    "hard_swish": ("HardSwish", {}),  # x * relu6(x + 3) / 6
    "gelu": ("Gelu", {}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "tanh": ("Tanh", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.1}),  # Darknet's
    "leaky_relu_0.01": ("LeakyRelu", {"alpha": 0.01}),  # torch's own default
    "leaky_relu_0.001": ("LeakyRelu", {"alpha": 0.001}),  # TResNet's
}
"""Name -> ONNX operator and attributes."""


def scaled(
    channels: float, width: float = 1.0, *, divisor: int = 8, at_least: int | None = None, limit: float = 0.9
) -> int:
    """Returns channels x width to the nearest multiple of `divisor`, but at most a tenth below.

    This is `make_divisible` of the MobileNets and EfficientNets (tensorflow/models slim/nets/mobilenet/mobilenet.py).

    Args:
        channels: before scaling.
        width: factor.
        divisor: what the result is a multiple of.
        at_least: lower bound; default: the divisor.
        limit: least share of the exact number that the result may be; 0 for none.

    >>> scaled(32, 0.35), scaled(24, 0.75)
    (16, 24)
    """
    exact = channels * width
    rounded = max(divisor if at_least is None else at_least, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < limit * exact else rounded


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value
