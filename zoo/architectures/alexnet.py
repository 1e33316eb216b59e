"""AlexNet and its kin: five convolutions, pools behind the first, second and fifth, three dense layers on a 6x6 map.

- `alexnet` is of "One weird trick" (arXiv:1404.5997) without normalisation: torchvision (models/alexnet.py),
  pretrainedmodels (torchvision_models.py; its own files carry torchvision's names, those saved from its module carry
  `last_linear`) and pytorchcv (models/alexnet.py, as alexnetb; its pools round up).
- `bvlc-alexnet` is of the first paper (2012), three convolutions in two groups and local response normalisation before
  each of the first two pools: jiecaoyu (jiecaoyu/pytorch_imagenet networks/model_list/alexnet.py).
- `caffenet` differs in that the pools come first; tensors have the same shapes: jigendg (fmcarlucci/JigenDG
  models/caffenet.py, whose `alexnet_caffe.pth.tar` is Caffe's). Its forward multiplies the input by 57.6 to undo a
  division by the standard deviation; that belongs to the card.
- `alexnet-lrn`, `zfnet` (arXiv:1311.2901) and `zfnetb` are pytorchcv's `alexnet` (one group), `zfnet` and `zfnetb`.
- `vggm` is VGG-M of "Return of the devil in the details" (arXiv:1405.3531): pretrainedmodels (vggm.py).
- `alexnet-v2` is slim's (tensorflow/models research/slim/nets/alexnet.py), with 384 channels in the fourth convolution
  and convolutions for dense layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.architectures.net import SLIM, TORCH, Net
from zoo.errors import UsageError
from zoo.graph import Graph

HIDDEN = 4096
DROPOUT = 0.5


@dataclass(frozen=True)
class Variant:
    """A network.

    Args:
        convolutions: channels, kernel, stride and padding of each.
        grouped: numbers of those in two groups.
        lrn: where local response normalisations stand, `before` or `behind` the first two pools.
        alpha: of those, for the mean of 5 squares.
        k: of those.
        ceil: whether pools round up.
        size: rows and columns of the published input.
        side: rows and columns of the map that the dense layers take.
    """

    convolutions: tuple[tuple[int, int, int, int], ...]
    grouped: tuple[int, ...] = ()
    lrn: str = ""
    alpha: float = 1e-4
    k: float = 1.0
    ceil: bool = False
    size: int = 224
    side: int = 6


_ONE_WEIRD_TRICK = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
_FIRST = ((96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1))
_ZF = ((96, 7, 2, 1), (256, 5, 2, 0))
VARIANTS: Mapping[str, Variant] = {
    "alexnet": Variant(_ONE_WEIRD_TRICK),
    "bvlc-alexnet": Variant(_FIRST, grouped=(2, 4, 5), lrn="before", size=227),
    "caffenet": Variant(_FIRST, grouped=(2, 4, 5), lrn="behind", ceil=True, size=227),
    "alexnet-lrn": Variant(_FIRST, lrn="before", k=2.0, ceil=True),
    "zfnet": Variant((*_ZF, *_FIRST[2:]), lrn="before", k=2.0, ceil=True),
    "zfnetb": Variant((*_ZF, (512, 3, 1, 1), (1024, 3, 1, 1), (512, 3, 1, 1)), lrn="before", k=2.0, ceil=True),
    "vggm": Variant(
        ((96, 7, 2, 0), (256, 5, 2, 1), *[(512, 3, 1, 1)] * 3), lrn="before", alpha=5e-4, k=2.0, ceil=True, size=221
    ),
    "alexnet-v2": Variant(((64, 11, 4, 0), *_ONE_WEIRD_TRICK[1:3], *_FIRST[3:]), side=5),
}
_POOLED = (1, 2, 5)
"""Numbers of the convolutions that a pool follows."""
PUBLISHED: Mapping[str, Sequence[str]] = {
    "torchvision": ("alexnet",),
    "pretrainedmodels": ("alexnet", "vggm"),
    "pytorchcv": ("alexnet", "alexnet-lrn", "zfnet", "zfnetb"),
    "jiecaoyu": ("bvlc-alexnet",),
    "jigendg": ("caffenet",),
    "slim": ("alexnet-v2",),
}

_DROP_FIRST = ("drop", "fc", "relu", "drop", "fc", "relu", "fc")
_DROP_LAST = ("fc", "relu", "drop", "fc", "relu", "drop", "fc")
_SEQUENTIAL = tuple(f"classifier.{index}" for index in range(7))


@dataclass(frozen=True)
class Dialect:
    """Names of layers.

    Args:
        layer: of what is before the dense layers: `index` counts them all, `number` the convolutions, `stage` the pools
            and `unit` the convolutions since the last.
        pool: of pools, if not `layer`.
        order: what follows upon the last pool.
        head: names of that.
    """

    layer: str
    pool: str = ""
    order: tuple[str, ...] = _DROP_LAST
    head: tuple[str, ...] = _SEQUENTIAL


_OUTPUT = ("fc1.fc", "fc1.activ", "fc1.dropout", "fc2.fc", "fc2.activ", "fc2.dropout", "fc3")
_CAFFE = ("fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8")
DIALECTS: Mapping[str, Dialect] = {
    "torchvision": Dialect("features.{index}", order=_DROP_FIRST),
    "pretrainedmodels": Dialect(
        "_features.{index}", order=_DROP_FIRST,
        head=("dropout0", "linear0", "relu0", "dropout1", "linear1", "relu1", "last_linear"),
    ),
    "pytorchcv": Dialect(
        "features.stage{stage}.unit{unit}.{kind}", "features.stage{stage}.pool{stage}",
        head=tuple(f"output.{name}" for name in _OUTPUT),
    ),
    "jiecaoyu": Dialect("features.{index}"),
    "jigendg": Dialect("features.{kind}{number}", head=tuple(f"classifier.{name}" for name in _CAFFE)),
}  # fmt: skip
_VGGM = Dialect("features.{index}", head=tuple(f"classif.{index}" for index in range(7)))
"""A module of its own in pretrainedmodels."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only.

    Raises:
        UsageError: the input's size does not lead to the map that the dense layers take.
    """
    spec = VARIANTS[variant]
    size = size or spec.size
    ceil = spec.ceil or dialect == "pytorchcv"
    times, rest = divmod(_side(spec, size, ceil), spec.side)
    if rest or not times or (times > 1 and dialect != "torchvision"):
        raise UsageError(
            f"{variant}: size={size} leads to no map of {spec.side}x{spec.side}; it was published for {spec.size}"
        )
    if dialect == "slim":
        net = Net(SLIM)
        return net.graph(variant, _slim(net, spec, classes), size, ignored={"global_step": "counts training steps"})
    net = Net(TORCH)
    names = _VGGM if variant == "vggm" else DIALECTS[dialect]
    value = _features(net, "image", spec, names, ceil)
    if times > 1:
        value = net.avg_pool(value, "avgpool", times, times)
    value = net.flatten(value, "flatten", positions=spec.side**2)
    outputs = iter((HIDDEN, HIDDEN, classes))
    for kind, name in zip(names.order, names.head, strict=True):
        if kind == "fc":
            value = net.linear(value, name, next(outputs))
        else:
            value = net.dropout(value, name, DROPOUT) if kind == "drop" else net.act(value, name, kind)
    return net.graph(variant, value, size)


def _features(net: Net, value: str, spec: Variant, names: Dialect, ceil: bool) -> str:
    index, stage, unit = 0, 1, 1
    for number, (channels, kernel, stride, pad) in enumerate(spec.convolutions, 1):
        for kind in ("conv", "relu", *_behind(number, spec.lrn)):
            template = names.pool or names.layer if kind == "pool" else names.layer
            name = template.format(index=index, kind=kind, number=number, stage=stage, unit=unit)
            if kind == "conv":
                groups = 2 if number in spec.grouped else 1
                value = net.conv(value, name, channels, kernel, stride, pad=pad, groups=groups, bias=True)
            elif kind == "relu":
                value = net.act(value, name, "relu")
            elif kind == "norm":
                value = net.node("LRN", name, value, size=5, alpha=spec.alpha, beta=0.75, bias=spec.k)
            else:
                value = net.max_pool(value, name, 3, 2, ceil=ceil)
            index += 1
        stage, unit = (stage + 1, 1) if number in _POOLED else (stage, unit + 1)
    return value


def _behind(number: int, lrn: str) -> tuple[str, ...]:
    """Returns what stands behind a convolution and its activation."""
    if number not in _POOLED or not lrn or number == _POOLED[-1]:
        return ("pool",) if number in _POOLED else ()
    return ("norm", "pool") if lrn == "before" else ("pool", "norm")


def _side(spec: Variant, size: int, ceil: bool) -> int:
    """Returns rows and columns of the map behind the last pool."""
    for number, (_, kernel, stride, pad) in enumerate(spec.convolutions, 1):
        size = (size + 2 * pad - kernel) // stride + 1
        if number in _POOLED:
            size = (size - 3 + int(ceil)) // 2 + 1
    return max(size, 0)


def _slim(net: Net, spec: Variant, classes: int) -> str:
    scope, value = "alexnet_v2", "image"
    for number, (channels, kernel, stride, pad) in enumerate(spec.convolutions, 1):
        name = f"{scope}/conv{number}"
        value = net.conv(value, name, channels, kernel, stride, pad=pad, bias=True)
        value = net.act(value, f"{name}/Relu", "relu")
        if number in _POOLED:
            value = net.max_pool(value, f"{scope}/pool{number}", 3, 2)
    return slim_head(net, value, scope, spec.side, (HIDDEN, HIDDEN, classes))


def slim_head(net: Net, value: str, scope: str, kernel: int, outputs: tuple[int, int, int]) -> str:
    """Adds slim's fc6 to fc8: a convolution that a map of `kernel` rows and columns just fits, and two of 1x1."""
    for number, out in zip((6, 7), outputs, strict=False):
        name = f"{scope}/fc{number}"
        value = net.conv(value, name, out, kernel if number == 6 else 1, pad="valid", bias=True)
        value = net.dropout(net.act(value, f"{name}/Relu", "relu"), f"{scope}/dropout{number}", DROPOUT)
    return net.flatten(net.conv(value, f"{scope}/fc8", outputs[2], bias=True), f"{scope}/fc8/squeezed")
