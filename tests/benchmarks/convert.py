"""Times the conversion of VGG-16-sized files against what their bytes cost to read and to write.

    .venv/bin/python tests/benchmarks/convert.py --runs 5 [--folder DIR] [FORMAT ...]

Each of caffemodel, .params, .t7, .pth and checkpoint holds the 138 million float32 of VGG-16, generated here. One run
in a fresh process reads the file and writes an artifact, as `zoo get` does, after everything is imported; the other
reads the same file into memory and writes as many bytes as the artifact has, with fsync, as the artifact is written.
Memory is the largest resident size beyond that after the imports.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import statistics
import struct
import subprocess
import sys
import tempfile
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

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
    """A .pth as torch.save writes it, without PyTorch: a zip of a pickle that describes tensors, and their bytes."""
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
    named = _named(architectures.build("vgg16", "torchvision"))
    described = OrderedDict((name, Tensor(str(key), array)) for key, (name, array) in enumerate(named.items()))
    with zipfile.ZipFile(folder / "vgg16.pth", "w", zipfile.ZIP_STORED) as archive:
        stream = io.BytesIO()
        Pickler(stream, 2).dump(described)
        archive.writestr("vgg16/data.pkl", stream.getvalue())
        for tensor in described.values():
            archive.writestr(f"vgg16/data/{tensor.key}", tensor.array.tobytes())
        archive.writestr("vgg16/version", "3\n")
    del sys.modules["torch"], sys.modules["torch._utils"]
    return [folder / "vgg16.pth"]


def checkpoint(folder: Path) -> list[Path]:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        named = _named(architectures.build("vgg16", "slim"))
        variables = {name: v1.get_variable(name, array.shape, tf.float32) for name, array in named.items()}
        for name, variable in variables.items():
            variable.load(named[name], session)
        v1.train.Saver(variables).save(session, str(folder / "vgg16.ckpt"), write_meta_graph=False)
    return [folder / "vgg16.ckpt.index", folder / "vgg16.ckpt.data-00000-of-00001"]


def _named(graph: Graph) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {name: param.shape_in_file for name, param in graph.params.items() if isinstance(param, Param)}
    return {name: random.standard_normal(shape, np.float32) * np.float32(0.01) for name, shape in shapes.items()}


FILES: dict[str, tuple[Callable[[Path], list[Path]], dict[str, object]]] = {
    "caffe": (caffe, {"graph": "0", "weights": "1"}),
    "mxnet": (mxnet, {"graph": "0", "weights": "1"}),
    "torch7": (torch7, {"graph": "0"}),
    "pytorch": (pytorch, {"weights": "0", "architecture": "vgg16", "dialect": "torchvision"}),
    "checkpoint": (checkpoint, {"weights": "0", "data": ["1"], "architecture": "vgg16", "dialect": "slim"}),
}

ZOO = """
import importlib, json, sys, time
from pathlib import Path
paths, folder, source = [Path(path) for path in json.loads(sys.argv[1])], Path(sys.argv[2]), json.loads(sys.argv[3])
import keras
import zoo
from zoo.convert import convert_card
from zoo.sources import Source
from pydantic import TypeAdapter
importlib.import_module(f"zoo.formats.{source['format']}")
# Once before the clock starts, so that TensorFlow is up.
keras.Model(i := keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 1)(i))(keras.ops.zeros((1, 4, 4, 3)))
like = zoo.info("open-nsfw")
file = like.files["weights"]
card = like.model_copy(update={
    "check": None,
    "source": TypeAdapter(Source).validate_json(json.dumps(source)),
    "preprocessing": like.preprocessing.model_copy(update={"height": 224, "width": 224}),
    "labels": like.labels.model_copy(update={"count": 1000}),
    "files": {str(i): file.model_copy(update={"name": p.name, "sha256": "unknown"}) for i, p in enumerate(paths)},
})
files = dict(zip(card.files, paths))
def resident(kind):  # the largest since it was last forgotten; getrusage's begins with that of the parent process
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) * 1024
Path("/proc/self/clear_refs").write_text("5")
before, start = resident("VmRSS"), time.perf_counter()
convert_card(card, files, folder)
print(time.perf_counter() - start, resident("VmHWM") - before)
"""
BYTES = """
import json, os, sys, time
from pathlib import Path
files, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
start = time.perf_counter()
raw = b"".join(Path(f).read_bytes() for f in files) if len(files) > 1 else Path(files[0]).read_bytes()
with open(folder / "bytes", "wb", buffering=0) as out:
    view = memoryview(raw)
    while view:
        view = view[out.write(view[: 1 << 24]):]
print(time.perf_counter() - start, 0)
"""


def measure(script: str, files: list[Path], room: Path, source: dict[str, object]) -> tuple[float, int]:
    with tempfile.TemporaryDirectory(dir=room) as folder:
        command = [sys.executable, "-c", script, json.dumps([str(path) for path in files]), folder, json.dumps(source)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seconds, memory = done.stdout.split()
        return float(seconds), int(memory)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--folder", type=Path)
    options.add_argument("formats", nargs="*", default=list(FILES))
    given = options.parse_args()
    print("| format | zoo s | bytes s | ratio (smallest to largest) | peak MB | of the weights |")
    print("|---|---|---|---|---|---|")
    for name in given.formats:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            write, source = FILES[name]
            files = write(Path(folder))
            size = sum(path.stat().st_size for path in files)
            room = Path(folder)
            runs = [
                [measure(script, files, room, {"format": name, **source}) for script in (ZOO, BYTES)]
                for _ in range(given.runs)
            ]
        ours, theirs = ([run[side][0] for run in runs] for side in (0, 1))
        ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        memory = max(run[0][1] for run in runs)
        seconds = f"{statistics.median(ours):.2f} | {statistics.median(theirs):.2f}"
        print(f"| {name} | {seconds} | {spread} | {memory / 1e6:.0f} | {memory / size:.2f}x |", flush=True)


if __name__ == "__main__":
    main()
