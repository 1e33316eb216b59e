"""EfficientNets in Keras from before keras.applications had them; what happens to an image first is the card's matter.

- callidior: Björn Barz's, whose weights are those of tensorflow/tpu (keras-team/keras-applications
  keras_applications/efficientnet.py @06fbeb0f). Today's keras.applications has the same layers, and a normalisation of
  the image before them; its classifier is `predictions` where it is `probs` here.
- qubvel: the same network again, with the weights of a noisy student (qubvel/efficientnet efficientnet/model.py
  @f7f3e736). It pads as TensorFlow's SAME where Barz pads by hand, which is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.architectures import efficientnet, inverted
from zoo.architectures.inverted import BlockNames, Layer, Names, Place
from zoo.architectures.net import KERAS
from zoo.formats.keras import match
from zoo.graph import Graph

_B = tuple(f"efficientnet-b{number}" for number in range(8))
PUBLISHED: Mapping[str, Sequence[str]] = {"callidior": _B, "qubvel": _B}
named = match.named
"""Returns a file's arrays under the names of a Graph of this module."""


def build(variant: str, dialect: str, classes: int, size: int | None) -> Graph:
    """Returns the Graph of a variant of `PUBLISHED[dialect]`, its parameters shapes only; it ends in logits."""
    return inverted.build(variant, efficientnet.VARIANTS[variant], _NAMES, KERAS, classes, size)


def _layer(prefix: str, conv: str = "conv", norm: str = "bn", act: str = "activation") -> Layer:
    return Layer(prefix + conv, prefix + norm, prefix + act)


def _block(place: Place) -> BlockNames:
    prefix = f"block{place.stage + 1}{chr(ord('a') + place.unit)}_"
    layers = [_layer(prefix, "dwconv"), _layer(prefix, "project_conv", "project_bn")]
    if place.kind == "ir":
        layers.insert(0, _layer(prefix, "expand_conv", "expand_bn", "expand_activation"))
    return BlockNames(layers, (f"{prefix}se_excite", f"{prefix}se_reduce", f"{prefix}se_expand"), f"{prefix}add")


_NAMES = Names(
    stem=_layer("stem_"),
    block=_block,
    head=_layer("top_"),
    classifier="probs",
    pool="avg_pool",
    flatten="flatten",
    dropout="top_dropout",
)
