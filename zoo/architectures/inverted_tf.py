"""Names of inverted bottlenecks in TensorFlow's checkpoints: tensorflow/models' slim, and tensorflow/tpu.

Sources: tensorflow/models research/slim/nets/mobilenet (conv_blocks.py, mobilenet.py), tensorflow/tpu
models/official/efficientnet/efficientnet_model.py, condconv/condconv_layers.py, mnasnet/mnasnet_model.py,
mnasnet/mixnet/mixnet_model.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from zoo.architectures.inverted import BlockNames, Kernel, Kind, Layer, Line, Names, Network, Place, blocks

UNUSED = {"global_step": "counts training steps"}
"""What these checkpoints hold besides."""

_SLIM: Mapping[Kind, Sequence[str]] = {
    "ds": ("depthwise", "project"),
    "ir": ("expand", "depthwise", "project"),
    "er": ("expand", "project"),
    "cn": ("project",),
}
_TPU: Mapping[Kind, Sequence[str]] = {
    "ds": ("depthwise_conv2d", "conv2d"),
    "ir": ("conv2d", "depthwise_conv2d", "conv2d"),
    "er": ("conv2d", "conv2d"),
}


def slim_names(scope: str, network: Network) -> Names:
    """Returns slim's names inside `scope`; blocks and the convolutions beside them are numbered apart."""
    acts = [line.act or network.act for _, line in blocks(network.stages)]
    last = next((place.number for place, line in blocks(network.stages) if _beside(line)), len(acts))

    def block(place: Place) -> BlockNames:
        if place.number == last:
            return BlockNames([layer("Conv_1")], ("", "", ""), f"{scope}/Conv_1/add")
        name = _counted("expanded_conv", place.number)
        layers = [layer(f"{name}/{part}", acts[place.number]) for part in _SLIM[place.kind]]
        squeeze = f"{scope}/{name}/squeeze_excite"
        return BlockNames(layers, (squeeze, f"{squeeze}/Conv", f"{squeeze}/Conv_1"), f"{scope}/{name}/add")

    def layer(name: str, act: str = network.act) -> Layer:
        return Layer(f"{scope}/{name}", f"{scope}/{name}/BatchNorm", f"{scope}/{name}/{act}")

    return Names(
        stem=layer("Conv"),
        block=block,
        head=layer("Conv_2" if network.late else "Conv_1"),
        classifier=f"{scope}/Logits/Conv2d_1c_1x1",
        pool=f"{scope}/Logits/AvgPool",
        flatten=f"{scope}/Logits/Squeeze",
        dropout=f"{scope}/Logits/Dropout",
        conv_classifier=True,
    )


def tpu_names(
    scope: str, network: Network, *, norm: str = "tpu_batch_normalization", prefix: str = "", model: str = ""
) -> Names:
    """Returns tensorflow/tpu's names inside `scope`.

    Args:
        scope: variable scope of the network, which has the model's own name.
        network: its numbers.
        norm: what a batch normalisation is called.
        prefix: of the scopes of stem, blocks and head.
        model: scope of convolutions and of the dense layer where they are tf.keras' instead of tf.layers'.
    """
    made: Counter[str] = Counter()
    folder = f"{scope}/{model}" if model else scope

    def unique(place: str, kind: str) -> str:
        # tf.layers number what stands in the same scope; Keras numbers all of the network, in the order of making.
        key = kind if model else f"{place}/{kind}"
        made[key] += 1
        return f"{folder}/{prefix}{place}/{_counted(kind, made[key] - 1)}"

    def normalisation(place: str) -> str:
        norms = f"{place}/{norm}"
        made[norms] += 1
        return f"{scope}/{prefix}{place}/{_counted(norm, made[norms] - 1)}"

    def several(place: str) -> Iterator[Layer]:
        # Keras's own layers, which it numbers through: three a block, of which the first has no part in the network.
        made["several"] += 1
        number = made["several"] - 1
        parts = ("cond_conv2d", 3 * number + 1), ("depthwise_cond_conv2d", number), ("cond_conv2d", 3 * number + 2)
        for kind, count in parts:
            normed = normalisation(place)
            yield Layer(f"{scope}/model/{place}/{_counted(kind, count)}", normed, f"{normed}/act")

    def layer(place: str, kind: str = "conv2d", kernel: Kernel = 1) -> Layer:
        parts = [unique(place, kind) for _ in ((kernel,) if isinstance(kernel, int) else kernel)]
        normed = normalisation(place)
        if len(parts) == 1:
            return Layer(parts[0], normed, f"{normed}/act")
        return Layer(f"{normed}/concat", normed, f"{normed}/act", parts)

    def block(place: Place, line: Line) -> BlockNames:
        name = f"blocks_{place.number}"
        if line.experts:
            squeeze = (f"{scope}/{name}/se", unique(f"{name}/se", "conv2d"), unique(f"{name}/se", "conv2d"))
            return BlockNames([*several(name)], squeeze, f"{scope}/{name}/add", f"{scope}/{name}/dense")
        kernels = (*line.pointwise[: len(_TPU[place.kind]) - 2], line.kernel, line.pointwise[1])
        layers = [layer(name, kind, kernel) for kind, kernel in zip(_TPU[place.kind][:-1], kernels[:-1], strict=True)]
        reduce, expand = (unique(f"{name}/se", "conv2d"), unique(f"{name}/se", "conv2d")) if place.se else ("", "")
        layers.append(layer(name, _TPU[place.kind][-1], kernels[-1]))
        return BlockNames(layers, (f"{folder}/{prefix}{name}/se", reduce, expand), f"{folder}/{prefix}{name}/add")

    every = [block(place, line) for place, line in blocks(network.stages)]
    return Names(
        stem=layer("stem"),
        block=lambda place: every[place.number],
        head=layer("head"),
        classifier=f"{folder}/{prefix}head/dense",
        pool=f"{folder}/{prefix}head/pool",
        flatten=f"{folder}/{prefix}head/flatten",
        dropout=f"{folder}/{prefix}head/dropout",
    )


def _beside(line: Line) -> bool:
    """Whether this is MobileNetV3's convolution behind the blocks, which the tables count as one."""
    return line.kind == "cn" and line.act != "linear"


def _counted(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name
