"""Files as large as VGG-16's in each format, with generated weights: 138 million float32."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

import zoo
from zoo import architectures
from zoo.graph import Graph, Param

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
DENSE = (("fc6", 25088, 4096), ("fc7", 4096, 4096), ("fc8", 4096, 1000))


def layers() -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yields (kind, name, shape of the weights) from the input on."""
    channels = 3
    for number, widths in enumerate(BLOCKS, 1):
        for index, width in enumerate(widths, 1):
            yield "conv", f"conv{number}_{index}", (width, channels, 3, 3)
            channels = width
        yield "pool", f"pool{number}", ()
    for name, inputs, outputs in DENSE:
        yield "dense", name, (outputs, inputs)


def arrays() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(0)
    return {
        name: (
            random.standard_normal(shape, np.float32) * np.float32(np.prod(shape[1:]) ** -0.5),
            random.standard_normal(shape[0], np.float32),
        )
        for kind, name, shape in layers()
        if shape
    }


def caffe(folder: Path) -> list[Path]:
    from zoo.formats.caffe import schema

    text = ['name: "vgg16" input: "data" input_dim: 1 input_dim: 3 input_dim: 224 input_dim: 224']
    before = "data"
    for kind, name, shape in layers():
        bottom = f'name: "{name}" bottom: "{before}" top: "{name}"'
        if kind == "conv":
            how = f"convolution_param {{ num_output: {shape[0]} kernel_size: 3 pad: 1 }}"
            text.append(f'layer {{ type: "Convolution" {bottom} {how} }}')
        elif kind == "pool":
            text.append(f'layer {{ type: "Pooling" {bottom} pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}')
        else:
            text.append(f'layer {{ type: "InnerProduct" {bottom} inner_product_param {{ num_output: {shape[0]} }} }}')
        if shape and name != "fc8":
            text.append(f'layer {{ type: "ReLU" name: "relu_{name}" bottom: "{name}" top: "{name}" }}')
        before = name
    text.append('layer { type: "Softmax" name: "prob" bottom: "fc8" top: "prob" }')
    net = schema.messages("bench_caffe", schema.BINARY)["Net"]()
    for name, pair in arrays().items():
        made = net.layer.add(name=name.encode())
        for array in pair:
            blob = made.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.append(array.tobytes())
    (folder / "deploy.prototxt").write_text("\n".join(text))
    (folder / "vgg16.caffemodel").write_bytes(net.SerializeToString())
    return [folder / "deploy.prototxt", folder / "vgg16.caffemodel"]


def mxnet(folder: Path) -> list[Path]:
    nodes: list[dict[str, object]] = [{"op": "null", "name": "data", "inputs": []}]

    def add(op: str, name: str, inputs: list[int], **attrs: str) -> int:
        nodes.append({"op": op, "name": name, "attrs": attrs, "inputs": [[index, 0, 0] for index in inputs]})
        return len(nodes) - 1

    now = 0
    for kind, name, shape in layers():
        if kind == "pool":
            now = add("Pooling", name, [now], kernel="(2, 2)", stride="(2, 2)", pool_type="max")
            continue
        weights = [add("null", f"{name}_weight", []), add("null", f"{name}_bias", [])]
        if kind == "conv":
            how = {"kernel": "(3, 3)", "pad": "(1, 1)", "num_filter": str(shape[0])}
            now = add("Convolution", name, [now, *weights], **how)
        else:
            now = add("FullyConnected", name, [now, *weights], num_hidden=str(shape[0]))
        if name != "fc8":
            now = add("Activation", f"relu_{name}", [now], act_type="relu")
    now = add("softmax", "prob", [now])
    symbol = {"nodes": nodes, "arg_nodes": [], "heads": [[now, 0, 0]], "attrs": {"mxnet_version": ["int", 10901]}}
    (folder / "vgg16-symbol.json").write_text(json.dumps(symbol))
    named = [
        (f"arg:{name}_{part}", a)
        for name, pair in arrays().items()
        for part, a in zip(("weight", "bias"), pair, strict=True)
    ]
    with (folder / "vgg16-0000.params").open("wb") as out:
        out.write(struct.pack("<QQQ", 0x112, 0, len(named)))
        for _, array in named:
            out.write(struct.pack("<IiI", 0xF993FAC9, 0, array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape))
            out.write(struct.pack("<iii", 1, 0, 0))
            array.tofile(out)
        out.write(struct.pack("<Q", len(named)))
        for name, _ in named:
            out.write(struct.pack("<Q", len(name)) + name.encode())
    return [folder / "vgg16-symbol.json", folder / "vgg16-0000.params"]


