"""VGG 11 to 19 (Simonyan & Zisserman, arXiv:1409.1556): 3x3 convolutions between five max pools, three dense layers.

Dialects differ in what the dense layers are and in what is behind the last pool:

- torchvision (models/vgg.py): the last map is averaged to 7x7, flattened, and goes through Linear layers. Variants with
  `-bn` have a batch normalisation behind each convolution, and every convolution has a bias.
- jcjohnson (jcjohnson/pytorch-vgg): Caffe's weights in the layout of torchvision's first versions, which took no
  average and had the dropouts before the dense layers, so that these are numbered otherwise.
- pretrainedmodels (torchvision_models.py) uses torchvision's files; what is saved from its own module has other names
  (`_features`, `last_linear`), and takes no average.
- timm (models/vgg.py): the first two dense layers are convolutions (7x7, 1x1) of the same numbers, `pre_logits`.
- pytorchcv (models/vgg.py) takes no average. Its `bn_vgg16b` is `vgg16-bn`; `bn-vgg16` has convolutions without bias.
- slim (tensorflow/models research/slim/nets/vgg.py): fc6 is a 7x7 convolution without padding, fc8 a 1x1.
- machrisaa (machrisaa/tensorflow-vgg vgg16.py, vgg19.py): Caffe's weights as NumPy saved a dict of lists, kernel and
  bias; the last map is flattened with the channels fastest. The dropouts are those of its vgg19_trainable.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures.net import SLIM, TORCH, Net, Style
from zoo.errors import UsageError
from zoo.graph import Graph

CHANNELS = (64, 128, 256, 512, 512)
VARIANTS: Mapping[str, tuple[int, ...]] = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""Convolutions before each pool."""
HIDDEN = 4096
DROPOUT = 0.5

