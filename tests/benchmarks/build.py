"""How long the Graph of a ResNet-152 takes to become a Keras model, beside Keras's own ResNet152 without weights.

Run with `python tests/benchmarks/build.py`. Medians of five, each in turn with the other; the target is 1.5.
"""

from __future__ import annotations

import statistics
import time

import keras
import numpy as np

from zoo.build import build
from zoo.graph import Graph, Node

REPEATS = 5
RANDOM = np.random.default_rng(0)


def resnet(units: tuple[int, ...] = (3, 8, 36, 3), width: int = 64, side: int = 224) -> Graph:
    """ResNet-152 as a Graph: convolution, batch normalisation, rectifier and addition are nodes of their own."""
    nodes: list[Node] = []
    params: dict[str, np.ndarray] = {}

    def add(op: str, name: str, *inputs: str, **attrs: object) -> str:
        nodes.append(Node(op, name, inputs, (name,), attrs))
        return name

    def conv(x: str, name: str, inputs: int, outputs: int, kernel: int, stride: int = 1, *, relu: bool = True) -> str:
        pad = kernel // 2
        params[f"{name}/w"] = RANDOM.standard_normal((outputs, inputs, kernel, kernel), np.float32) * 0.02
        y = add("Conv", name, x, f"{name}/w", strides=(stride, stride), pads=(pad,) * 4)
        for key in ("gamma", "beta", "mean", "var"):
            params[f"{name}/{key}"] = RANDOM.uniform(0.5, 1, outputs).astype(np.float32)
        y = add("BatchNormalization", f"{name}/bn", y, *(f"{name}/{key}" for key in ("gamma", "beta", "mean", "var")))
        return add("Relu", f"{name}/relu", y) if relu else y

    x = conv("data", "conv1", 3, width, 7, 2)
    x = add("MaxPool", "pool1", x, kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    channels = width
    for stage, count in enumerate(units):
        middle = width << stage
        for unit in range(count):
            name = f"res{stage + 2}_{unit}"
            stride = 2 if unit == 0 and stage else 1
            y = conv(x, f"{name}/a", channels, middle, 1)
            y = conv(y, f"{name}/b", middle, middle, 3, stride)
            y = conv(y, f"{name}/c", middle, 4 * middle, 1, relu=False)
            if unit == 0:
                x = conv(x, f"{name}/shortcut", channels, 4 * middle, 1, stride, relu=False)
            x = add("Relu", f"{name}/relu", add("Add", name, x, y))
            channels = 4 * middle
    x = add("Flatten", "flat", add("GlobalAveragePool", "pool5", x))
    params["fc/w"], params["fc/b"] = RANDOM.standard_normal((1000, channels), np.float32), np.ones(1000, np.float32)
    add("Softmax", "prob", add("Gemm", "fc", x, "fc/w", "fc/b", transB=1), axis=1)
    return Graph("resnet-152", {"data": (3, side, side)}, ("prob",), tuple(nodes), params)


def seconds(make: object) -> float:
    keras.backend.clear_session()
    start = time.perf_counter()
    make()  # type: ignore[operator]
    return time.perf_counter() - start


def main() -> None:
    graph = resnet()
    small = resnet((1, 1, 1, 1), 8, 64)
    build(small)  # what is loaded on first use counts for neither
    keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3))
    pairs = [
        (seconds(lambda: build(graph)), seconds(lambda: keras.applications.ResNet152(weights=None)))
        for _ in range(REPEATS)
    ]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"{len(graph.nodes)} nodes: {ours:.2f} s; keras.applications.ResNet152(weights=None): {theirs:.2f} s")
    print(f"ratio {ours / theirs:.2f} (target 1.5)")


if __name__ == "__main__":
    main()