def torch7(folder: Path) -> list[Path]:
    with (folder / "vgg16.t7").open("wb") as out:
        count = iter(range(1, 10_000))

        def text(value: str) -> bytes:
            return struct.pack("<i", len(value)) + value.encode()

        def number(value: float) -> bytes:
            return struct.pack("<id", 1, value)

        def truth(value: bool) -> bytes:
            return struct.pack("<ii", 5, value)

        def head(name: str) -> bytes:
            return struct.pack("<ii", 4, next(count)) + text("V 1") + text(name)

        def write_array(array: np.ndarray) -> None:
            strides = [stride // array.itemsize for stride in array.strides]
            out.write(
                head("torch.FloatTensor") + struct.pack(f"<i{2 * array.ndim}qq", array.ndim, *array.shape, *strides, 1)
            )
            out.write(head("torch.FloatStorage") + struct.pack("<q", array.size))
            array.tofile(out)

        def write_module(name: str, **fields: object) -> None:
            out.write(head(name) + struct.pack("<iii", 3, next(count), len(fields)))
            for key, value in fields.items():
                out.write(struct.pack("<i", 2) + text(key))
                if isinstance(value, np.ndarray):
                    write_array(value)
                elif isinstance(value, bool):
                    out.write(truth(value))
                elif isinstance(value, (int, float)):
                    out.write(number(value))
                elif isinstance(value, tuple):
                    out.write(head("torch.LongStorage") + struct.pack(f"<q{len(value)}q", len(value), *value))
                elif isinstance(value, list):
                    out.write(struct.pack("<iii", 3, next(count), len(value)))
                    for position, (kind, its) in enumerate(value, 1):
                        out.write(number(position))
                        write_module(kind, **its)

        weights = arrays()
        modules: list[tuple[str, dict[str, object]]] = []
        square = {"kW": 2, "kH": 2, "dW": 2, "dH": 2, "padW": 0, "padH": 0, "ceil_mode": False}
        for kind, name, shape in layers():
            if kind == "pool":
                modules.append(("nn.SpatialMaxPooling", dict(square)))
                continue
            weight, bias = weights[name]
            if kind == "conv":
                how = {"nInputPlane": shape[1], "nOutputPlane": shape[0], "kW": 3, "kH": 3, "dW": 1, "dH": 1}
                modules.append(("nn.SpatialConvolution", {**how, "padW": 1, "padH": 1, "weight": weight, "bias": bias}))
            else:
                if name == "fc6":
                    modules.append(
                        (
                            "nn.View",
                            {"numElements": 25088, "numInputDims": 3, "size": (25088,)},
                        )
                    )
                modules.append(("nn.Linear", {"weight": weight, "bias": bias}))
            if name != "fc8":
                modules.append(("nn.ReLU", {"inplace": True, "threshold": 0, "val": 0}))
        modules.append(("nn.SoftMax", {}))
        write_module("nn.Sequential", modules=modules, train=False)
    return [folder / "vgg16.t7"]


def pytorch(folder: Path) -> list[Path]:
    write_pth(folder / "vgg16.pth", generated(architectures.build("vgg16", "torchvision")))
    return [folder / "vgg16.pth"]


def write_pth(path: Path, named: Mapping[str, np.ndarray]) -> None:
    """Writes a .pth as torch.save does, without PyTorch: a zip of a pickle that describes tensors, and their bytes."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    class FloatStorage:
        pass

    class Tensor:
        def __init__(self, key: str, array: np.ndarray) -> None:
            self.key, self.array = key, array

        def __reduce__(self) -> tuple[object, ...]:
            strides = tuple(stride // 4 for stride in self.array.strides)
            return utils._rebuild_tensor_v2, (Storage(self), 0, self.array.shape, strides, False, OrderedDict())

    class Storage:
        def __init__(self, tensor: Tensor) -> None:
            self.id = ("storage", FloatStorage, tensor.key, "cpu", tensor.array.size)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return value.id if isinstance(value, Storage) else None

    def rebuild(*_: object) -> None:
        """Stands for PyTorch's function in the pickle."""

    for thing, module, name in ((FloatStorage, torch, "FloatStorage"), (rebuild, utils, "_rebuild_tensor_v2")):
        thing.__module__, thing.__qualname__, thing.__name__ = module.__name__, name, name
        setattr(module, name, thing)
    sys.modules.update({"torch": torch, "torch._utils": utils})
    described = OrderedDict((name, Tensor(str(key), array)) for key, (name, array) in enumerate(named.items()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        stream = io.BytesIO()
        Pickler(stream, 2).dump(described)
        archive.writestr(f"{path.stem}/data.pkl", stream.getvalue())
        for tensor in described.values():
            archive.writestr(f"{path.stem}/data/{tensor.key}", tensor.array.tobytes())
        archive.writestr(f"{path.stem}/version", "3\n")
    del sys.modules["torch"], sys.modules["torch._utils"]


def checkpoint(folder: Path) -> list[Path]:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        named = generated(architectures.build("vgg16", "slim"))
        variables = {name: v1.get_variable(name, array.shape, tf.float32) for name, array in named.items()}
        for name, variable in variables.items():
            variable.load(named[name], session)
        v1.train.Saver(variables).save(session, str(folder / "vgg16.ckpt"), write_meta_graph=False)
    return [folder / "vgg16.ckpt.index", folder / "vgg16.ckpt.data-00000-of-00001"]


def onnx(folder: Path) -> list[Path]:
    from onnx import TensorProto, checker, helper, numpy_helper, save

    weights = arrays()
    nodes, now = [], "data"
    for kind, name, _shape in layers():
        if kind == "pool":
            nodes.append(helper.make_node("MaxPool", [now], [name], name, kernel_shape=[2, 2], strides=[2, 2]))
        elif kind == "conv":
            given = [now, f"{name}_w", f"{name}_b"]
            nodes.append(helper.make_node("Conv", given, [name], name, kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
        else:
            if name == "fc6":
                nodes.append(helper.make_node("Flatten", [now], ["flat"], "flat"))
                now = "flat"
            nodes.append(helper.make_node("Gemm", [now, f"{name}_w", f"{name}_b"], [name], name, transB=1))
        now = name
        if kind != "pool" and name != "fc8":
            now = f"relu_{name}"
            nodes.append(helper.make_node("Relu", [name], [now], now))
    stored = [
        numpy_helper.from_array(array, f"{name}_{part}")
        for name, pair in weights.items()
        for part, array in zip("wb", pair, strict=True)
    ]
    data = helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 224, 224])
    scores = helper.make_tensor_value_info(now, TensorProto.FLOAT, [1, 1000])
    graph = helper.make_graph(nodes, "vgg16", [data], [scores], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    save(model, str(folder / "vgg16.onnx"))
    return [folder / "vgg16.onnx"]


def generated(graph: Graph) -> dict[str, np.ndarray]:
    """Returns arrays for a Graph by their names in the file, which keep activations finite."""
    random, found = np.random.default_rng(0), {}
    for name, param in graph.params.items():
        if not isinstance(param, Param) or param.shape_in_file is None:
            continue
        array = random.standard_normal(param.shape_in_file, np.float32)
        if array.ndim > 1:
            array *= np.float32(np.sqrt(2 / np.prod(param.shape[1:])))
        else:
            array = (1 + 0.1 * np.abs(array)).astype(np.float32)
        found[name] = array
    return found


def registered(folder: Path, variant: str, dialect: str) -> list[Path]:
    """Writes a .pth with generated weights for a network, and a card for it as card.json."""
    path = folder / f"{variant}.pth"
    write_pth(path, generated(architectures.build(variant, dialect)))
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    like = zoo.info("efficientnet-lite0").model_dump(mode="json")
    file = {
        "name": path.name, "size": path.stat().st_size, "sha256": digest,
        "places": [{"kind": "url", "url": f"http://127.0.0.1:1/{path.name}"}],
    }  # fmt: skip
    source = {"format": "pytorch", "weights": "weights", "architecture": variant, "dialect": dialect}
    card = {
        **like, "name": f"bench-{variant}", "aliases": [], "source": source, "files": {"weights": file}, "check": None,
        "status": "convertible", "preprocessing": {**like["preprocessing"], "height": 224, "width": 224},
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))
    return [path]


def photographs(folder: Path, count: str, width: str, height: str) -> list[Path]:
    """Writes JPEGs of ten classes, about as detailed as photographs: soft colours with fine grain over them."""
    from PIL import Image

    random, found = np.random.default_rng(0), []
    size = int(width), int(height)
    for number in range(int(count)):
        label = number % 10
        soft = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        soft[:, :, label % 3] = 25 * label
        middle = random.integers(0, 60, (size[1] // 4, size[0] // 4, 3)).astype(np.uint8)
        layers = [np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BICUBIC)) for part in (soft, middle)]
        grain = random.normal(0, 6, (size[1], size[0], 1))
        pixels = np.clip(0.8 * layers[0] + layers[1] - 10 + grain, 0, 255).astype(np.uint8)
        path = folder / f"class-{label}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)
        found.append(path)
    return found


if __name__ == "__main__":
    # The harness has this done by a process of its own: TensorFlow would not leave its memory.
    what, place, *which = sys.argv[1:]
    print(json.dumps([str(path) for path in globals()[what](Path(place), *which)]))
