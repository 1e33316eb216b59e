"""The part of a card that says how its files are to be read: one kind of source per format."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    """Base of every part of a card: frozen, strictly typed, unknown keys and NaN refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )


class GraphSource(Strict):
    """Files that hold the network itself."""

    graph: str
    """Key in `files` of the network, and of its weights where one file holds both."""
    until: str | None = None
    """The layer, by its name in the origin, whose output is the model's; default: the network's own output."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The keys in `files` of the files to read, in the order in which the format's reader takes them."""
        return (self.graph,)


class TwoFileSource(GraphSource):
    """A network in one file, its weights in another."""

    weights: str
    """Key in `files` of the weights."""

    @property
    def roles(self) -> tuple[str, ...]:
        return (self.graph, self.weights)


class CaffeSource(TwoFileSource):
    """A network as Caffe wrote it: .prototxt and .caffemodel."""

    format: Literal["caffe"]


class MxnetSource(TwoFileSource):
    """A network as MXNet wrote it: symbol.json and .params."""

    format: Literal["mxnet"]


class Torch7Source(GraphSource):
    """A network as Lua Torch wrote it: .t7."""

    format: Literal["torch7"]


class TensorFlowSource(GraphSource):
    """A frozen TensorFlow GraphDef: .pb."""

    format: Literal["tensorflow"]
    input: str | None = None
    """The node whose value the model takes, where the graph prepares images itself; default: its placeholder."""


class OnnxSource(GraphSource):
    """An ONNX model: .onnx."""

    format: Literal["onnx"]


class KerasSource(Strict):
    """A model that Keras saved, or its weights alone: .h5, .weights.h5, .keras."""

    format: Literal["keras"]
    weights: str
    """Key in `files` of the file."""
    architecture: str | None = None
    """Name of a variant in `zoo.architectures`, where the file holds weights alone."""
    dialect: str | None = None
    """Which of the variant's dialects the file has; `keras-th` is Theano's order and turned kernels."""
    until: str | None = None
    """The layer whose output is the model's, where the file holds the network; default: the network's own output."""
    theano_kernels: bool | None = None
    """Whether Theano made the kernels, where the file holds the network and does not say it."""
    task: str | None = None
    """Key in `files` of a KerasHub preset's task.weights.h5: the classifier's weights; `weights` are the backbone's."""

    @model_validator(mode="after")
    def _either(self) -> KerasSource:
        if (self.architecture is None) != (self.dialect is None):
            raise ValueError("architecture and dialect go together: both for weights alone, neither for a whole model")
        if self.architecture is not None and (self.until is not None or self.theano_kernels is not None):
            raise ValueError("until and theano_kernels are for files that hold the network; the dialect says the rest")
        if (self.task is not None) != (self.dialect == "kerashub"):
            raise ValueError("task is the second file of the dialect kerashub: it has both, any other neither")
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """As in `GraphSource`."""
        return (self.weights,) if self.task is None else (self.weights, self.task)


class WeightsSource(Strict):
    """Files that hold names and arrays only: the graph is one of `zoo.architectures`."""

    architecture: str
    """Name of a variant in `zoo.architectures`."""
    dialect: str
    """Which publisher's parameter names, padding and epsilon the architecture takes."""
    weights: str
    """Key in `files` of the weights."""

    @property
    def roles(self) -> tuple[str, ...]:
        """As in `GraphSource`."""
        return (self.weights,)


class PyTorchSource(WeightsSource):
    """A PyTorch state dict: .pth, .pt, .bin or .safetensors."""

    format: Literal["pytorch"]


class GluonSource(WeightsSource):
    """Arrays of a network whose graph is code of MXNet's Gluon: .params."""

    format: Literal["gluon"]


class CheckpointSource(WeightsSource):
    """A TensorFlow checkpoint; `weights` is the index, or the one file of a checkpoint of version 1."""

    format: Literal["checkpoint"]
    data: tuple[str, ...] = ()
    """Keys in `files` of the data files, in the order of their numbers; none for version 1."""
    averaged: bool = True
    """Whether the publisher evaluated with the averages of the weights over training, where the file has them."""

    @property
    def roles(self) -> tuple[str, ...]:
        return (self.weights, *self.data)


class NumpySource(WeightsSource):
    """Arrays that NumPy saved: .npz, or a dict or list of arrays as .npy."""

    format: Literal["numpy"]


class FinishedSource(Strict):
    """A model that zoo wrote itself, preprocessing inside: a .keras file with zoo.json, as `zoo finetune` makes it."""

    format: Literal["zoo"]
    weights: str
    """Key in `files` of the file."""

    @property
    def roles(self) -> tuple[str, ...]:
        """As in `GraphSource`."""
        return (self.weights,)


class UnsupportedSource(Strict):
    """Files that zoo cannot read, or a network that it cannot build, yet: the model is listed, and cannot be got."""

    format: Literal["unsupported"]
    reason: str
    """What the files are, or what is missing: `KerasHub preset`, `no architecture for DLA`."""

    @property
    def roles(self) -> tuple[str, ...]:
        """None: nothing is read."""
        return ()


Source = Annotated[
    CaffeSource
    | CheckpointSource
    | GluonSource
    | KerasSource
    | MxnetSource
    | NumpySource
    | OnnxSource
    | PyTorchSource
    | TensorFlowSource
    | Torch7Source
    | UnsupportedSource
    | FinishedSource,
    Field(discriminator="format"),
]
