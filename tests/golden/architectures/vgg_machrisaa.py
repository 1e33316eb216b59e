"""Makes machrisaa's cases of vgg.json; see README.md.

CHECKOUTS holds machrisaa+tensorflow-vgg @dcc2449a07201fb4ac99a98dc7bb95915322306c.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from unittest import mock

import generated
import numpy as np
import tensorflow as tf

generated.GAINS = (1.2, 1.5)  # smaller ones take minutes, and the output hardly depends on the input
BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)
SIZE = 224


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """What the publisher's file holds: a list of kernel and bias for each layer."""
    found, before = {}, 3
    for block, (repeats, channels) in enumerate(zip(BLOCKS[name], CHANNELS, strict=True), 1):
        for unit in range(1, repeats + 1):
            found[f"conv{block}_{unit}"] = (3, 3, before, channels)
            before = channels
    found |= {"fc6": (before * 49, 4096), "fc7": (4096, 4096), "fc8": (4096, generated.CLASSES)}
    kernels = {f"{layer}/0": shape for layer, shape in found.items()}
    return kernels | {f"{layer}/1": shape[-1:] for layer, shape in found.items()}


def make(name: str) -> dict[str, object]:
    path = Path(os.environ["CHECKOUTS"]) / "machrisaa+tensorflow-vgg" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {"tensorflow": tf.compat.v1}):
        spec.loader.exec_module(module)
    image = generated.image(SIZE)

    def forward(gain: float, flipped: bool) -> tuple[np.ndarray, np.ndarray]:
        arrays = generated.arrays(shapes(name), gain)
        held = {layer.removesuffix("/0"): [arrays[layer], arrays[layer[:-1] + "1"]] for layer in arrays
                if layer.endswith("/0")}  # fmt: skip
        pixels = image[:, :, :: -1 if flipped else 1].astype(np.float64)

        def answer(pixels: np.ndarray) -> np.ndarray:
            # The network takes RGB 0..1, and turns and centres it itself, which is the card's matter here.
            rgb = tf.constant(((pixels + module.VGG_MEAN) / 255)[..., ::-1], tf.float32)
            with mock.patch.object(np, "load", return_value=np.array(held)):
                network = getattr(module, name.capitalize())("x.npy")
            network.build(rgb)
            return np.asarray(network.fc8, np.float64).reshape(-1)

        # Single precision alone: a slightly other image shows what becomes of rounding errors.
        return answer(pixels), answer(pixels * (1 + 2**-20))

    return {**generated.digest(shapes(name)), "size": SIZE, **generated.answers(forward)}


if __name__ == "__main__":
    generated.store("vgg", {f"machrisaa/{name}": lambda name=name: make(name) for name in BLOCKS})
