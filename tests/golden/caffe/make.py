"""Makes the cases in this folder: small Caffe networks with generated weights, and what OpenCV 4's dnn module answers.

Run from the repository's root with `opencv-python-headless<5`, numpy and protobuf:

    PYTHONPATH=. python tests/golden/caffe/make.py [CASE...]

OpenCV reads what Caffe reads but for LRN's k and InnerProduct's transpose (ignored), Bias and round_mode (unknown), so
no case has those; make_caffe.py has them, with Caffe itself, which gives these cases' numbers as well. zoo's reader is
used for one thing: to tell the shapes of the weights to generate; a wrong one makes OpenCV refuse the file.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from zoo.formats import caffe

HERE = Path(__file__).parent


def head(channels: int, height: int, width: int) -> str:
    shape = f"dim: 1 dim: {channels} dim: {height} dim: {width}"
    return f'name: "case"\nlayer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}\n'


def layer(kind: str, name: str, params: str = "", bottom: str = "data", top: str = "") -> str:
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{top or name}" {params} }}\n'


def conv(name: str, params: str, bottom: str = "data", top: str = "") -> str:
    return layer("Convolution", name, f"convolution_param {{ {params} }}", bottom, top)


def pool(params: str, bottom: str = "data") -> str:
    return layer("Pooling", "pool", f"pooling_param {{ {params} }}", bottom)


TWO = conv("a", "num_output: 4 kernel_size: 1") + conv("b", "num_output: 4 kernel_size: 3 pad: 1")
THREE = TWO + conv("c", "num_output: 4 kernel_size: 1")
BN = "batch_norm_param { use_global_stats: true eps: 0.001 }"
CASES: dict[str, str] = {
    "conv_pad_stride": head(3, 13, 11) + conv("conv", "num_output: 5 kernel_size: 3 pad: 2 stride: 2"),
    "conv_group_dilation": head(4, 14, 13)
    + conv("conv", "num_output: 6 kernel_size: 3 group: 2 dilation: 2 pad: 1"),
    "conv_height_width": head(3, 12, 15)
    + conv("conv", "num_output: 4 kernel_h: 3 kernel_w: 5 pad_h: 1 pad_w: 2 stride_h: 1 stride_w: 3 bias_term: false"),
    "conv_depthwise": head(6, 12, 12)
    + conv("conv", "num_output: 6 group: 6 kernel_size: 3 pad: 1 stride: 2 bias_term: false"),
    "pool_max_ceil": head(3, 12, 13) + pool("pool: MAX kernel_size: 3 stride: 2"),
    "pool_max_ceil_pad1": head(3, 12, 13) + pool("pool: MAX kernel_size: 3 stride: 2 pad: 1"),
    "pool_max_clip": head(3, 7, 8) + pool("pool: MAX kernel_size: 2 stride: 2 pad: 1"),
    "pool_max_negative": head(3, 9, 9)
    + layer("Power", "minus", "power_param { shift: -9 }")
    + pool("pool: MAX kernel_size: 3 stride: 2 pad: 1", "minus"),
    "pool_ave_ceil": head(3, 12, 13) + pool("pool: AVE kernel_size: 3 stride: 2"),
    "pool_ave_ceil_pad1": head(3, 12, 13) + pool("pool: AVE kernel_size: 3 stride: 2 pad: 1"),
    "pool_ave_height_width": head(2, 11, 14)
    + pool("pool: AVE kernel_h: 3 kernel_w: 4 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 2"),
    "pool_ave_same": head(3, 10, 10) + pool("pool: AVE kernel_size: 3 stride: 1 pad: 1"),
    "pool_floor": head(3, 12, 12) + pool("pool: MAX kernel_size: 3 stride: 2 ceil_mode: false"),
    "pool_global_ave": head(3, 9, 7) + pool("pool: AVE global_pooling: true"),
    "pool_global_max": head(3, 9, 7) + pool("pool: MAX global_pooling: true"),
    "inner_product_of_map": head(3, 9, 7)
    + pool("pool: MAX kernel_size: 3 stride: 2")
    + layer("InnerProduct", "fc1", "inner_product_param { num_output: 6 }", "pool")
    + layer("ReLU", "relu1", "", "fc1", "fc1")
    + layer("Dropout", "drop1", "dropout_param { dropout_ratio: 0.3 }", "fc1", "fc1")
    + layer("InnerProduct", "fc2", "inner_product_param { num_output: 4 bias_term: false }", "fc1"),
    "lrn": head(9, 6, 5) + layer("LRN", "norm", "lrn_param { local_size: 5 alpha: 0.8 beta: 0.75 }"),
    "lrn_size3_beta": head(6, 6, 5) + layer("LRN", "norm", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.5 }"),
    "batch_norm": head(4, 7, 6) + layer("BatchNorm", "bn", BN),
    "batch_norm_defaults": head(3, 8, 8)
    + conv("conv", "num_output: 4 kernel_size: 3 bias_term: false")
    + layer("BatchNorm", "bn", "", "conv", "conv")
    + layer("ReLU", "relu", "", "conv", "conv"),
    "batch_norm_scale": head(3, 8, 8)
    + conv("conv", "num_output: 4 kernel_size: 3 bias_term: false")
    + layer("BatchNorm", "bn", BN, "conv", "conv")
    + layer("Scale", "scale", "scale_param { bias_term: true }", "conv", "conv")
    + layer("ReLU", "relu", "", "conv", "conv"),
    "batch_norm_scale_no_bias": head(4, 7, 6) + layer("BatchNorm", "bn", BN) + layer("Scale", "scale", "", "bn"),
    # The normalised value is read twice, so Scale stays apart.
    "batch_norm_read_twice": head(4, 7, 6)
    + layer("BatchNorm", "bn", BN)
    + layer("Scale", "scale", "scale_param { bias_term: true }", "bn")
    + layer("Eltwise", "sum", "", "bn scale"),
    "scale_alone": head(4, 7, 6) + layer("Scale", "scale", "scale_param { bias_term: true }"),
    "relu_leaky": head(3, 6, 6) + layer("ReLU", "relu", "relu_param { negative_slope: 0.1 }"),
    "prelu": head(4, 6, 5) + layer("PReLU", "prelu"),
    "prelu_shared": head(4, 6, 5) + layer("PReLU", "prelu", "prelu_param { channel_shared: true }"),
    "activations": head(3, 6, 6)
    + layer("Sigmoid", "sigmoid")
    + layer("TanH", "tanh")
    + layer("ELU", "elu", "elu_param { alpha: 0.7 }")
    + layer("Concat", "all", "", "sigmoid tanh elu"),
    "power": head(3, 6, 6)
    + layer("Sigmoid", "positive")
    + layer("Power", "power", "power_param { power: 1.5 scale: 2 shift: 0.25 }", "positive"),
    "eltwise_sum": head(3, 6, 6) + THREE + layer("Eltwise", "out", "eltwise_param { operation: SUM }", "a b c"),
    "eltwise_coeff": head(3, 6, 6)
    + TWO
    + layer("Eltwise", "out", "eltwise_param { operation: SUM coeff: 0.5 coeff: -1 }", "a b"),
    "eltwise_prod": head(3, 6, 6) + THREE + layer("Eltwise", "out", "eltwise_param { operation: PROD }", "a b c"),
    "eltwise_max": head(3, 6, 6) + THREE + layer("Eltwise", "out", "eltwise_param { operation: MAX }", "a b c"),
    "concat_channels": head(3, 6, 6) + TWO + layer("Concat", "out", "", "b data a"),
    "concat_height": head(3, 6, 5) + TWO + layer("Concat", "out", "concat_param { axis: 2 }", "a b"),
    "concat_dim": head(3, 6, 5) + TWO + layer("Concat", "out", "concat_param { concat_dim: 1 }", "a b"),
    "split_two": head(3, 8, 8)
    + conv("conv", "num_output: 4 kernel_size: 3")
    + 'layer { name: "split" type: "Split" bottom: "conv" top: "left" top: "right" }\n'
    + layer("ReLU", "relu_left", "", "left")
    + layer("TanH", "tanh_right", "", "right")
    + layer("TanH", "tanh_again", "", "tanh_right", "tanh_right")
    + layer("Eltwise", "out", "", "relu_left tanh_right"),
    "softmax_map": head(5, 4, 3) + layer("Softmax", "prob"),
    "softmax_flat": head(5, 2, 2) + layer("Flatten", "flat")
    + layer("Softmax", "prob", "softmax_param { axis: 1 }", "flat"),
    "softmax_axis": head(5, 4, 3) + layer("Softmax", "prob", "softmax_param { axis: 2 }"),
    "reshape": head(4, 6, 3)
    + layer("Reshape", "reshape", "reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 4 } }")
    + conv("conv", "num_output: 3 kernel_size: 1", "reshape"),
    "reshape_axis": head(4, 6, 3)
    + layer("Reshape", "reshape", "reshape_param { shape { dim: 3 dim: 8 dim: -1 } axis: 1 }"),
    "interp_size": head(3, 6, 5) + layer("Interp", "out", "interp_param { height: 11 width: 13 }"),
    "interp_zoom": head(3, 6, 5) + layer("Interp", "out", "interp_param { zoom_factor: 3 }"),
    "v1_input_dim": """name: "old"
