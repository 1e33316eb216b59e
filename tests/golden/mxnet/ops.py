"""One small network for each op of MXNet and each of its options."""

from __future__ import annotations

import mxnet as mx
from tools import S, conv, d

CASES: dict[str, tuple[tuple[int, ...], mx.sym.Symbol]] = {}


def case(name: str, sym: mx.sym.Symbol, *shape: int) -> None:
    assert name not in CASES, name
    CASES[name] = ((2, *(shape or (4, 8, 7))), sym)


def layers() -> None:
    case("conv_pad_stride", conv(d, "x", 5, 3, pad=(2, 1), stride=(2, 3)), 3, 13, 11)
    case("conv_group_dilate", conv(d, "x", 6, 3, num_group=2, dilate=(2, 1), no_bias=True), 4, 12, 13)
    case("conv_depthwise", conv(d, "x", 8, 3, num_group=4, pad=(1, 1), stride=(2, 2)))
    case("conv_rectangle", S.Convolution(d, name="x", num_filter=3, kernel=(1, 5), pad=(0, 2)))
    case("conv_v1", S.Convolution_v1(d, name="x", num_filter=6, kernel=(3, 3), stride=(2, 2), num_group=2))
    for name, more in {
        "plain": {"stride": (2, 2)},
        "adj": {"stride": (2, 3), "pad": (1, 1), "adj": (1, 2)},
        "target": {"stride": (2, 2), "target_shape": (7, 6)},
        "group_bias": {"stride": (2, 2), "pad": (1, 0), "num_group": 2, "no_bias": False},
        "dilate": {"dilate": (2, 2), "pad": (1, 1)},
    }.items():
        case(f"deconv_{name}", S.Deconvolution(d, name="x", num_filter=4, kernel=(4, 4), **more), 4, 4, 3)
    case("fc", S.FullyConnected(d, name="x", num_hidden=5), 4, 4, 5)
    case("fc_no_bias", S.FullyConnected(S.Flatten(d, name="flat"), name="x", num_hidden=5, no_bias=True), 4, 4, 5)
    case("fc_last_axis", S.FullyConnected(d, name="x", num_hidden=5, flatten=False))
    case("fc_last_axis_no_bias", S.FullyConnected(d, name="x", num_hidden=5, flatten=False, no_bias=True))
    case("bn", S.BatchNorm(d, name="x", fix_gamma=False, eps=2e-5, momentum=0.7))
    case("bn_defaults", S.BatchNorm(d, name="x"))
    case("bn_global", S.BatchNorm(d, name="x", use_global_stats=True, fix_gamma=True, eps=0.01))
    case("bn_axis", S.BatchNorm(d, name="x", axis=-1, fix_gamma=False))
    case("bn_axis2", S.BatchNorm(d, name="x", axis=2, fix_gamma=False))
    case("bn_flat", S.BatchNorm(S.FullyConnected(d, name="fc", num_hidden=6), name="x", fix_gamma=False))
    case("bn_sync", S.contrib.SyncBatchNorm(d, name="x", fix_gamma=False, key="k", ndev=2))
    case("instance_norm", S.InstanceNorm(d, name="x", eps=0.01))
    case("layer_norm", S.LayerNorm(d, name="x"))
    case("layer_norm_axis", S.LayerNorm(d, name="x", axis=1, eps=0.1))
    case("lrn", S.LRN(d, name="x", nsize=5, alpha=0.8), 9, 5, 4)
    case("lrn_knorm", S.LRN(d, name="x", nsize=3, alpha=0.5, beta=0.5, knorm=1), 6, 5, 4)
    case("adaptive_1", S.contrib.AdaptiveAvgPooling2D(d, name="x"))
    case("adaptive_parts", S.contrib.AdaptiveAvgPooling2D(d, name="x", output_size=(4, 2)), 3, 8, 6)
    case("adaptive_overlapping", S.contrib.AdaptiveAvgPooling2D(d, name="x", output_size=(3, 4)), 2, 8, 7)


