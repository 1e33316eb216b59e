"""Makes the cases that only Caffe itself can answer, with Caffe 1.0.

Run with the Python that has Caffe's own module (`import caffe`), numpy and protobuf; zoo is not used:

    python tests/golden/caffe/make_caffe.py [NETS [CASE...]]

NETS is a folder with real network definitions, `<name>/deploy.prototxt`; they are made narrow and small here.
A case is a folder with deploy.prototxt, weights.caffemodel and blobs.npz: what Caffe computes, by the name of the layer
that wrote it last ("/" is "|"); inside a network, the last three channels for the first image. `input` is there, uint8,
unless it is a corner of inputs/image.npz; networks get (input - 128) / 64. Layers of Caffe's forks are run as what
their sources say they are, written in Caffe's own layers.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

import caffe
import families
import numpy as np
from caffe.proto import caffe_pb2
from families import conv, head, layer

HERE = Path(__file__).parent
CHANGE = 0.02  # of the output, at least, from one image to the other


A = conv("a", "num_output: 4 kernel_size: 1")
SQUEEZE = layer("Pooling", "pool", "pooling_param { pool: AVE global_pooling: true }") + layer(
    "Convolution", "gate", "convolution_param { num_output: 3 kernel_size: 1 }", "pool"
)
FLAT = SQUEEZE + layer("Flatten", "flat", "", "gate")
POSITIVE = layer("Sigmoid", "positive")


def shuffle(name: str, group: int, channels: int, bottom: str) -> str:
    first = f"reshape_param {{ shape {{ dim: 0 dim: {group} dim: {channels // group} dim: -1 }} }}"
    return (
        layer("Reshape", f"{name}_a", first, bottom)
        + layer("Permute", f"{name}_b", "permute_param { order: 0 order: 2 order: 1 order: 3 }", f"{name}_a")
        + layer("Reshape", f"{name}_c", "reshape_param { shape { dim: 0 dim: -1 dim: 6 dim: 5 } }", f"{name}_b")
        + layer("Power", name, "", f"{name}_c")
    )


UNPOOL = (
    head(3, 8, 8) + 'layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" top: "mask" '
    "pooling_param { kernel_size: 3 stride: 3 ceil_mode: false } }\n"
    + layer("TanH", "tanh", "", "pool")
    + layer("Upsample", "x", "upsample_param { upsample_h: 8 upsample_w: 8 }", "tanh mask")
)

# Case -> text, or (text, the same for Caffe 1.0).
CASES: dict[str, str | tuple[str, str]] = {
    "absval": head(3, 6, 5) + layer("AbsVal", "x"),
    "argmax_axis": head(5, 6, 5) + layer("ArgMax", "x", "argmax_param { axis: 1 }"),
    "argmax_of_all": head(3, 6, 5) + layer("ArgMax", "x"),
    "argmax_with_value": head(3, 6, 5) + layer("ArgMax", "x", "argmax_param { out_max_val: true }"),
    "argmax_value_of_axis": head(5, 6, 5) + layer("ArgMax", "x", "argmax_param { axis: 1 out_max_val: true }"),
    "axpy": (
        head(3, 6, 5) + SQUEEZE + layer("Convolution", "y", "convolution_param { num_output: 3 kernel_size: 1 }")
        + layer("Axpy", "x", "", "gate data y"),
        head(3, 6, 5) + SQUEEZE + layer("Convolution", "y", "convolution_param { num_output: 3 kernel_size: 1 }")
        + layer("Flatten", "flat", "", "gate")
        + layer("Scale", "scaled", "scale_param { axis: 0 bias_term: false }", "data flat")
        + layer("Eltwise", "x", "", "scaled y"),
    ),
    "batch_norm_of_input": head(3, 6, 5) + layer("BatchNorm", "bn")
    + layer("Scale", "scale", "scale_param { bias_term: true }", "bn")
    + conv("c", "num_output: 2 kernel_size: 3", "scale"),
    "bias": head(3, 6, 5) + layer("Bias", "x", "bias_param { axis: 1 num_axes: 1 }"),
    "bias_of_value": head(3, 6, 5) + FLAT + layer("Bias", "x", "bias_param { axis: 0 }", "data flat"),
    "bias_of_rows": head(3, 6, 5) + layer("Bias", "x", "bias_param { axis: -2 num_axes: -1 }"),
    "bn_inference": (
        head(3, 6, 5) + A + layer("BN", "bn", "bn_param { bn_mode: INFERENCE scale_filler { value: 1 } }", "a"),
        head(3, 6, 5) + A + layer("Scale", "bn", "scale_param { bias_term: true }", "a"),
    ),
    "bn_frozen": (
        head(3, 6, 5) + A
        + layer("BN", "bn", "bn_param { frozen: true momentum: 0.95 slope_filler { value: 1 } }", "a"),
        head(3, 6, 5) + A + layer("BatchNorm", "bn_statistics", "", "a")
        + layer("Scale", "bn", "scale_param { bias_term: true }", "bn_statistics"),
    ),
    "bnll": head(3, 6, 5) + layer("BNLL", "x"),
    "conv_axes": head(3, 11, 13)
    + conv("x", "num_output: 4 kernel_size: 3 kernel_size: 2 pad: 2 pad: 0 dilation: 2 dilation: 3 "
           "axis: -3 force_nd_im2col: true"),
    "conv_shared": head(3, 6, 5) + conv("b", "num_output: 3 kernel_size: 1")
    + 'layer { name: "x" type: "Convolution" bottom: "data" bottom: "b" top: "x" top: "y" '
      'convolution_param { num_output: 2 kernel_size: 3 } }\n' + layer("Eltwise", "out", "", "x y"),
    "conv_depthwise_implicit": (
        head(4, 8, 7) + layer("ConvolutionDepthwise", "x", "convolution_param { num_output: 4 kernel_size: 3 pad: 1 }"),
        head(4, 8, 7) + conv("x", "num_output: 4 kernel_size: 3 pad: 1 group: 4"),
    ),
    "conv_depthwise_fork": (
        head(4, 8, 7)
        + layer("DepthwiseConvolution", "x", "convolution_param { num_output: 8 kernel_size: 3 stride: 2 group: 4 }"),
        head(4, 8, 7) + conv("x", "num_output: 8 kernel_size: 3 stride: 2 group: 4"),
    ),
    "crop": head(3, 9, 8) + conv("a", "num_output: 2 kernel_size: 5")
    + layer("Crop", "x", "crop_param { offset: 3 offset: 1 }", "data a"),
    "crop_axis": head(3, 9, 8) + conv("a", "num_output: 2 kernel_size: 5")
    + layer("Crop", "x", "crop_param { axis: 1 offset: 1 }", "data a"),
    "deconv": head(3, 6, 5)
    + layer("Deconvolution", "x", "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 }"),
    "deconv_group": head(4, 6, 5)
    + layer("Deconvolution", "x", "convolution_param { num_output: 6 kernel_size: 3 stride: 2 group: 2 }"),
    "deconv_axes": head(3, 6, 5) + layer(
        "Deconvolution", "x", "convolution_param { num_output: 2 kernel_h: 3 kernel_w: 5 stride_h: 1 stride_w: 3 "
        "pad_h: 0 pad_w: 2 bias_term: false }"),
    "deconv_dilated": head(3, 6, 5)
    + layer("Deconvolution", "x", "convolution_param { num_output: 2 kernel_size: 3 dilation: 2 stride: 2 pad: 1 }"),
    "deconv_bilinear": head(3, 6, 5) + layer(
        "Deconvolution", "x", "convolution_param { num_output: 3 group: 3 kernel_size: 4 stride: 2 pad: 1 "
        'bias_term: false weight_filler { type: "bilinear" } }'),
    "eltwise_four": head(3, 6, 5)
    + "".join(conv(n, "num_output: 3 kernel_size: 1") for n in "abc")
    + layer("Eltwise", "x", "eltwise_param { coeff: 1 coeff: 0.5 coeff: -2 coeff: 0.25 }", "data a b c"),
    "eltwise_max_four": head(3, 6, 5)
    + "".join(conv(n, "num_output: 3 kernel_size: 1") for n in "abc")
    + layer("Eltwise", "x", "eltwise_param { operation: MAX }", "data a b c"),
    "elu": head(3, 6, 5) + layer("ELU", "x", "elu_param { alpha: 0.3 }"),
    "exp": head(3, 6, 5) + layer("Exp", "x"),
    "exp_base": head(3, 6, 5) + layer("Exp", "x", "exp_param { base: 2 scale: 0.5 shift: -1 }"),
    "exp_shift": head(3, 6, 5) + layer("Exp", "x", "exp_param { shift: 0.5 }"),
    "flatten_axes": head(3, 6, 5) + layer("Flatten", "x", "flatten_param { axis: 2 }"),
    "hard_sigmoid": head(3, 6, 5) + layer("HardSigmoid", "x"),
    "hard_swish": head(3, 6, 5) + layer("HardSwish", "x"),
    "inner_product_axis": head(3, 6, 5)
    + layer("InnerProduct", "x", "inner_product_param { num_output: 4 axis: 2 }"),
    "inner_product_transposed": head(3, 6, 5)
    + layer("InnerProduct", "x", "inner_product_param { num_output: 4 transpose: true }"),
    "log": head(3, 6, 5) + POSITIVE + layer("Log", "x", "", "positive"),
    "log_base": head(3, 6, 5) + POSITIVE + layer("Log", "x", "log_param { base: 10 scale: 2 shift: 0.5 }", "positive"),
    "lrn_k": head(7, 6, 5) + layer("LRN", "x", "lrn_param { local_size: 5 alpha: 2 beta: 0.6 k: 2 }"),
    "lrn_within": head(3, 8, 7)
    + layer("LRN", "x", "lrn_param { local_size: 3 alpha: 1.5 beta: 0.75 norm_region: WITHIN_CHANNEL }"),
    "mvn": head(3, 6, 5) + layer("MVN", "x"),
    "mvn_mean": head(3, 6, 5) + layer("MVN", "x", "mvn_param { normalize_variance: false }"),
    "mvn_across": head(3, 6, 5) + layer("MVN", "x", "mvn_param { across_channels: true eps: 0.01 }"),
    "normalize": head(3, 6, 5) + layer("Normalize", "x", "norm_param { across_spatial: false channel_shared: false }"),
    "normalize_across": head(3, 6, 5) + layer("Normalize", "x", "norm_param { eps: 0.5 }"),
    "permute": head(3, 6, 5) + layer("Permute", "x", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    "permute_flatten": head(3, 6, 5) + layer("Permute", "p", "permute_param { order: 0 order: 3 }")
    + layer("Flatten", "flat", "", "p")
    + layer("InnerProduct", "x", "inner_product_param { num_output: 4 }", "flat"),
    "pool_floor_bvlc": (
        head(3, 8, 8) + layer("Pooling", "x", "pooling_param { kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR }"),
        head(3, 8, 8) + layer("Pooling", "x", "pooling_param { kernel_size: 3 stride: 2 pad: 1 ceil_mode: false }"),
    ),
    "pool_mask_unread": head(3, 8, 8)
    + 'layer { name: "x" type: "Pooling" bottom: "data" top: "x" top: "mask" '
      'pooling_param { kernel_size: 3 stride: 2 } }\n'
    + layer("Silence", "none", "", "mask").replace('top: "none"', ""),
    "power_square": head(3, 6, 5) + layer("Power", "x", "power_param { power: 2 }"),
    "power_zero": head(3, 6, 5) + layer("Power", "x", "power_param { power: 0 }") + layer("Eltwise", "y", "", "x data"),
    "power_no_scale": head(3, 6, 5) + layer("Power", "x", "power_param { power: 2 scale: 0 shift: 3 }")
    + layer("Eltwise", "y", "", "x data"),
    "power_negative": head(3, 6, 5) + POSITIVE
    + layer("Power", "x", "power_param { power: -0.5 shift: 0.1 }", "positive"),
    "reduction_sum": head(3, 6, 5) + layer("Reduction", "x", "reduction_param { axis: 1 coeff: 0.5 }"),
    "reduction_asum": head(3, 6, 5) + layer("Reduction", "x", "reduction_param { axis: 2 operation: ASUM }"),
    "reduction_sumsq": head(3, 6, 5) + layer("Reduction", "x", "reduction_param { axis: -1 operation: SUMSQ }"),
    "reduction_mean": head(3, 6, 5) + layer("Reduction", "x", "reduction_param { axis: 2 operation: MEAN coeff: -2 }"),
    "relu6": head(3, 6, 5) + layer("Power", "big", "power_param { scale: 5 }") + layer("ReLU6", "x", "", "big"),
    "relu6_slope": head(3, 6, 5) + layer("ReLU6", "x", "relu6_param { threshold: 1 negative_slope: 0.2 }"),
    "reshape_batch": head(3, 6, 5).replace("dim: 1 dim: 3", "dim: 2 dim: 3")
    + layer("Reshape", "r", "reshape_param { shape { dim: 2 dim: -1 dim: 6 dim: 1 } }")
    + conv("x", "num_output: 2 kernel_size: 1", "r"),
    "scale_of_value": head(3, 6, 5) + FLAT + layer("Scale", "x", "scale_param { axis: 0 }", "data flat"),
    "shuffle_channel": (
        head(6, 6, 5) + layer("ShuffleChannel", "x", "shuffle_channel_param { group: 3 }")
        + conv("y", "num_output: 2 kernel_size: 1", "x"),
        head(6, 6, 5) + shuffle("x", 3, 6, "data") + conv("y", "num_output: 2 kernel_size: 1", "x"),
    ),
    "slice": head(6, 6, 5)
    + 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" top: "c" slice_param { slice_point: 1 '
      'slice_point: 4 } }\n' + layer("Concat", "x", "", "c a b") ,
    "slice_even": head(6, 6, 5)
    + 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { axis: 2 } }\n'
    + layer("Eltwise", "x", "eltwise_param { operation: PROD }", "a b"),
    "slice_dim": 'name: "old"\ninput: "data"\ninput_dim: 1 input_dim: 6 input_dim: 6 input_dim: 5\n'
    'layers { name: "s" type: SLICE bottom: "data" top: "a" top: "b" slice_param { slice_dim: 1 } }\n'
      'layers { name: "x" type: ELTWISE bottom: "a" bottom: "b" top: "x" eltwise_param { operation: MAX } }\n',
    "threshold": head(3, 6, 5) + layer("Threshold", "x", "threshold_param { threshold: 0.25 }"),
    "tile": head(3, 6, 5) + layer("Tile", "x", "tile_param { axis: 2 tiles: 2 }"),
    "upsample_mask": (UNPOOL, families.as_caffe(UNPOOL)),
    "upsample_nearest": head(3, 6, 5) + layer("Upsample", "x", "upsample_param { scale: 2 }"),
    "swish": (
        head(3, 6, 5) + layer("Swish", "x", "swish_param { beta: 1.5 }"),
        head(3, 6, 5) + layer("Power", "b", "power_param { scale: 1.5 }") + layer("Sigmoid", "g", "", "b")
        + layer("Eltwise", "x", "eltwise_param { operation: PROD }", "data g"),
    ),
    "clip": (
        head(3, 6, 5) + layer("Clip", "x", "clip_param { min: -0.5 max: 0.7 }"),
        # min(max(x, -0.5), 0.7) = 0.7 - relu(1.2 - relu(x + 0.5))
        head(3, 6, 5) + layer("Power", "p", "power_param { shift: 0.5 }") + layer("ReLU", "q", "", "p")
        + layer("Power", "r", "power_param { scale: -1 shift: 1.2 }", "q") + layer("ReLU", "s", "", "r")
        + layer("Power", "x", "power_param { scale: -1 shift: 0.7 }", "s"),
    ),
}  # fmt: skip


def load(text: str) -> caffe.Net:
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(text)
        file.flush()
        return caffe.Net(file.name, caffe.TEST)


def feed(net: caffe.Net, x: np.ndarray) -> None:
    blob = net.blobs[net.inputs[0]]
    blob.reshape(*x.shape)
    net.reshape()
    blob.data[...] = x


def fill(net: caffe.Net, rng: np.random.Generator) -> None:
    """Gives every layer weights that differ from a fresh layer's; batch norms get statistics of what reaches them."""
    kinds = {name: net.layers[i].type for i, name in enumerate(net._layer_names)}
    for name, blobs in net.params.items():
        kind = kinds[name]
        for index, blob in enumerate(blobs):
            shape = blob.data.shape
            if kind in ("Convolution", "InnerProduct", "Deconvolution") and index == 0:
                if kind == "Deconvolution" and blob.data.any():
                    continue  # bilinear
                fan_in = max(1, blob.data.size // (shape[1] if kind == "Deconvolution" else shape[0]))
                array = rng.normal(0, np.sqrt(2 / fan_in), shape)
            elif kind in ("Scale", "Normalize") and index == 0:
                array = rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape, p=[0.2, 0.8])
            elif kind == "Scale":
                array = rng.normal(0.8, 0.3, shape)
            elif kind == "PReLU":
                array = rng.uniform(0.2, 1.2, shape)
            else:
                array = rng.normal(0, 0.3, shape)
            blob.data[...] = np.float16(array)  # few digits: the files are kept small by compression
    for name in net._layer_names:
        if kinds[name] == "BatchNorm":
            settle(net, name, rng)


