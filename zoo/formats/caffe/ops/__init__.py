"""Caffe's layer types, one small translation each; shapes are without the batch, axes count the batch as 0.

A layer becomes nodes whose last has the layer's name; the others are named `<layer>/<what>`.
"""

from __future__ import annotations

from zoo.formats.caffe.ops import arithmetic, convolution, normalization, pooling, shape
from zoo.formats.caffe.ops.arithmetic import elementwise
from zoo.formats.caffe.translate import Op

OPS: dict[str, Op] = {
    "AbsVal": elementwise("Abs"),
    "ArgMax": arithmetic.arg_max,
    "Axpy": arithmetic.axpy,
    "BN": normalization.bn,
    "BNLL": elementwise("Softplus"),
    "BatchNorm": normalization.batch_norm,
    "Bias": normalization.bias,
    "Clip": arithmetic.clip,
    "Concat": shape.concat,
    "Convolution": convolution.convolution,
    "ConvolutionDepthwise": convolution.depthwise,
    "Crop": shape.crop,
    "Deconvolution": convolution.deconvolution,
    "DepthwiseConvolution": convolution.depthwise,
    "Dropout": normalization.dropout,
    "ELU": elementwise("Elu", lambda spec: {"alpha": spec.elu_param.alpha}),
    "Eltwise": arithmetic.eltwise,
    "Exp": arithmetic.exp,
    "Flatten": shape.flatten,
    "HSigmoid": elementwise("HardSigmoid", lambda spec: {"alpha": 1 / 6, "beta": 0.5}),
    "HSwish": elementwise("HardSwish"),
    "HardSigmoid": elementwise(
        "HardSigmoid", lambda spec: {"alpha": spec.hardsigmoid_param.alpha, "beta": spec.hardsigmoid_param.beta}
    ),
    "HardSwish": elementwise("HardSwish"),
    "InnerProduct": convolution.inner_product,
    "Interp": shape.interp,
    "LRN": normalization.lrn,
    "Log": arithmetic.log,
    "MVN": normalization.mvn,
    "Mish": elementwise("Mish"),
    "Normalize": normalization.normalize,
    "PReLU": arithmetic.prelu,
    "Permute": shape.permute,
    "Pooling": pooling.pooling,
    "Power": arithmetic.power,
    "ReLU": arithmetic.relu,
    "ReLU6": arithmetic.relu6,
    "Reduction": arithmetic.reduction,
    "Reshape": shape.reshape,
    "SPP": pooling.spp,
    "Scale": normalization.scale,
    "ShuffleChannel": shape.shuffle_channel,
    "Sigmoid": elementwise("Sigmoid"),
    "Slice": shape.slice_,
    "Softmax": arithmetic.softmax,
    "Split": shape.split,
    "Swish": arithmetic.swish,
    "TanH": elementwise("Tanh"),
    "Threshold": arithmetic.threshold,
    "Tile": shape.tile,
    "Upsample": shape.upsample,
}