def pools() -> None:
    def pool(name: str, **more: object) -> None:
        case(f"pool_{name}", S.Pooling(d, name="x", **more), 3, 12, 13)

    k3 = {"kernel": (3, 3), "stride": (2, 2)}
    for kind in ("max", "avg", "sum"):
        pool(f"{kind}_valid", pool_type=kind, **k3)
        pool(f"{kind}_full", pool_type=kind, pooling_convention="full", **k3)
        pool(f"{kind}_pad", pool_type=kind, pad=(1, 0), **k3)
        pool(f"{kind}_full_pad", pool_type=kind, pooling_convention="full", pad=(1, 1), **k3)
        pool(f"{kind}_global", pool_type=kind, global_pool=True, kernel=(3, 3), pad=(1, 1))
        case(f"pool_v1_{kind}", S.Pooling_v1(d, name="x", pool_type=kind, pad=(1, 1), **k3), 3, 12, 13)
        full = S.Pooling_v1(d, name="x", pool_type=kind, pad=(1, 1), pooling_convention="full", **k3)
        case(f"pool_v1_{kind}_full", full, 3, 12, 13)
    pool("v1_global", pool_type="avg", global_pool=True)
    pool("exclude_pad", pool_type="avg", count_include_pad=False, pad=(1, 1), **k3)
    pool("exclude_full", pool_type="avg", count_include_pad=False, pooling_convention="full", pad=(1, 1), **k3)
    pool("rectangle", pool_type="avg", kernel=(2, 4), stride=(1, 3), pad=(1, 2))
    pool("same_size", pool_type="avg", kernel=(3, 3), pad=(1, 1))
    pool("lp", pool_type="lp", p_value=2, pooling_convention="full", **k3)
    pool("lp_global", pool_type="lp", p_value=2, global_pool=True)
    pool("defaults", kernel=(2, 2))
    case("pool_max_negative", S.Pooling(d - 9, name="x", pad=(1, 1), **k3), 3, 9, 9)


def activations() -> None:
    for kind in ("relu", "sigmoid", "tanh", "softrelu", "softsign"):
        case(f"act_{kind}", S.Activation(d, name="x", act_type=kind), 2, 5, 4)
    for kind in ("leaky", "prelu", "elu", "selu", "gelu", "rrelu"):
        case(f"leaky_{kind}", S.LeakyReLU(d, name="x", act_type=kind, slope=0.3)[0], 3, 5, 4)
    one = S.LeakyReLU(d, S.var("x_gamma", shape=(1,)), name="x", act_type="prelu")
    case("leaky_prelu_shared", one, 3, 5, 4)
    case("leaky_prelu_flat", S.LeakyReLU(S.FullyConnected(d, name="fc", num_hidden=6), name="x", act_type="prelu"))
    positive = S.sigmoid(d, name="positive")
    any_number = [
        "relu",
        "sigmoid",
        "tanh",
        "softsign",
        "erf",
        "exp",
        "abs",
        "negative",
        "sign",
        "square",
        "floor",
        "ceil",
        "expm1",
    ]
    any_number += ["identity", "BlockGrad", "make_loss", "MakeLoss", "stop_gradient"]
    above_0 = ["log", "sqrt", "rsqrt", "reciprocal", "log1p", "log2", "log10"]
    for name, base in [(name, d) for name in any_number] + [(name, positive) for name in above_0]:
        case(f"unary_{name}", getattr(S, name)(base, name="x"), 2, 5, 4)
    case("hard_sigmoid", S.hard_sigmoid(d, name="x", alpha=0.3, beta=0.4), 2, 5, 4)
    case("hard_sigmoid_defaults", S.hard_sigmoid(d, name="x"), 2, 5, 4)
    case("clip", S.clip(d, name="x", a_min=-0.5, a_max=1.25), 2, 5, 4)
    case("relu6", S.clip(d, name="x", a_min=0, a_max=6), 2, 5, 4)
    case("dropout", S.Dropout(d, name="x", p=0.3), 2, 5, 4)
    flat = S.FullyConnected(d, name="fc", num_hidden=6)
    case("softmax_activation_flat", S.SoftmaxActivation(flat, name="x"), 3, 4, 5)
    case("softmax", S.softmax(d, name="x"), 3, 4, 5)
    case("softmax_axis_temperature", S.softmax(d, name="x", axis=1, temperature=2.5), 3, 4, 5)
    case("log_softmax", S.log_softmax(flat, name="x"), 3, 4, 5)
    case("softmin", S.softmin(d, name="x", axis=1), 3, 4, 5)
    case("softmax_activation", S.SoftmaxActivation(d, name="x"), 3, 4, 5)
    case("softmax_activation_channel", S.SoftmaxActivation(d, name="x", mode="channel"), 3, 4, 5)
    case("softmax_output", S.SoftmaxOutput(flat, name="softmax"), 3, 4, 5)
    case("softmax_output_map", S.SoftmaxOutput(d, name="softmax"), 3, 4, 5)
    case("softmax_output_multi", S.SoftmaxOutput(d, name="softmax", multi_output=True, use_ignore=True), 3, 4, 5)
    case("softmax_output_preserve", S.SoftmaxOutput(d, name="softmax", preserve_shape=True), 3, 4, 5)
    case("logistic_output", S.LogisticRegressionOutput(flat, name="out"), 3, 4, 5)
    case("linear_output", S.LinearRegressionOutput(flat, name="out"), 3, 4, 5)
    case("mae_output", S.MAERegressionOutput(flat, name="out"), 3, 4, 5)
    case("svm_output", S.SVMOutput(flat, name="out"), 3, 4, 5)
    case("cast", S.amp_cast(S.Cast(d, dtype="float32"), name="x", dtype="float32"), 3, 4, 5)
    case("cast_whole", S.Cast(S.Cast(d * 5, dtype="int32", name="x"), dtype="float32"), 3, 4, 5)
    both = S.amp_multicast(d, S.relu(d), num_outputs=2)
    case("amp_multicast", both[0] + both[1], 3, 4, 5)
    weight = S.amp_cast(S.var("x_weight"), dtype="float32")
    case("amp_weight", S.Convolution(d, weight, name="x", num_filter=3, kernel=(2, 2), no_bias=True))
    case("where", S.where(d > 0.2, S.tanh(d), d * 2, name="x"), 2, 5, 4)


