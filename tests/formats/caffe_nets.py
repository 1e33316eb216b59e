"""Small Caffe networks, their weights, and how tests read and run them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.build import build
from zoo.formats import caffe
from zoo.formats.caffe import schema
from zoo.formats.options import Options
from zoo.graph import Graph

GOLDEN = Path(__file__).parents[1] / "golden" / "caffe"
HEAD = """name: "net"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
"""
CONV = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
"""
WEIGHTS = {"conv": [np.arange(108.0).reshape(4, 3, 3, 3) / 100, np.arange(4.0)]}
RNG = np.random.default_rng(7)


def layer(kind: str, params: str = "", *, name: str = "x", bottom: str = "data") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" {params} }}\n'


def caffemodel(blobs: dict[str, Sequence[np.ndarray]], tables: dict[str, tuple[str, ...]] | None = None) -> Any:
    """A caffemodel's message; arrays packed as float32 unless other tables are given."""
    net: Any = schema.messages("test_weights", tables or schema.BINARY)["Net"]()
    for name, arrays in blobs.items():
        made = net.layer.add(name=name.encode())
        for array in arrays:
            blob = made.blobs.add()
            blob.shape.dim.extend(array.shape)
            if tables is None:
                blob.data.append(array.astype("<f4").tobytes())
            else:
                blob.data.extend(array.ravel().tolist())
    return net


def read(
    folder: Path,
    text: str,
    blobs: dict[str, Sequence[np.ndarray]] | None = None,
    options: Options = Options(),  # noqa: B008 - frozen
) -> Graph:
    (folder / "net.prototxt").write_text(text)
    if blobs is None:
        return caffe.read(folder / "net.prototxt", options=options)
    (folder / "net.caffemodel").write_bytes(caffemodel(blobs).SerializeToString())
    return caffe.read(folder / "net.prototxt", folder / "net.caffemodel", options=options)


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    """The network's answer for NCHW, as NCHW."""
    (y,) = answers(graph, x)
    return y


def answers(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    """The same for all of its outputs."""
    made = build(graph)(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x)
    arrays = [np.asarray(y) for y in (made if isinstance(made, list) else [made])]
    return [y.transpose(0, 3, 1, 2) if y.ndim == 4 else y for y in arrays]


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


NORM = HEAD + CONV + layer("BatchNorm", name="bn", bottom="conv").replace('top: "bn"', 'top: "conv"')
SCALE = layer("Scale", "scale_param { bias_term: true }", name="scale", bottom="conv")
STATISTICS = [np.array([4.0, 8, 12, 16]), np.array([2.0, 4, 6, 8]), np.array([4.0])]

TRAIN = """name: "train"
layer { name: "images" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 16 mirror: true } data_param { source: "a" batch_size: 256 backend: LMDB } }
layer { name: "images" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 8 mean_value: 104 } data_param { source: "b" batch_size: 50 backend: LMDB } }
layer { name: "noise" type: "Dropout" bottom: "data" top: "data" exclude { phase: TEST } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { name: "b" lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { value: 0.2 } } }
layer { name: "aux/fc" type: "InnerProduct" bottom: "conv" top: "aux/fc" inner_product_param { num_output: 2 } }
layer { name: "aux/loss" type: "SoftmaxWithLoss" bottom: "aux/fc" bottom: "label" top: "l1" loss_weight: 0.3 }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "top1" type: "Accuracy" bottom: "fc" bottom: "label" top: "top1" include { phase: TEST } }
"""
TRAINED = {
    **WEIGHTS,
    "aux/fc": [RNG.normal(size=(2, 144)), np.zeros(2)],
    "fc": [RNG.normal(size=(2, 144)), np.zeros(2)],
}
