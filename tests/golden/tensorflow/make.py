"""Makes the cases in this folder: small TensorFlow graphs with generated weights, and what TensorFlow answers.

Run with Python 3.11 and `tensorflow==2.21.0 tf_slim==1.1.0 tf_keras==2.21.0`:

    python tests/golden/tensorflow/make.py [CASE ...]

Each case is one .npz: `file:<path>` are the bytes of its files (a frozen graph, or a SavedModel), `input` is uint8 and
the network gets (input - 128) / 64, every pixel `times` times in both directions; `output:<n>` are its outputs in
order, `node:<name>` values on the way. All in TensorFlow's order of axes, but for graphs of NCHW: TensorFlow cannot run
those on a CPU, so the same graph was written in NHWC for the numbers, and what the file has is its twin; input and
outputs are given as NHWC.
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
v1 = tf.compat.v1
raw = tf.raw_ops


def pattern(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Smooth coloured waves, uint8."""
    _count, height, width, channels = shape
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    images = np.empty(shape)
    for image in images:
        for channel in range(channels):
            fx, fy, phase, offset = rng.uniform(1, 6), rng.uniform(1, 6), rng.uniform(0, 6.3), rng.uniform(-50, 50)
            image[..., channel] = 128 + offset + 75 * np.sin(6.3 * (fx * x + fy * y) + phase)
    return np.clip(images, 0, 255).astype(np.uint8)