input: "data"
input_dim: 1 input_dim: 3 input_dim: 12 input_dim: 12
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "gaussian" std: 0.01 } } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers { name: "pool1" type: POOLING bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layers { name: "norm1" type: LRN bottom: "pool1" top: "norm1" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layers { name: "fc2" type: INNER_PRODUCT bottom: "norm1" top: "fc2" inner_product_param { num_output: 5 } }
layers { name: "drop2" type: DROPOUT bottom: "fc2" top: "fc2" dropout_param { dropout_ratio: 0.5 } }
layers { name: "prob" type: SOFTMAX bottom: "fc2" top: "prob" }
""",
    "input_shape": 'name: "shaped"\ninput: "image"\ninput_shape { dim: 1 dim: 3 dim: 9 dim: 8 }\n'
    + conv("conv", "num_output: 4 kernel_size: 3", "image"),
}  # fmt: skip


def messages() -> type:
    """Caffe's weight messages; numbers from caffe.proto."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="golden.proto", package="golden", syntax="proto2")
    tables = {
        "Net": (("name", 1, "string", 0), ("layers", 2, "V1", 1), ("layer", 100, "Layer", 1)),
        "Layer": (("name", 1, "string", 0), ("type", 2, "string", 0), ("blobs", 7, "Blob", 1)),
        "V1": (("name", 4, "string", 0), ("type", 5, "int32", 0), ("blobs", 6, "Blob", 1)),
        "Shape": (("dim", 1, "int64", 1),),
        "Blob": (
            *((name, i + 1, "int32", 0) for i, name in enumerate(("num", "channels", "height", "width"))),
            ("data", 5, "float", 1),
            ("shape", 7, "Shape", 0),
        ),
    }
    for name, fields in tables.items():
        message = file.message_type.add(name=name)
        for field, number, type_name, repeated in fields:
            made = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if type_name in tables:
                made.type, made.type_name = kind.TYPE_MESSAGE, f".golden.{type_name}"
            else:
                made.type = kind.Type.Value(f"TYPE_{type_name.upper()}")
                made.options.packed = bool(repeated)
    pool_ = descriptor_pool.DescriptorPool()
    pool_.Add(file)
    return message_factory.GetMessageClass(pool_.FindMessageTypeByName("golden.Net"))


NET = messages()
V1_TYPES = {"CONVOLUTION": 4, "INNER_PRODUCT": 14, "RELU": 18, "POOLING": 17, "LRN": 15, "DROPOUT": 6, "SOFTMAX": 20}


def write_weights(path: Path, text: str, blobs: dict[str, list[np.ndarray]]) -> None:
    """A caffemodel with all layers of the definition, as Caffe writes them."""
    net = NET(name="golden")
    old = "layers {" in text
    for piece in re.split(r"\blayers?\s*\{", text)[1:]:
        name, kind = re.search(r'name: "(.*?)"', piece)[1], re.search(r'type: "?(\w+)', piece)[1]
        message = net.layers.add(name=name, type=V1_TYPES[kind]) if old else net.layer.add(name=name, type=kind)
        for array in blobs.get(name, ()):
            blob = message.blobs.add()
            if old:  # four axes, as the first files have them
                blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
            else:
                blob.shape.dim.extend(array.shape)
            blob.data.extend(array.astype(np.float32).ravel())
    path.write_bytes(net.SerializeToString())


def generate(graph: object, rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Weights by layer: every array differs from what a fresh layer would hold."""
    blobs: dict[str, dict[int, np.ndarray]] = {}
    for node in graph.nodes:
        for position, key in enumerate(node.inputs):
            if key not in graph.params or key.rsplit("/", 1)[1] in ("gamma", "beta"):
                continue
            name, index = key.rsplit("/", 1)
            if not index.isdigit():
                continue
            shape = tuple(n for n in graph.params[key].shape) or (1,)
            blobs.setdefault(name, {})[int(index)] = array_for(node.op, position, shape, rng)
    for node in graph.nodes:
        if node.op == "BatchNormalization":
            layers = blobs[node.inputs[3].rsplit("/", 1)[0]]
            count = np.float32(rng.uniform(0.5, 3))
            layers[0], layers[1], layers[2] = layers[0] * count, layers[1] * count, np.array([count])
    return {name: [arrays[i] for i in sorted(arrays)] for name, arrays in blobs.items()}


def array_for(op: str, position: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if op in ("Conv", "Gemm") and position == 1:
        fan_in = int(np.prod(shape[1:]))
        return rng.normal(0, np.sqrt(2 / fan_in), shape)
    if op == "BatchNormalization" and position == 4:
        return rng.uniform(0.4, 2, shape)
    if op == "BatchNormalization" and position == 1:
        return rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape, p=[0.2, 0.8])
    if op == "BatchNormalization" and position == 2:
        # Mostly positive: deep random networks that cut half of everything turn rounding errors into large ones.
        return rng.normal(0.8, 0.3, shape)
    if op in ("Mul", "PRelu"):
        return rng.uniform(0.2, 1.2, tuple(n for n in shape if n != 1) or (1,))
    if op == "Add":
        return rng.normal(0, 0.5, tuple(n for n in shape if n != 1) or (1,))
    return rng.normal(0, 0.3, shape)


def pattern(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Two images of smooth coloured waves, uint8; the networks get (image - 128) / 64."""
    channels, height, width = shape
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    images = np.empty((2, *shape))
    for image in images:
        for channel in range(channels):
            fx, fy, phase, offset = rng.uniform(1, 6), rng.uniform(1, 6), rng.uniform(0, 6.3), rng.uniform(-50, 50)
            image[channel] = 128 + offset + 75 * np.sin(6.3 * (fx * x + fy * y) + phase)
    return np.clip(images, 0, 255).astype(np.uint8)


def network_input(image: np.ndarray) -> np.ndarray:
    return (image.astype(np.float32) - 128) / 64


def answer(folder: Path, x: np.ndarray, until: str = "") -> np.ndarray:
    net = cv2.dnn.readNetFromCaffe(str(folder / "deploy.prototxt"), str(folder / "weights.caffemodel"))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.enableFusion(False)
    net.enableWinograd(False)
    net.setInput(x)
    return net.forward(until) if until else net.forward()


def make(name: str, text: str) -> None:
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "deploy.prototxt").write_text(text)
    graph = caffe.read(folder / "deploy.prototxt")
    (shape,) = graph.inputs.values()
    for seed in range(20):
        rng = np.random.default_rng([seed, *name.encode()])
        image = pattern(shape, rng)
        x = network_input(image)
        blobs = generate(graph, rng)
        write_weights(folder / "weights.caffemodel", text, blobs)
        output = answer(folder, x)
        change = np.abs(output[0] - output[1]).max() / np.abs(output).max()
        if np.isfinite(output).all() and change > 0.05:
            break
    else:
        raise SystemExit(f"{name}: the output hardly depends on the input ({change:.1e}): not a test")
    np.save(folder / "input.npy", image)
    np.save(folder / "output.npy", output)
    print(f"{name}: output {output.shape}, max {np.abs(output).max():.3g}, change {change:.2g}, seed {seed}")


def halve(name: str, source: str) -> None:
    """A case once more, with its inner products' weights as OpenCV writes halves: in NVIDIA's fields."""
    folder = HERE / name
    shutil.copytree(HERE / source, folder, dirs_exist_ok=True)
    weights = folder / "weights.caffemodel"
    cv2.dnn.shrinkCaffeModel(str(HERE / source / weights.name), str(weights), ["InnerProduct"])
    x = network_input(np.load(folder / "input.npy"))
    np.save(folder / "output.npy", answer(folder, x))


def main(only: list[str]) -> None:
    for name, text in CASES.items():
        if not only or name in only:
            make(name, text)
    if not only or "half_nvidia" in only:
        halve("half_nvidia", "inner_product_of_map")


if __name__ == "__main__":
    main(sys.argv[1:])
