"""ConvNeXt (Liu et al., arXiv:2201.03545) and ConvNeXt V2 (Woo et al., arXiv:2301.00808).

A block is a depthwise 7x7 convolution, a normalisation of each position's channels, and two 1x1 convolutions, four
times as wide between them. The first version scales its result by stored numbers (layer scale), V2 instead scales the
wide map by the length of each channel relative to the others' (global response normalisation).

Numbers of the networks: facebookresearch/ConvNeXt models/convnext.py and ConvNeXt-V2 models/convnextv2.py (dialect
`facebook`); pytorch/vision torchvision/models/convnext.py; huggingface's pytorch-image-models timm/models/convnext.py.
Dialects differ in names, and in how many axes an array is stored with: the 1x1 convolutions are stored as dense layers
but for the smaller of timm's networks (`conv_mlp`).

In timm, `-ols` have overlapping 3x3 convolutions as stem, `-hnf` normalise before they average, `-rms` divide by the
root of a mean square instead of a whole normalisation, `-mlp` have a hidden layer before the classifier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from zoo.architectures.net import TORCH, Net, scaled
from zoo.graph import Graph

WIDER = 4
"""How much wider a block is inside."""


@dataclass(frozen=True)
class Variant:
    """Numbers of one network."""

    depths: tuple[int, int, int, int]
    width: int
    """Channels of the first stage; each stage doubles them, unless `widths` says otherwise."""
    widths: tuple[int, ...] = ()
    kernels: tuple[int, int, int, int] = (7, 7, 7, 7)
    response: bool = False
    """V2's global response normalisation instead of layer scale."""
    norm: str = "layer"
    """Or `rms`: x / sqrt(mean(x^2)); or `simple`: x / sqrt(var(x)), the mean not taken off x. Neither has an offset."""
    stem: str = "patch"
    """4x4 with stride 4; or two 3x3 with stride 2: `overlap`, `tiered` with half the channels between them, `act` with
    an activation between them."""
    norm_first: bool = False
    """The last normalisation comes before the average."""
    hidden: int = 0
    """Features of a layer before the classifier, if there is one."""
    conv_mlp: bool = False
    """In timm, 1x1 convolutions are stored as such; else as dense layers."""
    act: str = "gelu"
    epsilon: float = 1e-6
    """Of normalisations."""
    size: int = 224
    """Rows and columns of the input, pixels."""

    def channels(self) -> tuple[int, ...]:
        return self.widths or tuple(self.width << stage for stage in range(4))


