"""Protobuf messages of Caffe's files, built from tables; names, numbers and defaults are those of BVLC caffe.proto.

Fields are written as `zoo.formats.protobuf` reads them. Only what inference needs is declared: text
fields that are not in a table are seen by `prototxt.scan`, which decides whether leaving them out is harmless.
"""

from __future__ import annotations

from google.protobuf.message import Message

from zoo.formats import protobuf

ENUMS: dict[str, tuple[str, ...]] = {
    "Phase": ("TRAIN", "TEST"),
    "PoolMethod": ("MAX", "AVE", "STOCHASTIC"),
    "RoundMode": ("CEIL", "FLOOR"),
    "NormRegion": ("ACROSS_CHANNELS", "WITHIN_CHANNEL"),
    "EltwiseOp": ("PROD", "SUM", "MAX"),
    "ReductionOp": ("NONE", "SUM", "ASUM", "SUMSQ", "MEAN"),
    "BNMode": ("LEARN", "INFERENCE"),
}

# The network as text. One Layer message stands for `layer` and the older `layers`, whose types are enum names there:
# `prototxt.scan` gives both one spelling. Numbers from 1000 on are forks' fields; text does not need theirs.
TEXT: dict[str, tuple[str, ...]] = {
    "Net": ("name 1 string", "input* 3 string", "input_shape* 8 BlobShape", "input_dim* 4 int64", "layer* 100 Layer"),
    "BlobShape": ("dim* 1 int64",),
    "NetStateRule": (
        "phase 1 Phase",
        "min_level 2 int32",
        "max_level 3 int32",
        "stage* 4 string",
        "not_stage* 5 string",
    ),
    "Layer": (
        "name 1 string",
        "type 2 string",
        "bottom* 3 string",
        "top* 4 string",
        "loss_weight* 5 float",
        "include* 8 NetStateRule",
        "exclude* 9 NetStateRule",
        "transform_param 100 TransformationParameter",
        "concat_param 104 ConcatParameter",
        "convolution_param 106 ConvolutionParameter",
        "data_param 107 DataParameter",
        "dropout_param 108 DropoutParameter",
        "eltwise_param 110 EltwiseParameter",
        "image_data_param 115 ImageDataParameter",
        "inner_product_param 117 InnerProductParameter",
        "lrn_param 118 LRNParameter",
        "memory_data_param 119 MemoryDataParameter",
        "pooling_param 121 PoolingParameter",
        "power_param 122 PowerParameter",
        "relu_param 123 ReLUParameter",
        "sigmoid_param 124 EngineParameter",
        "softmax_param 125 SoftmaxParameter",
        "tanh_param 127 EngineParameter",
        "prelu_param 131 PReLUParameter",
        "reshape_param 133 ReshapeParameter",
        "flatten_param 135 FlattenParameter",
        "batch_norm_param 139 BatchNormParameter",
        "elu_param 140 ELUParameter",
        "bias_param 141 BiasParameter",
        "scale_param 142 ScaleParameter",
        "input_param 143 InputParameter",
        "argmax_param 103 ArgMaxParameter",
        "dummy_data_param 109 DummyDataParameter",
        "exp_param 111 ExpParameter",
        "mvn_param 120 MVNParameter",
        "slice_param 126 SliceParameter",
        "threshold_param 128 ThresholdParameter",
        "log_param 134 LogParameter",
        "reduction_param 136 ReductionParameter",
        "tile_param 138 TileParameter",
        "crop_param 144 CropParameter",
        "swish_param 147 SwishParameter",
        "clip_param 148 ClipParameter",
        "layer 1000 V0Layer",
        "permute_param 1001 PermuteParameter",
        "norm_param 1002 NormalizeParameter",
        "shuffle_channel_param 1003 ShuffleChannelParameter",
        "bn_param 1004 BNParameter",
        "interp_param 1005 InterpParameter",
        "upsample_param 1006 UpsampleParameter",
        "relu6_param 1007 ReLU6Parameter",
        "hardsigmoid_param 1008 HardSigmoidParameter",
        "axpy_param 1009 EngineParameter",
    ),
    "TransformationParameter": ("crop_size 3 uint32", "force_gray 7 bool"),
    "DataParameter": ("crop_size 5 uint32",),
    "ImageDataParameter": ("new_height 9 uint32", "new_width 10 uint32", "crop_size 5 uint32"),
    "MemoryDataParameter": ("channels 2 uint32", "height 3 uint32", "width 4 uint32"),
    "InputParameter": ("shape* 1 BlobShape",),
    "ConcatParameter": ("axis 2 int32 1", "concat_dim 1 uint32 1"),
    "ConvolutionParameter": (
        "num_output 1 uint32",
        "bias_term 2 bool true",
        "pad* 3 uint32",
        "kernel_size* 4 uint32",
        "stride* 6 uint32",
        "dilation* 18 uint32",
        "pad_h 9 uint32",
        "pad_w 10 uint32",
        "kernel_h 11 uint32",
        "kernel_w 12 uint32",
        "stride_h 13 uint32",
        "stride_w 14 uint32",
        "group 5 uint32 1",
        "axis 16 int32 1",
    ),
    "DropoutParameter": ("dropout_ratio 1 float 0.5", "scale_train 2 bool true"),
    "EltwiseParameter": ("operation 1 EltwiseOp SUM", "coeff* 2 float"),
    "InnerProductParameter": (
        "num_output 1 uint32",
        "bias_term 2 bool true",
        "axis 5 int32 1",
        "transpose 6 bool false",
    ),
    "LRNParameter": (
        "local_size 1 uint32 5",
        "alpha 2 float 1",
        "beta 3 float 0.75",
        "norm_region 4 NormRegion ACROSS_CHANNELS",
        "k 5 float 1",
    ),
    "PoolingParameter": (
        "pool 1 PoolMethod MAX",
        "pad* 4 uint32",
        "pad_h 9 uint32",
        "pad_w 10 uint32",
        "kernel_size* 2 uint32",
        "kernel_h 5 uint32",
        "kernel_w 6 uint32",
        "stride* 3 uint32",
        "stride_h 7 uint32",
        "stride_w 8 uint32",
        "global_pooling 12 bool false",
        "round_mode 13 RoundMode CEIL",
        "ceil_mode 1001 bool true",
    ),
    "PowerParameter": ("power 1 float 1", "scale 2 float 1", "shift 3 float 0"),
    "ReLUParameter": ("negative_slope 1 float 0",),
    "EngineParameter": (),
    "SoftmaxParameter": ("axis 2 int32 1",),
    "PReLUParameter": ("channel_shared 2 bool false",),
    "ReshapeParameter": ("shape 1 BlobShape", "axis 2 int32 0", "num_axes 3 int32 -1"),
    "FlattenParameter": ("axis 1 int32 1", "end_axis 2 int32 -1"),
    "BatchNormParameter": ("use_global_stats 1 bool", "eps 3 float 1e-5", "scale_bias 7 bool false"),
    "ELUParameter": ("alpha 1 float 1",),
    "BiasParameter": ("axis 1 int32 1", "num_axes 2 int32 1"),
    "ScaleParameter": ("axis 1 int32 1", "num_axes 2 int32 1", "bias_term 4 bool false"),
    "ArgMaxParameter": ("out_max_val 1 bool false", "top_k 2 uint32 1", "axis 3 int32"),
    "DummyDataParameter": ("shape* 6 BlobShape", "channels* 3 uint32", "height* 4 uint32", "width* 5 uint32"),
    "ExpParameter": ("base 1 float -1", "scale 2 float 1", "shift 3 float 0"),
    "MVNParameter": ("normalize_variance 1 bool true", "across_channels 2 bool false", "eps 3 float 1e-9"),
    "SliceParameter": ("axis 3 int32 1", "slice_point* 2 uint32", "slice_dim 1 uint32 1"),
    "ThresholdParameter": ("threshold 1 float 0",),
    "LogParameter": ("base 1 float -1", "scale 2 float 1", "shift 3 float 0"),
    "ReductionParameter": ("operation 1 ReductionOp SUM", "axis 2 int32 0", "coeff 3 float 1"),
    "TileParameter": ("axis 1 int32 1", "tiles 2 int32"),
    "CropParameter": ("axis 1 int32 2", "offset* 2 uint32"),
    "SwishParameter": ("beta 1 float 1",),
    "ClipParameter": ("min 1 float", "max 2 float"),
    "PermuteParameter": ("order* 1 uint32",),
    "NormalizeParameter": (
        "across_spatial 1 bool true",
        "channel_shared 3 bool true",
        "eps 4 float 1e-10",
    ),
    "ShuffleChannelParameter": ("group 1 uint32 1",),
    # Three forks' kinds in one message: SegNet's, cuDNN's (frozen), and PSPNet's first (var_eps, moving_average).
    "BNParameter": (
        "bn_mode 1 BNMode LEARN",
        "eps 2 float 1e-5",
        "frozen 3 bool",
        "axis 4 int32 1",
        "var_eps 5 float 1e-9",
        "moving_average 6 bool",
    ),
    "InterpParameter": (
        "height 1 int32 0",
        "width 2 int32 0",
        "zoom_factor 3 int32 1",
        "shrink_factor 4 int32 1",
        "pad_beg 5 int32 0",
        "pad_end 6 int32 0",
        "align_corners 1000 bool true",
    ),
    "UpsampleParameter": (
        "scale 1 uint32 1",
        "scale_h 2 uint32",
        "scale_w 3 uint32",
        "pad_out_h 4 bool false",
        "pad_out_w 5 bool false",
        "upsample_h 6 uint32",
        "upsample_w 7 uint32",
    ),
    "ReLU6Parameter": ("negative_slope 1 float 0", "threshold 2 float 6"),
    "HardSigmoidParameter": ("alpha 1 float 0.2", "beta 2 float 0.5"),
    "V0Layer": (
        "name 1 string",
        "type 2 string",
        "num_output 3 uint32",
        "biasterm 4 bool true",
        "pad 7 uint32 0",
        "kernelsize 8 uint32",
        "group 9 uint32 1",
        "stride 10 uint32 1",
        "pool 11 PoolMethod MAX",
        "dropout_ratio 12 float 0.5",
        "local_size 13 uint32 5",
        "alpha 14 float 1",
        "beta 15 float 0.75",
        "cropsize 20 uint32 0",
        "k 22 float 1",
        "concat_dim 65 uint32 1",
    ),
}