def arithmetic() -> None:
    a, b = conv(d, "a", 4), conv(d, "b", 4, 3, pad=(1, 1))
    for name in ("elemwise_add", "elemwise_sub", "elemwise_mul", "elemwise_div"):
        case(name, getattr(S, name)(a, S.sigmoid(b) + 1, name="x"), 3, 6, 5)
    case("internal_names", S._internal._plus(S._internal._minus(a, b), S._internal._mul(a, b), name="x"), 3, 6, 5)
    gate = S.Pooling(b, name="gate", global_pool=True, pool_type="avg")
    for name in ("add", "sub", "mul", "div", "power", "maximum", "minimum", "greater", "lesser_equal", "not_equal"):
        right = S.sigmoid(gate) + 0.5 if name in ("div", "power") else gate
        left = S.sigmoid(a) if name == "power" else a
        if name == "not_equal":
            left, right = S.floor(a * 2), S.floor(S.mean(b, axis=1, keepdims=True))
        case(f"broadcast_{name}", getattr(S, f"broadcast_{name}")(left, right, name="x"), 3, 6, 5)
    stored = S.var("scale", shape=(1, 4, 1, 1))
    case("broadcast_stored", S.broadcast_add(S.broadcast_mul(a, stored), S.var("shift", shape=(1, 1, 1, 5))), 3, 6, 5)
    line = S.Reshape(S.var("scale", shape=(4,)), shape=(1, -1, 1, 1))
    row = S.expand_dims(S.expand_dims(S.var("shift", shape=(6, 5)), axis=0), axis=0)
    case("broadcast_reshaped", S.broadcast_add(S.broadcast_mul(a, line), row), 3, 6, 5)
    case("broadcast_full", S.broadcast_mul(a, S.var("scale", shape=(1, 4, 6, 5)), name="x"), 3, 6, 5)
    case("add_n", S.add_n(a, b, S.tanh(b), name="x"), 3, 6, 5)
    case("add_n_two", S.add_n(a, b, name="x"), 3, 6, 5)
    case("maximum", S._internal._maximum(a, S._internal._minimum(a, b), name="x"), 3, 6, 5)
    for name in ("plus", "minus", "rminus", "mul", "div", "rdiv", "power", "rpower", "maximum", "minimum"):
        base = S.sigmoid(d, name="base") + 0.25
        case(f"scalar_{name}", getattr(S._internal, f"_{name}_scalar")(base, scalar=0.7, name="x"), 2, 5, 4)
    for name in ("equal", "not_equal", "greater", "greater_equal", "lesser", "lesser_equal"):
        rounded = S.floor(d * 2)
        case(f"scalar_{name}", getattr(S._internal, f"_{name}_scalar")(rounded, scalar=1, name="x"), 2, 5, 4)
    # The input normalised by the graph itself, and by a batch norm on the raw input.
    inside = S._internal._mul_scalar(S._internal._minus_scalar(d, scalar=0.5), scalar=0.25)
    case("input_scaled", conv(inside, "x", 4, 3, pad=(1, 1)))
    case("input_bn", conv(S.BatchNorm(d, name="bn_data", fix_gamma=True, eps=2e-5), "x", 4, 3, no_bias=True))