_TORCH_NAMES = tuple(name + suffix for name in VARIANTS for suffix in ("", "-bn"))
PUBLISHED: Mapping[str, Sequence[str]] = {
    "torchvision": _TORCH_NAMES,
    "jcjohnson": ("vgg16", "vgg19"),
    "pretrainedmodels": _TORCH_NAMES,
    "timm": _TORCH_NAMES,
    "pytorchcv": (*_TORCH_NAMES, *(f"bn-{name}" for name in VARIANTS)),
    # vgg_a is the paper's 11-layer network
    "slim": ("vgg11", "vgg16", "vgg19"),
    "machrisaa": ("vgg16", "vgg19"),
}
MACHRISAA = Style(kernel="/0", bias="/1", channels_last=True, same=True)
TIMM = {name.replace("-", "_"): (name, "timm") for name in _TORCH_NAMES}
HEADS: Mapping[str, Sequence[str]] = {
    "torchvision": [f"classifier.{index}" for index in range(7)],
    "jcjohnson": [f"classifier.{index}" for index in (1, 2, 0, 4, 5, 3, 6)],
    "pretrainedmodels": ["linear0", "relu0", "dropout0", "linear1", "relu1", "dropout1", "last_linear"],
    "pytorchcv": [
        *(f"output.fc{layer}.{part}" for layer in (1, 2) for part in ("fc", "activ", "dropout")),
        "output.fc3",
    ],
}
"""Names of dense layers, activations and dropouts behind the last pool."""
DROPPED_FIRST = ("jcjohnson",)
"""Dialects with the dropouts before the dense layers."""
_IGNORED = {
    "global_step": "counts training steps",
    "*/mean_rgb": "the mean that slim's own evaluation subtracts; a card states it",
}
_SLIM_NAMES = {"vgg11": "vgg_a", "vgg16": "vgg_16", "vgg19": "vgg_19"}


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only.

    The dense layers take a map of 7x7: the input has 224 rows and columns, or more where torchvision averages.
    """
    size = size or 224
    net = Net(SLIM if dialect == "slim" else TORCH)
    if dialect == "slim":
        return net.graph(variant, _slim(net, variant, classes), size, ignored=_IGNORED)
    if dialect == "machrisaa":
        if size // 32 != 7:
            raise UsageError(f"{variant}: size={size}; expected 224 to 255")
        net = Net(MACHRISAA)
        return net.graph(variant, _machrisaa(net, variant, classes), size)
    plain = variant.removeprefix("bn-").removesuffix("-bn")
    features = "_features" if dialect == "pretrainedmodels" else "features"
    value, index = "image", 0
    for stage, (repeats, channels) in enumerate(zip(VARIANTS[plain], CHANNELS, strict=True), 1):
        for unit in range(1, repeats + 1):
            kinds = ("conv", "activ") if plain == variant else ("conv", "bn", "activ")
            for kind in kinds:
                name = f"{features}.{index}"
                if dialect == "pytorchcv":
                    name = f"{features}.stage{stage}.unit{unit}.{kind}"
                if kind == "conv":
                    value = net.conv(value, name, channels, 3, bias=not variant.startswith("bn-"))
                else:
                    value = net.norm(value, name) if kind == "bn" else net.act(value, name, "relu")
                index += 1
        pool = f"{features}.stage{stage}.pool{stage}" if dialect == "pytorchcv" else f"{features}.{index}"
        value = net.max_pool(value, pool, 2, 2)
        index += 1
    if dialect == "timm":
        return net.graph(variant, _timm_head(net, value, classes), size)
    times, rest = divmod(size // 32, 7)
    if rest or not times or (times > 1 and dialect != "torchvision"):
        raise UsageError(f"{variant}: size={size}; expected 224 to 255, or for torchvision's a multiple of 224")
    if times > 1:
        value = net.avg_pool(value, "avgpool", times, times)
    first = dialect in DROPPED_FIRST
    return net.graph(variant, _dense_head(net, value, HEADS[dialect], classes, dropped_first=first), size)


def _dense_head(net: Net, value: str, names: Sequence[str], classes: int, *, dropped_first: bool) -> str:
    value = net.flatten(value, "flatten", positions=49)
    for linear, relu, dropout in (names[:3], names[3:6]):
        value = net.dropout(value, dropout, DROPOUT if dropped_first else 0)
        value = net.act(net.linear(value, linear, HIDDEN), relu, "relu")
        value = net.dropout(value, dropout, 0 if dropped_first else DROPOUT)
    return net.linear(value, names[6], classes)


def _timm_head(net: Net, value: str, classes: int) -> str:
    value = net.conv(value, "pre_logits.fc1", HIDDEN, 7, pad="valid", bias=True)
    value = net.dropout(net.act(value, "pre_logits.act1", "relu"), "pre_logits.drop", DROPOUT)
    value = net.conv(value, "pre_logits.fc2", HIDDEN, bias=True)
    value = net.act(value, "pre_logits.act2", "relu")
    value = net.flatten(net.global_pool(value, "head.global_pool.pool"), "head.global_pool.flatten")
    return net.linear(net.dropout(value, "head.drop", DROPOUT), "head.fc", classes)


def _slim(net: Net, variant: str, classes: int) -> str:
    scope, value = _SLIM_NAMES[variant], "image"
    for block, (repeats, channels) in enumerate(zip(VARIANTS[variant], CHANNELS, strict=True), 1):
        for unit in range(1, repeats + 1):
            name = f"{scope}/conv{block}/conv{block}_{unit}"
            value = net.act(net.conv(value, name, channels, 3, bias=True), f"{name}/Relu", "relu")
        value = net.max_pool(value, f"{scope}/pool{block}", 2, 2)
    for name, kernel in ((f"{scope}/fc6", 7), (f"{scope}/fc7", 1)):
        value = net.conv(value, name, HIDDEN, kernel, pad="valid", bias=True)
        value = net.dropout(net.act(value, f"{name}/Relu", "relu"), f"{scope}/dropout{name[-1]}", DROPOUT)
    value = net.conv(value, f"{scope}/fc8", classes, bias=True)
    return net.flatten(net.global_pool(value, f"{scope}/global_pool"), f"{scope}/fc8/squeezed")


def _machrisaa(net: Net, variant: str, classes: int) -> str:
    value = "image"
    for block, (repeats, channels) in enumerate(zip(VARIANTS[variant], CHANNELS, strict=True), 1):
        for unit in range(1, repeats + 1):
            name = f"conv{block}_{unit}"
            value = net.act(net.conv(value, name, channels, 3, bias=True), f"{name}/Relu", "relu")
        value = net.max_pool(value, f"pool{block}", 2, 2, pad="same")
    channels = net.channels[value] * 49
    value = net.node("Transpose", "fc6/channels_last", value, perm=(0, 2, 3, 1))
    value = net.node("Flatten", "fc6/Reshape", value, channels=channels, axis=1)
    for number in "67":
        value = net.act(net.linear(value, f"fc{number}", HIDDEN), f"relu{number}", "relu")
        value = net.dropout(value, f"dropout{number}", DROPOUT)
    return net.linear(value, "fc8", classes)
