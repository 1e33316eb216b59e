"""What a model's files alone do not say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How to read a file that carries a graph.

    Args:
        input_shape: (C, H, W) of the image input, for files that do not state it (MXNet, Torch7, some TensorFlow and
            Caffe files). A file that states another is read with this one where its network allows.
        input: the value, by its name in a TensorFlow graph, that becomes the network's input; what stands before it is
            left out before anything is refused.
        until: the layer or value, by its name in the origin, whose output becomes the network's only one; what it
            does not need is left out before anything is refused.
        theano_kernels: whether Theano made the kernels of a Keras model, which are then turned by half a turn; None:
            as the file says, which Keras 1 did not write down.
        weights_alone: whether to leave the network that a Keras file holds unread, and give its arrays.
    """

    input_shape: tuple[int, int, int] | None = None
    input: str | None = None
    until: str | None = None
    theano_kernels: bool | None = None
    weights_alone: bool = False