def movement() -> None:
    for name, codes in {
        "minus1": (-1, 56),
        "zero": (0, 0, -1),
        "minus2": (0, 4, -2),
        "minus3": (0, -3, -2),
        "minus4": (0, -4, 2, -1, -2),
        "batch": (2, 56),
        "batch_open": (2, -1, 7),
        "split_all": (0, 2, -1, 7),
    }.items():
        shape = (4, 7, 8) if name != "minus1" else (1, 8, 7)
        moved = S.Reshape(d, name="x", shape=codes)
        case(f"reshape_{name}", moved, *((4, 2, 7) if name.startswith("batch") else shape))
    case("reshape_reverse", S.Reshape(d, name="x", shape=(-1, 0, 0), reverse=True), 1, 6, 5)
    case("reshape_reverse_more", S.Reshape(d, name="x", shape=(0, -1, 2, 0), reverse=True), 4, 6, 5)
    case("reshape_target", S.Reshape(d, name="x", target_shape=(2, 0)), 4, 6, 5)
    case("reshape_keep", S.Reshape(d, name="x", target_shape=(0, 0, 5), keep_highest=True), 4, 6, 5)
    case("reshape_like", S.reshape_like(d, S.Flatten(d), name="x"))
    case("flatten", S.Flatten(conv(d, "a", 3, 3), name="x"))
    case("transpose", S.transpose(d, name="x", axes=(0, 2, 3, 1)))
    case("swap_axis", S.SwapAxis(d, name="x", dim1=1, dim2=3))
    case("expand_squeeze", S.squeeze(S.expand_dims(S.mean(d, axis=1), axis=-1), axis=3, name="x"))
    case("squeeze_all", S.squeeze(S.Pooling(d, kernel=(1, 1), global_pool=True), name="x"))
    case("slice", S.slice(d, name="x", begin=(None, 1, 2), end=(None, 3, None)))
    case("slice_step", S.slice(d, name="x", begin=(0, None, -2, 0), end=(None, None, 0, 6), step=(1, 1, -2, 3)))
    case("slice_axis", S.slice_axis(d, name="x", axis=1, begin=1, end=None))
    case("slice_axis_negative", S.slice_axis(d, name="x", axis=-2, begin=-5, end=-1))
    case("slice_like", S.slice_like(d, S.Pooling(d, kernel=(2, 2), stride=(2, 2)), name="x", axes=(2, 3)))
    case("slice_like_all", S.slice_like(d, conv(d, "a", 3, 3), name="x"))
    halves = S.SliceChannel(d, name="x", num_outputs=2)
    case("slice_channel", S.Concat(halves[1], halves[0], name="back"))
    case("slice_channel_heads", halves)
    case("slice_channel_squeeze", S.SliceChannel(d, name="x", num_outputs=4, axis=1, squeeze_axis=True)[2])
    parts = S.split_v2(d, (1, 3), axis=1)
    case("split_v2", S.Concat(parts[2], parts[1], parts[0]))
    case("split_v2_sections", S.split_v2(d, 4, axis=2)[1])
    case("crop_size", S.Crop(d, name="x", h_w=(4, 3), offset=(2, 1)))
    case("crop_like", S.Crop(d, conv(d, "a", 2, 3), name="x", offset=(1, 2)))
    case("crop_centre", S.Crop(d, conv(d, "a", 2, 4), name="x", center_crop=True))
    for mode in ("constant", "edge", "reflect"):
        more = {"constant_value": 1.5} if mode == "constant" else {}
        case(f"pad_{mode}", S.Pad(d, name="x", mode=mode, pad_width=(0, 0, 0, 0, 1, 2, 3, 0), **more))
    a, b = conv(d, "a", 2), conv(d, "b", 3)
    case("concat", S.Concat(b, d, a, name="x"))
    case("concat_width", S.Concat(a, conv(d, "c", 2), dim=3, name="x"))
    case("concat_flat", S.Concat(S.Flatten(a), S.Flatten(b), name="x"))
    case("stack", S.stack(a, conv(d, "c", 2), axis=2, name="x"))
    case("tile", S.tile(d, reps=(2, 1, 3), name="x"))
    case("repeat", S.repeat(d, repeats=2, axis=1, name="x"))
    line = S.mean(d, axis=2, keepdims=True)
    case("broadcast_axis", S.broadcast_axis(line, axis=2, size=3, name="x"))
    case("broadcast_to", S.broadcast_to(line, shape=(0, 0, 5, 0), name="x"))
    case("broadcast_like", S.broadcast_like(line, d, name="x"))
    case("flip", S.flip(d, axis=3, name="x"))
    case("depth_to_space", S.depth_to_space(d, block_size=2, name="x"), 8, 3, 4)
    case("space_to_depth", S.space_to_depth(d, block_size=2, name="x"), 3, 4, 6)