# The weights. Packed floats have the wire form of bytes; declared as bytes they arrive in one piece per chunk, which
# NumPy takes as it is: 0.9 s instead of 2.3 s for the 550 MB of VGG-16 (`repeated float` converts one by one).
_BINARY_SHARED: dict[str, tuple[str, ...]] = {
    "Net": ("name 1 bytes", "layers* 2 V1Layer", "layer* 100 Layer"),
    "Layer": ("name 1 bytes", "type 2 bytes", "blobs* 7 Blob"),
    "V1Layer": ("name 4 bytes", "blobs* 6 Blob", "layer 1 V0Layer"),
    "V0Layer": ("name 1 bytes", "blobs* 50 Blob"),
    "BlobShape": ("dim* 1 int64",),
}
_BLOB = (
    "num 1 int32",
    "channels 2 int32",
    "height 3 int32",
    "width 4 int32",
    "shape 7 BlobShape",
    # Two forks gave number 10 to something else each. NVIDIA's: which numbers (enum of `weights.RAW_TYPES`) lie in
    # raw_data; one value. The half-precision forks of BVLC's: the halves themselves, each as an integer; many values.
    # A repeated field takes both, in whichever way they are packed.
    "half_data* 10 uint32",
    "raw_data 12 bytes",
)
BINARY = {**_BINARY_SHARED, "Blob": (*_BLOB, "data* 5 bytes", "double_data* 8 bytes")}
# The same blob for files whose floats are not packed: one tag before each number.
UNPACKED = {"BlobShape": ("dim* 1 int64",), "Blob": (*_BLOB, "data* 5 float", "double_data* 8 double")}


def messages(package: str, tables: dict[str, tuple[str, ...]]) -> dict[str, type[Message]]:
    """Returns message name -> class for some of the tables above; see `zoo.formats.protobuf.messages`."""
    return protobuf.messages(package, tables, ENUMS)