def settle(net: caffe.Net, name: str, rng: np.random.Generator) -> None:
    names = list(net._layer_names)
    before = names[names.index(name) - 1]
    net.forward(end=before)
    arrived = net.blobs[net.bottom_names[name][0]].data
    axes = tuple(i for i in range(arrived.ndim) if i != 1)
    spread = arrived.std(axis=axes) + 1e-3
    mean = arrived.mean(axis=axes) + rng.normal(0, 0.3, spread.shape) * spread
    count = np.float16(rng.uniform(0.5, 3))
    blobs = net.params[name]
    blobs[0].data[...] = np.float16(mean * count)
    blobs[1].data[...] = np.float16((spread * rng.uniform(0.8, 1.3, spread.shape)) ** 2 * count)
    blobs[2].data[...] = count


def save(path: Path, net: caffe.Net, text: str, rng: np.random.Generator) -> None:
    """The weights as the file's own layers have them."""
    if "BN" not in re.findall(r'type: "(\w+)"', text):
        net.save(str(path))
        found = caffe_pb2.NetParameter()
        found.ParseFromString(path.read_bytes())
    else:
        found = caffe_pb2.NetParameter(name="forked")
        for name in net._layer_names:
            if name.endswith("_statistics"):
                continue
            made = found.layer.add(name=name)
            if f"{name}_statistics" in net.params:
                mean, variance, count = (blob.data for blob in net.params[f"{name}_statistics"])
                slope, shift = (blob.data for blob in net.params[name])
                arrays = [slope, shift, mean / count, variance / count]
                arrays = [array.reshape(1, -1, 1, 1) for array in arrays]
            else:
                arrays = [blob.data for blob in net.params.get(name, ())]
                if f'name: "{name}" type: "BN"' in text:
                    arrays = [array.reshape(1, -1, 1, 1) for array in arrays]
            for array in arrays:
                blob = made.blobs.add()
                blob.shape.dim.extend(array.shape)
                blob.data.extend(array.astype(np.float32).ravel())
    # Only names, types and arrays: the rest of a saved layer is its text once more.
    slim = caffe_pb2.NetParameter(name=found.name)
    for layer_ in found.layer:
        if layer_.blobs:
            slim.layer.add(name=layer_.name, type=layer_.type).blobs.extend(layer_.blobs)
    if not slim.layer:
        slim.layer.add(name="x")
    path.write_bytes(slim.SerializeToString())