def reductions() -> None:
    for name in ("mean", "sum", "max", "min", "prod"):
        case(f"{name}_map", getattr(S, name)(d, axis=(2, 3), name="x"), 3, 4, 3)
        case(f"{name}_keep", getattr(S, name)(d, axis=1, keepdims=True, name="x"), 3, 4, 3)
        case(f"{name}_exclude", getattr(S, name)(d, axis=(0, 1), exclude=True, name="x"), 3, 4, 3)
    case("norm1", S.norm(d, ord=1, axis=1, name="x"))
    case("norm2", S.norm(d, axis=(2, 3), keepdims=True, name="x"))
    case("argmax", S.argmax(d, axis=1, name="x"))
    case("argmax_keep", S.argmax(d, axis=2, keepdims=True, name="x"))
    case("argmax_channel", S.argmax_channel(S.Flatten(d), name="x"))
    for mode in ("instance", "channel", "spatial"):
        case(f"l2_{mode}", S.L2Normalization(d, mode=mode, eps=0.5, name="x"))
    case("l2_defaults", S.L2Normalization(d, name="x"))
    case("up_nearest", S.UpSampling(d, scale=2, sample_type="nearest", name="x"))
    low = S.Pooling(d, kernel=(2, 2), stride=(2, 2))
    case("up_concat", S.UpSampling(d, low, scale=2, sample_type="nearest", num_args=2, name="x"), 3, 4, 6)
    low = S.UpSampling(d, low, scale=2, sample_type="nearest", num_args=2, multi_input_mode="sum", name="x")
    case("up_sum", low, 3, 4, 6)
    for scale in (2, 3):
        more = {"scale": scale, "num_filter": 4, "sample_type": "bilinear", "num_args": 2}
        case(f"up_bilinear{scale}", S.UpSampling(d, S.var("x_weight"), name="x", **more), 4, 4, 5)
    resize = S.contrib.BilinearResize2D
    case("resize", resize(d, height=13, width=5, name="x"))
    case("resize_half_pixel", resize(d, height=13, width=17, align_corners=False, name="x"))
    case("resize_scale", resize(d, scale_height=1.5, scale_width=2, mode="size", name="x"))
    case("resize_like", resize(d, conv(d, "a", 2, 3), mode="like", name="x"))
    case("resize_odd", resize(d, scale_height=2, scale_width=2, mode="odd_scale", name="x"))
    case("resize_to_even", resize(d, mode="to_even_up", name="x"))


def heads() -> None:
    a = conv(d, "a", 4, 3, pad=(1, 1))
    case("two_heads", S.Group([S.softmax(conv(a, "cls", 2), axis=1, name="prob"), conv(a, "box", 4)]), 3, 6, 5)
    shared = S.var("w", shape=(4, 4, 1, 1))
    one = S.Convolution(d, shared, name="one", num_filter=4, kernel=(1, 1), no_bias=True)
    two = S.Convolution(one, shared, name="two", num_filter=4, kernel=(1, 1), no_bias=True)
    case("shared_weight", two)
    case("input_not_named_data", conv(S.var("image"), "x", 3, 3))
    case("shape_stated", conv(S.var("data", shape=(2, 4, 8, 7)), "x", 3, 3))
