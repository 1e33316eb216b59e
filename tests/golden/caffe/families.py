"""Texts of small networks: one for each family of Caffe's, narrow and shallow, in the spelling its publisher used.

Each layer is one line, so that `as_caffe` can write the forks' layers as what they are in Caffe 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path


def head(channels: int, height: int, width: int) -> str:
    shape = f"dim: 1 dim: {channels} dim: {height} dim: {width}"
    return f'name: "case"\nlayer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}\n'


def layer(kind: str, name: str, params: str = "", bottom: str = "data", top: str = "") -> str:
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{top or name}" {params} }}\n'


def conv(name: str, params: str, bottom: str = "data", top: str = "") -> str:
    return layer("Convolution", name, f"convolution_param {{ {params} }}", bottom, top)


# Real definition -> (divide num_output by, input size, kernel of the last average pooling or 0, blobs to keep).
REAL: dict[str, tuple[int, int, int, tuple[str, ...]]] = {
    "bvlc-alexnet": (64, 99, 0, ("norm1", "pool2", "conv4", "fc8")),
    "bvlc-googlenet": (
        24,
        64,
        2,
        ("pool1/3x3_s2", "inception_3b/output", "inception_4e/output"),
    ),
    "mobilenet-v1-shicai": (24, 64, 0, ("conv3_1/dw", "conv5_6/sep", "pool6")),
    "nin-imagenet": (48, 99, 2, ("pool0", "cccp4", "pool3")),
    "resnet-50-kaiming": (64, 64, 2, ("pool1", "res3d", "res4f", "res5c")),
    "squeezenet-v1.1": (16, 64, 0, ("fire3/concat", "fire6/concat", "fire9/concat")),
    "vgg16-ilsvrc2014": (64, 64, 0, ("conv2_2", "pool4", "fc7")),
}


def narrow(text: str, divisor: int, size: int, last_kernel: int) -> str:
    """The same network with fewer channels, a smaller input and ten classes, a layer to a line."""

    def fewer(match: re.Match[str]) -> str:
        count = int(match[2])
        return match[1] + str(10 if count == 1000 else max(2, count // divisor // 2 * 2))

    text = re.sub(r"#[^\n]*", "", text)
    groups = {int(n) for n in re.findall(r"group: (\d+)", text)}
    text = re.sub(r"(num_output: )(\d+)", fewer, text)
    if groups - {2}:  # one group per channel
        text = re.sub(r"(group: )(\d+)", fewer, text)
    text = re.sub(r"(weight|bias)_filler\s*\{[^}]*\}", "", text)
    text = re.sub(r"param\s*\{\s*lr_mult[^}]*\}", "", text)
    text = re.sub(r"dim: (224|227)", f"dim: {size}", text)
    if last_kernel:
        text = re.sub(r"kernel_size: [67](\s+stride: 1\b)", rf"kernel_size: {last_kernel}\1", text)
    return re.sub(r" (?=layers? ?\{)", "\n", re.sub(r"\s+", " ", text)) + "\n"


class Text:
    """A network being written: each method adds layers and returns the blob they make."""

    def __init__(self, size: int, eps: str = "") -> None:
        self.text = head(3, size, size)
        self.eps = eps

    def add(self, kind: str, name: str, params: str = "", bottom: str = "data", top: str = "") -> str:
        self.text += layer(kind, name, params, bottom, top)
        return top or name

    def norm(self, name: str, bottom: str, *, apart: bool = False, act: str = "ReLU") -> str:
        """BatchNorm, Scale and ReLU; in place, or in blobs of their own where the input is read elsewhere too."""
        params = "batch_norm_param { use_global_stats: true" + (f" eps: {self.eps}" if self.eps else "") + " }"
        top = self.add("BatchNorm", f"{name}/bn", params, bottom, f"{name}/bn" if apart else bottom)
        self.add("Scale", f"{name}/scale", "scale_param { bias_term: true }", top, top)
        return self.add(act, f"{name}/relu", "", top, top) if act else top

    def conv(
        self, name: str, bottom: str, count: int, kernel: int | tuple[int, int] = 1, extra: str = "", act: str = "ReLU"
    ) -> str:
        """Convolution without bias that keeps the size, and its norm."""
        if isinstance(kernel, tuple):
            (h, w) = kernel
            spelled = f"kernel_h: {h} kernel_w: {w} pad_h: {h // 2} pad_w: {w // 2}"
        else:
            spelled = f"kernel_size: {kernel}" + (f" pad: {kernel // 2}" if kernel > 1 and "pad" not in extra else "")
        params = f"convolution_param {{ num_output: {count} {spelled} bias_term: false {extra} }}"
        return self.norm(name, self.add("Convolution", name, params, bottom), act=act)

    def plain(self, name: str, bottom: str, params: str, act: str = "ReLU") -> str:
        """Convolution with bias, and its activation in place."""
        top = self.add("Convolution", name, f"convolution_param {{ {params} }}", bottom)
        return self.add(act, f"relu_{name}", "", top, top) if act else top

    def pool(self, name: str, bottom: str, params: str) -> str:
        return self.add("Pooling", name, f"pooling_param {{ {params} }}", bottom)

    def end(self, bottom: str, classes: int = 7) -> str:
        """Global pooling, classifier, softmax."""
        top = self.pool("pool_last", bottom, "pool: AVE global_pooling: true")
        top = self.add("InnerProduct", "fc", f"inner_product_param {{ num_output: {classes} }}", top)
        self.add("Softmax", "prob", "", top)
        return self.text


Net = tuple[str, tuple[str, ...]]


def mobilenet_v2() -> Net:
    net = Text(32)
    x = net.conv("conv1", "data", 6, 3, "stride: 2", "ReLU6")
    for i, (count, stride) in enumerate(((6, 1), (8, 2), (8, 1))):
        wide = 2 * (6 if i < 2 else 8)
        y = net.conv(f"block{i}/expand", x, wide, 1, "", "ReLU6")
        y = net.conv(f"block{i}/dwise", y, wide, 3, f"group: {wide} stride: {stride} engine: CAFFE", "ReLU6")
        y = net.conv(f"block{i}/linear", y, count, 1, "", "")
        x = net.add("Eltwise", f"block{i}", "", f"{x} {y}") if i != 1 else y
    return net.end(net.conv("conv_last", x, 12, 1, "", "ReLU6")), ("block0", "block1/dwise", "block2", "conv_last")


def shufflenet_v1() -> Net:
    net = Text(32)
    x = net.pool("pool1", net.conv("conv1", "data", 6, 3, "stride: 2"), "pool: MAX kernel_size: 3 stride: 2")
    for i, stride in enumerate((2, 1)):
        y = net.conv(f"r{i}_1", x, 6, 1, "group: 3")
        y = net.add("ShuffleChannel", f"r{i}_shuffle", "shuffle_channel_param { group: 3 }", y)
        params = f"convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 stride: {stride} bias_term: false }}"
        y = net.norm(f"r{i}_2", net.add("ConvolutionDepthwise", f"r{i}_2", params, y), act="")
        y = net.conv(f"r{i}_3", y, 6 if i == 0 else 12, 1, "group: 3", "")
        if stride == 2:
            short = net.pool(f"r{i}_short", x, "pool: AVE kernel_size: 3 stride: 2")
            x = net.add("Concat", f"r{i}", "", f"{short} {y}")
        else:
            x = net.add("Eltwise", f"r{i}", "", f"{x} {y}")
        x = net.add("ReLU", f"r{i}_relu", "", x, x)
    return net.end(x), ("r0_shuffle", "r0", "r1_shuffle", "r1")


def shufflenet_v2() -> Net:
    net = Text(32)
    x = net.conv("conv1", "data", 8, 3, "stride: 2")
    for i in range(2):
        left, right = f"s{i}_left", f"s{i}_right"
        net.text += layer("Slice", f"s{i}_slice", "slice_param { axis: 1 slice_point: 4 }", x).replace(
            f'top: "s{i}_slice"', f'top: "{left}" top: "{right}"'
        )
        y = net.conv(f"s{i}_1", right, 4)
        params = "convolution_param { num_output: 4 group: 4 kernel_size: 3 pad: 1 bias_term: false }"
        y = net.norm(f"s{i}_2", net.add("DepthwiseConvolution", f"s{i}_2", params, y), act="")
        y = net.conv(f"s{i}_3", y, 4)
        y = net.add("Concat", f"s{i}_concat", "concat_param { axis: 1 }", f"{left} {y}")
        x = net.add("ShuffleChannel", f"s{i}", "shuffle_channel_param { group: 2 }", y)
    return net.end(x), ("s0", "s1_concat", "s1")


def _squeeze(net: Text, name: str, x: str, count: int) -> str:
    y = net.pool(f"{name}_global_pool", x, "pool: AVE global_pooling: true")
    y = net.plain(f"{name}_1x1_down", y, f"num_output: {count // 2} kernel_size: 1")
    return net.plain(f"{name}_1x1_up", y, f"num_output: {count} kernel_size: 1", "Sigmoid")


def se_resnet(axpy: bool) -> Net:
    net = Text(32, "0.0001")
    x = net.conv("conv1/7x7_s2", "data", 8, 7, "stride: 2 pad: 3")
    x = net.pool("pool1/3x3_s2", x, "pool: MAX kernel_size: 3 stride: 2")
    for i in range(2):
        name = f"conv{i + 2}"
        y = net.conv(f"{name}_reduce", x, 4)
        y = net.conv(f"{name}_3x3", y, 4, 3, "stride: 2" if i else "")
        y = net.conv(f"{name}_increase", y, 8, 1, "", "")
        gate = _squeeze(net, name, y, 8)
        short = net.conv(f"{name}_proj", x, 8, 1, "stride: 2" if i else "", "")
        if axpy:
            x = net.add("Axpy", name, "", f"{gate} {y} {short}")
        else:
            gate = net.add("Reshape", f"{name}_gate", "reshape_param { shape { dim: 0 dim: 0 } }", gate)
            gate = net.add("Scale", f"{name}_scaled", "scale_param { axis: 0 bias_term: false }", f"{y} {gate}")
            x = net.add("Eltwise", name, "eltwise_param { operation: SUM }", f"{gate} {short}")
        x = net.add("ReLU", f"{name}/relu", "", x, x)
    return net.end(x), ("pool1/3x3_s2", "conv2", "conv3_1x1_up", "conv3")


def resnext() -> Net:
    net = Text(32)
    net.add("BatchNorm", "bn_data", "batch_norm_param { use_global_stats: true eps: 2e-5 }", "data", "bn_data")
    net.add("Scale", "scale_bn_data", "scale_param { bias_term: true }", "bn_data", "bn_data")
    x = net.conv("conv0", "bn_data", 8, 3, "stride: 2")
    for i in range(2):
        y = net.conv(f"stage1_unit{i}_conv1", x, 8)
        y = net.conv(f"stage1_unit{i}_conv2", y, 8, 3, "group: 4 stride: 2" if i else "group: 4")
        y = net.conv(f"stage1_unit{i}_conv3", y, 8, 1, "", "")
        short = net.conv(f"stage1_unit{i}_sc", x, 8, 1, "stride: 2", "") if i else x
        x = net.add("Eltwise", f"stage1_unit{i}_plus", "", f"{short} {y}")
        x = net.add("ReLU", f"stage1_unit{i}_relu", "", x)
    return net.end(x), ("conv0", "stage1_unit0_relu", "stage1_unit1_plus")


def densenet() -> Net:
    net = Text(32)
    x = net.pool("pool1", net.conv("conv1", "data", 6, 3, "stride: 2"), "pool: MAX kernel_size: 3 stride: 2 pad: 1")
    for block in (2, 3):
        for i in (1, 2):
            name = f"conv{block}_{i}"
            y = net.conv(f"{name}/x1", net.norm(f"{name}/x1_pre", x, apart=True), 8, 1, "", "")
            y = net.add("ReLU", f"{name}/x2/relu", "", y, y)
            y = net.add(
                "Convolution", f"{name}/x2",
                "convolution_param { num_output: 4 kernel_size: 3 pad: 1 bias_term: false }", y,
            )  # fmt: skip
            x = net.add("Concat", f"concat_{block}_{i}", "", f"{x} {y}")
        if block == 2:
            x = net.plain("conv2_blk", net.norm("conv2_blk", x, apart=True), "num_output: 6 kernel_size: 1", "")
            x = net.pool("pool2", x, "pool: AVE kernel_size: 2 stride: 2")
    return net.end(net.norm("conv3_blk", x, apart=True)), ("pool1", "concat_2_2", "pool2", "concat_3_2")


def dpn() -> Net:
    net = Text(32, "0.001")
    x = net.conv("conv1", "data", 8, 3, "stride: 2")
    parts = [x, ""]
    for i in range(2):
        joined = parts[0] if not parts[1] else net.add("Concat", f"dpn{i}_in", "", f"{parts[0]} {parts[1]}")
        y = net.conv(f"dpn{i}_a", net.norm(f"dpn{i}_a_pre", joined, apart=True), 8)
        y = net.conv(f"dpn{i}_b", y, 8, 3, "group: 4")
        y = net.add(
            "Convolution", f"dpn{i}_c", "convolution_param { num_output: 12 kernel_size: 1 bias_term: false }", y
        )
        sliced = layer("Slice", f"dpn{i}_split", "slice_param { axis: 1 slice_point: 8 }", y)
        net.text += sliced.replace(f'top: "dpn{i}_split"', f'top: "dpn{i}_c1" top: "dpn{i}_c2"')
        left = net.add("Eltwise", f"dpn{i}_sum", "", f"{parts[0]} dpn{i}_c1")
        right = net.add("Concat", f"dpn{i}_dense", "", f"{parts[1]} dpn{i}_c2") if parts[1] else f"dpn{i}_c2"
        parts = [left, right]
    x = net.norm("last", net.add("Concat", "concat_last", "", " ".join(parts)))
    return net.end(x), ("dpn0_sum", "dpn0_c2", "dpn1_sum", "dpn1_dense", "concat_last")


def inception_v3() -> Net:
    net = Text(39, "0.001")
    x = net.conv("conv1_3x3_s2", "data", 6, 3, "stride: 2 pad: 0")
    x = net.pool("pool1_3x3_s2", x, "pool: MAX kernel_size: 3 stride: 2")
    a = net.conv("a_1x1", x, 4)
    b = net.conv("a_1x7", net.conv("a_reduce", x, 4), 4, (1, 7))
    b = net.conv("a_7x1", b, 4, (7, 1))
    c = net.conv("a_proj", net.pool("a_pool", x, "pool: AVE kernel_size: 3 stride: 1 pad: 1"), 4)
    x = net.add("Concat", "a_concat", "", f"{a} {b} {c}")
    a = net.conv("b_3x3", x, 4, 3, "stride: 2 pad: 0")
    x = net.add("Concat", "b_concat", "", f"{a} " + net.pool("b_pool", x, "pool: MAX kernel_size: 3 stride: 2"))
    a = net.conv("c_reduce", x, 4)
    left, right = net.conv("c_1x3", a, 3, (1, 3)), net.conv("c_3x1", a, 3, (3, 1))
    x = net.add("Concat", "c_concat", "", f"{left} {right}")
    return net.end(x), ("pool1_3x3_s2", "a_7x1", "a_concat", "b_concat", "c_concat")


def inception_v4() -> Net:
    """The stem of Inception-v4, and a residual with a factor, as in Inception-ResNet."""
    net = Text(43, "0.001")
    x = net.conv("conv1_3x3_s2", "data", 4, 3, "stride: 2 pad: 0")
    a = net.pool("stem1_pool", x, "pool: MAX kernel_size: 3 stride: 2")
    x = net.add("Concat", "stem1", "", a + " " + net.conv("stem1_3x3_s2", x, 4, 3, "stride: 2 pad: 0"))
    a = net.conv("stem2_3x3", net.conv("stem2_3x3_reduce", x, 4), 4, 3, "pad: 0")
    b = net.conv("stem2_1x7", net.conv("stem2_1x7_reduce", x, 4), 4, (1, 7))
    b = net.conv("stem2_3x3_2", net.conv("stem2_7x1", b, 4, (7, 1)), 4, 3, "pad: 0")
    x = net.add("Concat", "stem2", "", f"{a} {b}")
    y = net.add("Concat", "res_concat", "", net.conv("res_1x1", x, 4) + " " + net.conv("res_3x3", x, 4, 3))
    y = net.plain("res_up", y, "num_output: 8 kernel_size: 1", "")
    y = net.add("Scale", "res_scale", "scale_param { bias_term: false }", y, y)
    x = net.add("Eltwise", "res", "eltwise_param { coeff: 1 coeff: 0.17 }", f"{x} {y}")
    x = net.add("ReLU", "res_relu", "", x, x)
    return net.end(x), ("stem1", "stem2_7x1", "stem2", "res")


def inception_bn() -> Net:
    net = Text(32)
    x = net.plain("conv1/7x7_s2", "data", "num_output: 6 kernel_size: 7 stride: 2 pad: 3", "")
    x = net.norm("conv1", x, apart=True)
    x = net.pool("pool1/3x3_s2", x, "pool: MAX kernel_size: 3 stride: 2")
    a = net.conv("3a/1x1", x, 4)
    b = net.conv("3a/3x3", net.conv("3a/3x3_reduce", x, 4), 4, 3)
    c = net.conv("3a/double3x3a", net.conv("3a/double3x3_reduce", x, 4), 4, 3)
    c = net.conv("3a/double3x3b", c, 4, 3)
    d = net.conv("3a/pool_proj", net.pool("3a/pool", x, "pool: AVE kernel_size: 3 stride: 1 pad: 1"), 4)
    x = net.add("Concat", "3a/output", "", f"{a} {b} {c} {d}")
    a = net.conv("3c/3x3", x, 4, 3, "stride: 2")
    x = net.add("Concat", "3c/output", "", a + " " + net.pool("3c/pool", x, "pool: MAX kernel_size: 3 stride: 2"))
    return net.end(x), ("pool1/3x3_s2", "3a/output", "3c/output")


def fcn8s() -> Net:
    net = Text(20)
    x = net.plain("conv1_1", "data", "num_output: 6 kernel_size: 3 pad: 20")
    x = net.pool("pool1", x, "pool: MAX kernel_size: 2 stride: 2")
    x = low = net.pool(
        "pool2", net.plain("conv2_1", x, "num_output: 6 kernel_size: 3 pad: 1"), "kernel_size: 2 stride: 2"
    )
    x = net.pool("pool3", net.plain("conv3_1", x, "num_output: 8 kernel_size: 3 pad: 1"), "kernel_size: 2 stride: 2")
    x = net.add(
        "Dropout",
        "drop6",
        "dropout_param { dropout_ratio: 0.5 }",
        net.plain("fc6", x, "num_output: 8 kernel_size: 3"),
        "fc6",
    )
    x = net.plain("score_fr", x, "num_output: 3 kernel_size: 1", "")
    up = "convolution_param { num_output: 3 bias_term: false"
    x = net.add("Deconvolution", "upscore2", f"{up} kernel_size: 4 stride: 2 }}", x)
    low = net.plain("score_pool2", low, "num_output: 3 kernel_size: 1", "")
    low = net.add("Crop", "score_pool2c", "crop_param { axis: 2 offset: 1 }", f"{low} {x}")
    x = net.add("Eltwise", "fuse", "eltwise_param { operation: SUM }", f"{x} {low}")
    x = net.add(
        "Deconvolution",
        "upscore4",
        f'{up} kernel_size: 8 stride: 4 group: 3 weight_filler {{ type: "bilinear" }} }}',
        x,
    )
    net.add("Crop", "score", "crop_param { axis: 2 offset: 19 }", f"{x} data")
    return net.text, ("pool2", "upscore2", "fuse")


def dilated() -> Net:
    net = Text(17)
    x = net.plain("conv1", "data", "num_output: 6 kernel_size: 3 pad: 1")
    x = net.pool("pool1", x, "pool: MAX kernel_size: 3 stride: 2 pad: 1")
    x = net.plain("conv5", x, "num_output: 6 kernel_size: 3 pad: 2 dilation: 2")
    branches = [net.plain(f"fc6_{n}", x, f"num_output: 4 kernel_size: 3 pad: {n} dilation: {n}") for n in (1, 3, 5)]
    x = net.add("Eltwise", "fc8", "eltwise_param { operation: SUM }", " ".join(branches))
    net.text = net.text.replace("conv5", "conv5_dilated")
    params = (
        "convolution_param { num_output: 4 group: 4 kernel_size: 4 stride: 2 pad: 1 bias_term: false "
        'weight_filler { type: "bilinear" } }'
    )
    x = net.add("Deconvolution", "upscore", params, x)
    net.add("Softmax", "prob", "", x)
    return net.text, ("pool1", "conv5_dilated", "fc8", "upscore")


def segnet() -> Net:
    net = Text(18)
    norm = "bn_param { bn_mode: INFERENCE scale_filler { value: 1 } shift_filler { value: 0.001 } }"

    def block(name: str, x: str, count: int) -> str:
        top = net.plain(name, x, f"num_output: {count} kernel_size: 3 pad: 1", "")
        net.add("BN", f"{name}_bn", norm, top, top)
        return net.add("ReLU", f"{name}_relu", "", top, top)

    def pool(name: str, x: str) -> str:
        params = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
        net.text += layer("Pooling", name, params, x).replace(f'top: "{name}"', f'top: "{name}" top: "{name}_mask"')
        return name

    x = pool("pool2", block("conv2_1", pool("pool1", block("conv1_1", "data", 6)), 6))
    x = net.add("Upsample", "upsample2", "upsample_param { scale: 2 upsample_h: 9 upsample_w: 9 }", f"{x} pool2_mask")
    x = block("conv2_1_D", x, 6)
    x = net.add("Upsample", "upsample1", "upsample_param { scale: 2 }", f"{x} pool1_mask")
    x = net.plain("conv1_1_D", x, "num_output: 4 kernel_size: 3 pad: 1", "")
    net.add("Softmax", "prob", "", x)
    return net.text, ("conv1_1", "pool2", "upsample2", "conv2_1_D", "upsample1")


def ssd_head() -> Net:
    """SSD but for its priors and its list of detections: what until= leaves."""
    net = Text(32)
    x = net.plain("conv4_3", "data", "num_output: 6 kernel_size: 3 stride: 2 pad: 1")
    norm = net.add("Normalize", "conv4_3_norm", "norm_param { across_spatial: false channel_shared: false }", x)
    y = net.plain(
        "fc7", net.pool("pool4", x, "kernel_size: 2 stride: 2"), "num_output: 8 kernel_size: 3 pad: 6 dilation: 6"
    )
    flat = []
    for name, bottom in (("conv4_3_norm_mbox_conf", norm), ("fc7_mbox_conf", y)):
        z = net.plain(name, bottom, "num_output: 6 kernel_size: 3 pad: 1", "")
        z = net.add("Permute", f"{name}_perm", "permute_param { order: 0 order: 2 order: 3 order: 1 }", z)
        flat.append(net.add("Flatten", f"{name}_flat", "flatten_param { axis: 1 }", z))
    x = net.add("Concat", "mbox_conf", "concat_param { axis: 1 }", " ".join(flat))
    x = net.add("Reshape", "mbox_conf_reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 3 } }", x)
    x = net.add("Softmax", "mbox_conf_softmax", "softmax_param { axis: 2 }", x)
    net.add("Flatten", "mbox_conf_flatten", "flatten_param { axis: 1 }", x)
    return net.text, ("conv4_3_norm", "fc7", "mbox_conf")


def cifar10() -> Net:
    """CaffeNet's order of pooling and LRN, and the LRN within channels of cifar10_full."""
    net = Text(32)
    x = net.pool("pool1", net.plain("conv1", "data", "num_output: 8 kernel_size: 5 pad: 2"), "kernel_size: 3 stride: 2")
    x = net.add("LRN", "norm1", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 norm_region: WITHIN_CHANNEL }", x)
    x = net.plain("conv2", x, "num_output: 8 kernel_size: 5 pad: 2 group: 2")
    x = net.pool("pool2", x, "pool: AVE kernel_size: 3 stride: 2")
    x = net.add("LRN", "norm2", "lrn_param { local_size: 5 alpha: 0.5 beta: 0.75 k: 2 }", x)
    x = net.add("InnerProduct", "ip1", "inner_product_param { num_output: 7 }", x)
    net.add("Softmax", "prob", "", x)
    return net.text, ("pool1", "norm1", "pool2", "norm2")


