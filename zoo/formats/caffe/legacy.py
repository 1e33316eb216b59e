"""Caffe's first two generations: enum types, flat parameters, padding as a layer of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.formats.caffe.network import Layer

# V1's enum names (upgrade_proto.cpp, and what forks of that time added).
_V1 = {
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BATCHNORM": "BatchNorm",
    "BATCH_NORM": "BatchNorm",
    "BIAS": "Bias",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "CROP": "Crop",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INTERP": "Interp",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "MEMORY_DATA": "MemoryData",
    "LOG": "Log",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "PERMUTE": "Permute",
    "POOLING": "Pooling",
    "POWER": "Power",
    "PRELU": "PReLU",
    "RELU": "ReLU",
    "REDUCTION": "Reduction",
    "RESHAPE": "Reshape",
    "SCALE": "Scale",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "TILE": "Tile",
    "UPSAMPLE": "Upsample",
    "WINDOW_DATA": "WindowData",
}
# The same names as the numbers they stand for (V1LayerParameter.LayerType), which text may state instead.
_V1_NUMBERED = (
    "NONE",
    *("ACCURACY", "BNLL", "CONCAT", "CONVOLUTION", "DATA", "DROPOUT", "EUCLIDEAN_LOSS", "FLATTEN"),
    *("HDF5_DATA", "HDF5_OUTPUT", "IM2COL", "IMAGE_DATA", "INFOGAIN_LOSS", "INNER_PRODUCT", "LRN"),
    *("MULTINOMIAL_LOGISTIC_LOSS", "POOLING", "RELU", "SIGMOID", "SOFTMAX", "SOFTMAX_LOSS", "SPLIT", "TANH"),
    *("WINDOW_DATA", "ELTWISE", "POWER", "SIGMOID_CROSS_ENTROPY_LOSS", "HINGE_LOSS", "MEMORY_DATA", "ARGMAX"),
    *("THRESHOLD", "DUMMY_DATA", "SLICE", "MVN", "ABSVAL", "SILENCE", "CONTRASTIVE_LOSS", "EXP"),
    "DECONVOLUTION",
)
_V0 = {
    "conv": "Convolution",
    "pool": "Pooling",
    "innerproduct": "InnerProduct",
    "lrn": "LRN",
    "relu": "ReLU",
    "dropout": "Dropout",
    "softmax": "Softmax",
    "softmax_loss": "SoftmaxWithLoss",
    "accuracy": "Accuracy",
    "concat": "Concat",
    "flatten": "Flatten",
    "split": "Split",
    "sigmoid": "Sigmoid",
    "tanh": "TanH",
    "power": "Power",
    "data": "Data",
    "images": "ImageData",
    "hdf5_data": "HDF5Data",
    "window_data": "WindowData",
    "padding": "Padding",
}


def upgrade(spec: Any) -> Any:
    """Returns a layer message in Caffe's current spelling, whichever generation wrote it."""
    if spec.HasField("layer"):
        return _from_v0(spec)
    name = spec.type
    if name.isdecimal() and len(name) < 4 and int(name) < len(_V1_NUMBERED):
        name = _V1_NUMBERED[int(name)]
    if name not in _V1 and name == spec.type:
        return spec
    result = type(spec)()
    result.CopyFrom(spec)
    result.type = _V1.get(name, name)
    if name == "CROP" and not spec.HasField("crop_param"):
        # Caffe had no such layer then; the fork that FCN was published with had, and no field for offsets: it
        # computes them from where the layers above put the image.
        result.crop_param.aligned = True
    return result


def _from_v0(spec: Any) -> Any:
    old = spec.layer
    result = type(spec)()
    result.CopyFrom(spec)
    result.name, result.type = old.name, _V0.get(old.type, old.type)
    fill = _V0_PARAMS.get(result.type)
    if fill is not None:
        fill(result, old)
    return result


def _convolution(layer: Any, old: Any) -> None:
    param = layer.convolution_param
    param.num_output, param.bias_term, param.group = old.num_output, old.biasterm, old.group
    _window(param, old)


def _pooling(layer: Any, old: Any) -> None:
    layer.pooling_param.pool = old.pool
    _window(layer.pooling_param, old)


def _window(param: Any, old: Any) -> None:
    param.kernel_size.append(old.kernelsize)
    param.stride.append(old.stride)
    param.pad.append(old.pad)


def _inner_product(layer: Any, old: Any) -> None:
    layer.inner_product_param.num_output = old.num_output
    layer.inner_product_param.bias_term = old.biasterm


def _lrn(layer: Any, old: Any) -> None:
    param = layer.lrn_param
    param.local_size, param.alpha, param.beta, param.k = old.local_size, old.alpha, old.beta, old.k


def _dropout(layer: Any, old: Any) -> None:
    layer.dropout_param.dropout_ratio = old.dropout_ratio


def _concat(layer: Any, old: Any) -> None:
    layer.concat_param.concat_dim = old.concat_dim


def _data(layer: Any, old: Any) -> None:
    layer.transform_param.crop_size = old.cropsize


_V0_PARAMS: dict[str, Callable[[Any, Any], None]] = {
    "Convolution": _convolution,
    "Pooling": _pooling,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "Dropout": _dropout,
    "Concat": _concat,
    "Data": _data,
    "ImageData": _data,
}


def without_padding_layers(layers: Sequence[Layer]) -> list[Layer]:
    """Returns the layers with V0's padding layers taken into the convolutions that read them, as Caffe does.

    A padding layer before anything but a convolution stays, and is then refused as an unknown type.
    """
    padding = {layer.tops[0]: layer for layer in layers if layer.type == "Padding"}
    merged: set[int] = set()
    result = []
    for layer in layers:
        pad = padding.get(layer.bottoms[0]) if layer.bottoms else None
        if pad is not None and layer.type == "Convolution":
            merged.add(pad.tops[0])
            layer.spec.convolution_param.pad[:] = [pad.spec.layer.pad]
            layer = replace(layer, bottoms=pad.bottoms)
        result.append(layer)
    still_read = {value for layer in result for value in layer.bottoms}
    return [layer for layer in result if layer.type != "Padding" or layer.tops[0] not in merged - still_read]