def last_writers(net: caffe.Net) -> dict[str, str]:
    """Blob -> the layer that wrote it last."""
    kinds = {name: net.layers[i].type for i, name in enumerate(net._layer_names)}
    writers: dict[str, str] = {}
    for name in net._layer_names:
        tops = net.top_names[name]
        for top in tops:
            if kinds[name] == "Scale" and top in writers and kinds.get(writers[top]) == "BatchNorm":
                continue  # zoo takes it into the batch norm
            writers[top] = name if len(tops) == 1 else top
    return writers


def pattern(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Two images of smooth coloured waves, uint8."""
    channels, height, width = shape
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    images = np.empty((2, *shape))
    for image in images:
        for channel in range(channels):
            fx, fy, phase, offset = rng.uniform(1, 6), rng.uniform(1, 6), rng.uniform(0, 6.3), rng.uniform(-50, 50)
            image[channel] = 128 + offset + 75 * np.sin(6.3 * (fx * x + fy * y) + phase)
    return np.clip(images, 0, 255).astype(np.uint8)


def make(name: str, text: str, as_caffe: str, kept: tuple[str, ...] = (), shared: np.ndarray | None = None) -> None:
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "deploy.prototxt").write_text(text)
    for seed in range(20):
        rng = np.random.default_rng([seed, *name.encode()])
        net = load(as_caffe)
        shape = tuple(net.blobs[net.inputs[0]].data.shape[1:])
        image = pattern(shape, rng) if shared is None else shared[:, :, : shape[1], : shape[2]]
        feed(net, (image.astype(np.float32) - 128) / 64)
        fill(net, rng)
        outputs = {key: value.copy() for key, value in net.forward().items() if key != "mask"}
        writers = last_writers(net)
        (final,) = outputs
        change = np.abs(outputs[final][0] - outputs[final][1]).max() / max(np.abs(outputs[final]).max(), 1e-30)
        if np.isfinite(outputs[final]).all() and (change > CHANGE):
            break
    else:
        raise SystemExit(f"{name}: the output hardly depends on the input ({change:.1e}): not a test")
    arrays = {writers[key]: value for key, value in outputs.items()}
    arrays |= {writers[blob]: np.array(net.blobs[blob].data[:1, -3:]) for blob in kept}
    if not all(value.any() for value in arrays.values()):
        raise SystemExit(f"{name}: a blob is nothing but zeros: not a test")
    if shared is None:
        arrays["input"] = image
    np.savez_compressed(folder / "blobs.npz", **{key.replace("/", "|"): value for key, value in arrays.items()})
    save(folder / "weights.caffemodel", net, text, rng)
    print(f"{name}: output {outputs[final].shape}, max {np.abs(outputs[final]).max():.3g}, change {change:.2g}")


def main(real: Path | None, names: list[str]) -> None:
    caffe.set_mode_cpu()
    for name, text in CASES.items():
        if not names or name in names:
            make(name, *(text if isinstance(text, tuple) else (text, text)))
    shared = pattern((3, 99, 99), np.random.default_rng(4))
    (HERE / "inputs").mkdir(exist_ok=True)
    np.savez_compressed(HERE / "inputs" / "image.npz", image=shared)
    for name, (text, as_caffe, kept) in families.nets(real).items():
        if not names or name in names:
            make(name, text, as_caffe, kept, shared)


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    main(given, sys.argv[2:])