FAMILIES: dict[str, Callable[[], Net]] = {
    "net_cifar10": cifar10,
    "net_densenet": densenet,
    "net_dilated": dilated,
    "net_dpn": dpn,
    "net_fcn8s": fcn8s,
    "net_inception-bn": inception_bn,
    "net_inception-v3": inception_v3,
    "net_inception-v4": inception_v4,
    "net_mobilenet-v2": mobilenet_v2,
    "net_resnext": resnext,
    "net_se-resnet-axpy": lambda: se_resnet(True),
    "net_se-resnet-scale": lambda: se_resnet(False),
    "net_segnet": segnet,
    "net_shufflenet-v1": shufflenet_v1,
    "net_shufflenet-v2": shufflenet_v2,
    "net_ssd-head": ssd_head,
}


def nets(real: Path | None) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Case -> (text, the same for Caffe 1.0, blobs to keep); `real` is a folder of `<name>/deploy.prototxt`."""
    made = {name: family() for name, family in FAMILIES.items()}
    for name, (divisor, size, last_kernel, kept) in REAL.items():
        if real is not None:
            text = (real / name / "deploy.prototxt").read_text()
            made[f"net_{name}"] = narrow(text, divisor, size, last_kernel), kept
    return {name: (text, as_caffe(text), kept) for name, (text, kept) in made.items()}


def as_caffe(text: str) -> str:
    """The same network in layers that Caffe 1.0 has."""
    return "".join(_as_caffe(line) for line in text.splitlines(keepends=True))


def _as_caffe(line: str) -> str:
    names = {key: re.findall(rf'{key}: "([^"]*)"', line) for key in ("name", "type", "bottom", "top")}
    if not (names["name"] and names["type"]):
        return line
    name, kind = names["name"][0], names["type"][0]  # a filler has a type too
    bottoms, top = names["bottom"], names["top"][0]
    if kind in ("ConvolutionDepthwise", "DepthwiseConvolution"):
        line = line.replace(kind, "Convolution")
        count = re.search(r"num_output: (\d+)", line)[1]
        return line if "group" in line else line.replace("num_output", f"group: {count} num_output")
    if kind == "ShuffleChannel":
        group = re.search(r"group: (\d+)", line)[1]
        return (
            layer(
                "Reshape",
                f"{name}_a",
                f"reshape_param {{ shape {{ dim: {group} dim: -1 }} axis: 1 num_axes: 1 }}",
                bottoms[0],
            )
            + layer(
                "Permute", f"{name}_b", "permute_param { order: 0 order: 2 order: 1 order: 3 order: 4 }", f"{name}_a"
            )
            + layer("Reshape", name, "reshape_param { shape { dim: -1 } axis: 1 num_axes: 2 }", f"{name}_b", top)
        )
    if kind == "Axpy":
        factor, x, y = bottoms
        return (
            layer("Reshape", f"{name}_a", "reshape_param { shape { dim: 0 dim: 0 } }", factor)
            + layer("Scale", f"{name}_b", "scale_param { axis: 0 bias_term: false }", f"{x} {name}_a")
            + layer("Eltwise", name, "", f"{name}_b {y}", top)
        )
    if kind == "Upsample" and len(bottoms) == 2:
        size = re.search(r"upsample_h: (\d+) upsample_w: (\d+)", line) or ["", "18", "18"]
        return layer("MaxUnPool", name, f"max_unpool_param {{ dst_h: {size[1]} dst_w: {size[2]} }}", " ".join(bottoms))
    if kind == "BN":
        return layer("Scale", name, "scale_param { bias_term: true }", bottoms[0], top)
    return line
