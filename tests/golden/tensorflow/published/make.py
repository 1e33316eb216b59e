"""Makes the cases in this folder: graphs of the form in which Google published networks, and what TensorFlow answers.

Run with Python 3.11 and `tensorflow==2.21.0`:

    python tests/golden/tensorflow/published/make.py

`classify_image` has the ops and names of classify_image_graph_def.pb (inception-2015-12-05.tgz): it decodes JPEG files,
scales, and uses ops that TensorFlow gave up long ago, which it still runs in a GraphDef of its time.
`mobilenet_v1_quant` and `mobilenet_v3_quant` are what tf.contrib.quantize's create_eval_graph leaves of a slim network:
batch norm folded into the kernels, and FakeQuantWithMinMaxVars behind kernels and activations.

Each case is one .npz: `file:graph.pb`, and values by their names in the graph, in TensorFlow's order of axes.
"""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
v1 = tf.compat.v1
raw = tf.raw_ops
SIDE = 43


def waves(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Smooth coloured waves, 0..255."""
    y, x = np.mgrid[0 : shape[1], 0 : shape[2]] / max(shape[1:3])
    images = np.empty(shape)
    for image in images:
        for channel in range(shape[3]):
            fx, fy, phase, offset = rng.uniform(1, 6), rng.uniform(1, 6), rng.uniform(0, 6.3), rng.uniform(-50, 50)
            image[..., channel] = 128 + offset + 75 * np.sin(6.3 * (fx * x + fy * y) + phase)
    return np.clip(images, 0, 255)


def coarse(array: np.ndarray) -> np.ndarray:
    """Few different numbers, so that the files stay small."""
    return (np.round(array * 128) / 128).astype(np.float32)


def save(name: str, graph: Any, values: dict[str, np.ndarray]) -> None:
    for key, value in values.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise SystemExit(f"{name}: {key} is not finite")
    arrays = {"file:graph.pb": np.frombuffer(graph.SerializeToString(), np.uint8), **values}
    with zipfile.ZipFile(HERE / f"{name}.npz", "w", zipfile.ZIP_LZMA) as archive:
        for key, array in arrays.items():
            with io.BytesIO() as stream:
                np.save(stream, array)
                archive.writestr(f"{key}.npy", stream.getvalue())
    print(f"{name}: {(HERE / f'{name}.npz').stat().st_size:,} bytes", flush=True)


# -------------------------------------------------------------------------------------------------- classify_image


def old_norm(graph: Any) -> Any:
    """Makes FusedBatchNormV3 what batch norm was in 2015, in a GraphDef of the version in which TensorFlow had that."""
    for node in graph.node:
        if node.op == "FusedBatchNormV3":
            x, gamma, beta, mean, variance = node.input
            node.op = "BatchNormWithGlobalNormalization"
            node.ClearField("attr")
            node.attr["T"].type = tf.float32.as_datatype_enum
            node.attr["variance_epsilon"].f = 0.001
            node.attr["scale_after_normalization"].b = gamma.startswith("mixed")
            del node.input[:]
            node.input.extend([x, mean, variance, beta, gamma])
    graph.versions.producer = 8
    return graph


def classify_image(seed: int) -> bool:
    """Writes the case; returns whether its output depends on the input."""
    rng = np.random.default_rng(seed)
    graph = tf.Graph()

    def const(name: str, array: np.ndarray) -> Any:
        return tf.constant(coarse(array), name=name)

    def conv(x: Any, outputs: int, size: int, stride: int, padding: str, name: str) -> Any:
        inputs = int(x.shape[-1])
        kernel = const(
            f"{name}/conv2d_params", rng.normal(0, (6 / (size * size * inputs)) ** 0.5, (size, size, inputs, outputs))
        )
        y = raw.Conv2D(input=x, filter=kernel, strides=[1, stride, stride, 1], padding=padding, name=f"{name}/Conv2D")
        norm = f"{name}/batchnorm"
        y = raw.FusedBatchNormV3(
            x=y,
            scale=const(f"{norm}/gamma", rng.uniform(0.5, 1.5, outputs)),
            offset=const(f"{norm}/beta", rng.normal(0, 0.4, outputs)),
            mean=const(f"{norm}/moving_mean", rng.normal(0, 0.2, outputs)),
            variance=const(f"{norm}/moving_variance", rng.uniform(0.3, 1.2, outputs)),
            epsilon=0.001,
            is_training=False,
            name=norm,
        ).y
        y = tf.debugging.check_numerics(y, "NaN", name=f"{name}/CheckNumerics")
        return tf.nn.relu(tf.identity(y, name=f"{name}/control_dependency"), name=name)

    with graph.as_default():
        contents = v1.placeholder(tf.string, [], name="DecodeJpeg/contents")
        decoded = raw.DecodeJpeg(contents=contents, channels=3, name="DecodeJpeg")
        x = tf.expand_dims(tf.cast(decoded, tf.float32, name="Cast"), 0, name="ExpandDims")
        size = tf.constant([SIDE, SIDE], name="ResizeBilinear/size")
        x = raw.ResizeBilinear(
            images=x, size=size, align_corners=False, half_pixel_centers=False, name="ResizeBilinear"
        )
        x = raw.Sub(x=x, y=tf.constant(128.0, name="Sub/y"), name="Sub")
        x = raw.Mul(x=x, y=tf.constant(0.0078125, name="Mul/y"), name="Mul")
        x = conv(x, 6, 3, 2, "VALID", "conv")
        x = conv(x, 8, 3, 1, "SAME", "conv_1")
        x = tf.nn.max_pool2d(x, 3, 2, "VALID", name="pool")
        branches = [
            conv(x, 4, 1, 1, "SAME", "mixed/conv"),
            conv(conv(x, 4, 1, 1, "SAME", "mixed/tower/conv"), 6, 5, 1, "SAME", "mixed/tower/conv_1"),
            conv(tf.nn.avg_pool2d(x, 3, 1, "SAME", name="mixed/tower_2/pool"), 4, 1, 1, "SAME", "mixed/tower_2/conv"),
        ]
        x = raw.Concat(concat_dim=tf.constant(3, name="mixed/join/concat_dim"), values=branches, name="mixed/join")
        x = tf.nn.avg_pool2d(x, int(x.shape[1]), 1, "VALID", name="pool_3")
        x = tf.reshape(x, tf.constant([1, 14], name="pool_3/_reshape/shape"), name="pool_3/_reshape")
        weights = const("softmax/weights", rng.normal(0, 0.15, (14, 12)))
        x = raw.MatMul(a=x, b=weights, name="softmax/logits/MatMul")
        x = tf.nn.bias_add(x, const("softmax/biases", rng.normal(0, 0.3, 12)), name="softmax/logits")
        tf.nn.softmax(x, name="softmax")
    made = old_norm(graph.as_graph_def())
    wanted = ["ResizeBilinear", "mixed/join", "pool_3/_reshape", "softmax/logits", "softmax"]
    loaded = tf.Graph()
    with loaded.as_default():
        tf.import_graph_def(made, name="")
    images = waves((2, 61, 47, 3), rng).astype(np.uint8) // np.array([1, 3], np.uint8).reshape(2, 1, 1, 1)
    with v1.Session(graph=loaded) as session:
        answers = [session.run([f"{name}:0" for name in wanted], {"DecodeJpeg:0": image}) for image in images]
    change = np.abs(answers[0][-1] - answers[1][-1]).max()
    if change < 0.05:
        return False
    save("classify_image", made, {"DecodeJpeg": images[0], **dict(zip(wanted, answers[0], strict=True))})
    return True


# ------------------------------------------------------------------------------------------------- quantised networks


class Quantised:
    """Layers as create_eval_graph leaves them; ranges of activations are those of one batch."""

    def __init__(self, seed: int, image: np.ndarray) -> None:
        self.rng = np.random.default_rng(seed)
        self.image = image
        self.kept: list[str] = []

    def const(self, name: str, array: Any) -> Any:
        return tf.identity(tf.constant(np.asarray(array, np.float32), name=name), name=f"{name}/read")

    def now(self, x: Any) -> np.ndarray:
        with v1.Session(graph=x.graph) as session:
            return session.run(x, {"input:0": self.image})

    def quantised(self, x: Any, scope: str, low: float, high: float, *, narrow: bool = False) -> Any:
        low, high = (self.const(f"{scope}/{end}", value) for end, value in (("min", low), ("max", high)))
        return raw.FakeQuantWithMinMaxVars(
            inputs=x, min=low, max=high, num_bits=8, narrow_range=narrow, name=f"{scope}/FakeQuantWithMinMaxVars"
        )

    def activation(self, x: Any, scope: str) -> Any:
        arrived = self.now(x)
        low, high = min(0.0, float(arrived.min())), float(arrived.max())
        x = self.quantised(x, f"{scope}/act_quant", low, high)
        self.kept.append(x.op.name)
        return x

    def conv(self, x: Any, outputs: int, size: int, stride: int, scope: str, act: Any = tf.nn.relu6) -> Any:
        """A convolution with its batch norm folded into it; as many outputs as 0 says: a depthwise one."""
        rng, inputs = self.rng, int(x.shape[-1])
        depthwise = not outputs
        shape = (size, size, inputs, outputs or 1)
        spread = (2 / (size * size * (1 if depthwise else inputs))) ** 0.5
        weights = self.const(
            f"{scope}/{'depthwise_weights' if depthwise else 'weights'}", coarse(rng.normal(0, spread, shape))
        )
        channels = outputs or inputs
        gamma = self.const(f"{scope}/BatchNorm/gamma", coarse(rng.uniform(0.7, 1.4, channels)))
        beta = self.const(f"{scope}/BatchNorm/beta", coarse(rng.normal(0.6, 0.4, channels)))
        mean = self.const(f"{scope}/BatchNorm/moving_mean", coarse(rng.normal(0, 0.2, channels)))
        variance = self.const(f"{scope}/BatchNorm/moving_variance", coarse(rng.uniform(0.5, 1.5, channels)))
        fold = f"{scope}/BatchNorm_Fold"
        scale = tf.multiply(tf.math.rsqrt(tf.add(variance, 0.001, name=f"{fold}/add")), gamma, name=f"{fold}/mul")
        bias = tf.subtract(beta, tf.multiply(mean, scale, name=f"{fold}/mul_1"), name=f"{fold}/bias")
        spreading = tf.reshape(scale, [channels, 1] if depthwise else [channels], name=f"{scope}/scale_reshape")
        kernel = tf.multiply(weights, spreading, name=f"{scope}/mul_fold")
        values = self.now(kernel)
        kernel = self.quantised(kernel, f"{scope}/weights_quant", float(values.min()), float(values.max()), narrow=True)
        strides = [1, stride, stride, 1]
        if depthwise:
            x = tf.nn.depthwise_conv2d(x, kernel, strides, "SAME", name=f"{scope}/depthwise_Fold")
        else:
            x = tf.nn.conv2d(x, kernel, strides, "SAME", name=f"{scope}/Conv2D_Fold")
        x = tf.add(x, bias, name=f"{scope}/add_fold")
        if act is not None:
            x = act(x)
        return self.activation(x, scope)

    def logits(self, x: Any, scope: str) -> Any:
        """A convolution with a bias, as slim's networks end."""
        inputs = int(x.shape[-1])
        weights = coarse(self.rng.normal(0, 0.4, (1, 1, inputs, 10)))
        kernel = self.const(f"{scope}/weights", weights)
        kernel = self.quantised(
            kernel, f"{scope}/weights_quant", float(weights.min()), float(weights.max()), narrow=True
        )
        biases = self.const(f"{scope}/biases", coarse(self.rng.normal(0, 0.2, 10)))
        x = tf.nn.bias_add(
            tf.nn.conv2d(x, kernel, [1] * 4, "SAME", name=f"{scope}/Conv2D"), biases, name=f"{scope}/BiasAdd"
        )
        x = self.activation(x, scope)
        x = tf.squeeze(x, [1, 2], name="SpatialSqueeze")
        return tf.nn.softmax(x, name="Predictions/Softmax")


def hard_swish(x: Any) -> Any:
    return x * tf.nn.relu6(x + 3.0) * np.float32(1 / 6)


def mobilenet_v1(made: Quantised, x: Any) -> Any:
    x = made.conv(x, 8, 3, 2, "MobilenetV1/Conv2d_0")
    for i, (outputs, stride) in enumerate([(8, 1), (12, 2), (12, 1), (16, 2)], 1):
        x = made.conv(x, 0, 3, stride, f"MobilenetV1/Conv2d_{i}_depthwise")
        x = made.conv(x, outputs, 1, 1, f"MobilenetV1/Conv2d_{i}_pointwise")
    size = int(x.shape[1])
    x = tf.nn.avg_pool2d(x, size, 1, "VALID", name="MobilenetV1/Logits/AvgPool_1a/AvgPool")
    return made.logits(x, "MobilenetV1/Logits/Conv2d_1c_1x1")


def mobilenet_v3(made: Quantised, x: Any) -> Any:
    """Of MobileNet v3 what v1 has not: hard swish, squeeze and excitation, sums of two quantised values."""
    x = made.conv(x, 8, 3, 2, "MobilenetV3/Conv", hard_swish)
    for i, (wide, outputs, stride) in enumerate([(16, 8, 1), (24, 12, 2), (24, 12, 1)]):
        scope = f"MobilenetV3/expanded_conv_{i}"
        y = made.conv(x, wide, 1, 1, f"{scope}/expand", hard_swish)
        y = made.conv(y, 0, 5, stride, f"{scope}/depthwise", tf.nn.relu)
        squeezed = tf.nn.avg_pool2d(y, int(y.shape[1]), 1, "VALID", name=f"{scope}/squeeze_excite/AvgPool")
        squeezed = made.conv(squeezed, 8, 1, 1, f"{scope}/squeeze_excite/Conv", tf.nn.relu)
        gate = made.conv(squeezed, wide, 1, 1, f"{scope}/squeeze_excite/Conv_1", lambda z: tf.nn.relu6(z + 3.0) / 6.0)
        y = made.activation(tf.multiply(y, gate, name=f"{scope}/squeeze_excite/mul"), f"{scope}/squeeze_excite")
        y = made.conv(y, outputs, 1, 1, f"{scope}/project", None)
        x = made.activation(tf.add(x, y, name=f"{scope}/add"), scope) if x.shape == y.shape else y
    x = tf.nn.avg_pool2d(x, int(x.shape[1]), 1, "VALID", name="MobilenetV3/AvgPool2D/AvgPool")
    return made.logits(x, "MobilenetV3/Logits/Conv2d_1c_1x1")


def quantised_net(name: str, build: Any, seed: int) -> bool:
    """As `classify_image`."""
    image = ((waves((2, 24, 24, 3), np.random.default_rng(seed)) - 127.5) / 127.5).astype(np.float32)
    graph = tf.Graph()
    with graph.as_default():
        made = Quantised(seed, image)
        x = v1.placeholder(tf.float32, (None, 24, 24, 3), name="input")
        y = build(made, x)
        kept = [*made.kept, y.op.name]
        with v1.Session(graph=graph) as session:
            values = session.run([f"{key}:0" for key in kept], {"input:0": image})
    if np.abs(values[-1][0] - values[-1][1]).max() < 0.05:
        return False
    save(name, graph.as_graph_def(), {"input": image, **dict(zip(kept, values, strict=True))})
    return True


if __name__ == "__main__":
    cases = {
        "classify_image": classify_image,
        "mobilenet_v1_quant": functools.partial(quantised_net, "mobilenet_v1_quant", mobilenet_v1),
        "mobilenet_v3_quant": functools.partial(quantised_net, "mobilenet_v3_quant", mobilenet_v3),
    }
    for case, make in cases.items():
        if not any(make(number) for number in range(20)):
            raise SystemExit(f"{case}: the output hardly depends on the input")