_SMALL = (2, 2, 6, 2), (2, 2, 8, 2)
_LARGE = (3, 3, 9, 3), (3, 3, 27, 3)
_BOTH: Mapping[str, Variant] = {
    "atto": Variant(_SMALL[0], 40, conv_mlp=True),
    "femto": Variant(_SMALL[0], 48, conv_mlp=True),
    "pico": Variant(_SMALL[0], 64, conv_mlp=True),
    "nano": Variant(_SMALL[1], 80, conv_mlp=True),
    "tiny": Variant(_LARGE[0], 96),
    "small": Variant(_LARGE[1], 96),
    "base": Variant(_LARGE[1], 128),
    "large": Variant(_LARGE[1], 192),
}
_TEST = Variant((1, 1, 1, 1), 32, widths=(32, 64, 96, 128), act="gelu_tanh", epsilon=1e-5, size=160)
VARIANTS: Mapping[str, Variant] = {
    **{f"convnext-{name}": numbers for name, numbers in _BOTH.items()},
    "convnext-zepto-rms": Variant((2, 2, 4, 2), 32, norm="simple", conv_mlp=True),
    "convnext-zepto-rms-ols": Variant((2, 2, 4, 2), 32, norm="simple", stem="act", conv_mlp=True),
    "convnext-atto-rms": replace(_BOTH["atto"], norm="rms"),
    **{f"convnext-{name}-ols": replace(_BOTH[name], stem="tiered") for name in ("atto", "femto", "pico")},
    "convnext-nano-ols": replace(_BOTH["nano"], stem="overlap"),
    "convnext-tiny-hnf": replace(_BOTH["tiny"], norm_first=True, conv_mlp=True),
    "convnext-large-mlp": replace(_BOTH["large"], hidden=1536, size=256),
    "convnext-xlarge": Variant(_LARGE[1], 256),
    "convnext-xxlarge": Variant((3, 4, 30, 3), 384, epsilon=1e-5, size=256),
    **{f"convnextv2-{name}": replace(numbers, response=True) for name, numbers in _BOTH.items()},
    "convnextv2-huge": Variant(_LARGE[1], 352, response=True),
    "test-convnext": replace(_TEST, depths=(1, 2, 4, 2), widths=(24, 32, 48, 64)),
    "test-convnext2": _TEST,
    "test-convnext3": replace(_TEST, kernels=(7, 5, 5, 3), act="silu"),
}
PUBLISHED: Mapping[str, Sequence[str]] = {
    "torchvision": tuple(f"convnext-{name}" for name in ("tiny", "small", "base", "large")),
    "timm": tuple(VARIANTS),
    "facebook": (
        *(f"convnext-{name}" for name in ("tiny", "small", "base", "large", "xlarge")),
        *(f"convnextv2-{name}" for name in ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")),
    ),
}
TIMM = {name.replace("-", "_"): (name, "timm") for name in VARIANTS}


@dataclass(frozen=True)
class Dialect:
    """Names of layers; where they hold a stage's number, it is from 0."""

    stem: str
    """Of `layer`: convolution and normalisation, with more before them where the convolutions overlap."""
    down: str
    """Of `stage` and `layer`: normalisation and convolution. `even` is twice the stage."""
    block: str
    """Of `stage`, `unit` and `layer`, one of the next seven. `odd` is twice the stage and one."""
    depthwise: str
    norm: str
    wide: str
    act: str
    narrow: str
    scale: str
    """The numbers of layer scale."""
    response: str
    pool: str
    last_norm: str
    flatten: str
    classifier: str
    scale_shape: tuple[int, ...] = (-1,)
    """How layer scale is stored; -1 stands for its channels."""
    response_arrays: tuple[str, str] = (".weight", ".bias")
    """Suffixes of gain and shift of a global response normalisation."""
    response_shape: tuple[int, ...] = (-1,)
    conv_mlp: bool = False
    """Whether it distinguishes networks whose 1x1 convolutions are stored as such."""


DIALECTS: Mapping[str, Dialect] = {
    "torchvision": Dialect(
        stem="features.0.{layer}",
        down="features.{even}.{layer}",
        block="features.{odd}.{unit}.{layer}",
        depthwise="block.0",
        norm="block.2",
        wide="block.3",
        act="block.4",
        narrow="block.5",
        scale="layer_scale",
        response="",
        pool="avgpool",
        last_norm="classifier.0",
        flatten="classifier.1",
        classifier="classifier.2",
        scale_shape=(-1, 1, 1),
    ),
    "timm": Dialect(
        stem="stem.{layer}",
        down="stages.{stage}.downsample.{layer}",
        block="stages.{stage}.blocks.{unit}.{layer}",
        depthwise="conv_dw",
        norm="norm",
        wide="mlp.fc1",
        act="mlp.act",
        narrow="mlp.fc2",
        scale="gamma",
        response="mlp.grn",
        pool="head.global_pool.pool",
        last_norm="head.norm",
        flatten="head.flatten",
        classifier="head.fc",
        conv_mlp=True,
    ),
    "facebook": Dialect(
        stem="downsample_layers.0.{layer}",
        down="downsample_layers.{stage}.{layer}",
        block="stages.{stage}.{unit}.{layer}",
        depthwise="dwconv",
        norm="norm",
        wide="pwconv1",
        act="act",
        narrow="pwconv2",
        scale="gamma",
        response="grn",
        pool="mean",
        last_norm="norm",
        flatten="flatten",
        classifier="head",
        response_arrays=(".gamma", ".beta"),
        response_shape=(1, 1, 1, -1),
    ),
}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only."""
    numbers, names = VARIANTS[variant], DIALECTS[dialect]
    net = Net(TORCH)
    value = _stem(net, numbers, names)
    for stage, (depth, channels) in enumerate(zip(numbers.depths, numbers.channels(), strict=True)):
        if stage:
            down = [names.down.format(stage=stage, even=2 * stage, layer=layer) for layer in (0, 1)]
            value = _norm(net, numbers, value, down[0])
            value = net.conv(value, down[1], channels, 2, 2, pad="valid", bias=True)
        for unit in range(depth):
            block = names.block.format(stage=stage, odd=2 * stage + 1, unit=unit, layer="{layer}")
            value = _block(net, numbers, names, value, block, numbers.kernels[stage])
    return net.graph(variant, _head(net, numbers, names, value, classes), size or numbers.size)


def _stem(net: Net, numbers: Variant, names: Dialect) -> str:
    width = numbers.channels()[0]
    layers = (names.stem.format(layer=layer) for layer in range(4))
    if numbers.stem == "patch":
        value = net.conv("image", next(layers), width, 4, 4, pad="valid", bias=True)
        return _norm(net, numbers, value, next(layers))
    middle = scaled(width // 2) if numbers.stem == "tiered" else width
    value = net.conv("image", next(layers), middle, 3, 2, bias=True)
    if numbers.stem == "act":
        value = net.act(value, next(layers), numbers.act)
    value = net.conv(value, next(layers), width, 3, 2, bias=True)
    return _norm(net, numbers, value, next(layers))


def _block(net: Net, numbers: Variant, names: Dialect, value: str, block: str, kernel: int) -> str:
    def name(layer: str) -> str:
        return block.format(layer=layer)

    channels = net.channels[value]
    result = net.conv(value, name(names.depthwise), channels, kernel, groups=channels, bias=True)
    result = _norm(net, numbers, result, name(names.norm))
    matrices = not (numbers.conv_mlp and names.conv_mlp)
    result = _dense(net, result, name(names.wide), WIDER * channels, matrices)
    result = net.act(result, name(names.act), numbers.act)
    if numbers.response:
        result = _response(net, names, result, name(names.response))
    result = _dense(net, result, name(names.narrow), channels, matrices)
    if not numbers.response:
        scale = _per_channel(net, name(names.scale), channels, names.scale_shape)
        result = net.node("Mul", name("scaled"), result, scale)
    return net.add(name("add"), result, value)


def _per_channel(net: Net, name: str, channels: int, stored: tuple[int, ...]) -> str:
    return net.param(name, channels, 1, 1, stored=tuple(channels if n == -1 else n for n in stored))


def _dense(net: Net, value: str, name: str, out: int, matrix: bool) -> str:
    """A 1x1 convolution, whose kernel may be stored as a dense layer's matrix."""
    result = net.conv(value, name, out, bias=True)
    if matrix:
        net.param(f"{name}.weight", out, net.channels[value], 1, 1, stored=(out, net.channels[value]))
    return result


def _response(net: Net, names: Dialect, value: str, name: str) -> str:
    """Global response normalisation: x + (gain * x * length / mean length + shift), a length being a channel's."""
    channels = net.channels[value]
    length = net.node("ReduceL2", f"{name}.length", value, axes=(2, 3), keepdims=1)
    mean = net.node("ReduceMean", f"{name}.mean", length, axes=(1,), keepdims=1, channels=1)
    mean = net.node("Add", f"{name}.mean_epsilon", mean, net.param(f"{name}.epsilon", stored=1e-6))
    share = net.node("Div", f"{name}.share", length, mean)
    gain, shift = (_per_channel(net, name + suffix, channels, names.response_shape) for suffix in names.response_arrays)
    gate = net.node("Mul", f"{name}.gain", share, gain)
    gate = net.node("Add", f"{name}.gate", gate, net.param(f"{name}.one", stored=1.0))
    return net.node("Add", name, net.node("Mul", f"{name}.gated", value, gate), shift)


def _norm(net: Net, numbers: Variant, value: str, name: str) -> str:
    """The network's kind of normalisation of each position's channels."""
    if numbers.norm == "layer":
        return net.layer_norm(value, name, numbers.epsilon)
    channels = net.channels[value]
    centred = value
    if numbers.norm == "simple":
        mean = net.node("ReduceMean", f"{name}.mean", value, axes=(1,), keepdims=1, channels=1)
        centred = net.node("Sub", f"{name}.centred", value, mean)
    square = net.node("Mul", f"{name}.square", centred, centred)
    power = net.node("ReduceMean", f"{name}.power", square, axes=(1,), keepdims=1, channels=1)
    if numbers.norm == "simple":  # torch.var divides by one less than there are
        power = net.node("Mul", f"{name}.variance", power, net.param(f"{name}.n", stored=channels / (channels - 1)))
    power = net.node("Add", f"{name}.power_epsilon", power, net.param(f"{name}.epsilon", stored=numbers.epsilon))
    normed = net.node("Div", f"{name}.normalised", value, net.node("Sqrt", f"{name}.root", power))
    return net.node("Mul", name, normed, _per_channel(net, f"{name}.weight", channels, (-1,)))


def _head(net: Net, numbers: Variant, names: Dialect, value: str, classes: int) -> str:
    if numbers.norm_first:
        value = net.global_pool(_norm(net, numbers, value, "norm_pre"), names.pool)
    else:
        value = _norm(net, numbers, net.global_pool(value, names.pool), names.last_norm)
    value = net.flatten(value, names.flatten)
    if numbers.hidden:
        value = net.act(net.linear(value, "head.pre_logits.fc", numbers.hidden), "head.pre_logits.act", "gelu")
    return net.linear(value, names.classifier, classes)