def coarse(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """The same in squares of some pixels where images are large, so that the files stay small."""
    times = 7 if shape[1] > 200 else 3 if shape[1] > 90 else 1
    image = pattern((shape[0], shape[1] // times, shape[2] // times, shape[3]), rng)
    return image.repeat(times, 1).repeat(times, 2)


def network_input(image: np.ndarray) -> np.ndarray:
    return (image.astype(np.float32) - 128) / 64


class Weights:
    """Constants with generated numbers; few different ones, so that the files stay small."""

    def __init__(self, seed: str) -> None:
        self.rng = np.random.default_rng(list(seed.encode()))

    def __call__(self, *shape: int, name: str = "weights", scale: float | None = None) -> Any:
        fan_in = int(np.prod(shape[:-1])) or 1
        array = self.rng.normal(0, scale or np.sqrt(2 / fan_in), shape)
        return tf.constant((np.round(array * 256) / 256).astype(np.float32), name=name)

    def positive(self, *shape: int, name: str = "positive") -> Any:
        return tf.constant((np.round(self.rng.uniform(0.4, 2, shape) * 64) / 64).astype(np.float32), name=name)


# ------------------------------------------------------------------------------------------------- one op at a time


def conv(**options: Any) -> Callable[..., Any]:
    kernel = options.pop("kernel", (3, 3, 4, 5))

    def make(x: Any, w: Weights, df: str) -> Any:
        given = {"strides": [1, 1, 1, 1], "padding": "SAME"} | options
        for key in ("strides", "dilations"):
            if key in given:
                given[key] = fourth(given[key], df)
        if "explicit_paddings" in given and df == "NCHW":
            p = given["explicit_paddings"]
            given["explicit_paddings"] = p[:2] + p[6:] + p[2:6]
        return raw.Conv2D(input=x, filter=w(*kernel), data_format=df, name="conv", **given)

    return make


def fourth(four: list[int], df: str) -> list[int]:
    return [four[0], four[3], four[1], four[2]] if df == "NCHW" else list(four)


def depthwise(stride: int, times: int, padding: str = "SAME", dilation: int = 1) -> Callable[..., Any]:
    def make(x: Any, w: Weights, df: str) -> Any:
        kernel = w(3, 3, 4, times, scale=0.4)
        if dilation > 1 and df == "NHWC":  # written with batches: TensorFlow has no kernel for the attribute on a CPU
            return tf.nn.depthwise_conv2d(x, kernel, [1] * 4, padding, dilations=[dilation] * 2)
        return raw.DepthwiseConv2dNative(
            input=x,
            filter=kernel,
            strides=fourth([1, stride, stride, 1], df),
            padding=padding,
            dilations=fourth([1, dilation, dilation, 1], df),
            data_format=df,
            name="depthwise",
        )

    return make


def back(size: tuple[int, int], stride: int, padding: str, kernel: int = 3) -> Callable[..., Any]:
    def make(x: Any, w: Weights, df: str) -> Any:
        batch = tf.shape(x)[0]
        shape = [batch, 5, *size] if df == "NCHW" else [batch, *size, 5]
        return raw.Conv2DBackpropInput(
            input_sizes=tf.stack(shape),
            filter=w(kernel, kernel, 5, 4, scale=0.3),
            out_backprop=x,
            strides=fourth([1, stride, stride, 1], df),
            padding=padding,
            data_format=df,
            name="deconv",
        )

    return make


def pool(kind: str, size: tuple[int, int], stride: tuple[int, int], padding: str, **more: Any) -> Callable[..., Any]:
    def make(x: Any, w: Weights, df: str) -> Any:
        args = {"ksize": fourth([1, *size, 1], df), "strides": fourth([1, *stride, 1], df), "padding": padding}
        if kind == "max":
            return raw.MaxPool(input=x, data_format=df, name="pool", **args, **more)
        return raw.AvgPool(value=x, data_format=df, name="pool", **args)

    return make


def fused(version: str) -> Callable[..., Any]:
    def make(x: Any, w: Weights, df: str) -> Any:
        op = getattr(raw, f"FusedBatchNorm{version}")
        y = op(
            x=x,
            scale=w(4, name="gamma"),
            offset=w(4, name="beta"),
            mean=w(4, name="mean"),
            variance=w.positive(4, name="variance"),
            epsilon=0.001,
            is_training=False,
            data_format=df,
            name="bn",
        )
        return tf.nn.relu(y.y)

    return make


def arithmetic_norm(gamma: bool, beta: bool) -> Callable[..., Any]:
    def make(x: Any, w: Weights, df: str) -> Any:
        shape = (4, 1, 1) if df == "NCHW" else (4,)
        arrays = [tf.identity(w(*shape, name="mean", scale=1)), tf.identity(w.positive(*shape, name="variance"))]
        arrays.append(tf.identity(w(*shape, name="beta", scale=1)) if beta else None)
        arrays.append(tf.identity(w(*shape, name="gamma", scale=1)) if gamma else None)
        y = tf.nn.batch_normalization(x, *arrays, 0.002, name="bn")
        return pool("max", (2, 2), (1, 1), "VALID")(y, w, df)

    return make


def paper_norm(form: str) -> Callable[..., Any]:
    def make(x: Any, w: Weights, df: str) -> Any:
        mean, variance = w(4, name="mean", scale=1), w.positive(4, name="variance")
        if form == "bare":
            return (x - mean) * tf.math.rsqrt(variance + 0.01)
        gamma, beta = w(4, name="gamma", scale=1), w(4, name="beta", scale=1)
        if form == "div":
            return beta + gamma * ((x - mean) / tf.sqrt(variance + 0.01))
        return (x - mean) * (gamma * tf.math.rsqrt(variance + 0.01)) + beta

    return make


def folded_norm(x: Any, w: Weights, df: str) -> Any:
    """What graph rewriting leaves of a batch norm: a product and a sum."""
    return x * w(4, name="scale", scale=1) + w(4, name="shift", scale=1)


def map_norm(x: Any, w: Weights, df: str) -> Any:
    """Statistics per position: no batch norm, though it is written as one."""
    shape = tuple(x.shape[1:])
    return tf.nn.batch_normalization(
        x, w(*shape, name="mean", scale=1), w.positive(*shape), w(4, name="beta", scale=1), None, 0.01
    )


def by_batches(depthwise: bool, padding: str) -> Callable[..., Any]:
    """A dilated convolution as TensorFlow 1 wrote it: tf.nn.with_space_to_batch."""

    def make(x: Any, w: Weights, df: str) -> Any:
        height, width = int(x.shape[1]), int(x.shape[2])
        rate, total = (2, 3), (4, 6)
        sizes = (height, width)
        base = [(t // 2, t - t // 2) if padding == "SAME" else (0, 0) for t in total]
        pads, crops = [], []
        for size, (before, after), r in zip(sizes, base, rate, strict=False):
            more = -(size + before + after) % r
            pads.append([before, after + more])
            crops.append([0, more])
        y = raw.SpaceToBatchND(input=x, block_shape=list(rate), paddings=pads)
        if depthwise:
            y = raw.DepthwiseConv2dNative(
                input=y, filter=w(3, 3, 4, 1, scale=0.4), strides=[1] * 4, padding="VALID", name="conv"
            )
        else:
            y = raw.Conv2D(input=y, filter=w(3, 3, 4, 5), strides=[1] * 4, padding="VALID", name="conv")
        y = raw.BatchToSpaceND(input=y, block_shape=list(rate), crops=crops)
        return raw.BiasAdd(value=y, bias=w(int(y.shape[-1]), name="bias", scale=1))

    return make


def dense(x: Any, w: Weights, df: str) -> Any:
    x = tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
    return raw.BiasAdd(value=tf.matmul(x, w(int(x.shape[1]), 6)), bias=w(6, name="bias", scale=1))


def dense_transposed(x: Any, w: Weights, df: str) -> Any:
    x = tf.reshape(x, [tf.shape(x)[0], -1])
    x.set_shape([None, 8 * 7 * 4])
    return tf.matmul(x, w(6, 8 * 7 * 4, scale=0.1), transpose_b=True) + w(6, name="bias", scale=1)


def activations(x: Any, w: Weights, df: str) -> Any:
    nn = tf.nn
    return tf.concat(
        [
            nn.elu(x),
            nn.selu(x),
            nn.leaky_relu(x, 0.3),
            nn.sigmoid(x),
            nn.tanh(x),
            nn.softplus(x),
            nn.softsign(x),
            nn.relu6(x * 4),
            x * nn.relu6(x + 3) * (1 / 6),
            nn.relu(x) - 0.25 * nn.relu(-x),
            tf.maximum(0.1 * x, x),
        ],
        -1,
    )


def functions(x: Any, w: Weights, df: str) -> Any:
    p = tf.abs(x) + 0.5
    return tf.concat(
        [tf.exp(x), tf.math.log(p), tf.sqrt(p), tf.math.rsqrt(p), tf.square(x), -x, tf.pow(p, 1.5),
         tf.math.reciprocal(p), tf.math.squared_difference(x, w(4, scale=1)), tf.minimum(x, 0.3), raw.Div(x=x, y=p),
         tf.math.erf(x), tf.floor(x * 3), tf.clip_by_value(x, -0.5, 0.25), 2.0 - x, 1.0 / p], -1
    )  # fmt: skip


def between(x: Any, w: Weights, df: str) -> Any:
    a, b = raw.Conv2D(input=x, filter=w(1, 1, 4, 4), strides=[1] * 4, padding="SAME"), tf.tanh(x)
    gate = tf.sigmoid(tf.reduce_mean(x, [1, 2], keepdims=True))
    return tf.concat([raw.AddN(inputs=[a, b, x]), a * b, tf.maximum(a, b), a / (2 + b), (a - b) * gate], 3)


def squeeze_excite(x: Any, w: Weights, df: str) -> Any:
    s = tf.reduce_mean(x, [1, 2])
    s = tf.reshape(s, [tf.shape(s)[0], 1, 1, 4])
    s = raw.Conv2D(input=s, filter=w(1, 1, 4, 4), strides=[1] * 4, padding="VALID")
    return x * tf.sigmoid(s)


def l2(x: Any, w: Weights, df: str) -> Any:
    return tf.nn.l2_normalize(x, -1) + tf.nn.l2_normalize(tf.reduce_max(x, [1]), -1)[:, None]


def reductions(x: Any, w: Weights, df: str) -> Any:
    parts = [tf.reduce_sum(x, [2]), tf.reduce_min(x, [2]), tf.reduce_mean(x, [-2]), tf.reduce_prod(x * 0.5 + 1, 2)]
    return tf.stack([*parts, tf.reduce_max(x, 2)], 1)


def reduced_channels(x: Any, w: Weights, df: str) -> Any:
    return tf.concat([tf.reduce_mean(x, 3, keepdims=True), tf.reduce_max(x, -1, keepdims=True)], 3)


def global_pools(x: Any, w: Weights, df: str) -> Any:
    axes = [2, 3] if df == "NCHW" else [1, 2]
    return tf.concat([tf.reduce_mean(x, axes), tf.reduce_max(x, axes)], 1)


def slices(x: Any, w: Weights, df: str) -> Any:
    parts = [x[:, 1:5, ::2, :2], tf.slice(x, [0, 2, 0, 1], [-1, 4, 4, 2]), x[:, -5:-1, 3::-1, 1:3]]
    a, b = tf.split(x, 2, 3)
    c, d = tf.split(x, [1, 3], -1)
    e = tf.unstack(x, axis=3)[2][..., tf.newaxis]
    return tf.concat([*(p[:, :, :4] for p in parts), (a * b)[:, :4, :4], (c * d)[:, 2:6, 1:5], e[:, :4, :4]], -1)


def shuffle(x: Any, w: Weights, df: str) -> Any:
    _, h, width, c = x.shape
    y = tf.reshape(x, [-1, h, width, 2, c // 2])
    y = tf.reshape(tf.transpose(y, [0, 1, 2, 4, 3]), [-1, h, width, c])
    return raw.Conv2D(input=y, filter=w(3, 3, 4, 3), strides=[1] * 4, padding="SAME")


def to_nchw_and_back(x: Any, w: Weights, df: str) -> Any:
    y = tf.transpose(tf.tanh(tf.transpose(x, [0, 3, 1, 2]) * w(4, 1, 1, scale=1)), [0, 2, 3, 1])
    return raw.Conv2D(input=y, filter=w(3, 3, 4, 3), strides=[1] * 4, padding="SAME")


def flat_as_nchw(x: Any, w: Weights, df: str) -> Any:
    y = tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [-1, 8 * 7 * 4])
    return tf.matmul(y, w(8 * 7 * 4, 6))


def other_axes(x: Any, w: Weights, df: str) -> Any:
    y = tf.transpose(x, [0, 2, 1, 3])
    y = tf.expand_dims(tf.squeeze(y[:, :, :1], [2]), 2)
    return tf.tile(y, [1, 1, 2, 1]) + tf.gather(x, [3, 1, 0, 2], axis=3)[:, :7, :2]


def padded(mode: str) -> Callable[..., Any]:
    def make(x: Any, w: Weights, df: str) -> Any:
        pads = [[0, 0], [1, 2], [3, 0], [0, 1]]
        if mode == "SYMMETRIC":
            pads = [[0, 0], [1, 1], [1, 0], [0, 0]]
        if mode == "VALUE":
            return raw.PadV2(input=x, paddings=pads, constant_values=-1.5)
        return tf.pad(x, pads, mode)

    return make


def resized(op: str, size: tuple[int, int], **options: bool) -> Callable[..., Any]:
    def make(x: Any, w: Weights, df: str) -> Any:
        return getattr(raw, op)(images=x, size=list(size), **options)

    return make


def upsampled(x: Any, w: Weights, df: str) -> Any:
    """As Keras 2 wrote UpSampling2D: the size is computed in the graph."""
    size = tf.shape(x)[1:3] * tf.constant([2, 3])
    return raw.ResizeNearestNeighbor(images=x, size=size, half_pixel_centers=True)


def blocks(x: Any, w: Weights, df: str) -> Any:
    return tf.concat(
        [raw.DepthToSpace(input=x, block_size=2, data_format=df),
         tf.tile(raw.SpaceToDepth(input=x, block_size=2, data_format=df), [1, 4, 4, 1])], 3,
    )  # fmt: skip


def depth_to_space(x: Any, w: Weights, df: str) -> Any:
    return raw.DepthToSpace(input=raw.SpaceToDepth(input=x, block_size=2, data_format=df), block_size=4, data_format=df)


def softmaxes(x: Any, w: Weights, df: str) -> Any:
    y = tf.reshape(tf.reduce_mean(x, 1), [-1, 7 * 4])
    return tf.concat([tf.nn.softmax(y), tf.nn.log_softmax(y)], 1)


def dropout_old(x: Any, w: Weights, df: str) -> Any:
    """tf.nn.dropout of TensorFlow 1.0 to 1.12; its keep_prob is fed."""
    keep = v1.placeholder(tf.float32, name="keep_prob")
    noise = keep + tf.random.uniform(tf.shape(x))
    return tf.tanh(tf.realdiv(x, keep) * tf.floor(noise))


def branches(x: Any, w: Weights, df: str) -> Any:
    """Switch and Merge on a switch for training that is off unless fed: the numbers are those of inference."""
    training = v1.placeholder_with_default(False, [], name="is_training")
    on, off = raw.Switch(data=x, pred=training)[::-1]
    y = raw.Merge(inputs=[tf.tanh(off), tf.nn.dropout(on, 0.5)]).output
    return raw.Conv2D(input=y, filter=w(3, 3, 4, 3), strides=[1] * 4, padding="SAME")


def arg_max(x: Any, w: Weights, df: str) -> Any:
    return tf.cast(tf.argmax(tf.reduce_mean(x, [1]), -1), tf.float32)


def single(x: Any, w: Weights, df: str) -> Any:
    """A graph for one image: the batch is written as 1, dropped, and put back."""
    y = raw.AvgPool(value=x, ksize=[1, 8, 7, 1], strides=[1] * 4, padding="VALID")
    y = tf.squeeze(y)
    y = tf.tanh(y)
    y = tf.matmul(tf.reshape(y, [1, 4]), w(4, 6))
    return tf.nn.softmax(y)


def no_batch(x: Any, w: Weights, df: str) -> Any:
    """(H, W, C) in, as graphs have it that prepare one image."""
    y = tf.expand_dims((x - w(3, scale=1)) * 0.5, 0)
    return raw.Conv2D(input=y, filter=w(3, 3, 3, 3), strides=[1] * 4, padding="SAME")


def half(x: Any, w: Weights, df: str) -> Any:
    weights = tf.constant(np.random.default_rng(3).normal(0, 0.3, (3, 3, 4, 5)).astype(np.float16))
    bias = tf.constant(np.arange(5), tf.bfloat16)
    y = raw.Conv2D(input=x, filter=tf.cast(weights, tf.float32), strides=[1] * 4, padding="SAME")
    return y + tf.cast(bias, tf.float32)


MAP = (None, 8, 7, 4)
SAME2 = {"strides": [1, 2, 2, 1]}


# name -> (graph, shape of its placeholder, also as NCHW)
def fake_quant(x: Any, w: Weights, df: str) -> Any:
    """What training with quantisation leaves in a graph: around the input, the weights and an activation."""
    value = raw.FakeQuantWithMinMaxArgs(inputs=x, min=-1.7, max=2.3, name="before")
    low, high = tf.constant([-0.9, -0.5, -0.7, -1.0, -0.3]), tf.constant([0.8, 0.6, 0.4, 0.0, 0.9])
    kernel = raw.FakeQuantWithMinMaxVarsPerChannel(
        inputs=w(3, 3, 4, 5), min=low, max=high, narrow_range=True, name="kernel"
    )
    value = raw.Conv2D(input=value, filter=kernel, strides=[1] * 4, padding="SAME", name="conv")
    return raw.FakeQuantWithMinMaxVars(
        inputs=value, min=tf.constant(-2.9), max=tf.constant(4.1), num_bits=4, name="after"
    )


def fake_quant_channels(x: Any, w: Weights, df: str) -> Any:
    low, high = tf.constant([-1.0, -0.3, 0.0, -1.7]), tf.constant([0.7, 1.1, 1.5, 0.0])
    return raw.FakeQuantWithMinMaxVarsPerChannel(inputs=x, min=low, max=high, num_bits=5, name="grid")


def stored_choice(taken: bool) -> Callable[..., Any]:
    """An If of TensorFlow 2, whose condition is a constant."""

    def make(x: Any, w: Weights, df: str) -> Any:
        spec = tf.TensorSpec(x.shape, tf.float32)
        first = tf.function(lambda x: tf.nn.relu(x) * 2.0).get_concrete_function(spec)
        second = tf.function(lambda x: tf.tanh(x) - 0.5).get_concrete_function(spec)
        condition = tf.identity(tf.constant(taken), name="condition")
        (made,) = raw.StatelessIf(
            cond=condition, input=[x], Tout=[tf.float32], then_branch=first, else_branch=second, name="choice"
        )
        return tf.identity(made, name="chosen")

    return make


CASES: dict[str, tuple[Callable[..., Any], tuple[int | None, ...], bool]] = {
    "conv_same": (conv(), MAP, True),
    "conv_same_stride": (conv(**SAME2), (None, 9, 8, 4), True),
    "conv_valid": (conv(padding="VALID", strides=[1, 2, 1, 1], kernel=(3, 2, 4, 5)), MAP, True),
    "conv_explicit": (conv(padding="EXPLICIT", explicit_paddings=[0, 0, 1, 2, 0, 3, 0, 0], **SAME2), MAP, True),
    "conv_dilated": (conv(dilations=[1, 2, 3, 1]), (None, 9, 10, 4), True),
    "conv_groups": (conv(kernel=(3, 3, 2, 6)), MAP, False),
    "conv_1x1_stride": (conv(kernel=(1, 1, 4, 5), padding="VALID", **SAME2), MAP, False),
    "depthwise": (depthwise(1, 1), MAP, True),
    "depthwise_multiplier": (depthwise(2, 3), MAP, True),
    "depthwise_valid_dilated": (depthwise(1, 2, "VALID", 2), MAP, True),
    "atrous_same": (by_batches(False, "SAME"), (None, 9, 10, 4), False),
    "atrous_valid": (by_batches(False, "VALID"), (None, 9, 10, 4), False),
    "atrous_depthwise": (by_batches(True, "SAME"), (None, 9, 10, 4), False),
    "deconv_same": (back((16, 14), 2, "SAME"), MAP, True),
    "deconv_same_odd": (back((15, 13), 2, "SAME", 4), MAP, True),
    "deconv_valid": (back((18, 16), 2, "VALID", 4), MAP, True),
    "deconv_valid_more": (back((19, 15), 2, "VALID"), (None, 9, 7, 4), False),
    "max_pool_same": (pool("max", (3, 3), (2, 2), "SAME"), MAP, True),
    "max_pool_valid": (pool("max", (2, 3), (2, 1), "VALID"), MAP, True),
    "max_pool_explicit": (
        pool("max", (3, 3), (2, 2), "EXPLICIT", explicit_paddings=[0, 0, 1, 0, 1, 1, 0, 0]), MAP, False,
    ),
    "avg_pool_same": (pool("avg", (3, 3), (1, 1), "SAME"), MAP, True),
    "avg_pool_same_stride": (pool("avg", (3, 3), (2, 2), "SAME"), MAP, True),
    "avg_pool_valid": (pool("avg", (3, 2), (2, 2), "VALID"), MAP, True),
    "fused_norm": (fused(""), MAP, False),
    "fused_norm_v2": (fused("V2"), MAP, False),
    "fused_norm_v3": (fused("V3"), MAP, True),
    "fake_quant": (fake_quant, MAP, False),
    "fake_quant_channels": (fake_quant_channels, MAP, False),
    "choice_true": (stored_choice(True), MAP, False),
    "choice_false": (stored_choice(False), MAP, False),
    "norm_full": (arithmetic_norm(True, True), MAP, True),
    "norm_no_gamma": (arithmetic_norm(False, True), MAP, False),
    "norm_no_beta": (arithmetic_norm(True, False), MAP, False),
    "norm_bare": (arithmetic_norm(False, False), MAP, False),
    "norm_paper_div": (paper_norm("div"), MAP, False),
    "norm_paper_scale": (paper_norm("scale"), MAP, False),
    "norm_paper_bare": (paper_norm("bare"), MAP, False),
    "norm_folded": (folded_norm, MAP, False),
    "norm_per_position": (map_norm, MAP, False),
    "lrn": (lambda x, w, df: raw.LRN(input=x, depth_radius=2, bias=2.0, alpha=0.3, beta=0.75), MAP, False),
    "dense": (dense, MAP, False),
    "dense_transposed": (dense_transposed, MAP, False),
    "activations": (activations, MAP, False),
    "functions": (functions, MAP, False),
    "between_values": (between, MAP, False),
    "squeeze_excite": (squeeze_excite, MAP, False),
    "l2_normalize": (l2, MAP, False),
    "reductions": (reductions, MAP, False),
    "reduced_channels": (reduced_channels, MAP, False),
    "global_pools": (global_pools, (None, 8, 7, 3), True),
    "slices": (slices, MAP, False),
    "channel_shuffle": (shuffle, MAP, False),
    "to_nchw_and_back": (to_nchw_and_back, MAP, False),
    "flat_as_nchw": (flat_as_nchw, MAP, False),
    "other_axes": (other_axes, MAP, False),
    "pad_constant": (padded("CONSTANT"), MAP, False),
    "pad_value": (padded("VALUE"), MAP, False),
    "pad_reflect": (padded("REFLECT"), (None, 8, 7, 4), False),
    "pad_symmetric": (padded("SYMMETRIC"), MAP, False),
    "resize_bilinear": (resized("ResizeBilinear", (11, 5)), MAP, False),
    "resize_bilinear_corners": (resized("ResizeBilinear", (13, 9), align_corners=True), MAP, False),
    "resize_bilinear_centres": (resized("ResizeBilinear", (11, 5), half_pixel_centers=True), MAP, False),
    "resize_nearest": (resized("ResizeNearestNeighbor", (11, 5)), MAP, False),
    "resize_nearest_corners": (resized("ResizeNearestNeighbor", (13, 9), align_corners=True), MAP, False),
    "resize_nearest_centres": (resized("ResizeNearestNeighbor", (11, 5), half_pixel_centers=True), MAP, False),
    "upsampled": (upsampled, MAP, False),
    "blocks": (blocks, (None, 8, 6, 4), False),
    "depth_to_space": (depth_to_space, (None, 8, 6, 4), True),
    "softmaxes": (softmaxes, MAP, False),
    "dropout_old": (dropout_old, MAP, False),
    "branches": (branches, MAP, False),
    "arg_max": (arg_max, MAP, False),
    "single_image": (single, (1, 8, 7, 4), False),
    "no_batch": (no_batch, (8, 7, 3), False),
    "half_weights": (half, MAP, False),
}  # fmt: skip
KEEP_ALL = {"dropout_old": {"keep_prob:0": 1.0}}


def graph_of(make: Callable[..., Any], shape: tuple[int | None, ...], df: str, seed: str) -> tuple[Any, list[Any]]:
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, shape, name="input")
        y = make(x, Weights(seed), df)
        outputs = [tf.identity(part, name=f"output{i or ''}") for i, part in enumerate([y])]
    return graph, outputs


def nchw(four: tuple[Any, ...]) -> tuple[Any, ...]:
    return (four[0], four[3], four[1], four[2])


def make_op(name: str, make: Callable[..., Any], shape: tuple[int | None, ...], both: bool) -> None:
    rng = np.random.default_rng(list(name.encode()))
    size = shape if len(shape) == 3 else (2 if shape[0] is None else shape[0], *shape[1:])
    image = pattern(size, rng) if len(size) == 4 else pattern((1, *size), rng)[0]
    graph, outputs = graph_of(make, shape, "NHWC", name)
    with v1.Session(graph=graph) as session:
        answers = session.run(outputs, {"input:0": network_input(image), **KEEP_ALL.get(name, {})})
    save(name, {"graph.pb": graph.as_graph_def().SerializeToString()}, image, answers)
    if both:
        twin, _ = graph_of(make, nchw(shape), "NCHW", name)
        save(f"{name}_nchw", {"graph.pb": twin.as_graph_def().SerializeToString()}, image, answers)


def save(
    name: str,
    files: dict[str, bytes],
    image: np.ndarray,
    outputs: list[np.ndarray],
    nodes: dict[str, Any] | None = None,
) -> None:
    if nodes is None:
        nodes = {}
    outputs = [np.asarray(output, np.float32) for output in outputs]
    for output in outputs:
        if not np.isfinite(output).all():
            raise SystemExit(f"{name}: not finite")
        if image.ndim == 4 and len(image) > 1 and len(output) == len(image):
            change = np.abs(output[0] - output[1]).max() / np.abs(output).max()
            if not change > 0.02:
                raise SystemExit(f"{name}: the output hardly depends on the input ({change:.1e}): not a test")
    times = 7 if image.shape[1] > 200 else 3 if image.shape[1] > 90 else 1
    arrays: dict[str, Any] = {"input": image[:, ::times, ::times] if times > 1 else image, "times": np.array(times)}
    arrays |= {f"file:{path}": np.frombuffer(content, np.uint8) for path, content in files.items()}
    arrays |= {f"output:{i}": output for i, output in enumerate(outputs)}
    arrays |= {f"node:{key}": np.asarray(value, np.float32) for key, value in nodes.items()}
    with zipfile.ZipFile(HERE / f"{name}.npz", "w", zipfile.ZIP_LZMA) as archive:  # a sixth smaller than NumPy's own
        for key, array in arrays.items():
            with io.BytesIO() as stream:
                np.save(stream, array)
                archive.writestr(f"{key}.npy", stream.getvalue())
    size = (HERE / f"{name}.npz").stat().st_size
    print(f"{name}: {[output.shape for output in outputs]}, {size:,} bytes", flush=True)


# ------------------------------------------------------------------------------------------------------ whole networks


def slim_nets() -> dict[str, tuple[Callable[..., Any], int, int, list[str]]]:
    """Name -> (network, input size, divisor of channels, nodes whose values are kept)."""
    import tf_keras
    import tf_keras.src.legacy_tf_layers as legacy

    sys.modules["tf_keras.legacy_tf_layers"] = legacy
    tf_keras.legacy_tf_layers = legacy
    import tf_slim as slim
    from tf_slim.nets import alexnet, inception, overfeat, resnet_utils, resnet_v1, resnet_v2, vgg

    def net(module: Any, name: str, scope: Any, **options: Any) -> Callable[..., Any]:
        def make(x: Any) -> Any:
            with slim.arg_scope(scope()):
                logits, _ = getattr(module, name)(x, num_classes=10, is_training=False, **options)
            return tf.nn.softmax(logits, name="probabilities") if name.startswith("inception") else logits

        return make

    def resnet(module: Any, version: str) -> Callable[..., Any]:
        def make(x: Any) -> Any:
            block = getattr(module, f"resnet_{version}_block")
            blocks = [block("block1", 4, 2, 2), block("block2", 8, 2, 2), block("block3", 8, 2, 1)]
            with slim.arg_scope(resnet_utils.resnet_arg_scope()):
                return getattr(module, f"resnet_{version}")(
                    x, blocks, 10, is_training=False, global_pool=True, include_root_block=True, scope="resnet",
                    output_stride=8,
                )[0]  # fmt: skip

        return make

    def plain_scope(module: Any, name: str) -> Any:
        return getattr(module, f"{name}_arg_scope")

    return {
        "net_alexnet_v2": (net(alexnet, "alexnet_v2", plain_scope(alexnet, "alexnet_v2")), 224, 32, []),
        "net_vgg_a": (net(vgg, "vgg_a", plain_scope(vgg, "vgg")), 224, 64, []),
        "net_overfeat": (net(overfeat, "overfeat", plain_scope(overfeat, "overfeat")), 231, 64, []),
        "net_inception_v1": (
            net(inception, "inception_v1", inception.inception_v1_arg_scope),
            224, 16, ["InceptionV1/InceptionV1/MaxPool_5a_2x2/MaxPool"],
        ),
        "net_inception_v2": (
            net(inception, "inception_v2", inception.inception_v2_arg_scope), 64, 16,
            ["InceptionV2/InceptionV2/Mixed_5a/concat"],
        ),
        "net_inception_v3": (
            net(inception, "inception_v3", inception.inception_v3_arg_scope, create_aux_logits=False), 147, 16,
            ["InceptionV3/InceptionV3/Mixed_7a/concat"],
        ),
        "net_resnet_v1": (resnet(resnet_v1, "v1"), 64, 1, ["resnet/block2/unit_1/bottleneck_v1/Relu"]),
        "net_resnet_v2": (resnet(resnet_v2, "v2"), 64, 1, ["resnet/block2/unit_1/bottleneck_v2/add"]),
    }  # fmt: skip


def narrowed(divisor: int) -> None:
    """Makes slim's convolutions have fewer outputs."""
    layers = sys.modules["tf_slim.layers.layers"]
    whole = layers.convolutional_layers
    if hasattr(whole, "whole"):
        whole = whole.whole

    class Narrow:
        def __getattr__(self, name: str) -> Any:
            found = getattr(whole, name)
            if name not in ("Convolution2D", "SeparableConvolution2D"):
                return found

            def make(*, filters: int, **options: Any) -> Any:
                fewer = filters if filters in (10, None) else max(4, filters // divisor)
                return found(filters=fewer, **options)

            return make

    layers.convolutional_layers = Narrow()
    layers.convolutional_layers.whole = whole


def mobilenet(version: int) -> Callable[..., Any]:
    """MobileNet as the frozen graphs of 2017 and 2018 have it: batch norm in arithmetic, variables read by Identity."""

    def make(x: Any) -> Any:
        def variable(name: str, shape: tuple[int, ...], low: float = -1.0, high: float = 1.0) -> Any:
            return v1.get_variable(name, shape, initializer=v1.random_uniform_initializer(low, high))

        def norm(y: Any) -> Any:
            shape = (int(y.shape[-1]),)
            with v1.variable_scope("BatchNorm"):
                mean, variance = variable("moving_mean", shape), variable("moving_variance", shape, 0.5, 2)
                gamma, beta = variable("gamma", shape, 0.5, 1.5), variable("beta", shape, -0.3, 0.7)
                return tf.nn.batch_normalization(y, mean, variance, beta, gamma, 0.001)

        def conv_(y: Any, outputs: int, size: int, stride: int, scope: str, act: bool = True) -> Any:
            with v1.variable_scope(scope):
                fan = (6 / (size * size * int(y.shape[-1]))) ** 0.5
                w = variable("weights", (size, size, int(y.shape[-1]), outputs), -fan, fan)
                y = norm(tf.nn.conv2d(y, w, [1, stride, stride, 1], "SAME", name="convolution"))
                return tf.nn.relu6(y) if act else y

        def depth(y: Any, stride: int, scope: str) -> Any:
            with v1.variable_scope(scope):
                w = variable("depthwise_weights", (3, 3, int(y.shape[-1]), 1), -0.7, 0.7)
                return tf.nn.relu6(norm(tf.nn.depthwise_conv2d(y, w, [1, stride, stride, 1], "SAME")))

        y = conv_(x, 8, 3, 2, "Conv2d_0")
        if version == 1:
            for i, (outputs, stride) in enumerate([(8, 1), (12, 2), (12, 1), (16, 2), (16, 1), (24, 2)], 1):
                y = conv_(depth(y, stride, f"Conv2d_{i}_depthwise"), outputs, 1, 1, f"Conv2d_{i}_pointwise")
        else:
            for i, (outputs, stride) in enumerate([(4, 1), (6, 2), (6, 1), (8, 2), (8, 1), (8, 1)]):
                with v1.variable_scope(f"expanded_conv_{i}"):
                    z = conv_(y, 3 * int(y.shape[-1]), 1, 1, "expand")
                    z = conv_(depth(z, stride, "depthwise"), outputs, 1, 1, "project", act=False)
                    y = y + z if stride == 1 and outputs == int(y.shape[-1]) else z
        size = int(y.shape[1])
        y = tf.nn.avg_pool2d(y, [1, size, size, 1], [1, 1, 1, 1], "VALID")
        with v1.variable_scope("Logits"):
            y = tf.nn.conv2d(y, variable("weights", (1, 1, int(y.shape[-1]), 10)), [1] * 4, "SAME")
            y = tf.nn.bias_add(y, variable("biases", (10,)))
        y = tf.squeeze(y, [1, 2], name="SpatialSqueeze")
        shape = tf.shape(y)
        return tf.reshape(tf.nn.softmax(tf.reshape(y, [-1, 10])), shape, name="Reshape_1")

    return make


def settle(session: Any, graph: Any, x: np.ndarray, rng: np.random.Generator) -> None:
    """Rounds all weights; sets running statistics from what arrives, then moves them."""
    variables = {variable.op.name: variable for variable in v1.global_variables()}
    for name, variable in variables.items():
        array = session.run(variable)
        if name.endswith("weights") and "separable" not in name:
            array = rng.normal(0, np.sqrt(2.5 / np.prod(array.shape[:-1])), array.shape)
        if name.endswith("biases"):
            array = rng.normal(0.03, 0.1, array.shape)
        if name.endswith("gamma"):
            array = rng.uniform(0.6, 1.4, array.shape)
        if name.endswith("beta"):
            array = rng.normal(0.5, 0.3, array.shape)
        variable.load((np.round(array * 128) / 128).astype(np.float32), session)
    for op in graph.get_operations():
        if op.type.startswith("FusedBatchNorm"):
            mean, variance = (source(tensor.op) for tensor in op.inputs[3:5])
            given = op.inputs[0]
        elif op.type == "AddV2" and op.name.endswith("batchnorm/add_1"):
            scope = op.name.split("/batchnorm")[0]
            mean, variance = f"{scope}/moving_mean", f"{scope}/moving_variance"
            given = graph.get_operation_by_name(f"{scope}/batchnorm/mul_1").inputs[0]
        else:
            continue
        arrived = session.run(given, {"input:0": x})
        spread = arrived.std(axis=(0, 1, 2))
        spread = np.maximum(spread, 0.3 * spread.mean())  # a channel that hardly changes would be noise made large
        moved = arrived.mean(axis=(0, 1, 2)) + rng.normal(0, 0.3, spread.shape) * spread
        variables[mean].load(moved.astype(np.float16).astype(np.float32), session)
        spread = (spread * rng.uniform(0.8, 1.3, spread.shape)) ** 2 + 1e-2
        variables[variance].load(spread.astype(np.float16).astype(np.float32), session)


def source(op: Any) -> str:
    while op.type in ("Identity", "ReadVariableOp"):
        op = op.inputs[0].op
    return op.name


def make_net(name: str, make: Callable[..., Any], size: int, nodes: list[str], saved: str = "") -> None:
    """A frozen graph; or, where `saved` says so, a SavedModel of TensorFlow 1 with either kind of variables."""
    for seed in range(20):
        rng = np.random.default_rng([seed, *name.encode()])
        image = coarse((2, size, size, 3), rng)
        graph = tf.Graph()
        (v1.enable_resource_variables if saved != "ref" else v1.disable_resource_variables)()
        with graph.as_default(), v1.Session(graph=graph) as session:
            v1.set_random_seed(seed)
            x = v1.placeholder(tf.float32, (None, size, size, 3), name="input")
            y = make(x)
            session.run(v1.global_variables_initializer())
            settle(session, graph, network_input(image), rng)
            kept = [graph.get_tensor_by_name(f"{node}:0") for node in nodes]
            answers, values = session.run([y, kept], {"input:0": network_input(image)})
            change = np.abs(answers[0] - answers[1]).max() / np.abs(answers).max()
            if change < 0.05:
                continue
            if saved:
                with tempfile.TemporaryDirectory() as folder:
                    v1.saved_model.simple_save(session, f"{folder}/model", {"images": x}, {"scores": y})
                    files = files_of(Path(folder) / "model")
            else:
                frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [y.op.name])
                files = {"graph.pb": shuffled(frozen, rng).SerializeToString()}
        v1.enable_resource_variables()
        return save(name, files, image, [answers], dict(zip(nodes, values, strict=False)))
    raise SystemExit(f"{name}: the output hardly depends on the input")


def shuffled(graph: Any, rng: np.random.Generator) -> Any:
    """Nodes of a GraphDef may stand in any order."""
    nodes = [graph.node[i] for i in rng.permutation(len(graph.node))]
    made = v1.GraphDef(versions=graph.versions, library=graph.library)
    made.node.extend(nodes)
    return made


def files_of(folder: Path) -> dict[str, bytes]:
    names = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def keras_nets() -> dict[str, tuple[Callable[[], Any], bool]]:
    """Name -> (model, whether the older Keras 2 makes it)."""
    import keras
    import tf_keras
    from keras.src.applications.efficientnet import EfficientNet

    def efficientnet() -> Any:
        blocks = [
            {"kernel_size": 3, "repeats": 1, "filters_in": 32, "filters_out": 16, "expand_ratio": 1, "id_skip": True,
             "strides": 1, "se_ratio": 0.25},
            {"kernel_size": 5, "repeats": 2, "filters_in": 16, "filters_out": 24, "expand_ratio": 3, "id_skip": True,
             "strides": 2, "se_ratio": 0.25},
        ]  # fmt: skip
        return EfficientNet(
            0.25, 1.0, 48, blocks_args=blocks, weights=None, classes=10, input_shape=(48, 48, 3), name="small"
        )

    def separable(lib: Any) -> Any:
        layers = lib.layers
        x = image = layers.Input((40, 40, 3))
        x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
        x = layers.Conv2D(8, 3, 2, padding="valid", use_bias=False, name="stem")(x)
        x = layers.BatchNormalization(name="stem_bn")(x)
        x = layers.ReLU(6.0)(x)
        for i in range(2):
            y = layers.SeparableConv2D(8, 3, padding="same", use_bias=False)(x)
            y = layers.BatchNormalization(scale=bool(i))(y)
            y = layers.PReLU(shared_axes=[1, 2])(y)
            x = layers.Dropout(0.2)(layers.Add()([x, y]))
        x = layers.Conv2DTranspose(6, 3, 2, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(3, 2, padding="same")(x)
        x = layers.UpSampling2D(2, interpolation="bilinear")(x)
        x = layers.AveragePooling2D(4)(x)
        x = layers.Conv2D(6, 3, dilation_rate=2, padding="same", activation="elu")(x)
        x = layers.Flatten()(x)
        x = layers.Dense(12, activation="swish")(x)
        return lib.Model(image, layers.Dense(10, activation="softmax", name="scores")(x))

    return {
        "keras3_efficientnet": (efficientnet, False),
        "keras3_layers": (lambda: separable(keras), False),
        "keras2_layers": (lambda: separable(tf_keras), True),
    }  # fmt: skip


def make_keras(name: str, make: Callable[[], Any], old: bool) -> None:
    """A SavedModel whose signature calls a function."""
    for seed in range(10):
        rng = np.random.default_rng([seed, *name.encode()])
        tf.random.set_seed(seed)
        model = make()
        size = model.input_shape[1:3]
        image = coarse((2, *size, 3), rng)
        x = network_input(image)
        for layer in model.layers:
            arrays = [np.round(array * 128) / 128 for array in layer.get_weights()]
            if "BatchNormalization" in type(layer).__name__:
                layer.momentum = 0.0
                rest = arrays[-2:]
                arrays = [rng.uniform(0.6, 1.4, a.shape) if i == 0 else rng.normal(0.4, 0.3, a.shape)
                          for i, a in enumerate(arrays[:-2])] + rest  # fmt: skip
            elif len(arrays) > 1 and arrays[-1].ndim == 1:
                arrays[-1] = rng.normal(0.1, 0.3, arrays[-1].shape)
            layer.set_weights(arrays)
        model(np.concatenate([x, x * 0.7, -x]), training=True)
        for layer in model.layers:
            if "BatchNormalization" in type(layer).__name__:
                *rest, mean, variance = layer.get_weights()
                spread = np.sqrt(variance + 1e-3)
                moved = [mean + rng.normal(0, 0.3, mean.shape) * spread, variance + 1e-2]
                layer.set_weights([array.astype(np.float16).astype(np.float32) for array in (*rest, *moved)])
        answers = np.asarray(model(x, training=False))
        if np.abs(answers[0] - answers[1]).max() / np.abs(answers).max() < 0.05:
            continue
        with tempfile.TemporaryDirectory() as folder:
            if old:
                tf.saved_model.save(model, f"{folder}/model")
            else:
                model.export(f"{folder}/model", verbose=False)
            files = files_of(Path(folder) / "model")
            loaded = tf.saved_model.load(f"{folder}/model").signatures["serving_default"](tf.constant(x))
            answers = next(iter(loaded.values())).numpy()
        return save(name, files, image, [answers])
    raise SystemExit(f"{name}: the output hardly depends on the input")


def main(chosen: list[str]) -> None:
    def wanted(name: str) -> bool:
        return not chosen or any(name.startswith(start) for start in chosen)

    for name, (make, shape, both) in CASES.items():
        if wanted(name):
            make_op(name, make, shape, both)
    if wanted("net") or any(name.startswith(("net", "saved")) for name in chosen):
        for name, (net, size, divisor, nodes) in slim_nets().items():
            if wanted(name):
                narrowed(divisor)
                make_net(name, net, size, nodes)
        for version in (1, 2):
            if wanted(f"net_mobilenet_v{version}"):
                make_net(f"net_mobilenet_v{version}", mobilenet(version), 64, [])
        for kind in ("ref", "resource"):
            if wanted(f"saved_{kind}_variables"):
                make_net(f"saved_{kind}_variables", mobilenet(1), 64, [], kind)
    for name, (model, old) in keras_nets().items():
        if wanted(name):
            make_keras(name, model, old)


if __name__ == "__main__":
    main(sys.argv[1:])
