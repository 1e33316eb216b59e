"""One narrow network of each family."""

from __future__ import annotations

import ast
import json

import mxnet as mx
from mxnet.gluon.model_zoo import vision
from tools import S, conv, d


def norm(data: mx.sym.Symbol, name: str, act: bool = True) -> mx.sym.Symbol:
    data = S.BatchNorm(data, name=name, fix_gamma=False, eps=2e-5)
    return S.Activation(data, act_type="relu", name=f"{name}_relu") if act else data


def unit(data: mx.sym.Symbol, name: str, filters: int, kernel: tuple[int, int], **more: object) -> mx.sym.Symbol:
    more.setdefault("pad", ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2))
    data = S.Convolution(data, name=f"{name}_conv", num_filter=filters, kernel=kernel, no_bias=True, **more)
    return norm(data, f"{name}_bn")


def end(data: mx.sym.Symbol, classes: int = 10) -> mx.sym.Symbol:
    data = S.Pooling(data, name="global_pool", global_pool=True, kernel=(7, 7), pool_type="avg")
    data = S.FullyConnected(S.Flatten(data, name="flatten"), name="fc1", num_hidden=classes)
    return S.SoftmaxOutput(data, name="softmax")


def alexnet_caffe() -> mx.sym.Symbol:
    """AlexNet as it was: groups, LRN, pools that round up."""
    x = S.Activation(conv(d, "conv1", 8, 11, stride=(4, 4)), act_type="relu", name="relu1")
    x = S.LRN(x, name="norm1", alpha=0.1, beta=0.75, knorm=1, nsize=5)
    x = S.Pooling(x, name="pool1", kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
    x = S.Activation(conv(x, "conv2", 16, 5, pad=(2, 2), num_group=2), act_type="relu", name="relu2")
    x = S.LRN(x, name="norm2", alpha=0.1, beta=0.75, knorm=1, nsize=5)
    x = S.Pooling(x, name="pool2", kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
    x = S.Activation(conv(x, "conv4", 16, 3, pad=(1, 1), num_group=2), act_type="relu", name="relu4")
    x = S.FullyConnected(S.Flatten(x, name="flatten"), name="fc6", num_hidden=16)
    x = S.Dropout(S.Activation(x, act_type="relu", name="relu6"), p=0.5, name="drop6")
    return S.SoftmaxOutput(S.FullyConnected(x, name="fc8", num_hidden=10), name="softmax")


def nin() -> mx.sym.Symbol:
    x = d
    for i, (filters, kernel) in enumerate(((12, 5), (16, 3), (10, 3))):
        x = S.Activation(conv(x, f"conv{i}", filters, kernel, pad=(kernel // 2,) * 2), act_type="relu")
        x = S.Activation(conv(x, f"cccp{i}a", filters), act_type="relu", name=f"relu{i}a")
        x = S.Activation(conv(x, f"cccp{i}b", filters), act_type="relu", name=f"relu{i}b")
        if i < 2:
            x = S.Dropout(S.Pooling(x, name=f"pool{i}", kernel=(3, 3), stride=(2, 2), pool_type="max"), p=0.5)
    x = S.Pooling(x, name="pool3", global_pool=True, kernel=(8, 8), pool_type="avg")
    return S.SoftmaxOutput(S.Flatten(x, name="flatten"), name="softmax")


def inception_bn() -> mx.sym.Symbol:
    x = S.BatchNorm(d, name="bn_data", fix_gamma=True, eps=2e-5)
    x = unit(x, "1", 8, (7, 7), stride=(2, 2))
    x = S.Pooling(x, name="pool1", kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
    for i in range(2):
        pooled = S.Pooling(x, name=f"{i}_pool", kernel=(3, 3), pad=(1, 1), pool_type=("avg", "max")[i])
        towers = [unit(x, f"{i}_1x1", 4, (1, 1)), unit(unit(x, f"{i}_3x3r", 4, (1, 1)), f"{i}_3x3", 6, (3, 3))]
        double = unit(unit(x, f"{i}_d3x3r", 4, (1, 1)), f"{i}_d3x3a", 6, (3, 3))
        towers += [unit(double, f"{i}_d3x3b", 6, (3, 3)), unit(pooled, f"{i}_proj", 4, (1, 1))]
        x = S.Concat(*towers, name=f"ch_concat_{i}_chconcat")
    reduced = [unit(unit(x, "r_3x3r", 4, (1, 1)), "r_3x3", 6, (3, 3), stride=(2, 2))]
    reduced.append(S.Pooling(x, name="r_pool", kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max"))
    return end(S.Concat(*reduced, name="ch_concat_r_chconcat"))


def inception_v4() -> mx.sym.Symbol:
    x = unit(d, "stem1", 8, (3, 3), stride=(2, 2), pad=(0, 0))
    x = S.Concat(
        S.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", name="stem_pool"),
        unit(x, "stem2", 6, (3, 3), stride=(2, 2), pad=(0, 0)),
        name="stem_concat",
    )
    pooled = S.Pooling(x, kernel=(3, 3), pad=(1, 1), pool_type="avg", count_include_pad=False, name="avg")
    wide = unit(unit(unit(x, "b1", 4, (1, 1)), "b2", 5, (1, 7)), "b3", 6, (7, 1))
    split = unit(x, "c1", 4, (1, 1))
    towers = [unit(pooled, "a", 4, (1, 1)), wide, unit(split, "c2", 4, (1, 3)), unit(split, "c3", 4, (3, 1))]
    mixed = S.Concat(*towers, name="concat")
    mixed = conv(mixed, "up", 14) * 0.17 + x
    return end(S.Dropout(S.relu(mixed), p=0.2))


def dpn() -> mx.sym.Symbol:
    """Dual path: half of a block's output is added, the other half joined."""
    x = unit(d, "1", 8, (3, 3), stride=(2, 2))
    whole = conv(norm(x, "w_bn"), "w", 12)
    added, joined = (S.slice_axis(whole, axis=1, begin=b, end=e) for b, e in ((0, 8), (8, 12)))
    for i in range(2):
        x = S.concat(added, joined, name=f"{i}_cat")
        x = conv(norm(x, f"{i}_a_bn"), f"{i}_a", 8, no_bias=True)
        x = conv(norm(x, f"{i}_b_bn"), f"{i}_b", 8, 3, pad=(1, 1), num_group=4, no_bias=True)
        x = conv(norm(x, f"{i}_c_bn"), f"{i}_c", 12, no_bias=True)
        added = S.elemwise_add(added, S.slice_axis(x, axis=1, begin=0, end=8), name=f"{i}_sum")
        joined = S.concat(joined, S.slice_axis(x, axis=1, begin=8, end=12), name=f"{i}_join")
    return end(norm(S.concat(added, joined), "last"))


def shuffle(data: mx.sym.Symbol, groups: int, name: str, codes: bool = True) -> mx.sym.Symbol:
    """Channel shuffle in two spellings."""
    if codes:
        data = S.reshape(data, shape=(0, -4, groups, -1, -2), name=f"{name}_split")
        return S.reshape(S.swapaxes(data, 1, 2), shape=(0, -3, -2), name=f"{name}_back")
    data = S.reshape(data, shape=(-1, groups, 4, 8, 8), name=f"{name}_split")
    return S.reshape(S.transpose(data, axes=(0, 2, 1, 3, 4)), shape=(-1, 4 * groups, 8, 8), name=f"{name}_back")


def shufflenet_v1() -> mx.sym.Symbol:
    x = S.Pooling(unit(d, "1", 12, (3, 3), stride=(2, 2)), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max")
    for i in range(2):
        y = unit(x, f"{i}_a", 12, (1, 1), num_group=3)
        y = shuffle(y, 3, f"{i}_shuffle", codes=i == 0)
        y = norm(conv(y, f"{i}_dw", 12, 3, pad=(1, 1), num_group=12, no_bias=True), f"{i}_dw_bn", act=False)
        y = norm(conv(y, f"{i}_b", 12, num_group=3, no_bias=True), f"{i}_b_bn", act=False)
        x = S.Activation(S.ElementWiseSum(x, y, name=f"{i}_sum"), act_type="relu", name=f"{i}_relu")
    low = S.Pooling(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg")
    return end(S.concat(low, unit(x, "down", 8, (3, 3), stride=(2, 2))))


def shufflenet_v2() -> mx.sym.Symbol:
    x = unit(d, "1", 8, (3, 3), stride=(2, 2))
    for i in range(2):
        left, right = S.SliceChannel(x, num_outputs=2, axis=1, name=f"{i}_split")
        right = unit(right, f"{i}_a", 4, (1, 1))
        right = norm(conv(right, f"{i}_dw", 4, 3, pad=(1, 1), num_group=4, no_bias=True), f"{i}_dw_bn", act=False)
        x = shuffle(S.concat(left, unit(right, f"{i}_b", 4, (1, 1)), dim=1), 2, f"{i}_shuffle")
    return end(x)


def se_resnext() -> mx.sym.Symbol:
    x = unit(S.BatchNorm(d, name="bn_data", fix_gamma=True, eps=2e-5), "1", 16, (3, 3), stride=(2, 2))
    for i in range(2):
        y = unit(x, f"{i}_a", 8, (1, 1))
        y = unit(y, f"{i}_b", 8, (3, 3), num_group=4)
        y = norm(conv(y, f"{i}_c", 16, no_bias=True), f"{i}_c_bn", act=False)
        gate = S.Flatten(S.Pooling(y, global_pool=True, kernel=(7, 7), pool_type="avg", name=f"{i}_squeeze"))
        gate = S.Activation(S.FullyConnected(gate, num_hidden=4, name=f"{i}_excite1"), act_type="relu")
        gate = S.Activation(S.FullyConnected(gate, num_hidden=16, name=f"{i}_excite2"), act_type="sigmoid")
        y = S.broadcast_mul(y, S.reshape(gate, shape=(-1, 16, 1, 1)), name=f"{i}_scale")
        x = S.Activation(x + y, act_type="relu", name=f"{i}_relu")
    return end(x)


def fcn() -> mx.sym.Symbol:
    """Segmentation: dilated convolutions, scores from two depths, deconvolution, crops."""
    x = S.Activation(conv(d, "conv1", 8, 3, pad=(10, 10)), act_type="relu", name="relu1")
    x = S.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", pooling_convention="full", name="pool1")
    y = S.Activation(conv(x, "conv2", 12, 3, pad=(2, 2), dilate=(2, 2)), act_type="relu", name="relu2")
    y = S.Pooling(y, kernel=(2, 2), stride=(2, 2), pool_type="max", pooling_convention="full", name="pool2")
    up = S.Deconvolution(conv(y, "score2", 5), num_filter=5, kernel=(4, 4), stride=(2, 2), name="score2_up")
    skip = conv(x * 0.5, "score1", 5)
    both = S.Crop(up, skip, offset=(1, 1), name="score2_crop") + skip
    up = S.Deconvolution(both, num_filter=5, kernel=(4, 4), stride=(2, 2), name="up")
    return S.SoftmaxOutput(S.Crop(up, d, offset=(9, 9), name="upscore"), multi_output=True, name="softmax")


def googlenet() -> mx.sym.Symbol:
    x = S.Activation(conv(d, "conv1", 8, 7, stride=(2, 2), pad=(3, 3)), act_type="relu", name="relu1")
    x = S.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full", name="pool1")
    x = S.LRN(x, nsize=5, alpha=0.1, knorm=1, name="norm1")
    for i in range(2):
        towers = [S.Activation(conv(x, f"{i}_1x1", 4), act_type="relu", name=f"{i}_relu1")]
        for size in (3, 5):
            y = S.Activation(conv(x, f"{i}_{size}r", 4), act_type="relu", name=f"{i}_relu{size}r")
            y = conv(y, f"{i}_{size}", 5, size, pad=(size // 2,) * 2)
            towers.append(S.Activation(y, act_type="relu", name=f"{i}_relu{size}"))
        y = S.Pooling(x, kernel=(3, 3), pad=(1, 1), pool_type="max", name=f"{i}_pool")
        towers.append(S.Activation(conv(y, f"{i}_proj", 4), act_type="relu", name=f"{i}_relup"))
        x = S.Concat(*towers, name=f"{i}_concat")
        x = S.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full", name=f"pool{i + 2}")
    return end(x)


OWN = {
    "alexnet": (alexnet_caffe, 51),
    "nin": (nin, 32),
    "googlenet": (googlenet, 48),
    "inception-bn": (inception_bn, 48),
    "inception-v4": (inception_v4, 39),
    "dpn": (dpn, 24),
    "shufflenet-v1": (shufflenet_v1, 32),
    "shufflenet-v2": (shufflenet_v2, 24),
    "se-resnext": (se_resnext, 24),
    "fcn": (fcn, 16),
}


def gluon(net: mx.gluon.HybridBlock) -> str:
    """What `HybridBlock.export` writes."""
    net.initialize()
    net.hybridize()
    return net(S.var("data")).tojson()


def _resnet(version: int, bottleneck: bool) -> mx.gluon.HybridBlock:
    block = getattr(vision, f"{'Bottleneck' if bottleneck else 'BasicBlock'}V{version}")
    return getattr(vision, f"ResNetV{version}")(block, [1, 2], [6, 8, 12], classes=10)


# name -> network, divide channels by, input size, what else to make smaller
GLUON = {
    "resnet18-v1": (lambda: _resnet(1, False), 1, 48, {}),
    "resnet50-v1": (lambda: _resnet(1, True), 1, 48, {}),
    "resnet18-v2": (lambda: _resnet(2, False), 1, 48, {}),
    "resnet50-v2": (lambda: _resnet(2, True), 1, 48, {}),
    "mobilenet-v1": (lambda: vision.MobileNet(0.125, classes=10), 4, 64, {}),
    "mobilenet-v2": (lambda: vision.MobileNetV2(0.125, classes=10), 4, 64, {}),
    "densenet": (lambda: vision.DenseNet(8, 4, [2, 2, 1], classes=10), 1, 112, {}),
    "inception-v3": (lambda: vision.Inception3(classes=10), 48, 107, {"(8, 8)": "(2, 2)"}),
    "vgg": (lambda: vision.VGG([1, 1, 2], [6, 8, 12], classes=10, batch_norm=True), 1, 32, {'"4096"': '"16"'}),
    "alexnet": (lambda: vision.AlexNet(classes=10), 24, 67, {'"4096"': '"512"'}),
}
# Real definitions under a free licence -> divide channels by, input size.
REAL = {
    "squeezenet-v1.1": (16, 47),
    "mtcnn-det1": (1, 22),
    "samplenet": (3, 32),
    "mlp-bn-v0.8": (1, 6),
}


def tables(node: dict) -> list[dict]:
    return [node[key] for key in ("param", "attr", "attrs") if node.get(key)]


def fewer(count: str, by: int) -> int:
    return int(count) if by == 1 else max(int(count) // by, 2)


def narrowed(text: str, by: int) -> str:
    """A network with fewer channels, and so fewer groups; the last layer has ten classes."""
    document = json.loads(text)
    for node in document["nodes"]:
        for table in tables(node):
            if node["op"] == "null":
                table.pop("__shape__", None)  # of the wider array
            if "num_hidden" in table and table["num_hidden"] != "10":
                last = table["num_hidden"] == "1000"
                table["num_hidden"] = "10" if last else str(fewer(table["num_hidden"], by))
            if "num_filter" in table and table["num_filter"] != "10":
                table["num_filter"] = "10" if table["num_filter"] == "1000" else str(fewer(table["num_filter"], by))
            if table.get("num_group", "1") != "1":
                table["num_group"] = str(fewer(table["num_group"], by))
            if "shape" in table and node["op"] == "Reshape":
                codes = ast.literal_eval(table["shape"])
                table["shape"] = str(tuple(n // by if n > by else n for n in codes))
    return json.dumps(document)
